//! OpenPGP signatures of checksums (RFC 9580), detached and binary, as registries have them.

use std::time::SystemTime;

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey};
use pgp::types::KeyDetails as _;

/// Verifies with any of these keys, or a subkey of one; gives the id of the key. One signature of several is enough. A key that was revoked
/// does not count, nor does a signature that has expired; a key that has expired since does: what it has signed before stays signed.
pub(crate) fn verify(content: &[u8], signatures: &[u8], keys: &[String]) -> Result<String, String> {
    let mut reasons = Vec::new();
    let signatures = DetachedSignature::from_bytes_many(signatures).map_err(|error| error.to_string())?;
    let signatures: Vec<DetachedSignature> = signatures.filter_map(Result::ok).collect();
    let mut current = Vec::new();
    for signature in &signatures {
        if is_over(signature) { reasons.push("a signature has expired".to_owned()) } else { current.push(signature) }
    }
    for armored in keys {
        let keys = match SignedPublicKey::from_string_many(armored) {
            Ok((keys, _)) => keys,
            Err(error) => {
                reasons.push(error.to_string());
                continue;
            }
        };
        for key in keys.filter_map(Result::ok) {
            let id = key.primary_key.legacy_key_id().to_string().to_uppercase();
            // A subkey counts only if the key says that it is its own.
            if let Err(error) = key.verify_bindings() {
                reasons.push(error.to_string());
            } else if !key.details.revocation_signatures.is_empty() {
                reasons.push(format!("{id} was revoked"));
            } else if current.iter().any(|signature| is_by(signature, &key, content)) {
                return Ok(id);
            } else {
                reasons.push(format!("not by {id}"));
            }
        }
    }
    Err(if reasons.is_empty() { "it names no key".to_owned() } else { reasons.join("; ") })
}

fn is_by(signature: &DetachedSignature, key: &SignedPublicKey, content: &[u8]) -> bool {
    let by_subkey = || key.public_subkeys.iter().any(|sub| signature.verify(&sub.key, content).is_ok());
    signature.verify(&key.primary_key, content).is_ok() || by_subkey()
}

fn is_over(signature: &DetachedSignature) -> bool {
    let (Some(made), Some(life)) = (signature.signature.created(), signature.signature.signature_expiration_time())
    else {
        return false;
    };
    let end = u64::from(made.as_secs()) + u64::from(life.as_secs());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    life.as_secs() > 0 && end < now
}
