//! Bringing a bundle onto a machine's folder: checked whole as a copy, then moved into place file by file.

use std::collections::BTreeSet;
use std::path::Path;

use super::beneath::{Folder, Wanted, leads_down};
use super::check;
use super::process::Account;
use super::store::Home;
use crate::bundle::{Bundle, File, Manifest, digest_of_bytes};
use crate::driver::{DriverError, Result};

pub(super) const MANIFEST: &str = "manifest.json";
/// More than any application's file (64 MiB), or a manifest.
pub(super) const FILE_BYTES: u64 = 256 << 20;

/// Folders that hold what was installed. Those that daemons write in are theirs.
const FOLDER: u32 = 0o750;

pub(super) async fn install(home: &Home, machine: &str, bundle: &Bundle) -> Result<Vec<String>> {
    let (folder, account) = (&home.folder, home.account);
    let failed = |what: &'static str, path: &str| {
        let path = home.path.join(path).display().to_string();
        move |source| DriverError::Io { what, path, source }
    };
    folder.become_as(account.lent(FOLDER)).map_err(failed("giving away the folder", ""))?;
    for name in &bundle.folders {
        folder.make(name, account.own(FOLDER)).map_err(failed("making the folder", name))?;
    }
    let differs = |path: &str, file: &File| {
        let found = folder.read(path, file.content.len() as u64);
        !found.is_ok_and(|found| *found.content == *file.content && found.is(wanted(file, account)))
    };
    let changed: Vec<(&String, &File)> = bundle.files.iter().filter(|(path, file)| differs(path, file)).collect();
    let obsolete = obsolete(folder, bundle);
    if changed.is_empty() && obsolete.is_empty() && is_intact(folder) {
        return Ok(Vec::new());
    }
    if changed.iter().any(|(path, _)| path.starts_with("etc/")) {
        check::before_install(home, machine, bundle).await?;
    }
    for (path, file) in &changed {
        write_file(folder, bundle, path, &file.content, account).map_err(failed("writing", path))?;
    }
    for path in &obsolete {
        folder.remove_file(path).map_err(failed("removing", path))?;
    }
    let manifest = serde_json::to_vec_pretty(&Manifest::of(bundle)).expect("a manifest is plain JSON");
    folder.write(MANIFEST, &manifest, account.lent(0o640)).map_err(failed("writing", MANIFEST))?;
    Ok(changed.into_iter().map(|(path, _)| path.clone()).chain(obsolete).collect())
}

/// A secret that nobody else may read is the daemon's: mongod refuses a key that a group may read. All else it only reads,
/// as its group: what it owned it could change.
pub(super) fn wanted(file: &File, account: Account) -> Wanted {
    if file.secret && file.mode & 0o040 == 0 { account.own(file.mode) } else { account.lent(file.mode) }
}

/// A file of the bundle, with a content that may say other paths.
pub(super) fn write_file(
    folder: &Folder,
    bundle: &Bundle,
    path: &str,
    content: &[u8],
    account: Account,
) -> std::io::Result<()> {
    let parent = Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        // What lies in a folder of the daemon's leaves the folder the daemon's.
        let is_daemons = bundle.folders.iter().any(|name| parent == Path::new(name));
        folder.make(parent, if is_daemons { account.own(FOLDER) } else { account.lent(FOLDER) })?;
    }
    let file = bundle.files.get(path).ok_or(std::io::ErrorKind::NotFound)?;
    folder.write(path, content, wanted(file, account))
}

/// What was installed last.
pub(super) fn manifest(folder: &Folder) -> Option<Manifest> {
    serde_json::from_slice(&folder.read(MANIFEST, FILE_BYTES).ok()?.content).ok()
}

/// Whether every file is as it was installed.
fn is_intact(folder: &Folder) -> bool {
    manifest(folder).is_some_and(|manifest| {
        manifest.files.iter().all(|entry| {
            let found = folder.read(&entry.path, FILE_BYTES);
            found.is_ok_and(|found| entry.digest == digest_of_bytes(&found.content))
        })
    })
}

/// Files of the bundle that was installed before which the new one does not have. A path that leads
/// elsewhere was not written by us, and is nobody's to remove.
fn obsolete(folder: &Folder, bundle: &Bundle) -> BTreeSet<String> {
    let files = manifest(folder).unwrap_or_default().files.into_iter();
    let gone = files.filter(|entry| leads_down(&entry.path) && !bundle.files.contains_key(&entry.path));
    gone.map(|entry| entry.path).collect()
}
