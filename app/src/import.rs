//! What exists already becomes an object of the stack.

use std::collections::BTreeMap;

use compiler::addr::InstanceAddr;
use engine::plan::{Plan, PlanOptions};
use engine::state::journal::Record;

use crate::failure::{Result, refuse};
use crate::planning::{PlanRequest, make};
use crate::stack::Stack;

/// Finds an object by what its provider knows it by, and records it. Nothing that exists is touched; the plan says what an
/// apply would change of it.
pub async fn import(stack: &Stack, request: &PlanRequest, addr: &InstanceAddr, id: &str) -> Result<Plan> {
    let options = request.options()?;
    let mut store = request.state.open(&stack.host, "import")?;
    if store.state().instances.contains_key(addr) {
        refuse!("{addr} is in the state already; nothing was changed");
    }
    let adopt = BTreeMap::from([(addr.clone(), id.to_owned())]);
    let options = PlanOptions { adopt, ..options };
    let planned = make(stack, request.inputs.clone(), store.known(), options, request.parallelism).await?;
    planned.end().await;
    let plan = planned.plan;
    if let Some(from) = plan.moves.get(addr) {
        refuse!("{addr} is in the state already, as {from}; nothing was changed");
    }
    let Some(instance) = plan.changes.get(addr).and_then(|change| change.adopted.clone()) else {
        let known: Vec<String> = plan.changes.keys().map(ToString::to_string).collect();
        refuse!("the stack has no {addr}; describe it first. The stack has: {}", known.join(", "));
    };
    store.record(Record::Put { addr: addr.clone(), instance })?;
    store.fold()?;
    Ok(plan)
}
