//! The nouns that both processes share: values, types, schemas and problems.
//!
//! The engine and the plugin talk about the same things in two processes. This crate is their common
//! vocabulary; it knows the type system of Terraform's language (`cty`) and its two encodings, and nothing
//! about text, wires or files.
//!
//! **Invariant:** no IO, no async, no protobuf.

pub mod codec;
pub mod convert;
pub mod marks;
pub mod number;
pub mod path;
pub mod problem;
pub mod schema;
pub mod set;
pub mod size;
pub mod ty;
pub mod value;

pub use marks::Marks;
pub use number::Number;
pub use path::{Path, Step};
pub use problem::{Problem, Severity};
pub use ty::Ty;
pub use value::Value;
