//! Encodings and digests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use value::Value;
use value::codec::json;
use value::size::PART;

use super::{Func, Param, any, argument, fits, gives_any, gives_string, string, text};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "base64decode",
        doc: "Decodes base64 to text.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"base64decode("aGVsbG8=")"#, r#""hello""#)],
        result_ty: gives_string,
        call: |args, _| {
            let bytes = STANDARD.decode(text(args, 0)).map_err(|_| argument(0, "it is not base64"))?;
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
        result_ty: gives_string,
        call: |args, _| Ok(Value::string(STANDARD.encode(text(args, 0)))),
    },
    Func {
        name: "jsondecode",
        doc: "Reads JSON.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"jsondecode("{\"a\": [1, null]}").a[0]"#, "1")],
        result_ty: gives_any,
        call: |args, _| {
            // Every part of a document but the first has one of these before it.
            let parts = text(args, 0).bytes().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
            fits(parts.saturating_mul(PART))?;
            let parsed = serde_json::from_str(text(args, 0));
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
        result_ty: gives_string,
        call: |args, _| Ok(Value::string(json::go_escape(&json::encode_plain(&args[0]).to_string()))),
    },
    Func {
        name: "sha256",
        doc: "The SHA-256 digest of the UTF-8 of a text, in hexadecimal.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"substr(sha256("hello"), 0, 8)"#, r#""2cf24dba""#)],
        result_ty: gives_string,
        call: |args, _| {
            let digest = Sha256::digest(text(args, 0).as_bytes());
            Ok(Value::string(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
        },
    },
];
