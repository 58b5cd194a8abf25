//! The order of removals, and what waits for them.
//!
//! An object X goes when for every object Y that refers to X: Y's own old object is gone, if it goes; and Y has
//! been changed so that it no longer needs X, if X goes for good or has a successor already. When X is replaced
//! by removing it first, its successor waits for the removal.
//!
//! A data source that is read in an apply needs nothing: it is there to see what will be. It is read when what goes for good
//! of what it refers to is gone; only what must be there until all else has changed (`create_before_destroy`) still is.
//!
//! So a change can wait for a successor whose removal waits, a few steps on, for the change. Where nothing else can be
//! done, such a circle is broken as Terraform orders it everywhere: what goes for good does not wait for changes.

use std::collections::{BTreeSet, HashMap, HashSet};

use compiler::addr::{InstanceAddr, Mode, ResourceAddr};

use crate::plan::{Action, Plan};

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
    groups: Vec<Group>,
    users: HashMap<InstanceAddr, User>,
    /// Data sources, and the groups of what must be gone before they are read.
    reads: HashMap<InstanceAddr, Vec<usize>>,
    /// Removals that may have become possible since they were last looked at.
    candidates: Vec<InstanceAddr>,
    /// What may be made or read since old objects are gone, unless it waits for others besides.
    freed: Vec<InstanceAddr>,
}

/// What goes of one resource, and how much stands before that. References are known by resource, so all instances of one
/// wait for all of another: they are counted here, and no instance knows of any other.
#[derive(Debug, Default)]
struct Group {
    removals: Vec<InstanceAddr>,
    /// How many old objects that refer to the resource must be gone first.
    users_to_go: usize,
    /// How many instances that refer to it must have been made or changed first.
    users_to_make: usize,
    /// How many of the removals the reads wait for.
    to_go_before_reads: usize,
    reads: Vec<InstanceAddr>,
}

#[derive(Debug)]
struct Planned {
    removal: Removal,
    group: usize,
    /// Its users must have been made or changed first, not only be gone.
    waits_for_making: bool,
    /// Its own successor is made first.
    waits_for_successor: bool,
    comes_before_reads: bool,
    is_started: bool,
}

/// Whom it keeps waiting.
#[derive(Debug)]
struct User {
    groups: Vec<usize>,
    goes: bool,
    is_made: bool,
}

impl Schedule {
    pub(super) fn new(plan: &Plan) -> Schedule {
        let mut schedule = Schedule::default();
        let mut group_of: HashMap<ResourceAddr, usize> = HashMap::new();
        for change in plan.changes.values() {
            if matches!(change.action, Action::Create | Action::Read | Action::Update | Action::Replace { .. }) {
                schedule.to_make.insert(change.addr.clone());
            }
            let (is_gone_for_good, create_first) = match change.action {
                Action::Delete => (true, false),
                Action::Replace { create_first } => (false, create_first),
                Action::NoOp | Action::Read | Action::Create | Action::Update | Action::Forget => continue,
            };
            if change.addr.mode != Mode::Managed {
                continue;
            }
            let group = *group_of.entry(change.addr.resource()).or_insert_with(|| {
                schedule.groups.push(Group::default());
                schedule.groups.len() - 1
            });
            schedule.groups[group].removals.push(change.addr.clone());
            let removal = Removal { addr: change.addr.clone(), deposed: None, is_part_of_replace: !is_gone_for_good };
            let comes_before_reads = is_gone_for_good && !change.create_before_destroy;
            schedule.groups[group].to_go_before_reads += usize::from(comes_before_reads);
            let planned = Planned {
                removal,
                group,
                waits_for_making: is_gone_for_good || create_first,
                waits_for_successor: create_first,
                comes_before_reads,
                is_started: false,
            };
            schedule.removals.insert(change.addr.clone(), planned);
            schedule.candidates.push(change.addr.clone());
        }
        for change in plan.changes.values() {
            let goes = matches!(change.action, Action::Delete | Action::Replace { .. });
            let is_made = change.action.is_change() && !matches!(change.action, Action::Delete | Action::Forget);
            // Instances of one resource have no order among themselves.
            let own = change.addr.resource();
            let used = change.dependencies.iter().filter(|dependency| **dependency != own);
            let mut groups: Vec<usize> = used.filter_map(|dependency| group_of.get(dependency).copied()).collect();
            if change.action == Action::Read {
                groups = schedule.hold(&change.addr, groups);
            }
            if groups.is_empty() || !(goes || is_made) {
                continue;
            }
            for group in &groups {
                schedule.groups[*group].users_to_go += usize::from(goes);
                schedule.groups[*group].users_to_make += usize::from(is_made);
            }
            schedule.users.insert(change.addr.clone(), User { groups, goes, is_made });
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

    /// Lets a data source wait for what goes of these groups. Returns those that it needs not wait for.
    fn hold(&mut self, addr: &InstanceAddr, groups: Vec<usize>) -> Vec<usize> {
        let (awaited, others): (Vec<usize>, Vec<usize>) =
            groups.into_iter().partition(|group| self.groups[*group].to_go_before_reads > 0);
        awaited.iter().for_each(|group| self.groups[*group].reads.push(addr.clone()));
        self.reads.insert(addr.clone(), awaited);
        others
    }

    /// Whether a new object may be made now: not before the old one of the same address is gone, unless the new
    /// one comes first. Or a data source be read: not before what it waits for is gone.
    pub(super) fn may_make(&self, addr: &InstanceAddr) -> bool {
        if let Some(groups) = self.reads.get(addr) {
            return groups.iter().all(|group| self.groups[*group].to_go_before_reads == 0);
        }
        match self.removals.get(addr) {
            Some(planned) => planned.waits_for_successor || self.gone.contains(addr),
            None => true,
        }
    }

    /// Old objects that have gone since this was last asked.
    pub(super) fn freed(&mut self) -> Vec<InstanceAddr> {
        std::mem::take(&mut self.freed)
    }

    /// Removals that nothing stands in the way of any more; each is given once.
    pub(super) fn removable(&mut self) -> Vec<Removal> {
        let mut ready = std::mem::take(&mut self.leftovers);
        for addr in std::mem::take(&mut self.candidates) {
            let Some(planned) = self.removals.get_mut(&addr) else { continue };
            let group = &self.groups[planned.group];
            let is_free = group.users_to_go == 0
                && (!planned.waits_for_making || group.users_to_make == 0)
                && (!planned.waits_for_successor || self.made.contains(&addr));
            if is_free && !planned.is_started {
                planned.is_started = true;
                ready.push(planned.removal.clone());
            }
        }
        ready
    }

    /// Nothing is under way, and these could be made but for a removal. `false`: no removal waits for changes alone.
    pub(super) fn break_circle<'a>(&mut self, waiting: impl Iterator<Item = &'a InstanceAddr>) -> bool {
        let mut open: Vec<usize> = waiting.flat_map(|addr| self.kept_by(addr)).collect();
        let mut seen = HashSet::new();
        let mut is_broken = false;
        while let Some(group) = open.pop() {
            if !seen.insert(group) {
                continue;
            }
            if self.groups[group].users_to_go == 0 {
                is_broken |= self.release(group);
                continue;
            }
            let users = self.users.iter().filter(|(addr, user)| user.goes && !self.gone.contains(addr));
            let users = users.filter(|(_, user)| user.groups.contains(&group));
            open.extend(users.filter_map(|(addr, _)| Some(self.removals.get(addr)?.group)));
        }
        is_broken
    }

    /// The groups of the removals that something waits for.
    fn kept_by(&self, addr: &InstanceAddr) -> Vec<usize> {
        match self.reads.get(addr) {
            Some(groups) => groups.clone(),
            None => self.removals.get(addr).map(|planned| planned.group).into_iter().collect(),
        }
    }

    /// Lets what goes for good go before its users have changed; whether any of it has waited for them.
    fn release(&mut self, group: usize) -> bool {
        let mut is_released = false;
        for addr in &self.groups[group].removals {
            let Some(planned) = self.removals.get_mut(addr) else { continue };
            if planned.waits_for_making && !planned.waits_for_successor && !planned.is_started {
                planned.waits_for_making = false;
                self.candidates.push(addr.clone());
                is_released = true;
            }
        }
        is_released
    }

    pub(super) fn made(&mut self, addr: &InstanceAddr) {
        self.to_make.remove(addr);
        if self.made.insert(addr.clone()) {
            self.one_less(addr, |user| user.is_made, |group| &mut group.users_to_make);
            self.candidates.push(addr.clone());
        }
    }

    pub(super) fn removed(&mut self, removal: &Removal) {
        self.removals.get_mut(&removal.addr).into_iter().for_each(|planned| planned.is_started = true);
        if self.gone.insert(removal.addr.clone()) {
            self.one_less(&removal.addr, |user| user.goes, |group| &mut group.users_to_go);
            self.freed.push(removal.addr.clone());
            self.one_less_before_reads(&removal.addr);
        }
    }

    fn one_less_before_reads(&mut self, removed: &InstanceAddr) {
        let Some(planned) = self.removals.get(removed).filter(|planned| planned.comes_before_reads) else { return };
        let group = &mut self.groups[planned.group];
        group.to_go_before_reads -= 1;
        if group.to_go_before_reads == 0 {
            self.freed.append(&mut group.reads);
        }
    }

    /// What a group waits for has come; when it was the last, its removals may be possible.
    fn one_less(&mut self, addr: &InstanceAddr, counts: fn(&User) -> bool, left: fn(&mut Group) -> &mut usize) {
        let Some(user) = self.users.get(addr).filter(|user| counts(user)) else { return };
        for group in &user.groups {
            let group = &mut self.groups[*group];
            *left(group) -= 1;
            if *left(group) == 0 {
                self.candidates.extend(group.removals.iter().cloned());
            }
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use compiler::addr::{Key, ModulePath, ProviderAddr, ProviderSource};
    use value::schema::Schema;
    use value::{Ty, Value};

    use super::*;
    use crate::plan::Change;

    fn change(name: &str, idx: usize, action: Action, dependency: Option<&str>) -> Change {
        let addr = |name: &str| InstanceAddr {
            module: ModulePath::default(),
            mode: Mode::Managed,
            ty: "thing".into(),
            name: name.into(),
            key: Key::Int(idx),
        };
        let null = Value::Null(Ty::Dynamic);
        Change {
            addr: addr(name),
            provider: ProviderAddr { module: Vec::new(), source: ProviderSource::lampwright(), alias: None },
            schema: Arc::new(Schema::default()),
            action,
            reason: None,
            recorded_sensitive: Vec::new(),
            recorded: null.clone(),
            before: null.clone(),
            after: null,
            requires_replace: Vec::new(),
            before_private: Vec::new(),
            private: Vec::new(),
            dependencies: dependency.into_iter().map(|name| addr(name).resource()).collect(),
            create_before_destroy: false,
            adopted: None,
        }
    }

    /// How often a removal was looked at until all were gone, and the names in their order.
    fn run(changes: Vec<Change>) -> (usize, Vec<String>) {
        let mut plan = Plan::default();
        plan.changes.extend(changes.into_iter().map(|change| (change.addr.clone(), change)));
        let mut schedule = Schedule::new(&plan);
        let (mut looks, mut order) = (0, Vec::new());
        loop {
            looks += schedule.candidates.len();
            let ready = schedule.removable();
            if ready.is_empty() {
                break;
            }
            for removal in &ready {
                schedule.removed(removal);
                if order.last().map(String::as_str) != Some(&*removal.addr.name) {
                    order.push(removal.addr.name.to_string());
                }
            }
        }
        assert_eq!(schedule.not_done(), Vec::<String>::new());
        (looks, order)
    }

    #[test]
    fn what_waits_for_many_is_looked_at_once_for_all_of_them() {
        let count = 5_000;
        let users = (0..count).map(|idx| change("user", idx, Action::Delete, Some("used")));
        let used = (0..count).map(|idx| change("used", idx, Action::Delete, None));
        let (looks, order) = run(users.chain(used).collect());
        assert_eq!(order, ["user", "used"]);
        assert!(looks <= 4 * count, "{looks}");
    }

    #[test]
    fn instances_of_one_resource_do_not_wait_for_each_other() {
        let (_, order) = run((0..3).map(|idx| change("a", idx, Action::Delete, Some("a"))).collect());
        assert_eq!(order, ["a"]);
    }
}
