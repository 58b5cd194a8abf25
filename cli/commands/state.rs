//! `lampwright state`: what the state says, and changes of it by hand.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use compiler::diag::suggest::closest;
use engine::state::store::Store;
use engine::state::{State, file, surgery};

use super::plan::{CommonArgs, open_store};
use super::show;
use crate::session::STATE;
use crate::{exit, recovered, ui};

/// Look at the state, and change it by hand
///
/// Nothing that exists is touched: only what the state knows of it changes. The state of before is kept beside it, with
/// .backup at its end.
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
    /// The state file
    #[arg(long, value_name = "FILE", default_value = STATE)]
    state: PathBuf,
}

#[derive(Debug, Args)]
struct ChangeArgs {
    /// The state file
    #[arg(long, value_name = "FILE", default_value = STATE)]
    state: PathBuf,
    /// Whether to keep others from changing the state meanwhile
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    lock: bool,
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
    #[command(flatten)]
    change: ChangeArgs,
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
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct PushArgs {
    /// A state file, or - for standard input
    file: PathBuf,
    /// Also if it is older, or of another history
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(crate) fn run(args: &StateArgs) -> anyhow::Result<u8> {
    match &args.command {
        Command::List(args) => list(args),
        Command::Show(args) => show(args),
        Command::Mv(args) => mv(args),
        Command::Rm(args) => rm(args),
        Command::Pull(args) => {
            ui::line(file::encode(&recovered::peek(&args.look.state)?).trim_end());
            Ok(exit::SUCCESS)
        }
        Command::Push(args) => push(args),
    }
}

fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let state = recovered::peek(&args.look.state)?;
    let mut meant = Vec::new();
    for address in &args.addresses {
        meant.extend(found(&state, address)?);
    }
    let is_meant = |addr: &_| args.addresses.is_empty() || meant.contains(addr);
    state.instances.keys().filter(|addr| is_meant(*addr)).for_each(|addr| ui::line(&addr.to_string()));
    Ok(exit::SUCCESS)
}

fn show(args: &ShowArgs) -> anyhow::Result<u8> {
    let state = recovered::peek(&args.look.state)?;
    let meant = found(&state, &args.address)?;
    let mut objects = state.instances.iter().filter(|(addr, _)| meant.contains(addr));
    let (Some((addr, instance)), None) = (objects.next(), objects.next()) else {
        let known: Vec<String> = meant.iter().map(ToString::to_string).collect();
        bail!("{} is not one object. There is: {}", args.address, known.join(", "));
    };
    show::object(addr, instance);
    Ok(exit::SUCCESS)
}

fn mv(args: &MvArgs) -> anyhow::Result<u8> {
    let Some(mut store) = open("state mv", &args.change)? else { return Ok(exit::FAILURE) };
    found(store.state(), &args.from)?;
    let moves = surgery::moves(store.state(), &args.from, &args.to)?;
    if !args.dry_run {
        store.rewrite(|state| surgery::rename(state, &moves))?;
    }
    let would = if args.dry_run { "would become" } else { "is now" };
    moves.iter().for_each(|(from, to)| ui::line(&format!("{from} {would} {to}")));
    Ok(exit::SUCCESS)
}

fn rm(args: &RmArgs) -> anyhow::Result<u8> {
    let Some(mut store) = open("state rm", &args.change)? else { return Ok(exit::FAILURE) };
    let mut meant = std::collections::BTreeSet::new();
    for address in &args.addresses {
        meant.extend(found(store.state(), address)?);
    }
    if !args.dry_run {
        store.rewrite(|state| surgery::remove(state, &meant))?;
    }
    let would = if args.dry_run { "would be forgotten" } else { "is forgotten" };
    meant.iter().for_each(|addr| ui::line(&format!("{addr} {would}")));
    if !args.dry_run {
        ui::line("What exists of it goes on. `lampwright import ADDRESS ID` takes it back.");
    }
    Ok(exit::SUCCESS)
}

fn push(args: &PushArgs) -> anyhow::Result<u8> {
    let mut text = Vec::new();
    let what = args.file.display();
    if args.file == Path::new("-") {
        std::io::stdin().read_to_end(&mut text).context("cannot read standard input")?;
    } else {
        text = std::fs::read(&args.file).with_context(|| format!("cannot read {what}"))?;
    }
    let new = file::parse(&args.file, &text)?;
    if new.lineage.is_empty() {
        bail!("{what} is no state");
    }
    let Some(mut store) = open("state push", &args.change)? else { return Ok(exit::FAILURE) };
    let old = store.state();
    if !args.force && !old.lineage.is_empty() && old.lineage != new.lineage {
        bail!(
            "{what} is of another history (lineage {}) than the state (lineage {}): it may be that of another stack. -force puts it there all the same",
            new.lineage,
            old.lineage
        );
    }
    if !args.force && (new.serial < old.serial || (new.serial == old.serial && new != *old)) {
        bail!(
            "{what} has the serial {} and the state {}: it is not newer. -force puts it there all the same",
            new.serial,
            old.serial
        );
    }
    let serial = new.serial.max(old.serial);
    store.rewrite(|state| *state = State { serial, ..new })?;
    ui::line(&format!("{} is now what {what} has.", args.change.state.display()));
    Ok(exit::SUCCESS)
}

fn open(operation: &str, args: &ChangeArgs) -> anyhow::Result<Option<Store>> {
    open_store(operation, &CommonArgs::changing(args.state.clone(), args.lock))
}

/// The objects that an address means; there has to be one.
fn found(state: &State, address: &str) -> anyhow::Result<std::collections::BTreeSet<compiler::addr::InstanceAddr>> {
    let meant = surgery::meant(state, address);
    if meant.is_empty() {
        let known: Vec<String> = state.instances.keys().map(ToString::to_string).collect();
        let hint = match closest(address, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None if known.is_empty() => "it has no objects".to_owned(),
            None => "`lampwright state list` prints what it has".to_owned(),
        };
        bail!("the state has no {address}; {hint}");
    }
    Ok(meant)
}
