//! Which layers this process has seen.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value as Json;

use crate::model::Model;

/// Which layers this process has seen, so that two resources cannot both take the same name: under Terraform
/// nothing tells them apart.
#[derive(Debug, Default)]
pub struct Claims {
    by_id: Mutex<HashMap<String, Claim>>,
    /// What a state says of layers.
    states: Mutex<HashMap<String, Json>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Claim {
    /// It is in somebody's state. Perhaps tainted: then the host plans it anew without a word of its past.
    Read,
    /// It goes on existing.
    Stays,
    /// It is to be replaced by the next plan without a prior state.
    ToBeReplaced,
    /// It was planned anew; under our engine for this address.
    New(Option<String>),
}

impl Claims {
    pub fn read(&self, id: &str) {
        let mut claims = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        claims.entry(id.to_owned()).or_insert(Claim::Read);
    }

    /// Notes what somebody's state says of a layer: a plan that replaces it is made as if there were nothing.
    pub fn remember<M: Model>(&self, id: &str, state: &M) {
        let Ok(state) = state.write() else { return };
        self.states.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), state);
    }

    pub fn remembered<M: Model>(&self, id: &str) -> Option<M> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        M::read(states.get(id)?, Vec::new()).ok()
    }

    /// Whether a resource that goes on existing has the layer.
    pub fn is_held(&self, id: &str) -> bool {
        let claims = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(claims.get(id), Some(Claim::Stays | Claim::New(_) | Claim::ToBeReplaced))
    }

    /// Claims a layer for a resource that has it in its state; `false` if another one was given it in between.
    pub fn keep(&self, id: &str, is_replaced: bool) -> bool {
        let mut claims = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = matches!(claims.get(id), Some(Claim::New(None)));
        claims.insert(id.to_owned(), if is_replaced { Claim::ToBeReplaced } else { Claim::Stays });
        !is_taken
    }

    /// Claims a layer that is to be made; `false` if it is somebody else's. A host may replace what could stay.
    pub fn make(&self, id: &str, address: Option<&str>, is_replacement: bool) -> bool {
        let mut claims = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = match claims.get(id) {
            Some(Claim::Stays) => is_replacement,
            Some(Claim::New(other)) => address.is_some() && other.as_deref() == address,
            Some(Claim::Read | Claim::ToBeReplaced) | None => true,
        };
        claims.insert(id.to_owned(), Claim::New(address.map(str::to_owned)));
        is_free
    }
}
