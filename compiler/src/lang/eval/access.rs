//! Names and steps into values: attributes, indexes, splats.

use std::sync::Arc;

use value::convert::convert;
use value::{Ty, Value};

use super::Ctx;
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::{Expr, ExprKind, Step, StepKind};

impl Ctx<'_> {
    pub(super) fn access(&mut self, base: &Expr, steps: &[Step]) -> Value {
        match &base.kind {
            ExprKind::Name(name) => {
                let (value, taken) = self.name(name, base.span, steps);
                self.walk(value, &steps[taken..])
            }
            _ => {
                let value = self.eval(base);
                match steps {
                    [Step { kind: StepKind::Splat { steps, .. }, .. }, rest @ ..] if is_never_null(base) => {
                        let value = self.splat(value, steps, true);
                        self.walk(value, rest)
                    }
                    _ => self.walk(value, steps),
                }
            }
        }
    }

    /// A name that `for` has bound, or what the scope says.
    pub(super) fn name(&mut self, name: &str, span: Span, steps: &[Step]) -> (Value, usize) {
        if let Some((_, value)) = self.bound.iter().rev().find(|(bound, _)| &**bound == name) {
            return (value.clone(), 0);
        }
        let scope = self.scope;
        match scope.resolve(name, span, steps, self) {
            Ok(found) => found,
            Err(diagnostic) => (self.fail(diagnostic), steps.len()),
        }
    }

    pub(crate) fn walk(&mut self, mut value: Value, steps: &[Step]) -> Value {
        for step in steps {
            value = match &step.kind {
                StepKind::Attribute(name) => self.attribute(value, name, step.span),
                StepKind::Index(index) => {
                    let index_value = self.eval(index);
                    self.index(value, index_value, index.span)
                }
                StepKind::Splat { steps, .. } => self.splat(value, steps, false),
            };
        }
        value
    }

    fn attribute(&mut self, value: Value, name: &Arc<str>, span: Span) -> Value {
        let (value, marked) = value.unmark();
        let hides = self.hides(marked.is_any());
        let found = match &value {
            Value::Object(entries) => entries.get(name).cloned().ok_or_else(|| {
                let label = format!("this object has no attribute `{name}`");
                let diagnostic = Diagnostic::error("unknown attribute", label).at(span);
                if hides {
                    return diagnostic;
                }
                let diagnostic = diagnostic.suggest(name, entries.keys().map(|name| &**name));
                match entries.len() {
                    0 => diagnostic.note("the object is empty"),
                    1..=20 => diagnostic.note(format!("it has: {}", join(entries.keys()))),
                    _ => diagnostic,
                }
            }),
            Value::Map(_, entries) => entries.get(name).cloned().ok_or_else(|| {
                let label = format!("this map has no entry `{name}`");
                let diagnostic = Diagnostic::error("unknown key", label).at(span);
                if hides { diagnostic } else { diagnostic.suggest(name, entries.keys().map(|name| &**name)) }
            }),
            Value::Unknown(Ty::Dynamic, _) => Ok(Value::DYNAMIC),
            Value::Unknown(Ty::Map(element), _) => Ok(Value::unknown((**element).clone())),
            Value::Unknown(Ty::Object(object), _) => match object.attributes.get(name) {
                Some(ty) => Ok(Value::unknown(ty.clone())),
                None => {
                    let label = format!("this object has no attribute `{name}`");
                    let diagnostic = Diagnostic::error("unknown attribute", label).at(span);
                    let names = object.attributes.keys().map(|name| &**name);
                    Err(if hides { diagnostic } else { diagnostic.suggest(name, names) })
                }
            },
            Value::Null(_) => {
                let label = format!("this value is null, so it has no attribute `{name}`");
                Err(Diagnostic::error("attribute of null", label).at(span))
            }
            other => {
                let label = format!("{} has no attributes", self.name_of(other, marked.is_any()));
                let diagnostic = Diagnostic::error("unsupported attribute", label).at(span);
                Err(match other {
                    Value::List(..) | Value::Tuple(_) => diagnostic.note(format!(
                        "for the attribute of every element write [*].{name}, for one element [0].{name}"
                    )),
                    _ => diagnostic,
                })
            }
        };
        match found {
            Ok(found) => found.with_marks(marked),
            Err(diagnostic) => self.fail(diagnostic),
        }
    }

    pub(crate) fn index(&mut self, value: Value, index: Value, span: Span) -> Value {
        let (value, value_marked) = value.unmark();
        let (index, index_marked) = index.unmark();
        let marked = value_marked | index_marked;
        let hides = self.hides(marked.is_any());
        if matches!(index, Value::Null(_)) {
            return self.fail(Diagnostic::error("invalid index", "an index cannot be null").at(span));
        }
        let found = match (&value, &index) {
            (Value::List(_, items) | Value::Tuple(items), _) => {
                position(items.len(), &index, hides).map(|idx| match idx {
                    Some(idx) => items[idx].clone(),
                    None => match value.ty() {
                        Ty::List(element) => Value::unknown((*element).clone()),
                        _ => Value::DYNAMIC,
                    },
                })
            }
            (Value::Map(..) | Value::Object(_), Value::Unknown(..)) => Ok(match value.ty() {
                Ty::Map(element) => Value::unknown((*element).clone()),
                _ => Value::DYNAMIC,
            }),
            (Value::Map(_, entries) | Value::Object(entries), _) => match convert(&index, &Ty::String) {
                Ok(Value::String(key)) => entries.get(&key).cloned().ok_or_else(|| {
                    if self.hides(index_marked.is_any()) {
                        return Diagnostic::error("unknown key", "there is no element with this key");
                    }
                    let label = format!("there is no element with the key {key:?}");
                    let diagnostic = Diagnostic::error("unknown key", label);
                    if hides { diagnostic } else { diagnostic.suggest(&key, entries.keys().map(|key| &**key)) }
                }),
                _ => Err(Diagnostic::error("invalid index", "a key is a string")),
            },
            (Value::Unknown(Ty::List(element) | Ty::Map(element), _), _) => Ok(Value::unknown((**element).clone())),
            (Value::Unknown(Ty::Object(object), _), Value::String(key)) => {
                Ok(object.attributes.get(key).map_or(Value::DYNAMIC, |ty| Value::unknown(ty.clone())))
            }
            (Value::Unknown(Ty::Tuple(elements), _), Value::Number(number)) => {
                let ty = number.to_usize().and_then(|idx| elements.get(idx));
                Ok(ty.map_or(Value::DYNAMIC, |ty| Value::unknown(ty.clone())))
            }
            (Value::Unknown(..), _) => Ok(Value::DYNAMIC),
            (Value::Set(..), _) => Err(Diagnostic::error("invalid index", "the elements of a set have no index")
                .note("use tolist(..) or a `for` expression")),
            (Value::Null(_), _) => Err(Diagnostic::error("invalid index", "this value is null, so it has no elements")),
            (other, _) => {
                let label = format!("{} has no elements", self.name_of(other, marked.is_any()));
                Err(Diagnostic::error("invalid index", label))
            }
        };
        match found {
            Ok(found) => found.with_marks(marked),
            Err(diagnostic) => self.fail(diagnostic.at(span)),
        }
    }

    /// One value is a list of it, and null is a list of nothing: of what is unknown, and may be either, nobody knows how
    /// many there are.
    fn splat(&mut self, value: Value, steps: &[Step], is_never_null: bool) -> Value {
        let (value, marked) = value.unmark();
        let items: Vec<Value> = match &value {
            Value::Null(Ty::List(_) | Ty::Set(_) | Ty::Tuple(_)) => {
                let label = "this value is null, so it has no elements";
                return self.fail(Diagnostic::error("null in a splat", label));
            }
            Value::Null(_) => Vec::new(),
            Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => items.to_vec(),
            Value::Unknown(Ty::List(element) | Ty::Set(element), _) => {
                let element = self.walk(Value::unknown((**element).clone()), steps);
                return Value::unknown(Ty::list(element.ty())).with_marks(marked);
            }
            Value::Unknown(Ty::Tuple(elements), _) => elements.iter().map(|ty| Value::unknown(ty.clone())).collect(),
            Value::Unknown(Ty::Dynamic, _) => return Value::DYNAMIC.with_marks(marked),
            Value::Unknown(_, refinement)
                if !is_never_null && !refinement.as_ref().is_some_and(|refinement| refinement.not_null) =>
            {
                // For what is wrong with the steps, whatever it is.
                self.walk(value.clone(), steps);
                return Value::DYNAMIC.with_marks(marked);
            }
            _ => vec![value.clone()],
        };
        let was_list = matches!(value, Value::List(..) | Value::Set(..));
        let items: Vec<Value> =
            self.hiding(marked.is_any(), |ctx| items.into_iter().map(|item| ctx.walk(item, steps)).collect());
        let result = match (items.first().map(Value::ty), value.ty()) {
            (Some(ty), _) if was_list && items.iter().all(|item| item.ty() == ty) => Value::list(ty, items),
            (None, Ty::List(element) | Ty::Set(element)) if was_list => {
                let element = self.walk(Value::unknown((*element).clone()), steps);
                Value::list(element.ty(), items)
            }
            _ => Value::tuple(items),
        };
        result.with_marks(marked)
    }
}

/// Whether an expression gives no null, even where it is not known what it gives.
fn is_never_null(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Template(_) | ExprKind::Unary(..) | ExprKind::Binary(..) => true,
        ExprKind::Tuple(_) | ExprKind::Object(_) | ExprKind::For(_) => true,
        ExprKind::Literal(value) => !value.is_null(),
        ExprKind::Parens(inner) => is_never_null(inner),
        // What is known of a call's value says whether it can be null.
        ExprKind::Name(_) | ExprKind::Access(..) | ExprKind::Conditional(_) | ExprKind::Call(_) => false,
    }
}

/// Where in a sequence an index points; `None` when the index is unknown. How many elements there are is not told of
/// what is sensitive.
fn position(len: usize, index: &Value, hides: bool) -> Result<Option<usize>, Diagnostic> {
    match convert(index, &Ty::Number) {
        Ok(Value::Unknown(..)) => Ok(None),
        Ok(Value::Number(number)) => match number.to_usize() {
            Some(idx) if idx < len => Ok(Some(idx)),
            _ => {
                let label = match len {
                    _ if hides => "there is no element with this index".to_owned(),
                    0 => "there are no elements".to_owned(),
                    1 => "there is one element, with the index 0".to_owned(),
                    _ => format!("there are {len} elements, with indexes 0 to {}", len - 1),
                };
                Err(Diagnostic::error("invalid index", label))
            }
        },
        _ => Err(Diagnostic::error("invalid index", "a whole number is required here")),
    }
}

fn join<'n>(names: impl Iterator<Item = &'n Arc<str>>) -> String {
    names.map(|name| &**name).collect::<Vec<_>>().join(", ")
}
