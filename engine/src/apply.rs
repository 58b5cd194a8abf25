//! Applying: does what the plan says, in an order that keeps everything that is needed until nobody needs it.
//!
//! Making and changing follow the evaluation: an instance is ready when all that it refers to has its final
//! value. Removing follows the plan: an object goes when everything that refers to it is gone or no longer does.
//!
//! Failures: a step that fails is recorded as the provider left it; what depends on it is not begun, everything
//! else goes on. Every change is on the disk before its step counts as done, and what is about to be done before it is
//! begun: without that nothing more is.

mod records;
mod rescue;
mod schedule;
mod step;
mod wave;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use compiler::addr::{InstanceAddr, Mode, ProviderAddr};
use compiler::config::{DesiredInstance, RootOutput};
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::{Evaluation, Work};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use value::Value;

use crate::ephemeral::{self, Opened};
use crate::event::Event;
use crate::plan::instance::recorded_value;
use crate::plan::{Action, Goal, Plan};
use crate::run::Run;
use crate::state::journal::Record;
use crate::state::store::Store;
use crate::state::{InstanceState, Operation, OutputState};
use schedule::{Removal, Schedule};
use step::{Done, Removable, Step};
use wave::Beginning;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    pub added: usize,
    pub changed: usize,
    pub destroyed: usize,
    /// Planned and not begun, because something before it failed or the run was stopped.
    pub not_done: Vec<String>,
    /// Whose records have gone, and nothing else.
    pub forgotten: usize,
    pub imported: usize,
    /// A state file that could be written nowhere, and says what no other does: for whoever can still keep it.
    pub unwritten: Option<String>,
}

pub async fn apply(run: &Run, store: &mut Store, plan: &Plan) -> (Summary, Diagnostics) {
    let (summary, _, diags) = evaluate(run, store, plan).await;
    (summary, diags)
}

/// As `apply`, with everything that was evaluated, for whoever has questions about it.
pub async fn evaluate(run: &Run, store: &mut Store, plan: &Plan) -> (Summary, Evaluation, Diagnostics) {
    let mut applying = Applying {
        run: run.clone(),
        store,
        plan,
        schedule: Schedule::new(plan),
        permits: Arc::new(Semaphore::new(run.parallelism.max(1))),
        waiting: HashMap::new(),
        held: Vec::new(),
        configured: HashSet::new(),
        may_fail: HashSet::new(),
        tasks: JoinSet::new(),
        opened: Opened::default(),
        beginnings: Vec::new(),
        told: Vec::new(),
        summary: Summary::default(),
        diags: Diagnostics::default(),
        is_stopped: false,
        is_unwritable: false,
    };
    for (to, from) in &plan.moves {
        let becomes = plan.becomes.get(to).cloned().map(Box::new);
        applying.stage(Record::Move { from: from.clone(), to: to.clone(), becomes });
    }
    let mut evaluation = match plan.is_destroy() {
        true => run.lenient_evaluation(plan.planned_at),
        false => run.final_evaluation(Some(plan.planned_at)),
    };
    // What is taken in, the plan says.
    evaluation.ignore_imports();
    if let Some(left_out) = plan.left_out.as_ref().filter(|_| !plan.is_destroy()) {
        evaluation.restrict(left_out.evaluated.clone());
    }
    applying.forget();
    applying.adopt();
    match plan.goal {
        Goal::Configuration | Goal::Nothing => applying.drive(&mut evaluation).await,
        Goal::Record => applying.record_what_is(),
    }
    let closed = std::mem::take(&mut applying.opened).close().await;
    applying.diags.extend(closed);
    applying.finish(&evaluation);
    (applying.summary, evaluation, applying.diags)
}

struct Applying<'a> {
    run: Run,
    store: &'a mut Store,
    plan: &'a Plan,
    schedule: Schedule,
    permits: Arc<Semaphore>,
    /// Instances that could be made or read, but for a removal that has to come first.
    waiting: HashMap<InstanceAddr, Box<DesiredInstance>>,
    /// Removals whose provider is not configured yet.
    held: Vec<Removal>,
    configured: HashSet<ProviderAddr>,
    /// Data sources of checks.
    may_fail: HashSet<InstanceAddr>,
    tasks: JoinSet<Done>,
    /// What is open until the end.
    opened: Opened,
    /// What is to be begun with the next commit.
    beginnings: Vec<Beginning>,
    /// What is to be told with the next commit.
    told: Vec<Event>,
    summary: Summary,
    diags: Diagnostics,
    /// Nothing more is begun: the state cannot be written, or the configuration turned out to be wrong.
    is_stopped: bool,
    /// A record could not be written.
    is_unwritable: bool,
}

impl Applying<'_> {
    async fn drive(&mut self, evaluation: &mut Evaluation) {
        let mut cancelled = self.run.cancelled.clone();
        let mut was_told = false;
        loop {
            if !self.run.is_cancelled() && !self.is_stopped {
                self.start_what_can(evaluation);
            }
            let found = evaluation.take_diagnostics();
            if !self.plan.is_destroy() {
                self.diags.extend(found);
            }
            // What needs no call.
            self.commit(Vec::new());
            if self.tasks.is_empty() {
                // What has failed keeps what needs it waiting, and that is no circle.
                let is_well = self.may_begin() && !self.diags.has_errors();
                if is_well && self.schedule.break_circle(self.waiting.keys()) {
                    continue;
                }
                return;
            }
            let done = tokio::select! {
                done = self.tasks.join_next() => done,
                changed = cancelled.changed(), if !was_told => {
                    was_told = true;
                    if changed.is_ok() && self.run.is_cancelled() {
                        // What is under way is told to end as soon as that is safe, and is waited for.
                        let providers = self.run.providers.clone();
                        tokio::spawn(async move { providers.stop().await });
                    }
                    continue;
                }
            };
            match done {
                Some(Ok(done)) => self.count_what_is_done(done, evaluation),
                Some(Err(error)) => self.diags.push(Diagnostic::error("internal error", error.to_string())),
                None => return,
            }
        }
    }

    fn start_what_can(&mut self, evaluation: &mut Evaluation) {
        loop {
            let batch = evaluation.ready();
            if evaluation.has_errors() && !self.plan.is_destroy() {
                // A condition that does not hold now: what was begun is finished, and nothing more is begun.
                self.is_stopped = true;
                return;
            }
            let mut supplied = false;
            for work in batch {
                match work {
                    Work::Provider(desired) if self.plan.is_destroy() && !self.store.state().needs(&desired.addr) => {
                        evaluation.supply_provider(&desired.addr);
                        supplied = true;
                    }
                    Work::Provider(desired) => {
                        let run = self.run.clone();
                        self.tasks.spawn(async move {
                            let diags = run.configure(&desired).await.err().unwrap_or_default();
                            Done::Provider { addr: desired.addr, diags }
                        });
                    }
                    Work::Instance(desired) if desired.addr.mode == Mode::Ephemeral => {
                        let (run, permits) = (self.run.clone(), self.permits.clone());
                        self.tasks.spawn(async move {
                            let _permit = permits.acquire_owned().await;
                            let result = ephemeral::open(&run, &desired, false).await;
                            Done::Opened { addr: desired.addr, result }
                        });
                    }
                    Work::Instance(desired) if self.plan.is_destroy() => {
                        // Only provider configurations are of interest.
                        let value = self.plan.changes.get(&desired.addr).map(|change| change.recorded.clone());
                        evaluation.supply(&desired.addr, value.unwrap_or(Value::DYNAMIC));
                        supplied = true;
                    }
                    Work::Instance(desired) => supplied |= self.instance(desired, evaluation),
                }
            }
            for addr in self.schedule.freed() {
                if self.schedule.may_make(&addr)
                    && let Some(desired) = self.waiting.remove(&addr)
                {
                    self.start(*desired);
                }
            }
            let mut removable = std::mem::take(&mut self.held);
            removable.extend(self.schedule.removable());
            for removal in removable {
                // A provider that its block has not configured yet would look for the object in the wrong place.
                if self.is_configured(&removal) { self.start_removal(removal) } else { self.held.push(removal) }
            }
            if !supplied {
                return;
            }
        }
    }

    /// Starts what is to be done with an instance; `true` if its value was supplied at once.
    fn instance(&mut self, desired: Box<DesiredInstance>, evaluation: &mut Evaluation) -> bool {
        if self.plan.left_out.as_ref().is_some_and(|left_out| left_out.instances.contains(&desired.addr)) {
            let recorded = self.store.state().instances.get(&desired.addr);
            let value = recorded.and_then(|recorded| recorded_value(recorded, &desired.schema));
            evaluation.supply(&desired.addr, value.unwrap_or(Value::DYNAMIC));
            return true;
        }
        if desired.may_fail {
            self.may_fail.insert(desired.addr.clone());
        }
        if desired.may_fail && !self.plan.changes.contains_key(&desired.addr) {
            // It could not be planned, which was told.
            evaluation.supply(&desired.addr, Value::DYNAMIC);
            return true;
        }
        let Some(change) = self.plan.changes.get(&desired.addr) else {
            // The configuration asks for something that the plan does not know: another file than was planned.
            let label = format!("{} is not in the plan", desired.addr);
            self.diags.push(Diagnostic::error("the configuration differs from the plan", label).at(desired.span));
            return false;
        };
        match change.action {
            Action::NoOp => {
                // Data sources, and what was read of an object, go into the state with no call.
                let recorded = self.store.state().instances.get(&desired.addr);
                // What a run that was cut off may have changed has been read; what else it may have made has not.
                let doubt = self.store.state().in_doubt.get(&desired.addr);
                let is_doubted = doubt.is_some_and(|doubt| doubt.operation != Operation::Create);
                let settled = step::settle(&desired, change, recorded).or(recorded.filter(|_| is_doubted).cloned());
                if let Some(instance) = settled {
                    self.stage(Record::Put { addr: desired.addr.clone(), instance: Box::new(instance) });
                }
                self.schedule.made(&desired.addr);
                evaluation.supply(&desired.addr, change.after.clone());
                true
            }
            Action::Create | Action::Read | Action::Update | Action::Replace { .. } => {
                if self.schedule.may_make(&desired.addr) {
                    self.start(*desired);
                } else {
                    self.waiting.insert(desired.addr.clone(), desired);
                }
                false
            }
            Action::Delete | Action::Forget => false,
        }
    }

    fn start(&mut self, desired: DesiredInstance) {
        let Some(change) = self.plan.changes.get(&desired.addr).cloned() else { return };
        let recorded = self.store.state().instances.get(&desired.addr).cloned();
        if let (Action::Replace { create_first: true }, Some(_)) = (change.action, &recorded) {
            // The old object steps aside under a name of its own.
            let key = format!("{:08x}", uuid::Uuid::new_v4().as_u128() as u32);
            if !self.commit(vec![Record::Depose { addr: change.addr.clone(), key: key.clone() }]) {
                return self.run.tell(Event::NotBegun { addr: change.addr, action: change.action });
            }
            self.schedule.deposed(&change.addr, key);
        }
        self.run.tell(Event::Started { addr: change.addr.clone(), action: change.action });
        let (run, permits) = (self.run.clone(), self.permits.clone());
        self.tasks.spawn(async move {
            let permit = permits.acquire_owned().await.ok();
            step::prepare(&run, Step { desired, change, recorded, started: Instant::now(), permit }).await
        });
    }

    fn is_configured(&self, removal: &Removal) -> bool {
        let state = self.store.state();
        let recorded = match &removal.deposed {
            Some(key) => state.deposed.get(&(removal.addr.clone(), key.clone())),
            None => state.known(&removal.addr),
        };
        recorded.is_none_or(|recorded| {
            let provider = self.provider_of(removal, recorded);
            self.configured.contains(provider) || !self.run.program.has_provider_block(provider)
        })
    }

    /// That of the plan: the one in the state may be configured no more.
    fn provider_of<'r>(&'r self, removal: &Removal, recorded: &'r InstanceState) -> &'r ProviderAddr {
        let deposed = removal.deposed.as_ref();
        let leftover = self.plan.deposed.iter().find(|leftover| Some(&leftover.key) == deposed);
        let change = self.plan.changes.get(&removal.addr);
        match (leftover, change) {
            (Some(leftover), _) => &leftover.instance.provider,
            (None, Some(change)) => &change.provider,
            (None, None) => &recorded.provider,
        }
    }

    fn start_removal(&mut self, removal: Removal) {
        let state = self.store.state();
        let recorded = match &removal.deposed {
            Some(key) => state.deposed.get(&(removal.addr.clone(), key.clone())).cloned(),
            None => state.known(&removal.addr).cloned(),
        };
        let before = match &removal.deposed {
            None => self
                .plan
                .changes
                .get(&removal.addr)
                // A removal has a plan of its own; what makes way for a successor has none.
                .map(|change| match change.action {
                    Action::Delete => (change.before.clone(), change.private.clone()),
                    Action::NoOp
                    | Action::Read
                    | Action::Create
                    | Action::Update
                    | Action::Replace { .. }
                    | Action::Forget => (change.before.clone(), change.before_private.clone()),
                }),
            Some(key) => self
                .plan
                .deposed
                .iter()
                .find(|deposed| deposed.key == *key)
                .map(|deposed| (deposed.value.clone(), deposed.private.clone())),
        };
        let recorded = recorded.map(|recorded| {
            let provider = self.provider_of(&removal, &recorded).clone();
            InstanceState { provider, ..recorded }
        });
        self.run.tell(Event::Started { addr: removal.addr.clone(), action: Action::Delete });
        let permits = self.permits.clone();
        self.tasks.spawn(async move {
            let permit = permits.acquire_owned().await.ok();
            Done::Removable(Box::new(Removable { removal, recorded, before, permit }))
        });
    }

    fn count(&mut self, done: Done, evaluation: &mut Evaluation) {
        match done {
            Done::Provider { addr, diags } => {
                let failed = diags.has_errors();
                self.diags.extend(diags);
                if !failed {
                    evaluation.supply_provider(&addr);
                    self.configured.insert(addr);
                }
            }
            Done::Opened { addr, result: Ok((value, open, diags)) } => {
                self.diags.extend(diags);
                self.opened.add(open);
                evaluation.supply(&addr, value);
            }
            Done::Opened { result: Err(diags), .. } => self.diags.extend(diags),
            Done::Prepared(prepared) => self.beginnings.push(Beginning::Make(prepared)),
            Done::Removable(removable) => self.beginnings.push(Beginning::Remove(removable)),
            Done::Made { addr, action, instance, value, diags, started, is_lost } => {
                let failed = diags.has_errors();
                if failed && self.may_fail.contains(&addr) {
                    self.diags.extend(diags.softened());
                    self.schedule.made(&addr);
                    return evaluation.supply(&addr, Value::DYNAMIC);
                }
                self.diags.extend(diags);
                if let Some(instance) = instance {
                    self.stage(Record::Put { addr: addr.clone(), instance });
                } else {
                    let state = self.store.state();
                    if is_lost {
                        self.doubt(&addr);
                    } else if state.unfinished.contains_key(&addr) || state.in_doubt.contains_key(&addr) {
                        self.stage(Record::Forget { addr: addr.clone() });
                    }
                    if failed && action == (Action::Replace { create_first: true }) {
                        self.restore(&addr);
                    }
                }
                if failed {
                    self.told.push(Event::Failed { addr, action });
                    return;
                }
                match action {
                    Action::Create => self.summary.added += 1,
                    Action::Update => self.summary.changed += 1,
                    Action::Replace { .. } => {
                        self.summary.added += 1;
                        self.summary.destroyed += usize::from(action == Action::Replace { create_first: false });
                    }
                    Action::NoOp | Action::Read | Action::Delete | Action::Forget => {}
                }
                self.told.push(Event::Finished { addr: addr.clone(), action, elapsed: started.elapsed() });
                self.schedule.made(&addr);
                evaluation.supply(&addr, value);
            }
            Done::Removed { removal, instance, diags, started, is_lost } => {
                let failed = diags.has_errors();
                self.diags.extend(diags);
                let addr = removal.addr.clone();
                match (&removal.deposed, instance) {
                    (None, Some(instance)) => {
                        self.stage(Record::Put { addr: addr.clone(), instance });
                    }
                    (None, None) if !failed => {
                        self.stage(Record::Remove { addr: addr.clone() });
                    }
                    (Some(key), None) if !failed => {
                        self.stage(Record::RemoveDeposed { addr: addr.clone(), key: key.clone() });
                    }
                    (None, None) if is_lost => self.doubt(&addr),
                    // The provider has said that it is there as before.
                    (None, None) if self.store.state().in_doubt.contains_key(&addr) => {
                        if let Some(instance) = self.store.state().instances.get(&addr).cloned().map(Box::new) {
                            self.stage(Record::Put { addr: addr.clone(), instance });
                        }
                    }
                    _ => {}
                }
                let action = Action::Delete;
                if failed {
                    self.told.push(Event::Failed { addr, action });
                    return;
                }
                // The other half of a replacement that removes first is counted when the new object is made.
                self.summary.destroyed += usize::from(!removal.is_part_of_replace || removal.deposed.is_some());
                self.told.push(Event::Finished { addr, action, elapsed: started.elapsed() });
                self.schedule.removed(&removal);
            }
        }
    }

    /// The new object could not be made: the old one, which stepped aside, is the object again.
    fn restore(&mut self, addr: &InstanceAddr) {
        if let Some(key) = self.schedule.forget_deposed(addr) {
            self.stage(Record::Restore { addr: addr.clone(), key });
        }
    }

    fn may_begin(&self) -> bool {
        !self.is_stopped && !self.run.is_cancelled()
    }

    /// Nobody knows what became of it; it stays so recorded.
    fn doubt(&mut self, addr: &InstanceAddr) {
        let state = self.store.state();
        if let Some(doubt) = state.in_doubt.get(addr) {
            self.diags.push(Diagnostic::error("it is not known what became of an object", doubt.explain(addr)));
        } else if state.unfinished.contains_key(addr) {
            let label =
                format!("{addr} may have been made, wholly or in part: the next apply takes over what exists of it");
            self.diags.push(Diagnostic::error("it is not known what became of an object", label));
        }
    }

    fn finish(&mut self, evaluation: &Evaluation) {
        self.summary.not_done = self.schedule.not_done();
        if self.run.is_cancelled() {
            let note = "what was done is recorded; apply again to go on";
            self.diags.push(Diagnostic::error("interrupted", "the run was stopped before it was complete").note(note));
        } else if !self.summary.not_done.is_empty() && !self.diags.has_errors() {
            let label = format!("these steps never became possible: {}", self.summary.not_done.join(", "));
            self.diags.push(Diagnostic::error("internal error", label));
        }
        // Records of data sources that are no longer configured.
        let gone: Vec<InstanceAddr> = self
            .store
            .state()
            .instances
            .keys()
            .filter(|addr| addr.mode == Mode::Data && !self.plan.changes.contains_key(addr))
            .filter(|_| self.plan.left_out.is_none() && self.plan.goal != Goal::Record)
            .cloned()
            .collect();
        for addr in gone {
            self.stage(Record::Remove { addr });
        }
        if !self.diags.has_errors() && self.plan.goal != Goal::Record {
            self.settle();
        }
        self.commit(Vec::new());
        let is_whole = !self.diags.has_errors();
        let nothing = BTreeSet::new();
        let left_out = self.plan.left_out.as_ref().map_or(&nothing, |left_out| &left_out.outputs);
        if self.plan.goal == Goal::Record {
            if is_whole {
                self.set_planned_outputs();
            }
        } else if self.plan.is_destroy() {
            if is_whole && self.plan.left_out.is_none() {
                self.store.set_outputs([]);
            }
        } else {
            let is_made = |output: &RootOutput| output.value.is_wholly_known() && !left_out.contains(&output.name);
            let outputs = evaluation.outputs().into_iter().filter(is_made);
            let outputs = outputs.map(|output| {
                let sensitive = output.sensitive;
                (output.name, OutputState { value: output.value.unmark_deep().0, sensitive })
            });
            // What could not be evaluated keeps its old value when something failed.
            let mut kept = self.store.state().outputs.clone();
            kept.retain(|name, _| !is_whole || left_out.contains(name));
            self.store.set_outputs(kept.into_iter().chain(outputs).collect::<Vec<_>>());
        }
        let folded = self.store.fold();
        if folded.is_ok() {
            // What the journal could not take.
            self.told.drain(..).for_each(|event| self.run.tell(event));
        }
        if let Some(error) = &self.store.backup_failed {
            self.diags.push(Diagnostic::warning("there is no backup of the old state", rescue::in_full(error)));
        }
        match (folded, self.store.unwritten()) {
            (Ok(()), _) if self.is_unwritable => {
                let label = "in the end it could be: everything that was done is in the state now";
                self.diags.push(Diagnostic::warning("the state could not be written for a while", label));
            }
            (Ok(()), _) => {}
            (Err(error), None) => {
                let diagnostic = Diagnostic::error("the state cannot be written", rescue::in_full(&error));
                let note = "everything that was done is in the journal beside it; the next run folds it in";
                self.diags.push(diagnostic.note(note));
            }
            (Err(error), Some(text)) => {
                let (diagnostic, unwritten) =
                    rescue::rescue(self.store.path(), &self.run.surroundings.cwd, &error, text);
                self.diags.push(diagnostic);
                self.summary.unwritten = unwritten;
            }
        }
    }

    /// What earlier runs may have made was told with the plan, and all of that is done.
    fn settle(&mut self) {
        let told: Vec<InstanceAddr> = self.store.state().in_doubt.keys().cloned().collect();
        for addr in told {
            while self.store.state().in_doubt.contains_key(&addr) {
                self.stage(Record::Forget { addr: addr.clone() });
            }
        }
    }
}
