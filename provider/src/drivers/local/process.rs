//! Daemon processes: starting, finding and ending them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal as Number, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
};

use super::beneath::{Owner, Wanted, is_no_file};
use super::store::Home;
use crate::bundle::{Service, Signal};
use crate::driver::{DriverError, Result};

/// A syntax check takes less than a second, and more on a machine that does much else.
const CHECK_DEADLINE: Duration = Duration::from_secs(30);
const PID_FILE_BYTES: u64 = 4096;
/// Of each log, for an error.
const LOG_BYTES: u64 = 64 << 10;

/// Who runs the daemons of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    /// User and group to change to; none if that is who we are.
    owner: Option<Owner>,
}

impl Account {
    /// Started by root, daemons are never root: they run as the layer's user, or as `nobody` on a machine that is older
    /// than users of layers and was not started anew since. Else as whoever runs the command.
    pub(super) fn of(user: Option<u32>) -> Account {
        let owner = || user.map_or_else(nobody, |user| Owner { uid: user, gid: user });
        Account { owner: is_root().then(owner) }
    }

    pub(super) fn is(self, uid: u32) -> bool {
        self.uid() == uid
    }

    fn uid(self) -> u32 {
        self.owner.map_or_else(|| rustix::process::geteuid().as_raw(), |owner| owner.uid)
    }

    /// What a daemon writes in, and what it alone may read.
    pub(super) fn own(self, mode: u32) -> Wanted {
        Wanted { mode, owner: self.owner }
    }

    /// What a daemon only gets to: a folder that holds the files of others would let it read and change them.
    pub(super) fn lent(self, mode: u32) -> Wanted {
        Wanted { mode, owner: self.owner.map(|owner| Owner { uid: 0, gid: owner.gid }) }
    }

    pub(super) fn take_over(self, command: &mut Command) {
        if let Some(Owner { uid, gid }) = self.owner {
            // As `uid` has it, root's other groups go with it.
            command.gid(gid).uid(uid);
        }
    }
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(super) fn nobody() -> Owner {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd.lines().find_map(|line| line.strip_prefix("nobody:"));
    let ids = line.and_then(|line| {
        let mut fields = line.split(':').skip(1);
        Some(Owner { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    });
    ids.unwrap_or(Owner { uid: 65534, gid: 65534 })
}

/// A look at `/proc`: which processes work in which folder. Every daemon of a machine is started in the machine's
/// folder and stays there, which tells them apart whatever became of their parents and pid files.
#[derive(Debug)]
pub(super) struct Table {
    processes: Vec<Process>,
}

#[derive(Debug, Clone)]
pub(super) struct Process {
    pid: i32,
    uid: u32,
    folder: PathBuf,
}

impl Process {
    fn read(pid: i32) -> Option<Process> {
        let entry = PathBuf::from(format!("/proc/{pid}"));
        let folder = folder_of(&entry)?;
        let uid = std::fs::metadata(&entry).ok()?.uid();
        // Threads of the kernel, which are many, and what the system itself has started: no machine is there.
        (uid != 0 || folder != Path::new("/")).then_some(Process { pid, uid, folder })
    }

    /// An administrator's shell that happens to stand in the folder is none of the machine's.
    fn is_of(&self, home: &Home) -> bool {
        self.uid == home.account.uid() && self.folder.starts_with(&home.path)
    }
}

/// Where a process works. A process lives, and has its ports and files, until its last thread has ended, while its first
/// one may have ended long before and is all that `/proc/PID` itself tells of (proc(5)).
fn folder_of(process: &Path) -> Option<PathBuf> {
    let of_thread = |thread: &Path| -> std::io::Result<PathBuf> {
        let folder = std::fs::read_link(thread.join("cwd"))?;
        // A zombie has ended; only its parent has not noticed yet.
        let stat = std::fs::read_to_string(thread.join("stat"))?;
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if matches!(state, Some('Z' | 'X')) { Err(std::io::ErrorKind::NotFound.into()) } else { Ok(folder) }
    };
    match of_thread(process) {
        Ok(folder) => Some(folder),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut threads = std::fs::read_dir(process.join("task")).ok()?.filter_map(std::result::Result::ok);
            threads.find_map(|thread| of_thread(&thread.path()).ok())
        }
        Err(_) => None,
    }
}

/// Processes that are ended. One whose threads have all left its folder has not closed its ports yet: only the kernel knows
/// when it has (pidfd_open(2)).
#[derive(Debug, Default)]
pub(super) struct Ending {
    held: BTreeMap<i32, OwnedFd>,
}

impl Ending {
    pub(super) fn hold(&mut self, pids: &[i32]) {
        for pid in pids {
            if let Entry::Vacant(place) = self.held.entry(*pid)
                && let Some(raw) = Pid::from_raw(*pid)
                && let Ok(held) = pidfd_open(raw, PidfdFlags::empty())
            {
                place.insert(held);
            }
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.held.values().all(|held| {
            let mut asked = [PollFd::new(held, PollFlags::IN)];
            // What cannot be asked is not waited for.
            poll(&mut asked, Some(&Timespec::default())) != Ok(0)
        })
    }
}

impl Table {
    pub(super) fn read() -> Table {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(std::result::Result::ok);
        let processes = entries.filter_map(|entry| Process::read(entry.file_name().to_str()?.parse().ok()?));
        Table { processes: processes.collect() }
    }

    pub(super) fn has(&self, pid: i32) -> bool {
        self.processes.iter().any(|process| process.pid == pid)
    }

    /// The machine's processes.
    pub(super) fn of_home(&self, home: &Home) -> Vec<i32> {
        self.processes.iter().filter(|process| process.is_of(home)).map(|process| process.pid).collect()
    }

    /// Daemons that stand in a folder that may be gone.
    pub(super) fn standing_in(&self, folder: &Path, is_daemon: impl Fn(u32) -> bool) -> Vec<i32> {
        let found = self.processes.iter().filter(|process| process.folder == folder && is_daemon(process.uid));
        found.map(|process| process.pid).collect()
    }

    /// The process that a pid file names, if it is one of the machine's: numbers are used again after a reboot, and an
    /// application may write what it likes.
    pub(super) fn main_process(&self, home: &Home, pid_file: &str) -> Option<i32> {
        let found = home.folder.read(pid_file, PID_FILE_BYTES).ok()?;
        // A daemon of several processes writes the pid of its master first.
        let pid: i32 = std::str::from_utf8(&found.content).ok()?.lines().next()?.trim().parse().ok()?;
        self.processes.iter().any(|process| process.pid == pid && process.is_of(home)).then_some(pid)
    }

    pub(super) fn is_alive(&self, home: &Home, pid_file: &str) -> bool {
        self.main_process(home, pid_file).is_some()
    }
}

pub(super) fn send(home: &Home, pid: i32, signal: Signal) {
    let number = match signal {
        Signal::Usr1 => Number::USR1,
        Signal::Usr2 => Number::USR2,
        Signal::Winch => Number::WINCH,
        Signal::Quit => Number::QUIT,
        Signal::Term => Number::TERM,
    };
    deliver(pid, number, |process| process.is_of(home));
}

pub(super) fn kill(home: &Home, pid: i32) {
    deliver(pid, Number::KILL, |process| process.is_of(home));
}

/// Lets a process that was stopped go on.
pub(super) fn go_on(home: &Home, pid: i32) {
    deliver(pid, Number::CONT, |process| process.is_of(home));
}

/// Kills a process if it still stands in the folder.
pub(super) fn kill_in(folder: &Path, pid: i32) {
    deliver(pid, Number::KILL, |process| process.folder == folder);
}

/// Ends whatever runs as a user whose last machine is gone, wherever it went to. A process that only ever starts another one
/// and ends is in no list for long; the kernel signals all of a user's in one go (kill(2), -1).
pub(super) fn kill_all_of(user: u32) {
    const ROUNDS: usize = 20;
    for _ in 0..ROUNDS {
        // Also where no list shows one. It is of them itself, and ends with them.
        let mut command = command(Path::new("/bin/sh"));
        command.args(["-c", "kill -s KILL -- -1"]).current_dir("/").uid(user).gid(user);
        if let Err(error) = command.stdout(Stdio::null()).stderr(Stdio::null()).status() {
            tracing::warn!("the processes of the user {user} could not be ended: {error}");
            return;
        }
        if Table::read().processes.iter().all(|process| process.uid != user) {
            return;
        }
    }
    tracing::warn!("the user {user} goes on starting processes");
}

/// Signals a process that is still the one that is meant. One that is already gone needs no signal.
fn deliver(pid: i32, number: Number, is_meant: impl Fn(&Process) -> bool) {
    let Some(raw) = Pid::from_raw(pid) else { return };
    // Held, so that the number cannot become somebody else's between the look and the signal.
    let held = pidfd_open(raw, PidfdFlags::empty());
    if !Process::read(pid).is_some_and(|process| is_meant(&process)) {
        return;
    }
    let _ = match held {
        Ok(held) => pidfd_send_signal(held, number),
        Err(Errno::NOSYS) => kill_process(raw, number),
        Err(error) => Err(error),
    };
}

/// Starts a daemon in the machine's folder, in the process group `group` or one of its own. Returns its pid.
pub(super) fn spawn(service: &Service, home: &Home, group: Option<i32>) -> Result<i32> {
    let failed = |what: &'static str, path: &Path| {
        let path = path.display().to_string();
        move |source| DriverError::Io { what, path, source }
    };
    let pid_file = home.folder.remove(service.pid_file);
    pid_file.map_err(failed("removing", &home.path.join(service.pid_file)))?;
    for path in service.logs {
        // Whatever an application has put into the place of a log would keep its daemon from starting.
        if let Err(error) = home.folder.part(path, None, 0)
            && is_no_file(&error)
        {
            home.folder.remove(path).map_err(failed("removing", &home.path.join(path)))?;
        }
    }
    let log = home.path.join(log_path(service));
    let out = home.folder.replace(log_path(service), home.account.own(0o640));
    let out = out.map_err(failed("writing the log", &log))?;
    let err = out.try_clone().map_err(failed("writing the log", &log))?;
    let program = program(service)?;
    let mut command = command(&program);
    command.args(&service.args).current_dir(&home.path).stdout(out).stderr(err).process_group(group.unwrap_or(0));
    home.account.take_over(&mut command);
    tracing::debug!(folder = %home.path.display(), "starting {command:?}");
    let child = command.spawn().map_err(failed("starting", &program))?;
    Ok(child.id() as i32)
}

/// A program that learns nothing of ours: what stands in our environment, such as credentials of clouds, every process
/// of its user could read.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .env("TMPDIR", "/tmp")
        .stdin(Stdio::null());
    command
}

/// Runs a daemon's syntax check; gives its output if it refuses.
pub(super) async fn check(
    service: &Service,
    args: Vec<String>,
    folder: &Path,
    account: Account,
) -> Result<Option<String>> {
    let program = program(service)?;
    let mut command = command(&program);
    command.args(args).current_dir(folder).process_group(0);
    account.take_over(&mut command);
    tracing::debug!("checking {command:?}");
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
/// keep daemons; also where `make runtime` puts what no distribution has.
fn program(service: &Service) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    folders.extend(caches(service.program));
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
        cure: service.cure.map_or_else(|| format!("apt-get install {}", service.package), str::to_owned),
    })
}

/// Folders like `mongod-6.0.5/bin`.
fn caches(program: &str) -> Vec<PathBuf> {
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
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{program}-")))
        .map(|entry| entry.path().join("bin"))
        .collect();
    found.sort();
    found.reverse();
    found
}

fn log_path(service: &Service) -> String {
    format!("log/{}.out", service.name)
}

/// The last lines that a daemon wrote, of what it said and of its log.
pub(super) fn log_tail(home: &Home, service: &Service) -> String {
    let end = |path: String| home.folder.tail(path, LOG_BYTES).unwrap_or_default();
    let mut text = String::from_utf8_lossy(&end(log_path(service))).into_owned();
    text.push_str(&String::from_utf8_lossy(&end(format!("log/{}.log", service.name))));
    // Whatever stands in it gets onto somebody's terminal.
    let text = text.replace(|ch: char| ch.is_control() && ch != '\n' && ch != '\t', " ");
    let lines: Vec<&str> = text.lines().collect();
    match lines.as_slice() {
        [] => "it wrote nothing".to_owned(),
        lines => lines[lines.len().saturating_sub(10)..].join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mongod's first thread ends while another one still gives its memory back, and holds its port.
    #[tokio::test]
    async fn a_process_lives_until_its_last_thread_has_ended() {
        const EXIT: &str = "import ctypes, threading, time
threading.Thread(target=time.sleep, args=(300,)).start()
ctypes.CDLL(None).pthread_exit(None)";
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("python3").args(["-c", EXIT]).current_dir(folder.path()).spawn().unwrap();
        let pid = child.id() as i32;
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let first_thread = || std::fs::read_link(format!("/proc/{pid}/cwd"));
        while first_thread().is_ok() {
            assert!(std::time::Instant::now() < deadline, "its first thread goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(Table::read().processes.iter().any(|process| process.pid == pid && process.folder == folder.path()));
        let mut ending = Ending::default();
        ending.hold(&[pid]);
        assert!(!ending.is_over());
        kill_in(folder.path(), pid);
        while !ending.is_over() {
            assert!(std::time::Instant::now() < deadline, "it goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Nobody has waited for it: it is in the kernel's list, and has ended.
        assert!(!Table::read().has(pid));
        child.wait().unwrap();
    }

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
