//! What some clouds can do and others cannot. An ability is an object that a driver has or has not: a new one touches the
//! clouds that have it, and nothing else.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::{BoxFuture, LayerId, Result};

/// Rules of who may come in at the machines of layers.
pub trait Firewall: Send + Sync {
    /// Who may come in at every machine so that it can be worked on.
    fn management(&self) -> Vec<Ingress>;

    /// Makes the rules that `by` asks for at the door of a layer exactly these.
    fn admit<'a>(&'a self, to: &'a LayerId, by: &'a str, rules: &'a [Ingress]) -> BoxFuture<'a, Result<()>>;

    /// All rules at the door of a layer, sorted.
    fn admitted<'a>(&'a self, to: &'a LayerId) -> BoxFuture<'a, Result<Vec<Admitted>>>;

    /// Takes away what nobody of ours asked for at the door of a layer.
    fn expel_unknown<'a>(&'a self, to: &'a LayerId) -> BoxFuture<'a, Result<()>>;
}

/// Load balancers of the cloud itself. `Driver::dissolve` removes the one of a layer.
pub trait Balancers: Send + Sync {
    fn traits(&self) -> BalancerTraits;

    /// Who comes in at the servers of a layer's load balancer.
    fn source<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Source>>;

    /// Makes the load balancer of a layer what it shall be; returns the name or address that clients come to.
    fn set<'a>(&'a self, wanted: &'a Balancer) -> BoxFuture<'a, Result<String>>;

    /// The load balancer of a layer, if it is there.
    fn find<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Option<BalancerSeen>>>;
}

/// A rule of a firewall: who may come in, at which TCP port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ingress {
    pub source: Source,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    World,
    /// In CIDR notation.
    Network(String),
    /// The machines of a layer on the same cloud.
    Layer(LayerId),
    /// Machines of another cloud.
    Addresses(Vec<IpAddr>),
}

impl fmt::Display for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp {} from ", self.port)?;
        match &self.source {
            Source::World => f.write_str("anywhere"),
            Source::Network(network) => f.write_str(network.strip_suffix("/32").unwrap_or(network)),
            Source::Layer(layer) => write!(f, "{layer}"),
            Source::Addresses(addresses) => {
                let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
                f.write_str(&addresses.join(", "))
            }
        }
    }
}

/// A load balancer of the cloud itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balancer {
    pub layer: LayerId,
    /// Where it listens.
    pub port: u16,
    /// By HAProxy's name of it.
    pub algorithm: String,
    pub check_path: String,
    pub check_interval_ms: u64,
    pub fall: u64,
    pub rise: u64,
    /// `address:port` of every server.
    pub targets: BTreeSet<String>,
}

/// A load balancer that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalancerSeen {
    /// The name or address that clients come to.
    pub host: String,
    pub targets: BTreeSet<String>,
}

/// What a cloud's own load balancers can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalancerTraits {
    pub algorithms: &'static [&'static str],
    /// The shortest interval between two checks of a server, in milliseconds.
    pub shortest_check_ms: u64,
}

/// A rule that is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Admitted {
    /// The id of the layer that asked for it; none if nobody of ours did.
    pub by: Option<String>,
    /// `tcp 8080 from shop/lb`, for people.
    pub text: String,
}
