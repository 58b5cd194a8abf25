//! Terraform's environment variables and CLI configuration: honoured, or told by name.

use crate::sandbox::{Ran, Sandbox};

const STACK: &str = "stack \"x\" {}\nvariable \"a\" { default = \"none\" }\noutput \"o\" { value = var.a }\n";

fn with(variables: &[(&str, &str)], folder: &str, sandbox: &mut Sandbox, args: &[&str]) -> Ran {
    sandbox.environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    sandbox.lampwright(folder, args)
}

#[test]
fn arguments_of_the_environment_are_taken() {
    let mut sandbox = Sandbox::new();
    sandbox.write("stack/main.stack.hcl", STACK);
    let plan = |sandbox: &mut Sandbox, variables: &[(&str, &str)], args: &[&str]| {
        let ran = with(variables, "stack", sandbox, args);
        format!("{}{}", ran.stdout, ran.stderr)
    };
    let common = ("TF_CLI_ARGS", "-no-color -parallelism=3");
    let own = ("TF_CLI_ARGS_plan", "-var 'a=one two'");
    let shown = plan(&mut sandbox, &[common, own], &["plan", "-parallelism=4"]);
    assert!(shown.contains("+ o = \"one two\""), "{shown}");
    // What is written on the line is stronger, and of other commands nothing is taken.
    let shown = plan(&mut sandbox, &[common, own], &["plan", "-var", "a=three"]);
    assert!(shown.contains("+ o = \"three\""), "{shown}");
    let shown = plan(&mut sandbox, &[("TF_CLI_ARGS_apply", "-var a=b")], &["plan"]);
    assert!(shown.contains("+ o = \"none\""), "{shown}");
    let shown = plan(&mut sandbox, &[("TF_CLI_ARGS_plan", "-var 'a=b")], &["plan"]);
    assert!(shown.contains("TF_CLI_ARGS_plan cannot be read"), "{shown}");
    // It may have a secret.
    assert!(!shown.contains("a=b"), "{shown}");
    // A flag that is not there is not left out.
    let shown = plan(&mut sandbox, &[("TF_CLI_ARGS_plan", "-surprise=x")], &["plan"]);
    assert!(shown.contains("unexpected argument") && shown.contains("surprise"), "{shown}");
}

#[test]
fn a_workspace_that_nobody_has_made_is_refused() {
    let mut sandbox = Sandbox::new();
    sandbox.write("stack/main.stack.hcl", STACK);
    let commands: [&[&str]; 7] = [
        &["plan"],
        &["apply", "-auto-approve"],
        &["destroy", "-auto-approve"],
        &["output"],
        &["show"],
        &["console"],
        &["import", "mongo_replset.db", "x"],
    ];
    for args in commands {
        let ran = with(&[("TF_WORKSPACE", "staging")], "stack", &mut sandbox, args);
        assert!(
            ran.code == 1 && ran.stderr.contains("TF_WORKSPACE selects the workspace \"staging\""),
            "{}",
            ran.stderr
        );
    }
    assert!(!sandbox.join("stack/terraform.tfstate").exists());
    assert_eq!(with(&[("TF_WORKSPACE", "default")], "stack", &mut sandbox, &["plan"]).code, 0);
    // As terraform keeps what `workspace select` chose.
    sandbox.write("stack/.terraform/environment", "staging");
    let ran = with(&[], "stack", &mut sandbox, &["plan"]);
    assert!(ran.stderr.contains(".terraform/environment selects the workspace \"staging\""), "{}", ran.stderr);
    assert_eq!(with(&[("TF_WORKSPACE", "default")], "stack", &mut sandbox, &["plan"]).code, 0);
    sandbox.write("data/environment", "other");
    let data = sandbox.join("data").display().to_string();
    let ran = with(&[("TF_DATA_DIR", &data)], "stack", &mut sandbox, &["plan"]);
    assert!(ran.stderr.contains("selects the workspace \"other\""), "{}", ran.stderr);
    assert!(ran.stderr.contains("`lampwright workspace new other` does"), "{}", ran.stderr);
    let ran = with(&[("TF_WORKSPACE", "../x")], "stack", &mut sandbox, &["plan"]);
    assert!(ran.stderr.contains("\"../x\" is no name for a workspace"), "{}", ran.stderr);
}

#[test]
fn what_has_no_effect_is_told() {
    let mut sandbox = Sandbox::new();
    sandbox.write("stack/main.stack.hcl", STACK);
    let variables = [("TF_DATA_DIR", "/none"), ("TF_LOG_PATH", "log"), ("TF_IGNORE", "trace")];
    let ran = with(&variables, "stack", &mut sandbox, &["plan"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for (name, _) in variables {
        assert!(ran.stderr.contains(&format!("note: {name} has no effect: ")), "{}", ran.stderr);
    }
    // These are honoured, or have nothing to do: there is nothing to tell.
    let ran = with(&[("TF_INPUT", "0"), ("TF_IN_AUTOMATION", "1")], "stack", &mut sandbox, &["plan"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(!ran.stdout.contains("`lampwright apply` does it"), "{}", ran.stdout);
}

/// As Terraform has it: what it names is looked for in the folder of -chdir all the same.
#[test]
fn the_cli_configuration_is_looked_up_where_the_command_was_started() {
    let mut sandbox = Sandbox::new();
    sandbox.write("stack/main.stack.hcl", STACK);
    sandbox.write("rc", "outer = 1\n");
    sandbox.write("stack/rc", "inner = 1\n");
    for (folder, args, told) in [
        (".", &["-chdir=stack", "plan"][..], "rc: `outer` is not known"),
        ("stack", &["plan"], "rc: `inner` is not known"),
    ] {
        let ran = with(&[("TF_CLI_CONFIG_FILE", "rc")], folder, &mut sandbox, args);
        assert!(ran.code == 0 && ran.stderr.contains(told), "{}", ran.stderr);
    }
}

#[test]
fn the_cli_configuration_may_be_json() {
    let mut sandbox = Sandbox::new();
    sandbox.write("stack/main.stack.hcl", STACK);
    sandbox.write("home/.terraform.d/a.tfrc.json", "{\"here\": 1}");
    sandbox.write("home/.terraform.d/b.tfrc", "there = 1\n");
    let home = sandbox.join("home").display().to_string();
    let ran = with(&[("HOME", &home)], "stack", &mut sandbox, &["plan"]);
    assert!(ran.code == 0 && ran.stderr.contains("a.tfrc.json: `here` is not"), "{}", ran.stderr);
    assert!(ran.stderr.contains("b.tfrc: `there` is not"), "{}", ran.stderr);
}

#[test]
fn no_log_level_is_ignored() {
    let mut sandbox = Sandbox::new();
    let cloud = sandbox.provider_block();
    let layer = "resource \"lamp_cluster\" \"web\" {\n  app   = \"./app\"\n  nodes = 0\n}\n";
    sandbox.write("stack/main.stack.hcl", &format!("{cloud}{layer}"));
    sandbox.write("stack/app/index.php", "<?php\n");
    let mut log = |variables: &[(&str, &str)]| with(variables, "stack", &mut sandbox, &["plan"]).stderr;
    let logs = |text: &str| text.contains("PlanResourceChange");
    for level in ["JSON", "1", "surprise"] {
        let shown = log(&[("TF_LOG", level)]);
        assert!(logs(&shown), "{level}: {shown}");
        assert_eq!(shown.matches("note: TF_LOG").count(), 1, "{level}: {shown}");
        assert!(shown.contains("off, error, warn, info, debug and trace"), "{shown}");
    }
    for (level, is_logged) in [("Trace", true), ("DEBUG", true), ("off", false), ("", false)] {
        let shown = log(&[("TF_LOG", level)]);
        assert_eq!((logs(&shown), shown.contains("note: ")), (is_logged, false), "{level}: {shown}");
    }
    assert!(logs(&log(&[("LAMPWRIGHT_LOG", ""), ("TF_LOG", "trace")])));
    assert!(!logs(&log(&[("LAMPWRIGHT_LOG", "off"), ("TF_LOG", "trace")])));
}

#[test]
fn the_cli_configuration_says_where_plugins_are() {
    let mut sandbox = Sandbox::new();
    let wants = |version: &str| {
        format!(
            "{STACK}terraform {{\n  required_providers {{\n    other = {{\n      source  = \"example.test/a/other\"\n      version = \"{version}\"\n    }}\n  }}\n}}\n"
        )
    };
    sandbox.write("stack/main.stack.hcl", &wants("~> 1.2"));
    let plugin = std::path::Path::new(env!("CARGO_BIN_EXE_terraform-provider-lampwright"));
    let put = |sandbox: &Sandbox, name: &str| {
        let path = sandbox.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(plugin, path).unwrap();
    };
    put(&sandbox, "dev/terraform-provider-other");
    put(&sandbox, "path/terraform-provider-other_v1.1.0");
    put(&sandbox, "path/terraform-provider-other_v1.10.0_x6");
    put(&sandbox, "path/terraform-provider-other_v1.9.0");
    put(&sandbox, "path/terraform-provider-other_v2.0.0");
    let path = format!("{}:/usr/bin:/bin", sandbox.join("path").display());
    // The highest version that is right.
    let ran = with(&[("PATH", &path)], "stack", &mut sandbox, &["init"]);
    assert!(
        ran.code == 0 && ran.stdout.contains("path/terraform-provider-other_v1.10.0_x6"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    sandbox.write("stack/main.stack.hcl", &wants(">= 3"));
    let ran = with(&[("PATH", &path)], "stack", &mut sandbox, &["plan"]);
    assert!(ran.code == 1 && ran.stderr.contains("has a version that fits >= 3: there is 2.0.0 in"), "{}", ran.stderr);
    // One that is being developed is taken, and told.
    let config = format!(
        "provider_installation {{\n  dev_overrides {{\n    \"example.test/a/other\" = \"{}\"\n  }}\n  }}\nproviders {{ }}\n",
        sandbox.join("dev").display()
    );
    sandbox.write("rc", &config);
    let rc = sandbox.join("rc").display().to_string();
    let ran = with(&[("PATH", &path), ("TF_CLI_CONFIG_FILE", &rc)], "stack", &mut sandbox, &["plan"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for part in ["provider under development", "dev/terraform-provider-other", "`providers` has no effect"] {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    let ran = with(&[("TF_CLI_CONFIG_FILE", "/none")], "stack", &mut sandbox, &["plan"]);
    assert!(ran.code == 1 && ran.stderr.contains("there is no CLI configuration file /none"), "{}", ran.stderr);
    // The folder of the plugin cache is laid out as a mirror; a version that is not said is not compared in silence.
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    put(&sandbox, &format!("cache/example.test/a/other/3.1.0/linux_{arch}/terraform-provider-other"));
    let cache = sandbox.join("cache").display().to_string();
    let ran = with(&[("PATH", "/usr/bin:/bin"), ("TF_PLUGIN_CACHE_DIR", &cache)], "stack", &mut sandbox, &["plan"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let dev = format!("{}:/usr/bin:/bin", sandbox.join("dev").display());
    let ran = with(&[("PATH", &dev)], "stack", &mut sandbox, &["plan"]);
    assert!(
        ran.code == 0 && ran.stderr.contains("does not say its version, so >= 3 is not compared"),
        "{}",
        ran.stderr
    );
}
