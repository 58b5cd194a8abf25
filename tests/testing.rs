//! `lampwright test`: the walk through of docs/testing-modules.md, the verdicts of the real terraform, and what tests
//! make on a cloud.

use std::time::Duration;

use serde_json::Value as Json;

use crate::sandbox::{Ran, Sandbox, copy, no_plugin_in, repository, wait_for};
use crate::terraform::{Terraform, program, write_config};
use crate::walk::{stable, walk_through};

#[test]
fn the_walk_through_is_as_it_is_written() {
    walk_through("docs/testing-modules.md", &Sandbox::new());
}

/// What each run of each file came to, by `-json`.
fn verdicts(ran: &Ran) -> Vec<(String, String)> {
    let lines = ran.stdout.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    let runs = lines.filter(|line| line["type"] == "test_run" && line["test_run"]["progress"] == "complete");
    let verdict = |line: Json| {
        let run = &line["test_run"];
        let text = |name: &str| run[name].as_str().unwrap_or_default().to_owned();
        (format!("{}:{}", text("path"), text("run")), text("status"))
    };
    let mut found: Vec<(String, String)> = runs.map(verdict).collect();
    found.sort();
    found
}

const MODULE: &str = r#"stack "subject" {}
variable "members" {
  type    = number
  default = 3
  validation {
    condition     = var.members > 0
    error_message = "At least one member."
  }
}
resource "mongo_replset" "db" {
  members = var.members
  lifecycle {
    precondition {
      condition     = var.members < 9
      error_message = "At most eight members."
    }
  }
}
output "set" {
  value = mongo_replset.db.replica_set
  precondition {
    condition     = var.members != 4
    error_message = "Not four."
  }
}
output "id" { value = mongo_replset.db.id }
output "members" { value = var.members }
"#;

/// Each file ends in a way of its own.
const FILES: &[(&str, &str)] = &[
    (
        "good",
        r#"variables { members = 5 }
run "plan" {
  command = plan
  assert {
    condition     = var.members == 5 && length(mongo_replset.db.machines) == 5 && output.set == "rs0"
    error_message = "five"
  }
}
run "own_value" {
  command = plan
  variables { members = run.plan.members + 1 }
  assert {
    condition     = length(mongo_replset.db.machines) == 6 && run.plan.members == 5
    error_message = "six"
  }
}
run "undeclared" {
  command = plan
  variables { nobody = 1 }
}
"#,
    ),
    (
        "failures",
        r#"run "wrong" {
  command = plan
  assert {
    condition     = output.set == "other"
    error_message = "it is ${output.set}"
  }
  assert {
    condition     = length(mongo_replset.db.machines) == 3
    error_message = "three"
  }
}
run "next_one_goes_on" { command = plan }
"#,
    ),
    (
        "expected",
        r#"run "variable" {
  command = plan
  variables { members = 0 }
  expect_failures = [var.members]
}
run "output" {
  command = plan
  variables { members = 4 }
  expect_failures = [output.set]
}
run "resource" {
  command = plan
  variables { members = 9 }
  expect_failures = [mongo_replset.db]
}
run "did_not_come" {
  command         = plan
  expect_failures = [var.members]
}
run "skipped" { command = plan }
"#,
    ),
    (
        "unexpected",
        r#"run "variable" {
  command = plan
  variables { members = 0 }
}
run "skipped" { command = plan }
"#,
    ),
    (
        "not_known",
        r#"run "only_after_apply" {
  command = plan
  assert {
    condition     = mongo_replset.db.uri != ""
    error_message = "not known"
  }
}
run "skipped" { command = plan }
"#,
    ),
    (
        "nothing",
        r#"run "no_such_resource" {
  command = plan
  assert {
    condition     = mongo_replset.other.members == 3
    error_message = "x"
  }
}
run "skipped" { command = plan }
"#,
    ),
    (
        "planned_away",
        r#"run "apply_needs_a_plan" {
  variables { members = 0 }
  expect_failures = [var.members]
}
run "skipped" { command = plan }
"#,
    ),
    (
        "mocked",
        r#"mock_provider "lampwright" {
  mock_resource "mongo_replset" {
    defaults = { replica_set = "mocked" }
  }
}
run "applied" {
  assert {
    condition     = output.set == "mocked" && length(mongo_replset.db.id) == 8 && mongo_replset.db.members == 3
    error_message = "${output.set} ${mongo_replset.db.id}"
  }
}
run "applied_again" {
  variables { members = 2 }
  assert {
    condition     = mongo_replset.db.id == run.applied.id && mongo_replset.db.members == 2
    error_message = "the same object"
  }
}
"#,
    ),
    (
        "mocked_in_plan",
        r#"mock_provider "lampwright" {
  override_during = plan
  mock_resource "mongo_replset" {
    defaults = { replica_set = "planned" }
  }
}
run "plan" {
  command = plan
  assert {
    condition     = output.set == "planned"
    error_message = "${output.set}"
  }
}
"#,
    ),
    (
        "mocked_without_words",
        r#"mock_provider "lampwright" {
  override_during = plan
}
run "plan" {
  command = plan
  assert {
    condition     = output.id != null
    error_message = "known only after apply"
  }
}
"#,
    ),
    (
        "overrides_of_nothing",
        r#"mock_provider "lampwright" {
  mock_resource "mongo_replset" {
    defaults = { replica_sets = "misspelled" }
  }
  mock_resource "no_such_type" {
    defaults = { a = 1 }
  }
}
run "plan" {
  command = plan
  override_resource {
    target = mongo_replset.nobody
  }
  override_resource {
    target = mongo_replset.db
    values = { members = 9, nonsense = 1 }
  }
  override_module {
    target = module.nobody
  }
  assert {
    condition     = mongo_replset.db.members == 3
    error_message = "what a configuration sets is not overridden"
  }
}
"#,
    ),
    (
        "overridden",
        r#"override_resource {
  target          = mongo_replset.db
  override_during = plan
  values          = { replica_set = "planned" }
}
run "plan" {
  command = plan
  assert {
    condition     = output.set == "planned"
    error_message = "${output.set}"
  }
}
run "own" {
  override_resource {
    target = mongo_replset.db
    values = { replica_set = "own" }
  }
  assert {
    condition     = output.set == "own"
    error_message = "${output.set}"
  }
}
"#,
    ),
];

/// The same files, run by the real terraform on the exported module.
#[test]
fn verdicts_are_those_of_terraform() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    sandbox.write("module/main.stack.hcl", MODULE);
    sandbox.write("module/provider.stack.hcl", &sandbox.provider_block());
    for (name, text) in FILES {
        sandbox.write(&format!("module/tests/{name}.tftest.hcl"), text);
    }
    let ours = verdicts(&sandbox.lampwright("module", &["test", "-json"]));
    let out = sandbox.join("exported").display().to_string();
    sandbox.lampwright(".", &["export", "module", &out]).success();
    write_config(&sandbox);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "exported" };
    let theirs = verdicts(&terraform.run(&["test", "-json"]));
    assert_eq!(ours.len(), FILES.iter().map(|(_, text)| text.matches("run \"").count()).sum::<usize>(), "{ours:#?}");
    assert_eq!(ours, theirs);
}

/// The library's own tests, too; without snapshots, which Terraform does not know.
#[test]
fn terraform_finds_the_library_as_good() {
    let Some(program) = program() else { return };
    for module in modules::names() {
        let sandbox = Sandbox::new();
        copy(&repository().join("modules").join(module), &sandbox.join("module"));
        let ours = verdicts(&sandbox.lampwright("module", &["test", "-json"]));
        let out = sandbox.join("exported").display().to_string();
        sandbox.lampwright(".", &["export", "module", &out]).success();
        write_config(&sandbox);
        // Where the library is unpacked the export has its folders, too.
        let terraform = Terraform { sandbox: &sandbox, program: program.clone(), folder: "exported" };
        terraform.run(&["get"]).success();
        let theirs = verdicts(&terraform.run(&["test", "-json"]));
        assert!(!ours.is_empty() && ours.iter().all(|(_, status)| status == "pass"), "{module}: {ours:?}");
        assert_eq!(ours, theirs, "{module}");
    }
}

/// A test that was killed leaves what it made; the next one tells how it is removed, and that is so.
#[test]
fn what_a_killed_test_leaves_is_told() {
    let mut sandbox = Sandbox::new();
    sandbox.write("module/main.stack.hcl", &format!("{MODULE}{}", sandbox.provider_block()));
    sandbox.write("module/tests/a.tftest.hcl", "run \"applied\" {}\n");
    let mut test = sandbox.lampwright_command("module", &["test"]).spawn().expect("lampwright starts");
    wait_for("a machine", Duration::from_secs(30), || !sandbox.machines().is_empty());
    test.kill().expect("killed");
    test.wait().expect("it has ended");
    wait_for("the orphaned plugin's end", Duration::from_secs(10), || no_plugin_in(&sandbox, "module"));
    sandbox.write("module/tests/a.tftest.hcl", "run \"planned\" { command = plan }\n");
    let told = sandbox.lampwright("module", &["test"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    let (_, rest) = told.stderr.split_once("LAMPWRIGHT_TEST=").expect("how it is removed");
    let (name, rest) = rest.split_once(" lampwright destroy ").expect("a command");
    let state = rest.split(';').next().expect("the state").to_owned();
    sandbox.environment.push(("LAMPWRIGHT_TEST".to_owned(), name.to_owned()));
    sandbox.lampwright("module", &["destroy", "-auto-approve", &state]).success();
    sandbox.environment.clear();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
    assert_eq!(sandbox.daemons(), Vec::<i32>::new());
    let quiet = sandbox.lampwright("module", &["test"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));
}

/// What a test says for nothing is not an error, as in Terraform, and is told.
#[test]
fn overrides_of_nothing_are_told() {
    let sandbox = Sandbox::new();
    sandbox.write("module/main.stack.hcl", MODULE);
    let (_, text) = FILES.iter().find(|(name, _)| *name == "overrides_of_nothing").expect("the file");
    sandbox.write("module/tests/a.tftest.hcl", text);
    let ran = sandbox.lampwright("module", &["test"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    insta::assert_snapshot!("overrides-of-nothing", ran.stderr);
}

/// Values come from the module's folder, the command line, the tests' folder, the file and the run, the strongest last.
#[test]
fn values_come_from_where_terraform_takes_them() {
    let sandbox = Sandbox::new();
    let names = ["a", "b", "c", "d", "e", "f"];
    let variables = names.map(|name| format!("variable \"{name}\" {{ default = \"none\" }}\n")).concat();
    let output = names.map(|name| format!("${{var.{name}}}")).join(" ");
    sandbox.write("module/main.stack.hcl", &format!("{variables}output \"all\" {{ value = \"{output}\" }}\n"));
    sandbox.write("module/terraform.tfvars", "a = \"root\"\nb = \"root\"\nc = \"root\"\n");
    sandbox.write("module/tests/terraform.tfvars", "c = \"tests\"\nd = \"tests\"\ne = \"tests\"\nf = \"tests\"\n");
    sandbox.write("module/tests/more.auto.tfvars", "d = \"auto\"\ne = \"auto\"\nf = \"auto\"\n");
    let file = "variables {\n  e = \"file\"\n  f = \"file\"\n}\n";
    let run = "run \"r\" {\n  command = plan\n  variables {\n    f = \"run\"\n  }\n  assert {\n    condition     = output.all == \"root cli tests auto file run\"\n    error_message = output.all\n  }\n}\n";
    sandbox.write("module/tests/a.tftest.hcl", &format!("{file}{run}"));
    let ours = sandbox.lampwright("module", &["test", "-var", "b=cli", "-var", "c=cli"]);
    assert_eq!(ours.code, 0, "{}", ours.stderr);
    let Some(program) = program() else { return };
    sandbox.lampwright(".", &["export", "module", "exported"]).success();
    write_config(&sandbox);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "exported" };
    let theirs = terraform.run(&["test", "-no-color", "-var", "b=cli", "-var", "c=cli"]);
    assert_eq!(theirs.code, 0, "{}{}", theirs.stdout, theirs.stderr);
}

/// Modules that only tests have are exported, too, with what they call.
#[test]
fn terraform_finds_runs_of_other_modules_as_good() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    sandbox.write("module/main.stack.hcl", MODULE);
    sandbox.write(
        "module/tests/setup/main.stack.hcl",
        "module \"inner\" {\n  source = \"./inner\"\n}\noutput \"members\" { value = module.inner.members }\n",
    );
    sandbox.write("module/tests/setup/inner/main.stack.hcl", "stack \"inner\" {}\noutput \"members\" { value = 5 }\n");
    let setup = "run \"setup\" {\n  module {\n    source = \"./tests/setup\"\n  }\n}\n";
    let uses = "run \"uses\" {\n  command  = plan\n  snapshot = true\n  variables {\n    members = run.setup.members\n  }\n  assert {\n    condition     = mongo_replset.db.members == 5\n    error_message = \"five\"\n  }\n}\n";
    sandbox.write("module/tests/a.tftest.hcl", &format!("{setup}{uses}"));
    sandbox.lampwright("module", &["test", "--accept"]).success();
    let ours = verdicts(&sandbox.lampwright("module", &["test", "-json"]));
    sandbox.lampwright(".", &["export", "module", "exported"]).success();
    write_config(&sandbox);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "exported" };
    terraform.run(&["get"]).success();
    let theirs = verdicts(&terraform.run(&["test", "-json"]));
    assert_eq!(ours, theirs);
    assert!(ours.len() == 2 && ours.iter().all(|(_, status)| status == "pass"), "{ours:?}");
}

/// Runs of one file that apply different modules: each module has a state of its own, runs with one `state_key` share
/// one, and all of it goes in the end.
#[test]
fn runs_of_several_modules_apply() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    sandbox.write("module/main.stack.hcl", MODULE);
    let setup = "variable \"members\" { default = 1 }\nresource \"mongo_replset\" \"setup\" { members = var.members }\noutput \"members\" { value = 5 }\noutput \"id\" { value = mongo_replset.setup.id }\n";
    sandbox.write("module/tests/setup/main.stack.hcl", &format!("stack \"setup\" {{}}\n{setup}"));
    sandbox.write("module/tests/none/main.stack.hcl", "stack \"none\" {}\noutput \"members\" { value = 7 }\n");
    let file = r#"mock_provider "lampwright" {}
run "setup" {
  module { source = "./tests/setup" }
}
run "main" {
  variables { members = run.setup.members }
  assert {
    condition     = output.members == 5 && output.id != run.setup.id
    error_message = "its own"
  }
}
run "without_providers" {
  module { source = "./tests/none" }
}
run "main_again" {
  variables { members = run.without_providers.members }
  assert {
    condition     = output.members == 7 && output.id == run.main.id
    error_message = "the same object"
  }
}
run "setup_again" {
  variables { members = 2 }
  module { source = "./tests/setup/" }
  assert {
    condition     = output.id == run.setup.id
    error_message = "the same object"
  }
}
run "apart" {
  state_key = "apart"
  assert {
    condition     = output.members == 3
    error_message = "three"
  }
}
run "apart_too" {
  state_key = "apart"
  module { source = "./tests/setup" }
}
run "fails" {
  assert {
    condition     = output.id == run.setup.id
    error_message = "no"
  }
}
"#;
    sandbox.write("module/tests/a.tftest.hcl", file);
    sandbox.write("module/tests/b.tftest.hcl", file);
    let ran = sandbox.lampwright("module", &["test", "-json"]);
    let ours = verdicts(&ran);
    assert_eq!(ours.iter().filter(|(_, status)| status == "pass").count(), 14, "{}{}", ran.stdout, ran.stderr);
    assert!(!sandbox.join("module/.lampwright/tests").exists());
    sandbox.lampwright(".", &["export", "module", "exported"]).success();
    write_config(&sandbox);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "exported" };
    terraform.run(&["get"]).success();
    assert_eq!(ours, verdicts(&terraform.run(&["test", "-json"])));
}

/// A test makes things of its own beside a stack that runs, and leaves nothing.
#[test]
fn what_a_test_applies_is_its_own_and_goes() {
    let sandbox = Sandbox::new();
    let farm = "resource \"lamp_cluster\" \"web\" {\n  nodes = 1\n  app   = \"./app\"\n}\noutput \"name\" { value = lamp_cluster.web.machines[0].name }\n";
    sandbox.write("stack/main.stack.hcl", &format!("stack \"farm\" {{}}\n{}{farm}", sandbox.provider_block()));
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    sandbox.lampwright("stack", &["apply", "-auto-approve"]).success();
    let before = sandbox.machines();
    let test = "run \"made\" {\n  assert {\n    condition     = output.name == \"web-1\" && lamp_cluster.web.machines[0].status == \"running\"\n    error_message = \"it runs\"\n  }\n}\nrun \"fails\" {\n  assert {\n    condition     = output.name == \"other\"\n    error_message = \"it is ${output.name}\"\n  }\n}\n";
    sandbox.write("stack/farm.tftest.hcl", test);
    let ran = sandbox.lampwright("stack", &["test"]);
    let shown = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 1, "{shown}");
    assert!(shown.contains("farm.tftest.hcl  made  pass"), "{shown}");
    assert!(shown.contains("it is web-1") && shown.contains("output.name is \"web-1\""), "{shown}");
    assert_eq!(sandbox.machines(), before);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    assert!(!sandbox.join("stack/.lampwright/tests").exists());
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// What went wrong is in the files for programs, too.
#[test]
fn results_are_written_for_programs() {
    let sandbox = Sandbox::new();
    sandbox.write("module/main.stack.hcl", MODULE);
    for (name, text) in FILES.iter().filter(|(name, _)| matches!(*name, "good" | "failures" | "unexpected")) {
        sandbox.write(&format!("module/tests/{name}.tftest.hcl"), text);
    }
    let ran = sandbox.lampwright("module", &["test", "-junit-xml=out.xml", "-filter=tests/failures.tftest.hcl"]);
    assert_eq!(ran.code, 1);
    let xml = std::fs::read_to_string(sandbox.join("module/out.xml")).expect("the file");
    let suite = "<testsuite name=\"tests/failures.tftest.hcl\" tests=\"2\" skipped=\"0\" failures=\"1\" errors=\"0\">";
    assert!(xml.contains(suite) && xml.contains("it is rs0"), "{xml}");
    let ran = sandbox.lampwright("module", &["test", "-filter=tests/nobody.tftest.hcl"]).failure();
    assert!(ran.contains("there is no test file tests/nobody.tftest.hcl; there are: tests/failures"), "{ran}");
}

/// In CI nothing is written, and a snapshot that no run has is an error.
#[test]
fn snapshots_are_kept_in_order() {
    let mut sandbox = Sandbox::new();
    sandbox.write("module/main.stack.hcl", MODULE);
    sandbox.write("module/tests/a.tftest.hcl", "run \"one\" {\n  command  = plan\n  snapshot = true\n}\n");
    let new = sandbox.lampwright("module", &["test"]);
    assert_eq!(new.code, 1);
    assert!(new.stdout.contains("new snapshot tests/snapshots/a/one of 7 files"), "{}", new.stdout);
    sandbox.environment.push(("CI".to_owned(), "true".to_owned()));
    let refused = sandbox.lampwright("module", &["test", "--accept"]).failure();
    assert!(refused.contains("in CI"), "{refused}");
    assert!(!sandbox.join("module/tests/snapshots").exists());
    sandbox.environment.clear();
    sandbox.lampwright("module", &["test", "--accept"]).success();
    sandbox.lampwright("module", &["test"]).success();
    sandbox.write("module/tests/a.tftest.hcl", "run \"two\" {\n  command  = plan\n  snapshot = true\n}\n");
    let ran = sandbox.lampwright("module", &["test"]);
    assert!(ran.stderr.contains("no run has the snapshot tests/snapshots/a/one any more"), "{}", ran.stderr);
    sandbox.lampwright("module", &["test", "--accept"]).success();
    assert!(!sandbox.join("module/tests/snapshots/a/one").exists());
    assert!(sandbox.join("module/tests/snapshots/a/two/plan.txt").is_file());
}

/// Two of three differences are taken; the third still fails.
#[test]
fn differences_are_reviewed_one_by_one() {
    let sandbox = Sandbox::new();
    sandbox.lampwright(".", &["init", "--from", "lamp", "module"]).success();
    std::fs::write(sandbox.join("module/app/style.css"), "body { color: red }\n").expect("written");
    let review = |answers: &str| {
        sandbox.write("answers", answers);
        let mut command = sandbox.lampwright_command("module", &["test", "--review"]);
        command.stdin(std::fs::File::open(sandbox.join("answers")).expect("the answers"));
        Ran::of(command.output().expect("lampwright runs"))
    };
    let first = review("n\ny\nn\nn\nn\n");
    assert_eq!(first.code, 1, "{}", first.stdout);
    insta::assert_snapshot!("review", stable(&first.stdout));
    // Nobody answers: nothing is taken.
    assert_eq!(review("").code, 1);
    let rest = review("y\ny\ny\ny\n");
    assert_eq!(rest.code, 0, "{}", rest.stdout);
    sandbox.lampwright("module", &["test"]).success();
}

#[test]
fn what_a_test_file_cannot_say_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("module/main.stack.hcl", MODULE);
    for (text, expected) in [
        ("run \"../..\" { command = plan }\n", "a name of letters, digits, _ and - is required"),
        (
            "run \"a\" {\n  command         = plan\n  snapshot        = true\n  expect_failures = [var.members]\n}\n",
            "has no plan to keep",
        ),
        ("run \"a\" {\n  plan_options {\n    mode = refresh-only\n  }\n}\n", "`mode` is not supported yet"),
        (
            "mock_provider \"lampwright\" {\n  override_module {\n    target = module.a\n  }\n}\n",
            "`mock_provider` has no block named `override_module`",
        ),
        ("runs \"a\" {}\n", "did you mean `run`?"),
        ("run \"a\" {\n  command = refresh\n}\n", "`plan` or `apply` is required here"),
    ] {
        sandbox.write("module/tests/a.tftest.hcl", text);
        let refused = sandbox.lampwright("module", &["test", "--accept"]).failure();
        assert!(refused.contains(expected), "{expected:?} is not in:\n{refused}");
    }
    sandbox.write("module/tests/a.tftest.hcl", "run \"a\" { command = plan }\n");
    sandbox.write("module/a.tftest.hcl", "run \"a\" { command = plan }\n");
    let refused = sandbox.lampwright("module", &["test"]).failure();
    assert!(refused.contains("a.tftest.hcl and tests/a.tftest.hcl have one name"), "{refused}");
}
