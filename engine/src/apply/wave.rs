//! What becomes durable together. Steps that end while the disk is waited for are counted in one wave: their records, and those of
//! what is about to be begun, are one write and one wait. Nothing is told as done, and nothing is begun, before that.

use super::Applying;
use super::step::{self, Done, Prepared, Removable};
use crate::event::Event;
use crate::plan::Action;
use crate::state::journal::Record;
use crate::state::{InDoubt, Operation, State};
use compiler::Evaluation;
use compiler::diag::Diagnostic;

/// A provider is about to be asked.
pub(super) enum Beginning {
    Make(Box<Prepared>),
    Remove(Box<Removable>),
}

impl Beginning {
    fn record(&self, state: &State) -> Option<Record> {
        match self {
            Beginning::Make(prepared) => Some(prepared.beginning()),
            Beginning::Remove(removable) => {
                let addr = &removable.removal.addr;
                // One that was deposed, or begun, stays in the state as something to be removed.
                let recorded = removable.recorded.as_ref().filter(|_| removable.removal.deposed.is_none());
                let recorded = recorded.filter(|_| state.instances.contains_key(addr))?;
                let doubt = InDoubt { provider: recorded.provider.clone(), operation: Operation::Delete, times: 1 };
                Some(Record::Doubt { addr: addr.clone(), doubt })
            }
        }
    }
}

impl Applying<'_> {
    pub(super) fn count_what_is_done(&mut self, first: Done, evaluation: &mut Evaluation) {
        self.count(first, evaluation);
        while let Some(done) = self.tasks.try_join_next() {
            match done {
                Ok(done) => self.count(done, evaluation),
                Err(error) => self.diags.push(Diagnostic::error("internal error", error.to_string())),
            }
        }
        let beginnings = std::mem::take(&mut self.beginnings);
        let records = beginnings.iter().filter_map(|beginning| beginning.record(self.store.state())).collect();
        if self.may_begin() && self.commit(records) {
            beginnings.into_iter().for_each(|beginning| self.begin(beginning));
        } else {
            beginnings.into_iter().for_each(|beginning| self.refuse(beginning));
            self.commit(Vec::new());
        }
    }

    fn begin(&mut self, beginning: Beginning) {
        let run = self.run.clone();
        match beginning {
            Beginning::Make(prepared) => self.tasks.spawn(async move { step::carry_out(&run, *prepared).await }),
            Beginning::Remove(removable) => self.tasks.spawn(async move { step::remove(&run, *removable).await }),
        };
    }

    fn refuse(&mut self, beginning: Beginning) {
        let (addr, action) = match beginning {
            Beginning::Make(prepared) => (prepared.step.change.addr, prepared.step.change.action),
            Beginning::Remove(removable) => (removable.removal.addr, Action::Delete),
        };
        if action == (Action::Replace { create_first: true }) {
            self.restore(&addr);
        }
        self.told.push(Event::NotBegun { addr, action });
    }

    /// Counts what was done, until it is made durable.
    pub(super) fn stage(&mut self, record: Record) {
        self.store.stage(record);
    }

    /// Whether everything is on the disk; then it is told. A state that cannot be written is reported and ends the run as soon as
    /// what is under way is done.
    pub(super) fn commit(&mut self, beginnings: Vec<Record>) -> bool {
        let Err(error) = self.store.commit(beginnings) else {
            self.told.drain(..).for_each(|event| self.run.tell(event));
            return true;
        };
        self.is_stopped = true;
        if std::mem::replace(&mut self.is_unwritable, true) {
            return false;
        }
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let diagnostic = Diagnostic::error("the state cannot be written", error.to_string()).note(cause);
        self.diags.push(diagnostic.note("nothing more was begun; what was under way was finished"));
        false
    }
}
