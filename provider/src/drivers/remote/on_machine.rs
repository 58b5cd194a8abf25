//! Tests of `machine.py`, in a folder in the place of a machine.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::{ROOT, SCRIPT};
use crate::bundle::hex;

/// One operation of the script, with a folder in the place of the machine's and the present user in that of its account.
fn call(base: &Path, op: &str, head: &Json) -> Json {
    let account = Command::new("id").arg("-un").output().unwrap().stdout;
    let account = String::from_utf8(account).unwrap();
    let script = SCRIPT
        .replace("/var/lib/lampwright/", &format!("{}/", base.display()))
        .replace("ACCOUNT = \"lampwright-run\"", &format!("ACCOUNT = {:?}", account.trim()));
    assert!(script.contains(&format!("ACCOUNT = {:?}", account.trim())) && !script.contains(ROOT));
    let mut command = Command::new("python3");
    // The first argument is the script's length, for who sends it.
    let mut child =
        command.args(["-c", &script, "0", op]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{head}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    // `install` says first what it asks for.
    serde_json::from_slice(output.stdout.split(|byte| *byte == b'\n').next().unwrap()).unwrap()
}

fn drift(base: &Path) -> Json {
    call(base, "drift", &json!({}))["ok"].clone()
}

fn write(base: &Path, path: &str, text: &str, mode: u32) -> Json {
    let full = base.join("machine").join(path);
    std::fs::create_dir_all(full.parent().unwrap()).unwrap();
    std::fs::write(&full, text).unwrap();
    std::fs::set_permissions(&full, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    let digest = format!("sha256:{}", hex(&Sha256::digest(text.as_bytes())));
    json!({ "path": path, "digest": digest, "mode": format!("{mode:04o}"), "secret": false })
}

/// What daemons write beside what was installed is theirs: removing it would be the end of a database.
#[test]
fn what_differs_is_told_and_data_is_nobodys_addition() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    let files = [
        write(base, "etc/mongod.conf", "port: 1\n", 0o644),
        write(base, "etc/gone", "x", 0o644),
        write(base, "htdocs/lib/a.php", "<?php\n", 0o644),
        write(base, "data/credentials.json", "{}", 0o400),
    ];
    let manifest = json!({ "files": files, "services": [], "watched": crate::bundle::WATCHED });
    std::fs::write(base.join("manifest.json"), manifest.to_string()).unwrap();
    write(base, "data/WiredTiger.wt", "data", 0o600);
    write(base, "run/mongod.pid", "1", 0o644);
    write(base, "log/mongod.log", "words", 0o644);
    assert_eq!(drift(base), json!([]));

    write(base, "etc/mongod.conf", "port: 2\n", 0o644);
    std::fs::remove_file(base.join("machine/etc/gone")).unwrap();
    std::fs::remove_file(base.join("machine/htdocs/lib/a.php")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", base.join("machine/htdocs/lib/a.php")).unwrap();
    write(base, "htdocs/evil.php", "<?php evil();\n", 0o644);
    let told = drift(base);
    let kinds: Vec<(&str, &str)> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["path"].as_str().unwrap(), one["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("etc/gone", "removed"),
            ("etc/mongod.conf", "content"),
            ("htdocs/evil.php", "added"),
            ("htdocs/lib/a.php", "replaced"),
        ]
    );
    // What a link leads to is not read.
    assert_eq!(told[3].get("content"), None);
}

/// What the services' account put in the way of root: links to files, to folders, to sockets, and folders in the place
/// of files.
#[test]
fn root_follows_no_link_in_a_folder_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let (base, outside) = (folder.path(), folder.path().join("outside"));
    std::fs::create_dir_all(base.join("machine/run")).unwrap();
    std::fs::create_dir_all(outside.join("log")).unwrap();
    std::fs::write(outside.join("shadow"), "secret\n").unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(outside.join("socket")).unwrap();
    let link =
        |to: &str, name: &str| std::os::unix::fs::symlink(outside.join(to), base.join("machine").join(name)).unwrap();
    for (to, name) in [("shadow", "run/loaded"), ("log", "log"), ("socket", "run/admin.sock")] {
        link(to, name);
    }
    let refused = |op: &str, head: Json| {
        let answer = call(base, op, &head);
        assert_eq!(answer["error"], "path", "{op} {head}: {answer}");
    };
    refused("read", json!({ "path": "run/loaded" }));
    refused("read", json!({ "path": "log/../../outside/shadow" }));
    refused("write", json!({ "path": "log/x", "content": "" }));
    refused("remove", json!({ "path": "log/x" }));
    refused("ask", json!({ "socket": "run/admin.sock", "line": "show stat" }));
    // The link itself makes room.
    let written = json!({ "path": "run/loaded", "content": "bmV3" });
    assert_eq!(call(base, "write", &written), json!({ "ok": null }));
    assert_eq!(std::fs::read_to_string(base.join("machine/run/loaded")).unwrap(), "new");
    assert_eq!(std::fs::read_to_string(outside.join("shadow")).unwrap(), "secret\n");
    assert_eq!(std::fs::read_dir(outside.join("log")).unwrap().count(), 0);

    std::fs::create_dir_all(base.join("machine/run/drain/below")).unwrap();
    link("log", "run/drain/below/link");
    assert_eq!(call(base, "write", &json!({ "path": "run/drain", "content": "bmV3" })), json!({ "ok": null }));
    assert_eq!(std::fs::read_to_string(base.join("machine/run/drain")).unwrap(), "new");
    assert!(outside.join("log").is_dir());
}

/// A machine of an older version, whose account owned every folder: what it put in the place of one makes room.
#[test]
fn folders_of_a_machine_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    std::fs::create_dir_all(base.join("machine")).unwrap();
    std::fs::create_dir_all(base.join("outside")).unwrap();
    std::os::unix::fs::symlink(base.join("outside"), base.join("machine/htdocs")).unwrap();
    let manifest = json!({ "files": [{ "path": "htdocs/a.php", "digest": "sha256:", "mode": "0644", "secret": false }], "services": [] });
    let answer =
        call(base, "install", &json!({ "manifest": manifest, "folders": ["run"], "services": [], "checked": "" }));
    // Nobody sent the file that it asks for; the folder is there by then.
    assert_eq!(answer["send"], json!(["htdocs/a.php"]));
    assert!(base.join("machine/htdocs").symlink_metadata().unwrap().is_dir());
    assert_eq!(std::fs::read_dir(base.join("outside")).unwrap().count(), 0);
}
