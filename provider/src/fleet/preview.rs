//! Filling the preview of a plan ([`proto::preview`]) with the files of machines.

use std::collections::{BTreeMap, BTreeSet};

use proto::preview::{Content, Machine, Preview, Service, Version};
use sha2::{Digest, Sha256};

use crate::bundle::{Bundle, File, hex};

/// A machine's bundle, and where it lies.
pub(super) struct Rendered {
    pub(super) name: String,
    pub(super) root: String,
    pub(super) bundle: Bundle,
}

/// Adds machines with their files: those that differ or, if it `is_whole`, all, and then also what is no text.
pub(super) fn add_machines(preview: &mut Preview, before: Vec<Rendered>, after: Vec<Rendered>, is_whole: bool) {
    let mut before: BTreeMap<String, Rendered> = before.into_iter().map(|old| (old.name.clone(), old)).collect();
    for machine in after {
        let old = before.remove(&machine.name).map(|old| old.bundle).unwrap_or_default();
        add_machine(preview, &machine, &old, &machine.bundle, is_whole);
    }
    for gone in before.into_values() {
        add_machine(preview, &gone, &gone.bundle, &Bundle::default(), is_whole);
    }
}

fn add_machine(preview: &mut Preview, rendered: &Rendered, before: &Bundle, after: &Bundle, is_whole: bool) {
    let paths: BTreeSet<&String> = before.files.keys().chain(after.files.keys()).collect();
    let mut files = Vec::new();
    for path in paths {
        let (old, new) = (before.files.get(path), after.files.get(path));
        if is_whole || old != new {
            let mut version = |file: Option<&File>| file.map(|file| version(preview, file, is_whole));
            files.push(proto::preview::File { path: path.clone(), before: version(old), after: version(new) });
        }
    }
    if files.is_empty() {
        return;
    }
    let services = after.services.iter().map(|service| Service {
        name: service.name.to_owned(),
        program: service.program.to_owned(),
        package: service.package.to_owned(),
        args: service.args.clone(),
    });
    preview.machines.push(Machine {
        name: rendered.name.clone(),
        root: rendered.root.clone(),
        folders: after.folders.clone(),
        files,
        services: services.collect(),
        has_unknowns: after.has_unknowns,
    });
}

fn version(preview: &mut Preview, file: &File, is_whole: bool) -> Version {
    let digest = Sha256::digest(&file.content);
    let content = || match (file.secret, std::str::from_utf8(&file.content)) {
        (false, Ok(text)) => Content::Text(text.to_owned()),
        (false, Err(_)) if is_whole => Content::bytes(&file.content),
        (false, Err(_)) | (true, _) => Content::Hidden(file.shown()),
    };
    // Of a secret only so much that another one can be told from it.
    let key = if file.secret { format!("secret:{}", hex(&digest[..8])) } else { format!("sha256:{}", hex(&digest)) };
    preview.contents.entry(key.clone()).or_insert_with(content);
    Version { digest: key, size: file.content.len() as u64, mode: file.mode, secret: file.secret }
}
