//! What a layer of an application is: a resource that is made of machines.
//!
//! A layer's author writes the [`Layer`] trait; its whole life is the fleet's (`fleet`), written once for all. Unknown
//! values reach a model as `None`, and [`State::unknown`] says where they are.
//!
//! **Invariant:** a layer reaches machines only through a [`Driver`].

mod group;
mod node;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use value::{Path, Problem};

use crate::bundle::{Bundle, Program, Service};
use crate::context::{Context, Edge};
use crate::driver::{Archive, CHANGED_BY_HAND, Driver, LayerId, MachineKey, OTHER_SIZE, OUT_OF_SPACE};
use crate::field::Field;
use crate::model;
pub use group::{DELETE, Group, KEEP, data_fields, group_fields, machine_ty, name};
pub use node::{Node, POLL};

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
/// It runs, and its last change did not succeed: it may do no work.
pub const UNFINISHED: &str = "unfinished";

impl MachineModel {
    /// Whether its services work, as far as is known; something else may be wrong with it.
    pub fn is_up(&self) -> bool {
        [RUNNING, UNFINISHED, CHANGED_BY_HAND, OUT_OF_SPACE, OTHER_SIZE].contains(&self.status.as_str())
    }
}

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

pub trait Layer: fmt::Debug + Sized + Send + Sync + 'static {
    const NAME: &'static str;
    /// The name of the layer where none is given.
    const DEFAULT_NAME: &'static str;
    const DOC: &'static str;
    /// Programs that have to be on a machine.
    const PROGRAMS: &'static [Program];
    /// Whether its machines have data that nobody could make anew. Then the layer has `on_destroy`.
    const HAS_DATA: bool = false;
    /// What a machine does before it is taken away, for the plan.
    const LEAVING: &'static str = "its services are stopped";
    const ROLLOUT: Rollout;
    /// Its attributes that can be told by looking at its machines ([`Layer::imported`]), for other stacks.
    const FOUND: &'static [&'static str] = &[];
    /// Those that other stacks have to say, as its own stack does.
    const SOUGHT: &'static [&'static str] = &[];
    type Model: Serialize + DeserializeOwned + Clone + fmt::Debug + PartialEq + Send + Sync + 'static;

    /// The attributes besides those of every layer.
    fn fields() -> Vec<Field>;

    /// Whatever can be said of a configuration alone beyond the fields' checks, also of what other layers say in it. Asked
    /// again whenever more is known.
    fn validate(_: &State<Self::Model>) -> Vec<Problem> {
        Vec::new()
    }

    /// How many machines there shall be; `None` if that is not known yet.
    fn wanted(own: &Self::Model) -> Option<u64>;

    fn port(own: &Self::Model) -> u16;

    /// The attribute that says the port.
    fn port_at() -> Path {
        Path::attribute("port")
    }

    /// How the services of a machine are asked whether they work, those that others wait for first.
    fn probes(_: &Self::Model, _port: u16) -> Vec<Probe> {
        Vec::new()
    }

    /// Size of the disk that each machine keeps its data on.
    fn disk_gb(_: &Self::Model) -> Option<u64> {
        None
    }

    /// Where a machine whose image lacks a program gets it from, instead of the distribution's packages.
    fn archives(_: &Self::Model) -> Vec<Archive> {
        Vec::new()
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
    fn door(_: &Self::Model) -> Door {
        Door::OnRequest
    }

    /// Folders whose files get onto the machines.
    fn sources(_: &Self::Model) -> Vec<String> {
        Vec::new()
    }

    /// The layers that this one connects to, as far as they are known.
    fn references(_: &Self::Model) -> Vec<Reference> {
        Vec::new()
    }

    /// Whether the cloud makes the layer, and it has no machines of its own.
    fn is_managed(_: &Self::Model) -> bool {
        false
    }

    /// What follows from the rest, as far as that is known. The prior state's computed attributes are in it already.
    fn computed(_: &mut State<Self::Model>, _prior: Option<&State<Self::Model>>) {}

    /// What can be said before anything is made; defaults are filled in. May refuse.
    fn plan(_: &Context, _: &mut State<Self::Model>, _prior: Option<&State<Self::Model>>) -> Result<(), Vec<Problem>> {
        Ok(())
    }

    /// In a few words what the layer is, for the plan.
    fn summary(_: &Context, planned: &State<Self::Model>) -> String {
        Self::wanted(&planned.own).map(|machines| format!("{machines} machines")).unwrap_or_default()
    }

    /// The bundle of every machine, in the order of the machines.
    fn bundles(context: &Context, state: &State<Self::Model>) -> Result<Vec<Bundle>, Vec<Problem>>;

    /// What has to be there before any machine is touched. They exist by then.
    fn prepare(_: &Context, _: &mut State<Self::Model>) -> impl Future<Output = Result<(), Vec<Problem>>> + Send {
        async { Ok(()) }
    }

    /// Some machines hang and are about to be ended: others may take their work over first.
    fn before_end(_: &Context, _: &State<Self::Model>, _hung: &[u64]) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// A machine of which nothing runs is about to be started.
    fn before_start(_: &Node<Self>) -> impl Future<Output = Result<(), Problem>> + Send {
        async { Ok(()) }
    }

    /// Has running services take up files that have changed, without losing a request.
    fn take_up(node: &Node<Self>, services: &[Service]) -> impl Future<Output = Result<(), Problem>> + Send {
        async move { node.signal(services).await }
    }

    /// Waits until a machine whose services were started, or have taken something up, does its work.
    fn ready(node: &Node<Self>, began: Began) -> impl Future<Output = Result<(), Problem>> + Send;

    /// A running machine lets its work go; others take it over. Ends after a deadline of its own. Where nobody could take it
    /// over, it fails, and the machine goes on.
    fn leave(_: &Node<Self>, _until: Until) -> impl Future<Output = Result<(), Problem>> + Send {
        async { Ok(()) }
    }

    /// Whether a running machine has left and is not back: in an apply that was cut off or failed.
    fn is_away(_: &dyn Driver, _: &MachineKey) -> impl Future<Output = bool> + Send {
        async { false }
    }

    /// A machine that is ready takes work. If it has left for this change, others may still believe that it is away.
    fn rejoin(_: &Node<Self>) -> impl Future<Output = Result<(), Problem>> + Send {
        async { Ok(()) }
    }

    /// All machines work: what they are together, and what the layer is beside them, is made so. Those that leave run
    /// still, and are removed next.
    fn join(
        _: &Context,
        _prior: Option<&State<Self::Model>>,
        _: &mut State<Self::Model>,
        _leaving: &[MachineModel],
    ) -> impl Future<Output = Result<(), Vec<Problem>>> + Send {
        async { Ok(()) }
    }

    /// What can be told of a layer by looking at its machines; what cannot is null, and the next plan shows it as a
    /// change.
    fn imported(_: &Context, _: &Group) -> impl Future<Output = Result<Self::Model, Vec<Problem>>> + Send {
        let detail = format!("Layers of the type {} cannot be imported.", Self::NAME);
        std::future::ready(Err(vec![Problem::error("import is not supported", detail)]))
    }

    /// Brings computed attributes to what is real, beyond the status of machines, which the frame reads.
    fn read(_: &Context, _: &mut State<Self::Model>) -> impl Future<Output = Vec<Problem>> + Send {
        async { Vec::new() }
    }
}

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
    /// Some bytes, by TCP; any answer will do. `name` says what they mean.
    Bytes { port: u16, name: &'static str, bytes: Vec<u8> },
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

/// Another layer, as one refers to it: an object with `id`, `cloud`, `public` and `machines`, some of which may not be
/// known yet, or not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The attribute that has it.
    pub at: &'static str,
    pub id: Option<String>,
    pub cloud: Option<String>,
    pub is_public: bool,
    pub port: Option<u16>,
}

impl Reference {
    pub fn edge(&self) -> Option<Edge> {
        Some(Edge {
            layer: LayerId::of_id(self.id.as_deref()?),
            cloud: self.cloud.clone()?,
            is_public: self.is_public,
            port: self.port?,
        })
    }
}

/// How a change gets to the machines that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    pub at_once: AtOnce,
    /// How long a machine may take until it does its work.
    pub ready_within: Duration,
    /// What is said of one that was started.
    pub started: &'static str,
}

/// How many of the machines that run are changed at the same time. The next ones begin when these are ready; if one does
/// not become so, the others stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtOnce {
    One,
    /// One of so many, and at least one.
    OneOf(usize),
}

impl AtOnce {
    pub fn of(self, machines: usize) -> usize {
        match self {
            AtOnce::One => 1,
            AtOnce::OneOf(share) => (machines / share).max(1),
        }
    }
}

/// What was done to a machine before it is asked whether it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Began {
    /// Its services were started.
    Started,
    /// Services of it were stopped and started.
    Restarted,
    /// Running services have taken files up, perhaps in a run that was cut off.
    TookUp,
    /// It was seen to work with the same files before.
    Nothing,
}

/// For how long a machine leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It has changed.
    Changed,
    /// It is removed next.
    Removed,
}
