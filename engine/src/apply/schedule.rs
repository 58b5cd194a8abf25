//! The order of removals, and what waits for them.
//!
//! An object X goes when for every object Y that refers to X: Y's own old object is gone, if it goes; and Y has
//! been changed so that it no longer needs X, if X goes for good or has a successor already. When X is replaced
//! by removing it first, its successor waits for the removal.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use compiler::addr::{InstanceAddr, Mode, ResourceAddr};

use crate::plan::{Action, Change, Plan};

/// One object to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Removal {
    pub(super) addr: InstanceAddr,
    /// Set for an object whose successor exists under the same address.
    pub(super) deposed: Option<String>,
    pub(super) is_part_of_replace: bool,
}

#[derive(Debug, Default)]
pub(super) struct Schedule {
    removals: HashMap<InstanceAddr, Planned>,
    /// Left over from earlier runs; they wait for nobody.
    leftovers: Vec<Removal>,
    to_make: BTreeSet<InstanceAddr>,
    made: HashSet<InstanceAddr>,
    gone: HashSet<InstanceAddr>,
    /// Who waits for whom: an event of the address on the left may free the removals on the right.
    waiters: HashMap<InstanceAddr, Vec<InstanceAddr>>,
    /// Removals that may have become possible since they were last looked at.
    candidates: Vec<InstanceAddr>,
}

#[derive(Debug)]
struct Planned {
    removal: Removal,
    /// Old objects that must be gone first.
    after_removal_of: Vec<InstanceAddr>,
    /// Instances that must have been made or changed first.
    after_making: Vec<InstanceAddr>,
    is_started: bool,
}

impl Schedule {
    pub(super) fn new(plan: &Plan) -> Schedule {
        let mut schedule = Schedule::default();
        let mut dependents: BTreeMap<ResourceAddr, Vec<&Change>> = BTreeMap::new();
        for change in plan.changes.values() {
            for dependency in &change.dependencies {
                dependents.entry(dependency.clone()).or_default().push(change);
            }
            if matches!(change.action, Action::Create | Action::Read | Action::Update | Action::Replace { .. }) {
                schedule.to_make.insert(change.addr.clone());
            }
        }
        for change in plan.changes.values().filter(|change| change.addr.mode == Mode::Managed) {
            let create_first = match change.action {
                Action::Delete => false,
                Action::Replace { create_first } => create_first,
                Action::NoOp | Action::Read | Action::Create | Action::Update => continue,
            };
            let users = dependents.get(&change.addr.resource()).map(Vec::as_slice).unwrap_or_default();
            let old_goes = |user: &&&Change| matches!(user.action, Action::Delete | Action::Replace { .. });
            let is_gone_for_good = change.action == Action::Delete;
            let mut after_making: Vec<InstanceAddr> = users
                .iter()
                .filter(|user| user.action.is_change() && user.action != Action::Delete)
                .filter(|_| is_gone_for_good || create_first)
                .map(|user| user.addr.clone())
                .collect();
            if create_first {
                after_making.push(change.addr.clone());
            }
            let after_removal_of = users.iter().filter(old_goes).map(|user| user.addr.clone()).collect();
            let removal = Removal { addr: change.addr.clone(), deposed: None, is_part_of_replace: !is_gone_for_good };
            let planned = Planned { removal, after_removal_of, after_making, is_started: false };
            for other in planned.after_removal_of.iter().chain(&planned.after_making) {
                schedule.waiters.entry(other.clone()).or_default().push(change.addr.clone());
            }
            schedule.removals.insert(change.addr.clone(), planned);
            schedule.candidates.push(change.addr.clone());
        }
        schedule.leftovers = plan
            .deposed
            .iter()
            .map(|deposed| Removal {
                addr: deposed.addr.clone(),
                deposed: Some(deposed.key.clone()),
                is_part_of_replace: false,
            })
            .collect();
        schedule
    }

    /// Whether a new object may be made now: not before the old one of the same address is gone, unless the new
    /// one comes first.
    pub(super) fn may_make(&self, addr: &InstanceAddr) -> bool {
        match self.removals.get(addr) {
            Some(planned) => planned.after_making.contains(addr) || self.gone.contains(addr),
            None => true,
        }
    }

    /// Removals that nothing stands in the way of any more; each is given once.
    pub(super) fn removable(&mut self) -> Vec<Removal> {
        let mut ready = std::mem::take(&mut self.leftovers);
        for addr in std::mem::take(&mut self.candidates) {
            let Some(planned) = self.removals.get_mut(&addr) else { continue };
            let is_free = planned.after_removal_of.iter().all(|other| self.gone.contains(other) || *other == addr)
                && planned.after_making.iter().all(|other| self.made.contains(other));
            if is_free && !planned.is_started {
                planned.is_started = true;
                ready.push(planned.removal.clone());
            }
        }
        ready
    }

    pub(super) fn made(&mut self, addr: &InstanceAddr) {
        self.made.insert(addr.clone());
        self.to_make.remove(addr);
        self.wake(addr);
    }

    pub(super) fn removed(&mut self, removal: &Removal) {
        self.gone.insert(removal.addr.clone());
        self.removals.get_mut(&removal.addr).into_iter().for_each(|planned| planned.is_started = true);
        self.wake(&removal.addr);
    }

    fn wake(&mut self, addr: &InstanceAddr) {
        self.candidates.extend(self.waiters.get(addr).into_iter().flatten().cloned());
    }

    /// The old object has stepped aside under this key.
    pub(super) fn deposed(&mut self, addr: &InstanceAddr, key: String) {
        if let Some(planned) = self.removals.get_mut(addr) {
            planned.removal.deposed = Some(key);
        }
    }

    pub(super) fn forget_deposed(&mut self, addr: &InstanceAddr) -> Option<String> {
        self.removals.get_mut(addr).and_then(|planned| planned.removal.deposed.take())
    }

    /// What was planned and has not happened.
    pub(super) fn not_done(&self) -> Vec<String> {
        let mut left: Vec<String> = self.to_make.iter().map(ToString::to_string).collect();
        let removals = self.removals.values().filter(|planned| !self.gone.contains(&planned.removal.addr));
        left.extend(
            removals
                .filter(|planned| !planned.removal.is_part_of_replace)
                .map(|planned| planned.removal.addr.to_string()),
        );
        left.sort();
        left
    }
}
