//! Values of the language: like `cty`, every null, unknown and empty collection knows its type.

use std::collections::BTreeMap;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use crate::Marks;
use crate::set::SetKey;
use crate::ty::ObjectTy;
use crate::{Number, Ty};

pub type Attributes = BTreeMap<Arc<str>, Value>;

/// A value. Cheap to clone: strings and collections are shared.
///
/// **Invariant:** the elements of a set are in the set's order, without duplicates, and carry no marks (a set
/// with a sensitive element is sensitive as a whole). Build sets with [`Value::set`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Will be known after apply.
    Unknown(Ty, Option<Arc<Refinement>>),
    Null(Ty),
    Bool(bool),
    Number(Number),
    String(Arc<str>),
    List(Ty, Arc<Vec<Value>>),
    Set(Ty, Arc<Vec<Value>>),
    Map(Ty, Arc<Attributes>),
    Tuple(Arc<Vec<Value>>),
    Object(Arc<Attributes>),
    /// What must not be shown, or stored. Never nested directly in another `Marked`, never without a mark.
    Marked(Marks, Box<Value>),
}

/// What is known about an unknown value. A promise of a plan, which the result has to keep.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Refinement {
    pub not_null: bool,
    pub string_prefix: String,
    /// Bound and whether it is included.
    pub number_min: Option<(Number, bool)>,
    pub number_max: Option<(Number, bool)>,
    pub length_min: Option<i64>,
    pub length_max: Option<i64>,
}

/// As much of the beginning of a text as stays the same whatever follows it: a last character that what follows could
/// become a part of is left out.
pub fn known_prefix(text: &str) -> &str {
    match text.chars().next_back() {
        Some(last) if !last.is_ascii_punctuation() && last != ' ' => {
            text.grapheme_indices(true).next_back().map_or("", |(start, _)| &text[..start])
        }
        _ => text,
    }
}

impl Value {
    pub const DYNAMIC: Value = Value::Unknown(Ty::Dynamic, None);

    pub fn unknown(ty: Ty) -> Value {
        Value::Unknown(ty, None)
    }

    /// A string in Unicode normal form C, which is how all strings of the language are kept.
    pub fn string(text: impl AsRef<str>) -> Value {
        let text = text.as_ref();
        if text.is_ascii() { Value::String(text.into()) } else { Value::String(text.nfc().collect::<String>().into()) }
    }

    pub fn number(int: i64) -> Value {
        Value::Number(Number::from(int))
    }

    pub fn list(element_ty: Ty, items: Vec<Value>) -> Value {
        Value::List(element_ty, Arc::new(items))
    }

    /// Sorts and removes duplicates; a set that holds unknown elements cannot know its length, which is the
    /// caller's to consider.
    pub fn set(element_ty: Ty, items: Vec<Value>) -> Value {
        let mut marks = Marks::NONE;
        let mut keyed: Vec<(SetKey, Value)> = items
            .into_iter()
            .map(|item| {
                let (item, marked) = item.unmark_deep();
                marks |= marked;
                (SetKey::of(&item), item)
            })
            .collect();
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        keyed.dedup_by(|a, b| a.1 == b.1 && a.1.is_wholly_known());
        Value::Set(element_ty, Arc::new(keyed.into_iter().map(|(_, item)| item).collect())).with_marks(marks)
    }

    pub fn map<K: Into<Arc<str>>>(element_ty: Ty, entries: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::Map(element_ty, Arc::new(entries.into_iter().map(|(key, value)| (key.into(), value)).collect()))
    }

    pub fn tuple(items: Vec<Value>) -> Value {
        Value::Tuple(Arc::new(items))
    }

    pub fn object<K: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::Object(Arc::new(entries.into_iter().map(|(key, value)| (key.into(), value)).collect()))
    }

    pub fn ty(&self) -> Ty {
        match self {
            Value::Unknown(ty, _) | Value::Null(ty) => ty.clone(),
            Value::Bool(_) => Ty::Bool,
            Value::Number(_) => Ty::Number,
            Value::String(_) => Ty::String,
            Value::List(ty, _) => Ty::list(ty.clone()),
            Value::Set(ty, _) => Ty::set(ty.clone()),
            Value::Map(ty, _) => Ty::map(ty.clone()),
            Value::Tuple(items) => Ty::tuple(items.iter().map(Value::ty).collect()),
            Value::Object(attributes) => Ty::Object(Arc::new(ObjectTy {
                attributes: attributes.iter().map(|(name, value)| (name.clone(), value.ty())).collect(),
                ..ObjectTy::default()
            })),
            Value::Marked(_, inner) => inner.ty(),
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.unmarked(), Value::Null(_))
    }

    pub fn is_known(&self) -> bool {
        !matches!(self.unmarked(), Value::Unknown(..))
    }

    /// Known all the way down.
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Value::Unknown(..) => false,
            Value::Null(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
            Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => {
                items.iter().all(Value::is_wholly_known)
            }
            Value::Map(_, entries) | Value::Object(entries) => entries.values().all(Value::is_wholly_known),
            Value::Marked(_, inner) => inner.is_wholly_known(),
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self.unmarked() {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_number(&self) -> Option<&Number> {
        match self.unmarked() {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self.unmarked() {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The elements of a list, set or tuple.
    pub fn as_items(&self) -> Option<&[Value]> {
        match self.unmarked() {
            Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a map or object.
    pub fn as_entries(&self) -> Option<&Attributes> {
        match self.unmarked() {
            Value::Map(_, entries) | Value::Object(entries) => Some(entries),
            _ => None,
        }
    }

    /// An attribute of an object, or an entry of a map.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_entries().and_then(|entries| entries.get(name))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::string(text)
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Value {
        Value::number(int)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}
