//! `lampwright import`.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::Args;
use compiler::addr::InstanceAddr;
use engine::plan::show::ShowOptions;
use engine::plan::{Goal, PlanOptions};
use engine::state::journal::Record;

use super::InputArgs;
use super::plan::{CommonArgs, make, open_store, show_plan};
use crate::session::Session;
use crate::{exit, ui};

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Where it is in the stack, such as module.lamp.mongo_replset.db; the stack must describe it already
    address: String,
    /// What the provider knows it by; a layer: SCOPE/NAME, or CLOUD:SCOPE/NAME
    id: String,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// Finds the object, records it, and shows what an apply would change of it. Nothing that exists is touched.
pub(crate) async fn run(args: &ImportArgs) -> anyhow::Result<u8> {
    let Some(addr) = InstanceAddr::parse(&args.address) else {
        bail!("{:?} is no address; write it like lamp_cluster.web or module.lamp.mongo_replset.db", args.address);
    };
    let Ok(mut session) = Session::open() else { return Ok(exit::FAILURE) };
    let Ok(inputs) = session.inputs(&args.inputs)? else { return Ok(exit::FAILURE) };
    let Some(mut store) = open_store("import", &args.common)? else { return Ok(exit::FAILURE) };
    if store.state().instances.contains_key(&addr) {
        bail!("{addr} is in the state already; nothing was changed");
    }
    let adopt = BTreeMap::from([(addr.clone(), args.id.clone())]);
    let options = PlanOptions { adopt, ..PlanOptions::new(Goal::Configuration, args.common.refreshes()) };
    let planned = make(&session, inputs, store.known(), options, &args.common).await;
    let Ok(planned) = planned else { return Ok(exit::FAILURE) };
    let found = planned.plan.changes.get(&addr).and_then(|change| change.adopted.clone());
    planned.end().await;
    if let Some(from) = planned.plan.moves.get(&addr) {
        bail!("{addr} is in the state already, as {from}; nothing was changed");
    }
    let Some(instance) = found else {
        let known: Vec<String> = planned.plan.changes.keys().map(ToString::to_string).collect();
        bail!("the stack has no {addr}; describe it first. The stack has: {}", known.join(", "));
    };
    store.record(Record::Put { addr: addr.clone(), instance })?;
    store.fold()?;
    show_plan(&session, &planned.plan, &args.common, ShowOptions::default());
    if !args.common.json {
        ui::line(&format!(
            "\n{addr} is recorded now. What differs from the stack is shown above; `{}` changes it.",
            args.common.proposal(Goal::Configuration, &args.inputs, &session).text(),
        ));
    }
    Ok(exit::SUCCESS)
}
