//! The order of a set's elements, which decides the bytes of state files and plans.
//!
//! Rules as in `cty` (`cty/set_internals.go`): strings bytewise, numbers by value, `false` before `true`, null
//! last, unknown after known; anything else by a text made of its parts.

use std::cmp::Ordering;
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

impl SetKey {
    pub(crate) fn of(value: &Value) -> SetKey {
        match value {
            Value::Unknown(..) => SetKey::Unknown,
            Value::Null(_) => SetKey::Null,
            Value::Bool(truth) => SetKey::Bool(*truth),
            Value::Number(number) => SetKey::Number(OrderedNumber(number.clone())),
            Value::String(text) => SetKey::String(text.to_string()),
            Value::Sensitive(inner) => SetKey::of(inner),
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
        Value::Sensitive(inner) => write_key(inner, out),
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
