//! The machines of a plan with their files, as a provider tells that only simulates: all of them, also those that do not
//! change.

use std::collections::BTreeMap;

use proto::preview::{Preview, Service, Version};
use value::Value;

use super::{Change, Plan};

/// The machines of one resource.
#[derive(Debug, Clone)]
pub struct Layer {
    pub resource: String,
    pub name: String,
    pub cloud: String,
    pub machines: Vec<Machine>,
    /// Has what the files contain.
    pub preview: Preview,
}

#[derive(Debug, Clone)]
pub struct Machine {
    pub name: String,
    /// Where the others reach it; of a machine that does not exist a stand-in.
    pub address: Option<String>,
    /// Whether it is there already.
    pub exists: bool,
    pub root: String,
    pub folders: Vec<String>,
    pub files: Vec<File>,
    pub services: Vec<Service>,
    /// A file holds a value that is known after apply only.
    pub has_unknowns: bool,
}

#[derive(Debug, Clone)]
pub struct File {
    pub path: String,
    pub version: Version,
}

/// Two layers whose machines have the same names: they are told apart by scopes, on clouds or by providers of their own,
/// and a folder for each machine cannot tell them apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{first} and {second} both have a machine {machine}; give one of the layers another `name`")]
pub struct SameName {
    pub machine: String,
    pub first: String,
    pub second: String,
}

/// In the order of the resources' addresses.
pub fn layers(plan: &Plan) -> Result<Vec<Layer>, SameName> {
    let layers: Vec<Layer> = plan.changes.values().filter_map(layer).collect();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for layer in &layers {
        for machine in &layer.machines {
            if let Some(first) = owners.insert(&machine.name, &layer.resource) {
                let (machine, second) = (machine.name.clone(), layer.resource.clone());
                return Err(SameName { machine, first: first.to_owned(), second });
            }
        }
    }
    Ok(layers)
}

fn layer(change: &Change) -> Option<Layer> {
    let mut preview = change.preview()?;
    let text = |name: &str| change.after.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (before, after) = (by_name(&change.before), by_name(&change.after));
    let machines = std::mem::take(&mut preview.machines).into_iter().filter_map(|machine| {
        let proto::preview::Machine { name, root, folders, files, services, has_unknowns } = machine;
        let files = files.into_iter();
        let files: Vec<File> = files.filter_map(|file| Some(File { path: file.path, version: file.after? })).collect();
        let address = after.get(&*name).and_then(|value| value.get("address")?.as_str().map(str::to_owned));
        let exists = before.contains_key(&*name);
        // One without files goes.
        (!files.is_empty()).then_some(Machine { name, address, exists, root, folders, files, services, has_unknowns })
    });
    let machines: Vec<Machine> = machines.collect();
    let resource = change.addr.to_string();
    (!machines.is_empty()).then(|| Layer { resource, name: text("name"), cloud: text("cloud"), machines, preview })
}

fn by_name(object: &Value) -> BTreeMap<&str, &Value> {
    let machines = object.get("machines").and_then(Value::as_items).unwrap_or_default();
    machines.iter().filter_map(|machine| Some((machine.get("name")?.as_str()?, machine))).collect()
}
