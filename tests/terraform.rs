//! The real terraform drives the same plugin, on the exported module.

use std::process::Command;

use crate::load::{Load, get};
use crate::sandbox::{Ran, Sandbox};

/// CI sets LAMPWRIGHT_REQUIRE_TERRAFORM, so that these tests can never pass by not running.
pub(crate) fn program() -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("terraform")).find(|program| program.is_file());
    if found.is_none() {
        assert!(std::env::var_os("LAMPWRIGHT_REQUIRE_TERRAFORM").is_none(), "terraform is not on the PATH");
        tell("NOT RUN: terraform is not on the PATH, so nothing was checked against it");
    }
    found
}

#[expect(clippy::print_stderr, reason = "what terraform did is part of the test's result")]
fn tell(text: &str) {
    eprintln!("{text}");
}

pub(crate) struct Terraform<'s> {
    pub(crate) sandbox: &'s Sandbox,
    pub(crate) program: std::path::PathBuf,
    pub(crate) folder: &'static str,
}

impl Terraform<'_> {
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(self.sandbox.join(self.folder)).env_clear();
        for name in ["PATH", "HOME", "LAMPWRIGHT_CACHE"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.envs(self.sandbox.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        command.env("TF_CLI_CONFIG_FILE", self.sandbox.join("terraform.rc"));
        command.env("TF_IN_AUTOMATION", "1");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let ran = Ran::of(self.command(args).output().expect("terraform runs"));
        let last: Vec<&str> =
            ran.stdout.lines().filter(|line| line.contains(':') || line.contains("No changes")).collect();
        tell(&format!(
            "terraform {} → exit {}\n  {}",
            args.join(" "),
            ran.code,
            last[last.len().saturating_sub(4)..].join("\n  ")
        ));
        ran
    }
}

/// Ours and the real terraform on the same texts, each in a folder and with a state of its own.
pub(crate) struct Both {
    pub(crate) sandbox: Sandbox,
    program: Option<std::path::PathBuf>,
}

impl Both {
    pub(crate) fn new(files: &[(&str, &str)]) -> Both {
        let sandbox = Sandbox::new();
        write_config(&sandbox);
        let both = Both { sandbox, program: program() };
        both.write(files);
        if let Some(theirs) = both.theirs() {
            theirs.run(&["init"]).success();
        }
        both
    }

    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        for folder in ["ours", "theirs"] {
            files.iter().for_each(|(name, text)| self.sandbox.write(&format!("{folder}/{name}"), text));
        }
    }

    pub(crate) fn ours(&self, args: &[&str]) -> Ran {
        self.sandbox.lampwright("ours", args)
    }

    pub(crate) fn theirs(&self) -> Option<Terraform<'_>> {
        Some(Terraform { sandbox: &self.sandbox, program: self.program.clone()?, folder: "theirs" })
    }

    /// The objects of both states, which are the same.
    pub(crate) fn objects(&self) -> Vec<String> {
        let sorted = |ran: Ran| {
            let mut lines: Vec<String> = ran.success().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let ours = sorted(self.ours(&["state", "list"]));
        if let Some(theirs) = self.theirs() {
            assert_eq!(ours, sorted(theirs.run(&["state", "list"])));
        }
        ours
    }
}

/// A config that takes the plugin from a folder of its own: beside build files terraform may pick a wrong one.
pub(crate) fn write_config(sandbox: &Sandbox) {
    let plugins = sandbox.join("plugins");
    std::fs::create_dir_all(&plugins).expect("a folder");
    let plugin = env!("CARGO_BIN_EXE_terraform-provider-lampwright");
    std::os::unix::fs::symlink(plugin, plugins.join("terraform-provider-lampwright")).expect("a link");
    let text = format!(
        "disable_checkpoint = true\nprovider_installation {{\n  dev_overrides {{\n    \"lampwright/lampwright\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
        plugins.display()
    );
    sandbox.write("terraform.rc", &text);
}

#[test]
fn the_exported_module_lives_under_terraform() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    sandbox.write_lamp_stack();
    let out = sandbox.join("exported").display().to_string();
    sandbox.lampwright(".", &["export", "stack", &out]).success();
    write_config(&sandbox);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "exported/stack" };
    tell(&terraform.run(&["version"]).success());
    terraform.run(&["get"]).success();
    terraform.run(&["validate"]).success();
    assert_eq!(terraform.run(&["plan", "-detailed-exitcode"]).code, 2);
    terraform.run(&["apply", "-auto-approve"]).success();
    assert_eq!(terraform.run(&["plan", "-detailed-exitcode"]).code, 0);
    let url = terraform.run(&["output", "-raw", "url"]).success();
    assert_eq!(get(&url).status, 200);

    let load = Load::start(&url, 2);
    terraform.run(&["apply", "-auto-approve", "-var", "web_nodes=3"]).success();
    terraform.run(&["apply", "-auto-approve", "-var", "web_nodes=2"]).success();
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    assert_eq!(answers.by_node.len(), 3, "{answers:?}");
    tell(&format!("scaled 2 → 3 → 2 under {} requests, 0 failed", answers.good));

    sandbox.kill_machine("web-1", "apache2");
    assert_eq!(terraform.run(&["plan", "-detailed-exitcode"]).code, 2);
    terraform.run(&["apply", "-auto-approve"]).success();
    terraform.run(&["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
    assert_eq!(sandbox.daemons(), Vec::<i32>::new());
}

#[test]
fn two_layers_of_one_name_are_refused() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    let requirement = "terraform {\n  required_providers {\n    lampwright = {\n      source = \"lampwright/lampwright\"\n    }\n  }\n}\n";
    let resources = "resource \"mongo_replset\" \"a\" {\n  provider = lampwright\n}\nresource \"mongo_replset\" \"b\" {\n  provider = lampwright\n}\n";
    sandbox.write("stack/main.tf", &format!("{requirement}{}{resources}", sandbox.provider_block()));
    write_config(&sandbox);
    let ran = Terraform { sandbox: &sandbox, program, folder: "stack" }.run(&["plan", "-no-color"]);
    assert!(ran.failure().contains("two layers have one name"));
}

/// Terraform reads the state that we write, and finds nothing to do.
#[test]
fn the_state_is_terraforms() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    let stack = format!(
        "terraform {{\n  required_providers {{\n    lampwright = {{\n      source = \"lampwright/lampwright\"\n    }}\n  }}\n}}\n{}resource \"mongo_replset\" \"db\" {{\n  provider = lampwright\n  members  = 1\n}}\n",
        sandbox.provider_block()
    );
    sandbox.write("stack/main.tf", &stack);
    sandbox.lampwright("stack", &["apply", "-auto-approve"]).success();
    write_config(&sandbox);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "stack" };
    assert_eq!(terraform.run(&["plan", "-detailed-exitcode"]).code, 0);
    terraform.run(&["destroy", "-auto-approve"]).success();
    let state = sandbox.lampwright("stack", &["show"]).success();
    assert_eq!(state, "Nothing exists. `lampwright apply` makes what the stack describes.\n");
}
