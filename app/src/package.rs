//! A module as one file, for those who reuse it.
//!
//! The archive is reproducible: the same module gives the same bytes, and so the same digest.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use compiler::program::{self, is_local};
use compiler::source::join_path;
use compiler::version::Version;
use sha2::{Digest as _, Sha256};

use crate::archive::{self, Pack};
use crate::failure::Result;
use crate::root::{DATA, Root};
use crate::sources::git::program::Git;
use crate::sources::hex;
use crate::stack::Stack;

/// An archive that was written.
#[derive(Debug)]
pub struct Packaged {
    pub file_name: String,
    pub files: usize,
    /// SHA-256 of the archive.
    pub digest: String,
}

/// What keeps a module from being packaged, whatever its tests say: it has a name, a version, and nothing outside of its
/// folder.
pub fn refuse(stack: &Stack) -> Result<()> {
    identity(stack)?;
    Ok(refuse_outside(stack)?)
}

/// Writes the archive of a module into a folder.
pub fn package(stack: &Stack, out: &Root) -> Result<Packaged> {
    let (name, version) = identity(stack)?;
    let files = files(stack, &name, out.absolute())?;
    let file_name = format!("{name}-{version}.tar.gz");
    let target: PathBuf = out.at(&file_name);
    let failed = || format!("cannot write {}", target.display());
    let mut pack = Pack::create(&target).with_context(failed)?;
    for (path, mode) in &files {
        let content = std::fs::read(stack.root.at(path)).with_context(|| format!("cannot read {path}"))?;
        pack.add(path, *mode, &content).with_context(failed)?;
    }
    pack.finish().with_context(failed)?;
    let digest = hex(&Sha256::digest(std::fs::read(&target).with_context(failed)?));
    Ok(Packaged { file_name, files: files.len(), digest })
}

fn identity(stack: &Stack) -> anyhow::Result<(String, Version)> {
    let Some(block) = &stack.program.root().stack else {
        bail!("the module has no name; write a block: stack \"NAME\" {{ version = \"1.0.0\" }}");
    };
    let Some(version) = &block.version else {
        bail!("the module has no version; write it into the block: stack {:?} {{ version = \"1.0.0\" }}", block.name);
    };
    let is_plain = |ch: char| ch.is_ascii_alphanumeric() || "-_".contains(ch);
    if block.name.is_empty() || !block.name.chars().all(is_plain) {
        bail!(
            "{:?} is no name for a file; a module that is packaged has a name of letters, digits, - and _",
            block.name
        );
    }
    Ok((block.name.to_string(), version.clone()))
}

/// What lies beside the module's folder would be missing in the archive.
fn refuse_outside(stack: &Stack) -> anyhow::Result<()> {
    for id in stack.program.ids() {
        let decl = &stack.program.module(id).decl;
        // What came from elsewhere comes from there again.
        if Path::new(&decl.folder).starts_with(DATA) {
            continue;
        }
        for (name, call) in &decl.calls {
            let path = call.source.split('?').next().unwrap_or_default();
            let is_file = is_local(path) || path.starts_with('/');
            let place = join_path(&decl.folder, path);
            if is_file && (place.starts_with('/') || place == ".." || place.starts_with("../")) {
                bail!("the module {name} is in {place}, outside of this one; an archive cannot hold it");
            }
        }
    }
    Ok(())
}

/// Every file of the module with its mode, sorted: what version control has, or would take; without one all.
fn files(stack: &Stack, name: &str, out: &Path) -> anyhow::Result<Vec<(String, u32)>> {
    let here = stack.root.absolute();
    // A module that is not in version control at all is packaged as it is.
    let is_within = out != here && out.starts_with(here);
    let known = Git { environment: &stack.host.environment, folder: here }
        .listed()?
        .filter(|known| known.iter().any(|path| program::is_source(path)));
    let is_own = |path: &str| {
        let version = path.strip_suffix(".tar.gz").and_then(|path| path.strip_prefix(&format!("{name}-")));
        // Archives of earlier versions, and where archives go.
        version.and_then(Version::parse).is_some() || (is_within && here.join(path).starts_with(out))
    };
    let mut files = Vec::new();
    archive::walk(here, "", &is_left_out, &mut |path, entry| {
        let is_known = known.as_ref().is_none_or(|known| known.contains(&path));
        if is_known && !is_own(&path) {
            let is_program = entry.metadata()?.permissions().mode() & 0o100 != 0;
            files.push((path, if is_program { 0o755 } else { 0o644 }));
        }
        Ok(())
    })
    .context("the module's folder")?;
    Ok(files)
}

/// What belongs to whoever works on the module: hidden files, states, values. Those of its tests are the module's.
fn is_left_out(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_values = name.ends_with(".tfvars") || name.ends_with(".tfvars.json");
    name.starts_with('.') || name.contains(".tfstate") || (is_values && !path.starts_with("tests/"))
}
