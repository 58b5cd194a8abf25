//! Syntax tree to meaning.

pub mod declare;
pub mod eval;
pub mod funcs;
pub mod refs;
pub mod secrets;
pub mod types;
