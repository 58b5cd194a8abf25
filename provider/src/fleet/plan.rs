//! Planning: which machines stay, come and go; what is known already; what will differ.

use futures_util::future::join_all;
use proto::preview::{self, Fate, Preview, Recovery};
use value::{Path, Problem, Value};

use super::apply::new_generation;
use super::installed::{self, InstalledFile};
use super::machines::{need, refusals};
use super::preview::{Before, Rendered, add_machines};
use super::{data, firewall, notes, taken};
use crate::bundle::{Bundle, Content, Entry};
use crate::context::Context;
use crate::driver::{DriftKind, DriverError, MachineKey, driver_problem};
use crate::drivers::local;
use crate::field::Change;
use crate::layer::{self, Group, KEEP, Layer, MachineModel, RUNNING, State};
use crate::model::Model as _;
use crate::ownership;
use crate::place::Place;
use crate::resource::{PlanRequest, Planned, refuse};

pub(super) async fn plan<L: Layer>(
    context: &Context,
    request: &PlanRequest<'_>,
    prior: Option<State<L::Model>>,
    proposed: Option<State<L::Model>>,
) -> Result<Planned<State<L::Model>>, Vec<Problem>> {
    let claims = &*context.claims;
    let Some(mut planned) = proposed else { return plan_removal::<L>(context, request, prior).await };
    context.ownership.know(prior.as_ref().and_then(|prior| prior.group.generation.as_deref()));
    let is_imported = |state: &State<L::Model>| state.group.generation.as_deref().is_some_and(ownership::is_imported);
    if let Some(prior) = prior.as_ref().filter(|prior| is_imported(prior)) {
        planned = as_imported::<L>(request, prior, planned)?;
    }
    if planned.group.generation.as_deref().is_some_and(ownership::is_imported) {
        // Its machines become this state's when it is applied.
        planned.group.generation = None;
    }
    plan_group::<L>(context, request, prior.as_ref(), &mut planned)?;
    let requires_replace = match &prior {
        Some(prior) => replaced_attributes::<L>(request, prior, &planned),
        None => Vec::new(),
    };
    let id = planned.group.id.clone().unwrap_or_default();
    if let Some(prior) = &prior {
        claims.remember(prior.group.id.as_deref().unwrap_or_default(), prior);
    }
    let is_ours = match &prior {
        Some(prior) => claims.keep(prior.group.id.as_deref().unwrap_or(&id), !requires_replace.is_empty()),
        None => claims.make(&id, request.address, !request.prior_private.is_empty()),
    };
    if !is_ours {
        let name = planned.group.name.unwrap_or_default();
        let detail = format!(
            "Another layer is called {name:?} already, and machines are told apart by this name. Set a different `name` here."
        );
        return Err(vec![Problem::error("two layers have one name", detail).at(Path::attribute("name"))]);
    }
    match &prior {
        Some(prior) => taken::refuse_lost::<L>(context, &prior.group).await?,
        None => taken::refuse::<L>(context, &planned.group).await?,
    }
    L::plan(context, &mut planned, prior.as_ref())?;
    L::computed(&mut planned, prior.as_ref());
    refuse_low_port::<L>(context, &planned)?;
    // A count that is not known yet says nothing about which machines there will be.
    match L::wanted(&planned.own) {
        Some(wanted) => plan_machines::<L>(context, &mut planned, prior.as_ref(), wanted)?,
        None => planned.group.machines = None,
    }
    let offer = offer::<L>(context, &mut planned, prior.as_ref()).await?;
    promise_addresses(context, &mut planned, prior.as_ref())?;
    // Again, now that the machines are known: addresses and URLs follow from them.
    L::plan(context, &mut planned, prior.as_ref())?;
    L::computed(&mut planned, prior.as_ref());
    planned.group.firewall = firewall::texts::<L>(context, &planned).await?;
    let mut preview = plan_bundles::<L>(context, &mut planned, prior.as_ref()).await?;
    preview.notes.extend(offer);
    preview.layers = layers(request, prior.as_ref().map(|prior| &prior.group), &planned.group);
    let problems =
        plan_data::<L>(context, request, &mut planned, prior.as_ref(), &requires_replace, &mut preview).await?;
    // Before anything is made, whoever asks for it writes down whose it will be: then it can be told from what others
    // have made, also after a crash.
    if request.is_final {
        planned.group.generation.get_or_insert_with(new_generation);
    }
    Ok(Planned { model: Some(planned), requires_replace, preview: preview.encode(MADE), problems })
}

/// However much of it was made, it is found by its name and its tags.
const MADE: Recovery = Recovery { is_removable: true, is_handed_over: false };

/// A layer that was imported stays what it is where the configuration says nothing, and a default would replace it.
fn as_imported<L: Layer>(
    request: &PlanRequest<'_>,
    prior: &State<L::Model>,
    planned: State<L::Model>,
) -> Result<State<L::Model>, Vec<Problem>> {
    let failed = |error: serde_json::Error| vec![Problem::error("a model could not be written", error.to_string())];
    let (before, mut after) = (prior.write().map_err(failed)?, planned.write().map_err(failed)?);
    for field in L::fields().iter().filter(|field| field.change == Some(Change::Replaces)) {
        let is_set = request.config.get(field.name).is_some_and(|value| !value.is_null());
        if !is_set && !before[field.name].is_null() {
            after[field.name] = before[field.name].clone();
        }
    }
    State::read(&after, planned.unknown).map_err(failed)
}

/// The layer goes. All that is to be said is what becomes of its data.
async fn plan_removal<L: Layer>(
    context: &Context,
    request: &PlanRequest<'_>,
    prior: Option<State<L::Model>>,
) -> Result<Planned<State<L::Model>>, Vec<Problem>> {
    let nothing = Planned { model: None, requires_replace: Vec::new(), preview: Vec::new(), problems: Vec::new() };
    let Some(prior) = prior else { return Ok(nothing) };
    // Its machines may go on under another resource.
    let is_handed_over = context.claims.is_held(prior.group.id.as_deref().unwrap_or_default());
    let change = if is_handed_over { None } else { data::of_removal::<L>(context, &prior, None).await };
    let problems = change.iter().filter_map(|change| data::warning(request, change)).collect();
    let layers = vec![layer_plan(&prior.group, names(&prior.group), Vec::new())];
    let preview = Preview { layers, data: change.into_iter().collect(), ..Preview::default() };
    let recovery = Recovery { is_removable: false, is_handed_over };
    Ok(Planned { preview: preview.encode(recovery), problems, ..nothing })
}

/// Which machines there are before and after. A host that replaces plans twice: first what is not to be changed in place,
/// and then what comes, with what was told of the first.
fn layers(request: &PlanRequest<'_>, prior: Option<&Group>, planned: &Group) -> Vec<preview::Layer> {
    let mut layers = Vec::new();
    let before = match prior {
        Some(prior) if (&prior.name, &prior.cloud) == (&planned.name, &planned.cloud) => names(prior),
        Some(prior) => {
            layers.push(layer_plan(prior, names(prior), Vec::new()));
            Vec::new()
        }
        None => {
            let told = Preview::decode(request.prior_private).map(|told| told.layers).unwrap_or_default();
            layers.extend(told.into_iter().take(1).map(|gone| preview::Layer { after: Vec::new(), ..gone }));
            Vec::new()
        }
    };
    // How many there will be may not be known yet.
    if planned.machines.is_some() {
        layers.push(layer_plan(planned, before, names(planned)));
    }
    layers
}

fn layer_plan(group: &Group, before: Vec<String>, after: Vec<String>) -> preview::Layer {
    let word = |text: &Option<String>| text.clone().unwrap_or_default();
    preview::Layer { name: word(&group.name), cloud: word(&group.cloud), before, after }
}

fn names(group: &Group) -> Vec<String> {
    group.machines().iter().map(|machine| machine.name.clone()).collect()
}

/// What becomes of data, and what data there will be.
async fn plan_data<L: Layer>(
    context: &Context,
    request: &PlanRequest<'_>,
    planned: &mut State<L::Model>,
    prior: Option<&State<L::Model>>,
    replaced: &[Path],
    preview: &mut Preview,
) -> Result<Vec<Problem>, Vec<Problem>> {
    if !L::HAS_DATA {
        return Ok(Vec::new());
    }
    let machines = planned.group.machines.as_ref().map(|machines| machines.len() as u64);
    let mut told_before = None;
    if let Some(prior) = prior {
        if replaced.is_empty() {
            planned.group.restored_from.get_or_insert_default();
            preview.data.extend(data::of_leaving::<L>(context, prior, planned).await);
            preview.data.extend(data::in_place::<L>(prior, planned));
        } else {
            planned.group.restored_from = None;
            let replacement = data::Replacement { planned: &*planned, forced_by: replaced };
            preview.data.extend(data::of_removal::<L>(context, prior, Some(replacement)).await);
        }
    } else {
        let former: Option<State<L::Model>> =
            context.claims.remembered(planned.group.id.as_deref().unwrap_or_default());
        let is_successor = !request.is_final && (former.is_some() || !request.prior_private.is_empty());
        told_before = Preview::decode(request.prior_private).and_then(|told| told.data.into_iter().next());
        if let Some(told) = told_before.take() {
            preview.data.push(data::of_successor(told, &planned.group));
            told_before = preview.data.last().cloned();
        } else if let Some(former) = former.filter(|_| is_successor) {
            // A host that replaces for its own reasons. Without a first plan it may also be a resource that was renamed,
            // which our own engine would have told.
            let is_replaced = !request.prior_private.is_empty() || request.address.is_none();
            if is_replaced {
                let replacement = data::Replacement { planned: &*planned, forced_by: &[] };
                preview.data.extend(data::of_removal::<L>(context, &former, Some(replacement)).await);
            }
        }
        let kept = data::kept::<L>(context, planned).await?;
        // What a predecessor will have left by then is known when it has.
        planned.group.restored_from = (!is_successor).then(|| data::owners(&kept));
        preview.data.extend(data::of_taking_up(context, &kept, &planned.group));
        if let Some(machines) = machines {
            let cures: Vec<&str> = kept.iter().map(|kept| kept.cure.as_str()).collect();
            data::refuse_fewer(machines, kept.len(), &cures)?;
        }
    }
    let carried = preview.data.iter().find(|change| change.fate == Fate::CarriedOver);
    if let (Some(carried), Some(machines)) = (carried, machines) {
        data::refuse_fewer(machines, carried.machines.len(), &[])?;
    }
    let new = preview.data.iter().filter(|change| Some(*change) != told_before.as_ref());
    Ok(new.filter_map(|change| data::warning(request, change)).collect())
}

/// A service that may not listen where it shall would only fail when it starts.
fn refuse_low_port<L: Layer>(context: &Context, planned: &State<L::Model>) -> Result<(), Vec<Problem>> {
    let (port, lowest) = (L::port(&planned.own), planned.group.driver(context)?.lowest_port());
    if L::wanted(&planned.own) == Some(0) || port >= lowest {
        return Ok(());
    }
    let cloud = planned.group.cloud.as_deref().unwrap_or_default();
    let detail = format!(
        "On the cloud {cloud:?} the services do not run as root and can listen on ports from {lowest} on; {port} is below. Take such a port, or let the system allow it: sysctl net.ipv4.ip_unprivileged_port_start={port}."
    );
    Err(vec![Problem::error("a port that only root may listen on", detail).at(L::port_at())])
}

/// What the cloud gives for machines that are to be made or to have another size; refuses what it does not have. Asked only
/// when there are any. Machines of one layer have one size: what was settled once holds until the user asks for another.
async fn offer<L: Layer>(
    context: &Context,
    planned: &mut State<L::Model>,
    prior: Option<&State<L::Model>>,
) -> Result<Option<String>, Vec<Problem>> {
    let is_new = |machine: &MachineModel| {
        prior.is_none_or(|prior| prior.group.machines().iter().all(|old| old.id != machine.id))
    };
    let has_new = planned.group.machines.is_none() || planned.group.machines().iter().any(is_new);
    let keeps_some = planned.group.machines().iter().any(|machine| !is_new(machine));
    let asked = |group: &Group| (group.size.clone(), group.cpu.unwrap_or(1), group.memory_gb.unwrap_or(1));
    let alike = prior.filter(|prior| asked(&prior.group) == asked(&planned.group));
    let driver = planned.group.driver(context)?.clone();
    // Of a layer that was imported, or is older than this record, nothing is recorded.
    let settled = alike.and_then(|prior| {
        let mut seen = prior.group.machines().iter().filter_map(|one| driver.size(&prior.group.key(one.id)));
        let unrecorded = || seen.next().map(|seen| planned.group.size.clone().unwrap_or(seen));
        prior.group.size_to_have().map(str::to_owned).or_else(unrecorded)
    });
    // Of what nobody has asked for anew and nobody has seen, nothing is decided here.
    let decides = settled.is_none() && (has_new || keeps_some) && (alike.is_none() || !keeps_some);
    if !decides {
        planned.group.machine_size = Some(settled.clone().unwrap_or_default());
    }
    if !has_new && !decides {
        return Ok(None);
    }
    let mut need = need::<L>(planned);
    need.size = settled.or(need.size);
    let offered = driver.offer(&need).await;
    let offered = offered.map_err(|error| vec![driver_problem("Looking for a size and an image", &error)])?;
    if decides {
        let is_known = ["size", "cpu", "memory_gb"].iter().all(|name| planned.is_known(&Path::attribute(*name)));
        planned.group.machine_size = is_known.then(|| offered.size.clone().unwrap_or_default());
    }
    if !has_new {
        return Ok(None);
    }
    let parts: Vec<String> = offered.size.into_iter().chain(offered.image).collect();
    Ok((!parts.is_empty()).then(|| format!("machines: {}", parts.join(", "))))
}

/// A machine that is stopped for another size, or is found stopped, may come back with another public address.
fn promise_addresses<M>(
    context: &Context,
    planned: &mut State<M>,
    prior: Option<&State<M>>,
) -> Result<(), Vec<Problem>> {
    let driver = planned.group.driver(context)?.clone();
    let may_change = planned.group.public == Some(true) && !driver.keeps_public_addresses();
    let Some(prior) = prior.filter(|_| may_change) else { return Ok(()) };
    let size = planned.group.machine_size.clone();
    let key = |id| prior.group.key(id);
    for machine in planned.group.machines.iter_mut().flatten() {
        let Some(old) = prior.group.machines().iter().find(|old| old.id == machine.id) else { continue };
        let is_resized = match (&size, driver.size(&key(old.id)).as_deref().or(prior.group.size_to_have())) {
            (Some(size), Some(has)) => !size.is_empty() && size != has,
            (None, _) => true,
            (Some(_), None) => false,
        };
        if is_resized || !old.is_up() {
            machine.address = None;
        }
    }
    Ok(())
}

/// Name, cloud and id.
fn plan_group<L: Layer>(
    context: &Context,
    request: &PlanRequest<'_>,
    prior: Option<&State<L::Model>>,
    planned: &mut State<L::Model>,
) -> Result<(), Vec<Problem>> {
    let from_address = || request.address.map(|address| Place::of(address).name);
    let group = &mut planned.group;
    let name = group.name.take().or_else(from_address).unwrap_or_else(|| L::DEFAULT_NAME.to_owned());
    if let Some(detail) = layer::name(&name) {
        return Err(vec![Problem::error("invalid name", detail).at(Path::attribute("name"))]);
    }
    let same_layer = prior.filter(|prior| prior.group.name.as_deref() == Some(name.as_str()));
    group.id = match same_layer {
        Some(prior) => prior.group.id.clone(),
        None => Some(format!("{}/{name}", context.scope)),
    };
    group.name = Some(name);
    group.cloud.get_or_insert_with(|| context.default_cloud.clone());
    if L::HAS_DATA {
        // What is not said any more is not what was said once: data is kept.
        group.on_destroy = match request.config.get("on_destroy") {
            Some(value) if !value.is_known() => None,
            value => Some(value.and_then(Value::as_str).unwrap_or(KEEP).to_owned()),
        };
    }
    group.driver(context).map(drop)
}

fn replaced_attributes<L: Layer>(
    request: &PlanRequest<'_>,
    prior: &State<L::Model>,
    planned: &State<L::Model>,
) -> Vec<Path> {
    let mut paths = Vec::new();
    if prior.group.name != planned.group.name {
        paths.push(Path::attribute("name"));
    }
    if prior.group.cloud != planned.group.cloud {
        paths.push(Path::attribute("cloud"));
    }
    let values = |state: &State<L::Model>| state.write().unwrap_or_default();
    let (before, after) = (values(prior), values(planned));
    for field in L::fields().iter().filter(|field| field.change == Some(Change::Replaces)) {
        let is_unknown = request.config.get(field.name).is_some_and(|value| !value.is_known());
        let (before, after) = (&before[field.name], &after[field.name]);
        // What an import could not tell is no difference.
        if !before.is_null() && (is_unknown || (!after.is_null() && before != after)) {
            paths.push(Path::attribute(field.name));
        }
    }
    paths
}

/// Machines that are gone are replaced by new ones with new ids; machines that failed are repaired. When some have
/// to leave, those that the user named go first, then those that failed, then those with the highest ids.
fn plan_machines<L: Layer>(
    context: &Context,
    planned: &mut State<L::Model>,
    prior: Option<&State<L::Model>>,
    wanted: u64,
) -> Result<(), Vec<Problem>> {
    let driver = planned.group.driver(context)?;
    let layer = planned.group.layer();
    let port = L::port(&planned.own);
    let group = &mut planned.group;
    let mut kept: Vec<MachineModel> = prior.map(|prior| prior.group.machines().to_vec()).unwrap_or_default();
    let mut last_id = prior.and_then(|prior| prior.group.last_id).unwrap_or(0);
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let named = context.leaving.get(&context.address).map(Vec::as_slice).unwrap_or_default();
    kept.retain(|machine| !named.contains(&machine.name));
    kept.sort_by_key(|machine| (machine.status != RUNNING, machine.id));
    kept.truncate(wanted);
    for machine in &mut kept {
        machine.port = port;
        RUNNING.clone_into(&mut machine.status);
    }
    let name = group.name.clone().unwrap_or_default();
    while kept.len() < wanted {
        last_id += 1;
        kept.push(MachineModel {
            id: last_id,
            name: format!("{name}-{last_id}"),
            address: driver.promised(&MachineKey { layer: layer.clone(), id: last_id }).map(|ip| ip.to_string()),
            port,
            status: RUNNING.to_owned(),
        });
    }
    kept.sort_by_key(|machine| machine.id);
    group.machines = Some(kept);
    group.last_id = Some(last_id);
    Ok(())
}

/// Renders every machine's files, before and after; digests follow from what can be rendered whole.
async fn plan_bundles<L: Layer>(
    context: &Context,
    planned: &mut State<L::Model>,
    prior: Option<&State<L::Model>>,
) -> Result<Preview, Vec<Problem>> {
    let mut preview =
        Preview { summary: L::summary(context, planned), sources: L::sources(&planned.own), ..Preview::default() };
    if planned.group.machines.is_none() {
        planned.group.bundles = None;
        return Ok(preview);
    }
    let after = rendered::<L>(context, planned)?;
    for machine in &after {
        refuse(refusals(&machine.name, &machine.bundle))?;
    }
    if context.simulation.is_some_and(|simulation| simulation.checks) {
        check(&after).await?;
    }
    let digest = |bundle: &Bundle| (!bundle.has_unknowns).then(|| bundle.digest());
    planned.group.bundles = Some(after.iter().map(|machine| (machine.name.clone(), digest(&machine.bundle))).collect());
    let mut before = Vec::new();
    if let Some(prior) = prior {
        let driver = prior.group.driver(context)?;
        let bundles = after.iter().map(|machine| (machine.name.as_str(), &machine.bundle)).collect();
        for (machine, files) in installed::before(context, &**driver, &prior.group, &bundles).await {
            let root = driver.layout(&prior.group.key(machine.id)).root.display().to_string();
            before.push(Before { name: machine.name, root, files });
        }
        let rollout = notes::rollout::<L>(&before, &after);
        drifted(context, &prior.group, &mut before);
        preview.notes = notes::machines::<L>(context, &prior.group, &planned.group);
        preview.notes.extend(notes::sizes::<L>(context, prior, planned));
        preview.notes.extend(rollout);
        preview.notes.extend(notes::beyond_files::<L>(prior, planned, !preview.notes.is_empty()));
    }
    add_machines(&mut preview, before, after, context.simulation.is_some());
    Ok(preview)
}

fn rendered<L: Layer>(context: &Context, state: &State<L::Model>) -> Result<Vec<Rendered>, Vec<Problem>> {
    let driver = state.group.driver(context)?;
    let bundles = L::bundles(context, state)?.into_iter();
    let machines = state.group.machines().iter().zip(bundles);
    let rendered = machines.map(|(machine, bundle)| {
        let root = driver.layout(&state.group.key(machine.id)).root.display().to_string();
        Rendered { name: machine.name.clone(), address: machine.address.clone(), root, bundle }
    });
    Ok(rendered.collect())
}

/// Puts what is really there in the place of what was installed, so that the plan shows the lines that come back.
fn drifted(context: &Context, prior: &Group, before: &mut [Before]) {
    for machine in prior.machines().iter().filter(|machine| machine.status != RUNNING) {
        let drift = context.findings.of(&prior.key(machine.id)).drift;
        let Some(before) = before.iter_mut().find(|before| before.name == machine.name) else { continue };
        let files = &mut before.files.0;
        for one in drift {
            match (one.found, one.kind) {
                (Some(found), _) => {
                    // Nobody knows what is in a file that nobody installed.
                    let secret = files.get(&one.path).is_none_or(|file| file.entry.secret);
                    let content = Content::from(found.content);
                    let entry = Entry::of(one.path.clone(), &content, found.mode, secret);
                    files.insert(one.path, InstalledFile { entry, content: Some(content) });
                }
                (None, DriftKind::Removed) => drop(files.remove(&one.path)),
                (None, _) => {}
            }
        }
    }
}

/// Each starts a daemon.
const CHECKS_AT_ONCE: usize = 4;

/// Lets the daemons check what they would be given. What holds values that are not known yet cannot be checked.
async fn check(machines: &[Rendered]) -> Result<(), Vec<Problem>> {
    let known: Vec<&Rendered> = machines.iter().filter(|machine| !machine.bundle.has_unknowns).collect();
    let mut failures = Vec::new();
    for some in known.chunks(CHECKS_AT_ONCE) {
        let checks = some.iter().map(|one| local::check::check(one.root.as_ref(), &one.name, &one.bundle));
        failures.extend(join_all(checks).await.into_iter().filter_map(Result::err));
    }
    let problem = |error| match error {
        DriverError::Check { service, machine, output } => Problem::error(
            "configuration refused",
            format!("{service} refuses its configuration of {machine}:\n{output}"),
        ),
        other => driver_problem("The daemons' syntax check", &other),
    };
    let problems: Vec<Problem> = failures.into_iter().map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
