//! What operators ask of a stack that runs.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value as Json;

use crate::load::request;
use crate::sandbox::Sandbox;
use crate::walk::walk_through;

const STACK: &str = "resource \"lamp_cluster\" \"web\" {
  nodes = 2
  app   = \"./app\"
}
resource \"lb_pool\" \"lb\" { backend = lamp_cluster.web }
output \"url\" { value = lb_pool.lb.url }
";

fn up() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("shop/app/index.php", "<?php error_log('somebody came'); echo 'hello';\n");
    sandbox.write("shop/main.stack.hcl", &format!("{}{STACK}", sandbox.provider_block()));
    sandbox.lampwright("shop", &["apply", "-auto-approve"]).success();
    sandbox
}

fn down(sandbox: &Sandbox) {
    sandbox.lampwright("shop", &["destroy", "-auto-approve"]).success();
}

#[test]
fn the_walk_through_is_as_it_is_written() {
    let sandbox = up();
    walk_through("docs/operating.md", &sandbox);
    sandbox.lampwright("shop", &["apply", "-auto-approve"]).success();
    let status = sandbox.lampwright("shop", &["status", "-json"]).success();
    let status: Json = serde_json::from_str(&status).expect("JSON");
    let layers = status["layers"].as_array().expect("layers");
    let machines = layers.iter().flat_map(|layer| layer["status"]["machines"].as_array().expect("machines"));
    assert_eq!(machines.filter(|machine| machine["is_well"] == true).count(), 3, "{status}");
    // Who may not remove a layer may look at it.
    let protected = STACK.replace("  nodes = 2\n", "  nodes = 2\n  lifecycle {\n    prevent_destroy = true\n  }\n");
    sandbox.write("shop/main.stack.hcl", &format!("{}{protected}", sandbox.provider_block()));
    sandbox.lampwright("shop", &["status"]).success();
    sandbox.lampwright("shop", &["logs", "-n", "1"]).success();
    sandbox.write("shop/main.stack.hcl", &format!("{}{STACK}", sandbox.provider_block()));
    assert!(
        sandbox.lampwright("shop", &["status", "nobody"]).failure().contains("There is: lamp_cluster.web, lb_pool.lb")
    );
    down(&sandbox);
}

#[test]
fn logs_of_all_machines_are_told_by_time_and_followed() {
    let sandbox = up();
    let url = sandbox.lampwright("shop", &["output", "-raw", "url"]).success().trim().to_owned();
    assert_eq!(request(&url, "GET", "/first", "").expect("an answer").status, 404);
    assert_eq!(request(&url, "GET", "/", "").expect("an answer").status, 200);
    let logs = sandbox.lampwright("shop", &["logs", "-n", "50"]).success();
    for part in ["lb-1 haproxy", "GET /first ", "somebody came"] {
        assert!(logs.contains(part), "{part:?} is not in: {logs}");
    }
    let only = sandbox.lampwright("shop", &["logs", "web", "-service", "php-fpm"]).success();
    assert!(only.contains("somebody came") && !only.contains("apache2") && !only.contains("haproxy"), "{only}");
    // What is written from now on, each line once.
    let mut command = sandbox.lampwright_command("shop", &["logs", "-f", "-n", "0", "-service", "apache2"]);
    let mut following = command.stdout(Stdio::piped()).spawn().expect("lampwright runs");
    let lines = BufReader::new(following.stdout.take().expect("its output")).lines();
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| told.send(line)));
    let mut seen = Vec::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !seen.iter().any(|line: &String| line.contains("/followed")) {
        assert!(std::time::Instant::now() < deadline, "{seen:?}");
        let _ = request(&url, "GET", "/followed", "");
        seen.extend(heard.recv_timeout(std::time::Duration::from_millis(200)));
    }
    assert!(!seen.iter().any(|line| line.contains("/first")), "{seen:?}");
    following.kill().expect("killed");
    following.wait().expect("ended");
    down(&sandbox);
}

/// What the state has and the cloud has not.
#[test]
fn a_machine_that_is_gone_is_told() {
    let sandbox = up();
    let folder = sandbox.machine("web-2");
    for service in ["apache2", "php-fpm"] {
        sandbox.kill_machine("web-2", service);
    }
    std::fs::remove_dir_all(folder).expect("removed");
    let status = sandbox.lampwright("shop", &["status", "web"]);
    assert_eq!(status.code, 2);
    assert!(
        status.stdout.contains("gone") && status.stdout.contains("the cloud has no such machine"),
        "{}",
        status.stdout
    );
    down(&sandbox);
}
