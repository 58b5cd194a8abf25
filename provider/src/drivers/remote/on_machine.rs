//! Tests of `machine.py`, in a folder in the place of a machine.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::{ROOT, SCRIPT};
use crate::bundle::hex;

/// One operation of the script, with a folder in the place of the machine's and the present user in that of its account.
fn call(base: &Path, op: &str) -> Json {
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
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"{}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let answer: Json = serde_json::from_slice(&output.stdout).unwrap();
    answer["ok"].clone()
}

fn write(base: &Path, path: &str, text: &str, mode: u32) -> Json {
    let full = base.join("machine").join(path);
    std::fs::create_dir_all(full.parent().unwrap()).unwrap();
    std::fs::write(&full, text).unwrap();
    std::fs::set_permissions(&full, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    let digest = format!("sha256:{}", hex(&Sha256::digest(text.as_bytes())));
    json!({ "path": path, "digest": digest, "mode": format!("{mode:04o}") })
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
    assert_eq!(call(base, "drift"), json!([]));

    write(base, "etc/mongod.conf", "port: 2\n", 0o644);
    std::fs::remove_file(base.join("machine/etc/gone")).unwrap();
    std::fs::remove_file(base.join("machine/htdocs/lib/a.php")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", base.join("machine/htdocs/lib/a.php")).unwrap();
    write(base, "htdocs/evil.php", "<?php evil();\n", 0o644);
    let told = call(base, "drift");
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
