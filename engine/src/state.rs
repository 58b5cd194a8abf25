//! What is known to exist: Terraform's state, version 4.

pub mod file;
pub mod journal;
pub mod lock;
pub mod private;
pub mod recovery;
pub mod seal;
pub mod store;
pub mod surgery;

pub use proto::state_name;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compiler::addr::{InstanceAddr, ProviderAddr, ProviderSource, ResourceAddr};
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
    /// Objects that were being made when a run was cut off, as they were planned. The next apply takes over what exists of
    /// them, and a destroy removes it. Only of providers that find what they have made ([`proto::preview::Recovery`]).
    pub unfinished: BTreeMap<InstanceAddr, InstanceState>,
    /// What a provider was asked to do and nobody knows whether it has: the run was cut off, or the plugin died. Of
    /// providers that cannot find by themselves what they have made. A person is told until it is settled.
    pub in_doubt: BTreeMap<InstanceAddr, InDoubt>,
}

/// Something whose outcome is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDoubt {
    pub provider: ProviderAddr,
    pub operation: Operation,
    /// How many runs in a row were cut off while they made it: so many objects there may be.
    pub times: u64,
}

/// What is done to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
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
    /// Its block said so, and holds when it is gone. Terraform reads over it, and does not write it.
    pub prevent_destroy: bool,
}

impl State {
    /// The providers of everything that it has.
    pub fn providers(&self) -> BTreeSet<ProviderSource> {
        let recorded = self.instances.values().chain(self.unfinished.values()).chain(self.deposed.values());
        recorded.map(|instance| instance.provider.source.clone()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
            && self.deposed.is_empty()
            && self.outputs.is_empty()
            && self.unfinished.is_empty()
            && self.in_doubt.is_empty()
    }

    /// Whether anything here may be of this configuration of a provider: which of them, is for the plan to decide.
    pub fn needs(&self, provider: &ProviderAddr) -> bool {
        let mut objects = self.instances.values().chain(self.deposed.values()).chain(self.unfinished.values());
        objects.any(|object| object.provider.source == provider.source)
    }

    /// What exists, or may exist.
    pub fn known(&self, addr: &InstanceAddr) -> Option<&InstanceState> {
        self.instances.get(addr).or_else(|| self.unfinished.get(addr))
    }
}

impl Operation {
    /// The word that Terraform's JSON has for it.
    pub fn word(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Update => "update",
            Operation::Delete => "delete",
        }
    }

    pub fn parse(word: &str) -> Option<Operation> {
        [Operation::Create, Operation::Update, Operation::Delete].into_iter().find(|operation| operation.word() == word)
    }
}

impl InDoubt {
    /// What may be the case, and what to do about it.
    pub fn explain(&self, addr: &InstanceAddr) -> String {
        let provider = self.provider.source.short();
        let when = "when a run or its plugin was cut off";
        match self.operation {
            Operation::Create => {
                let times = if self.times > 1 { format!(" {} times", self.times) } else { String::new() };
                format!(
                    "{addr} was being made {when}: it may have been made{times} by {provider} and is not in the state. Look for it there, then take it over (lampwright import '{addr}' ID) or remove it there; an apply makes a new one, and does not come back to this"
                )
            }
            Operation::Update => {
                format!("{addr} was being changed {when}: what {provider} has done of it, a plan reads")
            }
            Operation::Delete => {
                format!("{addr} was being removed {when}: whether {provider} has done it, a plan finds out")
            }
        }
    }
}
