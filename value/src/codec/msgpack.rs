//! msgpack, as in the `DynamicValue` of the plugin protocol (`cty/msgpack`, `docs/plugin-protocol/object-wire-format.md`).
//!
//! Unknown is extension type 0, a refined unknown extension type 12; `dynamic` is a pair of the type as JSON and
//! the value. Decoding never trusts a length that the peer announces: memory grows only with bytes that are there.

use std::sync::Arc;

use rmp::Marker;
use rmp::encode as write;
use serde_json::Value as Json;

use super::json::{attribute_ty, element_ty};
use super::{DecodeError, MAX_DEPTH, unexpected};
use crate::value::{Attributes, Refinement};
use crate::{Number, Ty, Value};

const UNKNOWN: i8 = 0;
const REFINED: i8 = 12;
/// Longer refinements are refused by every reader.
const MAX_REFINEMENT: usize = 1024;

const INFALLIBLE: &str = "writing to a Vec cannot fail";

pub fn encode(value: &Value, ty: &Ty) -> Vec<u8> {
    let mut out = Vec::new();
    write_value(&mut out, value, ty);
    out
}

fn write_value(out: &mut Vec<u8>, value: &Value, ty: &Ty) {
    match value {
        Value::Marked(_, inner) => write_value(out, inner, ty),
        Value::Null(_) => write::write_nil(out).expect(INFALLIBLE),
        Value::Unknown(_, refinement) => write_unknown(out, refinement.as_deref().filter(|_| *ty != Ty::Dynamic)),
        _ if *ty == Ty::Dynamic => {
            let actual = value.ty();
            write::write_array_len(out, 2).expect(INFALLIBLE);
            write::write_bin(out, actual.to_json().to_string().as_bytes()).expect(INFALLIBLE);
            write_value(out, value, &actual);
        }
        Value::Bool(truth) => write::write_bool(out, *truth).expect(INFALLIBLE),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write::write_str(out, text).expect(INFALLIBLE),
        Value::List(..) | Value::Set(..) | Value::Tuple(_) => {
            let items = value.as_items().unwrap_or_default();
            write::write_array_len(out, items.len() as u32).expect(INFALLIBLE);
            for (idx, item) in items.iter().enumerate() {
                write_value(out, item, &element_ty(ty, idx));
            }
        }
        Value::Map(_, entries) | Value::Object(entries) => {
            write::write_map_len(out, entries.len() as u32).expect(INFALLIBLE);
            for (key, value) in entries.iter() {
                write::write_str(out, key).expect(INFALLIBLE);
                write_value(out, value, &attribute_ty(ty, key));
            }
        }
    }
}

fn write_number(out: &mut Vec<u8>, number: &Number) {
    if let Some(int) = number.to_i64() {
        write::write_sint(out, int).expect(INFALLIBLE);
    } else if let Some(float) = number.to_f64_exact().filter(|_| number.is_infinite() || !number.is_whole()) {
        write::write_f64(out, float).expect(INFALLIBLE);
    } else {
        write::write_str(out, &number.to_string()).expect(INFALLIBLE);
    }
}

fn write_unknown(out: &mut Vec<u8>, refinement: Option<&Refinement>) {
    let mut body = Vec::new();
    let mut entries = 0;
    if let Some(refinement) = refinement {
        let mut key = |body: &mut Vec<u8>, key: u8| {
            entries += 1;
            write::write_pfix(body, key).expect(INFALLIBLE);
        };
        if refinement.not_null {
            key(&mut body, 1);
            write::write_bool(&mut body, false).expect(INFALLIBLE);
        }
        if !refinement.string_prefix.is_empty() && refinement.string_prefix.len() <= 256 {
            key(&mut body, 2);
            write::write_str(&mut body, &refinement.string_prefix).expect(INFALLIBLE);
        }
        for (bound_key, bound) in [(3, &refinement.number_min), (4, &refinement.number_max)] {
            if let Some((number, inclusive)) = bound {
                key(&mut body, bound_key);
                write::write_array_len(&mut body, 2).expect(INFALLIBLE);
                write_number(&mut body, number);
                write::write_bool(&mut body, *inclusive).expect(INFALLIBLE);
            }
        }
        for (length_key, length) in [(5, refinement.length_min), (6, refinement.length_max)] {
            if let Some(length) = length {
                key(&mut body, length_key);
                write::write_sint(&mut body, length).expect(INFALLIBLE);
            }
        }
    }
    if entries == 0 || body.len() >= MAX_REFINEMENT {
        // The writer's own form of a plain unknown: fixext1 of type 0 with one zero byte.
        out.extend_from_slice(&[0xd4, 0, 0]);
        return;
    }
    body.insert(0, 0x80 | entries);
    write::write_ext_meta(out, body.len() as u32, REFINED).expect(INFALLIBLE);
    out.extend_from_slice(&body);
}

pub fn decode(bytes: &[u8], ty: &Ty) -> Result<Value, DecodeError> {
    let mut reader = Reader { rest: bytes };
    let value = reader.value(ty, 0)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(DecodeError::TrailingBytes(reader.rest.len())) }
}

struct Reader<'b> {
    rest: &'b [u8],
}

/// One token, with lengths as they were announced.
enum Token<'b> {
    Nil,
    Bool(bool),
    Int(i64),
    UnsignedBeyondInt(u64),
    Float(f64),
    Str(&'b str),
    Bin(&'b [u8]),
    Array(usize),
    Map(usize),
    Ext(i8, &'b [u8]),
}

impl<'b> Reader<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn unsigned(&mut self, len: usize) -> Result<u64, DecodeError> {
        Ok(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, len: usize) -> Result<i64, DecodeError> {
        let unused = 64 - 8 * len as u32;
        Ok((self.unsigned(len)? << unused) as i64 >> unused)
    }

    fn text(&mut self, len: usize) -> Result<Token<'b>, DecodeError> {
        std::str::from_utf8(self.take(len)?).map(Token::Str).map_err(|_| DecodeError::NotUtf8)
    }

    fn extension(&mut self, len: usize) -> Result<Token<'b>, DecodeError> {
        let code = self.signed(1)? as i8;
        Ok(Token::Ext(code, self.take(len)?))
    }

    fn token(&mut self) -> Result<Token<'b>, DecodeError> {
        let marker = Marker::from_u8(self.take(1)?[0]);
        Ok(match marker {
            Marker::Null => Token::Nil,
            Marker::False => Token::Bool(false),
            Marker::True => Token::Bool(true),
            Marker::FixPos(int) => Token::Int(i64::from(int)),
            Marker::FixNeg(int) => Token::Int(i64::from(int)),
            Marker::U8 => Token::Int(self.unsigned(1)? as i64),
            Marker::U16 => Token::Int(self.unsigned(2)? as i64),
            Marker::U32 => Token::Int(self.unsigned(4)? as i64),
            Marker::U64 => {
                let unsigned = self.unsigned(8)?;
                i64::try_from(unsigned).map_or(Token::UnsignedBeyondInt(unsigned), Token::Int)
            }
            Marker::I8 => Token::Int(self.signed(1)?),
            Marker::I16 => Token::Int(self.signed(2)?),
            Marker::I32 => Token::Int(self.signed(4)?),
            Marker::I64 => Token::Int(self.signed(8)?),
            Marker::F32 => Token::Float(f64::from(f32::from_bits(self.unsigned(4)? as u32))),
            Marker::F64 => Token::Float(f64::from_bits(self.unsigned(8)?)),
            Marker::FixStr(len) => self.text(usize::from(len))?,
            Marker::Str8 => {
                let len = self.unsigned(1)?;
                self.text(len as usize)?
            }
            Marker::Str16 => {
                let len = self.unsigned(2)?;
                self.text(len as usize)?
            }
            Marker::Str32 => {
                let len = self.unsigned(4)?;
                self.text(len as usize)?
            }
            Marker::Bin8 => {
                let len = self.unsigned(1)?;
                Token::Bin(self.take(len as usize)?)
            }
            Marker::Bin16 => {
                let len = self.unsigned(2)?;
                Token::Bin(self.take(len as usize)?)
            }
            Marker::Bin32 => {
                let len = self.unsigned(4)?;
                Token::Bin(self.take(len as usize)?)
            }
            Marker::FixArray(len) => Token::Array(usize::from(len)),
            Marker::Array16 => Token::Array(self.unsigned(2)? as usize),
            Marker::Array32 => Token::Array(self.unsigned(4)? as usize),
            Marker::FixMap(len) => Token::Map(usize::from(len)),
            Marker::Map16 => Token::Map(self.unsigned(2)? as usize),
            Marker::Map32 => Token::Map(self.unsigned(4)? as usize),
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => {
                let len = self.unsigned(1)?;
                self.extension(len as usize)?
            }
            Marker::Ext16 => {
                let len = self.unsigned(2)?;
                self.extension(len as usize)?
            }
            Marker::Ext32 => {
                let len = self.unsigned(4)?;
                self.extension(len as usize)?
            }
            Marker::Reserved => return Err(unexpected("a value", "a reserved byte")),
        })
    }

    fn value(&mut self, ty: &Ty, depth: usize) -> Result<Value, DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        let token = self.token()?;
        match (token, ty) {
            (Token::Nil, _) => Ok(Value::Null(ty.without_optional())),
            (Token::Ext(code, body), _) => decode_unknown(code, body, ty),
            (Token::Array(2), Ty::Dynamic) => {
                let Token::Bin(type_json) = self.token()? else { return Err(unexpected("a type", "another value")) };
                let type_json: Json = serde_json::from_slice(type_json).map_err(|e| unexpected("a type", e))?;
                let ty = Ty::from_json(&type_json).map_err(|error| unexpected("a type", error))?;
                if ty == Ty::Dynamic { Err(unexpected("a type", "\"dynamic\"")) } else { self.value(&ty, depth + 1) }
            }
            (Token::Bool(truth), Ty::Bool) => Ok(Value::Bool(truth)),
            (Token::Int(int), Ty::Number) => Ok(Value::number(int)),
            (Token::UnsignedBeyondInt(int), Ty::Number) => number_of(&int.to_string()),
            (Token::Float(float), Ty::Number) => {
                Number::from_f64(float).map(Value::Number).map_err(|error| unexpected("a number", error))
            }
            (Token::Str(text), Ty::Number) => number_of(text),
            (Token::Str(text), Ty::String) => Ok(Value::string(text)),
            (Token::Array(len), Ty::List(element)) => {
                Ok(Value::list(element.without_optional(), self.items(len, element, depth)?))
            }
            (Token::Array(len), Ty::Set(element)) => {
                Ok(Value::set(element.without_optional(), self.items(len, element, depth)?))
            }
            (Token::Array(len), Ty::Tuple(elements)) if len == elements.len() => {
                let items = elements.iter().map(|ty| self.value(ty, depth + 1));
                Ok(Value::tuple(items.collect::<Result<_, _>>()?))
            }
            (Token::Map(len), Ty::Map(element)) => {
                let mut entries = Attributes::new();
                for _ in 0..len {
                    let key = self.key()?;
                    entries.insert(key.into(), self.value(element, depth + 1)?);
                }
                Ok(Value::Map(element.without_optional(), Arc::new(entries)))
            }
            (Token::Map(len), Ty::Object(object)) => {
                let mut entries = Attributes::new();
                for _ in 0..len {
                    let name = self.key()?;
                    let ty = object.attributes.get(name);
                    let ty = ty.ok_or_else(|| DecodeError::UnknownAttribute(name.to_owned()))?;
                    entries.insert(name.into(), self.value(ty, depth + 1)?);
                }
                match object.attributes.keys().find(|name| !entries.contains_key(*name)) {
                    Some(missing) => Err(DecodeError::MissingAttribute(missing.to_string())),
                    None => Ok(Value::Object(Arc::new(entries))),
                }
            }
            (token, _) => Err(unexpected(crate::convert::name(ty), token.kind())),
        }
    }

    fn items(&mut self, len: usize, element: &Ty, depth: usize) -> Result<Vec<Value>, DecodeError> {
        let mut items = Vec::with_capacity(len.min(self.rest.len()));
        for _ in 0..len {
            items.push(self.value(element, depth + 1)?);
        }
        Ok(items)
    }

    fn key(&mut self) -> Result<&'b str, DecodeError> {
        match self.token()? {
            Token::Str(key) => Ok(key),
            token => Err(unexpected("a key", token.kind())),
        }
    }
}

fn number_of(text: &str) -> Result<Value, DecodeError> {
    text.parse().map(Value::Number).map_err(|error| unexpected("a number", error))
}

fn decode_unknown(code: i8, body: &[u8], ty: &Ty) -> Result<Value, DecodeError> {
    let unknown_ty = ty.without_optional();
    if body.len() <= 1 || code == UNKNOWN {
        return Ok(Value::unknown(unknown_ty));
    }
    if code != REFINED {
        return Err(DecodeError::UnknownExtension(code));
    }
    if body.len() > MAX_REFINEMENT {
        return Err(unexpected("a refinement of at most 1024 bytes", format!("{} bytes", body.len())));
    }
    if *ty == Ty::Dynamic {
        return Ok(Value::unknown(unknown_ty));
    }
    let mut reader = Reader { rest: body };
    let Token::Map(len) = reader.token()? else { return Err(unexpected("a refinement", "another value")) };
    let mut refinement = Refinement::default();
    for _ in 0..len {
        let Token::Int(key) = reader.token()? else { return Err(unexpected("a refinement key", "another value")) };
        match key {
            1 => refinement.not_null = matches!(reader.token()?, Token::Bool(false)),
            2 => {
                if let Token::Str(prefix) = reader.token()? {
                    prefix.clone_into(&mut refinement.string_prefix);
                }
            }
            3 | 4 => {
                let pair = reader.value(&Ty::tuple(vec![Ty::Number, Ty::Bool]), 0)?;
                let items = pair.as_items().unwrap_or_default();
                let bound = items[0].as_number().cloned().zip(items[1].as_bool());
                if key == 3 { refinement.number_min = bound } else { refinement.number_max = bound }
            }
            5 | 6 => {
                if let Token::Int(length) = reader.token()? {
                    if key == 5 { refinement.length_min = Some(length) } else { refinement.length_max = Some(length) }
                }
            }
            _ => return Err(unexpected("a refinement key from 1 to 6", key)),
        }
    }
    Ok(Value::Unknown(unknown_ty, Some(Arc::new(refinement))))
}

impl Token<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Token::Nil => "null",
            Token::Bool(_) => "a bool",
            Token::Int(_) | Token::UnsignedBeyondInt(_) | Token::Float(_) => "a number",
            Token::Str(_) => "a string",
            Token::Bin(_) => "bytes",
            Token::Array(_) => "an array",
            Token::Map(_) => "a map",
            Token::Ext(..) => "an extension",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn round_trip(value: &Value, ty: &Ty) {
        let bytes = encode(value, ty);
        assert_eq!(decode(&bytes, ty).as_ref(), Ok(value), "{bytes:02x?}");
        // Every truncation is an error, none a panic.
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len], ty).is_err());
        }
    }

    #[test]
    fn values_round_trip() {
        round_trip(&Value::from("é"), &Ty::String);
        round_trip(&Value::from(-70000), &Ty::Number);
        round_trip(&Value::Number("0.5".parse().unwrap()), &Ty::Number);
        round_trip(&Value::Number("0.1".parse().unwrap()), &Ty::Number);
        round_trip(&Value::Number("123456789012345678901234567890".parse().unwrap()), &Ty::Number);
        round_trip(&Value::Number(Number::infinity(true)), &Ty::Number);
        round_trip(&Value::Null(Ty::String), &Ty::String);
        round_trip(&Value::unknown(Ty::list(Ty::Bool)), &Ty::list(Ty::Bool));
        round_trip(&Value::set(Ty::String, vec!["b".into(), "a".into()]), &Ty::set(Ty::String));
        let object = Value::object([("a", Value::from(1)), ("b", Value::tuple(vec![true.into()]))]);
        round_trip(&object, &object.ty());
        round_trip(&object, &Ty::Dynamic);
    }

    #[test]
    fn refinements_round_trip() {
        let refinement = Refinement {
            not_null: true,
            string_prefix: "pool-".to_owned(),
            length_min: Some(2),
            number_max: Some((Number::from(9), true)),
            ..Refinement::default()
        };
        round_trip(&Value::Unknown(Ty::String, Some(Arc::new(refinement))), &Ty::String);
    }

    #[test]
    fn a_plain_unknown_is_these_three_bytes() {
        assert_eq!(encode(&Value::unknown(Ty::String), &Ty::String), [0xd4, 0, 0]);
    }

    #[test]
    fn a_hostile_peer_gets_an_error() {
        let object = Ty::object([("a", Ty::String)]);
        assert_eq!(decode(&[0x80], &object), Err(DecodeError::MissingAttribute("a".to_owned())));
        assert_eq!(decode(&[0x81, 0xa1, b'z', 0xc0], &object), Err(DecodeError::UnknownAttribute("z".to_owned())));
        // An array that announces four billion elements and holds none.
        assert_eq!(decode(&[0xdd, 0xff, 0xff, 0xff, 0xff], &Ty::list(Ty::String)), Err(DecodeError::Truncated));
        assert_eq!(decode(&[0xd5, 5, 0, 0], &Ty::String), Err(DecodeError::UnknownExtension(5)));
        assert_eq!(decode(&[0xc0, 0xc0], &Ty::String), Err(DecodeError::TrailingBytes(1)));
    }
}
