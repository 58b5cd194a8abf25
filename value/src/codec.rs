//! The two encodings of values: msgpack between processes, JSON in state files and on the command line.
//!
//! Both decode by type, since neither carries the types of the language.

pub mod json;
pub mod msgpack;

/// Deeper values are refused: they could only come from a broken or hostile peer.
const MAX_DEPTH: usize = 256;

/// Why bytes are not a value of the type that they should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the data ends too early")]
    Truncated,
    #[error("{expected} expected, {found} found")]
    Unexpected { expected: String, found: String },
    #[error("attribute {0:?} is missing")]
    MissingAttribute(String),
    #[error("attribute {0:?} is not in the schema")]
    UnknownAttribute(String),
    #[error("the value is nested too deeply")]
    TooDeep,
    #[error("{0} bytes follow the value")]
    TrailingBytes(usize),
    #[error("a string is not UTF-8")]
    NotUtf8,
    #[error("extension type {0} is not known")]
    UnknownExtension(i8),
}

fn unexpected(expected: impl ToString, found: impl ToString) -> DecodeError {
    DecodeError::Unexpected { expected: expected.to_string(), found: found.to_string() }
}
