//! Snapshots of tests on the disk: `tests/snapshots/FILE/RUN/..`, one file for each text.
//!
//! Failures: a snapshot is written file by file, so an accept that is cut off leaves old and new files side by side; the
//! next test shows what is missing. In CI nothing is ever written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use compiler::text::{Style, Text};
use similar::TextDiff;

use crate::{archive, disk};

/// Texts by path, as they were accepted.
pub(super) fn read(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let read = archive::walk(folder, "", &|_| false, &mut |path, entry| {
        files.insert(path, String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned());
        Ok(())
    });
    match read {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(files),
    }
}

/// A file that is not as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub path: String,
    pub accepted: Option<String>,
    pub found: Option<String>,
}

pub(super) fn compare(accepted: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Vec<Difference> {
    let paths: BTreeSet<&String> = accepted.keys().chain(found.keys()).collect();
    let differ = paths.into_iter().filter(|path| accepted.get(*path) != found.get(*path));
    differ
        .map(|path| Difference {
            path: path.clone(),
            accepted: accepted.get(path).cloned(),
            found: found.get(path).cloned(),
        })
        .collect()
}

impl Difference {
    /// As `diff -u` shows it; of a file that is new or gone only that.
    pub fn text(&self, folder: &Path) -> Text {
        let path = folder.join(&self.path);
        let name = path.display().to_string();
        let mut out = Text::default();
        match (&self.accepted, &self.found) {
            (None, Some(found)) => out.line(Style::Plain, &format!("new: {name} ({} lines)", found.lines().count())),
            (Some(_), None) => out.line(Style::Plain, &format!("no longer written: {name}")),
            (accepted, found) => {
                let (accepted, found) = (accepted.as_deref().unwrap_or_default(), found.as_deref().unwrap_or_default());
                let diff = TextDiff::from_lines(accepted, found);
                out.diff("", &diff.unified_diff().context_radius(3).header(&name, &name).to_string());
            }
        }
        out
    }

    pub fn accept(&self, folder: &Path) -> io::Result<()> {
        let path = folder.join(&self.path);
        let Some(found) = &self.found else {
            std::fs::remove_file(&path)?;
            // Folders that are empty now go with their last file.
            let parents = path.ancestors().skip(1).take_while(|parent| parent.starts_with(folder));
            parents.take_while(|parent| std::fs::remove_dir(parent).is_ok()).for_each(drop);
            return Ok(());
        };
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        disk::replace(&path, found)
    }
}

/// Snapshots that none of these runs has: folders below `root`, by file and run.
pub(super) fn unowned(root: &Path, owned: &BTreeSet<PathBuf>) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in folders(root)? {
        for run in folders(&file)? {
            if !owned.contains(&run) {
                found.push(run);
            }
        }
    }
    Ok(found)
}

fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn what_was_accepted_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("small");
        let first = texts(&[("plan.txt", "one\n"), ("web-1/etc/httpd.conf", "two\n")]);
        for difference in compare(&read(&root).unwrap(), &first) {
            difference.accept(&root).unwrap();
        }
        assert_eq!(read(&root).unwrap(), first);
        let second = texts(&[("plan.txt", "changed\n")]);
        let differences = compare(&first, &second);
        let shown: String = differences.iter().map(|difference| difference.text(Path::new("s")).to_string()).collect();
        assert_eq!(
            shown.lines().collect::<Vec<_>>(),
            [
                "--- s/plan.txt",
                "+++ s/plan.txt",
                "@@ -1 +1 @@",
                "-one",
                "+changed",
                "no longer written: s/web-1/etc/httpd.conf"
            ]
        );
        for difference in differences {
            difference.accept(&root).unwrap();
        }
        assert_eq!(read(&root).unwrap(), second);
        // Nothing is left of the machine's folder.
        assert_eq!(folders(&root).unwrap(), Vec::<PathBuf>::new());
    }

    /// A file may come where a folder was, and the other way round.
    #[test]
    fn files_and_folders_change_places() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("run");
        let versions = [texts(&[("d/e", "one\n")]), texts(&[("d", "two\n")]), texts(&[("d/e", ""), ("d/e.new", "x")])];
        for version in versions {
            let (gone, come): (Vec<_>, Vec<_>) =
                compare(&read(&root).unwrap(), &version).into_iter().partition(|one| one.found.is_none());
            gone.iter().chain(&come).for_each(|difference| difference.accept(&root).unwrap());
            assert_eq!(read(&root).unwrap(), version);
        }
    }

    #[test]
    fn a_snapshot_without_a_run_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for run in ["lamp/small", "lamp/old"] {
            std::fs::create_dir_all(root.join(run)).unwrap();
        }
        let owned = BTreeSet::from([root.join("lamp/small")]);
        assert_eq!(unowned(root, &owned).unwrap(), [root.join("lamp/old")]);
    }
}
