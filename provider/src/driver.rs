//! What a cloud must be able to do. Every cloud is a [`Driver`]; resources know no other way to a machine.
//!
//! A driver returns facts (address, status), never opinions: what to do about a dead machine is a resource's
//! business. All drivers pass the same conformance tests (`drivers/conformance.rs`).
//!
//! **Invariant:** a driver never sees a resource or a schema.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;

use crate::bundle::{Bundle, Service};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A group of machines of one layer: `scope` tells stacks apart, `name` the layers of a stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layer {
    pub scope: String,
    pub name: String,
}

/// Names one machine for good: ids are never used again. Machines carry it as tags, so that one that was made
/// before a crash is found again instead of being made twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineKey {
    pub layer: Layer,
    pub id: u64,
}

impl MachineKey {
    /// `web-1`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.layer.name, self.id)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub key: MachineKey,
    pub address: IpAddr,
    pub status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Made, and nothing was started on it yet.
    Created,
    /// All of its services run.
    Running,
    /// At least one service does not run.
    Failed,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Failed => "failed",
        }
    }
}

/// Where things lie on a machine; known before the machine exists, so that its files can be shown in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub root: PathBuf,
}

impl Layout {
    /// The absolute path of a file of a bundle.
    pub fn path(&self, relative: &str) -> String {
        self.root.join(relative).display().to_string()
    }
}

/// A signal to a service, named for what it does rather than for its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Usr1,
    Usr2,
    Winch,
    Quit,
    Term,
}

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
    #[error("the setting `{name}` of the cloud is not valid: {reason}")]
    Setting { name: String, reason: String },
}

impl DriverError {
    /// The error and what it is made of, for a person.
    pub fn explain(&self) -> String {
        match self {
            DriverError::Io { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}

pub type Result<T> = std::result::Result<T, DriverError>;

pub trait Driver: fmt::Debug + Send + Sync {
    /// Where a machine's files will be.
    fn layout(&self, key: &MachineKey) -> Layout;

    /// Makes a machine, or gives back the one that already has this key.
    fn create<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<Machine>>;

    /// The machines of a layer, by id, with their present status.
    fn list<'a>(&'a self, layer: &'a Layer) -> BoxFuture<'a, Result<Vec<Machine>>>;

    /// Removes a machine with all that is on it. A machine that is not there counts as removed.
    fn delete<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<()>>;

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

    /// The status that an HTTP GET from this program gets; `None` if nobody answers.
    fn probe<'a>(&'a self, key: &'a MachineKey, port: u16, path: &'a str) -> BoxFuture<'a, Option<(u16, String)>>;

    fn read<'a>(&'a self, key: &'a MachineKey, path: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>>;

    /// Writes a small file that is not part of a bundle, such as a flag.
    fn write<'a>(&'a self, key: &'a MachineKey, path: &'a str, content: &'a [u8]) -> BoxFuture<'a, Result<()>>;

    fn remove<'a>(&'a self, key: &'a MachineKey, path: &'a str) -> BoxFuture<'a, Result<()>>;
}
