//! Locks by name: one piece of work at a time on each thing that has one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A lock for each name that was ever asked for.
#[derive(Debug, Default)]
pub struct Locks(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Locks {
    pub async fn lock(&self, name: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            locks.entry(name.to_owned()).or_default().clone()
        };
        lock.lock_owned().await
    }
}
