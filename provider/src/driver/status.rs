//! How a machine is, in words that a person can act on.

use std::fmt;

/// The word for a machine that works, with files that somebody has changed.
pub const CHANGED_BY_HAND: &str = "changed by hand";
/// The word for a machine whose disk is full: the one that no apply can mend.
pub const OUT_OF_SPACE: &str = "out of disk space";
/// The word for a machine that works and has another size than the layer.
pub const OTHER_SIZE: &str = "of another size";

/// How a machine is, as far as the machine itself can tell; whether its services answer is asked for apart from this
/// (`fleet/health.rs`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Made, and nothing was started on it yet.
    Created,
    /// All of its services run.
    Running,
    /// All of its services run, and files are not as they were installed: `Driver::drift` has which.
    Changed,
    /// The disk that its services write to has no room; what there is says which.
    Full(String),
    /// A service has processes that do nothing: what was seen.
    Hung { service: String, seen: String },
    /// These services do not run.
    Stopped(Vec<String>),
    /// It has no power, cannot be reached, lost its disk.
    Failed(String),
}

impl Status {
    pub fn as_str(&self) -> &'static str {
        match self {
            Status::Created => "not started",
            Status::Running => "running",
            Status::Changed => CHANGED_BY_HAND,
            Status::Full(_) => OUT_OF_SPACE,
            Status::Hung { .. } => "not answering",
            Status::Stopped(_) => "stopped",
            Status::Failed(_) => "failed",
        }
    }

    /// Whether all services run, so that a changed configuration is a matter of reloading them.
    pub fn is_up(&self) -> bool {
        match self {
            Status::Running | Status::Changed | Status::Full(_) => true,
            Status::Created | Status::Hung { .. } | Status::Stopped(_) | Status::Failed(_) => false,
        }
    }

    /// What a person wants to know beyond the word; empty if there is nothing.
    pub fn detail(&self) -> String {
        match self {
            Status::Created | Status::Running | Status::Changed => String::new(),
            Status::Full(what) => what.clone(),
            Status::Hung { service, seen } => format!("{service}: {seen}"),
            Status::Stopped(services) => {
                let verb = if services.len() == 1 { "does" } else { "do" };
                format!("{} {verb} not run", services.join(" and "))
            }
            Status::Failed(reason) => reason.clone(),
        }
    }
}

/// A file that is not as it was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Relative to the machine's root.
    pub path: String,
    pub kind: DriftKind,
    /// What is there now, of a plain file that was read.
    pub found: Option<Found>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriftKind {
    Content,
    Mode,
    /// It belongs to another user.
    Owner,
    /// Nobody installed it.
    Added,
    Removed,
    /// There is something else in its place, such as a link.
    Replaced,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub content: Vec<u8>,
    pub mode: u32,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.kind {
            DriftKind::Content => write!(f, "{path} has other lines than were installed"),
            DriftKind::Mode => match &self.found {
                Some(found) => write!(f, "{path} has the mode {:04o}", found.mode),
                None => write!(f, "{path} has another mode"),
            },
            DriftKind::Owner => write!(f, "{path} belongs to another user"),
            DriftKind::Added => write!(f, "{path} was added"),
            DriftKind::Removed => write!(f, "{path} was removed"),
            DriftKind::Replaced => write!(f, "{path} is no plain file any more"),
        }
    }
}
