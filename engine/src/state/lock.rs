//! One run at a time for a state.
//!
//! Two locks: one of our own on a file that stays, which the system releases when a process ends however it ends;
//! and, while there is a state file, the record lock that Terraform takes on it, so that the two programs exclude
//! each other.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, fcntl_lock};

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("the state is locked by another run: {holder}")]
    Held { holder: String },
    #[error("the state cannot be locked: {path}")]
    Io {
        path: String,
        #[source]
        cause: std::io::Error,
    },
}

/// Released when dropped, and when the process ends.
#[derive(Debug)]
pub struct Lock {
    info: PathBuf,
    _own: File,
    terraform: Option<File>,
}

impl Lock {
    pub fn acquire(state_path: &Path, folder: &Path, operation: &str) -> Result<Lock, LockError> {
        let io = |path: &Path| {
            let path = path.display().to_string();
            move |cause| LockError::Io { path, cause }
        };
        std::fs::create_dir_all(folder).map_err(io(folder))?;
        let own_path = folder.join("lock");
        let own = File::options().create(true).truncate(false).write(true).open(&own_path).map_err(io(&own_path))?;
        let info = info_path(state_path);
        let held = || LockError::Held { holder: holder(&info) };
        match own.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(held()),
            Err(std::fs::TryLockError::Error(cause)) => return Err(io(&own_path)(cause)),
        }
        let who = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
        let json = serde_json::json!({
            "ID": uuid::Uuid::new_v4().to_string(),
            "Operation": operation,
            "Info": "",
            "Who": format!("{who}, process {}", std::process::id()),
            "Version": env!("CARGO_PKG_VERSION"),
            "Created": jiff::Timestamp::now().to_string(),
            "Path": state_path.display().to_string(),
        });
        // For people: the lock itself does not need it.
        let written = File::create(&info).and_then(|mut file| file.write_all(json.to_string().as_bytes()));
        written.map_err(io(&info))?;
        Ok(Lock { info, _own: own, terraform: None })
    }
}

impl Lock {
    /// Takes terraform's lock, if there is a state file. After this the file must not be opened and closed again by
    /// this process: closing any descriptor of a file gives up its record locks (fcntl(2)).
    pub(super) fn exclude_terraform(&mut self, state_path: &Path) -> Result<(), LockError> {
        if let Ok(file) = File::options().read(true).write(true).open(state_path) {
            let held = |_| LockError::Held { holder: "a terraform that works on the same file".to_owned() };
            fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(held)?;
            self.terraform = Some(file);
        }
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.info);
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
