//! Changes of the state by hand, with the real terraform reading what comes out.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value as Json;

use crate::sandbox::{Ran, Sandbox};
use crate::terraform::program;

const APPLY: &[&str] = &["apply", "-auto-approve"];

/// Layers without machines, in modules and with keys.
const STACK: &str = r#"
resource "lamp_cluster" "one" {
  nodes = 0
  app   = "./app"
}
resource "lamp_cluster" "many" {
  for_each = toset(["a", "b.c"])
  name     = "many-${index(["a", "b.c"], each.key)}"
  nodes    = 0
  app      = "./app"
}
resource "lb_pool" "front" { backend = lamp_cluster.one }
module "sub" {
  count  = 2
  source = "./sub"
  name   = "sub-${count.index}"
}
"#;

const SUB: &str = r#"
variable "name" { type = string }
resource "lamp_cluster" "web" {
  name  = var.name
  nodes = 0
  app   = "./app"
}
"#;

fn write(sandbox: &Sandbox, change: impl Fn(&str) -> String) {
    sandbox.write("stack/main.stack.hcl", &format!("{}{}", sandbox.provider_block(), change(STACK)));
}

fn up() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("stack/app/index.php", "<?php\n");
    sandbox.write("stack/sub/main.stack.hcl", SUB);
    write(&sandbox, str::to_owned);
    sandbox.lampwright("stack", APPLY).success();
    sandbox
}

fn state(sandbox: &Sandbox, args: &[&str]) -> Ran {
    sandbox.lampwright("stack", &[&["state"], args].concat())
}

fn list(sandbox: &Sandbox) -> Vec<String> {
    let listed = state(sandbox, &["list"]).success();
    if let Some(program) = program() {
        let terraform = std::process::Command::new(program)
            .args(["state", "list", "-state=terraform.tfstate"])
            .current_dir(sandbox.join("stack"))
            .env("TF_CLI_CONFIG_FILE", sandbox.join("terraform.rc"))
            .output()
            .expect("terraform runs");
        let mut theirs: Vec<String> =
            String::from_utf8(terraform.stdout).expect("text").lines().map(str::to_owned).collect();
        let mut ours: Vec<String> = listed.lines().map(str::to_owned).collect();
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs);
    }
    listed.lines().map(str::to_owned).collect()
}

const ALL: [&str; 6] = [
    "lamp_cluster.many[\"a\"]",
    "lamp_cluster.many[\"b.c\"]",
    "lamp_cluster.one",
    "lb_pool.front",
    "module.sub[0].lamp_cluster.web",
    "module.sub[1].lamp_cluster.web",
];

#[test]
fn objects_are_listed_and_shown() {
    let sandbox = up();
    sandbox.write("terraform.rc", "");
    assert_eq!(list(&sandbox), ALL);
    for (target, meant) in [
        ("lamp_cluster.many", &ALL[..2]),
        ("lamp_cluster.many[\"b.c\"]", &ALL[1..2]),
        ("module.sub", &ALL[4..]),
        ("module.sub[1]", &ALL[5..]),
        ("module.sub.lamp_cluster.web", &ALL[4..]),
    ] {
        let listed = state(&sandbox, &["list", target]).success();
        assert_eq!(listed.lines().collect::<Vec<_>>(), meant, "{target}");
    }
    let shown = state(&sandbox, &["show", "lamp_cluster.one"]).success();
    assert!(shown.starts_with("lamp_cluster.one\n") && shown.contains("    name = \"one\"\n"), "{shown}");
    assert!(state(&sandbox, &["show", "lamp_cluster.many"]).failure().contains("is not one object"));
    assert!(state(&sandbox, &["show", "lamp_cluster.onne"]).failure().contains("did you mean lamp_cluster.one?"));
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// What has got another name in the text gets it in the state, and nothing is made anew.
#[test]
fn objects_that_are_renamed_stay() {
    let sandbox = up();
    sandbox.write("terraform.rc", "");
    write(&sandbox, |stack| {
        let stack = stack.replace("\"lamp_cluster\" \"one\" {", "\"lamp_cluster\" \"two\" {\n  name = \"one\"");
        let stack = stack.replace("lamp_cluster.one", "lamp_cluster.two").replace("\"many\" {", "\"lots\" {");
        stack.replace("module \"sub\"", "module \"shop\"")
    });
    let tried = state(&sandbox, &["mv", "-dry-run", "lamp_cluster.one", "lamp_cluster.two"]).success();
    assert_eq!(tried, "lamp_cluster.one would become lamp_cluster.two\n");
    for (from, to, word) in [
        ("lamp_cluster.one", "lb_pool.two", "not of one kind"),
        ("lamp_cluster.one", "module.two", "not of one kind"),
        ("lamp_cluster.one", "two", "no address"),
        ("lamp_cluster.many", "lamp_cluster.lots[0]", "several instances"),
        ("lamp_cluster.one", "lamp_cluster.many[\"a\"]", "is there already"),
        ("lamp_cluster.none", "lamp_cluster.two", "the state has no lamp_cluster.none"),
    ] {
        let refused = state(&sandbox, &["mv", from, to]).failure();
        assert!(refused.contains(word), "{from} {to}: {refused}");
    }
    assert_eq!(list(&sandbox), ALL);
    state(&sandbox, &["mv", "lamp_cluster.one", "lamp_cluster.two"]).success();
    state(&sandbox, &["mv", "lamp_cluster.many", "lamp_cluster.lots"]).success();
    state(&sandbox, &["mv", "module.sub", "module.shop"]).success();
    let expected = ALL.map(|addr| {
        addr.replace("lamp_cluster.one", "lamp_cluster.two").replace(".many", ".lots").replace(".sub", ".shop")
    });
    let mut listed = list(&sandbox);
    listed.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(listed, expected);
    // Also where others refer to it: what goes, goes in the right order.
    let text = std::fs::read_to_string(sandbox.join("stack/terraform.tfstate")).expect("the state");
    assert!(text.contains("\"lamp_cluster.two\"") && !text.contains("lamp_cluster.one"), "{text}");
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

#[test]
fn objects_are_forgotten_and_states_put_back() {
    let sandbox = up();
    sandbox.write("terraform.rc", "");
    let whole = state(&sandbox, &["pull"]).success();
    sandbox.write("whole.json", &whole);
    assert!(state(&sandbox, &["rm", "lamp_cluster.none"]).failure().contains("the state has no lamp_cluster.none"));
    let tried = state(&sandbox, &["rm", "-dry-run", "module.sub"]).success();
    assert!(tried.contains("module.sub[1].lamp_cluster.web would be forgotten"), "{tried}");
    assert_eq!(list(&sandbox), ALL);
    let told = state(&sandbox, &["rm", "module.sub", "lb_pool.front"]).success();
    assert!(
        told.contains("module.sub[1].lamp_cluster.web is forgotten") && told.contains("lampwright import"),
        "{told}"
    );
    assert_eq!(list(&sandbox), ALL[..3]);
    // The state of before is older than this one.
    assert!(state(&sandbox, &["push", "../whole.json"]).failure().contains("it is not newer"));
    let strange = whole.replace("\"lineage\": \"", "\"lineage\": \"x");
    sandbox.write("strange.json", &strange);
    assert!(state(&sandbox, &["push", "../strange.json"]).failure().contains("is of another history"));
    sandbox.write("none.json", "");
    assert!(state(&sandbox, &["push", "-force", "../none.json"]).failure().contains("is no state"));
    assert_eq!(list(&sandbox), ALL[..3]);
    state(&sandbox, &["push", "-force", "../whole.json"]).success();
    assert_eq!(list(&sandbox), ALL);
    let serial = |text: &str| serde_json::from_str::<Json>(text).expect("JSON")["serial"].as_u64().expect("a number");
    assert!(serial(&state(&sandbox, &["pull"]).success()) > serial(&whole) + 1);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// Though nothing of it changes; what refers to it follows.
#[test]
fn an_object_is_replaced_on_request() {
    let sandbox = up();
    let generation = |name: &str| {
        let text = state(&sandbox, &["show", name]).success();
        text.lines().find(|line| line.trim().starts_with("generation = ")).expect("a generation").to_owned()
    };
    let (one, many) = (generation("lamp_cluster.one"), generation("lamp_cluster.many[\"a\"]"));
    let flag = "-replace=lamp_cluster.one";
    let plan = sandbox.lampwright("stack", &["plan", flag]).success();
    assert!(plan.contains("-/+ lamp_cluster.one") && plan.contains("it was asked for"), "{plan}");
    assert!(plan.contains("Plan: 1 to add, 0 to change, 1 to destroy."), "{plan}");
    assert!(plan.contains("`lampwright apply -replace=lamp_cluster.one` does it"), "{plan}");
    let misspelt = sandbox.lampwright("stack", &["apply", "-auto-approve", "-replace=lamp_cluster.onne"]).failure();
    assert!(
        misspelt.contains("the stack has no lamp_cluster.onne") && misspelt.contains("lamp_cluster.one,"),
        "{misspelt}"
    );
    for (args, word) in [
        (&["plan", "-replace=one"][..], "is no address of an object"),
        (&["plan", "-destroy", flag], "leave -replace away"),
        (&["apply", "-destroy", flag], "leave -replace away"),
    ] {
        assert!(sandbox.lampwright("stack", args).failure().contains(word), "{args:?}");
    }
    sandbox.lampwright("stack", &["apply", "-auto-approve", flag]).success();
    assert_ne!(generation("lamp_cluster.one"), one);
    assert_eq!(generation("lamp_cluster.many[\"a\"]"), many);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    // A saved plan says it itself.
    sandbox.lampwright("stack", &["plan", flag, "-out", "saved"]).success();
    assert!(sandbox.lampwright("stack", &["apply", flag, "saved"]).failure().contains("leave -replace away"));
    let one = generation("lamp_cluster.one");
    sandbox.lampwright("stack", &["apply", "saved"]).success();
    assert_ne!(generation("lamp_cluster.one"), one);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// What one stack has made goes to another one: nothing is made anew, and both states keep what they had before.
#[test]
fn objects_go_to_another_stack() {
    let sandbox = up();
    sandbox.write("terraform.rc", "");
    // The other stack has a state already.
    sandbox.write("other/app/index.php", "<?php\n");
    let with = |more: &str| {
        let own = "resource \"lamp_cluster\" \"own\" {\n  nodes = 0\n  app = \"./app\"\n}\n";
        sandbox.write("other/main.stack.hcl", &format!("{}{own}{more}", sandbox.provider_block()));
    };
    with("");
    sandbox.lampwright("other", APPLY).success();
    let mv = |args: &[&str]| state(&sandbox, &[&["mv"], args, &["-stack-out", "../other"]].concat());
    assert!(mv(&["lamp_cluster.one", "lamp_cluster.own"]).failure().contains("lamp_cluster.own is there already"));
    for same in ["terraform.tfstate", "../stack/terraform.tfstate"] {
        let refused = state(&sandbox, &["mv", "-lock=false", "-state-out", same, "lamp_cluster.one", "lamp_cluster.z"]);
        assert!(refused.failure().contains("is the same state"), "{same}");
    }
    let tried = mv(&["-dry-run", "lamp_cluster.many", "lamp_cluster.moved"]).success();
    assert!(tried.contains("lamp_cluster.many[\"a\"] would become lamp_cluster.moved[\"a\"] in "), "{tried}");
    assert_eq!(list(&sandbox), ALL);
    // One that was cut off between the two: both have it, and the same command goes on.
    let before = state(&sandbox, &["pull"]).success();
    mv(&["lamp_cluster.many", "lamp_cluster.moved"]).success();
    sandbox.write("before.json", &before);
    state(&sandbox, &["push", "-force", "../before.json"]).success();
    assert_eq!(list(&sandbox), ALL);
    mv(&["lamp_cluster.many", "lamp_cluster.moved"]).success();
    assert_eq!(list(&sandbox), ALL[2..]);
    write(&sandbox, |stack| stack.replace("toset([\"a\", \"b.c\"])", "toset([])"));
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    with(
        "resource \"lamp_cluster\" \"moved\" {\n  for_each = toset([\"a\", \"b.c\"])\n  name     = \"many-${index([\"a\", \"b.c\"], each.key)}\"\n  nodes    = 0\n  app      = \"./app\"\n}\n",
    );
    let plan = sandbox.lampwright("other", &["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{}", plan.stdout);
    for backup in ["stack/terraform.tfstate.backup", "other/terraform.tfstate.backup"] {
        assert!(sandbox.join(backup).exists(), "{backup}");
    }
    // Or into a file that nobody has used.
    state(&sandbox, &["mv", "module.sub", "module.sub", "-state-out", "new.tfstate"]).success();
    let listed = state(&sandbox, &["list", "-state=new.tfstate"]).success();
    assert_eq!(listed.lines().collect::<Vec<_>>(), ALL[4..]);
    state(&sandbox, &["mv", "module.sub", "module.sub", "-state=new.tfstate", "-state-out", "terraform.tfstate"])
        .success();
    assert_eq!(list(&sandbox), ALL[2..]);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    sandbox.lampwright("other", &["destroy", "-auto-approve"]).success();
}

#[test]
fn another_provider_takes_over() {
    let sandbox = up();
    sandbox.write("terraform.rc", "");
    let replace = |args: &[&str]| state(&sandbox, &[&["replace-provider"], args].concat());
    let (ours, other) = ("lampwright/lampwright", "example.test/other/lampwright");
    assert!(replace(&["a b", other]).failure().contains("\"a b\" is no provider"));
    let unknown = replace(&["hashicorp/aws", other]).failure();
    assert!(unknown.contains("There is: registry.terraform.io/lampwright/lampwright"), "{unknown}");
    // Nobody says yes.
    assert!(replace(&[ours, other]).failure().contains("nothing was changed"));
    let told = replace(&["-auto-approve", ours, other]).success();
    assert!(told.contains("example.test/other/lampwright manages 6 objects of"), "{told}");
    let text = state(&sandbox, &["pull"]).success();
    assert!(text.contains("provider[\\\"example.test/other/lampwright\\\"]"), "{text}");
    assert!(!text.contains("registry.terraform.io/lampwright"), "{text}");
    assert_eq!(list(&sandbox), ALL);
    replace(&["-auto-approve", other, ours]).success();
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// Who has patience goes on when the other run has ended.
#[test]
fn a_lock_is_waited_for() {
    let sandbox = up();
    let mut held = sandbox.lampwright_command("stack", &["destroy"]);
    let mut held = held.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("lampwright runs");
    let mut shown = BufReader::new(held.stdout.take().expect("its output"));
    let mut text = String::new();
    while !text.contains("to destroy") {
        assert!(shown.read_line(&mut text).expect("UTF-8") > 0, "{text}");
    }
    assert!(sandbox.lampwright("stack", &["plan", "-lock-timeout=5x"]).failure().contains("write it like 30s, 1.5s"));
    let refused = sandbox.lampwright("stack", &["plan", "-lock-timeout=1s"]).failure();
    assert!(
        refused.contains("; waiting for it") && refused.contains("the state is locked by another run"),
        "{refused}"
    );
    let mut patient = sandbox.lampwright_command("stack", &["plan", "-detailed-exitcode", "-lock-timeout=1m30s"]);
    let mut patient = patient.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("lampwright runs");
    let mut said = BufReader::new(patient.stderr.take().expect("its errors"));
    let mut told = String::new();
    while !told.contains("; waiting for it") {
        assert!(said.read_line(&mut told).expect("UTF-8") > 0, "{told}");
    }
    drop(held.stdin.take());
    held.wait().expect("it has ended");
    assert_eq!(patient.wait().expect("it has ended").code(), Some(0));
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}
