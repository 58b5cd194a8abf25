//! The resource types. To add one: a file here and a line in [`all`].

mod lamp_cluster;
mod lb_pool;
mod mongo_replset;
mod text;

use crate::resource::AnyResource;

/// In alphabetical order.
pub fn all() -> Vec<Box<dyn AnyResource>> {
    vec![Box::new(lamp_cluster::LampCluster), Box::new(lb_pool::LbPool), Box::new(mongo_replset::MongoReplset)]
}
