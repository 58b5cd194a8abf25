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
