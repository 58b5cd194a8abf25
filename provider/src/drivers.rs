//! The clouds. To add one: a folder here and a line in [`DRIVERS`].

#[cfg(test)]
mod conformance;
pub mod local;
pub mod memory;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::driver::{Driver, Result};

/// What a `cloud` block says, besides its name and driver.
pub type Settings = BTreeMap<String, String>;

#[derive(Debug)]
pub struct DriverInfo {
    pub name: &'static str,
    pub doc: &'static str,
    /// Name and explanation of every setting.
    pub settings: &'static [(&'static str, &'static str)],
    pub connect: fn(&Settings) -> Result<Arc<dyn Driver>>,
}

pub const DRIVERS: &[DriverInfo] = &[local::INFO, memory::INFO];

pub fn find(name: &str) -> Option<&'static DriverInfo> {
    DRIVERS.iter().find(|driver| driver.name == name)
}
