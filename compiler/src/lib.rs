//! Text to configuration, pure and synchronous.
//!
//! ```text
//!  text ─grammar→ pairs ─syntax→ AST + spans ─lang→ declarations ─program→ Program ─evaluation→ configuration
//! ```
//!
//! [`program::load`] reads a tree of modules, [`evaluation::Evaluation`] turns it, step by step, into
//! [`config::DesiredInstance`]s. An evaluation never talks to a provider: it hands out what is ready and is told
//! what became of it.
//!
//! **Invariant:** no IO, no clock, no environment, no async (`clippy.toml` of this crate forbids their names).
//! Problems in the user's text are [`diag::Diagnostics`], never `Err` and never a panic.

pub mod addr;
pub mod backend;
pub mod binding;
pub mod config;
pub mod console;
pub mod diag;
pub mod encryption;
pub mod evaluation;
pub mod graph;
pub mod lang;
pub mod literal;
pub mod origin;
pub mod program;
mod provider_meta;
mod refactoring;
pub mod selection;
pub mod source;
pub mod surroundings;
pub mod syntax;
pub mod testing;
pub mod text;
pub mod version;

pub use evaluation::{Environment, Evaluation, Inputs, Work};
pub use program::Program;
