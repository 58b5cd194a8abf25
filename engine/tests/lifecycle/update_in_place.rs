use super::bed::{Bed, NOTHING_TO_DO};

#[tokio::test]
async fn update_changes_only_what_differs() {
    let mut bed = Bed::new();
    let text = |size: u32| format!("resource \"thing\" \"a\" {{\n  size = {size}\n}}\nresource \"thing\" \"b\" {{}}\n");
    bed.apply(&text(1)).await;
    insta::assert_snapshot!(bed.plan(&text(2)).await, @r"
      ~ thing.a   size 1 → 2
          size = 1 → 2

    Plan: 0 to add, 1 to change, 0 to destroy.
    ");
    let applied = bed.apply(&text(2)).await;
    assert_eq!(applied.calls, ["update thing.a"]);
    assert_eq!(bed.plan(&text(2)).await, NOTHING_TO_DO);
}

#[tokio::test]
async fn ignored_changes_are_ignored() {
    let mut bed = Bed::new();
    let text = |size: u32| {
        format!("resource \"thing\" \"a\" {{\n  size = {size}\n  lifecycle {{\n    ignore_changes = [size]\n  }}\n}}\n")
    };
    bed.apply(&text(1)).await;
    assert_eq!(bed.plan(&text(2)).await, NOTHING_TO_DO);
}
