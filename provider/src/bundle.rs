//! Configuration bundles: the files of one machine, and the services that they configure.
//!
//! **Invariant:** pure. The same input gives the same bytes; a bundle never knows a driver or a resource.

pub mod apache;
pub mod encode;
pub mod haproxy;
pub mod mongod;

use std::collections::BTreeMap;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::driver::Signal;

/// Stands in a rendered file for what the plan cannot know yet.
pub const UNKNOWN: &str = "(known after apply)";

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bundle {
    /// By path, relative to the root of the machine.
    pub files: BTreeMap<String, File>,
    /// Folders that the services write in; made if missing, never emptied. All others they only read.
    pub folders: Vec<String>,
    /// In the order in which they start.
    pub services: Vec<Service>,
    /// Whether a file holds [`UNKNOWN`]; such a bundle can be shown and not installed.
    pub has_unknowns: bool,
    /// What a file's format could not carry; such a bundle is of no use.
    pub refused: Vec<encode::Refused>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct File {
    pub content: Vec<u8>,
    pub mode: u32,
    /// Never shown, neither in a plan nor in the copies for people.
    pub secret: bool,
}

/// A daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    pub name: &'static str,
    /// The program, or the beginning of its name where distributions add a version (`php-fpm8.2`).
    pub program: &'static str,
    pub package: &'static str,
    pub args: Vec<String>,
    /// Arguments of the daemon's own syntax check. [`CHECKED`] stands for the path of the file to check.
    pub check: Vec<String>,
    /// The configuration file that the check is about.
    pub config: &'static str,
    /// Makes the daemon read its configuration again without losing a request; `None`: it must be restarted.
    pub reload: Option<Signal>,
    /// Makes it finish its work and end.
    pub stop: Signal,
    pub pid_file: &'static str,
}

/// Folders that hold what was installed and nothing else: what somebody adds there is told, and removed. Everywhere else
/// daemons and applications have files of their own, which nobody but they may remove.
pub const WATCHED: &[&str] = &["etc", "htdocs"];

/// See [`Service::check`].
pub const CHECKED: &str = "{checked}";

impl Bundle {
    pub fn add(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), File { content: content.into(), mode: 0o644, secret: false });
    }

    pub fn add_secret(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>, mode: u32) {
        self.files.insert(path.into(), File { content: content.into(), mode, secret: true });
    }

    /// A value for a file, or [`UNKNOWN`], which is noted.
    pub fn known<'v>(&mut self, value: Option<&'v str>) -> &'v str {
        match value {
            Some(value) => value,
            None => {
                self.has_unknowns = true;
                UNKNOWN
            }
        }
    }

    /// As [`Bundle::known`], in a format.
    pub fn known_in(&mut self, value: Option<&str>, encode: fn(&str) -> encode::Encoded) -> String {
        match value {
            Some(value) => self.fit(encode(value)),
            None => self.known(None).to_owned(),
        }
    }

    /// A text as its format writes it; what it cannot carry is noted.
    pub fn fit(&mut self, encoded: encode::Encoded) -> String {
        encoded.unwrap_or_else(|refused| {
            self.refused.push(refused);
            String::new()
        })
    }

    /// `sha256:..` over the manifest.
    pub fn digest(&self) -> String {
        format!("sha256:{}", hex(&Sha256::digest(self.manifest().to_string().as_bytes())))
    }

    /// `sha256:..` over what services read only when they start or reload. An application's pages are read at each
    /// request.
    pub fn configuration(&self) -> String {
        let mut hash = Sha256::new();
        for (path, file) in self.files.iter().filter(|(path, _)| path.starts_with("etc/")) {
            for part in [path.as_bytes(), &file.content] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        format!("sha256:{}", hex(&hash.finalize()))
    }

    /// Path, mode, owner and digest of every file. The owner is the account that the services run under.
    pub fn manifest(&self) -> serde_json::Value {
        let files = self.files.iter().map(|(path, file)| {
            json!({
                "path": path,
                "mode": format!("{:04o}", file.mode),
                "owner": "service",
                "digest": format!("sha256:{}", hex(&Sha256::digest(&file.content))),
                "secret": file.secret,
            })
        });
        let services = self
            .services
            .iter()
            .map(|service| json!({ "name": service.name, "program": service.program, "args": service.args }));
        json!({ "version": 1, "files": files.collect::<Vec<_>>(), "services": services.collect::<Vec<_>>() })
    }
}

impl File {
    /// What a person may see of the file.
    pub fn shown(&self) -> String {
        let digest = || hex(&Sha256::digest(&self.content)[..8]);
        let is_known = !self.content.windows(UNKNOWN.len()).any(|part| part == UNKNOWN.as_bytes());
        if self.secret && !is_known {
            // Its size and digest would be those of the place holders.
            return format!("(secret, {})\n", UNKNOWN.trim_matches(['(', ')']));
        }
        if self.secret {
            return format!("(secret, {} bytes, sha256 {}…)\n", self.content.len(), digest());
        }
        match std::str::from_utf8(&self.content) {
            Ok(text) => text.to_owned(),
            Err(_) => format!("(not text, {} bytes, sha256 {}…)\n", self.content.len(), digest()),
        }
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A changed page asks for no reload, and says nothing of whether an earlier change is in force.
    #[test]
    fn the_configuration_is_what_services_read_when_they_start() {
        let mut bundle = Bundle::default();
        bundle.add("etc/httpd.conf", "Listen 80");
        bundle.add("htdocs/index.php", "<?php echo 1;");
        let before = (bundle.configuration(), bundle.digest());
        bundle.add("htdocs/index.php", "<?php echo 2;");
        assert_eq!(bundle.configuration(), before.0);
        assert_ne!(bundle.digest(), before.1);
        bundle.add("etc/httpd.conf", "Listen 81");
        assert_ne!(bundle.configuration(), before.0);
    }
}
