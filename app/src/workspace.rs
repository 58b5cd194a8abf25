//! Workspaces: several states of one stack. Terraform keeps which one is selected in `.terraform/environment`, and so do we.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use backends::DEFAULT_WORKSPACE;

use crate::disk;
use crate::host::Host;
use crate::root::Root;

/// What the state is called where nobody says otherwise.
pub const STATE: &str = "terraform.tfstate";
/// Where Terraform keeps those of other workspaces.
const FOLDER: &str = "terraform.tfstate.d";
const SELECTED: &str = "environment";

/// The file of a workspace, in the folder of the stack.
pub fn path(workspace: &str) -> PathBuf {
    match workspace {
        DEFAULT_WORKSPACE => PathBuf::from(STATE),
        name => Path::new(FOLDER).join(name).join(STATE),
    }
}

fn selection(host: &Host, root: &Root) -> PathBuf {
    root.at(host.environment.text("TF_DATA_DIR").unwrap_or_else(|| ".terraform".to_owned())).join(SELECTED)
}

/// The one that commands work with: TF_WORKSPACE, else what was selected.
pub fn selected(host: &Host, root: &Root) -> anyhow::Result<String> {
    let name = match host.environment.text("TF_WORKSPACE") {
        Some(name) => name,
        None => std::fs::read_to_string(selection(host, root)).unwrap_or_default().trim().to_owned(),
    };
    if name.is_empty() {
        return Ok(DEFAULT_WORKSPACE.to_owned());
    }
    check_name(&name)?;
    Ok(name)
}

/// It becomes a part of paths and addresses.
pub fn check_name(name: &str) -> anyhow::Result<()> {
    let is_plain = |ch: char| ch.is_ascii_alphanumeric() || "-_.".contains(ch);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        bail!("{name:?} is no name for a workspace: it has letters, digits, -, _ and .");
    }
    Ok(())
}

/// Whether TF_WORKSPACE selects it; if that selects another one, no command can.
pub(crate) fn check_selectable(host: &Host, name: &str) -> anyhow::Result<bool> {
    match host.environment.text("TF_WORKSPACE") {
        Some(selected) if selected == name => Ok(true),
        Some(selected) => bail!("TF_WORKSPACE selects the workspace {selected:?}; unset it to select another one"),
        None => Ok(false),
    }
}

pub fn select(host: &Host, root: &Root, name: &str) -> anyhow::Result<()> {
    check_name(name)?;
    if check_selectable(host, name)? {
        return Ok(());
    }
    let path = selection(host, root);
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    disk::replace(&path, name).with_context(|| format!("cannot write {}", path.display()))
}

/// Refuses one that nobody has made: a word that is misspelled would be an empty state.
pub(crate) fn refuse_missing(host: &Host, root: &Root, name: &str) -> anyhow::Result<()> {
    if name == DEFAULT_WORKSPACE || root.at(FOLDER).join(name).is_dir() {
        return Ok(());
    }
    let origin = match host.environment.text("TF_WORKSPACE") {
        Some(_) => "TF_WORKSPACE".to_owned(),
        None => selection(host, root).display().to_string(),
    };
    let make = host.watch.command(&format!("workspace new {name}"));
    bail!("{origin} selects the workspace {name:?}, and nobody has made it; `{make}` does")
}

/// Those that have a folder here, without the one that everybody has.
pub(crate) fn local(root: &Root) -> anyhow::Result<Vec<String>> {
    let entries = match std::fs::read_dir(root.at(FOLDER)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}
