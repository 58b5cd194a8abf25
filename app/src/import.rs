//! What exists already becomes an object of the stack.

use std::collections::BTreeMap;

use compiler::addr::InstanceAddr;
use compiler::diag::suggest::there_is;
use engine::plan::{Plan, PlanOptions};
use engine::state::journal::Record;

use crate::failure::{Result, refuse};
use crate::planning::{PlanRequest, make};
use crate::stack::Stack;
use crate::state::Opened;

/// Finds an object by what its provider knows it by, and records it. Nothing that exists is touched; the plan says what an
/// apply would change of it.
pub async fn import(stack: &Stack, request: &PlanRequest, addr: &InstanceAddr, id: &str) -> Result<Plan> {
    let options = request.options()?;
    let mut opened = request.state.open(&stack.host, "import").await?;
    match import_into(stack, request, options, addr, id, &mut opened).await {
        Ok(plan) => opened.close().await.map(|()| plan),
        Err(failure) => Err(opened.give_up(failure).await),
    }
}

async fn import_into(
    stack: &Stack,
    request: &PlanRequest,
    options: PlanOptions,
    addr: &InstanceAddr,
    id: &str,
    opened: &mut Opened,
) -> Result<Plan> {
    if opened.store.state().instances.contains_key(addr) {
        refuse!("{addr} is in the state already; nothing was changed");
    }
    let adopt = BTreeMap::from([(addr.clone(), id.to_owned())]);
    let options = PlanOptions { adopt, ..options };
    let planned = make(stack, request.inputs.clone(), opened.known(), options, request.parallelism).await?;
    planned.end().await;
    let plan = planned.plan;
    if let Some(from) = plan.moves.get(addr) {
        refuse!("{addr} is in the state already, as {from}; nothing was changed");
    }
    let Some(instance) = plan.changes.get(addr).and_then(|change| change.adopted.clone()) else {
        let known: Vec<String> = plan.changes.keys().map(ToString::to_string).collect();
        refuse!("the stack has no {addr}; describe it first. {}", there_is(&known, "other objects"));
    };
    opened.store.record(Record::Put { addr: addr.clone(), instance: Box::new(instance.instance) })?;
    opened.store.fold()?;
    Ok(plan)
}
