//! Which resources need which, as the real terraform draws it.

use crate::sandbox::Sandbox;
use crate::terraform::{Terraform, program, write_config};

const STACK: &str = r#"
resource "terraform_data" "a" {}
resource "terraform_data" "b" { input = terraform_data.a.id }
module "m" {
  source = "./m"
  x      = local.through
}
locals { through = terraform_data.b.id }
resource "terraform_data" "c" { input = module.m.o }
data "terraform_remote_state" "t" {
  backend = "local"
  config  = { path = terraform_data.a.id }
}
resource "terraform_data" "d" {
  input      = data.terraform_remote_state.t.outputs
  depends_on = [module.m]
}
"#;
const MODULE: &str = r#"
variable "x" {}
resource "terraform_data" "in" { input = var.x }
output "o" { value = terraform_data.in.id }
module "n" {
  source = "./n"
  x      = terraform_data.in.id
}
data "terraform_remote_state" "s" {
  backend = "local"
  config  = { path = module.n.o }
}
"#;
const INNER: &str = "variable \"x\" {}\nresource \"terraform_data\" \"deep\" { input = var.x }\noutput \"o\" { value = terraform_data.deep.id }\n";

#[test]
fn what_needs_what_is_drawn_as_terraform_does() {
    let sandbox = Sandbox::new();
    sandbox.write("stack/main.tf", STACK);
    sandbox.write("stack/m/main.tf", MODULE);
    sandbox.write("stack/m/n/main.tf", INNER);
    let drawn = sandbox.lampwright("stack", &["graph"]).success();
    assert!(drawn.contains("  \"terraform_data.d\" -> \"module.m.data.terraform_remote_state.s\";\n"), "{drawn}");
    let mermaid = sandbox.lampwright("stack", &["graph", "-format=mermaid"]).success();
    assert!(
        mermaid.starts_with("flowchart RL\n  n0[\"data.terraform_remote_state.t\"]\n  n1[\"terraform_data.a\"]\n"),
        "{mermaid}"
    );
    assert!(mermaid.contains("  subgraph m1 [\"module.m\"]\n") && mermaid.contains("  n2 --> n1\n"), "{mermaid}");
    let Some(program) = program() else { return };
    write_config(&sandbox);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "stack" };
    terraform.run(&["init"]).success();
    assert_eq!(drawn, terraform.run(&["graph"]).success());
}

#[test]
fn a_circle_has_no_graph() {
    let sandbox = Sandbox::new();
    let text = "resource \"terraform_data\" \"a\" { input = terraform_data.b.id }\nresource \"terraform_data\" \"b\" { input = terraform_data.a.id }\n";
    sandbox.write("stack/main.tf", text);
    let refused = sandbox.lampwright("stack", &["graph"]).failure();
    assert!(refused.contains("circular reference") && refused.contains("main.tf:"), "{refused}");
}
