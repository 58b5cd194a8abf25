//! What an apply does to the machines of a layer, from their making to their end.
//!
//! make → open the doors → boot → (leave → install → take up, restart or start → ready → rejoin), in batches → join →
//! leave → stop → remove. What is peculiar to a layer is in the functions of [`Layer`] that have these names.
//!
//! Failures: a machine that does not become ready ends the rollout, and the machines after it stay as they are; what was to
//! be removed stays until the rest is well. What is in force on a machine is noted on it once it is ready, so that an apply
//! that was cut off is finished by the next one, wherever it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;
use value::Problem;

use super::health::{self, Silence};
use super::machines::{by_name, leaving, make_machines, mark_running, record_bundle, remove};
use super::node::{self, Survey};
use crate::context::Context;
use crate::driver::{Disks, driver_problem};
use crate::layer::{Group, Layer, MachineModel, Node, State, Until};

/// Makes the layer what `state` says. What was done is in `state` in the end, also when problems are returned.
pub(super) async fn live<L: Layer>(
    context: &Context,
    before: Option<&State<L::Model>>,
    state: &mut State<L::Model>,
) -> Vec<Problem> {
    let leaving = before.map(|before| leaving(before.group.machines(), state.group.machines())).unwrap_or_default();
    know_addresses(before, &mut state.group);
    let mut problems = change::<L>(context, before, state, &leaving).await;
    if problems.is_empty() {
        problems = take_away::<L>(context, before, &mut state.group, &leaving).await;
    }
    if !problems.is_empty() {
        // What was to leave is still there, or may be.
        let machines = state.group.machines.get_or_insert_default();
        machines.extend(leaving);
        machines.sort_by_key(|machine| machine.id);
    }
    L::computed(state, before);
    problems
}

/// A machine that goes on has the address that it had, until it is looked at: that the plan did not promise it does not make
/// it one that is to be made.
fn know_addresses<M>(before: Option<&State<M>>, group: &mut Group) {
    let old = before.map(|before| before.group.machines()).unwrap_or_default();
    for machine in group.machines.iter_mut().flatten().filter(|machine| machine.address.is_none()) {
        machine.address = old.iter().find(|old| old.id == machine.id).and_then(|old| old.address.clone());
    }
}

async fn change<L: Layer>(
    context: &Context,
    before: Option<&State<L::Model>>,
    state: &mut State<L::Model>,
    leaving: &[MachineModel],
) -> Vec<Problem> {
    let problems = make_machines::<L>(context, state).await;
    if !problems.is_empty() {
        return problems;
    }
    let is_reserved = state.group.driver(context).is_ok_and(|driver| driver.keeps_public_addresses());
    if state.group.public == Some(true)
        && !is_reserved
        && let Err(problem) = refresh_addresses(context, &mut state.group).await
    {
        // One that was found stopped runs again.
        return vec![problem];
    }
    L::computed(state, before);
    if let Err(problems) = L::prepare(context, state).await {
        return problems;
    }
    let known = addresses(&state.group);
    let mut problems = roll_out::<L>(context, before, state).await;
    if problems.is_empty() && addresses(&state.group) != known {
        // Files may have them.
        problems = roll_out::<L>(context, before, state).await;
    }
    if !problems.is_empty() {
        return problems;
    }
    L::join(context, before, state, leaving).await.err().unwrap_or_default()
}

/// Brings every machine to its bundle: those that do not run, and those of which nothing changes, all at once; then those
/// that run, as many at once as the layer says.
async fn roll_out<L: Layer>(
    context: &Context,
    before: Option<&State<L::Model>>,
    state: &mut State<L::Model>,
) -> Vec<Problem> {
    let nodes = match nodes::<L>(context, state) {
        Ok(nodes) => nodes,
        Err(problems) => return problems,
    };
    let surveys = match survey::<L>(context, before, state, &nodes).await {
        Ok(surveys) => surveys,
        Err(problem) => return vec![problem],
    };
    let (mut changing, others): (Vec<_>, Vec<_>) =
        nodes.into_iter().zip(surveys).partition(|(_, survey)| survey.is_up && survey.changes());
    // First those that do no work anyway.
    changing.sort_by_key(|(node, survey)| (!survey.is_away, node.key.id));
    let at_once = L::ROLLOUT.at_once.of(changing.len());
    let mut others = vec![others];
    let mut changing = changing.into_iter().peekable();
    while changing.peek().is_some() {
        others.push(changing.by_ref().take(at_once).collect());
    }
    let is_working = |survey: &Survey| survey.is_up && !survey.is_away;
    let all = others.iter().flatten();
    let mut working: BTreeSet<u64> =
        all.filter(|(_, survey)| is_working(survey)).map(|(node, _)| node.key.id).collect();
    for mut batch in others {
        let ids: Vec<u64> = batch.iter().map(|(node, _)| node.key.id).collect();
        // Nobody could take the work of the only one over.
        let others_work = working.iter().any(|id| !ids.contains(id));
        batch.iter_mut().for_each(|(node, _)| node.others_work = others_work);
        let problems = bring_up(context, state, batch).await;
        if !problems.is_empty() {
            stay::<L>(before, state);
            return problems;
        }
        working.extend(ids);
    }
    Vec::new()
}

/// Machines that a rollout has not reached listen where they did.
fn stay<L: Layer>(before: Option<&State<L::Model>>, state: &mut State<L::Model>) {
    let digests = state.group.bundles.clone().unwrap_or_default();
    let before_digests = before.and_then(|before| before.group.bundles.clone()).unwrap_or_default();
    for machine in state.group.machines.iter_mut().flatten() {
        let old = before.and_then(|before| before.group.machines().iter().find(|old| old.id == machine.id));
        // What was brought up has another digest by now, or none.
        let is_reached = digests.get(&machine.name) != before_digests.get(&machine.name);
        if let Some(old) = old.filter(|_| !is_reached) {
            machine.port = old.port;
        }
    }
}

fn nodes<L: Layer>(context: &Context, state: &State<L::Model>) -> Result<Vec<Node<L>>, Vec<Problem>> {
    let driver = state.group.driver(context)?;
    let mut bundles = by_name(&state.group, L::bundles(context, state)?);
    let layer = Arc::new(state.clone());
    let nodes = state.group.machines().iter().filter_map(|machine| {
        Some(Node {
            context: context.clone(),
            driver: driver.clone(),
            key: state.group.key(machine.id),
            machine: machine.clone(),
            layer: layer.clone(),
            bundle: Arc::new(bundles.remove(&machine.name)?),
            others_work: false,
            has_left: false,
            was_off: false,
        })
    });
    Ok(nodes.collect())
}

/// Looks at every machine, and ends what hangs on them.
async fn survey<L: Layer>(
    context: &Context,
    before: Option<&State<L::Model>>,
    state: &State<L::Model>,
    nodes: &[Node<L>],
) -> Result<Vec<Survey>, Problem> {
    let looks = nodes.iter().map(|node| async move {
        // Asked where they were, and where they are to be: an apply that was cut off may have got as far.
        let old = before.and_then(|before| before.group.machines().iter().find(|old| old.id == node.key.id));
        let wanted = L::probes(&state.own, node.machine.port);
        let probes = before.zip(old).map_or_else(|| wanted.clone(), |(before, old)| L::probes(&before.own, old.port));
        let hung = health::hung_both(&*node.driver, &node.key, &probes, &wanted).await?;
        let recorded = before.and_then(|before| before.group.bundles.as_ref()?.get(&node.machine.name)?.as_deref());
        Ok::<_, Problem>((node::survey(node, recorded).await?, hung))
    });
    let looks: Vec<(Survey, Option<Silence>)> = futures_util::future::try_join_all(looks).await?;
    let hung: Vec<u64> =
        nodes.iter().zip(&looks).filter(|(_, (_, silence))| silence.is_some()).map(|(node, _)| node.key.id).collect();
    if !hung.is_empty() {
        L::before_end(context, state, &hung).await;
    }
    let ends = nodes.iter().zip(looks).map(|(node, (mut survey, silence))| async move {
        if let Some(silence) = silence {
            health::end(context, &*node.driver, &node.key, &node.bundle.services, &silence).await?;
            survey.is_up = false;
        }
        Ok(survey)
    });
    futures_util::future::try_join_all(ends).await
}

async fn bring_up<L: Layer>(
    context: &Context,
    state: &mut State<L::Model>,
    batch: Vec<(Node<L>, Survey)>,
) -> Vec<Problem> {
    let mut tasks = JoinSet::new();
    let is_resized = batch.iter().any(|(_, survey)| survey.resize.is_some());
    for (node, survey) in batch {
        tasks.spawn(async move {
            let done = node::bring_up(node.clone(), &survey).await;
            (node, done)
        });
    }
    let mut problems = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok((node, Ok(()))) => {
                mark_running(&mut state.group, node.key.id);
                record_bundle(context, &mut state.group, &node.machine.name, &node.bundle);
            }
            Ok((node, Err(problem))) => {
                // The next plan shows that it is not done.
                state.group.bundles.get_or_insert_default().insert(node.machine.name.clone(), None);
                problems.push(problem);
            }
            Err(error) => problems.push(Problem::error("a step was cut off", error.to_string())),
        }
    }
    if is_resized {
        problems.extend(refresh_addresses(context, &mut state.group).await.err());
    }
    problems
}

fn addresses(group: &Group) -> Vec<Option<String>> {
    group.machines().iter().map(|machine| machine.address.clone()).collect()
}

/// A machine that was stopped may have another public address.
async fn refresh_addresses(context: &Context, group: &mut Group) -> Result<(), Problem> {
    let Ok(driver) = group.driver(context) else { return Ok(()) };
    let found = driver.list(&group.layer()).await;
    let found = found.map_err(|error| driver_problem("Looking at the machines", &error))?;
    let is_public = group.public.unwrap_or(false);
    for machine in group.machines.iter_mut().flatten() {
        if let Some(found) = found.iter().find(|found| found.key.id == machine.id) {
            machine.address = Some(found.known_address(is_public).to_string());
        }
    }
    Ok(())
}

/// Lets machines go: their work first, then their services, then themselves.
async fn take_away<L: Layer>(
    context: &Context,
    before: Option<&State<L::Model>>,
    group: &mut Group,
    leaving: &[MachineModel],
) -> Vec<Problem> {
    let Some(before) = before.filter(|_| !leaving.is_empty()) else { return Vec::new() };
    let (driver, nodes) = {
        let mut old = before.clone();
        old.group.machines = Some(leaving.to_vec());
        match (group.driver(context), nodes::<L>(context, &old)) {
            (Ok(driver), Ok(nodes)) => (driver.clone(), nodes),
            (Err(problems), _) | (_, Err(problems)) => return problems,
        }
    };
    let leaves = nodes.iter().filter(|node| node.machine.is_up()).map(|node| L::leave(node, Until::Removed));
    if let Some(problem) = futures_util::future::join_all(leaves).await.into_iter().find_map(Result::err) {
        return vec![problem];
    }
    let machines = nodes.into_iter().map(|node| (node.key, Some(Arc::unwrap_or_clone(node.bundle)))).collect();
    if let Err(problem) = remove(context, &driver, machines, &Disks::Delete).await {
        return vec![problem];
    }
    let bundles: Option<&mut BTreeMap<_, _>> = group.bundles.as_mut();
    if let Some(bundles) = bundles {
        bundles.retain(|name, _| leaving.iter().all(|machine| machine.name != *name));
    }
    Vec::new()
}
