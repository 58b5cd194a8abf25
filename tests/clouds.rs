//! Whole stacks on clouds: the API of each is real software that is not ours, and its machines really boot.
//!
//! `make test-clouds` starts the test beds and runs these; nothing else does.

use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;

use crate::load::{Load, get, request};
use crate::sandbox::{Sandbox, copy, repository, wait_for};
use crate::terraform;

/// A cloud of the test beds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bed {
    Aws,
    OpenStack,
}

impl Bed {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Bed::Aws => "aws",
            Bed::OpenStack => "openstack",
        }
    }

    pub(crate) fn place(self) -> String {
        let variable = match self {
            Bed::Aws => "LAMPWRIGHT_TESTBED_AWS",
            Bed::OpenStack => "LAMPWRIGHT_TESTBED_OPENSTACK",
        };
        std::env::var(variable)
            .unwrap_or_else(|_| panic!("{variable} is not set: run these tests by `make test-clouds`"))
    }

    /// The API as it is, without a proxy in front of it.
    pub(crate) fn endpoint(self) -> String {
        match self {
            Bed::Aws => format!(", endpoint_url = \"{}\"", self.place()),
            Bed::OpenStack => String::new(),
        }
    }

    pub(crate) fn cloud_block(self, sandbox: &Sandbox, extra: &str) -> String {
        let key = sandbox.join("key").display().to_string();
        let settings = match self {
            Bed::Aws => "region = \"eu-west-1\", image_owners = \"self\", connect = \"private\"",
            Bed::OpenStack => "network = \"internal\"",
        };
        // The beds are of this machine alone.
        let ssh_from = if extra.contains("ssh_from") { "" } else { ", ssh_from = \"0.0.0.0/0\"" };
        format!(
            "  cloud \"{0}\" {{\n    driver   = \"{0}\"\n    settings = {{ {settings}{ssh_from}, ssh_key = \"{key}\"{extra} }}\n  }}\n",
            self.name()
        )
    }

    /// Asks or changes the cloud behind the product's back (`tests/testbeds/apis.py`).
    pub(crate) fn api(self, args: &[&str]) -> Json {
        let script = repository().join("tests/testbeds/apis.py");
        let mut command = Command::new("python3");
        let output = command.arg(script).args([self.name(), &self.place()]).args(args).output().expect("python3 runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The names of the machines that the API lists; a name that is there twice is twice in the list.
    pub(crate) fn machines(self, scope: &str) -> Vec<String> {
        let listed = self.api(&["list", scope]);
        let machines = listed["machines"].as_object().expect("machines");
        machines.iter().flat_map(|(name, all)| all.as_array().expect("a list").iter().map(|_| name.clone())).collect()
    }

    #[track_caller]
    pub(crate) fn assert_empty(self, scope: &str) {
        let nothing = serde_json::json!({ "machines": {}, "disks": [], "groups": [], "others": [] });
        assert_eq!(self.api(&["list", scope]), nothing);
    }
}

/// Where the machines of the test beds see this host (`tests/testbeds/machines/watch.py`).
pub(crate) const HOST: &str = "10.254.254.1";

/// A scope of this test alone: the clouds are shared.
pub(crate) fn scope() -> String {
    format!("t{}", std::process::id())
}

/// With the credentials of both clouds, as their users have them.
pub(crate) fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new();
    let own = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
    sandbox.environment = own.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let openrc = std::fs::read_to_string(Bed::OpenStack.place()).expect("the openrc file of the test bed");
    let words = openrc.split_ascii_whitespace().filter_map(|word| word.split_once('='));
    sandbox.environment.extend(words.map(|(name, value)| (name.to_owned(), value.to_owned())));
    sandbox
}

/// A module of the library with three layers, on the clouds that `arguments` say.
fn write_stack(sandbox: &Sandbox, module: &str, clouds: &str, arguments: &str) {
    copy(&repository().join("modules").join(module), &sandbox.join("lamp"));
    let text = format!(
        "stack \"shop\" {{}}\nvariable \"web_nodes\" {{ default = 2 }}\nvariable \"db_members\" {{ default = 3 }}\nprovider \"lampwright\" {{\n  scope = \"{}\"\n{clouds}}}\nmodule \"lamp\" {{\n  source     = \"../lamp\"\n  web_nodes  = var.web_nodes\n  db_members = var.db_members\n  db_on_destroy = \"delete\"\n  image      = \"lamp-debian-12*\"\n{arguments}}}\noutput \"url\" {{ value = module.lamp.url }}\noutput \"nodes\" {{ value = module.lamp.nodes }}\n",
        scope()
    );
    sandbox.write("stack/main.stack.hcl", &text);
}

pub(crate) const APPLY: &[&str] = &["apply", "-auto-approve"];

pub(crate) fn url(sandbox: &Sandbox) -> String {
    sandbox.lampwright("stack", &["output", "-raw", "url"]).success().trim().to_owned()
}

fn nodes(url: &str, requests: usize) -> std::collections::BTreeSet<String> {
    (0..requests).map(|_| get(url).json()["node"].as_str().expect("a node").to_owned()).collect()
}

fn write_line(url: &str, text: &str) -> u16 {
    request(url, "POST", "/?format=json", &format!("text={text}")).expect("an answer").status
}

/// Everything that a stack goes through on one cloud.
fn lives_on(bed: Bed) {
    let sandbox = sandbox();
    let cloud = format!("  cloud = \"{}\"\n", bed.name());
    write_stack(&sandbox, "lamp", &bed.cloud_block(&sandbox, &bed.endpoint()), &cloud);
    sandbox.lampwright("stack", APPLY).success();
    let url = url(&sandbox);

    // Each node at the address that the cloud tells.
    let listed = bed.api(&["list", &scope()])["machines"].clone();
    let told: Json =
        serde_json::from_str(&sandbox.lampwright("stack", &["output", "-json", "nodes"]).success()).expect("JSON");
    let told = told.get("value").unwrap_or(&told).as_object().expect("nodes").clone();
    assert_eq!(told.keys().collect::<Vec<_>>(), ["db-1", "db-2", "db-3", "lb-1", "web-1", "web-2"]);
    for (name, address) in &told {
        let address = address.as_str().expect("an address").split(':').next().expect("a host");
        assert_eq!(listed[name][0]["address"], address, "{name}");
    }
    assert_eq!(nodes(&url, 6).len(), 2);
    assert_eq!(write_line(&url, "kept"), 200);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);

    // A person gets onto a machine, which is who it says; the exit code is that of the command.
    assert!(sandbox.lampwright("stack", &["ssh", "web-1", "--", "id", "-un"]).success().contains("lampwright"));
    assert_eq!(sandbox.lampwright("stack", &["ssh", "web-1", "--", "exit", "7"]).code, 7);

    // Growing and shrinking under load.
    let load = Load::paced(&url, 4, Duration::from_millis(50));
    sandbox.lampwright("stack", &["apply", "-auto-approve", "-var", "web_nodes=4"]).success();
    assert_eq!(nodes(&url, 40).len(), 4);
    sandbox.lampwright("stack", APPLY).success();
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    assert_eq!(answers.by_node.len(), 4, "{answers:?}");
    assert_eq!(bed.machines(&scope()), ["db-1", "db-2", "db-3", "lb-1", "web-1", "web-2"]);

    // What somebody does by hand is seen, and made good.
    bed.api(&["terminate", &scope(), "web-1"]);
    bed.api(&["terminate", &scope(), "db-3"]);
    bed.api(&["detach", &scope(), "db-2"]);
    bed.api(&["open", &scope(), "db", "27017"]);
    let disks = bed.api(&["list", &scope()])["disks"].as_array().expect("disks").len();
    let plan = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, 2, "{}{}", plan.stdout, plan.stderr);
    for expected in ["db-2 is failed: it is repaired", "+ db-4", "+ web-5", "not asked for: tcp 27017 from anywhere"] {
        assert!(plan.stdout.contains(expected), "{expected:?} is not in:\n{}", plan.stdout);
    }
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    assert_eq!(bed.machines(&scope()), ["db-1", "db-2", "db-4", "lb-1", "web-2", "web-5"]);
    // The disk of the machine that was lost hangs on its successor: there are as many as before.
    let listed = bed.api(&["list", &scope()]);
    assert_eq!(listed["disks"].as_array().expect("disks").len(), disks);
    assert!(listed["machines"]["db-4"][0]["disk"].is_string(), "{listed}");
    wait_for("both nodes serving", Duration::from_secs(20), || nodes(&url, 4).len() == 2);
    assert_eq!(get(&url).json()["entries"][0]["text"], "kept");

    // A machine that somebody switched off, and a disk that is nowhere any more: its member begins with an empty one.
    bed.api(&["power_off", &scope(), "web-2"]);
    bed.api(&["forget", &scope(), "db-2"]);
    let plan = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, 2, "{}{}", plan.stdout, plan.stderr);
    for expected in ["db-2 is failed: it is repaired", "web-2 is failed: it is repaired"] {
        assert!(plan.stdout.contains(expected), "{expected:?} is not in:\n{}", plan.stdout);
    }
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    assert_eq!(bed.machines(&scope()), ["db-1", "db-2", "db-4", "lb-1", "web-2", "web-5"]);
    assert_eq!(bed.api(&["list", &scope()])["disks"].as_array().expect("disks").len(), disks);
    assert_eq!(nodes(&url, 6).len(), 2);

    // All machines of the database at once: their disks are there, and what was written.
    for name in ["db-1", "db-2", "db-4"] {
        bed.api(&["terminate", &scope(), name]);
    }
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    assert_eq!(bed.machines(&scope()), ["db-5", "db-6", "db-7", "lb-1", "web-2", "web-5"]);
    assert_eq!(bed.api(&["list", &scope()])["disks"].as_array().expect("disks").len(), disks);
    wait_for("the page", Duration::from_secs(20), || get(&url).status == 200);
    assert_eq!(get(&url).json()["entries"][0]["text"], "kept");

    // The state is lost, and found again in the cloud.
    std::fs::remove_file(sandbox.join("stack/terraform.tfstate")).expect("removed");
    for (address, name) in [
        ("module.lamp.mongo_replset.db", "db"),
        ("module.lamp.lamp_cluster.web", "web"),
        ("module.lamp.lb_pool.lb", "lb"),
    ] {
        let id = format!("{}:{}-lamp/{name}", bed.name(), scope());
        sandbox.lampwright("stack", &["import", address, &id]).success();
    }
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    assert_eq!(bed.machines(&scope()), ["db-5", "db-6", "db-7", "lb-1", "web-2", "web-5"]);
    assert_eq!(get(&url).json()["entries"][0]["text"], "kept");

    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    bed.assert_empty(&scope());
}

#[test]
fn a_stack_lives_on_aws() {
    lives_on(Bed::Aws);
}

#[test]
fn a_stack_lives_on_openstack() {
    lives_on(Bed::OpenStack);
}

#[test]
fn multi_cloud_lamp_lives_on_three_clouds() {
    let sandbox = sandbox();
    let local = format!(
        "  cloud \"local\" {{\n    driver   = \"local\"\n    settings = {{ root = \"{}\", network = \"{}\", egress = \"{HOST}/32\" }}\n  }}\n",
        sandbox.join("m").display(),
        sandbox.network
    );
    let clouds = format!(
        "{local}{}{}",
        Bed::Aws.cloud_block(&sandbox, &Bed::Aws.endpoint()),
        Bed::OpenStack.cloud_block(&sandbox, ", floating_network = \"ext\"")
    );
    let layers = "  lb_cloud = \"local\"\n  web_cloud = \"aws\"\n  db_cloud = \"openstack\"\n";
    write_stack(&sandbox, "multi-cloud-lamp", &clouds, layers);
    sandbox.lampwright("stack", APPLY).success();
    let url = url(&sandbox);
    assert_eq!(nodes(&url, 6).len(), 2);
    assert_eq!(write_line(&url, "over_three_clouds"), 200);
    assert_eq!(get(&url).json()["entries"][0]["text"], "over_three_clouds");
    assert_eq!(Bed::Aws.machines(&scope()), ["web-1", "web-2"]);
    assert_eq!(Bed::OpenStack.machines(&scope()), ["db-1", "db-2", "db-3"]);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    // The database lets in the web nodes, by the addresses that they have outside, and its own members; nobody else.
    let web = &Bed::Aws.api(&["list", &scope()])["machines"];
    let mut from: Vec<std::net::IpAddr> = ["web-1", "web-2"]
        .iter()
        .map(|name| web[name][0]["public"].as_str().expect("an address").parse().expect("an address"))
        .collect();
    from.sort();
    let shown = sandbox.lampwright("stack", &["show", "-json"]).success();
    let expected = format!("/db: tcp 27017 from {}, {}", from[0], from[1]);
    assert!(shown.contains(&expected), "{expected:?} is not in:\n{shown}");

    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    Bed::Aws.assert_empty(&scope());
    Bed::OpenStack.assert_empty(&scope());
}

/// The cloud's own load balancer in front of web nodes. The test beds carry no traffic through it; what it is told is
/// looked at.
fn balances_on(bed: Bed) {
    let sandbox = sandbox();
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    let (name, scope) = (bed.name(), scope());
    let layers = format!(
        "variable \"web_nodes\" {{ default = 1 }}\nresource \"lamp_cluster\" \"web\" {{\n  nodes = var.web_nodes\n  app   = \"./app\"\n  cloud = \"{name}\"\n  image = \"lamp-debian-12*\"\n  health_check = {{ interval_ms = 5000 }}\n}}\nresource \"lb_pool\" \"lb\" {{\n  kind     = \"native\"\n  backend  = lamp_cluster.web\n  cloud    = \"{name}\"\n  listener = {{ port = 80 }}\n}}\noutput \"address\" {{ value = lb_pool.lb.address }}\n",
    );
    let cloud = bed.cloud_block(&sandbox, &bed.endpoint());
    sandbox.write(
        "stack/main.stack.hcl",
        &format!("provider \"lampwright\" {{\n  scope = \"{scope}\"\n{cloud}}}\n{layers}"),
    );
    sandbox.lampwright("stack", APPLY).success();
    let address = sandbox.lampwright("stack", &["output", "-raw", "address"]).success();
    let look = || {
        let listed = bed.api(&["list", &scope]);
        let machines = listed["machines"].as_object().expect("machines").values();
        let mut addresses: Vec<String> =
            machines.map(|machine| machine[0]["address"].as_str().expect("an address").to_owned()).collect();
        addresses.sort();
        (listed["others"].clone(), addresses)
    };
    for nodes in [1, 2, 1] {
        sandbox.lampwright("stack", &["apply", "-auto-approve", "-var", &format!("web_nodes={nodes}")]).success();
        let (balancers, addresses) = look();
        assert_eq!(addresses.len(), nodes);
        assert_eq!(balancers, serde_json::json!([{ "host": address.trim(), "targets": addresses }]));
    }
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    bed.assert_empty(&scope);
}

#[test]
fn aws_balances_a_layer_itself() {
    balances_on(Bed::Aws);
}

#[test]
fn openstack_balances_a_layer_itself() {
    balances_on(Bed::OpenStack);
}

/// Killed while machines are made: the cloud has them, and nobody has recorded it.
fn survives_a_crash(bed: Bed) {
    let sandbox = sandbox();
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    let name = bed.name();
    let web = format!(
        "resource \"lamp_cluster\" \"web\" {{\n  nodes = 2\n  app   = \"./app\"\n  cloud = \"{name}\"\n  image = \"lamp-debian-12*\"\n}}\n"
    );
    let cloud = bed.cloud_block(&sandbox, &bed.endpoint());
    sandbox.write(
        "stack/main.stack.hcl",
        &format!("provider \"lampwright\" {{\n  scope = \"{}\"\n{cloud}}}\n{web}", scope()),
    );
    let mut command = sandbox.lampwright_command("stack", APPLY);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().expect("lampwright runs");
    wait_for("both machines in the cloud", Duration::from_mins(1), || bed.machines(&scope()).len() == 2);
    child.kill().expect("killed");
    child.wait().expect("ended");
    let ids = || {
        let listed = bed.api(&["list", &scope()]);
        ["web-1", "web-2"].map(|name| listed["machines"][name][0]["id"].as_str().expect("an id").to_owned())
    };
    let before = ids();
    let shown = sandbox.lampwright("stack", &["show"]).success();
    assert!(!shown.contains("web-1"), "{shown}");
    sandbox.lampwright("stack", APPLY).success();
    // The very same machines, and no others.
    assert_eq!((ids(), bed.machines(&scope()).len()), (before.clone(), 2));
    if bed == Bed::Aws {
        // An order whose answer was lost is done late, after it was given again: the later machine goes.
        bed.api(&["twin", &scope(), "web-1"]);
        assert_eq!(bed.machines(&scope()).len(), 3);
        assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 2);
        sandbox.lampwright("stack", APPLY).success();
        assert_eq!((ids(), bed.machines(&scope()).len()), (before, 2));
    }
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    bed.assert_empty(&scope());
}

#[test]
fn a_crash_on_aws_makes_no_twins() {
    survives_a_crash(Bed::Aws);
}

#[test]
fn a_crash_on_openstack_makes_no_twins() {
    survives_a_crash(Bed::OpenStack);
}

#[test]
fn a_quota_is_looked_at_before_anything_is_made() {
    let sandbox = sandbox();
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    let web = "resource \"lamp_cluster\" \"web\" {\n  nodes = 60\n  app   = \"./app\"\n  cloud = \"openstack\"\n}\n";
    let cloud = Bed::OpenStack.cloud_block(&sandbox, "");
    sandbox.write(
        "stack/main.stack.hcl",
        &format!("provider \"lampwright\" {{\n  scope = \"{}\"\n{cloud}}}\n{web}", scope()),
    );
    let refused = sandbox.lampwright("stack", APPLY).failure();
    assert!(refused.contains("the quota for instances is used up: 60 more are needed"), "{refused}");
    assert!(refused.contains("Raise it to at least"), "{refused}");
    assert_eq!(Bed::OpenStack.machines(&scope()), Vec::<String>::new());
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    Bed::OpenStack.assert_empty(&scope());
}

#[test]
fn what_a_cloud_does_not_have_is_said_in_the_plan() {
    let sandbox = sandbox();
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    for (bed, attribute, expected) in [
        (
            Bed::Aws,
            "size  = \"t3.enormous\"",
            "there is no size \"t3.enormous\". There are: t3.nano (2 cpu, 0.5 GiB), t3.micro",
        ),
        (Bed::Aws, "os    = \"plan-9\"", "there is no os \"plan-9\". There are: debian-12"),
        (Bed::OpenStack, "size  = \"x1.tiny\"", "There are: m1.small (1 cpu, 1 GiB, disk 10 GiB), m1.medium"),
        (Bed::OpenStack, "cpu   = 64", "there is no size with 64 processors and 1 GiB of memory"),
        (
            Bed::OpenStack,
            "image = \"slackware\"",
            "There are: debian-12-genericcloud-amd64-20261101, lamp-debian-12-20261101",
        ),
    ] {
        let name = bed.name();
        let web = format!(
            "resource \"lamp_cluster\" \"web\" {{\n  app   = \"./app\"\n  cloud = \"{name}\"\n  {attribute}\n}}\n"
        );
        let cloud = bed.cloud_block(&sandbox, &bed.endpoint());
        sandbox.write(
            "stack/main.stack.hcl",
            &format!("provider \"lampwright\" {{\n  scope = \"{}\"\n{cloud}}}\n{web}", scope()),
        );
        let refused = sandbox.lampwright("stack", &["plan"]).failure();
        // Lines are broken where the terminal ends.
        let flat = refused.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(expected), "{expected:?} is not in:\n{refused}");
    }
}

/// The real terraform on a cloud, with the exported module.
#[test]
fn terraform_drives_a_cloud() {
    let Some(program) = terraform::program() else { return };
    let sandbox = sandbox();
    write_stack(&sandbox, "lamp", &Bed::OpenStack.cloud_block(&sandbox, ""), "  cloud = \"openstack\"\n");
    let out = sandbox.join("exported").display().to_string();
    sandbox.lampwright(".", &["export", "stack", &out]).success();
    terraform::write_config(&sandbox);
    let terraform = terraform::Terraform { sandbox: &sandbox, program, folder: "exported/stack" };
    terraform.run(&["get"]).success();
    terraform.run(&["apply", "-auto-approve"]).success();
    assert_eq!(terraform.run(&["plan", "-detailed-exitcode"]).code, 0);
    let url = terraform.run(&["output", "-raw", "url"]).success();
    assert_eq!(nodes(&url, 6).len(), 2);
    assert_eq!(write_line(&url, "by_terraform"), 200);
    let load = Load::paced(&url, 2, Duration::from_millis(50));
    terraform.run(&["apply", "-auto-approve", "-var", "web_nodes=3"]).success();
    terraform.run(&["apply", "-auto-approve", "-var", "web_nodes=2"]).success();
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    // Found by its tags, as by our own command.
    terraform.run(&["state", "rm", "module.lamp.lb_pool.lb"]).success();
    terraform.run(&["import", "module.lamp.lb_pool.lb", &format!("openstack:{}/lb", scope())]).success();
    terraform.run(&["apply", "-auto-approve"]).success();
    assert_eq!(terraform.run(&["plan", "-detailed-exitcode"]).code, 0);
    terraform.run(&["destroy", "-auto-approve"]).success();
    Bed::OpenStack.assert_empty(&scope());
}

/// Tokens of the test bed live for 55 s (`scripts/test-clouds`). A machine of a plain image installs its packages when
/// it boots, and an apply that waits for it takes longer.
#[test]
fn a_token_that_ends_while_machines_boot_is_renewed() {
    let mut sandbox = sandbox();
    sandbox.environment.push(("LAMPWRIGHT_LOG".to_owned(), "debug".to_owned()));
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    let web = "resource \"lamp_cluster\" \"web\" {\n  nodes = 2\n  app   = \"./app\"\n  cloud = \"openstack\"\n  os    = \"debian-12\"\n}\nresource \"lb_pool\" \"lb\" {\n  backend = lamp_cluster.web\n  cloud   = \"openstack\"\n}\n";
    let cloud = Bed::OpenStack.cloud_block(&sandbox, "");
    sandbox.write(
        "stack/main.stack.hcl",
        &format!("provider \"lampwright\" {{\n  scope = \"{}\"\n{cloud}}}\n{web}", scope()),
    );
    let applied = sandbox.lampwright("stack", APPLY);
    let log = format!("{}{}", applied.stdout, applied.stderr);
    applied.success();
    assert!(log.contains("web-1 installing apache2 php-fpm php-mongodb"), "{log}");
    let logins: Vec<&str> = log.lines().filter(|line| line.contains("keystone POST /auth/tokens")).collect();
    // Plan and apply are one process with one connection: whatever follows its first login is a renewal.
    assert!(logins.len() > 1, "{logins:#?}");
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    Bed::OpenStack.assert_empty(&scope());
}

/// The same scope and the same names, by accident: nothing of the other one is touched.
#[test]
fn two_stacks_of_one_scope_keep_apart() {
    let bed = Bed::Aws;
    let (one, other) = (sandbox(), sandbox());
    for sandbox in [&one, &other] {
        sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
        let web = "resource \"lamp_cluster\" \"web\" {\n  nodes = 1\n  app   = \"./app\"\n  cloud = \"aws\"\n  image = \"lamp-debian-12*\"\n}\n";
        let cloud = bed.cloud_block(sandbox, &bed.endpoint());
        sandbox.write(
            "stack/main.stack.hcl",
            &format!("provider \"lampwright\" {{\n  scope = \"{}\"\n{cloud}}}\n{web}", scope()),
        );
    }
    one.lampwright("stack", APPLY).success();
    let refused = other.lampwright("stack", APPLY).failure();
    assert!(refused.contains("the layer belongs to another state"), "{refused}");
    other.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert_eq!(bed.machines(&scope()), ["web-1"]);
    assert_eq!(one.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    one.lampwright("stack", &["destroy", "-auto-approve"]).success();
    bed.assert_empty(&scope());
}
