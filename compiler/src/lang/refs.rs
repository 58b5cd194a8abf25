//! Which objects an expression refers to.

use std::sync::Arc;

use crate::addr::Mode;
use crate::source::Span;
use crate::syntax::ast::{Body, Expr, ExprKind, ObjectKey, Part, Step, StepKind};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    Variable(Arc<str>),
    Local(Arc<str>),
    Resource(Mode, Arc<str>, Arc<str>),
    /// A module call, and the output if one is named.
    Module(Arc<str>, Option<Arc<str>>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub target: Target,
    pub span: Span,
}

pub fn of_body(body: &Body, out: &mut Vec<Reference>) {
    body_refs(body, &mut Vec::new(), &mut |root, steps, span| out.extend(named(root, steps, span)));
}

pub fn of_expr(expr: &Expr, out: &mut Vec<Reference>) {
    traversals(expr, &mut |root, steps, span| out.extend(named(root, steps, span)));
}

/// Hears of every name in an expression that no `for` of it binds, with the steps behind it.
pub type Visitor<'v> = &'v mut dyn FnMut(&str, &[Step], Span);

pub fn traversals(expr: &Expr, visit: Visitor<'_>) {
    expr_refs(expr, &mut Vec::new(), visit);
}

fn body_refs(body: &Body, bound: &mut Vec<Arc<str>>, visit: Visitor<'_>) {
    for attribute in &body.attributes {
        expr_refs(&attribute.expr, bound, visit);
    }
    for block in &body.blocks {
        if &*block.kind.name == "dynamic" {
            // The iterator is a name of its own inside of the block.
            let iterator = block.body.attribute("iterator").and_then(|attribute| match &attribute.expr.kind {
                ExprKind::Name(name) => Some(name.clone()),
                _ => None,
            });
            let iterator = iterator.or_else(|| block.labels.first().map(|label| label.name.clone()));
            for attribute in block.body.attributes.iter().filter(|attribute| &*attribute.name.name != "iterator") {
                with_bound(bound, iterator.iter().cloned(), |bound| expr_refs(&attribute.expr, bound, visit));
            }
            for content in &block.body.blocks {
                with_bound(bound, iterator.iter().cloned(), |bound| body_refs(&content.body, bound, visit));
            }
        } else {
            body_refs(&block.body, bound, visit);
        }
    }
}

fn with_bound(bound: &mut Vec<Arc<str>>, names: impl Iterator<Item = Arc<str>>, body: impl FnOnce(&mut Vec<Arc<str>>)) {
    let before = bound.len();
    bound.extend(names);
    body(bound);
    bound.truncate(before);
}

fn expr_refs(expr: &Expr, bound: &mut Vec<Arc<str>>, visit: Visitor<'_>) {
    match &expr.kind {
        ExprKind::Literal(_) => {}
        ExprKind::Name(name) => name_ref(name, &[], expr.span, bound, visit),
        ExprKind::Access(base, steps) => {
            match &base.kind {
                ExprKind::Name(name) => name_ref(name, steps, expr.span, bound, visit),
                _ => expr_refs(base, bound, visit),
            }
            step_refs(steps, bound, visit);
        }
        ExprKind::Parens(inner) | ExprKind::Unary(_, inner) => expr_refs(inner, bound, visit),
        ExprKind::Tuple(items) => items.iter().for_each(|item| expr_refs(item, bound, visit)),
        ExprKind::Object(items) => {
            for (key, value) in items {
                if let ObjectKey::Expr(key) = key {
                    expr_refs(key, bound, visit);
                }
                expr_refs(value, bound, visit);
            }
        }
        ExprKind::Template(parts) => part_refs(parts, bound, visit),
        ExprKind::Call(call) => call.args.iter().for_each(|arg| expr_refs(arg, bound, visit)),
        ExprKind::Binary(first, rest) => {
            expr_refs(first, bound, visit);
            rest.iter().for_each(|(_, operand)| expr_refs(operand, bound, visit));
        }
        ExprKind::Conditional(conditional) => {
            for part in [&conditional.condition, &conditional.yes, &conditional.no] {
                expr_refs(part, bound, visit);
            }
        }
        ExprKind::For(comprehension) => {
            expr_refs(&comprehension.collection, bound, visit);
            let names = comprehension.key_name.iter().chain([&comprehension.value_name]).map(|name| name.name.clone());
            with_bound(bound, names, |bound| {
                let parts = comprehension.key.iter().chain([&comprehension.value]).chain(&comprehension.condition);
                parts.for_each(|part| expr_refs(part, bound, visit));
            });
        }
    }
}

fn step_refs(steps: &[Step], bound: &mut Vec<Arc<str>>, visit: Visitor<'_>) {
    for step in steps {
        match &step.kind {
            StepKind::Attribute(_) => {}
            StepKind::Index(index) => expr_refs(index, bound, visit),
            StepKind::Splat { steps, .. } => step_refs(steps, bound, visit),
        }
    }
}

fn part_refs(parts: &[Part], bound: &mut Vec<Arc<str>>, visit: Visitor<'_>) {
    for part in parts {
        match part {
            Part::Text(_) => {}
            Part::Interpolation(expr) => expr_refs(expr, bound, visit),
            Part::If { condition, yes, no } => {
                expr_refs(condition, bound, visit);
                part_refs(yes, bound, visit);
                part_refs(no, bound, visit);
            }
            Part::For { key_name, value_name, collection, parts } => {
                expr_refs(collection, bound, visit);
                let names = key_name.iter().chain([value_name]).map(|name| name.name.clone());
                with_bound(bound, names, |bound| part_refs(parts, bound, visit));
            }
        }
    }
}

fn name_ref(root: &str, steps: &[Step], span: Span, bound: &[Arc<str>], visit: Visitor<'_>) {
    if bound.iter().all(|name| &**name != root) {
        visit(root, steps, span);
    }
}

fn named(root: &str, steps: &[Step], span: Span) -> Option<Reference> {
    let attribute = |idx: usize| match steps.get(idx).map(|step| &step.kind) {
        Some(StepKind::Attribute(name)) => Some(name.clone()),
        _ => None,
    };
    let target = match root {
        "each" | "count" | "path" | "self" | "terraform" => None,
        "var" => attribute(0).map(Target::Variable),
        "local" => attribute(0).map(Target::Local),
        "module" => attribute(0).map(|name| {
            // `module.a.out` or `module.a["k"].out`.
            let output = match steps.get(1).map(|step| &step.kind) {
                Some(StepKind::Attribute(output)) => Some(output.clone()),
                Some(StepKind::Index(_)) => attribute(2),
                Some(StepKind::Splat { steps, .. }) => steps.first().and_then(|step| match &step.kind {
                    StepKind::Attribute(output) => Some(output.clone()),
                    StepKind::Index(_) | StepKind::Splat { .. } => None,
                }),
                None => None,
            };
            Target::Module(name, output)
        }),
        "data" => attribute(0).zip(attribute(1)).map(|(ty, name)| Target::Resource(Mode::Data, ty, name)),
        "ephemeral" => attribute(0).zip(attribute(1)).map(|(ty, name)| Target::Resource(Mode::Ephemeral, ty, name)),
        ty => attribute(0).map(|name| Target::Resource(Mode::Managed, ty.into(), name)),
    };
    target.map(|target| Reference { target, span })
}
