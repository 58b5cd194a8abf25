//! The order of a set's elements, which decides the bytes of state files and plans.
//!
//! Rules as in `cty` (`cty/set_internals.go`): strings bytewise, numbers by value, `false` before `true`, null
//! last, unknown after known; anything else by a text made of its parts.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write;

use crate::{Number, Value};

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SetKey {
    Bool(bool),
    Number(OrderedNumber),
    String(String),
    Compound(String),
    Null,
    Unknown,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OrderedNumber(Number);

impl PartialOrd for OrderedNumber {
    fn partial_cmp(&self, other: &OrderedNumber) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderedNumber {
    fn cmp(&self, other: &OrderedNumber) -> Ordering {
        self.0.cmp(&other.0)
    }
}

/// Values that were met, found again without a comparison with each of them.
#[derive(Debug, Default)]
pub struct Seen<'v>(BTreeMap<SetKey, Vec<&'v Value>>);

impl<'v> Seen<'v> {
    /// `false` if an equal one was met before.
    pub fn insert(&mut self, value: &'v Value) -> bool {
        let like_it = self.0.entry(SetKey::of(value)).or_default();
        let is_new = !like_it.contains(&value);
        if is_new {
            like_it.push(value);
        }
        is_new
    }

    pub fn contains(&self, value: &Value) -> bool {
        self.0.get(&SetKey::of(value)).is_some_and(|like_it| like_it.contains(&value))
    }
}

impl<'v> FromIterator<&'v Value> for Seen<'v> {
    fn from_iter<T: IntoIterator<Item = &'v Value>>(values: T) -> Seen<'v> {
        let mut seen = Seen::default();
        values.into_iter().for_each(|value| {
            seen.insert(value);
        });
        seen
    }
}

impl SetKey {
    pub(crate) fn of(value: &Value) -> SetKey {
        match value {
            Value::Unknown(..) => SetKey::Unknown,
            Value::Null(_) => SetKey::Null,
            Value::Bool(truth) => SetKey::Bool(*truth),
            Value::Number(number) => SetKey::Number(OrderedNumber(number.clone())),
            Value::String(text) => SetKey::String(text.to_string()),
            Value::Marked(_, inner) => SetKey::of(inner),
            Value::List(..) | Value::Set(..) | Value::Map(..) | Value::Tuple(_) | Value::Object(_) => {
                let mut text = String::new();
                write_key(value, &mut text);
                SetKey::Compound(text)
            }
        }
    }
}

fn write_key(value: &Value, out: &mut String) {
    match value {
        Value::Unknown(..) => out.push('?'),
        Value::Null(_) => out.push('~'),
        Value::Bool(truth) => out.push(if *truth { 'T' } else { 'F' }),
        Value::Number(number) => write!(out, "{number}").expect("a String takes everything"),
        Value::String(text) => write!(out, "{text:?}").expect("a String takes everything"),
        Value::Marked(_, inner) => write_key(inner, out),
        Value::List(_, items) | Value::Set(_, items) => write_all('[', items.iter(), ']', out),
        Value::Tuple(items) => write_all('<', items.iter(), '>', out),
        Value::Object(attributes) => write_all('<', attributes.values(), '>', out),
        Value::Map(_, entries) => {
            out.push('{');
            for (key, value) in entries.iter() {
                write!(out, "{key:?}:").expect("a String takes everything");
                write_key(value, out);
                out.push(';');
            }
            out.push('}');
        }
    }
}

fn write_all<'v>(open: char, items: impl Iterator<Item = &'v Value>, close: char, out: &mut String) {
    out.push(open);
    for item in items {
        write_key(item, out);
        out.push(';');
    }
    out.push(close);
}
