//! The state from outside: who is kept out, what is told of what is damaged, disks that are full or may not be written.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use engine::state::store::Store;

use crate::sandbox::{Ran, Sandbox, wait_for};
use crate::terraform::{Terraform, program, write_config};

/// Layers without machines.
const STACK: &str = r#"stack "t" {}
variable "n" { default = 20 }
resource "lamp_cluster" "web" {
  count = var.n
  name  = "web-${count.index}"
  nodes = 0
  app   = "./app"
}
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    write(&sandbox, "");
    sandbox
}

fn write(sandbox: &Sandbox, folder: &str) {
    sandbox.write(format!("{folder}/app/index.php").trim_start_matches('/'), "<?php\n");
    sandbox.write(
        format!("{folder}/main.stack.hcl").trim_start_matches('/'),
        &format!("{}{STACK}", sandbox.provider_block()),
    );
}

/// A script with mounts of its own.
fn with_mounts(sandbox: &Sandbox, script: &str) -> Ran {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-ec", script]).current_dir(sandbox.path()).stdin(Stdio::null());
    command.env_clear().env("LW", env!("CARGO_BIN_EXE_lampwright"));
    for name in ["PATH", "HOME", "LAMPWRIGHT_CACHE"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    Ran::of(command.output().expect("unshare runs"))
}

#[test]
fn of_two_runs_on_one_new_state_one_is_kept_out() {
    let sandbox = Sandbox::new();
    ["a", "b"].iter().for_each(|folder| write(&sandbox, folder));
    std::fs::create_dir(sandbox.join("shared")).expect("a folder");
    let state = sandbox.join("shared/x.tfstate").display().to_string();
    for round in 0..6 {
        let ways = [state.clone(), "../shared/x.tfstate".to_owned()];
        let runs = ["a", "b"].map(|folder| {
            let mut command = sandbox.lampwright_command(folder, &["apply", "-auto-approve"]);
            command.arg(format!("-state={}", ways[usize::from(folder == "b")]));
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("lampwright runs")
        });
        let [first, second] = runs.map(|run| Ran::of(run.wait_with_output().expect("ended")));
        let created = |ran: &Ran| ran.stdout.matches("created after").count();
        assert_eq!(created(&first) + created(&second), 20, "round {round}: {}{}", first.stdout, second.stdout);
        for ran in [&first, &second] {
            assert!(ran.code == 0 || ran.stderr.contains("the state is locked by another run"), "{}", ran.stderr);
        }
        std::fs::remove_dir_all(sandbox.join("shared")).expect("removed");
        std::fs::create_dir(sandbox.join("shared")).expect("a folder");
    }
}

#[test]
fn terraform_is_kept_out_from_recovery_to_the_end_and_keeps_us_out() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    sandbox.write("stack/main.tf", "output \"o\" { value = 1 }\n");
    write_config(&sandbox);
    let terraform = Terraform { sandbox: &sandbox, program: program.clone(), folder: "stack" };
    let path = sandbox.join("stack/terraform.tfstate");
    let change = |store: &mut Store, size: u64| {
        let value = engine::state::OutputState { value: value::Value::from(size as i64), sensitive: false };
        store.set_outputs([("o".into(), value)]);
        store.fold().expect("written");
    };
    for round in 0..3 {
        // Also of a state without a file, and one that was folded meanwhile.
        let mut store = Store::open(&path, "test", &Arc::default()).expect("the state opens");
        // As a configuration may do it.
        std::fs::read(&path).expect("a file");
        let refused = terraform.run(&["apply", "-auto-approve", "-no-color"]).failure();
        assert!(refused.contains("Error acquiring the state lock") && refused.contains("test"), "{refused}");
        change(&mut store, round + 10);
        let refused = terraform.run(&["apply", "-auto-approve", "-no-color"]).failure();
        assert!(refused.contains("Error acquiring the state lock"), "{refused}");
    }
    // One that waits for the lock goes on from what we wrote last.
    let mut store = Store::open(&path, "test", &Arc::default()).expect("the state opens");
    let mut waiting = Command::new(&program);
    waiting.args(["output", "-no-color"]).current_dir(sandbox.join("stack"));
    change(&mut store, 99);
    drop(store);
    let shown =
        Ran::of(waiting.env("TF_CLI_CONFIG_FILE", sandbox.join("terraform.rc")).output().expect("terraform runs"));
    assert_eq!(shown.success(), "o = 99\n");
    // It holds the lock while it waits for an answer.
    let mut asking = Command::new(&program);
    asking.args(["apply", "-no-color"]).current_dir(sandbox.join("stack")).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut asking = asking.env("TF_CLI_CONFIG_FILE", sandbox.join("terraform.rc")).spawn().expect("terraform runs");
    let info = sandbox.join("stack/.terraform.tfstate.lock.info");
    wait_for("terraform's lock", Duration::from_secs(30), || info.exists());
    for command in ["plan", "apply"] {
        let refused = sandbox.lampwright("stack", &[command]).failure();
        assert!(
            refused.contains("the state is locked by another run") && refused.contains("OperationTypeApply"),
            "{refused}"
        );
    }
    asking.stdin.take().expect("piped").write_all(b"no\n").expect("written");
    asking.wait().expect("ended");
    sandbox.lampwright("stack", &["apply", "-auto-approve"]).success();
}

#[test]
fn a_damaged_journal_is_told_by_plan_and_stops_one_apply() {
    let sandbox = sandbox();
    let path = sandbox.join("terraform.tfstate");
    sandbox.lampwright(".", &["apply", "-auto-approve"]).success();
    {
        // A run that was cut off after two changes.
        let mut store = Store::open(&path, "test", &Arc::default()).expect("the state opens");
        let gone: Vec<_> = store.state().instances.keys().take(2).cloned().collect();
        for addr in gone {
            store.record(engine::state::journal::Record::Remove { addr }).expect("recorded");
        }
    }
    let journal = sandbox.join("terraform.tfstate.journal");
    let mut bytes = std::fs::read(&journal).expect("a journal");
    let line = bytes.iter().position(|byte| *byte == b'\n').expect("a header");
    bytes[line + 80] ^= 1;
    std::fs::write(&journal, &bytes).expect("written");
    for _ in 0..2 {
        let ran = sandbox.lampwright(".", &["plan"]);
        assert!(ran.stderr.contains("warning: the journal of the state is damaged\n"), "{}", ran.stderr);
        assert!(ran.stderr.contains(" = line 2: its checksum does not fit; it seems to be about"), "{}", ran.stderr);
        assert!(ran.success().contains("Plan: 1 to add"));
        assert_eq!(std::fs::read(&journal).expect("left as it is"), bytes);
    }
    let stopped = sandbox.lampwright(".", &["apply", "-auto-approve"]).failure();
    assert!(
        stopped.contains("error: the journal of the state is damaged") && stopped.contains("journal.rejected"),
        "{stopped}"
    );
    assert_eq!(std::fs::read(sandbox.join("terraform.tfstate.journal.rejected")).expect("kept"), bytes);
    sandbox.lampwright(".", &["apply", "-auto-approve"]).success();
    assert_eq!(sandbox.lampwright(".", &["plan", "-detailed-exitcode"]).code, 0);
}

/// On a disk that fills up: what was begun is known afterwards, and nothing else was begun.
#[test]
fn a_full_disk_ends_the_making_and_loses_nothing() {
    for room in [16, 40, 100, 160] {
        let sandbox = sandbox();
        let script = format!(
            "mkdir d; mount -t tmpfs -o size={room}k tmpfs d; cp -r app main.stack.hcl d; cd d
            $LW apply -auto-approve -var n=60 > ../out 2> ../err || true
            mount -o remount,size=9m .
            $LW show -json > ../shown; $LW apply -auto-approve -var n=60 > ../again 2>&1; $LW plan -detailed-exitcode -var n=60"
        );
        with_mounts(&sandbox, &script).success();
        let read = |name: &str| std::fs::read_to_string(sandbox.join(name)).expect("a file");
        let (out, err) = (read("out"), read("err"));
        assert!(err.contains("the state cannot be written"), "{room}: {out}{err}");
        let shown: serde_json::Value = serde_json::from_str(&read("shown")).expect("JSON");
        let known = shown["values"]["root_module"]["resources"].as_array().map_or(0, Vec::len);
        assert_eq!(out.matches("created after").count(), known, "{room}: {out}{err}");
        // That there is no room for the state file in the end is no loss either.
        assert!(known < 60 || err.contains("everything that was done is in the journal"), "{room}: {err}");
        assert!(read("again").contains(&format!("{} added", 60 - known)), "{room}: {}", read("again"));
    }
}

/// The disk is full when the writing of a state that was cut off before is made good.
#[test]
fn a_full_disk_leaves_the_only_whole_state_alone() {
    let sandbox = sandbox();
    let script = "mkdir d; mount -t tmpfs -o size=400k tmpfs d; cp -r app main.stack.hcl d; cd d
        $LW apply -auto-approve > /dev/null
        cp terraform.tfstate terraform.tfstate.new
        printf '\\0' | dd of=terraform.tfstate conv=notrunc 2> /dev/null
        cat /dev/zero > fill 2> /dev/null || true
        ! $LW apply -auto-approve > /dev/null 2> ../err
        rm fill; ls -A > ../left; $LW plan -detailed-exitcode";
    with_mounts(&sandbox, script).success();
    let read = |name: &str| std::fs::read_to_string(sandbox.join(name)).expect("a file");
    assert!(read("err").contains("cannot be written"), "{}", read("err"));
    assert_eq!(read("left").matches("terraform.tfstate.new").count(), 1, "{}", read("left"));
}

#[test]
fn what_may_not_be_written_can_be_looked_at() {
    let sandbox = sandbox();
    sandbox.lampwright(".", &["apply", "-auto-approve"]).success();
    let script = "mkdir ro; mount --bind . ro; mount -o remount,ro,bind ro; cd ro
        for command in plan 'plan -lock=false' show 'output -json' validate; do $LW $command > /dev/null; done
        ! $LW apply -auto-approve -var n=1 2> /tmp/$$.err; cat /tmp/$$.err; rm /tmp/$$.err";
    let said = with_mounts(&sandbox, script).success();
    assert!(said.contains("the state cannot be locked") && said.contains("Read-only file system"), "{said}");
    assert!(sandbox.lampwright(".", &["show"]).success().contains("web[19]"));
}

#[test]
fn a_saved_plan_is_its_owners_alone() {
    let sandbox = sandbox();
    sandbox.write("p", "old");
    std::fs::set_permissions(sandbox.join("p"), std::fs::Permissions::from_mode(0o644)).expect("permissions");
    sandbox.write("other", "theirs");
    std::os::unix::fs::symlink("other", sandbox.join("link")).expect("a link");
    for name in ["p", "link"] {
        sandbox.lampwright(".", &["plan", "-out", name]).success();
        let metadata = std::fs::symlink_metadata(sandbox.join(name)).expect("a file");
        assert!(metadata.is_file());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(std::fs::read_to_string(sandbox.join("other")).expect("a file"), "theirs");
}

#[test]
fn to_remove_nothing_no_provider_has_to_be_configured() {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", "provider \"lampwright\" {\n  cloud \"x\" { driver = \"nonsense\" }\n}\nresource \"lamp_cluster\" \"web\" {\n  app = \"./app\"\n}\n");
    assert!(sandbox.lampwright(".", &["plan"]).failure().contains("nonsense"));
    sandbox.lampwright(".", &["destroy", "-auto-approve"]).success();
}

#[test]
fn what_the_plan_was_made_of_has_changed() {
    let sandbox = sandbox();
    sandbox.lampwright(".", &["plan", "-out", "p", "-var", "n=1"]).success();
    sandbox.write("app/index.php", "<?php // changed\n");
    let said = sandbox.lampwright(".", &["apply", "p"]).failure();
    assert!(said.contains("error: the plan no longer holds") && !said.contains("broke a promise"), "{said}");
}

/// A plugin of somebody else's does not stay when its host is killed.
#[test]
fn a_plugin_ends_with_its_host() {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", "terraform {\n  required_providers {\n    slow = { source = \"x/slow\" }\n  }\n}\nresource \"slow_thing\" \"a\" {}\n");
    let platform = if cfg!(target_arch = "aarch64") { "linux_arm64" } else { "linux_amd64" };
    let name =
        format!("terraform.d/plugins/registry.terraform.io/x/slow/1.0.0/{platform}/terraform-provider-slow_v1.0.0");
    sandbox.write(&name, "#!/bin/sh\necho $$ > pid\nexec sleep 600\n");
    std::fs::set_permissions(sandbox.join(&name), std::fs::Permissions::from_mode(0o755)).expect("executable");
    let mut host = sandbox.lampwright_command(".", &["plan"]).stderr(Stdio::null()).spawn().expect("lampwright runs");
    let pid = || std::fs::read_to_string(sandbox.join("pid")).ok().filter(|text| text.ends_with('\n'));
    wait_for("the plugin's start", Duration::from_secs(20), || pid().is_some());
    host.kill().expect("killed");
    host.wait().expect("ended");
    let process = format!("/proc/{}/cmdline", pid().expect("a pid").trim());
    // One that has ended and that nobody has asked for has no command line.
    wait_for("the plugin's end", Duration::from_secs(10), || {
        std::fs::read(&process).map_or(true, |words| words.is_empty())
    });
}
