//! Who may do what on a cloud: signatures and rights of AWS, an application credential of OpenStack, a jump host.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::clouds::{APPLY, Bed, sandbox, scope};
use crate::load::request;
use crate::sandbox::{Sandbox, repository, wait_for};

const WEB: &str = "resource \"lamp_cluster\" \"web\" {\n  nodes = 1\n  app   = \"./app\"\n  cloud = \"@\"\n  image = \"lamp-debian-12*\"\n}\n";

fn write_stack(bed: Bed, sandbox: &Sandbox, name: &str, extra: &str) {
    sandbox.write(&format!("{name}/app/index.php"), "<?php echo 'here';\n");
    let cloud = bed.cloud_block(sandbox, extra);
    let text = format!(
        "provider \"lampwright\" {{\n  scope = \"{}-{name}\"\n{cloud}}}\n{}",
        scope(),
        WEB.replace('@', bed.name())
    );
    sandbox.write(&format!("{name}/main.stack.hcl"), &text);
}

/// A server of moto's own for this test, since signatures are looked at for all or for none.
struct Moto {
    process: Child,
    url: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Moto {
    fn start() -> Moto {
        let beds = std::env::var("LAMPWRIGHT_TESTBEDS").expect("run these tests by `make test-clouds`");
        let folders = std::fs::read_dir(format!("{beds}/aws")).expect("the test bed of AWS");
        let programs = folders.filter_map(|entry| Some(entry.ok()?.path().join("bin/moto_server")));
        let program = programs.filter(|program| program.is_file()).max().expect("moto_server");
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a port").port();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false");
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("moto_server runs");
        let moto = Moto { process, url: format!("http://127.0.0.1:{port}") };
        wait_for("moto", Duration::from_secs(30), || request(&moto.url, "GET", "/moto-api/", "").is_ok());
        moto
    }

    fn ask(&self, service: &str, action: &str, params: &[(&str, &str)]) -> Json {
        let script = repository().join("tests/testbeds/apis.py");
        let mut command = Command::new("python3");
        command.arg(script).args(["aws", &format!("{}/", self.url), "raw", service, action]);
        command.args(params.iter().flat_map(|(name, value)| [*name, *value]));
        let output = command.output().expect("python3 runs");
        assert!(output.status.success(), "{action}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

/// AWS itself checks what the test beds do not: whether a call is signed, and whether its user may make it. moto does
/// so, too, when it is told to; the rights are those of `docs/examples/aws-policy.json`.
#[test]
fn aws_clouds_check_signatures_and_rights() {
    let moto = Moto::start();
    let policy = std::fs::read_to_string(repository().join("docs/examples/aws-policy.json")).expect("the policy");
    let image = [("Name", "lamp-debian-12-1"), ("Architecture", "x86_64"), ("RootDeviceName", "/dev/xvda")];
    moto.ask("ec2", "RegisterImage", &image);
    let user = |name: &str, policy: &str| {
        moto.ask("iam", "CreateUser", &[("UserName", name)]);
        let granted = [("UserName", name), ("PolicyName", "lampwright"), ("PolicyDocument", policy)];
        moto.ask("iam", "PutUserPolicy", &granted);
        let made = moto.ask("iam", "CreateAccessKey", &[("UserName", name)]);
        ["AccessKeyId", "SecretAccessKey"].map(|part| made[part].as_str().expect("a key").to_owned())
    };
    let [id, secret] = user("lampwright", &policy);
    let [weak_id, weak_secret] = user("weak", &policy.replace("ec2:DescribeImages", "ec2:DescribeVpcs"));
    moto.ask("moto-api", "reset-auth", &[]);

    let plan = |id: &str, secret: &str| {
        let mut sandbox = sandbox();
        sandbox.environment.retain(|(name, _)| !name.starts_with("AWS_"));
        for (name, value) in [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)] {
            sandbox.environment.push((name.to_owned(), value.to_owned()));
        }
        write_stack(Bed::Aws, &sandbox, "stack", &format!(", endpoint_url = \"{}\"", moto.url));
        sandbox.lampwright("stack", &["plan"])
    };
    let planned = plan(&id, &secret).success();
    assert!(planned.contains("machines: t3.micro, lamp-debian-12-1"), "{planned}");
    let refused = plan(&id, "not the secret").failure();
    assert!(refused.contains("SignatureDoesNotMatch") || refused.contains("AuthFailure"), "{refused}");
    let refused = plan(&weak_id, &weak_secret).failure();
    assert!(refused.contains("is not authorized to perform: ec2:DescribeImages"), "{refused}");
}

#[test]
fn openstack_clouds_take_an_application_credential_of_clouds_yaml() {
    let mut sandbox = sandbox();
    sandbox.environment.retain(|(name, _)| !name.starts_with("OS_"));
    let made = Bed::OpenStack.api(&["application_credential"]);
    let text = |name: &str| made[name].as_str().expect("text").to_owned();
    let file = sandbox.join("clouds.yaml");
    let yaml = format!(
        "clouds:\n  rome:\n    auth_type: v3applicationcredential\n    region_name: RegionOne\n    auth:\n      auth_url: {}\n      application_credential_id: {}\n      application_credential_secret: {}\n",
        text("auth_url"),
        text("id"),
        text("secret")
    );
    sandbox.write("clouds.yaml", &yaml);
    let settings = format!(", clouds_yaml = \"{}\", clouds_yaml_name = \"rome\"", file.display());
    write_stack(Bed::OpenStack, &sandbox, "stack", &settings);
    let planned = sandbox.lampwright("stack", &["plan"]).success();
    assert!(planned.contains("machines: m1.small, lamp-debian-12-20261101"), "{planned}");
    sandbox.write("clouds.yaml", &yaml.replace(&text("secret"), "another"));
    let refused = sandbox.lampwright("stack", &["plan"]).failure();
    assert!(refused.contains("keystone POST /auth/tokens") && refused.contains("401"), "{refused}");
}

/// The machines let in nobody but a machine that was made before, and are reached through it.
#[test]
fn machines_of_clouds_are_reached_through_a_jump_host() {
    let bed = Bed::Aws;
    let mut sandbox = sandbox();
    sandbox.environment.push(("HOME".to_owned(), sandbox.join("home").display().to_string()));
    write_stack(bed, &sandbox, "gate", &bed.endpoint());
    sandbox.lampwright("gate", APPLY).success();
    let listed = bed.api(&["list", &format!("{}-gate", scope())]);
    let gate = listed["machines"]["web-1"][0]["address"].as_str().expect("an address").to_owned();
    let jump = format!("{}, jump = \"lampwright@{gate}\", ssh_from = \"{gate}/32\"", bed.endpoint());
    write_stack(bed, &sandbox, "stack", &jump);

    let refused = sandbox.lampwright("stack", APPLY).failure();
    assert!(refused.contains(&format!("the jump host {gate} is not in ~/.ssh/known_hosts")), "{refused}");
    let scanned = Command::new("ssh-keyscan").args(["-t", "ed25519", &gate]).output().expect("ssh-keyscan runs");
    sandbox.write("home/.ssh/known_hosts", &String::from_utf8_lossy(&scanned.stdout));
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    // A person gets there by the same way.
    let ran = sandbox.lampwright("stack", &["ssh", "web-1", "--", "sudo", "ls", "/var/lib/lampwright/machine/etc"]);
    assert!(ran.success().contains("httpd.conf"));
    for stack in ["stack", "gate"] {
        sandbox.lampwright(stack, &["destroy", "-auto-approve"]).success();
    }
    bed.assert_empty(&scope());
}
