//! `lampwright plan`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use app::failure::Result;
use app::inputs::Given;
use app::planning::{self, PARALLELISM, PlanRequest};
use app::stack::Stack;
use app::state::{self, Locking, STATE, StateAt};
use clap::Args;
use compiler::Inputs;
use compiler::addr::{InstanceAddr, Selector};
use engine::plan::part::Selection;
use engine::plan::show::{Fold, ShowOptions};
use engine::plan::{Goal, Plan, Refresh};

use super::{InputArgs, Outcome};
use crate::environment::variable;
use crate::invocation::Invocation;
use crate::proposal::Proposal;
use crate::ui::{Json, Ui};
use crate::{exit, flags};

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
    /// Plan to record what there is, and to change nothing that exists
    #[arg(long, conflicts_with = "destroy")]
    refresh_only: bool,
    /// Exit with 2 if there is something to do, 0 if not, 1 on errors
    #[arg(long)]
    detailed_exitcode: bool,
    /// Write blocks for what `import` blocks name and the stack does not describe yet to a new file, and plan with them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["destroy", "refresh_only"])]
    generate_config_out: Option<PathBuf>,
    /// Show the whole text of new files, too
    #[arg(long)]
    files: bool,
    #[command(flatten)]
    replace: ReplaceArgs,
    #[command(flatten)]
    part: PartArgs,
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

/// A part of the stack.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PartArgs {
    /// Plan only for this module, resource or instance, and for what it needs; may be given several times
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["exclude", "exclude_file"])]
    target: Vec<String>,
    /// Plan for everything but this module, resource or instance, and what needs it; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    exclude: Vec<String>,
    /// As -target for every line of a file; # begins a comment
    #[arg(long, value_name = "FILE", conflicts_with_all = ["exclude", "exclude_file"])]
    target_file: Vec<PathBuf>,
    /// As -exclude for every line of a file; # begins a comment
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,
}

impl PartArgs {
    pub(super) fn read(&self, invocation: &Invocation) -> anyhow::Result<Selection> {
        let parse = |text: &str, place: &str| {
            let what = "a module, a resource or an instance; write it like module.shop, lamp_cluster.web or lamp_cluster.web[0]";
            Selector::parse(text).with_context(|| format!("{place}{text:?} is no address of {what}"))
        };
        let all = |addresses: &[String], files: &[PathBuf]| {
            let mut found: Vec<Selector> = addresses.iter().map(|text| parse(text, "")).collect::<Result<_, _>>()?;
            for path in files {
                let text = std::fs::read_to_string(invocation.path(path));
                let text = text.with_context(|| format!("cannot read {}", path.display()))?;
                for (number, line) in text.lines().enumerate() {
                    // Within a key it is no comment.
                    let line = line.trim();
                    let comment = if line.starts_with('#') { Some(0) } else { line.find(" #") };
                    let address = line[..comment.unwrap_or(line.len())].trim();
                    if !address.is_empty() {
                        found.push(parse(address, &format!("{}:{}: ", path.display(), number + 1))?);
                    }
                }
            }
            anyhow::Ok(found)
        };
        let (only, all_but) = (all(&self.target, &self.target_file)?, all(&self.exclude, &self.exclude_file)?);
        let has_files = !self.target_file.is_empty() || !self.exclude_file.is_empty();
        Ok(match (only.is_empty(), all_but.is_empty()) {
            (false, _) => Selection::Only(only),
            (true, false) => Selection::AllBut(all_but),
            (true, true) if has_files => anyhow::bail!("the file has no address, so nothing is selected"),
            (true, true) => Selection::Everything,
        })
    }

    /// A command for the same part.
    pub(super) fn flags(&self, mut proposal: Proposal) -> Proposal {
        for (flag, values) in [("target", &self.target), ("exclude", &self.exclude)] {
            proposal = values.iter().fold(proposal, |all, address| all.argument(format!("-{flag}={address}")));
        }
        for (flag, files) in [("target-file", &self.target_file), ("exclude-file", &self.exclude_file)] {
            proposal = files.iter().fold(proposal, |all, path| all.argument(format!("-{flag}={}", path.display())));
        }
        proposal
    }
}

/// Whether a program reads along.
#[derive(Debug, Clone, Args)]
pub(crate) struct JsonArgs {
    /// Machine-readable: one JSON object a line
    #[arg(long)]
    json: bool,
    /// Write what -json prints to a file, too, beside the text for people
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    json_into: Option<PathBuf>,
}

impl JsonArgs {
    pub(super) fn read(&self) -> Json {
        match &self.json_into {
            Some(path) => Json::Into(path.clone()),
            None if self.json => Json::Instead,
            None => Json::No,
        }
    }
}

/// Flags of plan, apply and destroy.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommonArgs {
    #[command(flatten)]
    pub(super) json: JsonArgs,
    /// Show every change and every line of it, where a terminal gets only so much
    #[arg(long)]
    pub(super) detail: bool,
    /// How many objects to work on at once
    #[arg(long, default_value_t = PARALLELISM, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) parallelism: u16,
    /// Whether to ask the providers what exists; false believes the state, but for what it does not know; minimal asks only
    /// where something changes
    #[arg(long, default_value = "true", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL|minimal", value_parser = refresh)]
    pub(super) refresh: Refresh,
    /// Whether what depends on a `count` or `for_each` that is not known yet is put off; false makes it an error
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, require_equals = true, value_name = "BOOL")]
    pub(super) allow_deferral: bool,
    /// Show warnings by their summaries, where there is no error
    #[arg(long)]
    pub(super) compact_warnings: bool,
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Accepted for compatibility; nothing is ever asked but for a confirmation
    #[arg(long, hide = true, default_value_t = true, action = clap::ArgAction::Set, require_equals = true)]
    pub(super) input: bool,
}

/// Which state is changed, and whether alone.
#[derive(Debug, Clone, Args)]
pub(crate) struct StateArgs {
    /// The file of the state, where no backend keeps it; terraform.tfstate if not set
    #[arg(long, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,
    #[command(flatten)]
    lock: LockArgs,
}

/// Whether a state is changed alone.
#[derive(Debug, Clone, Args)]
pub(crate) struct LockArgs {
    /// Whether to keep other runs away from the state meanwhile; false is for file systems without locks
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, require_equals = true, value_name = "BOOL")]
    lock: bool,
    /// How long to wait for another run that works on the state, such as 30s or 5m
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = flags::time)]
    lock_timeout: Duration,
}

impl LockArgs {
    pub(super) fn read(&self) -> Locking {
        Locking { lock: self.lock, patience: self.lock_timeout }
    }
}

impl StateArgs {
    pub(super) fn of(&self, stack: &Stack, inputs: &Inputs) -> Result<StateAt> {
        Ok(self.locked(stack.state(inputs, self.state.as_deref())?))
    }

    /// Of a command that does not read the stack.
    pub(super) fn last(&self, invocation: &Invocation) -> Result<StateAt> {
        Ok(self.locked(state::last(&invocation.host, &invocation.root, self.state.as_deref())?))
    }

    /// Another state, locked as these say.
    pub(super) fn locked(&self, at: StateAt) -> StateAt {
        at.locking(self.lock.read())
    }

    fn flags(&self, proposal: Proposal) -> Proposal {
        let proposal = match self.state.as_deref().filter(|path| *path != Path::new(STATE)) {
            Some(path) => proposal.argument(format!("-state={}", path.display())),
            None => proposal,
        };
        let Locking { lock, patience } = self.lock.read();
        let proposal = proposal.argument_if(!lock, "-lock=false");
        proposal.argument_if(!patience.is_zero(), format!("-lock-timeout={patience:?}"))
    }
}

pub(super) fn goal(destroys: bool, records: bool) -> Goal {
    match (destroys, records) {
        (true, _) => Goal::Nothing,
        (false, true) => Goal::Record,
        (false, false) => Goal::Configuration,
    }
}

pub(crate) async fn run(args: &PlanArgs, invocation: &Invocation) -> Outcome {
    let mut stack = invocation.stack()?;
    let inputs = stack.inputs(args.inputs.given())?;
    let goal = goal(args.destroy, args.refresh_only);
    let (replace, selection) = (args.replace.read()?, args.part.read(invocation)?);
    let request = PlanRequest { replace, selection, ..args.common.request(&stack, inputs, goal)? };
    let mut plan = match &args.generate_config_out {
        None => planning::plan(&stack, &request).await?,
        Some(path) => {
            if invocation.root.at(path).exists() {
                return Err(anyhow!("{} is there already; name a new file, or remove it first", path.display()).into());
            }
            planning::plan(&stack, &PlanRequest { describe: true, ..request.clone() }).await?
        }
    };
    if let Some(path) = &args.generate_config_out
        && planning::write_described(&invocation.root, &plan, path)?
    {
        let names: Vec<String> = plan.described.iter().map(|described| described.addr.to_string()).collect();
        let (path, names) = (path.display(), names.join(", "));
        invocation.ui.say(&format!(
            "{path} was written, with {names}: read it, and keep what you mean.
"
        ));
        stack = invocation.stack()?;
        plan = planning::plan(&stack, &request).await?;
    }
    let ui = &*invocation.ui;
    let whole = |proposal| {
        args.common.flags(args.part.flags(args.replace.repeated(proposal, |_| true)), args.inputs.given(), &stack)
    };
    let again = || {
        let plan = invocation.proposal("plan").argument_if(args.destroy, "-destroy");
        whole(plan.argument_if(args.refresh_only, "-refresh-only"))
    };
    let unfold = match &args.out {
        Some(path) => invocation.proposal("show").argument(path.to_string_lossy()),
        None => again(),
    };
    let unfold = unfold.argument_if(args.files, "-files").argument("-detail");
    show_plan(ui, &stack, &plan, args.files, args.common.fold(ui, unfold));
    if let Some(path) = &args.out {
        planning::save(&stack, &plan, &request, path)?;
        let apply = invocation.proposal("apply").argument(path.to_string_lossy());
        ui.say(&format!("\nSaved. To do exactly this: {}", args.common.state.flags(apply).text()));
    } else if !plan.is_empty() && !args.files && variable("TF_IN_AUTOMATION").is_none() {
        let apply = whole(invocation.proposal_to(goal));
        let files = match goal {
            Goal::Configuration | Goal::Nothing => {
                format!("; `{}` shows the text of every new file", again().argument("-files").text())
            }
            Goal::Record => String::new(),
        };
        ui.say(&format!("\n`{}` does it{files}.", apply.text()));
    }
    Ok(if args.detailed_exitcode && !plan.is_empty() { exit::CHANGES } else { exit::SUCCESS })
}

impl CommonArgs {
    pub(super) fn request(&self, stack: &Stack, inputs: Inputs, goal: Goal) -> Result<PlanRequest> {
        let parallelism = self.parallelism;
        let state = self.state.of(stack, &inputs)?;
        let may_defer = self.allow_deferral;
        Ok(PlanRequest { refresh: self.refresh, may_defer, parallelism, ..PlanRequest::new(inputs, state, goal) })
    }

    /// `unfold` is the command that shows all.
    pub(super) fn fold(&self, ui: &Ui, unfold: Proposal) -> Option<Fold> {
        fold(ui, self.detail, unfold)
    }

    /// As these were given.
    pub(super) fn flags(&self, proposal: Proposal, inputs: &[Given], stack: &Stack) -> Proposal {
        self.state
            .flags(proposal.inputs(inputs, &stack.program))
            .argument_if(self.refresh == Refresh::InDoubt, "-refresh=false")
            .argument_if(!self.allow_deferral, "-allow-deferral=false")
            .argument_if(self.refresh == Refresh::Changed, "-refresh=minimal")
            .argument_if(self.parallelism != PARALLELISM, format!("-parallelism={}", self.parallelism))
            .argument_if(self.compact_warnings, "-compact-warnings")
    }
}

fn refresh(text: &str) -> Result<Refresh, String> {
    match (text, flags::boolean(text)) {
        ("minimal", _) => Ok(Refresh::Changed),
        (_, Some(true)) => Ok(Refresh::Everything),
        (_, Some(false)) => Ok(Refresh::InDoubt),
        (_, None) => Err("it is true, false or minimal".to_owned()),
    }
}

pub(super) fn show_plan(ui: &Ui, stack: &Stack, plan: &Plan, files: bool, fold: Option<Fold>) {
    let options = ShowOptions { files, fold };
    ui.views().for_each(|view| view.planned(plan, &stack.name(), &options));
}

/// On a terminal a plan is as long as somebody can read. What reads a pipe may look for any line of it.
pub(super) fn fold(ui: &Ui, detail: bool, unfold: Proposal) -> Option<Fold> {
    (ui.terminal().is_read && !detail).then(|| Fold { unfold: unfold.text() })
}
