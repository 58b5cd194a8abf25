//! What the daemons of all machines have written, by time.

mod lines;

use std::collections::{BTreeMap, BTreeSet};

use compiler::addr::InstanceAddr;
use engine::host::HostError;
use engine::operations::ask;
use engine::operations::dialect::{self, LogPlace, LogsAsked, LogsTold};
use serde_json::json;

use crate::operate::{Existing, Meant};
pub use lines::Line;

/// Of each log at a time.
const BYTES: u64 = 256 << 10;

/// Reads logs, and goes on where it was.
#[derive(Debug)]
pub struct Logs {
    meant: Meant,
    /// Only those of a service.
    service: Option<String>,
    /// How many of the last lines of each log are read first.
    last: usize,
    places: Option<BTreeMap<InstanceAddr, Vec<LogPlace>>>,
    told: BTreeSet<String>,
}

/// What was written since the last look.
#[derive(Debug, Default)]
pub struct Written {
    /// By time; lines of one log keep their order.
    pub lines: Vec<Line>,
    /// What could not be read, `ADDRESS: why`. Each is told once.
    pub problems: Vec<String>,
}

impl Logs {
    pub fn new(meant: Meant, service: Option<String>, last: usize) -> Logs {
        Logs { meant, service, last, places: None, told: BTreeSet::new() }
    }

    pub async fn next(&mut self, existing: &Existing) -> Written {
        let is_first = self.places.is_none();
        let places = self.places.take().unwrap_or_default();
        let arguments = |addr: &InstanceAddr| {
            let places = places.get(addr).cloned().unwrap_or_default();
            json!(LogsAsked { places, bytes: BYTES })
        };
        let planned = &existing.planned;
        let is_meant = |addr: &InstanceAddr| self.meant.has(addr);
        let answers = ask::<LogsTold>(&planned.run, &planned.plan, dialect::LOGS, is_meant, arguments).await;
        let mut written = Written::default();
        let mut places = places;
        for (addr, answer) in answers {
            match answer {
                // One of another make has no logs; whoever did not ask for it does not miss them.
                Err(HostError::NoOperation { .. }) if self.meant.is_everything() => {}
                Err(error) => self.problem(&addr, &error.to_string(), &mut written),
                Ok(told) => {
                    let is_meant = |name: &str| self.service.as_ref().is_none_or(|service| service == name);
                    for part in told.parts.iter().filter(|part| is_meant(&part.service)) {
                        let mut some = lines::lines(part);
                        if is_first {
                            some.drain(..some.len().saturating_sub(self.last));
                        }
                        written.lines.extend(some);
                    }
                    told.problems.iter().for_each(|problem| self.problem(&addr, problem, &mut written));
                    places.insert(addr, told.places);
                }
            }
        }
        self.places = Some(places);
        // The sort is stable, and a line without a time has that of the one before.
        written.lines.sort_by_key(|line| line.time);
        written
    }

    fn problem(&mut self, addr: &InstanceAddr, problem: &str, written: &mut Written) {
        let problem = format!("{addr}: {problem}");
        if self.told.insert(problem.clone()) {
            written.problems.push(problem);
        }
    }
}
