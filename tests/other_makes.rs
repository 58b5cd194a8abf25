//! Providers of other makes, through their whole lives: protocol 5 with one on Debian's go-plugin and with HashiCorp's `null` of
//! the old SDK, protocol 6 with one on the Python package `tf` and with `pyvider`. `tests/testbeds/providers/up` makes them. The real
//! terraform agrees with every state that is left.

use std::path::PathBuf;
use std::process::Command;

use crate::reattached::Started;
use crate::sandbox::{Ran, Sandbox};
use crate::terraform::{self, Terraform};

/// A folder for a stack of foreign providers.
struct Bed {
    sandbox: Sandbox,
    bin: PathBuf,
}

impl Bed {
    fn new(stack: &str) -> Bed {
        let bed = std::env::var_os("LAMPWRIGHT_TESTBED_PROVIDERS").expect("scripts/test-providers says where they are");
        let bin = PathBuf::from(bed).join("bin");
        let mut sandbox = Sandbox::new();
        let overrides = ["five", "null", "pytf", "pyvider"].map(|name| {
            let namespace = if name == "null" { "hashicorp" } else { "example.com/other" };
            format!("    \"{namespace}/{name}\" = \"{}\"\n", bin.display())
        });
        let rc = format!("provider_installation {{\n  dev_overrides {{\n{}  }}\n}}\n", overrides.concat());
        sandbox.write("terraform.rc", &rc);
        sandbox.write("stack/main.tf", stack);
        std::fs::create_dir(sandbox.join("store")).expect("a folder");
        let at = |name: &str| sandbox.join(name).display().to_string();
        let environment = [
            ("TF_CLI_CONFIG_FILE", at("terraform.rc")),
            ("FIVE_LOG", at("five.log")),
            ("PYTF_STORE", at("store")),
            ("HOME", at("home")),
            ("PYVIDER_TESTMODE", "true".to_owned()),
            ("PYVIDER_PRIVATE_STATE_SHARED_SECRET", "0123456789abcdef0123456789abcdef".to_owned()),
            ("PYVIDER_SECRET_NOTE_INDEX", at("notes.json")),
        ];
        sandbox.environment.extend(environment.map(|(name, value)| (name.to_owned(), value)));
        Bed { sandbox, bin }
    }

    fn ours(&self, args: &[&str]) -> Ran {
        self.sandbox.lampwright("stack", args)
    }

    fn with(&self, variable: (&str, &str), args: &[&str]) -> Ran {
        let mut command = self.sandbox.lampwright_command("stack", args);
        Ran::of(command.env(variable.0, variable.1).output().expect("lampwright runs"))
    }

    /// Nothing is left to do, and terraform sees the same with the same state.
    fn is_settled(&self, arguments: &[&str]) {
        let args = [["plan", "-detailed-exitcode"].as_slice(), arguments].concat();
        let plan = self.ours(&args);
        assert_eq!(plan.code, 0, "{}{}", plan.stdout, plan.stderr);
        if let Some(program) = terraform::program() {
            let theirs = Terraform { sandbox: &self.sandbox, program, folder: "stack" };
            let plan = theirs
                .run(&[["plan", "-detailed-exitcode", "-input=false", "-no-color"].as_slice(), arguments].concat());
            assert_eq!(plan.code, 0, "{}{}", plan.stdout, plan.stderr);
        }
    }

    /// What programs are told of the state, and of a plan, is what terraform tells them.
    fn documents_agree(&self, arguments: &[&str]) {
        let Some(program) = terraform::program() else { return };
        let theirs = Terraform { sandbox: &self.sandbox, program, folder: "stack" };
        let read = |ran: Ran| serde_json::from_str::<serde_json::Value>(&ran.success()).expect("JSON");
        let sorted = |mut document: serde_json::Value| {
            let resources = document["values"]["root_module"]["resources"].as_array_mut().expect("resources");
            resources.sort_by_key(|resource| resource["address"].as_str().map(str::to_owned));
            document["values"].take()
        };
        assert_eq!(sorted(read(self.ours(&["show", "-json"]))), sorted(read(theirs.run(&["show", "-json"]))));
        self.ours(&[["plan", "-out", "ours.tfplan"].as_slice(), arguments].concat()).success();
        theirs.run(&[["plan", "-input=false", "-out=theirs.tfplan"].as_slice(), arguments].concat()).success();
        let changes = |mut document: serde_json::Value| {
            let changes = document["resource_changes"].as_array_mut().expect("changes");
            // Why, in their words, and data sources that were read have no place in theirs.
            changes
                .iter_mut()
                .filter_map(serde_json::Value::as_object_mut)
                .for_each(|change| drop(change.remove("action_reason")));
            changes.retain(|change| {
                change["change"]["actions"] != serde_json::json!(["no-op"]) || change["mode"] == "managed"
            });
            changes.sort_by_key(|change| change["address"].as_str().map(str::to_owned));
            changes.clone()
        };
        let (ours, theirs) =
            (read(self.ours(&["show", "-json", "ours.tfplan"])), read(theirs.run(&["show", "-json", "theirs.tfplan"])));
        assert_eq!(changes(ours), changes(theirs));
    }

    fn state(&self) -> String {
        std::fs::read_to_string(self.sandbox.join("stack/terraform.tfstate")).expect("a state")
    }

    fn output(&self, name: &str) -> String {
        self.ours(&["output", "-raw", name]).success()
    }

    /// How often the provider `five` was asked for something.
    fn calls(&self, call: &str) -> usize {
        let log = std::fs::read_to_string(self.sandbox.join("five.log")).unwrap_or_default();
        log.lines().filter(|line| line.split(' ').nth(1) == Some(call)).count()
    }
}

const FIVE: &str = r#"terraform {
  required_providers {
    five = { source = "example.com/other/five" }
  }
}
variable "n" { default = "alpha" }
variable "version_of_secret" { default = 1 }
provider "five" { store = "../store" }
resource "five_thing" "a" {
  name           = var.n
  tags           = { x = "1", y = "2" }
  list           = ["p", "q"]
  pw             = "hush"
  secret_wo      = ephemeral.five_token.t.value
  secret_version = var.version_of_secret
  any            = [1, "two", true]
  obj            = { a = "s", b = 2.5 }
  rule { port = 80 }
  rule {
    port  = 443
    proto = "tcp"
  }
  step {
    cmd = "build"
    env "K" { value = "v" }
  }
  step { cmd = "run" }
  meta { owner = "me" }
  limits { cpu = 2 }
}
resource "five_thing" "b" {
  count = 2
  name  = "${five_thing.a.id}-${count.index}"
  size  = count.index + 5
}
ephemeral "five_token" "t" {
  name          = "tok"
  renew_seconds = 1
}
data "five_lookup" "l" {
  name       = five_thing.a.name
  depends_on = [five_thing.a]
}
output "id" { value = five_thing.a.id }
output "found" { value = data.five_lookup.l.found }
output "join" { value = provider::five::join("-", "a", "b", five_thing.a.name) }
output "shape" { value = provider::five::shape({ a = 1, b = ["x", null] }).known }
"#;
const OLD: &str = "resource \"five_old\" \"o\" {\n  title = \"legacy\"\n}\n";
const APPLY: &[&str] = &["apply", "-auto-approve"];

#[test]
fn protocol_5_is_driven_through_a_whole_life() {
    let bed = Bed::new(FIVE);
    bed.sandbox.write("stack/old.tf", OLD);
    bed.ours(&["validate"]).success();
    // It takes long enough for what is open to be renewed.
    let applied = bed.with(("FIVE_SLOW", "2"), APPLY).success();
    assert!(applied.contains("4 added"), "{applied}");
    assert_eq!([bed.output("found"), bed.output("join"), bed.output("shape")], ["true", "a-b-alpha", "true"]);
    let opened = bed.calls("OpenEphemeralResource");
    assert!(opened >= 2 && opened == bed.calls("CloseEphemeralResource"), "{opened}");
    assert!(bed.calls("RenewEphemeralResource") > 0);
    // What is only written came to it, and is nowhere here.
    let stored = std::fs::read_to_string(bed.sandbox.join(&format!("store/five-{}.json", bed.output("id"))));
    assert!(!bed.state().contains("tok-") && stored.is_ok(), "{}", bed.state());
    bed.is_settled(&[]);
    // In place, and in the place of.
    let planned = bed.ours(&["plan", "-var", "version_of_secret=2"]).success();
    assert!(planned.contains("0 to add, 1 to change, 0 to destroy"), "{planned}");
    bed.ours(&[APPLY, &["-var", "version_of_secret=2"]].concat()).success();
    bed.is_settled(&["-var", "version_of_secret=2"]);
    let before = bed.output("id");
    bed.ours(&[APPLY, &["-var", "n=beta"]].concat()).success();
    assert_ne!(bed.output("id"), before);
    bed.is_settled(&["-var", "n=beta"]);
    // One of the older type becomes one of the newer, and stays the same thing.
    let id = |name: &str| {
        let state: serde_json::Value = serde_json::from_str(&bed.state()).expect("JSON");
        let mut resources = state["resources"].as_array().expect("resources").iter();
        resources
            .find(|resource| resource["name"] == name)
            .map(|resource| resource["instances"][0]["attributes"]["id"].clone())
    };
    let old = id("o").expect("there");
    let moved = "resource \"five_thing\" \"o\" {\n  name = \"legacy\"\n}\nmoved {\n  from = five_old.o\n  to   = five_thing.o\n}\n";
    bed.sandbox.write("stack/old.tf", moved);
    let planned = bed.ours(&["plan", "-var", "n=beta"]).success();
    assert!(
        planned.contains("five_old.o") && planned.contains("0 to add") && planned.contains("0 to destroy"),
        "{planned}"
    );
    bed.ours(&["plan", "-var", "n=beta", "-out", "saved.tfplan"]).success();
    bed.ours(&["apply", "saved.tfplan"]).success();
    assert_eq!((id("o"), bed.calls("MoveResourceState") > 0), (Some(old.clone()), true));
    bed.is_settled(&["-var", "n=beta"]);
    // What is forgotten is found again by its id: by the command, and by a block.
    bed.ours(&["state", "rm", "five_thing.o"]).success();
    let id_text = old.as_str().expect("a text").to_owned();
    bed.ours(&["import", "-var", "n=beta", "five_thing.o", &id_text]).success();
    bed.is_settled(&["-var", "n=beta"]);
    bed.ours(&["state", "rm", "five_thing.o"]).success();
    bed.sandbox.write("stack/import.tf", &format!("import {{\n  to = five_thing.o\n  id = \"{id_text}\"\n}}\n"));
    let applied = bed.ours(&[APPLY, &["-var", "n=beta"]].concat()).success();
    assert!(applied.contains("1 imported") && id("o") == Some(old), "{applied}");
    // A state of an older schema is brought up to date.
    let older = bed
        .state()
        .replace("\"schema_version\": 1", "\"schema_version\": 0")
        .replace("\"name\": \"legacy\"", "\"title\": \"legacy\"");
    std::fs::write(bed.sandbox.join("stack/terraform.tfstate"), older).expect("written");
    bed.is_settled(&["-var", "n=beta"]);
    bed.ours(&["destroy", "-auto-approve", "-var", "n=beta"]).success();
    let left = std::fs::read_dir(bed.sandbox.join("store")).expect("a folder").count();
    assert_eq!((left, bed.ours(&["state", "list"]).success()), (0, String::new()));
}

#[test]
fn what_a_provider_of_protocol_5_does_wrong_is_told_as_its() {
    let bed = Bed::new(FIVE);
    let told = bed.with(("FIVE_CRASH", "ApplyResourceChange"), APPLY).failure();
    assert!(told.contains("the plugin of example.com/other/five") && told.contains("ApplyResourceChange"), "{told}");
    // It has made nothing before it died.
    bed.ours(APPLY).success();
    bed.is_settled(&[]);
    let told = bed.with(("FIVE_FAIL", "ReadResource"), &["plan"]).failure();
    assert!(told.contains("five_thing") || told.contains("ReadResource"), "{told}");
    // What the old SDK may do, nobody else may.
    let other = FIVE.replace("name           = var.n", "name           = \"${var.n}-2\"");
    bed.sandbox.write("stack/main.tf", &other);
    let told = bed.with(("FIVE_LEGACY", "lie"), &["plan"]).failure();
    assert!(told.contains("broke a promise"), "{told}");
    bed.with(("FIVE_LEGACY", "1"), APPLY).success();
    // What is only written is not read back.
    bed.ours(APPLY).success();
    let store = std::fs::read_dir(bed.sandbox.join("store"))
        .expect("a folder")
        .next()
        .expect("a thing")
        .expect("an entry")
        .path();
    let text = std::fs::read_to_string(&store).expect("a thing");
    let leaky = text.replace("\"secret_wo\":null", "\"secret_wo\":\"LEAKED\"");
    assert_ne!(text, leaky);
    std::fs::write(&store, leaky).expect("written");
    let told = bed.ours(&["plan"]).failure();
    assert!(told.contains("only written") && !told.contains("LEAKED"), "{told}");
    std::fs::write(&store, text).expect("written");
    let import = "import {\n  to = five_thing.b[1]\n  id = \"typo\"\n}\n";
    bed.ours(&["state", "rm", "five_thing.b[1]"]).success();
    bed.sandbox.write("stack/import.tf", import);
    let told = bed.ours(&["plan"]).failure();
    assert!(told.contains("there is nothing with the id \"typo\""), "{told}");
    bed.sandbox.replace("stack/import.tf", "");
    // Of a function, and of arguments that it does not have.
    for (call, part) in [
        ("provider::five::fail(\"a\", \"b\")", "`provider::five::fail`"),
        ("provider::five::join()", "at least 1 argument"),
        ("provider::five::jion(\"-\")", "did you mean `join`?"),
        ("provider::six::join(\"-\")", "has no provider named `six`"),
        ("provider::five::join([])", "`sep` of `provider::five::join`"),
    ] {
        bed.sandbox.write("stack/call.tf", &format!("output \"call\" {{\n  value = {call}\n}}\n"));
        let told = bed.ours(&["plan"]).failure();
        assert!(told.contains(part), "{call}: {told}");
    }
    bed.sandbox.replace("stack/call.tf", "");
    bed.ours(&["destroy", "-auto-approve"]).success();
}

/// Where it would be stored, and where not.
#[test]
fn what_is_ephemeral_is_refused_where_it_would_be_stored() {
    let bed = Bed::new(FIVE);
    for (text, part) in [
        (
            "output \"o\" {\n  value = ephemeral.five_token.t.value\n}\n",
            "this value is ephemeral, and the output is not",
        ),
        (
            "resource \"five_thing\" \"x\" {\n  name = ephemeral.five_token.t.value\n}\n",
            "`name` is stored in plans and states",
        ),
        (
            "resource \"five_thing\" \"x\" {\n  count = length(ephemeral.five_token.t.value)\n  name = \"x\"\n}\n",
            "`count` cannot be",
        ),
        (
            "data \"five_lookup\" \"x\" {\n  name = ephemeral.five_token.t.value\n}\n",
            "`name` is stored in plans and states",
        ),
        ("output \"o\" {\n  value = 1\n  ephemeral = true\n}\n", "ephemeral"),
        (
            "variable \"v\" {\n  default   = 1\n  ephemeral = true\n}\noutput \"o\" {\n  value = var.v + 1\n}\n",
            "this value is ephemeral",
        ),
    ] {
        bed.sandbox.write("stack/more.tf", text);
        for args in [&["validate"], &["plan"]] {
            let told = bed.ours(args).failure();
            assert!(told.contains(part), "{text}: {told}");
        }
        if let Some(program) = terraform::program() {
            Terraform { sandbox: &bed.sandbox, program, folder: "stack" }.run(&["validate"]).failure();
        }
    }
    let fine = "locals {\n  seen = nonsensitive(ephemeral.five_token.t.value)\n}\nvariable \"v\" {\n  default   = \"x\"\n  ephemeral = true\n}\n\
        provider \"five\" {\n  alias = \"two\"\n  store = \"../store\"\n  token = \"${var.v}${local.seen}\"\n}\n\
        output \"o\" {\n  value = ephemeralasnull(local.seen) == null\n}\n";
    bed.sandbox.write("stack/more.tf", fine);
    bed.ours(APPLY).success();
    assert_eq!(bed.output("o"), "true");
    bed.is_settled(&[]);
    // A saved plan has no value of a variable that is not stored: whoever applies it gives it again.
    let more = fine.replace("default   = \"x\"\n  ", "");
    bed.sandbox.write(
        "stack/more.tf",
        &format!("{more}resource \"five_thing\" \"c\" {{\n  name     = \"c\"\n  provider = five.two\n}}\n"),
    );
    let secret = ["-var", "v=hunter2"];
    bed.ours(&[["plan", "-out", "saved.tfplan"].as_slice(), &secret].concat()).success();
    let saved = std::fs::read(bed.sandbox.join("stack/saved.tfplan")).expect("a plan");
    assert!(!String::from_utf8_lossy(&saved).contains("hunter2"));
    let told = bed.ours(&["apply", "saved.tfplan"]).failure();
    assert!(told.contains("the variable `v` has no value"), "{told}");
    bed.ours(&[["apply"].as_slice(), &secret, &["saved.tfplan"]].concat()).success();
    bed.ours(&[["destroy", "-auto-approve"].as_slice(), &secret].concat()).success();
}

/// HashiCorp's own, of the SDK that plans as it should not: a map that is partly known as unknown.
#[test]
fn a_provider_of_the_old_sdk_is_driven() {
    let bed = Bed::new(
        r#"terraform {
  required_providers {
    null = { source = "hashicorp/null" }
  }
}
variable "t" { default = "1" }
resource "null_resource" "a" { triggers = { t = var.t } }
resource "null_resource" "n" {
  count    = 2
  triggers = { i = count.index, a = null_resource.a.id }
}
data "null_data_source" "d" { inputs = { x = null_resource.a.id } }
output "same" { value = data.null_data_source.d.outputs.x == null_resource.a.id }
"#,
    );
    bed.ours(APPLY).success();
    assert_eq!(bed.output("same"), "true");
    bed.is_settled(&[]);
    bed.documents_agree(&["-var", "t=2"]);
    let applied = bed.ours(&[APPLY, &["-var", "t=2"]].concat()).success();
    assert!(applied.contains("3 added, 0 changed, 3 destroyed"), "{applied}");
    bed.is_settled(&["-var", "t=2"]);
    // What is built in takes it over, as terraform's does.
    let state: serde_json::Value = serde_json::from_str(&bed.state()).expect("JSON");
    let of_a = |state: &serde_json::Value| {
        let mut resources = state["resources"].as_array().expect("resources").iter();
        resources.find(|resource| resource["name"] == "a").map(|a| a["instances"][0]["attributes"]["id"].clone())
    };
    let moved = "resource \"terraform_data\" \"a\" {\n  triggers_replace = { t = \"2\" }\n}\n\
        moved {\n  from = null_resource.a\n  to   = terraform_data.a\n}\n\
        removed {\n  from = null_resource.n\n}\nterraform {\n  required_providers {\n    null = { source = \"hashicorp/null\" }\n  }\n}\n";
    bed.sandbox.write("stack/main.tf", moved);
    let applied = bed.ours(APPLY).success();
    assert!(applied.contains("0 added, 0 changed, 2 destroyed"), "{applied}");
    assert_eq!(of_a(&serde_json::from_str(&bed.state()).expect("JSON")), of_a(&state));
    bed.is_settled(&[]);
    // What cannot become it is refused, and nothing is changed.
    let refused =
        moved.replace("terraform_data\" \"a\"", "null_resource\" \"z\"").replace("triggers_replace", "triggers");
    let refused = refused
        .replace("from = null_resource.a", "from = terraform_data.a")
        .replace("to   = terraform_data.a", "to   = null_resource.z");
    bed.sandbox.write("stack/main.tf", &refused);
    let told = bed.ours(&["plan"]).failure();
    assert!(told.contains("it makes no null_resource of a terraform_data"), "{told}");
    bed.sandbox.write("stack/main.tf", moved);
    bed.ours(&["destroy", "-auto-approve"]).success();
}

#[test]
fn protocol_6_is_driven_through_a_whole_life() {
    let bed = Bed::new(
        r#"terraform {
  required_providers {
    pytf = { source = "example.com/other/pytf" }
  }
}
variable "n" { default = "alpha" }
variable "size" { default = 2 }
provider "pytf" { prefix = "px" }
resource "pytf_thing" "a" {
  name  = var.n
  size  = var.size
  tags  = { x = "1" }
  zones = ["z2", "z1"]
  list  = [1, 2.5]
  pw    = "hush"
  rule { port = 80 }
  rule {
    port  = 443
    proto = "tcp"
  }
}
resource "pytf_thing" "b" {
  count = 2
  name  = "${pytf_thing.a.id}-${count.index}"
}
data "pytf_lookup" "l" {
  name       = var.n
  depends_on = [pytf_thing.a]
}
output "id" { value = pytf_thing.a.id }
output "found" { value = data.pytf_lookup.l.id }
output "join" { value = provider::pytf::join("-", "a", var.n) }
"#,
    );
    bed.ours(APPLY).success();
    assert_eq!((bed.output("found"), bed.output("join").as_str()), (bed.output("id"), "a-alpha"));
    bed.is_settled(&[]);
    let id = bed.output("id");
    let applied = bed.ours(&[APPLY, &["-var", "size=3"]].concat()).success();
    assert!(applied.contains("0 added, 1 changed, 0 destroyed") && bed.output("id") == id, "{applied}");
    bed.is_settled(&["-var", "size=3"]);
    bed.ours(&["state", "rm", "pytf_thing.a"]).success();
    bed.ours(&["import", "-var", "size=3", "pytf_thing.a", &id]).success();
    bed.is_settled(&["-var", "size=3"]);
    let told = bed.ours(&["import", "pytf_thing.a", "nowhere"]).failure();
    assert!(told.contains("pytf_thing.a"), "{told}");
    bed.ours(&[APPLY, &["-var", "n=beta"]].concat()).success();
    assert_ne!(bed.output("id"), id);
    bed.sandbox.write("stack/more.tf", "output \"bad\" {\n  value = provider::pytf::join(\"!\", \"a\")\n}\n");
    let told = bed.ours(&["plan"]).failure();
    assert!(told.contains("no such separator"), "{told}");
    bed.sandbox.write("stack/more.tf", "resource \"pytf_thing\" \"bad\" {\n  name = \"bad\"\n}\n");
    let told = bed.ours(&["validate"]).failure();
    assert!(told.contains("name may not be bad") && told.contains("more.tf:2"), "{told}");
    bed.sandbox.write("stack/more.tf", "");
    bed.ours(&["destroy", "-auto-approve"]).success();
    assert_eq!(std::fs::read_dir(bed.sandbox.join("store")).expect("a folder").count(), 0);
}

/// Protocol 6 with what is not stored, and with private state that is encrypted.
#[test]
fn what_is_only_written_and_what_is_private_goes_to_a_provider_of_protocol_6() {
    let bed = Bed::new(
        r#"terraform {
  required_providers {
    pyvider = { source = "example.com/other/pyvider" }
  }
}
variable "c" { default = "hello" }
variable "v" { default = "1" }
ephemeral "pyvider_lease" "l" {
  name        = "lock"
  path        = "${path.module}/l.lease"
  ttl_seconds = 300
}
resource "pyvider_secret_note" "s" {
  name           = "k"
  secret_value   = "horse-${var.v}"
  secret_version = var.v
}
resource "pyvider_private_state_verifier" "p" { input_value = "abc" }
resource "pyvider_file_content" "f" {
  count    = 2
  filename = "${path.module}/f${count.index}"
  content  = provider::pyvider::upper(var.c)
}
data "pyvider_file_info" "i" { path = pyvider_file_content.f[0].filename }
output "size" { value = data.pyvider_file_info.i.size }
output "secret" { value = pyvider_private_state_verifier.p.decrypted_token }
"#,
    );
    bed.ours(APPLY).success();
    assert_eq!([bed.output("size"), bed.output("secret")], ["5", "SECRET_FOR_ABC"]);
    assert!(!bed.state().contains("horse"), "{}", bed.state());
    assert!(std::fs::read_to_string(bed.sandbox.join("stack/f1")).is_ok_and(|text| text == "HELLO"));
    bed.is_settled(&[]);
    let applied = bed.ours(&[APPLY, &["-var", "v=2", "-var", "c=hi"]].concat()).success();
    assert!(applied.contains("3 changed") && !bed.state().contains("horse"), "{applied}");
    bed.is_settled(&["-var", "v=2", "-var", "c=hi"]);
    bed.ours(&["destroy", "-auto-approve"]).success();
    assert!(!bed.sandbox.join("stack/f1").exists() && bed.bin.exists());
}

/// One process through a whole life, as a developer has it in a debugger; terraform uses the same.
#[test]
fn a_provider_that_runs_already_serves_one_command_after_the_other() {
    let mut bed = Bed::new(FIVE);
    let mut program = Command::new(bed.bin.join("terraform-provider-five"));
    // It is configured with a folder that is relative to where it runs.
    let at = bed.sandbox.join("stack");
    let mut plugin = Started::new(
        "example.com/other/five",
        program.current_dir(at).envs(bed.sandbox.environment.iter().map(|(name, value)| (name, value))),
    );
    bed.sandbox.environment.push(("TF_REATTACH_PROVIDERS".to_owned(), plugin.variable.clone()));
    bed.ours(&["validate"]).success();
    bed.ours(APPLY).success();
    bed.is_settled(&[]);
    bed.ours(&["destroy", "-auto-approve"]).success();
    let log = std::fs::read_to_string(bed.sandbox.join("five.log")).expect("a log");
    let pid = format!("{} ", plugin.pid());
    assert!(plugin.is_running() && log.lines().all(|line| line.starts_with(&pid)), "{log}");
}

/// What a module tells of itself comes to the provider as from terraform, to the byte.
#[test]
fn a_provider_is_told_what_a_module_says_of_itself() {
    let bed = Bed::new("module \"m\" {\n  source = \"./m\"\n}\n");
    let module = |meta: &str| {
        format!(
            "terraform {{\n  required_providers {{\n    five = {{ source = \"example.com/other/five\" }}\n  }}\n  {meta}\n}}\n\
            provider \"five\" {{\n  store = \"../store\"\n}}\nresource \"five_thing\" \"a\" {{\n  name = \"a\"\n}}\n"
        )
    };
    bed.sandbox.write("stack/m/main.tf", &module("provider_meta \"five\" {\n    module = \"net/1.0\"\n  }"));
    let told = || {
        let log = std::fs::read_to_string(bed.sandbox.join("five.log")).expect("a log");
        std::fs::remove_file(bed.sandbox.join("five.log")).expect("removed");
        let lines = log.lines().filter_map(|line| line.split_once("  provider_meta "));
        lines.map(|(_, bytes)| bytes.to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    bed.ours(&["plan"]).success();
    let ours = told();
    assert_eq!(ours.len(), 1);
    if let Some(program) = terraform::program() {
        let theirs = Terraform { sandbox: &bed.sandbox, program, folder: "stack" };
        theirs.run(&["get"]).success();
        theirs.run(&["plan", "-input=false"]).success();
        assert_eq!(told(), ours);
    }
    bed.ours(APPLY).success();
    bed.is_settled(&[]);
    bed.ours(&["destroy", "-auto-approve"]).success();
}
