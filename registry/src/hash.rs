//! Hashes of packages, as the lock file has them: `zh:` is SHA-256 of the archive, `h1:` is of what is in it (the
//! `Hash1` of Go's dirhash: SHA-256 over a line `SHA-256  NAME` for each file, in order).

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::{RegistryError, Result, io};

/// `h1:..` or `zh:..`; others are kept as they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub String);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Hash {
    pub(crate) fn of_archive(sha256: &str) -> Hash {
        Hash(format!("zh:{sha256}"))
    }
}

/// Of a package that lies unpacked in a folder.
pub fn of_folder(folder: &Path) -> Result<Hash> {
    let mut lines = Vec::new();
    add_folder(folder, "", &mut lines)?;
    Ok(of_lines(lines))
}

fn add_folder(folder: &Path, prefix: &str, lines: &mut Vec<(String, String)>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(io(folder))? {
        let path = entry.map_err(io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = if prefix.is_empty() { name.into_owned() } else { format!("{prefix}/{name}") };
        if path.is_dir() {
            add_folder(&path, &name, lines)?;
        } else {
            let mut file = File::open(&path).map_err(io(&path))?;
            lines.push((name, sha256(&mut file).map_err(io(&path))?));
        }
    }
    Ok(())
}

/// Of what is in an archive.
pub(crate) fn of_content(archive: &Path) -> Result<Hash> {
    let failed = |reason: &dyn fmt::Display| RegistryError::Package {
        path: archive.display().to_string(),
        reason: reason.to_string(),
    };
    let file = File::open(archive).map_err(io(archive))?;
    let mut zip = zip::ZipArchive::new(file).map_err(|error| failed(&error))?;
    let mut lines = Vec::new();
    for position in 0..zip.len() {
        let mut entry = zip.by_index(position).map_err(|error| failed(&error))?;
        // As it is unpacked.
        if entry.is_dir() {
            continue;
        }
        let name = entry.enclosed_name().ok_or_else(|| failed(&"it has a file that would lie outside of it"))?;
        let name = name.to_string_lossy().into_owned();
        lines.push((name, sha256(&mut entry).map_err(|error| failed(&error))?));
    }
    Ok(of_lines(lines))
}

fn of_lines(mut lines: Vec<(String, String)>) -> Hash {
    lines.sort();
    let mut context = digest::Context::new(&digest::SHA256);
    for (name, sha256) in lines {
        context.update(format!("{sha256}  {name}\n").as_bytes());
    }
    Hash(format!("h1:{}", BASE64_STANDARD.encode(context.finish())))
}

/// In hexadecimal digits.
pub(crate) fn sha256(from: &mut impl Read) -> std::io::Result<String> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            n => context.update(&buffer[..n]),
        }
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
