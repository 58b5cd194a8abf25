//! Plans, and the runs that make them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use backends::DEFAULT_WORKSPACE;
use compiler::Inputs;
use compiler::addr::InstanceAddr;
use engine::plan::part::Selection;
use engine::plan::{self, Goal, Plan, PlanOptions, Refresh, file};
use engine::run::Run;
use engine::state::seal::Seal;
use engine::state::store::Known;

use crate::failure::{Result, refuse};
use crate::host::Host;
use crate::inputs::Given;
use crate::root::Root;
use crate::stack::{Stack, Telling};
use crate::state::StateAt;

/// How many objects are worked on at once where nobody says otherwise.
pub const PARALLELISM: u16 = 10;

/// What a plan is made of.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    pub inputs: Inputs,
    pub state: StateAt,
    pub goal: Goal,
    pub refresh: Refresh,
    /// Objects that are replaced on request.
    pub replace: BTreeSet<InstanceAddr>,
    /// The part of the stack that is planned for.
    pub selection: Selection,
    /// Whether what depends on how many there are of something may be left to a later plan.
    pub may_defer: bool,
    /// Blocks are written for what is imported and not described, instead of an error.
    pub describe: bool,
    pub parallelism: u16,
}

impl PlanRequest {
    pub fn new(inputs: Inputs, state: StateAt, goal: Goal) -> PlanRequest {
        PlanRequest {
            inputs,
            state,
            goal,
            refresh: Refresh::Everything,
            replace: BTreeSet::new(),
            selection: Selection::Everything,
            may_defer: true,
            describe: false,
            parallelism: PARALLELISM,
        }
    }

    pub(crate) fn options(&self) -> Result<PlanOptions> {
        if self.goal == Goal::Nothing && !self.replace.is_empty() {
            refuse!("-destroy removes everything, so nothing can be replaced; leave -replace away");
        }
        if self.goal == Goal::Record && !self.replace.is_empty() {
            refuse!("-refresh-only changes nothing that exists, so nothing can be replaced; leave -replace away");
        }
        if self.goal == Goal::Record && self.refresh != Refresh::Everything {
            refuse!(
                "-refresh-only asks what there is, and -refresh=false and -refresh=minimal do not; leave one of them away"
            );
        }
        let (replace, selection) = (self.replace.clone(), self.selection.clone());
        let (may_defer, describe) = (self.may_defer, self.describe);
        Ok(PlanOptions { replace, selection, may_defer, describe, ..PlanOptions::new(self.goal, self.refresh) })
    }
}

/// A plan and the run that made it, with its providers still there.
pub struct Planned {
    pub plan: Plan,
    pub run: Run,
    pub(crate) telling: Telling,
}

impl Planned {
    pub async fn end(&self) {
        self.run.providers.shutdown().await;
    }
}

/// Plans; nothing is changed. The state is held until it is done.
pub async fn plan(stack: &Stack, request: &PlanRequest) -> Result<Plan> {
    let options = request.options()?;
    let viewed = request.state.view(&stack.host, "plan").await?;
    let planned = make(stack, request.inputs.clone(), viewed.known(), options, request.parallelism).await;
    let closed = viewed.close().await;
    let planned = planned?;
    planned.end().await;
    closed?;
    Ok(planned.plan)
}

/// Writes the blocks of a plan for what is imported into a new file. Whether there were any.
pub fn write_described(root: &Root, plan: &Plan, path: &Path) -> Result<bool> {
    if plan.described.is_empty() {
        return Ok(false);
    }
    let blocks: Vec<&str> = plan.described.iter().map(|described| &*described.text).collect();
    let text = blocks.join("\n");
    let path = root.at(path);
    let written = std::fs::File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(true)
}

pub(crate) async fn make(
    stack: &Stack,
    inputs: Inputs,
    known: Known<'_>,
    options: PlanOptions,
    parallelism: u16,
) -> Result<Planned> {
    let (run, telling) = stack.run_with_state(inputs, usize::from(parallelism), &known).await?;
    let (plan, diags) = plan::plan(&run, known.state, &options).await;
    telling.catch_up().await;
    let told = stack.tell(&diags);
    if told.is_err() {
        run.providers.shutdown().await;
    }
    told.map(|()| Planned { plan, run, telling })
}

/// A plan that was saved, with the stack that it was made of.
pub struct SavedPlan {
    pub stack: Stack,
    pub inputs: Inputs,
    file: file::Saved,
    path: std::path::PathBuf,
}

impl SavedPlan {
    /// `given` may have what decrypts it, and what it does not keep.
    pub fn open(host: &Arc<Host>, root: &Root, path: &Path, given: &[Given]) -> Result<SavedPlan> {
        let path = root.at(path);
        // What the stack says now, with the values that its variables have without flags: those of the plan are in it.
        let (mut stack, diags) = Stack::read(host, root);
        if diags.has_errors() && stack.mentions_encryption() {
            stack.tell(&diags)?;
        }
        let seal = if stack.says_encryption() {
            let inputs = stack.inputs(given)?;
            Seal::new(stack.encryption(&inputs)?.plan)
        } else {
            Seal::default()
        };
        let file = file::read(&path, &seal).map_err(anyhow::Error::from)?;
        let stack = Stack::as_saved(host, root, file.sources.clone())?;
        let mut inputs = file.inputs.clone();
        let mut stack = stack;
        let now = stack.inputs(&[])?;
        inputs.take_ephemeral(&now, &stack.program);
        Ok(SavedPlan { stack, inputs, file, path })
    }

    /// Refuses values of variables that are not those of the plan; those that it does not keep are taken.
    pub fn check_given(&mut self, given: &[Given]) -> Result<()> {
        let given = self.stack.given(given)?;
        self.inputs.take_ephemeral(&given, &self.stack.program);
        if let Some(name) = self.inputs.contradicted(&given, &self.stack.program) {
            refuse!(
                "{} was made with another value of the variable {name}; leave the value away, or plan again with it",
                self.path.display()
            );
        }
        Ok(())
    }

    pub(crate) fn decode(&self, run: &Run) -> anyhow::Result<Plan> {
        let Some(plan) = file::decode(&self.file, run.providers.schemas()) else {
            bail!("{} does not fit the providers that are installed now; plan again", self.path.display())
        };
        Ok(plan)
    }

    /// Refuses another state than the one that it was planned for.
    pub(crate) fn check(&self, state: &StateAt) -> Result<()> {
        let selected = self.stack.workspace()?;
        let meant = self.inputs.workspace.as_deref().unwrap_or(DEFAULT_WORKSPACE);
        if meant != selected {
            refuse!(
                "{} was made in the workspace {meant:?}, and {selected:?} is selected; `{}` selects it",
                self.path.display(),
                self.stack.host.watch.command(&format!("workspace select {meant}"))
            );
        }
        if self.file.place != state.identity(&self.stack.root) {
            refuse!(
                "{} was made for the state in {}, and this is {}; plan again",
                self.path.display(),
                self.file.place,
                state.shown()
            );
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// To look at: no provider is asked.
    pub fn plan(&self) -> Result<Plan> {
        let Some(plan) = file::decode(&self.file, &self.file.schemas) else {
            refuse!("{} is damaged: what it has of an object is not what its type has", self.path.display())
        };
        Ok(plan)
    }
}

/// Writes a plan, to be done later exactly as it is.
pub fn save(stack: &Stack, plan: &Plan, request: &PlanRequest, path: &Path) -> Result<()> {
    let place = request.state.identity(&stack.root);
    let encryption = stack.encryption(&request.inputs)?;
    if encryption.state.encrypts() && !encryption.plan.encrypts() {
        stack.host.watch.note(&format!(
            "{} is not encrypted, and has what the state has, and the values of variables; `plan` in the `encryption` block encrypts it",
            path.display()
        ));
    }
    let seal = Seal::new(encryption.plan);
    let inputs = request.inputs.stored(&stack.program);
    let written = file::write(&stack.root.at(path), plan, &stack.program, stack.own_sources(), &inputs, &place, &seal);
    Ok(written.map_err(anyhow::Error::from)?)
}
