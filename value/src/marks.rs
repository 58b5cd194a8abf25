//! Marks of values: one that is sensitive is never shown, one that is ephemeral is never stored. What is computed from a marked
//! value has its marks.

use std::ops::{BitOr, BitOrAssign};
use std::sync::Arc;

use crate::path::Step;
use crate::{Path, Value};

/// A set of marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    pub sensitive: bool,
    pub ephemeral: bool,
}

impl Marks {
    pub const NONE: Marks = Marks { sensitive: false, ephemeral: false };
    pub const SENSITIVE: Marks = Marks { sensitive: true, ephemeral: false };
    pub const EPHEMERAL: Marks = Marks { sensitive: false, ephemeral: true };

    pub fn is_any(self) -> bool {
        self != Marks::NONE
    }

    /// These, if it is so.
    #[must_use]
    pub fn when(self, holds: bool) -> Marks {
        if holds { self } else { Marks::NONE }
    }
}

impl BitOr for Marks {
    type Output = Marks;

    fn bitor(self, other: Marks) -> Marks {
        Marks { sensitive: self.sensitive || other.sensitive, ephemeral: self.ephemeral || other.ephemeral }
    }
}

impl BitOrAssign for Marks {
    fn bitor_assign(&mut self, other: Marks) {
        *self = *self | other;
    }
}

impl Value {
    #[must_use]
    pub fn mark_sensitive(self) -> Value {
        self.with_marks(Marks::SENSITIVE)
    }

    #[must_use]
    pub fn mark_sensitive_if(self, is_sensitive: bool) -> Value {
        self.with_marks(Marks::SENSITIVE.when(is_sensitive))
    }

    /// The value with these marks, too, at its top.
    #[must_use]
    pub fn with_marks(self, marks: Marks) -> Value {
        match self {
            Value::Marked(own, inner) => Value::Marked(own | marks, inner),
            _ if marks.is_any() => Value::Marked(marks, Box::new(self)),
            _ => self,
        }
    }

    /// The value without marks at its top; parts of it may still be marked.
    pub fn unmarked(&self) -> &Value {
        match self {
            Value::Marked(_, inner) => inner,
            _ => self,
        }
    }

    /// Takes the marks off the top.
    pub fn unmark(self) -> (Value, Marks) {
        match self {
            Value::Marked(marks, inner) => (*inner, marks),
            _ => (self, Marks::NONE),
        }
    }

    /// The marks at its top.
    pub fn marks(&self) -> Marks {
        match self {
            Value::Marked(marks, _) => *marks,
            _ => Marks::NONE,
        }
    }

    /// All marks in the value.
    pub fn marks_deep(&self) -> Marks {
        let union = |marks: Marks, value: &Value| marks | value.marks_deep();
        match self {
            Value::Marked(marks, inner) => *marks | inner.marks_deep(),
            Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => items.iter().fold(Marks::NONE, union),
            Value::Map(_, entries) | Value::Object(entries) => entries.values().fold(Marks::NONE, union),
            Value::Unknown(..) | Value::Null(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => Marks::NONE,
        }
    }

    /// Whether a mark is anywhere in the value.
    pub fn has_marks(&self) -> bool {
        match self {
            Value::Marked(..) => true,
            Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => items.iter().any(Value::has_marks),
            Value::Map(_, entries) | Value::Object(entries) => entries.values().any(Value::has_marks),
            Value::Unknown(..) | Value::Null(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }

    /// Without the ephemeral mark, wherever it is.
    #[must_use]
    pub fn without_ephemeral(self) -> Value {
        let (plain, sensitive) = self.unmark_with_paths();
        plain.mark_paths(&sensitive)
    }

    /// Takes every mark off.
    pub fn unmark_deep(self) -> (Value, Marks) {
        let marks = self.marks_deep();
        if marks.is_any() { (self.unmark_with_paths().0, marks) } else { (self, marks) }
    }

    /// Takes every mark off and tells what was sensitive, outermost only.
    pub fn unmark_with_paths(self) -> (Value, Vec<Path>) {
        let mut paths = Vec::new();
        let value = strip(self, &Path::root(), false, &mut paths);
        (value, paths)
    }

    /// Marks as sensitive what `paths` say; a path that leads nowhere has no effect.
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
        Value::Marked(marks, inner) => {
            if marks.sensitive && !inside_marked {
                paths.push(path.clone());
            }
            strip(*inner, path, inside_marked || marks.sensitive, paths)
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
        (Value::Marked(marks, inner), _) if marks.sensitive => Value::Marked(marks, inner),
        (Value::Marked(marks, inner), _) => mark_at(*inner, steps).with_marks(marks),
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
