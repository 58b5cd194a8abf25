//! What names mean in a test file outside of its assertions: values given to variables, and outputs of earlier runs.

use std::sync::Arc;

use indexmap::IndexMap;
use value::Value;

use crate::diag::Diagnostic;
use crate::lang::eval::{Ctx, Scope};
use crate::source::{SourceLoader, Span};
use crate::syntax::ast::{Step, StepKind};

#[expect(missing_debug_implementations, reason = "holds a loader, which need not be printable")]
pub struct TestScope<'s> {
    pub loader: &'s dyn SourceLoader,
    /// What has a value so far.
    pub variables: &'s IndexMap<Arc<str>, Value>,
    /// The outputs of earlier runs, as objects.
    pub runs: &'s IndexMap<Arc<str>, Value>,
}

impl Scope for TestScope<'_> {
    fn resolve(&self, root: &str, span: Span, steps: &[Step], _: &mut Ctx<'_>) -> Result<(Value, usize), Diagnostic> {
        let name = match steps.first().map(|step| &step.kind) {
            Some(StepKind::Attribute(name)) => &**name,
            _ => "",
        };
        let (known, what) = match root {
            "var" => (self.variables, "no value was given to the variable"),
            "run" => (self.runs, "there is no earlier run"),
            _ => {
                let label = format!("`{root}` cannot be used here");
                let diagnostic = Diagnostic::error("reference to nothing", label).at(span);
                return Err(diagnostic.note("values in a test file may use var.name and run.name.output"));
            }
        };
        match known.get(name) {
            Some(value) => Ok((value.clone(), 1)),
            None => {
                let diagnostic = Diagnostic::error("reference to nothing", format!("{what} `{name}`")).at(span);
                Err(diagnostic.suggest(name, known.keys().map(|name| &**name)))
            }
        }
    }

    fn loader(&self) -> Option<&dyn SourceLoader> {
        Some(self.loader)
    }
}
