//! Values to models and back: the only place.

use std::sync::Arc;

use serde_json::Value as Json;
use value::codec::json;
use value::schema::Block;
use value::value::Attributes;
use value::{Path, Problem, Step, Ty, Value};

use crate::field::Field;

/// The typed form of a resource's attributes.
pub trait Model: Sized + Send + Sync {
    /// `unknown` says where values are not known yet; the JSON has null there, as for what is not set.
    fn read(json: &Json, unknown: Vec<Path>) -> serde_json::Result<Self>;

    fn write(&self) -> serde_json::Result<Json>;
}

/// Reads a model. What is unknown, and what is null, is `None`.
pub(crate) fn decode<M: Model>(value: &Value) -> Result<M, Problem> {
    decode_filled(value, &Value::Null(Ty::Dynamic), &[])
}

/// As [`decode`], with the defaults of fields that the configuration says nothing about.
pub(crate) fn decode_filled<M: Model>(value: &Value, config: &Value, fields: &[Field]) -> Result<M, Problem> {
    let mut json = json::encode(value, &value.ty());
    let mut unknown = Vec::new();
    note_unknown(value, &Path::root(), &mut unknown);
    for field in fields {
        let is_set = config.get(field.name).is_some_and(|value| !value.is_null());
        if let Some(default) = field.filled_in().filter(|_| !is_set) {
            json[field.name] = default.clone();
            let at = Path::attribute(field.name);
            unknown.retain(|unknown| !unknown.starts_with(&at));
        }
    }
    match M::read(&json, unknown) {
        Ok(model) => Ok(model),
        Err(error) => {
            let detail = format!(
                "A value does not fit what the provider expects: {error}. Numbers of nodes, ports and times are whole and not negative."
            );
            let problem = Problem::error("invalid value", detail);
            Err(match misfit::<M>(&json) {
                Some(name) => problem.at(Path::attribute(name)),
                None => problem,
            })
        }
    }
}

/// The attribute without which a model fits.
fn misfit<M: Model>(json: &Json) -> Option<String> {
    let names = json.as_object()?.keys();
    let mut names = names.filter(|name| {
        let mut without = json.clone();
        without[name.as_str()] = Json::Null;
        M::read(&without, Vec::new()).is_ok()
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
pub(crate) fn encode<M: Model>(model: &M, block: &Block) -> Result<Value, Problem> {
    let json = written(model)?;
    decode_as(&json, &block.implied_ty())
}

/// As [`encode`], with those attributes only that the block has.
pub(crate) fn encode_part<M: Model>(model: &M, block: &Block) -> Result<Value, Problem> {
    let mut json = written(model)?;
    if let Some(json) = json.as_object_mut() {
        json.retain(|name, _| block.attributes.contains_key(name.as_str()));
    }
    decode_as(&json, &block.implied_ty())
}

/// The planned value: what the configuration sets stays as it is; of the rest, what the model does not know yet
/// is unknown.
pub(crate) fn encode_planned<M: Model>(model: &M, block: &Block, config: &Value) -> Result<Value, Problem> {
    let json = written(model)?;
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

fn written<M: Model>(model: &M) -> Result<Json, Problem> {
    model.write().map_err(|error| Problem::error("a model could not be written", error.to_string()))
}

/// What the configuration says goes back as it came, not as a model would write it.
pub(crate) fn with_configured(value: Value, planned: &Value, block: &Block) -> Value {
    let (Some(entries), Some(planned)) = (value.as_entries(), planned.as_entries()) else { return value };
    let is_settable = |name: &str| block.attributes.get(name).is_some_and(|it| it.required || it.optional);
    let kept = entries.iter().map(|(name, value)| match planned.get(name) {
        Some(planned) if planned.is_wholly_known() && is_settable(name) => (name.clone(), planned.clone()),
        _ => (name.clone(), value.clone()),
    });
    Value::object(kept)
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
