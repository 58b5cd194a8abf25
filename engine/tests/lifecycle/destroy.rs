use engine::plan::Goal;

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
