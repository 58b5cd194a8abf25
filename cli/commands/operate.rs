//! What commands share that ask about what exists: status, logs, ssh.

use std::path::PathBuf;

use app::failure::Result;
use app::operate::Existing;
use clap::Args;

use super::InputArgs;
use crate::invocation::Invocation;

#[derive(Debug, Args)]
pub(crate) struct OperateArgs {
    /// The file of the state, where no backend keeps it; terraform.tfstate if not set
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
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
    let state = stack.state(&inputs, args.state.as_deref())?;
    Existing::open(&stack, inputs, &state, operation).await
}
