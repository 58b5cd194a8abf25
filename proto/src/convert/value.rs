use value::codec::{json, msgpack};
use value::{Ty, Value};

use super::ConvertError;
use crate::tfplugin6::DynamicValue;

/// Marks stay behind: the wire has none.
pub fn value_to_wire(value: &Value, ty: &Ty) -> DynamicValue {
    DynamicValue { msgpack: msgpack::encode(value, ty), json: Vec::new() }
}

/// An absent message, and one with neither encoding, is null.
pub fn value_from_wire(wire: Option<&DynamicValue>, ty: &Ty) -> Result<Value, ConvertError> {
    match wire {
        Some(wire) if !wire.msgpack.is_empty() => Ok(msgpack::decode(&wire.msgpack, ty)?),
        Some(wire) if !wire.json.is_empty() => Ok(json::decode(&serde_json::from_slice(&wire.json)?, ty)?),
        Some(_) | None => Ok(Value::Null(ty.clone())),
    }
}
