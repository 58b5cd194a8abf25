//! States that backends keep, on real servers: in a whole life, from two folders, cut off, and with what Terraform writes.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use engine::state::store::Store;

use crate::sandbox::{Ran, Sandbox, copy, repository, wait_for};
use crate::terraform::{Terraform, program, write_config};

const APPLY: &[&str] = &["apply", "-auto-approve"];
const PLAN: &[&str] = &["plan", "-detailed-exitcode"];

/// Ends with its test.
pub(crate) struct Server(pub(crate) Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A stack of one web node whose state is in a backend.
pub(crate) fn write(sandbox: &Sandbox, folder: &str, backend: &str, nodes: u32) {
    sandbox.write(&format!("{folder}/app/index.php"), "<?php echo 'here';\n");
    let backend = if backend.is_empty() { String::new() } else { format!("terraform {{\n  {backend}\n}}\n") };
    let resource = format!("resource \"lamp_cluster\" \"web\" {{\n  nodes = {nodes}\n  app   = \"./app\"\n}}\n");
    let outputs = "output \"workspace\" { value = terraform.workspace }\n";
    let text = format!("{backend}{}{resource}{outputs}", sandbox.provider_block());
    sandbox.write(&format!("{folder}/main.stack.hcl"), &text);
}

fn unsent(sandbox: &Sandbox, folder: &str) -> Vec<PathBuf> {
    let states = std::fs::read_dir(sandbox.join(folder).join(".lampwright/states")).into_iter().flatten().flatten();
    states.map(|entry| entry.path().join("terraform.tfstate.unsent")).filter(|path| path.exists()).collect()
}

/// Kills an apply as soon as it has made a machine.
fn cut_off(sandbox: &Sandbox, folder: &str) {
    let mut command = sandbox.lampwright_command(folder, APPLY);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lampwright runs");
    wait_for("a machine", Duration::from_secs(20), || !sandbox.machines().is_empty());
    child.kill().expect("killed");
    child.wait().expect("it has ended");
    wait_for("the end of its plugin", Duration::from_secs(20), || crate::sandbox::no_plugin_in(sandbox, folder));
}

/// What every backend does alike. `leaves_locks`: one that was cut off has not released its lock.
pub(crate) fn keeps_a_state(sandbox: &Sandbox, backend: &str, at: &str, leaves_locks: bool) {
    let run = |folder: &str, args: &[&str]| sandbox.lampwright(folder, args);
    write(sandbox, "stack", backend, 1);
    assert!(run("stack", &["init"]).success().contains(&format!("State: {at}")));

    // Cut off: what was made is in the journal here, and the next run goes on with it and sends it.
    cut_off(sandbox, "stack");
    assert_eq!(unsent(sandbox, "stack").len(), 1);
    if leaves_locks {
        let refused = run("stack", APPLY).failure();
        assert!(refused.contains("is locked by another run: apply of "), "{refused}");
        let (_, id) = refused.split_once("lampwright force-unlock ").expect("what to do");
        let id = id.split('`').next().expect("an id");
        assert_eq!(run("stack", &["force-unlock", "-force", "0000"]).code, 1);
        run("stack", &["force-unlock", "-force", id]).success();
    }
    assert_eq!(run("stack", PLAN).code, 2);
    let applied = run("stack", APPLY).success();
    assert!(applied.contains("Applied"), "{applied}");
    assert_eq!((sandbox.machines(), unsent(sandbox, "stack")), (vec!["web-1".to_owned()], Vec::new()));
    assert!(!sandbox.join("stack/terraform.tfstate").exists());

    // Somebody else has the same stack, and nothing of what is here.
    copy(&sandbox.join("stack"), &sandbox.join("other"));
    // What is here is not its state.
    assert!(run("other", &["output"]).failure().contains("was not used here yet; run: lampwright init"));
    assert_eq!(run("other", PLAN).code, 0);
    assert!(run("other", &["output"]).success().contains("workspace = \"default\""));
    write(sandbox, "other", backend, 2);
    run("other", APPLY).success();
    assert_eq!(sandbox.machines(), ["web-1", "web-2"]);
    // The first one does not know yet that there shall be two.
    assert!(run("stack", &["plan"]).success().contains("web-2"));
    assert!(run("stack", &["state", "list"]).success().contains("lamp_cluster.web"));

    // Two at once: one of them is told who is there.
    write(sandbox, "stack", backend, 2);
    sandbox.write("stack/app/index.php", "<?php echo 'changed';\n");
    let mut held = at_its_question(sandbox.lampwright_command("stack", &["apply"]), "to change");
    let refused = run("other", APPLY).failure();
    assert!(refused.contains("is locked by another run: "), "{refused}");
    assert_eq!(run("other", &["plan", "-lock=false", "-detailed-exitcode"]).code, 0);
    // Whoever is ended at the question releases the lock.
    let pid = rustix::process::Pid::from_child(&held);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    assert_eq!(held.wait().expect("it has ended").code(), Some(1));
    assert_eq!(run("other", PLAN).code, 0);

    // Away from it, and back.
    write(sandbox, "other", "", 2);
    let refused = run("other", &["plan"]).failure();
    assert!(refused.contains("it was in ") && refused.contains("init -migrate-state"), "{refused}");
    let moved = run("other", &["init", "-migrate-state", "-force-copy"]).success();
    assert!(moved.contains(&format!("State: terraform.tfstate (copied from {at}")), "{moved}");
    assert_eq!(run("other", PLAN).code, 0);
    write(sandbox, "other", backend, 2);
    let file = sandbox.join("other/terraform.tfstate");
    let held = Store::open(&file, "test", &Arc::default()).expect("the state opens");
    let refused = run("other", &["init", "-force-copy", "-lock-timeout=0.1s"]).failure();
    assert!(refused.contains("waiting for it"), "{refused}");
    run("other", &["init", "-force-copy", "-lock=false"]).success();
    drop(held);
    assert_eq!(run("other", PLAN).code, 0);
    run("other", &["destroy", "-auto-approve"]).success();
    assert_eq!((sandbox.machines(), run("stack", &["state", "list"]).success()), (Vec::new(), String::new()));
}

/// Several states of one stack, in one backend or beside it.
pub(crate) fn keeps_workspaces(sandbox: &Sandbox, backend: &str) {
    let run = |args: &[&str]| sandbox.lampwright("spaces", args);
    write(sandbox, "spaces", backend, 0);
    run(APPLY).success();
    run(&["workspace", "new", "test"]).success();
    assert_eq!(run(&["workspace", "list"]).success(), "  default\n* test\n");
    assert_eq!(run(&["state", "list"]).success(), "");
    run(APPLY).success();
    assert!(run(&["output"]).success().contains("workspace = \"test\""));
    assert!(run(&["workspace", "delete", "test"]).failure().contains("is the selected workspace"));
    run(&["workspace", "select", "default"]).success();
    assert!(run(&["output"]).success().contains("workspace = \"default\""));
    assert!(run(&["workspace", "select", "tset"]).failure().contains("there are: default, test."));
    // A plan is one of its workspace.
    run(&["plan", "-out", "of-default"]).success();
    let with = |name: &str, args: &[&str]| {
        let mut command = sandbox.lampwright_command("spaces", args);
        Ran::of(command.env("TF_WORKSPACE", name).output().expect("lampwright runs"))
    };
    let refused = with("test", &["apply", "of-default"]).failure();
    assert!(refused.contains("was made in the workspace \"default\", and \"test\" is selected"), "{refused}");
    // A word that is misspelled is no empty state.
    for look in [PLAN, &["state", "list"], APPLY] {
        let refused = with("tset", look).failure();
        assert!(refused.contains("nobody has made"), "{refused}");
        assert!(refused.contains("workspace new tset"), "{refused}");
    }
    assert!(
        with("test", &["workspace", "new", "more"]).failure().contains("TF_WORKSPACE selects the workspace \"test\"")
    );
    with("more", &["workspace", "new", "more"]).success();
    assert_eq!(with("more", &["state", "list"]).success(), "");
    assert_eq!(run(&["workspace", "list"]).success(), "* default\n  more\n  test\n");
    run(&["workspace", "delete", "more"]).success();
    assert!(run(&["workspace", "delete", "test"]).failure().contains("the state of \"test\" has 1 object"));
    run(&["workspace", "select", "test"]).success();
    run(&["destroy", "-auto-approve"]).success();
    run(&["workspace", "select", "default"]).success();
    run(&["workspace", "delete", "test"]).success();
    assert_eq!(run(&["workspace", "list"]).success(), "* default\n");
    run(&["destroy", "-auto-approve"]).success();
}

#[test]
fn files_beside_the_stack_keep_workspaces() {
    let sandbox = Sandbox::new();
    keeps_workspaces(&sandbox, "");
}

/// A server for states, and the block that leads to one of them.
pub(crate) fn state_server(sandbox: &Sandbox) -> (Server, impl Fn(&str) -> (String, String) + use<>) {
    let script = repository().join("tests/testbeds/state_server.py");
    let mut command = Command::new("python3");
    let child = command.arg(script).arg("0").arg(sandbox.path()).stdout(Stdio::piped()).spawn().expect("python3 runs");
    let mut server = Server(child);
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().expect("its output")).read_line(&mut port).expect("a port");
    let url = format!("http://127.0.0.1:{}/", port.trim());
    let block = move |name: &str| {
        let at = format!("{url}{name}");
        let block = format!(
            "backend \"http\" {{\n    address        = \"{at}\"\n    lock_address   = \"{at}/lock\"\n    unlock_address = \"{at}/lock\"\n    retry_max      = 1\n    retry_wait_min = 0\n  }}"
        );
        (block, at)
    };
    (server, block)
}

#[test]
fn an_http_server_keeps_a_state() {
    let sandbox = Sandbox::new();
    let (_server, block) = state_server(&sandbox);
    let (backend, at) = block("one");
    keeps_a_state(&sandbox, &backend, &at, true);
}

/// The server is gone when the state shall be sent: it is kept here, and the next run sends it.
#[test]
fn a_state_that_cannot_be_sent_is_kept() {
    let sandbox = Sandbox::new();
    let (_server, block) = state_server(&sandbox);
    let (backend, at) = block("one");
    write(&sandbox, "stack", &backend, 1);
    sandbox.write("down", "");
    let failed = sandbox.lampwright("stack", APPLY).failure();
    assert!(failed.contains("the state could not be sent to where it is kept. It is whole in "), "{failed}");
    assert!(failed.contains(&format!("{at}: the server refused to write it: 503")), "{failed}");
    assert_eq!(unsent(&sandbox, "stack").len(), 1);
    // It is not lost for a look, either.
    let look = sandbox.lampwright("stack", &["state", "list"]);
    assert!(
        look.stderr.contains(&format!("what an earlier run here has done was not sent to {at} yet")),
        "{}",
        look.stderr
    );
    assert!(look.success().contains("lamp_cluster.web"));
    std::fs::remove_file(sandbox.join("down")).expect("removed");
    let applied = sandbox.lampwright("stack", APPLY);
    assert!(applied.stderr.contains("an earlier run was cut off before it sent the state"), "{}", applied.stderr);
    assert!(applied.success().contains("0 added"));
    copy(&sandbox.join("stack"), &sandbox.join("other"));
    assert_eq!(sandbox.lampwright("other", PLAN).code, 0);
    // Or somebody else was faster: nothing of either is lost.
    sandbox.write("down", "");
    write(&sandbox, "stack", &backend, 2);
    sandbox.lampwright("stack", APPLY).failure();
    std::fs::remove_file(sandbox.join("down")).expect("removed");
    write(&sandbox, "other", &backend, 1);
    sandbox.write("other/app/index.php", "<?php echo 'other';\n");
    sandbox.lampwright("other", APPLY).success();
    let look = sandbox.lampwright("stack", &["state", "list"]).stderr;
    assert!(look.contains("and somebody else has changed that since; the next apply or destroy puts"), "{look}");
    let refused = sandbox.lampwright("stack", APPLY).failure();
    assert!(refused.contains("somebody else has changed that since"), "{refused}");
    let aside = refused.split("What the run here had done is in ").nth(1).and_then(|rest| rest.split(':').next());
    let aside = sandbox.join("stack").join(aside.expect("where")).join("terraform.tfstate");
    assert!(std::fs::read_to_string(aside).expect("a state").contains("web-2"));
    // What it has made is found by its tags.
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!((sandbox.machines().len(), sandbox.lampwright("stack", PLAN).code), (2, 0));
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
}

/// A state that terraform has written by the same backend is ours to go on with, and the other way round. Each keeps the other out,
/// and releases a lock that the other has left.
pub(crate) fn is_shared_with_terraform(sandbox: &Sandbox, kind: &str, backend: &str) {
    let Some(program) = program() else { return };
    write_config(sandbox);
    let requirement = "required_providers {\n    lampwright = { source = \"lampwright/lampwright\" }\n  }";
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    let resource =
        "resource \"lamp_cluster\" \"web\" {\n  provider = lampwright\n  nodes    = 1\n  app      = \"./app\"\n}\n";
    let text = format!("terraform {{\n  {requirement}\n  {backend}\n}}\n{}{resource}", sandbox.provider_block());
    sandbox.write("stack/main.tf", &text);
    let terraform = Terraform { sandbox, program, folder: "stack" };
    // It also looks for the provider in a registry, which it does not need, and fails there.
    let begun = terraform.run(&["init"]);
    assert!(
        begun.stdout.contains(&format!("Successfully configured the backend \"{kind}\"")),
        "{}{}",
        begun.stdout,
        begun.stderr
    );
    terraform.run(APPLY).success();
    assert_eq!(sandbox.lampwright("stack", PLAN).code, 0);
    sandbox.write("stack/app/index.php", "<?php echo 'changed';\n");
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(terraform.run(PLAN).code, 0);
    // Each keeps the other out.
    let mut held = at_its_question(sandbox.lampwright_command("stack", &["destroy"]), "to destroy");
    let refused = terraform.run(&["plan"]);
    assert!(refused.code == 1 && refused.stderr.contains("Error acquiring the state lock"), "{}", refused.stderr);
    held.kill().expect("killed");
    held.wait().expect("it has ended");
    if kind == "http" {
        // It tells its own id, and tells a server none.
        let refused = sandbox.lampwright("stack", PLAN).failure();
        sandbox.lampwright("stack", &["force-unlock", "-force", told_lock(&refused)]).success();
    } else {
        let (_, id) = refused.stderr.split_once("ID:").expect("an id");
        let id = id.split_whitespace().next().expect("an id");
        terraform.run(&["force-unlock", "-force", id]).success();
    }
    let mut held = at_its_question(terraform.command(&["destroy"]), "Do you really want");
    let refused = sandbox.lampwright("stack", PLAN).failure();
    assert!(refused.contains("is locked by another run: OperationTypeApply of "), "{refused}");
    held.kill().expect("killed");
    held.wait().expect("it has ended");
    sandbox.lampwright("stack", &["force-unlock", "-force", told_lock(&refused)]).success();
    terraform.run(&["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.lampwright("stack", &["state", "list"]).success(), "");
}

/// The id of the lock that keeps a run out.
pub(crate) fn told_lock(refused: &str) -> &str {
    let id = refused.split(", lock ").nth(1).and_then(|rest| rest.split(['.', '\n']).next());
    id.unwrap_or_else(|| panic!("no id in {refused}")).trim()
}

/// A command that waits for an answer, and holds the state.
pub(crate) fn at_its_question(mut command: Command, question: &str) -> Child {
    let mut held =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut shown = BufReader::new(held.stdout.take().expect("its output"));
    let mut text = String::new();
    while !text.contains(question) {
        assert!(shown.read_line(&mut text).expect("UTF-8") > 0, "{text}");
    }
    held
}

#[test]
fn terraform_finds_the_same_state() {
    let sandbox = Sandbox::new();
    let (_server, block) = state_server(&sandbox);
    is_shared_with_terraform(&sandbox, "http", &block("shared").0);
}

/// PostgreSQL in the folder of a test, reached by its socket.
fn postgres(sandbox: &Sandbox, port: u16, options: &[&str]) -> (Server, String) {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let bin = versions.map(|entry| entry.path().join("bin")).find(|bin| bin.join("initdb").exists());
    let bin = bin.expect("PostgreSQL is installed: scripts/runtime postgresql");
    let data = sandbox.join("pg");
    std::fs::create_dir(&data).expect("a folder");
    // It does not run as root.
    let is_root = rustix::process::geteuid().is_root();
    let as_user = |program: &str, args: &[&str]| {
        let mut command = if is_root { Command::new("setpriv") } else { Command::new(bin.join(program)) };
        if is_root {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(bin.join(program));
        }
        command.args(args).current_dir("/tmp").stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    if is_root {
        std::os::unix::fs::chown(&data, Some(65534), Some(65534)).expect("given away");
    }
    let folder = data.display().to_string();
    let made = as_user("initdb", &["-D", &folder, "-U", "test", "-A", "trust", "-N"]).status().expect("initdb runs");
    assert!(made.success());
    // Who comes over the network has to show a password.
    let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(data.join("pg_hba.conf"), rules).expect("written");
    let port = port.to_string();
    let args = [&["-D", &folder, "-k", &folder, "-F", "-p", &port], options].concat();
    let server = Server(as_user("postgres", &args).spawn().expect("postgres runs"));
    wait_for("a database", Duration::from_secs(30), || {
        let mut ready = Command::new(bin.join("pg_isready"));
        ready.args(["-q", "-h", &folder, "-p", &port]).status().is_ok_and(|status| status.success())
    });
    (server, format!("host={folder} port={port} user=test dbname=postgres sslmode=disable"))
}

#[test]
fn postgresql_keeps_a_state() {
    let sandbox = Sandbox::new();
    let (_server, connection) = postgres(&sandbox, 5432, &["-c", "listen_addresses="]);
    let backend = format!("backend \"pg\" {{\n    conn_str = \"{connection}\"\n  }}");
    let at = format!("pg {}/postgres, terraform_remote_state.states, \"default\"", sandbox.join("pg").display());
    keeps_a_state(&sandbox, &backend, &at, false);
    keeps_workspaces(&sandbox, &backend);

    // Who may work with what is there need not have the right to make it.
    let sql = "CREATE ROLE worker LOGIN; GRANT USAGE ON SCHEMA terraform_remote_state TO worker; GRANT ALL ON ALL TABLES IN SCHEMA terraform_remote_state TO worker; GRANT USAGE ON SEQUENCE public.global_states_id_seq TO worker";
    let made = Command::new("psql").args(["-q", "-c", sql, &connection]).status().expect("psql runs");
    assert!(made.success());
    let worker = connection.replace("user=test", "user=worker");
    write(&sandbox, "worker", &format!("backend \"pg\" {{\n    conn_str = \"{worker}\"\n  }}"), 0);
    sandbox.lampwright("worker", APPLY).success();
    sandbox.lampwright("worker", &["destroy", "-auto-approve"]).success();
}

/// What leads elsewhere is told from what only looks different.
#[test]
fn another_place_is_told_from_another_setting() {
    let sandbox = Sandbox::new();
    let (_server, block) = state_server(&sandbox);
    let (backend, at) = block("one");
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    write(&sandbox, "stack", &backend, 0);
    run(APPLY).success();
    let settings = |more: &str| backend.replace("retry_max ", &format!("{more}\n    retry_max "));
    write(&sandbox, "stack", &settings("username = \"ann\"\n    password = \"new\""), 0);
    assert_eq!(run(PLAN).code, 0);
    assert!(run(&["state", "list"]).success().contains("lamp_cluster.web"));

    // A place that was wrong is left without asking it.
    let wrong = "backend \"http\" {\n    address = \"http://127.0.0.1:1/gone?token=hunter2\"\n    retry_max = 0\n  }";
    write(&sandbox, "stack", wrong, 0);
    let refused = run(&["plan"]).failure();
    assert!(
        refused.contains("is in http://127.0.0.1:1/gone?…, and it was in ") && !refused.contains("hunter2"),
        "{refused}"
    );
    assert!(run(&["init", "-reconfigure"]).success().contains("nothing was copied"));
    run(&["plan"]).failure();
    assert!(run(&["force-unlock", "-force", "1"]).failure().contains("has no lock"));
    write(&sandbox, "stack", &backend, 0);
    assert!(run(&["init", "-migrate-state", "-force-copy"]).failure().contains("127.0.0.1:1"));
    run(&["init", "-reconfigure"]).success();
    assert_eq!(run(PLAN).code, 0);

    // A state of another history is nothing to be written over in passing.
    let (other, there) = block("two");
    write(&sandbox, "foreign", &other, 0);
    sandbox.lampwright("foreign", APPLY).success();
    write(&sandbox, "stack", &other, 0);
    let refused = run(&["init", "-migrate-state", "-force-copy"]).failure();
    assert!(
        refused.contains(&format!("{at} is of another history"))
            && refused.contains(&format!("goes on with what is in {there}")),
        "{refused}"
    );
    assert_eq!(sandbox.lampwright("foreign", PLAN).code, 0);

    // All workspaces, or none.
    write(&sandbox, "spaces", "", 0);
    let spaces = |args: &[&str]| sandbox.lampwright("spaces", args);
    spaces(APPLY).success();
    spaces(&["workspace", "new", "test"]).success();
    spaces(APPLY).success();
    spaces(&["workspace", "select", "default"]).success();
    let (third, _) = block("three");
    write(&sandbox, "spaces", &third, 0);
    let refused = spaces(&["init", "-migrate-state", "-force-copy"]).failure();
    assert!(refused.contains("has no workspaces but \"default\""), "{refused}");
    assert!(!std::fs::read_to_string(sandbox.join("calls")).expect("calls").contains("POST /three"));
}

/// A certificate of an authority for a name, in files.
pub(crate) fn certificate(sandbox: &Sandbox, name: &str) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(authority, key);
    let own = KeyPair::generate().expect("a key");
    let server = CertificateParams::new([name.to_owned()]).expect("parameters").signed_by(&own, &issuer);
    let files =
        [("root.pem", root), ("server.pem", server.expect("a certificate").pem()), ("server.key", own.serialize_pem())];
    for (file, text) in files {
        sandbox.write(file, &text);
        std::fs::set_permissions(sandbox.join(file), std::fs::Permissions::from_mode(0o600)).expect("private");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(sandbox.join(file), Some(65534), Some(65534)).expect("given away");
        }
    }
}

/// Over the network: with whoever answers, with one whom an authority knows, with the one who is meant.
#[test]
fn postgresql_is_reached_by_tls() {
    let sandbox = Sandbox::new();
    certificate(&sandbox, "localhost");
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let file = |name: &str| sandbox.join(name).display().to_string();
    let (cert, key) = (format!("ssl_cert_file={}", file("server.pem")), format!("ssl_key_file={}", file("server.key")));
    let options = ["-c", "listen_addresses=127.0.0.1", "-c", "ssl=on", "-c", &cert, "-c", &key];
    let (_server, socket) = postgres(&sandbox, port, &options);
    let sql = "CREATE ROLE worker LOGIN PASSWORD 'hunter2'; GRANT ALL ON DATABASE postgres TO worker; GRANT ALL ON SCHEMA public TO worker";
    let made = Command::new("psql").args(["-q", "-c", sql, &socket]).status().expect("psql runs");
    assert!(made.success());
    let reach = |host: &str, mode: &str| {
        let connection = format!("host={host} port={port} user=worker password=hunter2 dbname=postgres {mode}");
        write(&sandbox, "stack", &format!("backend \"pg\" {{\n    conn_str = \"{connection}\"\n  }}"), 0);
        sandbox.lampwright("stack", &["init", "-reconfigure"]).success();
        sandbox.lampwright("stack", &["plan"])
    };
    let root = format!("sslrootcert={}", file("root.pem"));
    reach("localhost", "sslmode=require").success();
    reach("localhost", &format!("sslmode=verify-full {root}")).success();
    reach("127.0.0.1", &format!("sslmode=verify-ca {root}")).success();
    let refused = reach("127.0.0.1", &format!("sslmode=verify-full {root}")).failure();
    assert!(refused.contains("certificate not valid for name"), "{refused}");
    let refused = reach("localhost", "sslmode=verify-full").failure();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    // An authority that is named is looked at.
    certificate(&sandbox, "other");
    let refused = reach("localhost", &format!("sslmode=require {root}")).failure();
    assert!(refused.contains("invalid peer certificate"), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
    // The server takes nobody in the clear.
    let refused = reach("localhost", "sslmode=disable").failure();
    assert!(refused.contains("no pg_hba.conf entry"), "{refused}");
}

/// Some of what `scripts/faults` does at length: killed at writes of the state and its journal, and two runs at once.
#[test]
fn nothing_is_lost_or_doubled_on_any_backend() {
    let sandbox = Sandbox::new();
    let script = repository().join("tests/faults/states.py");
    let program = sandbox.lampwright_command(".", &[]).get_program().to_owned();
    for backend in ["local", "http", "pg"] {
        for (what, count) in [("kill", "4"), ("two", "3")] {
            let mut command = Command::new("python3");
            let run = command.arg(&script).args([what, backend, count]).arg(&program).output().expect("python3 runs");
            let said = String::from_utf8_lossy(&run.stdout);
            assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
            assert!(said.contains(&format!("{what} {backend}: ")) && said.contains(" 0 bad"), "{said}");
        }
    }
}
