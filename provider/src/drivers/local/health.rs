//! What the kernel tells of a machine's processes and of its disk.

use std::path::Path;

/// A disk with less room than this is full for a daemon, which writes in blocks.
const LEAST_ROOM: u64 = 1 << 20;

/// Of some processes the first that was stopped by a signal (SIGSTOP): its program, and what is to be said of it. One
/// that a debugger holds is none of these (proc(5): `T` and `t`).
pub(super) fn stopped(pids: &[i32]) -> Option<(String, String)> {
    pids.iter().find_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (before, after) = stat.rsplit_once(") ")?;
        let program = before.split_once('(')?.1.to_owned();
        after.starts_with('T').then(|| (program, format!("process {pid} was stopped by a signal")))
    })
}

/// Says it of a disk that has no room, for who is not root.
pub(super) fn full(folder: &Path) -> Option<String> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let is_full = disk.f_blocks > 0 && disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_ROOM;
    let has_no_files = disk.f_files > 0 && disk.f_favail == 0;
    let what = if is_full { "room" } else { "room for another file" };
    (is_full || has_no_files).then(|| format!("the disk of {} has no {what}", folder.display()))
}
