//! Which machines there are: folders with a record, `ROOT/SCOPE/web-1/machine.json`.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::install::{make_folder, write_atomically};
use super::kept;
use super::process::Account;
use crate::bundle::Service;
use crate::driver::{DriverError, Layer, MachineKey, Order, Result};
use crate::ownership::Owner;

const RECORD: &str = "machine.json";
const REMOVED: &str = "removed";

#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    base: u32,
    /// How many networks of 256 addresses there are.
    networks: u32,
    network: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    scope: String,
    layer: String,
    id: u64,
    address: Ipv4Addr,
    #[serde(default)]
    owner: String,
    /// Pid files of the services that were told to run; none before the first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    services: Option<Vec<String>>,
}

impl Store {
    pub(super) fn new(root: PathBuf, network: &str) -> Result<Store> {
        let bad = |reason: &str| DriverError::Setting { name: "network".to_owned(), reason: reason.to_owned() };
        let (address, length) = network.split_once('/').ok_or_else(|| bad("write address/length"))?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad("the address is not an IPv4 address"))?;
        let length: u32 = length.parse().map_err(|_| bad("the length is not a number"))?;
        if !address.is_loopback() || !(8..=24).contains(&length) {
            return Err(bad("it must lie within 127.0.0.0/8 and have a length from 8 to 24"));
        }
        let base = address.to_bits() & (u32::MAX << (32 - length));
        Ok(Store { root, base, networks: 1 << (24 - length), network: network.to_owned() })
    }

    pub(super) fn folder(&self, key: &MachineKey) -> PathBuf {
        self.root.join(&key.layer.scope).join(key.name())
    }

    pub(super) fn scope_folder(&self, layer: &Layer) -> PathBuf {
        self.root.join(&layer.scope)
    }

    /// The address of the machine with the key, which is made if it does not exist, and belongs to the owner then.
    pub(super) fn create(&self, key: &MachineKey, order: &Order, account: &Account) -> Result<IpAddr> {
        make_folder(&self.root, 0o755, None)?;
        // One at a time over all processes of this user: addresses are given out here.
        let lock_path = self.root.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.and_then(|lock| lock.lock().map(|()| lock));
        let _lock =
            lock.map_err(|source| DriverError::Io { what: "locking", path: lock_path.display().to_string(), source })?;
        if let Some(mut record) = self.record(key) {
            if !order.may_take(Some(&record.owner)) {
                let owner = Owner::parse(&record.owner).described();
                return Err(DriverError::Taken { machine: key.name(), layer: key.layer.to_string(), owner });
            }
            if record.owner != order.owner {
                order.owner.clone_into(&mut record.owner);
                self.write(key, &record)?;
            }
            return Ok(record.address.into());
        }
        let address = self.free_address(key)?;
        make_folder(&self.root.join(&key.layer.scope), 0o755, None)?;
        make_folder(&self.folder(key), 0o755, Some(account))?;
        let record = Record {
            scope: key.layer.scope.clone(),
            layer: key.layer.name.clone(),
            id: key.id,
            address,
            owner: order.owner.clone(),
            services: None,
        };
        self.write(key, &record)?;
        Ok(address.into())
    }

    pub(super) fn list(&self, layer: &Layer) -> Result<Vec<(MachineKey, IpAddr)>> {
        let mut found: Vec<(MachineKey, IpAddr)> = self
            .records_of_scope(&layer.scope)?
            .into_iter()
            .filter(|record| record.layer == layer.name)
            .map(|record| (MachineKey { layer: layer.clone(), id: record.id }, record.address.into()))
            .collect();
        found.sort();
        Ok(found)
    }

    pub(super) fn address(&self, key: &MachineKey) -> Option<IpAddr> {
        self.record(key).map(|record| record.address.into())
    }

    pub(super) fn owner(&self, key: &MachineKey) -> Option<String> {
        self.record(key).map(|record| record.owner)
    }

    pub(super) fn started_services(&self, key: &MachineKey) -> Option<Vec<String>> {
        self.record(key)?.services
    }

    pub(super) fn set_started(&self, key: &MachineKey, services: &[Service]) -> Result<()> {
        let mut record = self.record(key).ok_or_else(|| DriverError::NoSuchMachine(key.name()))?;
        record.services = Some(services.iter().map(|service| service.pid_file.to_owned()).collect());
        self.write(key, &record)
    }

    pub(super) fn delete(&self, key: &MachineKey) -> Result<()> {
        let folder = self.folder(key);
        // Out of sight in one step: a machine is there with its record, or it is not there.
        let trash = folder.with_extension(REMOVED);
        let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        let failed =
            |source| DriverError::Io { what: "removing the machine", path: folder.display().to_string(), source };
        match std::fs::rename(&folder, &trash) {
            Err(error) if !gone(&error) => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        match std::fs::remove_dir_all(&trash) {
            Err(error) if !gone(&error) => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        // The folder of the scope, once it is empty.
        let _ = std::fs::remove_dir(self.root.join(&key.layer.scope));
        Ok(())
    }

    fn record(&self, key: &MachineKey) -> Option<Record> {
        let bytes = std::fs::read(self.folder(key).join(RECORD)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn write(&self, key: &MachineKey, record: &Record) -> Result<()> {
        let json = serde_json::to_vec_pretty(record).expect("a record has only plain fields");
        write_atomically(&self.folder(key).join(RECORD), &json, 0o644, &Account::unchanged())
    }

    /// A folder that is not there holds nothing; one that cannot be read is an error, since machines that are only
    /// not seen must never count as gone.
    fn records_of_scope(&self, scope: &str) -> Result<Vec<Record>> {
        let folders = entries_of(&self.root.join(scope))?.into_iter();
        // What a crash left while it was being removed is removed.
        let folders = folders.filter(|folder| folder.extension().is_none_or(|extension| extension != REMOVED));
        let folders = folders.filter(|folder| folder.file_name().is_none_or(|name| name != kept::FOLDER));
        let mut records = Vec::new();
        for folder in folders {
            let path = folder.join(RECORD);
            let failed =
                |source| DriverError::Io { what: "reading the machine", path: path.display().to_string(), source };
            match std::fs::read(&path) {
                Ok(bytes) => records.push(serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?),
                // A folder that was just made and has no record yet is no machine; one that holds something is a
                // damaged machine, whose daemons may run.
                Err(error) if error.kind() == ErrorKind::NotADirectory => {}
                Err(error) if error.kind() == ErrorKind::NotFound && entries_of(&folder)?.is_empty() => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(records)
    }

    fn all_records(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for folder in entries_of(&self.root)?.into_iter().filter(|entry| entry.is_dir()) {
            if let Some(scope) = folder.file_name().and_then(|name| name.to_str()) {
                records.extend(self.records_of_scope(scope)?);
            }
        }
        Ok(records)
    }

    /// A layer has 256 neighbouring addresses of its own; the machine with the id 7 has the seventh.
    fn free_address(&self, key: &MachineKey) -> Result<Ipv4Addr> {
        let records = self.all_records()?;
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

fn entries_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| DriverError::Io { what: "looking for machines", path: folder.display().to_string(), source };
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(failed(source)),
    }
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
