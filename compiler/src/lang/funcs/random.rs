//! Chance and keys.

use aws_lc_rs::rsa::{Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{NO_PAD, STANDARD};
use uuid::Builder;
use value::Value;

use super::{CallContext, Func, Param, argument, failed, gives_string, number, string, text, whole};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "bcrypt",
        doc: "The bcrypt hash of a text, another one each time; known when what was planned is made.",
        params: &[Param::new("string", string)],
        variadic: Some(Param::new("cost", number)),
        examples: &[(r#"bcrypt("hello")"#, "(known after apply)")],
        unknown: gives_string,
        call: |args, context| {
            let cost = match args.len() {
                1 => 10,
                2 => u32::try_from(whole(args, 1)?.max(0)).unwrap_or(u32::MAX),
                _ => return Err(failed("it takes one cost")),
            };
            // One that is too low is the ordinary one, as in Terraform.
            let cost = if cost < 4 { 10 } else { cost };
            if cost > 31 {
                return Err(argument(1, "a cost up to 31 is required"));
            }
            let password = text(args, 0);
            if password.len() > 72 {
                return Err(argument(0, "at most 72 bytes can be hashed"));
            }
            let Some(salt) = random::<16>(context) else { return Ok(gives_string(args)) };
            let engine = GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD);
            // A zero ends the password, and only as much of it counts.
            let bytes: Vec<u8> = password.bytes().chain([0]).take(72).collect();
            let hash = bcrypt::bcrypt(cost, salt, &bytes);
            Ok(Value::string(format!("$2a${cost:02}${}{}", engine.encode(salt), engine.encode(&hash[..23]))))
        },
    },
    Func {
        name: "rsadecrypt",
        doc: "Decrypts a base64 text with a private RSA key in PEM (PKCS #1 padding).",
        params: &[Param::new("ciphertext", string), Param::new("key", string)],
        variadic: None,
        examples: &[(r#"can(rsadecrypt("x", "y"))"#, "false")],
        unknown: gives_string,
        call: |args, _| {
            let ciphertext = STANDARD.decode(text(args, 0)).map_err(|_| argument(0, "it is not base64"))?;
            let key =
                private_key(text(args, 1)).ok_or_else(|| argument(1, "it is not an RSA key in PEM, not encrypted"))?;
            let undecryptable = |_| argument(0, "it cannot be decrypted with this key");
            let mut plain = vec![0; key.min_output_size()];
            let plain = key.decrypt(&ciphertext, &mut plain).map_err(undecryptable)?;
            String::from_utf8(plain.to_vec()).map(Value::string).map_err(|_| argument(0, "what is in it is not UTF-8"))
        },
    },
    Func {
        name: "uuid",
        doc: "A random UUID, another one each time; known when what was planned is made.",
        params: &[],
        variadic: None,
        examples: &[("uuid()", "(known after apply)")],
        unknown: gives_string,
        call: |args, context| {
            Ok(match random::<16>(context) {
                Some(bytes) => Value::string(Builder::from_random_bytes(bytes).into_uuid().to_string()),
                None => gives_string(args),
            })
        },
    },
];

/// None while planning.
fn random<const N: usize>(context: &CallContext<'_>) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    context.surroundings()?.outside.as_ref()?.random(&mut bytes);
    Some(bytes)
}

fn private_key(pem: &str) -> Option<Pkcs1PrivateDecryptingKey> {
    let begin = pem.find("-----BEGIN ")?;
    let (label, rest) = pem[begin + 11..].split_once("-----")?;
    let body = rest.split("-----END ").next()?;
    let der = STANDARD.decode(body.split_whitespace().collect::<String>()).ok()?;
    let der = match label {
        "RSA PRIVATE KEY" => in_pkcs8(&der),
        "PRIVATE KEY" => der,
        _ => return None,
    };
    Pkcs1PrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(&der).ok()?).ok()
}

/// PKCS #8 is PKCS #1 with a header that says that it is RSA.
fn in_pkcs8(pkcs1: &[u8]) -> Vec<u8> {
    const HEADER: [u8; 18] =
        [0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    // The shortest form of a length; keys are far below 64 KiB.
    let tagged = |tag: u8, content: &[u8]| match content.len() {
        0..=0x7f => [&[tag, content.len() as u8], content].concat(),
        0x80..=0xff => [&[tag, 0x81, content.len() as u8], content].concat(),
        length => [&[tag, 0x82], &(length as u16).to_be_bytes()[..], content].concat(),
    };
    tagged(0x30, &[&HEADER[..], &tagged(0x04, pkcs1)].concat())
}
