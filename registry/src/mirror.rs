//! Making a mirror: a folder of packed packages, with the documents of the "Provider Network Mirror Protocol" beside them, so
//! that any server of files is one over the network.

use std::collections::BTreeMap;
use std::path::Path;

use compiler::addr::ProviderSource;
use compiler::version::Version;
use serde_json::{Value as Json, json};

use crate::package::{Content, Package};
use crate::{RegistryError, Result, folder, hash, io};

/// Keeps a copy of a package that was fetched.
pub fn keep(
    package: &Package,
    mirror: &Path,
    source: &ProviderSource,
    version: &Version,
    platform: &str,
) -> Result<()> {
    let Content::Archive(archive) = &package.content else {
        let reason = "it is not packed".to_owned();
        return Err(RegistryError::Package { path: source.short(), reason });
    };
    let below = folder::below(mirror, source);
    std::fs::create_dir_all(&below).map_err(io(&below))?;
    write(
        &below.join(folder::archive(source, version, platform)),
        &mut std::fs::File::open(archive).map_err(io(archive))?,
    )
}

/// Writes the documents about all packages of a mirror, also those that were there before.
pub fn index(mirror: &Path) -> Result<()> {
    for host in folders(mirror)? {
        for namespace in folders(&host)? {
            for provider in folders(&namespace)? {
                index_provider(&provider)?;
            }
        }
    }
    Ok(())
}

fn index_provider(below: &Path) -> Result<()> {
    let ty = below.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut versions: BTreeMap<String, BTreeMap<String, Json>> = BTreeMap::new();
    for entry in std::fs::read_dir(below).map_err(io(below))? {
        let path = entry.map_err(io(below))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((version, platform)) = packed(&name, &ty) else { continue };
        let archive = json!({ "hashes": [hash::of_content(&path)?.0], "url": name });
        versions.entry(version.to_string()).or_default().insert(platform, archive);
    }
    if versions.is_empty() {
        return Ok(());
    }
    let listed: BTreeMap<&String, Json> = versions.keys().map(|version| (version, json!({}))).collect();
    document(below, "index", &json!({ "versions": listed }))?;
    versions.iter().try_for_each(|(version, archives)| document(below, version, &json!({ "archives": archives })))
}

/// The version and the platform of `terraform-provider-TYPE_VERSION_OS_ARCH.zip`.
fn packed(name: &str, ty: &str) -> Option<(Version, String)> {
    let rest = name.strip_prefix(&format!("terraform-provider-{ty}_"))?.strip_suffix(".zip")?;
    let (version, platform) = rest.split_once('_')?;
    Some((Version::parse(version)?, platform.to_owned()))
}

fn document(below: &Path, name: &str, document: &Json) -> Result<()> {
    write(&below.join(format!("{name}.json")), &mut format!("{document:#}").as_bytes())
}

/// Whole or not at all.
fn write(path: &Path, content: &mut dyn std::io::Read) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder).map_err(io(folder))?;
    std::io::copy(content, &mut file).map_err(io(path))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).map_err(io(path))?;
    file.as_file().sync_all().map_err(io(path))?;
    file.persist(path).map_err(|error| io(path)(error.error))?;
    Ok(())
}

fn folders(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io(folder))? {
        let path = entry.map_err(io(folder))?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}
