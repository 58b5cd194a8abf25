//! What a replica set's data is called, who may use it, and what is needed to go on with data that an earlier set has left.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use value::Problem;

use super::admin::{APPLICATION, Admin};
use super::{Model, MongoReplset, adopted};
use crate::context::Context;
use crate::driver::Driver;
use crate::layer::{Layer, State};

/// A plan does not wait longer for a database to tell its name.
const PATIENCE: Duration = Duration::from_secs(2);
/// MongoDB's own.
pub(super) const INTERNAL: &[&str] = &["admin", "config", "local"];

/// All databases of the set, or, if it cannot be asked, the application's.
pub(super) async fn databases(context: &Context, state: &State<Model>) -> String {
    let asked = match super::admin(context, state) {
        Some(admin) => tokio::time::timeout(PATIENCE, admin.databases()).await.ok().flatten(),
        None => None,
    };
    let own = state.own.database.clone().unwrap_or_default();
    let names = asked.filter(|names| !names.is_empty()).unwrap_or_else(|| vec![own]);
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("database{} {}", if names.len() == 1 { "" } else { "s" }, quoted.join(", "))
}

impl Admin {
    async fn databases(&self) -> Option<Vec<String>> {
        let command = doc! { "listDatabases": 1, "nameOnly": true };
        let answer = self.on_primary("Asking for the databases", command).await.ok()?;
        let names = answer.get_array("databases").ok()?.iter().filter_map(Bson::as_document);
        let names = names.filter_map(|database: &Document| database.get_str("name").ok());
        Some(names.filter(|name| !INTERNAL.contains(name)).map(str::to_owned).collect())
    }

    /// Lets the application's user into a database. What it may do elsewhere stays: nodes that are not changed yet work on.
    pub(super) async fn grant(&self, database: &str) -> Result<(), Problem> {
        let command = doc! {
            "grantRolesToUser": APPLICATION,
            "roles": [{ "role": "readWrite", "db": database }],
            "writeConcern": { "w": "majority", "wtimeout": 20_000 },
        };
        self.on_primary("Letting the application's user into its database", command).await.map(drop)
    }
}

/// Data without the credentials that open it is never begun anew, nor is that of a set with another name: mongod would
/// not start with it.
pub(super) async fn refuse_closed(driver: &dyn Driver, state: &State<Model>) -> Result<(), Problem> {
    let mut data = Vec::new();
    for machine in state.group.machines() {
        let found = driver.read(&state.group.key(machine.id), "data/WiredTiger").await;
        if matches!(found, Ok(Some(_))) {
            data.push(machine.name.as_str());
        }
    }
    if data.is_empty() || adopted(driver, state).await.is_some() {
        return Ok(());
    }
    let detail = format!(
        "There is data on {}, and no file data/credentials.json that would open it. Put the file there, or give the layer another `name`. Nothing was started.",
        data.join(", ")
    );
    Err(Problem::error("the data cannot be opened", detail))
}

/// The name of the replica set is on the disks, too.
pub(super) fn refuse_new_set_name(context: &Context, prior: &State<Model>, planned: &Model) -> Result<(), Problem> {
    let is_changed = planned.replica_set.is_some()
        && prior.own.replica_set.is_some()
        && planned.replica_set != prior.own.replica_set;
    let is_kept = !context.is_test && prior.group.keeps_data() && MongoReplset::has_written(&prior.own);
    if !is_changed || !is_kept {
        return Ok(());
    }
    let detail = "The replica set's name is written on its disks, which are kept: a set with another name could not go on with them. Give the layer another `name`, too, to make an empty one; or apply `on_destroy = \"delete\"` first, which lets go of the data.";
    Err(super::invalid("replica_set", detail.to_owned()))
}

/// A change of `database` in place.
pub(super) fn change_of_database(prior: &Model, planned: &Model) -> Option<String> {
    let (old, new) = (prior.database.as_deref()?, planned.database.as_deref()?);
    (old != new).then(|| {
        format!(
            "the application gets database {new:?}, which is EMPTY if it was not there before; {old:?} STAYS BEHIND in the same replica set with all its data, and its user may still use it"
        )
    })
}
