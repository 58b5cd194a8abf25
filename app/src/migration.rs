//! From one place of a state to another.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use backends::DEFAULT_WORKSPACE;
use compiler::lang::eval;
use compiler::source::SourceMap;
use compiler::{Inputs, syntax};
use engine::state::seal::Seal;
use serde_json::Value as Json;
use value::codec::json;

use crate::failure::{Result, refuse};
use crate::host::Host;
use crate::stack::Stack;
use crate::state::{Locking, Remembered, StateAt, chosen};
use crate::surgery;

/// States that go from where they were to where the stack says.
#[derive(Debug)]
pub struct Migration {
    now: Remembered,
    before: Remembered,
    locking: Locking,
}

/// What `init` finds of the state.
#[derive(Debug)]
pub enum Found {
    /// As it was; where it is.
    Same(String),
    Moved(Box<Migration>),
}

/// Compares what the stack says with what was used before. Nothing is changed but that what is used for the first time is
/// remembered.
pub fn look(stack: &Stack, inputs: &Inputs, given: Option<Vec<(String, Json)>>) -> Result<Found> {
    let chosen = chosen(stack, inputs, given)?;
    if !chosen.has_changed() {
        chosen.remember(&stack.root)?;
    }
    Ok(match chosen.before {
        Some(before) if !before.is_same_place(&chosen.now) => {
            Found::Moved(Box::new(Migration { now: chosen.now, before, locking: Locking::default() }))
        }
        Some(_) | None => Found::Same(chosen.now.at),
    })
}

impl Migration {
    #[must_use]
    pub fn locking(self, locking: Locking) -> Migration {
        Migration { locking, ..self }
    }

    pub fn from(&self) -> &str {
        &self.before.at
    }

    pub fn to(&self) -> &str {
        &self.now.at
    }

    /// Those that have a state where they were.
    pub async fn workspaces(&self, stack: &Stack, inputs: &Inputs) -> Result<Vec<String>> {
        let (host, root) = (&*stack.host, &stack.root);
        let seal = Arc::new(Seal::new(stack.encryption(inputs)?.state));
        self.before.check_place(host, root)?;
        let mut workspaces = Vec::new();
        for name in [DEFAULT_WORKSPACE.to_owned()].into_iter().chain(self.before.workspaces(host, root).await?) {
            if !self.before.state(host, root, &name)?.sealed(seal.clone()).peek(host).await?.lineage.is_empty() {
                workspaces.push(name);
            }
        }
        Ok(workspaces)
    }

    /// Copies the states of workspaces, and goes on with the new place. What was there before stays as it is. Where one of them
    /// would replace a state at the new place that it does not go on from, none is copied.
    pub async fn migrate(self, stack: &Stack, inputs: &Inputs, workspaces: &[String]) -> Result<()> {
        let (host, root) = (&*stack.host, &stack.root);
        let seal = Arc::new(Seal::new(stack.encryption(inputs)?.state));
        let mut places = Vec::new();
        for name in workspaces {
            let from = self.before.state(host, root, name)?.sealed(seal.clone());
            let to = self.now.state(host, root, name)?.made_here().sealed(seal.clone());
            surgery::check_newer(&to.peek(host).await?, &from.peek(host).await?, &from.shown(), &cure(host, &to))?;
            places.push((from.locking(self.locking), to.locking(self.locking)));
        }
        for (from, to) in &places {
            let viewed = from.view(host, "init -migrate-state").await?;
            let (new, cure) = (viewed.state().clone(), cure(host, to));
            let copied = surgery::replace(host, to, new, &from.shown(), Some(&cure), "init -migrate-state").await;
            let closed = viewed.close().await;
            copied.and(closed)?;
        }
        self.leave(stack)
    }

    /// Goes on with the new place, whatever was at the old one.
    pub fn leave(self, stack: &Stack) -> Result<()> {
        Ok(self.now.remember(&stack.root)?)
    }
}

/// What can be done where a state would be replaced.
fn cure(host: &Host, to: &StateAt) -> String {
    let leave = host.watch.command("init -reconfigure");
    format!("`{leave}` goes on with what is in {}; or remove that first", to.shown())
}

/// Settings of a backend in a file, `name = "value"` each.
pub fn settings_file(path: &Path) -> Result<Vec<(String, Json)>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut sources = SourceMap::default();
    let file = sources.add(path.display().to_string(), text);
    let (body, mut diags) = syntax::parse_file(file, &sources);
    let mut settings = Vec::new();
    for attribute in &body.attributes {
        let value = eval::evaluate(&attribute.expr, &eval::NoScope, &mut diags);
        settings.push((attribute.name.name.to_string(), json::encode_plain(&value)));
    }
    match diags.0.iter().find(|diagnostic| diagnostic.is_error()) {
        Some(diagnostic) => refuse!("{}: {}: {}", path.display(), diagnostic.summary, diagnostic.label),
        None => Ok(settings),
    }
}
