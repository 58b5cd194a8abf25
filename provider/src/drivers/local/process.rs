//! Daemon processes: starting, finding and ending them.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal as Number, kill_process, kill_process_group};

use crate::bundle::Service;
use crate::driver::{DriverError, Result, Signal};

/// A syntax check takes less than a second, and more on a machine that does much else.
const CHECK_DEADLINE: Duration = Duration::from_secs(30);

/// Who owns the files and runs the daemons of machines.
#[derive(Debug, Clone)]
pub(super) struct Account {
    /// User and group to change to; none if that is who we are.
    ids: Option<(u32, u32)>,
}

impl Account {
    /// `nobody` where the command runs as root, so that no daemon ever does; else the user who runs it.
    pub(super) fn of_daemons() -> Account {
        Account { ids: rustix::process::geteuid().is_root().then(nobody) }
    }

    pub(super) fn unchanged() -> Account {
        Account { ids: None }
    }

    /// User and group that files are given to; none if they are ours as it is.
    pub(super) fn ids(&self) -> Option<(u32, u32)> {
        self.ids
    }

    fn is(&self, uid: u32) -> bool {
        self.ids.map_or_else(|| rustix::process::geteuid().as_raw(), |(uid, _)| uid) == uid
    }

    pub(super) fn give(&self, path: &Path) -> std::io::Result<()> {
        match self.ids {
            Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    pub(super) fn take_over(&self, command: &mut Command) {
        if let Some((uid, gid)) = self.ids {
            command.gid(gid).uid(uid);
        }
    }
}

fn nobody() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd.lines().find_map(|line| line.strip_prefix("nobody:"));
    let ids = line.and_then(|line| {
        let mut fields = line.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    ids.unwrap_or((65534, 65534))
}

/// A look at `/proc`: which processes work in which folder. Every daemon of a machine is started in the machine's
/// folder and stays there, which tells them apart whatever became of their parents and pid files.
#[derive(Debug)]
pub(super) struct Table {
    processes: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    pid: i32,
    uid: u32,
    folder: PathBuf,
}

impl Table {
    pub(super) fn read() -> Table {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(std::result::Result::ok);
        let processes = entries.filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let folder = std::fs::read_link(entry.path().join("cwd")).ok()?;
            // A zombie has ended; only its parent has not noticed yet.
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let state = stat.rsplit_once(") ")?.1.chars().next()?;
            let uid = entry.metadata().ok()?.uid();
            (state != 'Z' && state != 'X').then_some(Process { pid, uid, folder })
        });
        Table { processes: processes.collect() }
    }

    pub(super) fn has(&self, pid: i32) -> bool {
        self.processes.iter().any(|process| process.pid == pid)
    }

    /// The machine's processes: an administrator's shell that happens to stand in the folder is none of them.
    pub(super) fn of_folder(&self, folder: &Path, account: &Account) -> Vec<i32> {
        let is_ours = |process: &&Process| process.folder.starts_with(folder) && account.is(process.uid);
        self.processes.iter().filter(is_ours).map(|process| process.pid).collect()
    }

    /// The process that a pid file names, if it is one of the machine's: numbers are used again after a reboot.
    pub(super) fn main_process(&self, folder: &Path, pid_file: &Path) -> Option<i32> {
        let text = std::fs::read_to_string(pid_file).ok()?;
        // HAProxy writes the pid of its master first.
        let pid: i32 = text.lines().next()?.trim().parse().ok()?;
        self.processes.iter().any(|process| process.pid == pid && process.folder.starts_with(folder)).then_some(pid)
    }

    pub(super) fn is_alive(&self, folder: &Path, pid_file: &Path) -> bool {
        self.main_process(folder, pid_file).is_some()
    }
}

pub(super) fn send(pid: i32, signal: Signal) {
    let number = match signal {
        Signal::Usr1 => Number::USR1,
        Signal::Usr2 => Number::USR2,
        Signal::Winch => Number::WINCH,
        Signal::Quit => Number::QUIT,
        Signal::Term => Number::TERM,
    };
    deliver(pid, number);
}

pub(super) fn kill(pid: i32) {
    deliver(pid, Number::KILL);
}

/// A process that is already gone needs no signal.
fn deliver(pid: i32, number: Number) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, number);
    }
}

/// Starts a daemon in the machine's folder, in the process group `group` or one of its own. Returns its pid.
pub(super) fn spawn(service: &Service, folder: &Path, group: Option<i32>, account: &Account) -> Result<i32> {
    let log = log_path(folder, service);
    let failed = |what: &'static str, path: &Path| {
        let path = path.display().to_string();
        move |source| DriverError::Io { what, path, source }
    };
    let _ = std::fs::remove_file(folder.join(service.pid_file));
    let out = std::fs::File::create(&log).map_err(failed("writing the log", &log))?;
    let err = out.try_clone().map_err(failed("writing the log", &log))?;
    let program = program(service)?;
    let mut command = Command::new(&program);
    command
        .args(&service.args)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .env("TMPDIR", "/tmp")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(group.unwrap_or(0));
    account.take_over(&mut command);
    let child = command.spawn().map_err(failed("starting", &program))?;
    Ok(child.id() as i32)
}

/// Runs a daemon's syntax check; gives its output if it refuses.
pub(super) async fn check(
    service: &Service,
    args: Vec<String>,
    folder: &Path,
    account: &Account,
) -> Result<Option<String>> {
    let program = program(service)?;
    let mut command = Command::new(&program);
    command.args(args).current_dir(folder).stdin(Stdio::null()).process_group(0);
    account.take_over(&mut command);
    let output = output_in_time(command, CHECK_DEADLINE).await.map_err(|source| DriverError::Io {
        what: "checking with",
        path: program.display().to_string(),
        source,
    })?;
    let text = || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((!output.status.success()).then(text))
}

/// Runs a program to its end, or ends it with all that it has started when it takes too long.
async fn output_in_time(mut command: Command, deadline: Duration) -> std::io::Result<std::process::Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
    let group = child.id().and_then(|id| Pid::from_raw(id as i32));
    match tokio::time::timeout(deadline, child.wait_with_output()).await {
        Ok(output) => output,
        Err(_) => {
            if let Some(group) = group {
                let _ = kill_process_group(group, Number::KILL);
            }
            let reason = format!("it did not end within {} s", deadline.as_secs());
            Err(std::io::Error::new(std::io::ErrorKind::TimedOut, reason))
        }
    }
}

/// The program of a service: by its exact name, or the highest of `name8.2`, on the PATH and where distributions
/// keep daemons; mongod also where `make demo` puts it.
fn program(service: &Service) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    if service.program == "mongod" {
        folders.extend(mongod_caches());
    }
    for folder in &folders {
        let exact = folder.join(service.program);
        if exact.is_file() {
            return Ok(exact);
        }
    }
    let versioned = folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten()).flatten();
    let versioned = versioned.filter(|entry| {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(service.program));
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    });
    versioned.map(|entry| entry.path()).max().ok_or_else(|| DriverError::MissingProgram {
        program: service.program.to_owned(),
        cure: match service.program {
            "mongod" => "`make runtime` in the project's folder, or your distribution's MongoDB package".to_owned(),
            "php-fpm" => "apt-get install php-fpm php-mongodb".to_owned(),
            _ => format!("apt-get install {}", service.package),
        },
    })
}

fn mongod_caches() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let caches = [
        std::env::var_os("LAMPWRIGHT_CACHE").map(PathBuf::from),
        std::env::var_os("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("lampwright")),
        home.map(|cache| cache.join("lampwright")),
        Some(PathBuf::from("/var/cache/lampwright")),
    ];
    let entries =
        caches.into_iter().flatten().flat_map(|cache| std::fs::read_dir(cache).into_iter().flatten()).flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("mongod-"))
        .map(|entry| entry.path().join("bin"))
        .collect();
    found.sort();
    found.reverse();
    found
}

fn log_path(folder: &Path, service: &Service) -> PathBuf {
    folder.join("log").join(format!("{}.out", service.name))
}

/// The last lines that a daemon wrote, of everything in its log folder.
pub(super) fn log_tail(folder: &Path, service: &Service) -> String {
    let own = std::fs::read_to_string(log_path(folder, service)).unwrap_or_default();
    let log = std::fs::read_to_string(folder.join("log").join(format!("{}.log", service.name))).unwrap_or_default();
    let text = format!("{own}{log}");
    let lines: Vec<&str> = text.lines().collect();
    match lines.as_slice() {
        [] => "it wrote nothing".to_owned(),
        lines => lines[lines.len().saturating_sub(10)..].join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A daemon that hangs is ended, and what it has started.
    #[tokio::test]
    async fn a_check_that_does_not_end_is_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 300 & echo $!; wait"]).process_group(0);
        let folder = tempfile::tempdir().unwrap();
        command.current_dir(folder.path());
        let error = output_in_time(command, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while Table::read().processes.iter().any(|process| process.folder == folder.path()) {
            assert!(std::time::Instant::now() < deadline, "a process is left");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
