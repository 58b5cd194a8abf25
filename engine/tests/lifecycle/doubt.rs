//! A provider that dies in the middle, of a kind that cannot find what it has made: what may exist is named until it is
//! settled, and nothing is promised.

use engine::apply;
use engine::host::fake::replace_when_changed;
use engine::plan::{self, Goal, PlanOptions, Refresh};
use engine::state::store::peek;

use super::bed::{Bed, NOTHING_TO_DO};

/// A stack that still needs its provider.
const NOTHING: &str = "resource \"thing\" \"none\" {\n  count = 0\n}\n";

const STACK: &str = "resource \"thing\" \"a\" {\n  count = 12\n}\n";

fn doubts(bed: &Bed) -> Vec<String> {
    let state = peek(&bed.state_path(), &std::sync::Arc::default()).expect("a state").state;
    state.in_doubt.iter().map(|(addr, doubt)| doubt.explain(addr)).collect()
}

#[tokio::test]
async fn every_object_whose_making_was_in_flight_is_named() {
    let mut bed = Bed::new();
    bed.provider.dies = Box::new(|_| true);
    let applied = bed.apply(STACK).await;
    let calls = applied.calls.len();
    assert!(calls >= 4, "{calls}");
    for call in &applied.calls {
        let addr = call.strip_prefix("create ").expect("a create");
        let line = format!(
            "{addr} was being made when a run or its plugin was cut off: it may have been made by lampwright/lampwright"
        );
        assert!(applied.errors.contains(&line), "{line} is not in {}", applied.errors);
        assert!(doubts(&bed).iter().any(|doubt| doubt.starts_with(&line)), "{line}");
    }
    assert_eq!(doubts(&bed).len(), calls);
    assert!(!applied.errors.contains("takes over"), "{}", applied.errors);
    // A second time: there may be two of each.
    bed.provider.dies = Box::new(|_| true);
    bed.apply(STACK).await;
    assert!(doubts(&bed).iter().all(|doubt| doubt.contains("may have been made 2 times")), "{:?}", doubts(&bed));
    // An apply that has told it, and makes new ones, settles it.
    assert_eq!(bed.apply(STACK).await.summary.added, 12);
    assert_eq!(doubts(&bed), Vec::<String>::new());
    assert_eq!(bed.plan(STACK).await, NOTHING_TO_DO);
}

#[tokio::test]
async fn what_the_provider_says_was_not_made_is_in_no_doubt() {
    let mut bed = Bed::new();
    bed.provider.apply = Box::new(|_, made| engine::host::ApplyResponse {
        state: value::Value::Null(made.ty()),
        private: Vec::new(),
        problems: vec![value::Problem::error("no", "It did not work.")],
        legacy: false,
    });
    bed.apply(STACK).await;
    assert_eq!(doubts(&bed), Vec::<String>::new());
}

#[tokio::test]
async fn changes_and_removals_in_flight_are_named_until_it_is_known_what_became_of_them() {
    let mut bed = Bed::new();
    let text = |size: u32| format!("resource \"thing\" \"a\" {{\n  size = {size}\n}}\nresource \"thing\" \"b\" {{}}\n");
    bed.apply(&text(1)).await;
    bed.provider.dies = Box::new(|request| request.address == "thing.a");
    let applied = bed.apply(&text(2)).await;
    assert!(
        applied.errors.contains("thing.a was being changed when a run or its plugin was cut off"),
        "{}",
        applied.errors
    );
    bed.assert_state(&["thing.a", "thing.b"]);
    assert_eq!(doubts(&bed).len(), 1);
    // As it is now, there is nothing to do: that was read, and settles it.
    bed.apply(&text(1)).await;
    assert_eq!(doubts(&bed), Vec::<String>::new());
    bed.provider.dies = Box::new(|_| true);
    let applied = bed.apply(NOTHING).await;
    assert!(
        applied.errors.contains("thing.b was being removed when a run or its plugin was cut off"),
        "{}",
        applied.errors
    );
    bed.assert_state(&["thing.a", "thing.b"]);
    bed.apply(NOTHING).await;
    bed.assert_state(&[]);
    assert_eq!(doubts(&bed), Vec::<String>::new());
}

/// The stack has it no more: it is told with the plan of an apply, and that settles it.
#[tokio::test]
async fn what_nobody_wants_any_more_is_told_until_an_apply_went_through() {
    let mut bed = Bed::new();
    bed.provider.dies = Box::new(|_| true);
    bed.apply("resource \"thing\" \"a\" {}\n").await;
    assert_eq!(bed.plan(NOTHING).await, NOTHING_TO_DO);
    assert_eq!(doubts(&bed).len(), 1);
    bed.apply(NOTHING).await;
    assert_eq!(doubts(&bed), Vec::<String>::new());
}

/// The old object, which stepped aside, is the object again; of its successor nobody knows.
#[tokio::test]
async fn a_successor_whose_making_was_in_flight_is_named() {
    let text = |size: u32| {
        format!(
            "resource \"thing\" \"a\" {{\n  size = {size}\n  lifecycle {{\n    create_before_destroy = true\n  }}\n}}\n"
        )
    };
    let mut bed = Bed::new();
    bed.apply(&text(1)).await;
    for times in ["", " 2 times"] {
        bed.provider.plan = replace_when_changed("size");
        bed.provider.dies = Box::new(|request| request.prior.is_null());
        let applied = bed.apply(&text(2)).await;
        assert_eq!(applied.calls, ["create thing.a"]);
        bed.assert_state(&["thing.a"]);
        let doubts = doubts(&bed);
        assert!(doubts.len() == 1 && doubts[0].contains(&format!("may have been made{times} by")), "{doubts:?}");
    }
    // Of one that the provider says it did not make there is nothing to tell; what is told stays.
    bed.provider.plan = replace_when_changed("size");
    bed.provider.apply = Box::new(|request, made| engine::host::ApplyResponse {
        state: value::Value::Null(made.ty()),
        private: Vec::new(),
        problems: vec![value::Problem::error("no", format!("{} did not work.", request.address))],
        legacy: false,
    });
    bed.apply(&text(2)).await;
    bed.assert_state(&["thing.a"]);
    assert!(doubts(&bed)[0].contains("may have been made 2 times by"), "{:?}", doubts(&bed));
    bed.provider.plan = replace_when_changed("size");
    assert_eq!(bed.apply(&text(2)).await.errors, "");
    assert_eq!(doubts(&bed), Vec::<String>::new());
}

/// A plan that asks for nothing else asks for what the state does not know.
#[tokio::test]
async fn a_plan_without_refresh_reads_what_is_in_doubt() {
    let text = |size: u32| format!("resource \"thing\" \"a\" {{\n  size = {size}\n}}\nresource \"thing\" \"b\" {{}}\n");
    let mut bed = Bed::new();
    bed.apply(&text(1)).await;
    bed.provider.dies = Box::new(|request| request.address == "thing.a");
    bed.apply(&text(2)).await;
    assert_eq!(doubts(&bed).len(), 1);
    // It was done.
    bed.provider.read = Box::new(|request| match request.address {
        "thing.a" => {
            let entries = request.state.as_entries().expect("an object").clone();
            let size = ("size".into(), value::Value::from(2));
            value::Value::object(entries.into_iter().filter(|(name, _)| **name != *"size").chain([size]))
        }
        address => panic!("{address} was read"),
    });
    let (run, _) = bed.run(&text(1)).await;
    let mut store = bed.store();
    let options = PlanOptions::new(Goal::Configuration, Refresh::InDoubt);
    let (plan, _) = plan::plan(&run, store.state(), &options).await;
    let (summary, diags) = apply::apply(&run, &mut store, &plan).await;
    assert_eq!((summary.changed, diags.has_errors()), (1, false));
    drop(store);
    assert_eq!(doubts(&bed), Vec::<String>::new());
}

/// That what is there was read says nothing of what else may have been made.
#[tokio::test]
async fn an_apply_that_fails_settles_no_making() {
    let text = |size: u32, more: &str| {
        format!(
            "resource \"thing\" \"a\" {{\n  size = {size}\n  lifecycle {{\n    create_before_destroy = true\n  }}\n}}\n{more}"
        )
    };
    let mut bed = Bed::new();
    bed.apply(&text(1, "")).await;
    bed.provider.plan = replace_when_changed("size");
    bed.provider.dies = Box::new(|request| request.prior.is_null());
    bed.apply(&text(2, "")).await;
    assert_eq!(doubts(&bed).len(), 1);
    bed.provider.dies = Box::new(|request| request.address == "thing.b");
    bed.apply(&text(1, "resource \"thing\" \"b\" {}\n")).await;
    assert_eq!(doubts(&bed).len(), 2);
}
