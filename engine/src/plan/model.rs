//! A plan as data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compiler::addr::{InstanceAddr, Mode, ProviderAddr, ResourceAddr};
use compiler::binding::Schemas;
use jiff::Timestamp;
use proto::preview::Preview;
use value::schema::Schema;
use value::{Path, Value};

use super::describe::Described;
use super::moves::{Converted, Moves};
use super::part::{LeftOut, Selection};
use crate::action::{Action, Reason};
use crate::state::InstanceState;

/// What will be done. Apply needs nothing else to know what and in which order.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub goal: Goal,
    /// By address. Objects that stay as they are, too.
    pub changes: BTreeMap<InstanceAddr, Change>,
    /// Objects that an earlier run replaced and could not remove.
    pub deposed: Vec<Deposed>,
    /// Such objects whose record goes, and nothing else.
    pub forgotten: Vec<(InstanceAddr, String)>,
    pub outputs: BTreeMap<Arc<str>, OutputChange>,
    /// Objects that stay and get another address.
    pub moves: Moves,
    /// What those are that get another type, too.
    pub becomes: Converted,
    /// Of a plan for a part of the stack, or of one that puts something off.
    pub left_out: Option<LeftOut>,
    /// Blocks that were written for what is imported.
    pub described: Vec<Described>,
    /// What a later plan is for.
    pub deferred: BTreeMap<ResourceAddr, Deferral>,
    /// The state that the plan starts from, as read from the providers.
    pub lineage: String,
    pub serial: u64,
    /// What `plantimestamp` gives, here and when it is applied.
    pub planned_at: Timestamp,
    /// Not everything was looked at.
    pub believes: bool,
    /// What the providers say that objects have.
    pub schemas: Arc<Schemas>,
}

#[derive(Debug, Clone)]
pub struct Change {
    pub addr: InstanceAddr,
    pub provider: ProviderAddr,
    pub schema: Arc<Schema>,
    pub action: Action,
    pub reason: Option<Reason>,
    /// What is in the state file; null if nothing. Without marks, as is `before`.
    pub recorded: Value,
    /// What was sensitive of it when it was recorded, besides what its schema says.
    pub recorded_sensitive: Vec<Path>,
    /// What is there, as the provider reads it; null if nothing.
    pub before: Value,
    /// What will be; null if nothing. May be unknown in parts; carries marks.
    pub after: Value,
    pub requires_replace: Vec<Path>,
    /// The provider's private data of the object as it is.
    pub before_private: Vec<u8>,
    /// The provider's private data of the plan.
    pub private: Vec<u8>,
    /// What it refers to, or did until now.
    pub dependencies: BTreeSet<ResourceAddr>,
    pub create_before_destroy: bool,
    /// What an import has found; it is in no state yet.
    pub adopted: Option<Box<Adopted>>,
}

/// An object that is taken in.
#[derive(Debug, Clone)]
pub struct Adopted {
    /// By which its provider knows it.
    pub id: String,
    pub instance: InstanceState,
}

#[derive(Debug, Clone)]
pub struct Deposed {
    pub addr: InstanceAddr,
    pub key: String,
    pub instance: InstanceState,
    pub value: Value,
    /// The provider's private data of the plan to remove it.
    pub private: Vec<u8>,
}

/// Why a resource is left to a plan after this one is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deferral {
    /// Its `count` or `for_each`, or that of its module, is known only then.
    Unknown(String),
    /// It needs one that is left.
    Needs(ResourceAddr),
}

#[derive(Debug, Clone, PartialEq)]
pub struct OutputChange {
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub sensitive: bool,
}

/// What is planned for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Goal {
    #[default]
    Configuration,
    /// That nothing is left.
    Nothing,
    /// That the state says what there is; nothing that exists is changed.
    Record,
}

/// Which objects the providers are asked about; of others the state is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    Everything,
    /// What something is done with, if one believes the state; then it is planned again by what there is.
    Changed,
    /// What the state itself does not know.
    InDoubt,
    /// For providers that simulate: they know nothing of what there is.
    Nothing,
    /// For whoever only looks at what the state has: providers are configured, and asked for no plan either.
    OnlyLook,
}

#[derive(Debug, Clone)]
pub struct PlanOptions {
    pub goal: Goal,
    pub refresh: Refresh,
    /// Objects that exist and are not in the state: the provider's id by address. If there are any, nothing else is
    /// planned: what is not imported yet may stand in the way of everything but its own import.
    pub adopt: BTreeMap<InstanceAddr, String>,
    /// Objects that are to be replaced although nothing else says so.
    pub replace: BTreeSet<InstanceAddr>,
    pub selection: Selection,
    /// What depends on how many there are of something is left to a later plan, where that is not known yet; else it is an error.
    pub may_defer: bool,
    /// What is imported and not described is read, and a block is written for it; else it is an error.
    pub describe: bool,
}

impl PlanOptions {
    pub fn new(goal: Goal, refresh: Refresh) -> PlanOptions {
        PlanOptions {
            goal,
            refresh,
            adopt: BTreeMap::new(),
            replace: BTreeSet::new(),
            selection: Selection::Everything,
            may_defer: false,
            describe: false,
        }
    }
}

impl Plan {
    /// Nothing to do, not even for outputs.
    pub fn is_empty(&self) -> bool {
        if self.goal == Goal::Record && self.has_drift() {
            return false;
        }
        self.changes.values().all(|change| change.action == Action::NoOp && change.adopted.is_none())
            && self.deposed.is_empty()
            && self.forgotten.is_empty()
            && self.moves.is_empty()
            && self.outputs.values().all(|output| output.before == output.after)
    }

    pub fn is_destroy(&self) -> bool {
        self.goal == Goal::Nothing
    }

    /// Whether what is there differs from what the state says.
    pub fn has_drift(&self) -> bool {
        self.changes.values().any(Change::has_drifted)
    }
}

impl Change {
    pub fn has_drifted(&self) -> bool {
        let is_known = self.addr.mode == Mode::Managed && self.adopted.is_none() && !self.recorded.is_null();
        is_known && self.recorded != self.before
    }

    /// What our own provider tells beyond values.
    pub fn preview(&self) -> Option<Preview> {
        Preview::decode(&self.private)
    }
}
