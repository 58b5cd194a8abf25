//! `lampwright get`: the half of `init` that is about modules.

use clap::Args;

use super::{Outcome, init};
use crate::exit;
use crate::invocation::Invocation;

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Take the newest right versions, instead of those in lampwright.lock
    #[arg(long)]
    update: bool,
}

pub(crate) fn run(args: &GetArgs, invocation: &Invocation) -> Outcome {
    init::tell(&app::init::fetch(&invocation.host, &invocation.root, args.update)?);
    Ok(exit::SUCCESS)
}
