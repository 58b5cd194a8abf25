//! Running tests of modules (`compiler::testing` reads them): each run plans or applies, and what must hold is decided
//! with everything that was evaluated.
//!
//! The verdicts are Terraform's: an assertion that does not hold fails its run and the next one goes on; anything else
//! that goes wrong is an error, and the runs after it are skipped. What was applied is removed in the end, the latest
//! first, whatever became of the runs.

mod idle;
mod program;
mod snapshot;
mod substitute;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use compiler::addr::ProviderSource;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::evaluation::{Input, RunOutputs, Verdict};
use compiler::program::Program;
use compiler::source::{SourceLoader, SourceMap, join_path};
use compiler::surroundings::Surroundings;
use compiler::syntax::ast::Attribute;
use compiler::testing::{Command, TestFile, TestRun, TestScope};
use compiler::text::Text;
use compiler::{Evaluation, Inputs};
use indexmap::IndexMap;
use tokio::sync::watch;
use value::Value;

use crate::event::Events;
use crate::host::providers::{Launcher, Providers};
use crate::plan::show::{ShowOptions, show};
use crate::plan::{self, Goal, Plan, PlanOptions, Refresh};
use crate::run::{Run, host_diagnostics};
use crate::state::store::Store;
use crate::{apply, state::State};

use idle::Idle;
pub use snapshot::Snapshot;

/// What all test files of a module have in common.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "holds a loader, which need not be printable")]
pub struct Tester {
    pub program: Arc<Program>,
    pub loader: Arc<dyn SourceLoader>,
    pub surroundings: Surroundings,
    pub launcher: Arc<dyn Launcher>,
    /// Starts providers that only simulate: what snapshots are made with, so that they are the same everywhere.
    pub simulator: Arc<dyn Launcher>,
    /// As for a plan: the environment, files of values, the command line. A test's own are stronger.
    pub inputs: Inputs,
    pub parallelism: usize,
    pub events: Events,
    pub cancelled: watch::Receiver<bool>,
    /// The folder for the states of what is applied; made when there is one.
    pub scratch: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Skip,
    Pass,
    Fail,
    Error,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Skip => "skip",
            Status::Pass => "pass",
            Status::Fail => "fail",
            Status::Error => "error",
        }
    }
}

/// The command that removes what a test has left.
pub fn removal(scratch: &Path) -> String {
    let name = scratch.file_name().unwrap_or_default().display();
    format!(
        "to remove what it made: LAMPWRIGHT_TEST={name} lampwright destroy -state={}/0.tfstate; and so with 1.tfstate, .. if runs had states of their own",
        scratch.display()
    )
}

/// What became of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub status: Status,
    pub diags: Diagnostics,
    pub elapsed: Duration,
    /// What it planned, if it is to be compared.
    pub snapshot: Option<Snapshot>,
    /// As text.
    pub plan: Option<Text>,
}

impl Outcome {
    fn new(status: Status) -> Outcome {
        Outcome { status, diags: Diagnostics::default(), elapsed: Duration::ZERO, snapshot: None, plan: None }
    }

    fn error(diags: Diagnostics) -> Outcome {
        Outcome { diags, ..Outcome::new(Status::Error) }
    }
}

/// A state that runs share, and the last run that changed it: its configuration removes what is in it.
struct Shared {
    store: Store,
    last: Option<Run>,
}

/// A test file that is being run.
#[expect(missing_debug_implementations, reason = "holds a loader, which need not be printable")]
pub struct Running<'t> {
    tester: &'t Tester,
    file: &'t TestFile,
    states: IndexMap<String, Shared>,
    outputs: RunOutputs,
    idle: Arc<Idle>,
    /// An error stopped the file.
    is_over: bool,
}

impl<'t> Running<'t> {
    pub fn new(tester: &'t Tester, file: &'t TestFile) -> Running<'t> {
        let idle = Idle::new(tester.launcher.clone());
        Running { tester, file, states: IndexMap::new(), outputs: RunOutputs::default(), idle, is_over: false }
    }

    pub async fn run(&mut self, test: &TestRun, sources: &mut SourceMap) -> Outcome {
        if self.is_over {
            return Outcome::new(Status::Skip);
        }
        if *self.tester.cancelled.borrow() {
            self.is_over = true;
            let label = "the tests were stopped; what they had made was removed";
            return Outcome::error(Diagnostics(vec![Diagnostic::error("interrupted", label)]));
        }
        let started = Instant::now();
        let mut outcome = match Box::pin(self.execute(test, sources)).await {
            Ok(outcome) => outcome,
            Err(diags) => Outcome::error(diags),
        };
        outcome.elapsed = started.elapsed();
        self.is_over = outcome.status == Status::Error;
        outcome
    }

    async fn execute(&mut self, test: &TestRun, sources: &mut SourceMap) -> Result<Outcome, Diagnostics> {
        let mut outcome = Outcome::new(Status::Pass);
        let (base, diags) = program::of_run(&self.tester.program, test, &*self.tester.loader, sources);
        outcome.diags.extend(diags);
        if outcome.diags.has_errors() {
            return Err(outcome.diags);
        }
        let inputs = self.inputs(&base, test, &mut outcome.diags)?;
        let substitution = program::substitute(base, self.file, test, &*self.tester.loader, sources, &self.outputs)?;
        outcome.diags.extend(substitution.warnings.clone());
        // A state of its own for every module, whichever way its folder is written.
        let key = test.state_key.clone().or_else(|| test.module.as_ref().map(|(source, _)| join_path(".", source)));
        let key = key.unwrap_or_default();
        // Before anything is applied: the snapshot is of what the run plans.
        let state = self.states.get(&key).map(|shared| shared.store.state().clone()).unwrap_or_default();
        let run = self.prepare(self.idle.clone(), &inputs, &substitution, &state).await?;
        outcome.diags.extend(substitution.unknown_attributes(run.providers.schemas()));
        if test.snapshot && !state.instances.is_empty() {
            let label = "a snapshot is of a plan from nothing, and an earlier run has applied something";
            let diagnostic = Diagnostic::error("snapshot of a change", label).at(test.span);
            return Err(Diagnostics(vec![
                diagnostic.note("give this run a `state_key` of its own, or move it before the apply"),
            ]));
        }
        let decided = self.plan_and_apply(&run, &key, &state, test, &mut outcome, sources).await;
        run.providers.shutdown().await;
        decided?;
        if test.snapshot && test.expect_failures.is_empty() {
            let simulated = self.prepare(self.tester.simulator.clone(), &inputs, &substitution, &state).await?;
            let taken = Snapshot::take(&simulated, &state, test).await;
            simulated.providers.shutdown().await;
            outcome.snapshot = Some(taken?);
        }
        Ok(outcome)
    }

    /// Values for the variables of a module: the tester's, the file's, the run's, the strongest last.
    fn inputs(&self, program: &Program, test: &TestRun, diags: &mut Diagnostics) -> Result<Inputs, Diagnostics> {
        let declared = &program.root().variables;
        let mut inputs = Inputs::default();
        let mut values: IndexMap<Arc<str>, Value> = IndexMap::new();
        for (name, value) in self.tester.inputs.iter() {
            values.insert(name.clone(), value.clone());
            if declared.contains_key(name) {
                inputs.set(name.clone(), Input { value: value.clone(), span: None });
            }
        }
        let mut found = Diagnostics::default();
        let mut give = |attribute: &Attribute, values: &mut IndexMap<Arc<str>, Value>| {
            let scope = TestScope { loader: &*self.tester.loader, variables: values, runs: &self.outputs };
            let value = compiler::lang::eval::evaluate(&attribute.expr, &scope, &mut found);
            let name = &attribute.name.name;
            values.insert(name.clone(), value.clone());
            if declared.contains_key(name) {
                inputs.set(name.clone(), Input { value, span: Some(attribute.expr.span) });
            }
        };
        self.file.variables.iter().for_each(|attribute| give(attribute, &mut values));
        test.variables.iter().for_each(|attribute| give(attribute, &mut values));
        for attribute in test.variables.iter().filter(|attribute| !declared.contains_key(&attribute.name.name)) {
            let name = &attribute.name.name;
            let label = format!("the module that is tested has no variable `{name}`");
            let warning = Diagnostic::warning("unknown variable", label).at(attribute.name.span);
            diags.push(warning.suggest(name, declared.keys().map(|name| &**name)));
        }
        if found.has_errors() { Err(found) } else { Ok(inputs) }
    }

    async fn prepare(
        &self,
        launcher: Arc<dyn Launcher>,
        inputs: &Inputs,
        substitution: &program::Substitution,
        state: &State,
    ) -> Result<Run, Diagnostics> {
        let program::Substitution { program, by_provider, everywhere, .. } = substitution.clone();
        let providers = Providers::start(launcher, sources(&program, state)).await;
        let providers = providers.map_err(|error| host_diagnostics(&error, None))?;
        let idle = self.idle.clone();
        let wrap = move |addr: &compiler::addr::ProviderAddr, inner| {
            let substitutes = by_provider.get(addr).unwrap_or(&everywhere).clone();
            let (source, idle) = (addr.source.clone(), idle.clone());
            Arc::new(substitute::Substituted { inner, source, substitutes, idle }) as Arc<dyn crate::host::Provider>
        };
        Ok(Run {
            program,
            loader: self.tester.loader.clone(),
            surroundings: self.tester.surroundings.clone(),
            inputs: inputs.clone(),
            providers: Arc::new(providers.wrapped(Arc::new(wrap))),
            parallelism: self.tester.parallelism,
            events: self.tester.events.clone(),
            cancelled: self.tester.cancelled.clone(),
        })
    }

    async fn plan_and_apply(
        &mut self,
        run: &Run,
        key: &str,
        state: &State,
        test: &TestRun,
        outcome: &mut Outcome,
        sources: &mut SourceMap,
    ) -> Result<(), Diagnostics> {
        let mut expected = Expected::read(test, sources)?;
        let refresh = if test.refresh { Refresh::Everything } else { Refresh::InDoubt };
        let options = PlanOptions::new(Goal::Configuration, refresh);
        let (plan, evaluation, diags) = plan::evaluate(run, state, &options).await;
        outcome.diags.extend(expected.take(diags));
        if outcome.diags.has_errors() {
            return Err(std::mem::take(&mut outcome.diags));
        }
        outcome.plan = Some(show(&plan, &test.name.name, &ShowOptions::default()));
        let evaluation = match test.command {
            Command::Plan => evaluation,
            Command::Apply if expected.has_met() => {
                let label = "this failed already in the plan, so nothing could be applied";
                let diagnostic = Diagnostic::error("expected failure while planning", label).at(test.span);
                return Err(Diagnostics(vec![diagnostic.note("run it with `command = plan`")]));
            }
            Command::Apply => {
                let (evaluation, diags) = self.apply(run, key, &plan).await?;
                outcome.diags.extend(expected.take(diags));
                if outcome.diags.has_errors() {
                    return Err(std::mem::take(&mut outcome.diags));
                }
                evaluation
            }
        };
        let missing = expected.missing();
        if missing.has_errors() {
            return Err(missing);
        }
        // Earlier runs, and this one.
        let mut outputs = self.outputs.clone();
        outputs.insert(test.name.name.clone(), evaluation.output_object());
        self.outputs = outputs;
        self.decide(test, &evaluation, outcome, sources)
    }

    fn decide(
        &self,
        test: &TestRun,
        evaluation: &Evaluation,
        outcome: &mut Outcome,
        sources: &mut SourceMap,
    ) -> Result<(), Diagnostics> {
        let mut errors = Diagnostics::default();
        for condition in &test.asserts {
            match evaluation.decide(condition, &self.outputs, sources) {
                Verdict::Holds => {}
                Verdict::Fails(diagnostic) => {
                    outcome.status = Status::Fail;
                    outcome.diags.push(diagnostic);
                }
                Verdict::Errors(found) => errors.extend(found),
            }
        }
        if errors.has_errors() {
            errors.extend(std::mem::take(&mut outcome.diags));
            return Err(errors);
        }
        Ok(())
    }

    async fn apply(&mut self, run: &Run, key: &str, plan: &Plan) -> Result<(Evaluation, Diagnostics), Diagnostics> {
        if !self.states.contains_key(key) {
            let scratch = &self.tester.scratch;
            std::fs::create_dir_all(scratch).map_err(|error| failed(&format!("{}: {error}", scratch.display())))?;
            let path = scratch.join(format!("{}.tfstate", self.states.len()));
            let store = Store::open(&path, "test", &Arc::default()).map_err(|error| failed(&error.to_string()))?;
            self.states.insert(key.to_owned(), Shared { store, last: None });
        }
        // The latest is removed first.
        let index = self.states.get_index_of(key).expect("it was just put there");
        self.states.move_index(index, self.states.len() - 1);
        let shared = self.states.get_mut(key).expect("it was just put there");
        shared.last = Some(run.clone());
        let (_, evaluation, diags) = apply::evaluate(run, &mut shared.store, plan).await;
        Ok((evaluation, diags))
    }

    /// Removes everything that was applied. What could not be removed is told, with where its state is.
    pub async fn clean_up(&mut self) -> Diagnostics {
        let mut diags = Diagnostics::default();
        while let Some((_, mut shared)) = self.states.pop() {
            let Some(last) = shared.last.take().filter(|_| !shared.store.state().is_empty()) else {
                continue;
            };
            let found = self.remove(last, &mut shared.store).await;
            let left: Vec<String> = shared.store.state().instances.keys().map(ToString::to_string).collect();
            if found.has_errors() || !left.is_empty() {
                diags.extend(found);
                let label = format!("what this test has made could not all be removed: {}", left.join(", "));
                diags.push(Diagnostic::error("something is left", label).note(removal(&self.tester.scratch)));
            }
        }
        self.idle.end().await;
        diags
    }

    async fn remove(&self, last: Run, store: &mut Store) -> Diagnostics {
        let sources = sources(&last.program, store.state());
        let providers = match Providers::start(self.idle.clone(), sources).await {
            Ok(providers) => providers,
            Err(error) => return host_diagnostics(&error, None),
        };
        // A user who stops the tests still wants nothing left behind.
        let (keep, cancelled) = watch::channel(false);
        let providers = Arc::new(providers.wrapped_like(&last.providers));
        let run = Run { providers, cancelled, ..last };
        let options = PlanOptions::new(Goal::Nothing, Refresh::Everything);
        let state: State = store.state().clone();
        let (plan, mut diags) = plan::plan(&run, &state, &options).await;
        if !diags.has_errors() {
            diags.extend(apply::apply(&run, store, &plan).await.1);
        }
        run.providers.shutdown().await;
        drop(keep);
        diags
    }
}

/// The providers of a program and of what a state has: a run of another module may have made that.
fn sources(program: &Program, state: &State) -> Vec<ProviderSource> {
    let required = program.requirements().into_iter().map(|requirement| requirement.source);
    let recorded = state.instances.values().chain(state.deposed.values()).chain(state.unfinished.values());
    let recorded = recorded.map(|instance| instance.provider.source.clone());
    required.chain(recorded).collect::<BTreeSet<_>>().into_iter().collect()
}

fn failed(reason: &str) -> Diagnostics {
    Diagnostics(vec![Diagnostic::error("the test's state cannot be kept", reason)])
}

/// Failures that a run asks for: each has to come, and no other.
struct Expected {
    /// What it is called, where it is asked for, and whether it came.
    subjects: Vec<(String, compiler::source::Span, bool)>,
}

impl Expected {
    fn read(test: &TestRun, sources: &SourceMap) -> Result<Expected, Diagnostics> {
        let mut diags = Diagnostics::default();
        let mut subjects = Vec::new();
        for expr in &test.expect_failures {
            match expr.as_dotted() {
                Some(names) if names.len() >= 2 => {
                    subjects.push((sources.text(expr.span).to_owned(), expr.span, false));
                }
                _ => {
                    let label = "var.name, output.name or type.name of the root module is required here";
                    diags.push(Diagnostic::error("invalid reference", label).at(expr.span));
                }
            }
        }
        if diags.has_errors() { Err(diags) } else { Ok(Expected { subjects }) }
    }

    /// What is left when the expected failures are taken out.
    fn take(&mut self, diags: Diagnostics) -> Diagnostics {
        let mut rest = Diagnostics::default();
        for diagnostic in diags.0 {
            let met = self.subjects.iter_mut().find(|(subject, ..)| diagnostic.subject.as_deref() == Some(subject));
            match met {
                Some((.., has_come)) if diagnostic.is_error() => *has_come = true,
                _ => rest.push(diagnostic),
            }
        }
        rest
    }

    fn has_met(&self) -> bool {
        self.subjects.iter().any(|(.., has_come)| *has_come)
    }

    fn missing(&self) -> Diagnostics {
        let missing = self.subjects.iter().filter(|(.., has_come)| !has_come);
        let missing = missing.map(|(subject, span, _)| {
            let label = format!("{subject} was expected to fail, and did not");
            Diagnostic::error("missing expected failure", label).at(*span)
        });
        Diagnostics(missing.collect())
    }
}
