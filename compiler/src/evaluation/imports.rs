//! What `import` blocks name: in each instance of their module, before the objects that they name are handed out.

use std::collections::BTreeMap;

use value::Value;

use super::nodes::{NodeId, NodeKind, Nodes};
use super::scope::ModuleScope;
use super::{Evaluation, InstId};
use crate::addr::{InstanceAddr, Mode, ModulePath, Selector};
use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::declare::imports::Import;
use crate::lang::declare::moves::selector;
use crate::lang::eval::evaluate;
use crate::lang::refs::{self, Reference};
use crate::program::{ModuleId, Program};
use crate::source::Span;
use crate::syntax::ast::{Expr, ExprKind, StepKind};

/// The provider's id of an object, and where that is said.
pub type Imports = BTreeMap<InstanceAddr, (String, Span)>;

/// What an import is made of: everything but the address itself, of which only the keys are values.
pub(super) fn references(import: &Import, out: &mut Vec<Reference>) {
    refs::of_expr(&import.id, out);
    import.for_each.iter().for_each(|expr| refs::of_expr(expr, out));
    if let ExprKind::Access(_, steps) = &import.to.kind {
        for step in steps {
            if let StepKind::Index(key) = &step.kind {
                refs::of_expr(key, out);
            }
        }
    }
}

/// The resource that an import names, whatever its keys are.
pub(super) fn target(import: &Import, module: ModuleId, program: &Program, nodes: &Nodes) -> Option<NodeId> {
    let addr = import.target()?;
    let mut calls = addr.module.0.iter();
    let module = calls.try_fold(module, |module, (call, _)| program.module(module).children.get(call).copied())?;
    nodes.find(module, NodeKind::Resource(Mode::Managed, addr.ty, addr.name))
}

impl Evaluation {
    /// What was named until now; of an instance that was handed out, everything.
    pub fn imports(&self) -> &Imports {
        &self.imports
    }

    /// Nothing is taken in; `import` blocks are not even evaluated. Before the first `ready`.
    pub fn ignore_imports(&mut self) {
        self.takes_in = false;
    }

    pub(super) fn import(&mut self, node: NodeId, inst: InstId, idx: usize) {
        let module = self.node(node).module;
        let decl = self.program.module(module).decl.clone();
        let import = &decl.imports[idx];
        let target = target(import, module, &self.program, &self.nodes);
        let is_left = target.is_some_and(|target| self.is_left(target) || self.is_deferred(target));
        // While validating nothing is there that could be imported.
        if self.inputs.validating || is_left || !self.takes_in {
            return;
        }
        let path = self.module_insts[inst.0].path.clone();
        let mut diags = Diagnostics::default();
        let mut scope = ModuleScope::new(self, module, inst);
        let each = match &import.for_each {
            None => vec![None],
            Some(expr) => each(&shown(expr, &scope, &mut diags), expr, &mut diags),
        };
        let mut found = Vec::new();
        for each in each {
            scope.each = each;
            found.extend(one(import, &path, &scope, &mut diags));
        }
        for (addr, id) in found {
            if let Some((_, first)) = self.imports.insert(addr.clone(), (id, import.span)) {
                let label = format!("{addr} is imported twice");
                let diagnostic = Diagnostic::error("imported twice", label).at(import.span);
                diags.push(diagnostic.related(first, "the first one is here"));
            }
        }
        self.diags.extend(diags);
    }
}

/// Addresses and ids are shown and stored, so nothing of them is secret.
fn shown(expr: &Expr, scope: &ModuleScope<'_>, diags: &mut Diagnostics) -> Value {
    let (value, marks) = evaluate(expr, scope, diags).unmark_deep();
    let refused = if marks.is_any() {
        let kind = if marks.sensitive { "sensitive" } else { "ephemeral" };
        let label = format!("what is imported, and where to, is shown and stored, so it cannot be {kind}");
        Some(Diagnostic::error(format!("{kind} value"), label))
    } else if !value.is_wholly_known() && !diags.has_errors() {
        Some(Diagnostic::error("unknown import", "what is imported, and where to, has to be known before an apply"))
    } else {
        None
    };
    let is_refused = refused.is_some();
    diags.0.extend(refused.map(|diagnostic| diagnostic.at(expr.span)));
    if is_refused { Value::DYNAMIC } else { value }
}

type Each = Option<(Value, Value)>;

fn each(value: &Value, expr: &Expr, diags: &mut Diagnostics) -> Vec<Each> {
    if let Some(entries) = value.as_entries() {
        return entries.iter().map(|(key, value)| Some((Value::String(key.clone()), value.clone()))).collect();
    }
    if let (Value::Set(..), Some(items)) = (value, value.as_items()) {
        return items.iter().map(|item| Some((item.clone(), item.clone()))).collect();
    }
    if !diags.has_errors() {
        let label = "a map or a set of texts is required here";
        diags.push(Diagnostic::error("invalid for_each", label).at(expr.span));
    }
    Vec::new()
}

fn one(
    import: &Import,
    path: &ModulePath,
    scope: &ModuleScope<'_>,
    diags: &mut Diagnostics,
) -> Option<(InstanceAddr, String)> {
    let Some(addr) = address(&import.to, path, scope, diags) else {
        if !diags.has_errors() {
            let label = "the address of one object is required here, such as type.name or module.name.type.name[key]";
            diags.push(Diagnostic::error("invalid address", label).at(import.to.span));
        }
        return None;
    };
    let id = shown(&import.id, scope, diags);
    match id.as_str() {
        Some(id) if !id.is_empty() => Some((addr, id.to_owned())),
        _ => {
            if !diags.has_errors() {
                let label = "a text that is not empty is required here";
                diags.push(Diagnostic::error("invalid id", label).at(import.id.span));
            }
            None
        }
    }
}

/// Seen from the root module.
fn address(expr: &Expr, path: &ModulePath, scope: &ModuleScope<'_>, diags: &mut Diagnostics) -> Option<InstanceAddr> {
    match selector(expr, &mut |key| Some(shown(key, scope, diags)))? {
        Selector::Object(addr) => {
            let calls = path.0.iter().chain(&addr.module.0).cloned().collect();
            Some(InstanceAddr { module: ModulePath(calls), ..addr })
        }
        Selector::Module(_) => None,
    }
}
