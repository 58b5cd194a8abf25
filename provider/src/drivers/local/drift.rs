//! Which files of a machine are not as they were installed, by the manifest that was left with them.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::beneath::{Folder, leads_down};
use super::install::{FILE_BYTES, MANIFEST, manifest, wanted};
use super::store::Home;
use crate::bundle::{Content, Entry, File, WATCHED, digest_of_bytes};
use crate::driver::{Drift, DriftKind, Found};

/// What is larger is named and not shown.
const SHOWN_BYTES: usize = 1 << 20;

/// By path. Without a manifest nothing was installed, and nothing can differ from it.
pub(super) fn drift(home: &Home) -> Vec<Drift> {
    // An entry that leads elsewhere was not written by us.
    let manifest = manifest(&home.folder).filter(|it| it.files.iter().all(|entry| leads_down(&entry.path)));
    let Some(manifest) = manifest else {
        // A run that was cut off before it wrote one; or somebody took it away.
        return vec![Drift { path: MANIFEST.to_owned(), kind: DriftKind::Removed, found: None }];
    };
    let mut drift: Vec<Drift> = manifest.files.iter().filter_map(|entry| differs(home, entry)).collect();
    let known: BTreeSet<&str> = manifest.files.iter().map(|entry| entry.path.as_str()).collect();
    for name in WATCHED {
        // Of a folder that became a link its files are told as replaced.
        if let Ok(folder) = home.folder.enter(name) {
            added(&folder, name, &known, &mut drift);
        }
    }
    drift.sort_by(|a, b| a.path.cmp(&b.path));
    drift
}

fn differs(home: &Home, entry: &Entry) -> Option<Drift> {
    let of_kind = |kind, found| Some(Drift { path: entry.path.clone(), kind, found });
    let found = match home.folder.read(&entry.path, FILE_BYTES) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return of_kind(DriftKind::Removed, None),
        // A link, a pipe, another file by a second name.
        Err(_) => return of_kind(DriftKind::Replaced, None),
    };
    let wanted = wanted(&File { content: Content::default(), mode: entry.mode, secret: entry.secret }, home.account);
    let kind = if entry.digest != digest_of_bytes(&found.content) {
        DriftKind::Content
    } else if found.mode != entry.mode {
        DriftKind::Mode
    } else if !found.is(wanted) {
        DriftKind::Owner
    } else {
        return None;
    };
    of_kind(kind, shown(found))
}

fn shown(found: super::beneath::Found) -> Option<Found> {
    (found.content.len() <= SHOWN_BYTES).then_some(Found { content: found.content, mode: found.mode })
}

/// Files that nobody installed.
fn added(folder: &Folder, relative: &str, known: &BTreeSet<&str>, drift: &mut Vec<Drift>) {
    for name in folder.names().unwrap_or_default() {
        let Some(text) = name.to_str() else { continue };
        let path = format!("{relative}/{text}");
        match (folder.is_folder(&name), folder.enter(text)) {
            (Ok(true), Ok(inner)) => added(&inner, &path, known, drift),
            _ if !known.contains(path.as_str()) => {
                let found = folder.read(text, SHOWN_BYTES as u64).ok().and_then(shown);
                drift.push(Drift { path, kind: DriftKind::Added, found });
            }
            _ => {}
        }
    }
}
