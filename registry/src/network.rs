//! A mirror over the network ("Provider Network Mirror Protocol").

use std::collections::BTreeMap;

use compiler::addr::ProviderSource;
use compiler::version::Version;
use reqwest::Url;
use serde::Deserialize;

use crate::client::{Client, unreadable};
use crate::hash::Hash;
use crate::package::{Content, Package};
use crate::{RegistryError, Result};

#[derive(Debug, Deserialize)]
struct Index {
    versions: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Archives {
    archives: BTreeMap<String, Archive>,
}

#[derive(Debug, Deserialize)]
struct Archive {
    url: String,
    #[serde(default)]
    hashes: Vec<String>,
}

/// Whose token goes with a question: the host, with a port that is named.
fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn at(base: &Url, source: &ProviderSource, name: &str) -> Result<Url> {
    base.join(&format!("{source}/{name}")).map_err(|error| unreadable(base.as_str(), &error))
}

/// None where the mirror does not have the provider.
pub(crate) async fn versions(client: &Client, base: &Url, source: &ProviderSource) -> Result<Vec<Version>> {
    let url = at(base, source, "index.json")?;
    match client.json::<Index>(&url, authority(base).as_deref()).await {
        Ok(index) => Ok(index.versions.keys().filter_map(|text| Version::parse(text)).collect()),
        Err(RegistryError::Status { status: 404, .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub(crate) async fn package(
    client: &Client,
    base: &Url,
    source: &ProviderSource,
    version: &Version,
    platform: &str,
    told: &(dyn Fn(u64) + Sync),
) -> Result<Package> {
    let url = at(base, source, &format!("{version}.json"))?;
    let mut found: Archives = client.json(&url, authority(base).as_deref()).await?;
    let available: Vec<String> = found.archives.keys().cloned().collect();
    let archive = found.archives.remove(platform).ok_or_else(|| RegistryError::NoPlatform {
        origin: base.to_string(),
        version: format!("{} {version}", source.short()),
        platform: platform.to_owned(),
        available,
    })?;
    let package_url = url.join(&archive.url).map_err(|error| unreadable(url.as_str(), &error))?;
    let file = client.download(&package_url, told).await?;
    let package = Package {
        content: Content::Archive(file.path().to_owned()),
        // Nothing proves what a mirror says of packages that are not looked at.
        vouched: Vec::new(),
        signer: None,
        temporary: Some(file.into_temp_path()),
    };
    let hashes: Vec<Hash> = archive.hashes.into_iter().map(Hash).collect();
    if !hashes.is_empty() && !package.is_locked(&hashes)? {
        let expected = hashes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        let (url, by, found) = (package_url.to_string(), url.to_string(), package.hash()?.to_string());
        return Err(RegistryError::Checksum { url, by, expected, found });
    }
    Ok(package)
}
