//! Encodings.

mod charset;

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use value::Value;
use value::codec::json;
use value::size::PART;

use super::{Func, FuncError, Param, any, argument, failed, fits, gives_any, gives_string, string, text};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "base64decode",
        doc: "Decodes base64 to text.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"base64decode("aGVsbG8=")"#, r#""hello""#)],
        unknown: gives_string,
        call: |args, _| {
            let bytes = base64(args)?;
            let text = String::from_utf8(bytes).map_err(|_| argument(0, "the decoded bytes are not UTF-8"))?;
            Ok(Value::string(text))
        },
    },
    Func {
        name: "base64encode",
        doc: "Encodes the UTF-8 of a text as base64.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"base64encode("hello")"#, r#""aGVsbG8=""#)],
        unknown: gives_string,
        call: |args, _| Ok(Value::string(STANDARD.encode(text(args, 0)))),
    },
    Func {
        name: "base64gunzip",
        doc: "Decodes base64 and unpacks it, which `base64gzip` packed, to text.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"base64gunzip(base64gzip("hello"))"#, r#""hello""#)],
        unknown: gives_string,
        call: |args, _| {
            let packed = base64(args)?;
            let mut unpacked = Vec::new();
            let limit = value::size::MAX_SIZE as u64 + 1;
            let read = flate2::read::GzDecoder::new(packed.as_slice()).take(limit).read_to_end(&mut unpacked);
            read.map_err(|_| argument(0, "what is in it is not gzip"))?;
            fits(unpacked.len())?;
            String::from_utf8(unpacked).map(Value::string).map_err(|_| argument(0, "what is in it is not UTF-8"))
        },
    },
    Func {
        name: "base64gzip",
        doc: "Packs the UTF-8 of a text with gzip, and encodes that as base64.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"substr(base64gzip("hello"), 0, 4)"#, r#""H4sI""#)],
        unknown: gives_string,
        call: |args, _| {
            let mut packer = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::default());
            let packed = packer.write_all(text(args, 0).as_bytes()).and_then(|()| packer.finish());
            packed.map(|packed| Value::string(STANDARD.encode(packed))).map_err(|error| failed(error.to_string()))
        },
    },
    Func {
        name: "jsondecode",
        doc: "Reads JSON.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"jsondecode("{\"a\": [1, null]}").a[0]"#, "1")],
        unknown: gives_any,
        call: |args, _| {
            // Every part of a document but the first has one of these before it.
            let parts = text(args, 0).bytes().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
            fits(parts.saturating_mul(PART))?;
            let parsed = serde_json::from_str(&without_half_characters(text(args, 0)));
            parsed
                .map(|parsed| json::decode_plain(&parsed))
                .map_err(|error| argument(0, format!("it is not JSON: {error}")))
        },
    },
    Func {
        name: "jsonencode",
        doc: "Writes a value as JSON, in one line.",
        params: &[Param::new("value", any).nullable()],
        variadic: None,
        examples: &[(
            r#"jsonencode({ b = [1, true, null], a = "<x>" })"#,
            r#""{\"a\":\"\\u003cx\\u003e\",\"b\":[1,true,null]}""#,
        )],
        unknown: |args| match &args[0] {
            // How it begins is known of what has parts.
            Value::List(..) | Value::Set(..) | Value::Tuple(_) => super::begins_with("["),
            Value::Map(..) | Value::Object(_) => super::begins_with("{"),
            _ => gives_string(args),
        },
        call: |args, _| {
            if has_infinity(&args[0]) {
                return Err(argument(0, "JSON has no infinite numbers"));
            }
            Ok(Value::string(json::go_escape(&json::encode_plain(&args[0]).to_string())))
        },
    },
    Func {
        name: "textdecodebase64",
        doc: "Decodes base64 to text in an encoding, such as \"UTF-16LE\".",
        params: &[Param::new("string", string), Param::new("encoding", string)],
        variadic: None,
        examples: &[(r#"textdecodebase64("aABpAA==", "UTF-16LE")"#, r#""hi""#)],
        unknown: gives_string,
        call: |args, _| {
            let charset = charset::find(text(args, 1)).ok_or_else(|| argument(1, "there is no such encoding"))?;
            let bytes = STANDARD.decode(text(args, 0)).map_err(|_| argument(0, "it is not base64"))?;
            let decoded = charset.decode(&bytes).ok_or_else(|| argument(0, "it is not text in this encoding"))?;
            Ok(Value::string(decoded))
        },
    },
    Func {
        name: "textencodebase64",
        doc: "Encodes a text in an encoding, such as \"UTF-16LE\", and that as base64.",
        params: &[Param::new("string", string), Param::new("encoding", string)],
        variadic: None,
        examples: &[(r#"textencodebase64("hi", "UTF-16LE")"#, r#""aABpAA==""#)],
        unknown: gives_string,
        call: |args, _| {
            let charset = charset::find(text(args, 1)).ok_or_else(|| argument(1, "there is no such encoding"))?;
            let encoded = charset.encode(text(args, 0));
            let encoded = encoded.ok_or_else(|| argument(0, "a character of it is not in this encoding"))?;
            Ok(Value::string(STANDARD.encode(encoded)))
        },
    },
    Func {
        name: "urldecode",
        doc: "A text as it was before `urlencode`.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"urldecode("a+b%21")"#, r#""a b!""#)],
        unknown: gives_string,
        call: |args, _| {
            let refused = || argument(0, "a % is not followed by two hexadecimal digits");
            let mut bytes = Vec::new();
            let mut rest = text(args, 0).bytes();
            while let Some(byte) = rest.next() {
                bytes.push(match byte {
                    b'+' => b' ',
                    b'%' => {
                        let mut digit = || char::from(rest.next()?).to_digit(16);
                        let (high, low) = (digit().ok_or_else(refused)?, digit().ok_or_else(refused)?);
                        (high * 16 + low) as u8
                    }
                    byte => byte,
                });
            }
            String::from_utf8(bytes).map(Value::string).map_err(|_| argument(0, "what is in it is not UTF-8"))
        },
    },
    Func {
        name: "urlencode",
        doc: "A text for the query of a URL: + for blanks, % and two digits for what has a meaning there.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"urlencode("a b!")"#, r#""a+b%21""#)],
        unknown: gives_string,
        call: |args, _| {
            let encoded = text(args, 0).bytes().map(|byte| match byte {
                b' ' => "+".to_owned(),
                b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
                _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            });
            Ok(Value::string(encoded.collect::<String>()))
        },
    },
];

/// Newlines in it mean nothing.
fn base64(args: &[Value]) -> Result<Vec<u8>, FuncError> {
    let text: String = text(args, 0).chars().filter(|ch| !matches!(ch, '\n' | '\r')).collect();
    // What is left of the last byte is not looked at.
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let engine = GeneralPurpose::new(&alphabet::STANDARD, config);
    engine.decode(text).map_err(|_| argument(0, "it is not base64"))
}

/// JSON has no word for it.
fn has_infinity(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_infinite(),
        Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => items.iter().any(has_infinity),
        Value::Map(_, entries) | Value::Object(entries) => entries.values().any(has_infinity),
        Value::Marked(_, inner) => has_infinity(inner),
        Value::Unknown(..) | Value::Null(_) | Value::Bool(_) | Value::String(_) => false,
    }
}

/// JSON in which half a character of UTF-16 is the one that stands for what cannot be read, as Go takes it.
fn without_half_characters(json: &str) -> String {
    let code = |text: &str| text.strip_prefix("\\u").and_then(|rest| u32::from_str_radix(rest.get(..4)?, 16).ok());
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match (code(rest), rest.get(6..).and_then(code)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                out.push('\u{fffd}');
                rest = &rest[6..];
                continue;
            }
            (Some(_), _) => 6,
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out + rest
}
