//! `lampwright init`: fetches modules of git repositories, and says whether everything is there. With `--from` it makes a
//! copy of a library module that is the user's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::git::Fetcher;
use crate::proposal::Proposal;
use crate::session::{Session, plugin_search};
use crate::{exit, library, sources, ui};

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

/// What a stack's folder holds that is not for others: states and plans have secrets in them.
const IGNORED: &str = "*.tfstate\n*.tfstate.*\n*.tfplan\n.lampwright/\n";

pub(crate) async fn run(args: &InitArgs) -> anyhow::Result<u8> {
    match (&args.from, &args.dir) {
        (Some(from), Some(dir)) => fork(from, dir),
        _ => check(args.upgrade).await,
    }
}

fn fork(from: &str, dir: &Path) -> anyhow::Result<u8> {
    let name = from.strip_prefix(modules::PREFIX).unwrap_or(from);
    let Some(files) = library::files(name) else { bail!(library::unknown(name)) };
    match std::fs::symlink_metadata(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Ok(metadata) if metadata.is_dir() && std::fs::read_dir(dir)?.next().is_none() => {}
        Ok(metadata) if metadata.is_dir() => bail!("{} is not empty; name a new folder", dir.display()),
        _ => bail!("{} exists and is no folder; name a new one", dir.display()),
    }
    let write = || {
        std::fs::create_dir_all(dir)?;
        // Filled within the folder, which may be the one that we stand in, and moved up whole.
        let temporary = tempfile::Builder::new().prefix(".new-").tempdir_in(dir)?;
        sources::write(&files, temporary.path())?;
        std::fs::write(temporary.path().join(".gitignore"), IGNORED)?;
        sources::move_all(temporary.path(), dir)
    };
    write().with_context(|| format!("cannot write to {}", dir.display()))?;
    ui::line(&format!("{} is a copy of the module {name} now.", dir.display()));
    let go = Proposal::folder(dir);
    ui::line(&format!("Next: {go} && lampwright test"));
    Ok(exit::SUCCESS)
}

async fn check(upgrades: bool) -> anyhow::Result<u8> {
    let fetcher = Arc::new(Fetcher::new(upgrades)?);
    let Ok(session) = Session::with_loader(fetcher.clone()) else { return Ok(exit::FAILURE) };
    fetcher.finish().context("lampwright.lock")?;
    let root = session.program.root();
    ui::line(&format!(
        "Stack {}: {} module{}",
        session.name(),
        session.program.modules.len(),
        if session.program.modules.len() == 1 { "" } else { "s" }
    ));
    if let Some(stack) = &root.stack
        && !stack.description.is_empty()
    {
        ui::line(&format!("  {}", stack.description));
    }
    let search = plugin_search(&session.program)?;
    let mut missing = 0;
    for requirement in session.program.requirements() {
        match search.find(&requirement.source) {
            Ok(found) => ui::line(&format!("Provider {}: {}", requirement.source.short(), found.path.display())),
            Err(error) => {
                missing += 1;
                ui::diagnostics(&engine::run::host_diagnostics(&error, requirement.span), &session.sources);
            }
        }
    }
    if missing > 0 {
        return Ok(exit::FAILURE);
    }
    // Each is started once, so that a broken one shows here and not in the middle of something.
    let (events, _shower) = super::plan::Shower::start(false);
    let Ok(run) = session.run(compiler::Inputs::default(), 1, events).await else { return Ok(exit::FAILURE) };
    run.providers.shutdown().await;
    ui::line(&format!("Everything is there. Next: {}", Proposal::new("plan").text()));
    Ok(exit::SUCCESS)
}
