//! `lampwright export`: the stack and the modules that it calls, as Terraform modules.

use std::path::PathBuf;

use clap::Args;

use super::Outcome;
use crate::invocation::Invocation;
use crate::{exit, print};

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The folder of the stack
    dir: PathBuf,
    /// The folder to write to; must not exist, or be empty
    out: PathBuf,
}

pub(crate) async fn run(args: &ExportArgs, invocation: &Invocation) -> Outcome {
    let stack = invocation.stack_in(&args.dir)?;
    let exported = app::export::export(stack, &invocation.root.below(&args.out)).await?;
    let modules = match exported.modules {
        1 => "1 module".to_owned(),
        many => format!("{many} modules"),
    };
    print::line(&format!("Written to {}: {modules}.", exported.folder.display()));
    Ok(exit::SUCCESS)
}
