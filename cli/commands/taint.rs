//! `lampwright taint` and `lampwright untaint`.

use app::surgery::{self, Mark};
use app::watch::Watch as _;
use clap::Args;

use super::Outcome;
use super::plan::StateArgs;
use crate::invocation::Invocation;
use crate::{exit, print};

/// Mark an object, so that the next apply replaces it
///
/// Nothing that exists is touched. `plan -replace=ADDRESS` plans the same without a mark, and `untaint` takes the mark away.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TaintArgs {
    #[command(flatten)]
    marked: MarkedArgs,
}

/// Take the mark from an object, so that it is not replaced
///
/// Also the mark of one whose creation has failed.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct UntaintArgs {
    #[command(flatten)]
    marked: MarkedArgs,
}

#[derive(Debug, Args)]
struct MarkedArgs {
    /// Such as lamp_cluster.web or module.shop.lamp_cluster.web[0]
    address: String,
    /// Succeed also if there is no such object
    #[arg(long)]
    allow_missing: bool,
    #[command(flatten)]
    change: StateArgs,
}

pub(crate) async fn run(args: &TaintArgs, invocation: &Invocation) -> Outcome {
    mark(&args.marked, Mark::Set, invocation).await
}

pub(crate) async fn run_untaint(args: &UntaintArgs, invocation: &Invocation) -> Outcome {
    mark(&args.marked, Mark::Taken, invocation).await
}

async fn mark(args: &MarkedArgs, mark: Mark, invocation: &Invocation) -> Outcome {
    let MarkedArgs { address, allow_missing, change } = args;
    if surgery::mark(&invocation.host, &change.last(invocation)?, address, mark, *allow_missing).await? {
        print::line(&match mark {
            Mark::Set => format!("{address} is marked: the next apply replaces it."),
            Mark::Taken => format!("{address} is not marked any more."),
        });
    } else {
        invocation.ui.note(&format!("the state has no {address}, so nothing was changed"));
    }
    Ok(exit::SUCCESS)
}
