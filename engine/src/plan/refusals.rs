//! What was asked for and can mean nothing: an import or a replacement of what the stack does not have.

use compiler::Evaluation;
use compiler::addr::InstanceAddr;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::source::Span;

use super::Planning;

impl Planning<'_> {
    /// What is imported, and the stack does not have.
    pub(super) fn undescribed<'e>(
        &'e self,
        evaluation: &'e Evaluation,
    ) -> impl Iterator<Item = (&'e InstanceAddr, &'e (String, Span))> {
        let is_there = |addr: &InstanceAddr| self.seen.contains(addr) || self.state.instances.contains_key(addr);
        let is_planned = |addr: &InstanceAddr| {
            self.part.as_ref().is_none_or(|part| part.plans(addr)) && !self.waits.contains(&addr.resource())
        };
        evaluation.imports().iter().filter(move |(addr, _)| is_planned(addr) && !is_there(addr))
    }

    pub(super) fn refuse_unknown_imports(&mut self, evaluation: &Evaluation) {
        let missing = self.undescribed(evaluation).map(|(addr, (_, span))| {
            let label = format!("the stack does not describe {addr}");
            Diagnostic::error("import of what is not described", label)
                .at(*span)
                .note("write its block first, or let `plan -generate-config-out=FILE` write it")
        });
        let missing = Diagnostics(missing.collect());
        if !self.diags.has_errors() {
            self.diags.extend(missing);
        }
    }

    /// An object that moves away from where the configuration has one: it would be made anew, and moved again the next time.
    pub(super) fn refuse_moves_of_what_is_described(&mut self) {
        let program = self.run.program.clone();
        for (to, from) in self.plan.moves.iter().filter(|(_, from)| self.seen.contains(from)) {
            let label = format!("the stack still describes {from}, which is to become {to}");
            let moves = program.moves().unwrap_or_default();
            let block = moves.iter().find_map(|one| one.of(from).map(|_| one.span()));
            let diagnostic = Diagnostic::error("what has moved is still there", label).at_opt(block);
            self.diags.push(diagnostic.note("take its block or key away, or the `moved` block"));
        }
    }

    /// Whoever misspells an address would wait for a replacement in vain.
    pub(super) fn refuse_unknown_replacements(&mut self) {
        let is_planned =
            |addr: &InstanceAddr| self.plan.changes.get(addr).is_some_and(|change| !change.after.is_null());
        // It is for the plan that has what is put off.
        let is_put_off = |addr: &InstanceAddr| self.plan.deferred.contains_key(&addr.resource());
        let unknown: Vec<String> = self
            .options
            .replace
            .iter()
            .filter(|addr| !is_planned(addr) && !is_put_off(addr))
            .map(ToString::to_string)
            .collect();
        if unknown.is_empty() || self.diags.has_errors() {
            return;
        }
        let known: Vec<String> = self.plan.changes.keys().map(ToString::to_string).collect();
        let has = if self.part.is_some() { "the part of the stack that is planned" } else { "the stack" };
        self.diags.push(
            Diagnostic::error("nothing to replace", format!("{has} has no {}", unknown.join(", ")))
                .note(format!("It has: {}", known.join(", "))),
        );
    }
}
