//! What is written down of a bundle where it was installed, and of the copy beside the state: every file but its content.
//!
//! A plan takes it for what was there, drift is told by it, and a file that a bundle no longer has is removed by it. It may
//! come from a machine that somebody has taken over, or from a checkout: see [`Entry::is_plain`].

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Bundle, Content, hex};

/// The account that the services run under.
const OWNER: &str = "service";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    #[serde(default)]
    version: u32,
    /// By path.
    pub files: Vec<Entry>,
    /// In the order in which they start.
    pub services: Vec<Daemon>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to the root of the machine.
    pub path: String,
    #[serde(with = "octal")]
    pub mode: u32,
    #[serde(default = "owner")]
    owner: String,
    /// `sha256:` and 64 digits.
    pub digest: String,
    #[serde(default)]
    pub secret: bool,
    /// In bytes; not in manifests of older versions.
    #[serde(default)]
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    pub name: String,
    pub program: String,
    pub args: Vec<String>,
    /// The files that it writes its messages to; not in manifests of older versions.
    #[serde(default)]
    pub logs: Vec<String>,
}

fn owner() -> String {
    OWNER.to_owned()
}

/// `sha256:..`
pub fn digest_of(content: &Content) -> String {
    format!("sha256:{}", hex(content.digest()))
}

/// As [`digest_of`], of what is no file of a bundle.
pub fn digest_of_bytes(content: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(content)))
}

impl Manifest {
    pub fn of(bundle: &Bundle) -> Manifest {
        let files =
            bundle.files.iter().map(|(path, file)| Entry::of(path.clone(), &file.content, file.mode, file.secret));
        let services = bundle.services.iter().map(|service| Daemon {
            name: service.name.to_owned(),
            program: service.program.to_owned(),
            args: service.args.clone(),
            logs: service.logs.iter().map(|path| (*path).to_owned()).collect(),
        });
        Manifest { version: 1, files: files.collect(), services: services.collect() }
    }

    /// `sha256:..` over all that changes something on the machine: neither sizes nor the names of logs.
    pub fn digest(&self) -> String {
        let mut json = serde_json::to_value(self).expect("a manifest is plain JSON");
        let without = |list: &mut serde_json::Value, name: &str| {
            let objects = list.as_array_mut().into_iter().flatten().filter_map(serde_json::Value::as_object_mut);
            objects.for_each(|object| drop(object.remove(name)));
        };
        without(&mut json["files"], "size");
        without(&mut json["services"], "logs");
        format!("sha256:{}", hex(&Sha256::digest(json.to_string().as_bytes())))
    }
}

impl Entry {
    pub fn of(path: String, content: &Content, mode: u32, secret: bool) -> Entry {
        Entry { path, mode, owner: owner(), digest: digest_of(content), secret, size: content.len() as u64 }
    }

    /// A path that leads elsewhere and a digest that is none were not written by us.
    pub fn is_plain(&self) -> bool {
        let leads_down = !self.path.is_empty()
            && Path::new(&self.path).components().all(|part| matches!(part, Component::Normal(_)))
            && !self.path.chars().any(char::is_control);
        let digits = self.digest.strip_prefix("sha256:").unwrap_or_default();
        leads_down && digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

mod octal {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
    pub(super) fn serialize<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{mode:04o}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 8).map_err(|_| D::Error::custom(format!("{text:?} is no mode")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// States have this digest: a layer that an older version has made would be installed anew if another one came out.
    #[test]
    fn the_digest_is_that_of_older_versions() {
        let mut bundle = Bundle::default();
        bundle.add("etc/a", "one");
        bundle.add_secret("etc/key", "two", 0o600);
        let manifest = Manifest::of(&bundle);
        assert_eq!(manifest.digest(), "sha256:9d3bd3a9ed636de829c9eabf95e4a0406ba66f50232cc4f9834f541c4b3a5bed");
        let written = serde_json::to_string_pretty(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&written).unwrap(), manifest);
        let older =
            r#"{"files": [{"path": "etc/a", "mode": "0644", "digest": "sha256:"}], "services": [], "watched": []}"#;
        let older: Manifest = serde_json::from_str(older).unwrap();
        assert_eq!((older.files[0].mode, older.files[0].size, older.files[0].is_plain()), (0o644, 0, false));
    }
}
