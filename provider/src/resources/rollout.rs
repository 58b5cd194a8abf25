//! Steps that layers share: making machines, bringing bundles onto them, waiting, taking machines away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use value::Problem;

use crate::bundle::Bundle;
use crate::driver::{Driver, MachineKey};
use crate::resource::{Context, Group, MachineModel, OWNER, RUNNING, driver_problem};

pub(super) const POLL: Duration = Duration::from_millis(50);

/// Makes the machines that have no address yet, all at once, and fills their addresses in. Machines that exist
/// already, from a run that was cut off, are taken over.
pub(super) async fn make_machines(context: &Context, group: &mut Group) -> Vec<Problem> {
    let driver = match context.driver(group) {
        Ok(driver) => driver.clone(),
        Err(problems) => return problems,
    };
    let mut tasks = JoinSet::new();
    for machine in group.machines().iter().filter(|machine| machine.address.is_none()) {
        let (driver, key, owner) =
            (driver.clone(), group.key(machine.id), group.generation.clone().unwrap_or_default());
        tasks.spawn(async move {
            let made = driver.create(&key).await;
            let owned = driver.write(&key, OWNER, owner.as_bytes()).await;
            (key.id, made.and_then(|made| owned.map(|()| made)))
        });
    }
    let mut problems = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let Ok((id, made)) = done else { continue };
        match made {
            Ok(made) => {
                let machines = group.machines.iter_mut().flatten();
                machines
                    .filter(|machine| machine.id == id)
                    .for_each(|machine| machine.address = Some(made.address.to_string()));
            }
            Err(error) => problems.push(driver_problem(&format!("Making {}", group.key(id).name()), &error)),
        }
    }
    // What could not be made is not there.
    if let Some(machines) = &mut group.machines {
        machines.retain(|machine| machine.address.is_some());
    }
    problems
}

/// Machines of the layer that exist and are not among those that shall be: left by a run that was cut off.
pub(crate) async fn strays(driver: &dyn Driver, group: &Group) -> Vec<MachineKey> {
    let Ok(existing) = driver.list(&group.layer()).await else { return Vec::new() };
    let wanted = |id: u64| group.machines().iter().any(|machine| machine.id == id);
    existing.into_iter().map(|machine| machine.key).filter(|key| !wanted(key.id)).collect()
}

/// The file on a machine that says with which bundle its services run.
const LOADED: &str = "run/loaded";

/// Whether the services run with what the bundle says; not so after a run that was cut off before the reload.
pub(super) async fn is_loaded(driver: &dyn Driver, key: &MachineKey, bundle: &Bundle) -> bool {
    driver.read(key, LOADED).await.ok().flatten().is_some_and(|digest| digest == bundle.digest().as_bytes())
}

pub(super) async fn note_loaded(driver: &dyn Driver, key: &MachineKey, bundle: &Bundle) -> Result<(), Problem> {
    let noted = driver.write(key, LOADED, bundle.digest().as_bytes()).await;
    noted.map_err(|error| driver_problem(&format!("Noting what {} runs with", key.name()), &error))
}

/// What became of one machine's bundle.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) changed: Vec<String>,
}

pub(super) async fn install(driver: &dyn Driver, key: &MachineKey, bundle: &Bundle) -> Result<Installed, Problem> {
    debug_assert!(!bundle.has_unknowns);
    let changed = driver.install(key, bundle).await;
    let changed =
        changed.map_err(|error| driver_problem(&format!("Installing the files of {}", key.name()), &error))?;
    Ok(Installed { changed })
}

pub(super) async fn start(driver: &dyn Driver, key: &MachineKey, bundle: &Bundle) -> Result<(), Problem> {
    let started = driver.start(key, &bundle.services).await;
    started.map_err(|error| driver_problem(&format!("Starting {}", key.name()), &error))
}

/// Waits until a page answers 200.
pub(super) async fn wait_until_healthy(
    driver: &dyn Driver,
    key: &MachineKey,
    port: u16,
    path: &str,
    patience: Duration,
) -> Result<(), Problem> {
    let deadline = Instant::now() + patience;
    let mut last = None;
    while Instant::now() < deadline {
        last = driver.probe(key, port, path).await.map(|(status, _)| status);
        if last == Some(200) {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    let found = last.map_or_else(|| "nobody answered".to_owned(), |status| format!("the answer was {status}"));
    Err(Problem::error(
        "a machine is not healthy",
        format!(
            "{} did not answer 200 on {path} (port {port}) within {} s: {found}. Its logs are in {}. What was made is recorded; apply again to go on.",
            key.name(),
            patience.as_secs(),
            driver.layout(key).path("log"),
        ),
    ))
}

/// Stops and removes a machine and the copies of its files.
pub(crate) async fn remove(
    context: &Context,
    driver: &dyn Driver,
    key: &MachineKey,
    bundle: Option<&Bundle>,
) -> Result<(), Problem> {
    let failed = |error| driver_problem(&format!("Removing {}", key.name()), &error);
    if let Some(bundle) = bundle {
        driver.stop(key, &bundle.services).await.map_err(failed)?;
    }
    driver.delete(key).await.map_err(failed)?;
    let _ = std::fs::remove_dir_all(context.bundle_dir.join(key.name()));
    context.progress(&format!("{} removed", key.name()));
    Ok(())
}

/// Notes the digest of what was installed, and leaves a copy of the files for people.
pub(super) fn record_bundle(context: &Context, group: &mut Group, machine: &str, bundle: &Bundle) {
    group.bundles.get_or_insert_default().insert(machine.to_owned(), Some(bundle.digest()));
    // The copies are a convenience: if they cannot be written, the machines are right all the same.
    if let Err(error) = write_copy(context, machine, bundle) {
        tracing::warn!("the copy of the files of {machine} could not be written: {error}");
    }
}

fn write_copy(context: &Context, machine: &str, bundle: &Bundle) -> std::io::Result<()> {
    let folder = context.bundle_dir.join(machine);
    let _ = std::fs::remove_dir_all(&folder);
    for (path, file) in &bundle.files {
        let target = folder.join(path);
        std::fs::create_dir_all(target.parent().unwrap_or(&folder))?;
        let content = if file.secret { file.shown().into_bytes() } else { file.content.clone() };
        std::fs::write(target, content)?;
    }
    let manifest = serde_json::to_string_pretty(&bundle.manifest())?;
    std::fs::write(folder.join("manifest.json"), manifest)
}

/// Bundles by machine name.
pub(super) fn by_name(group: &Group, bundles: Vec<Bundle>) -> BTreeMap<String, Bundle> {
    group.machines().iter().map(|machine| machine.name.clone()).zip(bundles).collect()
}

pub(super) fn mark_running(group: &mut Group, id: u64) {
    let machines = group.machines.iter_mut().flatten();
    machines.filter(|machine| machine.id == id).for_each(|machine| RUNNING.clone_into(&mut machine.status));
}

/// Machines of `before` that are not in `after`.
pub(super) fn leaving(before: &[MachineModel], after: &[MachineModel]) -> Vec<MachineModel> {
    before.iter().filter(|old| after.iter().all(|new| new.id != old.id)).cloned().collect()
}
