//! The plugin process: handshake, encrypted connection, and the services of go-plugin and tfplugin6.
//!
//! **Invariant:** the only module that names `tfplugin6`; everything is converted at once.

mod logging;
mod operations;
mod server;
mod stdio;
mod wire;

pub use server::{ServeError, serve};
