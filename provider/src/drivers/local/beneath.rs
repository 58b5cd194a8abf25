//! Files in the folders of machines. Daemons and applications write in some of them, and root works there, too: so every
//! step of a path is a handle, links are not followed, and what is opened is looked at before it is used.
//!
//! **Invariant:** nothing else in this driver opens, makes or removes anything below a machine's folder.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Tries against somebody who puts something else there at the same time.
const SCRATCH: &str = ".new";
const TRIES: u32 = 5;
/// A tree loses a level with each.
const PASSES: u32 = 100_000;

/// A user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// How a file or folder shall be. Without an owner it is whose it is: only root gives files to others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) mode: u32,
    pub(super) owner: Option<Owner>,
}

#[derive(Debug)]
pub(super) struct Folder {
    handle: OwnedFd,
}

/// What a file holds, and how it is.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) content: Vec<u8>,
    pub(super) mode: u32,
    pub(super) owner: Owner,
}

impl Found {
    pub(super) fn is(&self, wanted: Wanted) -> bool {
        self.mode == wanted.mode && wanted.owner.is_none_or(|owner| owner == self.owner)
    }
}

/// How often a file is opened that somebody replaces meanwhile.
const OPENINGS: usize = 5;

impl Folder {
    /// A folder whose path is trusted as a whole.
    pub(super) fn at(path: &Path) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Folder { handle: rustix::fs::open(path, flags, Mode::empty())? })
    }

    pub(super) fn enter(&self, path: impl AsRef<Path>) -> io::Result<Folder> {
        let mut folder = Folder { handle: self.handle.try_clone()? };
        for name in plain(path.as_ref())? {
            folder = folder.step(name)?;
        }
        Ok(folder)
    }

    fn step(&self, name: &OsStr) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Folder { handle: rustix::fs::openat(&self.handle, name, flags, Mode::empty())? })
    }

    /// The folder that holds what a path names, and its name in there.
    fn parent<'p>(&self, path: &'p Path) -> io::Result<(Folder, &'p OsStr)> {
        let names = plain(path)?;
        let (last, folders) = names.split_last().ok_or_else(|| foreign(path))?;
        let mut folder = Folder { handle: self.handle.try_clone()? };
        for name in folders {
            folder = folder.step(name)?;
        }
        Ok((folder, last))
    }

    pub(super) fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.handle)?)
    }

    /// The names of what is in the folder.
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    pub(super) fn is_folder(&self, name: &OsStr) -> io::Result<bool> {
        let stat = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(true),
            FileType::Symlink => Err(io::Error::other("it is a link")),
            _ => Ok(false),
        }
    }

    /// Opens a file to read: neither a link, nor a pipe or device that would make us wait, nor another file by a second
    /// name, which whoever may write in the folder could have given it.
    fn open(&self, path: &Path) -> io::Result<(File, Stat)> {
        let (folder, name) = self.parent(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let is_ours = folder.stat()?.st_uid == rustix::process::geteuid().as_raw();
        for _ in 0..OPENINGS {
            let file = File::from(rustix::fs::openat(&folder.handle, name, flags, Mode::empty())?);
            let stat = rustix::fs::fstat(&file)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(io::Error::new(ErrorKind::InvalidData, "it is no file; remove it"));
            }
            if is_ours {
                return Ok((file, stat));
            }
            // A second name may have been taken away since the opening. So at its place there has to be the same file still, and
            // that with no other name: both are read at once.
            let there = rustix::fs::statat(&folder.handle, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if stat.st_nlink > 1 || there.st_nlink > 1 {
                let text = "it is a hard link, perhaps to a foreign file; remove it";
                return Err(io::Error::new(ErrorKind::InvalidData, text));
            }
            if (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino) {
                return Ok((file, stat));
            }
            // A daemon has put a new one there meanwhile.
        }
        Err(io::Error::other("it is replaced all the time"))
    }

    /// A whole file, if it is no larger than `limit`.
    pub(super) fn read(&self, path: impl AsRef<Path>, limit: u64) -> io::Result<Found> {
        let (file, stat) = self.open(path.as_ref())?;
        let mut content = Vec::new();
        file.take(limit + 1).read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
        }
        let owner = Owner { uid: stat.st_uid, gid: stat.st_gid };
        Ok(Found { content, mode: stat.st_mode & 0o7777, owner })
    }

    /// The end of a file, at most `limit` bytes of it.
    pub(super) fn tail(&self, path: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
        let (mut file, stat) = self.open(path.as_ref())?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        file.seek(SeekFrom::Start(size.saturating_sub(limit)))?;
        let mut content = Vec::new();
        file.take(limit).read_to_end(&mut content)?;
        Ok(content)
    }

    /// As `tail`, from an offset on; and where it ends.
    pub(super) fn part(&self, path: impl AsRef<Path>, from: Option<u64>, limit: u64) -> io::Result<(Vec<u8>, u64)> {
        let (mut file, stat) = self.open(path.as_ref())?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let start = match from {
            Some(offset) if offset <= size => offset,
            Some(_) => 0,
            None => size.saturating_sub(limit),
        };
        file.seek(SeekFrom::Start(start))?;
        let mut content = Vec::new();
        file.take(limit).read_to_end(&mut content)?;
        let end = start + content.len() as u64;
        Ok((content, end))
    }

    /// Makes what is missing of a path, and every folder of it as it is wanted. What is no folder gives way.
    pub(super) fn make(&self, path: impl AsRef<Path>, wanted: Wanted) -> io::Result<Folder> {
        let mut folder = Folder { handle: self.handle.try_clone()? };
        for name in plain(path.as_ref())? {
            folder = folder.make_one(name)?;
            folder.become_as(wanted)?;
        }
        Ok(folder)
    }

    fn make_one(&self, name: &OsStr) -> io::Result<Folder> {
        for _ in 0..TRIES {
            match rustix::fs::mkdirat(&self.handle, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            match self.step(name) {
                Err(error) if is_no_folder(&error) => {
                    match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
                        Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                other => return other,
            }
        }
        Err(contested())
    }

    pub(super) fn become_as(&self, wanted: Wanted) -> io::Result<()> {
        let stat = self.stat()?;
        if let Some(Owner { uid, gid }) = wanted.owner
            && (stat.st_uid, stat.st_gid) != (uid, gid)
        {
            std::os::unix::fs::fchown(&self.handle, Some(uid), Some(gid))?;
        }
        if stat.st_mode & 0o7777 != wanted.mode {
            rustix::fs::fchmod(&self.handle, Mode::from_raw_mode(wanted.mode))?;
        }
        Ok(())
    }

    /// Writes beside the target and renames: whoever reads sees the old or the new file, never half of one.
    pub(super) fn write(&self, path: impl AsRef<Path>, content: &[u8], wanted: Wanted) -> io::Result<()> {
        let (folder, name) = self.parent(path.as_ref())?;
        let mut scratch = OsString::from(".");
        scratch.push(name);
        scratch.push(SCRATCH);
        let write = || -> io::Result<()> {
            let mut file = folder.create(&scratch, wanted)?;
            file.write_all(content)?;
            file.sync_all()?;
            match rustix::fs::renameat(&folder.handle, &scratch, &folder.handle, name) {
                Err(Errno::ISDIR) => {
                    folder.remove_one(name)?;
                    Ok(rustix::fs::renameat(&folder.handle, &scratch, &folder.handle, name)?)
                }
                other => Ok(other?),
            }
        };
        let written = write();
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&folder.handle, &scratch, AtFlags::empty());
        }
        written
    }

    /// A new, empty file; what was there under its name goes.
    pub(super) fn replace(&self, path: impl AsRef<Path>, wanted: Wanted) -> io::Result<File> {
        let (folder, name) = self.parent(path.as_ref())?;
        folder.create(name, wanted)
    }

    fn create(&self, name: &OsStr, wanted: Wanted) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..TRIES {
            self.remove_one(name)?;
            // Secret from its first byte on.
            match rustix::fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => {
                    if let Some(Owner { uid, gid }) = wanted.owner {
                        std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
                    }
                    rustix::fs::fchmod(&file, Mode::from_raw_mode(wanted.mode))?;
                    return Ok(File::from(file));
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contested())
    }

    /// Removes a file; what is not there, and a folder, is left.
    pub(super) fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let (folder, name) = match self.parent(path.as_ref()) {
            Err(error) if error.kind() == ErrorKind::NotFound || is_no_folder(&error) => return Ok(()),
            other => other?,
        };
        match rustix::fs::unlinkat(&folder.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes whatever a path names, with all that is in it.
    pub(super) fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        match self.parent(path.as_ref()) {
            // Below a link there is nothing of ours.
            Err(error) if error.kind() == ErrorKind::NotFound || is_no_folder(&error) => Ok(()),
            Err(error) => Err(error),
            Ok((folder, name)) => folder.remove_one(name),
        }
    }

    /// However deep a tree is, it takes neither stack nor handles: what is in its folders is moved up into it.
    fn remove_one(&self, name: &OsStr) -> io::Result<()> {
        for _ in 0..PASSES {
            if self.is_removed(name)? {
                return Ok(());
            }
            let folder = match self.step(name) {
                // It has become something else, or went by itself.
                Err(error) if is_no_folder(&error) || error.kind() == ErrorKind::NotFound => continue,
                other => other?,
            };
            for entry in folder.names()? {
                if folder.is_removed(&entry)? {
                    continue;
                }
                let inner = match folder.step(&entry) {
                    Err(error) if is_no_folder(&error) || error.kind() == ErrorKind::NotFound => continue,
                    other => other?,
                };
                for deep in inner.names()? {
                    if !inner.is_removed(&deep)? {
                        let up = uuid::Uuid::new_v4().simple().to_string();
                        match rustix::fs::renameat(&inner.handle, &deep, &folder.handle, &up) {
                            Ok(()) | Err(Errno::NOENT) => {}
                            Err(error) => return Err(error.into()),
                        }
                    }
                }
            }
        }
        Err(contested())
    }

    /// Removes a file or an empty folder; says whether nothing is there any more.
    fn is_removed(&self, name: &OsStr) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(true),
            // A folder; POSIX says PERM.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, from, &self.handle, to)?)
    }

    /// Moves what is here to another folder on the same file system; an empty folder there gives way.
    pub(super) fn move_to(&self, name: &str, folder: &Folder, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, name, &folder.handle, to)?)
    }

    /// Gives the folder with all in it to somebody. A file that has another name elsewhere may be anybody's, and is refused
    /// unless it is theirs already.
    pub(super) fn give_all(&self, to: Owner) -> io::Result<()> {
        let (uid, gid) = (rustix::fs::Uid::from_raw(to.uid), rustix::fs::Gid::from_raw(to.gid));
        for name in self.names()? {
            let stat = rustix::fs::statat(&self.handle, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                self.step(&name)?.give_all(to)?;
            } else if stat.st_uid != to.uid || stat.st_gid != to.gid {
                if stat.st_nlink > 1 {
                    return Err(Errno::MLINK.into());
                }
                rustix::fs::chownat(&self.handle, &name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
        }
        Ok(rustix::fs::fchown(&self.handle, Some(uid), Some(gid))?)
    }

    /// Adds up what the files take on the disk; of links, what they take themselves. Says whether it came to an end.
    pub(super) fn add_up(&self, bytes: &mut u64, until: std::time::Instant) -> bool {
        let Ok(names) = self.names() else { return false };
        let mut is_whole = true;
        for name in names {
            if std::time::Instant::now() > until {
                return false;
            }
            let Ok(stat) = rustix::fs::statat(&self.handle, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            *bytes += u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                is_whole &= self.step(&name).is_ok_and(|folder| folder.add_up(bytes, until));
            }
        }
        is_whole
    }

    /// Gives what a folder holds, as far as it is `from`'s, to somebody else: not what is a foreign file's second name.
    pub(super) fn hand_over(&self, from: u32, to: Owner, depth: u32) -> io::Result<()> {
        for name in self.names()? {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let handle = rustix::fs::openat(&self.handle, &name, flags, Mode::empty())?;
            let stat = rustix::fs::fstat(&handle)?;
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if stat.st_uid == from && (is_folder || stat.st_nlink == 1) {
                let (uid, gid) = (rustix::fs::Uid::from_raw(to.uid), rustix::fs::Gid::from_raw(to.gid));
                rustix::fs::chownat(&handle, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
            }
            if is_folder && depth > 0 {
                self.step(&name)?.hand_over(from, to, depth - 1)?;
            }
        }
        Ok(())
    }

    /// A socket, held, and a path to connect to this very one, whatever comes to lie under its name. The path is short:
    /// that of a socket is at most 107 bytes.
    pub(super) fn socket(&self, path: &str) -> io::Result<(OwnedFd, PathBuf)> {
        let (folder, name) = self.parent(Path::new(path))?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&folder.handle, name, flags, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&handle)?.st_mode) != FileType::Socket {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is no socket"));
        }
        let path = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()));
        Ok((handle, path))
    }
}

/// The names of a path that leads down, and nowhere else.
fn plain(path: &Path) -> io::Result<Vec<&OsStr>> {
    let names = path.components().map(|component| match component {
        Component::Normal(name) => Ok(name),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => Err(foreign(path)),
    });
    let names: io::Result<Vec<&OsStr>> = names.collect();
    names.and_then(|names| if names.is_empty() { Err(foreign(path)) } else { Ok(names) })
}

pub(super) fn leads_down(path: &str) -> bool {
    plain(Path::new(path)).is_ok()
}

fn foreign(path: &Path) -> io::Error {
    let detail = format!("{} is no path within the machine's folder", path.display());
    io::Error::new(ErrorKind::InvalidInput, detail)
}

/// What a write that was cut off has left.
pub(super) fn is_scratch(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(SCRATCH))
}

/// Something else than a folder, such as a link to one.
pub(super) fn is_no_folder(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(number, Some(Errno::NOTDIR | Errno::LOOP))
}

/// Something else than a plain file: a link, a pipe, a socket, another file by a second name.
pub(super) fn is_no_file(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    error.kind() == ErrorKind::InvalidData || matches!(number, Some(Errno::LOOP | Errno::NXIO | Errno::MLINK))
}

fn contested() -> io::Error {
    io::Error::other("somebody puts something else there again and again")
}

#[cfg(test)]
mod tests;
