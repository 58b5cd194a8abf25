//! Finding a plugin's program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use compiler::addr::ProviderSource;
use compiler::selection::Selection;
use compiler::version::{Constraints, Version};
use proto::handshake::Handshake;

use super::{HostError, Result};

/// Where plugins are looked for, in this order: in the folder of one that is being developed, and then nowhere else; of ours,
/// beside this program; the version that is locked, and then no other, where plugins were installed and in mirrors; where
/// nothing is locked, beside this program, in mirrors, on the PATH. Mirrors and what was installed are laid out as Terraform has
/// them: `HOST/NAMESPACE/TYPE/VERSION/OS_ARCH/`.
#[derive(Debug, Clone, Default)]
pub struct PluginSearch {
    /// Plugins that run already: their programs are not looked for.
    pub running: BTreeMap<ProviderSource, Handshake>,
    pub beside: Option<PathBuf>,
    /// Where plugins were installed for this stack.
    pub installed: Vec<PathBuf>,
    pub mirrors: Vec<Mirror>,
    pub path: Vec<PathBuf>,
    pub overrides: BTreeMap<ProviderSource, PathBuf>,
    /// The constraints on versions that modules have.
    pub wanted: BTreeMap<ProviderSource, Vec<String>>,
    /// The versions that the stack was initialised with.
    pub locked: BTreeMap<ProviderSource, Version>,
}

/// A folder, and the providers that are looked for in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub folder: PathBuf,
    pub selection: Selection,
}

/// The program of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    /// As its folder or file name says; of ours, as this program's.
    pub version: Option<Version>,
    pub place: Place,
}

/// Where a plugin's program was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is being developed: no version is asked for.
    Override,
    /// Beside this program, or on the PATH.
    Beside,
    Mirror,
    /// It is the version that is locked, from where such are: its content has to be the one that is locked, too.
    Locked,
}

impl PluginSearch {
    pub fn find(&self, source: &ProviderSource) -> Result<Found> {
        let name = format!("terraform-provider-{}", source.ty);
        if let Some(folder) = self.overrides.get(source) {
            let looked_in = vec![format!("{} (dev_overrides)", folder.display())];
            let found = programs_in(folder, &name).into_iter().next();
            return found
                .map(|(path, version)| Found { path, version, place: Place::Override })
                .ok_or(HostError::NotFound { source_name: source.short(), looked_in });
        }
        let wanted = self.wanted.get(source).map(Vec::as_slice).unwrap_or_default();
        // One that cannot be read is told where it stands.
        let constraints = Constraints::of_provider(wanted).ok();
        let allows = |version: &Version| constraints.as_ref().is_none_or(|constraints| constraints.allow(version));
        let is_ours = *source == ProviderSource::lampwright();
        let own = Version::parse(env!("CARGO_PKG_VERSION")).filter(|_| is_ours);
        let beside = self.beside.iter().map(|folder| (folder.clone(), own.clone()));
        let mirrors = self.mirrors.iter().filter(|mirror| mirror.selection.takes(source)).map(|mirror| &mirror.folder);
        let in_mirrors = mirrors.clone().flat_map(|folder| mirror_folders(folder, source));
        let path = self.path.iter().map(|folder| (folder.clone(), None));
        let (mut looked_in, mut unfit) = (Vec::new(), Vec::new());
        type Folders<'f> = &'f mut dyn Iterator<Item = (PathBuf, Option<Version>)>;
        let mut look = |folders: Folders<'_>, place: Place, fits: &dyn Fn(&Version) -> bool| {
            for (folder, known) in folders {
                for (path, version) in programs_in(&folder, &name) {
                    let version = version.or(known.clone());
                    match &version {
                        Some(version) if !fits(version) => unfit.push(format!("{version} in {}", folder.display())),
                        Some(_) | None => return Some(Found { path, version, place }),
                    }
                }
                looked_in.push(folder.display().to_string());
            }
            None
        };
        if is_ours && let Some(found) = look(&mut beside.clone(), Place::Beside, &allows) {
            return Ok(found);
        }
        if let Some(locked) = self.locked.get(source) {
            if !allows(locked) {
                let (source_name, wanted) = (source.short(), wanted.to_vec());
                return Err(HostError::Locked { source_name, wanted, locked: locked.to_string() });
            }
            let installed = self.installed.iter().flat_map(|folder| mirror_folders(folder, source));
            let mut folders = installed.chain(in_mirrors).filter(|(_, version)| version.as_ref() == Some(locked));
            let found = look(&mut folders, Place::Locked, &|version| version == locked);
            return found.ok_or(HostError::NotInstalled { source_name: source.short(), version: locked.to_string() });
        }
        let found = look(&mut beside.clone(), Place::Beside, &allows)
            .or_else(|| look(&mut in_mirrors.clone(), Place::Mirror, &allows))
            .or_else(|| look(&mut path.clone(), Place::Beside, &allows));
        if let Some(found) = found {
            return Ok(found);
        }
        if !unfit.is_empty() {
            return Err(HostError::Version { source_name: source.short(), wanted: wanted.to_vec(), found: unfit });
        }
        looked_in.extend(mirrors.map(|folder| format!("{}/{source}/..", folder.display())));
        Err(HostError::NotFound { source_name: source.short(), looked_in })
    }
}

/// The folders of all versions in a mirror, the highest first.
fn mirror_folders(mirror: &Path, source: &ProviderSource) -> Vec<(PathBuf, Option<Version>)> {
    let folder = mirror.join(&*source.host).join(&*source.namespace).join(&*source.ty);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut versions: Vec<(Option<Version>, PathBuf)> = entries
        .map(|entry| (Version::parse(&entry.file_name().to_string_lossy()), entry.path().join(platform())))
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(version, path)| (path, version)).collect()
}

/// As registries and mirrors call this machine: `linux_amd64`.
pub fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}_{arch}", std::env::consts::OS)
}

/// Files named `terraform-provider-TYPE`, alone or followed by `_vVERSION`, the best first.
fn programs_in(folder: &Path, name: &str) -> Vec<(PathBuf, Option<Version>)> {
    let exact = folder.join(name);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name();
        if let Some(rest) = file.to_string_lossy().strip_prefix(name).and_then(|rest| rest.strip_prefix("_v")) {
            // Some have the version of the protocol behind it: _v1.2.3_x5.
            found.push((Version::parse(rest.split('_').next().unwrap_or_default()), entry.path()));
        }
    }
    found.sort();
    let exact = exact.is_file().then_some((exact, None));
    exact.into_iter().chain(found.into_iter().rev().map(|(version, path)| (path, version))).collect()
}
