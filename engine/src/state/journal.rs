//! The journal beside the state file: every change durable before its step counts as done, at a cost that does
//! not grow with the size of the state.
//!
//! One line a record: the SHA-256 of the record in hexadecimal, a blank, the record as JSON. The first record
//! names the state that the journal goes on from (lineage and serial). A torn last line, from a crash in the
//! middle of a write, is left out: its step had not counted as done. When the journal has been folded into a
//! state file the serial there is higher, and the journal is void.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use compiler::addr::InstanceAddr;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::file::{StateError, object_from_json, object_to_json};
use super::{InstanceState, State};

/// A change of the state.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    Put {
        addr: InstanceAddr,
        instance: Box<InstanceState>,
    },
    Remove {
        addr: InstanceAddr,
    },
    /// The object steps aside under a key of its own; one record, so that it is never in both places.
    Depose {
        addr: InstanceAddr,
        key: String,
    },
    /// And comes back, since its successor could not be made.
    Restore {
        addr: InstanceAddr,
        key: String,
    },
    RemoveDeposed {
        addr: InstanceAddr,
        key: String,
    },
    /// The same objects, under another address from now on.
    Move {
        from: InstanceAddr,
        to: InstanceAddr,
    },
    /// Of what was to be made nothing is there, or nobody says that it is.
    Forget {
        addr: InstanceAddr,
    },
    /// Something is about to be made. Without a later record the run was cut off meanwhile.
    Intent {
        addr: InstanceAddr,
        /// For [`State::unfinished`].
        planned: Option<Box<InstanceState>>,
    },
}

#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Option<File>,
}

/// What a journal held when it was opened.
#[derive(Debug, Default, PartialEq)]
pub struct Recovered {
    pub records: usize,
    /// Instances that were being made when a run was cut off.
    pub interrupted: Vec<InstanceAddr>,
    /// The journal goes on from another state than the file holds: it was set aside, not thrown away.
    pub is_foreign: bool,
}

impl Journal {
    pub fn beside(state_path: &Path) -> Journal {
        Journal { path: state_path.with_extension("tfstate.journal"), file: None }
    }

    /// Applies what an earlier run left. The journal stays until it is folded.
    pub fn replay(&self, state: &mut State) -> Result<Recovered, StateError> {
        let text = match std::fs::read(&self.path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Recovered::default()),
            Err(cause) => return Err(StateError::Read { path: self.path.display().to_string(), cause }),
        };
        // A line counts only with its newline.
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map_while(checked);
        let Some(header) = lines.next() else { return Ok(Recovered::default()) };
        let continues = header["lineage"].as_str() == Some(&state.lineage) || state.lineage.is_empty();
        let serial = header["serial"].as_u64().unwrap_or(0);
        if !continues || serial != state.serial {
            // One that was folded in before the crash is simply old.
            let is_folded = continues && serial < state.serial;
            return Ok(Recovered { is_foreign: !is_folded, ..Recovered::default() });
        }
        if state.lineage.is_empty() {
            header["lineage"].as_str().unwrap_or_default().clone_into(&mut state.lineage);
        }
        let mut recovered = Recovered::default();
        for record in lines.map_while(|json| decode(&json)) {
            recovered.records += 1;
            match record {
                Record::Intent { addr, planned } => {
                    recovered.interrupted.push(addr.clone());
                    apply(state, Record::Intent { addr, planned });
                }
                record => {
                    let done = record.addr();
                    recovered.interrupted.retain(|addr| addr != done);
                    apply(state, record);
                }
            }
        }
        Ok(recovered)
    }

    /// Writes a record and waits until it is on the disk.
    pub fn append(&mut self, state: &State, record: &Record) -> Result<(), StateError> {
        let path = self.path.clone();
        let failed = |cause| StateError::Write { path: path.display().to_string(), cause };
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let header = json!({ "lineage": state.lineage, "serial": state.serial });
                let mut file = super::file::create_private(&self.path).map_err(failed)?;
                file.write_all(line(&header).as_bytes()).map_err(failed)?;
                super::file::sync_folder(&self.path).map_err(failed)?;
                self.file.insert(file)
            }
        };
        let good = file.metadata().map_err(failed)?.len();
        let written = file.write_all(line(&encode(record)).as_bytes()).and_then(|()| file.sync_data());
        if written.is_err() {
            // Half a line would hide every line behind it.
            let _ = file.set_len(good).and_then(|()| file.seek(std::io::SeekFrom::Start(good)).map(drop));
        }
        written.map_err(failed)
    }

    /// Keeps the journal under another name, for a person to look at. Returns the name.
    pub fn set_aside(&self) -> Result<PathBuf, StateError> {
        let aside = self.path.with_extension("journal.rejected");
        let failed = |cause| StateError::Write { path: aside.display().to_string(), cause };
        std::fs::rename(&self.path, &aside).map_err(failed)?;
        Ok(aside)
    }

    /// The state file holds everything now.
    pub fn discard(&mut self) -> Result<(), StateError> {
        self.file = None;
        match std::fs::remove_file(&self.path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(StateError::Write { path: self.path.display().to_string(), cause })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Record {
    fn addr(&self) -> &InstanceAddr {
        match self {
            Record::Put { addr, .. }
            | Record::Remove { addr }
            | Record::Depose { addr, .. }
            | Record::Restore { addr, .. }
            | Record::RemoveDeposed { addr, .. }
            | Record::Move { to: addr, .. }
            | Record::Forget { addr }
            | Record::Intent { addr, .. } => addr,
        }
    }
}

pub fn apply(state: &mut State, record: Record) {
    match record {
        Record::Put { addr, instance } => {
            supersede(state, &addr, &instance);
            state.instances.insert(addr, *instance);
        }
        Record::Remove { addr } => {
            // An object that is removed and what was begun of its successor are two things.
            if state.instances.remove(&addr).is_none() {
                state.unfinished.remove(&addr);
            }
        }
        Record::Depose { addr, key } => {
            if let Some(instance) = state.instances.remove(&addr) {
                state.deposed.insert((addr, key), instance);
            }
        }
        Record::Restore { addr, key } => {
            if let Some(instance) = state.deposed.remove(&(addr.clone(), key)) {
                supersede(state, &addr, &instance);
                state.instances.insert(addr, instance);
            }
        }
        Record::RemoveDeposed { addr, key } => drop(state.deposed.remove(&(addr, key))),
        Record::Move { from, to } => {
            for objects in [&mut state.instances, &mut state.unfinished] {
                if let Some(instance) = objects.remove(&from) {
                    objects.insert(to.clone(), instance);
                }
            }
            let deposed = std::mem::take(&mut state.deposed).into_iter().map(|((addr, key), instance)| {
                let addr = if addr == from { to.clone() } else { addr };
                ((addr, key), instance)
            });
            state.deposed = deposed.collect();
        }
        Record::Forget { addr } => drop(state.unfinished.remove(&addr)),
        Record::Intent { addr, planned } => {
            if let Some(planned) = planned {
                supersede(state, &addr, &planned);
                state.unfinished.insert(addr, *planned);
            }
        }
    }
}

/// What was begun under this address and is another object than the one that comes is still to be removed. What is the same
/// object, by the `id` that providers tell objects by, is what was begun.
fn supersede(state: &mut State, addr: &InstanceAddr, by: &InstanceState) {
    let Some(begun) = state.unfinished.remove(addr) else { return };
    if begun.attributes["id"] != by.attributes["id"] {
        let key = digest(&begun.attributes.to_string())[..8].to_owned();
        state.deposed.insert((addr.clone(), key), begun);
    }
}

fn line(json: &Json) -> String {
    let text = json.to_string();
    format!("{} {text}\n", digest(&text))
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn checked(line: &str) -> Option<Json> {
    let (sum, text) = line.trim_end_matches('\n').split_once(' ')?;
    if sum == digest(text) { serde_json::from_str(text).ok() } else { None }
}

fn encode(record: &Record) -> Json {
    match record {
        Record::Put { addr, instance } => json!({ "put": addr.to_string(), "object": object_to_json(instance) }),
        Record::Remove { addr } => json!({ "remove": addr.to_string() }),
        Record::Depose { addr, key } => json!({ "depose": addr.to_string(), "key": key }),
        Record::Restore { addr, key } => json!({ "restore": addr.to_string(), "key": key }),
        Record::RemoveDeposed { addr, key } => json!({ "remove_deposed": addr.to_string(), "key": key }),
        Record::Move { from, to } => json!({ "move": from.to_string(), "to": to.to_string() }),
        Record::Forget { addr } => json!({ "forget": addr.to_string() }),
        Record::Intent { addr, planned: None } => json!({ "intent": addr.to_string() }),
        Record::Intent { addr, planned: Some(planned) } => {
            json!({ "intent": addr.to_string(), "object": object_to_json(planned) })
        }
    }
}

fn decode(json: &Json) -> Option<Record> {
    let addr = |name: &str| json.get(name).and_then(Json::as_str).and_then(InstanceAddr::parse);
    let instance = || object_from_json(json.get("object")?).map(Box::new);
    let key = || json.get("key").and_then(Json::as_str).map(str::to_owned);
    if let Some(addr) = addr("put") {
        return Some(Record::Put { addr, instance: instance()? });
    }
    if let Some(addr) = addr("remove") {
        return Some(Record::Remove { addr });
    }
    if let Some(addr) = addr("depose") {
        return Some(Record::Depose { addr, key: key()? });
    }
    if let Some(addr) = addr("restore") {
        return Some(Record::Restore { addr, key: key()? });
    }
    if let Some(addr) = addr("remove_deposed") {
        return Some(Record::RemoveDeposed { addr, key: key()? });
    }
    if let Some(from) = addr("move") {
        return Some(Record::Move { from, to: addr("to")? });
    }
    if let Some(addr) = addr("forget") {
        return Some(Record::Forget { addr });
    }
    addr("intent").map(|addr| Record::Intent { addr, planned: instance() })
}
