//! `lampwright state`: what the state says, and changes of it by hand.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use app::failure::Result;
use app::state;
use app::surgery;
use clap::{Args, Subcommand};
use compiler::addr::ProviderSource;
use engine::state::{InstanceState, State, file};
use serde_json::Value as Json;

use super::apply::AUTO_APPROVE;
use super::{Outcome, show};
use crate::invocation::Invocation;
use crate::{exit, print};

/// Look at the state, and change it by hand
///
/// Nothing that exists is touched: only what the state knows of it changes. The state of before is kept beside it, with
/// .backup at its end; of one that a backend keeps, beside its copy in .lampwright/states.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct StateArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the addresses of objects
    List(ListArgs),
    /// Print an object with its attributes
    Show(ShowArgs),
    /// Give objects another address, when their block has got another name or another place
    Mv(MvArgs),
    /// Let another provider manage what one has made
    ReplaceProvider(ReplaceProviderArgs),
    /// Forget objects: what exists of them goes on, and nothing here manages it any more
    Rm(RmArgs),
    /// Print the state as a file has it
    Pull(PullArgs),
    /// Put a file into the place of the state
    Push(PushArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only what these mean: a module, a resource, or an instance
    addresses: Vec<String>,
    /// Only objects whose attribute `id` is this
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    look: LookArgs,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Such as lamp_cluster.web or module.shop.lamp_cluster.web[0]
    address: String,
    #[command(flatten)]
    look: LookArgs,
}

#[derive(Debug, Args)]
struct PullArgs {
    #[command(flatten)]
    look: LookArgs,
}

#[derive(Debug, Args)]
struct LookArgs {
    /// The file of the state, where no backend keeps it; terraform.tfstate if not set
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct MvArgs {
    /// A module, a resource, or an instance
    from: String,
    /// What it is called from now on; of the same kind
    to: String,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Into the state in this file, which may be new
    #[arg(long, value_name = "FILE", conflicts_with = "stack_out")]
    state_out: Option<PathBuf>,
    /// Into the state of the stack in this folder, wherever that is
    #[arg(long, value_name = "DIR")]
    stack_out: Option<PathBuf>,
    #[command(flatten)]
    change: super::plan::StateArgs,
}

#[derive(Debug, Args)]
struct ReplaceProviderArgs {
    /// Such as registry.terraform.io/hashicorp/aws, or hashicorp/aws
    from: String,
    /// The one that manages its objects from now on
    to: String,
    /// Do it without a question
    #[arg(long)]
    auto_approve: bool,
    #[command(flatten)]
    change: super::plan::StateArgs,
}

#[derive(Debug, Args)]
struct RmArgs {
    /// Modules, resources, or instances
    #[arg(required = true)]
    addresses: Vec<String>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    change: super::plan::StateArgs,
}

#[derive(Debug, Args)]
struct PushArgs {
    /// A state file, or - for standard input
    file: PathBuf,
    /// Also if it is older, or of another history
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    change: super::plan::StateArgs,
}

pub(crate) async fn run(args: &StateArgs, invocation: &Invocation) -> Outcome {
    match &args.command {
        Command::List(args) => list(args, invocation).await,
        Command::Show(args) => show(args, invocation).await,
        Command::Mv(args) => mv(args, invocation).await,
        Command::ReplaceProvider(args) => replace_provider(args, invocation).await,
        Command::Rm(args) => rm(args, invocation).await,
        Command::Pull(args) => {
            print::whole(&file::encode(&args.look.peek(invocation).await?))?;
            Ok(exit::SUCCESS)
        }
        Command::Push(args) => push(args, invocation).await,
    }
}

impl LookArgs {
    async fn peek(&self, invocation: &Invocation) -> Result<State> {
        invocation.state(self.state.as_deref())?.peek(&invocation.host).await
    }
}

async fn list(args: &ListArgs, invocation: &Invocation) -> Outcome {
    let state = args.look.peek(invocation).await?;
    let mut meant = BTreeSet::new();
    for address in &args.addresses {
        meant.extend(surgery::meant(&state, address)?);
    }
    let is_meant = |addr: &_| args.addresses.is_empty() || meant.contains(addr);
    let has_id = |object: &InstanceState| {
        args.id.as_deref().is_none_or(|id| object.attributes.get("id").and_then(Json::as_str) == Some(id))
    };
    let found = state.instances.iter().filter(|(addr, object)| is_meant(*addr) && has_id(object));
    found.for_each(|(addr, _)| print::line(&addr.to_string()));
    Ok(exit::SUCCESS)
}

async fn show(args: &ShowArgs, invocation: &Invocation) -> Outcome {
    let state = args.look.peek(invocation).await?;
    let meant = surgery::meant(&state, &args.address)?;
    let mut objects = state.instances.iter().filter(|(addr, _)| meant.contains(addr));
    let (Some((addr, instance)), None) = (objects.next(), objects.next()) else {
        let known: Vec<String> = meant.iter().map(ToString::to_string).collect();
        return Err(anyhow!("{} is not one object. There is: {}", args.address, known.join(", ")).into());
    };
    show::object(addr, instance);
    Ok(exit::SUCCESS)
}

async fn mv(args: &MvArgs, invocation: &Invocation) -> Outcome {
    let (host, at) = (&*invocation.host, args.change.last(invocation)?);
    let other = match (&args.state_out, &args.stack_out) {
        (Some(file), _) => Some(state::beside(&invocation.host, &invocation.root, file)?),
        (None, Some(folder)) => Some(state::last(&invocation.host, &invocation.root.below(folder), None)?),
        (None, None) => None,
    };
    let (moves, place) = match other {
        Some(other) => {
            let other = args.change.locked(other);
            let moves = surgery::transfer(host, &at, &other, &args.from, &args.to, args.dry_run).await?;
            (moves, format!(" in {}", other.shown()))
        }
        None => (surgery::rename(host, &at, &args.from, &args.to, args.dry_run).await?, String::new()),
    };
    let would = if args.dry_run { "would become" } else { "is now" };
    moves.iter().for_each(|(from, to)| print::line(&format!("{from} {would} {to}{place}")));
    Ok(exit::SUCCESS)
}

async fn replace_provider(args: &ReplaceProviderArgs, invocation: &Invocation) -> Outcome {
    let parse = |text: &str| {
        let source = ProviderSource::parse(text);
        source.with_context(|| format!("{text:?} is no provider; write it like hashicorp/aws"))
    };
    let (from, to) = (parse(&args.from)?, parse(&args.to)?);
    let at = args.change.last(invocation)?;
    let replaced = |is_trial| surgery::replace_provider(&invocation.host, &at, &from, &to, is_trial);
    let objects = |count| if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
    if !args.auto_approve {
        let count = replaced(true).await?;
        let question = format!("\nLet {to} manage {} of {from}?", objects(count));
        if !invocation.ui.confirm(&question, AUTO_APPROVE).await {
            invocation.ui.error("nothing was changed");
            return Ok(exit::FAILURE);
        }
    }
    let count = replaced(false).await?;
    print::line(&format!("{to} manages {} of {from} now.", objects(count)));
    Ok(exit::SUCCESS)
}

async fn rm(args: &RmArgs, invocation: &Invocation) -> Outcome {
    let gone = surgery::remove(&invocation.host, &args.change.last(invocation)?, &args.addresses, args.dry_run).await?;
    let would = if args.dry_run { "would be forgotten" } else { "is forgotten" };
    gone.iter().for_each(|addr| print::line(&format!("{addr} {would}")));
    if !args.dry_run {
        print::line("What exists of it goes on. `lampwright import ADDRESS ID` takes it back.");
    }
    Ok(exit::SUCCESS)
}

async fn push(args: &PushArgs, invocation: &Invocation) -> Outcome {
    let mut text = Vec::new();
    let what = args.file.display().to_string();
    if args.file == Path::new("-") {
        std::io::stdin().read_to_end(&mut text).context("cannot read standard input")?;
    } else {
        text = std::fs::read(invocation.path(&args.file)).with_context(|| format!("cannot read {what}"))?;
    }
    let new = file::parse(&args.file, &text)?;
    let at = args.change.last(invocation)?;
    let cure = (!args.force).then_some("-force puts it there all the same");
    surgery::replace(&invocation.host, &at, new, &what, cure, "state push").await?;
    print::line(&format!("{} is now what {what} has.", at.shown()));
    Ok(exit::SUCCESS)
}
