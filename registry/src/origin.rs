//! The places that have packages, in the order of the CLI configuration (`provider_installation`), and which of them is asked
//! for what.

use std::path::PathBuf;

use compiler::addr::ProviderSource;
use compiler::selection::Selection;
use compiler::version::Version;
use reqwest::Url;

use crate::client::Client;
use crate::package::Package;
use crate::{Result, direct, folder, network};

/// How packages are had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    Folder(PathBuf),
    /// Its address ends with a slash.
    Network(Url),
    /// The registry of the provider's own host.
    Direct,
}

/// A method, and for which providers it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub method: Method,
    pub selection: Selection,
}

impl Origin {
    pub fn shown(&self, source: &ProviderSource) -> String {
        match &self.method {
            Method::Folder(path) => path.display().to_string(),
            Method::Network(url) => url.to_string(),
            Method::Direct => source.host.to_string(),
        }
    }
}

/// All places.
#[derive(Debug)]
pub struct Origins {
    pub client: Client,
    pub list: Vec<Origin>,
    /// Nobody has chosen them: what a folder has is not looked for elsewhere.
    pub are_implied: bool,
}

impl Origins {
    /// The versions that can be had, the newest first, each with the place that has it. A place that is asked and does not
    /// answer is an error: what it has may be what is wanted.
    pub async fn versions(&self, source: &ProviderSource, platform: &str) -> Result<Vec<(Version, &Origin)>> {
        let mut found: Vec<(Version, &Origin)> = Vec::new();
        for origin in self.list.iter().filter(|origin| origin.selection.takes(source)) {
            if self.are_implied && !found.is_empty() && !matches!(origin.method, Method::Folder(_)) {
                break;
            }
            let versions = match &origin.method {
                Method::Folder(path) => folder::versions(path, source, platform),
                Method::Network(base) => network::versions(&self.client, base, source).await?,
                Method::Direct => direct::versions(&self.client, source).await?,
            };
            for version in versions {
                if !found.iter().any(|(known, _)| *known == version) {
                    found.push((version, origin));
                }
            }
        }
        found.sort_by(|(one, _), (other, _)| other.cmp(one));
        Ok(found)
    }

    pub async fn package(
        &self,
        origin: &Origin,
        source: &ProviderSource,
        version: &Version,
        platform: &str,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<Package> {
        match &origin.method {
            Method::Folder(path) => folder::package(path, source, version, platform),
            Method::Network(base) => network::package(&self.client, base, source, version, platform, told).await,
            Method::Direct => direct::package(&self.client, source, version, platform, told).await,
        }
    }
}
