//! Filling the preview of a plan ([`proto::preview`]) with the files of machines.

use std::collections::{BTreeMap, BTreeSet};

use proto::preview::{Content, Machine, Preview, Service, Version};

use super::installed::{Installed, InstalledFile};
use crate::bundle::{Bundle, File, digest_of};

/// A machine's bundle, and where it lies.
pub(super) struct Rendered {
    pub(super) name: String,
    pub(super) address: Option<String>,
    pub(super) root: String,
    pub(super) bundle: Bundle,
}

/// What is on a machine, and where it lies.
pub(super) struct Before {
    pub(super) name: String,
    pub(super) root: String,
    pub(super) files: Installed,
}

/// Adds machines with their files: those that differ or, if it `is_whole`, all, and then also what is no text.
pub(super) fn add_machines(preview: &mut Preview, before: Vec<Before>, after: Vec<Rendered>, is_whole: bool) {
    let mut before: BTreeMap<String, Before> = before.into_iter().map(|old| (old.name.clone(), old)).collect();
    for machine in after {
        let old = before.remove(&machine.name).map(|old| old.files).unwrap_or_default();
        add_machine(preview, &machine, &old, is_whole);
    }
    for gone in before.into_values() {
        let rendered = Rendered { name: gone.name, address: None, root: gone.root, bundle: Bundle::default() };
        add_machine(preview, &rendered, &gone.files, is_whole);
    }
}

fn add_machine(preview: &mut Preview, rendered: &Rendered, before: &Installed, is_whole: bool) {
    let after = &rendered.bundle;
    let paths: BTreeSet<&String> = before.0.keys().chain(after.files.keys()).collect();
    let mut files = Vec::new();
    for path in paths {
        let (old, new) = (before.0.get(path), after.files.get(path));
        let is_same = old.zip(new).is_some_and(|(old, new)| {
            let old = &old.entry;
            (old.mode, old.secret) == (new.mode, new.secret) && old.digest == digest_of(&new.content)
        });
        if is_whole || !is_same {
            // First what is to be, which is there whole.
            let after = new.map(|new| version(preview, new, is_whole));
            let before = old.map(|old| version_before(preview, old));
            files.push(proto::preview::File { path: path.clone(), before, after });
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
        address: rendered.address.clone(),
        root: rendered.root.clone(),
        folders: after.folders.clone(),
        files,
        services: services.collect(),
        has_unknowns: after.has_unknowns,
    });
}

fn version(preview: &mut Preview, file: &File, is_whole: bool) -> Version {
    let content = || match (file.secret, std::str::from_utf8(&file.content)) {
        (false, Ok(text)) => Content::Text(text.to_owned()),
        (false, Err(_)) if is_whole => Content::bytes(&file.content),
        (false, Err(_)) | (true, _) => Content::Hidden(file.shown()),
    };
    let key = key(&digest_of(&file.content), file.secret);
    let known = preview.contents.entry(key.clone()).or_insert_with(content);
    // Another machine's "before" may have come with the digest alone.
    if !file.secret && matches!(known, Content::Hidden(_)) {
        *known = content();
    }
    Version { digest: key, size: file.content.len() as u64, mode: file.mode, secret: file.secret }
}

fn version_before(preview: &mut Preview, file: &InstalledFile) -> Version {
    let InstalledFile { entry, content } = file;
    let short = short(&entry.digest);
    let content = || match content {
        Some(content) if !entry.secret => match std::str::from_utf8(content) {
            Ok(text) => Content::Text(text.to_owned()),
            Err(_) => Content::Hidden(format!("(not text, {} bytes, sha256 {short}…)\n", entry.size)),
        },
        Some(_) | None if entry.secret => Content::Hidden(format!("(secret, {} bytes, sha256 {short}…)\n", entry.size)),
        Some(_) | None => Content::Hidden(format!("(not kept, {} bytes, sha256 {short}…)\n", entry.size)),
    };
    let key = key(&entry.digest, entry.secret);
    preview.contents.entry(key.clone()).or_insert_with(content);
    Version { digest: key, size: entry.size, mode: entry.mode, secret: entry.secret }
}

/// Of a secret only so much that another one can be told from it.
fn key(digest: &str, secret: bool) -> String {
    if secret { format!("secret:{}", short(digest)) } else { digest.to_owned() }
}

fn short(digest: &str) -> &str {
    let digits = digest.trim_start_matches("sha256:");
    digits.get(..16).unwrap_or(digits)
}
