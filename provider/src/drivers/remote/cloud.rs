//! What the API of a cloud must do for machines that are worked on by SSH. Everything above it is the same for all.
//!
//! A cloud keeps no record of ours: what belongs to a layer is found by its tags, before anything is made, so that an
//! answer that was lost never makes a twin.

use std::fmt;
use std::net::IpAddr;

use crate::driver::{
    Admitted, Balancers, BoxFuture, Disks, DriverError, Ingress, Kept, LayerId, MachineKey, Need, Offer, Order, Result,
    timestamp,
};

/// A machine as the API tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) key: MachineKey,
    /// The cloud's own id.
    pub(crate) id: String,
    /// When it was made, in a form that sorts; of two with one key the older is the one that is meant.
    pub(crate) created: String,
    /// None until the cloud has given one.
    pub(crate) address: Option<IpAddr>,
    pub(crate) public_address: Option<IpAddr>,
    pub(crate) power: Power,
    pub(crate) owner: Option<String>,
    /// Filled in above the cloud: whether another stack's key made it.
    pub(crate) is_foreign: bool,
    /// The first id of the machines that were made by the same call, and so with the same user-data.
    pub(crate) batch: u64,
    /// Where its disk has to be, on a cloud where that matters.
    pub(crate) zone: Option<String>,
    /// Whether it has a data disk.
    pub(crate) disk: bool,
    /// Whether its data disk is attached; true for a machine that has none.
    pub(crate) has_its_disk: bool,
    /// By the cloud's own name.
    pub(crate) size: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Power {
    /// On its way: it will run, or fail.
    Pending,
    Running,
    Off,
    /// The cloud could not make it.
    Failed(String),
}

/// Makes the user-data for machines that one call makes; for a single one it can be its own.
pub(crate) type UserData<'a> = &'a (dyn Fn(&[u64], DiskHint) -> Vec<u8> + Send + Sync);

/// What is known of the data disk when the machine is ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DiskHint {
    None,
    /// There will be one, whose id the cloud makes together with the machine.
    Any,
    /// A part of the name under which the machine finds it.
    Id(String),
}

/// What a golden image is baked upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foundation {
    /// The image, as people know it.
    pub(crate) image: String,
    /// Differs wherever an image that is baked upon one would be of no use for the other.
    pub(crate) digest: String,
}

/// An image of ours, as the API tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Golden {
    /// The cloud's own id.
    pub(crate) id: String,
    pub(crate) state: GoldenState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GoldenState {
    Pending,
    Ready,
    /// The cloud could not make it.
    Failed(String),
}

/// What a machine was given back, as far as the machine has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mended {
    /// All that is its own.
    Own,
    /// A disk that is new and empty.
    EmptyDisk,
}

/// What a launch has made, and why it did not make all.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) failure: Option<DriverError>,
}

/// The tag of a disk that is kept, `SINCE OWNER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptTag {
    pub(crate) since: String,
    pub(crate) owner: String,
}

impl KeptTag {
    pub(crate) fn now(owner: &str) -> String {
        format!("{} {owner}", timestamp())
    }

    pub(crate) fn parse(text: &str) -> KeptTag {
        let (since, owner) = text.split_once(' ').unwrap_or((text, ""));
        KeptTag { since: since.to_owned(), owner: owner.to_owned() }
    }
}

pub(crate) trait Cloud: fmt::Debug + Send + Sync {
    /// See [`Driver::network`](crate::driver::Driver::network).
    fn network(&self) -> Option<String> {
        None
    }

    /// See [`Driver::keeps_public_addresses`](crate::driver::Driver::keeps_public_addresses).
    fn keeps_public_addresses(&self) -> bool {
        true
    }

    fn offer<'a>(&'a self, need: &'a Need) -> BoxFuture<'a, Result<Offer>>;

    /// The machines of a layer that exist, by id.
    fn instances<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Instance>>>;

    /// Makes machines that do not exist: none of `order.ids` is there. May return before they run.
    fn launch<'a>(&'a self, order: &'a Order, user_data: UserData<'a>) -> BoxFuture<'a, Launched>;

    /// Writes down a new owner.
    fn give<'a>(&'a self, instances: &'a [Instance], owner: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Power, disk: what the API can give back to a machine that lost it. May return before it runs.
    fn mend<'a>(&'a self, instance: &'a Instance, order: &'a Order) -> BoxFuture<'a, Result<Mended>>;

    /// Removes machines; done when all are gone. Their data disks are deleted, or get a tag that says whose they were.
    fn terminate<'a>(&'a self, instances: &'a [Instance], disks: &'a Disks) -> BoxFuture<'a, Result<()>>;

    /// Removes what the layer has besides machines. Disks that have lost their machines are treated as `disks` says;
    /// what is kept stays.
    fn dissolve<'a>(&'a self, layer: &'a LayerId, disks: &'a Disks) -> BoxFuture<'a, Result<()>>;

    /// The disks of a layer that have the tag of what is kept, and hang on nothing.
    fn kept<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Kept>>>;

    fn keeps_at(&self, layer: &LayerId) -> String;

    fn foundation<'a>(&'a self, need: &'a Need) -> BoxFuture<'a, Result<Foundation>>;

    /// The image of ours with a name, if it is there.
    fn golden<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Golden>>>;

    /// Asks for an image of a machine that is off. One that has the name already is left as it is.
    fn keep<'a>(&'a self, instance: &'a Instance, name: &'a str) -> BoxFuture<'a, Result<()>>;

    fn discard<'a>(&'a self, golden: &'a Golden) -> BoxFuture<'a, Result<()>>;

    /// Whether there is such a size; an error if not.
    fn check_size<'a>(&'a self, size: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Gives a machine that is off another size; it is off then.
    fn set_size<'a>(&'a self, instance: &'a Instance, size: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Switches a machine off; may return before it is.
    fn power_off<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<()>>;

    /// Those of the cloud itself.
    fn balancers(&self) -> Option<&dyn Balancers>;

    fn admit<'a>(&'a self, to: &'a LayerId, by: &'a str, rules: &'a [Ingress]) -> BoxFuture<'a, Result<()>>;

    fn admitted<'a>(&'a self, to: &'a LayerId) -> BoxFuture<'a, Result<Vec<Admitted>>>;

    fn expel_unknown<'a>(&'a self, to: &'a LayerId) -> BoxFuture<'a, Result<()>>;
}
