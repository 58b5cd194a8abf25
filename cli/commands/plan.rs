//! `lampwright plan`, and the planning that apply and destroy begin with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use compiler::Inputs;
use compiler::addr::InstanceAddr;
use compiler::diag::Diagnostics;
use compiler::source::SourceMap;
use engine::event::Event;
use engine::plan::show::{ShowOptions, show};
use engine::plan::{self, Goal, Plan, PlanOptions, Refresh, file};
use engine::run::Run;
use engine::state::store::{self, Known, Store, View};
use tokio::sync::mpsc;

use super::InputArgs;
use crate::environment::variable;
use crate::proposal::Proposal;
use crate::recovered::{self, Reader};
use crate::session::{STATE, Session, Shown};
use crate::{exit, json, ui};

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(super) inputs: InputArgs,
    /// Save the plan to a file, for `apply FILE`; it may hold secrets
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Plan to remove everything
    #[arg(long)]
    destroy: bool,
    /// Exit with 2 if there is something to do, 0 if not, 1 on errors
    #[arg(long)]
    detailed_exitcode: bool,
    /// Show the whole text of new files, too
    #[arg(long)]
    files: bool,
    #[command(flatten)]
    replace: ReplaceArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// Objects that are replaced on request.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ReplaceArgs {
    /// Replace this object, though nothing of it changes; may be given several times
    #[arg(long = "replace", value_name = "ADDRESS")]
    addresses: Vec<String>,
}

impl ReplaceArgs {
    pub(super) fn read(&self) -> anyhow::Result<BTreeSet<InstanceAddr>> {
        let parse = |text: &String| {
            let addr = InstanceAddr::parse(text);
            addr.with_context(|| format!("{text:?} is no address of an object; write it like lamp_cluster.web"))
        };
        self.addresses.iter().map(parse).collect()
    }

    /// A command that asks for it, too; of some of them.
    pub(super) fn repeated(&self, proposal: Proposal, is_meant: impl Fn(&String) -> bool) -> Proposal {
        let meant = self.addresses.iter().filter(|address| is_meant(address));
        meant.fold(proposal, |proposal, address| proposal.argument(format!("-replace={address}")))
    }
}

/// Flags of plan, apply and destroy.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommonArgs {
    /// Machine-readable: one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
    /// How many objects to work on at once
    #[arg(long, default_value_t = PARALLELISM, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) parallelism: u16,
    /// Whether to ask the providers what exists; false believes the state, but for what it does not know
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub(super) refresh: bool,
    /// The file of the state
    #[arg(long, value_name = "FILE", default_value = STATE)]
    pub(super) state: PathBuf,
    /// Accepted for compatibility; nothing is ever asked but for a confirmation
    #[arg(long, hide = true, default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) input: bool,
    /// Whether to keep other runs away from the state meanwhile; false is for file systems without locks
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub(super) lock: bool,
}

pub(crate) async fn run(args: &PlanArgs) -> anyhow::Result<u8> {
    let Ok(mut session) = Session::open() else { return Ok(exit::FAILURE) };
    let Ok(inputs) = session.inputs(&args.inputs)? else { return Ok(exit::FAILURE) };
    let view = open_view("plan", &args.common)?;
    let goal = if args.destroy { Goal::Nothing } else { Goal::Configuration };
    let replace = args.replace.read()?;
    if args.destroy && !replace.is_empty() {
        bail!("-destroy removes everything, so nothing can be replaced; leave -replace away");
    }
    let options = PlanOptions { replace, ..PlanOptions::new(goal, args.common.refreshes()) };
    let Ok(planned) = make(&session, inputs.clone(), view.known(), options, &args.common).await else {
        return Ok(exit::FAILURE);
    };
    show_plan(&session, &planned.plan, &args.common, ShowOptions { files: args.files });
    planned.end().await;
    if let Some(path) = &args.out {
        file::write(path, &planned.plan, &session.sources, &inputs)?;
        if !args.common.json {
            let apply = Proposal::new("apply").argument(path.to_string_lossy());
            let apply = args.common.state_flags(apply);
            ui::line(&format!("\nSaved. To do exactly this: {}", apply.text()));
        }
    } else if !planned.plan.is_empty() && !args.common.json && !args.files && variable("TF_IN_AUTOMATION").is_none() {
        let all = |proposal| args.replace.repeated(proposal, |_| true);
        let apply = args.common.flags(all(Proposal::to(goal)), &args.inputs, &session);
        let plan = all(Proposal::new("plan").argument_if(args.destroy, "-destroy"));
        let plan = args.common.flags(plan, &args.inputs, &session).argument("-files");
        ui::line(&format!("\n`{}` does it; `{}` shows the text of every new file.", apply.text(), plan.text()));
    }
    Ok(if args.detailed_exitcode && !planned.plan.is_empty() { exit::CHANGES } else { exit::SUCCESS })
}

const PARALLELISM: u16 = 10;

impl CommonArgs {
    /// Of a command that only looks, at what the state says.
    pub(super) fn looking(state: PathBuf) -> CommonArgs {
        CommonArgs { json: false, parallelism: PARALLELISM, refresh: false, state, input: true, lock: false }
    }

    /// Of a command that changes the state, and nothing that exists.
    pub(super) fn changing(state: PathBuf, lock: bool) -> CommonArgs {
        CommonArgs { lock, ..CommonArgs::looking(state) }
    }

    /// The command that does what a plan with these flags shows.
    pub(super) fn proposal(&self, goal: Goal, inputs: &InputArgs, session: &Session) -> Proposal {
        self.flags(Proposal::to(goal), inputs, session)
    }

    /// As these were given.
    pub(super) fn flags(&self, proposal: Proposal, inputs: &InputArgs, session: &Session) -> Proposal {
        self.state_flags(proposal.inputs(inputs, &session.program))
            .argument_if(!self.refresh, "-refresh=false")
            .argument_if(self.parallelism != PARALLELISM, format!("-parallelism={}", self.parallelism))
    }

    /// Those that a saved plan does not know.
    fn state_flags(&self, proposal: Proposal) -> Proposal {
        proposal
            .argument_if(self.state != Path::new(STATE), format!("-state={}", self.state.display()))
            .argument_if(!self.lock, "-lock=false")
    }

    pub(super) fn refreshes(&self) -> Refresh {
        if self.refresh { Refresh::Everything } else { Refresh::InDoubt }
    }
}

/// The state, to look at. What an earlier run left unfinished is told, and left as it is.
pub(super) fn open_view(operation: &str, common: &CommonArgs) -> anyhow::Result<View> {
    let view = if common.lock { View::open(&common.state, operation)? } else { store::peek(&common.state)? };
    ui::diagnostics(&recovered::diagnostics(&view.recovered, Reader::Looks), &SourceMap::default());
    recovered::notes(&view.recovered, &view.state, Reader::Looks);
    Ok(view)
}

/// The state, open for a change. What an earlier run left unfinished is in it now, and told. None: something of that cannot
/// be read; before anything is made anew, a person has to know.
pub(super) fn open_store(operation: &str, common: &CommonArgs) -> anyhow::Result<Option<Store>> {
    let open = if common.lock { Store::open } else { Store::open_without_lock };
    let store = open(&common.state, operation)?;
    let diags = recovered::diagnostics(&store.recovered, Reader::Changes);
    ui::diagnostics(&diags, &SourceMap::default());
    recovered::notes(&store.recovered, store.state(), Reader::Changes);
    Ok((!diags.has_errors()).then_some(store))
}

/// A plan and the run that made it, with its providers still there.
pub(super) struct Planned {
    pub(super) plan: Plan,
    pub(super) run: Run,
    pub(super) shower: Shower,
}

impl Planned {
    pub(super) async fn end(&self) {
        self.run.providers.shutdown().await;
    }
}

/// Shows events while they happen.
#[derive(Debug)]
pub(super) struct Shower {
    task: tokio::task::JoinHandle<()>,
}

impl Shower {
    pub(super) fn start(is_json: bool) -> (mpsc::UnboundedSender<Event>, Shower) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                if is_json { json::event(&event) } else { ui::event(&event) }
            }
        });
        (sender, Shower { task })
    }

    /// Waits a moment for events that are still on their way.
    pub(super) async fn finish(self) {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(300), self.task).await;
    }
}

pub(super) async fn make(
    session: &Session,
    inputs: Inputs,
    known: Known<'_>,
    options: PlanOptions,
    common: &CommonArgs,
) -> Result<Planned, Shown> {
    let (events, shower) = Shower::start(common.json);
    let run = session.run_with_state(inputs, usize::from(common.parallelism), events, &known).await?;
    let (plan, diags) = plan::plan(&run, known.state, &options).await;
    show_diagnostics(session, &diags, common.json);
    if diags.has_errors() {
        run.providers.shutdown().await;
        return Err(Shown);
    }
    Ok(Planned { plan, run, shower })
}

pub(super) fn show_diagnostics(session: &Session, diags: &Diagnostics, is_json: bool) {
    if is_json { json::diagnostics(diags, &session.sources) } else { ui::diagnostics(diags, &session.sources) }
}

pub(super) fn show_plan(session: &Session, plan: &Plan, common: &CommonArgs, options: ShowOptions) {
    if common.json { json::planned(plan) } else { ui::plan(&show(plan, &session.name(), options)) }
}
