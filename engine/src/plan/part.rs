//! Planning for a part of a stack: some objects with what they need, or all but some and what needs those.
//!
//! What is left out is not even evaluated. It stays in the state as it is, and outputs that are made of it keep their value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compiler::Evaluation;
use compiler::addr::{InstanceAddr, Key, ModulePath, ResourceAddr, Selector};
use compiler::diag::{Diagnostic, Diagnostics};

use super::Goal;
use crate::state::State;

/// What is planned for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    #[default]
    Everything,
    /// These, and what they need.
    Only(Vec<Selector>),
    /// Everything but these, and what needs them.
    AllBut(Vec<Selector>),
}

/// What a plan for a part has left out; apply needs to know it, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The resources that are evaluated.
    pub evaluated: Arc<BTreeSet<ResourceAddr>>,
    /// Instances of those that are left out nevertheless.
    pub instances: BTreeSet<InstanceAddr>,
    /// Outputs that are made of what is left out.
    pub outputs: BTreeSet<Arc<str>>,
}

/// A selection, followed through what the configuration and the state say of who needs whom.
#[derive(Debug)]
pub(super) struct Part<'s> {
    selection: &'s Selection,
    /// Needed by what is selected, or needing what is left out: whatever the selectors say.
    drawn_in: Reached,
    /// The same of what the state has, for what is to be removed.
    recorded: Reached,
    pub(super) evaluated: Arc<BTreeSet<ResourceAddr>>,
}

type Edges = BTreeMap<ResourceAddr, BTreeSet<ResourceAddr>>;
/// Resources, with the instances of modules that are meant of them; a module without a key means all of its instances.
type Reached = BTreeMap<ResourceAddr, BTreeSet<ModulePath>>;

/// Everything that is reached from what selectors mean, without that itself unless it is reached again. What is in one module refers
/// to what is in the same instance of it.
fn reached(selectors: &[Selector], edges: &Edges) -> Reached {
    let mut found = Reached::new();
    let mut open: Vec<(&ResourceAddr, ModulePath)> = Vec::new();
    for resource in edges.keys() {
        let meant = selectors.iter().filter(|selector| selector.may_match(resource));
        open.extend(meant.map(|selector| (resource, selector.module().clone())));
    }
    while let Some((resource, module)) = open.pop() {
        for next in edges.get(resource).into_iter().flatten() {
            let shared = module.0.iter().zip(&resource.module).zip(&next.module);
            let shared = shared.take_while(|((_, own), its)| own == its).map(|((call, _), _)| call.clone()).collect();
            let shared = ModulePath(shared);
            if found.entry(next.clone()).or_default().insert(shared.clone()) {
                open.push((next, shared));
            }
        }
    }
    found
}

fn reversed(edges: &Edges) -> Edges {
    let mut all = Edges::new();
    for (from, to) in edges {
        for one in to {
            all.entry(one.clone()).or_default().insert(from.clone());
        }
    }
    all
}

impl<'s> Part<'s> {
    /// None: it is the whole. An error names a selector that means nothing.
    pub(super) fn of(
        selection: &'s Selection,
        goal: Goal,
        evaluation: &Evaluation,
        state: &State,
    ) -> Result<Option<Part<'s>>, Diagnostics> {
        let (Selection::Only(selectors) | Selection::AllBut(selectors)) = selection else { return Ok(None) };
        let configured: Edges = evaluation.resources().map(|(resource, on)| (resource, on.clone())).collect();
        let mut recorded = Edges::new();
        for (addr, object) in &state.instances {
            recorded.entry(addr.resource()).or_default().extend(object.dependencies.iter().cloned());
        }
        let known: BTreeSet<&ResourceAddr> = configured.keys().chain(recorded.keys()).collect();
        let mut diags = Diagnostics::default();
        for selector in selectors.iter().filter(|selector| !known.iter().any(|one| selector.may_match(one))) {
            let names: Vec<String> = known.iter().map(ToString::to_string).collect();
            let near = compiler::diag::suggest::closest(&selector.to_string(), names.iter().map(String::as_str));
            let label = format!("neither the stack nor its state has {selector}");
            let diagnostic = Diagnostic::error("nothing of this name", label);
            diags.push(match near {
                Some(near) => diagnostic.note(format!("did you mean {near}?")),
                None => diagnostic.note(format!("there is: {}", names.join(", "))),
            });
        }
        if diags.has_errors() {
            return Err(diags);
        }
        let is_meant = |resource: &&ResourceAddr| selectors.iter().any(|selector| selector.may_match(resource));
        let is_only = matches!(selection, Selection::Only(_));
        let of_configured = if is_only { configured.clone() } else { reversed(&configured) };
        let drawn_in = reached(selectors, &of_configured);
        // What is removed goes with what needs it, and what is kept keeps what it needs.
        let of_recorded = match (goal, is_only) {
            (Goal::Nothing, true) => reversed(&recorded),
            (Goal::Configuration | Goal::Record, true) => Edges::new(),
            (Goal::Nothing | Goal::Configuration | Goal::Record, false) => recorded.clone(),
        };
        let recorded = reached(selectors, &of_recorded);
        // Of a resource that is left out by an instance others may be planned for.
        let is_whole = |resource: &&ResourceAddr| selectors.iter().any(|selector| selector.is_whole(resource));
        let is_plain = |module: &ModulePath| module.0.iter().all(|(_, key)| *key == Key::None);
        let evaluated = configured.keys().filter(|resource| match is_only {
            true => is_meant(resource) || drawn_in.contains_key(*resource),
            false => {
                !is_whole(resource) && !drawn_in.get(*resource).is_some_and(|modules| modules.iter().any(is_plain))
            }
        });
        let evaluated = Arc::new(evaluated.cloned().collect());
        Ok(Some(Part { selection, drawn_in, recorded, evaluated }))
    }

    /// Whether an instance that the configuration has is planned for.
    pub(super) fn plans(&self, addr: &InstanceAddr) -> bool {
        self.has(addr, &self.drawn_in)
    }

    /// Whether an object that only the state has may be removed.
    pub(super) fn removes(&self, addr: &InstanceAddr) -> bool {
        self.has(addr, &self.recorded)
    }

    fn has(&self, addr: &InstanceAddr, drawn_in: &Reached) -> bool {
        let (Selection::Only(selectors) | Selection::AllBut(selectors)) = self.selection else { return true };
        let mut modules = drawn_in.get(&addr.resource()).into_iter().flatten();
        let is_meant = selectors.iter().any(|selector| selector.matches(addr))
            || modules.any(|module| module.leads_to(&addr.module));
        is_meant == matches!(self.selection, Selection::Only(_))
    }

    /// What people have to know of such a plan.
    pub(super) fn warning() -> Diagnostic {
        let label = "what is left out is not planned, and outputs that are made of it keep their value";
        Diagnostic::warning("the plan is for a part of the stack", label)
            .note("this is for exceptions, such as mending one layer in a hurry; afterwards plan the whole once")
    }
}
