//! The providers of a stack: who needs them, what they have, and packages of them for other machines.

mod lock;
mod mirror;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use compiler::addr::ProviderSource;
use compiler::diag::suggest::there_is;
use compiler::program::{ModuleId, Program};
use compiler::testing::TestFile;
use compiler::version::Constraints;
use serde_json::Value as Json;

use crate::failure::{Result, refuse};
use crate::stack::Stack;
use crate::state;
use crate::test;

pub use crate::plugins::Authority;
pub use lock::{LockRequest, LockedFor, lock};
pub use mirror::{MirrorRequest, Mirrored, mirror};

/// What a module needs of providers.
#[derive(Debug, Default)]
pub struct Needs {
    pub providers: BTreeMap<ProviderSource, Constraints>,
    /// Of runs of test files that test a module of their own, in their order.
    pub tests: BTreeMap<String, Vec<(Arc<str>, Needs)>>,
    /// Of the modules that it calls.
    pub modules: BTreeMap<Arc<str>, Needs>,
}

/// Who needs which providers: modules, and the test files here and in a folder.
pub fn needs(stack: &mut Stack, tests: &Path) -> Result<Needs> {
    let files = test::files(stack, tests)?;
    let mut needs = of_program(&stack.program);
    for (path, file) in files {
        needs.tests.insert(path, of_runs(stack, &file)?);
    }
    Ok(needs)
}

/// The providers of what exists.
pub async fn recorded(stack: &Stack) -> Result<BTreeSet<ProviderSource>> {
    let at = state::last(&stack.host, &stack.root, None)?.unlocked();
    Ok(at.peek(&stack.host).await?.providers())
}

/// What the providers of the stack and of what exists have, as a document for programs.
pub async fn schemas(stack: &Stack) -> Result<Json> {
    let at = state::last(&stack.host, &stack.root, None)?.unlocked();
    let state = at.peek(&stack.host).await?;
    Ok(schema::document(&*stack.schemas(&state).await?))
}

/// The providers that are meant: of the stack, and none that is built in.
fn asked_for(stack: &Stack, names: &[String]) -> Result<BTreeSet<ProviderSource>> {
    let requirements = stack.program.requirements().into_iter().map(|requirement| requirement.source);
    let all: BTreeSet<ProviderSource> = requirements.filter(|source| *source != ProviderSource::builtin()).collect();
    let mut asked_for = BTreeSet::new();
    for name in names {
        let Some(source) = ProviderSource::parse(name) else {
            refuse!("{name:?} is no provider; write it like hashicorp/aws")
        };
        if !all.contains(&source) {
            let known: Vec<String> = all.iter().map(ProviderSource::short).collect();
            refuse!("the stack does not need the provider {}. {}", source.short(), there_is(&known, "providers"));
        }
        asked_for.insert(source);
    }
    Ok(if names.is_empty() { all } else { asked_for })
}

/// What all modules say of a provider's version.
fn wanted(stack: &Stack, source: &ProviderSource) -> Constraints {
    let wanted = stack.program.wanted_versions().remove(source).unwrap_or_default();
    Constraints::of_provider(&wanted).unwrap_or_default()
}

fn check_platforms(names: &[String]) -> Result<Vec<String>> {
    for name in names {
        let parts: Vec<&str> = name.split('_').collect();
        let is_part = |part: &&str| !part.is_empty() && part.chars().all(|ch| ch.is_ascii_alphanumeric());
        if parts.len() != 2 || !parts.iter().all(is_part) {
            refuse!("{name:?} is no platform; write an operating system and an architecture, like linux_arm64");
        }
    }
    Ok(names.to_vec())
}

fn of_program(program: &Program) -> Needs {
    program.ids().next().map(|root| of_module(program, root)).unwrap_or_default()
}

fn of_module(program: &Program, id: ModuleId) -> Needs {
    let mut versions: BTreeMap<ProviderSource, Vec<String>> = BTreeMap::new();
    for requirement in program.required_by(id) {
        versions.entry(requirement.source).or_default().extend(requirement.version);
    }
    // One that cannot be read was told when the stack was read.
    let constraints = |texts: Vec<String>| Constraints::of_provider(&texts).unwrap_or_default();
    let children = program.module(id).children.iter();
    Needs {
        providers: versions.into_iter().map(|(source, texts)| (source, constraints(texts))).collect(),
        tests: BTreeMap::new(),
        modules: children.map(|(name, child)| (name.clone(), of_module(program, *child))).collect(),
    }
}

fn of_runs(stack: &Stack, file: &TestFile) -> Result<Vec<(Arc<str>, Needs)>> {
    let mut runs = Vec::new();
    for run in &file.runs {
        if let Some((folder, _)) = &run.module {
            let module = stack.module(folder.trim_end_matches('/'))?;
            runs.push((run.name.name.clone(), of_program(&module.program)));
        }
    }
    Ok(runs)
}
