//! `lampwright init`: fetches modules of git repositories, and says whether everything is there. With `--from` it makes a
//! copy of a library module that is the user's own.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use app::failure::Result;
use app::init::{self, Plugin, Wish};
use app::migration::{self, Found};
use app::stack::Stack;
use clap::Args;
use compiler::Inputs;
use engine::state::State;
use serde_json::Value as Json;

use super::plan::LockArgs;
use super::{InputArgs, Outcome};
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
    /// Take the newest right versions of providers and of modules of git repositories, instead of those that are locked
    #[arg(long, conflicts_with = "from")]
    upgrade: bool,
    /// `readonly`: leave .terraform.lock.hcl as it is, and fail where it would have to change
    #[arg(long, value_name = "MODE", value_parser = ["readonly"], conflicts_with = "from")]
    lockfile: Option<String>,
    /// A setting of the backend, NAME=VALUE, or a file with settings; may be given several times
    #[arg(long, value_name = "NAME=VALUE|FILE", conflicts_with = "from")]
    backend_config: Vec<String>,
    /// Copy the state to where the stack says that it is now
    #[arg(long, conflicts_with_all = ["from", "reconfigure"])]
    migrate_state: bool,
    /// Leave the state where it was, and go on with where the stack says that it is now
    #[arg(long, conflicts_with = "from")]
    reconfigure: bool,
    /// As -migrate-state, without a question
    #[arg(long, conflicts_with_all = ["from", "reconfigure"])]
    force_copy: bool,
    /// Whether to fetch modules that are missing
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, require_equals = true, value_name = "BOOL")]
    get: bool,
    #[command(flatten)]
    inputs: InputArgs,
    /// Accepted for compatibility; nothing is asked but before a state is copied
    #[arg(long, hide = true, default_value_t = true, action = clap::ArgAction::Set, require_equals = true)]
    input: bool,
    /// Whether to look at where the state is
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, require_equals = true, value_name = "BOOL")]
    backend: bool,
    #[command(flatten)]
    lock: LockArgs,
}

pub(crate) async fn run(args: &InitArgs, invocation: &Invocation) -> Outcome {
    match (&args.from, &args.dir) {
        (Some(from), Some(dir)) => fork(from, &invocation.path(dir)),
        _ => check(args, invocation).await,
    }
}

fn fork(from: &str, folder: &Path) -> Outcome {
    let name = init::fork(from, folder)?;
    print::line(&format!("{} is a copy of the module {name} now.", folder.display()));
    print::line(&format!("Next: {} && lampwright test", Proposal::folder(folder)));
    Ok(exit::SUCCESS)
}

async fn check(args: &InitArgs, invocation: &Invocation) -> Outcome {
    let mut stack = match args.get {
        true => init::fetch(&invocation.host, &invocation.root, args.upgrade)?,
        false => invocation.stack()?,
    };
    tell(&stack);
    let block = stack.program.root().stack.as_ref();
    if let Some(block) = block.filter(|block| !block.description.is_empty()) {
        print::line(&format!("  {}", block.description));
    }
    if args.backend {
        state(args, &mut stack, invocation).await?;
    }
    let wish = Wish { upgrades: args.upgrade, keeps_lock: args.lockfile.is_some() };
    let inputs = stack.inputs(args.inputs.given())?;
    let state = if args.backend { known_state(&stack, &inputs, invocation).await } else { None };
    init::check(&stack, wish, state.as_ref(), &|plugin| print::line(&shown(plugin))).await?;
    print::line(&format!("Everything is there. Next: {}", invocation.proposal("plan").text()));
    Ok(exit::SUCCESS)
}

/// The state, if it can be read now: whoever needs it is told why it cannot.
async fn known_state(stack: &Stack, inputs: &Inputs, invocation: &Invocation) -> Option<State> {
    stack.state(inputs, None).ok()?.peek(&invocation.host).await.ok()
}

/// `Provider acme/thing 1.2.3: path (from registry.example.com, signed by 51852D87348FFC4C)`.
fn shown(plugin: &Plugin) -> String {
    let version = plugin.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let signer = plugin.signer.as_ref().map(|key| format!(", signed by {key}")).unwrap_or_default();
    let from = plugin.from.as_ref().map(|from| format!(" (from {from}{signer})")).unwrap_or_default();
    format!("Provider {}{version}: {}{from}", plugin.source, plugin.path.display())
}

/// What was read.
pub(super) fn tell(stack: &Stack) {
    let modules = match stack.program.modules.len() {
        1 => "1 module".to_owned(),
        many => format!("{many} modules"),
    };
    print::line(&format!("Stack {}: {modules}", stack.name()));
}

/// Where the state is, and whether it has to go elsewhere.
async fn state(args: &InitArgs, stack: &mut Stack, invocation: &Invocation) -> Result<()> {
    let inputs = stack.inputs(args.inputs.given())?;
    let given = match args.backend_config.as_slice() {
        [] => None,
        some => Some(backend_config(some, invocation)?),
    };
    let migration = match migration::look(stack, &inputs, given)? {
        Found::Same(at) => {
            // Where nothing is said of it, it is where everybody looks.
            if stack.program.root().backend.is_some() {
                print::line(&format!("State: {at}"));
            }
            return Ok(());
        }
        Found::Moved(migration) => migration.locking(args.lock.read()),
    };
    let (from, to) = (migration.from().to_owned(), migration.to().to_owned());
    // Whoever leaves what was there may not be able to reach it any more.
    let workspaces = if args.reconfigure { Vec::new() } else { migration.workspaces(stack, &inputs).await? };
    if workspaces.is_empty() {
        migration.leave(stack)?;
        print::line(&format!("State: {to} (it was in {from}, and nothing was copied)"));
        return Ok(());
    }
    let copied = format!("workspaces: {}", workspaces.join(", "));
    if !args.migrate_state && !args.force_copy {
        return Err(anyhow!(
            "the stack says that its state is in {to}, and it was in {from} ({copied}). `{}` copies it; `{}` leaves it where it is",
            invocation.proposal("init").argument("-migrate-state").text(),
            invocation.proposal("init").argument("-reconfigure").text(),
        )
        .into());
    }
    let question = format!("\nCopy the state from {from} to {to} ({copied})?");
    if !args.force_copy && !args.input {
        return Err(
            anyhow!("-input=false: nobody may be asked; -force-copy copies the state without a question").into()
        );
    }
    if !args.force_copy && !invocation.ui.confirm(&question, "-force-copy").await {
        return Err(anyhow!("the state was not copied").into());
    }
    migration.migrate(stack, &inputs, &workspaces).await?;
    print::line(&format!("State: {to} (copied from {from}, where it stays as it was)"));
    Ok(())
}

/// `NAME=VALUE`, or a file of such lines in the form of a file of variables.
fn backend_config(given: &[String], invocation: &Invocation) -> Result<Vec<(String, Json)>> {
    let mut settings = Vec::new();
    for text in given {
        match text.split_once('=') {
            Some((name, value)) => settings.push((name.trim().to_owned(), Json::String(value.to_owned()))),
            None => settings.extend(migration::settings_file(&invocation.path(text))?),
        }
    }
    Ok(settings)
}
