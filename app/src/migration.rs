//! From one place of a state to another.

use std::path::Path;

use anyhow::Context as _;
use backends::DEFAULT_WORKSPACE;
use compiler::lang::eval;
use compiler::source::SourceMap;
use compiler::{Inputs, syntax};
use serde_json::Value as Json;
use value::codec::json;

use crate::failure::{Result, refuse};
use crate::stack::Stack;
use crate::state::{Remembered, chosen};
use crate::surgery;

/// States that go from where they were to where the stack says.
#[derive(Debug)]
pub struct Migration {
    now: Remembered,
    before: Remembered,
    pub from: String,
    pub to: String,
    /// Those that have a state where they were.
    pub workspaces: Vec<String>,
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
pub async fn look(stack: &Stack, inputs: &Inputs, given: Option<Vec<(String, Json)>>) -> Result<Found> {
    let (host, root) = (&*stack.host, &stack.root);
    let chosen = chosen(stack, inputs, given)?;
    let shown = |one: &Remembered| Ok::<_, crate::failure::Failure>(one.state(host, root, DEFAULT_WORKSPACE)?.shown());
    let to = shown(&chosen.now)?;
    match chosen.before {
        Some(before) if before != chosen.now => {
            let from = shown(&before)?;
            let mut workspaces = Vec::new();
            for name in [DEFAULT_WORKSPACE.to_owned()].into_iter().chain(before.workspaces(host, root).await?) {
                if !before.state(host, root, &name)?.peek(host).await?.lineage.is_empty() {
                    workspaces.push(name);
                }
            }
            Ok(Found::Moved(Box::new(Migration { now: chosen.now, before, from, to, workspaces })))
        }
        Some(_) => Ok(Found::Same(to)),
        None => {
            chosen.now.remember(root)?;
            Ok(Found::Same(to))
        }
    }
}

impl Migration {
    /// Copies every state, and goes on with the new place. What was there before stays as it is. A state of another history at
    /// the new place is only replaced by force.
    pub async fn migrate(self, stack: &Stack, is_forced: bool) -> Result<()> {
        let (host, root) = (&*stack.host, &stack.root);
        for name in &self.workspaces {
            let source = self.before.state(host, root, name)?;
            let viewed = source.view(host, "init").await?;
            let target = self.now.state(host, root, name)?;
            let state = viewed.state().clone();
            let copied = surgery::replace(host, &target, state, &source.shown(), is_forced).await;
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
