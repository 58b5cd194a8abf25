//! What a case runs on: a stack in memory, a fake provider, a state on a real disk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use compiler::Inputs;
use compiler::diag::{Diagnostics, render::render};
use compiler::evaluation::Input;
use compiler::program;
use compiler::source::{MemoryLoader, SourceMap};
use compiler::surroundings::Surroundings;
use engine::apply::{self, Summary};
use engine::host::fake::{FakeLauncher, FakeProvider};
use engine::host::providers::Providers;
use engine::plan::show::{ShowOptions, show};
use engine::plan::{self, Goal, Plan, PlanOptions, Refresh};
use engine::run::Run;
use engine::state::store::Store;
use tokio::sync::{mpsc, watch};
use value::schema::{Attribute, Block, NestedBlock, Nesting, Schema};
use value::{Ty, Value};

pub(crate) struct Bed {
    pub(crate) provider: FakeProvider,
    pub(crate) folder: tempfile::TempDir,
    inputs: Inputs,
}

pub(crate) struct Applied {
    pub(crate) calls: Vec<String>,
    pub(crate) summary: Summary,
    pub(crate) errors: String,
    /// Of the plan.
    pub(crate) warnings: String,
}

/// `thing`: `name` and `size` to set, `id` computed, `secret` sensitive, `refers` for references.
fn thing() -> Schema {
    let attributes = BTreeMap::from([
        ("id".into(), Attribute::computed(Ty::String, "")),
        ("name".into(), Attribute::optional(Ty::String, "")),
        ("refers".into(), Attribute::optional(Ty::String, "")),
        ("secret".into(), Attribute::optional(Ty::String, "").sensitive()),
        ("size".into(), Attribute::optional(Ty::Number, "")),
    ]);
    Schema { version: 0, block: Block { attributes, ..Block::default() } }
}

/// `tagged`: besides, `tags` is a map, `any` of any type, and there are `rule` blocks.
fn tagged() -> Schema {
    let mut attributes = thing().block.attributes;
    attributes.insert("tags".into(), Attribute::optional(Ty::map(Ty::String), ""));
    attributes.insert("any".into(), Attribute::optional(Ty::Dynamic, ""));
    let rule = BTreeMap::from([
        ("labels".into(), Attribute::optional(Ty::map(Ty::String), "")),
        ("port".into(), Attribute::optional(Ty::Number, "")),
    ]);
    let block = Block { attributes: rule, ..Block::default() };
    let rule = NestedBlock { block, nesting: Nesting::List, min_items: 0, max_items: 0 };
    let blocks = BTreeMap::from([("rule".into(), rule)]);
    Schema { version: 0, block: Block { attributes, blocks, ..Block::default() } }
}

fn types() -> BTreeMap<&'static str, Schema> {
    BTreeMap::from([("tagged", tagged()), ("thing", thing())])
}

impl Bed {
    pub(crate) fn new() -> Bed {
        Bed {
            provider: FakeProvider::new(types()),
            folder: tempfile::tempdir().expect("a folder"),
            inputs: Inputs::default(),
        }
    }

    /// For the next run, a provider that modules tell their `module`.
    pub(crate) fn takes_meta(&mut self) {
        let attributes = BTreeMap::from([("module".into(), Attribute::required(Ty::String, ""))]);
        let schema = Schema { version: 0, block: Block { attributes, ..Block::default() } };
        self.provider = FakeProvider::new(types()).with_meta(schema);
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.inputs.set(name, Input { value: value.into(), span: None });
    }

    pub(crate) fn state_path(&self) -> PathBuf {
        self.folder.path().join("terraform.tfstate")
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.state_path(), "test", &Arc::default()).expect("the state opens")
    }

    pub(crate) async fn run(self: &mut Bed, text: &str) -> (Run, SourceMap) {
        let mut loader = MemoryLoader::default();
        // `### path` begins another file.
        let mut path = "main.stack.hcl".to_owned();
        for part in text.split_inclusive('\n') {
            match part.strip_prefix("### ") {
                Some(next) => next.trim().clone_into(&mut path),
                None => loader.files.entry(path.clone()).or_default().extend_from_slice(part.as_bytes()),
            }
        }
        let mut sources = SourceMap::default();
        let (program, diags) = program::load(".", &loader, &mut sources);
        assert!(!diags.has_errors(), "{}", render(&diags, &sources));
        let provider = std::mem::replace(&mut self.provider, FakeProvider::new(types()));
        let launcher = Arc::new(FakeLauncher(Arc::new(provider)));
        let wanted = program.requirements().into_iter().map(|requirement| requirement.source).collect();
        let providers = Providers::start(launcher, wanted).await.expect("a fake starts");
        let (events, _) = mpsc::unbounded_channel();
        let (_keep, cancelled) = watch::channel(false);
        let run = Run {
            program: Arc::new(program),
            loader: Arc::new(loader),
            surroundings: Surroundings::at(&self.folder.path().display().to_string()),
            inputs: self.inputs.clone(),
            providers: Arc::new(providers),
            parallelism: 4,
            events,
            cancelled,
        };
        (run, sources)
    }

    /// Plans and shows the plan, or the errors.
    pub(crate) async fn plan(&mut self, text: &str) -> String {
        let (run, sources) = self.run(text).await;
        let (plan, diags) = plan_for(&run, &self.store(), Goal::Configuration).await;
        shown(&plan, &diags, &sources)
    }

    pub(crate) async fn apply(&mut self, text: &str) -> Applied {
        self.apply_goal(text, Goal::Configuration).await
    }

    pub(crate) async fn apply_goal(&mut self, text: &str, goal: Goal) -> Applied {
        self.apply_with(text, goal, |_| {}).await
    }

    /// `meanwhile` comes between plan and apply.
    pub(crate) async fn apply_with(&mut self, text: &str, goal: Goal, meanwhile: impl FnOnce(&Bed)) -> Applied {
        let calls = self.provider.calls.clone();
        let (run, sources) = self.run(text).await;
        let mut store = self.store();
        let (plan, diags) = plan_for(&run, &store, goal).await;
        assert!(!diags.has_errors(), "{}", render(&diags, &sources));
        let warnings = render(&diags, &sources);
        calls.lock().expect("calls").clear();
        meanwhile(self);
        let (summary, diags) = apply::apply(&run, &mut store, &plan).await;
        let calls =
            calls.lock().expect("calls").iter().filter(|call| !call.starts_with("configure")).cloned().collect();
        Applied { calls, summary, errors: render(&diags, &sources), warnings }
    }

    /// What the state file says: addresses, with their marks of trouble.
    pub(crate) fn state(&self) -> Vec<String> {
        let store = self.store();
        let state = store.state();
        let instances = state
            .instances
            .iter()
            .map(|(addr, instance)| format!("{addr}{}", if instance.tainted { " tainted" } else { "" }));
        instances.chain(state.deposed.keys().map(|(addr, _)| format!("{addr} deposed"))).collect()
    }

    #[track_caller]
    pub(crate) fn assert_state(&self, expected: &[&str]) {
        assert_eq!(self.state(), expected);
    }
}

pub(crate) async fn plan_for(run: &Run, store: &Store, goal: Goal) -> (Plan, Diagnostics) {
    plan::plan(run, store.state(), &PlanOptions::new(goal, Refresh::Everything)).await
}

pub(crate) fn shown(plan: &Plan, diags: &Diagnostics, sources: &SourceMap) -> String {
    match diags.has_errors() {
        true => render(diags, sources),
        false => show(plan, "test", &ShowOptions::default()).to_string(),
    }
}

pub(crate) const NOTHING_TO_DO: &str = "No changes. What there is matches the configuration.\n";
