//! What is proposed to the user can be typed as it stands, and does what it says; what is refused or doubtful is said before
//! anything is done.

use std::io::Write as _;
use std::process::Stdio;

use crate::sandbox::{Ran, Sandbox};

fn stack(sandbox: &Sandbox) {
    sandbox.write("stack/app/index.php", "<?php\n");
    let variables = "variable \"nodes\" { default = 1 }\nvariable \"token\" {\n  default   = \"t\"\n  sensitive = true\n}\nvariable \"note\" { default = \"n\" }\n";
    let resource = "resource \"lamp_cluster\" \"web\" {\n  app         = \"./app\"\n  nodes       = var.nodes\n  environment = { TOKEN = var.token, NOTE = var.note }\n}\n";
    sandbox.write("stack/main.stack.hcl", &format!("{}{variables}{resource}", sandbox.provider_block()));
    sandbox.write("stack/two.tfvars", "nodes = 2\n");
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or_default()
}

#[test]
fn a_plan_proposes_the_command_that_does_it() {
    let sandbox = Sandbox::new();
    stack(&sandbox);
    let proposed = |folder: &str, args: &[&str]| {
        let plan = sandbox.lampwright(folder, args).success();
        last_line(&plan).split('`').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(proposed("stack", &["plan"]), "lampwright apply");
    let args = ["plan", "-var", "nodes=3", "-var-file=two.tfvars", "-state", "other.tfstate", "-var", "note=it's two"];
    assert_eq!(
        proposed("stack", &args),
        r"lampwright apply -var nodes=3 -var-file two.tfvars -var 'note=it'\''s two' -state=other.tfstate"
    );
    let args = ["-chdir=stack", "plan", "-refresh=false", "-parallelism=3"];
    assert_eq!(proposed(".", &args), "lampwright -chdir=stack apply -refresh=false -parallelism=3");
    assert_eq!(proposed("stack", &["plan", "-lock=false"]), "lampwright apply -lock=false");
    // So is what shows more.
    let args = ["-chdir=stack", "plan", "-var", "nodes=3", "-lock=false"];
    let plan = sandbox.lampwright(".", &args).success();
    let more = "`lampwright -chdir=stack plan -var nodes=3 -lock=false -files` shows the text";
    assert!(last_line(&plan).contains(more), "{plan}");
    // A secret is for the user to write again.
    let plan = sandbox.lampwright("stack", &["plan", "-var", "token=hunter2"]).success();
    assert!(last_line(&plan).starts_with("`lampwright apply -var token=…` does it"), "{plan}");
    assert!(!plan.contains("hunter2"), "{plan}");
    let saved = sandbox.lampwright(".", &["-chdir=stack", "plan", "-out", "a plan", "-state=x.tfstate"]).success();
    assert_eq!(last_line(&saved), "Saved. To do exactly this: lampwright -chdir=stack apply 'a plan' -state=x.tfstate");
    let saved = sandbox.lampwright("stack", &["plan", "-out", "p", "-lock=false"]).success();
    assert_eq!(last_line(&saved), "Saved. To do exactly this: lampwright apply p -lock=false");
}

#[test]
fn what_goes_and_what_was_cut_off_is_proposed_with_its_flags() {
    let sandbox = Sandbox::new();
    stack(&sandbox);
    sandbox.lampwright("stack", &["apply", "-auto-approve", "-state=s.tfstate"]).success();
    let plan = sandbox.lampwright("stack", &["plan", "-destroy", "-state=s.tfstate"]).success();
    assert!(last_line(&plan).starts_with("`lampwright destroy -state=s.tfstate` does it"), "{plan}");
    assert!(last_line(&plan).contains("`lampwright plan -destroy -state=s.tfstate -files` shows"), "{plan}");
    // A node that never becomes healthy, so that the apply stops in the middle.
    sandbox.write("stack/app/health.php", "<?php http_response_code(500);\n");
    let text = std::fs::read_to_string(sandbox.join("stack/main.stack.hcl")).expect("a file");
    let check = "  nodes       = var.nodes\n  health_check = { path = \"/health.php\" }\n";
    sandbox.write("stack/main.stack.hcl", &text.replace("  nodes       = var.nodes\n", check));
    sandbox.write("stack/lb.stack.hcl", "resource \"lb_pool\" \"lb\" {\n  backend = lamp_cluster.web\n}\n");
    let stopped = sandbox.lampwright("stack", &["apply", "-auto-approve", "-var", "nodes=1", "-state=s.tfstate"]);
    assert_eq!(stopped.code, 1);
    let again = "To go on: lampwright apply -var nodes=1 -state=s.tfstate -auto-approve";
    assert!(stopped.stdout.contains(again), "{}", stopped.stdout);
    sandbox.lampwright("stack", &["destroy", "-auto-approve", "-state=s.tfstate"]).success();
    let show = sandbox.lampwright(".", &["-chdir=stack", "show", "-state=s.tfstate"]).success();
    assert!(show.contains("`lampwright -chdir=stack apply -state=s.tfstate` makes"), "{show}");
}

#[test]
fn versions_are_told_in_every_way_that_is_asked() {
    let sandbox = Sandbox::new();
    let version = sandbox.lampwright(".", &["version"]).success();
    for flag in ["--version", "-version", "-V", "-v"] {
        assert_eq!(sandbox.lampwright(".", &[flag]).success(), version);
    }
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    let sandbox = Sandbox::new();
    for (args, hint) in [
        (&["down"][..], "`destroy` removes"),
        (&["deploy"], "`apply` makes"),
        (&["fmt"], "is not there yet"),
        (&["scale", "x=1", "-target=x.y"], "`plan`, `apply` and `destroy` take it"),
        (&["destroy", "-replace=x.y"], "`plan` and `apply` take it"),
        (&["destroy", "-refresh-only"], "`plan` and `apply` take it"),
        (&["plan", "-backend-config=x"], "`init` takes it"),
    ] {
        let error = sandbox.lampwright(".", args).failure();
        assert!(error.contains(hint), "{args:?}: {error}");
        assert!(!error.contains("similar"), "{args:?}: {error}");
    }
}

/// As pipelines call it.
#[test]
fn an_answer_may_come_from_a_pipe() {
    let sandbox = Sandbox::new();
    stack(&sandbox);
    sandbox.lampwright("stack", &["init", "-input=false", "-backend=false", "-no-color"]).success();
    let answered = |args: &[&str], answer: &str| {
        let mut command = sandbox.lampwright_command("stack", args);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("runs");
        child.stdin.take().expect("a pipe").write_all(answer.as_bytes()).expect("written");
        Ran::of(child.wait_with_output().expect("ended"))
    };
    for (args, answer, words) in [
        (&["apply"][..], "no\n", "nothing was changed"),
        (&["apply"], "", "standard input is at its end"),
        (&["apply", "-input=false"], "yes\n", "-input=false: nobody may be asked"),
    ] {
        let refused = answered(args, answer).failure();
        assert!(refused.contains(words), "{args:?}: {refused}");
        assert_eq!(sandbox.machines(), Vec::<String>::new());
    }
    answered(&["apply"], "yes\n").success();
    assert_eq!(sandbox.machines(), ["web-1"]);
    answered(&["destroy"], "yes\n").success();
}

/// One fault, one error, wherever the provider would be needed next.
#[test]
fn a_bad_setting_of_a_provider_is_told_alone() {
    let sandbox = Sandbox::new();
    stack(&sandbox);
    sandbox.lampwright("stack", &["apply", "-auto-approve"]).success();
    let text = std::fs::read_to_string(sandbox.join("stack/main.stack.hcl")).expect("a file");
    let bad = text.replace(&sandbox.network, "10.0.0.0/8");
    sandbox.write("stack/main.stack.hcl", &format!("{bad}\nresource \"mongo_replset\" \"db\" {{}}\n"));
    for args in [&["plan"][..], &["apply", "-auto-approve"], &["destroy", "-auto-approve"], &["plan", "-destroy"]] {
        let error = sandbox.lampwright("stack", args).failure();
        assert!(error.contains("the setting `network` of the cloud is not valid"), "{args:?}: {error}");
        assert!(!error.contains("not configured") && !error.contains("bug"), "{args:?}: {error}");
        assert_eq!(error.matches("error:").count(), 1 + usize::from(error.contains("nothing was changed")), "{error}");
    }
    sandbox.write("stack/main.stack.hcl", &text);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// Every call between the two programs, every call of a driver, every program that is started; never a value.
#[test]
fn a_trace_tells_what_is_done_and_no_secret() {
    let mut sandbox = Sandbox::new();
    stack(&sandbox);
    sandbox.environment.push(("LAMPWRIGHT_LOG".to_owned(), "trace".to_owned()));
    let ran = sandbox.lampwright("stack", &["apply", "-auto-approve", "-var", "token=hunter2hunter2"]);
    let log = &ran.stderr;
    for expected in [
        "ConfigureProvider",
        "PlanResourceChange about=\"lamp_cluster.web\" ms=",
        "ApplyResourceChange about=\"lamp_cluster.web\" ms=",
        "driver: install t/web-1",
        "driver: probe t/web-1 8080/livez.php",
        "checking ",
        "starting ",
    ] {
        assert!(log.contains(expected), "{expected:?} is not in:\n{log}");
    }
    assert!(!log.contains("hunter2"), "{log}");
    ran.success();
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

#[test]
fn what_is_doubtful_is_said_by_the_plan() {
    let sandbox = Sandbox::new();
    let members = |members: u64| {
        let resource = format!("resource \"mongo_replset\" \"db\" {{\n  members = {members}\n}}\n");
        sandbox.write("stack/main.stack.hcl", &format!("{}{resource}", sandbox.provider_block()));
        let plan = sandbox.lampwright("stack", &["plan"]);
        assert_eq!(plan.code, 0, "{}", plan.stderr);
        plan
    };
    assert!(members(2).stderr.contains("survives the loss of none, as one of 1 does"));
    assert!(members(4).stderr.contains("survives the loss of 1, as one of 3 does"));
    let plan = members(3);
    assert_eq!(plan.stderr, "");
    // What is not known yet has no size.
    sandbox.write("stack/app/index.php", "<?php\n");
    let web = "resource \"lamp_cluster\" \"web\" {\n  app      = \"./app\"\n  database = mongo_replset.db\n}\n";
    let text = std::fs::read_to_string(sandbox.join("stack/main.stack.hcl")).expect("a file");
    sandbox.write("stack/main.stack.hcl", &format!("{text}{web}"));
    let plan = sandbox.lampwright("stack", &["plan", "-files"]).success();
    assert!(plan.contains("+(secret, known after apply)") && !plan.contains("bytes, sha256"), "{plan}");
}

/// Daemons never run as root, so that an apply would fail.
#[test]
fn a_port_that_services_may_not_listen_on_is_refused_by_the_plan() {
    let lowest = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    let lowest: u16 = lowest.trim().parse().unwrap_or(1024);
    let sandbox = Sandbox::new();
    let resource = "resource \"lb_pool\" \"lb\" {\n  backend  = { name = \"web\", machines = [] }\n  listener = { port = 80 }\n}\n";
    sandbox.write("stack/main.stack.hcl", &format!("{}{resource}", sandbox.provider_block()));
    let plan = sandbox.lampwright("stack", &["plan"]);
    let is_refused = plan.stderr.contains(&format!("can listen on ports from {lowest} on; 80 is below"));
    assert_eq!((plan.code == 1, is_refused), (lowest > 80, lowest > 80), "{}{}", plan.stdout, plan.stderr);
}
