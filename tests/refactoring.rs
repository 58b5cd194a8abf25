//! `moved` and `removed` blocks, beside the real terraform: neither makes anything anew.

use crate::sandbox::Sandbox;
use crate::terraform::Both;

const APPLY: &[&str] = &["apply", "-auto-approve"];

const BEFORE: &str = r#"
resource "terraform_data" "a" { input = "a" }
resource "terraform_data" "single" { input = "s" }
resource "terraform_data" "keyed" {
  for_each = toset(["x", "y"])
  input    = each.key
}
resource "terraform_data" "user" { input = terraform_data.a.output }
module "old" { source = "./m" }
module "many" {
  source   = "./m"
  for_each = toset(["p", "q"])
}
"#;
const AFTER: &str = r#"
resource "terraform_data" "c" { input = "a" }
moved {
  from = terraform_data.a
  to   = terraform_data.b
}
moved {
  from = terraform_data.b
  to   = terraform_data.c
}
resource "terraform_data" "single" {
  for_each = toset(["one"])
  input    = "s"
}
moved {
  from = terraform_data.single
  to   = terraform_data.single["one"]
}
resource "terraform_data" "x" { input = "x" }
moved {
  from = terraform_data.keyed["x"]
  to   = terraform_data.x
}
resource "terraform_data" "others" {
  for_each = toset(["y"])
  input    = each.key
}
moved {
  from = terraform_data.keyed
  to   = terraform_data.others
}
resource "terraform_data" "user" { input = terraform_data.c.output }
module "new" { source = "./m" }
moved {
  from = module.old
  to   = module.new
}
module "lots" {
  source   = "./m"
  for_each = toset(["p", "r"])
}
moved {
  from = module.many
  to   = module.lots
}
moved {
  from = module.lots["q"]
  to   = module.lots["r"]
}
"#;
const MODULE: &str = "resource \"terraform_data\" \"in\" { input = \"m\" }\n";
const MODULE_AFTER: &str = r#"
resource "terraform_data" "inner" { input = "m" }
moved {
  from = terraform_data.in
  to   = terraform_data.inner
}
"#;

fn both(main: &str) -> Both {
    Both::new(&[("main.tf", main), ("m/main.tf", MODULE)])
}

/// Both do it, and have the same in their states then.
fn apply(both: &Both) -> (String, Vec<String>) {
    let said = both.ours(APPLY).success();
    if let Some(theirs) = both.theirs() {
        // Modules are installed by name.
        theirs.run(&["get"]).success();
        let told = theirs.run(APPLY).success();
        let counted = |text: &str| {
            let line = text.lines().find(|line| line.contains(" added, ")).expect("a summary");
            let (_, counts) = line.split_once(": ").expect("counts");
            counts.split(" destroyed").next().expect("counts").to_owned()
        };
        assert_eq!(counted(&said), counted(&told));
    }
    assert_eq!(both.ours(&["plan", "-detailed-exitcode"]).code, 0);
    let objects = both.objects();
    (said, objects)
}

#[test]
fn what_has_moved_stays() {
    let both = both(BEFORE);
    let (_, before) = apply(&both);
    assert_eq!(before.len(), 8);
    both.write(&[("main.tf", AFTER), ("m/main.tf", MODULE_AFTER)]);
    let plan = both.ours(&["plan"]).success();
    assert!(plan.contains("terraform_data.a has moved to terraform_data.c"), "{plan}");
    assert!(plan.contains("Plan: 0 to add, 0 to change, 0 to destroy."), "{plan}");
    let (said, after) = apply(&both);
    assert!(said.contains("0 added, 0 changed, 0 destroyed."), "{said}");
    assert_eq!(
        after,
        [
            "module.lots[\"p\"].terraform_data.inner",
            "module.lots[\"r\"].terraform_data.inner",
            "module.new.terraform_data.inner",
            "terraform_data.c",
            "terraform_data.others[\"y\"]",
            "terraform_data.single[\"one\"]",
            "terraform_data.user",
            "terraform_data.x",
        ]
    );
}

/// Its record goes, and nothing else; or what exists goes, too.
#[test]
fn what_is_removed_goes_on_by_itself() {
    let both = both(BEFORE);
    apply(&both);
    let rest = BEFORE.replace("resource \"terraform_data\" \"single\" { input = \"s\" }\n", "");
    let rest = rest.replace("module \"old\" { source = \"./m\" }\n", "");
    let block =
        |from: &str, destroy: bool| format!("removed {{\n  from = {from}\n  lifecycle {{ destroy = {destroy} }}\n}}\n");
    both.write(&[(
        "main.tf",
        &format!("{rest}{}{}", block("terraform_data.single", false), block("module.old", false)),
    )]);
    let plan = both.ours(&["plan"]).success();
    assert!(plan.contains(". terraform_data.single\n      because a `removed` block says so"), "{plan}");
    assert!(plan.contains("Plan: 0 to add, 0 to change, 0 to destroy."), "{plan}");
    let (said, list) = apply(&both);
    assert!(said.contains("0 added, 0 changed, 0 destroyed, 2 forgotten."), "{said}");
    assert_eq!(list.len(), 6);
    let fewer = rest.replace("resource \"terraform_data\" \"user\" { input = terraform_data.a.output }\n", "");
    both.write(&[("main.tf", &format!("{fewer}{}", block("terraform_data.user", true)))]);
    let (said, _) = apply(&both);
    assert!(said.contains("0 added, 0 changed, 1 destroyed."), "{said}");
}

/// A layer with machines keeps serving, whoever manages it.
#[test]
fn machines_of_a_layer_that_is_removed_stay() {
    let sandbox = Sandbox::new();
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    let layer = "resource \"lamp_cluster\" \"web\" {\n  nodes = 1\n  app   = \"./app\"\n}\n";
    sandbox.write("stack/main.stack.hcl", &format!("{}{layer}", sandbox.provider_block()));
    sandbox.lampwright("stack", APPLY).success();
    let pid = sandbox.pid("web-1", "apache2");
    let removed = "removed {\n  from = lamp_cluster.web\n  lifecycle { destroy = false }\n}\n";
    sandbox.write("stack/main.stack.hcl", &format!("{}{removed}", sandbox.provider_block()));
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.lampwright("stack", &["state", "list"]).success(), "");
    assert_eq!((sandbox.machines(), sandbox.pid("web-1", "apache2")), (vec!["web-1".to_owned()], pid));
    // And comes back.
    sandbox.write("stack/main.stack.hcl", &format!("{}{layer}", sandbox.provider_block()));
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.pid("web-1", "apache2"), pid);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
}

#[test]
fn blocks_that_cannot_be_are_refused_at_their_place() {
    let sandbox = Sandbox::new();
    let says = |text: &str, expected: &str| {
        sandbox.write("stack/main.tf", &format!("resource \"terraform_data\" \"a\" {{}}\n{text}"));
        let refused = sandbox.lampwright("stack", &["plan"]).failure();
        assert!(refused.contains(expected) && refused.contains("main.tf:"), "{expected:?} is not in:\n{refused}");
    };
    says(
        "moved {\n  from = terraform_data.a\n  to = terraform_data.b\n}\n",
        "terraform_data.a has moved, and is still in",
    );
    says("removed {\n  from = terraform_data.a\n}\n", "terraform_data.a is removed, and is still in");
    says("moved {\n  from = terraform_data.x\n}\n", "`to` is required here");
    let to =
        |from: &str, to: &str| format!("moved {{\n  from = terraform_data.{from}\n  to = terraform_data.{to}\n}}\n");
    says(&[to("x", "a"), to("y", "a")].concat(), "two blocks are about terraform_data.a");
    says(&[to("x", "a"), to("x", "b")].concat(), "two blocks are about terraform_data.x");
    says(
        "moved {\n  from = terraform_data.x\n  to = module.x\n}\n",
        "a resource becomes a resource, and a module a module",
    );
    says("moved {\n  from = \"terraform_data.x\"\n  to = terraform_data.y\n}\n", "an address is required here");
    says("removed {\n  from = terraform_data.x[0]\n}\n", "leave the key away");
    sandbox.write("stack/main.tf", "resource \"terraform_data\" \"a\" {}\n");
    sandbox.lampwright("stack", APPLY).success();
    let circle = "moved {\n  from = terraform_data.a\n  to = terraform_data.b\n}\nmoved {\n  from = terraform_data.b\n  to = terraform_data.a\n}\n";
    sandbox.write("stack/main.tf", circle);
    let refused = sandbox.lampwright("stack", &["plan"]).failure();
    assert!(refused.contains("moves in a circle") && refused.contains("main.tf:1:"), "{refused}");
}

/// Blocks follow each other: what stands in the way of the first one is where it was when the second one comes.
#[test]
fn what_is_in_the_way_of_a_chain_goes_first() {
    let resource = |name: &str| format!("resource \"terraform_data\" \"{name}\" {{ input = \"{name}\" }}\n");
    let moved = |from: &str, to: &str| format!("moved {{\n  from = {from}\n  to   = {to}\n}}\n");
    let both = both(&[resource("a"), resource("b")].concat());
    apply(&both);
    let id = |name: &str| both.ours(&["state", "show", name]).success();
    let b = id("terraform_data.b").lines().find(|line| line.contains("id = ")).expect("an id").to_owned();
    let chain = [moved("terraform_data.a", "terraform_data.b"), moved("terraform_data.b", "terraform_data.c")].concat();
    both.write(&[("main.tf", &format!("resource \"terraform_data\" \"c\" {{ input = \"b\" }}\n{chain}"))]);
    let (said, list) = apply(&both);
    assert!(said.contains("0 added, 0 changed, 1 destroyed."), "{said}");
    assert_eq!(list, ["terraform_data.c"]);
    assert!(id("terraform_data.c").contains(&b), "{b}");
}

/// Of what is left out nothing moves, and of outer modules the very instance is meant.
#[test]
fn moves_keep_to_what_they_name() {
    let sandbox = Sandbox::new();
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    let outer = |call: &str| format!("module \"{call}\" {{ source = \"../b\" }}\n");
    sandbox.write("stack/b/main.tf", MODULE);
    sandbox.write("stack/a/main.tf", &outer("b"));
    let root = "resource \"terraform_data\" \"z\" {}\nmodule \"a\" {\n  source   = \"./a\"\n  for_each = toset([\"k\", \"l\"])\n}\n";
    sandbox.write("stack/main.tf", &format!("resource \"terraform_data\" \"old\" {{}}\n{root}"));
    run(APPLY).success();
    let moved = "moved {\n  from = terraform_data.old\n  to   = terraform_data.new\n}\n";
    sandbox.write("stack/main.tf", &format!("resource \"terraform_data\" \"new\" {{}}\n{root}{moved}"));
    let part = run(&["plan", "-target=terraform_data.z"]).success();
    assert!(part.contains("No changes") && !part.contains("moved"), "{part}");
    // Without a key nothing of a["k"] is meant.
    sandbox.write("stack/a/main.tf", &outer("c"));
    let middle = "moved {\n  from = module.a.module.b\n  to   = module.a.module.c\n}\n";
    sandbox.write("stack/main.tf", &format!("resource \"terraform_data\" \"new\" {{}}\n{root}{moved}{middle}"));
    let plan = run(&["plan"]).success();
    assert!(plan.contains("Plan: 2 to add, 0 to change, 2 to destroy."), "{plan}");
    let within = "moved {\n  from = module.b\n  to   = module.c\n}\n";
    sandbox.write("stack/a/main.tf", &format!("{}{within}", outer("c")));
    sandbox.write("stack/main.tf", &format!("resource \"terraform_data\" \"new\" {{}}\n{root}{moved}"));
    assert!(run(APPLY).success().contains("0 added, 0 changed, 0 destroyed."));
}

/// It would be made anew where it was, and moved again the next time.
#[test]
fn what_moves_away_from_what_is_described_is_refused() {
    let sandbox = Sandbox::new();
    let stack = "resource \"terraform_data\" \"a\" {\n  for_each = toset([\"x\", \"y\"])\n}\n";
    sandbox.write("stack/main.tf", stack);
    sandbox.lampwright("stack", &["apply", "-auto-approve"]).success();
    let moved = "moved {\n  from = terraform_data.a[\"y\"]\n  to   = terraform_data.a[\"z\"]\n}\n";
    sandbox.write("stack/main.tf", &format!("{stack}{moved}"));
    let refused = sandbox.lampwright("stack", &["plan"]).failure();
    assert!(refused.contains("the stack still describes terraform_data.a[\"y\"]"), "{refused}");
    assert!(refused.contains("main.tf:4:"), "{refused}");
}
