//! Importing: a layer that exists and that no state knows, found by the tags of its machines.

use value::Problem;

use crate::context::Context;
use crate::driver::{LayerId, Machine, driver_problem};
use crate::layer::{Group, Layer, MachineModel, RUNNING, State};
use crate::ownership;

pub(super) async fn import<L: Layer>(context: &Context, id: &str) -> Result<State<L::Model>, Vec<Problem>> {
    let (cloud, layer) = match id.split_once(':') {
        Some((cloud, layer)) => (cloud.to_owned(), layer),
        None => (context.default_cloud.clone(), id),
    };
    let bad = |detail: String| vec![Problem::error("nothing to import", detail)];
    if !layer.contains('/') {
        let detail = format!(
            "{id:?} is not the id of a layer. Write SCOPE/NAME, as its `id` says and its machines' tags do, or CLOUD:SCOPE/NAME."
        );
        return Err(bad(detail));
    }
    let layer = LayerId::of_id(layer);
    let Some(machines) = machines(context, &cloud, &layer).await? else { return Err(bad(absent(&cloud, &layer))) };
    state::<L>(context, cloud, &layer, &machines).await
}

/// What to say of a layer that is not there.
pub(super) fn absent(cloud: &str, layer: &LayerId) -> String {
    format!(
        "The cloud {cloud:?} has no machines of a layer {layer}. Its machines carry the scope and the name as tags."
    )
}

/// The machines of a layer; none if the cloud has nothing of it, not even a load balancer of its own make.
pub(super) async fn machines(
    context: &Context,
    cloud: &str,
    layer: &LayerId,
) -> Result<Option<Vec<Machine>>, Vec<Problem>> {
    let driver = context.cloud(cloud)?;
    let found = driver.list(layer).await;
    let found = found.map_err(|error| vec![driver_problem(&format!("Looking for the machines of {layer}"), &error)])?;
    if !found.is_empty() {
        return Ok(Some(found));
    }
    let balancer = match driver.balancers() {
        Some(balancers) => balancers.find(layer).await,
        None => Ok(None),
    };
    let balancer = balancer.map_err(|error| vec![driver_problem("Looking for the load balancer", &error)])?;
    Ok(balancer.map(|_| found))
}

/// What can be told of a layer by its machines.
pub(super) async fn state<L: Layer>(
    context: &Context,
    cloud: String,
    layer: &LayerId,
    found: &[Machine],
) -> Result<State<L::Model>, Vec<Problem>> {
    let machines = found.iter().map(|machine| MachineModel {
        id: machine.key.id,
        name: machine.key.name(),
        address: Some(machine.address.to_string()),
        port: 0,
        status: RUNNING.to_owned(),
    });
    let group = Group {
        id: Some(layer.to_string()),
        name: Some(layer.name.clone()),
        cloud: Some(cloud),
        machines: Some(machines.collect()),
        last_id: Some(found.iter().map(|machine| machine.key.id).max().unwrap_or(0)),
        generation: found
            .iter()
            .map(|machine| machine.owner().generation)
            .find(|generation| !generation.is_empty())
            .map(|generation| ownership::imported(&generation)),
        ..Group::default()
    };
    let own = L::imported(context, &group).await?;
    let mut state = State { group, own, unknown: Vec::new() };
    let port = L::port(&state.own);
    state.group.machines.iter_mut().flatten().for_each(|machine| machine.port = port);
    Ok(state)
}
