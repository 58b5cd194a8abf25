//! What becomes of requests while a load balancer and what it asks its servers change.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::load::{get, request};
use crate::sandbox::{Sandbox, wait_for};

const APPLY: &[&str] = &["apply", "-auto-approve"];

/// Two web nodes behind a load balancer, each with what the test says of it; its URL.
fn stack(sandbox: &Sandbox, web: &str, lb: &str) {
    sandbox.write(
        "stack/app/index.php",
        "<?php header('Content-Type: application/json'); echo '{\"node\":\"', getenv('LAMPWRIGHT_NODE'), '\"}';\n",
    );
    let web = format!("resource \"lamp_cluster\" \"web\" {{\n  nodes = 2\n  app   = \"./app\"\n{web}}}\n");
    let lb = format!("resource \"lb_pool\" \"lb\" {{\n  backend = lamp_cluster.web\n{lb}}}\n");
    let text = format!("{}{web}{lb}output \"url\" {{ value = lb_pool.lb.url }}\n", sandbox.provider_block());
    sandbox.write("stack/main.stack.hcl", &text);
}

fn up(web: &str, lb: &str) -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    stack(&sandbox, web, lb);
    sandbox.lampwright("stack", APPLY).success();
    let url = sandbox.lampwright("stack", &["output", "-raw", "url"]).success().trim().to_owned();
    (sandbox, url)
}

fn down(sandbox: &Sandbox) {
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.daemons(), Vec::<i32>::new());
}

#[track_caller]
fn is_whole(sandbox: &Sandbox, url: &str) {
    assert_eq!(get(url).status, 200);
    let plan = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{}", plan.stdout);
}

/// What the load balancer answers on its admin socket.
fn ask(sandbox: &Sandbox, line: &str) -> String {
    let mut socket = UnixStream::connect(sandbox.machine("lb-1").join("run/admin.sock")).expect("the admin socket");
    socket.write_all(format!("{line}\n").as_bytes()).expect("asked");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_load_balancer_follows_its_servers_to_another_port() {
    let (sandbox, url) = up("", "");
    stack(&sandbox, "  port = 8090\n", "");
    sandbox.lampwright("stack", APPLY).success();
    is_whole(&sandbox, &url);
    // And stays there over a reload for another reason, and over its end.
    stack(&sandbox, "  port = 8090\n", "  algorithm = \"leastconn\"\n");
    sandbox.lampwright("stack", APPLY).success();
    is_whole(&sandbox, &url);
    sandbox.kill_machine("lb-1", "haproxy");
    sandbox.lampwright("stack", APPLY).success();
    is_whole(&sandbox, &url);
    down(&sandbox);
}

/// What was set by hand on the running load balancer is seen, and is not carried over.
#[test]
fn a_load_balancer_that_sends_elsewhere_is_seen_and_repaired() {
    let (sandbox, url) = up("", "");
    for server in ["web-1", "web-2"] {
        ask(&sandbox, &format!("set server web/{server} addr 127.0.0.9 port 9"));
    }
    assert_eq!(get(&url).status, 503);
    let plan = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, 2);
    assert!(plan.stdout.contains("lb-1 is not sending to its servers: it is repaired"), "{}", plan.stdout);
    sandbox.lampwright("stack", APPLY).success();
    is_whole(&sandbox, &url);
    down(&sandbox);
}

/// The state of servers is of the moment of a reload: what lies there from an earlier time marks nobody down.
#[test]
fn a_load_balancer_that_starts_anew_looks_for_itself() {
    let (sandbox, url) = up("", "");
    let state = ask(&sandbox, "show servers state");
    let down_since_long: String = state
        .lines()
        .map(|line| {
            let mut fields: Vec<&str> = line.split(' ').collect();
            if fields.get(1) == Some(&"web") {
                // srv_op_state, and the check that says the same.
                (fields[5], fields[10], fields[11], fields[12]) = ("0", "8", "2", "0");
            }
            format!("{}\n", fields.join(" "))
        })
        .collect();
    sandbox.kill_machine("lb-1", "haproxy");
    std::fs::write(sandbox.machine("lb-1").join("run/server-state"), down_since_long).expect("written");
    let mut command = sandbox.lampwright_command("stack", APPLY);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("runs");
    let mut first = None;
    wait_for("an answer", Duration::from_secs(20), || {
        first = request(&url, "GET", "/?format=json", "").ok();
        first.is_some()
    });
    assert_eq!(first.map(|answer| answer.status), Some(200));
    assert!(child.wait().expect("ended").success());
    is_whole(&sandbox, &url);
    // Weight and drain of a server that stays where it is go over a reload.
    ask(&sandbox, "set server web/web-1 weight 3");
    stack(&sandbox, "", "  algorithm = \"leastconn\"\n");
    sandbox.lampwright("stack", APPLY).success();
    let state = ask(&sandbox, "show servers state");
    let weight = state.lines().find(|line| line.contains(" web-1 ")).and_then(|line| line.split(' ').nth(7));
    assert_eq!(weight, Some("3"), "{state}");
    assert!(!sandbox.machine("lb-1").join("run/server-state").exists());
    down(&sandbox);
}
