//! What a machine is told at its first boot: cloud-init user-data of two parts, compressed.
//!
//! Source: cloud-init manual, "User-data formats" (MIME multi-part archive, gzip) and the modules `ssh`, `users_groups`
//! and `scripts_user`. EC2 takes 16 KiB of user-data before base64.
//!
//! **Invariant:** the same input gives the same bytes.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::cloud::DiskHint;
use super::keys::HostKey;
use crate::bundle::Program;
use crate::bundle::encode::{shell, yaml};
use crate::driver::Archive;

/// What runs at the first boot, before it is filled in.
pub(super) const SCRIPT: &str = include_str!("boot.sh");

/// The account by which machines are worked on.
pub(super) const ACCOUNT: &str = "lampwright";

const NO_NUL: &str = "names, keys and ids have no NUL";

#[derive(Debug)]
pub(super) struct Boot<'a> {
    /// None where several machines get the same text: then they get their names at the first connection.
    pub(super) name: Option<&'a str>,
    pub(super) client_key: String,
    pub(super) host_key: &'a HostKey,
    pub(super) programs: &'a [Program],
    pub(super) archives: &'a [Archive],
    pub(super) disk: DiskHint,
}

pub(super) fn render(boot: &Boot<'_>) -> Vec<u8> {
    let boundary = "==lampwright==";
    let mut text = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n");
    for (kind, name, body) in
        [("text/cloud-config", "config", config(boot)), ("text/x-shellscript", "boot", script(boot))]
    {
        text.push_str(&format!(
            "--{boundary}\nContent-Type: {kind}; charset=\"utf-8\"\nContent-Disposition: attachment; filename=\"{name}\"\n\n{body}\n"
        ));
    }
    text.push_str(&format!("--{boundary}--\n"));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything")
}

fn config(boot: &Boot<'_>) -> String {
    let mut out = String::from("#cloud-config\n");
    if let Some(name) = boot.name {
        out.push_str(&format!("hostname: {}\n", yaml(name).expect(NO_NUL)));
    }
    out.push_str(&format!(
        "locale: false
manage_etc_hosts: localhost
ssh_deletekeys: true
ssh_genkeytypes: []
ssh_keys:
  ed25519_private: |
{}
  ed25519_public: {}
users:
  - name: {ACCOUNT}
    lock_passwd: true
    shell: /bin/sh
    sudo: ALL=(ALL) NOPASSWD:ALL
    ssh_authorized_keys:
      - {}
",
        indented(&boot.host_key.private_text()),
        yaml(&boot.host_key.public_text()).expect(NO_NUL),
        yaml(&boot.client_key).expect(NO_NUL),
    ));
    out
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn script(boot: &Boot<'_>) -> String {
    let word = |text: &str| shell(text).expect(NO_NUL);
    let programs: Vec<String> =
        boot.programs.iter().map(|program| format!("{}:{}", word(program.name), word(program.package))).collect();
    let archive = |archive: &Archive| format!("{} {} {}\n", archive.program, archive.url, archive.sha256);
    let archives: String = boot.archives.iter().map(archive).collect();
    // Patterns, for the shell.
    let units: Vec<&str> = boot.programs.iter().flat_map(|program| program.units).copied().collect();
    let units = if units.is_empty() { "none".to_owned() } else { units.join(" ") };
    let (disk, id) = match &boot.disk {
        DiskHint::None => ("no", "-"),
        DiskHint::Any => ("yes", "-"),
        DiskHint::Id(id) => ("yes", id.as_str()),
    };
    SCRIPT
        .replace("@PROGRAMS@", &programs.join(" "))
        .replace("@UNITS@", &units)
        .replace("@ARCHIVES@", &word(&archives))
        .replace("@DISK@", disk)
        .replace("@DISK_ID@", &word(id))
}

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
    use super::*;
    use crate::bundle::apache;
    use crate::driver::LayerId;

    /// EC2's limit, "Instance user data".
    const LIMIT: usize = 16 << 10;

    #[test]
    fn it_fits_and_does_not_vary() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(&folder.path().join("key")).unwrap();
        let host_key = keys.machine(&LayerId::of_id("shop/db"), 1);
        let boot = Boot {
            name: Some("db-1"),
            client_key: keys.client().public_key().to_openssh().unwrap(),
            host_key: &host_key,
            programs: apache::PROGRAMS,
            archives: &[],
            disk: DiskHint::Id("4f2c".to_owned()),
        };
        let first = render(&boot);
        assert_eq!(first, render(&boot));
        assert!(first.len() < LIMIT / 2, "{} bytes", first.len());
        assert_eq!(first[..2], [0x1f, 0x8b]);
    }

    #[test]
    fn the_script_is_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(&folder.path().join("key")).unwrap();
        let host_key = keys.machine(&LayerId::of_id("shop/web"), 1);
        let boot = Boot {
            name: None,
            client_key: "ssh-ed25519 A".to_owned(),
            host_key: &host_key,
            programs: &apache::PROGRAMS[..2],
            archives: &[],
            disk: DiskHint::None,
        };
        let script = script(&boot);
        assert!(script.contains("for pair in apache2:apache2 php-fpm:php-fpm; do"), "{script}");
        assert!(script.contains("for unit in apache2 apache-htcacheclean php*-fpm; do"), "{script}");
        let code: Vec<&str> = script.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        assert!(!code.join("\n").contains('@'), "{script}");
    }
}
