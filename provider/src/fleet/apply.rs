//! Applying: create, update and delete.

use proto::preview::Recovery;
use value::Problem;

use super::life::live;
use super::machines::{remove, strays};
use super::{data, firewall, taken};
use crate::context::{BeforeChange, Context};
use crate::driver::{Disks, Driver, LayerId, driver_problem};
use crate::layer::{Layer, State};
use crate::ownership;

/// Returns the new state, which holds what was done also when there are problems.
pub(super) async fn apply<L: Layer>(
    context: &Context,
    before: Option<State<L::Model>>,
    planned: Option<State<L::Model>>,
    private: &[u8],
) -> (Option<State<L::Model>>, Vec<Problem>) {
    let Some(mut state) = planned else {
        let Some(state) = before else { return (None, Vec::new()) };
        let _alone = context.layers.lock(state.group.id.as_deref().unwrap_or_default()).await;
        let is_handed_over = Recovery::decode(private).is_some_and(|recovery| recovery.is_handed_over);
        let problems = delete::<L>(context, &state, is_handed_over).await;
        let has_failed = problems.iter().any(Problem::is_error);
        return (has_failed.then_some(state), problems);
    };
    context.ownership.know(before.as_ref().and_then(|before| before.group.generation.as_deref()));
    let _alone = context.layers.lock(state.group.id.as_deref().unwrap_or_default()).await;
    // Digests are noted as machines get their files: a failure must leave a difference for the next plan to find.
    let planned_bundles = std::mem::take(&mut state.group.bundles);
    state.group.bundles = before.as_ref().and_then(|before| before.group.bundles.clone());
    state.group.generation.get_or_insert_with(new_generation);
    let during = Context { before_change: before_change::<L>(before.as_ref(), &state), ..context.clone() };
    let changes_hands =
        |before: &State<L::Model>| before.group.generation.as_deref().is_some_and(ownership::is_imported);
    if before.as_ref().is_none_or(changes_hands) {
        context.ownership.begin(&state.group.layer(), state.group.generation.as_deref().unwrap_or_default());
    }
    // What its former name leaves meanwhile is taken up beyond what the plan has promised.
    let promised = state.group.restored_from.clone();
    let mut problems = match &before {
        Some(before) => taken::adopt::<L>(context, before, &state).await,
        None => data::take_over::<L>(context, &mut state).await,
    };
    if problems.is_empty() {
        problems = live::<L>(&during, before.as_ref(), &mut state).await;
    }
    state.group.restored_from = promised;
    // Its record goes to the state now, whatever became of it.
    context.ownership.answer(&state.group.layer());
    if during.before_change != BeforeChange::default() && problems.is_empty() {
        problems = firewall::apply::<L>(context, &mut state).await;
    }
    if let Some(before) = before.filter(|_| problems.is_empty()) {
        problems = firewall::revoke::<L>(context, &before, Some(&state)).await;
    }
    if problems.is_empty() {
        let bundles = state.group.bundles.get_or_insert_default();
        bundles.retain(|name, _| planned_bundles.as_ref().is_none_or(|planned| planned.contains_key(name)));
    }
    if problems.is_empty() {
        problems = remove_strays::<L>(context, &state).await;
    }
    (Some(state), problems)
}

/// Ports that are still in use until the change is done: closed before, they would cut requests off.
fn before_change<L: Layer>(before: Option<&State<L::Model>>, after: &State<L::Model>) -> BeforeChange {
    let Some(before) = before else { return BeforeChange::default() };
    let own_port = L::port(&before.own);
    // Another layer's door is left by itself, when the change is done.
    let now = firewall::edges::<L>(after);
    let mut edges = firewall::edges::<L>(before);
    edges.retain(|edge| now.iter().any(|new| new.leads_to(edge)) && !now.contains(edge));
    BeforeChange { own_port: Some(own_port).filter(|port| *port != L::port(&after.own)), edges }
}

/// Names an object for good, among all that have had its name.
pub(super) fn new_generation() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Removes machines that a run that was cut off has left and that nothing names.
async fn remove_strays<L: Layer>(context: &Context, state: &State<L::Model>) -> Vec<Problem> {
    let driver = match state.group.driver(context) {
        Ok(driver) => driver.clone(),
        Err(problems) => return problems,
    };
    let strays = strays(context, &*driver, &state.group).await;
    if strays.is_empty() {
        return Vec::new();
    }
    // The layer is whole without them, and has its data.
    let strays = strays.into_iter().map(|key| (key, None)).collect();
    let removed = remove(context, &driver, strays, &Disks::Delete).await;
    removed.err().into_iter().collect()
}

/// Removes every machine of the layer, also those that no record names.
async fn delete<L: Layer>(context: &Context, state: &State<L::Model>, is_handed_over: bool) -> Vec<Problem> {
    let driver = match state.group.driver(context) {
        Ok(driver) => driver.clone(),
        Err(problems) => return problems,
    };
    let existing = match driver.list(&state.group.layer()).await {
        Ok(existing) => existing,
        Err(error) => return vec![driver_problem("Looking for the machines", &error)],
    };
    let bundles = L::bundles(context, state).unwrap_or_default();
    let mut problems = firewall::revoke::<L>(context, state, None).await;
    let mut is_all_ours = true;
    let mut leaving = Vec::new();
    for machine in existing {
        if machine.is_foreign && state.group.machines().iter().all(|known| known.id != machine.key.id) {
            is_all_ours = false;
            continue;
        }
        // Another object has taken it over.
        let owner = machine.owner().generation;
        if let Some(own) = state.group.generation.as_deref()
            && !owner.is_empty()
            && owner != ownership::plain(own)
        {
            is_all_ours = false;
            continue;
        }
        let position = state.group.machines().iter().position(|known| known.id == machine.key.id);
        let bundle = position.and_then(|position| bundles.get(position).cloned());
        leaving.push((machine.key, bundle));
    }
    let disks = if is_handed_over { data::kept_disks::<L>(context, state) } else { data::disks::<L>(context, state) };
    if !leaving.is_empty() {
        problems.extend(remove(context, &driver, leaving, &disks).await.err());
    }
    if problems.is_empty() && is_all_ours {
        let dissolved = driver.dissolve(&state.group.layer(), &disks).await;
        problems.extend(
            dissolved.err().map(|error| driver_problem("Removing what the layer had besides machines", &error)),
        );
    }
    if problems.is_empty()
        && let Disks::Keep { owner } = &disks
    {
        problems.extend(tell_kept(context, &*driver, state.group.layer(), owner).await);
    }
    problems
}

/// Says where the data is now; a host that shows no progress gets a warning.
async fn tell_kept(context: &Context, driver: &dyn Driver, layer: LayerId, owner: &str) -> Option<Problem> {
    let kept = match driver.kept(&layer).await {
        Ok(kept) => kept,
        Err(error) => return Some(Problem::warning("data is kept", driver_problem("Looking for it", &error).detail)),
    };
    let kept: Vec<_> = kept.iter().filter(|kept| kept.owner == owner).collect();
    if kept.is_empty() {
        return None;
    }
    let names: Vec<&str> = kept.iter().map(|kept| kept.name.as_str()).collect();
    let cures: Vec<&str> = kept.iter().map(|kept| kept.cure.as_str()).collect();
    let place = driver.keeps_at(&layer);
    context.progress(&format!("its data is kept in {place}: {}", names.join(", ")));
    context.progress(&format!("a layer {layer} takes it up; this deletes it for good: {}", cures.join("; ")));
    context.address.is_empty().then(|| {
        let detail = format!(
            "The data of {layer} is kept in {place}: {}. A layer with the same scope and name takes it up. This deletes it for good: {}",
            names.join(", "),
            cures.join("; ")
        );
        Problem::warning("data is kept", detail)
    })
}
