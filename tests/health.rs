//! Daemons that are there and do not work, files that somebody has changed, and folders that are gone: told by the plan,
//! repaired by the apply.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::load::{get, request};
use crate::sandbox::{Sandbox, repository, wait_for};

const APPLY: &[&str] = &["apply", "-auto-approve"];

fn down(sandbox: &Sandbox) {
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
    assert_eq!(sandbox.daemons(), Vec::<i32>::new());
}

/// All processes of a machine, or those of one program.
fn processes(sandbox: &Sandbox, machine: &str, program: &str) -> Vec<i32> {
    let folder = sandbox.machine(machine);
    let pids = sandbox.daemons().into_iter().filter(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        cwd.starts_with(&folder) && name.starts_with(program)
    });
    pids.collect()
}

fn stop(pids: &[i32]) {
    assert!(!pids.is_empty());
    for pid in pids {
        kill_process(Pid::from_raw(*pid).expect("a pid"), Signal::STOP).expect("stopped");
    }
}

/// A lamp stack of two nodes and three members.
fn up() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.write_lamp_stack();
    sandbox.lampwright("stack", APPLY).success();
    let url = sandbox.lampwright("stack", &["output", "-raw", "url"]).success().trim().to_owned();
    (sandbox, url)
}

/// A stack of web nodes whose application is two files.
fn web_only(sandbox: &Sandbox, more: &str) {
    sandbox.write("stack/app/index.php", "<?php echo 'ok';\n");
    sandbox.write("stack/app/lib/version.txt", "1\n");
    let resource = format!("resource \"lamp_cluster\" \"web\" {{\n  nodes = 1\n  app   = \"./app\"\n{more}}}\n");
    sandbox.write("stack/main.stack.hcl", &format!("stack \"web\" {{}}\n{}{resource}", sandbox.provider_block()));
}

#[track_caller]
fn plan_says(sandbox: &Sandbox, expected: &[&str]) -> String {
    let plan = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, 2, "{}{}", plan.stdout, plan.stderr);
    for expected in expected {
        assert!(plan.stdout.contains(expected), "{expected:?} is not in:\n{}", plan.stdout);
    }
    plan.stdout
}

#[track_caller]
fn has_no_changes(sandbox: &Sandbox) {
    let plan = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{}{}", plan.stdout, plan.stderr);
}

/// A node, the primary of the database and the load balancer, each stopped as a whole.
#[test]
fn hung_daemons_are_told_and_started_anew() {
    let (sandbox, url) = up();
    assert_eq!(request(&url, "POST", "/?format=json", "text=kept").expect("an answer").status, 200);
    let primary = get(&url).json()["member"].as_str().expect("a member").to_owned();
    let member = sandbox.pid("db-2", "mongod");
    stop(&processes(&sandbox, "web-1", ""));
    stop(&processes(&sandbox, &primary, ""));
    stop(&processes(&sandbox, "lb-1", ""));
    let hung = format!("{primary} is not answering: it is repaired (mongod: process ");
    plan_says(
        &sandbox,
        &[
            "web-1 is not answering: it is repaired (",
            "lb-1 is not answering: it is repaired (haproxy: process ",
            &hung,
            " was stopped by a signal)",
            "machines[0].status = \"running\" → \"not answering\"",
        ],
    );
    let applied = sandbox.lampwright("stack", APPLY).success();
    for expected in ["web-1 does not answer (", "lb-1 does not answer (", &format!("{primary} started")] {
        assert!(applied.contains(expected), "{expected:?} is not in:\n{applied}");
    }
    // Nothing else was touched, and nothing else is told to have been.
    if primary != "db-2" {
        assert_eq!(sandbox.pid("db-2", "mongod"), member);
        assert!(!applied.contains("db-2 started"), "{applied}");
    }
    has_no_changes(&sandbox);
    assert_eq!(get(&url).json()["entries"][0]["text"], "kept");
    down(&sandbox);
}

/// Processes that run and do not answer: here because all that could answer is held, which no process tells.
#[test]
fn who_runs_and_does_not_answer_is_told() {
    let sandbox = Sandbox::new();
    // All PHP processes wait, as in a deadlock; Apache goes on.
    web_only(&sandbox, "  php_workers = 1\n");
    sandbox
        .write("stack/app/wait.php", "<?php $lock = fopen($_GET['lock'], 'r'); flock($lock, LOCK_EX); echo 'done';\n");
    sandbox.lampwright("stack", APPLY).success();
    let record = std::fs::read_to_string(sandbox.machine("web-1").join("machine.json")).expect("a record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    let url = format!("http://{}:8080", record["address"].as_str().expect("an address"));
    sandbox.write("lock", "");
    let lock = std::fs::File::open(sandbox.join("lock")).expect("a file");
    lock.lock().expect("locked");
    let path = format!("/wait.php?lock={}", sandbox.join("lock").display());
    let waiting = std::thread::spawn({
        let url = url.clone();
        move || request(&url, "GET", &path, "").map(|answer| answer.status)
    });
    wait_for("PHP being busy", Duration::from_secs(10), || {
        std::fs::read_to_string("/proc/locks").is_ok_and(|locks| locks.contains("->"))
    });
    plan_says(
        &sandbox,
        &[
            "web-1 is not answering: it is repaired (php-fpm: asked 2 times for GET /livez.php on port 8080, no answer in ",
        ],
    );
    // It was only busy: whoever answers again is left alone.
    let before = [sandbox.pid("web-1", "php-fpm"), sandbox.pid("web-1", "apache2")];
    drop(lock);
    assert_eq!(waiting.join().expect("ended"), Ok(200));
    has_no_changes(&sandbox);
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!([sandbox.pid("web-1", "php-fpm"), sandbox.pid("web-1", "apache2")], before);
    down(&sandbox);
}

/// Requests that a server has and will not answer: repeated on another where that is safe, else refused at once and not
/// after half a minute (504).
#[test]
fn requests_of_a_server_that_hangs_are_cut_off_and_repeated_where_that_is_safe() {
    let (sandbox, url) = up();
    stop(&processes(&sandbox, "web-1", ""));
    let requests: Vec<_> = ["GET", "POST"]
        .into_iter()
        .cycle()
        .take(8)
        .map(|method| {
            let url = url.clone();
            std::thread::spawn(move || {
                let path = if method == "GET" { "/" } else { "/?format=json" };
                let body = if method == "GET" { "" } else { "text=once" };
                (method, request(&url, method, path, body).map(|answer| answer.status))
            })
        })
        .collect();
    let answers: Vec<_> = requests.into_iter().map(|request| request.join().expect("ended")).collect();
    for (method, status) in &answers {
        let fits = match *method {
            "GET" => *status == Ok(200),
            _ => matches!(status, Ok(200 | 502 | 503)),
        };
        assert!(fits, "{answers:?}");
    }
    assert!(
        answers.iter().any(|(_, status)| matches!(status, Ok(502 | 503))),
        "no request met the server: {answers:?}"
    );
    sandbox.lampwright("stack", APPLY).success();
    down(&sandbox);
}

/// Each file with what is wrong with it, and the lines that come back.
#[test]
fn files_that_were_changed_by_hand_are_named_with_their_lines() {
    let sandbox = Sandbox::new();
    web_only(&sandbox, "  environment = { TOKEN = \"hunter2hunter2\" }\n");
    sandbox.lampwright("stack", APPLY).success();
    let machine = sandbox.machine("web-1");
    let httpd = std::fs::read_to_string(machine.join("etc/httpd.conf")).expect("a file");
    std::fs::write(machine.join("etc/httpd.conf"), httpd.replace("KeepAliveTimeout 5\n", "KeepAliveTimeout 500\n"))
        .expect("written");
    std::fs::write(machine.join("etc/php-env.php"), "<?php putenv('TOKEN=swordfish');\n").expect("written");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(machine.join("etc/php-fpm.conf"), open).expect("permissions");
    std::fs::write(machine.join("htdocs/evil.php"), "<?php system($_GET['c']);\n").expect("written");
    std::fs::remove_file(machine.join("htdocs/lib/version.txt")).expect("removed");
    std::fs::write(sandbox.join("secret"), "of somebody else").expect("written");
    std::fs::remove_file(machine.join("htdocs/index.php")).expect("removed");
    std::os::unix::fs::symlink(sandbox.join("secret"), machine.join("htdocs/index.php")).expect("a link");
    let plan = plan_says(
        &sandbox,
        &[
            "web-1 is changed by hand: it is repaired\n",
            "  etc/httpd.conf has other lines than were installed\n",
            "  etc/php-env.php has other lines than were installed\n",
            "  etc/php-fpm.conf has the mode 0666\n",
            "  htdocs/evil.php was added\n",
            "  htdocs/index.php is no plain file any more\n",
            "  htdocs/lib/version.txt was removed\n",
            "web-1  etc/httpd.conf\n",
            "-KeepAliveTimeout 500\n",
            "+KeepAliveTimeout 5\n",
            "mode 0666 → 0644\n",
            "machines[0].status = \"running\" → \"changed by hand\"",
        ],
    );
    for secret in ["swordfish", "hunter2", "of somebody else"] {
        assert!(!plan.contains(secret), "{plan}");
    }
    assert!(!plan.contains("failed"), "{plan}");
    let before = sandbox.pid("web-1", "apache2");
    sandbox.lampwright("stack", APPLY).success();
    has_no_changes(&sandbox);
    assert_eq!(std::fs::read_to_string(machine.join("etc/httpd.conf")).expect("a file"), httpd);
    assert_eq!(std::fs::read_to_string(machine.join("htdocs/lib/version.txt")).expect("a file"), "1\n");
    assert!(!machine.join("htdocs/evil.php").exists());
    assert_eq!(std::fs::read_to_string(sandbox.join("secret")).expect("a file"), "of somebody else");
    // What runs is told to read its files again; it need not end.
    assert_eq!(sandbox.pid("web-1", "apache2"), before);
    down(&sandbox);
}

/// Somebody removed the folder, and the daemons run on: they are ended with the machine that takes their place, or with all.
#[test]
fn daemons_whose_folder_is_gone_are_ended() {
    let sandbox = Sandbox::new();
    web_only(&sandbox, "");
    sandbox.lampwright("stack", APPLY).success();
    let daemons = sandbox.daemons();
    assert!(!daemons.is_empty());
    let is_there = |pid: &i32| std::path::Path::new(&format!("/proc/{pid}/cwd")).exists() || is_alive(*pid);
    std::fs::remove_dir_all(sandbox.machine("web-1")).expect("removed");
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(daemons.iter().filter(|pid| is_there(pid)).collect::<Vec<_>>(), Vec::<&i32>::new());
    assert_eq!(sandbox.machines(), ["web-2"]);
    has_no_changes(&sandbox);

    let daemons = sandbox.daemons();
    std::fs::remove_dir_all(sandbox.machine("web-2")).expect("removed");
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    assert_eq!(daemons.iter().filter(|pid| is_there(pid)).collect::<Vec<_>>(), Vec::<&i32>::new());
}

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The disk of all machines is full: told by the plan, and by the apply in the same words.
#[test]
fn a_full_disk_is_told() {
    let sandbox = Sandbox::new();
    web_only(&sandbox, "");
    // In a mount namespace of its own, which anybody may have where the system allows it to.
    let script = format!(
        "set -e\nmkdir -p {root}\nmount -t tmpfs -o size=8m,mode=755 tmpfs {root}\ncd {stack}\n\
         {lampwright} apply -auto-approve >/dev/null\n\
         head -c 16m /dev/zero > {root}/fill 2>/dev/null || true\n\
         {lampwright} plan; echo \"plan $?\"; {lampwright} apply -auto-approve 2>&1 || true; echo \"applied $?\"\n\
         rm {root}/fill\n{lampwright} apply -auto-approve >/dev/null\n{lampwright} plan\n\
         {lampwright} destroy -auto-approve >/dev/null\n",
        root = sandbox.join("m").display(),
        stack = sandbox.join("stack").display(),
        lampwright = env!("CARGO_BIN_EXE_lampwright"),
    );
    sandbox.write("full.sh", &script);
    let mut command = std::process::Command::new("unshare");
    let namespaces: &[&str] = if rustix::process::geteuid().is_root() { &["-m"] } else { &["-rm"] };
    command.args(namespaces).arg("sh").arg(sandbox.join("full.sh")).current_dir(repository());
    // As in every sandbox, nothing of the surroundings is seen.
    command.env_remove("TF_CLI_CONFIG_FILE");
    let ran = crate::sandbox::Ran::of(command.output().expect("unshare"));
    if ran.stderr.contains("unshare failed") || ran.stderr.contains("mount:") {
        // No namespaces here: the rule itself is tested in the driver.
        return;
    }
    let text = format!("{}{}", ran.stdout, ran.stderr);
    for expected in [
        "web-1 is out of disk space: make room there first (the disk of ",
        "the disk is full",
        "Make room there",
        "No changes.",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
}
