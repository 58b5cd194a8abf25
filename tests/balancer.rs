//! What becomes of requests while a load balancer and what it asks its servers change.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::load::{Load, get, request};
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

/// Web nodes change first, and load balancers after them: in between the old ones are still asked.
#[test]
fn what_nodes_are_asked_changes_and_no_request_is_lost() {
    let (sandbox, url) = up("", "");
    let load = Load::posting(&url, 4, Duration::from_millis(2));
    for (web, lb) in [
        ("  health_check = { path = \"/ready.php\" }\n", ""),
        ("  health_check = { path = \"/ready.php\" }\n  port = 8090\n", ""),
        (
            "  health_check = { path = \"/alive.php\", interval_ms = 200 }\n  port = 8091\n",
            "  algorithm = \"leastconn\"\n",
        ),
        // Back, and to the port at which the status page is otherwise.
        ("  port = 8090\n", "  health_check = { interval_ms = 300, fall = 1 }\n"),
    ] {
        stack(&sandbox, web, lb);
        sandbox.lampwright("stack", APPLY).success();
        is_whole(&sandbox, &url);
    }
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    assert_eq!(answers.by_node.len(), 2, "{answers:?}");
    let config = std::fs::read_to_string(sandbox.machine("lb-1").join("etc/haproxy.cfg")).expect("a file");
    assert!(config.contains("uri /livez.php") && config.contains(":8090 check"), "{config}");
    // A node that leaves is noticed on every page that it has.
    let load = Load::posting(&url, 4, Duration::from_millis(2));
    let text = std::fs::read_to_string(sandbox.join("stack/main.stack.hcl")).expect("the stack");
    sandbox.write("stack/main.stack.hcl", &text.replace("nodes = 2", "nodes = 1"));
    sandbox.lampwright("stack", APPLY).success();
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    down(&sandbox);
}

/// It still asks for what there was, and nobody tells it.
#[test]
fn a_load_balancer_of_another_stack_goes_on() {
    let (sandbox, url) = up("", "");
    let address = |id: u8| {
        let record =
            std::fs::read_to_string(sandbox.machine(&format!("web-{id}")).join("machine.json")).expect("a record");
        let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
        record["address"].as_str().expect("an address").to_owned()
    };
    let machine = |id: u8| {
        format!(
            "{{ id = {id}, name = \"web-{id}\", address = \"{}\", port = 8080, status = \"running\" }}",
            address(id)
        )
    };
    let lb = format!(
        "resource \"lb_pool\" \"other\" {{\n  backend = {{ id = \"t/web\", cloud = \"local\", name = \"web\", machines = [{}, {}] }}\n}}\noutput \"url\" {{ value = lb_pool.other.url }}\n",
        machine(1),
        machine(2)
    );
    sandbox.write("other/main.stack.hcl", &format!("{}{lb}", sandbox.provider_block()));
    sandbox.lampwright("other", APPLY).success();
    let other = sandbox.lampwright("other", &["output", "-raw", "url"]).success().trim().to_owned();
    let load = Load::posting(&other, 2, Duration::from_millis(2));
    stack(&sandbox, "  port = 8090\n  health_check = { path = \"/ready.php\" }\n", "");
    sandbox.lampwright("stack", APPLY).success();
    is_whole(&sandbox, &url);
    // A change for another reason takes nothing away either.
    stack(&sandbox, "  port = 8090\n  health_check = { path = \"/ready.php\" }\n  php_workers = 3\n", "");
    sandbox.lampwright("stack", APPLY).success();
    let checks = |table: String| table.lines().filter(|line| line.contains(",UP,")).count();
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    assert!(checks(ask(&sandbox, "show stat")) >= 2);
    sandbox.lampwright("other", &["destroy", "-auto-approve"]).success();
    down(&sandbox);
}

#[test]
fn a_health_check_that_no_server_passes_changes_nothing() {
    let (sandbox, url) = up("", "");
    let load = Load::posting(&url, 2, Duration::from_millis(5));
    stack(&sandbox, "", "  health_check = { path = \"/nowhere.php\" }\n");
    let error = sandbox.lampwright("stack", APPLY).failure();
    assert!(
        error.contains("a health check that fails") && error.contains("answers 404 to GET /nowhere.php"),
        "{error}"
    );
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    stack(&sandbox, "", "");
    sandbox.lampwright("stack", APPLY).success();
    is_whole(&sandbox, &url);
    down(&sandbox);
}

#[test]
fn a_load_balancer_that_gets_another_cluster_loses_no_request() {
    let (sandbox, url) = up("", "");
    let text = std::fs::read_to_string(sandbox.join("stack/main.stack.hcl")).expect("the stack");
    let next = "resource \"lamp_cluster\" \"next\" {\n  nodes = 2\n  app   = \"./app\"\n  port  = 8181\n}\n";
    sandbox
        .write("stack/main.stack.hcl", &format!("{}{next}", text.replace("= lamp_cluster.web", "= lamp_cluster.next")));
    let load = Load::posting(&url, 4, Duration::from_millis(2));
    sandbox.lampwright("stack", APPLY).success();
    is_whole(&sandbox, &url);
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    assert!(answers.by_node.keys().any(|node| node.starts_with("next-")), "{answers:?}");
    down(&sandbox);
}
