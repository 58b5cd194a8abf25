//! The attributes that every layer has.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use value::{Problem, Ty};

use super::MachineModel;
use crate::context::Context;
use crate::driver::{DEFAULT_SYSTEM, Driver, LayerId, MachineKey};
use crate::field::{Change, Field};

/// The attributes that every layer has.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct Group {
    pub id: Option<String>,
    pub name: Option<String>,
    pub cloud: Option<String>,
    pub size: Option<String>,
    pub cpu: Option<u64>,
    pub memory_gb: Option<u64>,
    pub image: Option<String>,
    pub os: Option<String>,
    pub public: Option<bool>,
    pub machines: Option<Vec<MachineModel>>,
    /// Empty on a cloud without sizes.
    pub machine_size: Option<String>,
    /// The highest id that was ever given out.
    pub last_id: Option<u64>,
    /// Made anew with every object: machines carry it, so that removing an object never removes what its successor
    /// has taken over.
    pub generation: Option<String>,
    /// Digest of the bundle of every machine, by machine name.
    pub bundles: Option<BTreeMap<String, Option<String>>>,
    /// The firewall rules that this layer asked for, and those at its door that nobody asked for.
    pub firewall: Option<Vec<String>>,
    /// What becomes of the data when the layer goes, `keep` or `delete`. Only of layers that have data, as the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_destroy: Option<String>,
    /// The objects whose kept data the layer was made with, separated by commas; empty if it was made empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
}

/// What `on_destroy` can be.
pub const KEEP: &str = "keep";
pub const DELETE: &str = "delete";

impl Group {
    /// The layer that the machines belong to. The scope is that of the layer's creation, which its id keeps.
    pub fn layer(&self) -> LayerId {
        LayerId::of_id(self.id.as_deref().unwrap_or_default())
    }

    pub fn key(&self, id: u64) -> MachineKey {
        MachineKey { layer: self.layer(), id }
    }

    /// The cloud that its machines are on.
    pub fn driver<'c>(&self, context: &'c Context) -> Result<&'c Arc<dyn Driver>, Vec<Problem>> {
        context.cloud(self.cloud.as_deref().unwrap_or(&context.default_cloud))
    }

    /// Whether the data stays when the layer goes; so unless somebody has said otherwise.
    pub fn keeps_data(&self) -> bool {
        self.on_destroy.as_deref() != Some(DELETE)
    }

    /// What its machines shall have; none on a cloud without sizes, or if it is not known.
    pub fn size_to_have(&self) -> Option<&str> {
        self.machine_size.as_deref().filter(|size| !size.is_empty())
    }

    pub fn machines(&self) -> &[MachineModel] {
        self.machines.as_deref().unwrap_or_default()
    }
}

/// The fields of every layer.
pub fn group_fields() -> Vec<Field> {
    vec![
        Field::computed("id", Ty::String, "scope and name of the layer; its machines carry both as tags"),
        Field::settled(
            "name",
            Ty::String,
            "the name of the layer: its machines are called name-1, name-2, ..; the name of the resource if not set",
        )
        .text(name)
        .change(Change::Replaces),
        Field::settled(
            "cloud",
            Ty::String,
            "the cloud that the machines are on; the provider's default_cloud if not set",
        )
        .change(Change::Replaces),
        Field::optional(
            "size",
            Ty::String,
            "the size of the machines by the cloud's own name, such as t3.small; the smallest with `cpu` and `memory_gb` if not set",
        )
        .change(Change::Resizes),
        Field::optional("cpu", Ty::Number, "how many processors a machine has at least")
            .default(1)
            .change(Change::Resizes),
        Field::optional("memory_gb", Ty::Number, "how much memory a machine has at least, in GiB")
            .default(1)
            .change(Change::Resizes),
        Field::optional(
            "image",
            Ty::String,
            "the image of the machines by the cloud's own name or id; the newest of `os` if not set; \"bake\" makes one that has the layer's packages, once",
        )
        .change(Change::NewMachines),
        Field::optional("os", Ty::String, "the operating system, such as debian-12 or ubuntu-24.04")
            .default(DEFAULT_SYSTEM)
            .change(Change::NewMachines),
        Field::optional(
            "public",
            Ty::Bool,
            "whether others reach the machines by their public addresses, as layers on another cloud have to",
        )
        .default(false)
        .change(Change::Addresses),
        Field::computed("machines", Ty::list(machine_ty()), "the machines, by id: id, name, address, port, status"),
        Field::computed(
            "machine_size",
            Ty::String,
            "the size of all machines, by the cloud's own name, as it was settled when `size`, `cpu` and `memory_gb` were last changed; empty on a cloud without sizes",
        ),
        Field::computed("last_id", Ty::Number, "the highest machine id that was ever used; ids are never used again"),
        Field::computed("generation", Ty::String, "made anew with every object; its machines carry it"),
        Field::computed("bundles", Ty::map(Ty::String), "digest of the configuration bundle of every machine"),
        Field::computed(
            "firewall",
            Ty::list(Ty::String),
            "the firewall rules that the layer has asked for; empty on a cloud without a firewall",
        ),
    ]
}

/// The fields of layers that have data.
pub fn data_fields() -> Vec<Field> {
    vec![
        Field::settled(
            "on_destroy",
            Ty::String,
            "what becomes of the data when the layer is destroyed or replaced: \"keep\" leaves it on its disks, from where a layer of the same scope and name takes it up, \"delete\" deletes it; what was applied last counts",
        )
        .default(KEEP)
        .one_of(&[KEEP, DELETE])
        .change(Change::Recorded),
        Field::computed(
            "restored_from",
            Ty::String,
            "the generations of this layer whose kept data it was made with, separated by commas; empty if it was made empty",
        ),
    ]
}

/// What can be the name of a layer.
pub fn name(name: &str) -> Option<String> {
    let fits = (1..=40).contains(&name.len())
        && name.starts_with(|ch: char| ch.is_ascii_lowercase())
        && name.chars().all(|ch| ch.is_ascii_lowercase() || ch.is_ascii_digit() || ch == '-');
    (!fits).then(|| {
        format!("{name:?} cannot be the name of a layer: it begins with a small letter and has up to 40 small letters, digits and hyphens, since machines and host names are made of it.")
    })
}

pub fn machine_ty() -> Ty {
    Ty::object([
        ("id", Ty::Number),
        ("name", Ty::String),
        ("address", Ty::String),
        ("port", Ty::Number),
        ("status", Ty::String),
    ])
}
