//! A package that was found, and its way to where plugins are installed.
//!
//! A package is unpacked beside its place and moved there whole: two who install at once into one folder, or one that was cut
//! off, leave nothing half done.

use std::fs::File;
use std::io::{self as stdio, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use compiler::addr::ProviderSource;
use compiler::version::Version;
use tempfile::TempPath;

use crate::hash::{self, Hash};
use crate::{RegistryError, Result, io};

/// What says that it unpacks to more is out to fill the disk.
const UNPACKED_LIMIT: u64 = 8 << 30;
const MAX_ENTRIES: usize = 100_000;

#[derive(Debug)]
pub enum Content {
    Archive(PathBuf),
    /// Already unpacked, in a mirror.
    Folder(PathBuf),
}

#[derive(Debug)]
pub struct Package {
    pub content: Content,
    /// Hashes, of this platform and others, that the place it comes from answers for.
    pub vouched: Vec<Hash>,
    /// The id of the key that signed them.
    pub signer: Option<String>,
    /// The file, of one that was fetched, which goes with this.
    #[expect(dead_code, reason = "held for its end")]
    pub(crate) temporary: Option<TempPath>,
}

impl Package {
    /// One that nobody answers for.
    pub fn of(content: Content) -> Package {
        Package { content, vouched: Vec::new(), signer: None, temporary: None }
    }

    /// Of what is in it.
    pub fn hash(&self) -> Result<Hash> {
        match &self.content {
            Content::Archive(path) => hash::of_content(path),
            Content::Folder(path) => hash::of_folder(path),
        }
    }

    /// Whether it is one of those that a lock has.
    pub fn is_locked(&self, locked: &[Hash]) -> Result<bool> {
        if locked.contains(&self.hash()?) {
            return Ok(true);
        }
        let Content::Archive(path) = &self.content else { return Ok(false) };
        let mut file = File::open(path).map_err(io(path))?;
        Ok(locked.contains(&Hash::of_archive(&hash::sha256(&mut file).map_err(io(path))?)))
    }
}

/// Where a package belongs below a folder that is laid out as a mirror.
pub fn place(below: &Path, source: &ProviderSource, version: &Version, platform: &str) -> PathBuf {
    let folder = below.join(&*source.host).join(&*source.namespace).join(&*source.ty);
    folder.join(version.to_string()).join(platform)
}

/// Unpacks a package, or links to one that is, in the place of what may be there.
pub fn install(package: &Package, target: &Path) -> Result<()> {
    let parent = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(io(parent))?;
    let scratch = tempfile::Builder::new().prefix(".new-").tempdir_in(parent).map_err(io(parent))?;
    let new = scratch.path().join("package");
    match &package.content {
        Content::Archive(path) => unpack(path, &new)?,
        Content::Folder(path) => {
            let path = path.canonicalize().map_err(io(path))?;
            std::os::unix::fs::symlink(path, &new).map_err(io(&new))?;
        }
    }
    match std::fs::rename(&new, target) {
        Ok(()) => return Ok(()),
        // There is something. Somebody who was faster with the same may have begun to use it already.
        Err(_) if std::fs::symlink_metadata(target).is_ok() => {
            if is_same(&new, target) {
                return Ok(());
            }
        }
        Err(error) => return Err(io(target)(error)),
    }
    // A folder does not take the place of one that is not empty.
    std::fs::rename(target, scratch.path().join("old")).map_err(io(target))?;
    match std::fs::rename(&new, target) {
        Err(_) if is_same(&new, target) => Ok(()),
        renamed => renamed.map_err(io(target)),
    }
}

fn is_same(new: &Path, there: &Path) -> bool {
    let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    let hash = |path: &Path| hash::of_folder(path).ok();
    is_link(new) == is_link(there) && hash(new).is_some_and(|hash_of_new| hash(there) == Some(hash_of_new))
}

fn unpack(archive: &Path, folder: &Path) -> Result<()> {
    let failed = |reason: &dyn std::fmt::Display| RegistryError::Package {
        path: archive.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        reason: reason.to_string(),
    };
    let file = File::open(archive).map_err(io(archive))?;
    let mut zip = zip::ZipArchive::new(file).map_err(|error| failed(&error))?;
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    if zip.len() > MAX_ENTRIES {
        return Err(failed(&format!("it has more than {MAX_ENTRIES} files")));
    }
    let mut left = UNPACKED_LIMIT;
    for position in 0..zip.len() {
        let mut entry = zip.by_index(position).map_err(|error| failed(&error))?;
        let inside = entry.enclosed_name().ok_or_else(|| failed(&"it has a file that would lie outside of it"))?;
        if entry.is_symlink() {
            return Err(failed(&format!("{} is a link", inside.display())));
        }
        let path = folder.join(&inside);
        if entry.is_dir() {
            std::fs::create_dir_all(&path).map_err(io(&path))?;
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(io(parent))?;
        }
        let mode = entry.unix_mode().unwrap_or(0o644) & 0o755 | 0o600;
        let file = File::options().write(true).create_new(true).mode(mode).open(&path);
        let mut file = file.map_err(io(&path))?;
        let mut limited = stdio::Read::by_ref(&mut entry).take(left);
        let written = stdio::copy(&mut limited, &mut file).map_err(|error| failed(&error))?;
        left -= written;
        if left == 0 {
            return Err(failed(&"it unpacks to more than 8 GiB"));
        }
        // Archives that were made elsewhere do not say that a program is one.
        let name = inside.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("terraform-provider-") {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode | 0o755)).map_err(io(&path))?;
        }
    }
    Ok(())
}
