//! What is put off, where it is not known how many there are of something.

use std::io::Write as _;
use std::process::Stdio;

use crate::sandbox::{Ran, Sandbox};

const STACK: &str = r#"
variable "nodes" { default = 2 }
resource "terraform_data" "nodes" {
  input = var.nodes
}
resource "terraform_data" "node" {
  count = terraform_data.nodes.output
  input = count.index
}
module "zone" {
  source   = "./zone"
  for_each = toset([for node in terraform_data.node : "zone-${node.output}"])
  name     = each.key
}
resource "terraform_data" "all" {
  input = [for zone in module.zone : zone.id]
}
resource "terraform_data" "free" {}
output "nodes" { value = length(terraform_data.node) }
output "zones" { value = keys(module.zone) }
output "free" { value = terraform_data.free.id == "" }
"#;
const ZONE: &str = r#"
variable "name" {}
resource "terraform_data" "zone" {
  input = var.name
}
output "id" { value = terraform_data.zone.id }
"#;

fn written() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("stack/main.tf", STACK);
    sandbox.write("stack/zone/main.tf", ZONE);
    sandbox
}

fn count(sandbox: &Sandbox) -> usize {
    sandbox.lampwright("stack", &["state", "list"]).success().lines().count()
}

#[test]
fn what_is_not_known_yet_is_put_off() {
    let sandbox = written();
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    insta::assert_snapshot!("put_off_plan", run(&["plan"]).success());
    assert!(run(&["plan", "-allow-deferral=false"]).failure().contains("unknown count"));
    run(&["plan", "-out=saved"]).success();
    let plan: serde_json::Value = serde_json::from_str(&run(&["show", "-json", "saved"]).success()).expect("JSON");
    assert_eq!(plan["complete"], false);
    insta::assert_snapshot!("put_off_json", serde_json::to_string_pretty(&plan["deferred_changes"]).expect("JSON"));
    // A saved plan is one round.
    let applied = run(&["apply", "saved"]).success();
    assert!(applied.contains("2 added") && applied.contains("an apply goes on with it"), "{applied}");
    assert_eq!(count(&sandbox), 2);
    // An apply goes on: the nodes, then the zones and what needs them.
    let applied = run(&["apply", "-auto-approve"]).success();
    let applied = applied.lines().filter(|line| line.starts_with("Applied in"));
    let made: Vec<&str> = applied.filter_map(|line| Some(line.split_once(": ")?.1)).collect();
    assert_eq!(made, ["2 added, 0 changed, 0 destroyed.", "3 added, 0 changed, 0 destroyed."]);
    assert!(run(&["plan", "-detailed-exitcode"]).success().contains("No changes."));
    // What is there stays as it is, and what it refers to, until more is known.
    let plan = run(&["plan", "-var=nodes=3"]).success();
    insta::assert_snapshot!("put_off_changed", plan);
    run(&["apply", "-auto-approve", "-var=nodes=1"]).success();
    assert_eq!(run(&["output", "nodes"]).success().trim(), "1");
    assert_eq!(count(&sandbox), 5);
    run(&["destroy", "-auto-approve"]).success();
}

/// Whoever is asked may leave the rest.
#[test]
fn each_round_is_asked_about() {
    let sandbox = written();
    let mut command = sandbox.lampwright_command("stack", &["apply"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    child.stdin.take().expect("piped").write_all(b"yes\nno\n").expect("written");
    let Ran { code, stdout, stderr } = Ran::of(child.wait_with_output().expect("it ends"));
    assert!(code == 1 && stdout.contains("Put off until now: "), "{stdout}{stderr}");
    assert!(stderr.contains("nothing more was changed"), "{stderr}");
    assert_eq!(count(&sandbox), 2);
}

/// What is removed goes when what refers to it has changed, and no earlier.
#[test]
fn what_is_put_off_keeps_what_it_refers_to() {
    let sandbox = Sandbox::new();
    let text = |more: &str, input: &str, nodes: u32| {
        format!(
            "resource \"terraform_data\" \"n\" {{\n  input = {nodes}\n}}\n{more}resource \"terraform_data\" \"many\" {{\n  \
             count = terraform_data.n.output\n  input = {input}\n}}\n"
        )
    };
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    sandbox.write("stack/main.tf", &text("resource \"terraform_data\" \"old\" {}\n", "terraform_data.old.id", 1));
    run(&["apply", "-auto-approve"]).success();
    sandbox.write("stack/main.tf", &text("", "1", 2));
    run(&["plan", "-out=saved"]).success();
    run(&["apply", "saved"]).success();
    assert!(run(&["state", "list"]).success().contains("terraform_data.old"));
    run(&["apply", "-auto-approve"]).success();
    assert!(!run(&["state", "list"]).success().contains("terraform_data.old"));
}

/// What is replaced on request may be what is put off: then the request is for its round.
#[test]
fn a_request_waits_for_its_round() {
    let sandbox = written();
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    run(&["apply", "-auto-approve"]).success();
    let id = || run(&["state", "show", "terraform_data.node[0]"]).success();
    let before = id();
    run(&["apply", "-auto-approve", "-var=nodes=3", "-replace=terraform_data.node[0]"]).success();
    assert_ne!(id(), before);
    assert_eq!(run(&["output", "nodes"]).success().trim(), "3");
}

/// Nothing is made where it is certain that the rest cannot be.
#[test]
fn what_no_apply_makes_known_is_refused_at_once() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "stack/main.tf",
        "resource \"terraform_data\" \"a\" {}\nresource \"terraform_data\" \"b\" {\n  count = timestamp() == \"\" ? 0 : 1\n}\n",
    );
    assert!(sandbox.lampwright("stack", &["apply", "-auto-approve"]).failure().contains("unknown count"));
    assert_eq!(count(&sandbox), 0);
}
