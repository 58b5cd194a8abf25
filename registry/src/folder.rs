//! A mirror in a folder: unpacked, `HOST/NAMESPACE/TYPE/VERSION/OS_ARCH/`, and packed,
//! `HOST/NAMESPACE/TYPE/terraform-provider-TYPE_VERSION_OS_ARCH.zip`.

use std::path::{Path, PathBuf};

use compiler::addr::ProviderSource;
use compiler::version::Version;

use crate::package::{Content, Package, place};
use crate::{RegistryError, Result};

/// The name of a packed one.
pub(crate) fn archive(source: &ProviderSource, version: &Version, platform: &str) -> String {
    format!("terraform-provider-{}_{version}_{platform}.zip", source.ty)
}

pub(crate) fn below(mirror: &Path, source: &ProviderSource) -> PathBuf {
    mirror.join(&*source.host).join(&*source.namespace).join(&*source.ty)
}

pub(crate) fn versions(mirror: &Path, source: &ProviderSource, platform: &str) -> Vec<Version> {
    let entries = std::fs::read_dir(below(mirror, source)).into_iter().flatten().flatten();
    let version = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let packed = name.strip_prefix(&format!("terraform-provider-{}_", source.ty));
        match packed.and_then(|rest| rest.strip_suffix(&format!("_{platform}.zip"))) {
            Some(version) => Version::parse(version),
            None => Version::parse(&name).filter(|_| entry.path().join(platform).is_dir()),
        }
    };
    entries.filter_map(version).collect()
}

pub(crate) fn package(mirror: &Path, source: &ProviderSource, version: &Version, platform: &str) -> Result<Package> {
    let unpacked = place(mirror, source, version, platform);
    let packed = below(mirror, source).join(archive(source, version, platform));
    let content = match (unpacked.is_dir(), packed.is_file()) {
        (true, _) => Content::Folder(unpacked),
        (false, true) => Content::Archive(packed),
        (false, false) => {
            return Err(RegistryError::NoPlatform {
                origin: mirror.display().to_string(),
                version: format!("{} {version}", source.short()),
                platform: platform.to_owned(),
                available: Vec::new(),
            });
        }
    };
    Ok(Package::of(content))
}
