//! Plugins that somebody has started already, for a debugger: they are used as they are.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::sandbox::{Ran, Sandbox};

/// A plugin that its developer has started, ended with the test.
pub(crate) struct Started {
    process: Child,
    /// What TF_REATTACH_PROVIDERS says of it.
    pub(crate) variable: String,
}

impl Started {
    pub(crate) fn new(source: &str, command: &mut Command) -> Started {
        let cookie = ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");
        let command = command.env(cookie.0, cookie.1).env("PLUGIN_PROTOCOL_VERSIONS", "5,6");
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let [_, version, network, address, protocol, ..] = line.trim_end().split('|').collect::<Vec<_>>()[..] else {
            panic!("no handshake: {line}");
        };
        let version: u32 = version.parse().expect("a number");
        let entry = serde_json::json!({
            "Protocol": protocol, "ProtocolVersion": version, "Pid": process.id(), "Test": true,
            "Addr": { "Network": network, "String": address },
        });
        Started { variable: serde_json::json!({ source: entry }).to_string(), process }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("a child").is_none()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const STACK: &str =
    "terraform {\n  required_providers {\n    held = { source = \"x/held\" }\n  }\n}\nprovider \"held\" {}\n";

fn with(variable: &str, sandbox: &Sandbox, args: &[&str]) -> Ran {
    let mut command = sandbox.lampwright_command(".", args);
    Ran::of(command.env("TF_REATTACH_PROVIDERS", variable).output().expect("lampwright runs"))
}

#[test]
fn a_plugin_that_runs_already_is_used_and_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", STACK);
    let mut plugin = Started::new("x/held", &mut Command::new(env!("CARGO_BIN_EXE_terraform-provider-lampwright")));
    for args in [&["init"][..], &["validate"], &["plan"], &["plan"]] {
        let ran = with(&plugin.variable, &sandbox, args);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("x/held is the plugin that serves at"), "{}", ran.stderr);
        assert!(plugin.is_running() && !sandbox.join(".terraform.lock.hcl").exists());
    }
    // It has one configuration, and cannot have two at once.
    sandbox.write("more.stack.hcl", "provider \"held\" {\n  alias = \"other\"\n}\n");
    let told = with(&plugin.variable, &sandbox, &["plan"]).failure();
    assert!(told.contains("x/held runs already, and can have one configuration only"), "{told}");
    assert!(told.contains(".stack.hcl:"), "{told}");
}

#[test]
fn a_plugin_that_does_not_answer_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", STACK);
    let variable = "{\"x/held\": {\"Protocol\": \"grpc\", \"ProtocolVersion\": 6, \"Pid\": 1, \"Test\": true, \
        \"Addr\": {\"Network\": \"unix\", \"String\": \"/nowhere/at/all\"}}}";
    let told = with(variable, &sandbox, &["plan"]).failure();
    assert!(told.contains("the plugin of x/held that runs already does not answer at /nowhere/at/all"), "{told}");
    assert!(told.contains("No such file"), "{told}");
    let told = with("{", &sandbox, &["plan"]).failure();
    assert!(told.contains("TF_REATTACH_PROVIDERS cannot be read"), "{told}");
    // What the stack does not need is not asked.
    sandbox.write("main.stack.hcl", "output \"o\" {\n  value = 1\n}\n");
    assert_eq!(with(variable, &sandbox, &["plan"]).code, 0);
}
