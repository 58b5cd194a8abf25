//! Bringing a bundle onto a machine's folder: checked whole as a copy, then moved into place file by file.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::check;
use super::process::Account;
use crate::bundle::{Bundle, File, hex};
use crate::driver::{DriverError, Result};

const MANIFEST: &str = "manifest.json";

pub(super) async fn install(folder: &Path, machine: &str, bundle: &Bundle, account: &Account) -> Result<Vec<String>> {
    for name in &bundle.folders {
        make_folder(&folder.join(name), 0o755, Some(account))?;
    }
    let changed: Vec<(&String, &File)> =
        bundle.files.iter().filter(|(path, file)| differs(&folder.join(path), file)).collect();
    let obsolete = obsolete(folder, bundle);
    if changed.is_empty() && obsolete.is_empty() && is_intact(folder) {
        return Ok(Vec::new());
    }
    if changed.iter().any(|(path, _)| path.starts_with("etc/")) {
        check::before_install(folder, machine, bundle, account).await?;
    }
    for (path, file) in &changed {
        let target = folder.join(path);
        if let Some(parent) = target.parent() {
            make_folder(parent, 0o755, Some(account))?;
        }
        write_atomically(&target, &file.content, file.mode, account)?;
    }
    for path in &obsolete {
        remove(&folder.join(path))?;
    }
    let manifest = serde_json::to_vec_pretty(&bundle.manifest()).expect("a manifest is plain JSON");
    write_atomically(&folder.join(MANIFEST), &manifest, 0o644, &Account::unchanged())?;
    Ok(changed.into_iter().map(|(path, _)| path.clone()).chain(obsolete).collect())
}

/// Whether every file is as it was installed.
pub(super) fn is_intact(folder: &Path) -> bool {
    let manifest = std::fs::read(folder.join(MANIFEST)).ok();
    let Some(manifest) = manifest.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok()) else {
        return false;
    };
    let mut files = manifest["files"].as_array().into_iter().flatten();
    files.all(|file| {
        let (Some(path), Some(digest)) = (file["path"].as_str(), file["digest"].as_str()) else { return false };
        let content = std::fs::read(folder.join(path));
        content.is_ok_and(|content| digest == format!("sha256:{}", hex(&Sha256::digest(&content))))
    })
}

fn differs(path: &Path, file: &File) -> bool {
    let mode = || std::fs::metadata(path).ok().map(|metadata| metadata.permissions().mode() & 0o7777);
    std::fs::read(path).ok().as_ref() != Some(&file.content) || mode() != Some(file.mode)
}

/// Files of the bundle that was installed before which the new one does not have.
fn obsolete(folder: &Path, bundle: &Bundle) -> BTreeSet<String> {
    let manifest: serde_json::Value = std::fs::read(folder.join(MANIFEST))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let files = manifest["files"].as_array().into_iter().flatten();
    files
        .filter_map(|file| file["path"].as_str())
        .filter(|path| !bundle.files.contains_key(*path) && !path.contains(".."))
        .map(str::to_owned)
        .collect()
}

/// Writes beside the target and renames: whoever reads sees the old or the new file, never half of one.
pub(super) fn write_atomically(path: &Path, content: &[u8], mode: u32, account: &Account) -> Result<()> {
    let failed = |source| DriverError::Io { what: "writing", path: path.display().to_string(), source };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let scratch = path.with_file_name(format!(".{name}.new"));
    let _ = std::fs::remove_file(&scratch);
    let write = || {
        // Secret from its first byte on.
        let mut file = std::fs::File::options().create_new(true).write(true).mode(0o600).open(&scratch)?;
        file.write_all(content)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        account.give(&scratch)?;
        file.sync_all()?;
        std::fs::rename(&scratch, path)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&scratch);
        failed(error)
    })
}

pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(DriverError::Io { what: "removing", path: path.display().to_string(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn make_folder(path: &Path, mode: u32, account: Option<&Account>) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let make = || {
        std::fs::create_dir_all(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        account.map_or(Ok(()), |account| account.give(path))
    };
    make().map_err(|source| DriverError::Io { what: "making the folder", path: path.display().to_string(), source })
}
