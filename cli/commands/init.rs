//! `lampwright init`: fetches modules of git repositories, and says whether everything is there. With `--from` it makes a
//! copy of a library module that is the user's own.

use std::path::{Path, PathBuf};

use app::init::{self, Plugin};
use clap::Args;

use super::Outcome;
use crate::invocation::Invocation;
use crate::proposal::Proposal;
use crate::{exit, print};

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Copy this module of the library into DIR, to go on with as one's own
    #[arg(long, value_name = "MODULE", requires = "dir")]
    from: Option<String>,
    /// The folder for the copy; must not exist, or be empty
    #[arg(requires = "from")]
    dir: Option<PathBuf>,
    /// Take the newest right versions of modules of git repositories, instead of those in lampwright.lock
    #[arg(long, conflicts_with = "from")]
    upgrade: bool,
    /// Accepted for compatibility; nothing is ever asked
    #[arg(long, hide = true, default_value_t = true, action = clap::ArgAction::Set)]
    input: bool,
    /// Accepted for compatibility; there is no lock that init would take
    #[arg(long, hide = true, default_value_t = true, action = clap::ArgAction::Set)]
    lock: bool,
    /// Accepted for compatibility: there is no backend to set up
    #[arg(long, hide = true, default_value_t = true, action = clap::ArgAction::Set)]
    backend: bool,
}

pub(crate) async fn run(args: &InitArgs, invocation: &Invocation) -> Outcome {
    match (&args.from, &args.dir) {
        (Some(from), Some(dir)) => fork(from, &invocation.path(dir)),
        _ => check(args.upgrade, invocation).await,
    }
}

fn fork(from: &str, folder: &Path) -> Outcome {
    let name = init::fork(from, folder)?;
    print::line(&format!("{} is a copy of the module {name} now.", folder.display()));
    print::line(&format!("Next: {} && lampwright test", Proposal::folder(folder)));
    Ok(exit::SUCCESS)
}

async fn check(upgrades: bool, invocation: &Invocation) -> Outcome {
    let stack = init::fetch(&invocation.host, &invocation.root, upgrades)?;
    let modules = match stack.program.modules.len() {
        1 => "1 module".to_owned(),
        many => format!("{many} modules"),
    };
    print::line(&format!("Stack {}: {modules}", stack.name()));
    let block = stack.program.root().stack.as_ref();
    if let Some(block) = block.filter(|block| !block.description.is_empty()) {
        print::line(&format!("  {}", block.description));
    }
    let found = |plugin: &Plugin| print::line(&format!("Provider {}: {}", plugin.source, plugin.path.display()));
    init::check(&stack, &found).await?;
    print::line(&format!("Everything is there. Next: {}", invocation.proposal("plan").text()));
    Ok(exit::SUCCESS)
}
