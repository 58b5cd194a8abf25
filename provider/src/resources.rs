//! The resource types. To add one: a file here and a line in [`all`].

mod health;
mod lamp_cluster;
mod lb_pool;
mod mongo_replset;
mod rollout;
mod text;

pub(crate) use health::silent_now;
pub(crate) use rollout::{need, refusals, remove as remove_machines, strays};

use crate::service::AnyResource;

/// In alphabetical order.
pub fn all() -> Vec<Box<dyn AnyResource>> {
    vec![Box::new(lamp_cluster::LampCluster), Box::new(lb_pool::LbPool), Box::new(mongo_replset::MongoReplset)]
}
