//! What a run that was cut off has left in its journal, as much of it as can be read.
//!
//! A record says all there is to say of an object at its time, so one that checks is right whatever became of those before
//! it: every line that checks counts. What does not check is damage: it is told line by line, and the journal is kept.

use std::collections::BTreeSet;
use std::path::PathBuf;

use compiler::addr::InstanceAddr;
use serde_json::Value as Json;

use super::file::StateError;
use super::journal::{self, Journal, Record, checked, decode};
use super::seal::{Seal, SealError};
use super::{InDoubt, Operation, State};

/// What was found beside the state when it was opened.
#[derive(Debug, Default, PartialEq)]
pub struct Recovered {
    /// Where the journal lies, if there is one that says more than the state.
    pub journal: Option<PathBuf>,
    pub records: usize,
    /// Instances that were being made when a run was cut off.
    pub interrupted: Vec<InstanceAddr>,
    /// The last line was being written when the run was cut off; its step had not counted as done.
    pub is_torn: bool,
    /// What cannot be read, in words.
    pub damage: Vec<String>,
    /// The journal goes on from another state than the file holds: nothing of it counts.
    pub is_foreign: bool,
    /// Everything in the journal is in the state file already.
    pub is_void: bool,
    /// Where the journal was put.
    pub set_aside: Option<PathBuf>,
    /// The writing of the state file itself was cut off; this is from its copy.
    pub is_from_copy: bool,
    /// There is nothing in the state file, or none, and a backup that has something.
    pub is_emptied: bool,
    /// The state file says something else than was written to it.
    pub is_altered: bool,
}

impl Recovered {
    /// Something that a run has recorded is not in the state.
    pub fn is_incomplete(&self) -> bool {
        self.is_foreign || !self.damage.is_empty()
    }
}

/// Applies what the journal has. It stays until it is folded or set aside.
pub(super) fn replay(journal: &Journal, state: &mut State) -> Result<Recovered, StateError> {
    let bytes = match std::fs::read(journal.path()) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Recovered::default()),
        Err(cause) => return Err(StateError::Read { path: journal.path().display().to_string(), cause }),
    };
    let mut replay = Replay {
        seal: journal.seal(),
        state,
        found: Recovered::default(),
        next: 1,
        unread: 0,
        is_other: false,
        seen: BTreeSet::new(),
    };
    replay.found.journal = Some(journal.path().to_owned());
    let replayed = replay.all(&bytes);
    replayed.map_err(|cause| StateError::Sealed { path: journal.path().display().to_string(), cause })?;
    Ok(replay.found)
}

struct Replay<'s> {
    seal: &'s Seal,
    state: &'s mut State,
    found: Recovered,
    /// The number that the next record should have.
    next: u64,
    /// Lines before it that cannot be read, and were records.
    unread: u64,
    /// From here on the lines are of another journal.
    is_other: bool,
    /// States that lines say they go on from.
    seen: BTreeSet<String>,
}

impl Replay<'_> {
    fn all(&mut self, bytes: &[u8]) -> Result<(), SealError> {
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        // A line counts only with its newline.
        let tail = lines.pop().unwrap_or_default();
        let mut read: Vec<(usize, Vec<Json>, bool)> = Vec::new();
        for (idx, line) in lines.iter().enumerate() {
            read.push(match checked(line) {
                Some(json) => (idx + 1, vec![json], true),
                None => (idx + 1, salvage(line), false),
            });
        }
        match tail.split_last() {
            None => {}
            // Its newline became something else.
            Some((_, line)) if checked(line).is_some() => {
                read.push((lines.len() + 1, checked(line).into_iter().collect(), false));
            }
            // A record that was cut off begins like one. Anything else was written over, and may have been several.
            Some(_) if !journal::is_torn(tail) => read.push((lines.len() + 1, salvage(tail), false)),
            Some(_) => self.found.is_torn = true,
        }
        if lines.is_empty() && !is_beginning(tail) {
            self.found.damage.push("it is no journal".to_owned());
        }
        for (_, found, _) in &mut read {
            self.unseal(found)?;
        }
        for json in read.iter().flat_map(|(_, found, _)| found) {
            self.seen.extend(goes_on_from(json));
        }
        self.adopt();
        let own = journal::of(self.state);
        if !self.seen.is_empty() && !self.seen.contains(&own) {
            // One that was folded in before the crash is simply old.
            let is_old = |of: &String| {
                of.rsplit_once('/').is_some_and(|(lineage, serial)| {
                    lineage == self.state.lineage && serial.parse().is_ok_and(|serial: u64| serial < self.state.serial)
                })
            };
            self.found.is_void = self.seen.iter().all(is_old);
            self.found.is_foreign = !self.found.is_void;
            let broken = read.iter().filter(|(_, _, is_whole)| !is_whole);
            self.found.damage =
                broken.map(|(number, _, _)| format!("line {number}: its checksum does not fit")).collect();
            return Ok(());
        }
        let mut has_header = false;
        for (number, found, is_whole) in read {
            let mut said = Vec::new();
            for json in found {
                match goes_on_from(&json) {
                    Some(of) if is_header(&json) => {
                        self.is_other = of != own;
                        has_header |= !self.is_other;
                        if self.is_other {
                            said.push("another journal begins here, which goes on from another state".to_owned());
                        }
                    }
                    of => said.extend(self.record(&json, of.map_or(!self.is_other, |of| of == own))),
                }
            }
            if !is_whole {
                self.unread += u64::from(number > 1);
                let text = lines.get(number - 1).copied().unwrap_or(tail);
                said.push(format!("its checksum does not fit{}", mentioned(text)));
            }
            self.found.damage.extend(said.into_iter().map(|what| format!("line {number}: {what}")));
        }
        if !has_header && !lines.is_empty() && self.found.damage.is_empty() {
            self.found.damage.push("it does not say which state it goes on from".to_owned());
        }
        Ok(())
    }

    /// Decrypts what is encrypted. What is whole and cannot be decrypted is no damage: with the right key it counts, so nothing is done
    /// without it.
    fn unseal(&self, records: &mut Vec<Json>) -> Result<(), SealError> {
        let opened: Result<Vec<Json>, SealError> =
            records.drain(..).map(|record| self.seal.open_record(record)).collect();
        *records = opened?;
        Ok(())
    }

    /// A state without a file has no lineage yet: the journal's is the one it was given.
    fn adopt(&mut self) {
        let mut lineages = self.seen.iter().filter_map(|of| of.strip_suffix("/0"));
        if self.state.lineage.is_empty()
            && self.state.serial == 0
            && let (Some(lineage), None) = (lineages.next(), lineages.next())
        {
            lineage.clone_into(&mut self.state.lineage);
        }
    }

    /// Applies a record; what is wrong with it, if anything is.
    fn record(&mut self, json: &Json, is_own: bool) -> Option<String> {
        if !is_own {
            return Some(format!("it goes on from another state{}", mentioned(json.to_string().as_bytes())));
        }
        let mut said = None;
        if let Some(number) = json["n"].as_u64() {
            if number < self.next {
                return Some(format!("it is there a second time{}", mentioned(json.to_string().as_bytes())));
            }
            said = match (number - self.next).saturating_sub(self.unread) {
                0 => None,
                1 => Some("a record before it is missing".to_owned()),
                missing => Some(format!("{missing} records before it are missing")),
            };
            self.unread = 0;
            self.next = number + 1;
        }
        let Some(record) = decode(json) else {
            return Some(format!(
                "it is of a kind that this version does not know{}",
                mentioned(json.to_string().as_bytes())
            ));
        };
        self.found.records += 1;
        let addr = record.addr().clone();
        self.found.interrupted.retain(|interrupted| *interrupted != addr);
        if let Record::Intent { .. } | Record::Doubt { doubt: InDoubt { operation: Operation::Create, .. }, .. } =
            record
        {
            self.found.interrupted.push(addr);
        }
        journal::apply(self.state, record);
        said
    }
}

/// What is still whole in a line that is not: two lines whose newline is lost are two records.
fn salvage(line: &[u8]) -> Vec<Json> {
    let is_digest = |at: &usize| {
        line.get(*at..at + 64).is_some_and(|sum| sum.iter().all(u8::is_ascii_hexdigit))
            && matches!(line.get(at + 64), Some(b' ' | b':'))
    };
    let mut found = Vec::new();
    let starts: Vec<usize> = (0..line.len()).filter(is_digest).chain([line.len() + 1]).collect();
    for pair in starts.windows(2) {
        found.extend(checked(&line[pair[0]..(pair[1] - 1).min(line.len())]));
    }
    found
}

/// Whether a line may have begun so.
fn is_beginning(tail: &[u8]) -> bool {
    // What a power cut has kept from the disk is zeros.
    tail.iter().take(64).all(|byte| byte.is_ascii_hexdigit() || *byte == 0)
}

fn is_header(json: &Json) -> bool {
    json.get("lineage").is_some()
}

fn goes_on_from(json: &Json) -> Option<String> {
    match (json["lineage"].as_str(), json["serial"].as_u64(), json["of"].as_str()) {
        (Some(lineage), Some(serial), _) => Some(format!("{lineage}/{serial}")),
        (_, _, of) => of.map(str::to_owned),
    }
}

/// What a line that cannot be trusted seems to be about.
fn mentioned(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let verbs = ["put", "remove", "depose", "restore", "remove_deposed", "move", "forget", "intent", "in_doubt"];
    let about = verbs.iter().find_map(|verb| {
        let rest = text.split_once(&format!("\"{verb}\":"))?.1;
        let addr = serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.ok()?;
        Some(format!("; it seems to be about {addr} ({verb})"))
    });
    about.unwrap_or_default()
}
