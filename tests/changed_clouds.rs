//! Machines on clouds that get another size, image or disk. In the test beds of `make test-clouds`, as `clouds`.

use std::time::Duration;

use serde_json::Value as Json;

use crate::attributes;
use crate::clouds::{APPLY, Bed, sandbox, scope, url};
use crate::load::Load;

/// What a change of size, image and disk does to machines that serve: docs/attributes.md has what is seen. One that gets
/// another size leaves, is stopped, and comes back as who it was.
fn changes_machines_on(bed: Bed, larger: &str) {
    let sandbox = sandbox();
    sandbox.write("stack/app/index.php", "<?php echo json_encode(['node' => gethostname()]);\n");
    let (name, scope) = (bed.name(), scope());
    let cloud = bed.cloud_block(&sandbox, &bed.endpoint());
    let write = |web: &str, db: &str| {
        let image = |lines: &str| if lines.contains("image") { "" } else { "  image = \"lamp-debian-12*\"\n" };
        let layers = format!(
            "resource \"mongo_replset\" \"db\" {{\n  members    = 1\n  on_destroy = \"delete\"\n  cloud      = \"{name}\"\n  image      = \"lamp-debian-12*\"\n  {db}\n}}\nresource \"lamp_cluster\" \"web\" {{\n  nodes = 2\n  app   = \"./app\"\n  cloud = \"{name}\"\n{}  {web}\n}}\nresource \"lb_pool\" \"lb\" {{\n  backend = lamp_cluster.web\n  cloud   = \"{name}\"\n  image   = \"lamp-debian-12*\"\n}}\noutput \"url\" {{ value = lb_pool.lb.url }}\n",
            image(web)
        );
        let text = format!("provider \"lampwright\" {{\n  scope = \"{scope}\"\n{cloud}}}\n{layers}");
        sandbox.write("stack/main.stack.hcl", &text);
    };
    write("", "");
    sandbox.lampwright("stack", APPLY).success();
    let url = url(&sandbox);
    let machines = || bed.api(&["list", &scope])["machines"].clone();
    let mut table =
        String::from("| resource | change | what the plan says | what is seen to happen |\n|---|---|---|---|\n");
    for (address, web, db) in [
        ("lamp_cluster.web", "memory_gb = 4", ""),
        ("lamp_cluster.web", "cpu = 2", ""),
        ("lamp_cluster.web", larger, ""),
        ("lamp_cluster.web", "image = \"debian-12*\"", ""),
        ("lamp_cluster.web", "os = \"debian-12\"", ""),
        ("mongo_replset.db", "", "disk_gb = 12"),
        ("mongo_replset.db", "", "memory_gb = 4"),
    ] {
        let before = machines();
        write(web, db);
        let plan = sandbox.lampwright("stack", &["plan"]).success();
        let load = Load::paced(&url, 4, Duration::from_millis(50));
        let applied = sandbox.lampwright("stack", APPLY).success();
        let answers = load.stop();
        let some: Vec<&String> = answers.bad.iter().take(1).collect();
        let logs = || sandbox.lampwright("stack", &["logs", "lb", "-n", "2000"]).stdout;
        let servers = || logs().lines().filter(|line| line.contains("Server ")).collect::<Vec<_>>().join("\n");
        assert!(
            answers.bad.is_empty(),
            "{web}{db}: {} of {}: {some:?}\n{applied}\n{}",
            answers.bad.len(),
            answers.good,
            servers()
        );
        assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0, "{web}{db}");
        let seen = happened_to(&before, &machines());
        let told = attributes::said(&plan, address);
        let told = if told.is_empty() { "nothing".to_owned() } else { told };
        table += &format!("| {address} | `{web}{db}` | {told} | {seen} |\n");
    }
    assert!(table.contains("of another size"), "{table}");
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    bed.assert_empty(&scope);
    attributes::compare(&format!("size, image and disk on {name}"), &table);
}

/// Between two looks at the API.
fn happened_to(before: &Json, after: &Json) -> String {
    let (before, after) = (before.as_object().expect("machines"), after.as_object().expect("machines"));
    let mut told = Vec::new();
    for (name, machine) in after {
        let (old, new) = (before.get(name).map(|old| &old[0]), &machine[0]);
        match old {
            None => told.push(format!("{name} made")),
            Some(old) if old["size"] != new["size"] => {
                let is_same = ["id", "address", "disk"].iter().all(|part| old[part] == new[part]);
                let who = if is_same { "of another size, with its id, address and disk" } else { "another machine" };
                told.push(format!("{name} {who}"));
            }
            Some(old) if old != new => told.push(format!("{name} is another")),
            Some(_) => {}
        }
    }
    told.extend(before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("{name} removed")));
    if told.is_empty() { "nothing".to_owned() } else { told.join("; ") }
}

#[test]
fn machines_change_on_aws() {
    changes_machines_on(Bed::Aws, "size = \"t3.large\"");
}

#[test]
fn machines_change_on_openstack() {
    changes_machines_on(Bed::OpenStack, "size = \"m1.large\"");
}

/// Somebody has switched it off, and the size that it shall have is another one: both in one apply, on the same machine.
fn gives_back_on(bed: Bed, larger: &str) {
    let sandbox = sandbox();
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    let (name, scope) = (bed.name(), scope());
    let cloud = bed.cloud_block(&sandbox, &bed.endpoint());
    let write = |line: &str| {
        let layer = format!(
            "resource \"lamp_cluster\" \"web\" {{\n  nodes = 1\n  app   = \"./app\"\n  cloud = \"{name}\"\n  image = \"lamp-debian-12*\"\n{line}}}\n"
        );
        let text = format!("provider \"lampwright\" {{\n  scope = \"{scope}\"\n{cloud}}}\n{layer}");
        sandbox.write("stack/main.stack.hcl", &text);
    };
    write("");
    sandbox.lampwright("stack", APPLY).success();
    let machines = || bed.api(&["list", &scope])["machines"].clone();
    let before = machines();
    bed.api(&["power_off", &scope, "web-1"]);
    write(&format!("  size = \"{larger}\"\n"));
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(happened_to(&before, &machines()), "web-1 of another size, with its id, address and disk");
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    bed.assert_empty(&scope);
}

#[test]
fn a_machine_that_is_off_gets_its_size_on_aws() {
    gives_back_on(Bed::Aws, "t3.large");
}

#[test]
fn a_machine_that_is_off_gets_its_size_on_openstack() {
    gives_back_on(Bed::OpenStack, "m1.large");
}
