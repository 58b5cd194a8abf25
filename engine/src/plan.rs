//! Planning: what there is, what shall be, and what to do about the difference.

mod deferral;
pub mod describe;
pub mod file;
pub(crate) mod ignore;
pub(crate) mod instance;
pub mod machines;
mod model;
pub mod moves;
mod observe;
mod orphans;
pub mod part;
mod refusals;
mod schemas;
pub mod show;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use compiler::addr::{InstanceAddr, Mode, ModulePath, ResourceAddr};
use compiler::config::DesiredInstance;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::source::Span;
use compiler::{Evaluation, Work};
use jiff::Timestamp;
pub use proto::preview;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use value::{Path, Value};

use crate::ephemeral::{self, Opened};
use crate::propose::unread;
use crate::run::Run;
use crate::state::{OutputState, State};

pub use crate::action::{Action, Reason};
use instance::{Outcome, Reading};
pub use model::{Adopted, Change, Deferral, Deposed, Goal, OutputChange, Plan, PlanOptions, Refresh};
use part::{LeftOut, Part};

/// Plans. The plan is whole only if the diagnostics hold no error.
pub async fn plan(run: &Run, state: &State, options: &PlanOptions) -> (Plan, Diagnostics) {
    let (plan, _, diags) = evaluate(run, state, options).await;
    (plan, diags)
}

/// As `plan`, with everything that was evaluated, for whoever has questions about it.
pub async fn evaluate(run: &Run, state: &State, options: &PlanOptions) -> (Plan, Evaluation, Diagnostics) {
    let (mut moves, diags) = moves::implied(&run.program, state);
    let unmoved = state;
    let mut moved;
    let mut state = if moves.is_empty() {
        state
    } else {
        moved = moves::moved(state, &moves);
        &moved
    };
    let planned_at = Timestamp::now();
    let mut evaluation = match options.goal {
        Goal::Nothing => run.lenient_evaluation(planned_at),
        Goal::Configuration | Goal::Record => run.evaluation(Some(planned_at)),
    };
    let part = match Part::of(&options.selection, options.goal, &evaluation, state) {
        Ok(part) => part,
        Err(diags) => return (Plan::default(), evaluation, diags),
    };
    if let Some(part) = part.as_ref().filter(|_| !moves.is_empty()) {
        // What is left out stays where it is.
        moves.retain(|to, _| part.plans(to));
        moved = moves::moved(unmoved, &moves);
        state = &moved;
    }
    let becomes = match moves::converted(run, &moves, state).await {
        Ok(becomes) => becomes,
        Err(diags) => return (Plan::default(), evaluation, diags),
    };
    if !becomes.is_empty() {
        moved = state.clone();
        moved.instances.extend(becomes.clone());
        state = &moved;
    }
    if options.may_defer && options.goal != Goal::Nothing {
        evaluation.allow_deferral();
    }
    if options.goal == Goal::Record {
        evaluation.ignore_imports();
    }
    let mut left_out = None;
    if let Some(part) = &part {
        left_out = Some(LeftOut { evaluated: part.evaluated.clone(), ..LeftOut::default() });
        if options.goal != Goal::Nothing {
            evaluation.restrict(part.evaluated.clone());
        }
    }
    let mut planning = Planning {
        run: run.clone(),
        state,
        options,
        permits: Arc::new(Semaphore::new(run.parallelism.max(1))),
        plan: Plan {
            goal: options.goal,
            lineage: state.lineage.clone(),
            schemas: run.providers.schemas().clone(),
            believes: options.refresh != Refresh::Everything && options.goal != Goal::Record,
            serial: state.serial,
            planned_at,
            moves,
            becomes,
            left_out,
            ..Plan::default()
        },
        part,
        waits: BTreeSet::new(),
        seen: BTreeSet::new(),
        opened: Opened::default(),
        absent: BTreeSet::new(),
        may_fail: BTreeSet::new(),
        pending: HashMap::new(),
        recorded: HashMap::new(),
        protected: BTreeMap::new(),
        triggers: BTreeMap::new(),
        diags,
    };
    instance::announce(&planning.run, state, options, planning.part.as_ref());
    planning.diags.extend(Diagnostics(planning.part.iter().map(|_| Part::warning()).collect()));
    planning.drive(&mut evaluation).await;
    planning.put_off(&evaluation);
    if options.goal == Goal::Configuration {
        planning.refuse_moves_of_what_is_described();
    }
    if !planning.diags.has_errors() && !run.is_cancelled() && options.adopt.is_empty() {
        match options.goal {
            Goal::Configuration | Goal::Nothing => planning.orphans().await,
            Goal::Record => planning.observe_the_rest().await,
        }
    }
    let closed = std::mem::take(&mut planning.opened).close().await;
    planning.diags.extend(closed);
    if options.describe && !planning.diags.has_errors() {
        planning.describe(&evaluation).await;
    } else {
        planning.refuse_unknown_imports(&evaluation);
    }
    planning.refuse_unknown_replacements();
    planning.spread_create_before_destroy();
    if options.adopt.is_empty() {
        planning.outputs(&evaluation);
    }
    (planning.plan, evaluation, planning.diags)
}

struct Planning<'p> {
    run: Run,
    state: &'p State,
    options: &'p PlanOptions,
    permits: Arc<Semaphore>,
    plan: Plan,
    /// None: the whole stack.
    part: Option<Part<'p>>,
    /// What is put off, and what the state says that it refers to.
    waits: BTreeSet<ResourceAddr>,
    /// Instances that the configuration has.
    seen: BTreeSet<InstanceAddr>,
    /// What is open while it is planned.
    opened: Opened,
    /// Resources with instances that are not there, where nothing is made.
    absent: BTreeSet<ResourceAddr>,
    /// Data sources of checks.
    may_fail: BTreeSet<InstanceAddr>,
    /// Managed resources with something to do, and the modules of their instances.
    pending: HashMap<ResourceAddr, BTreeSet<ModulePath>>,
    /// What the state has of them.
    recorded: HashMap<ResourceAddr, Vec<InstanceAddr>>,
    /// Resources with `prevent_destroy`, and where they are.
    protected: BTreeMap<ResourceAddr, Span>,
    /// What `replace_triggered_by` found of whole resources.
    triggers: BTreeMap<(ResourceAddr, Path), Option<String>>,
    diags: Diagnostics,
}

type Tasks = JoinSet<(Option<InstanceAddr>, Outcome)>;

impl Planning<'_> {
    /// Runs the evaluation to its end, planning every instance that it hands out.
    async fn drive(&mut self, evaluation: &mut Evaluation) {
        let mut tasks = Tasks::new();
        loop {
            if !self.run.is_cancelled() {
                // What is supplied at once may make more ready.
                loop {
                    let batch = evaluation.ready();
                    if batch.is_empty() {
                        break;
                    }
                    batch.into_iter().for_each(|work| self.start(work, evaluation, &mut tasks));
                }
            }
            self.report(evaluation);
            let Some(done) = tasks.join_next().await else { break };
            let (addr, outcome) = match done {
                Ok(done) => done,
                Err(error) => {
                    self.diags.push(Diagnostic::error("internal error", error.to_string()));
                    break;
                }
            };
            match outcome {
                Outcome::Provider(addr, diags) => {
                    self.diags.extend(diags);
                    evaluation.supply_provider(&addr);
                }
                Outcome::Opened(addr, value, open, diags) => {
                    self.diags.extend(diags);
                    self.opened.add(open);
                    evaluation.supply(&addr, value);
                }
                Outcome::Planned(change, diags) => {
                    self.diags.extend(diags);
                    if change.addr.mode == Mode::Managed && change.action.is_change() {
                        let modules = self.pending.entry(change.addr.resource()).or_default();
                        modules.insert(change.addr.module.clone());
                    }
                    if change.action == Action::Forget {
                        self.absent.insert(change.addr.resource());
                        evaluation.supply(&change.addr, Value::DYNAMIC);
                    } else {
                        evaluation.supply(&change.addr, change.after.clone());
                    }
                    self.plan.changes.insert(change.addr.clone(), *change);
                }
                Outcome::Failed(diags) => {
                    let is_needed = addr.as_ref().is_none_or(|addr| !self.may_fail.contains(addr));
                    self.diags.extend(if is_needed { diags } else { diags.softened() });
                    if let Some(addr) = addr {
                        evaluation.supply(&addr, Value::DYNAMIC);
                    }
                }
            }
        }
        self.report(evaluation);
        if self.run.is_cancelled() {
            self.diags.push(Diagnostic::error("interrupted", "the run was stopped; nothing was changed"));
        }
    }

    /// What the configuration has to say; nothing when all of it goes.
    fn report(&mut self, evaluation: &mut Evaluation) {
        let found = evaluation.take_diagnostics();
        if self.options.goal != Goal::Nothing {
            self.diags.extend(found);
        }
    }

    fn start(&mut self, work: Work, evaluation: &mut Evaluation, tasks: &mut Tasks) {
        let run = self.run.clone();
        match work {
            // To take nothing away, nothing has to be configured.
            Work::Provider(desired) if self.options.goal == Goal::Nothing && !self.state.needs(&desired.addr) => {
                evaluation.supply_provider(&desired.addr);
            }
            Work::Provider(desired) => {
                tasks.spawn(async move {
                    let diags = run.configure(&desired).await.err().unwrap_or_default();
                    (None, Outcome::Provider(desired.addr, diags))
                });
            }
            Work::Instance(desired) if desired.addr.mode == Mode::Ephemeral => {
                let is_awaited = self.awaited(&desired).is_some();
                let permits = self.permits.clone();
                tasks.spawn(async move {
                    let _permit = permits.acquire_owned().await;
                    let addr = desired.addr.clone();
                    match ephemeral::open(&run, &desired, is_awaited).await {
                        Ok((value, open, diags)) => (Some(addr.clone()), Outcome::Opened(addr, value, open, diags)),
                        Err(diags) => (Some(addr), Outcome::Failed(diags)),
                    }
                });
            }
            Work::Instance(desired) => {
                let addr = desired.addr.clone();
                self.seen.insert(addr.clone());
                if desired.may_fail {
                    self.may_fail.insert(addr.clone());
                }
                if desired.lifecycle.prevent_destroy {
                    self.protected.insert(addr.resource(), desired.span);
                }
                let recorded = self.state.instances.get(&addr).cloned();
                let is_bystander = !self.options.adopt.is_empty() && !self.options.adopt.contains_key(&addr);
                let is_left =
                    self.options.goal != Goal::Nothing && self.part.as_ref().is_some_and(|part| !part.plans(&addr));
                if self.options.goal == Goal::Nothing || is_bystander || is_left {
                    // Only provider configurations, or what is adopted, may need its value.
                    let value = recorded.and_then(|recorded| instance::recorded_value(&recorded, &desired.schema));
                    // What was only imported is not complete before its first apply.
                    let value = value.map(|value| unread(&desired.schema.block, &value));
                    evaluation.supply(&addr, value.unwrap_or(Value::DYNAMIC));
                    match &mut self.plan.left_out {
                        Some(left_out) if is_left => drop(left_out.instances.insert(addr)),
                        Some(_) | None => drop(self.seen.remove(&addr)),
                    }
                    return;
                }
                if self.options.goal == Goal::Record && addr.mode == Mode::Managed {
                    match recorded {
                        Some(recorded) => self.observe(addr, &recorded, tasks),
                        None => {
                            self.absent.insert(addr.resource());
                            evaluation.supply(&addr, Value::DYNAMIC);
                        }
                    }
                    return;
                }
                let triggered = self.trigger(&desired.lifecycle.replace_triggered_by).map(Reason::Triggered);
                let triggered = triggered.or_else(|| self.options.replace.contains(&addr).then_some(Reason::Requested));
                let awaited = self.awaited(&desired);
                let (permits, reading) = (self.permits.clone(), Reading::of(self.options.refresh, self.state, &addr));
                let named = evaluation.imports().get(&addr).map(|(id, _)| id);
                let adopt = self.options.adopt.get(&addr).or(named).cloned();
                tasks.spawn(async move {
                    let _permit = permits.acquire_owned().await;
                    let request = instance::Request { desired: &desired, recorded, triggered, awaited, reading, adopt };
                    (Some(addr), instance::plan_instance(&run, request).await)
                });
            }
        }
    }

    /// The first of what a data source waits for that is still to be changed. An instance of another module instance
    /// cannot be what it means.
    fn awaited(&mut self, desired: &DesiredInstance) -> Option<ResourceAddr> {
        if desired.awaits.is_empty() {
            return None;
        }
        if self.recorded.is_empty() {
            for addr in self.state.instances.keys().filter(|addr| addr.mode == Mode::Managed) {
                self.recorded.entry(addr.resource()).or_default().push(addr.clone());
            }
        }
        let own = &desired.addr.module;
        let own_path = own.config_path();
        let is_meant = |module: &ModulePath| module == own || module.config_path() != own_path;
        let changes = |resource: &&ResourceAddr| {
            let goes = |addr: &InstanceAddr| is_meant(&addr.module) && !self.seen.contains(addr);
            self.pending.get(*resource).is_some_and(|modules| modules.iter().any(is_meant))
                || self.recorded.get(*resource).is_some_and(|recorded| recorded.iter().any(goes))
        };
        desired.awaits.iter().find(changes).cloned()
    }

    /// The first of the referenced things that changes.
    fn trigger(&mut self, triggers: &[(ResourceAddr, Option<InstanceAddr>, Path)]) -> Option<String> {
        triggers.iter().find_map(|(resource, instance, path)| {
            if let Some(instance) = instance {
                return self.plan.changes.get(instance).filter(|change| triggers_by(change, path)).map(address);
            }
            // All instances of it have been planned, and what they do is the same for everyone who asks.
            let asked = (resource.clone(), path.clone());
            if let Some(known) = self.triggers.get(&asked) {
                return known.clone();
            }
            let mut matching = self.plan.changes.values().filter(|change| change.addr.resource() == *resource);
            let found = matching.find(|change| triggers_by(change, path)).map(address);
            self.triggers.insert(asked, found.clone());
            found
        })
    }

    /// What an object that is made before its predecessor is removed refers to must be made so, too: it cannot be
    /// removed while the old object still needs it.
    fn spread_create_before_destroy(&mut self) {
        // What every resource needs, over all its instances, so that nothing is looked at twice.
        let mut needs: HashMap<ResourceAddr, BTreeSet<&ResourceAddr>> = HashMap::new();
        let mut open: Vec<ResourceAddr> = Vec::new();
        for change in self.plan.changes.values() {
            needs.entry(change.addr.resource()).or_default().extend(&change.dependencies);
            if change.create_before_destroy {
                open.extend(change.dependencies.iter().cloned());
            }
        }
        let mut needed: HashSet<ResourceAddr> = HashSet::new();
        while let Some(resource) = open.pop() {
            if !needed.contains(&resource) {
                open.extend(needs.get(&resource).into_iter().flatten().map(|needed| (*needed).clone()));
                needed.insert(resource);
            }
        }
        for change in self.plan.changes.values_mut() {
            if !change.create_before_destroy && needed.contains(&change.addr.resource()) {
                change.create_before_destroy = true;
                if change.action == (Action::Replace { create_first: false }) {
                    change.action = Action::Replace { create_first: true };
                }
            }
        }
    }

    fn outputs(&mut self, evaluation: &Evaluation) {
        let before = |name: &str| self.state.outputs.get(name).map(|output| output.value.clone());
        let outputs = || evaluation.outputs().into_iter().map(|output| output.name);
        let is_absent = |resource: &ResourceAddr| self.absent.contains(resource);
        let mut kept: BTreeSet<Arc<str>> =
            outputs().filter(|name| evaluation.behind_output(name).any(is_absent)).collect();
        if let Some(left_out) = &self.plan.left_out {
            let rest = self.state.instances.keys().filter(|addr| !self.seen.contains(addr) && self.keeps(addr));
            let cut: BTreeSet<ResourceAddr> =
                left_out.instances.iter().chain(rest).map(InstanceAddr::resource).collect();
            let is_left = |resource: &ResourceAddr| !left_out.evaluated.contains(resource) || cut.contains(resource);
            match self.options.goal {
                Goal::Configuration | Goal::Record => {
                    kept.extend(outputs().filter(|name| evaluation.behind_output(name).any(is_left)));
                }
                // They are still there for whoever reads them.
                Goal::Nothing => kept.extend(self.state.outputs.keys().cloned()),
            }
        }
        if self.options.goal != Goal::Nothing {
            for output in evaluation.outputs().into_iter().filter(|output| !kept.contains(&output.name)) {
                let change = OutputChange {
                    before: before(&output.name),
                    after: Some(output.value.unmark_deep().0),
                    // What was secret until now is shown neither.
                    sensitive: output.sensitive || self.state.outputs.get(&output.name).is_some_and(|o| o.sensitive),
                };
                self.plan.outputs.insert(output.name, change);
            }
        }
        for (name, OutputState { value, sensitive }) in &self.state.outputs {
            if kept.contains(name) {
                continue;
            }
            let gone = || OutputChange { before: Some(value.clone()), after: None, sensitive: *sensitive };
            self.plan.outputs.entry(name.clone()).or_insert_with(gone);
        }
        if let Some(left_out) = &mut self.plan.left_out {
            left_out.outputs = kept;
        }
    }
}

fn triggers_by(change: &Change, path: &Path) -> bool {
    match change.action {
        Action::Update | Action::Replace { .. } => {
            path.0.is_empty() || path.get(&change.before) != path.get(&change.after)
        }
        Action::NoOp | Action::Create | Action::Read | Action::Delete | Action::Forget => false,
    }
}

fn address(change: &Change) -> String {
    change.addr.to_string()
}
