//! What a cloud must be able to do. Every cloud is a [`Driver`]; resources know no other way to a machine.
//!
//! A driver returns facts (address, status), never opinions: what to do about a dead machine is a resource's
//! business. All drivers pass the same conformance tests (`drivers/conformance.rs`).
//!
//! **Invariant:** a driver never sees a resource or a schema.

mod abilities;
mod owner;
mod problem;
mod status;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;

use crate::bundle::{Bundle, Layout, Manifest, Program, Service, Signal};
pub use abilities::{Admitted, Balancer, BalancerSeen, BalancerTraits, Balancers, Firewall, Ingress, Source};
pub use owner::Owner;
pub use problem::driver_problem;
pub use status::{CHANGED_BY_HAND, Drift, DriftKind, Found, OTHER_SIZE, OUT_OF_SPACE, Status};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Is told what is happening, for whoever watches.
pub type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// A group of machines of one layer: `scope` tells stacks apart, `name` the layers of a stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId {
    pub scope: String,
    pub name: String,
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scope, self.name)
    }
}

impl LayerId {
    /// The layer with an id, `scope/name`.
    pub fn of_id(id: &str) -> LayerId {
        let (scope, name) = id.rsplit_once('/').unwrap_or(("", id));
        LayerId { scope: scope.to_owned(), name: name.to_owned() }
    }
}

/// Names one machine for good: ids are never used again. Machines carry it as tags, so that one that was made
/// before a crash is found again instead of being made twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineKey {
    pub layer: LayerId,
    pub id: u64,
}

impl MachineKey {
    /// `web-1`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.layer.name, self.id)
    }
}

/// The machines of a layer that shall be made, all at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub layer: LayerId,
    pub ids: Vec<u64>,
    /// The object that they belong to. Machines that exist already are given to it, if they may be.
    pub owner: String,
    /// The owners that machines may be taken from; those of anybody else are left alone, and that is a failure.
    pub takes: BTreeSet<String>,
    pub need: Need,
    /// The generations of the objects whose kept data ([`Kept::owner`]) the machines are made with.
    pub takes_up: Vec<String>,
}

impl Order {
    /// Whether a machine that exists may become the owner's.
    pub fn may_take(&self, owner: Option<&str>) -> bool {
        owner.is_some_and(|owner| owner == self.owner || self.takes.contains(owner))
    }

    /// Whether a disk that was kept for an object is for these machines. Its own it gets back in any case: a removal that
    /// was cut off has kept it and not removed the machine.
    pub fn may_have(&self, kept_for: &str) -> bool {
        let (own, kept_for) = (Owner::parse(&self.owner).generation, Owner::parse(kept_for).generation);
        (!own.is_empty() && own == kept_for) || self.takes_up.contains(&kept_for)
    }

    pub fn keys(&self) -> impl Iterator<Item = MachineKey> {
        self.ids.iter().map(|id| MachineKey { layer: self.layer.clone(), id: *id })
    }
}

/// A tar archive that has a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    pub program: &'static str,
    pub url: String,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

/// What a layer asks of its machines. A cloud without such a choice (this machine) takes no notice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    /// By the cloud's own name; else the smallest that has `cpu` and `memory_gb`.
    pub size: Option<String>,
    pub cpu: Option<u64>,
    pub memory_gb: Option<u64>,
    /// By the cloud's own name or id, or [`BAKE`]; else the newest of `os`.
    pub image: Option<String>,
    /// Such as `debian-12`.
    pub os: Option<String>,
    /// Programs that have to be there.
    pub programs: Vec<Program>,
    /// What brings those of them that no distribution has.
    pub archives: Vec<Archive>,
    /// Size of the disk that outlives the machine and holds the folder `data`.
    pub disk_gb: Option<u64>,
}

pub const DEFAULT_SYSTEM: &str = "debian-12";

/// In place of the name of an image: one is made of a machine that has all that the layer's machines have in common.
pub const BAKE: &str = "bake";

impl Need {
    /// The operating system where no image is named.
    pub fn system(&self) -> &str {
        self.os.as_deref().unwrap_or(DEFAULT_SYSTEM)
    }
}

/// What becomes of the data of machines that go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disks {
    Delete,
    /// It stays where the cloud keeps disks, for whoever makes the layer again. It is noted whose it was.
    Keep {
        owner: String,
    },
}

/// Data that stayed when its machine went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The machine that it was of, or the disk, by the name that people know it by.
    pub name: String,
    /// Whose it was, as machines say it ([`Owner`]).
    pub owner: String,
    /// In UTC, `2026-11-26T14:00:00Z`.
    pub since: String,
    pub size: Option<Size>,
    /// What deletes it for good.
    pub cure: String,
}

/// Now, as [`Kept::since`] has it.
pub fn timestamp() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// How much data there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// What it takes on the disk.
    Measured(u64),
    /// As measured, where there was no time to look at all.
    AtLeast(u64),
    /// Nobody knows how much is on the disk, which is so large.
    Disk(u64),
}

/// What became of an [`Order`]: also when something failed, the machines that exist now.
#[derive(Debug)]
pub struct Created {
    pub machines: Vec<Machine>,
    pub failure: Option<DriverError>,
}

/// What a cloud offers for a [`Need`], by its own names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    pub size: Option<String>,
    pub image: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub key: MachineKey,
    /// Where the other layers on the same cloud reach it; unspecified (0.0.0.0) if the cloud gave it none.
    pub address: IpAddr,
    /// Where the rest of the world reaches it, if it does.
    pub public_address: Option<IpAddr>,
    pub status: Status,
    /// The object that it belongs to ([`Order::owner`]).
    pub owner: Option<String>,
    /// It was made with another SSH key: a stack that has the same scope by accident.
    pub is_foreign: bool,
    /// By the cloud's own name; none where machines have no sizes.
    pub size: Option<String>,
}

impl Machine {
    /// Only processes are left of it (`drivers/local/ghosts.rs`): there is nothing that anybody could take over.
    pub fn is_remnant(&self) -> bool {
        self.owner.is_none() && self.address.is_unspecified()
    }

    pub fn owner(&self) -> Owner {
        Owner::parse(self.owner.as_deref().unwrap_or_default())
    }

    /// The address that others know it by.
    pub fn known_address(&self, is_public: bool) -> IpAddr {
        self.public_address.filter(|_| is_public).unwrap_or(self.address)
    }
}

/// How a person gets onto a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shell {
    /// A program and its arguments; what shall be run there comes behind.
    Command(Vec<String>),
    /// It is no host of its own: its files are here.
    Folder(PathBuf),
}

/// A part of a file, and where in the file it ends.
pub type Tail = (Vec<u8>, u64);

#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("{program} is not installed on this machine; install it with: {cure}")]
    MissingProgram { program: String, cure: String },
    #[error("{service} refuses its new configuration, so nothing was changed on {machine}:\n{output}")]
    Check { service: String, machine: String, output: String },
    #[error("{service} on {machine} did not start:\n{log}")]
    Start { service: String, machine: String, log: String },
    #[error("there is no machine {0}")]
    NoSuchMachine(String),
    #[error("no address is free in {network}")]
    NoAddress { network: String },
    #[error("{what} failed: {path}")]
    Io { what: &'static str, path: String, source: std::io::Error },
    #[error("{call} was refused: {message} ({code})")]
    Api { call: String, code: String, message: String },
    #[error("{call} got no answer that could be used: {reason}")]
    Unreachable { call: String, reason: String },
    #[error("{what} is used up: {message}. {cure}")]
    Quota { what: String, message: String, cure: String },
    #[error("there is no {what} {wanted}. There are: {known}")]
    NoSuchOffer { what: &'static str, wanted: String, known: String },
    #[error("{machine} could not be reached by SSH at {address}: {reason}")]
    Ssh { machine: String, address: String, reason: String },
    /// As `Ssh`, where trying again leads nowhere.
    #[error("{machine} is not spoken to by SSH at {address}: {reason}")]
    Untrusted { machine: String, address: String, reason: String },
    #[error(
        "the cloud has a machine {machine} of a layer {layer} that was made with another SSH key. Another stack has the same scope: set a `scope` of this stack's own in the provider block. If it is this stack's, give it its key (`ssh_key`)"
    )]
    Foreign { machine: String, layer: String },
    #[error("{machine} of the layer {layer} exists already and belongs to {owner}; nothing was taken from it")]
    Taken { machine: String, layer: String, owner: String },
    /// It was spoken to, and could not do what it was asked for.
    #[error("{machine} could not do it: {reason}")]
    Machine { machine: String, reason: String },
    #[error("{machine} did not come up: {reason}")]
    Boot { machine: String, reason: String },
    #[error("the setting `{name}` of the cloud is not valid: {reason}")]
    Setting { name: String, reason: String },
}

impl DriverError {
    pub fn taken(machine: &Machine) -> DriverError {
        let MachineKey { layer, .. } = &machine.key;
        let owner = machine.owner().described();
        DriverError::Taken { machine: machine.key.name(), layer: layer.to_string(), owner }
    }

    /// The error and what it is made of, for a person.
    pub fn explain(&self) -> String {
        match self {
            DriverError::Io { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}

pub type Result<T> = std::result::Result<T, DriverError>;

/// An answer that is there at once.
pub fn now<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

/// Machines. What else a cloud can do are objects that it has or has not (`driver/abilities.rs`). What is given here is right
/// for a cloud whose machines are ready when they are made and lose nothing on the outside.
pub trait Driver: fmt::Debug + Send + Sync {
    /// Where a machine's files will be.
    fn layout(&self, key: &MachineKey) -> Layout;

    /// The address that a machine which is not there yet will have, where that is known before.
    fn promised(&self, _: &MachineKey) -> Option<IpAddr> {
        None
    }

    /// The lowest port that services can listen on.
    fn lowest_port(&self) -> u16 {
        1
    }

    /// Rules of who may come in at machines; none where there are none.
    fn firewall(&self) -> Option<&dyn Firewall> {
        None
    }

    fn has_firewall(&self) -> bool {
        self.firewall().is_some()
    }

    /// The cloud's own load balancers.
    fn balancers(&self) -> Option<&dyn Balancers> {
        None
    }

    /// The network that this cloud's machines are seen by from elsewhere, if it is not their own public addresses.
    fn egress(&self) -> Option<String> {
        None
    }

    /// What tells the network that the machines are in from others: where two clouds have the same one, their machines and
    /// load balancers see each other as if they were on one.
    fn network(&self) -> Option<String> {
        None
    }

    /// What the cloud gives for a need; an error lists what there is. Costs calls, so it is asked once per plan.
    fn offer<'a>(&'a self, _need: &'a Need) -> BoxFuture<'a, Result<Offer>> {
        now(Ok(Offer::default()))
    }

    /// Makes machines, as few calls as the cloud allows; what exists already is given back, never made twice.
    fn create<'a>(&'a self, order: &'a Order, tell: Tell<'a>) -> BoxFuture<'a, Created>;

    /// The machines of a layer, by id, with their present status.
    fn list<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Machine>>>;

    /// Whether the services of a machine run.
    fn status<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<Status>>;

    /// How a person gets onto a machine.
    fn shell<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<Shell>> {
        now(Ok(Shell::Folder(self.layout(key).root)))
    }

    /// The manifest of what was installed last; none if nothing was.
    fn installed<'a>(&'a self, _key: &'a MachineKey) -> BoxFuture<'a, Result<Option<Manifest>>> {
        now(Ok(None))
    }

    /// The files of a machine that are not as they were installed, by path.
    fn drift<'a>(&'a self, _key: &'a MachineKey) -> BoxFuture<'a, Result<Vec<Drift>>> {
        now(Ok(Vec::new()))
    }

    /// Waits until a machine that was just made can be worked on. Tells what it waits for.
    fn await_boot<'a>(&'a self, _key: &'a MachineKey, _tell: Tell<'a>) -> BoxFuture<'a, Result<()>> {
        now(Ok(()))
    }

    /// Gives back to machines that exist what they have lost on the outside: power, their data disk. A disk that is
    /// nowhere any more is made anew, and is empty.
    fn mend<'a>(&'a self, _order: &'a Order) -> BoxFuture<'a, Result<()>> {
        now(Ok(()))
    }

    /// The size of a machine, as it was last seen; none where machines have no sizes.
    fn size(&self, _key: &MachineKey) -> Option<String> {
        None
    }

    /// Whether a machine that was stopped comes back with its public address.
    fn keeps_public_addresses(&self) -> bool {
        true
    }

    /// Gives a machine whose services are stopped another size. It keeps its disks and its address in the cloud's network, and
    /// is booted again. Asked only where machines have sizes.
    fn resize<'a>(&'a self, _key: &'a MachineKey, _size: &'a str) -> BoxFuture<'a, Result<()>> {
        now(Ok(()))
    }

    /// Removes machines of one layer with all that is on them; `disks` says what becomes of their data, the folder
    /// `data`. A machine that is not there counts as removed.
    fn delete<'a>(&'a self, keys: &'a [MachineKey], disks: &'a Disks) -> BoxFuture<'a, Result<()>>;

    /// Removes what a layer has besides machines, once it has none: disks that lost their machine, firewall groups. What
    /// is kept already stays.
    fn dissolve<'a>(&'a self, _layer: &'a LayerId, _disks: &'a Disks) -> BoxFuture<'a, Result<()>> {
        now(Ok(()))
    }

    /// The data of a layer that was kept when its machines went, by name.
    fn kept<'a>(&'a self, _layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Kept>>> {
        now(Ok(Vec::new()))
    }

    /// Where data of a layer is kept, for people.
    fn keeps_at(&self, layer: &LayerId) -> String;

    /// How much data each machine has; none where that cannot be told without working on the machine. Takes little time.
    fn data_size<'a>(&'a self, _keys: &'a [MachineKey]) -> BoxFuture<'a, Option<Vec<Size>>> {
        now(None)
    }

    /// Brings the machine's files to what the bundle says: only those that differ, after every service has
    /// accepted its new configuration, each by an atomic rename. Returns the paths that changed.
    fn install<'a>(&'a self, key: &'a MachineKey, bundle: &'a Bundle) -> BoxFuture<'a, Result<Vec<String>>>;

    /// Starts all services, in order. What already runs is left alone if all run; a machine of which only a part
    /// runs is started anew.
    fn start<'a>(&'a self, key: &'a MachineKey, services: &'a [Service]) -> BoxFuture<'a, Result<()>>;

    /// Stops all services, politely first. A machine that does not run is fine.
    fn stop<'a>(&'a self, key: &'a MachineKey, services: &'a [Service]) -> BoxFuture<'a, Result<()>>;

    fn signal<'a>(&'a self, key: &'a MachineKey, service: &'a Service, signal: Signal) -> BoxFuture<'a, Result<()>>;

    /// Sends a line to a unix socket on the machine and reads the answer to its end.
    fn ask<'a>(&'a self, key: &'a MachineKey, socket: &'a str, line: &'a str) -> BoxFuture<'a, Result<String>>;

    /// Where this program reaches a port of the machine, directly or through a tunnel.
    fn reach<'a>(&'a self, key: &'a MachineKey, port: u16) -> BoxFuture<'a, Result<SocketAddr>>;

    /// The status that an HTTP GET from the machine itself or from this program gets, and the page; `None` if
    /// nobody answers.
    fn probe<'a>(&'a self, key: &'a MachineKey, port: u16, path: &'a str) -> BoxFuture<'a, Option<(u16, String)>>;

    fn read<'a>(&'a self, key: &'a MachineKey, path: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>>;

    /// A part of a file that daemons go on writing: from an offset, or its end; at most `limit` bytes, and where to go on.
    /// A file that has become shorter is begun anew. None if there is no such file.
    fn tail<'a>(
        &'a self,
        key: &'a MachineKey,
        path: &'a str,
        from: Option<u64>,
        limit: u64,
    ) -> BoxFuture<'a, Result<Option<Tail>>>;

    /// Writes a small file that is not part of a bundle, such as a flag.
    fn write<'a>(&'a self, key: &'a MachineKey, path: &'a str, content: &'a [u8]) -> BoxFuture<'a, Result<()>>;

    fn remove<'a>(&'a self, key: &'a MachineKey, path: &'a str) -> BoxFuture<'a, Result<()>>;
}
