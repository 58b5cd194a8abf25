//! What is put off, because it is not known how many there are of something: it stays in the state as it is, and is for the plan
//! after this one is applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compiler::Evaluation;
use compiler::addr::ResourceAddr;
use compiler::evaluation::Deferred;

use super::part::LeftOut;
use super::{Action, Deferral, Planning};

impl Planning<'_> {
    /// Leaves out what the evaluation has put off. Where the plan does nothing that could make more known, that is an error.
    pub(super) fn put_off(&mut self, evaluation: &Evaluation) {
        let deferred = evaluation.deferred();
        if deferred.is_empty() || self.diags.has_errors() {
            return;
        }
        // Only what changes makes more known; a clock, for one, never will.
        let changes = self.plan.changes.values().filter(|change| change.action != Action::NoOp);
        let changing: BTreeSet<ResourceAddr> = changes.map(|change| change.addr.resource()).collect();
        let will_be_known = |resource: &ResourceAddr, needs: &BTreeSet<ResourceAddr>| {
            deferred.contains_key(resource)
                && needs.iter().any(|one| changing.contains(one) || deferred.contains_key(one))
        };
        let hopeful: BTreeSet<ResourceAddr> = evaluation
            .resources()
            .filter(|(resource, needs)| will_be_known(resource, needs))
            .map(|(resource, _)| resource)
            .collect();
        let hopeless = deferred.iter().filter(|(resource, _)| !hopeful.contains(*resource));
        self.diags.0.extend(hopeless.filter_map(|(_, why)| why.refusal()));
        if self.diags.has_errors() {
            return;
        }
        let left_out = self.plan.left_out.get_or_insert_with(|| {
            let all = evaluation.resources().map(|(resource, _)| resource);
            LeftOut { evaluated: Arc::new(all.collect()), ..LeftOut::default() }
        });
        Arc::make_mut(&mut left_out.evaluated).retain(|resource| !deferred.contains_key(resource));
        self.plan.deferred = deferred.iter().map(|(resource, why)| (resource.clone(), Deferral::from(why))).collect();
        self.waits = self.with_what_they_refer_to(deferred.keys());
    }

    /// As the state says. What is put off still refers to it, so that it cannot go before.
    fn with_what_they_refer_to<'d>(&self, deferred: impl Iterator<Item = &'d ResourceAddr>) -> BTreeSet<ResourceAddr> {
        let mut refers: BTreeMap<ResourceAddr, BTreeSet<&ResourceAddr>> = BTreeMap::new();
        for (addr, object) in &self.state.instances {
            refers.entry(addr.resource()).or_default().extend(&object.dependencies);
        }
        let mut open: Vec<&ResourceAddr> = deferred.collect();
        let mut found = BTreeSet::new();
        while let Some(resource) = open.pop() {
            if found.insert(resource.clone()) {
                open.extend(refers.get(resource).into_iter().flatten());
            }
        }
        found
    }
}

impl From<&Deferred> for Deferral {
    fn from(why: &Deferred) -> Deferral {
        match why {
            Deferred::Unknown { what, .. } => Deferral::Unknown((*what).to_owned()),
            Deferred::Needs(resource) => Deferral::Needs(resource.clone()),
        }
    }
}
