//! The workspaces of a stack: named, made, and removed.

use std::sync::Arc;

use backends::DEFAULT_WORKSPACE;

use crate::failure::{Result, refuse};
use crate::host::Host;
use crate::root::Root;
use crate::state::used;
use crate::workspace;

/// All that have a state, and the selected one; in their order, the one that everybody has first.
pub async fn list(host: &Arc<Host>, root: &Root) -> Result<Vec<String>> {
    let mut names = used(host, root)?.workspaces(host, root).await?;
    let selected = workspace::selected(host, root)?;
    if !names.contains(&selected) && selected != DEFAULT_WORKSPACE {
        names.push(selected);
    }
    names.sort();
    names.insert(0, DEFAULT_WORKSPACE.to_owned());
    names.dedup();
    Ok(names)
}

/// Makes one, with an empty state, and selects it.
pub async fn create(host: &Arc<Host>, root: &Root, name: &str) -> Result<()> {
    workspace::check_name(name)?;
    if list(host, root).await?.iter().any(|known| known == name) {
        refuse!("there is a workspace {name:?} already; `lampwright workspace select {name}` selects it");
    }
    used(host, root)?.state(host, root, name)?.create(host).await?;
    Ok(workspace::select(host, root, name)?)
}

/// Selects one that is there.
pub async fn select(host: &Arc<Host>, root: &Root, name: &str) -> Result<()> {
    let known = list(host, root).await?;
    if !known.iter().any(|known| known == name) {
        refuse!(
            "there is no workspace {name:?}; there are: {}. `lampwright workspace new {name}` makes it",
            known.join(", ")
        );
    }
    Ok(workspace::select(host, root, name)?)
}

/// Removes one with its state. What the state still has would be forgotten, so that takes force.
pub async fn delete(host: &Arc<Host>, root: &Root, name: &str, is_forced: bool) -> Result<()> {
    if name == DEFAULT_WORKSPACE {
        refuse!("the workspace {name:?} is always there");
    }
    if workspace::selected(host, root)? == name {
        refuse!("{name:?} is the selected workspace; select another one first: `lampwright workspace select default`");
    }
    if !list(host, root).await?.iter().any(|known| known == name) {
        refuse!("there is no workspace {name:?}");
    }
    let at = used(host, root)?.state(host, root, name)?;
    let state = at.peek(host).await?;
    if !state.is_empty() && !is_forced {
        let count = state.instances.len();
        let objects = if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
        refuse!(
            "the state of {name:?} has {objects}: destroy them first. -force forgets them, and what exists goes on without anybody who manages it"
        );
    }
    at.delete(host).await
}
