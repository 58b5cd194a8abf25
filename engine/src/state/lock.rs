//! One run at a time for a state, whichever folder it is started in and whatever name the file has there.
//!
//! Two locks. Terraform's own: the one on the state file, which is made for it if there is none, and removed again if nothing
//! was written to it. As the file is only ever written in place, it is one and the same file from the first run to the last,
//! and who waits for it gets it. And one on the file beside it that says who holds the state. The system releases both when a
//! process ends, however it ends.
//!
//! Terraform locks by record locks, which belong to a process, and which it loses when it closes any descriptor of the file:
//! a configuration that reads it would do. Ours belong to the open file; the two keep each other out (fcntl(2)).

use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind, Result as IoResult};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::OFlags;

use super::private;

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("the state is locked by another run: {holder}")]
    Held { holder: String },
    #[error("the state cannot be locked: {path}")]
    Io {
        path: String,
        #[source]
        cause: Error,
    },
}

/// Who may be beside us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// For a change.
    Write,
    /// For a change, come what may.
    WriteWithoutLock,
    /// To look only: of a file that may not be written, or is not there, nothing is asked that cannot be had.
    Read,
}

/// Released when dropped, and when the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    state_path: PathBuf,
    /// None: there is no state file, and none may be made.
    state: Option<File>,
    info_path: PathBuf,
    info: Option<File>,
    is_new: bool,
}

impl Lock {
    pub(super) fn acquire(state_path: &Path, operation: &str, access: Access) -> Result<Lock, LockError> {
        let lock = loop {
            // A holder that ends meanwhile takes its files with it.
            if let Some(lock) = Lock::attempt(state_path, access)? {
                break lock;
            }
        };
        lock.say_who(operation);
        Ok(lock)
    }

    /// None: a file that was locked is no longer the one at its place.
    fn attempt(state_path: &Path, access: Access) -> Result<Option<Lock>, LockError> {
        let mut lock = Lock {
            state_path: state_path.to_owned(),
            state: None,
            info_path: info_path(state_path),
            info: None,
            is_new: false,
        };
        let held = || LockError::Held { holder: holder(&info_path(state_path)) };
        // It is for people. Where it cannot be had, the state file's own lock decides.
        let info = if access == Access::WriteWithoutLock { None } else { open_info(&lock.info_path).ok() };
        if let Some(info) = info {
            match info.try_lock() {
                Err(TryLockError::WouldBlock) => return Err(held()),
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            if !is_at(&info, &lock.info_path) {
                return Ok(None);
            }
            lock.info = Some(info);
        }
        let io = |cause| LockError::Io { path: state_path.display().to_string(), cause };
        let mut kind = libc::F_WRLCK;
        match open_state(state_path) {
            Ok((file, is_new)) => {
                lock.state = Some(file);
                lock.is_new = is_new;
            }
            Err(error) if access == Access::Read && is_forbidden(&error) => {
                kind = libc::F_RDLCK;
                lock.state = match File::open(state_path) {
                    Ok(file) => Some(file),
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    Err(error) => return Err(io(error)),
                };
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(None),
            Err(error) => return Err(io(error)),
        }
        let Some(state) = lock.state.as_ref().filter(|_| access != Access::WriteWithoutLock) else {
            return Ok(Some(lock));
        };
        match lock_whole(state, kind) {
            Ok(()) => {}
            Err(Errno::EACCES | Errno::EAGAIN) => {
                // What the holder has put there is the holder's.
                lock.is_new = false;
                lock.info = None;
                return Err(held());
            }
            Err(error) => return Err(io(error.into())),
        }
        let is_whole = is_at(state, state_path) && lock.info.as_ref().is_none_or(|info| is_at(info, &lock.info_path));
        if !is_whole {
            lock.is_new = false;
            lock.info = None;
        }
        Ok(is_whole.then_some(lock))
    }

    /// What Terraform writes there, too.
    fn say_who(&self, operation: &str) {
        let Some(info) = &self.info else { return };
        let who = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
        let json = serde_json::json!({
            "ID": uuid::Uuid::new_v4().to_string(),
            "Operation": operation,
            "Info": "",
            "Who": format!("{who}, process {}", std::process::id()),
            "Version": env!("CARGO_PKG_VERSION"),
            "Created": jiff::Timestamp::now().to_string(),
            "Path": self.state_path.display().to_string(),
        });
        // A full disk is no reason not to lock.
        let _ = info.set_len(0).and_then(|()| info.write_all_at(json.to_string().as_bytes(), 0));
    }

    /// The state file, by the handle that holds its lock.
    pub(super) fn state(&self) -> Option<&File> {
        self.state.as_ref()
    }

    pub(super) fn read(&self) -> IoResult<Vec<u8>> {
        let Some(file) = &self.state else { return Ok(Vec::new()) };
        let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let is_empty = |file: &File| file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if self.is_new && self.state.as_ref().is_some_and(is_empty) {
            let _ = std::fs::remove_file(&self.state_path);
        }
        if self.info.is_some() {
            let _ = std::fs::remove_file(&self.info_path);
        }
        // Closing is not enough: a process that this one is just starting has the descriptors, too, until it is the other
        // program (fork(2), fcntl(2)).
        if let Some(state) = &self.state {
            let _ = lock_whole(state, libc::F_UNLCK);
        }
        if let Some(info) = &self.info {
            let _ = info.unlock();
        }
    }
}

/// Links lead to the one file that has a journal, a backup and a lock beside it.
pub(super) fn resolve(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // As many as the system follows.
    for _ in 0..40 {
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = private::folder(&path).join(target);
    }
    path
}

/// Asks, and does not wait.
fn lock_whole(file: &File, kind: libc::c_int) -> nix::Result<()> {
    let whole = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&whole)).map(drop)
}

fn open_info(path: &Path) -> IoResult<File> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true).mode(0o600).custom_flags(flags).open(path)
}

fn open_state(path: &Path) -> IoResult<(File, bool)> {
    match File::options().read(true).write(true).open(path) {
        Ok(file) => Ok((file, false)),
        Err(error) if error.kind() == ErrorKind::NotFound => match private::create(path) {
            Ok(file) => Ok((file, true)),
            // Another run was faster; it is the one to ask.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Error::from(ErrorKind::Interrupted)),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Neither this state nor a new one may be written here.
pub(super) fn is_forbidden(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn info_path(state_path: &Path) -> PathBuf {
    let name = state_path.file_name().unwrap_or_default().to_string_lossy();
    state_path.with_file_name(format!(".{name}.lock.info"))
}

fn holder(info: &Path) -> String {
    let json: serde_json::Value =
        std::fs::read(info).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    match (json["Who"].as_str(), json["Operation"].as_str(), json["Created"].as_str()) {
        (Some(who), Some(operation), Some(created)) => format!("{who}, {operation} since {created}"),
        _ => "it does not say which".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a process has it that was forked and has not become another program yet.
    #[test]
    fn a_lock_ends_though_somebody_has_its_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("terraform.tfstate");
        let first = Lock::acquire(&path, "apply", Access::Write).unwrap();
        let forked = [&first.state, &first.info].map(|file| file.as_ref().unwrap().try_clone().unwrap());
        assert!(matches!(Lock::acquire(&path, "plan", Access::Write), Err(LockError::Held { .. })));
        drop(first);
        Lock::acquire(&path, "plan", Access::Write).unwrap();
        drop(forked);
    }
}
