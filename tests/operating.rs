//! What operators ask of a stack that runs.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value as Json;

use crate::load::request;
use crate::sandbox::Sandbox;
use crate::walk::walk_through;

const STACK: &str = "variable \"web_nodes\" { default = 2 }
resource \"lamp_cluster\" \"web\" {
  nodes = var.web_nodes
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
    let protected =
        STACK.replace("  nodes = var.web_nodes\n", "  nodes = 2\n  lifecycle {\n    prevent_destroy = true\n  }\n");
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

/// What cannot be scaled is said before anything is planned, with the place.
#[test]
fn what_cannot_be_scaled_is_refused_with_its_place() {
    let sandbox = up();
    let stack = |text: &str| sandbox.write("shop/main.stack.hcl", &format!("{}{text}", sandbox.provider_block()));
    let refused = |args: &[&str]| sandbox.lampwright("shop", &[&["scale"], args].concat()).failure();
    assert!(refused(&["web"]).contains("is not LAYER=N"));
    assert!(refused(&["lb=2"]).contains("There is: lamp_cluster.web"));
    assert!(refused(&["web=-3"]).contains("has 2 machines"));
    assert!(refused(&["-remove", "web-7"]).contains("There is: web-1, web-2"));
    assert!(refused(&["web=3", "-var", "web_nodes=2"]).contains("leave it away"));
    sandbox.write("shop/prod.tfvars", "web_nodes = 2\n");
    assert!(refused(&["web=3", "-var-file", "prod.tfvars"]).contains("-var-file says web_nodes"));
    sandbox.write("shop/team.auto.tfvars", "web_nodes = 2\n");
    assert!(refused(&["web=3"]).contains("team.auto.tfvars sets web_nodes"));
    std::fs::remove_file(sandbox.join("shop/team.auto.tfvars")).expect("removed");
    // A number that no variable says.
    stack(&STACK.replace("nodes = var.web_nodes", "nodes = 2"));
    let text = refused(&["web=3"]);
    assert!(text.contains("main.stack.hcl:10:11") && text.contains("nodes = var.web_nodes"), "{text}");
    stack(STACK);
    // Nothing was written, and nobody's no writes anything.
    assert!(!sandbox.join("shop/scale.auto.tfvars").exists());
    sandbox.lampwright("shop", &["scale", "web=3", "-input=false"]).failure();
    assert!(!sandbox.join("shop/scale.auto.tfvars").exists());
    down(&sandbox);
}

/// Through the call of a module; a machine that the user names leaves, and another one takes its place.
#[test]
fn the_variable_of_the_root_module_is_changed() {
    let sandbox = Sandbox::new();
    sandbox.write("shop/app/index.php", "<?php echo 'hello';\n");
    let module = "variable \"nodes\" { type = number }
variable \"app\" { type = string }
resource \"lamp_cluster\" \"web\" {
  nodes = (var.nodes)
  app   = var.app
}
";
    sandbox.write("shop/site/main.stack.hcl", module);
    let call = "variable \"web\" { default = 2 }
module \"site\" {
  source = \"./site\"
  nodes  = var.web
  app    = \"./app\"
}
";
    sandbox.write("shop/main.stack.hcl", &format!("{}{call}", sandbox.provider_block()));
    sandbox.lampwright("shop", &["apply", "-auto-approve"]).success();
    let scale = |args: &[&str]| sandbox.lampwright("shop", &[&["scale", "-auto-approve"], args].concat()).success();
    scale(&["module.site.lamp_cluster.web=+1"]);
    assert_eq!(sandbox.machines(), ["web-1", "web-2", "web-3"]);
    scale(&["web=+0", "-remove", "web-2"]);
    assert_eq!(sandbox.machines(), ["web-1", "web-3", "web-4"]);
    // Who is not well leaves first, where nobody is named.
    sandbox.kill_machine("web-3", "apache2");
    scale(&["web=-1"]);
    assert_eq!(sandbox.machines(), ["web-1", "web-4"]);
    scale(&["-remove", "web-1"]);
    assert_eq!(sandbox.machines(), ["web-4"]);
    assert!(sandbox.lampwright("shop", &["plan", "-detailed-exitcode"]).code == 0);
    let written = std::fs::read_to_string(sandbox.join("shop/scale.auto.tfvars")).expect("the file");
    assert!(written.ends_with("\nweb = 1\n"), "{written}");
    // What is cut off goes on as it was meant: with the machine that was to leave, and not two more again.
    sandbox.write("shop/app/index.php", "<?php http_response_code(500);\n");
    let stopped =
        sandbox.lampwright("shop", &["scale", "-auto-approve", "web=+1", "-remove", "web-4", "-parallelism=3"]);
    assert_eq!(stopped.code, 1);
    let again = "To go on: lampwright scale module.site.lamp_cluster.web=2 -remove web-4 -parallelism=3 -auto-approve";
    assert!(stopped.stdout.contains(again), "{}", stopped.stdout);
    down(&sandbox);
}

/// A number that two layers have is changed for both, or for none.
#[test]
fn a_variable_of_two_layers_scales_no_layer_that_was_not_named() {
    let sandbox = Sandbox::new();
    sandbox.write("shop/app/index.php", "<?php echo 'hello';\n");
    let layer =
        |name: &str| format!("resource \"lamp_cluster\" \"{name}\" {{\n  nodes = var.n\n  app   = \"./app\"\n}}\n");
    let stack = format!("variable \"n\" {{ default = 1 }}\n{}{}", layer("one"), layer("two"));
    sandbox.write("shop/main.stack.hcl", &format!("{}{stack}", sandbox.provider_block()));
    sandbox.lampwright("shop", &["apply", "-auto-approve"]).success();
    for args in [&["one=2"][..], &["-remove", "one-1"]] {
        let refused = sandbox.lampwright("shop", &[&["scale", "-auto-approve"], args].concat()).failure();
        assert!(refused.contains("the variable n says the number of lamp_cluster.two, too"), "{refused}");
    }
    sandbox.lampwright("shop", &["scale", "-auto-approve", "one=2", "two=2"]).success();
    assert_eq!(sandbox.machines(), ["one-1", "one-2", "two-1", "two-2"]);
    down(&sandbox);
}
