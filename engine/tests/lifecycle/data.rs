//! Data sources are read after what they depend on has been changed, as terraform decides it.

use super::bed::{Bed, NOTHING_TO_DO};

/// Applies twice, the second time with other sizes; both times `data` has to be read in the apply if `waits`, and not
/// when nothing is to be done.
async fn check(text: &str, data: &str, waits: bool) {
    let mut bed = Bed::new();
    for size in ["1", "2"] {
        let text = text.replace("SIZE", size);
        let plan = bed.plan(&text).await;
        assert_eq!(plan.contains(&format!("<= {data}")), waits, "{plan}");
        assert_eq!(plan.contains("which changes first"), waits, "{plan}");
        let applied = bed.apply(&text).await;
        assert_eq!(applied.errors, "");
        let reads = applied.calls.iter().position(|call| call == "read thing");
        assert_eq!(reads.is_some(), waits, "{:?}", applied.calls);
        assert!(reads.is_none_or(|reads| reads > 0), "{:?}", applied.calls);
        assert_eq!(bed.plan(&text).await, NOTHING_TO_DO);
    }
}

const FIRST: &str = "resource \"thing\" \"first\" {\n  size = SIZE\n}\n";
/// A data source, and an output of it.
const DATA: &str = "data \"thing\" \"d\" {\n  name = \"k\"\nBODY\n}\noutput \"o\" {\n  value = data.thing.d.id\n}\n";

fn data(body: &str) -> String {
    format!("{FIRST}{}", DATA.replace("BODY", body))
}

#[tokio::test]
async fn it_waits_for_its_own_depends_on() {
    check(&data("  depends_on = [thing.first]"), "data.thing.d", true).await;
    let local = format!("locals {{\n  l = thing.first.size\n}}\n{}", data("  depends_on = [local.l]"));
    check(&local, "data.thing.d", true).await;
}

#[tokio::test]
async fn it_waits_for_resources_that_it_refers_to() {
    check(&data("  size = thing.first.size"), "data.thing.d", true).await;
    // Behind a name the value counts, and it is known.
    let local = format!("locals {{\n  l = thing.first.size\n}}\n{}", data("  size = local.l"));
    check(&local, "data.thing.d", false).await;
}

#[tokio::test]
async fn it_does_not_wait_for_other_data_sources() {
    let text = format!(
        "{}data \"thing\" \"e\" {{\n  name = \"e\"\n  depends_on = [data.thing.d]\n}}\n",
        data("  depends_on = [thing.first]")
    );
    let plan = Bed::new().plan(&text.replace("SIZE", "1")).await;
    assert!(plan.contains("<= data.thing.d") && !plan.contains("data.thing.e"), "{plan}");
}

#[tokio::test]
async fn with_a_condition_it_waits_for_all_behind_it() {
    let condition = "  size = local.l\n  lifecycle {\n    postcondition {\n      condition = self.id == \"id of thing\"\n      error_message = \"no\"\n    }\n  }";
    let text = format!("locals {{\n  l = thing.first.size\n}}\n{}", data(condition));
    check(&text, "data.thing.d", true).await;
    // Decided when it is read, not before.
    let mut bed = Bed::new();
    let applied = bed.apply(&text.replace("id of thing", "other").replace("SIZE", "1")).await;
    assert!(applied.errors.contains("postcondition failed"), "{}", applied.errors);
}

const CALLED: &str =
    "### m/main.tf\ndata \"thing\" \"d\" {\n  name = \"k\"\n}\noutput \"id\" {\n  value = data.thing.d.id\n}\n";
const OUTPUT: &str = "output \"o\" {\n  value = module.m.id\n}\n";

#[tokio::test]
async fn it_waits_for_depends_on_of_its_modules() {
    let call = "module \"m\" {\n  source = \"./m\"\n  depends_on = [thing.first]\n}\n";
    check(&format!("{FIRST}{call}{OUTPUT}{CALLED}"), "module.m.data.thing.d", true).await;
    // Of the caller's caller.
    let outer = "### m/main.tf\nmodule \"n\" {\n  source = \"./n\"\n}\noutput \"id\" {\n  value = module.n.id\n}\n";
    let text = format!("{FIRST}{call}{OUTPUT}{outer}{}", CALLED.replace("m/main", "m/n/main"));
    check(&text, "module.m.module.n.data.thing.d", true).await;
}

/// A module that has no outputs, and what is deep in it.
#[tokio::test]
async fn it_waits_for_all_that_is_in_a_module() {
    let call = "module \"m\" {\n  source = \"./m\"\n}\n";
    let inner = "### m/main.tf\nmodule \"n\" {\n  source = \"./n\"\n}\n### m/n/main.tf\nresource \"thing\" \"deep\" {\n  size = SIZE\n}\n";
    let text = DATA.replace("BODY", "  depends_on = [module.m]");
    check(&format!("{call}{text}{inner}"), "data.thing.d", true).await;
    // And a module that waits for another.
    let second =
        "module \"o\" {\n  source = \"./o\"\n  depends_on = [module.m]\n}\noutput \"o\" {\n  value = module.o.id\n}\n";
    let text = format!("{call}{second}{inner}{}", CALLED.replace("m/main", "o/main"));
    check(&text, "module.o.data.thing.d", true).await;
}

/// Each instance of a module looks at its own.
#[tokio::test]
async fn instances_of_a_module_do_not_wait_for_one_another() {
    let call = |keys: &str| format!("module \"m\" {{\n  source = \"./m\"\n  for_each = toset([{keys}])\n}}\n");
    let inner = "### m/main.tf\nresource \"thing\" \"x\" {\n}\ndata \"thing\" \"d\" {\n  depends_on = [thing.x]\n}\n";
    let mut bed = Bed::new();
    bed.apply(&format!("{}{inner}", call("\"a\""))).await;
    let plan = bed.plan(&format!("{}{inner}", call("\"a\", \"b\""))).await;
    assert!(plan.contains("<= module.m[\"b\"].data.thing.d") && !plan.contains("module.m[\"a\"]"), "{plan}");
}

/// An instance that goes is a change of its resource.
#[tokio::test]
async fn it_waits_for_what_goes() {
    let text = |count: u32| {
        format!("resource \"thing\" \"first\" {{\n  count = {count}\n}}\n{}", data("  depends_on = [thing.first]"))
            .replace(FIRST, "")
    };
    let mut bed = Bed::new();
    bed.apply(&text(2)).await;
    let plan = bed.plan(&text(1)).await;
    assert!(plan.contains("<= data.thing.d"), "{plan}");
}

/// Managed resources, outputs and modules keep the order as well: also of a module without outputs.
#[tokio::test]
async fn depends_on_a_module_orders_what_is_made() {
    let text = "module \"m\" {\n  source = \"./m\"\n}\nresource \"thing\" \"last\" {\n  depends_on = [module.m]\n}\n\
                ### m/main.tf\nresource \"thing\" \"x\" {\n}\n";
    let applied = Bed::new().apply(text).await;
    assert_eq!(applied.calls, ["create module.m.thing.x", "create thing.last"]);
    // An output that needs nothing waits all the same, if its module does.
    let text = "resource \"thing\" \"first\" {\n}\nmodule \"m\" {\n  source = \"./m\"\n  depends_on = [thing.first]\n}\n\
                resource \"thing\" \"a\" {\n  name = module.m.fixed\n}\n\
                ### m/main.tf\noutput \"fixed\" {\n  value = \"x\"\n}\n";
    let applied = Bed::new().apply(text).await;
    assert_eq!(applied.calls, ["create thing.first", "create thing.a"]);
}

/// Calls of an apply that brings `before` to `after`, after which there is nothing to do.
async fn calls(before: &str, after: &str) -> Vec<String> {
    let mut bed = Bed::new();
    bed.apply(before).await;
    let applied = bed.apply(after).await;
    assert_eq!((applied.errors.as_str(), applied.summary.not_done.len()), ("", 0));
    assert_eq!(bed.plan(after).await, NOTHING_TO_DO);
    applied.calls
}

#[tokio::test]
async fn it_is_read_when_what_it_waits_for_is_gone() {
    let text = |count: u32| {
        format!(
            "resource \"thing\" \"q\" {{\n  count = {count}\n}}\n{}",
            DATA.replace("BODY", "  depends_on = [thing.q]")
        )
    };
    assert_eq!(calls(&text(3), &text(1)).await.last().map(String::as_str), Some("read thing"));
    // One that must be there until all else has changed is there when it is read, as Terraform has it.
    let first =
        |count: u32| text(count).replace("}\ndata", "  lifecycle {\n    create_before_destroy = true\n  }\n}\ndata");
    assert_eq!(calls(&first(2), &first(1)).await, ["read thing", "delete thing.q[1]"]);
}

#[tokio::test]
async fn it_is_read_when_what_is_behind_a_module_is_gone() {
    let call = "module \"m\" {\n  source = \"./m\"\n}\n";
    let own = "module \"o\" {\n  source = \"./o\"\n  depends_on = [module.m]\n}\n";
    let text = |count: u32| {
        format!(
            "{call}{own}{}### m/main.tf\nresource \"thing\" \"deep\" {{\n  count = {count}\n}}\nresource \"thing\" \"near\" {{\n  depends_on = [thing.deep]\n}}\n{}",
            OUTPUT.replace("module.m", "module.o"),
            CALLED.replace("m/main", "o/main")
        )
    };
    assert_eq!(calls(&text(2), &text(1)).await, ["delete module.m.thing.deep[1]", "read thing"]);
}

/// What is changed by what is read cannot be what the removal waits for.
#[tokio::test]
async fn what_a_read_changes_does_not_keep_what_the_read_waits_for() {
    let text = |count: u32, size: u32| {
        format!(
            "resource \"thing\" \"q\" {{\n  count = {count}\n}}\ndata \"thing\" \"z\" {{\n  depends_on = [thing.q]\n}}\n\
             resource \"thing\" \"user\" {{\n  name = data.thing.z.id\n  refers = thing.q[0].id\n  size = {size}\n}}\n\
             resource \"thing\" \"other\" {{\n  refers = thing.q[0].id\n  size = {size}\n}}\n"
        )
    };
    let calls = calls(&text(2, 1), &text(1, 2)).await;
    // Others have changed before.
    assert_eq!(calls, ["update thing.other", "delete thing.q[1]", "read thing", "update thing.user"]);
}

/// Nor is it read when what it waits for could not be removed.
#[tokio::test]
async fn it_is_not_read_when_what_it_waits_for_is_still_there() {
    let text = |count: u32| {
        format!(
            "resource \"thing\" \"q\" {{\n  count = {count}\n}}\n{}",
            DATA.replace("BODY", "  depends_on = [thing.q]")
        )
    };
    let mut bed = Bed::new();
    bed.apply(&text(2)).await;
    bed.provider.dies = Box::new(|request| request.planned.is_null());
    let applied = bed.apply(&text(1)).await;
    assert_eq!(applied.calls, ["delete thing.q[1]"]);
    assert_eq!(applied.summary.not_done, ["data.thing.d", "thing.q[1]"]);
}
