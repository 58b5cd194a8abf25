//! Templates in files and values.

use std::sync::Arc;

use value::Value;
use value::value::Attributes;

use super::{CallContext, Func, FuncError, Param, any, argument, failed, file, gives_any, string, text};
use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::eval::provided::Provided;
use crate::lang::eval::{Ctx, Scope};
use crate::source::{SourceLoader, SourceMap, Span};
use crate::surroundings::Surroundings;
use crate::syntax::{self, ast::Step};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "templatefile",
        doc: "The text of a file, with values for what is between ${ and } in it.",
        params: &[Param::new("path", string), Param::new("variables", any).of_parts()],
        variadic: None,
        examples: &[(r#"can(templatefile("/no/such/file", {}))"#, "false")],
        unknown: gives_any,
        call: |args, context| {
            let read = file::read_text(args, context)?;
            render(text(args, 0), &read, args, context)
        },
    },
    Func {
        name: "templatestring",
        doc: "A text that is the value of a name, with values for what is between ${ and } in it.",
        params: &[Param::new("template", any), Param::new("variables", any).of_parts()],
        variadic: None,
        examples: &[(r#"can(templatestring("fixed text", {}))"#, "false")],
        unknown: gives_any,
        call: |args, context| match &args[0] {
            Value::String(template) => render("the template", template, args, context),
            _ => Err(argument(0, "a string is required")),
        },
    },
];

fn render(name: &str, template: &str, args: &[Value], context: &CallContext<'_>) -> Result<Value, FuncError> {
    if context.scope.is_template() {
        return Err(failed("a template cannot render another template"));
    }
    let variables = args[1].as_entries().ok_or_else(|| argument(1, "a map or object is required"))?;
    if let Some(name) = variables.keys().find(|name| !is_name(name)) {
        return Err(argument(1, format!("{name:?} is not a name of a variable")));
    }
    let mut sources = SourceMap::default();
    let file = sources.add(name, template);
    let refused = |diags: &Diagnostics, sources: &SourceMap| failed(first_error(diags, sources));
    let parts = syntax::parse_template(file, &sources).map_err(|diags| refused(&diags, &sources))?;
    let scope = TemplateScope { variables, outer: context.scope };
    let mut ctx = Ctx::new(&scope);
    let value = ctx.template(&parts, Span::new(file, 0, template.len()));
    if ctx.diags.has_errors() { Err(refused(&ctx.diags, &sources)) } else { Ok(value) }
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|ch| ch.is_alphabetic() || ch == '_')
        && chars.all(|ch| ch.is_alphanumeric() || ch == '_' || ch == '-')
}

/// What is wrong, and where in the template.
fn first_error(diags: &Diagnostics, sources: &SourceMap) -> String {
    let Some(error) = diags.0.iter().find(|diagnostic| diagnostic.is_error()) else { return String::new() };
    match error.span {
        Some(span) => {
            let (line, column) = sources.line_column(span.file, span.start);
            format!("{}, line {line}, column {column}: {}", sources.get(span.file).name, error.label)
        }
        None => error.label.to_string(),
    }
}

/// The names of a template are its variables and nothing else.
struct TemplateScope<'t> {
    variables: &'t Attributes,
    outer: &'t dyn Scope,
}

impl Scope for TemplateScope<'_> {
    fn resolve(&self, root: &str, span: Span, _: &[Step], _: &mut Ctx<'_>) -> Result<(Value, usize), Diagnostic> {
        match self.variables.get(root) {
            Some(value) => Ok((value.clone(), 0)),
            None => {
                let label = format!("the template is given no variable `{root}`");
                let diagnostic = Diagnostic::error("unknown variable", label).at(span);
                Err(diagnostic.suggest(root, self.variables.keys().map(|name: &Arc<str>| &**name)))
            }
        }
    }

    fn function(&self, local: &str, name: &str) -> Result<Provided, Diagnostic> {
        self.outer.function(local, name)
    }

    fn loader(&self) -> Option<&dyn SourceLoader> {
        self.outer.loader()
    }

    fn folder(&self) -> &'static str {
        self.outer.folder()
    }

    fn surroundings(&self) -> Option<&Surroundings> {
        self.outer.surroundings()
    }

    fn is_template(&self) -> bool {
        true
    }
}
