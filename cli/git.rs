//! Modules of git repositories: `git::https://HOST/REPOSITORY//FOLDER`, with `version` for tags such as v1.2.0, or `?ref=`.
//!
//! `lampwright init` looks for the tag, fetches it and writes down in `lampwright.lock` which commit it was; that file goes
//! into version control, and every other command takes what it says. A tag that is another commit later is refused.
//!
//! Failures: what is fetched is moved to its place whole; a repository that does not answer ends the command after a
//! while (no prompt, a limit on slow transfers); git's own words are shown.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, anyhow, bail};
use compiler::source::{FoundModule, LoadError, ModuleSource, SourceLoader};
use compiler::version::{Constraints, Version};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::disk::{self, Disk};
use crate::proposal::Proposal;
use crate::sources::{self, as_source, hex, move_all, place, put};
use crate::ui;

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

    pub(crate) fn read() -> anyhow::Result<Lock> {
        let text = match std::fs::read_to_string(LOCK) {
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

    fn write(&self) -> io::Result<()> {
        let text = format!("{}\n", serde_json::to_string_pretty(self).map_err(io::Error::other)?);
        if std::fs::read_to_string(LOCK).is_ok_and(|there| there == text) {
            return Ok(());
        }
        disk::replace(LOCK.as_ref(), &text)
    }

    /// Where a module that was fetched is.
    pub(crate) fn find(&self, source: &Source, version: Option<&str>) -> anyhow::Result<FoundModule> {
        let missing = || anyhow!("it was not fetched yet; run: {}", Proposal::new("init").text());
        let locked = self.modules.get(&source.key(version)?).ok_or_else(missing)?;
        let package = place(&name(source, locked));
        if !package.is_dir() {
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
    before: Lock,
    /// What is in use.
    now: Mutex<Lock>,
    /// Takes the newest versions, whatever the lock says.
    upgrades: bool,
    /// Nobody else fetches for this stack meanwhile. None until something is fetched.
    alone: Mutex<Option<File>>,
}

impl Fetcher {
    pub(crate) fn new(upgrades: bool) -> anyhow::Result<Fetcher> {
        let now = Lock { version: Lock::VERSION, modules: BTreeMap::new() };
        Ok(Fetcher { before: Lock::read()?, now: Mutex::new(now), upgrades, alone: Mutex::new(None) })
    }

    /// Writes the lock. A stack without modules of git repositories has none.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.modules.is_empty() && self.before.modules.is_empty() {
            return Ok(());
        }
        self.be_alone()?;
        Ok(now.write()?)
    }

    /// Waits for others that fetch for the same stack.
    fn be_alone(&self) -> anyhow::Result<()> {
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        if alone.is_some() {
            return Ok(());
        }
        let path = place("lock");
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if file.try_lock().is_err() {
            ui::note("another lampwright fetches modules for this stack; waiting for it");
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
                Some(known) if is_here(source, known) => known.clone(),
                known => {
                    self.be_alone()?;
                    fetch(source, version, known)?
                }
            };
            place.insert(locked);
        }
        now.find(source, version)
    }
}

impl SourceLoader for Fetcher {
    fn list(&self, folder: &str) -> Result<Vec<String>, LoadError> {
        Disk.list(folder)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, LoadError> {
        Disk.read(path)
    }

    fn module(&self, module: &ModuleSource<'_>) -> Option<Result<FoundModule, LoadError>> {
        let Some(source) = Source::parse(module.source) else { return Disk.module(module) };
        let found = source.and_then(|source| self.find(&source, module.version));
        Some(found.map_err(|error| sources::unreadable(module, &error)))
    }
}

/// Whether the files are there, as they were fetched.
fn is_here(source: &Source, locked: &Locked) -> bool {
    digest(&place(&name(source, locked))).is_ok_and(|digest| digest == locked.digest)
}

fn fetch(source: &Source, version: Option<&str>, known: Option<&Locked>) -> anyhow::Result<Locked> {
    let reference = match (known, version, &source.reference) {
        (Some(known), ..) => known.reference.clone(),
        (None, Some(constraint), _) => newest(source, constraint)?,
        (None, None, Some(reference)) => reference.clone(),
        (None, None, None) => "HEAD".to_owned(),
    };
    ui::line(&format!("Fetching {} {reference}", source.repository));
    // A branch goes on; what was taken of it stays. A tag of a version does not, so it is looked at.
    let wanted = match known {
        Some(known) if version.is_none() => &known.commit,
        _ => &reference,
    };
    let scratch = place("");
    let scratch = tempfile::Builder::new().prefix(".new-").tempdir_in(scratch)?;
    let commit = check_out(source, wanted, scratch.path())?;
    let locked = Locked { reference, commit, digest: digest(scratch.path())? };
    if let Some(known) = known {
        compare(known, &locked)?;
    }
    let target = place(&name(source, &locked));
    if !is_here(source, &locked) {
        put(&target, |folder| Ok(move_all(scratch.path(), folder)?))?;
    }
    Ok(locked)
}

/// What was fetched has to be what the lock says.
fn compare(known: &Locked, found: &Locked) -> anyhow::Result<()> {
    if known.commit != found.commit {
        bail!(
            "{} is commit {} now, and was {} when it was taken. If that is meant: {}",
            found.reference,
            found.commit,
            known.commit,
            Proposal::new("init -upgrade").text()
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

/// The tag of the highest version that is right.
fn newest(source: &Source, constraint: &str) -> anyhow::Result<String> {
    let constraints = Constraints::parse(constraint)?;
    let listed = git(None, &["ls-remote", "--tags", "--refs", "--", &source.repository])?;
    let tags = listed.lines().filter_map(|line| line.split_once("refs/tags/").map(|(_, tag)| tag));
    let mut versions: Vec<(Version, &str)> = tags.filter_map(|tag| Some((Version::parse(tag)?, tag))).collect();
    versions.sort();
    let right = versions.iter().rev().find(|(version, _)| constraints.allow(version));
    right.map(|(_, tag)| (*tag).to_owned()).ok_or_else(|| {
        let known: Vec<&str> = versions.iter().rev().take(5).map(|(_, tag)| *tag).collect();
        let known = if known.is_empty() { "none that is a version".to_owned() } else { known.join(", ") };
        anyhow!("no tag is a version {constraint:?}; the newest are: {known}")
    })
}

/// Fills `folder` with the files of a reference, without git's own. Returns the commit.
fn check_out(source: &Source, reference: &str, folder: &Path) -> anyhow::Result<String> {
    git(Some(folder), &["init", "--quiet"])?;
    let repository = &source.repository;
    let shallow = git(Some(folder), &["fetch", "--quiet", "--depth", "1", "--no-tags", "--", repository, reference]);
    let is_commit = reference.len() >= 7 && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    let found = match shallow {
        Ok(_) => "FETCH_HEAD",
        // Not every server gives a commit by its name, and none by a part of it.
        Err(_) if is_commit => {
            git(Some(folder), &["fetch", "--quiet", "--", repository, "+refs/*:refs/fetched/*"])?;
            reference
        }
        Err(error) => return Err(error),
    };
    let commit = git(Some(folder), &["rev-parse", "--verify", "--end-of-options", &format!("{found}^{{commit}}")])?;
    let commit = commit.trim().to_owned();
    git(Some(folder), &["checkout", "--quiet", "--force", "--detach", &commit])?;
    std::fs::remove_dir_all(folder.join(".git"))?;
    refuse_links_out(folder, &folder.canonicalize()?)?;
    Ok(commit)
}

/// A module stays in what it came with: its links, too.
fn refuse_links_out(folder: &Path, root: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            refuse_links_out(&path, root)?;
        } else if kind.is_symlink() && !path.canonicalize().is_ok_and(|target| target.starts_with(root)) {
            let name = path.strip_prefix(root).unwrap_or(&path).display();
            bail!("the repository has a link {name} that leads nowhere, or out of it");
        }
    }
    Ok(())
}

/// Runs git. Returns what it prints; fails with its words.
fn git(folder: Option<&Path>, args: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    if let Some(folder) = folder {
        command.arg("-C").arg(folder);
    }
    // Nobody is there to be asked, and nothing may stand still; a repository's text is the same everywhere.
    command
        .args(["-c", "core.autocrlf=false", "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false"])
        .args(["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30"])
        .args(args)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ALLOW_PROTOCOL", "file:http:https:ssh")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::null());
    if !has_own_ssh() {
        command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=15");
    }
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow!("git is not installed; install it with: apt-get install git"),
        _ => anyhow!("git cannot be started: {error}"),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    bail!("git {}: {said}", args.first().unwrap_or(&""))
}

/// The files of this folder that version control has, or would take: what is ignored there is none of them. None
/// outside of a repository.
pub(crate) fn listed() -> anyhow::Result<Option<BTreeSet<String>>> {
    let here = std::env::current_dir()?;
    if !here.ancestors().any(|folder| folder.join(".git").exists()) {
        return Ok(None);
    }
    let listed = git(None, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    Ok(Some(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()))
}

/// Whether the user has said how git speaks SSH.
fn has_own_ssh() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let mut configured = Command::new("git");
    configured.args(["config", "--get", "core.sshCommand"]).stdin(Stdio::null()).stdout(Stdio::null());
    is_set("GIT_SSH_COMMAND") || is_set("GIT_SSH") || configured.status().is_ok_and(|status| status.success())
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
