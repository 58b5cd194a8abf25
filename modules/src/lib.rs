//! The library of stack modules, as folders beside this file: `NAME/*.stack.hcl`, a README, examples with their
//! snapshots. `tests/modules.rs` of the root package plans every example.
//!
//! The crate itself is empty: programs do not carry the library yet, so a stack calls a module by its path.
