//! The journal beside the state file: every change durable before its step counts as done, at a cost that does
//! not grow with the size of the state.
//!
//! One line a record: the SHA-256 of the record in hexadecimal, a colon, its length, a blank, the record as JSON. The first record, the header,
//! names the state that the journal goes on from (lineage and serial). Each other one names it, too, and has a number: so
//! every line stands for itself, and one that is missing is missed. When the journal has been folded into a state file the
//! serial there is higher, and the journal is void.
//!
//! Failures: a torn last line, from a crash in the middle of a write, is left out: its step had not counted as done.
//! Anything else that does not check is damage (`recovery`).

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compiler::addr::InstanceAddr;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::file::{StateError, doubt_from_json, doubt_to_json, object_from_json, object_to_json};
use super::seal::Seal;
use super::{InDoubt, InstanceState, Operation, State, private};

/// Room that is taken ahead of what is begun, so that the disk has some left for what became of it.
const ROOM: u64 = 64 << 10;

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
        /// What the object is there, where it becomes one of another type.
        becomes: Option<Box<InstanceState>>,
    },
    /// The object that was to be made is not there, as far as anybody can tell.
    Forget {
        addr: InstanceAddr,
    },
    /// Something is about to be made. Without a later record the run was cut off meanwhile.
    Intent {
        addr: InstanceAddr,
        /// For [`State::unfinished`].
        planned: Box<InstanceState>,
    },
    /// Something is about to be done by a provider that cannot find out later what became of it: [`State::in_doubt`].
    Doubt {
        addr: InstanceAddr,
        doubt: InDoubt,
    },
}

#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    seal: Arc<Seal>,
    file: Option<File>,
    /// Up to where the file has room on the disk.
    room: u64,
    records: u64,
    /// What is to be written next.
    staged: Vec<Json>,
}

impl Journal {
    pub fn beside(state_path: &Path, seal: &Arc<Seal>) -> Journal {
        let path = private::beside(state_path, ".journal");
        Journal { path, seal: seal.clone(), file: None, room: 0, records: 0, staged: Vec::new() }
    }

    pub(super) fn seal(&self) -> &Seal {
        &self.seal
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a record for the next writing.
    pub fn stage(&mut self, record: &Record) {
        self.staged.push(encode(record));
    }

    /// Whether there are records that are not on the disk.
    pub fn is_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Writes what is staged, and `beginnings` behind it, and waits once until all of it is on the disk. Where there is no room for
    /// the beginnings, what is staged is still written; where there is none for that either, it stays staged.
    pub fn commit(&mut self, state: &State, beginnings: &[Record]) -> Result<(), StateError> {
        let staged = std::mem::take(&mut self.staged);
        let begun: Vec<Json> = beginnings.iter().map(encode).collect();
        let written = self.write(state, &staged, &begun);
        if written.is_err() && !staged.is_empty() && (begun.is_empty() || self.write(state, &staged, &[]).is_err()) {
            self.staged = staged;
        }
        written.map_err(|cause| StateError::Write { path: self.path.display().to_string(), cause })
    }

    fn write(&mut self, state: &State, done: &[Json], begun: &[Json]) -> std::io::Result<()> {
        let mut text = String::new();
        for (records, json) in (self.records + 1..).zip(done.iter().chain(begun)) {
            let mut json = json.clone();
            json["n"] = records.into();
            json["of"] = of(state).into();
            text += &line(&self.seal.seal_record(json).map_err(std::io::Error::other)?);
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let header = json!({ "lineage": state.lineage, "serial": state.serial });
                // One that is there already is nothing to write over.
                let mut file = private::create(&self.path)?;
                let written = file.write_all(line(&header).as_bytes()).and_then(|()| private::sync_folder(&self.path));
                if let Err(error) = written {
                    let _ = std::fs::remove_file(&self.path);
                    return Err(error);
                }
                self.file.insert(file)
            }
        };
        let good = file.metadata()?.len();
        let room = ROOM + text.len() as u64;
        if !begun.is_empty() && good + room - ROOM / 2 > self.room {
            match fallocate(&*file, FallocateFlags::KEEP_SIZE, good, room) {
                Err(error) if [Errno::NOSPC, Errno::DQUOT, Errno::FBIG].contains(&error) => return Err(error.into()),
                // Not every file system can say.
                Ok(()) | Err(_) => self.room = good + room,
            }
        }
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        if written.is_err() {
            // Half a line would be taken for damage by whoever reads the lines behind it.
            let _ = file.set_len(good).and_then(|()| file.seek(std::io::SeekFrom::Start(good)).map(drop));
        } else {
            self.records += (done.len() + begun.len()) as u64;
        }
        written
    }

    /// Copies the journal to a name of its own, for a person to look at. Returns the name.
    pub(super) fn keep(&self) -> Result<PathBuf, StateError> {
        let aside = private::beside(&self.path, ".rejected");
        let kept = std::fs::read(&self.path).and_then(|bytes| private::keep(&aside, &bytes));
        kept.map_err(|cause| StateError::Write { path: aside.display().to_string(), cause })
    }

    /// The state file holds everything now.
    pub fn discard(&mut self) -> Result<(), StateError> {
        (self.file, self.room, self.records) = (None, 0, 0);
        self.staged.clear();
        let failed = |cause| StateError::Write { path: self.path.display().to_string(), cause };
        super::file::remove(&self.path).map_err(failed)
    }
}

impl Record {
    /// Says what is about to be done; without it being on the disk it may not be done. All others say what was done.
    pub(super) fn is_beginning(&self) -> bool {
        match self {
            Record::Depose { .. } | Record::Intent { .. } | Record::Doubt { .. } => true,
            Record::Put { .. }
            | Record::Remove { .. }
            | Record::Restore { .. }
            | Record::RemoveDeposed { .. }
            | Record::Move { .. }
            | Record::Forget { .. } => false,
        }
    }

    pub(super) fn addr(&self) -> &InstanceAddr {
        match self {
            Record::Put { addr, .. }
            | Record::Remove { addr }
            | Record::Depose { addr, .. }
            | Record::Restore { addr, .. }
            | Record::RemoveDeposed { addr, .. }
            | Record::Move { to: addr, .. }
            | Record::Forget { addr }
            | Record::Intent { addr, .. }
            | Record::Doubt { addr, .. } => addr,
        }
    }
}

pub fn apply(state: &mut State, record: Record) {
    match record {
        Record::Put { addr, instance } => {
            supersede(state, &addr, &instance);
            // It is known now what became of it.
            state.in_doubt.remove(&addr);
            state.instances.insert(addr, *instance);
        }
        Record::Remove { addr } => {
            state.in_doubt.remove(&addr);
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
                // What may have been made of its successor is another object, and is told until it is settled. Of one that was
                // not made the record before this one says so.
                if state.in_doubt.get(&addr).is_some_and(|doubt| doubt.operation != Operation::Create) {
                    state.in_doubt.remove(&addr);
                }
                state.instances.insert(addr, instance);
            }
        }
        Record::RemoveDeposed { addr, key } => drop(state.deposed.remove(&(addr, key))),
        Record::Move { from, to, becomes } => {
            for objects in [&mut state.instances, &mut state.unfinished] {
                if let Some(instance) = objects.remove(&from) {
                    objects.insert(to.clone(), instance);
                }
            }
            if let Some(doubt) = state.in_doubt.remove(&from) {
                state.in_doubt.insert(to.clone(), doubt);
            }
            let deposed = std::mem::take(&mut state.deposed).into_iter().map(|((addr, key), instance)| {
                let addr = if addr == from { to.clone() } else { addr };
                ((addr, key), instance)
            });
            state.deposed = deposed.collect();
            if let Some(instance) = becomes {
                state.instances.insert(to, *instance);
            }
        }
        Record::Forget { addr } => {
            state.unfinished.remove(&addr);
            match state.in_doubt.get_mut(&addr) {
                // What earlier runs may have made is not forgotten with the last.
                Some(doubt) if doubt.times > 1 => doubt.times -= 1,
                Some(_) | None => drop(state.in_doubt.remove(&addr)),
            }
        }
        Record::Intent { addr, planned } => {
            supersede(state, &addr, &planned);
            state.unfinished.insert(addr, *planned);
        }
        Record::Doubt { addr, mut doubt } => {
            let before = state.in_doubt.get(&addr).filter(|before| before.operation == Operation::Create);
            if let (Operation::Create, Some(before)) = (doubt.operation, before) {
                doubt.times += before.times;
            }
            state.in_doubt.insert(addr, doubt);
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

/// `DIGEST:LENGTH JSON`. The length tells a record that was cut off from one that was written over.
fn line(json: &Json) -> String {
    let text = json.to_string();
    format!("{}:{} {text}\n", digest(&text), text.len())
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The state that a journal goes on from.
pub(super) fn of(state: &State) -> String {
    format!("{}/{}", state.lineage, state.serial)
}

/// What a line says, without its newline, if it is as it was written.
pub(super) fn checked(line: &[u8]) -> Option<Json> {
    let (head, text) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    // Older versions wrote no length.
    let (sum, length) = head.split_once(':').unwrap_or((head, ""));
    let fits = length.is_empty() || length.parse() == Ok(text.len());
    if fits && sum == digest(text) { serde_json::from_str(text).ok() } else { None }
}

/// Whether this is the beginning of a line, and no more than that: so a record ends that was cut off.
pub(super) fn is_torn(tail: &[u8]) -> bool {
    // The JSON may end within a character.
    let is_utf8 = std::str::from_utf8(tail).map_or_else(|error| error.error_len().is_none(), |_| true);
    if !is_utf8 || tail.iter().any(u8::is_ascii_control) {
        return false;
    }
    let (sum, rest) = tail.split_at(tail.len().min(64));
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !sum.iter().all(is_hex) {
        return false;
    }
    let Some((mark, rest)) = rest.split_first() else { return true };
    let mut parts = rest.splitn(2, |byte| *byte == b' ');
    let (length, text) = match mark {
        b':' => (parts.next().unwrap_or_default(), parts.next()),
        // As older versions wrote it.
        b' ' => (&b""[..], Some(rest)),
        _ => return false,
    };
    // Nor is a number of any length one.
    if length.len() > 10 || !length.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let Some(text) = text else { return true };
    let length: Option<usize> = std::str::from_utf8(length).ok().and_then(|digits| digits.parse().ok());
    // One that has its whole length is not cut off: it is whole, but for its newline, or something else.
    let is_shorter = length.is_none_or(|length| text.len() < length) || checked(tail).is_some();
    is_shorter && (text.starts_with(b"{\"") || text == b"{" || text.is_empty())
}

fn encode(record: &Record) -> Json {
    match record {
        Record::Put { addr, instance } => json!({ "put": addr.to_string(), "object": object_to_json(instance) }),
        Record::Remove { addr } => json!({ "remove": addr.to_string() }),
        Record::Depose { addr, key } => json!({ "depose": addr.to_string(), "key": key }),
        Record::Restore { addr, key } => json!({ "restore": addr.to_string(), "key": key }),
        Record::RemoveDeposed { addr, key } => json!({ "remove_deposed": addr.to_string(), "key": key }),
        Record::Move { from, to, becomes } => {
            let object = becomes.as_ref().map(|instance| object_to_json(instance));
            json!({ "move": from.to_string(), "to": to.to_string(), "object": object })
        }
        Record::Forget { addr } => json!({ "forget": addr.to_string() }),
        Record::Intent { addr, planned } => {
            json!({ "intent": addr.to_string(), "object": object_to_json(planned) })
        }
        Record::Doubt { addr, doubt } => json!({ "in_doubt": addr.to_string(), "doubt": doubt_to_json(doubt) }),
    }
}

pub(super) fn decode(json: &Json) -> Option<Record> {
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
        let becomes = match json.get("object") {
            Some(object) if !object.is_null() => Some(Box::new(object_from_json(object)?)),
            _ => None,
        };
        return Some(Record::Move { from, to: addr("to")?, becomes });
    }
    if let Some(addr) = addr("forget") {
        return Some(Record::Forget { addr });
    }
    if let Some(addr) = addr("in_doubt") {
        return Some(Record::Doubt { addr, doubt: doubt_from_json(json.get("doubt")?)? });
    }
    Some(Record::Intent { addr: addr("intent")?, planned: instance()? })
}
