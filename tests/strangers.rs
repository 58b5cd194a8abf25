//! A machine that others use, too: what they can get at of ours, and what they can make us do.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::{AuthMechanism, ClientOptions, Credential, ServerAddress};

use crate::load::request;
use crate::sandbox::{Sandbox, no_plugin_in, wait_for};

const APPLY: &[&str] = &["apply", "-auto-approve"];

fn database(sandbox: &Sandbox) {
    let resource = "resource \"mongo_replset\" \"db\" {\n  members = 1\n}\n";
    sandbox.write("stack/main.stack.hcl", &format!("{}{resource}", sandbox.provider_block()));
}

/// The address in a machine's record, once there is one.
fn address(sandbox: &Sandbox, machine: &str) -> Option<String> {
    let record = std::fs::read(sandbox.join("m/t").join(machine).join("machine.json")).ok()?;
    let record: serde_json::Value = serde_json::from_slice(&record).ok()?;
    record["address"].as_str().map(str::to_owned)
}

/// Gives a command to the member at an address; the code of the error, or none if nobody answered.
fn command(address: &str, login: Option<(&str, &str, &str)>, command: Document) -> Result<Document, Option<i32>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut options = ClientOptions::builder()
            .hosts(vec![ServerAddress::Tcp { host: address.to_owned(), port: Some(27017) }])
            .direct_connection(true)
            .server_selection_timeout(Duration::from_millis(500))
            .build();
        options.credential = login.map(|(user, password, source)| {
            let credential = Credential::builder().username(user.to_owned()).password(password.to_owned());
            credential.source(source.to_owned()).mechanism(AuthMechanism::ScramSha256).build()
        });
        let client = mongodb::Client::with_options(options).expect("options");
        let answer = client.database("admin").run_command(command).await;
        client.shutdown().immediate(true).await;
        answer.map_err(|error| match error.kind.as_ref() {
            ErrorKind::Command(command) => Some(command.code),
            _ => None,
        })
    })
}

fn thief() -> Document {
    doc! { "createUser": "thief", "pwd": "x", "roles": ["root"] }
}

fn initiation(address: &str) -> Document {
    doc! { "replSetInitiate": { "_id": "rs0", "members": [{ "_id": 1, "host": format!("{address}:27017") }] } }
}

fn key(machine: &Path) -> Option<String> {
    Some(std::fs::read_to_string(machine.join("etc/keyfile")).ok()?.trim().to_owned())
}

fn admin_password(machine: &Path) -> String {
    let text = std::fs::read_to_string(machine.join("data/credentials.json")).expect("credentials");
    let credentials: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    credentials["admin_password"].as_str().expect("a password").to_owned()
}

/// Anybody on the machine comes before the first user is made.
#[test]
fn nobody_gets_into_a_database_that_is_being_made() {
    let sandbox = Sandbox::new();
    database(&sandbox);
    let mut apply = sandbox.lampwright_command("stack", APPLY);
    let mut apply = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lampwright runs");
    let (mut let_in, mut refused) = (Vec::new(), 0);
    while apply.try_wait().expect("a child").is_none() {
        let Some(address) = address(&sandbox, "db-1") else { continue };
        for attempt in [thief(), initiation(&address)] {
            match command(&address, None, attempt.clone()) {
                Ok(_) => let_in.push(attempt.to_string()),
                Err(code) => refused += usize::from(code == Some(13)),
            }
        }
    }
    assert!(apply.wait().expect("ended").success());
    assert_eq!(let_in, Vec::<String>::new());
    assert!(refused > 0, "the database was never asked");
    let (member, address) = (sandbox.machine("db-1"), address(&sandbox, "db-1").expect("an address"));
    let admin = admin_password(&member);
    let users = command(&address, Some(("lampwright", &admin, "admin")), doc! { "usersInfo": { "forAllDBs": true } });
    let users = users.expect("the administrator may ask");
    let users =
        users.get_array("users").expect("users").iter().filter_map(|user| user.as_document()?.get_str("user").ok());
    assert_eq!(users.collect::<Vec<_>>(), ["app", "lampwright"]);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    // A member that came with other users than ours is told by every plan.
    command(&address, Some(("lampwright", &admin, "admin")), thief()).expect("made");
    let plan = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    assert!(plan.stderr.contains("thief@admin (root@admin) is in the replica set"), "{}", plan.stderr);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// Somebody who has the key by other means was there first.
#[test]
fn a_new_database_that_somebody_else_has_a_user_in_is_refused() {
    let sandbox = Sandbox::new();
    database(&sandbox);
    let mut apply = sandbox.lampwright_command("stack", APPLY);
    let mut apply = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lampwright runs");
    wait_for("db-1", Duration::from_secs(30), || {
        address(&sandbox, "db-1").is_some_and(|address| command(&address, None, doc! { "hello": 1 }).is_ok())
    });
    apply.kill().expect("killed");
    apply.wait().expect("ended");
    wait_for("the orphaned plugin's end", Duration::from_secs(10), || no_plugin_in(&sandbox, "stack"));
    let (member, address) = (sandbox.machine("db-1"), address(&sandbox, "db-1").expect("an address"));
    let key = key(&member).expect("the key");
    let member_login = Some(("__system", key.as_str(), "local"));
    // 23: the command that was killed had come so far.
    let initiated = command(&address, member_login, initiation(&address));
    assert!(matches!(initiated, Ok(_) | Err(Some(23))), "{initiated:?}");
    wait_for("a primary", Duration::from_secs(30), || command(&address, member_login, thief()).is_ok());
    let refused = sandbox.lampwright("stack", APPLY).failure();
    assert!(refused.contains("the replica set has users of somebody else's"), "{refused}");
    assert!(refused.contains("thief@admin (root@admin)"), "{refused}");
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// What code in an application can do: read a file, talk to a socket, keep a session.
const PAGE: &str = "<?php header('Content-Type: text/plain');
switch ($_GET['do'] ?? '') {
  case 'read': echo (string)@file_get_contents($_GET['path']); break;
  case 'ask': $s = @stream_socket_client('unix://' . $_GET['path'], $e, $t, 2);
    if ($s) { fwrite($s, \"show info\\n\"); echo stream_get_contents($s); } break;
  case 'session': session_id('one'); session_start(); echo $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; break;
  default: echo 'up';
}
";

fn web(sandbox: &Sandbox, layers: &str) {
    sandbox.write("stack/app/index.php", PAGE);
    sandbox.write("stack/main.stack.hcl", &format!("{}{layers}", sandbox.provider_block()));
}

fn one_node(sandbox: &Sandbox) {
    web(sandbox, "resource \"lamp_cluster\" \"web\" {\n  nodes = 1\n  app   = \"./app\"\n}\n");
}

fn page(sandbox: &Sandbox, machine: &str, query: &str) -> String {
    let url = format!("http://{}:8080", address(sandbox, machine).expect("an address"));
    request(&url, "GET", &format!("/?{query}"), "").expect("an answer").body
}

fn user(sandbox: &Sandbox, machine: &str) -> u32 {
    let record = std::fs::read_to_string(sandbox.machine(machine).join("machine.json")).expect("a record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    u32::try_from(record["user"].as_u64().expect("a user")).expect("a number of a user")
}

/// Runs a line of the shell as somebody; whether it succeeded.
fn may(user: u32, line: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).uid(user).gid(user).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    shell.status().expect("sh runs").success()
}

/// A field of `/proc/PID/status`.
fn status_of(pid: i32, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Only root gives files and processes to others; `make test` runs as root in CI.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn every_layer_has_a_user_of_its_own() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::new();
    let cluster = |name: &str, nodes: u32, secret: &str| {
        format!(
            "resource \"lamp_cluster\" \"{name}\" {{\n  nodes = {nodes}\n  app = \"./app\"\n  environment = {{ S = \"{secret}\" }}\n}}\n"
        )
    };
    let balancer = "resource \"lb_pool\" \"lb\" {\n  backend = lamp_cluster.web\n}\n";
    web(&sandbox, &format!("{}{}{balancer}", cluster("web", 2, "of-web"), cluster("other", 1, "of-other")));
    // What root's environment holds is not handed to anybody's daemons.
    let mut apply = sandbox.lampwright_command("stack", APPLY);
    assert!(apply.env("AWS_SECRET_ACCESS_KEY", "of-root").stdout(Stdio::null()).status().expect("runs").success());
    let users = ["web-1", "web-2", "other-1", "lb-1"].map(|machine| user(&sandbox, machine));
    assert_eq!(users[0], users[1]);
    let distinct: std::collections::BTreeSet<u32> = users.into_iter().collect();
    assert!(distinct.len() == 3 && distinct.iter().all(|user| *user >= 0x7000_0000), "{users:?}");
    let session = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(3)).unwrap_or_default().to_owned()
    };
    for (machine, user) in ["web-1", "web-2", "other-1", "lb-1"].into_iter().zip(users) {
        let folder = sandbox.machine(machine);
        let here: Vec<i32> = sandbox
            .daemons()
            .into_iter()
            .filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&folder)))
            .collect();
        assert!(!here.is_empty(), "{machine}");
        for pid in here {
            let own = format!("{user} {user} {user} {user}");
            assert_eq!(
                [status_of(pid, "Uid"), status_of(pid, "Gid"), status_of(pid, "Groups")],
                [own.as_str(), &own, ""]
            );
            // Not in the session of a terminal that somebody types at.
            assert_ne!(session(&pid.to_string()), session("self"), "{machine}");
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&environment).contains("of-root"), "{machine}");
        }
    }
    let (web_1, lb_1) = (sandbox.machine("web-1"), sandbox.machine("lb-1"));
    let of = |folder: &Path, path: &str| folder.join(path).display().to_string();
    // Its own files an application reads, and another's not, neither itself nor any program that it starts.
    assert!(page(&sandbox, "web-1", &format!("do=read&path={}", of(&web_1, "etc/php-env.php"))).contains("of-web"));
    for path in
        ["etc/php-env.php", "htdocs/index.php", "etc/httpd.conf", "log/access.log", "machine.json", "manifest.json"]
    {
        assert_eq!(page(&sandbox, "other-1", &format!("do=read&path={}", of(&web_1, path))), "", "{path}");
        assert!(!may(users[2], &format!("cat {}", of(&web_1, path))), "{path}");
    }
    assert!(!may(users[2], &format!("ls {}", web_1.display())));
    assert_eq!(page(&sandbox, "other-1", &format!("do=ask&path={}", of(&lb_1, "run/admin.sock"))), "");
    assert_eq!(page(&sandbox, "web-1", &format!("do=ask&path={}", of(&lb_1, "run/admin.sock"))), "");
    assert_eq!(page(&sandbox, "other-1", &format!("do=ask&path={}", of(&web_1, "run/php-fpm.sock"))), "");
    // Nor can it change what it serves.
    for line in [
        "echo x >> htdocs/index.php",
        "echo x >> etc/php-env.php",
        "chmod u+w etc/php-env.php",
        "touch htdocs/new.php",
        "mv etc x",
        "mv run x",
        "ln -s /etc new",
        "rm manifest.json",
        "touch x",
    ] {
        assert!(!may(users[0], &format!("cd {} && {line}", web_1.display())), "{line}");
    }
    assert!(may(users[0], &format!("cd {} && touch tmp/x", web_1.display())));
    assert_eq!([page(&sandbox, "web-1", "do=session"), page(&sandbox, "web-1", "do=session")], ["1", "2"]);
    assert!(sandbox.machine("web-1").join("sessions/sess_one").is_file());
    // Another machine of a layer has the layer's user.
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    // What an application has started goes with the last machine, wherever it went.
    let line = "cd / && exec sleep 300";
    let mut stayed = Command::new("sh").args(["-c", line]).uid(users[0]).gid(users[0]).spawn().expect("sh runs");
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert_eq!(stayed.wait().expect("ended").code(), None);
}

/// Files of root's, and a process, that nothing may happen to.
struct Victims {
    folder: PathBuf,
    process: Child,
}

impl Victims {
    fn new(sandbox: &Sandbox) -> Victims {
        let folder = sandbox.join("victims");
        std::fs::create_dir_all(folder.join("etc")).expect("a folder");
        for name in ["shadow", "passwd", "etc/kept"] {
            std::fs::write(folder.join(name), "root's own").expect("written");
        }
        let process = Command::new("sleep").arg("300").spawn().expect("sleep runs");
        Victims { folder, process }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    #[track_caller]
    fn are_untouched(&mut self) {
        for name in ["shadow", "passwd", "etc/kept"] {
            let path = self.folder.join(name);
            assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "root's own", "{name}");
            let metadata = std::fs::symlink_metadata(&path).expect("it is there");
            assert!(metadata.is_file() && metadata.uid() == 0 && metadata.mode() & 0o777 == 0o644, "{name}");
        }
        for folder in ["", "etc"] {
            let metadata = std::fs::symlink_metadata(self.folder.join(folder)).expect("it is there");
            assert!(metadata.is_dir() && metadata.uid() == 0 && metadata.mode() & 0o777 == 0o755, "{folder}");
        }
        let count = |folder: &str| std::fs::read_dir(self.folder.join(folder)).expect("a folder").count();
        assert_eq!((count(""), count("etc")), (3, 1));
        assert!(self.process.try_wait().expect("a child").is_none(), "a foreign process was ended");
    }
}

impl Drop for Victims {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn what_an_application_plants_makes_root_do_nothing() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::new();
    one_node(&sandbox);
    sandbox.lampwright("stack", APPLY).success();
    let (user, folder) = (user(&sandbox, "web-1"), sandbox.machine("web-1"));
    let mut victims = Victims::new(&sandbox);
    let (shadow, etc, pid) = (victims.path("shadow"), victims.path("etc"), victims.process.id());
    let plant = |line: &str| assert!(may(user, &format!("cd {} && {line}", folder.display())), "{line}");
    let over_again = |victims: &mut Victims| {
        let plan = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
        assert_eq!(plan.code, 2, "{}{}", plan.stdout, plan.stderr);
        sandbox.lampwright("stack", APPLY).success();
        assert_eq!(page(&sandbox, "web-1", ""), "up");
        victims.are_untouched();
        assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    };
    sandbox.kill_machine("web-1", "apache2");
    plant(&format!("rm log/apache2.out && ln -s {shadow} log/apache2.out"));
    plant("rm log/php-fpm.out && mkfifo log/php-fpm.out");
    plant(&format!("rm run/apache2.pid && echo {pid} > run/apache2.pid"));
    plant("rm run/php-fpm.pid && mkfifo run/php-fpm.pid");
    plant(&format!("rm run/loaded && ln -s {shadow} run/loaded && mkdir -p run/.loaded.new/x"));
    plant(&format!("ln -s {etc} run/drain && ln -s {etc} tmp/link && ln -s {etc} sessions/link"));
    over_again(&mut victims);
    sandbox.kill_machine("web-1", "apache2");
    plant(
        "rm -rf log/php-fpm.out run/loaded run/apache2.pid run/php-fpm.pid && mkdir -p log/php-fpm.out/x run/apache2.pid/x",
    );
    plant("mkfifo run/loaded && mkdir -p run/drain/x && mkfifo run/drain/y");
    plant("yes x | head -c 20000000 > run/php-fpm.pid");
    // As where /proc/sys/fs/protected_hardlinks is 0.
    std::fs::remove_file(folder.join("log/apache2.out")).expect("removed");
    std::fs::hard_link(&shadow, folder.join("log/apache2.out")).expect("linked");
    over_again(&mut victims);
    // The whole folder of logs is a link, and a socket of somebody else's is in the place of a daemon's.
    sandbox.kill_machine("web-1", "apache2");
    plant("rm -rf log/* run/*");
    plant(&format!("rm -rf tmp/* && ln -s {etc} run/apache2.pid && ln -s {etc} run/.loaded.new"));
    over_again(&mut victims);
    plant(&format!("ln -s {etc} tmp/link && mkdir -p tmp/a/b/c && ln -s {shadow} tmp/a/b/c/link"));
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
    victims.are_untouched();
}

/// Machines that an earlier version made were nobody's as a whole, whose applications could write anywhere in them.
#[test]
fn older_machines_get_a_user_and_what_was_planted_in_them_is_not_followed() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::new();
    one_node(&sandbox);
    sandbox.lampwright("stack", APPLY).success();
    let folder = sandbox.machine("web-1");
    let mut victims = Victims::new(&sandbox);
    sandbox.kill_machine("web-1", "apache2");
    let edit = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let text = std::fs::read_to_string(folder.join(name)).expect("a file");
        let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        change(&mut json);
        std::fs::write(folder.join(name), json.to_string()).expect("written");
    };
    edit("machine.json", &|record| drop(record.as_object_mut().expect("an object").remove("user")));
    let (passwd, up) = (victims.path("passwd"), "../../../victims/shadow");
    edit("manifest.json", &|manifest| {
        let files = manifest["files"].as_array_mut().expect("files");
        for path in [passwd.as_str(), up, "etc/../../x", "new/../etc/kept"] {
            files.push(serde_json::json!({ "path": path, "digest": "sha256:0", "mode": "0644" }));
        }
    });
    std::fs::rename(folder.join("etc"), folder.join("etc.old")).expect("renamed");
    std::os::unix::fs::symlink(victims.folder.join("etc"), folder.join("etc")).expect("linked");
    std::fs::remove_dir_all(folder.join("log")).expect("removed");
    std::os::unix::fs::symlink(&victims.folder, folder.join("log")).expect("linked");
    std::fs::write(folder.join("tmp/kept"), "").expect("written");
    let nobody = Command::new("chown").args(["-hR", "nobody"]).arg(&folder).status().expect("chown runs");
    assert!(nobody.success());
    // Root's alone then as now: whatever else is there was not written by us.
    std::os::unix::fs::chown(folder.join("machine.json"), Some(0), Some(0)).expect("given");
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(page(&sandbox, "web-1", ""), "up");
    victims.are_untouched();
    let user = user(&sandbox, "web-1");
    assert_eq!(status_of(sandbox.pid("web-1", "php-fpm"), "Uid"), format!("{user} {user} {user} {user}"));
    let owner = |name: &str| std::fs::symlink_metadata(folder.join(name)).expect("it is there").uid();
    assert_eq!(["", "etc", "htdocs", "etc/httpd.conf", "etc/php-env.php"].map(owner), [0; 5]);
    assert_eq!(["log", "run", "sessions", "tmp"].map(owner), [user; 4]);
    let plan = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{}", plan.stdout);
    // A record that an application has written decides nothing.
    std::os::unix::fs::chown(folder.join("machine.json"), Some(user), None).expect("given");
    let refused = sandbox.lampwright("stack", &["plan"]).failure();
    assert!(refused.contains("machine.json was written by another user"), "{refused}");
    std::os::unix::fs::chown(folder.join("machine.json"), Some(0), None).expect("given");
    edit("machine.json", &|record| record["services"] = serde_json::json!(["/run/sshd.pid"]));
    let refused = sandbox.lampwright("stack", &["plan"]).failure();
    assert!(refused.contains("machine.json leads out of the machine"), "{refused}");
}

#[test]
fn a_folder_of_machines_that_others_can_write_in_is_refused() {
    let sandbox = Sandbox::new();
    one_node(&sandbox);
    std::fs::create_dir(sandbox.join("m")).expect("a folder");
    let mode = |mode| std::fs::set_permissions(sandbox.join("m"), std::os::unix::fs::PermissionsExt::from_mode(mode));
    mode(0o777).expect("permissions");
    let refused = sandbox.lampwright("stack", APPLY).failure();
    assert!(refused.contains("others can write in") && refused.contains("chmod go-w"), "{refused}");
    mode(0o755).expect("permissions");
    sandbox.lampwright("stack", APPLY).success();
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// Whoever can open a file can lock it, and would stop everybody.
#[test]
fn nobody_else_can_hold_the_lock_of_the_machines() {
    let sandbox = Sandbox::new();
    one_node(&sandbox);
    sandbox.lampwright("stack", APPLY).success();
    let lock = sandbox.join("m/lock");
    let mode = || std::fs::metadata(&lock).expect("the lock").mode() & 0o777;
    assert_eq!(mode(), 0o600);
    // Of an older version.
    std::fs::set_permissions(&lock, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("permissions");
    web(&sandbox, "resource \"lamp_cluster\" \"web\" {\n  nodes = 2\n  app   = \"./app\"\n}\n");
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(mode(), 0o600);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// A process that only ever starts another one and ends is in no list of processes for long.
#[test]
fn what_a_layer_has_started_ends_with_it() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::new();
    one_node(&sandbox);
    sandbox.lampwright("stack", APPLY).success();
    let user = user(&sandbox, "web-1");
    let chain = "import os, time
while True:
    if os.fork():
        os._exit(0)
    time.sleep(0.0002)
";
    let mut chain = Command::new("python3").args(["-c", chain]).uid(user).gid(user).spawn().expect("python3 runs");
    chain.wait().expect("its first part has ended");
    // What has ended and was not waited for yet runs no more.
    let runs = || {
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let theirs = entries.filter(|entry| entry.metadata().is_ok_and(|metadata| metadata.uid() == user));
        let pids = theirs.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| !["", "Z (zombie)"].contains(&status_of(*pid, "State").as_str())).count()
    };
    wait_for("the chain", Duration::from_secs(10), || runs() > 0);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    // It was never seen twice in the same place, so it is looked for again and again.
    assert_eq!((0..200).map(|_| runs()).sum::<usize>(), 0);
}

/// What lies in the place of a log, and is none, does not keep its daemon from starting.
#[test]
fn a_pipe_or_a_link_in_the_place_of_a_log_gives_way() {
    let sandbox = Sandbox::new();
    one_node(&sandbox);
    sandbox.lampwright("stack", APPLY).success();
    let log = sandbox.machine("web-1").join("log");
    for plant in ["mkfifo", "ln -s /etc/hostname"] {
        for name in ["php-fpm.log", "error.log"] {
            std::fs::remove_file(log.join(name)).expect("a log");
            let planted = Command::new("sh").args(["-c", &format!("{plant} {name}")]).current_dir(&log).status();
            assert!(planted.expect("sh runs").success());
        }
        sandbox.kill_machine("web-1", "php-fpm");
        sandbox.kill_machine("web-1", "apache2");
        sandbox.lampwright("stack", APPLY).success();
        assert!(log.join("php-fpm.log").symlink_metadata().expect("a log").is_file());
    }
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}
