use std::sync::{Arc, Mutex};

use engine::host::{ApplyResponse, PlanResponse};
use engine::plan::Goal;
use proto::preview::{DataChange, Fate, Preview, Recovery};
use value::Problem;

use super::bed::{Bed, NOTHING_TO_DO};

const CHAIN: &str = r#"
resource "thing" "lb" { refers = thing.web.id }
resource "thing" "web" { refers = thing.db.id }
resource "thing" "db" {}
output "id" { value = thing.lb.id }
"#;

#[tokio::test]
async fn destroy_goes_the_other_way_round() {
    let mut bed = Bed::new();
    bed.apply(CHAIN).await;
    let applied = bed.apply_goal(CHAIN, Goal::Nothing).await;
    assert_eq!(applied.calls, ["delete thing.lb", "delete thing.web", "delete thing.db"]);
    assert_eq!(applied.summary.destroyed, 3);
    bed.assert_state(&[]);
    let state = std::fs::read_to_string(bed.state_path()).unwrap();
    assert!(state.contains("\"outputs\": {}"), "{state}");
}

#[tokio::test]
async fn what_is_no_longer_configured_goes_after_its_users_changed() {
    let mut bed = Bed::new();
    bed.apply(CHAIN).await;
    let without_db = r#"
resource "thing" "lb" { refers = thing.web.id }
resource "thing" "web" {}
output "id" { value = thing.lb.id }
"#;
    let applied = bed.apply(without_db).await;
    assert_eq!(applied.calls, ["update thing.web", "delete thing.db"]);
    bed.assert_state(&["thing.lb", "thing.web"]);
    assert_eq!(bed.plan(without_db).await, NOTHING_TO_DO);
}

#[tokio::test]
async fn prevent_destroy_refuses_to_take_all_away() {
    let mut bed = Bed::new();
    let text = "resource \"thing\" \"a\" {\n  lifecycle {\n    prevent_destroy = true\n  }\n}\n";
    bed.apply(text).await;
    let (run, sources) = bed.run(text).await;
    let (plan, diags) = super::bed::plan_for(&run, &bed.store(), Goal::Nothing).await;
    let shown = super::bed::shown(&plan, &diags, &sources);
    assert!(shown.contains("destruction prevented") && shown.contains("would remove thing.a"), "{shown}");
}

/// A removal is planned like everything else: what the provider has to say of it is in the plan, and goes to the apply.
#[tokio::test]
async fn a_provider_that_wants_to_be_asked_about_removals_is() {
    let mut bed = Bed::new();
    bed.apply("resource \"thing\" \"db\" {}\nresource \"thing\" \"web\" {}\n").await;
    let told = DataChange {
        fate: Fate::Deleted,
        layer: "cloud:scope/db".to_owned(),
        what: "database \"app\"".to_owned(),
        machines: vec!["db-1".to_owned()],
        bytes: Some(12),
        text: "ALL DATA is DELETED".to_owned(),
        way_back: "There is none.".to_owned(),
    };
    let private = Preview { data: vec![told], ..Preview::default() }.encode(Recovery::default());
    let asks = |bed: &mut Bed| {
        let private = private.clone();
        bed.provider.plans_destroy = true;
        bed.provider.plan = Box::new(move |request, planned| {
            let is_removal = request.proposed.is_null();
            let mut problems = Vec::new();
            if is_removal {
                problems.push(Problem::warning("careful", "It goes."));
            }
            let private = if is_removal { private.clone() } else { Vec::new() };
            PlanResponse { planned, requires_replace: Vec::new(), private, problems, legacy: false }
        });
    };
    asks(&mut bed);
    assert_eq!(
        bed.plan("resource \"thing\" \"web\" {}\n").await,
        "  - thing.db
      because it is no longer in the configuration

! thing.db: ALL DATA is DELETED.
      There is none.

Plan: 0 to add, 0 to change, 1 to destroy.
"
    );
    asks(&mut bed);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    bed.provider.apply = Box::new(move |request, state| {
        *noted.lock().unwrap() = request.planned_private.to_vec();
        ApplyResponse { state, private: Vec::new(), problems: Vec::new(), legacy: false }
    });
    let applied = bed.apply("resource \"thing\" \"web\" {}\n").await;
    assert_eq!(applied.calls, ["delete thing.db"]);
    assert_eq!(*seen.lock().unwrap(), private);
    bed.assert_state(&["thing.web"]);
}
