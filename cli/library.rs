//! Modules that are not folders of the user's: the library in this program. They are unpacked below `.lampwright`, since
//! a module's application and templates have to be real files.
//!
//! A folder is named by the digest of what is in it, and is written beside its place and moved there whole: two runs at
//! once, or one that was cut off, leave nothing half done.

use std::path::{Path, PathBuf};

use compiler::diag::suggest::closest;
use compiler::source::LoadError;
use sha2::{Digest, Sha256};

use crate::session::DATA;

/// The folder of a module of the library; none if the source does not name one.
pub(crate) fn folder(source: &str) -> Option<Result<String, LoadError>> {
    let name = source.strip_prefix(modules::PREFIX)?;
    Some(unpack(name).map(|path| format!("./{}", path.display())))
}

/// Why a module of this name cannot be had.
pub(crate) fn unknown(name: &str) -> String {
    let names = modules::names();
    let hint = closest(name, names.iter().copied()).map(|name| format!(". Did you mean {name}?")).unwrap_or_default();
    format!("the library has no module {name:?}; it has {}{hint}", names.join(", "))
}

fn unpack(name: &str) -> Result<PathBuf, LoadError> {
    let failed = |reason: String| LoadError::Unreadable { path: format!("{}{name}", modules::PREFIX), reason };
    let files = modules::files(name).ok_or_else(|| failed(unknown(name)))?;
    let mut digest = Sha256::new();
    for (path, content) in &files {
        digest.update(path.as_bytes());
        digest.update([0]);
        digest.update(Sha256::digest(content));
    }
    let digest: String = digest.finalize()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = Path::new(DATA).join("modules");
    let target = folder.join(format!("{name}-{}-{digest}", env!("CARGO_PKG_VERSION")));
    if target.is_dir() {
        return Ok(target);
    }
    let temporary = folder.join(format!(".new-{}-{name}", std::process::id()));
    let io = |error: std::io::Error| failed(format!("it cannot be unpacked to {}: {error}", target.display()));
    let _ = std::fs::remove_dir_all(&temporary);
    write(&files, &temporary).map_err(io)?;
    match std::fs::rename(&temporary, &target) {
        // Somebody else was faster, with the same files.
        Err(_) if target.is_dir() => drop(std::fs::remove_dir_all(&temporary)),
        other => other.map_err(io)?,
    }
    Ok(target)
}

/// A copy that is the user's own.
pub(crate) fn write(files: &[(&str, &[u8])], to: &Path) -> std::io::Result<()> {
    for (path, content) in files {
        let target = to.join(path);
        std::fs::create_dir_all(target.parent().unwrap_or(to))?;
        std::fs::write(target, content)?;
    }
    Ok(())
}
