//! JSON, as in state files (`cty/json`): by type; `dynamic` is `{"value": .., "type": ..}`.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{DecodeError, MAX_DEPTH, unexpected};
use crate::value::Attributes;
use crate::{Number, Ty, Value};

/// Encodes a value that conforms to `ty`. An unknown part becomes `null`: JSON has no word for it, and callers
/// that care keep the unknown parts elsewhere. Marks are not encoded.
pub fn encode(value: &Value, ty: &Ty) -> Json {
    match value {
        Value::Marked(_, inner) => encode(inner, ty),
        Value::Unknown(..) | Value::Null(_) => Json::Null,
        _ if *ty == Ty::Dynamic => {
            let actual = value.ty();
            let mut wrapped = Map::new();
            wrapped.insert("value".to_owned(), encode(value, &actual));
            wrapped.insert("type".to_owned(), actual.to_json());
            Json::Object(wrapped)
        }
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Number(number) => encode_number(number),
        Value::String(text) => Json::String(text.to_string()),
        Value::List(..) | Value::Set(..) | Value::Tuple(_) => {
            let items = value.as_items().unwrap_or_default().iter().enumerate();
            Json::Array(items.map(|(idx, item)| encode(item, &element_ty(ty, idx))).collect())
        }
        Value::Map(_, entries) | Value::Object(entries) => {
            let entries = entries.iter();
            Json::Object(entries.map(|(key, value)| (key.to_string(), encode(value, &attribute_ty(ty, key)))).collect())
        }
    }
}

/// Encodes a value without regard to a declared type, as `jsonencode` and `output -json` do.
pub fn encode_plain(value: &Value) -> Json {
    encode(value, &value.ty())
}

/// Turns any JSON into the value that `jsondecode` gives: objects and tuples.
pub fn decode_plain(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null(Ty::Dynamic),
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => number.to_string().parse().map_or(Value::Null(Ty::Number), Value::Number),
        Json::String(text) => Value::string(text),
        Json::Array(items) => Value::tuple(items.iter().map(decode_plain).collect()),
        Json::Object(entries) => Value::object(entries.iter().map(|(key, value)| (key.as_str(), decode_plain(value)))),
    }
}

pub fn decode(json: &Json, ty: &Ty) -> Result<Value, DecodeError> {
    decode_at(json, ty, 0)
}

fn decode_at(json: &Json, ty: &Ty, depth: usize) -> Result<Value, DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::TooDeep);
    }
    match (json, ty) {
        (Json::Null, _) => Ok(Value::Null(ty.without_optional())),
        (Json::Object(wrapped), Ty::Dynamic) => {
            let (Some(inner), Some(ty)) = (wrapped.get("value"), wrapped.get("type")) else {
                return Err(unexpected("an object with \"value\" and \"type\"", "another object"));
            };
            let ty = Ty::from_json(ty).map_err(|error| unexpected("a type", error))?;
            if ty == Ty::Dynamic { Err(unexpected("a type", "\"dynamic\"")) } else { decode_at(inner, &ty, depth + 1) }
        }
        (Json::Bool(truth), Ty::Bool) => Ok(Value::Bool(*truth)),
        (Json::String(text), Ty::Bool) if text == "true" || text == "false" => Ok(Value::Bool(text == "true")),
        (Json::Number(number), Ty::Number) => decode_number(&number.to_string()),
        (Json::String(text), Ty::Number) => decode_number(text),
        (Json::String(text), Ty::String) => Ok(Value::string(text)),
        (Json::Number(number), Ty::String) => Ok(Value::string(number.to_string())),
        (Json::Bool(truth), Ty::String) => Ok(Value::string(truth.to_string())),
        (Json::Array(items), Ty::List(element)) => {
            Ok(Value::list(element.without_optional(), decode_items(items, element, depth)?))
        }
        (Json::Array(items), Ty::Set(element)) => {
            Ok(Value::set(element.without_optional(), decode_items(items, element, depth)?))
        }
        (Json::Array(items), Ty::Tuple(elements)) if items.len() == elements.len() => {
            let items = items.iter().zip(elements.iter());
            Ok(Value::tuple(items.map(|(item, ty)| decode_at(item, ty, depth + 1)).collect::<Result<_, _>>()?))
        }
        (Json::Object(entries), Ty::Map(element)) => {
            let mut values = Attributes::new();
            for (key, value) in entries {
                values.insert(key.as_str().into(), decode_at(value, element, depth + 1)?);
            }
            Ok(Value::Map(element.without_optional(), Arc::new(values)))
        }
        (Json::Object(entries), Ty::Object(object)) => {
            if let Some(name) = entries.keys().find(|name| !object.attributes.contains_key(name.as_str())) {
                return Err(DecodeError::UnknownAttribute(name.clone()));
            }
            let mut values = Attributes::new();
            for (name, ty) in &object.attributes {
                let value = entries.get(&**name);
                let value = match value {
                    Some(value) => decode_at(value, ty, depth + 1)?,
                    // A state written before the attribute existed.
                    None => Value::Null(ty.without_optional()),
                };
                values.insert(name.clone(), value);
            }
            Ok(Value::Object(Arc::new(values)))
        }
        _ => Err(unexpected(crate::convert::name(ty), json_kind(json))),
    }
}

fn decode_items(items: &[Json], element: &Ty, depth: usize) -> Result<Vec<Value>, DecodeError> {
    items.iter().map(|item| decode_at(item, element, depth + 1)).collect()
}

fn encode_number(number: &Number) -> Json {
    let text = number.to_string();
    match text.parse::<serde_json::Number>() {
        Ok(number) => Json::Number(number),
        // JSON has no infinity.
        Err(_) => Json::String(text),
    }
}

fn decode_number(text: &str) -> Result<Value, DecodeError> {
    match text {
        "Inf" => Ok(Value::Number(Number::infinity(false))),
        "-Inf" => Ok(Value::Number(Number::infinity(true))),
        _ => text.parse().map(Value::Number).map_err(|_| unexpected("a number", "another text")),
    }
}

pub(super) fn element_ty(ty: &Ty, idx: usize) -> Ty {
    match ty {
        Ty::List(element) | Ty::Set(element) => (**element).clone(),
        Ty::Tuple(elements) => elements.get(idx).cloned().unwrap_or(Ty::Dynamic),
        Ty::Dynamic | Ty::Bool | Ty::Number | Ty::String | Ty::Map(_) | Ty::Object(_) => Ty::Dynamic,
    }
}

pub(super) fn attribute_ty(ty: &Ty, name: &str) -> Ty {
    match ty {
        Ty::Map(element) => (**element).clone(),
        Ty::Object(object) => object.attributes.get(name).cloned().unwrap_or(Ty::Dynamic),
        Ty::Dynamic | Ty::Bool | Ty::Number | Ty::String | Ty::List(_) | Ty::Set(_) | Ty::Tuple(_) => Ty::Dynamic,
    }
}

fn json_kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a bool",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// Text of a JSON document as Go's encoder writes it: `<`, `>`, `&`, U+2028 and U+2029 escaped. State files and
/// `jsonencode` are compared byte for byte with what Terraform writes.
pub fn go_escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for ch in json.chars() {
        match ch {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            _ => out.push(ch),
        }
    }
    out
}
