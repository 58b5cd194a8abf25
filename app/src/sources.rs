//! Modules that are not folders of the user's: of the library in this program, of archives, of git repositories. They are
//! put below `.lampwright/modules`, which can be removed at any time.
//!
//! A folder is named by what is in it, and is written beside its place and moved there whole: two runs at once, or one that
//! was cut off, leave nothing half done. What somebody changed in it is put right when it is used next; of a git repository
//! by the next `lampwright init`.

pub mod git;
pub mod library;
pub mod loader;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use compiler::program::{is_archive, is_local};
use compiler::source::{FoundModule, LoadError, ModuleSource, join_path};
use sha2::{Digest, Sha256};

use crate::archive::{self, Form, MODULE_LIMIT};
use crate::root::{DATA, Root};
use git::Lock;
use loader::Disk;

/// A file of a module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModuleFile<'f> {
    pub(crate) path: &'f str,
    pub(crate) is_program: bool,
    pub(crate) content: &'f [u8],
}

/// The folder of a module, relative to this one; none if the source means nothing here.
pub(crate) fn find(disk: &Disk, module: &ModuleSource<'_>) -> Option<Result<FoundModule, LoadError>> {
    let failed = |error| unreadable(module, &error);
    if let Some(source) = git::Source::parse(module.source) {
        let found = source.and_then(|source| Lock::read(&disk.root)?.find(disk, &source, module.version));
        return Some(found.map_err(failed));
    }
    if is_archive(module.source) {
        return Some(of_archive(&disk.root, module).map_err(failed));
    }
    library::find(&disk.root, module)
}

pub(crate) fn unreadable(module: &ModuleSource<'_>, error: &anyhow::Error) -> LoadError {
    LoadError::Unreadable { path: module.source.to_owned(), reason: format!("{error:#}") }
}

/// `./lamp-1.2.0.tar.gz`, or `..?checksum=sha256:..`, which refuses every other content.
fn of_archive(root: &Root, module: &ModuleSource<'_>) -> anyhow::Result<FoundModule> {
    let (path, query) = module.source.split_once('?').unwrap_or((module.source, ""));
    if !is_local(path) && !path.starts_with('/') {
        bail!("an archive is read from a file; fetch it, and write a path that starts with ./ or ../");
    }
    if module.version.is_some() {
        bail!("the version of an archive is that in its name; leave `version` out");
    }
    let path = join_path(module.folder, path);
    if module.package.is_some_and(|package| !Path::new(&path).starts_with(package)) {
        bail!("this leads out of what the module came with");
    }
    let metadata = std::fs::metadata(root.at(&path))?;
    if !metadata.is_file() {
        bail!("it is no file");
    }
    if metadata.len() > MODULE_LIMIT {
        bail!("it is larger than {} MiB", MODULE_LIMIT >> 20);
    }
    let bytes = std::fs::read(root.at(&path))?;
    let found = hex(&Sha256::digest(&bytes));
    match query.strip_prefix("checksum=sha256:") {
        Some(wanted) if !wanted.eq_ignore_ascii_case(&found) => {
            bail!("its checksum is sha256:{found}, not what is asked for");
        }
        None if !query.is_empty() => bail!("{query:?} is not known; write ?checksum=sha256:.. or nothing"),
        Some(_) | None => {}
    }
    let entries = archive::read_archive(&*bytes, Form::of(path.as_ref()), MODULE_LIMIT)?;
    let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.trim_end_matches(".tgz").trim_end_matches(".tar.gz");
    let files = entries.iter().map(|(path, entry)| ModuleFile {
        path,
        is_program: entry.mode & 0o100 != 0,
        content: &entry.content,
    });
    unpack(root, name, &files.collect::<Vec<_>>())
}

/// Puts files into a folder of their own.
pub(crate) fn unpack(root: &Root, name: &str, files: &[ModuleFile<'_>]) -> anyhow::Result<FoundModule> {
    let mut digest = Sha256::new();
    for file in files {
        digest.update(file.path.as_bytes());
        digest.update([u8::from(file.is_program)]);
        digest.update(Sha256::digest(file.content));
    }
    let target = place(&format!("{name}-{}", hex(&digest.finalize()[..4])));
    let there = root.at(&target);
    if !holds(&there, files) {
        put(&there, |temporary| Ok(write(files, temporary)?))
            .with_context(|| format!("it cannot be unpacked to {}", there.display()))?;
    }
    Ok(FoundModule { folder: as_source(&target), package: as_source(&target) })
}

/// Whether a folder has these files as they are, and no others.
fn holds(folder: &Path, files: &[ModuleFile<'_>]) -> bool {
    let is_right =
        |file: &ModuleFile<'_>| std::fs::read(folder.join(file.path)).is_ok_and(|there| there == file.content);
    archive::paths(folder).is_ok_and(|there| there.len() == files.len()) && files.iter().all(is_right)
}

/// Writes files into a folder that is there.
pub(crate) fn write(files: &[ModuleFile<'_>], to: &Path) -> std::io::Result<()> {
    for file in files {
        let target = to.join(file.path);
        std::fs::create_dir_all(target.parent().unwrap_or(to))?;
        std::fs::write(&target, file.content)?;
        if file.is_program {
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Moves everything in a folder to another one on the same disk.
pub(crate) fn move_all(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::rename(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Where a module of this name is, in the folder of the stack.
pub(crate) fn place(name: &str) -> PathBuf {
    Path::new(DATA).join("modules").join(name)
}

pub(crate) fn as_source(folder: &Path) -> String {
    format!("./{}", folder.display())
}

/// Fills a folder beside `target` and moves it there, in the place of an empty folder or of what was there.
pub(crate) fn put(target: &Path, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
    let beside = || tempfile::Builder::new().prefix(".new-").tempdir_in(parent);
    let temporary = beside()?;
    let filled = temporary.path().join("it");
    std::fs::create_dir(&filled)?;
    fill(&filled)?;
    // Onto an empty folder this works, too.
    if std::fs::rename(&filled, target).is_ok() {
        return Ok(());
    }
    let old = beside()?;
    match std::fs::rename(target, old.path().join("it")) {
        // Somebody else has moved it away in between, to put the same there.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        moved => moved?,
    }
    match std::fs::rename(&filled, target) {
        // And was faster.
        Err(_) if target.is_dir() => Ok(()),
        moved => Ok(moved?),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever comes first, there is always a whole folder in the end.
    #[test]
    fn many_put_the_same_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("modules/m");
        let files = [ModuleFile { path: "a/b", is_program: true, content: b"text" }];
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| put(&target, |temporary| Ok(write(&files, temporary)?)).unwrap());
            }
        });
        assert!(holds(&target, &files));
        assert_eq!(std::fs::read_dir(folder.path().join("modules")).unwrap().count(), 1);
        std::fs::write(target.join("a/b"), "changed").unwrap();
        assert!(!holds(&target, &files));
        std::fs::write(target.join("a/b"), "text").unwrap();
        std::fs::write(target.join("more"), "").unwrap();
        assert!(!holds(&target, &files));
    }
}
