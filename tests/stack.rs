//! A whole stack of real daemons on this machine, through its life.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::load::{Load, get, request};
use crate::sandbox::{Sandbox, copy, no_plugin_in, wait_for};

const APPLY: &[&str] = &["apply", "-auto-approve"];

fn up() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.write_lamp_stack();
    sandbox.lampwright("stack", APPLY).success();
    let url = sandbox.lampwright("stack", &["output", "-raw", "url"]).success().trim().to_owned();
    (sandbox, url)
}

fn down(sandbox: &Sandbox) {
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
    assert_eq!(sandbox.daemons(), Vec::<i32>::new());
}

/// The nodes that answer some requests in a row.
fn nodes(url: &str, requests: usize) -> BTreeSet<String> {
    (0..requests).map(|_| get(url).json()["node"].as_str().expect("a node").to_owned()).collect()
}

fn write_line(url: &str, text: &str) -> u16 {
    request(url, "POST", "/?format=json", &format!("text={text}")).expect("an answer").status
}

#[test]
fn both_nodes_serve_in_turn_and_share_what_is_written() {
    let (sandbox, url) = up();
    let turns: Vec<String> = (0..6).map(|_| get(&url).json()["node"].as_str().expect("a node").to_owned()).collect();
    assert_eq!(turns[0], turns[2]);
    assert_ne!(turns[0], turns[1]);
    assert_eq!(turns.iter().collect::<BTreeSet<_>>().len(), 2, "{turns:?}");

    assert_eq!(write_line(&url, "hello"), 200);
    for _ in 0..2 {
        let page = get(&url).json();
        assert_eq!(page["entries"][0]["text"], "hello", "{page}");
        assert!(page["member"].as_str().is_some_and(|member| member.starts_with("db-")), "{page}");
        assert_eq!(
            page["counts"].as_object().map(|counts| counts.values().filter_map(serde_json::Value::as_u64).sum::<u64>()),
            Some(1)
        );
    }
    let ran = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "No changes. What there is matches the configuration.\n"));

    // Nothing runs as root, and secrets are nowhere to be seen.
    let show = sandbox.lampwright("stack", &["show", "-files"]).success();
    assert!(show.contains("balance roundrobin") && show.contains("(secret, "), "{show}");
    assert!(!show.contains("mongodb://"), "{show}");
    if rustix::process::geteuid().is_root() {
        let owners = sandbox.daemons().into_iter().filter_map(|pid| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            status
                .lines()
                .find_map(|line| line.strip_prefix("Uid:\t"))
                .map(|uids| uids.split('\t').next().unwrap_or("").to_owned())
        });
        assert!(owners.collect::<BTreeSet<_>>().iter().all(|uid| uid != "0"));
    }
    down(&sandbox);
}

#[test]
fn scaling_drops_no_request_and_leaves_the_others_alone() {
    let (sandbox, url) = up();
    let before = [sandbox.pid("web-1", "apache2"), sandbox.pid("web-2", "php-fpm"), sandbox.pid("db-1", "mongod")];
    let load = Load::start(&url, 4);
    sandbox.lampwright("stack", &["apply", "-auto-approve", "-var", "web_nodes=4"]).success();
    assert_eq!(nodes(&url, 40).len(), 4);
    sandbox.lampwright("stack", &["apply", "-auto-approve", "-var", "web_nodes=2"]).success();
    assert_eq!(nodes(&url, 12).len(), 2);
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    assert_eq!(answers.by_node.len(), 4, "{answers:?}");
    let after = [sandbox.pid("web-1", "apache2"), sandbox.pid("web-2", "php-fpm"), sandbox.pid("db-1", "mongod")];
    assert_eq!(before, after);
    // Ids are never used again.
    sandbox.lampwright("stack", &["apply", "-auto-approve", "-var", "web_nodes=3"]).success();
    assert!(sandbox.machines().contains(&"web-5".to_owned()), "{:?}", sandbox.machines());
    down(&sandbox);
}

#[test]
fn dead_machines_are_survived_named_and_repaired() {
    let (sandbox, url) = up();
    assert_eq!(write_line(&url, "before"), 200);
    let member = get(&url).json()["member"].as_str().expect("a member").to_owned();
    let secondary = if member == "db-3" { "db-2" } else { "db-3" };
    sandbox.kill_machine("web-1", "apache2");
    sandbox.kill_machine(secondary, "mongod");
    assert_eq!(get(&url).json()["node"], "web-2");
    assert_eq!(write_line(&url, "one_member_less"), 200);

    let plan = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, 2);
    assert!(
        plan.stdout.contains("web-1 is stopped: it is repaired (php-fpm and apache2 do not run)"),
        "{}",
        plan.stdout
    );
    assert!(
        plan.stdout.contains(&format!("{secondary} is stopped: it is repaired (mongod does not run)")),
        "{}",
        plan.stdout
    );
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    // The load balancer sees the node come back by its own checks.
    wait_for("web-1 being back", Duration::from_secs(10), || nodes(&url, 4).len() == 2);

    // The primary: an election passes, and the write comes through.
    sandbox.kill_machine(&member, "mongod");
    assert_eq!(write_line(&url, "over_an_election"), 200);
    assert_eq!(get(&url).json()["entries"][0]["text"], "over_an_election");

    // Two of three: no majority, no writes, a clear answer; reading goes on.
    sandbox.kill_machine(secondary, "mongod");
    let refused = request(&url, "POST", "/?format=json", "text=lost").expect("an answer");
    assert_eq!(refused.status, 503);
    let error = refused.json()["error"].as_str().unwrap_or_default().to_owned();
    // Whether the last member was still primary when the line came decides which of the two is true.
    let is_honest = error.contains("Nothing was written") || error.contains("not confirmed by a majority");
    assert!(error.contains("takes no writes now") && is_honest, "{error}");
    let page = get(&url);
    assert_eq!((page.status, &page.json()["entries"][0]["text"]), (200, &serde_json::json!("over_an_election")));

    // Taking a member away now would make it worse; the plan says so and changes nothing.
    let refused = sandbox.lampwright("stack", &["plan", "-var", "db_members=1"]).failure();
    assert!(refused.contains("would lose the majority of the replica set"), "{refused}");
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(write_line(&url, "whole_again"), 200);
    down(&sandbox);
}

#[test]
fn a_command_that_is_killed_loses_nothing_and_doubles_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write_lamp_stack();
    // Cut off at several points of its life: while the database is made, and later while the web nodes are.
    for wanted in ["db-3", "web-1"] {
        let mut command = sandbox.lampwright_command("stack", APPLY);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().expect("lampwright runs");
        wait_for(wanted, Duration::from_mins(1), || sandbox.machines().contains(&wanted.to_owned()));
        child.kill().expect("killed");
        child.wait().expect("ended");
        // The state still reads.
        sandbox.lampwright("stack", &["show"]).success();
        wait_for("the orphaned plugin's end", Duration::from_secs(10), || no_plugin_in(&sandbox, "stack"));
    }
    let applied = sandbox.lampwright("stack", APPLY);
    let notes = applied.stderr.clone();
    applied.success();
    assert!(notes.contains("an earlier run was cut off"), "{notes}");
    assert_eq!(sandbox.machines(), ["db-1", "db-2", "db-3", "lb-1", "web-1", "web-2"]);
    let url = sandbox.lampwright("stack", &["output", "-raw", "url"]).success().trim().to_owned();
    assert_eq!(write_line(&url, "hello"), 200);
    assert_eq!(nodes(&url, 6).len(), 2);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    // One of each daemon per machine.
    let mongods = sandbox
        .daemons()
        .into_iter()
        .filter(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "mongod"));
    assert_eq!(mongods.count(), 3);
    down(&sandbox);
}

#[test]
fn members_come_and_go_and_keep_the_data() {
    let (sandbox, url) = up();
    assert_eq!(write_line(&url, "kept"), 200);
    sandbox.lampwright("stack", &["apply", "-auto-approve", "-var", "db_members=5"]).success();
    assert_eq!(write_line(&url, "by_five"), 200);
    let load = Load::start(&url, 2);
    sandbox.lampwright("stack", &["apply", "-auto-approve", "-var", "db_members=1"]).success();
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    let page = get(&url).json();
    assert_eq!(
        (&page["entries"][1]["text"], &page["member"]),
        (&serde_json::json!("kept"), &serde_json::json!("db-1"))
    );
    down(&sandbox);
}

#[test]
fn a_value_that_a_configuration_file_cannot_carry_changes_nothing() {
    let (sandbox, url) = up();
    let path = sandbox.join("stack/main.stack.hcl");
    let text = std::fs::read_to_string(&path).expect("the stack");
    std::fs::write(
        &path,
        text.replace("web_nodes  = var.web_nodes", "web_nodes  = var.web_nodes\n  environment = { A = \"x\\u0000y\" }"),
    )
    .expect("written");
    let refused = sandbox.lampwright("stack", APPLY).failure();
    assert!(refused.contains("holds a NUL character"), "{refused}");
    assert_eq!(get(&url).status, 200);
    down(&sandbox);
}

/// A stack of one layer without a database: quick to make.
fn web_only(sandbox: &Sandbox, nodes: u32, extra: &str) {
    sandbox.write(
        "stack/app/index.php",
        "<?php header('Content-Type: application/json'); echo '{\"node\":\"', getenv('LAMPWRIGHT_NODE'), '\"}';\n",
    );
    let web = format!("resource \"lamp_cluster\" \"web\" {{\n  nodes = {nodes}\n  app   = \"./app\"\n{extra}}}\n");
    sandbox.write("stack/main.stack.hcl", &format!("{}{web}", sandbox.provider_block()));
}

#[test]
fn a_change_that_failed_is_found_again() {
    let sandbox = Sandbox::new();
    web_only(&sandbox, 1, "");
    sandbox.lampwright("stack", APPLY).success();
    // A health page that says no: the node never becomes ready.
    sandbox.write("stack/app/livez.php", "<?php http_response_code(500);\n");
    let error = sandbox.lampwright("stack", APPLY).failure();
    assert!(error.contains("GET /livez.php") && error.contains("the answer is 500"), "{error}");
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 2);
    std::fs::remove_file(sandbox.join("stack/app/livez.php")).expect("removed");
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    down(&sandbox);
}

#[test]
fn files_that_were_lost_are_noticed_and_put_back() {
    let sandbox = Sandbox::new();
    web_only(&sandbox, 1, "");
    sandbox.lampwright("stack", APPLY).success();
    let page = sandbox.machine("web-1").join("htdocs/index.php");
    std::fs::write(&page, "somebody was here").expect("written");
    let plan = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
    assert!(plan.code == 2 && plan.stdout.contains("web-1 is changed by hand: it is repaired"), "{}", plan.stdout);
    sandbox.lampwright("stack", APPLY).success();
    assert!(std::fs::read_to_string(&page).expect("the page").starts_with("<?php"));
    down(&sandbox);
}

#[test]
fn a_successor_takes_machines_over_and_keeps_them() {
    let sandbox = Sandbox::new();
    // Two names of one cloud: the same machines, and for the provider a new layer.
    let stack = |cloud: &str| {
        web_only(
            &sandbox,
            2,
            &format!("  cloud = \"{cloud}\"\n  lifecycle {{\n    create_before_destroy = true\n  }}\n"),
        );
        let text = std::fs::read_to_string(sandbox.join("stack/main.stack.hcl")).expect("the stack");
        let (before, after) = text.split_once("  cloud \"local\"").expect("a cloud");
        let block = after.split_once("\n  }\n").expect("a block").0;
        let text = format!("{before}  cloud \"twin\"{block}\n  }}\n  cloud \"local\"{after}");
        sandbox.write("stack/main.stack.hcl", &text);
    };
    stack("local");
    sandbox.lampwright("stack", APPLY).success();
    stack("twin");
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.machines(), ["web-1", "web-2"]);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    down(&sandbox);
}

#[test]
fn a_stack_without_anything_left_in_it_is_taken_away() {
    let sandbox = Sandbox::new();
    web_only(&sandbox, 1, "");
    sandbox.lampwright("stack", APPLY).success();
    sandbox.write("stack/main.stack.hcl", &format!("stack \"empty\" {{}}\n{}", sandbox.provider_block()));
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
    assert_eq!(sandbox.daemons(), Vec::<i32>::new());
}

/// An apply of two web nodes that is killed as soon as there is a machine.
fn cut_off() -> Sandbox {
    let sandbox = Sandbox::new();
    web_only(&sandbox, 2, "");
    let mut command = sandbox.lampwright_command("stack", APPLY);
    let mut child =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("runs");
    wait_for("web-1", Duration::from_secs(30), || sandbox.machines().contains(&"web-1".to_owned()));
    child.kill().expect("killed");
    child.wait().expect("ended");
    wait_for("the orphaned plugin's end", Duration::from_secs(10), || no_plugin_in(&sandbox, "stack"));
    sandbox
}

/// The layer comes back under another name: what was begun under the old one goes.
#[test]
fn what_was_cut_off_is_removed_when_something_else_comes() {
    let sandbox = cut_off();
    web_only(&sandbox, 1, "  name  = \"other\"\n");
    sandbox.lampwright("stack", APPLY).success();
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.machines(), ["other-1"]);
    assert_eq!(sandbox.lampwright("stack", &["plan"]).stderr, "");
}

/// Another stack has imported what was begun: now it is not ours to remove.
#[test]
fn what_others_have_taken_over_is_not_destroyed() {
    let sandbox = cut_off();
    copy(&sandbox.join("stack"), &sandbox.join("other"));
    let refused = sandbox.lampwright("other", APPLY).failure();
    assert!(refused.contains("the layer belongs to another state"), "{refused}");
    sandbox.lampwright("other", &["import", "lamp_cluster.web", "t/web"]).success();
    sandbox.lampwright("other", APPLY).success();
    let destroyed = sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert!(destroyed.contains("1 destroyed"), "{destroyed}");
    assert_eq!(sandbox.machines(), ["web-1", "web-2"]);
    assert_eq!(sandbox.lampwright("other", &["plan", "-detailed-exitcode"]).code, 0);
}

/// What was only begun when a run was cut off is known to the next ones, and goes when everything goes.
#[test]
fn what_was_cut_off_is_destroyed() {
    let sandbox = cut_off();
    // Not forgotten by a command that only looks.
    for _ in 0..2 {
        let plan = sandbox.lampwright("stack", &["plan"]);
        assert!(plan.stderr.contains("was being made when a run was cut off"), "{}", plan.stderr);
    }
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
    assert_eq!(sandbox.daemons(), Vec::<i32>::new());
    let quiet = sandbox.lampwright("stack", &["plan"]);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn machines_that_an_interrupted_run_has_left_are_removed() {
    let sandbox = Sandbox::new();
    web_only(&sandbox, 1, "");
    sandbox.lampwright("stack", APPLY).success();
    web_only(&sandbox, 3, "");
    let mut command = sandbox.lampwright_command("stack", APPLY);
    let mut child =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("runs");
    wait_for("web-3", Duration::from_secs(30), || sandbox.machines().contains(&"web-3".to_owned()));
    child.kill().expect("killed");
    child.wait().expect("ended");
    wait_for("the orphaned plugin's end", Duration::from_secs(10), || no_plugin_in(&sandbox, "stack"));
    // Back to one: what was made beyond that is found and goes.
    web_only(&sandbox, 1, "");
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.machines(), ["web-1"]);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    down(&sandbox);
}

/// What every load balancer understands: the health page says 404 while the node still answers.
#[test]
fn a_node_that_leaves_says_so_and_goes_on_answering() {
    let sandbox = Sandbox::new();
    web_only(&sandbox, 2, "");
    sandbox.lampwright("stack", APPLY).success();
    let record = std::fs::read_to_string(sandbox.machine("web-2").join("machine.json")).expect("a record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    let url = format!("http://{}:8080", record["address"].as_str().expect("an address"));
    let status = |path: &str| request(&url, "GET", path, "").map(|answer| answer.status);
    assert_eq!((status("/livez.php"), status("/")), (Ok(200), Ok(200)));
    web_only(&sandbox, 1, "");
    let mut command = sandbox.lampwright_command("stack", APPLY);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("runs");
    wait_for("web-2 saying that it leaves", Duration::from_secs(20), || {
        assert!(child.try_wait().expect("a child").is_none(), "the node was gone before it said that it leaves");
        status("/livez.php") == Ok(404)
    });
    assert_eq!(status("/"), Ok(200));
    assert!(child.wait().expect("ended").success());
    assert_eq!(sandbox.machines(), ["web-1"]);
    down(&sandbox);
}

#[test]
fn a_saved_plan_to_destroy_finds_the_machines_where_the_provider_block_says() {
    let sandbox = Sandbox::new();
    web_only(&sandbox, 1, "");
    sandbox.lampwright("stack", APPLY).success();
    sandbox.lampwright("stack", &["plan", "-destroy", "-out", "p"]).success();
    sandbox.lampwright("stack", &["apply", "p"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
    assert_eq!(sandbox.daemons(), Vec::<i32>::new());
}

#[test]
fn layers_whose_state_was_lost_are_imported() {
    let (sandbox, url) = up();
    assert_eq!(write_line(&url, "kept"), 200);
    let before = [sandbox.pid("web-1", "apache2"), sandbox.pid("db-1", "mongod"), sandbox.pid("lb-1", "haproxy")];
    std::fs::remove_file(sandbox.join("stack/terraform.tfstate")).expect("removed");
    for (address, name) in [
        ("module.lamp.mongo_replset.db", "db"),
        ("module.lamp.lamp_cluster.web", "web"),
        ("module.lamp.lb_pool.lb", "lb"),
    ] {
        sandbox.lampwright("stack", &["import", address, &format!("t-lamp/{name}")]).success();
    }
    let again = sandbox.lampwright("stack", &["import", "module.lamp.lb_pool.lb", "t-lamp/lb"]).failure();
    assert!(again.contains("is in the state already"), "{again}");
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    assert_eq!(get(&url).json()["entries"][0]["text"], "kept");
    let after = [sandbox.pid("web-1", "apache2"), sandbox.pid("db-1", "mongod"), sandbox.pid("lb-1", "haproxy")];
    assert_eq!(before, after);
    down(&sandbox);
    // What is not there is not found.
    let nothing = sandbox.lampwright("stack", &["import", "module.lamp.lb_pool.lb", "t-lamp/lb"]).failure();
    assert!(nothing.contains("has no machines of a layer t-lamp/lb"), "{nothing}");
}

/// What is not known yet says nothing about machines.
#[test]
fn a_number_that_is_not_known_removes_no_machine() {
    let sandbox = Sandbox::new();
    sandbox.write("stack/app/index.php", "<?php\n");
    let write = |nodes: &str| {
        let layers = format!(
            "resource \"lamp_cluster\" \"web\" {{\n  nodes = {nodes}\n  app   = \"./app\"\n}}\nresource \"mongo_replset\" \"db\" {{\n  members    = 1\n  on_destroy = \"delete\"\n}}\n"
        );
        sandbox.write("stack/main.stack.hcl", &format!("{}{layers}", sandbox.provider_block()));
    };
    write("length(nonsensitive(mongo_replset.db.uri)) > 1000 ? 2 : 1");
    let plan = sandbox.lampwright("stack", &["plan"]).success();
    assert!(plan.contains("1 machine to add on local (1 db)\n"), "{plan}");
    write("1");
    let plan = sandbox.lampwright("stack", &["plan"]).success();
    assert!(plan.contains("2 machines to add on local (1 web, 1 db)\n"), "{plan}");
    sandbox.lampwright("stack", &["apply", "-auto-approve"]).success();
    // Another port of a database is another database: its machines go and come.
    sandbox.replace(
        "stack/main.stack.hcl",
        &std::fs::read_to_string(sandbox.join("stack/main.stack.hcl"))
            .expect("the stack")
            .replace("members    = 1", "members    = 1\n  port       = 27999")
            .replace("nodes = 1", "nodes = 0"),
    );
    let plan = sandbox.lampwright("stack", &["plan"]).success();
    assert!(
        plan.contains("1 machine to add on local (1 db); 2 machines to remove from local (1 web, 1 db)\n"),
        "{plan}"
    );
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}
