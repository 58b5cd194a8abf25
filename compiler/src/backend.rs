//! The settings of a backend. They are needed before anything else is known, so they may use variables, and locals that are
//! made of nothing but variables.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use value::convert::convert;
use value::{Marks, Value};

use crate::diag::{Diagnostic, Diagnostics};
use crate::evaluation::Inputs;
use crate::lang::declare::ModuleDecl;
use crate::lang::eval::{Ctx, Scope, evaluate};
use crate::program::Program;
use crate::source::{SourceLoader, Span};
use crate::syntax::ast::{Attribute, Step, StepKind};

/// What the block says, with the place of each value.
#[derive(Debug, Clone)]
pub struct Settings {
    pub kind: Arc<str>,
    pub values: IndexMap<Arc<str>, (Value, Span)>,
    /// Of the block.
    pub span: Span,
}

/// The settings of the root module's backend; none if it has no such block.
pub fn settings(
    program: &Program,
    inputs: &Inputs,
    loader: &dyn SourceLoader,
) -> Result<Option<Settings>, Diagnostics> {
    let module = program.root();
    let Some(backend) = &module.backend else { return Ok(None) };
    let scope = Given::new(module, inputs, loader);
    let mut diags = Diagnostics::default();
    let mut values = IndexMap::new();
    for attribute in &backend.settings {
        let value = evaluate(&attribute.expr, &scope, &mut diags);
        values.insert(attribute.name.name.clone(), (value.unmark_deep().0, attribute.expr.span));
    }
    if diags.has_errors() {
        return Err(diags);
    }
    Ok(Some(Settings { kind: backend.kind.name.clone(), values, span: backend.header }))
}

/// What is known before anything is evaluated.
pub(crate) struct Given<'p> {
    module: &'p ModuleDecl,
    inputs: &'p Inputs,
    loader: &'p dyn SourceLoader,
    /// Each is evaluated once; none while it is.
    locals: RefCell<HashMap<Arc<str>, Option<Value>>>,
}

impl<'p> Given<'p> {
    pub(crate) fn new(module: &'p ModuleDecl, inputs: &'p Inputs, loader: &'p dyn SourceLoader) -> Given<'p> {
        Given { module, inputs, loader, locals: RefCell::default() }
    }

    fn local(&self, local: &Attribute, span: Span) -> Result<Value, Diagnostic> {
        let name = &local.name.name;
        match self.locals.borrow().get(name) {
            Some(Some(value)) => return Ok(value.clone()),
            Some(None) => {
                let label = format!("the local `{name}` is made of itself");
                return Err(Diagnostic::error("circular reference", label).at(span));
            }
            None => {}
        }
        self.locals.borrow_mut().insert(name.clone(), None);
        let mut diags = Diagnostics::default();
        let value = evaluate(&local.expr, self, &mut diags);
        if let Some(diagnostic) = diags.0.into_iter().find(Diagnostic::is_error) {
            return Err(diagnostic);
        }
        self.locals.borrow_mut().insert(name.clone(), Some(value.clone()));
        Ok(value)
    }

    fn variable(&self, name: &str, span: Span) -> Result<Value, Diagnostic> {
        let Some(variable) = self.module.variables.get(name) else {
            let label = format!("no variable `{name}` is declared");
            let diagnostic = Diagnostic::error("reference to nothing", label).at(span);
            return Err(diagnostic.suggest(name, self.module.variables.keys().map(|name| &**name)));
        };
        let given = self.inputs.get(name).map(|input| &input.value);
        let Some(value) = given.or(variable.default.as_ref()) else {
            let label = format!("the variable `{name}` has no value");
            let diagnostic = Diagnostic::error("missing variable", label).at(variable.name.span);
            return Err(
                diagnostic.note(format!("give one with -var '{name}=..', -var-file, TF_VAR_{name}, or a default"))
            );
        };
        let marks = Marks { sensitive: variable.sensitive, ephemeral: variable.ephemeral };
        let value = convert(value, &variable.ty.ty).map_err(|error| {
            let label = format!("the variable `{name}` {}", error.hidden(marks.is_any()));
            Diagnostic::error("wrong type", label).at(span)
        });
        value.map(|value| value.with_marks(marks))
    }
}

impl Scope for Given<'_> {
    fn resolve(&self, root: &str, span: Span, steps: &[Step], _: &mut Ctx<'_>) -> Result<(Value, usize), Diagnostic> {
        let name = match steps.first().map(|step| &step.kind) {
            Some(StepKind::Attribute(name)) => &**name,
            _ => "",
        };
        match (root, self.module.locals.get(name)) {
            ("var", _) => Ok((self.variable(name, span)?, 1)),
            ("local", Some(local)) => Ok((self.local(local, span)?, 1)),
            ("local", None) => {
                let label = format!("no local `{name}` is declared");
                let diagnostic = Diagnostic::error("reference to nothing", label).at(span);
                Err(diagnostic.suggest(name, self.module.locals.keys().map(|name| &**name)))
            }
            _ => {
                let label = format!("`{root}` cannot be used here");
                let diagnostic = Diagnostic::error("reference to what is not known yet", label).at(span);
                Err(diagnostic.note("it is needed before anything else is known: it may use variables, and locals that are made of variables"))
            }
        }
    }

    fn loader(&self) -> Option<&dyn SourceLoader> {
        Some(self.loader)
    }
}
