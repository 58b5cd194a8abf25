//! `for` expressions.

use std::sync::Arc;

use value::size::MAX_SIZE;
use value::value::Attributes;
use value::{Ty, Value};

use super::Ctx;
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::For;

/// The keys and values that a `for` goes over.
pub(super) enum Elements {
    Known(Vec<(Value, Value)>),
    Unknown,
    NotACollection,
}

pub(super) fn elements(value: &Value) -> Elements {
    match value {
        Value::List(_, items) | Value::Tuple(items) => {
            let items = items.iter().enumerate();
            Elements::Known(items.map(|(idx, item)| (Value::number(idx as i64), item.clone())).collect())
        }
        Value::Set(_, items) => Elements::Known(items.iter().map(|item| (item.clone(), item.clone())).collect()),
        Value::Map(_, entries) | Value::Object(entries) => {
            Elements::Known(entries.iter().map(|(key, value)| (Value::String(key.clone()), value.clone())).collect())
        }
        Value::Unknown(Ty::Bool | Ty::Number | Ty::String, _) => Elements::NotACollection,
        Value::Unknown(..) => Elements::Unknown,
        Value::Null(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Marked(..) => {
            Elements::NotACollection
        }
    }
}

pub(super) fn not_a_collection(value: &Value, span: Span) -> Diagnostic {
    let label = match value {
        Value::Null(_) => "this value is null, so there is nothing to go over".to_owned(),
        other => format!("`for` goes over a list, set, map or object, not {}", value::convert::kind(&other.ty())),
    };
    Diagnostic::error("invalid `for` collection", label).at(span)
}

impl Ctx<'_> {
    pub(super) fn comprehension(&mut self, comprehension: &For, span: Span) -> Value {
        let (collection, mut marked) = self.eval(&comprehension.collection).unmark();
        let elements = match elements(&collection) {
            Elements::Known(elements) => elements,
            Elements::Unknown => return Value::DYNAMIC.with_marks(marked),
            Elements::NotACollection => {
                let diagnostic = not_a_collection(&collection, comprehension.collection.span);
                return self.fail(diagnostic);
            }
        };
        // Names are bound to elements without the mark of the whole, which the result gets.
        let is_sensitive = marked.is_any();
        let mut items: Vec<Value> = Vec::new();
        let mut entries = Attributes::new();
        let mut groups: std::collections::BTreeMap<Arc<str>, Vec<Value>> = std::collections::BTreeMap::new();
        let mut is_unknown = false;
        let mut size = 0_usize;
        for (key, element) in elements {
            if size > MAX_SIZE {
                return self.too_large(span);
            }
            let mut names = vec![(comprehension.value_name.name.clone(), element)];
            names.extend(comprehension.key_name.iter().map(|name| (name.name.clone(), key.clone())));
            self.with_bound_parts(names, is_sensitive, |ctx| {
                if let Some(condition) = &comprehension.condition {
                    let (truth, truth_marked) = ctx.eval_as(condition, &Ty::Bool).unmark();
                    marked |= truth_marked;
                    match truth.as_bool() {
                        Some(true) => {}
                        Some(false) => return,
                        None if truth.is_null() => {
                            let label = "a condition cannot be null";
                            ctx.diags.push(Diagnostic::error("null condition", label).at(condition.span));
                            return;
                        }
                        None => {
                            is_unknown = true;
                            return;
                        }
                    }
                }
                let Some(key_expr) = &comprehension.key else {
                    let item = ctx.eval(&comprehension.value);
                    size = size.saturating_add(item.size());
                    items.push(item);
                    return;
                };
                let (key, key_marked) = ctx.eval_as(key_expr, &Ty::String).unmark();
                marked |= key_marked;
                let value = ctx.eval(&comprehension.value);
                size = size.saturating_add(key.size()).saturating_add(value.size());
                let Value::String(key) = key else {
                    if key.is_null() {
                        ctx.diags.push(Diagnostic::error("invalid key", "a key cannot be null").at(key_expr.span));
                    }
                    is_unknown = true;
                    return;
                };
                if comprehension.group {
                    groups.entry(key).or_default().push(value);
                } else if let Some(first) = entries.insert(key.clone(), value) {
                    let label = match ctx.hides(key_marked.is_any()) {
                        true => "two elements have the same key".to_owned(),
                        false => format!("two elements have the key {key:?}"),
                    };
                    let diagnostic = Diagnostic::error("duplicate key", label).at(key_expr.span);
                    ctx.diags.push(diagnostic.note("put `...` behind the value to group the values of equal keys"));
                    entries.insert(key, first);
                }
            });
        }
        let result = if is_unknown {
            Value::DYNAMIC
        } else if comprehension.key.is_none() {
            Value::tuple(items)
        } else if comprehension.group {
            Value::object(groups.into_iter().map(|(key, values)| (key, Value::tuple(values))))
        } else {
            Value::Object(Arc::new(entries))
        };
        if size > MAX_SIZE {
            return self.too_large(span);
        }
        result.with_marks(marked)
    }
}
