//! What is known to exist: Terraform's state, version 4.

pub mod file;
pub mod journal;
pub mod lock;
pub mod store;

pub use proto::state_name;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compiler::addr::{InstanceAddr, ProviderAddr, ResourceAddr};
use serde_json::Value as Json;
use value::{Path, Value};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Identifies the history that this state belongs to; made with the first write.
    pub lineage: String,
    pub serial: u64,
    pub outputs: BTreeMap<Arc<str>, OutputState>,
    pub instances: BTreeMap<InstanceAddr, InstanceState>,
    /// Objects that were replaced by newer ones and are still to be removed, by address and a random key.
    pub deposed: BTreeMap<(InstanceAddr, String), InstanceState>,
    /// What was being made when a run was cut off, as it was planned: the next apply takes over what exists of it, and
    /// what removes everything removes it. Only of providers that can do the latter ([`proto::preview::Preview`]).
    pub unfinished: BTreeMap<InstanceAddr, InstanceState>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OutputState {
    pub value: Value,
    pub sensitive: bool,
}

/// An object as the provider left it.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceState {
    pub provider: ProviderAddr,
    pub schema_version: u64,
    /// As in the file: only a provider's schema gives it types.
    pub attributes: Json,
    pub sensitive_paths: Vec<Path>,
    pub private: Vec<u8>,
    /// What it refers to directly. Terraform writes what those refer to as well; reading either is fine.
    pub dependencies: BTreeSet<ResourceAddr>,
    /// Its creation did not end well: it is to be replaced.
    pub tainted: bool,
    pub create_before_destroy: bool,
}

impl State {
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.deposed.is_empty() && self.outputs.is_empty() && self.unfinished.is_empty()
    }

    /// What exists, or may exist.
    pub fn known(&self, addr: &InstanceAddr) -> Option<&InstanceState> {
        self.instances.get(addr).or_else(|| self.unfinished.get(addr))
    }
}
