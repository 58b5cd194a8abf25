//! A change: planned, looked at, and made. The state is held from the plan until the change is made or left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use compiler::addr::ResourceAddr;
use engine::apply::{self, Summary};
use engine::plan::show::{self, DataChange};
use engine::plan::{Deferral, Goal, Plan};
use engine::state::State;

use crate::failure::{Failure, Result};
use crate::planning::{PlanRequest, Planned, SavedPlan, make};
use crate::stack::Stack;
use crate::state::{Opened, StateAt};

/// A change that nobody has agreed to yet.
#[must_use = "it is made or left"]
pub struct Proposed<'s> {
    stack: &'s Stack,
    planned: Planned,
    opened: Opened,
    /// Is written down before anything is made: what is cut off goes on with it.
    recorded: Option<Recorded>,
}

/// A text that belongs beside the stack.
pub(crate) type Recorded = Box<dyn FnOnce() -> anyhow::Result<()> + Send>;

/// What was made.
#[derive(Debug)]
pub struct Made {
    pub summary: Summary,
    /// Why not all of it was made was told.
    pub has_failed: bool,
    pub goal: Goal,
    /// What is for a plan after this.
    pub deferred: BTreeMap<ResourceAddr, Deferral>,
    pub elapsed: Duration,
    /// What has become of data, by the address of its layer.
    pub data: Vec<(String, DataChange)>,
    pub state: State,
    /// Why the state could not be sent to where it is kept.
    pub unsent: Option<Failure>,
}

/// What is different about a change from the plan of its stack.
#[derive(Default)]
pub(crate) struct Besides {
    /// What plugins are told.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) recorded: Option<Recorded>,
}

/// Plans it.
pub async fn propose<'s>(stack: &'s Stack, request: &PlanRequest) -> Result<Proposed<'s>> {
    // What is refused is refused before anything is locked.
    request.options()?;
    let operation = match request.goal {
        Goal::Configuration => "apply",
        Goal::Nothing => "destroy",
        Goal::Record => "apply -refresh-only",
    };
    let opened = request.state.open(&stack.host, operation).await?;
    propose_on(stack, request, opened, Besides::default()).await
}

pub(crate) async fn propose_on<'s>(
    stack: &'s Stack,
    request: &PlanRequest,
    opened: Opened,
    besides: Besides,
) -> Result<Proposed<'s>> {
    let Besides { environment, recorded } = besides;
    let options = match request.options() {
        Ok(options) => options,
        Err(failure) => return Err(opened.give_up(failure).await),
    };
    let mut known = opened.known();
    known.environment.extend(environment);
    match make(stack, request.inputs.clone(), known, options, request.parallelism).await {
        Ok(planned) => Ok(Proposed { stack, planned, opened, recorded }),
        Err(failure) => Err(opened.give_up(failure).await),
    }
}

/// A plan that was saved, as it is. It is agreed to by whoever saved it.
pub async fn propose_saved<'s>(saved: &'s SavedPlan, state: &StateAt, parallelism: u16) -> Result<Proposed<'s>> {
    let stack = &saved.stack;
    saved.check(state)?;
    let opened = state.open(&stack.host, "apply").await?;
    match decoded(saved, &opened, parallelism).await {
        Ok(planned) => Ok(Proposed { stack, planned, opened, recorded: None }),
        Err(failure) => Err(opened.give_up(failure).await),
    }
}

async fn decoded(saved: &SavedPlan, opened: &Opened, parallelism: u16) -> Result<Planned> {
    let (run, telling) =
        saved.stack.run_with_state(saved.inputs.clone(), usize::from(parallelism), &opened.known()).await?;
    let state = opened.store.state();
    let path = saved.path().display();
    let plan = match saved.decode(&run) {
        Ok(plan) if plan.lineage == state.lineage && plan.serial == state.serial => Ok(plan),
        Ok(_) => Err(anyhow!("{path} is stale: the state has changed since it was made; plan again")),
        Err(error) => Err(error),
    };
    match plan {
        Ok(plan) => Ok(Planned { plan, run, telling }),
        Err(error) => {
            run.providers.shutdown().await;
            Err(error.into())
        }
    }
}

impl Proposed<'_> {
    pub fn plan(&self) -> &Plan {
        &self.planned.plan
    }

    /// Nobody agreed: nothing is changed.
    pub async fn leave(self) -> Result<()> {
        self.planned.end().await;
        self.opened.close().await
    }

    pub async fn make(mut self) -> Result<Made> {
        if let Some(recorded) = self.recorded.take()
            && let Err(error) = recorded()
        {
            self.planned.end().await;
            return Err(self.opened.give_up(error.into()).await);
        }
        let started = Instant::now();
        let data = show::data(&self.planned.plan);
        let goal = self.planned.plan.goal;
        let deferred = self.planned.plan.deferred.clone();
        let (summary, diags) = apply::apply(&self.planned.run, &mut self.opened.store, &self.planned.plan).await;
        self.planned.end().await;
        // The run holds the sender of events; without it the telling sees the end of them.
        let Planned { run, telling, .. } = self.planned;
        drop(run);
        telling.finish().await;
        let has_failed = self.stack.tell(&diags).is_err();
        let state = self.opened.store.state().clone();
        let unsent = self.opened.close().await.err();
        Ok(Made { summary, has_failed, goal, deferred, elapsed: started.elapsed(), data, state, unsent })
    }
}
