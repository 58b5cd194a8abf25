//! The sensitive mark: a value that has it is never shown, and what is computed from it has it too.

use std::sync::Arc;

use crate::path::Step;
use crate::{Path, Value};

impl Value {
    #[must_use]
    pub fn mark_sensitive(self) -> Value {
        match self {
            Value::Sensitive(_) => self,
            _ => Value::Sensitive(Box::new(self)),
        }
    }

    #[must_use]
    pub fn with_mark(self, sensitive: bool) -> Value {
        if sensitive { self.mark_sensitive() } else { self }
    }

    /// The value without a mark at its top; parts of it may still be marked.
    pub fn unmarked(&self) -> &Value {
        match self {
            Value::Sensitive(inner) => inner,
            _ => self,
        }
    }

    /// Takes the mark off the top and says whether there was one.
    pub fn unmark(self) -> (Value, bool) {
        match self {
            Value::Sensitive(inner) => (*inner, true),
            _ => (self, false),
        }
    }

    pub fn is_sensitive(&self) -> bool {
        matches!(self, Value::Sensitive(_))
    }

    /// Whether a mark is anywhere in the value.
    pub fn has_marks(&self) -> bool {
        match self {
            Value::Sensitive(_) => true,
            Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => items.iter().any(Value::has_marks),
            Value::Map(_, entries) | Value::Object(entries) => entries.values().any(Value::has_marks),
            Value::Unknown(..) | Value::Null(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }

    /// Takes every mark off and says whether there was one.
    pub fn unmark_deep(self) -> (Value, bool) {
        if self.has_marks() { (self.unmark_with_paths().0, true) } else { (self, false) }
    }

    /// Takes every mark off and tells where they were, outermost only.
    pub fn unmark_with_paths(self) -> (Value, Vec<Path>) {
        let mut paths = Vec::new();
        let value = strip(self, &Path::root(), false, &mut paths);
        (value, paths)
    }

    /// Puts marks where `paths` say; a path that leads nowhere has no effect.
    #[must_use]
    pub fn mark_paths(self, paths: &[Path]) -> Value {
        paths.iter().fold(self, |value, path| mark_at(value, &path.0))
    }
}

fn strip(value: Value, path: &Path, inside_marked: bool, paths: &mut Vec<Path>) -> Value {
    if !value.has_marks() {
        return value;
    }
    let mut strip_items = |items: Arc<Vec<Value>>| -> Arc<Vec<Value>> {
        let items = Arc::unwrap_or_clone(items).into_iter().enumerate();
        Arc::new(items.map(|(idx, item)| strip(item, &path.then(Step::Index(idx)), inside_marked, paths)).collect())
    };
    match value {
        Value::Sensitive(inner) => {
            if !inside_marked {
                paths.push(path.clone());
            }
            strip(*inner, path, true, paths)
        }
        Value::List(ty, items) => Value::List(ty, strip_items(items)),
        Value::Set(ty, items) => Value::Set(ty, strip_items(items)),
        Value::Tuple(items) => Value::Tuple(strip_items(items)),
        Value::Map(ty, entries) => {
            let entries = Arc::unwrap_or_clone(entries).into_iter();
            Value::Map(
                ty,
                Arc::new(
                    entries
                        .map(|(key, value)| {
                            let path = path.then(Step::Key(key.clone()));
                            (key, strip(value, &path, inside_marked, paths))
                        })
                        .collect(),
                ),
            )
        }
        Value::Object(entries) => {
            let entries = Arc::unwrap_or_clone(entries).into_iter();
            Value::Object(Arc::new(
                entries
                    .map(|(key, value)| {
                        let path = path.then(Step::Attribute(key.clone()));
                        (key, strip(value, &path, inside_marked, paths))
                    })
                    .collect(),
            ))
        }
        Value::Unknown(..) | Value::Null(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn mark_at(value: Value, steps: &[Step]) -> Value {
    let Some((step, rest)) = steps.split_first() else { return value.mark_sensitive() };
    match (value, step) {
        // A set is sensitive as a whole.
        (set @ Value::Set(..), _) => set.mark_sensitive(),
        (marked @ Value::Sensitive(_), _) => marked,
        (Value::Object(entries), Step::Attribute(name) | Step::Key(name)) => {
            Value::Object(mark_entry(entries, name, rest))
        }
        (Value::Map(ty, entries), Step::Attribute(name) | Step::Key(name)) => {
            Value::Map(ty, mark_entry(entries, name, rest))
        }
        (Value::List(ty, items), Step::Index(idx)) => Value::List(ty, mark_item(items, *idx, rest)),
        (Value::Tuple(items), Step::Index(idx)) => Value::Tuple(mark_item(items, *idx, rest)),
        (other, _) => other,
    }
}

fn mark_entry(entries: Arc<crate::value::Attributes>, name: &str, rest: &[Step]) -> Arc<crate::value::Attributes> {
    let mut entries = Arc::unwrap_or_clone(entries);
    if let Some(entry) = entries.get_mut(name) {
        *entry = mark_at(std::mem::replace(entry, Value::DYNAMIC), rest);
    }
    Arc::new(entries)
}

fn mark_item(items: Arc<Vec<Value>>, idx: usize, rest: &[Step]) -> Arc<Vec<Value>> {
    let mut items = Arc::unwrap_or_clone(items);
    if let Some(item) = items.get_mut(idx) {
        *item = mark_at(std::mem::replace(item, Value::DYNAMIC), rest);
    }
    Arc::new(items)
}
