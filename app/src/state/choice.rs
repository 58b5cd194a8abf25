//! Which state a stack has: what its `backend` block says, and what was used before.
//!
//! What a command uses is remembered in `.lampwright/backend.json`, so that one that does not read the stack finds it, too, and that a
//! block that has changed does not lead to an empty state in silence.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use backends::DEFAULT_WORKSPACE;
use compiler::Inputs;
use compiler::backend;
use compiler::diag::{Diagnostic, Diagnostics};
use engine::state::private;
use engine::state::seal::Seal;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use value::codec::json;

use super::{Place, StateAt};
use crate::failure::{Failure, Result, refuse};
use crate::host::Host;
use crate::root::{DATA, Root};
use crate::stack::Stack;
use crate::workspace;

/// The backend of a stack without a block.
const LOCAL: &str = "local";

/// A backend and its settings, as they were used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    version: u32,
    pub kind: String,
    /// Where the state of the workspace is that everybody has, as people know it, and what tells that from every other place: settings
    /// may come from the environment, and one that has changed may lead to the same place (a password).
    pub at: String,
    place: String,
    /// What the block says.
    block: Vec<(String, Json)>,
    /// What `init -backend-config` has said besides; it is stronger.
    given: Vec<(String, Json)>,
}

impl Remembered {
    const VERSION: u32 = 2;

    fn local() -> Remembered {
        Remembered {
            version: Remembered::VERSION,
            kind: LOCAL.to_owned(),
            at: workspace::STATE.to_owned(),
            place: workspace::STATE.to_owned(),
            block: Vec::new(),
            given: Vec::new(),
        }
    }

    /// Whether it leads to the same states as the other.
    pub(crate) fn is_same_place(&self, other: &Remembered) -> bool {
        self.kind == other.kind && self.place == other.place
    }

    /// Fails where its settings do not lead any more to where they did: some come from the environment.
    pub(crate) fn check_place(&self, host: &Host, root: &Root) -> Result<()> {
        let now = self.state(host, root, DEFAULT_WORKSPACE)?;
        if now.identity(root) != self.place {
            refuse!(
                "the state was in {}, and what the environment says now leads to {}; set it as it was then, and do this again",
                self.at,
                now.shown()
            );
        }
        Ok(())
    }

    fn path(root: &Root) -> PathBuf {
        root.at(Path::new(DATA).join("backend.json"))
    }

    /// As `state`, of a workspace that somebody has made.
    fn usable(&self, host: &Host, root: &Root, workspace: &str) -> Result<StateAt> {
        if self.kind == LOCAL {
            workspace::refuse_missing(host, root, workspace)?;
        }
        self.state(host, root, workspace)
    }

    /// Those that have a state, without the one that everybody has.
    pub(crate) async fn workspaces(&self, host: &Host, root: &Root) -> Result<Vec<String>> {
        match self.state(host, root, DEFAULT_WORKSPACE)?.place {
            Place::File(_) => Ok(workspace::local(root)?),
            Place::Backend(remote) => Ok(remote.backend.workspaces().await?),
        }
    }

    /// From now on it is what was used before. Of a stack that has its state beside it nothing has to be known.
    pub(crate) fn remember(&self, root: &Root) -> anyhow::Result<()> {
        if self.kind != LOCAL || Remembered::path(root).exists() {
            return self.write(root);
        }
        Ok(())
    }

    pub(crate) fn read(root: &Root) -> anyhow::Result<Option<Remembered>> {
        let path = Remembered::path(root);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let remembered: Remembered =
            serde_json::from_str(&text).with_context(|| format!("{} is damaged; remove it", path.display()))?;
        if remembered.version != Remembered::VERSION {
            bail!(
                "{} is of another version of lampwright ({}, this one has {}); remove it, and run init",
                path.display(),
                remembered.version,
                Remembered::VERSION
            );
        }
        Ok(Some(remembered))
    }

    /// It may hold secrets.
    fn write(&self, root: &Root) -> anyhow::Result<()> {
        let path = Remembered::path(root);
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let text = serde_json::to_string_pretty(self)?;
        private::replace(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The state of a workspace.
    pub(crate) fn state(&self, host: &Host, root: &Root, workspace: &str) -> Result<StateAt> {
        let stronger = |name: &String| self.given.iter().any(|(given, _)| given == name);
        let values = self.block.iter().filter(|(name, _)| !stronger(name)).chain(&self.given);
        let values: Vec<_> = values.map(|(name, value)| (name.clone(), json::decode_plain(value))).collect();
        if self.kind == LOCAL {
            if let Some((name, _)) = values.first() {
                refuse!(
                    "the backend local has no setting {name:?} here: its state is terraform.tfstate, and -state names another file"
                );
            }
            return Ok(StateAt::file(root.at(workspace::path(workspace))));
        }
        let variable = |name: &str| host.environment.text(name);
        let backend = backends::connect(&self.kind, &values, &variable, workspace)?;
        Ok(StateAt::backend(root, backend, workspace))
    }
}

/// What a stack says of its state, beside what was used before.
#[derive(Debug)]
pub struct Chosen {
    pub now: Remembered,
    /// None if nothing was used yet, and there is no file of a state.
    pub before: Option<Remembered>,
}

impl Chosen {
    pub fn has_changed(&self) -> bool {
        self.before.as_ref().is_some_and(|before| !before.is_same_place(&self.now))
    }

    /// Goes on with it, by the settings that it has now.
    pub(crate) fn remember(&self, root: &Root) -> anyhow::Result<()> {
        if self.before.as_ref() == Some(&self.now) { Ok(()) } else { self.now.remember(root) }
    }
}

/// `given` is what `-backend-config` says; none leaves what it has said before.
pub fn chosen(stack: &Stack, inputs: &Inputs, given: Option<Vec<(String, Json)>>) -> Result<Chosen> {
    let settings = match backend::settings(&stack.program, inputs, &*stack.loader) {
        Ok(settings) => settings,
        Err(diags) => {
            stack.tell(&diags)?;
            None
        }
    };
    let root = &stack.root;
    let remembered = Remembered::read(root)?;
    let mut now = Remembered::local();
    if let Some(settings) = &settings {
        now.kind = settings.kind.to_string();
        now.block =
            settings.values.iter().map(|(name, (value, _))| (name.to_string(), json::encode_plain(value))).collect();
        let same = remembered.as_ref().filter(|before| before.kind == now.kind);
        now.given = given.or_else(|| same.map(|before| before.given.clone())).unwrap_or_default();
        let tried = now.state(&stack.host, root, DEFAULT_WORKSPACE);
        // A setting that is not right is told at its place.
        if let Err(Failure::Error(error)) = &tried
            && let Some(backends::BackendError::Setting { name, reason }) = error.downcast_ref()
        {
            let span = settings.values.get(name.as_str()).map_or(settings.span, |(_, span)| *span);
            let diagnostic = Diagnostic::error("invalid backend", reason.clone()).at(span);
            stack.tell(&Diagnostics(vec![diagnostic]))?;
        }
        let tried = tried?;
        (now.at, now.place) = (tried.shown(), tried.identity(root));
    } else if given.is_some_and(|given| !given.is_empty()) {
        refuse!("-backend-config is for a backend, and the stack has no block: terraform {{ backend \"s3\" {{ }} }}");
    }
    let before = match remembered {
        Some(before) => Some(before),
        // A state that was here before the block.
        None if now.kind != LOCAL && has_local(root)? => Some(Remembered::local()),
        None => None,
    };
    Ok(Chosen { now, before })
}

/// What was used last. Where nothing was, as in a fresh clone, a stack with a backend has to be set up first: what is here is not
/// its state.
pub(crate) fn used(host: &Arc<Host>, root: &Root) -> Result<Remembered> {
    if let Some(remembered) = Remembered::read(root)? {
        return Ok(remembered);
    }
    let (stack, _) = Stack::read(host, root);
    match &stack.program.root().backend {
        Some(backend) if &*backend.kind.name != LOCAL => {
            let init = host.watch.command("init");
            refuse!(
                "the stack says that its state is in a backend ({}), which was not used here yet; run: {init}",
                backend.kind.name
            )
        }
        _ => Ok(Remembered::local()),
    }
}

/// Of the state of a folder, for who does not read the stack: its variables have the values that they have without flags.
pub(crate) fn seal_of(host: &Arc<Host>, root: &Root) -> Result<Arc<Seal>> {
    let (mut stack, diags) = Stack::read(host, root);
    if diags.has_errors() && stack.mentions_encryption() {
        // Half of what it says would be taken for nothing.
        stack.tell(&diags)?;
    }
    if !stack.says_encryption() {
        return Ok(Arc::default());
    }
    let inputs = stack.inputs(&[])?;
    Ok(Arc::new(Seal::new(stack.encryption(&inputs)?.state)))
}

impl Stack {
    /// The state that this stack has, in the selected workspace; `given` names a file instead.
    pub fn state(&self, inputs: &Inputs, given: Option<&Path>) -> Result<StateAt> {
        let workspace = self.workspace()?;
        let seal = Arc::new(Seal::new(self.encryption(inputs)?.state));
        let chosen = chosen(self, inputs, None)?;
        if let Some(before) = chosen.before.as_ref().filter(|_| chosen.has_changed()) {
            refuse!(
                "the stack says that its state is in {}, and it was in {}. `{}` brings it there; `{}` leaves it where it is",
                chosen.now.at,
                before.at,
                self.host.watch.command("init -migrate-state"),
                self.host.watch.command("init -reconfigure"),
            );
        }
        if let Some(path) = given {
            if chosen.now.kind != LOCAL {
                refuse!(
                    "-state names a file, and the state of this stack is in {}",
                    chosen.now.state(&self.host, &self.root, &workspace)?.shown()
                );
            }
            return Ok(StateAt::file(self.root.at(path)).sealed(seal));
        }
        chosen.remember(&self.root)?;
        Ok(chosen.now.usable(&self.host, &self.root, &workspace)?.sealed(seal))
    }
}

fn has_local(root: &Root) -> anyhow::Result<bool> {
    Ok(root.at(workspace::STATE).exists() || !workspace::local(root)?.is_empty())
}

/// Another file, encrypted as the state of this folder is.
pub fn beside(host: &Arc<Host>, root: &Root, path: &Path) -> Result<StateAt> {
    Ok(StateAt::file(root.at(path)).sealed(seal_of(host, root)?))
}

/// Whether a file has a state, and no plan or anything else.
pub fn is_state(root: &Root, path: &Path) -> bool {
    let text = std::fs::read(root.at(path)).unwrap_or_default();
    serde_json::from_slice::<Json>(&text).is_ok_and(|document| document.get("lineage").is_some())
}

/// The state that was used last, for who does not read the stack; `given` names a file instead.
pub fn last(host: &Arc<Host>, root: &Root, given: Option<&Path>) -> Result<StateAt> {
    let remembered = used(host, root)?;
    let workspace = workspace::selected(host, root)?;
    let seal = seal_of(host, root)?;
    match given {
        Some(path) if remembered.kind == LOCAL => Ok(StateAt::file(root.at(path)).sealed(seal)),
        Some(_) => {
            let at = remembered.state(host, root, &workspace)?;
            refuse!("-state names a file, and the state of this stack is in {}", at.shown())
        }
        None => Ok(remembered.usable(host, root, &workspace)?.sealed(seal)),
    }
}
