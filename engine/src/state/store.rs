//! The state of a stack on disk: file, journal and lock together.

use std::path::{Path, PathBuf};

use proto::state_name;

use super::file::{self, StateError};
use super::journal::{self, Journal, Record, Recovered};
use super::lock::{Lock, LockError};
use super::{OutputState, State};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// The state, open for change.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    state: State,
    journal: Journal,
    _lock: Lock,
    pub recovered: Recovered,
    /// Where a journal was put that belongs to another state.
    pub set_aside: Option<PathBuf>,
    is_dirty: bool,
    /// Of a state that has none yet, what it gets with its first record.
    lineage: String,
}

/// The state as it is, without a lock; a journal that a run has left is taken into account.
pub fn peek(path: &Path) -> Result<State, StateError> {
    let mut state = file::read(path)?;
    Journal::beside(path).replay(&mut state)?;
    Ok(state)
}

impl Store {
    /// Locks and reads. What an earlier run that was cut off has left is folded in at once.
    pub fn open(path: &Path, folder: &Path, operation: &str) -> Result<Store, StoreError> {
        let mut lock = Lock::acquire(path, folder, operation)?;
        let mut state = file::read(path)?;
        lock.exclude_terraform(path)?;
        let journal = Journal::beside(path);
        let recovered = journal.replay(&mut state)?;
        let fresh = || uuid::Uuid::new_v4().to_string();
        let lineage = if state.lineage.is_empty() { fresh() } else { state.lineage.clone() };
        let mut store = Store {
            path: path.to_owned(),
            state,
            journal,
            _lock: lock,
            recovered,
            set_aside: None,
            is_dirty: false,
            lineage,
        };
        if store.recovered.records > 0 {
            store.is_dirty = true;
            store.fold()?;
        } else if store.recovered.is_foreign {
            store.set_aside = Some(store.journal.set_aside()?);
        } else {
            store.journal.discard()?;
        }
        Ok(store)
    }

    /// Tells plugins which state they work for (`proto::state_name`).
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = self.path.display().to_string();
        [(state_name::LINEAGE_VARIABLE, self.lineage.clone()), (state_name::PATH_VARIABLE, path)]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
    }

    /// The lineage of the state, also before it is written for the first time.
    pub fn lineage(&self) -> &str {
        &self.lineage
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Makes a change durable, then counts it.
    pub fn record(&mut self, record: Record) -> Result<(), StateError> {
        if self.state.lineage.is_empty() {
            self.state.lineage.clone_from(&self.lineage);
        }
        let written = self.journal.append(&self.state, &record);
        // Known here even if it could not be written: the state file may still have room in the end.
        journal::apply(&mut self.state, record);
        self.is_dirty = true;
        written
    }

    pub fn set_outputs(&mut self, outputs: impl IntoIterator<Item = (std::sync::Arc<str>, OutputState)>) {
        let outputs = outputs.into_iter().collect();
        if self.state.outputs != outputs {
            self.state.outputs = outputs;
            self.is_dirty = true;
        }
    }

    /// Folds the journal into the state file, if anything changed.
    pub fn fold(&mut self) -> Result<(), StateError> {
        if !self.is_dirty {
            return Ok(());
        }
        if self.state.lineage.is_empty() {
            self.state.lineage.clone_from(&self.lineage);
        }
        let backup = self.path.with_extension("tfstate.backup");
        // A second name for the old file: reading it would give up the lock that terraform respects (fcntl(2)).
        let _ = std::fs::remove_file(&backup);
        match std::fs::hard_link(&self.path, &backup) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(StateError::Write { path: backup.display().to_string(), cause });
            }
            Ok(()) | Err(_) => {}
        }
        self.state.serial += 1;
        file::write(&self.path, &self.state)?;
        self.is_dirty = false;
        self.journal.discard()
    }
}
