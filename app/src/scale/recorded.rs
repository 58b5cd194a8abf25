//! The values of variables that commands write, in a file beside the stack: plan and apply read it, and Terraform, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::disk;
use crate::inputs::is_automatic;
use crate::root::Root;
use crate::stack::Stack;

/// Among the files that are read unasked it is one of the later ones.
pub(super) const FILE: &str = "scale.auto.tfvars";
const HEADER: &str =
    "# Written by `lampwright scale`. Keep it with the stack; change or remove what it says at will.\n";

/// The text that the file shall have.
#[derive(Debug)]
pub(super) struct Recorded {
    path: PathBuf,
    text: String,
}

impl Recorded {
    /// As it is, but for these.
    pub(super) fn with(root: &Root, values: &BTreeMap<Arc<str>, u64>) -> anyhow::Result<Recorded> {
        let path = root.at(FILE);
        let before = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => HEADER.to_owned(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {FILE}")),
        };
        let text = replaced(&before, values);
        Ok(Recorded { path, text })
    }

    pub(super) fn write(&self) -> anyhow::Result<()> {
        disk::replace(&self.path, &self.text).with_context(|| format!("cannot write {FILE}; nothing was changed"))
    }
}

fn replaced(text: &str, values: &BTreeMap<Arc<str>, u64>) -> String {
    let sets = |line: &str| line.split_once('=').and_then(|(name, _)| values.get(name.trim())).is_some();
    let mut lines: Vec<String> = text.lines().filter(|line| !sets(line)).map(str::to_owned).collect();
    lines.extend(values.iter().map(|(name, value)| format!("{name} = {value}")));
    lines.join("\n") + "\n"
}

/// A file that is read after this one and sets one of the variables, and which.
pub(super) fn stronger<'n>(
    stack: &Stack,
    names: impl Iterator<Item = &'n Arc<str>> + Clone,
) -> anyhow::Result<Option<(PathBuf, Arc<str>)>> {
    let files = stack.loader.list(".").unwrap_or_default();
    for file in files.into_iter().filter(|file| is_automatic(file) && file.as_str() > FILE) {
        if let Some(name) = set_by(&stack.root, Path::new(&file), names.clone())? {
            return Ok(Some((PathBuf::from(file), name.clone())));
        }
    }
    Ok(None)
}

/// The first of the variables that a file sets.
pub(super) fn set_by<'n>(
    root: &Root,
    file: &Path,
    mut names: impl Iterator<Item = &'n Arc<str>>,
) -> anyhow::Result<Option<&'n Arc<str>>> {
    let text = std::fs::read_to_string(root.at(file)).with_context(|| format!("cannot read {}", file.display()))?;
    let set: BTreeSet<String> = if file.extension().is_some_and(|extension| extension == "json") {
        serde_json::from_str::<serde_json::Map<_, _>>(&text)
            .unwrap_or_default()
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    } else {
        let names = text.lines().filter_map(|line| Some(line.split_once('=')?.0.trim().trim_matches('"')));
        names.map(str::to_owned).collect()
    };
    Ok(names.find(|name| set.contains(&***name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_written_stays() {
        let values = BTreeMap::from([("web".into(), 5)]);
        assert_eq!(replaced(HEADER, &values), format!("{HEADER}web = 5\n"));
        assert_eq!(replaced("# mine\nweb=2\nwebs = 3\n", &values), "# mine\nwebs = 3\nweb = 5\n");
    }
}
