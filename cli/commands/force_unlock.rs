//! `lampwright force-unlock`.

use clap::Args;

use super::Outcome;
use crate::invocation::Invocation;
use crate::{exit, print};

/// Release the lock of a state whose run has ended without doing it
///
/// Only after a look that nobody works on the state any more: two at once lose what one of them did. The id is told by
/// whoever finds the state locked. A state that is a file here, or in PostgreSQL, needs none of it: such a lock ends with
/// its process.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ForceUnlockArgs {
    /// The id of the lock
    id: String,
    /// Do it without a question
    #[arg(long)]
    force: bool,
}

pub(crate) async fn run(args: &ForceUnlockArgs, invocation: &Invocation) -> Outcome {
    let at = invocation.state(None)?;
    let question = format!(
        "\nRelease the lock {} of {}? If its run still goes on, two runs change the same state.",
        args.id,
        at.shown()
    );
    if !args.force && !invocation.ui.confirm(&question, "-force").await {
        invocation.ui.error("nothing was released");
        return Ok(exit::FAILURE);
    }
    at.force_unlock(&args.id).await?;
    print::line(&format!("The lock {} was released.", args.id));
    Ok(exit::SUCCESS)
}
