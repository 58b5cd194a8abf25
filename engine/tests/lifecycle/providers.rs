//! Objects whose provider configuration was removed.

use engine::plan::Goal;

use super::bed::{Bed, plan_for, shown};

const EU: &str = "provider \"lampwright\" {\n  alias = \"eu\"\n}\n";
const OBJECT: &str = "resource \"thing\" \"a\" {\n  provider = lampwright.eu\n}\n";
const IN_MODULE: &str = "module \"m\" {\n  source = \"./m\"\n}\n### m/main.tf\nprovider \"lampwright\" {\n}\n";

#[tokio::test]
async fn an_object_whose_alias_is_gone_is_not_removed_elsewhere() {
    let mut bed = Bed::new();
    bed.apply(&format!("{EU}{OBJECT}")).await;
    let (run, sources) = bed.run("locals {\n}\n").await;
    for goal in [Goal::Configuration, Goal::Nothing] {
        let (plan, diags) = plan_for(&run, &bed.store(), goal).await;
        let told = shown(&plan, &diags, &sources);
        for part in [
            "missing provider configuration",
            "thing.a was made with provider[\"registry.terraform.io/lampwright/lampwright\"].eu",
            "provider \"lampwright\" with alias = \"eu\" in the root module",
            "put the block back",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
    // The way out that it tells.
    assert_eq!(bed.apply(EU).await.calls, ["delete thing.a"]);
    bed.assert_state(&[]);
}

#[tokio::test]
async fn an_object_of_a_module_that_is_gone_with_its_provider_is_not_removed_elsewhere() {
    let mut bed = Bed::new();
    bed.apply(&format!("{IN_MODULE}resource \"thing\" \"a\" {{\n}}\n")).await;
    let told = bed.plan("resource \"thing\" \"other\" {\n}\n").await;
    assert!(
        told.contains("missing provider configuration") && told.contains("the module that module.m called"),
        "{told}"
    );
    assert_eq!(bed.apply(IN_MODULE).await.calls, ["delete module.m.thing.a"]);
}

/// As long as the resource is there its provider is the one that counts.
#[tokio::test]
async fn an_instance_that_goes_is_removed_by_the_provider_of_its_resource() {
    let mut bed = Bed::new();
    bed.apply(&format!("{EU}{}", OBJECT.replace("provider =", "count = 2\n  provider ="))).await;
    let moved = "resource \"thing\" \"a\" {\n  count = 1\n}\n";
    let applied = bed.apply(moved).await;
    assert_eq!((applied.errors.as_str(), &*applied.calls), ("", &["delete thing.a[1]".to_owned()][..]));
    assert_eq!(bed.apply_goal(moved, Goal::Nothing).await.calls, ["delete thing.a[0]"]);
    bed.assert_state(&[]);
}
