//! `lampwright workspace`: several states of one stack.

use std::path::PathBuf;

use app::workspace;
use app::workspaces::{self, GoneWorkspace, NewWorkspace};
use clap::{Args, Subcommand};

use super::Outcome;
use super::plan::LockArgs;
use crate::invocation::Invocation;
use crate::{exit, print};

/// Work with several states of one stack
///
/// Each workspace has a state of its own, and `terraform.workspace` says in the stack which one it is. Which one is
/// selected is kept in .terraform/environment, where Terraform has it, too; TF_WORKSPACE is stronger.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct WorkspaceArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the workspaces; the selected one has a star
    List,
    /// Print the selected workspace
    Show,
    /// Make a workspace, and select it
    New {
        name: String,
        /// Begin with the state in this file; what it is a copy of goes on
        #[arg(long, value_name = "FILE")]
        state: Option<PathBuf>,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Select a workspace
    Select {
        name: String,
        /// Make it if it is not there
        #[arg(long)]
        or_create: bool,
    },
    /// Remove a workspace with its state
    Delete {
        name: String,
        /// Also if its state still has objects: they are forgotten
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        lock: LockArgs,
    },
}

pub(crate) async fn run(args: &WorkspaceArgs, invocation: &Invocation) -> Outcome {
    let Invocation { host, root, .. } = invocation;
    match &args.command {
        Command::List => {
            let selected = workspace::selected(host, root)?;
            for name in workspaces::list(host, root).await? {
                print::line(&format!("{} {name}", if name == selected { "*" } else { " " }));
            }
        }
        Command::Show => print::line(&workspace::selected(host, root)?),
        Command::New { name, state, lock } => {
            let new = NewWorkspace { name: name.clone(), from: state.clone(), locking: lock.read() };
            workspaces::create(host, root, &new).await?;
            let has = state.as_ref().map_or("is empty".to_owned(), |path| format!("is that of {}", path.display()));
            print::line(&format!("The workspace {name} was made, and is selected. Its state {has}."));
        }
        Command::Select { name, or_create } => {
            if *or_create && !workspaces::list(host, root).await?.contains(name) {
                workspaces::create(host, root, &NewWorkspace { name: name.clone(), ..NewWorkspace::default() }).await?;
            } else {
                workspaces::select(host, root, name).await?;
            }
            print::line(&format!("The workspace {name} is selected."));
        }
        Command::Delete { name, force, lock } => {
            let gone = GoneWorkspace { name: name.clone(), is_forced: *force, locking: lock.read() };
            workspaces::delete(host, root, &gone).await?;
            print::line(&format!("The workspace {name} was removed."));
        }
    }
    Ok(exit::SUCCESS)
}
