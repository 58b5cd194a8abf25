//! A cloud that exists only in this process, for tests of resources: a fake, and called so. It passes the same
//! conformance tests as the real ones.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{DriverInfo, Traits};
use crate::bundle::{Bundle, Layout, Manifest, Service, Signal};
use crate::driver::{
    BoxFuture, Created, Disks, Driver, DriverError, Kept, LayerId, Machine, MachineKey, Need, Offer, Order, Result,
    Size, Status, Tail, Tell, now, timestamp,
};

pub(super) const INFO: DriverInfo = DriverInfo {
    name: "memory",
    doc: "a fake for tests: machines exist only while the provider runs, and nothing is started",
    settings: &[],
    common_settings: &[],
    connect: |_| Ok(Arc::new(Memory::default())),
    traits: Traits { root: None, has_firewall: false, balancer: None },
};

#[derive(Debug, Default)]
pub(super) struct Memory {
    machines: Mutex<BTreeMap<MachineKey, FakeMachine>>,
    kept: Mutex<BTreeMap<MachineKey, KeptFiles>>,
}

type KeptFiles = (Kept, BTreeMap<String, Vec<u8>>);

const DATA: &str = "data/";
/// Of machines with so much memory this cloud has none left.
const NO_CAPACITY: u64 = 13;

/// So many bytes of files go onto a machine.
const ROOM: usize = 1 << 20;

fn no_capacity() -> DriverError {
    let what = format!("machines with {NO_CAPACITY} GiB");
    DriverError::Quota { what, message: "no capacity".to_owned(), cure: "wait".to_owned() }
}

#[derive(Debug)]
struct FakeMachine {
    address: IpAddr,
    public: Ipv4Addr,
    status: Status,
    size: String,
    owner: String,
    files: BTreeMap<String, Vec<u8>>,
    manifest: Option<Manifest>,
}

impl FakeMachine {
    fn status(&self) -> Status {
        let used: usize = self.files.values().map(Vec::len).sum();
        if self.status == Status::Running && used >= ROOM {
            return Status::Full("its disk is full".to_owned());
        }
        self.status.clone()
    }

    fn seen(&self, key: &MachineKey) -> Machine {
        Machine {
            key: key.clone(),
            address: self.address,
            public_address: Some(self.public.into()),
            status: self.status(),
            owner: Some(self.owner.clone()),
            is_foreign: false,
            size: Some(self.size.clone()),
        }
    }
}

impl Memory {
    fn machines(&self) -> MutexGuard<'_, BTreeMap<MachineKey, FakeMachine>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, key: &MachineKey, change: impl FnOnce(&mut FakeMachine) -> T) -> Result<T> {
        let mut machines = self.machines();
        machines.get_mut(key).map(change).ok_or_else(|| DriverError::NoSuchMachine(key.name()))
    }
}

fn size_of(need: &Need) -> String {
    need.size.clone().unwrap_or_else(|| format!("m{}", need.memory_gb.unwrap_or(1)))
}

impl Driver for Memory {
    fn layout(&self, key: &MachineKey) -> Layout {
        Layout { root: PathBuf::from("/machine").join(key.name()), has_firewall: false, is_shared: true }
    }

    fn create<'a>(&'a self, order: &'a Order, _: Tell<'a>) -> BoxFuture<'a, Created> {
        let mut machines = self.machines();
        let others = order.keys().find_map(|key| {
            machines.get(&key).filter(|machine| !order.may_take(Some(&machine.owner))).map(|machine| machine.seen(&key))
        });
        if let Some(others) = others {
            return now(Created { machines: Vec::new(), failure: Some(DriverError::taken(&others)) });
        }
        if order.need.memory_gb == Some(NO_CAPACITY) {
            return now(Created { machines: Vec::new(), failure: Some(no_capacity()) });
        }
        let created = order.keys().map(|key| {
            let host = machines.len() as u8 + 1;
            let fresh = || FakeMachine {
                address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)),
                public: Ipv4Addr::new(198, 51, 100, host),
                status: Status::Created,
                size: size_of(&order.need),
                owner: String::new(),
                files: BTreeMap::new(),
                manifest: None,
            };
            let machine = machines.entry(key.clone()).or_insert_with(fresh);
            order.owner.clone_into(&mut machine.owner);
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.get(&key).is_some_and(|(kept, _)| order.may_have(&kept.owner)) {
                machine.files.extend(kept.remove(&key).into_iter().flat_map(|(_, files)| files));
            }
            machine.seen(&key)
        });
        now(Created { machines: created.collect(), failure: None })
    }

    fn list<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Machine>>> {
        let machines = self.machines();
        let of_layer = machines.iter().filter(|(key, _)| key.layer == *layer);
        let found = of_layer.map(|(key, machine)| machine.seen(key));
        now(Ok(found.collect()))
    }

    fn status<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<Status>> {
        now(self.with(key, |machine| machine.status()))
    }

    fn offer<'a>(&'a self, need: &'a Need) -> BoxFuture<'a, Result<Offer>> {
        now(Ok(Offer { size: Some(size_of(need)), image: None }))
    }

    fn size(&self, key: &MachineKey) -> Option<String> {
        self.with(key, |machine| machine.size.clone()).ok()
    }

    fn keeps_public_addresses(&self) -> bool {
        false
    }

    fn resize<'a>(&'a self, key: &'a MachineKey, size: &'a str) -> BoxFuture<'a, Result<()>> {
        if size == format!("m{NO_CAPACITY}") {
            return now(Err(no_capacity()));
        }
        now(self.with(key, |machine| {
            size.clone_into(&mut machine.size);
            machine.status = Status::Stopped(Vec::new());
            // It is stopped and started, as on a cloud that reserves no addresses.
            let [a, b, c, d] = machine.public.octets();
            machine.public = Ipv4Addr::new(a, b, c, d.wrapping_add(100));
        }))
    }

    fn delete<'a>(&'a self, keys: &'a [MachineKey], disks: &'a Disks) -> BoxFuture<'a, Result<()>> {
        let mut machines = self.machines();
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let Some(mut machine) = machines.remove(key) else { continue };
            machine.files.retain(|path, _| path.starts_with(DATA));
            if let (Disks::Keep { owner }, false) = (disks, machine.files.is_empty()) {
                let size = machine.files.values().map(|content| content.len() as u64).sum();
                let kept = Kept {
                    name: key.name(),
                    owner: owner.clone(),
                    since: timestamp(),
                    size: Some(Size::Measured(size)),
                    cure: "end the provider".to_owned(),
                };
                all.insert(key.clone(), (kept, machine.files));
            }
        }
        now(Ok(()))
    }

    fn kept<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Kept>>> {
        let all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let of_layer = all.iter().filter(|(key, _)| key.layer == *layer);
        let found = of_layer.map(|(_, (kept, _))| kept.clone()).collect();
        now(Ok(found))
    }

    fn keeps_at(&self, _: &LayerId) -> String {
        "the memory of the provider".to_owned()
    }

    fn installed<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<Option<Manifest>>> {
        now(self.with(key, |machine| machine.manifest.clone()))
    }

    fn install<'a>(&'a self, key: &'a MachineKey, bundle: &'a Bundle) -> BoxFuture<'a, Result<Vec<String>>> {
        now(self.with(key, |machine| {
            let installed = machine.manifest.replace(Manifest::of(bundle));
            // What was not installed, such as a flag or what the daemons have written, is nobody's to take away.
            let installed = installed.into_iter().flat_map(|manifest| manifest.files).map(|entry| entry.path);
            let obsolete: Vec<String> = installed.filter(|path| !bundle.files.contains_key(path)).collect();
            let mut changed = Vec::new();
            for (path, file) in &bundle.files {
                let before = machine.files.insert(path.clone(), file.content.to_vec());
                if before.is_none_or(|before| before != *file.content) {
                    changed.push(path.clone());
                }
            }
            changed.extend(obsolete.into_iter().filter(|path| machine.files.remove(path).is_some()));
            changed
        }))
    }

    fn start<'a>(&'a self, key: &'a MachineKey, _services: &'a [Service]) -> BoxFuture<'a, Result<()>> {
        now(self.with(key, |machine| machine.status = Status::Running))
    }

    fn stop<'a>(&'a self, key: &'a MachineKey, _services: &'a [Service]) -> BoxFuture<'a, Result<()>> {
        let _ = self.with(key, |machine| machine.status = Status::Stopped(Vec::new()));
        now(Ok(()))
    }

    fn signal<'a>(&'a self, key: &'a MachineKey, _: &'a Service, _: Signal) -> BoxFuture<'a, Result<()>> {
        now(self.with(key, |_| ()))
    }

    /// Says of a load balancer that it does what its configuration says.
    fn ask<'a>(&'a self, key: &'a MachineKey, _: &'a str, line: &'a str) -> BoxFuture<'a, Result<String>> {
        now(self.with(key, |machine| {
            let config = machine.files.get("etc/haproxy.cfg").filter(|_| line == "show stat");
            let config = String::from_utf8_lossy(config.map_or(&[], Vec::as_slice)).into_owned();
            let mut table = String::from("# pxname,svname,status,addr\n");
            let mut pool = "";
            for line in config.lines() {
                match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                    ["backend", name] => pool = name,
                    ["server", name, at, ..] => table.push_str(&format!("{pool},{name},UP,{at}\n")),
                    _ => {}
                }
            }
            table
        }))
    }

    fn reach<'a>(&'a self, key: &'a MachineKey, port: u16) -> BoxFuture<'a, Result<SocketAddr>> {
        now(self.with(key, |machine| SocketAddr::new(machine.address, port)))
    }

    fn probe<'a>(&'a self, key: &'a MachineKey, _: u16, _: &'a str) -> BoxFuture<'a, Option<(u16, String)>> {
        let is_running = self.with(key, |machine| machine.status == Status::Running).unwrap_or(false);
        now(is_running.then(|| (200, "BusyWorkers: 1\n".to_owned())))
    }

    fn read<'a>(&'a self, key: &'a MachineKey, path: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        now(Ok(self.with(key, |machine| machine.files.get(path).cloned()).ok().flatten()))
    }

    fn tail<'a>(
        &'a self,
        key: &'a MachineKey,
        path: &'a str,
        from: Option<u64>,
        limit: u64,
    ) -> BoxFuture<'a, Result<Option<Tail>>> {
        now(self.with(key, |machine| {
            let file = machine.files.get(path)?;
            let size = file.len() as u64;
            let start = from.map_or(size.saturating_sub(limit), |from| if from <= size { from } else { 0 });
            let end = size.min(start + limit);
            Some((file[start as usize..end as usize].to_vec(), end))
        }))
    }

    fn write<'a>(&'a self, key: &'a MachineKey, path: &'a str, content: &'a [u8]) -> BoxFuture<'a, Result<()>> {
        now(self.with(key, |machine| {
            machine.files.insert(path.to_owned(), content.to_vec());
        }))
    }

    fn remove<'a>(&'a self, key: &'a MachineKey, path: &'a str) -> BoxFuture<'a, Result<()>> {
        now(self.with(key, |machine| {
            machine.files.remove(path);
        }))
    }
}
