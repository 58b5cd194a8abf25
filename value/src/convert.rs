//! Conversions between types, and the one type that several values have in common. Rules as in `cty/convert`.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::path::Step;
use crate::value::Attributes;
use crate::{Number, Path, Ty, Value};

/// Why a value cannot be of a type.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", self.describe())]
pub struct ConversionError {
    pub path: Path,
    pub kind: Mismatch,
    /// The value is sensitive: nothing of it, and nothing of its type, is told.
    pub is_hidden: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Mismatch {
    Type {
        expected: Ty,
        found: Ty,
    },
    MissingAttribute(Arc<str>),
    Length {
        expected: usize,
        found: usize,
    },
    /// Elements of a collection that have no common type.
    Elements,
    /// Text that is no number or no truth value.
    Unreadable {
        text: String,
        expected: Ty,
    },
}

impl ConversionError {
    fn at_root(kind: Mismatch) -> ConversionError {
        ConversionError { path: Path::root(), kind, is_hidden: false }
    }

    /// The same error of a value that must not be shown: what was wrong where in it is not told any more.
    #[must_use]
    pub fn hidden(self, is_sensitive: bool) -> ConversionError {
        if is_sensitive { ConversionError { path: Path::root(), is_hidden: true, ..self } } else { self }
    }

    fn below(mut self, step: Step) -> ConversionError {
        self.path.0.insert(0, step);
        self
    }

    fn describe(&self) -> String {
        let what = match &self.kind {
            Mismatch::Type { expected, .. } if self.is_hidden => {
                format!("{} required, but a sensitive value of another type was given", kind(expected))
            }
            Mismatch::Length { .. } if self.is_hidden => "a sensitive value of another length was given".to_owned(),
            Mismatch::MissingAttribute(_) if self.is_hidden => {
                "a sensitive value lacks a required attribute".to_owned()
            }
            Mismatch::Unreadable { expected: Ty::Bool, .. } if self.is_hidden => {
                "a bool is required: the sensitive value is neither true nor false".to_owned()
            }
            Mismatch::Unreadable { expected, .. } if self.is_hidden => {
                format!("{} required, but the sensitive value is none", kind(expected))
            }
            Mismatch::Type { expected, found } => format!("{} required, but {} was given", name(expected), name(found)),
            Mismatch::MissingAttribute(attribute) => format!("attribute \"{attribute}\" is required"),
            Mismatch::Length { expected, found } => format!("{expected} elements required, but {found} were given"),
            Mismatch::Elements => "all elements must have the same type".to_owned(),
            Mismatch::Unreadable { expected: Ty::Bool, text } => {
                format!("a bool is required: write true or false, not {text:?}")
            }
            Mismatch::Unreadable { expected, text } => format!("{} required, but {text:?} is none", name(expected)),
        };
        if self.path.0.is_empty() { what } else { format!("{}: {what}", self.path) }
    }
}

/// What a type is called in a message.
pub fn name(ty: &Ty) -> String {
    match ty {
        Ty::Dynamic => "any value".to_owned(),
        Ty::Bool | Ty::Number | Ty::String => format!("a {ty}"),
        Ty::List(element) => format!("a list of {element}"),
        Ty::Set(element) => format!("a set of {element}"),
        Ty::Map(element) => format!("a map of {element}"),
        Ty::Tuple(_) => "a tuple".to_owned(),
        Ty::Object(_) => "an object".to_owned(),
    }
}

/// What a type is called where not even the names of attributes may be told.
pub fn kind(ty: &Ty) -> &'static str {
    match ty {
        Ty::Dynamic => "any value",
        Ty::Bool => "a bool",
        Ty::Number => "a number",
        Ty::String => "a string",
        Ty::List(_) => "a list",
        Ty::Set(_) => "a set",
        Ty::Map(_) => "a map",
        Ty::Tuple(_) => "a tuple",
        Ty::Object(_) => "an object",
    }
}

/// What a value is called in a message; a type can hold names that came from something sensitive.
pub fn name_of(value: &Value) -> String {
    let ty = value.ty();
    if value.has_marks() { kind(&ty).to_owned() } else { name(&ty) }
}

/// The value as a value of `target`. Nulls and unknowns keep being so; marks stay where they were.
pub fn convert(value: &Value, target: &Ty) -> Result<Value, ConversionError> {
    match value {
        Value::Marked(marks, inner) => {
            return convert(inner, target).map(|value| value.with_marks(*marks)).map_err(|error| error.hidden(true));
        }
        Value::Unknown(Ty::Dynamic, _) => return Ok(Value::unknown(target.without_optional())),
        Value::Unknown(ty, refinement) => {
            let unified = convert_ty(ty, target)?;
            let keeps_refinement = *ty == unified;
            return Ok(Value::Unknown(unified, refinement.clone().filter(|_| keeps_refinement)));
        }
        Value::Null(_) => return Ok(Value::Null(target.without_optional())),
        _ => {}
    }
    let mismatch = || {
        let error = ConversionError::at_root(Mismatch::Type { expected: target.clone(), found: value.ty() });
        error.hidden(value.has_marks())
    };
    match target {
        Ty::Dynamic => Ok(value.clone()),
        Ty::Bool | Ty::Number | Ty::String => convert_primitive(value, target).unwrap_or_else(|| Err(mismatch())),
        Ty::List(element) => {
            let items = convert_items(value.as_items().ok_or_else(mismatch)?, element)?;
            let (ty, items) = with_one_type(element, items)?;
            Ok(Value::list(ty, items))
        }
        Ty::Set(element) => {
            let items = convert_items(value.as_items().ok_or_else(mismatch)?, element)?;
            let (ty, items) = with_one_type(element, items)?;
            Ok(Value::set(ty, items))
        }
        Ty::Tuple(elements) => {
            // A list does not become a tuple: its length is not part of its type.
            let Value::Tuple(items) = value else { return Err(mismatch()) };
            if items.len() != elements.len() {
                let found = Mismatch::Length { expected: elements.len(), found: items.len() };
                return Err(ConversionError::at_root(found));
            }
            let items = items.iter().zip(elements.iter()).enumerate();
            let items = items.map(|(idx, (item, ty))| convert(item, ty).map_err(|e| e.below(Step::Index(idx))));
            Ok(Value::tuple(items.collect::<Result<_, _>>()?))
        }
        Ty::Map(element) => {
            let entries = value.as_entries().ok_or_else(mismatch)?;
            let keys: Vec<_> = entries.keys().cloned().collect();
            let values =
                entries.iter().map(|(key, value)| convert(value, element).map_err(|e| e.below(Step::Key(key.clone()))));
            let (ty, values) = with_one_type(element, values.collect::<Result<_, _>>()?)?;
            Ok(Value::map(ty, keys.into_iter().zip(values)))
        }
        Ty::Object(object) => {
            let entries = value.as_entries().ok_or_else(mismatch)?;
            let mut converted = Attributes::new();
            for (name, ty) in &object.attributes {
                let value = match entries.get(name) {
                    Some(value) => convert(value, ty).map_err(|e| e.below(Step::Attribute(name.clone())))?,
                    None if object.optional.contains(name) => Value::Null(ty.without_optional()),
                    None => return Err(ConversionError::at_root(Mismatch::MissingAttribute(name.clone()))),
                };
                converted.insert(name.clone(), value);
            }
            Ok(Value::Object(Arc::new(converted)))
        }
    }
}

fn convert_primitive(value: &Value, target: &Ty) -> Option<Result<Value, ConversionError>> {
    let unreadable = |text: &str| {
        Err(ConversionError::at_root(Mismatch::Unreadable { text: text.to_owned(), expected: target.clone() }))
    };
    Some(match (value, target) {
        (Value::Bool(_), Ty::Bool) | (Value::Number(_), Ty::Number) | (Value::String(_), Ty::String) => {
            Ok(value.clone())
        }
        (Value::Bool(truth), Ty::String) => Ok(Value::from(if *truth { "true" } else { "false" })),
        (Value::Number(number), Ty::String) => Ok(Value::string(number.to_string())),
        (Value::String(text), Ty::Number) => match text.parse::<Number>() {
            Ok(number) => Ok(Value::Number(number)),
            Err(_) => unreadable(text),
        },
        (Value::String(text), Ty::Bool) => match &**text {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => unreadable(text),
        },
        _ => return None,
    })
}

fn convert_items(items: &[Value], element: &Ty) -> Result<Vec<Value>, ConversionError> {
    let items = items.iter().enumerate();
    items.map(|(idx, item)| convert(item, element).map_err(|e| e.below(Step::Index(idx)))).collect()
}

/// Elements of a collection of `any` have to agree on one type.
fn with_one_type(element: &Ty, items: Vec<Value>) -> Result<(Ty, Vec<Value>), ConversionError> {
    if element.is_wholly_known() {
        return Ok((element.without_optional(), items));
    }
    if items.is_empty() {
        return Ok((element.without_optional(), items));
    }
    let ty = unify_values(&items).ok_or_else(|| ConversionError::at_root(Mismatch::Elements))?;
    let items = convert_items(&items, &ty)?;
    Ok((ty, items))
}

/// The type that a value of type `ty` has after conversion to `target`, where that can succeed.
fn convert_ty(ty: &Ty, target: &Ty) -> Result<Ty, ConversionError> {
    let mismatch = || ConversionError::at_root(Mismatch::Type { expected: target.clone(), found: ty.clone() });
    match (ty, target) {
        (_, Ty::Dynamic) => Ok(ty.clone()),
        (Ty::Dynamic, _) => Ok(target.without_optional()),
        (Ty::Bool, Ty::Number) | (Ty::Number, Ty::Bool) => Err(mismatch()),
        _ if ty.is_primitive() && target.is_primitive() => Ok(target.clone()),
        (Ty::List(from) | Ty::Set(from), Ty::List(to)) => Ok(Ty::list(convert_ty(from, to)?)),
        (Ty::List(from) | Ty::Set(from), Ty::Set(to)) => Ok(Ty::set(convert_ty(from, to)?)),
        (Ty::Tuple(_), Ty::List(to)) => Ok(Ty::list(to.without_optional())),
        (Ty::Tuple(_), Ty::Set(to)) => Ok(Ty::set(to.without_optional())),
        (Ty::Map(from), Ty::Map(to)) => Ok(Ty::map(convert_ty(from, to)?)),
        (Ty::Object(_), Ty::Map(to)) => Ok(Ty::map(to.without_optional())),
        (Ty::Tuple(from), Ty::Tuple(to)) if from.len() == to.len() => {
            let elements = from.iter().zip(to.iter()).map(|(from, to)| convert_ty(from, to));
            Ok(Ty::tuple(elements.collect::<Result<_, _>>()?))
        }
        (Ty::Object(from), Ty::Object(to)) => {
            let mut attributes = Vec::new();
            for (name, to_ty) in &to.attributes {
                let ty = match from.attributes.get(name) {
                    Some(from_ty) => convert_ty(from_ty, to_ty)?,
                    None if to.optional.contains(name) => to_ty.without_optional(),
                    None => return Err(ConversionError::at_root(Mismatch::MissingAttribute(name.clone()))),
                };
                attributes.push((name.clone(), ty));
            }
            Ok(Ty::object(attributes))
        }
        (Ty::Map(_), Ty::Object(_)) => Ok(target.without_optional()),
        _ => Err(mismatch()),
    }
}

/// The type that values of all these types can be converted to without losing anything; `None` if there is none.
pub fn unify(types: &[Ty]) -> Option<Ty> {
    unify_all(types, Untyped::Unknown)
}

/// As [`unify`], of the types of these values: a null that has no type takes that of the others.
pub fn unify_values(values: &[Value]) -> Option<Ty> {
    let untyped = if values.iter().any(has_untyped_unknown) { Untyped::Unknown } else { Untyped::Null };
    let types: Vec<Ty> = values.iter().map(Value::ty).collect();
    unify_all(&types, untyped)
}

/// What a value is whose type is `any`.
#[derive(Clone, Copy)]
enum Untyped {
    /// It will have a type of its own.
    Unknown,
    Null,
}

fn has_untyped_unknown(value: &Value) -> bool {
    match value {
        Value::Unknown(ty, _) => !ty.is_wholly_known(),
        Value::Marked(_, inner) => has_untyped_unknown(inner),
        Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => items.iter().any(has_untyped_unknown),
        Value::Map(_, entries) | Value::Object(entries) => entries.values().any(has_untyped_unknown),
        Value::Null(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn unify_all(types: &[Ty], untyped: Untyped) -> Option<Ty> {
    let (first, rest) = types.split_first()?;
    rest.iter().try_fold(first.clone(), |unified, ty| unify_two(&unified, ty, untyped))
}

fn unify_two(a: &Ty, b: &Ty, untyped: Untyped) -> Option<Ty> {
    if a == b {
        return Some(a.clone());
    }
    let unify_two = |a: &Ty, b: &Ty| unify_two(a, b, untyped);
    match (a, b) {
        (Ty::Dynamic, other) | (other, Ty::Dynamic) => Some(match untyped {
            Untyped::Unknown => Ty::Dynamic,
            Untyped::Null => other.clone(),
        }),
        (Ty::Bool, Ty::Number) | (Ty::Number, Ty::Bool) => None,
        _ if a.is_primitive() && b.is_primitive() => Some(Ty::String),
        (Ty::List(x), Ty::List(y)) => Some(Ty::list(unify_two(x, y)?)),
        (Ty::List(x), Ty::Set(y)) | (Ty::Set(x), Ty::List(y)) => Some(Ty::list(unify_two(x, y)?)),
        (Ty::Set(x), Ty::Set(y)) => Some(Ty::set(unify_two(x, y)?)),
        (Ty::Map(x), Ty::Map(y)) => Some(Ty::map(unify_two(x, y)?)),
        (Ty::Tuple(x), Ty::Tuple(y)) if x.len() == y.len() => {
            let elements: Option<Vec<_>> = x.iter().zip(y.iter()).map(|(x, y)| unify_two(x, y)).collect();
            elements.map(Ty::tuple)
        }
        (Ty::Tuple(x), Ty::Tuple(y)) => unify_elements(x.iter().chain(y.iter()), untyped).map(Ty::list),
        (Ty::Tuple(tuple), Ty::List(element)) | (Ty::List(element), Ty::Tuple(tuple)) => {
            unify_elements(tuple.iter().chain([&**element]), untyped).map(Ty::list)
        }
        // The set decides: the tuple's elements must be of its type.
        (Ty::Tuple(_), Ty::Set(element)) | (Ty::Set(element), Ty::Tuple(_)) => Some(Ty::Set(element.clone())),
        (Ty::Object(x), Ty::Object(y)) => {
            let x_names: BTreeSet<_> = x.attributes.keys().collect();
            let y_names: BTreeSet<_> = y.attributes.keys().collect();
            // Of one shape, they go together part by part or not at all.
            if x_names == y_names {
                let attributes =
                    x.attributes.iter().map(|(name, ty)| Some((name.clone(), unify_two(ty, &y.attributes[name])?)));
                return attributes.collect::<Option<Vec<_>>>().map(Ty::object);
            }
            unify_elements(x.attributes.values().chain(y.attributes.values()), untyped).map(Ty::map)
        }
        (Ty::Object(object), Ty::Map(element)) | (Ty::Map(element), Ty::Object(object)) => {
            unify_elements(object.attributes.values().chain([&**element]), untyped).map(Ty::map)
        }
        _ => None,
    }
}

fn unify_elements<'t>(types: impl Iterator<Item = &'t Ty>, untyped: Untyped) -> Option<Ty> {
    let types: Vec<Ty> = types.cloned().collect();
    unify_all(&types, untyped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &Value, target: &Ty, expected: &Value) {
        assert_eq!(convert(value, target).as_ref(), Ok(expected));
    }

    #[track_caller]
    fn check_error(value: &Value, target: &Ty, expected: &str) {
        assert_eq!(convert(value, target).unwrap_err().to_string(), expected);
    }

    #[test]
    fn primitives_convert_by_their_text() {
        check(&Value::from(1), &Ty::String, &Value::from("1"));
        check(&Value::from("1"), &Ty::Number, &Value::from(1));
        check(&Value::from("true"), &Ty::Bool, &Value::from(true));
        check_error(&Value::from("yes"), &Ty::Bool, "a bool is required: write true or false, not \"yes\"");
        check_error(&Value::from(true), &Ty::Number, "a number required, but a bool was given");
    }

    #[test]
    fn an_object_loses_attributes_that_are_not_asked_for() {
        let value = Value::object([("id", Value::from(1)), ("extra", Value::from(true))]);
        let target = Ty::object([("id", Ty::String)]);
        check(&value, &target, &Value::object([("id", Value::from("1"))]));
        check_error(&value, &Ty::object([("name", Ty::String)]), "attribute \"name\" is required");
    }

    #[test]
    fn an_error_names_the_place() {
        let value = Value::tuple(vec![Value::from("1"), Value::from("x")]);
        check_error(&value, &Ty::list(Ty::Number), "[1]: a number required, but \"x\" is none");
    }

    #[test]
    fn a_list_of_any_takes_the_common_type() {
        let value = Value::tuple(vec![Value::from(1), Value::from("x")]);
        let expected = Value::list(Ty::String, vec![Value::from("1"), Value::from("x")]);
        check(&value, &Ty::list(Ty::Dynamic), &expected);
    }

    #[test]
    fn marks_stay_where_they_are() {
        let value = Value::tuple(vec![Value::from(1).mark_sensitive()]);
        let expected = Value::list(Ty::String, vec![Value::from("1").mark_sensitive()]);
        check(&value, &Ty::list(Ty::String), &expected);
    }

    #[test]
    fn an_error_tells_nothing_of_a_sensitive_value() {
        let secret = || Value::from("hunter2").mark_sensitive();
        check_error(&secret(), &Ty::Number, "a number required, but the sensitive value is none");
        check_error(&secret(), &Ty::Bool, "a bool is required: the sensitive value is neither true nor false");
        let below = Value::tuple(vec![secret()]);
        check_error(&below, &Ty::list(Ty::Number), "[0]: a number required, but the sensitive value is none");
        let keys = Value::object([("hunter2", Value::from(1))]).mark_sensitive();
        check_error(&keys, &Ty::Bool, "a bool required, but a sensitive value of another type was given");
        let entries = Value::object([("hunter2", Value::from("x"))]).mark_sensitive();
        check_error(&entries, &Ty::map(Ty::Number), "a number required, but the sensitive value is none");
        let named = Value::list(keys.ty(), vec![keys]);
        check_error(&named, &Ty::String, "a string required, but a sensitive value of another type was given");
        assert_eq!(name_of(&named), "a list");
    }

    #[test]
    fn sets_are_sorted_and_have_no_duplicates() {
        let value = Value::tuple(["b", "a", "b"].map(Value::from).to_vec());
        check(&value, &Ty::set(Ty::String), &Value::set(Ty::String, ["a", "b"].map(Value::from).to_vec()));
    }
}
