//! `lampwright apply` and `lampwright destroy`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::anyhow;
use app::change::{self, Made, Proposed};
use app::failure::Failure;
use app::planning::{PlanRequest, SavedPlan};
use app::stack::Stack;
use clap::Args;
use engine::plan::part::Selection;
use engine::plan::show::{self, Fate};
use engine::plan::{Goal, Plan};

use super::plan::{CommonArgs, PartArgs, ReplaceArgs, goal, show_plan};
use super::{InputArgs, Outcome};
use crate::invocation::Invocation;
use crate::proposal::Proposal;
use crate::ui::Ui;
use crate::{exit, print};

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// A plan that `plan -out` has saved; it is done without a question
    plan: Option<PathBuf>,
    /// Remove everything, as `destroy` does
    #[arg(long)]
    destroy: bool,
    /// Record what there is, and change nothing that exists
    #[arg(long, conflicts_with = "destroy")]
    refresh_only: bool,
    #[command(flatten)]
    replace: ReplaceArgs,
    #[command(flatten)]
    part: PartArgs,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

/// Answers the question whether to do it.
pub(super) const AUTO_APPROVE: &str = "-auto-approve";

#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    #[command(flatten)]
    part: PartArgs,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RefreshArgs {
    #[command(flatten)]
    part: PartArgs,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// What every command has that plans a change and makes it.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    pub(super) inputs: InputArgs,
    /// Do it without a question
    #[arg(long)]
    auto_approve: bool,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

pub(crate) async fn run(args: &ApplyArgs, invocation: &Invocation) -> Outcome {
    if let Some(path) = &args.plan {
        for (flag, is_given) in [("destroy", args.destroy), ("refresh-only", args.refresh_only)] {
            if is_given {
                return Err(
                    anyhow!("a saved plan says what it is for; leave -{flag} away, or plan again with it").into()
                );
            }
        }
        if !args.replace.read()?.is_empty() {
            return Err(anyhow!("a saved plan says what is replaced; leave -replace away").into());
        }
        if args.part.read(invocation)? != Selection::Everything {
            return Err(anyhow!("a saved plan says what it is for; leave -target and -exclude away").into());
        }
        let common = &args.change.common;
        let mut saved = SavedPlan::open(&invocation.host, &invocation.root, path, args.change.inputs.given())?;
        saved.check_given(args.change.inputs.given())?;
        let proposed =
            change::propose_saved(&saved, &common.state.of(&saved.stack, &saved.inputs)?, common.parallelism).await?;
        let ui = &*invocation.ui;
        ui.views().for_each(|view| view.begun(proposed.plan()));
        return Ok(report(ui, &proposed.make().await?, None));
    }
    let goal = goal(args.destroy, args.refresh_only);
    run_planned(goal, &args.replace, &args.part, &args.change, invocation).await
}

pub(crate) async fn run_destroy(args: &DestroyArgs, invocation: &Invocation) -> Outcome {
    run_planned(Goal::Nothing, &ReplaceArgs::default(), &args.part, &args.change, invocation).await
}

pub(crate) async fn run_refresh(args: RefreshArgs, invocation: &Invocation) -> Outcome {
    let RefreshArgs { part, inputs, common } = args;
    let change = ChangeArgs { inputs, auto_approve: true, common };
    run_planned(Goal::Record, &ReplaceArgs::default(), &part, &change, invocation).await
}

async fn run_planned(
    goal: Goal,
    replace: &ReplaceArgs,
    part: &PartArgs,
    args: &ChangeArgs,
    invocation: &Invocation,
) -> Outcome {
    let mut stack = invocation.stack()?;
    let inputs = stack.inputs(args.inputs.given())?;
    let (replaced, selection) = (replace.read()?, part.read(invocation)?);
    let mut request = PlanRequest { replace: replaced, selection, ..args.common.request(&stack, inputs, goal)? };
    let command = |not_done: &[String]| {
        part.flags(replace.repeated(invocation.proposal_to(goal), |address| not_done.contains(address)))
    };
    let unfold = match goal {
        Goal::Configuration => invocation.proposal("plan"),
        Goal::Nothing => invocation.proposal("plan").argument("-destroy"),
        Goal::Record => invocation.proposal("plan").argument("-refresh-only"),
    };
    let unfold = part.flags(replace.repeated(unfold, |_| true));
    let mut before = BTreeMap::new();
    loop {
        let proposed = change::propose(&stack, &request).await?;
        let deferred = proposed.plan().deferred.clone();
        if !deferred.is_empty() && deferred == before {
            proposed.leave().await?;
            let names: Vec<String> = deferred.keys().map(ToString::to_string).collect();
            return Err(anyhow!(
                "an apply did not make known how many there are of {}; what was done is recorded",
                names.join(", ")
            )
            .into());
        }
        let left = if before.is_empty() { NOTHING } else { "nothing more was changed" };
        let done =
            agree_and_make(&stack, proposed, args, Ways { unfold: unfold.clone(), again: &command }, left, invocation)
                .await?;
        if done != exit::SUCCESS || deferred.is_empty() {
            return Ok(done);
        }
        // What is replaced on request has been, but for what was put off.
        request.replace.retain(|addr| deferred.contains_key(&addr.resource()));
        before = deferred;
    }
}

/// The command that goes on, by the addresses of what was not done.
pub(super) type Again<'a> = &'a (dyn Fn(&[String]) -> Proposal + Sync);

/// What is said where nobody agreed.
pub(super) const NOTHING: &str = "nothing was changed";

/// Commands about a change, but for the flags that all have.
pub(super) struct Ways<'a> {
    /// Shows all of it.
    pub(super) unfold: Proposal,
    /// Goes on with it where it was cut off.
    pub(super) again: Again<'a>,
}

/// A change is shown, asked about, and made. `left` is said where nobody agrees.
pub(super) async fn agree_and_make(
    stack: &Stack,
    proposed: Proposed<'_>,
    args: &ChangeArgs,
    ways: Ways<'_>,
    left: &str,
    invocation: &Invocation,
) -> Outcome {
    let (ui, common) = (&*invocation.ui, &args.common);
    let plan = proposed.plan();
    let unfold = common.flags(ways.unfold, args.inputs.given(), stack).argument("-detail");
    show_plan(ui, stack, plan, false, common.fold(ui, unfold));
    if !plan.is_empty()
        && !args.auto_approve
        && (!ui.has_people() || !common.input || !ui.confirm(&question(plan), AUTO_APPROVE).await)
    {
        proposed.leave().await?;
        if !common.input {
            ui.error(&format!("-input=false: nobody may be asked; use {AUTO_APPROVE} to go on without a question"));
        }
        ui.error(left);
        return Err(Failure::Told);
    }
    ui.views().for_each(|view| view.begun(plan));
    let made = proposed.make().await?;
    let again = |not_done: &[String]| {
        common.flags((ways.again)(not_done), args.inputs.given(), stack).argument_if(args.auto_approve, AUTO_APPROVE)
    };
    Ok(report(ui, &made, Some(&again)))
}

/// Names what is lost by a yes.
fn question(plan: &Plan) -> String {
    let data = show::data(plan);
    let what = match plan.goal {
        Goal::Configuration => "Do this",
        Goal::Nothing => "Remove all of this",
        Goal::Record => "Record this",
    };
    let lost = data.iter().filter(|(_, change)| change.fate == Fate::Deleted);
    let lost: Vec<&str> = lost.map(|(_, change)| change.what.as_str()).collect();
    if !lost.is_empty() {
        return format!("\n{what}, and DELETE {} for good? There is no way back.", lost.join(" and "));
    }
    let is_kept = data.iter().any(|(_, change)| change.fate == Fate::Kept);
    match plan.is_destroy() {
        false => format!("\n{what}?"),
        true if is_kept => format!("\n{what}? The data is kept, as said above."),
        true => format!("\n{what}? There is no way back."),
    }
}

/// What was made, and how to go on where that is not all. Returns the exit code.
fn report(ui: &Ui, made: &Made, again: Option<Again<'_>>) -> u8 {
    let onward = match again {
        Some(again) => format!("To go on: {}", again(&made.summary.not_done).text()),
        None => "To go on, plan again as this plan was made, and apply that.".to_owned(),
    };
    ui.views().for_each(|view| view.made(made, &onward));
    if let Some(text) = &made.summary.unwritten {
        // On its own, so that it can be copied.
        print::line(&format!("\n{text}"));
    }
    match &made.unsent {
        Some(Failure::Error(error)) => ui.error(&format!("{error:#}")),
        Some(Failure::Told) | None => {}
    }
    if made.has_failed || made.unsent.is_some() { exit::FAILURE } else { exit::SUCCESS }
}
