//! What a state is called where a folder has several: both ends keep what belongs to each apart by it.

use std::path::{Path, PathBuf};

/// The variables that tell our plugin which state it works for: the state's lineage, and its file. Terraform does not set
/// them.
pub const LINEAGE_VARIABLE: &str = "LAMPWRIGHT_STATE_LINEAGE";
pub const PATH_VARIABLE: &str = "LAMPWRIGHT_STATE";

/// The state of a folder that is there without a word about it.
pub const DEFAULT_STATE: &str = "terraform.tfstate";
/// Where Terraform keeps the states of its other workspaces.
const WORKSPACES: &str = "terraform.tfstate.d";
const BUNDLES: &str = ".lampwright/bundles";
const LONGEST_NAME: usize = 100;

/// Tells the state from others of the folder; none for the one that is there without a word about it. A workspace is
/// called so by both engines.
pub fn label(folder: &Path, state: &Path) -> Option<String> {
    let folder = clean(folder);
    let path = clean(&folder.join(state));
    if path == folder.join(DEFAULT_STATE) {
        return None;
    }
    let within = path.strip_prefix(folder.join(WORKSPACES)).ok();
    let workspace = within.and_then(|path| path.to_str()?.strip_suffix("/terraform.tfstate"));
    match workspace.filter(|name| !name.contains('/')) {
        Some(workspace) => Some(workspace.to_owned()),
        None => Some(path.display().to_string()),
    }
}

/// One state has one name, by whichever way to it. What is not there yet is taken as it is written.
fn clean(path: &Path) -> PathBuf {
    let parent = path.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
    match (std::fs::canonicalize(path), parent, path.file_name()) {
        (Ok(path), ..) => path,
        (Err(_), Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// Where copies of the files of a state's machines are, relative to the stack's folder.
pub fn bundle_folder(label: Option<&str>) -> String {
    let Some(label) = label else { return BUNDLES.to_owned() };
    let plain = |ch: char| if ch.is_ascii_alphanumeric() || "-_.".contains(ch) { ch } else { '_' };
    let name: Vec<char> = label.chars().map(plain).collect();
    let name: String = name[name.len().saturating_sub(LONGEST_NAME)..].iter().collect();
    format!("{BUNDLES}-of/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_a_folder_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let folder = std::fs::canonicalize(folder.path()).unwrap();
        let label = |path: &str| label(&folder, Path::new(path));
        assert_eq!(label("terraform.tfstate"), None);
        assert_eq!(label("./terraform.tfstate"), None);
        assert_eq!(label(&folder.join("terraform.tfstate").display().to_string()), None);
        assert_eq!(label("terraform.tfstate.d/staging/terraform.tfstate").as_deref(), Some("staging"));
        let prod = label("prod.tfstate");
        assert_eq!(prod, Some(folder.join("prod.tfstate").display().to_string()));
        assert_eq!(bundle_folder(None), ".lampwright/bundles");
        assert_eq!(bundle_folder(Some("/srv/a b.tfstate")), ".lampwright/bundles-of/_srv_a_b.tfstate");
    }
}
