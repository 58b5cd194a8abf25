//! The state of a stack on disk: file, journal and lock together.
//!
//! **Invariant:** only who opens the state for a change writes anything: a [`View`] leaves files and journals as they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::state_name;

use super::file::{self, Decoded, StateError};
use super::journal::{self, Journal, Record};
use super::lock::{self, Access, Lock, LockError};
use super::recovery::{Recovered, replay};
use super::seal::Seal;
use super::{OutputState, State, private};

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
    seal: Arc<Seal>,
    state: State,
    journal: Journal,
    lock: Lock,
    pub recovered: Recovered,
    /// What the state file said, until it is in the backup.
    old: Option<Vec<u8>>,
    is_dirty: bool,
    /// It is encrypted as it shall be.
    is_current: bool,
    /// Of a state that has none yet, what it gets with its first record.
    lineage: String,
    /// The backup is a courtesy; a state that is written without one is better than one that is not.
    pub backup_failed: Option<StateError>,
}

/// The state as it is, with what a run has left in the journal taken into account, as a run for a change will have it.
#[derive(Debug)]
pub struct View {
    path: PathBuf,
    pub state: State,
    pub recovered: Recovered,
    _lock: Option<Lock>,
}

/// Keeps other runs of this machine away from a place where a state is about to be put. Released when dropped.
#[derive(Debug)]
pub struct Reserved(#[expect(dead_code, reason = "it is held")] Lock);

impl Reserved {
    /// `path` is for the lock alone: nothing is written there.
    pub fn new(path: &Path, operation: &str) -> Result<Reserved, StoreError> {
        Ok(Reserved(Lock::acquire(path, operation, Access::Write)?))
    }
}

/// A state that was read elsewhere; a journal beside `path` that goes on from it is taken into account.
pub fn look(path: &Path, bytes: &[u8], seal: &Arc<Seal>) -> Result<View, StateError> {
    view(path, bytes, None, seal)
}

/// The state as it is, without a lock; a journal that a run has left is taken into account.
pub fn peek(path: &Path, seal: &Arc<Seal>) -> Result<View, StateError> {
    let path = lock::resolve(path);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(cause) => return Err(StateError::Read { path: path.display().to_string(), cause }),
    };
    view(&path, &bytes, None, seal)
}

/// What the bytes of a state say, wherever they come from.
pub fn decode(at: &str, bytes: &[u8], seal: &Seal) -> Result<State, StateError> {
    file::decode_or_copy(at.as_ref(), bytes, seal).map(|decoded| decoded.state)
}

/// Whether bytes are a whole state.
pub fn check(path: &Path, bytes: &[u8], seal: &Seal) -> Result<(), StateError> {
    file::decode_or_copy(path, bytes, seal).map(drop)
}

fn view(path: &Path, bytes: &[u8], lock: Option<Lock>, seal: &Arc<Seal>) -> Result<View, StateError> {
    let Decoded { mut state, is_from_copy, is_altered, .. } = file::decode_or_copy(path, bytes, seal)?;
    let mut recovered = replay(&Journal::beside(path, seal), &mut state)?;
    (recovered.is_from_copy, recovered.is_altered) = (is_from_copy, is_altered);
    recovered.is_emptied = is_emptied(path, bytes);
    if recovered.records > 0 || recovered.is_from_copy {
        state.serial += 1;
    }
    Ok(View { path: path.to_owned(), state, recovered, _lock: lock })
}

/// What a run needs of the state, whether it changes it or only looks.
#[derive(Debug)]
pub struct Known<'s> {
    pub state: &'s State,
    /// Tells plugins which state they work for (`proto::state_name`).
    pub environment: Vec<(String, String)>,
}

impl<'s> Known<'s> {
    fn new(path: &Path, state: &'s State, lineage: &str) -> Known<'s> {
        let path = path.display().to_string();
        let environment = [(state_name::LINEAGE_VARIABLE, lineage.to_owned()), (state_name::PATH_VARIABLE, path)];
        Known { state, environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec() }
    }
}

/// Others leave an empty file where they only lock; what was lost looks the same.
fn is_emptied(path: &Path, bytes: &[u8]) -> bool {
    bytes.is_empty() && std::fs::metadata(file::backup_path(path)).is_ok_and(|backup| backup.len() > 0)
}

/// Of the state, or what a new one may get.
fn lineage(state: &State) -> String {
    if state.lineage.is_empty() { uuid::Uuid::new_v4().to_string() } else { state.lineage.clone() }
}

impl View {
    pub fn known(&self) -> Known<'_> {
        Known::new(&self.path, &self.state, &lineage(&self.state))
    }

    /// Keeps changes away, as far as that needs no writing.
    pub fn open(path: &Path, operation: &str, seal: &Arc<Seal>) -> Result<View, StoreError> {
        let path = lock::resolve(path);
        let lock = Lock::acquire(&path, operation, Access::Read)?;
        let bytes = lock.read().map_err(|cause| StateError::Read { path: path.display().to_string(), cause })?;
        Ok(view(&path, &bytes, Some(lock), seal)?)
    }
}

impl Store {
    /// Locks and reads. What an earlier run that was cut off has left is folded in at once; a journal that cannot be read
    /// whole is set aside.
    pub fn open(path: &Path, operation: &str, seal: &Arc<Seal>) -> Result<Store, StoreError> {
        Store::open_with(path, operation, Access::Write, seal)
    }

    /// For file systems that have no locks: that nobody else works on the state is the user's word.
    pub fn open_without_lock(path: &Path, operation: &str, seal: &Arc<Seal>) -> Result<Store, StoreError> {
        Store::open_with(path, operation, Access::WriteWithoutLock, seal)
    }

    fn open_with(path: &Path, operation: &str, access: Access, seal: &Arc<Seal>) -> Result<Store, StoreError> {
        let path = lock::resolve(path);
        let lock = Lock::acquire(&path, operation, access)?;
        let failed = |cause| StateError::Read { path: path.display().to_string(), cause };
        let bytes = lock.read().map_err(failed)?;
        let decoded = file::decode_or_copy(&path, &bytes, seal)?;
        let Decoded { mut state, bytes: old, is_from_copy, is_altered, is_current } = decoded;
        let journal = Journal::beside(&path, seal);
        let mut recovered = replay(&journal, &mut state)?;
        (recovered.is_from_copy, recovered.is_altered) = (is_from_copy, is_altered);
        recovered.is_emptied = is_emptied(&path, &bytes);
        let is_dirty = recovered.records > 0 || recovered.is_from_copy;
        let old = Some(old).filter(|bytes| !bytes.is_empty());
        let lineage = lineage(&state);
        let mut store = Store {
            path,
            seal: seal.clone(),
            state,
            journal,
            lock,
            recovered,
            old,
            is_dirty,
            is_current,
            lineage,
            backup_failed: None,
        };
        if store.recovered.is_incomplete() {
            // First of all: what is void after the folding would be taken for harmless if we were cut off here.
            store.recovered.set_aside = Some(store.journal.keep()?);
        }
        if store.is_dirty {
            store.fold()?;
        }
        store.journal.discard()?;
        let copy = file::copy_path(&store.path);
        let failed = |cause| StateError::Write { path: copy.display().to_string(), cause };
        file::remove(&copy).map_err(failed)?;
        if access == Access::Write {
            // Nobody else writes these.
            for place in [&copy, &file::backup_path(&store.path)] {
                private::sweep(place).map_err(failed)?;
            }
        }
        Ok(store)
    }

    pub fn known(&self) -> Known<'_> {
        Known::new(&self.path, &self.state, &self.lineage)
    }

    /// The lineage of the state, also before it is written for the first time.
    pub fn lineage(&self) -> &str {
        &self.lineage
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Makes a change durable, then counts it. What is only about to be done and could not be recorded is not counted: it
    /// may not be done.
    pub fn record(&mut self, record: Record) -> Result<(), StateError> {
        if record.is_beginning() {
            return self.commit(vec![record]);
        }
        self.stage(record);
        self.commit(Vec::new())
    }

    /// Counts what was done; it is durable with the next [`Store::commit`].
    pub fn stage(&mut self, record: Record) {
        self.journal.stage(&record);
        self.count(record);
    }

    /// Makes durable what is staged, and that `beginnings` are about to be done. Where that fails they are not counted: they may
    /// not be done. What is staged stays known here: the state file may still have room in the end.
    pub fn commit(&mut self, beginnings: Vec<Record>) -> Result<(), StateError> {
        if beginnings.is_empty() && !self.journal.is_staged() {
            return Ok(());
        }
        if self.state.lineage.is_empty() {
            self.state.lineage.clone_from(&self.lineage);
        }
        self.journal.commit(&self.state, &beginnings)?;
        beginnings.into_iter().for_each(|record| self.count(record));
        Ok(())
    }

    fn count(&mut self, record: Record) {
        journal::apply(&mut self.state, record);
        self.is_dirty = true;
    }

    /// Changes the whole state in one writing of its file: done, or not at all.
    pub fn rewrite(&mut self, change: impl FnOnce(&mut State)) -> Result<(), StateError> {
        let before = self.state.clone();
        change(&mut self.state);
        self.is_dirty = true;
        let written = self.fold();
        if written.is_err() {
            self.state = before;
            self.is_dirty = false;
        }
        written
    }

    pub fn set_outputs(&mut self, outputs: impl IntoIterator<Item = (std::sync::Arc<str>, OutputState)>) {
        let outputs = outputs.into_iter().collect();
        if self.state.outputs != outputs {
            self.state.outputs = outputs;
            self.is_dirty = true;
        }
    }

    /// Folds the journal into the state file, if anything changed, or if it is encrypted otherwise than it shall be.
    pub fn fold(&mut self) -> Result<(), StateError> {
        let is_written = !self.state.lineage.is_empty();
        if !self.is_dirty && (self.is_current || !is_written) {
            return Ok(());
        }
        self.write()?;
        self.journal.discard()
    }

    fn write(&mut self) -> Result<(), StateError> {
        if self.state.lineage.is_empty() {
            self.state.lineage.clone_from(&self.lineage);
        }
        self.state.serial += 1;
        let written = self.write_file();
        match written {
            Ok(()) => (self.is_dirty, self.is_current) = (false, true),
            // The journal goes on from the serial that the file has.
            Err(_) => self.state.serial -= 1,
        }
        written
    }

    fn write_file(&mut self) -> Result<(), StateError> {
        let failed = |cause| StateError::Write { path: self.path.display().to_string(), cause };
        let text = file::encode_sealed(&self.path, &self.state, &self.seal)?;
        let file = self.lock.state().ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
        if let Some(old) = &self.old {
            let backup = file::backup_path(&self.path);
            let written = private::replace(&backup, old);
            self.backup_failed =
                written.err().map(|cause| StateError::Write { path: backup.display().to_string(), cause });
            // That of before this run, as Terraform has it.
            self.old = None;
        }
        file::write(&self.path, file, &text)
    }

    /// What is known here and nowhere on the disk, as a state file: for whoever can still put it somewhere.
    pub fn unwritten(&self) -> Option<String> {
        let next = || State { serial: self.state.serial + 1, ..self.state.clone() };
        let text = || file::encode_sealed(&self.path, &next(), &self.seal).ok();
        let text = (self.is_dirty && self.journal.is_staged()).then(text).flatten();
        text.map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}
