//! `lampwright module package`: a module as one file, for those who reuse it.
//!
//! The archive is reproducible: the same module gives the same bytes, and so the same digest.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use compiler::program::{ROOT, is_local};
use compiler::version::Version;
use sha2::{Digest as _, Sha256};

use super::module::{self, DocsArgs};
use super::test;
use crate::archive::Pack;
use crate::session::Session;
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
    if test::all().await? != exit::SUCCESS {
        ui::error("the module's tests do not pass, so it was not packaged");
        return Ok(exit::FAILURE);
    }
    let mut files = Vec::new();
    collect(Path::new("."), "", &mut files)?;
    // Archives of earlier versions.
    let is_own = |path: &str| {
        let version = path.strip_suffix(".tar.gz").and_then(|path| path.strip_prefix(&format!("{name}-")));
        version.and_then(Version::parse).is_some()
    };
    files.retain(|(path, _)| !is_own(path));
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
    let root = session.program.module(ROOT);
    let folders =
        session.program.ids().map(|id| (&session.program.module(id).path, &session.program.module(id).decl.folder));
    for (path, folder) in folders {
        if folder.starts_with("..") || (folder.starts_with('/') && *folder != root.decl.folder) {
            bail!("the module {} is in {folder}, outside of this one; an archive cannot hold it", path.join("."));
        }
    }
    let calls = session.program.ids().flat_map(|id| session.program.module(id).decl.calls.values());
    for call in calls {
        if let Some(path) = call.source.split('?').next().filter(|path| is_local(path) && path.starts_with("../"))
            && compiler::program::is_archive(&call.source)
        {
            bail!("the archive {path} is outside of this module; an archive cannot hold it");
        }
    }
    Ok(())
}

/// Every file with its mode, sorted.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, u32)>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut entries: Vec<std::fs::DirEntry> = entries.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else {
            bail!("{} has a name that is not UTF-8", entry.path().display());
        };
        // What belongs to whoever works on the module.
        if name.starts_with('.') || name.contains(".tfstate") {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            let is_program = std::os::unix::fs::PermissionsExt::mode(&entry.metadata()?.permissions()) & 0o100 != 0;
            files.push((path, if is_program { 0o755 } else { 0o644 }));
        } else {
            bail!("{path} is neither a file nor a folder; an archive of a module holds only these");
        }
    }
    Ok(())
}
