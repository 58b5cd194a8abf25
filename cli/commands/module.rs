//! `lampwright module`: what belongs to a module besides its text.

use std::path::PathBuf;

use anyhow::anyhow;
use app::docs::{README, Reference};
use app::failure::Result;
use app::stack::Stack;
use clap::{Args, Subcommand};

use super::Outcome;
use super::package::{self, PackageArgs};
use crate::invocation::Invocation;
use crate::{exit, print};

/// Work on a module that others reuse
#[derive(Debug, Args)]
pub(crate) struct ModuleArgs {
    #[command(subcommand)]
    command: ModuleCommand,
}

#[derive(Debug, Subcommand)]
enum ModuleCommand {
    Docs(DocsArgs),
    Package(PackageArgs),
}

/// Write the reference of a module, its variables and outputs, into its README.md
///
/// Between the lines `<!-- reference -->` and `<!-- end of reference -->` of README.md stands a
/// table of the module's variables and outputs, made of their descriptions. Without these lines
/// it is added at the end.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct DocsArgs {
    /// The module's folder
    #[arg(default_value = ".")]
    pub(super) dir: PathBuf,
    /// Write nothing; fail if the reference is not what it would be
    #[arg(long)]
    pub(super) check: bool,
}

pub(crate) async fn run(args: &ModuleArgs, invocation: &Invocation) -> Outcome {
    match &args.command {
        ModuleCommand::Docs(args) => {
            let stack = invocation.stack_in(&args.dir)?;
            docs(args, &stack, invocation)?;
            Ok(exit::SUCCESS)
        }
        ModuleCommand::Package(args) => package::run(args, invocation).await,
    }
}

/// Fails if it is to be checked only, and is not what it would be.
pub(super) fn docs(args: &DocsArgs, stack: &Stack, invocation: &Invocation) -> Result<()> {
    let reference = Reference::of(stack)?;
    if reference.is_current() {
        return Ok(());
    }
    let path = args.dir.join(README);
    if args.check {
        let command = invocation.proposal("module docs").argument(args.dir.to_string_lossy()).text();
        let text = format!("the reference in {} is not that of the module; write it by: {command}", path.display());
        return Err(anyhow!(text).into());
    }
    reference.write(stack)?;
    print::line(&format!("{} has the reference of the module now.", path.display()));
    Ok(())
}
