//! Plugins that are not what they should be: the answer is an error that says what happened, soon.

use std::os::unix::fs::PermissionsExt as _;

use crate::sandbox::Sandbox;

/// What a stack gets that needs the provider `evil`, whose program is this script.
fn error_with(script: &str) -> String {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", "terraform {\n  required_providers {\n    evil = { source = \"x/evil\" }\n  }\n}\nresource \"evil_thing\" \"a\" {}\n");
    let platform = if cfg!(target_arch = "aarch64") { "linux_arm64" } else { "linux_amd64" };
    let name =
        format!("terraform.d/plugins/registry.terraform.io/x/evil/1.0.0/{platform}/terraform-provider-evil_v1.0.0");
    sandbox.write(&name, script);
    std::fs::set_permissions(sandbox.join(&name), std::fs::Permissions::from_mode(0o755)).expect("executable");
    sandbox.stable(&sandbox.lampwright(".", &["plan"]).failure())
}

#[test]
fn one_that_ends_at_once() {
    let error = error_with("#!/bin/sh\necho 'my licence has expired' >&2\nexit 3\n");
    assert!(error.contains("did not say hello: it ended") && error.contains("my licence has expired"), "{error}");
}

#[test]
fn one_that_is_another_program() {
    let error = error_with("#!/bin/sh\necho 'usage: evil [options]'\nsleep 30\n");
    assert!(error.contains("usage: evil [options]") && error.contains("is it a Terraform provider?"), "{error}");
}

#[test]
fn one_of_another_protocol() {
    let error = error_with("#!/bin/sh\necho '1|4|unix|/nowhere|grpc|'\nsleep 30\n");
    assert!(error.contains("it speaks plugin protocol 4; this program speaks protocols 5 and 6"), "{error}");
}

#[test]
fn one_that_nobody_can_connect_to() {
    let error = error_with("#!/bin/sh\necho '1|6|unix|/nowhere/at/all|grpc|'\nsleep 30\n");
    assert!(error.contains("the connection to the plugin of x/evil failed"), "{error}");
}

#[test]
fn one_that_does_not_exist() {
    let sandbox = Sandbox::new();
    sandbox
        .write("main.stack.hcl", "terraform {\n  required_providers {\n    gone = { source = \"x/gone\" }\n  }\n}\n");
    let error = sandbox.lampwright(".", &["init"]).failure();
    for part in
        ["no plugin for provider x/gone was found in", "https://registry.terraform.io/.well-known/terraform.json"]
    {
        assert!(error.contains(part), "{error}");
    }
}

/// It writes what is no text, and more than anybody reads.
#[test]
fn one_that_writes_what_is_no_text() {
    let plugin = env!("CARGO_BIN_EXE_terraform-provider-lampwright");
    let sandbox = Sandbox::new();
    let script = format!(
        "#!/bin/sh\nprintf 'caf\\351 log\\n' >&2\nhead -c 20000000 /dev/zero >&2\nprintf '\\n' >&2\nexec {plugin}\n"
    );
    sandbox.write("bin/terraform-provider-evil", &script);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(sandbox.join("bin/terraform-provider-evil"), mode).expect("set");
    sandbox.write(
        "stack/main.stack.hcl",
        "terraform {\n  required_providers {\n    evil = { source = \"x/evil\" }\n  }\n}\n",
    );
    let mut command = sandbox.lampwright_command("stack", &["validate"]);
    let path = format!("{}:/usr/bin:/bin", sandbox.join("bin").display());
    crate::sandbox::Ran::of(command.env("PATH", path).output().expect("lampwright runs")).success();
}
