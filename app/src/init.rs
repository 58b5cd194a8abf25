//! Fetches modules of git repositories, and says whether everything is there. Or makes a copy of a library module that is the
//! user's own.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use compiler::Inputs;
use compiler::addr::ProviderSource;
use engine::state::State;

use crate::failure::{Result, refuse};
use crate::host::Host;
use crate::plugins::install::Installer;
pub use crate::plugins::install::{Plugin, Wish};
use crate::root::Root;
use crate::sources::git::Fetcher;
use crate::sources::{self, library};
use crate::stack::Stack;

/// What a stack's folder holds that is not for others: states and plans have secrets in them.
const IGNORED: &str = "*.tfstate\n*.tfstate.*\n*.tfplan\n.lampwright/\n";

/// Writes a copy of a module of the library into a folder, which must be new or empty. Returns the module's name.
pub fn fork<'m>(module: &'m str, folder: &Path) -> Result<&'m str> {
    let name = module.strip_prefix(modules::PREFIX).unwrap_or(module);
    let Some(files) = library::files(name) else { refuse!("{}", library::unknown(name)) };
    match std::fs::symlink_metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Ok(metadata) if metadata.is_dir() && std::fs::read_dir(folder)?.next().is_none() => {}
        Ok(metadata) if metadata.is_dir() => refuse!("{} is not empty; name a new folder", folder.display()),
        _ => refuse!("{} exists and is no folder; name a new one", folder.display()),
    }
    let write = || {
        std::fs::create_dir_all(folder)?;
        // Filled within the folder, which may be the one that we stand in, and moved up whole.
        let temporary = tempfile::Builder::new().prefix(".new-").tempdir_in(folder)?;
        sources::write(&files, temporary.path())?;
        std::fs::write(temporary.path().join(".gitignore"), IGNORED)?;
        sources::move_all(temporary.path(), folder)
    };
    write().with_context(|| format!("cannot write to {}", folder.display()))?;
    Ok(name)
}

/// Reads the stack; modules that are missing are fetched. `upgrades` takes the newest right ones.
pub fn fetch(host: &Arc<Host>, root: &Root, upgrades: bool) -> Result<Stack> {
    let fetcher = Arc::new(Fetcher::new(Stack::disk(host, root), host.environment.clone(), upgrades)?);
    let stack = Stack::open_with(host, root, fetcher.clone())?;
    fetcher.finish().context("lampwright.lock")?;
    Ok(stack)
}

/// The providers of a stack: those that are missing are installed; `found` is told of each. Each is started once, so that a
/// broken one shows here and not in the middle of something.
///
/// What the state has may have to be removed, so its providers are installed, too. Of a state that is not known nobody knows that: then
/// nothing leaves the lock.
pub async fn check(stack: &Stack, wish: Wish, state: Option<&State>, found: &dyn Fn(&Plugin)) -> Result<()> {
    let builtin = ProviderSource::builtin();
    let configured = stack.program.requirements().into_iter().map(|requirement| requirement.source);
    let recorded = state.into_iter().flat_map(|state| {
        let all = state.instances.values().chain(state.unfinished.values()).chain(state.deposed.values());
        all.map(|instance| instance.provider.source.clone())
    });
    let sources: BTreeSet<ProviderSource> = configured.chain(recorded).filter(|source| *source != builtin).collect();
    let sources: Vec<ProviderSource> = sources.into_iter().collect();
    let installer = Installer::new(&stack.host, &stack.root, stack.search()?, wish)?;
    stack.found(installer.install(&sources, state.is_some(), found).await?);
    let (run, _telling) = stack.run(Inputs::default()).await?;
    run.providers.shutdown().await;
    Ok(())
}
