//! Where providers come from, and what proves that they are what they say.
//!
//! [`Client`] speaks to hosts, [`Origin`] is one place that has packages (a registry, a mirror over the network, a mirror in a
//! folder), [`Package`] is one of them before it is installed, [`Lock`] is `.terraform.lock.hcl`. Forms and rules are Terraform's
//! ("Provider Registry Protocol", "Provider Network Mirror Protocol", "Dependency Lock File" in its documentation).
//!
//! **Invariant:** nothing that is fetched is used before its checksum is proven, nothing is written that is not whole, and no
//! answer of a host, however wrong, does more than end in a [`RegistryError`].

mod client;
mod direct;
mod folder;
mod hash;
mod lock;
pub mod mirror;
mod network;
mod origin;
mod package;
mod signature;

pub use client::{Client, Hosts};
pub use hash::{Hash, of_folder};
pub use lock::{FILE as LOCK_FILE, Lock, Locked};
pub use origin::{Method, Origin, Origins};
pub use package::{Content, Package, install, place};

/// Why a provider could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("{url} does not answer: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{url} cannot be asked: {reason}; certificates of authorities are in the package ca-certificates")]
    NotAsked { url: String, reason: String },
    #[error("{url} answers with {status}{}", hint(*status))]
    Status { url: String, status: u16 },
    #[error("what {url} answers cannot be read: {reason}")]
    Unreadable { url: String, reason: String },
    #[error("the host {host} has no {service}: its {url} does not say where that is")]
    NoService { host: String, service: &'static str, url: String },
    #[error("{origin} has no {version} for {platform}; it has it for {}", list(available))]
    NoPlatform { origin: String, version: String, platform: String, available: Vec<String> },
    #[error("the content of {url} is not what {by} says: its hash is {found} instead of {expected}")]
    Checksum { url: String, by: String, expected: String, found: String },
    #[error("the checksums of {url} are not signed by a key that the registry names: {reason}")]
    Signature { url: String, reason: String },
    #[error("{name} is not what {lock} has: {found}; `init -upgrade` takes it if you know why it differs", lock = LOCK_FILE)]
    Locked { name: String, found: String },
    #[error("the package {path} cannot be unpacked: {reason}")]
    Package { path: String, reason: String },
    #[error("{file}: {reason}")]
    LockFile { file: &'static str, reason: String },
    #[error("{path}: {cause}")]
    File { path: String, cause: std::io::Error },
}

pub type Result<T> = std::result::Result<T, RegistryError>;

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            ": it wants to know who asks; a `credentials` block of the CLI configuration or TF_TOKEN_HOST says that"
        }
        404 => ": there is no such provider",
        _ => "",
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no platform".to_owned() } else { names.join(", ") }
}

fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> RegistryError {
    let path = path.display().to_string();
    move |cause| RegistryError::File { path, cause }
}
