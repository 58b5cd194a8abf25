//! A secret in the reach of every command: it is in nothing that a person or a program reads.

use crate::sandbox::Sandbox;

const STACK: &str = r#"stack "vault" {}

variable "pin" {
  type      = number
  sensitive = true
}

variable "word" {
  type      = string
  default   = "hunter2"
  sensitive = true
  validation {
    condition     = length(var.word) < 9
    error_message = "It is ${var.word}."
  }
}

locals {
  wrong = tonumber(var.word)
}

output "word" {
  value     = "hunter2"
  sensitive = true
}

output "length" {
  value = nonsensitive(length(var.word))
}
"#;

const TEST: &str = r#"
variables {
  pin  = 1
  word = "hunter2"
}
run "all" {
  command = plan
  assert {
    condition     = output.word == "another"
    error_message = "It is ${output.word}."
  }
  assert {
    condition     = output.length == 8
    error_message = "It has ${output.length} letters, in ${var.word}."
  }
}
run "wrong" {
  command = plan
  variables {
    pin = run.all.word
  }
}
"#;

#[test]
fn no_command_tells_a_secret() {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", STACK);
    let told = |args: &[&str], expected: &str| {
        let ran = sandbox.lampwright(".", args);
        let out = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!out.contains("hunter"), "{args:?}\n{out}");
        assert!(out.contains(expected), "{args:?}\n{out}");
    };
    for args in [&["plan"][..], &["plan", "-json"], &["apply", "-auto-approve"], &["validate"], &["validate", "-json"]]
    {
        let given = if args[0] == "validate" { Vec::new() } else { vec!["-var", "pin=1"] };
        told(&[args, &given].concat(), "tonumber");
    }
    let right = STACK.replace("tonumber(var.word)", "1");
    sandbox.write("main.stack.hcl", &right);
    told(&["plan", "-var", "pin=hunter2"], "the sensitive value is none");
    told(&["plan", "-json", "-var", "pin=hunter2"], "the sensitive value is none");
    told(&["plan", "-var", "pin=1", "-var", "word=hunter2-and-more"], "(the message is sensitive)");
    told(&["plan", "-var", "pin=1", "-var", "hunter2"], "-var is written");
    sandbox.write("terraform.tfvars", "pin = hunter2\n");
    told(&["plan"], "pin = (sensitive)");
    sandbox.write("terraform.tfvars", "pin = \"hunter2\n");
    told(&["plan"], "(sensitive)");
    sandbox.write("terraform.tfvars", "pin = 1\n");
    told(&["apply", "-auto-approve"], "Applied");
    told(&["output"], "(sensitive value)");
    told(&["show"], "");
    told(&["plan"], "No changes");
    sandbox.write(
        "main.stack.hcl",
        &right.replace("\"hunter2\"\n  sensitive = true\n}\n\noutput", "\"other\"\n}\n\noutput"),
    );
    told(&["plan"], "(sensitive value)");
    sandbox.write("main.stack.hcl", &right);
    sandbox.write("tests/vault.tftest.hcl", TEST);
    told(&["test"], "a sensitive value");
    told(&["test", "-json"], "sensitive");
}
