//! `ignore_changes`: what the configuration says of some attributes gives way to what is there.
//!
//! Rules of Terraform's core (`processIgnoreChanges`). Of what is to be made, nothing is ignored.

use std::sync::Arc;

use compiler::lang::declare::Ignore;
use value::schema::{Attribute, AttributeTy, Block};
use value::value::Attributes;
use value::{Step, Ty, Value};

use crate::propose::each_object;

/// A configuration with what there is in the place of what is to be ignored.
pub(crate) fn ignoring(config: &Value, prior: &Value, ignore: &Ignore, block: &Block) -> Value {
    match ignore {
        _ if prior.is_null() => config.clone(),
        Ignore::All => settable(block, prior),
        Ignore::Paths(paths) => {
            paths.iter().fold(config.clone(), |config, path| keep(&config, prior, &path.0).unwrap_or(config))
        }
    }
}

/// `None` if the path leads nowhere in either: then there is nothing to ignore.
fn keep(config: &Value, prior: &Value, steps: &[Step]) -> Option<Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(prior.clone()) };
    match step {
        Step::Attribute(name) | Step::Key(name) => {
            let by_key = matches!(step, Step::Key(_)) && matches!(config, Value::Object(_));
            if rest.is_empty() && (by_key || matches!(config, Value::Map(..) | Value::Null(Ty::Map(_)))) {
                return keep_key(config, prior, name);
            }
            let changed = keep(config.get(name)?, prior.get(name)?, rest)?;
            let mut entries = config.as_entries()?.clone();
            entries.insert(name.clone(), changed);
            Some(with_entries(config, entries))
        }
        Step::Index(idx) => {
            let mut items = config.as_items()?.to_vec();
            let item = items.get_mut(*idx)?;
            *item = keep(item, prior.as_items()?.get(*idx)?, rest)?;
            match config {
                Value::List(ty, _) => Some(Value::list(ty.clone(), items)),
                Value::Tuple(_) => Some(Value::tuple(items)),
                // Elements of sets have no index.
                _ => None,
            }
        }
    }
}

/// A key that is not there stays away, and one that is there stays, whatever the configuration has.
fn keep_key(config: &Value, prior: &Value, key: &Arc<str>) -> Option<Value> {
    if !prior.is_null() && prior.as_entries().is_none() {
        return None;
    }
    let mut entries = config.as_entries().cloned().unwrap_or_default();
    match prior.get(key) {
        Some(kept) => entries.insert(key.clone(), kept.clone()),
        None => entries.remove(key),
    };
    Some(if entries.is_empty() && config.is_null() { config.clone() } else { with_entries(config, entries) })
}

fn with_entries(like: &Value, entries: Attributes) -> Value {
    match like.ty() {
        Ty::Map(element) => Value::map((*element).clone(), entries),
        _ => Value::Object(Arc::new(entries)),
    }
}

/// An object as a configuration could have it: without what only the provider sets.
fn settable(block: &Block, prior: &Value) -> Value {
    let Some(entries) = prior.as_entries() else { return prior.clone() };
    let entries = entries.iter().map(|(name, value)| {
        let kept = match (block.attributes.get(name), block.blocks.get(name)) {
            (Some(attribute), _) => settable_attribute(attribute, value),
            (None, Some(nested)) => each_object(nested.nesting, value, |item| settable(&nested.block, item)),
            (None, None) => value.clone(),
        };
        (name.clone(), kept)
    });
    Value::object(entries)
}

fn settable_attribute(attribute: &Attribute, value: &Value) -> Value {
    if attribute.computed && !attribute.optional {
        return Value::Null(attribute.implied_ty());
    }
    let AttributeTy::Nested { attributes, nesting } = &attribute.ty else { return value.clone() };
    let block = Block { attributes: attributes.clone(), ..Block::default() };
    each_object(*nesting, value, |item| settable(&block, item))
}
