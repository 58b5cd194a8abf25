//! What a plan takes for known.

use super::bed::Bed;

const U: &str = "resource \"thing\" \"u\" {\n}\n";

async fn planned(expression: &str) -> String {
    let plan = Bed::new().plan(&format!("{U}output \"o\" {{\n  value = {expression}\n}}\n")).await;
    let line = plan.lines().find(|line| line.contains("+ o = ")).map(|line| line.replace("  + o = ", ""));
    line.unwrap_or(plan)
}

/// It may become null, and then there is none.
#[tokio::test]
async fn how_many_a_splat_of_an_unknown_value_has_is_unknown() {
    const UNKNOWN: &str = "(known after apply)";
    for expression in [
        "length(thing.u.id[*])",
        "length((thing.u.id)[*])",
        "thing.u.id[*]",
        "length(tostring(thing.u.id)[*])",
        "length(try(thing.u.id, \"x\")[*])",
        "length((thing.u.id == \"x\" ? null : \"v\")[*])",
        "length(split(\",\", thing.u.id)[0][*])",
        "[for x in thing.u.id[*] : x]",
    ] {
        assert_eq!(planned(expression).await, UNKNOWN, "{expression}");
    }
    for expression in [
        "length(upper(thing.u.id)[*])",
        "length(\"a${thing.u.id}\"[*])",
        "length((thing.u.id == \"x\")[*])",
        "length(thing.u[*].id)",
        "length([thing.u.id][*])",
        "length(can(thing.u.id)[*])",
    ] {
        assert_eq!(planned(expression).await, "1", "{expression}");
    }
    let plan = Bed::new().plan(&format!("{U}resource \"thing\" \"c\" {{\n  count = length(thing.u.id[*])\n}}\n")).await;
    assert!(plan.contains("unknown count"), "{plan}");
    let plan = Bed::new().plan(&format!("{U}output \"o\" {{\n  value = thing.u.id[*].x\n}}\n")).await;
    assert!(plan.contains("unsupported attribute"), "{plan}");
}

#[tokio::test]
async fn the_first_known_value_is_taken_and_no_later_one() {
    assert_eq!(planned("coalesce(\"a\", thing.u.id)").await, "\"a\"");
    assert_eq!(planned("coalesce(null, thing.u.id, \"b\")").await, "(known after apply)");
    assert_eq!(planned("try(thing.u.id.x, \"b\")").await, "\"b\"");
    assert_eq!(planned("can(thing.u.id.x)").await, "false");
}

/// A plan promises nothing of what is another thing each time, and the time of the plan is the same when it is applied.
#[tokio::test]
async fn what_changes_by_itself_is_known_when_it_is_made() {
    let mut bed = Bed::new();
    let text = "locals {\n  now = timestamp()\n}\n\
        resource \"thing\" \"a\" {\n  name = \"${local.now} ${uuid()} ${bcrypt(\"x\", 4)}\"\n  refers = plantimestamp()\n}\n\
        output \"same\" {\n  value = \"${thing.a.refers == plantimestamp()} ${startswith(thing.a.name, local.now)}\"\n}\n";
    let plan = bed.plan(text).await;
    assert!(plan.contains("name = (known after apply)") && !plan.contains("refers = (known"), "{plan}");
    let applied = bed.apply(text).await;
    assert_eq!(applied.errors, "");
    let store = bed.store();
    let state = store.state();
    let outputs: Vec<_> = state.outputs.values().filter_map(|output| output.value.as_str()).collect();
    assert_eq!(outputs, ["true true"]);
    let (_, thing) = state.instances.iter().next().expect("a thing");
    let name = thing.attributes["name"].as_str().expect("a name");
    let lengths: Vec<usize> = name.split(' ').map(str::len).collect();
    assert_eq!(lengths, [20, 36, 60], "{name}");
}
