//! Assertions of tests: conditions on the root module after it was planned or applied.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;
use value::{Ty, Value};

use super::scope::ModuleScope;
use super::{Evaluation, ROOT_INST};
use crate::addr::Mode;
use crate::console;
use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::declare::Condition;
use crate::lang::eval;
use crate::lang::refs::{self, Reference, Target};
use crate::program::ROOT;
use crate::source::{SourceMap, Span};
use crate::syntax;
use crate::syntax::ast::Expr;

/// The outputs of earlier runs of a test file, as objects, by the names of the runs.
pub type RunOutputs = IndexMap<Arc<str>, Value>;

/// What became of an assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    /// It does not hold, and this is why.
    Fails(Diagnostic),
    /// It cannot be told.
    Errors(Diagnostics),
}

impl Evaluation {
    /// Decides an assertion, with everything that has been evaluated. Besides the names of the root module it may use
    /// `output.name` and `run.name.output`.
    pub fn decide(&self, condition: &Condition, runs: &RunOutputs, sources: &mut SourceMap) -> Verdict {
        let mut diags = self.unknown_names(&condition.condition, runs);
        diags.extend(self.unknown_names(&condition.error_message, runs));
        if diags.has_errors() {
            return Verdict::Errors(diags);
        }
        let scope = self.test_scope(runs);
        let holds = eval::evaluate_as(&condition.condition, &Ty::Bool, &scope, &mut diags).unmark().0;
        if diags.has_errors() {
            return Verdict::Errors(diags);
        }
        match holds {
            Value::Bool(true) => Verdict::Holds,
            Value::Bool(false) => {
                let message = eval::evaluate_as(&condition.error_message, &Ty::String, &scope, &mut diags);
                let text = if message.has_marks() { None } else { message.as_str().map(str::to_owned) };
                let text = text.unwrap_or_else(|| "(the message is sensitive or not known)".to_owned());
                let diagnostic = Diagnostic::error("assertion failed", text).at(condition.span);
                let values = values_in(&condition.condition, &scope, sources);
                Verdict::Fails(values.into_iter().fold(diagnostic, Diagnostic::note))
            }
            _ => {
                let label = "whether this holds is known only after apply";
                let diagnostic = Diagnostic::error("unknown condition", label).at(condition.span);
                Verdict::Errors(Diagnostics(vec![diagnostic.note(
                    "run it with `command = apply`, or give what it depends on by an override with `override_during = plan`",
                )]))
            }
        }
    }

    fn test_scope<'e>(&'e self, runs: &'e RunOutputs) -> ModuleScope<'e> {
        ModuleScope { runs: Some(runs), ..ModuleScope::new(self, ROOT, ROOT_INST) }
    }

    fn unknown_names(&self, expr: &Expr, runs: &RunOutputs) -> Diagnostics {
        let mut references = Vec::new();
        refs::of_expr(expr, &mut references);
        let mut diags = Diagnostics::default();
        for reference in references {
            let found = match special(&reference) {
                Some(("output", name)) => {
                    let outputs = &self.program.root().outputs;
                    let diagnostic = absent("output", name, reference.span);
                    (!outputs.contains_key(name)).then(|| diagnostic.suggest(name, outputs.keys().map(|name| &**name)))
                }
                Some((_, name)) => {
                    let diagnostic = absent("earlier run", name, reference.span);
                    (!runs.contains_key(name)).then(|| diagnostic.suggest(name, runs.keys().map(|name| &**name)))
                }
                None => self.nodes.is_undeclared(&self.program, ROOT, &reference),
            };
            found.into_iter().for_each(|diagnostic| diags.push(diagnostic));
        }
        diags
    }

    /// The outputs of the root module as one object.
    pub fn output_object(&self) -> Value {
        let outputs = self.outputs().into_iter();
        Value::object(outputs.map(|output| (output.name, output.value.mark_sensitive_if(output.sensitive))))
    }
}

/// `output.url is "http://.."`, for every name in an expression.
fn values_in(expr: &Expr, scope: &ModuleScope<'_>, sources: &mut SourceMap) -> Vec<String> {
    const LONGEST: usize = 200;
    let mut references = Vec::new();
    refs::of_expr(expr, &mut references);
    let texts: BTreeSet<String> = references.iter().map(|reference| sources.text(reference.span).to_owned()).collect();
    let mut found = Vec::new();
    for text in texts {
        let file = sources.add("<reference>", text.as_str());
        let Ok(expr) = syntax::parse_expression(file, sources) else { continue };
        let mut diags = Diagnostics::default();
        let value = eval::evaluate(&expr, scope, &mut diags);
        if diags.has_errors() {
            continue;
        }
        let shown = if value.has_marks() { "a sensitive value".to_owned() } else { console::show(&value.unmark().0) };
        if shown.len() <= LONGEST && !shown.contains('\n') {
            found.push(format!("{text} is {shown}"));
        }
    }
    found
}

/// Names that mean something only in tests; elsewhere they would be types of resources.
fn special(reference: &Reference) -> Option<(&str, &str)> {
    match &reference.target {
        Target::Resource(Mode::Managed, root, name) if matches!(&**root, "output" | "run") => Some((root, name)),
        _ => None,
    }
}

fn absent(what: &str, name: &str, span: Span) -> Diagnostic {
    Diagnostic::error("reference to nothing", format!("there is no {what} `{name}`")).at(span)
}
