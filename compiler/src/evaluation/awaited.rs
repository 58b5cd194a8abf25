//! What a data source waits for: while one of these resources has a change that is still to be made, reading it now
//! would give what is no longer so in a moment.
//!
//! Rules of Terraform (`dependenciesHavePendingChanges`): what its `depends_on` and those of the calls of its module
//! name, and resources that its block itself refers to; with conditions, all that is behind it. A data source that is
//! waited for does not count, but what it waits for does if a module call names it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::nodes::{NodeId, NodeKind, Nodes, repetition_refs};
use crate::addr::{Mode, ResourceAddr};
use crate::lang::declare::Resource;
use crate::lang::refs::{self, Reference, Target};
use crate::program::{ModuleId, Program};

pub(super) type Awaited = Arc<BTreeSet<ResourceAddr>>;

/// For every data source that waits for something.
pub(super) fn of_data_sources(nodes: &Nodes, program: &Program) -> HashMap<NodeId, Awaited> {
    let mut collect = Collect { nodes, program, of_calls: HashMap::new() };
    let data = nodes.list.iter().enumerate().filter_map(|(id, node)| match &node.kind {
        NodeKind::Resource(mode @ (Mode::Data | Mode::Ephemeral), ty, name) => {
            let key = (*mode, ty.clone(), name.clone());
            Some((NodeId(id), node.module, program.module(node.module).decl.resources.get(&key)?))
        }
        _ => None,
    });
    let awaited = data.map(|(id, module, resource)| (id, collect.of_resource(id, module, resource)));
    awaited.filter(|(_, awaited)| !awaited.is_empty()).collect()
}

struct Collect<'n> {
    nodes: &'n Nodes,
    program: &'n Program,
    /// What the calls that lead to a module say.
    of_calls: HashMap<ModuleId, Awaited>,
}

impl Collect<'_> {
    fn of_resource(&mut self, id: NodeId, module: ModuleId, resource: &Resource) -> Awaited {
        let mut found = BTreeSet::new();
        let lifecycle = &resource.lifecycle;
        if !lifecycle.preconditions.is_empty() || !lifecycle.postconditions.is_empty() {
            self.behind(id, &mut found);
        }
        for reference in references(&resource.depends_on) {
            for target in self.nodes.explicit_targets(self.program, module, &reference).unwrap_or_default() {
                match &self.nodes.list[target.0].kind {
                    NodeKind::Resource(..) => found.extend(self.managed(target)),
                    _ => self.behind(target, &mut found),
                }
            }
        }
        let mut own = Vec::new();
        refs::of_body(&resource.body, &mut own);
        repetition_refs(&resource.repetition, &mut own);
        found.extend(self.direct(module, &own));
        let of_calls = self.of_calls(module);
        if found.is_empty() {
            return of_calls;
        }
        found.extend(of_calls.iter().cloned());
        Arc::new(found)
    }

    fn of_calls(&mut self, module: ModuleId) -> Awaited {
        if let Some(known) = self.of_calls.get(&module) {
            return known.clone();
        }
        let mut found = BTreeSet::new();
        let this = self.program.module(module);
        if let Some(parent) = this.parent {
            found.extend(self.of_calls(parent).iter().cloned());
            let call = this.path.last().and_then(|name| self.program.module(parent).decl.calls.get(name));
            if let Some(call) = call {
                for reference in references(&call.depends_on) {
                    let targets = self.nodes.explicit_targets(self.program, parent, &reference).unwrap_or_default();
                    targets.into_iter().for_each(|target| self.behind(target, &mut found));
                }
                let mut own = Vec::new();
                repetition_refs(&call.repetition, &mut own);
                found.extend(self.direct(parent, &own));
            }
        }
        let found = Arc::new(found);
        self.of_calls.insert(module, found.clone());
        found
    }

    /// Managed resources that are referred to by their own names.
    fn direct(&self, module: ModuleId, references: &[Reference]) -> Vec<ResourceAddr> {
        let kinds = references.iter().filter_map(|reference| match &reference.target {
            Target::Resource(Mode::Managed, ty, name) => {
                self.nodes.find(module, NodeKind::Resource(Mode::Managed, ty.clone(), name.clone()))
            }
            Target::Resource(..) | Target::Variable(_) | Target::Local(_) | Target::Module(..) => None,
        });
        kinds.filter_map(|id| self.managed(id)).collect()
    }

    fn managed(&self, id: NodeId) -> Option<ResourceAddr> {
        self.nodes.address(self.program, id).filter(|addr| addr.mode == Mode::Managed)
    }

    /// The managed resources among a node and all that it depends on in the end.
    fn behind(&self, id: NodeId, found: &mut BTreeSet<ResourceAddr>) {
        let mut seen = vec![false; self.nodes.list.len()];
        let mut stack = vec![id.0];
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut seen[id], true) {
                continue;
            }
            found.extend(self.managed(NodeId(id)));
            stack.extend(&self.nodes.dag.dependencies[id]);
        }
    }
}

fn references(exprs: &[crate::syntax::ast::Expr]) -> Vec<Reference> {
    let mut references = Vec::new();
    exprs.iter().for_each(|expr| refs::of_expr(expr, &mut references));
    references
}
