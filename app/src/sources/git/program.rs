//! The program git.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{anyhow, bail};
use compiler::version::{Constraints, Version};

use super::Source;
use crate::host::Environment;

/// Git, as the user has set it up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Git<'e> {
    pub(crate) environment: &'e Environment,
    /// Where it stands if nothing else is said: what is configured there counts.
    pub(crate) folder: &'e Path,
}

impl Git<'_> {
    /// The tag of the highest version that is right.
    pub(super) fn newest(self, source: &Source, constraint: &str) -> anyhow::Result<String> {
        let constraints = Constraints::parse(constraint)?;
        let listed = self.run(None, &["ls-remote", "--tags", "--refs", "--", &source.repository])?;
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
    pub(super) fn check_out(self, source: &Source, reference: &str, folder: &Path) -> anyhow::Result<String> {
        self.run(Some(folder), &["init", "--quiet"])?;
        let repository = &source.repository;
        let shallow =
            self.run(Some(folder), &["fetch", "--quiet", "--depth", "1", "--no-tags", "--", repository, reference]);
        let is_commit = reference.len() >= 7 && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
        let found = match shallow {
            Ok(_) => "FETCH_HEAD",
            // Not every server gives a commit by its name, and none by a part of it.
            Err(_) if is_commit => {
                self.run(Some(folder), &["fetch", "--quiet", "--", repository, "+refs/*:refs/fetched/*"])?;
                reference
            }
            Err(error) => return Err(error),
        };
        let commit =
            self.run(Some(folder), &["rev-parse", "--verify", "--end-of-options", &format!("{found}^{{commit}}")])?;
        let commit = commit.trim().to_owned();
        self.run(Some(folder), &["checkout", "--quiet", "--force", "--detach", &commit])?;
        std::fs::remove_dir_all(folder.join(".git"))?;
        refuse_links_out(folder, &folder.canonicalize()?)?;
        Ok(commit)
    }

    /// Runs git. Returns what it prints; fails with its words.
    fn run(self, folder: Option<&Path>, args: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder.unwrap_or(self.folder));
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
        if !self.has_own_ssh() {
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

    /// The files of a folder that version control has, or would take: what is ignored there is none of them. None
    /// outside of a repository.
    pub(crate) fn listed(self) -> anyhow::Result<Option<BTreeSet<String>>> {
        if !self.folder.ancestors().any(|above| above.join(".git").exists()) {
            return Ok(None);
        }
        let listed = self.run(None, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        Ok(Some(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()))
    }

    /// Whether the user has said how git speaks SSH.
    fn has_own_ssh(self) -> bool {
        let is_set = |name: &str| self.environment.os(name).is_some();
        let mut configured = Command::new("git");
        configured
            .arg("-C")
            .arg(self.folder)
            .args(["config", "--get", "core.sshCommand"])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        is_set("GIT_SSH_COMMAND") || is_set("GIT_SSH") || configured.status().is_ok_and(|status| status.success())
    }
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
