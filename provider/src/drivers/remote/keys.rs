//! The keys of a stack: one that opens its machines, and one for each machine to be known by.
//!
//! The key that opens them is a file, made once. The machines' own are derived from it, so that they are known before
//! a machine exists, are given to it in its user-data, and the first connection is already verified: there is no
//! "trust on first use". A machine that was made by a run that was cut off is known to the next one.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{PrivateKey, PublicKey};
use sha2::{Digest, Sha256};

use crate::bundle::hex;
use crate::driver::{DriverError, LayerId, Result};

pub(super) struct Keys {
    path: PathBuf,
    client: PrivateKey,
    seed: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl Keys {
    /// Reads the key, or makes it if there is none.
    pub(super) fn open(path: &Path) -> Result<Keys> {
        let io = |what| move |source| DriverError::Io { what, path: path.display().to_string(), source };
        let bad = |reason: String| DriverError::Setting { name: "ssh_key".to_owned(), reason };
        let client = match std::fs::read_to_string(path) {
            Ok(text) => PrivateKey::from_openssh(&text)
                .map_err(|error| bad(format!("{} is no OpenSSH private key: {error}", path.display())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                make(path).map_err(io("making the SSH key"))?;
                let text = std::fs::read_to_string(path).map_err(io("reading the SSH key"))?;
                PrivateKey::from_openssh(&text).map_err(|error| bad(error.to_string()))?
            }
            Err(source) => return Err(io("reading the SSH key")(source)),
        };
        if client.is_encrypted() {
            return Err(bad(format!(
                "{} is protected by a passphrase; give one without, for machines only",
                path.display()
            )));
        }
        match client.key_data() {
            KeypairData::Ed25519(pair) => {
                let seed = pair.private.to_bytes();
                Ok(Keys { path: path.to_owned(), client, seed })
            }
            _ => Err(bad(format!(
                "{} is not an Ed25519 key; make one with: ssh-keygen -t ed25519 -N ''",
                path.display()
            ))),
        }
    }

    /// Tells stacks apart whose scopes are the same by accident.
    pub(super) fn id(&self) -> String {
        let public = self.client.public_key().to_openssh().unwrap_or_default();
        let words = public.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        hex(&Sha256::digest(words.as_bytes())[..6])
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn client(&self) -> &PrivateKey {
        &self.client
    }

    /// What the machine with this id is known by.
    pub(super) fn machine(&self, layer: &LayerId, id: u64) -> HostKey {
        self.derive(&format!("machine\0{layer}\0{id}"))
    }

    /// What machines are known by that were made by one call, until each has got its own.
    pub(super) fn batch(&self, layer: &LayerId, first: u64) -> HostKey {
        self.derive(&format!("batch\0{layer}\0{first}"))
    }

    /// The outer digest is over 64 bytes always, so nothing can be derived by appending to what is known.
    fn derive(&self, purpose: &str) -> HostKey {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(Sha256::digest(purpose.as_bytes()));
        let seed: [u8; 32] = hash.finalize().into();
        HostKey(PrivateKey::from(Ed25519Keypair::from_seed(&seed)))
    }
}

#[derive(Debug, Clone)]
pub(super) struct HostKey(PrivateKey);

impl HostKey {
    pub(super) fn public(&self) -> PublicKey {
        self.0.public_key().clone()
    }

    pub(super) fn public_text(&self) -> String {
        self.0.public_key().to_openssh().expect("an Ed25519 key is encoded")
    }

    pub(super) fn private_text(&self) -> String {
        self.0.to_openssh(LineEnding::LF).expect("an Ed25519 key is encoded").to_string()
    }
}

/// Whole or not at all, and never over one that another run has made meanwhile.
fn make(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    seed[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    // Two random UUIDs hold 244 random bits; the digest spreads them.
    let seed: [u8; 32] = Sha256::digest(seed).into();
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    let text = key.to_openssh(LineEnding::LF).map_err(std::io::Error::other)?;
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&temporary, path);
    std::fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_known_before_they_exist() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh/key");
        let layer = LayerId::of_id("shop/web");
        let first = Keys::open(&path).unwrap();
        let again = Keys::open(&path).unwrap();
        assert_eq!(first.machine(&layer, 1).public_text(), again.machine(&layer, 1).public_text());
        assert_ne!(first.machine(&layer, 1).public_text(), first.machine(&layer, 2).public_text());
        assert_ne!(first.machine(&layer, 1).public_text(), first.batch(&layer, 1).public_text());
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "nonsense").unwrap();
        assert!(matches!(Keys::open(&path), Err(DriverError::Setting { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "nonsense");
    }
}
