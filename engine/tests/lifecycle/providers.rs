//! Objects whose provider configuration was removed, and what modules tell providers of themselves.

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

/// It goes with all that is asked of the module's own objects, and of no others.
#[tokio::test]
async fn a_module_tells_the_provider_of_its_objects_about_itself() {
    let text = "resource \"thing\" \"root\" {\n}\nmodule \"m\" {\n  source = \"./m\"\n}\n### m/main.tf\n\
        terraform {\n  provider_meta \"lampwright\" {\n    module = upper(\"m\")\n  }\n}\n";
    let objects = "resource \"thing\" \"a\" {\n  name = \"NAME\"\n}\ndata \"thing\" \"d\" {\n}\n";
    let with = |name: &str| format!("{text}{}", objects.replace("NAME", name));
    let told = "told {\"module\":\"M\"}";
    let mut bed = Bed::new();
    bed.takes_meta();
    let made = bed.apply(&with("one")).await.calls;
    for call in ["plan", "create"] {
        assert_eq!(made.iter().filter(|made| **made == format!("{call} {told}")).count(), 1, "{made:?}");
    }
    bed.takes_meta();
    let calls = bed.provider.calls.clone();
    bed.plan(&with("two")).await;
    let calls = calls.lock().expect("calls").clone();
    let calls: Vec<&String> = calls.iter().filter(|call| call.contains("told")).collect();
    assert_eq!(calls, [&format!("read data {told}"), &format!("read {told}"), &format!("plan {told}")]);
    bed.takes_meta();
    let removed = bed.apply(text).await.calls;
    assert_eq!(removed, ["delete module.m.thing.a".to_owned(), format!("delete {told}")]);
}

#[tokio::test]
async fn what_a_module_cannot_tell_is_refused_at_its_place() {
    let with = |body: &str| format!("resource \"thing\" \"a\" {{\n}}\nterraform {{\n  {body}\n}}\n");
    for (body, takes, told) in [
        ("provider_meta \"lampwright\" {}", false, "lampwright/lampwright takes nothing that modules say"),
        ("provider_meta \"lampwright\" {}", true, "`module`"),
        ("provider_meta \"lampwright\" { modul = \"m\" }", true, "no argument named `modul`"),
        ("provider_meta \"lampwright\" { module = [] }", true, "string"),
        ("provider_meta \"lampwright\" { module = thing.a.id }", true, "thing"),
        ("provider_meta \"other\" {}", true, "hashicorp/other is no provider in use"),
    ] {
        let mut bed = Bed::new();
        if takes {
            bed.takes_meta();
        }
        let shown = bed.plan(&with(body)).await;
        assert!(shown.contains(told) && shown.contains("main.stack.hcl:4:"), "{shown}");
    }
}
