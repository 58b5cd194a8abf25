//! Changes that a replica set does not survive, and versions that are not there.

use value::{Path, Problem};

use super::{MAX_VOTERS, invalid};
use crate::context::Context;
use crate::fleet;
use crate::layer::{Group, MachineModel};

/// Members that are well and stay must be a majority of what the set will be, or writes would stop.
pub(super) fn refuse_loss_of_majority(prior: &Group, planned: &Group) -> Result<(), Vec<Problem>> {
    let leaving = fleet::leaving(prior.machines(), planned.machines());
    if leaving.is_empty() {
        return Ok(());
    }
    let stays = |machine: &&MachineModel| planned.machines().iter().any(|new| new.id == machine.id);
    let voters = prior.machines().len().min(MAX_VOTERS);
    let well = prior.machines().iter().filter(|machine| machine.is_up()).count();
    let well_and_staying = prior.machines().iter().filter(stays).filter(|machine| machine.is_up()).count();
    let new_voters = planned.machines().len().clamp(1, MAX_VOTERS);
    let down: Vec<&str> =
        prior.machines().iter().filter(|machine| !machine.is_up()).map(|machine| machine.name.as_str()).collect();
    if down.is_empty() || (well > voters / 2 && well_and_staying > new_voters / 2) {
        return Ok(());
    }
    let detail = format!(
        "{} {} down; {well} of {voters} voters are left, and taking {} away would leave the set without a majority: writes would stop. Apply first without the change of `members` to repair {}, then change it. Nothing was changed.",
        down.join(", "),
        if down.len() == 1 { "is" } else { "are" },
        leaving.iter().map(|machine| machine.name.as_str()).collect::<Vec<_>>().join(", "),
        down.join(", "),
    );
    Err(vec![
        Problem::error("this change would lose the majority of the replica set", detail).at(Path::attribute("members")),
    ])
}

/// A set knows its members by their addresses: those that come back with others, one after the other, are no majority.
pub(super) fn refuse_new_addresses(context: &Context, prior: &Group, planned: &Group) -> Result<(), Vec<Problem>> {
    let is_kept = |machine: &&MachineModel| planned.machines().iter().any(|new| new.id == machine.id);
    let is_resized = prior.size_to_have().zip(planned.size_to_have()).is_some_and(|(before, after)| before != after);
    let keeps = planned.public != Some(true) || planned.driver(context)?.keeps_public_addresses();
    if !is_resized || keeps || !prior.machines().iter().any(|machine| is_kept(&machine)) {
        return Ok(());
    }
    let detail = "Members of a public replica set have other addresses after they were stopped, and the others would not find them. Leave the size as it is, or `public` away.";
    Err(vec![invalid("size", detail.to_owned())])
}

/// A plan refuses it where members run, and an apply where they are new.
pub(super) fn refuse_version(wanted: &str, found: &str) -> Result<(), Problem> {
    if found == wanted || found.starts_with(&format!("{wanted}.")) {
        return Ok(());
    }
    let detail = format!(
        "mongod {found} is installed, and version {wanted} is required. Install that one, or change `version`. On a cloud, leave `version` away, give the layer another `image` or `archive`, and make its machines anew, one after the other: `lampwright scale LAYER=+0 -remove MACHINE`."
    );
    Err(invalid("version", detail))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};
    use value::Value;

    use super::*;
    use crate::service::Service;

    /// On the fake cloud, whose public addresses change when a machine is stopped.
    fn context() -> Context {
        let service = Service::new();
        let cloud = Value::object([("driver", Value::string("memory"))]);
        let config = Value::object([
            ("scope", Value::string("t")),
            ("default_cloud", Value::string("c")),
            ("cloud", Value::object([("c", cloud)])),
        ]);
        assert!(service.configure(&config).is_empty());
        service.context(None).unwrap()
    }

    fn set(size: &str, is_public: bool, ids: &[u64]) -> Group {
        let machine = |id: &u64| json!({ "id": id, "name": format!("db-{id}"), "port": 1, "status": "running" });
        let machines: Vec<Json> = ids.iter().map(machine).collect();
        let group = json!({ "cloud": "c", "machine_size": size, "public": is_public, "machines": machines });
        serde_json::from_value(group).unwrap()
    }

    #[test]
    fn members_whose_addresses_would_change_get_no_other_size() {
        let context = context();
        let is_refused = |prior: &Group, planned: &Group| refuse_new_addresses(&context, prior, planned).is_err();
        let public = set("m1", true, &[1, 2, 3]);
        let problems = refuse_new_addresses(&context, &public, &set("m4", true, &[1, 2, 3])).unwrap_err();
        assert!(problems[0].detail.contains("Leave the size as it is"), "{}", problems[0].detail);
        assert!(!is_refused(&public, &set("m1", true, &[1, 2, 3])));
        assert!(!is_refused(&public, &set("m4", true, &[4, 5, 6])));
        assert!(!is_refused(&set("m1", false, &[1, 2, 3]), &set("m4", false, &[1, 2, 3])));
    }

    #[test]
    fn a_version_is_what_it_begins_with() {
        for found in ["6.0", "6.0.13"] {
            assert!(refuse_version("6.0", found).is_ok());
        }
        for found in ["6.01", "6.1.0", "5.0.9", "16.0"] {
            let detail = refuse_version("6.0", found).unwrap_err().detail;
            assert!(
                detail.starts_with(&format!("mongod {found} is installed, and version 6.0 is required")),
                "{detail}"
            );
        }
    }
}
