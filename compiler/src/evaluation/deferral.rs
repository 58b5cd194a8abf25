//! What is put off: resources of which it is not known how many instances there are, and what needs them. The rest of a stack is
//! evaluated without them; a later evaluation, after an apply, knows more.

use std::collections::BTreeMap;

use super::nodes::NodeId;
use super::{Evaluation, Repeated};
use crate::addr::ResourceAddr;
use crate::diag::Diagnostic;
use crate::lang::declare::Repetition;
use crate::program::ModuleId;
use crate::source::Span;

/// Why a resource is put off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deferred {
    /// Its `count` or `for_each`, or that of its module, is not known.
    Unknown { what: &'static str, span: Span },
    /// It needs one that is put off.
    Needs(ResourceAddr),
}

/// `what` is `count` or `for_each`.
pub(super) fn unknown(what: &str, span: Span) -> Diagnostic {
    let label = format!("`{what}` depends on something that is known only after apply");
    let note = "make it depend on variables, or on attributes that are written in the configuration";
    Diagnostic::error(format!("unknown {what}"), label).at(span).note(note)
}

impl Deferred {
    fn of(repetition: &Repetition) -> Option<Deferred> {
        match repetition {
            Repetition::Single => None,
            Repetition::Count(expr) => Some(Deferred::Unknown { what: "count", span: expr.span }),
            Repetition::ForEach(expr) => Some(Deferred::Unknown { what: "for_each", span: expr.span }),
        }
    }

    /// As it is told where nothing may be put off, or nothing would make it known.
    pub fn refusal(&self) -> Option<Diagnostic> {
        match self {
            Deferred::Unknown { what, span } => Some(unknown(what, *span)),
            Deferred::Needs(_) => None,
        }
    }
}

impl Evaluation {
    /// From now on it is no error that it is not known how many instances there are.
    pub fn allow_deferral(&mut self) {
        self.defers = true;
    }

    /// What was put off until now.
    pub fn deferred(&self) -> &BTreeMap<ResourceAddr, Deferred> {
        &self.deferred
    }

    /// Errors are no reason to put something off: what is unknown may be so because of them.
    pub(super) fn puts_off<T>(&self, repeated: &Repeated<T>, repetition: &Repetition) -> bool {
        let is_unknown = matches!(repeated, Repeated::Unknown) && !matches!(repetition, Repetition::Single);
        self.defers && is_unknown && !self.had_errors && !self.diags.has_errors()
    }

    pub(super) fn defer(&mut self, node: NodeId, repetition: &Repetition) {
        if let (Some(addr), Some(reason)) = (self.nodes.address(&self.program, node), Deferred::of(repetition)) {
            self.deferred.entry(addr).or_insert(reason);
        }
    }

    /// Everything that is in a module, and in those that it calls.
    pub(super) fn defer_module(&mut self, module: ModuleId, repetition: &Repetition) {
        let Some(reason) = Deferred::of(repetition) else { return };
        let path = self.program.module(module).path.clone();
        let all = self.nodes.resource_dependencies.keys().filter_map(|node| self.nodes.address(&self.program, *node));
        let inside: Vec<ResourceAddr> = all.filter(|addr| addr.module.starts_with(&path)).collect();
        for addr in inside {
            self.deferred.entry(addr).or_insert_with(|| reason.clone());
        }
    }

    /// Whether it is put off already, or needs what is.
    pub(super) fn is_deferred(&mut self, node: NodeId) -> bool {
        if self.deferred.is_empty() {
            return false;
        }
        let Some(addr) = self.nodes.address(&self.program, node) else { return false };
        if self.deferred.contains_key(&addr) {
            return true;
        }
        let needs = self.nodes.resource_dependencies.get(&node);
        let needed = needs.and_then(|needs| needs.iter().find(|needed| self.deferred.contains_key(*needed)).cloned());
        let Some(needed) = needed else { return false };
        self.deferred.insert(addr, Deferred::Needs(needed));
        true
    }
}
