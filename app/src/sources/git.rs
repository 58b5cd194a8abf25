//! Modules of git repositories: `git::https://HOST/REPOSITORY//FOLDER`, with `version` for tags such as v1.2.0, or `?ref=`.
//!
//! `lampwright init` looks for the tag, fetches it and writes down in `lampwright.lock` which commit it was; that file goes
//! into version control, and every other command takes what it says. A tag that is another commit later is refused.
//!
//! Failures: what is fetched is moved to its place whole; a repository that does not answer ends the command after a
//! while (no prompt, a limit on slow transfers); git's own words are shown.

pub(crate) mod program;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, anyhow, bail};
use compiler::source::{FoundModule, LoadError, ModuleSource, SourceLoader};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::loader::Disk;
use super::{self as sources, as_source, hex, move_all, place, put};
use crate::disk;
use crate::host::Environment;
use crate::root::Root;
use program::Git;

pub(crate) const LOCK: &str = "lampwright.lock";
const PREFIX: &str = "git::";

/// What a stack names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) repository: String,
    /// Of the module, in the repository; empty: all of it.
    pub(crate) folder: String,
    /// A tag, a branch, or a commit.
    pub(crate) reference: Option<String>,
}

impl Source {
    /// None if it does not begin with `git::`.
    pub(crate) fn parse(text: &str) -> Option<anyhow::Result<Source>> {
        text.strip_prefix(PREFIX).map(parse)
    }

    /// What the lock calls it.
    fn key(&self, version: Option<&str>) -> anyhow::Result<String> {
        match (&self.reference, version) {
            (Some(_), Some(_)) => bail!("both ?ref= and `version` say what to take; use one of them"),
            (Some(reference), None) => Ok(format!("{}?ref={reference}", self.repository)),
            (None, Some(version)) => Ok(format!("{} {version}", self.repository)),
            (None, None) => Ok(self.repository.clone()),
        }
    }
}

fn parse(text: &str) -> anyhow::Result<Source> {
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let start = address.find("://").map_or(0, |scheme| scheme + 3);
    let (repository, folder) = match address[start..].find("//") {
        Some(at) => (&address[..start + at], address[start + at + 2..].trim_matches('/')),
        None => (address, ""),
    };
    let is_known = ["https://", "http://", "ssh://", "file://", "/"].iter().any(|start| repository.starts_with(start));
    // `git@host:path`, as ssh knows it.
    let is_scp = repository.split_once(':').is_some_and(|(host, _)| host.contains('@') && !host.contains('/'));
    if repository.starts_with('-') || !(is_known || is_scp) {
        bail!("write git::https://.., git::ssh://.., git::file://.. or git::USER@HOST:PATH");
    }
    // It would be shown, and written to the lock.
    let authority = repository[start..].split('/').next().unwrap_or_default();
    if start > 0 && authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
        bail!(
            "a password does not belong into an address, which is kept in version control; let git keep it (gitcredentials(7))"
        );
    }
    if !Path::new(folder).components().all(|part| matches!(part, Component::Normal(_))) {
        bail!("the folder {folder:?} is not inside of the repository");
    }
    let reference = match query.strip_prefix("ref=") {
        Some(reference) if !reference.is_empty() && !reference.starts_with('-') => Some(reference.to_owned()),
        None if query.is_empty() => None,
        Some(_) | None => bail!("{query:?} is not known; write ?ref=NAME or nothing"),
    };
    Ok(Source { repository: repository.to_owned(), folder: folder.to_owned(), reference })
}

/// Which commit each source is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lock {
    version: u32,
    modules: BTreeMap<String, Locked>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Locked {
    /// The tag, branch or commit that was asked for; HEAD if nothing was.
    reference: String,
    commit: String,
    /// Of all files.
    digest: String,
}

impl Lock {
    const VERSION: u32 = 1;

    pub(crate) fn read(root: &Root) -> anyhow::Result<Lock> {
        let text = match std::fs::read_to_string(root.at(LOCK)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock::default()),
            read => read.context(LOCK)?,
        };
        let lock: Lock = serde_json::from_str(&text)
            .with_context(|| format!("{LOCK} is damaged; take it from version control again"))?;
        // It becomes part of a path.
        let is_commit = |text: &str| text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(locked) = lock.modules.values().find(|locked| !is_commit(&locked.commit)) {
            bail!("{LOCK} is damaged: {:?} is no commit; take it from version control again", locked.commit);
        }
        if lock.version != Lock::VERSION {
            bail!("{LOCK} has version {}; this program reads version {}", lock.version, Lock::VERSION);
        }
        Ok(lock)
    }

    fn write(&self, root: &Root) -> io::Result<()> {
        let path = root.at(LOCK);
        let text = format!("{}\n", serde_json::to_string_pretty(self).map_err(io::Error::other)?);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        disk::replace(&path, &text)
    }

    /// Where a module that was fetched is.
    pub(crate) fn find(&self, disk: &Disk, source: &Source, version: Option<&str>) -> anyhow::Result<FoundModule> {
        let missing = || anyhow!("it was not fetched yet; run: {}", disk.watch.command("init"));
        let locked = self.modules.get(&source.key(version)?).ok_or_else(missing)?;
        let package = place(&name(source, locked));
        if !disk.root.at(&package).is_dir() {
            return Err(missing());
        }
        Ok(FoundModule { folder: as_source(&package.join(&source.folder)), package: as_source(&package) })
    }
}

/// The folder of a commit.
fn name(source: &Source, locked: &Locked) -> String {
    let last = source.repository.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    let plain: String =
        last.trim_end_matches(".git").chars().filter(|ch| ch.is_alphanumeric() || "-_.".contains(*ch)).collect();
    format!("git-{plain}-{}", locked.commit.get(..12).unwrap_or_default())
}

/// Reads sources and fetches what is missing.
#[derive(Debug)]
pub(crate) struct Fetcher {
    disk: Disk,
    environment: Environment,
    before: Lock,
    /// What is in use.
    now: Mutex<Lock>,
    /// Takes the newest versions, whatever the lock says.
    upgrades: bool,
    /// Nobody else fetches for this stack meanwhile. None until something is fetched.
    alone: Mutex<Option<File>>,
}

impl Fetcher {
    pub(crate) fn new(disk: Disk, environment: Environment, upgrades: bool) -> anyhow::Result<Fetcher> {
        let now = Lock { version: Lock::VERSION, modules: BTreeMap::new() };
        let before = Lock::read(&disk.root)?;
        Ok(Fetcher { disk, environment, before, now: Mutex::new(now), upgrades, alone: Mutex::new(None) })
    }

    /// Writes the lock. A stack without modules of git repositories has none.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.modules.is_empty() && self.before.modules.is_empty() {
            return Ok(());
        }
        self.be_alone()?;
        Ok(now.write(&self.disk.root)?)
    }

    /// Waits for others that fetch for the same stack.
    fn be_alone(&self) -> anyhow::Result<()> {
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        if alone.is_some() {
            return Ok(());
        }
        let path = self.disk.root.at(place("lock"));
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if file.try_lock().is_err() {
            self.disk.watch.note("another lampwright fetches modules for this stack; waiting for it");
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        *alone = Some(file);
        Ok(())
    }

    fn find(&self, source: &Source, version: Option<&str>) -> anyhow::Result<FoundModule> {
        let key = source.key(version)?;
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Vacant(place) = now.modules.entry(key) {
            let known = self.before.modules.get(place.key()).filter(|_| !self.upgrades);
            let locked = match known {
                Some(known) if self.is_here(source, known) => known.clone(),
                known => {
                    self.be_alone()?;
                    self.fetch(source, version, known)?
                }
            };
            place.insert(locked);
        }
        now.find(&self.disk, source, version)
    }
}

impl SourceLoader for Fetcher {
    fn list(&self, folder: &str) -> Result<Vec<String>, LoadError> {
        self.disk.list(folder)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, LoadError> {
        self.disk.read(path)
    }

    fn module(&self, module: &ModuleSource<'_>) -> Option<Result<FoundModule, LoadError>> {
        let Some(source) = Source::parse(module.source) else { return self.disk.module(module) };
        let found = source.and_then(|source| self.find(&source, module.version));
        Some(found.map_err(|error| sources::unreadable(module, &error)))
    }
}

impl Fetcher {
    /// Whether the files are there, as they were fetched.
    fn is_here(&self, source: &Source, locked: &Locked) -> bool {
        digest(&self.disk.root.at(place(&name(source, locked)))).is_ok_and(|digest| digest == locked.digest)
    }

    fn fetch(&self, source: &Source, version: Option<&str>, known: Option<&Locked>) -> anyhow::Result<Locked> {
        let reference = match (known, version, &source.reference) {
            (Some(known), ..) => known.reference.clone(),
            (None, Some(constraint), _) => self.git().newest(source, constraint)?,
            (None, None, Some(reference)) => reference.clone(),
            (None, None, None) => "HEAD".to_owned(),
        };
        self.disk.watch.step(&format!("Fetching {} {reference}", source.repository));
        // A branch goes on; what was taken of it stays. A tag of a version does not, so it is looked at.
        let wanted = match known {
            Some(known) if version.is_none() => &known.commit,
            _ => &reference,
        };
        let scratch = self.disk.root.at(place(""));
        let scratch = tempfile::Builder::new().prefix(".new-").tempdir_in(scratch)?;
        let commit = self.git().check_out(source, wanted, scratch.path())?;
        let locked = Locked { reference, commit, digest: digest(scratch.path())? };
        if let Some(known) = known {
            self.compare(known, &locked)?;
        }
        let target = self.disk.root.at(place(&name(source, &locked)));
        if !self.is_here(source, &locked) {
            put(&target, |folder| Ok(move_all(scratch.path(), folder)?))?;
        }
        Ok(locked)
    }

    /// What was fetched has to be what the lock says.
    fn compare(&self, known: &Locked, found: &Locked) -> anyhow::Result<()> {
        if known.commit != found.commit {
            bail!(
                "{} is commit {} now, and was {} when it was taken. If that is meant: {}",
                found.reference,
                found.commit,
                known.commit,
                self.disk.watch.command("init -upgrade")
            );
        }
        if known.digest != found.digest {
            bail!(
                "the files of commit {} are not those of {LOCK} ({}, and there {}): either the lock was changed by hand, or git changes files here when it checks them out (its filters, such as LFS)",
                found.commit,
                found.digest,
                known.digest
            );
        }
        Ok(())
    }

    fn git(&self) -> Git<'_> {
        Git { environment: &self.environment, folder: self.disk.root.absolute() }
    }
}

/// `sha256:..` over all files of a folder: path, whether it can be executed, content.
fn digest(folder: &Path) -> io::Result<String> {
    let mut whole = Sha256::new();
    add(folder, "", &mut whole)?;
    Ok(format!("sha256:{}", hex(&whole.finalize())))
}

fn add(folder: &Path, prefix: &str, whole: &mut Sha256) -> io::Result<()> {
    let mut entries: Vec<std::fs::DirEntry> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{prefix}{}", entry.file_name().display());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            add(&entry.path(), &format!("{path}/"), whole)?;
            continue;
        }
        let (mark, content) = if kind.is_symlink() {
            ("link", std::fs::read_link(entry.path())?.into_os_string().into_encoded_bytes())
        } else {
            let is_program = entry.metadata()?.permissions().mode() & 0o100 != 0;
            (if is_program { "program" } else { "file" }, std::fs::read(entry.path())?)
        };
        whole.update(format!("{mark} {path}\0"));
        whole.update(Sha256::digest(&content));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_terraform_reads_them() {
        let read = |text: &str| {
            let Source { repository, folder, reference } = parse(text)?;
            anyhow::Ok(format!("{repository} | {folder} | {}", reference.unwrap_or_default()))
        };
        assert_eq!(read("https://h/r.git//a/b?ref=v1.2").unwrap(), "https://h/r.git | a/b | v1.2");
        assert_eq!(read("ssh://git@h/r").unwrap(), "ssh://git@h/r |  | ");
        assert_eq!(read("git@h:o/r.git//m").unwrap(), "git@h:o/r.git | m | ");
        assert_eq!(read("file:///srv/r//m").unwrap(), "file:///srv/r | m | ");
        for text in [
            "--upload-pack=sh",
            "ext::sh -c x",
            "https://u:p@h/r",
            "https://h/r//../x",
            "https://h/r?ref=",
            "https://h/r?ref=-x",
            "h/r",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(Source::parse("./lamp").is_none());
    }
}
