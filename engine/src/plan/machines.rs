//! The machines of a plan with their files, as a provider tells that only simulates: all of them, also those that do not
//! change.

use std::collections::BTreeMap;

use proto::preview::{Machine, Preview};

use super::{Change, Plan};

/// The machines of one resource that are to be.
#[derive(Debug, Clone)]
pub struct Layer {
    pub resource: String,
    pub name: String,
    pub cloud: String,
    /// Has the machines, and what their files contain.
    pub preview: Preview,
}

impl Layer {
    /// One without files goes.
    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.preview.machines.iter().filter(|machine| machine.files.iter().any(|file| file.after.is_some()))
    }

    /// Whether a machine is there already.
    pub fn exists(&self, machine: &Machine) -> bool {
        self.preview.layers.iter().any(|layer| layer.before.contains(&machine.name))
    }
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
        for machine in layer.machines() {
            if let Some(first) = owners.insert(&machine.name, &layer.resource) {
                let (machine, second) = (machine.name.clone(), layer.resource.clone());
                return Err(SameName { machine, first: first.to_owned(), second });
            }
        }
    }
    Ok(layers)
}

fn layer(change: &Change) -> Option<Layer> {
    let preview = change.preview()?;
    let (name, cloud) = preview.layers.last().map(|layer| (layer.name.clone(), layer.cloud.clone()))?;
    let layer = Layer { resource: change.addr.to_string(), name, cloud, preview };
    let has_machines = layer.machines().next().is_some();
    has_machines.then_some(layer)
}
