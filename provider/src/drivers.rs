//! The clouds. To add one: a folder here and a line in [`DRIVERS`].

mod aws;
#[cfg(test)]
mod conformance;
mod http;
pub mod local;
#[cfg(test)]
mod memory;
mod openstack;
mod remote;
mod rules;
pub mod simulated;
mod traced;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::driver::{BalancerTraits, Driver, DriverError, Result};

/// What a `cloud` block says, besides its name and driver.
pub type Settings = BTreeMap<String, String>;

#[derive(Debug)]
pub struct DriverInfo {
    pub name: &'static str,
    pub doc: &'static str,
    /// Name and explanation of every setting.
    pub settings: &'static [(&'static str, &'static str)],
    /// Those that it has in common with drivers of its kind.
    pub common_settings: &'static [(&'static str, &'static str)],
    pub connect: fn(&Settings) -> Result<Arc<dyn Driver>>,
    /// What can be said of its machines without connecting to anything.
    pub traits: Traits,
}

#[derive(Debug, Clone, Copy)]
pub struct Traits {
    /// Where a machine's files are; none if that is a matter of settings.
    pub root: Option<&'static str>,
    pub has_firewall: bool,
    pub balancer: Option<BalancerTraits>,
}

/// Those that users are offered.
pub const DRIVERS: &[DriverInfo] = &[aws::INFO, local::INFO, openstack::INFO];

/// With the fake of the provider's own tests.
#[cfg(test)]
fn all() -> impl Iterator<Item = &'static DriverInfo> {
    const MEMORY: DriverInfo = memory::INFO;
    DRIVERS.iter().chain(std::iter::once(&MEMORY))
}

#[cfg(not(test))]
fn all() -> impl Iterator<Item = &'static DriverInfo> {
    DRIVERS.iter()
}

impl DriverInfo {
    pub fn all_settings(&self) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        self.settings.iter().chain(self.common_settings)
    }
}

pub fn find(name: &str) -> Option<&'static DriverInfo> {
    all().find(|driver| driver.name == name)
}

/// A setting that is a network, such as 198.51.100.7/32.
fn network(settings: &Settings, name: &str) -> Result<Option<String>> {
    let Some(text) = settings.get(name) else { return Ok(None) };
    let parsed = text.split_once('/').and_then(|(address, bits)| {
        let most = if address.parse::<IpAddr>().ok()?.is_ipv4() { 32 } else { 128 };
        bits.parse::<u8>().ok().filter(|bits| *bits <= most)
    });
    match parsed {
        Some(_) => Ok(Some(text.clone())),
        None => {
            let reason = format!("{text:?} is no network; write one like 198.51.100.7/32");
            Err(DriverError::Setting { name: name.to_owned(), reason })
        }
    }
}

/// A setting that is a number of seconds.
fn seconds(settings: &Settings, name: &str, default: u64) -> Result<u64> {
    match settings.get(name).map(|text| text.parse()) {
        None => Ok(default),
        Some(Ok(seconds)) if seconds > 0 => Ok(seconds),
        Some(_) => {
            let reason = "write a whole number of seconds, at least 1".to_owned();
            Err(DriverError::Setting { name: name.to_owned(), reason })
        }
    }
}
