//! Machines whose folder was removed by hand while their daemons ran on: these still stand in what was the folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::driver::{LayerId, MachineKey};

/// How the kernel writes the working folder of a process when the folder is gone (proc(5), `/proc/PID/cwd`).
const DELETED: &str = " (deleted)";

/// The working folder of processes whose folder was this one.
pub(super) fn former(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(DELETED);
    PathBuf::from(name)
}

/// The folders that processes stand in and that are gone. A look at every process is dear beside all else that listing a
/// layer takes, and a plan lists many layers at once: what was seen a moment ago will do. Who starts or ends a machine looks
/// anew.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    seen: Mutex<Option<(Instant, Arc<[PathBuf]>)>>,
}

const MOMENT: Duration = Duration::from_millis(200);

impl Ghosts {
    fn folders(&self) -> Arc<[PathBuf]> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, folders)) = seen.as_ref().filter(|(at, _)| at.elapsed() < MOMENT) {
            return folders.clone();
        }
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let folders = processes.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok());
        let gone: Arc<[PathBuf]> =
            folders.filter(|folder| folder.as_os_str().as_encoded_bytes().ends_with(DELETED.as_bytes())).collect();
        *seen = Some((Instant::now(), gone.clone()));
        gone
    }

    /// The machines of a layer that have no folder any more and yet processes.
    pub(super) fn of_layer(&self, scope_folder: &Path, layer: &LayerId) -> BTreeSet<MachineKey> {
        let folders = self.folders();
        let ids = folders.iter().filter_map(|folder| {
            let name = folder.strip_prefix(scope_folder).ok()?.to_str()?.strip_suffix(DELETED)?;
            name.strip_prefix(&layer.name)?.strip_prefix('-')?.parse().ok()
        });
        ids.map(|id| MachineKey { layer: layer.clone(), id }).collect()
    }
}
