//! One stack uses what another has made: layers that are found by their names.

use crate::load::get;
use crate::sandbox::Sandbox;
use crate::terraform::{Terraform, program, write_config};

const APPLY: &[&str] = &["apply", "-auto-approve"];

/// The database and web nodes of one team.
const BASE: &str = "resource \"mongo_replset\" \"db\" {
  members    = 1
  database   = \"books\"
  on_destroy = \"delete\"
}
resource \"lamp_cluster\" \"web\" {
  nodes        = 2
  app          = \"./app\"
  port         = 8090
  health_check = { path = \"/alive.php\" }
}
";

/// A load balancer in front of them and a site with the same database, of another.
const FRONT: &str = "data \"lamp_cluster\" \"web\" {
  name  = \"web\"
  scope = \"t\"
}
data \"mongo_replset\" \"db\" {
  name     = \"db\"
  scope    = \"t\"
  database = \"books\"
}
resource \"lb_pool\" \"front\" { backend = data.lamp_cluster.web }
resource \"lamp_cluster\" \"site\" {
  nodes    = 1
  app      = \"./app\"
  database = data.mongo_replset.db
}
output \"url\" { value = lb_pool.front.url }
output \"site\" { value = \"http://${lamp_cluster.site.machines[0].address}:8080\" }
";

fn write(sandbox: &Sandbox) {
    let front = sandbox.provider_block().replace("scope = \"t\"", "scope = \"f\"");
    sandbox.write("base/app/index.php", "<?php echo $_SERVER['SERVER_ADDR'];\n");
    sandbox.write("base/main.stack.hcl", &format!("{}{BASE}", sandbox.provider_block()));
    sandbox.write("front/app/index.php", "<?php echo preg_replace('/:[^:@]*@/', ':..@', getenv('DATABASE_URI'));\n");
    sandbox.write("front/main.tf", &format!("{front}{FRONT}"));
}

#[test]
fn layers_of_another_stack_are_found_by_name() {
    let sandbox = Sandbox::new();
    write(&sandbox);
    // It is not there yet, and may have another name.
    let missing = sandbox.lampwright("front", &["plan"]).failure();
    assert!(
        missing.contains("there is no such layer") && missing.contains("no machines of a layer t/web"),
        "{missing}"
    );
    // It is the name that is marked.
    assert!(missing.contains("name  = \"web\"\n  │           ^^^^^"), "{missing}");
    sandbox.lampwright("base", APPLY).success();
    sandbox.lampwright("front", APPLY).success();
    let output = |name: &str| sandbox.lampwright("front", &["output", "-raw", name]).success().trim().to_owned();
    let answered: std::collections::BTreeSet<String> = (0..6).map(|_| get(&output("url")).body).collect();
    assert_eq!(answered.len(), 2, "{answered:?}");
    let uri = get(&output("site")).body;
    assert!(uri.contains("/books?") && uri.contains("replicaSet="), "{uri}");
    for stack in ["base", "front"] {
        assert_eq!(sandbox.lampwright(stack, &["plan", "-detailed-exitcode"]).code, 0, "{stack}");
    }
    // What grows there is followed here.
    sandbox.replace(
        "base/main.stack.hcl",
        &format!("{}{}", sandbox.provider_block(), BASE.replace("nodes        = 2", "nodes        = 3")),
    );
    sandbox.lampwright("base", APPLY).success();
    let plan = sandbox.lampwright("front", &["plan"]).success();
    assert!(plan.contains("+    server web-3"), "{plan}");
    sandbox.lampwright("front", APPLY).success();
    // Nothing of it is taken: it goes on when the other stack goes.
    sandbox.lampwright("front", &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.lampwright("base", &["plan", "-detailed-exitcode"]).code, 0);
    sandbox.lampwright("base", &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.daemons(), Vec::<i32>::new());
}

/// Its port would be a guess, and a load balancer that goes by a guess sends to nobody.
#[test]
fn a_layer_that_cannot_be_read_is_told() {
    let sandbox = Sandbox::new();
    write(&sandbox);
    sandbox.lampwright("base", APPLY).success();
    for machine in ["web-1", "web-2"] {
        let file = sandbox.machine(machine).join("etc/httpd.conf");
        std::fs::remove_file(&file).expect("removed");
        std::os::unix::fs::symlink("/etc/hostname", &file).expect("a link");
    }
    let refused = sandbox.lampwright("front", &["plan"]).failure();
    assert!(refused.contains("Reading etc/httpd.conf of web-1"), "{refused}");
    sandbox.lampwright("base", &["destroy", "-auto-approve"]).success();
}

/// The admin's password of the database is nobody else's.
#[test]
fn terraform_finds_layers_too() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    write(&sandbox);
    write_config(&sandbox);
    let requirement = "terraform {\n  required_providers {\n    lampwright = {\n      source = \"lampwright/lampwright\"\n    }\n  }\n}\n";
    let text = std::fs::read_to_string(sandbox.join("front/main.tf")).expect("the stack");
    let text = [
        "data \"lamp_cluster\" \"web\" {\n",
        "data \"mongo_replset\" \"db\" {\n",
        "resource \"lamp_cluster\" \"site\" {\n",
    ]
    .iter()
    .fold(text, |text, block| text.replace(block, &format!("{block}  provider = lampwright\n")));
    let text = text.replace(
        "resource \"lb_pool\" \"front\" { backend = data.lamp_cluster.web }",
        "resource \"lb_pool\" \"front\" {\n  provider = lampwright\n  backend = data.lamp_cluster.web\n}",
    );
    sandbox.replace("front/main.tf", &format!("{requirement}{text}"));
    sandbox.lampwright("base", APPLY).success();
    let terraform = Terraform { sandbox: &sandbox, program, folder: "front" };
    terraform.run(APPLY).success();
    assert_eq!(terraform.run(&["plan", "-detailed-exitcode"]).code, 0);
    let state = std::fs::read_to_string(sandbox.join("front/terraform.tfstate")).expect("the state");
    assert!(!state.contains("admin_password"), "{state}");
    terraform.run(&["destroy", "-auto-approve"]).success();
    sandbox.lampwright("base", &["destroy", "-auto-approve"]).success();
}
