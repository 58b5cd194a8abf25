//! Function calls.

use std::borrow::Cow;

use value::convert::convert;
use value::size::MAX_SIZE;
use value::{Marks, Ty, Value};

use super::Ctx;
use crate::diag::Diagnostic;
use crate::lang::funcs::{self, ArgumentMarks, CallContext, Func, FuncError, Param, TOO_LARGE};
use crate::lang::secrets::makes_sensitive;
use crate::source::Span;
use crate::syntax::ast::{Call, Expr, ExprKind};

impl Ctx<'_> {
    pub(super) fn call(&mut self, call: &Call, span: Span) -> Value {
        // `try` and `can` decide which errors count, so they see expressions instead of values.
        if let Some(name) = call.name.name.strip_prefix("provider::") {
            return self.call_provided(name, call, span);
        }
        let name = call.name.name.strip_prefix("core::").unwrap_or(&call.name.name);
        match name {
            "try" => return self.try_each(call, span),
            "can" => return self.can(call, span),
            // What could be written in place is not for a template to be found in.
            "templatestring" if !call.args.first().is_none_or(is_reference) => {
                let label =
                    "the template of `templatestring` is the value of a name; a fixed text is a template itself";
                return self.fail(Diagnostic::error("function failed", label).at(call.args[0].span));
            }
            _ => {}
        }
        let Some(func) = funcs::find(name) else {
            if self.hides_values {
                let diagnostic = Diagnostic::error("unknown function", "there is no such function");
                return self.fail(diagnostic.at(call.name.span));
            }
            let label = format!("there is no function `{name}`");
            let special = funcs::SPECIAL.iter().map(|(name, _)| *name);
            let names = funcs::all().map(|func| func.name).chain(special);
            return self.fail(Diagnostic::error("unknown function", label).at(call.name.span).suggest(name, names));
        };
        let errors_before = self.diags.0.len();
        self.hiding(makes_sensitive(call), |ctx| {
            let Some(args) = ctx.arguments(call) else { return Value::DYNAMIC };
            if ctx.diags.0[errors_before..].iter().any(Diagnostic::is_error) {
                return Value::DYNAMIC;
            }
            ctx.invoke(func, &args, call, span)
        })
    }

    /// Evaluated arguments with the span to blame for each; `None` when their number is not known.
    pub(super) fn arguments(&mut self, call: &Call) -> Option<Vec<(Value, Span)>> {
        let mut args: Vec<(Value, Span)> = call.args.iter().map(|arg| (self.eval(arg), arg.span)).collect();
        if !call.expand_last {
            return Some(args);
        }
        let (last, span) = args.pop()?;
        let (last, marked) = last.unmark();
        match &last {
            Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => {
                args.extend(items.iter().map(|item| (item.clone().with_marks(marked), span)));
                Some(args)
            }
            Value::Unknown(..) => None,
            _ => {
                let label = "a list is required before `...`";
                self.diags.push(Diagnostic::error("invalid expansion", label).at(span));
                None
            }
        }
    }

    fn invoke(&mut self, func: &'static Func, args: &[(Value, Span)], call: &Call, span: Span) -> Value {
        let required = func.params.len();
        if args.len() < required || (args.len() > required && func.variadic.is_none()) {
            let expected = match (required, func.variadic) {
                (n, None) => format!("{n} argument{}", if n == 1 { "" } else { "s" }),
                (n, Some(_)) => format!("at least {n} argument{}", if n == 1 { "" } else { "s" }),
            };
            // How many a sensitive list expands to is part of it.
            let is_told = !call.expand_last || !self.hides(args.iter().any(|(arg, _)| arg.has_marks()));
            let given = if is_told { args.len().to_string() } else { "another number".to_owned() };
            let label = format!("`{}` takes {expected}, but {given} were given", func.name);
            return self.fail(Diagnostic::error("wrong number of arguments", label).at(span).note(func.signature()));
        }
        let mut is_unknown = false;
        let mut marks = Marks::NONE;
        let mut values = Vec::with_capacity(args.len());
        for (idx, (arg, arg_span)) in args.iter().enumerate() {
            let param = func.params.get(idx).or(func.variadic.as_ref()).expect("the number of arguments was checked");
            match self.argument(param, arg, *arg_span, func) {
                Some(argument) => {
                    is_unknown |= !param.is_known_enough(&argument.value);
                    marks |= argument.marks;
                    values.push(argument.value);
                }
                None => return Value::DYNAMIC,
            }
        }
        if is_unknown {
            return (func.unknown)(&values).with_marks(marks);
        }
        let context = CallContext { scope: self.scope };
        match (func.call)(&values, &context) {
            Ok(value) if value.size() > MAX_SIZE => {
                let label = format!("`{}`: {TOO_LARGE}", func.name);
                self.fail(Diagnostic::error("function failed", label).at(span))
            }
            Ok(value) => value.with_marks(marks),
            Err(error) => {
                let (span, label) = match error {
                    FuncError::Argument { index, message } => {
                        (args.get(index).map_or(call.name.span, |(_, span)| *span), message)
                    }
                    FuncError::Call(message) => (span, message),
                };
                // A text that stands in the program tells no values; one that was made for this call may.
                let label = match label {
                    Cow::Owned(_) if self.hides(marks.is_any()) => {
                        "it cannot do this, and saying why could show a sensitive value".into()
                    }
                    told => told,
                };
                self.fail(Diagnostic::error("function failed", format!("`{}`: {label}", func.name)).at(span))
            }
        }
    }

    fn argument(&mut self, param: &Param, arg: &Value, span: Span, func: &Func) -> Option<Argument> {
        let ty = (param.ty)();
        let (value, marks) = match convert(arg, &ty) {
            Ok(value) => match param.marks {
                ArgumentMarks::TakenOff => value.unmark_deep(),
                ArgumentMarks::OfParts => value.unmark(),
                ArgumentMarks::Kept => (value, Marks::NONE),
            },
            Err(error) => {
                let error = error.hidden(self.hides_values);
                let label = format!("`{}` of `{}`: {error}", param.name, func.name);
                self.diags.push(Diagnostic::error("invalid argument", label).at(span).note(func.signature()));
                return None;
            }
        };
        if value.is_null() && !param.allows_null {
            let label = format!("`{}` of `{}` cannot be null", param.name, func.name);
            self.diags.push(Diagnostic::error("invalid argument", label).at(span));
            return None;
        }
        Some(Argument { value, marks })
    }

    fn try_each(&mut self, call: &Call, span: Span) -> Value {
        let mut reasons = Vec::new();
        for arg in &call.args {
            let (value, errors) = self.attempt(arg);
            match errors.first() {
                None => return value,
                Some(error) => reasons.push(error.label.clone()),
            }
        }
        if call.args.is_empty() {
            let label = "`try` takes at least one argument";
            return self.fail(Diagnostic::error("wrong number of arguments", label).at(span));
        }
        let label = format!("every argument of `try` failed: {}", reasons.join("; "));
        self.fail(Diagnostic::error("function failed", label).at(span))
    }

    fn can(&mut self, call: &Call, span: Span) -> Value {
        let [arg] = call.args.as_slice() else {
            let label = "`can` takes one argument";
            return self.fail(Diagnostic::error("wrong number of arguments", label).at(span));
        };
        let (value, errors) = self.attempt(arg);
        if errors.is_empty() && !value.is_wholly_known() {
            return funcs::not_null(Ty::Bool);
        }
        Value::Bool(errors.is_empty())
    }

    /// Evaluates and gives the errors back instead of reporting them.
    fn attempt(&mut self, expr: &Expr) -> (Value, Vec<Diagnostic>) {
        let outer = std::mem::take(&mut self.diags);
        let value = self.eval(expr);
        let found = std::mem::replace(&mut self.diags, outer);
        let errors: Vec<_> = found.0.into_iter().filter(Diagnostic::is_error).collect();
        (value, errors)
    }
}

/// A name, with steps or not.
fn is_reference(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Name(_) => true,
        ExprKind::Access(base, _) => is_reference(base),
        _ => false,
    }
}

struct Argument {
    value: Value,
    marks: Marks,
}
