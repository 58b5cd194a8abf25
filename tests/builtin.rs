//! What is built in: `terraform_data` and `terraform_remote_state`, beside the real terraform.

use crate::sandbox::Sandbox;
use crate::terraform::{Terraform, program, write_config};

const APPLY: &[&str] = &["apply", "-auto-approve"];
const PLAN: &[&str] = &["plan", "-detailed-exitcode"];

const DATA: &str = r#"
variable "word" { default = "one" }
variable "trigger" { default = 1 }
resource "terraform_data" "a" {
  input            = { word = var.word, list = [1, true, null] }
  triggers_replace = [var.trigger]
}
resource "terraform_data" "empty" {}
resource "terraform_data" "b" { input = terraform_data.a.output.word }
output "out" { value = terraform_data.a.output }
output "id" { value = terraform_data.a.id }
output "b" { value = terraform_data.b.output }
output "secret" {
  value     = "hunter2"
  sensitive = true
}
"#;

/// A state of one is that of the other, in both directions.
#[test]
fn data_is_kept_as_terraform_does() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    write_config(&sandbox);
    sandbox.write("stack/main.tf", DATA);
    let ours = |args: &[&str]| sandbox.lampwright("stack", args);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "stack" };
    terraform.run(&["init"]).success();

    let plan = ours(&["plan"]).success();
    assert!(plan.contains("Plan: 3 to add, 0 to change, 0 to destroy."), "{plan}");
    ours(APPLY).success();
    assert_eq!((ours(PLAN).code, terraform.run(PLAN).code), (0, 0));
    let id = ours(&["output", "-raw", "id"]).success();
    assert_eq!(ours(&["output", "-json", "out"]).success(), terraform.run(&["output", "-json", "out"]).success());
    // An input is changed in place, and what reads it follows.
    let other = ["-var", "word=two"];
    let planned = ours(&[&["plan"], &other[..]].concat()).success();
    assert!(planned.contains("Plan: 0 to add, 2 to change, 0 to destroy."), "{planned}");
    assert!(
        terraform.run(&[&["plan"], &other[..]].concat()).success().contains("0 to add, 2 to change, 0 to destroy.")
    );
    ours(&[APPLY, &other].concat()).success();
    assert_eq!(ours(&["output", "-raw", "b"]).success(), "two");
    assert_eq!(terraform.run(&[PLAN, &other].concat()).code, 0);
    assert_eq!(ours(&["output", "-raw", "id"]).success(), id);
    // A trigger replaces it.
    let both = ["-var", "word=two", "-var", "trigger=2"];
    let planned = ours(&[&["plan"], &both[..]].concat()).success();
    assert!(planned.contains("Plan: 1 to add, 1 to change, 1 to destroy."), "{planned}");
    assert!(terraform.run(&[&["plan"], &both[..]].concat()).success().contains("1 to add, 1 to change, 1 to destroy."));
    terraform.run(&[APPLY, &both].concat()).success();
    assert_eq!(ours(&[PLAN, &both].concat()).code, 0);
    assert_ne!(ours(&["output", "-raw", "id"]).success(), id);
    ours(&["state", "rm", "terraform_data.empty"]).success();
    ours(&["import", "terraform_data.empty", "some-id"]).success();
    assert_eq!(ours(&[PLAN, &both].concat()).code, 0);
    ours(&["destroy", "-auto-approve"]).success();
    assert_eq!(terraform.run(&["state", "list"]).success(), "");
}

/// Outputs of another stack, of a workspace of it, and of one that is not there yet.
#[test]
fn another_stack_is_read() {
    let sandbox = Sandbox::new();
    sandbox.write("one/main.tf", DATA);
    let one = |args: &[&str]| sandbox.lampwright("one", args);
    one(APPLY).success();
    one(&["workspace", "new", "test"]).success();
    one(&["apply", "-auto-approve", "-var", "word=test"]).success();
    let read = |arguments: &str| {
        let text = format!(
            "data \"terraform_remote_state\" \"one\" {{\n{arguments}\n}}\noutput \"out\" {{\n  value = data.terraform_remote_state.one.outputs\n}}\n"
        );
        sandbox.write("two/main.tf", &text);
        sandbox.lampwright("two", APPLY)
    };
    let local = "  backend = \"local\"\n  config = { path = \"../one/terraform.tfstate\" }";
    let told = read(local).success();
    assert!(told.contains("\"one\"") && told.contains("list"), "{told}");
    if let Some(program) = program() {
        write_config(&sandbox);
        let terraform = Terraform { sandbox: &sandbox, program, folder: "two" };
        terraform.run(&["init"]).success();
        assert_eq!(terraform.run(PLAN).code, 0);
    }
    let spaces =
        "  backend = \"local\"\n  workspace = \"test\"\n  config = { workspace_dir = \"../one/terraform.tfstate.d\" }";
    let told = read(spaces).success();
    assert!(told.contains("\"test\""), "{told}");
    let gone = local.replace("../one/", "../none/");
    let refused = read(&gone).failure();
    assert!(refused.contains("there is none in ../none/terraform.tfstate; `defaults` says"), "{refused}");
    assert!(refused.contains("main.tf:1:"), "{refused}");
    let told = read(&format!("{gone}\n  defaults = {{ b = \"meanwhile\" }}")).success();
    assert!(told.contains("meanwhile"), "{told}");
    let refused = read("  backend = \"consul\"").failure();
    assert!(refused.contains("there is no backend \"consul\"; there are: local,"), "{refused}");
    let refused = read("  backend = \"http\"\n  config = { adress = \"x\" }").failure();
    assert!(refused.contains("has no setting \"adress\"") && refused.contains("main.tf:3:"), "{refused}");
}
