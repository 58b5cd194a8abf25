//! A change: planned, looked at, and made. The state is held from the plan until the change is made or left.

use std::time::{Duration, Instant};

use engine::apply::{self, Summary};
use engine::plan::show::{self, DataChange};
use engine::plan::{Goal, Plan};
use engine::state::State;
use engine::state::store::Store;

use crate::failure::{Result, refuse};
use crate::planning::{PlanRequest, Planned, SavedPlan, make};
use crate::stack::Stack;
use crate::state::StateAt;

/// A change that nobody has agreed to yet.
#[must_use = "it is made or left"]
pub struct Proposed<'s> {
    stack: &'s Stack,
    planned: Planned,
    store: Store,
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
    pub elapsed: Duration,
    /// What has become of data, by the address of its layer.
    pub data: Vec<(String, DataChange)>,
    pub state: State,
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
    let operation = if request.goal == Goal::Nothing { "destroy" } else { "apply" };
    let store = request.state.open(&stack.host, operation)?;
    propose_on(stack, request, store, Besides::default()).await
}

pub(crate) async fn propose_on<'s>(
    stack: &'s Stack,
    request: &PlanRequest,
    store: Store,
    besides: Besides,
) -> Result<Proposed<'s>> {
    let options = request.options()?;
    let mut known = store.known();
    known.environment.extend(besides.environment);
    let planned = make(stack, request.inputs.clone(), known, options, request.parallelism).await?;
    Ok(Proposed { stack, planned, store, recorded: besides.recorded })
}

/// A plan that was saved, as it is. It is agreed to by whoever saved it.
pub async fn propose_saved<'s>(saved: &'s SavedPlan, state: &StateAt, parallelism: u16) -> Result<Proposed<'s>> {
    let stack = &saved.stack;
    let store = state.open(&stack.host, "apply")?;
    let (run, telling) = stack.run_with_state(saved.inputs.clone(), usize::from(parallelism), &store.known()).await?;
    let plan = match saved.decode(&run) {
        Ok(plan) if plan.lineage == store.state().lineage && plan.serial == store.state().serial => plan,
        Ok(_) => {
            run.providers.shutdown().await;
            refuse!("{} is stale: the state has changed since it was made; plan again", saved.path().display());
        }
        Err(error) => {
            run.providers.shutdown().await;
            return Err(error.into());
        }
    };
    Ok(Proposed { stack, planned: Planned { plan, run, telling }, store, recorded: None })
}

impl Proposed<'_> {
    pub fn plan(&self) -> &Plan {
        &self.planned.plan
    }

    /// Nobody agreed: nothing is changed.
    pub async fn leave(self) {
        self.planned.end().await;
    }

    pub async fn make(mut self) -> Result<Made> {
        if let Some(recorded) = self.recorded.take()
            && let Err(error) = recorded()
        {
            self.planned.end().await;
            return Err(error.into());
        }
        let started = Instant::now();
        let data = show::data(&self.planned.plan);
        let goal = if self.planned.plan.is_destroy { Goal::Nothing } else { Goal::Configuration };
        let (summary, diags) = apply::apply(&self.planned.run, &mut self.store, &self.planned.plan).await;
        self.planned.end().await;
        // The run holds the sender of events; without it the telling sees the end of them.
        let Planned { run, telling, .. } = self.planned;
        drop(run);
        telling.finish().await;
        let has_failed = self.stack.tell(&diags).is_err();
        Ok(Made { summary, has_failed, goal, elapsed: started.elapsed(), data, state: self.store.state().clone() })
    }
}
