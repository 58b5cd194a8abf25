//! A stack, and everything that can be done with it: each a function from a request to data, told to a [`watch::Watch`] as it
//! goes. The command line is one view of it.
//!
//! **Invariant:** no current directory, no statics, no environment of the process, no printing, no exit codes. What comes from
//! outside is in [`host::Host`], so that two stacks can be worked on in one process (`tests/application.rs`).

#![expect(missing_debug_implementations, reason = "stacks hold loaders and providers, which need not be printable")]

pub mod archive;
mod builtin;
pub mod bundle;
pub mod change;
pub mod console;
pub mod disk;
pub mod docs;
pub mod export;
pub mod failure;
pub mod graph;
pub mod host;
pub mod import;
pub mod init;
pub mod inputs;
pub mod logs;
pub mod migration;
pub mod operate;
pub mod package;
pub mod planning;
pub mod plugins;
pub mod providers;
pub mod root;
pub mod scale;
pub mod sources;
pub mod stack;
pub mod state;
pub mod surgery;
pub mod test;
pub mod validate;
pub mod watch;
pub mod workspace;
pub mod workspaces;
