//! What has changed outside of the stack is put into the state, and nothing that exists is touched.

use crate::sandbox::Sandbox;

const PLAN: &[&str] = &["plan", "-refresh-only", "-detailed-exitcode"];

const STACK: &str = r#"
resource "lamp_cluster" "web" {
  nodes = 2
  app   = "./app"
}
resource "lamp_cluster" "other" {
  nodes = 1
  app   = "./app"
}
output "machines" { value = [for machine in lamp_cluster.web.machines : machine.name] }
output "other" { value = lamp_cluster.other.machines[0].name }
"#;

fn lose(sandbox: &Sandbox, machine: &str) {
    sandbox.kill_machine(machine, "apache2");
    sandbox.kill_machine(machine, "php-fpm");
    std::fs::remove_dir_all(sandbox.machine(machine)).expect("removed");
}

#[test]
fn what_is_there_is_recorded() {
    let sandbox = Sandbox::new();
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    sandbox.write("stack/main.stack.hcl", &format!("{}{STACK}", sandbox.provider_block()));
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    run(&["apply", "-auto-approve"]).success();
    assert_eq!(run(PLAN).code, 0);
    lose(&sandbox, "web-2");
    lose(&sandbox, "other-1");
    let planned = run(PLAN);
    assert_eq!(planned.code, 2);
    for said in [
        "lamp_cluster.other is gone",
        "bundles[\"web-2\"] = ",
        ". lamp_cluster.other\n      because it is not there any more",
        "This plan only records that in the state: nothing that exists is changed.",
        "`lampwright apply -refresh-only` does it.",
    ] {
        assert!(planned.stdout.contains(said), "{said:?} is not in:\n{}", planned.stdout);
    }
    // Of a part of the stack, too.
    run(&["apply", "-refresh-only", "-auto-approve", "-target=lamp_cluster.web"]).success();
    assert_eq!(run(&["state", "list"]).success(), "lamp_cluster.other\nlamp_cluster.web\n");
    run(&["plan", "-refresh-only", "-out=record"]).success();
    let recorded = run(&["apply", "record"]).success();
    assert!(recorded.contains("Recorded in ") && recorded.contains("0 added, 0 changed, 0 destroyed."), "{recorded}");
    assert_eq!(run(&["state", "list"]).success(), "lamp_cluster.web\n");
    assert_eq!(sandbox.machines(), ["web-1"]);
    // What is made of something that is not there keeps its value.
    let outputs = run(&["output"]).success();
    assert!(outputs.contains("other = \"other-1\"") && !outputs.contains("web-2"), "{outputs}");
    assert!(run(PLAN).success().contains("No changes. The state says what there is."));
    for (flags, word) in [
        (&["-replace=lamp_cluster.web"][..], "leave -replace away"),
        (&["-refresh=false"], "leave one of them away"),
        (&["-destroy"], "cannot be used with"),
    ] {
        assert!(run(&[PLAN, flags].concat()).failure().contains(word), "{flags:?}");
    }
    // What the stack has no more is looked at, too, and stays.
    sandbox.write("stack/main.stack.hcl", &sandbox.provider_block());
    let planned = run(&["plan", "-refresh-only"]).success();
    assert!(planned.contains("- machines = ") || planned.contains("machines"), "{planned}");
    run(&["apply", "-refresh-only", "-auto-approve"]).success();
    assert_eq!(run(&["state", "list"]).success(), "lamp_cluster.web\n");
    assert_eq!(sandbox.machines(), ["web-1"]);
    run(&["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
}
