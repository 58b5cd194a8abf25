//! `lampwright module package`: a module as one file, for those who reuse it.
//!
//! The archive is reproducible: the same module gives the same bytes, and so the same digest.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use compiler::program::{self, is_local};
use compiler::source::join_path;
use compiler::version::Version;
use sha2::{Digest as _, Sha256};

use super::module::{self, DocsArgs};
use super::test;
use crate::archive::{self, Pack};
use crate::git;
use crate::session::{DATA, Session};
use crate::sources::hex;
use crate::{exit, ui};

/// Test a module and put it into an archive NAME-VERSION.tar.gz, with its digest
///
/// The archive has every file of the module's folder but those whose names begin with a dot, and
/// states. It is made only of a module whose tests pass, and whose README has the reference of
/// its variables and outputs. Its version is that of the `stack` block:
///
///   stack "lamp" { version = "1.2.0" }
///   lampwright module package           makes ./lamp-1.2.0.tar.gz
///   source = "./lamp-1.2.0.tar.gz"      uses it; ?checksum=sha256:.. takes no other file
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct PackageArgs {
    /// The module's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The folder to write the archive to
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

pub(super) async fn run(args: &PackageArgs) -> anyhow::Result<u8> {
    let out = std::path::absolute(&args.out)?;
    std::env::set_current_dir(&args.dir).with_context(|| format!("cannot go to the folder {}", args.dir.display()))?;
    let Ok(session) = Session::open() else { return Ok(exit::FAILURE) };
    let (name, version) = identity(&session)?;
    refuse_outside(&session)?;
    let docs = DocsArgs { dir: PathBuf::from("."), check: true };
    if module::docs(&docs)? != exit::SUCCESS {
        return Ok(exit::FAILURE);
    }
    if !test::all_pass().await? {
        ui::error("the module has no tests, or they do not pass, so it was not packaged");
        return Ok(exit::FAILURE);
    }
    let files = files(&name, &out)?;
    let file_name = format!("{name}-{version}.tar.gz");
    let target = out.join(&file_name);
    let failed = || format!("cannot write {}", target.display());
    let mut pack = Pack::create(&target).with_context(failed)?;
    for (path, mode) in &files {
        let content = std::fs::read(path).with_context(|| format!("cannot read {path}"))?;
        pack.add(path, *mode, &content).with_context(failed)?;
    }
    pack.finish().with_context(failed)?;
    let digest = hex(&Sha256::digest(std::fs::read(&target).with_context(failed)?));
    ui::line(&format!("{}: {} files", args.out.join(file_name).display(), files.len()));
    ui::line(&format!("source = \"./{name}-{version}.tar.gz?checksum=sha256:{digest}\""));
    Ok(exit::SUCCESS)
}

fn identity(session: &Session) -> anyhow::Result<(String, Version)> {
    let Some(stack) = &session.program.root().stack else {
        bail!("the module has no name; write a block: stack \"NAME\" {{ version = \"1.0.0\" }}");
    };
    let Some(version) = &stack.version else {
        bail!("the module has no version; write it into the block: stack {:?} {{ version = \"1.0.0\" }}", stack.name);
    };
    let is_plain = |ch: char| ch.is_ascii_alphanumeric() || "-_".contains(ch);
    if stack.name.is_empty() || !stack.name.chars().all(is_plain) {
        bail!(
            "{:?} is no name for a file; a module that is packaged has a name of letters, digits, - and _",
            stack.name
        );
    }
    Ok((stack.name.to_string(), version.clone()))
}

/// What lies beside the module's folder would be missing in the archive.
fn refuse_outside(session: &Session) -> anyhow::Result<()> {
    for id in session.program.ids() {
        let decl = &session.program.module(id).decl;
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
fn files(name: &str, out: &Path) -> anyhow::Result<Vec<(String, u32)>> {
    let here = std::env::current_dir()?;
    // A module that is not in version control at all is packaged as it is.
    let is_within = out != here && out.starts_with(&here);
    let known = git::listed()?.filter(|known| known.iter().any(|path| program::is_source(path)));
    let is_own = |path: &str| {
        let version = path.strip_suffix(".tar.gz").and_then(|path| path.strip_prefix(&format!("{name}-")));
        // Archives of earlier versions, and where archives go.
        version.and_then(Version::parse).is_some() || (is_within && here.join(path).starts_with(out))
    };
    let mut files = Vec::new();
    archive::walk(Path::new("."), "", &is_left_out, &mut |path, entry| {
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
