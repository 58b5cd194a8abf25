//! Templates.

use std::sync::Arc;

use value::convert::convert;
use value::size::MAX_SIZE;
use value::value::{Refinement, known_prefix};
use value::{Marks, Ty, Value};

use super::{Ctx, comprehension};
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::Part;

impl Ctx<'_> {
    /// A template that is one interpolation keeps the type of its value; any other is a string.
    pub(crate) fn template(&mut self, parts: &[Part], span: Span) -> Value {
        if let [Part::Interpolation(expr)] = parts {
            return self.eval(expr);
        }
        let mut out = Output::default();
        self.render(parts, &mut out);
        if out.is_too_large {
            return self.too_large(span);
        }
        let value = if out.is_unknown {
            // What comes before the first unknown part is known to be the beginning.
            let string_prefix = known_prefix(&out.text).to_owned();
            let refinement = Refinement { not_null: true, string_prefix, ..Refinement::default() };
            Value::Unknown(Ty::String, Some(Arc::new(refinement)))
        } else {
            Value::string(out.text)
        };
        value.with_marks(out.marks)
    }

    fn render(&mut self, parts: &[Part], out: &mut Output) {
        for part in parts {
            match part {
                Part::Text(text) => out.push(text),
                Part::Interpolation(expr) => {
                    let value = self.eval(expr);
                    out.marks |= value.marks_deep();
                    match convert(&value.unmark_deep().0, &Ty::String) {
                        Ok(Value::String(text)) => out.push(&text),
                        Ok(Value::Null(_)) => {
                            let label = "this value is null, so it cannot be part of a string";
                            self.diags.push(Diagnostic::error("null in a template", label).at(expr.span));
                        }
                        Ok(_) => out.is_unknown = true,
                        Err(_) => {
                            let label =
                                "this value cannot be part of a string; jsonencode(..) turns any value into text";
                            self.diags.push(Diagnostic::error("invalid template value", label).at(expr.span));
                            out.is_unknown = true;
                        }
                    }
                }
                Part::If { condition, yes, no } => {
                    let (truth, marked) = self.eval_as(condition, &Ty::Bool).unmark();
                    out.marks |= marked;
                    match truth.as_bool() {
                        Some(true) => self.render(yes, out),
                        Some(false) => self.render(no, out),
                        None if truth.is_null() => {
                            let label = "a condition cannot be null";
                            self.diags.push(Diagnostic::error("null condition", label).at(condition.span));
                        }
                        None => out.is_unknown = true,
                    }
                }
                Part::For { key_name, value_name, collection, parts } => {
                    let (value, marked) = self.eval(collection).unmark();
                    out.marks |= marked;
                    match comprehension::elements(&value) {
                        comprehension::Elements::Known(elements) => {
                            for (key, element) in elements {
                                if out.is_too_large {
                                    return;
                                }
                                let mut names = vec![(value_name.name.clone(), element)];
                                names.extend(key_name.iter().map(|name| (name.name.clone(), key.clone())));
                                self.with_bound_parts(names, marked.is_any(), |ctx| ctx.render(parts, out));
                            }
                        }
                        comprehension::Elements::Unknown => out.is_unknown = true,
                        comprehension::Elements::NotACollection => {
                            let diagnostic = comprehension::not_a_collection(&value, collection.span);
                            self.diags.push(diagnostic);
                        }
                    }
                }
            }
        }
    }
}

#[derive(Default)]
struct Output {
    /// What is known so far; complete only if nothing is unknown.
    text: String,
    is_unknown: bool,
    marks: Marks,
    /// What was too much is not in the text.
    is_too_large: bool,
}

impl Output {
    fn push(&mut self, text: &str) {
        self.is_too_large |= self.text.len() + text.len() > MAX_SIZE;
        if !self.is_unknown && !self.is_too_large {
            self.text.push_str(text);
        }
    }
}
