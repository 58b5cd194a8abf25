//! What commands share that ask about what exists: status, logs, ssh.

use std::path::PathBuf;

use app::failure::Result;
use app::operate::Existing;
use app::state::STATE;
use clap::Args;

use super::InputArgs;
use crate::invocation::Invocation;

#[derive(Debug, Args)]
pub(crate) struct OperateArgs {
    /// The file of the state
    #[arg(long, value_name = "FILE", default_value = STATE)]
    state: PathBuf,
}

/// Reads the stack and the state.
pub(super) async fn open(
    operation: &str,
    inputs: &InputArgs,
    args: &OperateArgs,
    invocation: &Invocation,
) -> Result<Existing> {
    let mut stack = invocation.stack()?;
    let inputs = stack.inputs(inputs.given())?;
    Existing::open(&stack, inputs, &invocation.state(&args.state), operation).await
}
