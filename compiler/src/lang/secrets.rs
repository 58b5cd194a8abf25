//! Where secrets stand in the text itself, so that no message shows the line with them: the default of a sensitive
//! variable, what is given to one, and what `sensitive(..)` is called with.

use std::sync::Arc;

use indexmap::IndexMap;

use super::declare::Variable;
use crate::source::{SourceMap, Span};
use crate::syntax::ast::{Attribute, Body, Call, Expr, ExprKind, ObjectKey, Part, Step, StepKind};

/// By name, as a module declares them.
type Variables = IndexMap<Arc<str>, Variable>;

/// The whole text of a stack's values of sensitive variables, and of those that nobody declared: they may be misspelt.
pub fn conceal_given(variables: &Variables, given: &[Attribute], sources: &mut SourceMap) {
    for attribute in given {
        match variables.get(&attribute.name.name) {
            Some(variable) if !variable.sensitive => conceal_expr(&attribute.expr, sources),
            Some(_) | None => sources.conceal(attribute.expr.span),
        }
    }
}

pub fn conceal_expr(expr: &Expr, sources: &mut SourceMap) {
    let mut found = Vec::new();
    in_expr(expr, &mut found);
    found.into_iter().for_each(|span| sources.conceal(span));
}

/// Everything in the body of a file.
pub fn conceal_body(body: &Body, sources: &mut SourceMap) {
    let mut found = Vec::new();
    in_body(body, &mut found);
    found.into_iter().for_each(|span| sources.conceal(span));
}

/// What the call of a module gives to its sensitive variables.
pub fn conceal_arguments(call: &Body, variables: &Variables, sources: &mut SourceMap) {
    for attribute in &call.attributes {
        let is_secret = variables.get(&attribute.name.name).is_some_and(|variable| variable.sensitive);
        if is_secret && has_text(&attribute.expr) {
            sources.conceal(attribute.expr.span);
        }
    }
}

/// Whether more than a reference is written there.
pub(crate) fn has_text(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Name(_) => false,
        ExprKind::Access(base, _) => has_text(base),
        ExprKind::Literal(_)
        | ExprKind::Parens(_)
        | ExprKind::Tuple(_)
        | ExprKind::Object(_)
        | ExprKind::Template(_)
        | ExprKind::Unary(..)
        | ExprKind::Binary(..)
        | ExprKind::Conditional(_)
        | ExprKind::For(_)
        | ExprKind::Call(_) => true,
    }
}

/// Whether what a function is called with is a secret.
pub(crate) fn makes_sensitive(call: &Call) -> bool {
    matches!(&*call.name.name, "sensitive" | "core::sensitive")
}

fn in_body(body: &Body, found: &mut Vec<Span>) {
    body.attributes.iter().for_each(|attribute| in_expr(&attribute.expr, found));
    for block in &body.blocks {
        if &*block.kind.name == "variable"
            && let Some(default) = block.body.attribute("default")
            && block.body.attribute("sensitive").is_some_and(|flag| !is_false(&flag.expr))
        {
            found.push(default.expr.span);
        }
        in_body(&block.body, found);
    }
}

fn is_false(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Literal(value) if value.as_bool() == Some(false))
}

fn in_expr(expr: &Expr, found: &mut Vec<Span>) {
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Name(_) => {}
        ExprKind::Access(base, steps) => {
            in_expr(base, found);
            in_steps(steps, found);
        }
        ExprKind::Parens(inner) | ExprKind::Unary(_, inner) => in_expr(inner, found),
        ExprKind::Tuple(items) => items.iter().for_each(|item| in_expr(item, found)),
        ExprKind::Object(items) => {
            for (key, value) in items {
                if let ObjectKey::Expr(key) = key {
                    in_expr(key, found);
                }
                in_expr(value, found);
            }
        }
        ExprKind::Template(parts) => in_parts(parts, found),
        ExprKind::Call(call) => {
            for arg in &call.args {
                if makes_sensitive(call) && has_text(arg) {
                    found.push(arg.span);
                } else {
                    in_expr(arg, found);
                }
            }
        }
        ExprKind::Binary(first, rest) => {
            in_expr(first, found);
            rest.iter().for_each(|(_, operand)| in_expr(operand, found));
        }
        ExprKind::Conditional(conditional) => {
            [&conditional.condition, &conditional.yes, &conditional.no]
                .into_iter()
                .for_each(|part| in_expr(part, found));
        }
        ExprKind::For(comprehension) => {
            let parts = comprehension.key.iter().chain([&comprehension.collection, &comprehension.value]);
            parts.chain(&comprehension.condition).for_each(|part| in_expr(part, found));
        }
    }
}

fn in_steps(steps: &[Step], found: &mut Vec<Span>) {
    for step in steps {
        match &step.kind {
            StepKind::Attribute(_) => {}
            StepKind::Index(index) => in_expr(index, found),
            StepKind::Splat { steps, .. } => in_steps(steps, found),
        }
    }
}

fn in_parts(parts: &[Part], found: &mut Vec<Span>) {
    for part in parts {
        match part {
            Part::Text(_) => {}
            Part::Interpolation(expr) => in_expr(expr, found),
            Part::If { condition, yes, no } => {
                in_expr(condition, found);
                in_parts(yes, found);
                in_parts(no, found);
            }
            Part::For { collection, parts, .. } => {
                in_expr(collection, found);
                in_parts(parts, found);
            }
        }
    }
}
