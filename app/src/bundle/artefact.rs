//! Bundles as artefacts: the files of every machine in a folder or an archive, with a manifest that says all there is to
//! say of them. What reads one checks every file by its digest: what was signed is what is used.
//!
//! Secrets are never in one. The manifest names their files; whoever uses a bundle brings them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, bail};
use engine::plan::machines::Layer;
use engine::plan::preview::{File, Machine, Service, Version};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::archive::{self, BUNDLE_LIMIT, Form, MEANT, Pack};
use crate::sources::hex;

const MANIFEST: &str = "manifest.json";
/// The form of manifests that this program writes and reads.
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub stack: String,
    /// By name.
    pub machines: BTreeMap<String, MachineEntry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineEntry {
    /// The address of the resource that the machine belongs to.
    pub resource: String,
    pub cloud: String,
    /// Of a machine that does not exist yet a stand-in, which follows from its name.
    pub address: Option<String>,
    pub exists: bool,
    /// A file holds "(known after apply)" where a value is not known yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_unknowns: bool,
    /// Where the files go on the machine.
    pub root: String,
    /// Folders below the root that services need.
    pub folders: Vec<String>,
    /// By path below the root.
    pub files: BTreeMap<String, FileEntry>,
    /// In the order in which they start.
    pub services: Vec<Service>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Octal.
    pub mode: String,
    /// "service": the account that the services run under.
    pub owner: String,
    /// None: the file is secret, and not here.
    pub digest: Option<String>,
    /// In bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A bundle that was read.
#[derive(Debug)]
pub struct Bundle {
    pub manifest: Manifest,
    /// By machine and path: `web-1/etc/httpd.conf`.
    pub contents: BTreeMap<String, Vec<u8>>,
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(content)))
}

/// Writes the machines of a plan. Returns the manifest and its digest, which stands for everything.
pub(super) fn write(stack: &str, layers: &[Layer], out: &Path) -> anyhow::Result<(Manifest, String)> {
    refuse_foreign(out)?;
    let failed = || format!("cannot write {}", out.display());
    let mut pack = Pack::create(out).with_context(failed)?;
    let mut manifest = Manifest { version: VERSION, stack: stack.to_owned(), machines: BTreeMap::new() };
    for layer in layers {
        for machine in layer.machines() {
            let mut entry = machine_entry(layer, machine);
            for (path, version) in machine.files.iter().filter_map(File::wanted) {
                let content = layer.preview.bytes(version);
                if let Some(content) = &content {
                    let path = format!("{}/{path}", machine.name);
                    pack.add(&path, version.mode, content).with_context(failed)?;
                }
                entry.files.insert(path.to_owned(), file_entry(version, content.as_deref()));
            }
            manifest.machines.insert(machine.name.clone(), entry);
        }
    }
    let text = format!("{}\n", serde_json::to_string_pretty(&manifest)?);
    pack.add(MANIFEST, 0o644, text.as_bytes()).with_context(failed)?;
    pack.finish().with_context(failed)?;
    Ok((manifest, digest(text.as_bytes())))
}

fn machine_entry(layer: &Layer, machine: &Machine) -> MachineEntry {
    MachineEntry {
        resource: layer.resource.clone(),
        cloud: layer.cloud.clone(),
        address: machine.address.clone(),
        exists: layer.exists(machine),
        has_unknowns: machine.has_unknowns,
        root: machine.root.clone(),
        folders: machine.folders.clone(),
        files: BTreeMap::new(),
        services: machine.services.clone(),
    }
}

fn file_entry(version: &Version, content: Option<&[u8]>) -> FileEntry {
    FileEntry {
        mode: format!("{:04o}", version.mode),
        owner: "service".to_owned(),
        digest: content.map(digest),
        size: content.map(|content| content.len() as u64),
    }
}

/// What is there is replaced as a whole, so it must be nothing but a bundle.
fn refuse_foreign(out: &Path) -> anyhow::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(out) else { return Ok(()) };
    if Form::of(out) != Form::Folder {
        if !metadata.is_file() || read(out).is_err() {
            bail!("{} exists and is no bundle; remove it, or choose another name", out.display());
        }
        return Ok(());
    }
    if !metadata.is_dir() {
        bail!("{} exists and is no folder; remove it, or choose another name", out.display());
    }
    let manifest = std::fs::read(out.join(MANIFEST)).ok();
    let Some(manifest) = manifest.and_then(|text| serde_json::from_slice::<Manifest>(&text).ok()) else {
        let mut entries =
            std::fs::read_dir(out).with_context(|| format!("cannot read the folder {}", out.display()))?;
        if entries.next().is_none() {
            return Ok(());
        }
        bail!("{} holds files that are no bundle; name a folder that is new, or empty", out.display());
    };
    let found = archive::paths(out).with_context(|| format!("cannot replace the bundle {}", out.display()))?;
    let known = paths(&manifest);
    match found.iter().find(|path| *path != MANIFEST && !known.contains(*path)) {
        None => Ok(()),
        Some(path) => {
            bail!(
                "{} holds {path}, which is no part of the bundle there and would be lost; move it away",
                out.display()
            )
        }
    }
}

/// Of all files that are in a bundle.
fn paths(manifest: &Manifest) -> BTreeSet<String> {
    let machines = manifest.machines.iter();
    machines
        .flat_map(|(name, machine)| {
            let open = machine.files.iter().filter(|(_, file)| file.digest.is_some());
            open.map(move |(path, _)| format!("{name}/{path}"))
        })
        .collect()
}

/// Reads and checks: all that the manifest names is there, as it says, and nothing else.
pub fn read(path: &Path) -> anyhow::Result<Bundle> {
    let at = path.display();
    let mut found = archive::read(path, BUNDLE_LIMIT).with_context(|| format!("cannot read the bundle {at}"))?;
    let Some(text) = found.remove(MANIFEST) else { bail!("{at} is no bundle: it has no {MANIFEST}") };
    let manifest: Manifest =
        serde_json::from_slice(&text.content).with_context(|| format!("{at}: {MANIFEST} is damaged"))?;
    if manifest.version != VERSION {
        bail!("{at} has a manifest of version {}; this program reads version {VERSION}", manifest.version);
    }
    for (name, machine) in &manifest.machines {
        for (file, entry) in &machine.files {
            let Some(expected) = &entry.digest else { continue };
            let path = format!("{name}/{file}");
            let Some(found) = found.get(&path) else { bail!("{at} is damaged: {path} is missing") };
            if digest(&found.content) != *expected {
                bail!("{at} is damaged: {path} is not what the manifest says");
            }
            let mode = u32::from_str_radix(&entry.mode, 8).with_context(|| format!("{at}: the mode of {path}"))?;
            if (found.mode ^ mode) & MEANT != 0 {
                bail!("{at} is damaged: {path} has mode {:04o}, and the manifest says {}", found.mode, entry.mode);
            }
        }
    }
    let known = paths(&manifest);
    if let Some(path) = found.keys().find(|path| !known.contains(*path)) {
        bail!("{at} is damaged: {path} is not in the manifest");
    }
    let contents = found.into_iter().map(|(path, entry)| (path, entry.content)).collect();
    Ok(Bundle { manifest, contents })
}
