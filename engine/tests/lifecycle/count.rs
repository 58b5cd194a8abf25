//! `count` added or taken away: the same object under another address.

use compiler::addr::InstanceAddr;
use engine::plan::Goal;
use engine::state::journal::Record;

use super::bed::{Bed, NOTHING_TO_DO};

const SINGLE: &str = "resource \"thing\" \"a\" {\n  size = 1\n}\noutput \"id\" {\n  value = thing.a.id\n}\n";

fn counted(count: u32) -> String {
    format!(
        "resource \"thing\" \"a\" {{\n  count = {count}\n  size = 1\n}}\noutput \"id\" {{\n  value = thing.a[*].id\n}}\n"
    )
}

#[tokio::test]
async fn count_added_keeps_the_object() {
    let mut bed = Bed::new();
    bed.apply(SINGLE).await;
    let plan = bed.plan(&counted(2)).await;
    assert!(plan.contains("    thing.a has moved to thing.a[0]\n"), "{plan}");
    assert!(plan.contains("Plan: 1 to add, 0 to change, 0 to destroy."), "{plan}");
    let applied = bed.apply(&counted(2)).await;
    assert_eq!((applied.errors.as_str(), &*applied.calls), ("", &["create thing.a[1]".to_owned()][..]));
    bed.assert_state(&["thing.a[0]", "thing.a[1]"]);
    assert_eq!(bed.plan(&counted(2)).await, NOTHING_TO_DO);
    // The object is the one that was made first.
    assert_eq!(bed.store().state().instances[&addr("thing.a[0]")].attributes["id"], "id of thing.a");
}

#[tokio::test]
async fn count_taken_away_keeps_the_first() {
    let mut bed = Bed::new();
    bed.apply(&counted(2)).await;
    let plan = bed.plan(SINGLE).await;
    assert!(plan.contains("thing.a[0] has moved to thing.a\n") && plan.contains("- thing.a[1]"), "{plan}");
    let applied = bed.apply(SINGLE).await;
    assert_eq!((applied.errors.as_str(), &*applied.calls), ("", &["delete thing.a[1]".to_owned()][..]));
    bed.assert_state(&["thing.a"]);
    assert_eq!(bed.plan(SINGLE).await, NOTHING_TO_DO);
}

/// As terraform: there is nothing to take for the same.
#[tokio::test]
async fn for_each_does_not_take_over() {
    let mut bed = Bed::new();
    bed.apply(SINGLE).await;
    let plan = bed.plan("resource \"thing\" \"a\" {\n  for_each = toset([\"x\"])\n  size = 1\n}\n").await;
    assert!(plan.contains("Plan: 1 to add, 0 to change, 1 to destroy."), "{plan}");
}

#[tokio::test]
async fn count_of_zero_removes_it() {
    let mut bed = Bed::new();
    bed.apply(SINGLE).await;
    let plan = bed.plan(&counted(0)).await;
    assert!(plan.contains("- thing.a[0]") && plan.contains("moved from thing.a\n"), "{plan}");
    assert_eq!(bed.apply(&counted(0)).await.calls, ["delete thing.a"].map(|call| format!("{call}[0]")));
    bed.assert_state(&[]);
}

#[tokio::test]
async fn what_changes_is_changed_under_the_new_address() {
    let mut bed = Bed::new();
    bed.apply(SINGLE).await;
    let text = counted(1).replace("size = 1", "size = 2");
    let plan = bed.plan(&text).await;
    assert!(plan.contains("moved from thing.a\n") && plan.contains("0 to add, 1 to change, 0 to destroy"), "{plan}");
    assert_eq!(bed.apply(&text).await.calls, ["update thing.a[0]"]);
    bed.assert_state(&["thing.a[0]"]);
}

#[tokio::test]
async fn removing_everything_finds_what_has_moved() {
    let mut bed = Bed::new();
    bed.apply(SINGLE).await;
    let applied = bed.apply_goal(&counted(2), Goal::Nothing).await;
    assert_eq!((applied.errors.as_str(), &*applied.calls), ("", &["delete thing.a[0]".to_owned()][..]));
    bed.assert_state(&[]);
}

/// An older object that is still to be removed belongs to the same resource; users of it, too.
#[tokio::test]
async fn deposed_objects_and_users_follow() {
    let mut bed = Bed::new();
    let user = "resource \"thing\" \"user\" {\n  refers = \"x\"\n  depends_on = [thing.a]\n}\n";
    bed.apply(&format!("{SINGLE}{user}")).await;
    {
        let mut store = bed.store();
        let instance = Box::new(store.state().instances[&addr("thing.a")].clone());
        store.record(Record::Depose { addr: addr("thing.a"), key: "0a".to_owned() }).unwrap();
        store.record(Record::Put { addr: addr("thing.a"), instance }).unwrap();
        store.fold().unwrap();
    }
    let text = format!("{}{user}", counted(1));
    assert_eq!(bed.apply(&text).await.calls, ["delete thing.a[0]"]);
    bed.assert_state(&["thing.a[0]", "thing.user"]);
    assert_eq!(bed.plan(&text).await, NOTHING_TO_DO);
}

#[tokio::test]
async fn an_object_at_the_new_address_is_told_and_kept() {
    let mut bed = Bed::new();
    bed.apply(SINGLE).await;
    {
        let mut store = bed.store();
        let instance = Box::new(store.state().instances[&addr("thing.a")].clone());
        store.record(Record::Put { addr: addr("thing.a[0]"), instance }).unwrap();
        store.fold().unwrap();
    }
    let applied = bed.apply(&counted(1)).await;
    assert_eq!(applied.calls, ["delete thing.a"]);
    assert!(applied.warnings.contains("thing.a could not become thing.a[0]"), "{}", applied.warnings);
    bed.assert_state(&["thing.a[0]"]);
}

/// The objects of a module follow its call, whatever it calls in turn.
#[tokio::test]
async fn a_counted_module_keeps_its_objects() {
    let inner = "resource \"thing\" \"x\" {\n  count = 2\n}\nmodule \"n\" {\n  source = \"./n\"\n}\n";
    let module = |count: &str| {
        format!(
            "module \"m\" {{\n  source = \"./m\"\n{count}}}\n### m/main.tf\n{inner}### m/n/main.tf\nresource \"thing\" \"y\" {{\n}}\n"
        )
    };
    let mut bed = Bed::new();
    bed.apply(&module("")).await;
    bed.assert_state(&["module.m.thing.x[0]", "module.m.thing.x[1]", "module.m.module.n.thing.y"]);
    let counted = module("  count = 1\n");
    assert_eq!(bed.apply(&counted).await.calls, Vec::<String>::new());
    bed.assert_state(&["module.m[0].thing.x[0]", "module.m[0].thing.x[1]", "module.m[0].module.n.thing.y"]);
    assert_eq!(bed.plan(&counted).await, NOTHING_TO_DO);
    assert_eq!(bed.apply(&module("")).await.calls, Vec::<String>::new());
    assert_eq!(bed.plan(&module("")).await, NOTHING_TO_DO);
}

fn addr(text: &str) -> InstanceAddr {
    InstanceAddr::parse(text).expect("an address")
}
