//! The workspaces of a stack: named, made, and removed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backends::DEFAULT_WORKSPACE;
use engine::state::State;

use crate::failure::{Result, refuse};
use crate::host::Host;
use crate::root::Root;
use crate::state::{Locking, beside, seal_of, used};
use crate::surgery;
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

/// A workspace that is to be made.
#[derive(Debug, Clone, Default)]
pub struct NewWorkspace {
    pub name: String,
    /// A file whose state it begins with; an empty one without.
    pub from: Option<PathBuf>,
    pub locking: Locking,
}

/// Makes one, and selects it.
pub async fn create(host: &Arc<Host>, root: &Root, new: &NewWorkspace) -> Result<()> {
    let name = &*new.name;
    workspace::check_name(name)?;
    let is_named = workspace::check_selectable(host, name)?;
    let used = used(host, root)?;
    let known = used.workspaces(host, root).await?;
    if name == DEFAULT_WORKSPACE || known.iter().any(|known| known == name) {
        let select = host.watch.command(&format!("workspace select {name}"));
        refuse!("there is a workspace {name:?} already; `{select}` selects it");
    }
    let from = match &new.from {
        Some(path) => Some((path.display().to_string(), read(host, root, path).await?)),
        None => None,
    };
    let at = used.state(host, root, name)?.made_here().sealed(seal_of(host, root)?).locking(new.locking);
    at.create(host).await?;
    if let Some((what, state)) = from {
        surgery::replace(host, &at, state, &what, None, "workspace new").await?;
    }
    if is_named { Ok(()) } else { Ok(workspace::select(host, root, name)?) }
}

async fn read(host: &Arc<Host>, root: &Root, path: &Path) -> Result<State> {
    let state = beside(host, root, path)?.peek(host).await?;
    if state.lineage.is_empty() {
        refuse!("there is no state in {}", path.display());
    }
    Ok(state)
}

/// Selects one that is there.
pub async fn select(host: &Arc<Host>, root: &Root, name: &str) -> Result<()> {
    let known = list(host, root).await?;
    if !known.iter().any(|known| known == name) {
        let make = host.watch.command(&format!("workspace new {name}"));
        refuse!("there is no workspace {name:?}; there are: {}. `{make}` makes it", known.join(", "));
    }
    Ok(workspace::select(host, root, name)?)
}

/// A workspace that is to be removed.
#[derive(Debug, Clone)]
pub struct GoneWorkspace {
    pub name: String,
    /// Also if its state has objects: they are forgotten.
    pub is_forced: bool,
    pub locking: Locking,
}

/// Removes one with its state. What the state still has would be forgotten, so that takes force.
pub async fn delete(host: &Arc<Host>, root: &Root, gone: &GoneWorkspace) -> Result<()> {
    let GoneWorkspace { name, is_forced, locking } = gone;
    let name = &**name;
    if name == DEFAULT_WORKSPACE {
        refuse!("the workspace {name:?} is always there");
    }
    if workspace::selected(host, root)? == name {
        let select = host.watch.command("workspace select default");
        refuse!("{name:?} is the selected workspace; select another one first: `{select}`");
    }
    if !list(host, root).await?.iter().any(|known| known == name) {
        refuse!("there is no workspace {name:?}");
    }
    let is_agreed = |state: &State| {
        if !state.is_empty() && !*is_forced {
            let count = state.instances.len();
            let objects = if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
            refuse!(
                "the state of {name:?} has {objects}: destroy them first. -force forgets them, and what exists goes on without anybody who manages it"
            );
        }
        Ok(())
    };
    used(host, root)?
        .state(host, root, name)?
        .sealed(seal_of(host, root)?)
        .locking(*locking)
        .delete(host, is_agreed)
        .await
}
