//! What is told and nobody reads, or cannot be written: nothing of what is done changes by it.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Ran, Sandbox};

/// As under `2>&1 | tee log`, where Ctrl-C ends tee first.
#[test]
fn a_stop_is_heard_though_nobody_reads_what_is_told() {
    let sandbox = Sandbox::new();
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    let layers = "resource \"lamp_cluster\" \"web\" {\n  nodes = 1\n  app   = \"./app\"\n}\nresource \"lb_pool\" \"lb\" {\n  \
                  backend = lamp_cluster.web\n}\n";
    sandbox.write("stack/main.stack.hcl", &format!("{}{layers}", sandbox.provider_block()));
    let mut command = sandbox.lampwright_command("stack", &["apply", "-auto-approve"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stderr.take());
    let mut told = BufReader::new(child.stdout.take().expect("piped")).lines();
    told.find(|line| line.as_ref().is_ok_and(|line| line.contains("lamp_cluster.web  creating")))
        .expect("it begins")
        .expect("text");
    kill_process(Pid::from_child(&child), Signal::TERM).expect("sent");
    let rest: Vec<String> = told.map_while(Result::ok).collect();
    assert_eq!(child.wait().expect("it ends").code(), Some(1), "{rest:?}");
    let list = sandbox.lampwright("stack", &["state", "list"]).success();
    assert!(!list.contains("lb_pool.lb"), "{list}");
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// Half of a state is no copy of it.
#[test]
fn a_document_that_is_not_whole_is_an_error() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "stack/main.tf",
        "resource \"terraform_data\" \"a\" {}\noutput \"id\" { value = terraform_data.a.id }\n",
    );
    sandbox.lampwright("stack", &["apply", "-auto-approve"]).success();
    for args in [&["state", "pull"][..], &["show", "-json"], &["output", "-json"], &["output", "-raw", "id"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let mut command = sandbox.lampwright_command("stack", args);
        let ran = Ran::of(command.stdout(full).output().expect("it runs"));
        assert!(ran.failure().contains("the output is not whole"), "{args:?}");
    }
}

/// What a command tells replaces no state, no stack and no plan.
#[test]
fn what_is_told_into_a_file_replaces_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.write("stack/main.tf", "resource \"terraform_data\" \"a\" {}\n");
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    run(&["apply", "-auto-approve", "-json-into=told"]).success();
    run(&["plan", "-out=saved", "-json-into=told"]).success();
    for name in ["terraform.tfstate", "main.tf", "saved"] {
        let before = std::fs::read(sandbox.join(&format!("stack/{name}"))).expect("a file");
        let refused = run(&["plan", &format!("-json-into={name}")]).failure();
        assert!(refused.contains("nothing that an earlier command has told"), "{refused}");
        assert_eq!(std::fs::read(sandbox.join(&format!("stack/{name}"))).expect("a file"), before);
    }
}
