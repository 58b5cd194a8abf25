//! What `show -json` prints, in Terraform's form ("JSON Output Format"): a state (format 1.0), and in `plan` a plan (format 1.2).
//!
//! A state is shown without its providers, whose schemas Terraform needs for it: an attribute of any type stands as the state file
//! has it, with its type.

mod configuration;
mod plan;

use std::collections::BTreeMap;

use compiler::addr::{InstanceAddr, Key, Mode, ModulePath};
use engine::state::{InstanceState, State};
use serde_json::{Map, Value as Json, json};
use value::codec::json as values;
use value::{Path, Step};

pub(crate) use plan::plan;

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
