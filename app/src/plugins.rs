//! Where plugins are.

mod cli_config;

use std::path::PathBuf;

use compiler::addr::ProviderSource;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::program::Program;
use engine::host::launch::PluginSearch;

use crate::host::Host;
use crate::root::Root;

/// Where plugins are, in the order in which they are preferred, and what has no effect of what the user has said of it.
pub(crate) fn search(host: &Host, root: &Root, program: &Program) -> anyhow::Result<(PluginSearch, Vec<String>)> {
    let config = cli_config::read(host)?;
    let home = cli_config::home(&host.environment).map(|home| home.join(".terraform.d/plugins"));
    let path = host.environment.os("PATH").unwrap_or_default();
    let own = [PathBuf::from("terraform.d/plugins")].into_iter().chain(home);
    let search = PluginSearch {
        beside: host.beside.clone(),
        mirrors: own.chain(config.mirrors).map(|folder| root.at(folder)).collect(),
        path: std::env::split_paths(path).collect(),
        overrides: config.overrides.into_iter().map(|(source, path)| (source, root.at(path))).collect(),
        wanted: program.wanted_versions(),
    };
    Ok((search, config.told))
}

/// Plugins that are taken whatever their version.
pub(crate) fn unchecked(search: &PluginSearch, sources: &[ProviderSource]) -> Diagnostics {
    let mut diags = Diagnostics::default();
    for source in sources {
        let Ok(found) = search.find(source) else { continue };
        let path = found.path.display();
        if found.is_override {
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
    diags
}
