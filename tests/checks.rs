//! `check` blocks tell what does not hold, and stop nothing; as the real terraform has it.

use crate::sandbox::Sandbox;
use crate::terraform::{Terraform, program, write_config};

const STACK: &str = r#"
variable "word" { default = "good" }
resource "terraform_data" "a" { input = var.word }
check "word" {
  assert {
    condition     = terraform_data.a.output == "good"
    error_message = "the word is ${terraform_data.a.output}"
  }
  assert {
    condition     = length(terraform_data.a.id) > 0
    error_message = "never told"
  }
}
check "neighbour" {
  data "terraform_remote_state" "other" {
    backend = "local"
    config  = { path = "other.tfstate" }
  }
  assert {
    condition     = data.terraform_remote_state.other.outputs.a == 1
    error_message = "the neighbour says ${data.terraform_remote_state.other.outputs.a}"
  }
}
module "m" { source = "./m" }
"#;
const MODULE: &str = "variable \"n\" { default = 1 }\ncheck \"inside\" {\n  assert {\n    condition     = var.n > 1\n    error_message = \"too few\"\n  }\n}\n";
const OTHER: &str = r#"{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"x","outputs":{"a":{"value":2,"type":"number"}},"resources":[],"check_results":null}"#;

#[test]
fn what_does_not_hold_is_told_and_stops_nothing() {
    let sandbox = Sandbox::new();
    write_config(&sandbox);
    for folder in ["ours", "theirs"] {
        sandbox.write(&format!("{folder}/main.tf"), STACK);
        sandbox.write(&format!("{folder}/m/main.tf"), MODULE);
    }
    let terraform = program().map(|program| Terraform { sandbox: &sandbox, program, folder: "theirs" });
    if let Some(theirs) = &terraform {
        theirs.run(&["init"]).success();
    }
    // What both tell, and what neither does.
    let both = |args: &[&str], told: &[&str], untold: &[&str]| {
        let mut said = vec![sandbox.lampwright("ours", args)];
        said.extend(terraform.as_ref().map(|theirs| theirs.run(args)));
        for ran in said {
            let text = format!("{}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.code, 0, "{text}");
            told.iter().for_each(|told| assert!(text.contains(told), "{told:?} is not in:\n{text}"));
            untold.iter().for_each(|untold| assert!(!text.contains(untold), "{untold:?} is in:\n{text}"));
        }
    };
    // Its state is not there: a warning, and the assertion says nothing.
    both(&["plan", "-no-color"], &["too few"], &["never told", "the neighbour says", "the word is"]);
    both(&["apply", "-no-color", "-auto-approve"], &["too few"], &["never told", "the neighbour says", "the word is"]);
    for folder in ["ours", "theirs"] {
        sandbox.write(&format!("{folder}/other.tfstate"), OTHER);
    }
    both(&["plan", "-no-color"], &["the neighbour says 2", "too few"], &["the word is"]);
    let changed = ["apply", "-no-color", "-auto-approve", "-var=word=bad"];
    both(&changed, &["the word is bad", "the neighbour says 2"], &["never told"]);
    let plan = sandbox.lampwright("ours", &["plan", "-var=word=bad"]);
    assert!(plan.stderr.contains("warning: check failed\n  ┌─ main.tf:6:"), "{}", plan.stderr);
    assert!(!plan.stderr.contains("error"), "{}", plan.stderr);
    both(&["destroy", "-no-color", "-auto-approve", "-var=word=bad"], &[], &["the word is"]);
}

#[test]
fn checks_that_cannot_be_are_refused() {
    let sandbox = Sandbox::new();
    let says = |text: &str, expected: &str| {
        sandbox.write("stack/main.tf", text);
        let refused = sandbox.lampwright("stack", &["plan"]).failure();
        assert!(refused.contains(expected) && refused.contains("main.tf:"), "{expected:?} is not in:\n{refused}");
    };
    says("check \"a\" {}\n", "a check has at least one `assert` block");
    says("check \"a\" {\n  assert {\n    condition = true\n  }\n}\n", "error_message");
    says(
        "check \"a\" {\n  assert {\n    condition = var.x\n    error_message = \"\"\n  }\n}\n",
        "there is no variable `x`",
    );
    let twice = "check \"a\" {\n  assert {\n    condition = true\n    error_message = \"x\"\n  }\n}\n";
    says(&format!("{twice}{twice}"), "declared twice");
}
