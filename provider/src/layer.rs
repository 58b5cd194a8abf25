//! What a layer of an application is: a resource that is made of machines.
//!
//! A layer's author writes the [`Layer`] trait; its whole life is the fleet's (`fleet`), written once for all. Unknown
//! values reach a model as `None`, and [`State::unknown`] says where they are.
//!
//! **Invariant:** a layer reaches machines only through a [`Driver`].

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use value::schema::Attribute;
use value::{Path, Problem, Ty};

use crate::bundle::Bundle;
use crate::context::Context;
use crate::driver::{CHANGED_BY_HAND, DEFAULT_SYSTEM, Driver, LayerId, MachineKey, OUT_OF_SPACE};
use crate::model;

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

/// A machine as users see it.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct MachineModel {
    pub id: u64,
    pub name: String,
    pub address: Option<String>,
    pub port: u16,
    pub status: String,
}

/// A machine of another layer, as somebody refers to it; parts may not be known yet.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Peer {
    pub id: Option<u64>,
    pub name: Option<String>,
    pub address: Option<String>,
    pub port: Option<u16>,
    pub status: Option<String>,
}

/// What a machine's status is when all is well.
pub const RUNNING: &str = "running";

impl MachineModel {
    /// Whether its services work, as far as is known; something else may be wrong with it.
    pub fn is_up(&self) -> bool {
        [RUNNING, CHANGED_BY_HAND, OUT_OF_SPACE].contains(&self.status.as_str())
    }
}

/// What `on_destroy` can be.
pub const KEEP: &str = "keep";
pub const DELETE: &str = "delete";

/// A layer: the common attributes and its own.
#[derive(Debug, Clone, PartialEq)]
pub struct State<M> {
    pub group: Group,
    pub own: M,
    /// Where it is not known yet; a model has `None` there, as for what is not set.
    pub unknown: Vec<Path>,
}

impl<M: Serialize + DeserializeOwned + Send + Sync> model::Model for State<M> {
    fn read(json: &Json, unknown: Vec<Path>) -> serde_json::Result<State<M>> {
        Ok(State { group: Group::deserialize(json)?, own: M::deserialize(json)?, unknown })
    }

    fn write(&self) -> serde_json::Result<Json> {
        let mut json = serde_json::to_value(&self.group)?;
        let own = serde_json::to_value(&self.own)?;
        if let (Json::Object(json), Json::Object(own)) = (&mut json, own) {
            json.extend(own);
        }
        Ok(json)
    }
}

impl<M> State<M> {
    /// Whether what is at a place will stay as it is: set, or not set.
    pub fn is_known(&self, at: &Path) -> bool {
        self.unknown.iter().all(|unknown| !at.starts_with(unknown))
    }
}

pub trait Layer: fmt::Debug + Send + Sync + 'static {
    const NAME: &'static str;
    /// The name of the layer where none is given.
    const DEFAULT_NAME: &'static str;
    const DOC: &'static str;
    /// Attributes whose change needs a new layer, besides `name` and `cloud`.
    const REPLACE: &'static [&'static str];
    /// Programs that have to be on a machine, each with the distribution's package that brings it.
    const PROGRAMS: &'static [(&'static str, &'static str)];
    /// Whether its machines have data that nobody could make anew. Then the layer has `on_destroy`.
    const HAS_DATA: bool = false;
    /// What a change of each attribute does that can be set, besides those in `REPLACE`.
    const EFFECTS: &'static [(&'static str, Effect)];
    /// What a machine does before it is taken away, for the plan.
    const LEAVING: &'static str;
    type Model: Serialize + DeserializeOwned + Clone + fmt::Debug + PartialEq + Send + Sync;

    /// Attributes besides the common ones.
    fn attributes() -> Vec<(&'static str, Attribute)>;

    /// Whatever can be said of a configuration alone, also of what other layers say in it. Asked again whenever more is
    /// known.
    fn validate(state: &State<Self::Model>) -> Vec<Problem>;

    /// How many machines there shall be; `None` if that is not known yet.
    fn wanted(own: &Self::Model) -> Option<u64>;

    fn port(own: &Self::Model) -> u16;

    /// The attribute that says the port.
    fn port_at() -> Path {
        Path::attribute("port")
    }

    /// How the services of a machine are asked whether they work, those that others wait for first.
    fn probes(own: &Self::Model, port: u16) -> Vec<Probe>;

    /// Size of the disk that each machine keeps its data on.
    fn disk_gb(_: &Self::Model) -> Option<u64> {
        None
    }

    /// What people call the data. Its daemons may be asked, for a short time.
    fn data(_: &Context, _: &State<Self::Model>) -> impl Future<Output = String> + Send {
        std::future::ready("its data".to_owned())
    }

    /// In a sentence, how a change in place leaves the application without the data that it had.
    fn data_change(_prior: &Self::Model, _planned: &Self::Model) -> Option<String> {
        None
    }

    /// Whether it has got as far as to have data.
    fn has_written(_: &Self::Model) -> bool {
        true
    }

    /// Who may come in, beyond the layers that refer to this one and ask for themselves.
    fn door(own: &Self::Model) -> Door;

    /// Folders whose files get onto the machines.
    fn sources(_: &Self::Model) -> Vec<String> {
        Vec::new()
    }

    /// The layer that this one connects to.
    fn upstream(_: &Self::Model) -> Option<Upstream> {
        None
    }

    /// Fills in defaults and what can be computed before anything is made; the prior state's computed attributes
    /// are in `planned` already. May refuse.
    fn plan(
        context: &Context,
        planned: &mut State<Self::Model>,
        prior: Option<&State<Self::Model>>,
    ) -> Result<(), Vec<Problem>>;

    /// In a few words what the layer is, for the plan.
    fn summary(context: &Context, planned: &State<Self::Model>) -> String;

    /// The bundle of every machine, in the order of the machines.
    fn bundles(context: &Context, state: &State<Self::Model>) -> Result<Vec<Bundle>, Vec<Problem>>;

    /// Makes it so. What was done is in `state` in the end, also when problems are returned.
    fn apply(
        context: &Context,
        prior: Option<State<Self::Model>>,
        state: &mut State<Self::Model>,
    ) -> impl Future<Output = Vec<Problem>> + Send;

    /// What can be told of a layer by looking at its machines; what cannot is null, and the next plan shows it as a
    /// change.
    fn imported(context: &Context, group: &Group) -> impl Future<Output = Result<Self::Model, Vec<Problem>>> + Send;

    /// Brings computed attributes to what is real, beyond the status of machines, which the frame reads.
    fn read(context: &Context, state: &mut State<Self::Model>) -> impl Future<Output = Vec<Problem>> + Send;
}

/// What a change of an attribute does to what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that runs is touched.
    Recorded,
    /// Machines are made or taken away; the others run on.
    Scales,
    /// Files change in place, and services read them again without losing a request.
    Reloads,
    /// Machines that are there stay as they are.
    NewMachines,
    /// Others are told another address of the machines.
    Addresses,
    /// Disks grow in place.
    Grows,
    /// The application is led to another database; the data of the old one stays where it is.
    AnotherDatabase,
    /// Only checked against what runs.
    Checked,
}

impl Effect {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Effect::Recorded => "in place: nothing that runs is touched",
            Effect::Scales => "in place: machines are made or taken away, the others run on",
            Effect::Reloads => "in place: files change, and services read them again without losing a request",
            Effect::NewMachines => "in place: holds for machines that are made from then on",
            Effect::Addresses => "in place: other layers are told another address",
            Effect::Grows => "in place: disks grow, and never shrink",
            Effect::AnotherDatabase => "in place: the application is led to another database; the old one's data stays",
            Effect::Checked => "in place: compared with what runs, and refused if it does not fit",
        }
    }
}

/// Those of the attributes that every layer has, besides `name` and `cloud`, which make a new layer.
pub const GROUP_EFFECTS: &[(&str, Effect)] = &[
    ("cpu", Effect::NewMachines),
    ("image", Effect::NewMachines),
    ("memory_gb", Effect::NewMachines),
    ("os", Effect::NewMachines),
    ("public", Effect::Addresses),
    ("size", Effect::NewMachines),
];

/// Those of the attributes that layers with data have.
pub const DATA_EFFECTS: &[(&str, Effect)] = &[("on_destroy", Effect::Recorded)];

/// How a service is asked whether it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub service: &'static str,
    pub question: Question,
    /// For how long a service that is busy may be silent; one that is silent for longer hangs.
    pub patience: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// By HTTP; any answer will do.
    Get { port: u16, path: String },
    /// A line to a unix socket on the machine.
    Line { socket: &'static str, line: &'static str },
    /// MongoDB's first command.
    Hello { port: u16 },
}

/// Who may come in at a layer's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Only who asks for it: layers that refer to this one.
    OnRequest,
    /// The layer's own machines, too.
    Siblings,
    World,
}

/// A layer that another one connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub layer: LayerId,
    pub cloud: String,
    /// Whether it is reached by its public addresses.
    pub is_public: bool,
    pub port: u16,
}

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

    pub fn machines(&self) -> &[MachineModel] {
        self.machines.as_deref().unwrap_or_default()
    }
}

/// Attributes of every layer, for the schema.
pub fn group_attributes() -> Vec<(&'static str, Attribute)> {
    let machine = machine_ty();
    vec![
        ("id", Attribute::computed(Ty::String, "scope and name of the layer; its machines carry both as tags")),
        (
            "name",
            Attribute::optional_computed(
                Ty::String,
                "the name of the layer: its machines are called name-1, name-2, ..; the name of the resource if not set",
            ),
        ),
        (
            "cloud",
            Attribute::optional_computed(
                Ty::String,
                "the cloud that the machines are on; the provider's default_cloud if not set",
            ),
        ),
        (
            "size",
            Attribute::optional(
                Ty::String,
                "the size of the machines by the cloud's own name, such as t3.small; the smallest with `cpu` and `memory_gb` if not set",
            ),
        ),
        ("cpu", Attribute::optional(Ty::Number, "how many processors a machine has at least").default(1)),
        ("memory_gb", Attribute::optional(Ty::Number, "how much memory a machine has at least, in GiB").default(1)),
        (
            "image",
            Attribute::optional(
                Ty::String,
                "the image of the machines by the cloud's own name or id; the newest of `os` if not set; \"bake\" makes one that has the layer's packages, once",
            ),
        ),
        (
            "os",
            Attribute::optional(Ty::String, "the operating system, such as debian-12 or ubuntu-24.04")
                .default(DEFAULT_SYSTEM),
        ),
        (
            "public",
            Attribute::optional(
                Ty::Bool,
                "whether others reach the machines by their public addresses, as layers on another cloud have to",
            )
            .default(false),
        ),
        ("machines", Attribute::computed(Ty::list(machine), "the machines, by id: id, name, address, port, status")),
        (
            "last_id",
            Attribute::computed(Ty::Number, "the highest machine id that was ever used; ids are never used again"),
        ),
        ("generation", Attribute::computed(Ty::String, "made anew with every object; its machines carry it")),
        ("bundles", Attribute::computed(Ty::map(Ty::String), "digest of the configuration bundle of every machine")),
        (
            "firewall",
            Attribute::computed(
                Ty::list(Ty::String),
                "the firewall rules that the layer has asked for; empty on a cloud without a firewall",
            ),
        ),
    ]
}

/// Attributes of layers that have data.
pub fn data_attributes() -> Vec<(&'static str, Attribute)> {
    vec![
        (
            "on_destroy",
            Attribute::optional_computed(
                Ty::String,
                "what becomes of the data when the layer is destroyed or replaced: \"keep\" leaves it on its disks, from where a layer of the same scope and name takes it up, \"delete\" deletes it; what was applied last counts",
            )
            .default(KEEP),
        ),
        (
            "restored_from",
            Attribute::computed(
                Ty::String,
                "the generations of this layer whose kept data it was made with, separated by commas; empty if it was made empty",
            ),
        ),
    ]
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
