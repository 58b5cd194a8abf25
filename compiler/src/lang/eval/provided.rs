//! Calls of functions that providers have: `provider::NAME::FUNCTION(..)`.
//!
//! As Terraform has it ("Provider-Defined Functions"): arguments are converted, an unknown one is passed only to who allows it,
//! marks are taken off and put on the result, and what a provider answers has the type that it says.

use std::fmt;
use std::sync::Arc;

use value::convert::convert;
use value::schema::{Function, Parameter};
use value::{Marks, Value};

use super::Ctx;
use crate::addr::ProviderSource;
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::Call;

/// Whoever can ask providers. What is asked again gives the same.
pub trait Functions: fmt::Debug + Send + Sync {
    fn call(&self, source: &ProviderSource, name: &str, arguments: &[Value]) -> Result<Value, FunctionFailure>;
}

/// There are no providers here.
#[derive(Debug)]
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn call(&self, source: &ProviderSource, _: &str, _: &[Value]) -> Result<Value, FunctionFailure> {
        Err(FunctionFailure { message: format!("{} cannot be asked here", source.short()), argument: None })
    }
}

/// Why a function gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionFailure {
    pub message: String,
    /// Which argument it does not like, from 0.
    pub argument: Option<usize>,
}

/// A function that a name leads to.
#[derive(Debug)]
pub struct Provided {
    pub source: ProviderSource,
    pub function: Arc<Function>,
    pub functions: Arc<dyn Functions>,
}

impl Ctx<'_> {
    /// `name` is what follows `provider::`.
    pub(super) fn call_provided(&mut self, name: &str, call: &Call, span: Span) -> Value {
        let written = &call.name.name;
        let found = match name.split_once("::") {
            Some((local, name)) => self.scope.function(local, name),
            None => {
                let label = format!("`{written}` names no function; write provider::NAME::FUNCTION(..)");
                Err(Diagnostic::error("unknown function", label))
            }
        };
        let provided = match found {
            Ok(provided) => provided,
            Err(diagnostic) => return self.fail(diagnostic.at(call.name.span)),
        };
        let name = name.rsplit("::").next().unwrap_or(name);
        let before = self.diags.0.len();
        let Some(args) = self.arguments(call) else { return Value::unknown(provided.function.result.clone()) };
        if self.diags.0[before..].iter().any(Diagnostic::is_error) {
            return Value::DYNAMIC;
        }
        self.ask(&provided, name, &args, call, span)
    }

    fn ask(&mut self, provided: &Provided, name: &str, args: &[(Value, Span)], call: &Call, span: Span) -> Value {
        let (function, written) = (&provided.function, &call.name.name);
        let required = function.parameters.len();
        if args.len() < required || (args.len() > required && function.variadic.is_none()) {
            let at_least = if function.variadic.is_some() { "at least " } else { "" };
            let label = format!("`{written}` takes {at_least}{required} arguments, but {} were given", args.len());
            return self.fail(Diagnostic::error("wrong number of arguments", label).at(span));
        }
        let (mut marks, mut is_unknown, mut values) = (Marks::NONE, false, Vec::with_capacity(args.len()));
        for (idx, (arg, arg_span)) in args.iter().enumerate() {
            let parameter = function.parameters.get(idx).or(function.variadic.as_ref());
            let parameter = parameter.expect("the number of arguments was checked");
            match self.provided_argument(parameter, arg, *arg_span, written) {
                Some((value, own)) => {
                    marks |= own;
                    is_unknown |= !parameter.allows_unknown && !value.is_wholly_known();
                    values.push(value);
                }
                None => return Value::unknown(function.result.clone()),
            }
        }
        if !function.deprecation.is_empty() {
            let label = format!("`{written}` is deprecated");
            let warning = Diagnostic::warning("deprecated function", label).at(call.name.span);
            self.diags.push(warning.note(function.deprecation.clone()));
        }
        if is_unknown {
            return Value::unknown(function.result.clone()).with_marks(marks);
        }
        let hides = self.hides(marks.is_any());
        let failed =
            |label: String, at: Span| Diagnostic::error("function failed", format!("`{written}`: {label}")).at(at);
        match provided.functions.call(&provided.source, name, &values) {
            Ok(value) => match convert(&value, &function.result) {
                Ok(value) => value.with_marks(marks),
                Err(error) => self
                    .fail(failed(format!("its result has another type than it says: {}", error.hidden(hides)), span)),
            },
            Err(failure) => {
                let at = failure.argument.and_then(|index| args.get(index)).map_or(span, |(_, span)| *span);
                let label = match hides {
                    true => "it cannot do this, and saying why could show a sensitive value".to_owned(),
                    false => failure.message,
                };
                self.fail(failed(label, at))
            }
        }
    }

    fn provided_argument(
        &mut self,
        parameter: &Parameter,
        arg: &Value,
        span: Span,
        written: &str,
    ) -> Option<(Value, Marks)> {
        let invalid = |label: String| Diagnostic::error("invalid argument", label).at(span);
        let (value, marks) = match convert(arg, &parameter.ty) {
            Ok(value) => value.unmark_deep(),
            Err(error) => {
                let error = error.hidden(self.hides_values);
                self.diags.push(invalid(format!("`{}` of `{written}`: {error}", parameter.name)));
                return None;
            }
        };
        if value.is_null() && !parameter.allows_null {
            self.diags.push(invalid(format!("`{}` of `{written}` cannot be null", parameter.name)));
            return None;
        }
        Some((value, marks))
    }
}
