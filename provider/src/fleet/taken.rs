//! A layer that is to be made and whose machines exist already, for another state.

use value::{Path, Problem};

use super::machines::need;
use crate::context::Context;
use crate::driver::{Machine, Order, Owner, driver_problem};
use crate::layer::{Group, Layer, State};
use crate::ownership;

/// Refuses to make a layer whose machines are another state's. Its own, of a run that was cut off, are taken over.
pub(super) async fn refuse<L: Layer>(context: &Context, group: &Group) -> Result<(), Vec<Problem>> {
    let Some(existing) = existing(context, group).await? else { return Ok(()) };
    let layer = group.layer();
    let others = context.ownership.others(&layer, &existing);
    let Some((_, owner)) = others.first() else { return Ok(()) };
    let cloud = group.cloud.as_deref().unwrap_or(&context.default_cloud);
    let detail = format!(
        "The cloud {cloud:?} has {} of the layer {layer} already, made for {}. \
         They are not taken from it. For machines of this state's own set another `scope` in the provider block, \
         such as scope = \"shop-prod\". If they shall be this state's, import them (and let the other state forget them): \
         import '{}' '{cloud}:{layer}'",
        names(&others),
        owner.described(),
        address::<L>(context),
    );
    Err(vec![Problem::error("the layer belongs to another state", detail).at(Path::attribute("name"))])
}

/// Refuses to change a layer whose machines another state has imported since.
pub(super) async fn refuse_lost<L: Layer>(context: &Context, group: &Group) -> Result<(), Vec<Problem>> {
    let Some(existing) = existing(context, group).await? else { return Ok(()) };
    let layer = group.layer();
    let mut others = context.ownership.others(&layer, &existing);
    // Machines that are older than owners say nothing of themselves.
    others.retain(|(_, owner)| !owner.generation.is_empty());
    let Some((_, owner)) = others.first() else { return Ok(()) };
    let detail = format!(
        "{} of the layer {layer} are in this state, and belong to {} by now, which has imported them. They are not \
         changed from here. Let this state forget them: state rm '{}'",
        names(&others),
        owner.described(),
        address::<L>(context),
    );
    Err(vec![Problem::error("the layer belongs to another state", detail).at(Path::attribute("name"))])
}

fn names(machines: &[(&Machine, Owner)]) -> String {
    machines.iter().map(|(machine, _)| machine.key.name()).collect::<Vec<_>>().join(", ")
}

/// Terraform does not say where a resource is in its configuration.
fn address<L: Layer>(context: &Context) -> String {
    if context.address.is_empty() { format!("{}.NAME", L::NAME) } else { context.address.clone() }
}

/// The layer's machines; none where a plan is only tried out.
async fn existing(context: &Context, group: &Group) -> Result<Option<Vec<Machine>>, Vec<Problem>> {
    if context.simulation.is_some() {
        return Ok(None);
    }
    let layer = group.layer();
    let existing = group.driver(context)?.list(&layer).await;
    existing.map(Some).map_err(|error| vec![driver_problem(&format!("Looking for machines of {layer}"), &error)])
}

/// Makes the machines of a layer that was imported this state's: from now on no other state removes them.
pub(super) async fn adopt<L: Layer>(
    context: &Context,
    before: &State<L::Model>,
    state: &State<L::Model>,
) -> Vec<Problem> {
    if !before.group.generation.as_deref().is_some_and(ownership::is_imported) {
        return Vec::new();
    }
    let driver = match state.group.driver(context) {
        Ok(driver) => driver,
        Err(problems) => return problems,
    };
    let layer = state.group.layer();
    let failed = |error| vec![driver_problem(&format!("Making the machines of {layer} this state's"), &error)];
    let existing = match driver.list(&layer).await {
        Ok(existing) => existing,
        Err(error) => return failed(error),
    };
    let recorded = before.group.machines();
    let ids = existing.iter().map(|machine| machine.key.id);
    let ids: Vec<u64> = ids.filter(|id| recorded.iter().any(|machine| machine.id == *id)).collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let order = Order {
        takes: context.ownership.takeable(&layer, &existing),
        owner: context.ownership.owner(state.group.generation.as_deref().unwrap_or_default()),
        need: need::<L>(state),
        takes_up: Vec::new(),
        layer: layer.clone(),
        ids,
    };
    let created = driver.create(&order, &|what| context.progress(what)).await;
    created.failure.map(failed).unwrap_or_default()
}
