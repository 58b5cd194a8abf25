//! What people are told of a layer that is there: how its machines are, and what their daemons have written.

use futures_util::future::join_all;
use proto::dialect::{
    LayerReport, LogPart, LogPlace, LogsAsked, LogsTold, MachineReport, ScaleTold, ServiceReport, ShellAsked, ShellTold,
};
use value::Problem;

use super::node::IN_FORCE;
use super::read::read;
use crate::bundle::{Daemon, InForce};
use crate::context::Context;
use crate::driver::{Driver, MachineKey, Shell, Status, driver_problem};
use crate::field::Change;
use crate::layer::{Layer, MachineModel, RUNNING, State};

/// Enough for a message.
const MESSAGE_BYTES: u64 = 4096;

/// How its machines are, as a plan would find them.
pub(super) async fn status<L: Layer>(context: &Context, state: &State<L::Model>) -> Result<LayerReport, Vec<Problem>> {
    let driver = state.group.driver(context)?;
    let found = driver.list(&state.group.layer()).await;
    let found = found.map_err(|error| vec![driver_problem("Looking at the machines", &error)])?;
    let (seen, problems) = read::<L>(context, state.clone()).await;
    if problems.iter().any(Problem::is_error) {
        return Err(problems);
    }
    let seen = seen.as_ref().map(|seen| seen.group.machines()).unwrap_or_default();
    let found = &found;
    let looks = state.group.machines().iter().map(|known| async move {
        let key = state.group.key(known.id);
        let now = seen.iter().find(|machine| machine.id == known.id);
        let Some((now, machine)) = now.zip(found.iter().find(|machine| machine.key == key)) else {
            return gone(known);
        };
        let finding = context.findings.of(&key);
        let since = driver.read(&key, IN_FORCE).await.ok().flatten();
        let since = since.and_then(|bytes| serde_json::from_slice::<InForce>(&bytes).ok()).map(|note| note.since);
        MachineReport {
            name: known.name.clone(),
            address: now.address.clone(),
            status: now.status.clone(),
            is_well: now.status == RUNNING,
            detail: finding.detail,
            drift: finding.drift.iter().map(ToString::to_string).collect(),
            files: state.group.bundles.as_ref().and_then(|bundles| bundles.get(&known.name)?.clone()),
            // The machine's services may write there.
            since: since.filter(|since| since.parse::<jiff::Timestamp>().is_ok()),
            services: services(&**driver, &key, &machine.status).await,
        }
    });
    let machines = join_all(looks).await;
    let cloud = state.group.cloud.clone().unwrap_or_else(|| context.default_cloud.clone());
    Ok(LayerReport { layer: state.group.layer().to_string(), cloud, machines })
}

/// What the state has and the cloud has not.
fn gone(known: &MachineModel) -> MachineReport {
    MachineReport {
        name: known.name.clone(),
        address: known.address.clone(),
        status: "gone".to_owned(),
        is_well: false,
        detail: "the cloud has no such machine".to_owned(),
        drift: Vec::new(),
        files: None,
        since: None,
        services: Vec::new(),
    }
}

async fn services(driver: &dyn Driver, key: &MachineKey, status: &Status) -> Vec<ServiceReport> {
    let mut reports = Vec::new();
    for service in installed(driver, key).await {
        let is_running = match status {
            Status::Running | Status::Changed | Status::Full(_) => true,
            Status::Hung { service: hung, .. } => *hung != service.name,
            Status::Stopped(stopped) => !stopped.contains(&service.name),
            Status::Created | Status::Failed(_) => false,
        };
        let last_message = match service.logs.first().filter(|_| !is_running) {
            Some(path) => last_line(driver, key, path).await,
            None => None,
        };
        reports.push(ServiceReport { name: service.name, is_running, last_message });
    }
    reports
}

/// The services of a machine, by the manifest that was left with its files.
async fn installed(driver: &dyn Driver, key: &MachineKey) -> Vec<Daemon> {
    driver.installed(key).await.ok().flatten().map(|manifest| manifest.services).unwrap_or_default()
}

async fn last_line(driver: &dyn Driver, key: &MachineKey, path: &str) -> Option<String> {
    let (bytes, _) = driver.tail(key, path, None, MESSAGE_BYTES).await.ok()??;
    let text = String::from_utf8_lossy(&bytes);
    text.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned)
}

/// What says how many machines there are.
pub(super) fn scale<L: Layer>(state: &State<L::Model>) -> ScaleTold {
    let fields = L::fields();
    let attribute = fields.iter().find(|field| field.change == Some(Change::Scales));
    ScaleTold {
        attribute: attribute.filter(|_| !L::is_managed(&state.own)).map(|field| field.name.to_owned()),
        machines: state.group.machines().iter().map(|machine| machine.name.clone()).collect(),
    }
}

/// How a person gets onto a machine.
pub(super) async fn shell<L: Layer>(
    context: &Context,
    state: &State<L::Model>,
    asked: &ShellAsked,
) -> Result<ShellTold, Vec<Problem>> {
    let Some(machine) = state.group.machines().iter().find(|machine| machine.name == asked.machine) else {
        return Ok(ShellTold::default());
    };
    let shell = state.group.driver(context)?.shell(&state.group.key(machine.id)).await;
    let shell = shell.map_err(|error| vec![driver_problem(&format!("Finding the way to {}", machine.name), &error)])?;
    Ok(match shell {
        Shell::Command(command) => ShellTold { command, folder: None },
        Shell::Folder(folder) => ShellTold { command: Vec::new(), folder: Some(folder.display().to_string()) },
    })
}

/// The ends of all logs, or what has come since the last answer.
pub(super) async fn logs<L: Layer>(
    context: &Context,
    state: &State<L::Model>,
    asked: &LogsAsked,
) -> Result<LogsTold, Vec<Problem>> {
    let group = &state.group;
    let driver = group.driver(context)?;
    let each = group.machines().iter().map(|machine| async move {
        let key = group.key(machine.id);
        let mut told = LogsTold::default();
        // A machine that does not answer now may the next time: where it was read to is not forgotten.
        told.places.extend(asked.places.iter().filter(|place| place.machine == machine.name).cloned());
        for service in installed(&**driver, &key).await {
            for path in service.logs {
                let is_it = |place: &LogPlace| place.machine == machine.name && place.path == path;
                let from = told.places.iter().find(|place| is_it(place)).map(|place| place.offset);
                let part = match driver.tail(&key, &path, from, asked.bytes).await {
                    Ok(Some((bytes, end))) => whole_lines(&bytes, end, from.is_none(), asked.bytes),
                    // It has no log yet.
                    Ok(None) => continue,
                    Err(error) => {
                        told.problems.push(format!("{path} of {}: {}", machine.name, error.explain()));
                        continue;
                    }
                };
                let (text, offset) = part;
                told.places.retain(|place| !is_it(place));
                told.places.push(LogPlace { machine: machine.name.clone(), path: path.clone(), offset });
                if !text.is_empty() {
                    let (machine, service) = (machine.name.clone(), service.name.clone());
                    told.parts.push(LogPart { machine, service, path, text });
                }
            }
        }
        told
    });
    let mut told = LogsTold::default();
    for of_machine in join_all(each).await {
        told.places.extend(of_machine.places);
        told.parts.extend(of_machine.parts);
        told.problems.extend(of_machine.problems);
    }
    Ok(told)
}

/// Lines that are whole, and where the next one begins. `end` is where the bytes end in the file.
fn whole_lines(bytes: &[u8], end: u64, is_beginning: bool, limit: u64) -> (String, u64) {
    // The end of a file may begin in the middle of a line.
    let cut = is_beginning && bytes.len() as u64 == limit;
    let start = if cut { bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1) } else { 0 };
    let last = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    // A line that is longer than what is asked for is told in parts.
    let last = if last == 0 && bytes.len() as u64 == limit { bytes.len() } else { last };
    let text = bytes.get(start..last).map(String::from_utf8_lossy).unwrap_or_default();
    (text.into_owned(), end - (bytes.len() - last) as u64)
}

#[cfg(test)]
mod tests {
    use super::whole_lines;

    #[test]
    fn only_whole_lines_are_told_and_none_twice() {
        assert_eq!(whole_lines(b"one\ntwo\nth", 110, false, 100), ("one\ntwo\n".to_owned(), 108));
        assert_eq!(whole_lines(b"ne\ntwo\n", 7, true, 7), ("two\n".to_owned(), 7));
        assert_eq!(whole_lines(b"thr", 3, false, 100), (String::new(), 0));
        assert_eq!(whole_lines(b"long", 4, false, 4), ("long".to_owned(), 4));
    }
}
