//! Values to models and back: the only place.

use serde_json::Value as Json;
use std::sync::Arc;
use value::codec::json;
use value::schema::Block;
use value::value::Attributes;
use value::{Path, Problem, Step, Ty, Value};

use crate::resource::{Group, Resource, State};

/// Reads a model. What is unknown, and what is null, is `None`.
pub(super) fn decode<R: Resource>(value: &Value) -> Result<State<R::Model>, Problem> {
    let json = json::encode(value, &value.ty());
    match parts::<R>(&json) {
        Ok((group, own)) => {
            let mut unknown = Vec::new();
            note_unknown(value, &Path::root(), &mut unknown);
            Ok(State { group, own, unknown })
        }
        Err(error) => {
            let detail = format!(
                "A value does not fit what the provider expects: {error}. Numbers of nodes, ports and times are whole and not negative."
            );
            let problem = Problem::error("invalid value", detail);
            Err(match misfit::<R>(&json) {
                Some(name) => problem.at(Path::attribute(name)),
                None => problem,
            })
        }
    }
}

fn parts<R: Resource>(json: &Json) -> Result<(Group, R::Model), serde_json::Error> {
    Ok((serde_json::from_value(json.clone())?, serde_json::from_value(json.clone())?))
}

/// The attribute without which a model fits.
fn misfit<R: Resource>(json: &Json) -> Option<String> {
    let names = json.as_object()?.keys();
    let mut names = names.filter(|name| {
        let mut without = json.clone();
        without[name.as_str()] = Json::Null;
        parts::<R>(&without).is_ok()
    });
    names.next().cloned()
}

fn note_unknown(value: &Value, at: &Path, unknown: &mut Vec<Path>) {
    match value.unmarked() {
        value if !value.is_known() => unknown.push(at.clone()),
        Value::Object(entries) => {
            for (name, value) in entries.iter() {
                note_unknown(value, &at.then(Step::Attribute(name.clone())), unknown);
            }
        }
        Value::Map(_, entries) => {
            for (key, value) in entries.iter() {
                note_unknown(value, &at.then(Step::Key(key.clone())), unknown);
            }
        }
        value => {
            for (idx, item) in value.as_items().unwrap_or_default().iter().enumerate() {
                note_unknown(item, &at.then(Step::Index(idx)), unknown);
            }
        }
    }
}

/// The value of a model with everything known; what is `None` is null.
pub(super) fn encode<R: Resource>(state: &State<R::Model>, block: &Block) -> Result<Value, Problem> {
    let json = merged::<R>(state)?;
    decode_as(&json, &block.implied_ty())
}

/// The planned value: what the configuration sets stays as it is; of the rest, what the model does not know yet
/// is unknown.
pub(super) fn encode_planned<R: Resource>(
    state: &State<R::Model>,
    block: &Block,
    config: &Value,
) -> Result<Value, Problem> {
    let json = merged::<R>(state)?;
    let mut attributes = Attributes::new();
    for (name, attribute) in &block.attributes {
        let ty = attribute.implied_ty();
        let configured = config.get(name).filter(|value| !value.is_null());
        let value = match configured {
            Some(value) => value.clone(),
            None if attribute.computed => with_unknowns(json.get(&**name).unwrap_or(&Json::Null), &ty)?,
            None => Value::Null(ty),
        };
        attributes.insert(name.clone(), value);
    }
    Ok(Value::Object(Arc::new(attributes)))
}

fn merged<R: Resource>(state: &State<R::Model>) -> Result<Json, Problem> {
    let broken = |error: serde_json::Error| Problem::error("a model could not be written", error.to_string());
    let mut json = serde_json::to_value(&state.group).map_err(broken)?;
    let own = serde_json::to_value(&state.own).map_err(broken)?;
    if let (Json::Object(json), Json::Object(own)) = (&mut json, own) {
        json.extend(own);
    }
    Ok(json)
}

fn decode_as(json: &Json, ty: &Ty) -> Result<Value, Problem> {
    json::decode(json, ty).map_err(|error| Problem::error("a model does not fit its schema", error.to_string()))
}

/// As decoding, but every null at any depth is an unknown.
fn with_unknowns(json: &Json, ty: &Ty) -> Result<Value, Problem> {
    match (json, ty) {
        (Json::Null, _) => Ok(Value::unknown(ty.clone())),
        (Json::Array(items), Ty::List(element)) => {
            let items = items.iter().map(|item| with_unknowns(item, element)).collect::<Result<_, _>>()?;
            Ok(Value::list((**element).clone(), items))
        }
        (Json::Object(entries), Ty::Map(element)) => {
            let entries: Vec<(String, Value)> = entries
                .iter()
                .map(|(key, value)| Ok((key.clone(), with_unknowns(value, element)?)))
                .collect::<Result<_, Problem>>()?;
            Ok(Value::map((**element).clone(), entries))
        }
        (Json::Object(entries), Ty::Object(object)) => {
            let mut attributes = Attributes::new();
            for (name, ty) in &object.attributes {
                attributes.insert(name.clone(), with_unknowns(entries.get(&**name).unwrap_or(&Json::Null), ty)?);
            }
            Ok(Value::Object(Arc::new(attributes)))
        }
        _ => decode_as(json, ty),
    }
}
