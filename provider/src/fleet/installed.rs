//! What was installed on the machines of a layer: the "before" of a plan.
//!
//! It is never rendered, since today's code, folders and variables would render what they are today. Every bundle that was
//! installed is kept beside the state, each content once, and the state has its digest. Where that is not so (another
//! checkout, files that somebody has changed), the machine itself is asked.
//!
//! Failures: a content that cannot be had is told by its size and digest; nothing stops a plan.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use futures_util::future::join_all;

use crate::bundle::{Bundle, Content, Entry, Manifest, digest_of};
use crate::context::Context;
use crate::driver::{Driver, MachineKey};
use crate::layer::{Group, MachineModel};

/// The files of a machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Installed(pub(super) BTreeMap<String, InstalledFile>);

#[derive(Debug, Clone)]
pub(super) struct InstalledFile {
    pub(super) entry: Entry,
    /// Only of a file that is to become another, and if it could be had.
    pub(super) content: Option<Content>,
}

/// More than any file of an application.
const MAX_BYTES: u64 = 256 << 20;
const MANIFEST: &str = "manifest.json";
/// Where contents are, by their digests; the copies for people are links to them.
const CONTENTS: &str = ".content";

/// Of every machine of a group, what is on it that will be another; `after` are the bundles to come, by machine.
pub(super) async fn before(
    context: &Context,
    driver: &dyn Driver,
    group: &Group,
    after: &BTreeMap<&str, &Bundle>,
) -> Vec<(MachineModel, Installed)> {
    let nothing = Bundle::default();
    let each = group.machines().iter().map(|machine| {
        let wanted = after.get(machine.name.as_str()).copied().unwrap_or(&nothing);
        async move { (machine.clone(), of_machine(context, driver, group, machine, wanted).await) }
    });
    join_all(each).await
}

async fn of_machine(
    context: &Context,
    driver: &dyn Driver,
    group: &Group,
    machine: &MachineModel,
    wanted: &Bundle,
) -> Installed {
    let key = group.key(machine.id);
    let recorded = group.bundles.as_ref().and_then(|bundles| bundles.get(&machine.name)?.as_deref());
    let folder = context.bundle_dir.join(&machine.name);
    let kept = recorded.and_then(|recorded| manifest(&folder).filter(|(digest, _)| digest == recorded));
    let is_asked = context.simulation.is_none();
    let entries = match kept {
        Some((_, manifest)) => manifest.files,
        None if is_asked => match driver.installed(&key).await.ok().flatten() {
            Some(manifest) => manifest.files,
            None => Vec::new(),
        },
        None => Vec::new(),
    };
    let mut files = BTreeMap::new();
    for mut entry in entries.into_iter().filter(Entry::is_plain) {
        // What is a secret now was none of anybody's business before.
        entry.secret |= wanted.files.get(&entry.path).is_some_and(|file| file.secret);
        let is_same = wanted.files.get(&entry.path).is_some_and(|file| digest_of(&file.content) == entry.digest);
        let content =
            if is_same || entry.secret { None } else { content(&folder, driver, &key, &entry, is_asked).await };
        files.insert(entry.path.clone(), InstalledFile { entry, content });
    }
    Installed(files)
}

async fn content(
    folder: &Path,
    driver: &dyn Driver,
    key: &MachineKey,
    entry: &Entry,
    is_asked: bool,
) -> Option<Content> {
    let is_it = |content: &Content| digest_of(content) == entry.digest;
    let kept = plain_file(&folder.join(&entry.path)).map(Content::from).filter(is_it);
    if kept.is_some() || !is_asked {
        return kept;
    }
    driver.read(key, &entry.path).await.ok().flatten().map(Content::from).filter(is_it)
}

/// Neither a pipe, which would be waited for, nor what has no end.
fn plain_file(path: &Path) -> Option<Vec<u8>> {
    let metadata = fs::symlink_metadata(path).ok()?;
    if metadata.is_file() && metadata.len() <= MAX_BYTES { fs::read(path).ok() } else { None }
}

/// The manifest of a copy, and the digest of the bundle that it is of.
fn manifest(folder: &Path) -> Option<(String, Manifest)> {
    let manifest: Manifest = serde_json::from_slice(&plain_file(&folder.join(MANIFEST))?).ok()?;
    Some((manifest.digest(), manifest))
}

/// Keeps a copy of what was installed, for plans and for people. What is secret is told by its size and digest.
pub(super) fn keep(context: &Context, machine: &str, bundle: &Bundle) -> io::Result<()> {
    let contents = context.bundle_dir.join(CONTENTS);
    fs::create_dir_all(&contents)?;
    let folder = context.bundle_dir.join(machine);
    let former = manifest(&folder);
    let fresh = context.bundle_dir.join(format!(".{machine}.new"));
    let _ = fs::remove_dir_all(&fresh);
    for (path, file) in &bundle.files {
        let target = fresh.join(path);
        fs::create_dir_all(target.parent().unwrap_or(&fresh))?;
        if file.secret {
            fs::write(target, file.shown())?;
        } else {
            link(&blob(&contents, &digest_of(&file.content)), &file.content, &target)?;
        }
    }
    fs::write(fresh.join(MANIFEST), serde_json::to_string_pretty(&Manifest::of(bundle))?)?;
    let _ = fs::remove_dir_all(&folder);
    fs::rename(&fresh, &folder)?;
    drop_unused(&contents, former);
    Ok(())
}

/// Forgets a machine that is removed.
pub(super) fn forget(context: &Context, machine: &str) {
    let folder = context.bundle_dir.join(machine);
    let former = manifest(&folder);
    let _ = fs::remove_dir_all(&folder);
    drop_unused(&context.bundle_dir.join(CONTENTS), former);
}

fn blob(contents: &Path, digest: &str) -> PathBuf {
    contents.join(digest.trim_start_matches("sha256:"))
}

/// A file system without links gets another copy.
fn link(blob: &Path, content: &Content, target: &Path) -> io::Result<()> {
    // A copy that somebody wrote into is this file, too.
    if plain_file(blob).is_some_and(|found| *found == **content) && fs::hard_link(blob, target).is_ok() {
        return Ok(());
    }
    // Another layer may write the same at this moment, and one that was killed has left half of it.
    let mut fresh = tempfile::NamedTempFile::new_in(blob.parent().unwrap_or(Path::new(".")))?;
    fresh.write_all(content)?;
    fresh.as_file().set_permissions(fs::Permissions::from_mode(0o444))?;
    fresh.persist(blob)?;
    fs::hard_link(blob, target).or_else(|_| fs::write(target, &**content))
}

/// Removes contents that no copy has any more. That they are there harms nobody, so failures are no failures.
fn drop_unused(contents: &Path, former: Option<(String, Manifest)>) {
    for entry in former.into_iter().flat_map(|(_, manifest)| manifest.files).filter(Entry::is_plain) {
        let blob = blob(contents, &entry.digest);
        if fs::metadata(&blob).is_ok_and(|metadata| metadata.nlink() == 1) {
            let _ = fs::remove_file(&blob);
        }
    }
}
