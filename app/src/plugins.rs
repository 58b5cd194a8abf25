//! Where plugins are, and where those that are missing come from.

mod cli_config;
pub(crate) mod install;
mod reattach;

use std::path::PathBuf;

use compiler::addr::ProviderSource;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::program::Program;
use compiler::selection::Selection;
use engine::host::HostError;
use engine::host::search::{Found, Mirror, Place, PluginSearch};
use engine::run::host_diagnostics;
use registry::{Client, LOCK_FILE, Lock, Method, Origin, Origins};

use crate::host::Host;
use crate::root::{DATA, Root};
use cli_config::CliConfig;

/// Folders that Terraform looks into without being told.
fn implied_mirrors(host: &Host) -> Vec<PathBuf> {
    let home = cli_config::home(&host.environment);
    let data = host.environment.text("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| Some(home.as_ref()?.join(".local/share")));
    let shared = host.environment.text("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".to_owned());
    let shared = shared.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect::<Vec<_>>();
    let own = [Some(PathBuf::from("terraform.d/plugins")), home.map(|home| home.join(".terraform.d/plugins"))];
    let xdg = data.into_iter().chain(shared).map(|folder| folder.join("terraform/plugins"));
    own.into_iter().flatten().chain(xdg).collect()
}

/// All places that packages come from, as they are opened from here.
fn origins(config: &CliConfig, host: &Host, root: &Root) -> Vec<Origin> {
    let implied = || {
        let folders = implied_mirrors(host).into_iter().map(Method::Folder);
        let all = folders.chain([Method::Direct]);
        all.map(|method| Origin { method, selection: Selection::default() }).collect()
    };
    let mut origins = config.origins.clone().unwrap_or_else(implied);
    for origin in &mut origins {
        if let Method::Folder(folder) = &mut origin.method {
            *folder = root.at(&*folder);
        }
    }
    origins
}

/// Where packages are asked for that are not for this stack alone, whatever the CLI configuration prefers.
#[derive(Debug, Clone, Default)]
pub enum Authority {
    /// The registry of each provider.
    #[default]
    Registry,
    /// A mirror in a folder.
    Folder(PathBuf),
    /// A mirror over the network, by its address.
    Network(String),
}

/// The one place that an authority is, asked as the CLI configuration says of hosts.
pub(crate) fn authority(host: &Host, root: &Root, authority: &Authority) -> anyhow::Result<Origins> {
    let method = match authority {
        Authority::Registry => Method::Direct,
        Authority::Folder(folder) => Method::Folder(root.at(folder)),
        Authority::Network(address) => cli_config::network(address)?,
    };
    let list = vec![Origin { method, selection: Selection::default() }];
    Ok(Origins { client: Client::new(cli_config::read(host)?.hosts), list, are_implied: false })
}

/// The cache of packages that many stacks share, if there is one, and whether it is believed where nothing is locked.
pub(crate) fn cache(host: &Host, root: &Root) -> anyhow::Result<(Option<PathBuf>, bool)> {
    let config = cli_config::read(host)?;
    Ok((config.cache.map(|folder| root.at(folder)), config.trusts_cache))
}

/// Where plugins are, in the order in which they are preferred, and what has no effect of what the user has said of it.
pub(crate) fn search(host: &Host, root: &Root, program: &Program) -> anyhow::Result<(PluginSearch, Vec<String>)> {
    let config = cli_config::read(host)?;
    let lock = Lock::read(&root.at(LOCK_FILE))?;
    let mirrors = origins(&config, host, root).into_iter().filter_map(|origin| match origin.method {
        Method::Folder(folder) => Some(Mirror { folder, selection: origin.selection }),
        Method::Network(_) | Method::Direct => None,
    });
    let cache = config.cache.map(|folder| Mirror { folder: root.at(folder), selection: Selection::default() });
    let path = host.environment.os("PATH").unwrap_or_default();
    // Those of Terraform, of somebody who uses both, are as good.
    let of_terraform = host.environment.text("TF_DATA_DIR").unwrap_or_else(|| ".terraform".to_owned());
    let search = PluginSearch {
        running: reattach::running(&host.environment)?,
        beside: host.beside.clone(),
        installed: [DATA, &of_terraform].map(|folder| root.at(folder).join("providers")).to_vec(),
        mirrors: mirrors.chain(cache).collect(),
        path: std::env::split_paths(path).collect(),
        overrides: config.overrides.into_iter().map(|(source, path)| (source, root.at(path))).collect(),
        wanted: program.wanted_versions(),
        locked: lock.providers.into_iter().map(|(source, locked)| (source, locked.version)).collect(),
    };
    Ok((search, config.told))
}

/// Plugins that are not what is locked, which are errors, and those that are taken whatever their version.
pub(crate) fn check(search: &PluginSearch, root: &Root, sources: &[ProviderSource]) -> anyhow::Result<Diagnostics> {
    let mut diags = Diagnostics::default();
    let mut lock = None;
    for source in sources {
        if let Some(running) = search.running.get(source) {
            let label = format!(
                "{} is the plugin that serves at {}, as TF_REATTACH_PROVIDERS says",
                source.short(),
                running.address
            );
            let warning = Diagnostic::warning("provider under development", label);
            diags.push(warning.note("it is neither started nor ended here, and no version is compared"));
            continue;
        }
        let Ok(found) = search.find(source) else { continue };
        if found.place == Place::Locked {
            let lock = match &lock {
                Some(lock) => lock,
                None => lock.insert(Lock::read(&root.at(LOCK_FILE))?),
            };
            if !is_locked(&found, source, lock)? {
                let version = found.version.map(|version| version.to_string()).unwrap_or_default();
                let path = found.path.display().to_string();
                let error = HostError::Altered { source_name: source.short(), version, path };
                diags.extend(host_diagnostics(&error, None));
            }
            continue;
        }
        let path = found.path.display();
        if found.place == Place::Override {
            let label =
                format!("{} is taken from {path}, as `dev_overrides` of the CLI configuration says", source.short());
            let warning = Diagnostic::warning("provider under development", label);
            diags.push(warning.note("what it does may differ from what is released; no version is compared"));
        } else if let (None, Some(wanted)) = (&found.version, search.wanted.get(source)) {
            let label = format!("{path} does not say its version, so {} is not compared with it", wanted.join(" and "));
            let warning = Diagnostic::warning("version not compared", label);
            diags.push(warning.note(
                "a version is told by the name of the file, terraform-provider-NAME_v1.2.3, or by a mirror's folder",
            ));
        }
    }
    Ok(diags)
}

/// Whether its folder has the content that is locked.
fn is_locked(found: &Found, source: &ProviderSource, lock: &Lock) -> anyhow::Result<bool> {
    let (Some(folder), Some(locked)) = (found.path.parent(), lock.providers.get(source)) else { return Ok(false) };
    Ok(locked.hashes.contains(&registry::of_folder(folder)?))
}
