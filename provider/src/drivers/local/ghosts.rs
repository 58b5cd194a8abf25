//! Machines whose folder was removed by hand while their daemons ran on: these still stand in what was the folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::driver::{LayerId, MachineKey};

/// How the kernel writes the working folder of a process when the folder is gone (proc(5), `/proc/PID/cwd`).
const DELETED: &str = " (deleted)";

/// The working folder of processes whose folder was this one.
pub(super) fn former(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(DELETED);
    PathBuf::from(name)
}

/// The machines of a layer that have no folder any more and yet processes.
pub(super) fn of_layer(scope_folder: &Path, layer: &LayerId) -> BTreeSet<MachineKey> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let folders = processes.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok());
    let ids = folders.filter_map(|folder| {
        let name = folder.strip_prefix(scope_folder).ok()?.to_str()?.strip_suffix(DELETED)?;
        name.strip_prefix(&layer.name)?.strip_prefix('-')?.parse().ok()
    });
    ids.map(|id| MachineKey { layer: layer.clone(), id }).collect()
}
