//! What a plan shows beyond values: a summary, what happens to machines, and every file that will differ.
//!
//! It travels as the planned private data of the protocol, which Terraform carries and never reads; our own
//! command line does.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bundle::Bundle;

/// Says that the private data is a preview, and which form it has.
const FORMAT: u32 = 1;

#[derive(Debug, Default, Serialize)]
pub(super) struct Preview {
    pub(super) summary: String,
    pub(super) notes: Vec<String>,
    pub(super) machines: Vec<MachinePreview>,
}

/// The files of a machine that differ.
#[derive(Debug, Serialize)]
pub(super) struct MachinePreview {
    name: String,
    files: Vec<FilePreview>,
}

#[derive(Debug, Serialize)]
struct FilePreview {
    path: String,
    /// None: the file is new.
    before: Option<String>,
    /// None: the file is removed.
    after: Option<String>,
}

#[derive(Serialize)]
struct Envelope<'p> {
    lampwright_preview: u32,
    #[serde(rename = "preview")]
    content: &'p Preview,
}

impl Preview {
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&Envelope { lampwright_preview: FORMAT, content: self }).expect("a preview is plain JSON")
    }
}

pub(super) fn differences(before: Vec<(String, Bundle)>, after: Vec<(String, Bundle)>) -> Vec<MachinePreview> {
    let mut before: BTreeMap<String, Bundle> = before.into_iter().collect();
    let mut machines = Vec::new();
    for (name, bundle) in after {
        let old = before.remove(&name).unwrap_or_default();
        machines.extend(machine(name, &old, &bundle));
    }
    for (name, old) in before {
        machines.extend(machine(name, &old, &Bundle::default()));
    }
    machines
}

fn machine(name: String, before: &Bundle, after: &Bundle) -> Option<MachinePreview> {
    let mut paths: Vec<&String> = before.files.keys().chain(after.files.keys()).collect();
    paths.sort();
    paths.dedup();
    let files: Vec<FilePreview> = paths
        .into_iter()
        .filter(|path| before.files.get(*path) != after.files.get(*path))
        .map(|path| FilePreview {
            path: path.clone(),
            before: before.files.get(path).map(crate::bundle::File::shown),
            after: after.files.get(path).map(crate::bundle::File::shown),
        })
        .collect();
    (!files.is_empty()).then_some(MachinePreview { name, files })
}
