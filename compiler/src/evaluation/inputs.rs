//! Values for the variables of the root module.

mod json;

use std::collections::BTreeMap;
use std::sync::Arc;

use value::{Ty, Value};

use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::eval::{self, NoScope};
use crate::lang::secrets;
use crate::program::Program;
use crate::source::{SourceMap, Span};
use crate::syntax;

#[derive(Debug, Clone, Default)]
pub struct Inputs {
    values: BTreeMap<Arc<str>, Input>,
    /// Variables without a value are unknown instead of an error.
    pub validating: bool,
    /// `terraform.workspace`; none for the one that everybody has.
    pub workspace: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub value: Value,
    pub span: Option<Span>,
}

fn is_ephemeral(program: &Program, name: &str) -> bool {
    program.root().variables.get(name).is_some_and(|variable| variable.ephemeral)
}

impl Inputs {
    pub fn validating() -> Inputs {
        Inputs { validating: true, ..Inputs::default() }
    }

    /// Later values win.
    pub fn set(&mut self, name: impl Into<Arc<str>>, input: Input) {
        self.values.insert(name.into(), input);
    }

    pub fn get(&self, name: &str) -> Option<&Input> {
        self.values.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        self.values.iter().map(|(name, input)| (name, &input.value))
    }

    /// The first variable that `other` gives another value than it has here, if only by its default.
    pub fn contradicted<'o>(&self, other: &'o Inputs, program: &Program) -> Option<&'o Arc<str>> {
        let variables = &program.root().variables;
        other.values.keys().find(|name| {
            let Some(variable) = variables.get(*name) else { return false };
            let value = |inputs: &Inputs| {
                let given = inputs.get(name).map(|input| &input.value).or(variable.default.as_ref())?;
                Some(variable.ty.apply(given).unwrap_or_else(|_| given.clone()).unmark_deep().0)
            };
            value(self) != value(other)
        })
    }

    /// Without what is never stored.
    #[must_use]
    pub fn stored(&self, program: &Program) -> Inputs {
        let mut stored = self.clone();
        stored.values.retain(|name, _| !is_ephemeral(program, name));
        stored
    }

    /// Takes the values of ephemeral variables from `other`.
    pub fn take_ephemeral(&mut self, other: &Inputs, program: &Program) {
        let taken = other.values.iter().filter(|(name, _)| is_ephemeral(program, name));
        self.values.extend(taken.map(|(name, input)| (name.clone(), input.clone())));
    }

    /// Values for variables that the program does not have.
    pub fn check_names(&self, program: &Program) -> Diagnostics {
        let mut diags = Diagnostics::default();
        let declared = &program.root().variables;
        for (name, input) in &self.values {
            if !declared.contains_key(name) {
                let label = format!("a value is given for `{name}`, but no such variable is declared");
                let diagnostic = Diagnostic::error("unknown variable", label).at_opt(input.span);
                diags.push(diagnostic.suggest(name, declared.keys().map(|name| &**name)));
            }
        }
        diags
    }
}

/// What a file gives to variables of the program; it may be one for several stacks, so that the rest is only told.
pub fn declared(program: &Program, mut found: Vec<(Arc<str>, Input)>) -> (Vec<(Arc<str>, Input)>, Diagnostics) {
    let variables = &program.root().variables;
    let others: Vec<_> = found.extract_if(.., |(name, _)| !variables.contains_key(name)).collect();
    let mut diags = Diagnostics::default();
    if let [(name, input), rest @ ..] = &others[..] {
        let label = |name: &str| format!("no variable `{name}` is declared");
        let mut diagnostic = Diagnostic::warning("unknown variable", label(name)).at_opt(input.span);
        for (name, input) in rest {
            diagnostic = input.span.into_iter().fold(diagnostic, |all, span| all.related(span, label(name)));
        }
        for (name, _) in &others {
            diagnostic = diagnostic.suggest(name, variables.keys().map(|name| &**name));
        }
        diags.push(diagnostic);
    }
    (found, diags)
}

/// A value from the command line or the environment: text for a variable of a primitive type, an expression for
/// any other.
pub fn read_variable(
    program: &Program,
    name: &str,
    text: &str,
    origin: &str,
    sources: &mut SourceMap,
) -> Result<Input, Diagnostics> {
    let variable = program.root().variables.get(name);
    let is_secret = variable.is_none_or(|variable| variable.sensitive);
    let is_text = match variable {
        Some(variable) => variable.ty.ty.is_primitive() || variable.ty.ty == Ty::Dynamic,
        None => true,
    };
    if is_text {
        return Ok(Input { value: Value::string(text), span: None });
    }
    let file = sources.add(format!("<value of {name} {origin}>"), text);
    if is_secret {
        sources.conceal(Span::new(file, 0, text.len()));
    }
    let expr = syntax::parse_expression(file, sources)?;
    let mut diags = Diagnostics::default();
    let value = eval::evaluate_for(&expr, is_secret, &NoScope, &mut diags);
    if diags.has_errors() { Err(diags) } else { Ok(Input { value, span: Some(expr.span) }) }
}

/// The values in a `*.tfvars` or `*.tfvars.json` file.
pub fn read_variables_file(
    program: &Program,
    name: &str,
    text: &str,
    sources: &mut SourceMap,
) -> (Vec<(Arc<str>, Input)>, Diagnostics) {
    let file = sources.add(name, text);
    if name.ends_with(".json") {
        return json::read(program, file, sources);
    }
    let (body, mut diags) = syntax::parse_file(file, sources);
    // Whose value a line that cannot be read is, nobody knows.
    if program.root().variables.values().any(|variable| variable.sensitive) {
        diags.0.iter().filter_map(|diagnostic| diagnostic.span).for_each(|span| sources.conceal_lines(span));
    }
    secrets::conceal_given(&program.root().variables, &body.attributes, sources);
    for block in &body.blocks {
        let label = "a variables file holds only `name = value`";
        diags.push(Diagnostic::error("block in a variables file", label).at(block.header));
    }
    let mut inputs = Vec::new();
    for attribute in &body.attributes {
        let variable = program.root().variables.get(&attribute.name.name);
        let is_secret = variable.is_none_or(|variable| variable.sensitive);
        let value = eval::evaluate_for(&attribute.expr, is_secret, &NoScope, &mut diags);
        inputs.push((attribute.name.name.clone(), Input { value, span: Some(attribute.expr.span) }));
    }
    (inputs, diags)
}
