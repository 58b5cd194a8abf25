//! What was seen of machines when they were last read, beyond the word that a state holds of each: a plan tells it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::driver::{Drift, LayerId, MachineKey};

#[derive(Debug, Default)]
pub struct Findings {
    machines: Mutex<BTreeMap<MachineKey, Finding>>,
    versions: Mutex<BTreeMap<LayerId, String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// Such as `mongod: no answer to hello`; empty if there is no more to say.
    pub detail: String,
    pub drift: Vec<Drift>,
    /// By the cloud's own name.
    pub size: Option<String>,
}

impl Findings {
    pub fn note(&self, key: MachineKey, finding: Finding) {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).insert(key, finding);
    }

    /// Of a machine that was not read by this process nothing is known.
    pub fn of(&self, key: &MachineKey) -> Finding {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned().unwrap_or_default()
    }

    /// The version of the program that a layer runs.
    pub fn note_version(&self, layer: LayerId, version: String) {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(layer, version);
    }

    /// None of a layer that was not read by this process, or could not say.
    pub fn version(&self, layer: &LayerId) -> Option<String> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(layer).cloned()
    }
}
