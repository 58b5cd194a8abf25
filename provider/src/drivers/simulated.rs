//! Clouds that nobody talks to, for plans that shall be the same everywhere: tests with snapshots, and bundles that are
//! rendered for review. What a cloud would give out at random, such as addresses, follows from names alone here.
//!
//! Nothing can be made on them: they serve plans only.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::DriverInfo;
use crate::bundle::{Bundle, Layout, Service, Signal};
use crate::driver::{
    Admitted, Balancer, BalancerSeen, BalancerTraits, Balancers, BoxFuture, Created, Disks, Driver, DriverError,
    Firewall, Ingress, LayerId, Machine, MachineKey, Order, Result, Source, Status, Tail, Tell, now,
};
use crate::seed;

/// Set by whoever wants plans of this kind: `LAMPWRIGHT_SIMULATE=1`, or `=check`.
pub const VARIABLE: &str = proto::dialect::SIMULATE_VARIABLE;

/// How plans are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simulation {
    /// The daemons check their files, which have to be installed where this runs.
    pub checks: bool,
}

pub fn wanted() -> Option<Simulation> {
    let value = std::env::var_os(VARIABLE).filter(|value| !value.is_empty())?;
    Some(Simulation { checks: value == "check" })
}

/// A simulation of a driver's clouds.
pub fn of(info: &'static DriverInfo) -> Arc<dyn Driver> {
    Arc::new(Simulated { info })
}

#[derive(Debug)]
struct Simulated {
    info: &'static DriverInfo,
}

fn refused<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T>> {
    Box::pin(async {
        let reason = format!("this provider only simulates ({VARIABLE} is set): nothing can be made or read");
        Err(DriverError::Setting { name: VARIABLE.to_owned(), reason })
    })
}

impl Driver for Simulated {
    fn layout(&self, key: &MachineKey) -> Layout {
        let root = match self.info.traits.root {
            Some(root) => PathBuf::from(root),
            None => PathBuf::from("/machine").join(key.name()),
        };
        Layout { root, has_firewall: self.info.traits.has_firewall, is_shared: !self.info.traits.has_firewall }
    }

    fn promised(&self, key: &MachineKey) -> Option<IpAddr> {
        Some(seed::address(key))
    }

    fn firewall(&self) -> Option<&dyn Firewall> {
        self.info.traits.has_firewall.then_some(self)
    }

    fn balancers(&self) -> Option<&dyn Balancers> {
        self.info.traits.balancer.is_some().then_some(self)
    }

    fn network(&self) -> Option<String> {
        self.info.traits.has_firewall.then(|| self.info.name.to_owned())
    }

    fn egress(&self) -> Option<String> {
        (!self.info.traits.has_firewall).then(|| "192.0.2.1/32".to_owned())
    }

    fn create<'a>(&'a self, _: &'a Order, _: Tell<'a>) -> BoxFuture<'a, Created> {
        Box::pin(async { Created { machines: Vec::new(), failure: refused::<()>().await.err() } })
    }

    fn list<'a>(&'a self, _: &'a LayerId) -> BoxFuture<'a, Result<Vec<Machine>>> {
        now(Ok(Vec::new()))
    }

    fn status<'a>(&'a self, _: &'a MachineKey) -> BoxFuture<'a, Result<Status>> {
        now(Ok(Status::Running))
    }

    fn delete<'a>(&'a self, _: &'a [MachineKey], _: &'a Disks) -> BoxFuture<'a, Result<()>> {
        refused()
    }

    fn keeps_at(&self, _: &LayerId) -> String {
        "the disks of its machines".to_owned()
    }

    fn install<'a>(&'a self, _: &'a MachineKey, _: &'a Bundle) -> BoxFuture<'a, Result<Vec<String>>> {
        refused()
    }

    fn start<'a>(&'a self, _: &'a MachineKey, _: &'a [Service]) -> BoxFuture<'a, Result<()>> {
        refused()
    }

    fn stop<'a>(&'a self, _: &'a MachineKey, _: &'a [Service]) -> BoxFuture<'a, Result<()>> {
        refused()
    }

    fn signal<'a>(&'a self, _: &'a MachineKey, _: &'a Service, _: Signal) -> BoxFuture<'a, Result<()>> {
        refused()
    }

    fn ask<'a>(&'a self, _: &'a MachineKey, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<String>> {
        refused()
    }

    fn reach<'a>(&'a self, _: &'a MachineKey, _: u16) -> BoxFuture<'a, Result<SocketAddr>> {
        refused()
    }

    fn probe<'a>(&'a self, _: &'a MachineKey, _: u16, _: &'a str) -> BoxFuture<'a, Option<(u16, String)>> {
        now(None)
    }

    fn read<'a>(&'a self, _: &'a MachineKey, _: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        now(Ok(None))
    }

    fn tail<'a>(
        &'a self,
        _: &'a MachineKey,
        _: &'a str,
        _: Option<u64>,
        _: u64,
    ) -> BoxFuture<'a, Result<Option<Tail>>> {
        now(Ok(None))
    }

    fn write<'a>(&'a self, _: &'a MachineKey, _: &'a str, _: &'a [u8]) -> BoxFuture<'a, Result<()>> {
        refused()
    }

    fn remove<'a>(&'a self, _: &'a MachineKey, _: &'a str) -> BoxFuture<'a, Result<()>> {
        refused()
    }
}

impl Firewall for Simulated {
    fn management(&self) -> Vec<Ingress> {
        vec![Ingress { source: Source::Network("192.0.2.0/24".to_owned()), port: 22 }]
    }

    fn admit<'a>(&'a self, _: &'a LayerId, _: &'a str, _: &'a [Ingress]) -> BoxFuture<'a, Result<()>> {
        refused()
    }

    fn admitted<'a>(&'a self, _: &'a LayerId) -> BoxFuture<'a, Result<Vec<Admitted>>> {
        now(Ok(Vec::new()))
    }

    fn expel_unknown<'a>(&'a self, _: &'a LayerId) -> BoxFuture<'a, Result<()>> {
        refused()
    }
}

impl Balancers for Simulated {
    fn traits(&self) -> BalancerTraits {
        self.info.traits.balancer.unwrap_or(BalancerTraits { algorithms: &[], shortest_check_ms: 0 })
    }

    fn source<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Source>> {
        now(Ok(Source::Layer(layer.clone())))
    }

    fn set<'a>(&'a self, _: &'a Balancer) -> BoxFuture<'a, Result<String>> {
        refused()
    }

    fn find<'a>(&'a self, _: &'a LayerId) -> BoxFuture<'a, Result<Option<BalancerSeen>>> {
        now(Ok(None))
    }
}
