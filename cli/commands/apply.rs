//! `lampwright apply` and `lampwright destroy`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use clap::Args;
use compiler::addr::InstanceAddr;
use compiler::{Inputs, console};
use engine::apply;
use engine::plan::show::{self, DataChange, Fate, ShowOptions};
use engine::plan::{Goal, Plan, PlanOptions, file};
use engine::state::State;
use engine::state::store::Store;

use super::InputArgs;
use super::plan::{CommonArgs, Planned, ReplaceArgs, Shower, make, open_store, show_diagnostics, show_plan};
use crate::disk::Overlay;
use crate::proposal::Proposal;
use crate::recorded::Recorded;
use crate::session::Session;
use crate::{exit, json, ui};

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// A plan that `plan -out` has saved; it is done without a question
    plan: Option<PathBuf>,
    /// Remove everything, as `destroy` does
    #[arg(long)]
    destroy: bool,
    #[command(flatten)]
    replace: ReplaceArgs,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
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

pub(crate) async fn run(args: &ApplyArgs) -> anyhow::Result<u8> {
    if let Some(path) = &args.plan {
        if !args.change.inputs.is_empty() {
            bail!("a saved plan has its variables already; leave -var and -var-file away");
        }
        if !args.replace.read()?.is_empty() {
            bail!("a saved plan says what is replaced; leave -replace away");
        }
        return run_saved(path, &args.change.common).await;
    }
    let goal = if args.destroy { Goal::Nothing } else { Goal::Configuration };
    if args.destroy && !args.replace.read()?.is_empty() {
        bail!("-destroy removes everything, so nothing can be replaced; leave -replace away");
    }
    run_planned(goal, &args.replace, &args.change).await
}

pub(crate) async fn run_destroy(args: &ChangeArgs) -> anyhow::Result<u8> {
    run_planned(Goal::Nothing, &ReplaceArgs::default(), args).await
}

async fn run_planned(goal: Goal, replace: &ReplaceArgs, args: &ChangeArgs) -> anyhow::Result<u8> {
    let operation = if goal == Goal::Nothing { "destroy" } else { "apply" };
    let Ok(mut session) = Session::open() else { return Ok(exit::FAILURE) };
    let Ok(inputs) = session.inputs(&args.inputs)? else { return Ok(exit::FAILURE) };
    let Some(store) = open_store(operation, &args.common)? else { return Ok(exit::FAILURE) };
    let command = |not_done: &[String]| replace.repeated(Proposal::to(goal), |address| not_done.contains(address));
    let doing =
        Doing { goal, args, replace: replace.read()?, command: &command, environment: Vec::new(), recorded: None };
    plan_and_do(&session, inputs, store, &doing).await
}

/// The command that goes on, by the addresses of what was not done.
type Again<'a> = &'a (dyn Fn(&[String]) -> Proposal + Sync);

/// A change that is planned, shown, asked about, and made.
pub(super) struct Doing<'a> {
    pub(super) goal: Goal,
    pub(super) args: &'a ChangeArgs,
    pub(super) replace: BTreeSet<InstanceAddr>,
    /// Goes on with it where it was cut off.
    pub(super) command: Again<'a>,
    /// What plugins are told besides.
    pub(super) environment: Vec<(String, String)>,
    /// Values of variables that are written down before anything is made: what is cut off goes on with them.
    pub(super) recorded: Option<&'a Recorded>,
}

pub(super) async fn plan_and_do(
    session: &Session,
    inputs: Inputs,
    mut store: Store,
    doing: &Doing<'_>,
) -> anyhow::Result<u8> {
    let Doing { goal, args: ChangeArgs { inputs: given, auto_approve, common }, .. } = *doing;
    let mut known = store.known();
    known.environment.extend(doing.environment.iter().cloned());
    let options = PlanOptions { replace: doing.replace.clone(), ..PlanOptions::new(goal, common.refreshes()) };
    let Ok(planned) = make(session, inputs, known, options, common).await else { return Ok(exit::FAILURE) };
    show_plan(session, &planned.plan, common, ShowOptions::default());
    let question = question(goal, &planned.plan);
    let needs_work = !planned.plan.is_empty();
    if needs_work && !*auto_approve && (common.json || !common.input || !ui::confirm(&question)) {
        planned.end().await;
        if !common.input {
            ui::error("-input=false: nobody may be asked; use -auto-approve to go on without a question");
        }
        ui::error("nothing was changed");
        return Ok(exit::FAILURE);
    }
    if let Some(Err(error)) = doing.recorded.map(Recorded::write) {
        planned.end().await;
        return Err(error);
    }
    if needs_work && !common.json {
        ui::line("");
    }
    let again = |not_done: &[String]| {
        common.flags((doing.command)(not_done), given, session).argument_if(*auto_approve, "-auto-approve")
    };
    execute(session, planned, &mut store, goal, common, Some(&again)).await
}

/// Names what is lost by a yes.
fn question(goal: Goal, plan: &Plan) -> String {
    let data = show::data(plan);
    let what = match goal {
        Goal::Configuration => "Do this",
        Goal::Nothing => "Remove all of this",
    };
    let lost = data.iter().filter(|(_, change)| change.fate == Fate::Deleted);
    let lost: Vec<&str> = lost.map(|(_, change)| change.what.as_str()).collect();
    if !lost.is_empty() {
        return format!("\n{what}, and DELETE {} for good? There is no way back.", lost.join(" and "));
    }
    let is_kept = data.iter().any(|(_, change)| change.fate == Fate::Kept);
    match goal {
        Goal::Configuration => format!("\n{what}?"),
        Goal::Nothing if is_kept => format!("\n{what}? The data is kept, as said above."),
        Goal::Nothing => format!("\n{what}? There is no way back."),
    }
}

async fn run_saved(path: &Path, common: &CommonArgs) -> anyhow::Result<u8> {
    let saved = file::read(path)?;
    let Ok(session) = Session::with_loader(Arc::new(Overlay { texts: saved.sources.clone() })) else {
        return Ok(exit::FAILURE);
    };
    let Some(mut store) = open_store("apply", common)? else { return Ok(exit::FAILURE) };
    let (events, shower) = Shower::start(common.json);
    let Ok(run) =
        session.run_with_state(saved.inputs.clone(), usize::from(common.parallelism), events, &store.known()).await
    else {
        return Ok(exit::FAILURE);
    };
    let Some(plan) = file::decode(&saved, run.providers.schemas()) else {
        run.providers.shutdown().await;
        bail!("{} does not fit the providers that are installed now; plan again", path.display());
    };
    if is_stale(&plan, store.state()) {
        run.providers.shutdown().await;
        bail!("{} is stale: the state has changed since it was made; plan again", path.display());
    }
    let goal = if plan.is_destroy { Goal::Nothing } else { Goal::Configuration };
    execute(&session, Planned { plan, run, shower }, &mut store, goal, common, None).await
}

fn is_stale(plan: &Plan, state: &State) -> bool {
    plan.lineage != state.lineage || plan.serial != state.serial
}

async fn execute(
    session: &Session,
    planned: Planned,
    store: &mut Store,
    goal: Goal,
    common: &CommonArgs,
    again: Option<Again<'_>>,
) -> anyhow::Result<u8> {
    let started = Instant::now();
    let data = show::data(&planned.plan);
    let (summary, diags) = apply::apply(&planned.run, store, &planned.plan).await;
    planned.end().await;
    // The run holds the sender of events; without it the shower sees the end of them.
    let Planned { run, shower, .. } = planned;
    drop(run);
    shower.finish().await;
    show_diagnostics(session, &diags, common.json);
    if common.json {
        json::summary("apply", summary.added, summary.changed, summary.destroyed);
    } else {
        let verb = match (goal, diags.has_errors()) {
            (_, true) => "Stopped",
            (Goal::Configuration, false) => "Applied",
            (Goal::Nothing, false) => "Destroyed",
        };
        let apply::Summary { added, changed, destroyed, not_done, .. } = &summary;
        ui::line(&format!(
            "\n{verb} in {:.1} s: {added} added, {changed} changed, {destroyed} destroyed.",
            started.elapsed().as_secs_f64()
        ));
        if !not_done.is_empty() {
            ui::line(&format!("Not done: {}.", not_done.join(", ")));
            // Where it is not recorded, the errors above say so.
            if summary.unwritten.is_none() {
                let then = match again {
                    Some(again) => format!("To go on: {}", again(not_done).text()),
                    None => "To go on, plan again as this plan was made, and apply that.".to_owned(),
                };
                ui::line(&format!("What was done is recorded. {then}"));
            }
        }
        if !diags.has_errors() {
            show_kept(&data);
            show_outputs(store.state());
        }
    }
    if let Some(text) = &summary.unwritten {
        // On its own, so that it can be copied.
        ui::line(&format!("\n{text}"));
    }
    Ok(if diags.has_errors() { exit::FAILURE } else { exit::SUCCESS })
}

/// Where data is now, and the way back to it.
fn show_kept(data: &[(String, DataChange)]) {
    let kept = data.iter().filter(|(_, change)| matches!(change.fate, Fate::Kept | Fate::LeftBehind));
    for (address, change) in kept.filter(|(_, change)| !change.way_back.is_empty()) {
        ui::line(&format!("\n{address}: {}.\n{}", change.text, change.way_back));
    }
}

fn show_outputs(state: &State) {
    if state.outputs.is_empty() {
        return;
    }
    ui::line("");
    for (name, output) in &state.outputs {
        let shown = if output.sensitive { "(sensitive value)".to_owned() } else { console::show(&output.value) };
        ui::line(&format!("{name} = {shown}"));
    }
}
