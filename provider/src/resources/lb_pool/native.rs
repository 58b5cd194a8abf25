//! Load balancers of the cloud itself: no machine of ours, so no bundle either.

use std::collections::BTreeSet;

use value::{Path, Problem, Step};

use super::{LbPool, Model, NATIVE, check};
use crate::context::Context;
use crate::driver::{Balancer, Balancers, Driver, driver_problem};
use crate::layer::{Layer, State};

pub(super) fn is_native(own: &Model) -> bool {
    own.kind.as_deref() == Some(NATIVE)
}

/// Refuses what the cloud's load balancers cannot do; the servers are known as soon as their addresses are.
pub(super) fn plan(context: &Context, planned: &mut State<Model>) -> Result<(), Vec<Problem>> {
    let cloud = planned.group.cloud.clone().unwrap_or_else(|| context.default_cloud.clone());
    let traits = balancers(&**planned.group.driver(context)?, &cloud)?.traits();
    let algorithm = planned.own.algorithm.as_deref().unwrap_or_default();
    if !traits.algorithms.contains(&algorithm) {
        let detail = format!(
            "The load balancers of the cloud {cloud:?} have no algorithm {algorithm:?}. They have: {}.",
            traits.algorithms.join(", ")
        );
        return Err(vec![Problem::error("the cloud does not have it", detail).at(Path::attribute("algorithm"))]);
    }
    let interval = check(&planned.own).interval_ms;
    if interval < traits.shortest_check_ms {
        let shortest = traits.shortest_check_ms;
        let detail = format!(
            "The load balancers of the cloud {cloud:?} check every {shortest} ms at most, and {interval} ms are asked for. Write health_check = {{ interval_ms = {shortest} }} on the layer behind it: a node that leaves waits for three checks, so that no request is lost."
        );
        let at = Path::attribute("health_check").then(Step::Attribute("interval_ms".into()));
        return Err(vec![Problem::error("checks too often", detail).at(at)]);
    }
    planned.own.targets = targets(&planned.own);
    Ok(())
}

fn balancers<'d>(driver: &'d dyn Driver, cloud: &str) -> Result<&'d dyn Balancers, Vec<Problem>> {
    driver.balancers().ok_or_else(|| {
        let detail =
            format!("The cloud {cloud:?} has no load balancers of its own. Leave `kind` away, or write \"haproxy\".");
        vec![Problem::error("the cloud does not have it", detail).at(Path::attribute("kind"))]
    })
}

fn targets(own: &Model) -> Option<BTreeSet<String>> {
    let machines = own.backend.as_ref()?.machines.as_ref()?;
    machines.iter().map(|machine| Some(format!("{}:{}", machine.address.as_deref()?, machine.port?))).collect()
}

pub(super) async fn apply(context: &Context, state: &mut State<Model>) -> Result<(), Vec<Problem>> {
    let driver = state.group.driver(context)?.clone();
    let own = &state.own;
    let check = check(own);
    let balancer = Balancer {
        layer: state.group.layer(),
        port: LbPool::port(own),
        algorithm: own.algorithm.clone().unwrap_or_default(),
        check_path: check.path.to_owned(),
        check_interval_ms: check.interval_ms,
        fall: check.fall,
        rise: check.rise,
        targets: targets(own).unwrap_or_default(),
    };
    let cloud = state.group.cloud.as_deref().unwrap_or(&context.default_cloud);
    let host = balancers(&*driver, cloud)?.set(&balancer).await;
    let host = host.map_err(|error| vec![driver_problem("Making the load balancer", &error)])?;
    context.progress(&format!("ready at {host}"));
    fill_in(state, Some(host));
    state.own.targets = Some(balancer.targets);
    Ok(())
}

pub(super) async fn read(context: &Context, state: &mut State<Model>) -> Vec<Problem> {
    let driver = match state.group.driver(context) {
        Ok(driver) => driver.clone(),
        Err(problems) => return problems,
    };
    let Some(balancers) = driver.balancers() else { return Vec::new() };
    match balancers.find(&state.group.layer()).await {
        Ok(Some(seen)) => {
            fill_in(state, Some(seen.host));
            state.own.targets = Some(seen.targets);
            Vec::new()
        }
        // Its address is not known again, so the next plan has it made.
        Ok(None) => {
            fill_in(state, None);
            state.own.targets = Some(BTreeSet::new());
            Vec::new()
        }
        Err(error) => vec![driver_problem("Looking at the load balancer", &error)],
    }
}

fn fill_in(state: &mut State<Model>, host: Option<String>) {
    state.own.url = host.as_ref().map(|host| format!("http://{host}:{}", LbPool::port(&state.own)));
    state.own.address = host;
}
