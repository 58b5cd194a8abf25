//! Reading: what is real now.

use value::Problem;

use super::firewall;
use super::health::silent_now;
use crate::context::{Context, Finding};
use crate::driver::{Driver, Machine, OTHER_SIZE, Status, driver_problem};
use crate::layer::{Layer, MachineModel, Probe, State, UNFINISHED};

/// The present state; none if nothing of the layer is left.
pub(super) async fn read<L: Layer>(
    context: &Context,
    mut state: State<L::Model>,
) -> (Option<State<L::Model>>, Vec<Problem>) {
    context.claims.read(state.group.id.as_deref().unwrap_or_default());
    context.ownership.know(state.group.generation.as_deref());
    context.claims.remember(state.group.id.as_deref().unwrap_or_default(), &state);
    let driver = match state.group.driver(context) {
        Ok(driver) => driver.clone(),
        Err(problems) => return (Some(state), problems),
    };
    let existing = match driver.list(&state.group.layer()).await {
        Ok(existing) => existing,
        Err(error) => return (Some(state), vec![driver_problem("Looking at the machines", &error)]),
    };
    let others: Vec<u64> =
        context.ownership.others(&state.group.layer(), &existing).iter().map(|(machine, _)| machine.key.id).collect();
    let looks = existing.iter().map(|machine| {
        let known = state.group.machines().iter().find(|known| known.id == machine.key.id);
        let probes = L::probes(&state.own, known.map_or_else(|| L::port(&state.own), |known| known.port));
        let driver = driver.clone();
        async move { look(&*driver, machine, &probes).await }
    });
    let looks = futures_util::future::join_all(looks).await;
    for (machine, (_, finding)) in existing.iter().zip(&looks) {
        context.findings.note(machine.key.clone(), finding.clone());
    }
    let is_public = state.group.public.unwrap_or(false);
    let had_machines = !state.group.machines().is_empty();
    let running = existing.iter().zip(&looks).filter(|(_, (status, _))| *status == Status::Running);
    let asked = running.map(|(machine, _)| {
        let driver = driver.clone();
        async move { L::is_away(&*driver, &machine.key).await.then_some(machine.key.id) }
    });
    let away: Vec<u64> = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
    let (bundles, size) = (&state.group.bundles, state.group.size_to_have().map(str::to_owned));
    if let Some(machines) = &mut state.group.machines {
        machines.retain_mut(|machine| {
            let found = existing.iter().zip(&looks).find(|(existing, _)| existing.key.id == machine.id);
            // One without an address is no machine to work with: another is made, and it is removed then.
            let Some((found, (status, _))) = found.filter(|(found, _)| !found.address.is_unspecified()) else {
                return false;
            };
            machine.address = Some(found.known_address(is_public).to_string());
            let is_unfinished =
                bundles.as_ref().and_then(|bundles| bundles.get(&machine.name)).is_some_and(Option::is_none);
            if (is_unfinished || away.contains(&machine.id)) && *status == Status::Running {
                UNFINISHED.clone_into(&mut machine.status);
                let detail = if is_unfinished {
                    "its last change did not succeed"
                } else {
                    "it has left for a change that was cut off"
                };
                let detail = detail.to_owned();
                let finding = Finding { detail, drift: Vec::new(), size: found.size.clone() };
                context.findings.note(found.key.clone(), finding);
            } else if let (Some(has), Some(size), Status::Running) = (&found.size, &size, status)
                && has != size
            {
                OTHER_SIZE.clone_into(&mut machine.status);
                let detail = format!("it is a {has}, and shall be a {size}");
                let finding = Finding { detail, drift: Vec::new(), size: Some(has.clone()) };
                context.findings.note(found.key.clone(), finding);
            } else {
                status.as_str().clone_into(&mut machine.status);
            }
            true
        });
        // What an interrupted run has made and not recorded: kept if it is wanted, removed if not.
        for found in &existing {
            let is_usable = !found.address.is_unspecified() && !others.contains(&found.key.id);
            if machines.iter().all(|machine| machine.id != found.key.id) && had_machines && is_usable {
                machines.push(MachineModel {
                    id: found.key.id,
                    name: found.key.name(),
                    address: Some(found.known_address(is_public).to_string()),
                    port: L::port(&state.own),
                    status: "not recorded".to_owned(),
                });
                state.group.last_id = state.group.last_id.max(Some(found.key.id));
            }
        }
        machines.sort_by_key(|machine| machine.id);
        // On a cloud a layer is more than its machines: disks with its data, groups, addresses. They are found again by
        // this record, and its credentials open what is on the disks.
        if had_machines && machines.is_empty() && existing.is_empty() && !driver.has_firewall() {
            return (None, Vec::new());
        }
    }
    if let (Some(machines), Some(bundles)) = (&state.group.machines, &mut state.group.bundles) {
        bundles.retain(|name, _| machines.iter().any(|machine| machine.name == *name));
    }
    let mut problems = firewall::read::<L>(context, &mut state).await;
    problems.extend(L::read(context, &mut state).await);
    (Some(state), problems)
}

/// How a machine is, and what is to be said beyond it. Whoever runs is asked whether it works.
pub(super) async fn look(driver: &dyn Driver, machine: &Machine, probes: &[Probe]) -> (Status, Finding) {
    let mut status = machine.status.clone();
    if status.is_up()
        && let Some(silence) = silent_now(driver, &machine.key, probes).await
    {
        status = Status::Hung { service: silence.service, seen: silence.what };
    }
    let mut finding = Finding { detail: status.detail(), drift: Vec::new(), size: machine.size.clone() };
    if !matches!(status, Status::Running | Status::Created) {
        match driver.drift(&machine.key).await {
            Ok(drift) => finding.drift = drift,
            Err(error) => tracing::debug!("which files of {} differ: {}", machine.key.name(), error.explain()),
        }
    }
    (status, finding)
}
