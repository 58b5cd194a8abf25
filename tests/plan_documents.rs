//! `show -json` of a saved plan, beside the real terraform's.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::sandbox::{Ran, Sandbox};
use crate::terraform::{Terraform, program, write_config};

const STACK: &str = r#"
terraform {
  required_providers {
    terraform = { source = "terraform.io/builtin/terraform" }
  }
}
variable "w" {
  default = "x"
  description = "word"
  type = string
}
variable "l" { 
  type = list(string)
  default = ["a", "b"]
}
variable "s" { 
  default = "secret"
  sensitive = true
}
locals { one = { two = var.w } }
resource "terraform_data" "a" {
  count = 2
  input = "${var.w}-${count.index}"
}
resource "terraform_data" "e" {
  for_each = toset(var.l)
  input = [each.key, local.one.two, terraform_data.a[0].id, terraform_data.a[*].id, terraform_data.a[length(var.l)-1].output]
  depends_on = [terraform_data.s]
}
resource "terraform_data" "s" { 
  input = var.s 
  triggers_replace = [1, "two", null, { a = true }]
}
module "m" { 
  source = "./m" 
  for_each = { x = 1, y = 2 }
  v = each.value
  depends_on = [terraform_data.a]
}
module "n" { 
  source = "./m" 
  v = 5
}
output "o" { value = terraform_data.a[0].id }
output "p" { 
  value = module.m["x"].x 
  description = "desc"
}
output "q" { value = module.n.x.a }
output "r" { 
  value = [module.m, var.s, path.module, terraform.workspace, upper("x")] 
  sensitive = true
}
output "t" { value = [for k, v in var.l : "${k}${v}${local.one.two}"] }
"#;
const MODULE: &str = r#"
variable "v" {}
resource "terraform_data" "in" { input = { a = var.v } }
output "x" { value = terraform_data.in.input }
"#;

/// Without what differs: when it was made, what Terraform tells of outputs that it has not made yet, and which attributes of drifted
/// objects matter.
fn comparable(text: &str) -> Value {
    let mut json: Value = serde_json::from_str(text).expect("JSON");
    let fields = json.as_object_mut().expect("an object");
    for name in ["timestamp", "relevant_attributes"] {
        fields.remove(name);
    }
    let outputs = fields.get_mut("prior_state").and_then(|prior| prior["values"].as_object_mut());
    outputs.map(|values| values.remove("outputs"));
    json
}

#[test]
fn a_plan_is_shown_as_terraform_shows_it() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    write_config(&sandbox);
    sandbox.write("stack/main.tf", STACK);
    sandbox.write("stack/m/main.tf", MODULE);
    let ours = |args: &[&str]| sandbox.lampwright("stack", args);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "stack" };
    terraform.run(&["init"]).success();
    let both = |args: &[&str]| {
        ours(&[&["plan", "-out=ours"], args].concat()).success();
        terraform.run(&[&["plan", "-out=theirs"], args].concat()).success();
        let shown = comparable(&ours(&["show", "-json", "ours"]).success());
        let mut expected = comparable(&terraform.run(&["show", "-json", "theirs"]).success());
        if shown.get("prior_state").is_none() {
            // There is none yet.
            expected.as_object_mut().map(|fields| fields.remove("prior_state"));
        }
        assert_eq!(
            serde_json::to_string_pretty(&shown).expect("JSON"),
            serde_json::to_string_pretty(&expected).expect("JSON")
        );
    };
    both(&[]);
    ours(&["apply", "-auto-approve"]).success();
    both(&[]);
    both(&["-var=w=z"]);
    both(&["-var=l=[\"b\"]", "-replace=terraform_data.s"]);
    both(&["-destroy"]);
    ours(&["destroy", "-auto-approve"]).success();
}

/// A plan is looked at where its providers are not installed.
#[test]
fn a_saved_plan_is_shown_without_its_providers() {
    let sandbox = Sandbox::new();
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    let layers = "resource \"lamp_cluster\" \"web\" {\n  nodes = 2\n  app   = \"./app\"\n}\nresource \"lb_pool\" \"lb\" {\n  \
                  backend = lamp_cluster.web\n}\noutput \"url\" { value = lb_pool.lb.url }\n";
    sandbox.write("stack/main.stack.hcl", &format!("{}{layers}", sandbox.provider_block()));
    sandbox.lampwright("stack", &["plan", "-out=saved"]).success();
    // Nothing beside the program, and nothing on the PATH.
    let alone = sandbox.join("lampwright");
    std::fs::copy(env!("CARGO_BIN_EXE_lampwright"), &alone).expect("copied");
    let shown = |args: &[&str]| {
        let mut command = Command::new(&alone);
        command
            .args(args)
            .current_dir(sandbox.join("stack"))
            .stdin(Stdio::null())
            .env_clear()
            .env("HOME", sandbox.path());
        Ran::of(command.output().expect("it runs"))
    };
    assert!(shown(&["plan"]).failure().contains("no plugin for provider"));
    let with_providers = |args: &[&str]| sandbox.lampwright("stack", args).success();
    for args in [&["show", "saved"][..], &["show", "-files", "saved"], &["show", "-json", "saved"]] {
        let text = shown(args).success();
        assert!(text.contains("lamp_cluster.web") && text == with_providers(args), "{text}");
    }
}
