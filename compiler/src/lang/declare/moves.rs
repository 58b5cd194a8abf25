//! `moved` and `removed`: what has become of objects that have another address now, or none.

use std::sync::Arc;

use value::Value;

use super::{ModuleDecl, Shape};
use crate::addr::{Key, ModulePath, Selector};
use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::eval::{self, NoScope};
use crate::source::Span;
use crate::syntax::ast::{Attribute, Block, Expr, ExprKind, StepKind};

/// `moved { from = .. to = .. }`, relative to the module that says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    pub from: Selector,
    pub to: Selector,
    pub span: Span,
}

/// `removed { from = .. }`, relative to the module that says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Removed {
    pub from: Selector,
    /// Whether what exists goes, too, or only its record.
    pub destroy: bool,
    pub span: Span,
}

pub(super) fn moved(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape { labels: &[], attributes: &["from", "to"], blocks: &[] };
    if !shape.check(block, diags) {
        return;
    }
    let (Some(from), Some(to)) = (address(block, "from", diags), address(block, "to", diags)) else { return };
    let is_of_one_kind = match (&from, &to) {
        (Selector::Module(_), Selector::Module(_)) => true,
        (Selector::Object(from), Selector::Object(to)) => from.mode == to.mode,
        _ => false,
    };
    if !is_of_one_kind {
        let label = "a resource becomes a resource, and a module a module";
        diags.push(Diagnostic::error("addresses of two kinds", label).at(block.header));
        return;
    }
    module.moved.push(Moved { from, to, span: block.header });
}

pub(super) fn removed(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape { labels: &[], attributes: &["from"], blocks: &["lifecycle"] };
    if !shape.check(block, diags) {
        return;
    }
    let Some(from) = address(block, "from", diags) else { return };
    let has_key = match &from {
        Selector::Module(path) => has_keys(path),
        Selector::Object(object) => has_keys(&object.module) || object.key != Key::None,
    };
    if has_key {
        let span = block.body.attribute("from").map_or(block.header, |from| from.expr.span);
        let label = "a `removed` block is for a whole resource or module; leave the key away";
        diags.push(Diagnostic::error("invalid address", label).at(span));
        return;
    }
    let mut destroy = true;
    for lifecycle in &block.body.blocks {
        let shape = Shape { labels: &[], attributes: &["destroy"], blocks: &[] };
        if !shape.check(lifecycle, diags) {
            return;
        }
        if let Some(attribute) = lifecycle.body.attribute("destroy") {
            match eval::evaluate(&attribute.expr, &NoScope, diags) {
                Value::Bool(value) => destroy = value,
                _ => {
                    let label = "true or false is required here";
                    diags.push(Diagnostic::error("wrong type", label).at(attribute.expr.span));
                }
            }
        }
    }
    module.removed.push(Removed { from, destroy, span: block.header });
}

fn has_keys(path: &ModulePath) -> bool {
    path.0.iter().any(|(_, key)| *key != Key::None)
}

fn address(block: &Block, name: &str, diags: &mut Diagnostics) -> Option<Selector> {
    let Some(Attribute { expr, .. }) = block.body.attribute(name) else {
        let label = format!("`{name}` is required here");
        diags.push(Diagnostic::error("missing argument", label).at(block.header));
        return None;
    };
    let found = selector(expr, &mut literal);
    if found.is_none() {
        let label = "an address is required here, such as type.name, type.name[key] or module.name";
        diags.push(Diagnostic::error("invalid address", label).at(expr.span));
    }
    found
}

/// An address as an expression has it; nothing of it is evaluated but keys, by `evaluate`.
pub(crate) fn selector(expr: &Expr, evaluate: &mut dyn FnMut(&Expr) -> Option<Value>) -> Option<Selector> {
    let ExprKind::Access(base, steps) = &expr.kind else { return None };
    let ExprKind::Name(first) = &base.kind else { return None };
    let mut words: Vec<(Arc<str>, Key)> = vec![(first.clone(), Key::None)];
    for step in steps {
        match &step.kind {
            StepKind::Attribute(name) => words.push((name.clone(), Key::None)),
            StepKind::Index(index) => {
                let last = words.last_mut().filter(|(_, key)| *key == Key::None)?;
                last.1 = match evaluate(index)? {
                    Value::String(text) => Key::Str(text),
                    Value::Number(number) => Key::Int(number.to_usize()?),
                    _ => return None,
                };
            }
            StepKind::Splat { .. } => return None,
        }
    }
    Selector::of_words(words)
}

fn literal(expr: &Expr) -> Option<Value> {
    match &expr.kind {
        ExprKind::Literal(value) => Some(value.clone()),
        _ => None,
    }
}
