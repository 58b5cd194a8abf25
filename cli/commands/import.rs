//! `lampwright import`.

use anyhow::anyhow;
use clap::Args;
use compiler::addr::InstanceAddr;
use engine::plan::Goal;

use super::plan::{CommonArgs, show_plan};
use super::{InputArgs, Outcome};
use crate::exit;
use crate::invocation::Invocation;

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
pub(crate) async fn run(args: &ImportArgs, invocation: &Invocation) -> Outcome {
    let addr = InstanceAddr::parse(&args.address).ok_or_else(|| {
        anyhow!("{:?} is no address; write it like lamp_cluster.web or module.lamp.mongo_replset.db", args.address)
    })?;
    let mut stack = invocation.stack()?;
    let inputs = stack.inputs(args.inputs.given())?;
    let request = args.common.request(&stack, inputs, Goal::Configuration)?;
    let plan = app::import::import(&stack, &request, &addr, &args.id).await?;
    let ui = &*invocation.ui;
    let flags = |proposal| args.common.flags(proposal, args.inputs.given(), &stack);
    let unfold = flags(invocation.proposal("plan")).argument("-detail");
    show_plan(ui, &stack, &plan, false, args.common.fold(ui, unfold));
    ui.say(&format!(
        "\n{addr} is recorded now. What differs from the stack is shown above; `{}` changes it.",
        flags(invocation.proposal_to(Goal::Configuration)).text(),
    ));
    Ok(exit::SUCCESS)
}
