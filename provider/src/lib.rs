//! The provider plugin: layers of an application, as machines on clouds.
//!
//! ```text
//!  plugin (wire) → service (our nouns) → resources (typed models) → bundle (files), drivers (clouds)
//! ```
//!
//! **Invariant:** each module imports only what stands to its right; `tests/tidy.rs` checks it.

pub mod bundle;
pub mod driver;
pub mod drivers;
pub mod findings;
mod firewall;
mod locks;
pub mod ownership;
pub mod place;
pub mod plugin;
pub mod resource;
pub mod resources;
mod seed;
pub mod service;
