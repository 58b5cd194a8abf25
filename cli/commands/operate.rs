//! What commands share that ask about what exists: status, logs, ssh, and scale before it changes anything.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use compiler::Inputs;
use compiler::addr::InstanceAddr;
use engine::plan::{Goal, Plan, PlanOptions, Refresh};
use engine::state::store::Known;

use super::InputArgs;
use super::plan::{CommonArgs, Planned, make, open_view};
use crate::session::{STATE, Session};

#[derive(Debug, Args)]
pub(crate) struct OperateArgs {
    /// The file of the state
    #[arg(long, value_name = "FILE", default_value = STATE)]
    state: PathBuf,
}

/// Reads the stack and the state. Nobody is kept from changing the state meanwhile. None: what is wrong was shown.
pub(super) async fn open(operation: &str, inputs: &InputArgs, args: &OperateArgs) -> anyhow::Result<Option<Planned>> {
    let Ok(mut session) = Session::open() else { return Ok(None) };
    let Ok(inputs) = session.inputs(inputs)? else { return Ok(None) };
    let common = CommonArgs::looking(args.state.clone());
    let view = open_view(operation, &common)?;
    Ok(look(&session, inputs, view.known(), &common).await)
}

/// What the state has, beside providers that are configured and can be asked. None: what is wrong was shown.
pub(super) async fn look(session: &Session, inputs: Inputs, known: Known<'_>, common: &CommonArgs) -> Option<Planned> {
    let options = PlanOptions::new(Goal::Nothing, Refresh::OnlyLook);
    make(session, inputs, known, options, common).await.ok()
}

/// Says of an object whether it is one of those that were named; all are if none was.
pub(super) fn layers(plan: &Plan, names: &[String]) -> anyhow::Result<impl Fn(&InstanceAddr) -> bool + use<>> {
    let is_named = |addr: &InstanceAddr, name: &str| {
        let text = addr.to_string();
        // `web`, `lamp_cluster.web`, or with the key of an instance.
        text == *name || &*addr.name == name || text.split('[').next() == Some(name)
    };
    for name in names {
        if !plan.changes.keys().any(|addr| is_named(addr, name)) {
            let known: Vec<String> = plan.changes.keys().map(ToString::to_string).collect();
            bail!("nothing in the state is called {name:?}. There is: {}", known.join(", "));
        }
    }
    let names = names.to_vec();
    Ok(move |addr: &InstanceAddr| names.is_empty() || names.iter().any(|name| is_named(addr, name)))
}
