use super::bed::{Bed, NOTHING_TO_DO};

const CHAIN: &str = r#"
resource "thing" "lb" { refers = thing.web.id }
resource "thing" "web" { refers = thing.db.id }
resource "thing" "db" { name = "db" }
output "id" { value = thing.lb.id }
"#;

#[tokio::test]
async fn create_follows_references() {
    let mut bed = Bed::new();
    let applied = bed.apply(CHAIN).await;
    assert_eq!(applied.calls, ["create thing.db", "create thing.web", "create thing.lb"]);
    assert_eq!((applied.summary.added, applied.errors.as_str()), (3, ""));
    bed.assert_state(&["thing.db", "thing.lb", "thing.web"]);
    assert_eq!(bed.plan(CHAIN).await, NOTHING_TO_DO);
}

#[tokio::test]
async fn a_plan_shows_what_is_known_and_what_is_not() {
    let mut bed = Bed::new();
    insta::assert_snapshot!(bed.plan(CHAIN).await, @r#"
      + thing.db
          id = (known after apply)
          name = "db"
      + thing.lb
          id = (known after apply)
          refers = (known after apply)
      + thing.web
          id = (known after apply)
          refers = (known after apply)

    Outputs:
      + id = (known after apply)

    Plan: 3 to add, 0 to change, 0 to destroy.
    "#);
}

#[tokio::test]
async fn a_thousand_instances_and_a_reference_to_one() {
    let mut bed = Bed::new();
    let text =
        "resource \"thing\" \"a\" {\n  count = 1000\n}\nresource \"thing\" \"b\" {\n  refers = thing.a[999].id\n}\n";
    let applied = bed.apply(text).await;
    assert_eq!(applied.summary.added, 1001);
    assert_eq!(applied.calls.last().map(String::as_str), Some("create thing.b"));
    assert_eq!(bed.plan(text).await, NOTHING_TO_DO);
}

#[tokio::test]
async fn sensitive_values_are_recorded_and_not_shown() {
    let mut bed = Bed::new();
    let text = r#"
variable "password" {
  default   = "geheim"
  sensitive = true
}
resource "thing" "a" {
  name   = var.password
  secret = "auch"
}
"#;
    let plan = bed.plan(text).await;
    assert!(!plan.contains("geheim") && !plan.contains("auch"), "{plan}");
    bed.apply(text).await;
    assert_eq!(bed.plan(text).await, NOTHING_TO_DO);
    let state = std::fs::read_to_string(bed.state_path()).unwrap();
    assert_eq!(state.matches("\"type\": \"get_attr\"").count(), 2, "{state}");
}

#[tokio::test]
async fn a_count_that_is_not_known_is_refused_with_advice() {
    let mut bed = Bed::new();
    let text = "resource \"thing\" \"a\" {}\nresource \"thing\" \"b\" {\n  count = length(thing.a.id)\n}\n";
    let plan = bed.plan(text).await;
    assert!(plan.contains("`count` depends on something that is known only after apply"), "{plan}");
}
