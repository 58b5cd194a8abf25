//! The library of modules in this program. What a stack uses of it is unpacked below `.lampwright`, since a module's
//! application and templates have to be real files.

use anyhow::{anyhow, bail};
use compiler::diag::suggest::closest;
use compiler::source::{FoundModule, LoadError, ModuleSource};
use compiler::version::{Constraints, Version};

use super::{self as sources, ModuleFile};
use crate::root::Root;

/// The folder of a module of the library; none if the source does not name one.
pub(crate) fn find(root: &Root, module: &ModuleSource<'_>) -> Option<Result<FoundModule, LoadError>> {
    let name = module.source.strip_prefix(modules::PREFIX)?;
    Some(unpack(root, name, module.version).map_err(|error| sources::unreadable(module, &error)))
}

fn unpack(root: &Root, name: &str, constraint: Option<&str>) -> anyhow::Result<FoundModule> {
    let files = files(name).ok_or_else(|| anyhow!(unknown(name)))?;
    let version = env!("CARGO_PKG_VERSION");
    let is_right = |constraint: &str| {
        let (constraints, version) = (Constraints::parse(constraint).ok()?, Version::parse(version)?);
        Some(constraints.allow(&version))
    };
    if let Some(constraint) = constraint.filter(|constraint| is_right(constraint) != Some(true)) {
        bail!("version {constraint:?} is asked for; the library of this program is {version}");
    }
    sources::unpack(root, &format!("{name}-{version}"), &files)
}

/// Why a module of this name cannot be had.
pub(crate) fn unknown(name: &str) -> String {
    let names = modules::names();
    let hint = closest(name, names.iter().copied()).map(|name| format!(". Did you mean {name}?")).unwrap_or_default();
    format!("the library has no module {name:?}; it has {}{hint}", names.join(", "))
}

/// The files of a module; none if the library has no such module.
pub(crate) fn files(name: &str) -> Option<Vec<ModuleFile<'static>>> {
    let files = modules::files(name)?.into_iter();
    Some(files.map(|(path, content)| ModuleFile { path, is_program: false, content }).collect())
}
