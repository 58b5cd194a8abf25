//! Bringing one machine to its bundle.

use value::Problem;

use super::machines::refusals;
use crate::bundle::{InForce, Service, TakesUp};
use crate::driver::{Status, driver_problem, timestamp};
use crate::layer::{Began, Layer, Node, Until};

/// The file on a machine that says what its services have taken up ([`InForce`], as JSON). Without it, or with that of an
/// older version, they are taken to have taken up nothing.
pub(super) const IN_FORCE: &str = "run/loaded";

/// A machine as it was found.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) is_up: bool,
    /// Services that have not taken up what the bundle has for them.
    stale: Vec<Service>,
    /// Whether the files of the application are others.
    is_release: bool,
    /// Whether an earlier apply has seen the machine work with this very bundle.
    is_done: bool,
    /// Files that services read are not as they were installed: they come back, and are taken up.
    is_changed: bool,
    /// It gets this size.
    pub(super) resize: Option<String>,
    /// It has left, in an apply that did not end: it does no work.
    pub(super) is_away: bool,
}

impl Survey {
    /// Whether something that is in force changes.
    pub(super) fn changes(&self) -> bool {
        self.is_release || self.is_changed || self.resize.is_some() || !self.stale.is_empty()
    }

    /// Whether the machine can do no work in between.
    fn has_to_leave(&self) -> bool {
        self.is_release
            || self.resize.is_some()
            || self.stale.iter().any(|service| service.takes_up == TakesUp::ByRestart)
    }
}

/// `recorded` is the digest of the bundle that it was last seen to work with.
pub(super) async fn survey<L: Layer>(node: &Node<L>, recorded: Option<&str>) -> Result<Survey, Problem> {
    let status = node.driver.status(&node.key).await;
    let status = status.map_err(|error| driver_problem(&format!("Looking at {}", node.machine.name), &error))?;
    let (found, is_away) = if status.is_up() {
        (node.driver.read(&node.key, IN_FORCE).await.ok().flatten(), L::is_away(&*node.driver, &node.key).await)
    } else {
        (None, false)
    };
    let found: Option<InForce> = found.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let (found, wanted) = (found.unwrap_or_default(), node.bundle.in_force());
    let is_stale = |service: &&Service| found.services.get(service.name) != wanted.services.get(service.name);
    let size = node.layer.group.size_to_have();
    Ok(Survey {
        is_up: status.is_up(),
        stale: node.bundle.services.iter().filter(is_stale).cloned().collect(),
        is_release: found.application != wanted.application,
        is_done: recorded == Some(node.bundle.digest().as_str()),
        is_changed: status == Status::Changed,
        resize: size
            .filter(|wanted| node.driver.size(&node.key).is_some_and(|size| size != *wanted))
            .map(str::to_owned),
        is_away,
    })
}

/// The machine leaves if it has to and others work on; gets its files; its services take them up.
pub(super) async fn bring_up<L: Layer>(mut node: Node<L>, survey: &Survey) -> Result<(), Problem> {
    refuse_full(&node).await?;
    if survey.is_up && node.others_work && survey.has_to_leave() {
        leave(&mut node).await?;
    }
    let mut is_up = survey.is_up;
    if let Some(size) = &survey.resize {
        node.was_off = true;
        if let Err(problem) = resize(&node, size).await {
            // It serves on with the size and the files that it has, if it can.
            if start_services(&node).await.is_ok()
                && let Err(problem) = L::rejoin(&node).await
            {
                tracing::warn!("{}: {}", problem.summary, problem.detail);
            }
            return Err(problem);
        }
        is_up = false;
    }
    let changed = install(&node).await?;
    let began = if is_up { take_up(&mut node, survey, &changed).await? } else { start(&node).await? };
    L::ready(&node, began).await?;
    // Also what a run that was cut off has left waiting.
    L::rejoin(&node).await?;
    match began {
        Began::Started => node.tell(L::ROLLOUT.started),
        Began::Restarted => node.tell("restarted"),
        Began::TookUp => node.tell("reloaded"),
        Began::Nothing => {}
    }
    Ok(())
}

async fn leave<L: Layer>(node: &mut Node<L>) -> Result<(), Problem> {
    if !node.has_left {
        L::leave(node, Until::Changed).await?;
        node.has_left = true;
    }
    Ok(())
}

/// Running services take up what they have not, and what was changed by hand and came back: nobody knows what of that has
/// been in force.
async fn take_up<L: Layer>(node: &mut Node<L>, survey: &Survey, changed: &[String]) -> Result<Began, Problem> {
    let is_concerned =
        |service: &&Service| survey.stale.contains(service) || changed.iter().any(|path| service.reads(path));
    let concerned: Vec<Service> = node.bundle.services.iter().filter(is_concerned).cloned().collect();
    let (restarted, taking_up): (Vec<Service>, Vec<Service>) =
        concerned.into_iter().partition(|service| service.takes_up == TakesUp::ByRestart);
    if !restarted.is_empty() {
        if node.others_work {
            leave(node).await?;
        }
        stop(node, &restarted).await?;
    }
    if !taking_up.is_empty() {
        L::take_up(node, &taking_up).await?;
    }
    if !restarted.is_empty() || !taking_up.is_empty() || survey.changes() {
        note(node).await?;
    }
    start_services(node).await?;
    Ok(match (restarted.is_empty(), taking_up.is_empty() && survey.is_done) {
        (false, _) => Began::Restarted,
        (true, false) => Began::TookUp,
        (true, true) => Began::Nothing,
    })
}

/// Whatever runs there is stopped politely before the machine is.
async fn resize<L: Layer>(node: &Node<L>, size: &str) -> Result<(), Problem> {
    stop(node, &node.bundle.services).await?;
    node.tell(&format!("is stopped, to become a {size}"));
    let name = &node.machine.name;
    let failed = |what: &str, error| driver_problem(&format!("{what} {name}"), &error);
    node.driver.resize(&node.key, size).await.map_err(|error| failed("Giving another size to", error))?;
    let tell = |what: &str| node.tell(what);
    node.driver.await_boot(&node.key, &tell).await.map_err(|error| failed("Waiting for", error))
}

/// Starts a machine of which nothing or a part runs.
async fn start<L: Layer>(node: &Node<L>) -> Result<Began, Problem> {
    // A part of it may run, or come back by itself meanwhile, with what was there before.
    stop(node, &node.bundle.services).await?;
    L::before_start(node).await?;
    // What is started reads what is there now. Were this noted later, a run that is cut off in between would have it
    // restarted for nothing.
    note(node).await?;
    start_services(node).await?;
    Ok(Began::Started)
}

async fn start_services<L: Layer>(node: &Node<L>) -> Result<(), Problem> {
    let started = node.driver.start(&node.key, &node.bundle.services).await;
    started.map_err(|error| driver_problem(&format!("Starting {}", node.machine.name), &error))
}

/// Stops services, and makes sure of it: one that runs on would go on with what it has, and be noted as if it had not.
async fn stop<L: Layer>(node: &Node<L>, services: &[Service]) -> Result<(), Problem> {
    let name = &node.machine.name;
    let stopped = node.driver.stop(&node.key, services).await;
    stopped.map_err(|error| driver_problem(&format!("Stopping {name}"), &error))?;
    let status = node.driver.status(&node.key).await;
    let status = status.map_err(|error| driver_problem(&format!("Looking at {name}"), &error))?;
    if status.is_up() {
        let names: Vec<&str> = services.iter().map(|service| service.name).collect();
        let detail = format!("{} of {name} did not stop, so nothing was started. Apply again.", names.join(" and "));
        return Err(Problem::error("a service did not stop", detail));
    }
    Ok(())
}

async fn note<L: Layer>(node: &Node<L>) -> Result<(), Problem> {
    let in_force = InForce { since: timestamp(), ..node.bundle.in_force() };
    let text = serde_json::to_vec(&in_force).expect("digests are plain JSON");
    let noted = node.driver.write(&node.key, IN_FORCE, &text).await;
    noted.map_err(|error| driver_problem(&format!("Noting what is in force on {}", node.machine.name), &error))
}

/// Nothing here makes room, and what could be written by chance helps nobody: who serves goes on as it is.
async fn refuse_full<L: Layer>(node: &Node<L>) -> Result<(), Problem> {
    let name = &node.machine.name;
    let status = node.driver.status(&node.key).await;
    let status = status.map_err(|error| driver_problem(&format!("Looking at {name}"), &error))?;
    let Status::Full(what) = status else { return Ok(()) };
    let detail = format!("{what}, so {name} cannot work. Make room there and apply again.");
    Err(Problem::error("the disk is full", detail))
}

/// Returns the paths that changed.
async fn install<L: Layer>(node: &Node<L>) -> Result<Vec<String>, Problem> {
    let (key, bundle, name) = (&node.key, &*node.bundle, &node.machine.name);
    let mut problems = refusals(name, bundle);
    if bundle.has_unknowns {
        let detail = format!("A file of {name} holds a value that is still not known. Nothing was installed.");
        problems.push(Problem::error("a value is not known", detail));
    }
    if let Some(problem) = problems.into_iter().next() {
        return Err(problem);
    }
    let changed = node.driver.install(key, bundle).await;
    changed.map_err(|error| driver_problem(&format!("Installing the files of {name}"), &error))
}
