use engine::host::fake::replace_when_changed;

use super::bed::{Bed, NOTHING_TO_DO};

fn stack(size: u32, create_first: bool) -> String {
    format!(
        "resource \"thing\" \"a\" {{\n  size = {size}\n  lifecycle {{\n    create_before_destroy = {create_first}\n  }}\n}}\n\
         resource \"thing\" \"user\" {{\n  refers = thing.a.id\n}}\n"
    )
}

async fn replaced(create_first: bool) -> (Vec<String>, Bed) {
    let mut bed = Bed::new();
    bed.apply(&stack(1, create_first)).await;
    bed.provider.plan = replace_when_changed("size");
    let applied = bed.apply(&stack(2, create_first)).await;
    assert_eq!(applied.errors, "");
    (applied.calls, bed)
}

#[tokio::test]
async fn replace_destroys_before_create() {
    let (calls, mut bed) = replaced(false).await;
    assert_eq!(calls, ["delete thing.a", "create thing.a", "update thing.user"]);
    bed.assert_state(&["thing.a", "thing.user"]);
    assert_eq!(bed.plan(&stack(2, false)).await, NOTHING_TO_DO);
}

/// The user is moved to the new object before the old one goes. (The fake gives the new one the same id, so the
/// user needs no update here; that the removal waits for it is what `destroy.rs` shows.)
#[tokio::test]
async fn replace_creates_before_destroy() {
    let (calls, mut bed) = replaced(true).await;
    assert_eq!(calls.first().map(String::as_str), Some("create thing.a"));
    assert_eq!(calls.last().map(String::as_str), Some("delete thing.a"));
    bed.assert_state(&["thing.a", "thing.user"]);
    assert_eq!(bed.plan(&stack(2, true)).await, NOTHING_TO_DO);
}

#[tokio::test]
async fn prevent_destroy_refuses_a_replacement() {
    let mut bed = Bed::new();
    let text = |size: u32| {
        format!("resource \"thing\" \"a\" {{\n  size = {size}\n  lifecycle {{\n    prevent_destroy = true\n  }}\n}}\n")
    };
    bed.apply(&text(1)).await;
    bed.provider.plan = replace_when_changed("size");
    let plan = bed.plan(&text(2)).await;
    assert!(plan.contains("destruction prevented") && plan.contains("size cannot be changed in place"), "{plan}");
}

#[tokio::test]
async fn prevent_destroy_follows_a_variable() {
    let mut bed = Bed::new();
    let text = |size: u32, keep: bool| {
        format!(
            "variable \"keep\" {{\n  default = {keep}\n}}\nresource \"thing\" \"a\" {{\n  size = {size}\n  lifecycle {{\n    \
             prevent_destroy = var.keep\n  }}\n}}\n"
        )
    };
    bed.apply(&text(1, true)).await;
    bed.provider.plan = replace_when_changed("size");
    let plan = bed.plan(&text(2, true)).await;
    assert!(plan.contains("destruction prevented"), "{plan}");
    bed.provider.plan = replace_when_changed("size");
    let applied = bed.apply(&text(2, false)).await;
    assert_eq!((applied.errors.as_str(), applied.calls.len()), ("", 2));
    let unknown = "resource \"thing\" \"a\" {\n}\nresource \"thing\" \"b\" {\n  lifecycle {\n    \
                   prevent_destroy = thing.a.id == \"x\"\n  }\n}\n";
    let plan = Bed::new().plan(unknown).await;
    assert!(plan.contains("known only after apply"), "{plan}");
}

#[tokio::test]
async fn prevent_destroy_holds_when_its_block_is_gone() {
    let mut bed = Bed::new();
    bed.apply("resource \"thing\" \"a\" {\n  lifecycle {\n    prevent_destroy = true\n  }\n}\n").await;
    let nothing = "resource \"thing\" \"z\" {\n}\n";
    let plan = bed.plan(nothing).await;
    assert!(plan.contains("the block of thing.a has `prevent_destroy`, and is gone"), "{plan}");
    // Who takes the word away first may take the block, too.
    bed.apply("resource \"thing\" \"a\" {\n}\n").await;
    let applied = bed.apply(nothing).await;
    assert_eq!(
        (applied.errors.as_str(), applied.calls.as_slice()),
        ("", ["create thing.z".to_owned(), "delete thing.a".to_owned()].as_slice())
    );
    // A `removed` block says what is meant.
    bed.apply("resource \"thing\" \"a\" {\n  lifecycle {\n    prevent_destroy = true\n  }\n}\n").await;
    let applied = bed.apply(&format!("removed {{\n  from = thing.a\n}}\n{nothing}")).await;
    assert_eq!(applied.errors, "");
    bed.assert_state(&["thing.z"]);
}

/// What cannot replace anything is refused, and not taken in silence.
#[tokio::test]
async fn a_trigger_is_an_object() {
    let mut bed = Bed::new();
    let stack = "variable \"v\" {\n  default = 1\n}\nresource \"thing\" \"b\" {\n  lifecycle {\n    replace_triggered_by = [var.v]\n  }\n}\n";
    let plan = bed.plan(stack).await;
    assert!(plan.contains("a resource of this module is required here"), "{plan}");
}

#[tokio::test]
async fn a_trigger_replaces() {
    let mut bed = Bed::new();
    let text = |size: u32| {
        format!(
            "resource \"thing\" \"a\" {{\n  size = {size}\n}}\nresource \"thing\" \"b\" {{\n  lifecycle {{\n    \
             replace_triggered_by = [thing.a.size]\n  }}\n}}\n"
        )
    };
    bed.apply(&text(1)).await;
    let applied = bed.apply(&text(2)).await;
    assert_eq!(applied.errors, "");
    let mut calls = applied.calls;
    calls.sort();
    assert_eq!(calls, ["create thing.b", "delete thing.b", "update thing.a"]);
}

/// `y[1]` goes after `w` has changed, which waits for `y[0]`, which waits for the new `m`, which comes after the old one, which
/// goes after `y[1]`.
#[tokio::test]
async fn what_goes_does_not_wait_for_what_waits_for_it() {
    let text = |count: u32, size: u32| {
        format!(
            "resource \"thing\" \"m\" {{\n  size = {size}\n}}\n\
             resource \"thing\" \"y\" {{\n  count = {count}\n  refers = thing.m.id\n}}\n\
             resource \"thing\" \"w\" {{\n  refers = thing.y[0].refers\n  secret = \"{size}\"\n}}\n"
        )
    };
    let mut bed = Bed::new();
    bed.apply(&text(2, 1)).await;
    bed.provider.plan = replace_when_changed("size");
    let applied = bed.apply(&text(1, 2)).await;
    assert_eq!(applied.errors, "");
    assert_eq!(
        applied.calls,
        ["delete thing.y[1]", "delete thing.m", "create thing.m", "update thing.y[0]", "update thing.w"]
    );
    assert_eq!(bed.plan(&text(1, 2)).await, NOTHING_TO_DO);
}
