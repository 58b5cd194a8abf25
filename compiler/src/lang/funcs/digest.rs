//! Digests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha256, Sha512};
use uuid::{Builder, Uuid};
use value::Value;

use super::{CallContext, Func, FuncError, Param, argument, file, gives_string, string, text};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "base64sha256",
        doc: "The SHA-256 digest of the UTF-8 of a text, in base64.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"base64sha256("hello")"#, r#""LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=""#)],
        unknown: gives_string,
        call: |args, _| Ok(of_text::<Sha256>(args, base64)),
    },
    Func {
        name: "base64sha512",
        doc: "The SHA-512 digest of the UTF-8 of a text, in base64.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"length(base64sha512("hello"))"#, "88")],
        unknown: gives_string,
        call: |args, _| Ok(of_text::<Sha512>(args, base64)),
    },
    Func {
        name: "filebase64sha256",
        doc: "The SHA-256 digest of a file, in base64.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"can(filebase64sha256("/no/such/file"))"#, "false")],
        unknown: gives_string,
        call: |args, context| of_file::<Sha256>(args, context, base64),
    },
    Func {
        name: "filebase64sha512",
        doc: "The SHA-512 digest of a file, in base64.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"can(filebase64sha512("/no/such/file"))"#, "false")],
        unknown: gives_string,
        call: |args, context| of_file::<Sha512>(args, context, base64),
    },
    Func {
        name: "filemd5",
        doc: "The MD5 digest of a file, in hexadecimal.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"can(filemd5("/no/such/file"))"#, "false")],
        unknown: gives_string,
        call: |args, context| of_file::<Md5>(args, context, hexadecimal),
    },
    Func {
        name: "filesha1",
        doc: "The SHA-1 digest of a file, in hexadecimal.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"can(filesha1("/no/such/file"))"#, "false")],
        unknown: gives_string,
        call: |args, context| of_file::<Sha1>(args, context, hexadecimal),
    },
    Func {
        name: "filesha256",
        doc: "The SHA-256 digest of a file, in hexadecimal.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"can(filesha256("/no/such/file"))"#, "false")],
        unknown: gives_string,
        call: |args, context| of_file::<Sha256>(args, context, hexadecimal),
    },
    Func {
        name: "filesha512",
        doc: "The SHA-512 digest of a file, in hexadecimal.",
        params: &[Param::new("path", string)],
        variadic: None,
        examples: &[(r#"can(filesha512("/no/such/file"))"#, "false")],
        unknown: gives_string,
        call: |args, context| of_file::<Sha512>(args, context, hexadecimal),
    },
    Func {
        name: "md5",
        doc: "The MD5 digest of the UTF-8 of a text, in hexadecimal.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"md5("hello")"#, r#""5d41402abc4b2a76b9719d911017c592""#)],
        unknown: gives_string,
        call: |args, _| Ok(of_text::<Md5>(args, hexadecimal)),
    },
    Func {
        name: "sha1",
        doc: "The SHA-1 digest of the UTF-8 of a text, in hexadecimal.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"sha1("hello")"#, r#""aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d""#)],
        unknown: gives_string,
        call: |args, _| Ok(of_text::<Sha1>(args, hexadecimal)),
    },
    Func {
        name: "sha256",
        doc: "The SHA-256 digest of the UTF-8 of a text, in hexadecimal.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"substr(sha256("hello"), 0, 8)"#, r#""2cf24dba""#)],
        unknown: gives_string,
        call: |args, _| Ok(of_text::<Sha256>(args, hexadecimal)),
    },
    Func {
        name: "sha512",
        doc: "The SHA-512 digest of the UTF-8 of a text, in hexadecimal.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"substr(sha512("hello"), 0, 8)"#, r#""9b71d224""#)],
        unknown: gives_string,
        call: |args, _| Ok(of_text::<Sha512>(args, hexadecimal)),
    },
    Func {
        name: "uuidv5",
        doc: "The UUID of a name in a namespace (\"dns\", \"url\", \"oid\", \"x500\", or a UUID), always the same.",
        params: &[Param::new("namespace", string), Param::new("name", string)],
        variadic: None,
        examples: &[(r#"uuidv5("dns", "www.example.com")"#, r#""2ed6657d-e927-568b-95e1-2665a8aea6a2""#)],
        unknown: gives_string,
        call: |args, _| {
            let namespace = match text(args, 0) {
                "dns" => Uuid::NAMESPACE_DNS,
                "url" => Uuid::NAMESPACE_URL,
                "oid" => Uuid::NAMESPACE_OID,
                "x500" => Uuid::NAMESPACE_X500,
                other => other
                    .parse()
                    .map_err(|_| argument(0, "a namespace is \"dns\", \"url\", \"oid\", \"x500\" or a UUID"))?,
            };
            let digest = Sha1::new().chain_update(namespace.as_bytes()).chain_update(text(args, 1)).finalize();
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest[..16]);
            Ok(Value::string(Builder::from_sha1_bytes(bytes).into_uuid().to_string()))
        },
    },
];

fn of_text<D: Digest>(args: &[Value], write: fn(&[u8]) -> String) -> Value {
    Value::string(write(&D::digest(text(args, 0).as_bytes())))
}

fn of_file<D: Digest>(
    args: &[Value],
    context: &CallContext<'_>,
    write: fn(&[u8]) -> String,
) -> Result<Value, FuncError> {
    Ok(Value::string(write(&D::digest(file::read(args, context)?))))
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
