//! `replace_triggered_by`: which objects, and what of them.

use value::{Path, Step as PathStep, Value};

use super::scope::ModuleScope;
use crate::addr::{InstanceAddr, Key, Mode, ResourceAddr};
use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::eval;
use crate::syntax::ast::{Expr, ExprKind, Step, StepKind};

/// What begins something else than the address of an object.
const NO_TYPE: [&str; 10] =
    ["count", "data", "each", "ephemeral", "local", "module", "path", "self", "terraform", "var"];

/// `type.name`, `type.name[key]`, with or without attributes behind it.
pub(super) fn triggers(
    exprs: &[Expr],
    scope: &ModuleScope<'_>,
    diags: &mut Diagnostics,
) -> Vec<(ResourceAddr, Option<InstanceAddr>, Path)> {
    let mut found = Vec::new();
    for expr in exprs {
        match trigger(expr, scope, diags) {
            Some(trigger) => found.push(trigger),
            None => {
                let label = "a resource of this module is required here, such as type.name or type.name.attribute";
                diags.push(Diagnostic::error("invalid reference", label).at(expr.span));
            }
        }
    }
    found
}

fn trigger(
    expr: &Expr,
    scope: &ModuleScope<'_>,
    diags: &mut Diagnostics,
) -> Option<(ResourceAddr, Option<InstanceAddr>, Path)> {
    let ExprKind::Access(base, steps) = &expr.kind else { return None };
    let ExprKind::Name(root) = &base.kind else { return None };
    let (mode, ty, steps) = match (&**root, steps.as_slice()) {
        // A data source replaces nothing, as it is only read; Terraform takes it, too.
        ("data", [Step { kind: StepKind::Attribute(ty), .. }, rest @ ..]) => (Mode::Data, ty, rest),
        (root, _) if NO_TYPE.contains(&root) => return None,
        _ => (Mode::Managed, root, steps.as_slice()),
    };
    let (first, mut rest) = steps.split_first()?;
    let StepKind::Attribute(name) = &first.kind else { return None };
    let evaluation = scope.evaluation;
    let resource = ResourceAddr {
        module: evaluation.program.module(scope.module).path.clone(),
        mode,
        ty: ty.clone(),
        name: name.clone(),
    };
    let mut instance = None;
    if let Some(Step { kind: StepKind::Index(index), .. }) = rest.first() {
        let key = match eval::evaluate(index, scope, diags).unmark().0 {
            Value::String(key) => Key::Str(key),
            Value::Number(number) => Key::Int(number.to_usize()?),
            _ => return None,
        };
        let module = evaluation.module_insts[scope.inst.0].path.clone();
        instance = Some(InstanceAddr { module, mode, ty: ty.clone(), name: name.clone(), key });
        rest = &rest[1..];
    }
    let path = rest.iter().map(|step| match &step.kind {
        StepKind::Attribute(name) => Some(PathStep::Attribute(name.clone())),
        StepKind::Index(_) | StepKind::Splat { .. } => None,
    });
    Some((resource, instance, Path(path.collect::<Option<_>>()?)))
}
