//! A registry ("Provider Registry Protocol").

use std::path::Path;

use compiler::addr::ProviderSource;
use compiler::version::Version;
use serde::Deserialize;

use crate::client::{Client, unreadable};
use crate::hash::{self, Hash};
use crate::package::{Content, Package};
use crate::{RegistryError, Result, io, signature};

const SERVICE: &str = "providers.v1";

#[derive(Debug, Deserialize)]
struct Versions {
    #[serde(default)]
    versions: Option<Vec<Listed>>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    version: String,
    #[serde(default)]
    platforms: Vec<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    os: String,
    arch: String,
}

#[derive(Debug, Deserialize)]
struct Download {
    filename: String,
    download_url: String,
    shasum: String,
    shasums_url: String,
    shasums_signature_url: String,
    #[serde(default)]
    signing_keys: Option<Keys>,
}

#[derive(Debug, Default, Deserialize)]
struct Keys {
    #[serde(default)]
    gpg_public_keys: Vec<Key>,
}

#[derive(Debug, Deserialize)]
struct Key {
    ascii_armor: String,
}

pub(crate) async fn versions(client: &Client, source: &ProviderSource) -> Result<Vec<Version>> {
    let listed = list(client, source).await?;
    Ok(listed.iter().filter_map(|listed| Version::parse(&listed.version)).collect())
}

async fn list(client: &Client, source: &ProviderSource) -> Result<Vec<Listed>> {
    let base = client.service(&source.host, SERVICE).await?;
    let url = base.join(&format!("{}/{}/versions", source.namespace, source.ty));
    let url = url.map_err(|error| unreadable(base.as_str(), &error))?;
    match client.json::<Versions>(&url, Some(&source.host)).await {
        Ok(found) => Ok(found.versions.unwrap_or_default()),
        // Another place may have it.
        Err(RegistryError::Status { status: 404, .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub(crate) async fn package(
    client: &Client,
    source: &ProviderSource,
    version: &Version,
    platform: &str,
    told: &(dyn Fn(u64) + Sync),
) -> Result<Package> {
    let host = Some(&*source.host);
    let base = client.service(&source.host, SERVICE).await?;
    let (os, arch) = platform.split_once('_').unwrap_or((platform, ""));
    let url = base.join(&format!("{}/{}/{version}/download/{os}/{arch}", source.namespace, source.ty));
    let url = url.map_err(|error| unreadable(base.as_str(), &error))?;
    let download: Download = match client.json(&url, host).await {
        Err(RegistryError::Status { status: 404, .. }) => {
            let listed = list(client, source).await?;
            let platforms = listed.iter().filter(|listed| Version::parse(&listed.version).as_ref() == Some(version));
            let platforms = platforms.flat_map(|listed| &listed.platforms);
            return Err(RegistryError::NoPlatform {
                origin: source.host.to_string(),
                version: format!("{} {version}", source.short()),
                platform: platform.to_owned(),
                available: platforms.map(|platform| format!("{}_{}", platform.os, platform.arch)).collect(),
            });
        }
        download => download?,
    };
    let at = |text: &str| url.join(text).map_err(|error| unreadable(url.as_str(), &error));
    let sums_url = at(&download.shasums_url)?;
    let sums = client.bytes(&sums_url, None).await?;
    let signed = client.bytes(&at(&download.shasums_signature_url)?, None).await?;
    let keys: Vec<String> =
        download.signing_keys.unwrap_or_default().gpg_public_keys.into_iter().map(|key| key.ascii_armor).collect();
    let signer = signature::verify(&sums, &signed, &keys)
        .map_err(|reason| RegistryError::Signature { url: sums_url.to_string(), reason })?;
    let sums = read_sums(&sums);
    let expected = sums.iter().find(|(_, name)| *name == download.filename).map(|(sum, _)| sum.clone());
    // The registry's own word does not count where the signed list has another.
    let expected =
        expected.filter(|sum| *sum == download.shasum.to_lowercase()).ok_or_else(|| RegistryError::Unreadable {
            url: sums_url.to_string(),
            reason: format!("it does not have {} with the checksum that the registry says", download.filename),
        })?;
    let package_url = at(&download.download_url)?;
    let file = client.download(&package_url, told).await?;
    check(file.path(), package_url.as_str(), sums_url.as_str(), &expected)?;
    Ok(Package {
        content: Content::Archive(file.path().to_owned()),
        vouched: sums.iter().map(|(sum, _)| Hash::of_archive(sum)).collect(),
        signer: Some(signer),
        temporary: Some(file.into_temp_path()),
    })
}

/// Lines `SHA-256  NAME`.
fn read_sums(text: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter_map(|line| line.split_once(char::is_whitespace));
    let is_sum = |sum: &str| sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    lines.filter(|(sum, _)| is_sum(sum)).map(|(sum, name)| (sum.to_lowercase(), name.trim().to_owned())).collect()
}

fn check(path: &Path, url: &str, by: &str, expected: &str) -> Result<()> {
    let mut file = std::fs::File::open(path).map_err(io(path))?;
    let found = hash::sha256(&mut file).map_err(io(path))?;
    if found == expected {
        return Ok(());
    }
    let (url, by, expected) = (url.to_owned(), by.to_owned(), expected.to_owned());
    Err(RegistryError::Checksum { url, by, expected, found })
}
