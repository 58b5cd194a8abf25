//! OpenPGP signatures of checksums (RFC 9580), detached and binary, as registries have them.

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey};
use pgp::types::KeyDetails as _;

/// Verifies with any of these keys, or a subkey of one; gives the id of the key. Whether a key has expired since is not
/// looked at: what it has signed before stays signed.
pub(crate) fn verify(content: &[u8], signature: &[u8], keys: &[String]) -> Result<String, String> {
    let signature = DetachedSignature::from_bytes(signature).map_err(|error| error.to_string())?;
    let mut reasons = Vec::new();
    for armored in keys {
        let key = match SignedPublicKey::from_string(armored) {
            Ok((key, _)) => key,
            Err(error) => {
                reasons.push(error.to_string());
                continue;
            }
        };
        // A subkey counts only if the key says that it is its own.
        if let Err(error) = key.verify_bindings() {
            reasons.push(error.to_string());
            continue;
        }
        let signed = signature.verify(&key.primary_key, content);
        let by_subkey = || key.public_subkeys.iter().any(|sub| signature.verify(&sub.key, content).is_ok());
        if signed.is_ok() || by_subkey() {
            return Ok(key.primary_key.legacy_key_id().to_string().to_uppercase());
        }
        reasons.push(format!("not by {}", key.primary_key.legacy_key_id().to_string().to_uppercase()));
    }
    Err(if reasons.is_empty() { "it names no key".to_owned() } else { reasons.join("; ") })
}
