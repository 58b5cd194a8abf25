//! Text to configuration, pure and synchronous.
pub mod addr;
pub mod console;
pub mod diag;
pub mod lang;
pub mod source;
pub mod syntax;
