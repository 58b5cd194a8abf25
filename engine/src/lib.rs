//! Desired versus actual: plan, apply, state, and the host end of the plugin protocol.
//!
//! [`plan::plan`] compares what the compiler says shall be with what the providers say there is, and decides;
//! [`apply::apply`] does what the plan says and decides nothing. Both drive the same
//! [`compiler::Evaluation`]: plan supplies planned values, apply final ones.
//!
//! **Invariant:** never prints and never exits; what happens is told as [`event::Event`]s.

pub mod action;
pub mod apply;
mod ephemeral;
pub mod event;
pub mod host;
pub mod operations;
pub mod plan;
mod propose;
pub mod run;
pub mod state;
pub mod testing;
pub mod validate;
