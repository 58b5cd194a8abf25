//! Providers that break the protocol's promises.

use engine::host::{ApplyResponse, PlanResponse};
use value::Value;

use super::bed::Bed;

const STACK: &str = "resource \"thing\" \"a\" {\n  size = 1\n}\n";

fn with_size(value: &Value, size: Value) -> Value {
    let entries = value.as_entries().expect("an object").iter();
    Value::object(
        entries.map(|(name, value)| (name.clone(), if &**name == "size" { size.clone() } else { value.clone() })),
    )
}

#[tokio::test]
async fn a_plan_that_contradicts_the_configuration_is_refused() {
    let mut bed = Bed::new();
    bed.provider.plan = Box::new(|_, planned| PlanResponse {
        planned: with_size(&planned, Value::from(9)),
        requires_replace: Vec::new(),
        private: Vec::new(),
        problems: Vec::new(),
        legacy: false,
    });
    let plan = bed.plan(STACK).await;
    assert!(plan.contains("the provider broke a promise") && plan.contains("size: the plan differs"), "{plan}");
}

#[tokio::test]
async fn a_result_that_contradicts_the_plan_is_kept_and_reported() {
    let mut bed = Bed::new();
    bed.provider.apply = Box::new(|_, made| ApplyResponse {
        state: with_size(&made, Value::from(9)),
        private: Vec::new(),
        problems: Vec::new(),
        legacy: false,
    });
    let applied = bed.apply(STACK).await;
    assert!(applied.errors.contains("size: it was planned to be something else"), "{}", applied.errors);
    bed.assert_state(&["thing.a tainted"]);
}
