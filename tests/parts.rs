//! Plans for a part of a stack, beside the real terraform where that has them.

use crate::sandbox::Sandbox;
use crate::terraform::Both;

const STACK: &str = r#"
variable "word" { default = "one" }
variable "nodes" { default = 2 }
resource "terraform_data" "a" { input = var.word }
resource "terraform_data" "b" { input = terraform_data.a.output }
resource "terraform_data" "c" {
  count = var.nodes
  input = "${terraform_data.b.output}-${count.index}"
}
resource "terraform_data" "d" {
  input = var.word
  lifecycle {
    precondition {
      condition     = var.word != "broken"
      error_message = "d does not take this word"
    }
  }
}
module "m" {
  source = "./m"
  count  = 2
  word   = terraform_data.a.output
}
module "n" {
  source = "./m"
  count  = terraform_data.d.id == "" ? 0 : 1
  word   = "fixed"
}
output "c" { value = terraform_data.c[*].output }
output "d" { value = terraform_data.d.output }
output "m" { value = module.m[1].x }
"#;
const MODULE: &str = r#"
variable "word" {}
resource "terraform_data" "x" { input = var.word }
resource "terraform_data" "y" { input = terraform_data.x.output }
output "x" { value = terraform_data.y.output }
"#;

fn both() -> Both {
    let known = STACK.replace("terraform_data.d.id == \"\" ? 0 : 1", "1");
    Both::new(&[("main.tf", &known), ("m/main.tf", MODULE)])
}

/// What a plan counts; both agree.
fn plan(both: &Both, args: &[&str]) -> String {
    let args = [&["plan", "-no-color"], args].concat();
    let counted = |text: String| {
        let found = text.lines().find_map(|line| line.strip_prefix("Plan: "));
        found.unwrap_or("Nothing").to_owned()
    };
    let ours = counted(both.ours(&args).success());
    if let Some(theirs) = both.theirs() {
        assert_eq!(ours, counted(theirs.run(&args).success()), "{args:?}");
    }
    ours
}

fn run(both: &Both, args: &[&str]) {
    both.ours(args).success();
    if let Some(theirs) = both.theirs() {
        theirs.run(args).success();
    }
    both.objects();
}

#[test]
fn what_is_aimed_at_is_planned_with_what_it_needs() {
    let both = both();
    assert_eq!(plan(&both, &["-target=terraform_data.b"]), "2 to add, 0 to change, 0 to destroy.");
    assert_eq!(plan(&both, &["-target=terraform_data.c[1]"]), "3 to add, 0 to change, 0 to destroy.");
    assert_eq!(plan(&both, &["-target=module.m"]), "5 to add, 0 to change, 0 to destroy.");
    assert_eq!(plan(&both, &["-target=module.m[0].terraform_data.x"]), "2 to add, 0 to change, 0 to destroy.");
    assert_eq!(
        plan(&both, &["-target=terraform_data.d", "-target=terraform_data.a"]),
        "2 to add, 0 to change, 0 to destroy."
    );
    run(&both, &["apply", "-auto-approve", "-target=terraform_data.c[1]"]);
    let told = both.ours(&["plan", "-target=terraform_data.d"]);
    assert!(told.stderr.contains("the plan is for a part of the stack"), "{}", told.stderr);
    let proposed = told.success();
    assert!(proposed.contains("`lampwright apply -target=terraform_data.d` does it"), "{proposed}");
    run(&both, &["apply", "-auto-approve"]);
    // What is left out is not even looked at: its conditions do not stop anything.
    let broken = ["-var=word=broken", "-target=terraform_data.c"];
    assert_eq!(plan(&both, &broken), "0 to add, 4 to change, 0 to destroy.");
    run(&both, &[&["apply", "-auto-approve"], &broken[..]].concat());
    let outputs = both.ours(&["output"]).success();
    assert!(
        outputs.contains("\"broken-0\"") && outputs.contains("d = \"one\"") && outputs.contains("m = \"one\""),
        "{outputs}"
    );
    // Of those that are too many only what is aimed at goes.
    let fewer = ["-var=word=broken", "-var=nodes=0"];
    assert_eq!(
        plan(&both, &[&fewer[..], &["-target=terraform_data.c[1]"]].concat()),
        "0 to add, 0 to change, 1 to destroy."
    );
    assert_eq!(plan(&both, &[&fewer[..], &["-target=terraform_data.a"]].concat()), "Nothing");
    // A saved plan is one of its part.
    let ours = |args: &[&str]| both.ours(args);
    ours(&["plan", "-var=word=two", "-target=terraform_data.d", "-out=part"]).success();
    assert!(ours(&["apply", "-target=terraform_data.d", "part"]).failure().contains("leave -target and -exclude away"));
    assert!(ours(&["apply", "part"]).success().contains("0 added, 1 changed, 0 destroyed."));
    assert!(ours(&["output", "d"]).success().contains("two"));
    // Removing takes what needs it, too.
    assert_eq!(plan(&both, &["-destroy", "-target=terraform_data.b"]), "0 to add, 0 to change, 3 to destroy.");
    assert_eq!(plan(&both, &["-destroy", "-target=module.m[1]"]), "0 to add, 0 to change, 2 to destroy.");
    run(&both, &["destroy", "-auto-approve", "-target=terraform_data.b"]);
    let misspelt = ours(&["plan", "-target=terraform_data.aa"]).failure();
    assert!(
        misspelt.contains("has terraform_data.aa") && misspelt.contains("did you mean terraform_data.a?"),
        "{misspelt}"
    );
    assert!(ours(&["plan", "-target=aa"]).failure().contains("\"aa\" is no address of a module"));
    run(&both, &["destroy", "-auto-approve"]);
}

/// As OpenTofu has it.
#[test]
fn what_is_excluded_stays_with_what_needs_it() {
    let sandbox = Sandbox::new();
    sandbox.write("stack/main.tf", STACK);
    sandbox.write("stack/m/main.tf", MODULE);
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    let plan = |args: &[&str]| {
        let text = run(&[&["plan"], args].concat()).success();
        text.lines().find(|line| line.starts_with("Plan: ")).unwrap_or("Nothing").to_owned()
    };
    // How often there is a module may follow from what is left out.
    assert!(run(&["plan", "-allow-deferral=false"]).failure().contains("unknown count"));
    assert_eq!(plan(&["-exclude=terraform_data.d"]), "Plan: 8 to add, 0 to change, 0 to destroy.");
    assert_eq!(plan(&["-exclude=terraform_data.d", "-exclude=terraform_data.a"]), "Nothing");
    run(&["apply", "-auto-approve", "-target=terraform_data.d"]).success();
    run(&["apply", "-auto-approve"]).success();
    assert_eq!(plan(&["-var=word=two", "-exclude=terraform_data.b"]), "Plan: 0 to add, 6 to change, 0 to destroy.");
    assert_eq!(plan(&["-var=word=two", "-exclude=terraform_data.c[0]"]), "Plan: 0 to add, 8 to change, 0 to destroy.");
    assert_eq!(plan(&["-var=nodes=0", "-exclude=terraform_data.c[0]"]), "Plan: 0 to add, 0 to change, 1 to destroy.");
    // What stays keeps what it needs.
    assert_eq!(plan(&["-destroy", "-exclude=terraform_data.c[0]"]), "Plan: 0 to add, 0 to change, 8 to destroy.");
    sandbox.write("stack/not", "terraform_data.c # the nodes\n\n# and\nmodule.m\n");
    assert_eq!(plan(&["-destroy", "-exclude-file=not"]), "Plan: 0 to add, 0 to change, 3 to destroy.");
    sandbox.write("stack/not", "terraform_data.c\nmodule m\n");
    assert!(run(&["plan", "-exclude-file=not"]).failure().contains("not:2: \"module m\" is no address"));
    assert!(run(&["plan", "-target=module.m", "-exclude=module.m"]).failure().contains("cannot be used with"));
    run(&["destroy", "-auto-approve"]).success();
}
