//! Encryption at rest: states, their backups and journals, and saved plans. The form of what is encrypted is OpenTofu's ("State and Plan
//! Encryption"), so that each reads what the other has written: an envelope of JSON with AES-GCM (NIST SP 800-38D) of the text, a
//! nonce of 12 bytes before it and a tag of 16 behind it, and beside it what the key was made with (PBKDF2, RFC 8018).
//!
//! A key is made once for all that a process writes; every writing has a nonce of its own. What was written with another key is read by
//! what lies beside it. Nobody says how a state that could not be decrypted can be replaced: it is never written over.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
pub use compiler::encryption::Methods;
use compiler::encryption::{Hash, MAX_ITERATIONS, Method, Pbkdf2};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

const VERSION: &str = "v0";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error(
        "it is not encrypted, and the stack does not allow that: a method \"unencrypted\" as a fallback does, until it is written the next time"
    )]
    Plain,
    #[error("it is neither a state nor an encrypted one: {0}")]
    Malformed(String),
    #[error("it is encrypted in a form that this program does not know ({0})")]
    Version(String),
    #[error("it cannot be decrypted: {}", .0.join("; "))]
    Closed(Vec<String>),
    #[error("what it says of itself is not what was encrypted ({0}): somebody has changed it")]
    Changed(&'static str),
    #[error("it could not be encrypted")]
    Crypto,
}

/// Encrypts and decrypts, or leaves everything as it is.
#[derive(Debug, Default)]
pub struct Seal {
    methods: Vec<Method>,
    /// What this process writes with.
    own: Mutex<Option<Arc<Key>>>,
    /// What it has read with, by what lay beside it.
    read: Mutex<HashMap<String, Arc<Key>>>,
}

struct Key {
    address: String,
    /// What it was made with, as it lies beside what is encrypted.
    metadata: String,
    key: LessSafeKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What a key was made with.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    salt: String,
    iterations: u32,
    hash_function: String,
    key_length: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Envelope {
    serial: Option<u64>,
    lineage: Option<String>,
    meta: BTreeMap<String, Json>,
    encrypted_data: String,
    encryption_version: String,
}

/// What was read.
#[derive(Debug)]
pub struct Opened {
    pub text: Vec<u8>,
    /// It was written as it would be now.
    pub is_current: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn derive(from: &Pbkdf2, metadata: &Metadata) -> Result<Key, SealError> {
    let algorithm = match metadata.hash_function.as_str() {
        "sha256" => pbkdf2::PBKDF2_HMAC_SHA256,
        "sha512" => pbkdf2::PBKDF2_HMAC_SHA512,
        other => return Err(SealError::Closed(vec![format!("its key was made by {other:?}, which is not known")])),
    };
    let cipher = match metadata.key_length {
        16 => &AES_128_GCM,
        24 => &AES_192_GCM,
        32 => &AES_256_GCM,
        other => return Err(SealError::Closed(vec![format!("its key has {other} bytes")])),
    };
    let closed = |what: &str| SealError::Closed(vec![what.to_owned()]);
    let salt = STANDARD.decode(&metadata.salt).map_err(|_| closed("the salt of its key cannot be read"))?;
    let iterations = NonZeroU32::new(metadata.iterations).filter(|number| number.get() <= MAX_ITERATIONS);
    // What lies beside it is not encrypted: whoever wrote it shall not keep us busy for hours.
    let iterations = iterations.ok_or_else(|| closed("its key has no iterations, or more than anybody needs"))?;
    let mut bytes = vec![0; metadata.key_length];
    pbkdf2::derive(algorithm, iterations, &salt, from.passphrase.as_bytes(), &mut bytes);
    let key = UnboundKey::new(cipher, &bytes).map_err(|_| SealError::Crypto)?;
    let text = serde_json::to_string(metadata).map_err(|_| SealError::Crypto)?;
    Ok(Key { address: from.address.clone(), metadata: STANDARD.encode(text), key: LessSafeKey::new(key) })
}

impl Seal {
    pub fn new(methods: Methods) -> Seal {
        Seal { methods: methods.0, ..Seal::default() }
    }

    /// Whether what is written can be read by everybody.
    pub fn is_open(&self) -> bool {
        matches!(self.methods.first(), None | Some(Method::Unencrypted))
    }

    fn own(&self, from: &Pbkdf2) -> Result<Arc<Key>, SealError> {
        let mut own = locked(&self.own);
        if let Some(key) = &*own {
            return Ok(key.clone());
        }
        let mut salt = vec![0; from.salt_length];
        rand::fill(&mut salt).map_err(|_| SealError::Crypto)?;
        let hash_function = match from.hash {
            Hash::Sha256 => "sha256",
            Hash::Sha512 => "sha512",
        };
        let metadata = Metadata {
            salt: STANDARD.encode(salt),
            iterations: from.iterations,
            hash_function: hash_function.to_owned(),
            key_length: from.key_length,
        };
        let key = Arc::new(derive(from, &metadata)?);
        locked(&self.read).insert(key.metadata.clone(), key.clone());
        Ok(own.insert(key).clone())
    }

    /// The key and the bytes, in base64; none if nothing is encrypted.
    fn encrypt(&self, text: &[u8]) -> Result<Option<(Arc<Key>, String)>, SealError> {
        let Some(Method::AesGcm { key, aad }) = self.methods.first() else { return Ok(None) };
        let key = self.own(key)?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SealError::Crypto)?;
        let mut bytes = text.to_vec();
        let sealed = key.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut bytes);
        sealed.map_err(|_| SealError::Crypto)?;
        let whole = [&nonce[..], &bytes].concat();
        Ok(Some((key, STANDARD.encode(whole))))
    }

    fn decrypt(&self, meta: &BTreeMap<String, Json>, data: &str) -> Result<Opened, SealError> {
        let mut said = Vec::new();
        for (idx, method) in self.methods.iter().enumerate() {
            let Method::AesGcm { key: from, aad } = method else { continue };
            match self.decrypt_with(from, aad, meta, data) {
                Ok(text) => return Ok(Opened { text, is_current: idx == 0 }),
                Err(why) => said.push(format!("with {}: {why}", from.address)),
            }
        }
        Err(SealError::Closed(if said.is_empty() { vec!["the stack has no key".to_owned()] } else { said }))
    }

    fn decrypt_with(
        &self,
        from: &Pbkdf2,
        aad: &[u8],
        meta: &BTreeMap<String, Json>,
        data: &str,
    ) -> Result<Vec<u8>, String> {
        let metadata = meta.get(&from.address).and_then(Json::as_str).ok_or("it was not encrypted by that")?;
        let known = locked(&self.read).get(metadata).filter(|key| key.address == from.address).cloned();
        let key = match known {
            Some(key) => key,
            None => {
                let text = STANDARD.decode(metadata).map_err(|_| "what lies beside it cannot be read")?;
                let read: Metadata = serde_json::from_slice(&text).map_err(|_| "what lies beside it cannot be read")?;
                let mut key = derive(from, &read).map_err(|error| error.to_string())?;
                metadata.clone_into(&mut key.metadata);
                let key = Arc::new(key);
                locked(&self.read).insert(metadata.to_owned(), key.clone());
                key
            }
        };
        let mut bytes = STANDARD.decode(data).map_err(|_| "its bytes cannot be read")?;
        if bytes.len() < NONCE_LEN {
            return Err("it is too short".to_owned());
        }
        let mut rest = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| "it is too short")?;
        // Which of the two it is nobody can know.
        let opened = key.key.open_in_place(nonce, Aad::from(aad), &mut rest);
        let length = opened.map_err(|_| "the passphrase is another one, or it was damaged")?.len();
        rest.truncate(length);
        Ok(rest)
    }

    /// A state or a plan, as it is written.
    pub fn seal(&self, text: &[u8], about: Option<(u64, &str)>) -> Result<Vec<u8>, SealError> {
        let Some((key, data)) = self.encrypt(text)? else { return Ok(text.to_vec()) };
        let mut whole = String::from("{");
        if let Some((serial, lineage)) = about {
            let _ = write!(whole, "\"serial\":{serial},\"lineage\":{},", Json::from(lineage));
        }
        let meta = json!({ &key.address: key.metadata });
        let _ = write!(whole, "\"meta\":{meta},\"encrypted_data\":\"{data}\",\"encryption_version\":\"{VERSION}\"}}");
        Ok(whole.into_bytes())
    }

    /// What was written, whichever of the methods wrote it. Of nothing that is nothing.
    pub fn open(&self, bytes: &[u8]) -> Result<Opened, SealError> {
        if bytes.is_empty() || self.methods.is_empty() {
            return Ok(Opened { text: bytes.to_vec(), is_current: true });
        }
        let envelope: Envelope =
            serde_json::from_slice(bytes).map_err(|error| SealError::Malformed(error.to_string()))?;
        if envelope.encryption_version.is_empty() {
            if !self.methods.contains(&Method::Unencrypted) {
                return Err(SealError::Plain);
            }
            return Ok(Opened { text: bytes.to_vec(), is_current: self.is_open() });
        }
        if envelope.encryption_version != VERSION {
            return Err(SealError::Version(envelope.encryption_version));
        }
        let opened = self.decrypt(&envelope.meta, &envelope.encrypted_data)?;
        // These are not encrypted, so that they can be compared without a key.
        if envelope.lineage.is_some() || envelope.serial.is_some() {
            let inner: Envelope = serde_json::from_slice(&opened.text).unwrap_or_default();
            if envelope.lineage.is_some() && envelope.lineage != inner.lineage {
                return Err(SealError::Changed("lineage"));
            }
            if envelope.serial.is_some() && envelope.serial != inner.serial {
                return Err(SealError::Changed("serial"));
            }
        }
        Ok(opened)
    }

    /// A record of a journal. Each has what its key was made with, so that it stands for itself.
    pub(super) fn seal_record(&self, record: Json) -> Result<Json, SealError> {
        match self.encrypt(record.to_string().as_bytes())? {
            None => Ok(record),
            Some((key, data)) => Ok(json!({ "meta": { &key.address: key.metadata }, "sealed": data })),
        }
    }

    /// One that is not encrypted is taken where a state would be. The first record of a journal never is: it says of which state
    /// it is.
    pub(super) fn open_record(&self, record: Json) -> Result<Json, SealError> {
        let Some(data) = record["sealed"].as_str() else {
            let is_header = record.get("lineage").is_some();
            let may_be_plain = self.methods.is_empty() || self.methods.contains(&Method::Unencrypted);
            return if is_header || may_be_plain { Ok(record) } else { Err(SealError::Plain) };
        };
        if self.methods.is_empty() {
            return Err(SealError::Closed(vec![
                "nothing says how: an `encryption` block of the stack does, or TF_ENCRYPTION".to_owned(),
            ]));
        }
        let meta = record["meta"].as_object().into_iter().flatten();
        let meta = meta.map(|(address, metadata)| (address.clone(), metadata.clone())).collect();
        let opened = self.decrypt(&meta, data)?;
        serde_json::from_slice(&opened.text).map_err(|_| SealError::Crypto)
    }
}

/// Whether bytes are an envelope, for whoever has no key.
pub(crate) fn is_sealed(json: &Json) -> bool {
    json.get("encryption_version").and_then(Json::as_str).is_some_and(|version| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(address: &str, passphrase: &str) -> Method {
        let key = Pbkdf2 {
            address: address.to_owned(),
            passphrase: passphrase.to_owned(),
            key_length: 32,
            iterations: 200_000,
            salt_length: 32,
            hash: Hash::Sha512,
        };
        Method::AesGcm { key: Box::new(key), aad: Vec::new() }
    }

    /// A state in OpenTofu's form, made by another program than this one, with the passphrase and the salt of OpenTofu's own tests of keys.
    #[test]
    fn what_is_in_the_form_of_opentofu_is_read() {
        let sealed = r#"{"serial":3,"lineage":"11111111-2222-3333-4444-555555555555","meta":{"key_provider.pbkdf2.foo":"eyJzYWx0IjoiRU93OVArQXEwcjdtOGZWVUQ0NXJ2anVMS1VSYzlRTFNmVWV0VlVxb2x4OD0iLCJpdGVyYXRpb25zIjo2MDAwMDAsImhhc2hfZnVuY3Rpb24iOiJzaGE1MTIiLCJrZXlfbGVuZ3RoIjozMn0="},"encrypted_data":"AAECAwQFBgcICQoLdJsg26A7I/Et7DyBL5OsYHSFTEmPtwRhjoOAyFmkEwEU6DUZiG0JVwis1o4KzjPuZs8fOJS6Z+gT5T1L0H80Xy8dAXJtVTDf2xOqUVSm7hXPaexz02Y6/TWZkRPQPHkbplIclW8RXRfCw45TOxmblc78Fq59uRgA+iYBM9M2XUlPlv6O/8hzosOiXLqyQuPIJatIFUta0aaMTWZ5FuCx51wmWMIqiXOB","encryption_version":"v0"}"#;
        let seal = Seal::new(Methods(vec![method("key_provider.pbkdf2.foo", "correct-horse-battery-staple")]));
        let opened = seal.open(sealed.as_bytes()).unwrap();
        assert!(opened.is_current);
        let text = String::from_utf8(opened.text).unwrap();
        assert!(text.starts_with("{\"version\":4,\"terraform_version\":\"1.10.0\",\"serial\":3,"), "{text}");
        let changed = sealed.replace("\"serial\":3", "\"serial\":4");
        assert_eq!(seal.open(changed.as_bytes()).unwrap_err(), SealError::Changed("serial"));
        let damaged = sealed.replace("AAECAwQF", "BAECAwQF");
        assert!(seal.open(damaged.as_bytes()).unwrap_err().to_string().contains("or it was damaged"));
        let other = Seal::new(Methods(vec![method("key_provider.pbkdf2.bar", "correct-horse-battery-staple")]));
        assert!(other.open(sealed.as_bytes()).unwrap_err().to_string().contains("it was not encrypted by that"));
    }

    #[test]
    fn keys_are_exchanged_by_a_fallback() {
        let (old, new) = (method("old", "the passphrase of before"), method("new", "the passphrase of today"));
        let before = Seal::new(Methods(vec![old.clone()]));
        let text = br#"{"serial":1,"lineage":"x"}"#;
        let sealed = before.seal(text, Some((1, "x"))).unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("the passphrase"));
        let now = Seal::new(Methods(vec![new.clone(), old]));
        let opened = now.open(&sealed).unwrap();
        assert_eq!((opened.text.as_slice(), opened.is_current), (&text[..], false));
        let again = now.seal(text, Some((1, "x"))).unwrap();
        assert_ne!(again, now.seal(text, Some((1, "x"))).unwrap(), "every writing has a nonce of its own");
        assert!(Seal::new(Methods(vec![new.clone()])).open(&again).unwrap().is_current);
        assert!(before.open(&again).is_err());
        // What is not encrypted is taken only where the stack says so.
        assert_eq!(Seal::new(Methods(vec![new.clone()])).open(text).unwrap_err(), SealError::Plain);
        let both = Seal::new(Methods(vec![new, Method::Unencrypted]));
        assert!(!both.open(text).unwrap().is_current);
    }
}
