use engine::host::ApplyResponse;
use engine::host::fake::ApplyFn;
use value::{Problem, Value};

use super::bed::Bed;

const STACK: &str = r#"
resource "thing" "after" { refers = thing.bad.id }
resource "thing" "bad" {}
resource "thing" "other" {}
"#;

fn failing(leaves_something: bool) -> Box<ApplyFn> {
    Box::new(move |request, made| {
        let fails = request.address == "thing.bad" && !request.planned.is_null();
        let problems = if fails { vec![Problem::error("no", "It did not work.")] } else { Vec::new() };
        let state = if fails && !leaves_something { Value::Null(made.ty()) } else { made };
        ApplyResponse { state, private: Vec::new(), problems, legacy: false }
    })
}

#[tokio::test]
async fn what_does_not_depend_on_a_failure_goes_on() {
    let mut bed = Bed::new();
    bed.provider.apply = failing(false);
    let applied = bed.apply(STACK).await;
    assert!(applied.errors.contains("It did not work."), "{}", applied.errors);
    assert_eq!(applied.summary.not_done, ["thing.after", "thing.bad"]);
    bed.assert_state(&["thing.other"]);
    let applied = bed.apply(STACK).await;
    assert_eq!(applied.calls, ["create thing.bad", "create thing.after"]);
}

#[tokio::test]
async fn what_was_half_made_is_recorded_and_replaced() {
    let mut bed = Bed::new();
    bed.provider.apply = failing(true);
    bed.apply(STACK).await;
    bed.assert_state(&["thing.bad tainted", "thing.other"]);
    let plan = bed.plan(STACK).await;
    assert!(plan.contains("because it was not made completely"), "{plan}");
    let applied = bed.apply(STACK).await;
    assert_eq!(applied.calls, ["delete thing.bad", "create thing.bad", "create thing.after"]);
    bed.assert_state(&["thing.after", "thing.bad", "thing.other"]);
}
