//! Files that may hold secrets: states, their backups and journals, saved plans. Only their owner may read them, whatever
//! was at their place before: another mode, a link, a file that somebody else has open.

use std::fs::{File, Metadata, Permissions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Writes a file beside its place and moves it there, durably. A link at the place is replaced, not followed.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    // A terminal, a pipe, the null device: there is nothing to move away.
    if let Some(metadata) = std::fs::metadata(path).ok().filter(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return write_through(path, &metadata, content);
    }
    install(path, content)
}

/// As `replace`, whatever is at the place: until the new file is whole and there, it is what it was.
pub(super) fn install(path: &Path, content: &[u8]) -> Result<()> {
    let scratch = beside(path, &format!(".{}{SCRATCH}", uuid::Uuid::new_v4().simple()));
    let written = create(&scratch).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&scratch, path)?;
        sync_folder(path)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&scratch);
    }
    written
}

/// Behind the name of a file that is being written, and of 32 digits of chance.
const SCRATCH: &str = ".new";

/// Removes what runs that were killed have left of files for this place. For whoever knows that nobody else writes there.
pub(super) fn sweep(path: &Path) -> Result<()> {
    let stem = path.file_name().unwrap_or_default().as_encoded_bytes();
    let is_scratch = |name: &[u8]| {
        let chance = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(SCRATCH.as_bytes()));
        chance.is_some_and(|chance| chance.len() == 32 && chance.iter().all(u8::is_ascii_hexdigit))
    };
    for entry in std::fs::read_dir(folder(path))? {
        let entry = entry?;
        if is_scratch(entry.file_name().as_encoded_bytes()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes under the first free name: `path`, else `path.2`, `path.3` .. Nothing is ever written over.
pub fn keep(path: &Path, content: &[u8]) -> Result<PathBuf> {
    let mut name = path.to_owned();
    let mut number = 2;
    let mut file = loop {
        match create(&name) {
            Ok(file) => break file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                name = beside(path, &format!(".{number}"));
                number += 1;
            }
            Err(error) => return Err(error),
        }
    };
    let written = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| sync_folder(&name));
    if written.is_err() {
        // Half of it is worth nothing, and would be taken for the whole.
        let _ = std::fs::remove_file(&name);
    }
    written.map(|()| name)
}

/// A file that was not there before.
pub(super) fn create(path: &Path) -> Result<File> {
    File::options().create_new(true).read(true).write(true).mode(0o600).open(path)
}

/// The file's name with something behind it: two files never share one.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

pub(super) fn sync_folder(path: &Path) -> Result<()> {
    File::open(folder(path))?.sync_all()
}

pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// As far as it may be changed: a file of somebody else's keeps its mode.
pub(super) fn close_to_others(file: &File) {
    let _ = file.set_permissions(Permissions::from_mode(0o600));
}

fn write_through(path: &Path, metadata: &Metadata, content: &[u8]) -> Result<()> {
    // Who has put a pipe there reads what comes out of it.
    if metadata.file_type().is_fifo() && metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::new(ErrorKind::PermissionDenied, "it is a pipe of another user's"));
    }
    File::options().write(true).open(path)?.write_all(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_was_at_the_place_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan");
        let other = folder.path().join("other");
        for prepare in [
            (|_: &Path, _: &Path| Ok(())) as fn(&Path, &Path) -> Result<()>,
            |path, _| std::fs::set_permissions(path, Permissions::from_mode(0o644)),
            |path, other| std::fs::remove_file(path).and_then(|()| std::os::unix::fs::symlink(other, path)),
            |path, other| std::fs::remove_file(path).and_then(|()| std::fs::hard_link(other, path)),
        ] {
            std::fs::write(&path, "old").unwrap();
            std::fs::write(&other, "theirs").unwrap();
            std::fs::set_permissions(&other, Permissions::from_mode(0o666)).unwrap();
            prepare(&path, &other).unwrap();
            let mut reader = File::open(&path).unwrap();
            replace(&path, b"secret").unwrap();
            assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("secret", 0o600));
            assert_eq!(std::fs::read_to_string(&other).unwrap(), "theirs");
            let mut read = String::new();
            std::io::Read::read_to_string(&mut reader, &mut read).unwrap();
            assert!(!read.contains("secret"), "{read}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
            std::fs::remove_file(&path).unwrap();
        }
        replace(Path::new("/dev/null"), b"secret").unwrap();
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }

    #[test]
    fn what_a_killed_run_has_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let chance = "22fcea5dca2a495a9ca0fb06627f353f";
        let left =
            [format!("s.new.{chance}.new"), format!("s.{chance}.new"), "s.new.new".to_owned(), "s.new".to_owned()];
        for name in &left {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        sweep(&folder.path().join("s.new")).unwrap();
        let is_there = left.map(|name| folder.path().join(name).exists());
        assert_eq!(is_there, [false, true, true, true]);
    }

    #[test]
    fn what_is_kept_never_writes_over_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.rejected");
        let mut names = Vec::new();
        for text in ["one", "two", "three"] {
            let kept = keep(&path, text.as_bytes()).unwrap();
            assert_eq!((std::fs::read_to_string(&kept).unwrap().as_str(), mode(&kept)), (text, 0o600));
            names.push(kept.file_name().unwrap().to_string_lossy().into_owned());
        }
        assert_eq!(names, ["x.rejected", "x.rejected.2", "x.rejected.3"]);
    }
}
