//! The machines of a layer: making them, removing them, and what is recorded of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;
use value::Problem;

use super::{firewall, installed};
use crate::bundle::Bundle;
use crate::context::Context;
use crate::driver::{Disks, Driver, DriverError, Machine, MachineKey, Need, Order, driver_problem};
use crate::layer::{Group, Layer, MachineModel, RUNNING, State};

/// Makes the machines that have no address yet, all at once, and fills their addresses in; sets the firewall; waits
/// until what was made can be worked on. Machines that exist already, from a run that was cut off, are taken over.
pub(crate) async fn make_machines<L: Layer>(context: &Context, state: &mut State<L::Model>) -> Vec<Problem> {
    let driver = match state.group.driver(context) {
        Ok(driver) => driver.clone(),
        Err(problems) => return problems,
    };
    let ids: Vec<u64> =
        state.group.machines().iter().filter(|machine| machine.address.is_none()).map(|machine| machine.id).collect();
    let old: Vec<u64> =
        state.group.machines().iter().map(|machine| machine.id).filter(|id| !ids.contains(id)).collect();
    let mut problems = Vec::new();
    if !old.is_empty() {
        // What there is comes first: a disk that was detached goes back to its own machine, not to a new one.
        problems = mend::<L>(context, &driver, state, &old).await;
    }
    if problems.is_empty() && !ids.is_empty() {
        problems = create::<L>(context, &driver, state, &ids).await;
    }
    if problems.is_empty() {
        problems = firewall::apply::<L>(context, state).await;
    }
    if problems.is_empty() {
        // All of them: one that an earlier run has left may still be booting.
        let all: Vec<u64> = state.group.machines().iter().map(|machine| machine.id).collect();
        problems = await_boot(context, &driver, &state.group, &all).await;
    }
    problems
}

fn order<L: Layer>(context: &Context, state: &State<L::Model>, ids: &[u64]) -> Order {
    let need = need::<L>(state);
    Order {
        layer: state.group.layer(),
        ids: ids.to_vec(),
        owner: context.ownership.owner(state.group.generation.as_deref().unwrap_or_default()),
        takes: BTreeSet::new(),
        need: Need { size: state.group.size_to_have().map(str::to_owned).or(need.size), ..need },
        takes_up: takes_up(&state.group),
    }
}

fn takes_up(group: &Group) -> Vec<String> {
    let from = group.restored_from.as_deref().unwrap_or_default();
    from.split(',').filter(|owner| !owner.is_empty()).map(str::to_owned).collect()
}

async fn mend<L: Layer>(
    context: &Context,
    driver: &Arc<dyn Driver>,
    state: &State<L::Model>,
    ids: &[u64],
) -> Vec<Problem> {
    match driver.mend(&order::<L>(context, state, ids)).await {
        Ok(()) => Vec::new(),
        Err(error) => vec![driver_problem("Giving machines back what they have lost", &error)],
    }
}

async fn create<L: Layer>(
    context: &Context,
    driver: &Arc<dyn Driver>,
    state: &mut State<L::Model>,
    ids: &[u64],
) -> Vec<Problem> {
    let mut order = order::<L>(context, state, ids);
    let failed = |error| vec![driver_problem("Looking for machines that exist already", &error)];
    match driver.list(&order.layer).await {
        Ok(existing) => order.takes = context.ownership.takeable(&order.layer, &existing),
        Err(error) => return failed(error),
    }
    let created = driver.create(&order, &|what| context.progress(what)).await;
    fill_in(&mut state.group, &created.machines);
    let Some(error) = created.failure else { return left_out(driver, &order).await };
    let names: Vec<String> = order.keys().map(|key| key.name()).collect();
    vec![driver_problem(&format!("Making {}", names.join(", ")), &error)]
}

/// Data that the plan has promised, and that is on none of the machines: they must not begin without it.
async fn left_out(driver: &Arc<dyn Driver>, order: &Order) -> Vec<Problem> {
    if order.takes_up.is_empty() {
        return Vec::new();
    }
    let left: Result<Vec<String>, DriverError> = driver
        .kept(&order.layer)
        .await
        .map(|kept| kept.into_iter().filter(|kept| order.may_have(&kept.owner)).map(|kept| kept.name).collect());
    match left {
        Ok(left) if left.is_empty() => Vec::new(),
        Ok(left) => {
            let detail = format!(
                "{} is kept data of this layer that no machine has taken up, so nothing was started. Apply again.",
                left.join(", ")
            );
            vec![Problem::error("kept data was not taken up", detail)]
        }
        Err(error) => vec![driver_problem("Looking for data that was kept", &error)],
    }
}

pub(crate) fn need<L: Layer>(state: &State<L::Model>) -> Need {
    let group = &state.group;
    Need {
        size: group.size.clone(),
        cpu: group.cpu,
        memory_gb: group.memory_gb,
        image: group.image.clone(),
        os: group.os.clone(),
        programs: L::PROGRAMS.to_vec(),
        archives: L::archives(&state.own),
        disk_gb: L::disk_gb(&state.own),
    }
}

/// What could not be made is not there.
fn fill_in(group: &mut Group, made: &[Machine]) {
    let is_public = group.public.unwrap_or(false);
    let Some(machines) = &mut group.machines else { return };
    for machine in machines.iter_mut() {
        if let Some(made) = made.iter().find(|made| made.key.id == machine.id) {
            machine.address = Some(made.known_address(is_public).to_string());
        }
    }
    machines.retain(|machine| machine.address.is_some());
}

async fn await_boot(context: &Context, driver: &Arc<dyn Driver>, group: &Group, ids: &[u64]) -> Vec<Problem> {
    let mut tasks = JoinSet::new();
    for id in ids {
        let (driver, key, context) = (driver.clone(), group.key(*id), context.clone());
        tasks.spawn(async move {
            let name = key.name();
            let tell = |what: &str| context.progress(&format!("{name} {what}"));
            let up = driver.await_boot(&key, &tell).await;
            up.map_err(|error| driver_problem(&format!("Waiting for {name}"), &error))
        });
    }
    let mut problems = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(up) => problems.extend(up.err()),
            Err(error) => problems.push(Problem::error("a step was cut off", error.to_string())),
        }
    }
    problems
}

/// Machines of the layer that exist and are not among those that shall be: left by a run that was cut off.
pub(crate) async fn strays(context: &Context, driver: &dyn Driver, group: &Group) -> Vec<MachineKey> {
    let Ok(existing) = driver.list(&group.layer()).await else { return Vec::new() };
    let wanted = |id: u64| group.machines().iter().any(|machine| machine.id == id);
    let others: Vec<u64> =
        context.ownership.others(&group.layer(), &existing).iter().map(|(machine, _)| machine.key.id).collect();
    // Of what says nothing of itself only what this layer has had.
    let is_known = |machine: &Machine| !machine.is_remnant() || Some(machine.key.id) <= group.last_id;
    let ours = existing
        .into_iter()
        .filter(|machine| !machine.is_foreign && !others.contains(&machine.key.id) && is_known(machine));
    ours.map(|machine| machine.key).filter(|key| !wanted(key.id)).collect()
}

/// What the formats of a machine's files could not carry. Attributes are checked before, so this is the last resort.
pub(crate) fn refusals(machine: &str, bundle: &Bundle) -> Vec<Problem> {
    let refused = bundle.refused.iter();
    refused.map(|refused| Problem::error("invalid value", format!("On {machine}: {refused}."))).collect()
}

/// Stops machines, each as politely as its services allow, and removes them at once, with the copies of their files.
pub(crate) async fn remove(
    context: &Context,
    driver: &Arc<dyn Driver>,
    machines: Vec<(MachineKey, Option<Bundle>)>,
    disks: &Disks,
) -> Result<(), Problem> {
    let keys: Vec<MachineKey> = machines.iter().map(|(key, _)| key.clone()).collect();
    let names: Vec<String> = keys.iter().map(MachineKey::name).collect();
    let failed = |error| driver_problem(&format!("Removing {}", names.join(", ")), &error);
    let stops = machines.iter().filter_map(|(key, bundle)| Some(driver.stop(key, &bundle.as_ref()?.services)));
    futures_util::future::try_join_all(stops).await.map_err(failed)?;
    driver.delete(&keys, disks).await.map_err(failed)?;
    for name in &names {
        installed::forget(context, name);
        context.progress(&format!("{name} removed"));
    }
    Ok(())
}

/// Notes the digest of what was installed, and keeps it.
pub(crate) fn record_bundle(context: &Context, group: &mut Group, machine: &str, bundle: &Bundle) {
    group.bundles.get_or_insert_default().insert(machine.to_owned(), Some(bundle.digest()));
    // If it cannot be kept, the machine is asked.
    if let Err(error) = installed::keep(context, machine, bundle) {
        tracing::warn!("the copy of the files of {machine} could not be written: {error}");
    }
}

/// Bundles by machine name.
pub(crate) fn by_name(group: &Group, bundles: Vec<Bundle>) -> BTreeMap<String, Bundle> {
    group.machines().iter().map(|machine| machine.name.clone()).zip(bundles).collect()
}

pub(crate) fn mark_running(group: &mut Group, id: u64) {
    let machines = group.machines.iter_mut().flatten();
    machines.filter(|machine| machine.id == id).for_each(|machine| RUNNING.clone_into(&mut machine.status));
}

/// Machines of `before` that are not in `after`.
pub(crate) fn leaving(before: &[MachineModel], after: &[MachineModel]) -> Vec<MachineModel> {
    before.iter().filter(|old| after.iter().all(|new| new.id != old.id)).cloned().collect()
}

/// The port that follows a word in a file of the layer's first machine that has it.
pub(crate) async fn number_after(
    context: &Context,
    group: &Group,
    path: &str,
    word: &str,
) -> Result<Option<u16>, Vec<Problem>> {
    let text = word_after(context, group, path, word).await?;
    Ok(text.and_then(|text| text.rsplit(':').next()?.parse().ok()))
}

/// The last word of the line that begins with another, in a file of the layer's first machine that has it.
pub(crate) async fn word_after(
    context: &Context,
    group: &Group,
    path: &str,
    word: &str,
) -> Result<Option<String>, Vec<Problem>> {
    let line = line_after(context, group, path, word).await?;
    Ok(line.and_then(|line| line.split_whitespace().last().map(str::to_owned)))
}

/// What follows a word that begins a line, in a file of the layer's first machine that has it. Of machines of which none
/// can be read nothing is known: a default would be a guess.
pub(crate) async fn line_after(
    context: &Context,
    group: &Group,
    path: &str,
    word: &str,
) -> Result<Option<String>, Vec<Problem>> {
    let driver = group.driver(context)?;
    let mut silent = None;
    let mut is_read = false;
    for machine in group.machines() {
        let bytes = match driver.read(&group.key(machine.id), path).await {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                silent.get_or_insert(driver_problem(&format!("Reading {path} of {}", machine.name), &error));
                continue;
            }
        };
        is_read = true;
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().find_map(|line| line.trim().strip_prefix(word)).map(str::trim);
        if let Some(found) = line.filter(|line| !line.is_empty()) {
            return Ok(Some(found.to_owned()));
        }
    }
    match silent {
        Some(problem) if !is_read => Err(vec![problem]),
        Some(_) | None => Ok(None),
    }
}
