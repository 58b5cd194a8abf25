//! The border between messages and nouns: every `tfplugin6` message that carries meaning is converted here, at
//! once, and nowhere else.
//!
//! **Invariant:** input from the other process never panics; what cannot be read is a [`ConvertError`].

mod problem;
mod schema;
mod value;

pub use problem::{path_from_wire, path_to_wire, problem_from_wire, problem_to_wire};
pub use schema::{function_from_wire, schema_from_wire, schema_to_wire, schemas_of_protocol_5};
pub use value::{value_from_wire, value_to_wire};

#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    #[error("a value could not be decoded")]
    Value(#[from] ::value::codec::DecodeError),
    #[error("a JSON value could not be read")]
    Json(#[from] serde_json::Error),
    #[error("the schema has no block")]
    NoBlock,
    #[error("the type of attribute {attribute:?} is not readable")]
    AttributeType { attribute: String },
    #[error("the type of {name:?} of a function is not readable")]
    FunctionType { name: String },
    #[error("the nesting mode of {name:?} is not one that this program knows")]
    Nesting { name: String },
}
