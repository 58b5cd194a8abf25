use std::sync::{Arc, Mutex};

use engine::plan::{self, Goal, PlanOptions, Refresh};
use value::Value;

use super::bed::Bed;

const STACK: &str = "resource \"thing\" \"a\" {\n  size = 1\n}\n";

#[tokio::test]
async fn drift_is_named_and_repaired() {
    let mut bed = Bed::new();
    bed.apply(STACK).await;
    let changed = |request: &engine::host::ReadRequest<'_>| {
        let entries = request.state.as_entries().expect("an object").iter();
        Value::object(
            entries.map(|(name, value)| (name.clone(), if &**name == "size" { Value::from(7) } else { value.clone() })),
        )
    };
    bed.provider.read = Box::new(changed);
    insta::assert_snapshot!(bed.plan(STACK).await, @r"
    Changed outside of lampwright since the last apply:

      thing.a
          size = 1 → 7

      ~ thing.a   size 7 → 1
          size = 7 → 1

    Plan: 0 to add, 1 to change, 0 to destroy.
    ");
    bed.provider.read = Box::new(changed);
    assert_eq!(bed.apply(STACK).await.calls, ["update thing.a"]);
}

#[tokio::test]
async fn what_is_gone_is_made_again() {
    let mut bed = Bed::new();
    bed.apply(STACK).await;
    bed.provider.read = Box::new(|request| Value::Null(request.state.ty()));
    let plan = bed.plan(STACK).await;
    assert!(plan.contains("thing.a is gone") && plan.contains("1 to add"), "{plan}");
    bed.provider.read = Box::new(|request| Value::Null(request.state.ty()));
    assert_eq!(bed.apply(STACK).await.calls, ["create thing.a"]);
}

/// Of what stays as it is nobody is asked; what changes is planned by what there is.
#[tokio::test]
async fn a_minimal_refresh_reads_what_changes() {
    let text = |size: u32| {
        format!(
            "resource \"thing\" \"a\" {{\n  size = {size}\n}}\nresource \"thing\" \"b\" {{}}\n\
             resource \"thing\" \"c\" {{\n  refers = thing.a.size\n}}\n"
        )
    };
    let mut bed = Bed::new();
    bed.apply(&format!("{}resource \"thing\" \"gone\" {{}}\n", text(1))).await;
    let read = Arc::new(Mutex::new(Vec::new()));
    let reads = read.clone();
    bed.provider.read = Box::new(move |request| {
        reads.lock().expect("not poisoned").push(request.address.to_owned());
        let entries = request.state.as_entries().expect("an object").clone();
        let size = ("size".into(), value::Value::from(2));
        // Somebody has done it already.
        let is_done = request.address == "thing.a";
        value::Value::object(
            entries.into_iter().filter(|(name, _)| !is_done || **name != *"size").chain(is_done.then_some(size)),
        )
    });
    let (run, _) = bed.run(&text(2)).await;
    let store = bed.store();
    let (plan, _) = plan::plan(&run, store.state(), &PlanOptions::new(Goal::Configuration, Refresh::Changed)).await;
    let actions: Vec<String> =
        plan.changes.values().map(|change| format!("{} {:?}", change.addr, change.action)).collect();
    assert_eq!(actions, ["thing.a NoOp", "thing.b NoOp", "thing.c Update", "thing.gone Delete"]);
    let mut read = read.lock().expect("not poisoned").clone();
    read.sort();
    assert_eq!(read, ["thing.a", "thing.c", "thing.gone"]);
}
