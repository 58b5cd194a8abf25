//! Whose machines are: no state takes another one's without the user's word.

use std::process::Stdio;
use std::time::Duration;

use crate::load::get;
use crate::sandbox::{Ran, Sandbox, copy, no_plugin_in, wait_for};
use crate::terraform::{Terraform, program, write_config};

const APPLY: &[&str] = &["apply", "-auto-approve"];

/// A web layer whose page says the word. Without a scope the provider makes one.
fn write_web(sandbox: &Sandbox, folder: &str, scope: Option<&str>) {
    let provider = match scope {
        Some(scope) => sandbox.provider_block().replace("scope = \"t\"", &format!("scope = \"{scope}\"")),
        None => sandbox.provider_block().replace("  scope = \"t\"\n", ""),
    };
    let requirement = "terraform {\n  required_providers {\n    lampwright = {\n      source = \"lampwright/lampwright\"\n    }\n  }\n}\n";
    let web = "variable \"word\" { default = \"plain\" }\nresource \"lamp_cluster\" \"web\" {\n  provider = lampwright\n  nodes = 1\n  app = \"./app\"\n  environment = { WORD = var.word }\n}\noutput \"url\" { value = \"http://${lamp_cluster.web.machines[0].address}:8080\" }\n";
    sandbox.write(&format!("{folder}/main.tf"), &format!("{requirement}{provider}{web}"));
    sandbox.write(&format!("{folder}/app/index.php"), "<?php echo getenv('WORD');\n");
}

fn url(sandbox: &Sandbox, state: &str) -> String {
    sandbox.lampwright("stack", &["output", "-raw", "-state", state, "url"]).success().trim().to_owned()
}

fn destroy(sandbox: &Sandbox, state: &str) {
    sandbox.lampwright("stack", &["destroy", "-auto-approve", "-state", state]).success();
}

/// Two environments of one folder, as every tutorial of Terraform has them.
#[test]
fn two_states_of_a_folder_have_machines_of_their_own() {
    let sandbox = Sandbox::new();
    write_web(&sandbox, "stack", None);
    let apply = |state: &str, word: &str| {
        let word = format!("word={word}");
        sandbox.lampwright("stack", &["apply", "-auto-approve", "-state", state, "-var", &word]).success()
    };
    apply("dev.tfstate", "dev");
    apply("prod.tfstate", "prod");
    apply("terraform.tfstate", "default");
    for (state, word) in [("dev.tfstate", "dev"), ("prod.tfstate", "prod"), ("terraform.tfstate", "default")] {
        assert_eq!(get(&url(&sandbox, state)).body, word);
        let show = sandbox.lampwright("stack", &["show", "-files", "-state", state]).success();
        assert!(show.contains("web-1/etc/httpd.conf"), "{show}");
    }
    destroy(&sandbox, "prod.tfstate");
    assert_eq!(get(&url(&sandbox, "dev.tfstate")).body, "dev");
    destroy(&sandbox, "dev.tfstate");
    assert_eq!(get(&url(&sandbox, "terraform.tfstate")).body, "default");
    destroy(&sandbox, "terraform.tfstate");
    assert_eq!(sandbox.machines(), Vec::<String>::new());
}

/// One scope for two states: the second is told whose machines those are, and takes nothing until the user says so.
#[test]
fn machines_of_another_state_are_not_taken() {
    let sandbox = Sandbox::new();
    write_web(&sandbox, "stack", Some("blog"));
    sandbox.lampwright("stack", APPLY).success();
    let before = sandbox.pid("web-1", "apache2");
    copy(&sandbox.join("stack"), &sandbox.join("copied"));
    for (folder, args) in [
        ("copied", &["plan"] as &[&str]),
        ("copied", APPLY),
        ("stack", &["plan", "-state", "prod.tfstate"]),
        ("stack", &["apply", "-auto-approve", "-state", "prod.tfstate"]),
    ] {
        let refused = sandbox.lampwright(folder, args).failure();
        for part in ["the layer belongs to another state", "web-1", "blog/web", "/stack terraform.tfstate", "import"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
    }
    assert_eq!(sandbox.pid("web-1", "apache2"), before);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);

    // By the user's word they change hands, and the one who had them before no longer removes them.
    sandbox.lampwright("copied", &["import", "lamp_cluster.web", "local:blog/web"]).success();
    sandbox.lampwright("copied", &["apply", "-auto-approve", "-var", "word=mine"]).success();
    assert_eq!(sandbox.lampwright("copied", &["plan", "-detailed-exitcode", "-var", "word=mine"]).code, 0);
    let pid = sandbox.pid("web-1", "apache2");
    for args in [
        &["plan", "-var", "word=theirs"] as &[&str],
        &["apply", "-auto-approve", "-refresh=false", "-var", "word=theirs"],
    ] {
        let refused = sandbox.lampwright("stack", args).failure();
        assert!(refused.contains("belong to") && refused.contains("state rm 'lamp_cluster.web'"), "{refused}");
    }
    assert_eq!(sandbox.pid("web-1", "apache2"), pid);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), ["web-1"]);
    sandbox.lampwright("copied", &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
}

/// The real terraform: workspaces have machines of their own, and a second state with the same scope is refused.
#[test]
fn workspaces_of_terraform_have_machines_of_their_own() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    write_web(&sandbox, "stack", None);
    write_config(&sandbox);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "stack" };
    let get_word = || {
        let url = terraform.run(&["output", "-raw", "url"]).success();
        get(&url).body
    };
    terraform.run(&["apply", "-auto-approve", "-var", "word=default"]).success();
    terraform.run(&["workspace", "new", "prod"]).success();
    terraform.run(&["apply", "-auto-approve", "-var", "word=prod"]).success();
    assert_eq!(get_word(), "prod");
    terraform.run(&["destroy", "-auto-approve"]).success();
    terraform.run(&["workspace", "select", "default"]).success();
    assert_eq!(get_word(), "default");
    assert_eq!(sandbox.machines(), ["web-1"]);

    let refused = |ran: Ran| {
        let text = ran.failure().replace('\n', " ");
        assert!(text.contains("the layer belongs to another state"), "{text}");
    };
    // The provider cannot see which file terraform was given, only that it has never heard of these machines.
    refused(terraform.run(&["plan", "-no-color", "-state=other.tfstate"]));
    refused(terraform.run(&["apply", "-no-color", "-auto-approve", "-state=other.tfstate"]));
    // Tainted, and so planned without a past: still this state's.
    terraform.run(&["taint", "lamp_cluster.web"]).success();
    terraform.run(&["apply", "-auto-approve", "-refresh=false"]).success();
    // Lost, and brought back by the user's word.
    terraform.run(&["state", "rm", "lamp_cluster.web"]).success();
    refused(terraform.run(&["apply", "-no-color", "-auto-approve"]));
    let scope = sandbox.machine("web-1").parent().and_then(|scope| scope.file_name()).expect("a scope").to_owned();
    let id = format!("{}/web", scope.to_string_lossy());
    terraform.run(&["import", "lamp_cluster.web", &id]).success();
    terraform.run(&["apply", "-auto-approve"]).success();
    assert_eq!(terraform.run(&["plan", "-detailed-exitcode"]).code, 0);
    terraform.run(&["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
    assert_eq!(sandbox.daemons(), Vec::<i32>::new());
}

/// Terraform is killed while it makes a layer: its state knows nothing of it, and the next apply still completes it.
#[test]
fn what_terraform_was_cut_off_from_is_completed() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    write_web(&sandbox, "stack", Some("blog"));
    write_config(&sandbox);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "stack" };
    let mut child = terraform.command(APPLY).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    wait_for("web-1", Duration::from_mins(1), || sandbox.machines().contains(&"web-1".to_owned()));
    child.kill().expect("killed");
    child.wait().expect("ended");
    wait_for("the orphaned plugin's end", Duration::from_secs(10), || no_plugin_in(&sandbox, "stack"));
    let state = std::fs::read_to_string(sandbox.join("stack/terraform.tfstate")).unwrap_or_default();
    assert!(!state.contains("lamp_cluster"), "the kill came too late: {state}");
    // Nobody else's: a copy of the folder is another state.
    copy(&sandbox.join("stack"), &sandbox.join("copied"));
    let other = Terraform { sandbox: &sandbox, program: terraform.program.clone(), folder: "copied" };
    let refused = other.run(&["plan", "-no-color"]).failure().replace('\n', " ");
    assert!(refused.contains("the layer belongs to another state"), "{refused}");
    terraform.run(APPLY).success();
    assert_eq!(terraform.run(&["plan", "-detailed-exitcode"]).code, 0);
    assert!(!sandbox.join("stack/.lampwright/making").exists(), "the slip is left");
    terraform.run(&["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
}
