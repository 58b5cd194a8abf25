//! `lampwright apply` and `lampwright destroy`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::anyhow;
use app::change::{self, Made, Proposed};
use app::failure::Failure;
use app::planning::{PlanRequest, SavedPlan};
use app::stack::Stack;
use clap::Args;
use compiler::console;
use engine::plan::part::Selection;
use engine::plan::show::{self, DataChange, Fate, ShowOptions};
use engine::plan::{Goal, Plan};
use engine::state::State;

use super::plan::{CommonArgs, PartArgs, ReplaceArgs, goal, show_plan};
use super::{InputArgs, Outcome};
use crate::invocation::Invocation;
use crate::print;
use crate::proposal::Proposal;
use crate::ui::Ui;
use crate::{exit, json};

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
        return Ok(report(&invocation.ui, proposed.make().await?, None));
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
        let done = agree_and_make(&stack, proposed, args, &command, left, invocation).await?;
        if done != exit::SUCCESS || deferred.is_empty() {
            return Ok(done);
        }
        // What is replaced on request has been.
        request.replace.clear();
        before = deferred;
    }
}

/// The command that goes on, by the addresses of what was not done.
type Again<'a> = &'a (dyn Fn(&[String]) -> Proposal + Sync);

/// What is said where nobody agreed.
pub(super) const NOTHING: &str = "nothing was changed";

/// A change is shown, asked about, and made. `command` goes on with it where it was cut off; `left` is said where nobody agrees.
pub(super) async fn agree_and_make(
    stack: &Stack,
    proposed: Proposed<'_>,
    args: &ChangeArgs,
    command: Again<'_>,
    left: &str,
    invocation: &Invocation,
) -> Outcome {
    let (ui, common) = (&*invocation.ui, &args.common);
    let plan = proposed.plan();
    show_plan(ui, stack, plan, ShowOptions::default());
    let needs_work = !plan.is_empty();
    if needs_work
        && !args.auto_approve
        && (ui.is_json || !common.input || !ui.confirm(&question(plan), AUTO_APPROVE).await)
    {
        proposed.leave().await?;
        if !common.input {
            ui.error(&format!("-input=false: nobody may be asked; use {AUTO_APPROVE} to go on without a question"));
        }
        ui.error(left);
        return Err(Failure::Told);
    }
    if needs_work && !ui.is_json {
        print::line("");
    }
    let made = proposed.make().await?;
    let again = |not_done: &[String]| {
        common.flags(command(not_done), args.inputs.given(), stack).argument_if(args.auto_approve, AUTO_APPROVE)
    };
    Ok(report(ui, made, Some(&again)))
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
fn report(ui: &Ui, made: Made, again: Option<Again<'_>>) -> u8 {
    if ui.is_json {
        json::summary("apply", made.summary.added, made.summary.changed, made.summary.destroyed);
    } else {
        summary(&made, again);
    }
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

fn summary(made: &Made, again: Option<Again<'_>>) {
    let verb = match (made.goal, made.has_failed) {
        (_, true) => "Stopped",
        (Goal::Configuration, false) => "Applied",
        (Goal::Nothing, false) => "Destroyed",
        (Goal::Record, false) => "Recorded",
    };
    let engine::apply::Summary { added, changed, destroyed, not_done, forgotten, imported, unwritten } = &made.summary;
    let elapsed = made.elapsed.as_secs_f64();
    let imported = if *imported > 0 { format!("{imported} imported, ") } else { String::new() };
    let forgotten = if *forgotten > 0 { format!(", {forgotten} forgotten") } else { String::new() };
    print::line(&format!(
        "\n{verb} in {elapsed:.1} s: {imported}{added} added, {changed} changed, {destroyed} destroyed{forgotten}."
    ));
    if !not_done.is_empty() {
        print::line(&format!("Not done: {}.", not_done.join(", ")));
        // Where it is not recorded, the errors above say so.
        if unwritten.is_none() {
            let then = match again {
                Some(again) => format!("To go on: {}", again(not_done).text()),
                None => "To go on, plan again as this plan was made, and apply that.".to_owned(),
            };
            print::line(&format!("What was done is recorded. {then}"));
        }
    }
    if !made.has_failed && !made.deferred.is_empty() {
        let names: Vec<String> = made.deferred.keys().map(ToString::to_string).collect();
        let then = if again.is_some() { "an apply goes on with it" } else { "plan again, and apply that" };
        print::line(&format!("Put off until now: {}; {then}.", names.join(", ")));
    }
    if !made.has_failed {
        show_kept(&made.data);
        show_outputs(&made.state);
    }
}

/// Where data is now, and the way back to it.
fn show_kept(data: &[(String, DataChange)]) {
    let kept = data.iter().filter(|(_, change)| matches!(change.fate, Fate::Kept | Fate::LeftBehind));
    for (address, change) in kept.filter(|(_, change)| !change.way_back.is_empty()) {
        print::line(&format!("\n{address}: {}.\n{}", change.text, change.way_back));
    }
}

fn show_outputs(state: &State) {
    if state.outputs.is_empty() {
        return;
    }
    print::line("");
    for (name, output) in &state.outputs {
        let shown = if output.sensitive { "(sensitive value)".to_owned() } else { console::show(&output.value) };
        print::line(&format!("{name} = {shown}"));
    }
}
