//! What happens while a run goes on, for whoever shows it.

use std::time::Duration;

use compiler::addr::InstanceAddr;

use crate::action::Action;

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Providers will be asked about so many objects.
    Surveying {
        total: usize,
    },
    Refreshing {
        addr: InstanceAddr,
    },
    Refreshed {
        addr: InstanceAddr,
    },
    Reading {
        addr: InstanceAddr,
    },
    Opening {
        addr: InstanceAddr,
    },
    Started {
        addr: InstanceAddr,
        action: Action,
    },
    /// What a provider says of a step that is under way.
    Progress {
        address: String,
        message: String,
    },
    Finished {
        addr: InstanceAddr,
        action: Action,
        elapsed: Duration,
    },
    Failed {
        addr: InstanceAddr,
        action: Action,
    },
    /// Its turn came, and nothing more may be begun.
    NotBegun {
        addr: InstanceAddr,
        action: Action,
    },
}

pub type Events = tokio::sync::mpsc::UnboundedSender<Event>;
