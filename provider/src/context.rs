//! The provider as configured, and what a process knows beyond it.

mod claims;
mod findings;
mod sources;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use value::{Path, Problem};

use crate::driver::{Driver, LayerId};
use crate::drivers::simulated::Simulation;
use crate::locks::Locks;
use crate::ownership::Ownership;
pub use claims::Claims;
pub use findings::{Finding, Findings};
pub use sources::Sources;

/// The provider as configured.
#[derive(Debug, Clone)]
pub struct Context {
    pub clouds: Arc<BTreeMap<String, Arc<dyn Driver>>>,
    pub default_cloud: String,
    /// Tells this stack's machines from others' on the same cloud.
    pub scope: String,
    /// Where copies of all bundles go, for people to read.
    pub bundle_dir: PathBuf,
    pub claims: Arc<Claims>,
    /// Of this piece of work alone.
    pub sources: Arc<Sources>,
    /// What was seen of machines when they were read.
    pub findings: Arc<Findings>,
    /// One piece of work on a layer at a time: an object that goes and one that comes may be the same machines.
    pub layers: Arc<Locks>,
    /// Whose machines are.
    pub ownership: Arc<Ownership>,
    /// The names of machines that the user wants to leave, by the address of their resource.
    pub leaving: Arc<BTreeMap<String, Vec<String>>>,
    /// Nothing is made: what would be random follows from names (`drivers/simulated.rs`).
    pub simulation: Option<Simulation>,
    /// What is made belongs to a test (`lampwright test`), and is gone after it.
    pub is_test: bool,
    /// What a layer was reached at and connects to before a change, and until the change is done.
    pub before_change: BeforeChange,
    /// The resource that is being worked on, for progress messages; empty under Terraform.
    pub address: String,
}

/// A layer that another one connects to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub layer: LayerId,
    pub cloud: String,
    /// Whether it is reached by its public addresses.
    pub is_public: bool,
    pub port: u16,
}

impl Edge {
    /// Whether both end at the same layer.
    pub fn leads_to(&self, other: &Edge) -> bool {
        (&self.layer, &self.cloud) == (&other.layer, &other.cloud)
    }
}

/// Ports that stay open while a layer changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BeforeChange {
    pub own_port: Option<u16>,
    pub edges: Vec<Edge>,
}

impl Context {
    pub fn cloud(&self, name: &str) -> Result<&Arc<dyn Driver>, Vec<Problem>> {
        self.clouds.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.clouds.keys().map(String::as_str).collect();
            let detail = format!(
                "There is no cloud {name:?}. Configured are: {}. Add a block cloud {name:?} {{ driver = .. }} to the provider \"lampwright\", or use one of these.",
                known.join(", ")
            );
            vec![Problem::error("unknown cloud", detail).at(Path::attribute("cloud"))]
        })
    }

    /// Tells whoever watches what is happening.
    pub fn progress(&self, message: &str) {
        tracing::info!(target: "progress", address = %self.address, "{message}");
    }
}
