//! What `show -json` prints: a state (format 1.0) and a plan (format 1.2), in Terraform's form ("JSON Output Format").
//!
//! A state is shown without its providers, whose schemas Terraform needs for it: an attribute of any type stands as the state file
//! has it, with its type.

use std::collections::BTreeMap;

use compiler::addr::{InstanceAddr, Key, Mode, ModulePath, ResourceAddr};
use engine::plan::{Change, Deferral, Plan};
use engine::state::{InstanceState, State};
use serde_json::{Map, Value as Json, json};
use value::codec::json as values;
use value::{Path, Step, Ty, Value};

const TERRAFORM: &str = compiler::version::TERRAFORM;

pub(crate) fn state(state: &State) -> Json {
    let outputs: Map<String, Json> = state
        .outputs
        .iter()
        .map(|(name, output)| {
            let (ty, value) = (output.value.ty().to_json(), values::encode_plain(&output.value));
            (name.to_string(), json!({ "sensitive": output.sensitive, "type": ty, "value": value }))
        })
        .collect();
    let mut tree = Module::default();
    for (addr, instance) in &state.instances {
        tree.of(&addr.module).resources.push(object(addr, instance, None));
    }
    for ((addr, key), instance) in &state.deposed {
        tree.of(&addr.module).resources.push(object(addr, instance, Some(key)));
    }
    let mut values = Map::new();
    if !outputs.is_empty() {
        values.insert("outputs".to_owned(), Json::Object(outputs));
    }
    values.insert("root_module".to_owned(), tree.into_json(None));
    json!({ "format_version": "1.0", "terraform_version": TERRAFORM, "values": values })
}

/// The objects of a module instance, and the module instances in it.
#[derive(Default)]
struct Module {
    resources: Vec<Json>,
    children: BTreeMap<ModulePath, Module>,
}

impl Module {
    fn of(&mut self, path: &ModulePath) -> &mut Module {
        let mut at = self;
        for depth in 1..=path.0.len() {
            at = at.children.entry(ModulePath(path.0[..depth].to_vec())).or_default();
        }
        at
    }

    fn into_json(self, address: Option<&ModulePath>) -> Json {
        let mut json = Map::new();
        if !self.resources.is_empty() {
            json.insert("resources".to_owned(), Json::Array(self.resources));
        }
        if let Some(address) = address {
            json.insert("address".to_owned(), address.to_string().into());
        }
        if !self.children.is_empty() {
            let children = self.children.into_iter().map(|(path, module)| module.into_json(Some(&path)));
            json.insert("child_modules".to_owned(), children.collect());
        }
        Json::Object(json)
    }
}

fn object(addr: &InstanceAddr, instance: &InstanceState, deposed: Option<&String>) -> Json {
    let mut json = address(addr);
    json["provider_name"] = instance.provider.source.to_string().into();
    json["schema_version"] = instance.schema_version.into();
    json["values"] = instance.attributes.clone();
    json["sensitive_values"] = sensitive(&instance.attributes, &instance.sensitive_paths);
    if !instance.dependencies.is_empty() {
        json["depends_on"] = instance.dependencies.iter().map(|on| Json::from(on.to_string())).collect();
    }
    if instance.tainted {
        json["tainted"] = true.into();
    }
    if let Some(key) = deposed {
        json["deposed_key"] = key.as_str().into();
    }
    json
}

fn address(addr: &InstanceAddr) -> Json {
    let mode = match addr.mode {
        Mode::Managed => "managed",
        Mode::Data => "data",
        Mode::Ephemeral => "ephemeral",
    };
    let mut json = json!({ "address": addr.to_string(), "mode": mode, "type": &*addr.ty, "name": &*addr.name });
    match &addr.key {
        Key::None => {}
        Key::Int(index) => json["index"] = (*index).into(),
        Key::Str(key) => json["index"] = (**key).into(),
    }
    json
}

pub(crate) fn plan(plan: &Plan) -> Json {
    let outputs = plan.outputs.iter().map(|(name, output)| {
        let actions = match (&output.before, &output.after) {
            (None, _) => ["create"],
            (_, None) => ["delete"],
            (before, after) if before == after => ["no-op"],
            _ => ["update"],
        };
        let known = output.after.as_ref().is_none_or(Value::is_wholly_known);
        let plain = |value: &Option<Value>| value.as_ref().map_or(Json::Null, values::encode_plain);
        let entry = json!({
            "actions": actions, "before": plain(&output.before), "after": plain(&output.after),
            "after_unknown": !known, "before_sensitive": output.sensitive, "after_sensitive": output.sensitive,
        });
        (name.to_string(), entry)
    });
    let drift = plan.changes.values().filter(|change| change.has_drifted()).map(|change| {
        let action = if change.before.is_null() { "delete" } else { "update" };
        let mut json = subject(change);
        json["change"] = values_of(&change.recorded, &change.before, &[action]);
        json
    });
    let mut json = json!({
        "format_version": "1.2",
        "terraform_version": TERRAFORM,
        "resource_drift": drift.collect::<Vec<_>>(),
        "resource_changes": plan.changes.values().map(|change| change_of(change, plan)).collect::<Vec<_>>(),
        "output_changes": outputs.collect::<Map<_, _>>(),
        "applyable": !plan.is_empty(),
        "complete": plan.deferred.is_empty(),
        "errored": false,
    });
    if !plan.deferred.is_empty() {
        json["deferred_changes"] = plan.deferred.iter().map(deferred).collect();
    }
    json
}

/// With the reasons of Terraform's `deferred_changes`.
fn deferred((resource, why): (&ResourceAddr, &Deferral)) -> Json {
    let reason = match why {
        Deferral::Unknown(_) => "instance_count_unknown",
        Deferral::Needs(_) => "deferred_prereq",
    };
    let mode = if resource.mode == Mode::Data { "data" } else { "managed" };
    let mut change =
        json!({ "address": resource.to_string(), "mode": mode, "type": &*resource.ty, "name": &*resource.name });
    if !resource.module.is_empty() {
        let calls = resource.module.iter().map(|call| format!("module.{call}"));
        change["module_address"] = calls.collect::<Vec<_>>().join(".").into();
    }
    json!({ "reason": reason, "resource_change": change })
}

fn subject(change: &Change) -> Json {
    let mut json = address(&change.addr);
    if !change.addr.module.is_root() {
        json["module_address"] = change.addr.module.to_string().into();
    }
    json["provider_name"] = change.provider.source.to_string().into();
    json
}

fn change_of(change: &Change, plan: &Plan) -> Json {
    let mut json = subject(change);
    // A data source is read anew, whatever it was.
    let nothing = Value::Null(change.before.ty());
    let before = if change.addr.mode == Mode::Data { &nothing } else { &change.before };
    json["change"] = values_of(before, &change.after, change.action.json());
    if !change.requires_replace.is_empty() {
        json["change"]["replace_paths"] = change.requires_replace.iter().map(steps).collect();
    }
    if let Some(adopted) = &change.adopted {
        json["change"]["importing"] = json!({ "id": adopted.id });
    }
    if let Some(from) = plan.moves.get(&change.addr) {
        json["previous_address"] = from.to_string().into();
    }
    // What this program knows besides.
    if let Some(preview) = change.preview() {
        json["preview"] = json!(preview);
    }
    json
}

fn values_of(before: &Value, after: &Value, actions: &[&str]) -> Json {
    let told = |value: &Value| {
        let json = values::encode_plain(&value.clone().unmark_deep().0);
        (json, if value.is_null() { false.into() } else { marks_of(value) })
    };
    let ((before, before_sensitive), (after_json, after_sensitive)) = (told(before), told(after));
    json!({
        "actions": actions,
        "before": before,
        "after": known(after, after_json),
        "after_unknown": if after.is_null() { false.into() } else { unknowns(after) },
        "before_sensitive": before_sensitive,
        "after_sensitive": after_sensitive,
    })
}

/// Without the attributes that are not known, which are in `after_unknown`.
fn known(value: &Value, json: Json) -> Json {
    match (value.as_entries(), json) {
        (Some(entries), Json::Object(mut object)) => {
            object.retain(|name, _| entries.get(name.as_str()).is_none_or(Value::is_known));
            let parts = object.into_iter().map(|(name, part)| match entries.get(name.as_str()) {
                Some(value) => (name, known(value, part)),
                None => (name, part),
            });
            Json::Object(parts.collect())
        }
        (None, Json::Array(parts)) => match value.as_items() {
            Some(items) if items.len() == parts.len() => {
                items.iter().zip(parts).map(|(item, part)| known(item, part)).collect()
            }
            _ => Json::Array(parts),
        },
        (_, json) => json,
    }
}

/// `true` where a value is unknown, in its shape.
fn unknowns(value: &Value) -> Json {
    match (value.is_known(), value.as_items(), value.as_entries()) {
        (false, ..) => true.into(),
        (true, Some(items), _) => items.iter().map(unknowns).collect(),
        (true, None, Some(entries)) => {
            let parts = entries.iter().map(|(name, part)| (name.to_string(), unknowns(part)));
            Json::Object(parts.filter(|(_, part)| *part != Json::Bool(false)).collect())
        }
        (true, None, None) => false.into(),
    }
}

/// `true` where a value is sensitive, in its shape; a collection that is not known is an empty one.
fn marks_of(value: &Value) -> Json {
    if value.marks().sensitive {
        return true.into();
    }
    let is_marked = |(name, part): (&std::sync::Arc<str>, &Value)| Some((name.to_string(), marks_of(part)));
    match (value.unmarked(), value.as_items(), value.as_entries()) {
        (_, Some(items), _) => items.iter().map(marks_of).collect(),
        (_, _, Some(entries)) => {
            let parts = entries.iter().filter_map(is_marked);
            Json::Object(parts.filter(|(_, part)| *part != Json::Bool(false)).collect())
        }
        (Value::Unknown(Ty::List(_) | Ty::Set(_) | Ty::Tuple(_), _), ..) => json!([]),
        (Value::Unknown(Ty::Map(_) | Ty::Object(_), _), ..) => json!({}),
        _ => false.into(),
    }
}

/// As `marks_of`, of what a state file has.
fn sensitive(json: &Json, paths: &[Path]) -> Json {
    let paths: Vec<&[Step]> = paths.iter().map(|path| path.0.as_slice()).collect();
    marked(json, &paths)
}

fn marked(json: &Json, paths: &[&[Step]]) -> Json {
    if paths.iter().any(|path| path.is_empty()) {
        return true.into();
    }
    let below = |is_meant: &dyn Fn(&Step) -> bool| -> Vec<&[Step]> {
        let split = paths.iter().filter_map(|path| path.split_first());
        split.filter(|(first, _)| is_meant(first)).map(|(_, rest)| rest).collect()
    };
    match json {
        Json::Object(entries) => {
            let parts = entries.iter().map(|(name, part)| {
                let is_meant = |step: &Step| matches!(step, Step::Attribute(key) | Step::Key(key) if **key == **name);
                (name.clone(), marked(part, &below(&is_meant)))
            });
            Json::Object(parts.filter(|(_, part)| *part != Json::Bool(false)).collect())
        }
        Json::Array(items) => {
            let parts = items.iter().enumerate();
            parts.map(|(index, part)| marked(part, &below(&|step| *step == Step::Index(index)))).collect()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false.into(),
    }
}

fn steps(path: &Path) -> Json {
    let steps = path.0.iter().map(|step| match step {
        Step::Attribute(name) | Step::Key(name) => Json::from(&**name),
        Step::Index(index) => (*index).into(),
    });
    steps.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_have_the_shape_of_the_value() {
        let value = json!({ "a": "x", "b": { "c": 1 }, "l": [{ "d": null }, { "d": 2 }], "n": null });
        let secret = Path::attribute("l").then(Step::Index(1)).then(Step::Attribute("d".into()));
        let expected = json!({ "a": true, "b": {}, "l": [{}, { "d": true }] });
        assert_eq!(sensitive(&value, &[Path::attribute("a"), secret]), expected);
        assert_eq!(sensitive(&value, &[Path::root()]), json!(true));
    }
}
