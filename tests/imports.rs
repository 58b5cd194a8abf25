//! `import` blocks: what exists is taken in by a plan, and changed like everything else; beside the real terraform.

use crate::sandbox::Sandbox;
use crate::terraform::{Terraform, program, write_config};

const STACK: &str = r#"
variable "prefix" { default = "known" }
locals { more = { x = "1", y = "2" } }
resource "terraform_data" "plain" {}
resource "terraform_data" "changed" { input = "new" }
resource "terraform_data" "many" { for_each = local.more }
module "m" { source = "./m" }
import {
  to = terraform_data.plain
  id = "${var.prefix}-plain"
}
import {
  to = terraform_data.changed
  id = "${var.prefix}-changed"
}
import {
  for_each = local.more
  to       = terraform_data.many[each.key]
  id       = "${var.prefix}-${each.value}"
}
output "ids" {
  value = [terraform_data.plain.id, terraform_data.changed.id, terraform_data.many["y"].id, module.m.id]
}
"#;
const OUTSIDE: &str = "import {\n  to = module.m.terraform_data.inner\n  id = \"inner\"\n}\n";
const MODULE: &str = "resource \"terraform_data\" \"inner\" {}\noutput \"id\" { value = terraform_data.inner.id }\n";

#[test]
fn what_exists_is_taken_in_by_a_plan() {
    let sandbox = Sandbox::new();
    write_config(&sandbox);
    for folder in ["ours", "theirs"] {
        sandbox.write(&format!("{folder}/main.tf"), &format!("{STACK}{OUTSIDE}"));
        sandbox.write(&format!("{folder}/m/main.tf"), MODULE);
    }
    let ours = |args: &[&str]| sandbox.lampwright("ours", args);
    let counts = "Plan: 5 to import, 0 to add, 1 to change, 0 to destroy.";
    let plan = ours(&["plan"]).success();
    assert!(plan.contains(counts) && plan.contains("terraform_data.plain is imported (id known-plain)"), "{plan}");
    // As it was saved.
    ours(&["plan", "-out=saved"]).success();
    let applied = ours(&["apply", "saved"]).success();
    assert!(applied.contains("5 imported, 0 added, 1 changed, 0 destroyed."), "{applied}");
    let ids = "[\"known-plain\",\"known-changed\",\"known-2\",\"inner\"]";
    assert_eq!(ours(&["output", "-json", "ids"]).success().trim(), ids);
    assert_eq!(ours(&["plan", "-detailed-exitcode"]).code, 0);
    if let Some(program) = program() {
        let theirs = Terraform { sandbox: &sandbox, program, folder: "theirs" };
        theirs.run(&["init"]).success();
        assert!(theirs.run(&["plan", "-no-color"]).success().contains(counts));
        theirs.run(&["apply", "-auto-approve"]).success();
        assert_eq!(theirs.run(&["output", "-json", "ids"]).success().trim(), ids);
    }
    // One that is in the state is not imported again.
    ours(&["state", "rm", "terraform_data.plain"]).success();
    let plan = ours(&["plan", "-target=terraform_data.plain"]).success();
    assert!(plan.contains("Plan: 1 to import, 0 to add, 0 to change, 0 to destroy."), "{plan}");
    ours(&["apply", "-auto-approve"]).success();
    ours(&["destroy", "-auto-approve"]).success();
    assert_eq!(ours(&["state", "list"]).success(), "");
}

/// What Terraform has not: a module takes in its own, in each of its instances, by what is known when it is planned.
#[test]
fn modules_take_in_their_own() {
    let sandbox = Sandbox::new();
    let module = "variable \"name\" {}\nresource \"terraform_data\" \"inner\" {\n  for_each = toset([\"a\", \"b\"])\n}\n\
                  import {\n  for_each = toset([\"a\", \"b\"])\n  to = terraform_data.inner[each.key]\n  \
                  id = \"${var.name}-${each.key}\"\n}\n\
                  output \"ids\" {\n  value = [for one in terraform_data.inner : one.id]\n}\n";
    sandbox.write("stack/m/main.tf", module);
    sandbox.write("stack/old/main.tf", "output \"name\" {\n  value = \"old\"\n}\n");
    sandbox.write(
        "stack/main.tf",
        "module \"old\" {\n  source = \"./old\"\n}\nmodule \"m\" {\n  source = \"./m\"\n  count = 2\n  \
         name = \"${module.old.name}-${count.index}\"\n}\noutput \"ids\" {\n  value = module.m[*].ids\n}\n",
    );
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    assert!(run(&["apply", "-auto-approve"]).success().contains("4 imported, 0 added, 0 changed, 0 destroyed."));
    let ids = run(&["output", "-json", "ids"]).success();
    assert_eq!(ids.trim(), "[[\"old-0-a\",\"old-0-b\"],[\"old-1-a\",\"old-1-b\"]]");
    // What is not known before an apply is no id.
    sandbox.replace(
        "stack/old/main.tf",
        "resource \"terraform_data\" \"x\" {}\noutput \"name\" {\n  value = terraform_data.x.id\n}\n",
    );
    run(&["destroy", "-auto-approve"]).success();
    assert!(run(&["plan"]).failure().contains("has to be known before an apply"));
}

/// A block is written for what none describes, which plans as what there is. Terraform has the flag, too.
#[test]
fn blocks_are_written_for_what_is_imported() {
    let sandbox = Sandbox::new();
    let layer = "resource \"mongo_replset\" \"db\" {\n  members = 1\n}\n";
    sandbox.write("stack/main.stack.hcl", &format!("{}{layer}", sandbox.provider_block()));
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    run(&["apply", "-auto-approve"]).success();
    let state: serde_json::Value = serde_json::from_str(&run(&["show", "-json"]).success()).expect("JSON");
    let id = state["values"]["root_module"]["resources"][0]["values"]["id"].as_str().expect("an id").to_owned();
    std::fs::remove_file(sandbox.join("stack/terraform.tfstate")).expect("removed");
    let blocks = format!(
        "import {{\n  to = terraform_data.note\n  id = \"a ${{\"note\"}}\"\n}}\nimport {{\n  to = mongo_replset.db\n  id = \"{id}\"\n}}\n"
    );
    sandbox.write("stack/main.stack.hcl", &format!("{}{blocks}", sandbox.provider_block()));
    assert!(run(&["plan"]).failure().contains("-generate-config-out=FILE"));
    let plan = run(&["plan", "-generate-config-out=made.stack.hcl"]).success();
    assert!(plan.contains("made.stack.hcl was written, with mongo_replset.db, terraform_data.note"), "{plan}");
    assert!(plan.contains("Plan: 2 to import, 0 to add, "), "{plan}");
    let made = std::fs::read_to_string(sandbox.join("stack/made.stack.hcl")).expect("written");
    insta::assert_snapshot!("written_blocks", sandbox.stable(&made).replace(&id, "(id)"));
    assert!(run(&["plan", "-generate-config-out=made.stack.hcl"]).failure().contains("is there already"));
    run(&["apply", "-auto-approve"]).success();
    run(&["destroy", "-auto-approve"]).success();
    // Not of one of several.
    sandbox.replace("stack/main.stack.hcl", "import {\n  to = terraform_data.note[\"a\"]\n  id = \"a\"\n}\n");
    std::fs::remove_file(sandbox.join("stack/made.stack.hcl")).expect("removed");
    let refused = run(&["plan", "-generate-config-out=made.stack.hcl"]).failure();
    assert!(refused.contains("write its block by hand"), "{refused}");
}

/// A layer whose state was lost keeps its machines.
#[test]
fn a_layer_is_taken_in_by_a_block() {
    let sandbox = Sandbox::new();
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    let layer = "resource \"lamp_cluster\" \"web\" {\n  nodes = 1\n  app   = \"./app\"\n}\n";
    sandbox.write("stack/main.stack.hcl", &format!("{}{layer}", sandbox.provider_block()));
    sandbox.lampwright("stack", &["apply", "-auto-approve"]).success();
    let pid = sandbox.pid("web-1", "apache2");
    let id = sandbox.lampwright("stack", &["state", "show", "lamp_cluster.web"]).success();
    let id = id
        .lines()
        .find_map(|line| line.trim().strip_prefix("id = \""))
        .expect("an id")
        .trim_end_matches('"')
        .to_owned();
    std::fs::remove_file(sandbox.join("stack/terraform.tfstate")).expect("removed");
    let block = format!("import {{\n  to = lamp_cluster.web\n  id = \"{id}\"\n}}\n");
    sandbox.write("stack/main.stack.hcl", &format!("{}{layer}{block}", sandbox.provider_block()));
    let applied = sandbox.lampwright("stack", &["apply", "-auto-approve"]).success();
    assert!(applied.contains("1 imported, 0 added, "), "{applied}");
    assert_eq!(sandbox.pid("web-1", "apache2"), pid);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
}

#[test]
fn imports_that_cannot_be_are_refused_at_their_place() {
    let sandbox = Sandbox::new();
    let says = |text: &str, expected: &str| {
        sandbox.write("stack/main.tf", &format!("resource \"terraform_data\" \"a\" {{}}\n{text}"));
        let refused = sandbox.lampwright("stack", &["plan"]).failure();
        assert!(refused.contains(expected) && refused.contains("main.tf:"), "{expected:?} is not in:\n{refused}");
    };
    let import = |to: &str, id: &str| format!("import {{\n  to = {to}\n  id = {id}\n}}\n");
    says(&import("terraform_data.b", "\"x\""), "the stack does not describe terraform_data.b");
    says(&import("terraform_data.a[5]", "\"x\""), "the stack does not describe terraform_data.a[5]");
    says(&import("terraform_data.a", "\"\""), "a text that is not empty is required here");
    says(&import("terraform_data.a", "terraform_data.a.id"), "import → terraform_data.a");
    says(&import("module.m", "\"x\""), "the address of one object is required here");
    says("import {\n  to = terraform_data.a\n}\n", "`id` is required here");
    says(
        &[import("terraform_data.a", "\"x\""), import("terraform_data.a", "\"y\"")].concat(),
        "terraform_data.a is imported twice",
    );
}
