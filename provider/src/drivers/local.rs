//! The `local` cloud: this very machine.
//!
//! A machine is a folder, a loopback address of its own, and a group of daemon processes that outlive the
//! command. Started by root, the daemons of each layer run as a user of its own, and get at no other layer's files;
//! a machine's folder is root's, but for what its daemons write in. Nothing is kept in memory for longer than a moment: every call reads what
//! is on the disk and in `/proc`, so that a machine that died, or was killed, is seen as it is.
//!
//! Failures: a crash while a machine is made leaves its folder, which the next `create` of the same key takes
//! over; a full disk fails in `install` before anything live was touched; a daemon that ignores its polite signal
//! is killed after a deadline.

mod beneath;
pub mod check;
mod drift;
mod ghosts;
mod health;
mod install;
mod kept;
mod process;
mod store;
mod users;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::traced::traced;
use super::{DriverInfo, Settings, Traits};
use crate::bundle::{Bundle, Layout, Manifest, Service, Signal};
use crate::driver::{
    BoxFuture, Created, Disks, Drift, DriftKind, Driver, DriverError, Kept, LayerId, Machine, MachineKey, Order,
    Result, Size, Status, Tail, Tell, now,
};
use store::{Home, Store};

pub(super) const INFO: DriverInfo = DriverInfo {
    name: "local",
    doc: "this very machine: a folder, a loopback address and a group of processes for each machine",
    settings: &[
        ("egress", "the network that this machine is seen by from other clouds, such as 198.51.100.7/32"),
        ("network", "the loopback network that machines get their addresses from (127.10.0.0/16)"),
        ("root", "the folder that holds the machines (/var/lib/lampwright for root, else ~/.local/state/lampwright)"),
        ("users", "for root: the users that layers run as, one each, such as 20000-29999 (1879048192-2147483646)"),
    ],
    common_settings: &[],
    connect: |settings| Ok(Arc::new(Local::new(settings)?)),
    traits: Traits { root: None, has_firewall: false, balancer: None },
};

/// How long daemons have to end by themselves before they are killed.
const STOP_DEADLINE: Duration = Duration::from_secs(15);
const START_DEADLINE: Duration = Duration::from_secs(20);
const ASK_DEADLINE: Duration = Duration::from_secs(5);
const PROBE_DEADLINE: Duration = Duration::from_secs(2);
/// Of a file that is read whole.
const READ_BYTES: u64 = 16 << 20;
/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct Local {
    store: Store,
    egress: Option<String>,
    ghosts: ghosts::Ghosts,
}

impl Local {
    fn new(settings: &Settings) -> Result<Local> {
        let root = match settings.get("root") {
            Some(root) => PathBuf::from(root),
            None => default_root(),
        };
        // Daemons get absolute paths, wherever the command runs.
        let root = std::path::absolute(&root).map_err(|source| DriverError::Io {
            what: "finding the folder",
            path: root.display().to_string(),
            source,
        })?;
        // It is in every configuration file, some of which have words of their own for what stands in a path.
        let is_plain = |ch: char| ch.is_alphanumeric() || "/._-+@~".contains(ch);
        if !root.to_str().is_some_and(|root| root.chars().all(is_plain)) {
            let reason = format!("{:?} holds more than letters, digits and any of /._-+@~", root.display().to_string());
            return Err(DriverError::Setting { name: "root".to_owned(), reason });
        }
        let network = settings.get("network").map_or("127.10.0.0/16", String::as_str);
        let egress = super::network(settings, "egress")?;
        let users = settings.get("users").map(String::as_str);
        if users.is_some() {
            // A range that is not one is told by a plan already.
            users::Users::new(users)?;
        }
        Ok(Local { store: Store::new(root, network, users)?, egress, ghosts: ghosts::Ghosts::default() })
    }

    /// Of a machine whose folder was removed only its processes are left, and they have to end.
    fn ghosts(&self, layer: &LayerId, machines: &[Machine]) -> Vec<Machine> {
        let keys = self.ghosts.of_layer(&self.store.scope_folder(layer), layer).into_iter();
        let unknown: Vec<MachineKey> = keys.filter(|key| machines.iter().all(|machine| machine.key != *key)).collect();
        if unknown.is_empty() {
            return Vec::new();
        }
        let table = process::Table::read();
        let ghosts = unknown.into_iter().filter(|key| !self.ghost_processes(key, &table).is_empty());
        let reason = "its folder is gone, and its daemons run on";
        ghosts
            .map(|key| Machine {
                key,
                address: Ipv4Addr::UNSPECIFIED.into(),
                public_address: None,
                status: Status::Failed(reason.to_owned()),
                owner: None,
                is_foreign: false,
                size: None,
            })
            .collect()
    }

    fn ghost_processes(&self, key: &MachineKey, table: &process::Table) -> Vec<i32> {
        table.standing_in(&ghosts::former(&self.store.folder(key)), |user| self.store.is_daemon(user))
    }

    /// Ends what runs on where a machine's folder was before it was removed by hand.
    async fn end_ghosts(&self, key: &MachineKey) {
        let former = ghosts::former(&self.store.folder(key));
        let deadline = Instant::now() + STOP_DEADLINE;
        loop {
            let left = self.ghost_processes(key, &process::Table::read());
            if left.is_empty() || Instant::now() > deadline {
                return;
            }
            left.into_iter().for_each(|pid| process::kill_in(&former, pid));
            tokio::time::sleep(POLL).await;
        }
    }
}

fn machine(home: &Home, key: MachineKey, processes: &process::Table) -> Machine {
    let (address, owner) = (home.record.address.into(), Some(home.record.owner.clone()));
    Machine {
        status: machine_status(home, processes),
        owner,
        public_address: None,
        is_foreign: false,
        size: None,
        key,
        address,
    }
}

fn machine_status(home: &Home, processes: &process::Table) -> Status {
    match &home.record.services {
        None => Status::Created,
        Some(pid_files) => {
            let dead = |pid_file: &&String| !processes.is_alive(home, pid_file);
            let dead: Vec<String> = pid_files.iter().filter(dead).map(|pid_file| service_of(pid_file)).collect();
            if !dead.is_empty() {
                return Status::Stopped(dead);
            }
            if let Some((service, seen)) = health::stopped(&processes.of_home(home)) {
                return Status::Hung { service, seen };
            }
            if let Some(what) = health::full(&home.path) {
                return Status::Full(what);
            }
            if drift::drift(home).is_empty() { Status::Running } else { Status::Changed }
        }
    }
}

/// `run/NAME.pid` is that of the service NAME.
fn service_of(pid_file: &str) -> String {
    std::path::Path::new(pid_file).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

async fn end_all(home: &Home, services: &[Service]) {
    let table = process::Table::read();
    for service in services.iter().rev() {
        if let Some(pid) = table.main_process(home, service.pid_file) {
            process::send(home, pid, service.stop);
        }
    }
    // One that is stopped sees its signal only when it goes on, as systemd has it (systemd.kill(5)).
    table.of_home(home).into_iter().for_each(|pid| process::go_on(home, pid));
    let deadline = Instant::now() + STOP_DEADLINE;
    let mut ending = process::Ending::default();
    loop {
        let left = process::Table::read().of_home(home);
        ending.hold(&left);
        // What has left the folder, and lives on somewhere else, is not waited for.
        if left.is_empty() && (ending.is_over() || Instant::now() > deadline) {
            return;
        }
        // Without a main process that was told to end there is nothing to wait for.
        if Instant::now() > deadline || services.is_empty() || !has_main_process(home, services) {
            left.into_iter().for_each(|pid| process::kill(home, pid));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn has_main_process(home: &Home, services: &[Service]) -> bool {
    let table = process::Table::read();
    services.iter().any(|service| table.main_process(home, service.pid_file).is_some())
}

fn default_root() -> PathBuf {
    let state = |base: PathBuf| base.join("lampwright");
    if process::is_root() {
        return state(PathBuf::from("/var/lib"));
    }
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into()));
    state(std::env::var_os("XDG_STATE_HOME").map_or_else(|| home().join(".local/state"), PathBuf::from))
}

impl Driver for Local {
    fn layout(&self, key: &MachineKey) -> Layout {
        Layout { root: self.store.folder(key), has_firewall: false, is_shared: true }
    }

    /// No daemon runs as root (ip(7), `ip_unprivileged_port_start`).
    fn lowest_port(&self) -> u16 {
        let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
        text.trim().parse().unwrap_or(1024)
    }

    fn egress(&self) -> Option<String> {
        self.egress.clone()
    }

    fn create<'a>(&'a self, order: &'a Order, _: Tell<'a>) -> BoxFuture<'a, Created> {
        Box::pin(async move {
            let mut created = Created { machines: Vec::new(), failure: None };
            for key in order.keys() {
                let _traced = traced("create", &key, "");
                match self.store.create(&key, order) {
                    Ok(home) => created.machines.push(machine(&home, key, &process::Table::read())),
                    Err(error) => {
                        created.failure = Some(error);
                        break;
                    }
                }
            }
            if let Err(error) = kept::take_up(&self.store, order) {
                created.failure.get_or_insert(error);
            }
            created
        })
    }

    fn list<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Machine>>> {
        Box::pin(async move {
            let mut machines = Vec::new();
            let keys = self.store.list(layer)?;
            if !keys.is_empty() {
                let processes = process::Table::read();
                for key in keys {
                    // One that another command is just taking away is gone.
                    if let Some(home) = self.store.home(&key)? {
                        machines.push(machine(&home, key, &processes));
                    }
                }
            }
            machines.extend(self.ghosts(layer, &machines));
            machines.sort_by_key(|machine| machine.key.id);
            Ok(machines)
        })
    }

    fn status<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<Status>> {
        Box::pin(async move {
            let _traced = traced("status", key, "");
            Ok(machine_status(&self.store.existing(key)?, &process::Table::read()))
        })
    }

    /// A machine that was left without its data when its removal was cut off.
    fn mend<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<()>> {
        now(kept::take_up(&self.store, order))
    }

    fn kept<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Kept>>> {
        now(kept::list(&self.store, layer))
    }

    fn keeps_at(&self, layer: &LayerId) -> String {
        kept::folder(&self.store, layer).display().to_string()
    }

    fn data_size<'a>(&'a self, keys: &'a [MachineKey]) -> BoxFuture<'a, Option<Vec<Size>>> {
        let homes: Result<Vec<Home>> = keys.iter().map(|key| self.store.existing(key)).collect();
        now(homes.ok().and_then(|homes| kept::sizes(&homes)))
    }

    fn installed<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<Option<Manifest>>> {
        now(self.store.existing(key).map(|home| install::manifest(&home.folder)))
    }

    fn drift<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<Vec<Drift>>> {
        Box::pin(async move {
            let _traced = traced("drift", key, "");
            Ok(drift::drift(&self.store.existing(key)?))
        })
    }

    fn delete<'a>(&'a self, keys: &'a [MachineKey], disks: &'a Disks) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let homes =
                keys.iter().filter_map(|key| self.store.home(key).transpose()).collect::<Result<Vec<Home>>>()?;
            futures_util::future::join_all(homes.iter().map(|home| end_all(home, &[]))).await;
            for key in keys {
                self.end_ghosts(key).await;
            }
            if let Disks::Keep { owner } = disks {
                homes.iter().try_for_each(|home| kept::keep(&self.store, home, owner))?;
            }
            keys.iter().try_for_each(|key| {
                let _traced = traced("delete", key, "");
                self.store.delete(key)
            })
        })
    }

    fn install<'a>(&'a self, key: &'a MachineKey, bundle: &'a Bundle) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let _traced = traced("install", key, "");
            let mut home = self.store.existing(key)?;
            if process::Table::read().of_home(&home).is_empty() {
                // Before its files are given to a user: an older machine gets its layer's while it does not run.
                self.store.settle(&mut home)?;
            }
            // Whatever is there that nobody installed goes; the rest is written over.
            let mut changed = Vec::new();
            for one in drift::drift(&home) {
                match one.kind {
                    DriftKind::Added | DriftKind::Replaced => {
                        let path = home.path.join(&one.path).display().to_string();
                        let failed = |source| DriverError::Io { what: "removing", path, source };
                        home.folder.remove(&one.path).map_err(failed)?;
                        changed.push(one.path);
                    }
                    DriftKind::Content | DriftKind::Mode | DriftKind::Owner | DriftKind::Removed => {}
                }
            }
            changed.extend(install::install(&home, &key.name(), bundle).await?);
            changed.sort();
            changed.dedup();
            Ok(changed)
        })
    }

    fn start<'a>(&'a self, key: &'a MachineKey, services: &'a [Service]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let _traced = traced("start", key, "");
            let mut home = self.store.existing(key)?;
            let table = process::Table::read();
            if services.iter().all(|service| table.is_alive(&home, service.pid_file)) {
                return home.set_started(services);
            }
            // Half a machine is ended first: its processes shall be one group.
            end_all(&home, services).await;
            self.end_ghosts(key).await;
            self.store.settle(&mut home)?;
            home.set_started(services)?;
            let mut group = None;
            for service in services {
                let pid = process::spawn(service, &home, group)?;
                group = group.or(Some(pid));
                let deadline = Instant::now() + START_DEADLINE;
                while !process::Table::read().is_alive(&home, service.pid_file) {
                    let is_gone = !process::Table::read().has(pid);
                    if is_gone || Instant::now() > deadline {
                        return Err(DriverError::Start {
                            service: service.name.to_owned(),
                            machine: key.name(),
                            log: process::log_tail(&home, service),
                        });
                    }
                    tokio::time::sleep(POLL).await;
                }
            }
            Ok(())
        })
    }

    fn stop<'a>(&'a self, key: &'a MachineKey, services: &'a [Service]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let _traced = traced("stop", key, "");
            if let Some(home) = self.store.home(key)? {
                end_all(&home, services).await;
            }
            Ok(())
        })
    }

    fn signal<'a>(&'a self, key: &'a MachineKey, service: &'a Service, signal: Signal) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let _traced = traced("signal", key, service.name);
            let home = self.store.existing(key)?;
            if let Some(pid) = process::Table::read().main_process(&home, service.pid_file) {
                process::send(&home, pid, signal);
            }
            Ok(())
        })
    }

    fn ask<'a>(&'a self, key: &'a MachineKey, socket: &'a str, line: &'a str) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            let _traced = traced("ask", key, &format!("{socket} {line}"));
            let home = self.store.existing(key)?;
            let path = home.path.join(socket);
            let failed =
                |source| DriverError::Io { what: "asking the daemon", path: path.display().to_string(), source };
            let conversation = async {
                let (_held, door) = home.folder.socket(socket)?;
                let mut stream = UnixStream::connect(door).await?;
                if !home.account.is(stream.peer_cred()?.uid()) {
                    return Err(std::io::Error::other("another user's program listens there"));
                }
                stream.write_all(format!("{line}\n").as_bytes()).await?;
                stream.shutdown().await?;
                let mut answer = Vec::new();
                stream.take(16 << 20).read_to_end(&mut answer).await?;
                Ok(String::from_utf8_lossy(&answer).into_owned())
            };
            let timed_out = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
            tokio::time::timeout(ASK_DEADLINE, conversation).await.map_err(timed_out).flatten().map_err(failed)
        })
    }

    fn reach<'a>(&'a self, key: &'a MachineKey, port: u16) -> BoxFuture<'a, Result<SocketAddr>> {
        Box::pin(async move {
            let _traced = traced("reach", key, &port.to_string());
            Ok(SocketAddr::new(self.store.existing(key)?.record.address.into(), port))
        })
    }

    fn probe<'a>(&'a self, key: &'a MachineKey, port: u16, path: &'a str) -> BoxFuture<'a, Option<(u16, String)>> {
        Box::pin(async move {
            let _traced = traced("probe", key, &format!("{port}{path}"));
            let address = self.store.home(key).ok().flatten()?.record.address;
            let conversation = async {
                let mut stream = TcpStream::connect((address, port)).await.ok()?;
                let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\nConnection: close\r\n\r\n", key.name());
                stream.write_all(request.as_bytes()).await.ok()?;
                let mut answer = Vec::new();
                stream.take(64 << 10).read_to_end(&mut answer).await.ok()?;
                let text = String::from_utf8_lossy(&answer).into_owned();
                let status = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
                Some((status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
            };
            tokio::time::timeout(PROBE_DEADLINE, conversation).await.ok().flatten()
        })
    }

    fn read<'a>(&'a self, key: &'a MachineKey, path: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            let _traced = traced("read", key, path);
            let Some(home) = self.store.home(key)? else { return Ok(None) };
            match home.folder.read(path, READ_BYTES) {
                Ok(found) => Ok(Some(found.content)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(io_error("reading", &home, path, source)),
            }
        })
    }

    fn tail<'a>(
        &'a self,
        key: &'a MachineKey,
        path: &'a str,
        from: Option<u64>,
        limit: u64,
    ) -> BoxFuture<'a, Result<Option<Tail>>> {
        Box::pin(async move {
            let Some(home) = self.store.home(key)? else { return Ok(None) };
            match home.folder.part(path, from, limit) {
                Ok(part) => Ok(Some(part)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(io_error("reading", &home, path, source)),
            }
        })
    }

    fn write<'a>(&'a self, key: &'a MachineKey, path: &'a str, content: &'a [u8]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let _traced = traced("write", key, path);
            let home = self.store.existing(key)?;
            let written = home.folder.write(path, content, home.account.own(0o640));
            written.map_err(|source| io_error("writing", &home, path, source))
        })
    }

    fn remove<'a>(&'a self, key: &'a MachineKey, path: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let _traced = traced("remove", key, path);
            let Some(home) = self.store.home(key)? else { return Ok(()) };
            home.folder.remove(path).map_err(|source| io_error("removing", &home, path, source))
        })
    }
}

fn io_error(what: &'static str, home: &Home, path: &str, source: std::io::Error) -> DriverError {
    DriverError::Io { what, path: home.path.join(path).display().to_string(), source }
}
