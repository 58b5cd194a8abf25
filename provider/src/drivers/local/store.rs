//! Which machines there are: folders with a record, `ROOT/SCOPE/web-1/machine.json`.

use std::ffi::OsStr;
use std::fs::{File, Permissions, TryLockError};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use super::beneath::{Folder, Wanted, is_no_folder, is_scratch, leads_down};
use super::kept;
use super::process::{self, Account};
use super::users::{self, Users};
use crate::bundle::Service;
use crate::driver::{DriverError, LayerId, MachineKey, Order, Owner, Result};

const RECORD: &str = "machine.json";
const RECORD_BYTES: u64 = 1 << 20;
const REMOVED: &str = "removed";
/// How long another process may make machines.
const LOCK_DEADLINE: Duration = Duration::from_secs(30);
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Folders of daemons that hold nothing which outlives them.
const PASSING: &[&str] = &["run", "sessions", "tmp"];
/// Those that hold what does, and how deep.
const LASTING: &[&str] = &["data", "etc", "log"];
const DEPTH: u32 = 16;

#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    base: u32,
    /// How many networks of 256 addresses there are.
    networks: u32,
    network: String,
    /// As set.
    users: Option<String>,
}

/// A machine's folder, and who works in it.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) folder: Folder,
    pub(super) path: PathBuf,
    pub(super) account: Account,
    pub(super) record: Record,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    scope: String,
    layer: String,
    id: u64,
    pub(super) address: Ipv4Addr,
    #[serde(default)]
    pub(super) owner: String,
    /// The layer's user and group; none where daemons run as whoever runs the command, or on a machine that is older than
    /// users of layers and was not started anew since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<u32>,
    /// Pid files of the services that were told to run; none before the first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) services: Option<Vec<String>>,
}

impl Record {
    pub(super) fn key(&self) -> MachineKey {
        MachineKey { layer: LayerId { scope: self.scope.clone(), name: self.layer.clone() }, id: self.id }
    }
}

impl Store {
    pub(super) fn new(root: PathBuf, network: &str, users: Option<&str>) -> Result<Store> {
        let bad = |reason: &str| DriverError::Setting { name: "network".to_owned(), reason: reason.to_owned() };
        let (address, length) = network.split_once('/').ok_or_else(|| bad("write address/length"))?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad("the address is not an IPv4 address"))?;
        let length: u32 = length.parse().map_err(|_| bad("the length is not a number"))?;
        if !address.is_loopback() || !(8..=24).contains(&length) {
            return Err(bad("it must lie within 127.0.0.0/8 and have a length from 8 to 24"));
        }
        let base = address.to_bits() & (u32::MAX << (32 - length));
        let users = users.map(str::to_owned);
        Ok(Store { root, base, networks: 1 << (24 - length), network: network.to_owned(), users })
    }

    pub(super) fn folder(&self, key: &MachineKey) -> PathBuf {
        self.root.join(&key.layer.scope).join(key.name())
    }

    pub(super) fn scope_folder(&self, layer: &LayerId) -> PathBuf {
        self.root.join(&layer.scope)
    }

    /// The folder of all machines, where it is there. Who else could write in it could put anything in a machine's place.
    fn root(&self) -> Result<Option<Folder>> {
        let failed = io("looking for machines", &self.root);
        let root = match Folder::at(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(&failed)?,
        };
        let stat = root.stat().map_err(&failed)?;
        Store::refuse_others(&stat, &self.root)?;
        Ok(Some(root))
    }

    pub(super) fn scope(&self, scope: &str) -> Result<Option<Folder>> {
        let Some(root) = self.root()? else { return Ok(None) };
        match root.enter(scope) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => {
                let path = self.root.join(scope);
                let found = other.map_err(io("looking for machines", &path))?;
                Store::refuse_others(&found.stat().map_err(io("looking for machines", &path))?, &path)?;
                Ok(Some(found))
            }
        }
    }

    /// Root works in no folder in which somebody else could put another machine in the place of one.
    fn refuse_others(stat: &Stat, path: &Path) -> Result<()> {
        let writable = if process::is_root() { 0o022 } else { 0o002 };
        if stat.st_mode & writable == 0 && (!process::is_root() || stat.st_uid == 0) {
            return Ok(());
        }
        let reason = format!(
            "others can write in {}, and would do so with the rights of lampwright: chown it to root and take their right to write (chmod go-w), or name another folder",
            path.display()
        );
        Err(DriverError::Setting { name: "root".to_owned(), reason })
    }

    /// The machine with the key, if it is there.
    pub(super) fn home(&self, key: &MachineKey) -> Result<Option<Home>> {
        let Some(scope) = self.scope(&key.layer.scope)? else { return Ok(None) };
        let path = self.folder(key);
        let failed = io("reading the machine", &path);
        let folder = match scope.enter(key.name()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(&failed)?,
        };
        let Some(record) = read_record(&folder).map_err(&failed)? else { return Ok(None) };
        if record.key() != *key {
            return Err(failed(std::io::Error::other("its record is another machine's")));
        }
        Ok(Some(Home { folder, path, account: Account::of(record.user), record }))
    }

    pub(super) fn existing(&self, key: &MachineKey) -> Result<Home> {
        self.home(key)?.ok_or_else(|| DriverError::NoSuchMachine(key.name()))
    }

    /// One at a time over all processes of this user: addresses and users are given out under it. Others cannot open it,
    /// since whoever can open a file can lock it; and nobody is waited for without an end.
    fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let failed = io("locking", &path);
        let options = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = options.map_err(&failed)?;
        // One of an older version was open to all.
        lock.set_permissions(Permissions::from_mode(0o600)).map_err(&failed)?;
        let deadline = Instant::now() + LOCK_DEADLINE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::WouldBlock) => {
                    let detail = format!("another process has held it for {} s", LOCK_DEADLINE.as_secs());
                    return Err(failed(std::io::Error::new(ErrorKind::TimedOut, detail)));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// The machine with the key, which is made if it does not exist, and belongs to the owner then.
    pub(super) fn create(&self, key: &MachineKey, order: &Order) -> Result<Home> {
        const OPEN: Wanted = Wanted { mode: 0o755, owner: None };
        let failed = io("making the folder", &self.folder(key));
        if self.root()?.is_none() {
            std::fs::create_dir_all(&self.root).map_err(&failed)?;
            // Daemons of other users have to get through.
            Folder::at(&self.root).and_then(|root| root.become_as(OPEN)).map_err(&failed)?;
        }
        let Some(root) = self.root()? else { return Err(failed(ErrorKind::NotFound.into())) };
        let _lock = self.lock()?;
        if let Some(mut home) = self.home(key)? {
            if !order.may_take(Some(&home.record.owner)) {
                let owner = Owner::parse(&home.record.owner).described();
                return Err(DriverError::Taken { machine: key.name(), layer: key.layer.to_string(), owner });
            }
            if home.record.owner != order.owner {
                order.owner.clone_into(&mut home.record.owner);
                home.write_record()?;
            }
            return Ok(home);
        }
        let records = self.all_records()?;
        let address = self.free_address(key, &records)?;
        let user = if process::is_root() { Some(self.user_of(&key.layer, &records)?) } else { None };
        let account = Account::of(user);
        let scope = root.make(&key.layer.scope, OPEN).map_err(&failed)?;
        let folder = scope.make(key.name(), account.lent(0o750)).map_err(&failed)?;
        let record = Record {
            scope: key.layer.scope.clone(),
            layer: key.layer.name.clone(),
            id: key.id,
            address,
            owner: order.owner.clone(),
            user,
            services: None,
        };
        let home = Home { folder, path: self.folder(key), account, record };
        home.write_record()?;
        Ok(home)
    }

    /// Whether this is a user that daemons run as.
    pub(super) fn is_daemon(&self, user: u32) -> bool {
        if !process::is_root() {
            return user == rustix::process::geteuid().as_raw();
        }
        user == process::nobody().uid || Users::new(self.users.as_deref()).is_ok_and(|users| users.has(user))
    }

    /// The layer's own user, which is given out to its first machine. The caller has the lock.
    fn user_of(&self, layer: &LayerId, records: &[Record]) -> Result<u32> {
        let of_layer = |record: &&Record| record.scope == layer.scope && record.layer == layer.name;
        if let Some(user) = records.iter().filter(of_layer).find_map(|record| record.user) {
            return Ok(user);
        }
        let mut taken = users::taken();
        taken.extend(records.iter().filter_map(|record| record.user));
        let root = std::fs::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone());
        let name = format!("{}\0{}\0{}", root.display(), layer.scope, layer.name);
        Users::new(self.users.as_deref())?.pick(&name, &taken)
    }

    /// Gives a machine that is older than users of layers, and does not run now, its layer's user.
    pub(super) fn settle(&self, home: &mut Home) -> Result<()> {
        if !process::is_root() || home.record.user.is_some() {
            return Ok(());
        }
        let _lock = self.lock()?;
        let user = self.user_of(&home.record.key().layer, &self.all_records()?)?;
        let account = Account::of(Some(user));
        let give = || -> std::io::Result<()> {
            home.folder.become_as(account.lent(0o750))?;
            for name in home.folder.names()? {
                let Some(name) = name.to_str() else { continue };
                if PASSING.contains(&name) {
                    home.folder.remove(name)?;
                    home.folder.make(name, account.own(0o750))?;
                } else if LASTING.contains(&name) {
                    let own = if name == "etc" { account.lent(0o750) } else { account.own(0o750) };
                    let to = account.own(0).owner.unwrap_or(process::nobody());
                    home.folder.make(name, own)?.hand_over(process::nobody().uid, to, DEPTH)?;
                } else if home.folder.is_folder(OsStr::new(name)).unwrap_or(false) {
                    home.folder.make(name, account.lent(0o750))?;
                }
            }
            Ok(())
        };
        give().map_err(io("giving the machine its user", &home.path))?;
        home.record.user = Some(user);
        home.account = account;
        home.write_record()
    }

    pub(super) fn list(&self, layer: &LayerId) -> Result<Vec<MachineKey>> {
        let records = self.records_of_scope(&layer.scope)?.into_iter();
        let mut found: Vec<MachineKey> =
            records.filter(|record| record.layer == layer.name).map(|record| record.key()).collect();
        found.sort();
        Ok(found)
    }

    pub(super) fn delete(&self, key: &MachineKey) -> Result<()> {
        let Some(scope) = self.scope(&key.layer.scope)? else { return Ok(()) };
        let failed = io("removing the machine", &self.folder(key));
        let user = self.home(key).ok().flatten().and_then(|home| home.record.user);
        // Out of sight in one step: a machine is there with its record, or it is not there.
        let trash = format!("{}.{REMOVED}", key.name());
        match scope.rename(&key.name(), &trash) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        scope.remove(&trash).map_err(failed)?;
        // The folder of the scope, once it is empty.
        let _ = std::fs::remove_dir(self.root.join(&key.layer.scope));
        if let Some(user) = user
            && process::is_root()
            && Users::new(self.users.as_deref())?.has(user)
            && self.list(&key.layer)?.is_empty()
        {
            process::kill_all_of(user);
        }
        Ok(())
    }

    /// A folder that is not there holds nothing; one that cannot be read is an error, since machines that are only
    /// not seen must never count as gone.
    fn records_of_scope(&self, scope: &str) -> Result<Vec<Record>> {
        let Some(folder) = self.scope(scope)? else { return Ok(Vec::new()) };
        let path = self.root.join(scope);
        let mut records = Vec::new();
        for name in folder.names().map_err(io("looking for machines", &path))? {
            let path = path.join(&name);
            // What a crash left while it was being removed is removed.
            if name == kept::FOLDER || path.extension().is_some_and(|extension| extension == REMOVED) {
                continue;
            }
            let failed = io("reading the machine", &path);
            // Another command may remove it now, by a new name.
            let machine = match folder.enter(&name) {
                Err(error) if error.kind() == ErrorKind::NotFound || is_no_folder(&error) => continue,
                other => other.map_err(&failed)?,
            };
            match read_record(&machine).map_err(&failed)? {
                Some(record) if OsStr::new(&record.key().name()) != name || record.scope != scope => {
                    return Err(failed(std::io::Error::other("its record is another machine's")));
                }
                Some(record) => records.push(record),
                // A folder that was just made and has no record yet is no machine; one that holds something is a
                // damaged machine, whose daemons may run.
                None if machine.names().map_err(&failed)?.iter().all(|name| is_scratch(name)) => {}
                None => return Err(failed(ErrorKind::NotFound.into())),
            }
        }
        Ok(records)
    }

    fn all_records(&self) -> Result<Vec<Record>> {
        let Some(root) = self.root()? else { return Ok(Vec::new()) };
        let failed = io("looking for machines", &self.root);
        let mut records = Vec::new();
        for name in root.names().map_err(&failed)? {
            if let Some(scope) = name.to_str()
                && root.is_folder(&name).unwrap_or(false)
            {
                records.extend(self.records_of_scope(scope)?);
            }
        }
        Ok(records)
    }

    /// A layer has 256 neighbouring addresses of its own; the machine with the id 7 has the seventh.
    fn free_address(&self, key: &MachineKey, records: &[Record]) -> Result<Ipv4Addr> {
        let listening = listening_addresses();
        let is_ours = |record: &&Record| record.scope == key.layer.scope && record.layer == key.layer.name;
        let network_of = |address: Ipv4Addr| address.to_bits() >> 8;
        let own = records.iter().find(is_ours).map(|record| network_of(record.address));
        let first = self.base >> 8;
        let fresh = (first..first + self.networks).find(|network| {
            // 127.0.0.0/24 is everybody's.
            *network != Ipv4Addr::LOCALHOST.to_bits() >> 8
                && records.iter().all(|record| network_of(record.address) != *network)
                && listening.iter().all(|address| network_of(*address) != *network)
        });
        let network = own.or(fresh);
        let is_free = |address: &Ipv4Addr| {
            records.iter().all(|record| record.address != *address) && !listening.contains(address)
        };
        let preferred = u32::try_from(key.id).ok().filter(|id| (1..255).contains(id));
        network
            .and_then(|network| {
                let hosts = preferred.into_iter().chain(1..255);
                hosts.map(|host| Ipv4Addr::from_bits(network << 8 | host)).find(is_free)
            })
            .ok_or_else(|| DriverError::NoAddress { network: self.network.clone() })
    }
}

impl Home {
    pub(super) fn set_started(&mut self, services: &[Service]) -> Result<()> {
        self.record.services = Some(services.iter().map(|service| service.pid_file.to_owned()).collect());
        self.write_record()
    }

    fn write_record(&self) -> Result<()> {
        let json = serde_json::to_vec_pretty(&self.record).expect("a record has only plain fields");
        let written = self.folder.write(RECORD, &json, self.account.lent(0o640));
        written.map_err(io("writing", &self.path.join(RECORD)))
    }
}

/// What a machine's record says, if it has one. It decides whom root gives files to and which processes are signalled, so
/// only one that whoever runs us has written counts: an application could write in the folders of older machines.
fn read_record(folder: &Folder) -> std::io::Result<Option<Record>> {
    let found = match folder.read(RECORD, RECORD_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if found.owner.uid != rustix::process::geteuid().as_raw() {
        return Err(std::io::Error::other(format!("{RECORD} was written by another user, {}", found.owner.uid)));
    }
    let record: Record = serde_json::from_slice(&found.content)?;
    let pid_files = record.services.iter().flatten();
    if !record.address.is_loopback() || !pid_files.into_iter().all(|path| leads_down(path)) {
        return Err(std::io::Error::other(format!("{RECORD} leads out of the machine")));
    }
    Ok(Some(record))
}

fn io(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> DriverError + use<> {
    let path = path.display().to_string();
    move |source| DriverError::Io { what, path: path.clone(), source }
}

/// Loopback addresses on which somebody listens (proc(5), `/proc/net/tcp`; state 0A is LISTEN).
fn listening_addresses() -> Vec<Ipv4Addr> {
    let text = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (address, _) = fields.next()?.split_once(':')?;
            let state = fields.nth(1)?;
            let bits = u32::from_str_radix(address, 16).ok()?;
            (state == "0A").then(|| Ipv4Addr::from_bits(u32::from_be(bits)))
        })
        .filter(Ipv4Addr::is_loopback)
        .collect()
}
