//! What a plan puts into the state without asking anybody: objects that are taken in, forgotten, or only recorded.

use super::Applying;
use crate::plan::{Action, Goal};
use crate::run::to_state;
use crate::state::OutputState;
use crate::state::journal::Record;

impl Applying<'_> {
    /// Takes records away; nobody is asked.
    pub(super) fn forget(&mut self) {
        let plan = self.plan;
        for change in plan.changes.values().filter(|change| change.action == Action::Forget) {
            self.stage(Record::Remove { addr: change.addr.clone() });
            self.summary.forgotten += usize::from(plan.goal != Goal::Record);
        }
        for (addr, key) in &plan.forgotten {
            self.stage(Record::RemoveDeposed { addr: addr.clone(), key: key.clone() });
        }
    }

    /// Takes in what exists already; what is to be changed of it is changed like everything else.
    pub(super) fn adopt(&mut self) {
        let plan = self.plan;
        for change in plan.changes.values() {
            if let Some(adopted) = &change.adopted {
                let instance = Box::new(adopted.instance.clone());
                self.stage(Record::Put { addr: change.addr.clone(), instance });
                self.summary.imported += 1;
            }
        }
    }

    /// Puts what was read of objects into the state.
    pub(super) fn record_what_is(&mut self) {
        let plan = self.plan;
        for change in plan.changes.values().filter(|change| change.action == Action::NoOp && change.has_drifted()) {
            let Some(recorded) = self.store.state().instances.get(&change.addr) else { continue };
            let private = change.before_private.clone();
            let instance = to_state(&change.after, &change.schema, &recorded.provider, private, recorded);
            self.stage(Record::Put { addr: change.addr.clone(), instance: Box::new(instance) });
        }
    }

    /// Nothing is made that they could wait for. What is not known all the same, and what is not planned, stays.
    pub(super) fn set_planned_outputs(&mut self) {
        let mut outputs = self.store.state().outputs.clone();
        for (name, output) in &self.plan.outputs {
            match output.after.clone() {
                Some(value) if value.is_wholly_known() => {
                    outputs.insert(name.clone(), OutputState { value, sensitive: output.sensitive });
                }
                Some(_) => {}
                None => drop(outputs.remove(name)),
            }
        }
        self.store.set_outputs(outputs);
    }
}
