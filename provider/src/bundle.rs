//! Configuration bundles: the files of one machine, and the services that they configure.
//!
//! **Invariant:** pure. The same input gives the same bytes; a bundle never knows a driver or a resource.

pub mod apache;
mod content;
pub mod encode;
pub mod haproxy;
mod machine;
mod manifest;
pub mod mongod;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use content::Content;
pub use machine::{Layout, Program, Signal};
pub use manifest::{Daemon, Entry, Manifest, digest_of, digest_of_bytes};

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
    pub content: Content,
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
    /// What brings the program, for people, if the distribution's package alone does not.
    pub cure: Option<&'static str>,
    pub args: Vec<String>,
    /// Arguments of the daemon's own syntax check. [`CHECKED`] stands for the path of the file to check.
    pub check: Vec<String>,
    /// The configuration file that the check is about.
    pub config: &'static str,
    /// The files that it reads only when it starts or takes them up: paths of the bundle, or folders that end in a slash.
    pub reads: &'static [&'static str],
    pub takes_up: TakesUp,
    /// Makes it finish its work and end.
    pub stop: Signal,
    pub pid_file: &'static str,
    /// The files that it writes its messages to.
    pub logs: &'static [&'static str],
}

/// How a daemon that runs takes up files that have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakesUp {
    /// It reads them again without losing a request.
    By(Signal),
    /// It is stopped and started; its machine lets its work go before.
    ByRestart,
}

/// Where the files of an application are. While they change, and until the services have taken them up, a machine does no
/// work.
pub const APPLICATION: &str = "htdocs/";

/// Folders that hold what was installed and nothing else: what somebody adds there is told, and removed. Everywhere else
/// daemons and applications have files of their own, which nobody but they may remove.
pub const WATCHED: &[&str] = &["etc", "htdocs"];

/// See [`Service::check`].
pub const CHECKED: &str = "{checked}";

impl Bundle {
    pub fn add(&mut self, path: impl Into<String>, content: impl Into<Content>) {
        self.files.insert(path.into(), File { content: content.into(), mode: 0o644, secret: false });
    }

    pub fn add_secret(&mut self, path: impl Into<String>, content: impl Into<Content>, mode: u32) {
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

    /// `sha256:..` over all that changes something on the machine.
    pub fn digest(&self) -> String {
        Manifest::of(self).digest()
    }

    /// What is in force on a machine once its services have taken this bundle up: a digest for each of them, and one of
    /// the application.
    pub fn in_force(&self) -> InForce {
        let digest = |of: &dyn Fn(&str) -> bool| {
            let mut hash = Sha256::new();
            for (path, file) in self.files.iter().filter(|(path, _)| of(path)) {
                hash.update((path.len() as u64).to_le_bytes());
                hash.update(path);
                hash.update(file.content.digest());
            }
            format!("sha256:{}", hex(&hash.finalize()))
        };
        let services =
            self.services.iter().map(|service| (service.name.to_owned(), digest(&|path| service.reads(path))));
        InForce {
            services: services.collect(),
            application: digest(&|path| path.starts_with(APPLICATION)),
            since: String::new(),
        }
    }
}

/// See [`Bundle::in_force`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    pub services: BTreeMap<String, String>,
    pub application: String,
    /// When it was noted, RFC 3339; empty of what is only wanted.
    #[serde(default)]
    pub since: String,
}

impl Service {
    pub fn reads(&self, path: &str) -> bool {
        self.reads.iter().any(|read| path == *read || (read.ends_with('/') && path.starts_with(read)))
    }
}

impl File {
    /// What a person may see of the file.
    pub fn shown(&self) -> String {
        let digest = || hex(&self.content.digest()[..8]);
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

    /// A service is asked for no reload by a file that it does not read.
    #[test]
    fn what_is_in_force_is_known_for_each_service() {
        let service = |name, reads| Service {
            name,
            program: name,
            package: name,
            cure: None,
            args: Vec::new(),
            check: Vec::new(),
            config: "",
            reads,
            takes_up: TakesUp::ByRestart,
            stop: Signal::Term,
            pid_file: "",
            logs: &[],
        };
        let mut bundle = Bundle {
            services: vec![service("httpd", &["etc/httpd.conf"]), service("php", &["etc/php.ini", "htdocs/"])],
            ..Bundle::default()
        };
        let mut last = bundle.in_force();
        let mut changed = |bundle: &Bundle| {
            let now = bundle.in_force();
            let mut names: Vec<&str> = Vec::new();
            names.extend(["httpd", "php"].into_iter().filter(|name| now.services[*name] != last.services[*name]));
            if now.application != last.application {
                names.push("application");
            }
            last = now.clone();
            names.join(" ")
        };
        bundle.add("etc/httpd.conf", "Listen 80");
        assert_eq!(changed(&bundle), "httpd");
        bundle.add("etc/mime.types", "text/html html");
        assert_eq!(changed(&bundle), "");
        bundle.add("htdocs/index.php", "<?php echo 1;");
        assert_eq!(changed(&bundle), "php application");
        bundle.add("etc/php.ini", "");
        assert_eq!(changed(&bundle), "php");
    }
}
