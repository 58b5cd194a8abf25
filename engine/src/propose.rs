//! The object that a plan starts from: what is configured, and, where nothing is, what was there.
//!
//! Rules of Terraform's core (`objchange.go`, ProposedNew).

use std::sync::Arc;

use value::schema::{Attribute, AttributeTy, Block, Nesting};
use value::value::Attributes;
use value::{Value, convert};

pub(crate) fn proposed(block: &Block, prior: &Value, config: &Value) -> Value {
    let Some(config_entries) = config.as_entries() else { return config.clone() };
    let mut entries = Attributes::new();
    for (name, attribute) in &block.attributes {
        let Some(config) = config_entries.get(name) else { continue };
        entries.insert(name.clone(), proposed_attribute(attribute, prior.get(name), config));
    }
    for (name, nested) in &block.blocks {
        let Some(config) = config_entries.get(name) else { continue };
        let prior = prior.get(name);
        let value = match (nested.nesting, config) {
            (Nesting::Single | Nesting::Group, Value::Object(_)) => {
                proposed(&nested.block, prior.unwrap_or(&Value::DYNAMIC), config)
            }
            (Nesting::List, Value::List(_, items) | Value::Tuple(items)) => {
                let prior_items = prior.and_then(Value::as_items).unwrap_or_default();
                let items: Vec<Value> = items
                    .iter()
                    .enumerate()
                    .map(|(idx, item)| proposed(&nested.block, prior_items.get(idx).unwrap_or(&Value::DYNAMIC), item))
                    .collect();
                if let Value::List(ty, _) = config { Value::list(ty.clone(), items) } else { Value::tuple(items) }
            }
            (Nesting::Map, Value::Map(_, entries) | Value::Object(entries)) => {
                let entries = entries.iter().map(|(key, item)| {
                    let prior = prior.and_then(|prior| prior.get(key)).unwrap_or(&Value::DYNAMIC);
                    (key.clone(), proposed(&nested.block, prior, item))
                });
                if let Value::Map(ty, _) = config { Value::map(ty.clone(), entries) } else { Value::object(entries) }
            }
            (Nesting::Set, Value::Set(ty, items)) => {
                // An element goes on as the prior one that agrees with it in everything that is configured.
                let prior_items = prior.and_then(Value::as_items).unwrap_or_default();
                let items = items.iter().map(|item| {
                    let matching = prior_items.iter().find(|prior| agrees(&nested.block, prior, item));
                    proposed(&nested.block, matching.unwrap_or(&Value::DYNAMIC), item)
                });
                Value::set(ty.clone(), items.collect())
            }
            _ => config.clone(),
        };
        entries.insert(name.clone(), value);
    }
    Value::Object(Arc::new(entries))
}

fn proposed_attribute(attribute: &Attribute, prior: Option<&Value>, config: &Value) -> Value {
    if config.is_null() {
        return match prior {
            Some(prior) if attribute.computed && prior.is_known() => prior.clone(),
            _ => config.clone(),
        };
    }
    let AttributeTy::Nested { attributes, nesting } = &attribute.ty else { return config.clone() };
    let block = Block { attributes: attributes.clone(), ..Block::default() };
    let value = match (nesting, config) {
        (Nesting::Single | Nesting::Group, Value::Object(_)) => {
            proposed(&block, prior.unwrap_or(&Value::DYNAMIC), config)
        }
        (Nesting::List, Value::List(ty, items)) => {
            let prior_items = prior.and_then(Value::as_items).unwrap_or_default();
            let items = items.iter().enumerate();
            let items =
                items.map(|(idx, item)| proposed(&block, prior_items.get(idx).unwrap_or(&Value::DYNAMIC), item));
            Value::list(ty.clone(), items.collect())
        }
        (Nesting::Map, Value::Map(ty, entries)) => Value::map(
            ty.clone(),
            entries.iter().map(|(key, item)| {
                let prior = prior.and_then(|prior| prior.get(key)).unwrap_or(&Value::DYNAMIC);
                (key.clone(), proposed(&block, prior, item))
            }),
        ),
        _ => config.clone(),
    };
    convert::convert(&value, &attribute.implied_ty()).unwrap_or(value)
}

/// What is known of a data source before it is read: what is configured.
pub(crate) fn unread(block: &Block, config: &Value) -> Value {
    let unknown = |attribute: &Attribute, value: &Value| {
        (attribute.computed && value.is_null()).then(|| Value::unknown(attribute.implied_ty()))
    };
    with_attributes(block, config, &unknown)
}

/// With null for what is only written.
pub(crate) fn without_write_only(block: &Block, value: &Value) -> Value {
    let has_any = |attribute: &Attribute| attribute.write_only || matches!(&attribute.ty, AttributeTy::Nested { .. });
    if !block.attributes.values().any(has_any) && block.blocks.is_empty() {
        return value.clone();
    }
    with_attributes(block, value, &|attribute, _| attribute.write_only.then(|| Value::Null(attribute.implied_ty())))
}

/// An object with other values of the attributes, however deep, that `change` gives one.
fn with_attributes(block: &Block, value: &Value, change: &dyn Fn(&Attribute, &Value) -> Option<Value>) -> Value {
    let Some(entries) = value.as_entries() else { return value.clone() };
    let entries = entries.iter().map(|(name, value)| {
        let attribute = block.attributes.get(name);
        let changed = attribute.and_then(|attribute| change(attribute, value));
        let value = changed.unwrap_or_else(|| match (attribute, block.blocks.get(name)) {
            (Some(Attribute { ty: AttributeTy::Nested { attributes, nesting }, .. }), _) => {
                let block = Block { attributes: attributes.clone(), ..Block::default() };
                each_object(*nesting, value, |item| with_attributes(&block, item, change))
            }
            (None, Some(nested)) => {
                each_object(nested.nesting, value, |item| with_attributes(&nested.block, item, change))
            }
            (Some(_) | None, _) => value.clone(),
        });
        (name.clone(), value)
    });
    Value::object(entries)
}

/// Changes every object of a nested block or attribute.
pub(crate) fn each_object(nesting: Nesting, value: &Value, change: impl Fn(&Value) -> Value) -> Value {
    match (nesting, value) {
        (Nesting::Single | Nesting::Group, one) => change(one),
        (_, Value::List(ty, items)) => Value::list(ty.clone(), items.iter().map(change).collect()),
        (_, Value::Set(ty, items)) => Value::set(ty.clone(), items.iter().map(change).collect()),
        (_, Value::Tuple(items)) => Value::tuple(items.iter().map(change).collect()),
        (_, Value::Map(ty, entries)) => {
            Value::map(ty.clone(), entries.iter().map(|(key, item)| (key.clone(), change(item))))
        }
        (_, Value::Object(entries)) => Value::object(entries.iter().map(|(key, item)| (key.clone(), change(item)))),
        (_, other) => other.clone(),
    }
}

fn agrees(block: &Block, prior: &Value, config: &Value) -> bool {
    block.attributes.iter().all(|(name, attribute)| {
        let (Some(prior), Some(config)) = (prior.get(name), config.get(name)) else { return true };
        (config.is_null() && attribute.computed) || prior == config
    })
}
