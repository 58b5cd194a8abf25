//! What engine and plugin speak on the wire: go-plugin's handshake and services, and Terraform's provider protocol.
//!
//! `tfplugin5`, `tfplugin6`, `plugin` and `lampwright` are generated (`cargo regen`) from the `.proto` files of this folder; [`convert`] is
//! the only place that turns their messages into the nouns of the `value` crate and back.
//!
//! **Invariant:** nothing here decides anything; both ends of the protocol use it alike.

#[rustfmt::skip]
#[path = "gen/lampwright.rs"]
#[expect(clippy::pedantic, clippy::allow_attributes, reason = "generated")]
pub mod lampwright;
#[rustfmt::skip]
#[path = "gen/plugin.rs"]
#[expect(clippy::pedantic, clippy::allow_attributes, reason = "generated")]
pub mod plugin;
#[rustfmt::skip]
#[path = "gen/tfplugin5.rs"]
#[expect(clippy::pedantic, reason = "generated")]
pub mod tfplugin5;
#[rustfmt::skip]
#[path = "gen/tfplugin6.rs"]
#[expect(clippy::pedantic, clippy::allow_attributes, reason = "generated")]
pub mod tfplugin6;

pub mod convert;
pub mod dialect;
pub mod handshake;
pub mod preview;
pub mod rpc;
pub mod state_name;
pub mod tls;

/// Larger messages than tonic's 4 MiB are ordinary: a schema of a large provider, a big configuration.
/// Terraform's own providers accept 256 MiB.
pub const MAX_MESSAGE: usize = 256 << 20;

/// The name under which a plugin reports its health.
pub const HEALTH_SERVICE: &str = "plugin";
