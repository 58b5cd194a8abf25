//! What our provider tells with a plan beyond values: a summary, what happens to machines, and their files.
//!
//! It travels as the planned private data of the protocol, which Terraform carries and never reads; our own command line
//! does (docs/decisions/0001). A text that many machines have is in it once.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// Says that private data is a preview, and which form it has.
const FORMAT: u32 = 3;

/// `sha256:` and 16 digits.
const SHOWN_DIGEST: usize = 23;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    pub summary: String,
    /// What happens to machines, and what does not.
    pub notes: Vec<String>,
    /// Which machines there are before and after; of a replacement the layer that goes and the one that comes.
    pub layers: Vec<Layer>,
    pub machines: Vec<Machine>,
    /// What becomes of data on disks.
    pub data: Vec<DataChange>,
    /// Folders whose files are among those of the machines, as the configuration names them.
    pub sources: Vec<String>,
    /// By digest: `sha256:..`, or of what is secret `secret:` and a part of it.
    pub contents: BTreeMap<String, Content>,
}

/// What an apply goes by, and what goes on where it was cut off. It is read without the preview.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// However much of what is planned was made when something was cut off: it is found and removed by what the plan says.
    pub is_removable: bool,
    /// The layer goes on under another resource: its data is not deleted, whichever of the two is applied first.
    pub is_handed_over: bool,
}

/// A layer, and the names of its machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub name: String,
    pub cloud: String,
    pub before: Vec<String>,
    pub after: Vec<String>,
}

/// What a change means for the data on the disks of machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataChange {
    pub fate: Fate,
    /// `CLOUD:SCOPE/NAME` of the layer whose data it is.
    pub layer: String,
    /// The data and its size, for people.
    pub what: String,
    /// Those that have it, or the disks.
    pub machines: Vec<String>,
    /// Its size, as far as it is known.
    pub bytes: Option<u64>,
    /// In a sentence what becomes of it, and why.
    pub text: String,
    /// How it is had back, or kept; may be empty.
    pub way_back: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// All of it is gone for good.
    Deleted,
    /// Others have it, too.
    CopyDeleted,
    /// It is kept, and its successor does not have it.
    LeftBehind,
    Kept,
    /// It is kept, and its successor has it.
    CarriedOver,
    /// A new layer has what an earlier one has left.
    TakenUp,
    /// It was another state's, such as that of a lost file, or of another environment.
    TakenFromAnother,
}

impl Fate {
    /// Somebody who did not want it would be sorry.
    pub fn is_loss(self) -> bool {
        match self {
            Fate::Deleted | Fate::CopyDeleted | Fate::LeftBehind | Fate::TakenFromAnother => true,
            Fate::Kept | Fate::CarriedOver | Fate::TakenUp => false,
        }
    }
}

/// A machine and its files: those that differ; of a simulation all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub name: String,
    /// Where the others reach it; of a machine that does not exist a stand-in.
    pub address: Option<String>,
    /// Where the files lie on it.
    pub root: String,
    /// Folders that are made if missing.
    pub folders: Vec<String>,
    pub files: Vec<File>,
    /// In the order in which they start.
    pub services: Vec<Service>,
    /// A file holds a value that is known after apply only.
    pub has_unknowns: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct File {
    /// Relative to the machine's root.
    pub path: String,
    /// None: the file is new.
    pub before: Option<Version>,
    /// None: the file is removed.
    pub after: Option<Version>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// Of the content; the key of [`Preview::contents`].
    pub digest: String,
    pub size: u64,
    pub mode: u32,
    /// The content is not told.
    pub secret: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Text(String),
    /// In base64; only of a simulation.
    Bytes(String),
    /// In place of what is secret, or no text: what a person may see of it.
    Hidden(String),
}

/// A daemon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    pub program: String,
    /// The distribution's package that brings the program.
    pub package: String,
    pub args: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Envelope<P> {
    lampwright_preview: u32,
    recovery: Recovery,
    preview: P,
}

impl<'de, P: Deserialize<'de>> Envelope<P> {
    /// None if the private data is of another provider, or another form.
    fn open(private: &'de [u8]) -> Option<Envelope<P>> {
        let envelope: Envelope<P> = serde_json::from_slice(private).ok()?;
        (envelope.lampwright_preview == FORMAT).then_some(envelope)
    }
}

impl Recovery {
    pub fn decode(private: &[u8]) -> Option<Recovery> {
        Envelope::<IgnoredAny>::open(private).map(|envelope| envelope.recovery)
    }
}

impl File {
    /// What is to be on the machine; none of a file that goes.
    pub fn wanted(&self) -> Option<(&str, &Version)> {
        self.after.as_ref().map(|version| (&*self.path, version))
    }
}

impl Preview {
    pub fn encode(self, recovery: Recovery) -> Vec<u8> {
        let envelope = Envelope { lampwright_preview: FORMAT, recovery, preview: self };
        serde_json::to_vec(&envelope).expect("a preview is plain JSON")
    }

    pub fn decode(private: &[u8]) -> Option<Preview> {
        Envelope::open(private).map(|envelope| envelope.preview)
    }

    /// What a person may see of a version; a missing one is empty.
    pub fn shown(&self, version: Option<&Version>) -> Cow<'_, str> {
        let Some(version) = version else { return Cow::Borrowed("") };
        match self.contents.get(&version.digest) {
            Some(Content::Text(text) | Content::Hidden(text)) => Cow::Borrowed(text),
            Some(Content::Bytes(_)) => {
                let digest = version.digest.get(..SHOWN_DIGEST).unwrap_or(&version.digest);
                Cow::Owned(format!("(not text, {} bytes, {digest}…)\n", version.size))
            }
            None => Cow::Borrowed(""),
        }
    }

    /// The content of a version; none if it was not told.
    pub fn bytes(&self, version: &Version) -> Option<Vec<u8>> {
        match self.contents.get(&version.digest)? {
            Content::Text(text) => Some(text.clone().into_bytes()),
            Content::Bytes(encoded) => STANDARD.decode(encoded).ok(),
            Content::Hidden(_) => None,
        }
    }
}

impl Content {
    pub fn bytes(content: &[u8]) -> Content {
        Content::Bytes(STANDARD.encode(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded() {
        let version = |digest: &str| Version { digest: digest.to_owned(), size: 3, mode: 0o644, secret: false };
        let file = File { path: "etc/a".to_owned(), before: Some(version("x")), after: Some(version("y")) };
        let preview = Preview {
            machines: vec![Machine { name: "web-1".to_owned(), files: vec![file.clone()], ..Machine::default() }],
            contents: BTreeMap::from([
                ("x".to_owned(), Content::Text("one".to_owned())),
                ("y".to_owned(), Content::bytes(&[0, 159, 146])),
            ]),
            ..Preview::default()
        };
        let recovery = Recovery { is_removable: true, is_handed_over: false };
        let private = preview.clone().encode(recovery);
        assert_eq!(Recovery::decode(&private), Some(recovery));
        let decoded = Preview::decode(&private).unwrap();
        assert_eq!(decoded, preview);
        assert_eq!(decoded.shown(file.before.as_ref()), "one");
        assert_eq!(decoded.bytes(&file.after.unwrap()).unwrap(), [0, 159, 146]);
        assert_eq!(Preview::decode(b"{}"), None);
        assert_eq!(Recovery::decode(b"{}"), None);
        assert_eq!(Preview::decode(&[0xff]), None);
    }
}
