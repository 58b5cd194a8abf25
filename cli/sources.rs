//! Modules that are not folders of the user's: of the library in this program, of archives, of git repositories. They are
//! put below `.lampwright/modules`, which can be removed at any time.
//!
//! A folder is named by what is in it, and is written beside its place and moved there whole: two runs at once, or one that
//! was cut off, leave nothing half done.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use compiler::program::{is_archive, is_local};
use compiler::source::{LoadError, ModuleSource, join_path};
use sha2::{Digest, Sha256};

use crate::git::{self, Lock};
use crate::session::DATA;
use crate::{archive, library};

/// The folder of a module, relative to this one; none if the source means nothing here.
pub(crate) fn folder(module: &ModuleSource<'_>) -> Option<Result<String, LoadError>> {
    let failed = |error| unreadable(module, &error);
    if let Some(source) = git::Source::parse(module.source) {
        let found = source.and_then(|source| Lock::read()?.folder(&source, module.version));
        return Some(found.map_err(failed));
    }
    if is_archive(module.source) {
        return Some(of_archive(module).map_err(failed));
    }
    library::folder(module)
}

pub(crate) fn unreadable(module: &ModuleSource<'_>, error: &anyhow::Error) -> LoadError {
    LoadError::Unreadable { path: module.source.to_owned(), reason: format!("{error:#}") }
}

/// `./lamp-1.2.0.tar.gz`, or `..?checksum=sha256:..`, which refuses every other content.
fn of_archive(module: &ModuleSource<'_>) -> anyhow::Result<String> {
    let (path, query) = module.source.split_once('?').unwrap_or((module.source, ""));
    if !is_local(path) && !path.starts_with('/') {
        bail!("an archive is read from a file; fetch it, and write a path that starts with ./ or ../");
    }
    if module.version.is_some() {
        bail!("the version of an archive is that in its name; leave `version` out");
    }
    let path = join_path(module.folder, path);
    let content = std::fs::read(&path)?;
    let found = hex(&Sha256::digest(&content));
    match query.strip_prefix("checksum=sha256:") {
        Some(wanted) if !wanted.eq_ignore_ascii_case(&found) => {
            bail!("its checksum is sha256:{found}, not what is asked for");
        }
        None if !query.is_empty() => {
            bail!("{query:?} is not known; write ?checksum=sha256:.. or nothing");
        }
        Some(_) | None => {}
    }
    let files = archive::read(path.as_ref())?;
    let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.trim_end_matches(".tgz").trim_end_matches(".tar.gz");
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
    unpack(name, &files)
}

/// Puts files into a folder of their own. Returns it, as modules name folders.
pub(crate) fn unpack(name: &str, files: &[(&str, &[u8])]) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    for (path, content) in files {
        digest.update(path.as_bytes());
        digest.update([0]);
        digest.update(Sha256::digest(content));
    }
    let target = place(&format!("{name}-{}", hex(&digest.finalize()[..4])));
    if !target.is_dir() {
        put(&target, |temporary| Ok(library::write(files, temporary)?))
            .with_context(|| format!("it cannot be unpacked to {}", target.display()))?;
    }
    Ok(as_source(&target))
}

/// Where a module of this name is.
pub(crate) fn place(name: &str) -> PathBuf {
    Path::new(DATA).join("modules").join(name)
}

pub(crate) fn as_source(folder: &Path) -> String {
    format!("./{}", folder.display())
}

/// Fills a folder beside `target` and moves it there.
pub(crate) fn put(target: &Path, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary = target.with_file_name(format!(".new-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&temporary);
    std::fs::create_dir_all(&temporary)?;
    let filled = fill(&temporary).and_then(|()| match std::fs::rename(&temporary, target) {
        // Somebody else was faster, with the same files.
        Err(_) if target.is_dir() => Ok(()),
        moved => Ok(moved?),
    });
    let _ = std::fs::remove_dir_all(&temporary);
    filled
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
