//! The provider plugin: layers of an application, as machines on clouds.
//!
//! ```text
//!  plugin (wire) → service (our nouns) → resources (typed models) → fleet (the life of a layer) → bundle (files), drivers (clouds)
//! ```
//!
//! **Invariant:** each module imports only what stands to its right; `tests/tidy.rs` checks it.

pub mod bundle;
pub mod context;
pub mod driver;
pub mod drivers;
pub mod field;
mod fleet;
pub mod layer;
mod locks;
mod model;
pub mod ownership;
pub mod place;
pub mod plugin;
pub mod resource;
pub mod resources;
mod seed;
pub mod service;
