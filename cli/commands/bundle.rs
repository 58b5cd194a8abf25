//! `lampwright bundle`: every file of every machine, to review, to sign, or for other tools.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use engine::plan::machines::{self, Layer};
use engine::plan::{self, Goal, PlanOptions, Refresh};
use similar::TextDiff;

use super::InputArgs;
use crate::bundles::{self, Bundle, FileEntry, MachineEntry, Manifest};
use crate::session::{STATE, Session, Simulation};
use crate::{exit, recovered, ui};

/// Write every file of every machine, to review, to sign, or for other tools
///
/// As the stack describes them now, into a folder or an archive, with a manifest: path, mode,
/// owner and digest of each file, and the services. No cloud is asked for anything.
///
///   lampwright bundle out            into the folder out
///   lampwright bundle out.tar        into an archive (.tar, .tar.gz, .tgz)
///   lampwright bundle diff old out   what differs between two of them
///
/// The same stack gives the same bytes. A machine that exists has the address that the state
/// knows; one that does not has a stand-in. Secrets are left out; the manifest says which files
/// they are.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct BundleArgs {
    #[command(subcommand)]
    command: Option<BundleCommand>,
    /// Where to: a folder, which must be new, empty or a bundle; or an archive
    #[arg(required = true)]
    out: Option<PathBuf>,
    #[command(flatten)]
    inputs: InputArgs,
    /// Let the daemons check the syntax of their files first; they have to be installed here
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Subcommand)]
enum BundleCommand {
    /// Show what differs between two bundles, folders or archives
    Diff(DiffArgs),
}

#[derive(Debug, Args)]
struct DiffArgs {
    /// The older one
    old: PathBuf,
    /// The newer one
    new: PathBuf,
    /// Exit with 2 if they differ, 0 if not, 1 on errors
    #[arg(long)]
    detailed_exitcode: bool,
}

pub(crate) async fn run(args: &BundleArgs) -> anyhow::Result<u8> {
    match (&args.command, &args.out) {
        (Some(BundleCommand::Diff(args)), _) => diff(args),
        (None, Some(out)) => render(args, out).await,
        (None, None) => anyhow::bail!("name a folder or an archive to write to"),
    }
}

async fn render(args: &BundleArgs, out: &Path) -> anyhow::Result<u8> {
    let Ok(mut session) = Session::open() else { return Ok(exit::FAILURE) };
    let Ok(inputs) = session.inputs(&args.inputs)? else { return Ok(exit::FAILURE) };
    let state = recovered::peek(STATE.as_ref())?;
    let simulation = Simulation::of(args.check);
    let Ok(run) = session.simulate(inputs, &state, simulation).await else { return Ok(exit::FAILURE) };
    let options = PlanOptions::new(Goal::Configuration, Refresh::Nothing);
    let (plan, diags) = plan::plan(&run, &state, &options).await;
    run.providers.shutdown().await;
    ui::diagnostics(&diags, &session.sources);
    if diags.has_errors() {
        return Ok(exit::FAILURE);
    }
    let layers = machines::layers(&plan)?;
    refuse_inside(&layers, out)?;
    let (manifest, digest) = bundles::write(&session.name(), &layers, out)?;
    report(&manifest);
    let has_unknowns = manifest.machines.values().any(|machine| machine.has_unknowns);
    let checked = match (args.check, has_unknowns) {
        (false, _) => "",
        (true, false) => "; the daemons accept their configuration (the application's own code is not run)",
        (true, true) => "; the daemons accept the configuration that is known (the application's own code is not run)",
    };
    ui::line(&format!("Written to {}{checked}. The manifest is {digest}.", out.display()));
    Ok(exit::SUCCESS)
}

/// A bundle within a folder that a layer takes its files from would be part of the next one.
fn refuse_inside(layers: &[Layer], out: &Path) -> anyhow::Result<()> {
    let resolved = |path: &Path| std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    let parent = resolved(std::path::absolute(out)?.parent().unwrap_or(Path::new("/")))?;
    for layer in layers {
        for source in &layer.preview.sources {
            if parent.starts_with(resolved(source.as_ref())?) {
                anyhow::bail!(
                    "{} lies in {source}, which {} takes its files from; write the bundle elsewhere",
                    out.display(),
                    layer.resource
                );
            }
        }
    }
    Ok(())
}

fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn report(manifest: &Manifest) {
    let files = || manifest.machines.values().flat_map(|machine| machine.files.values());
    let open = files().filter(|file| file.digest.is_some()).count();
    ui::line(&format!("{}: {}, {}.", manifest.stack, count(manifest.machines.len(), "machine"), count(open, "file")));
    let secret = files().count() - open;
    if secret > 0 {
        ui::line(&format!("{} left out: whoever uses the bundle brings them.", count(secret, "secret file")));
    }
    let new: Vec<&str> = names(manifest, |machine| !machine.exists);
    if !new.is_empty() {
        ui::line(&format!("Addresses of machines that do not exist yet are stand-ins: {}.", new.join(", ")));
    }
    let unknown = names(manifest, |machine| machine.has_unknowns);
    if !unknown.is_empty() {
        ui::line(&format!("Files of {} hold \"(known after apply)\" where a value is not known.", unknown.join(", ")));
    }
}

fn names(manifest: &Manifest, is_meant: impl Fn(&MachineEntry) -> bool) -> Vec<&str> {
    manifest.machines.iter().filter(|(_, machine)| is_meant(machine)).map(|(name, _)| name.as_str()).collect()
}

fn diff(args: &DiffArgs) -> anyhow::Result<u8> {
    let (old, new) = (bundles::read(&args.old)?, bundles::read(&args.new)?);
    let lines = differences(&old, &new);
    if lines.is_empty() {
        ui::line("No differences.");
        return Ok(exit::SUCCESS);
    }
    ui::diff(&lines);
    Ok(if args.detailed_exitcode { exit::CHANGES } else { exit::SUCCESS })
}

/// Machines that came and went, then every change once, under the names of the machines that have it.
fn differences(old: &Bundle, new: &Bundle) -> Vec<String> {
    let (before, after) = (&old.manifest.machines, &new.manifest.machines);
    let only = |one: &BTreeMap<String, MachineEntry>, other: &BTreeMap<String, MachineEntry>, sign: &str| {
        let gone = one.iter().filter(|(name, _)| !other.contains_key(*name));
        gone.map(|(name, machine)| {
            format!("{sign} {name}  {}, {}", machine.resource, count(machine.files.len(), "file"))
        })
        .collect::<Vec<_>>()
    };
    let mut lines = only(before, after, "-");
    lines.extend(only(after, before, "+"));
    // By what is to be shown, in the order of machines and paths.
    let mut shared: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for (name, before) in before {
        let Some(after) = after.get(name) else { continue };
        for shown in changes(name, (before, old), (after, new)) {
            let place = *places.entry(shown.clone()).or_insert_with(|| {
                shared.push((shown, Vec::new()));
                shared.len() - 1
            });
            shared[place].1.push(name);
        }
    }
    for (shown, machines) in shared {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(format!("{}:", machines.join(", ")));
        lines.extend(shown);
    }
    lines
}

/// The changes of a machine, file by file.
fn changes(name: &str, before: (&MachineEntry, &Bundle), after: (&MachineEntry, &Bundle)) -> Vec<Vec<String>> {
    let (old, new) = (before.0, after.0);
    let mut changes = Vec::new();
    let machine = unified("(machine)", &about(old), &about(new));
    if !machine.is_empty() {
        changes.push(machine);
    }
    let paths: BTreeSet<&String> = old.files.keys().chain(new.files.keys()).collect();
    for path in paths {
        let (one, other) = (old.files.get(path), new.files.get(path));
        if one == other {
            continue;
        }
        let content = |bundle: &Bundle| bundle.contents.get(&format!("{name}/{path}")).cloned();
        let mut shown = Vec::new();
        if one.map(rights) != other.map(rights) {
            let rights = |entry: Option<&FileEntry>| entry.map_or_else(|| "none".to_owned(), rights);
            shown.push(format!("{path}: {} → {}", rights(one), rights(other)));
        }
        match (content(before.1), content(after.1)) {
            (None, None) => {}
            (one, other) => {
                let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
                match (String::from_utf8(one), String::from_utf8(other)) {
                    (Ok(one), Ok(other)) => shown.extend(unified(path, &one, &other)),
                    _ => shown.push(format!("{path}: not text, and not the same bytes")),
                }
            }
        }
        changes.push(shown);
    }
    changes
}

fn rights(entry: &FileEntry) -> String {
    let secret = if entry.digest.is_none() { " secret" } else { "" };
    format!("mode {} owner {}{secret}", entry.mode, entry.owner)
}

/// All that is said of a machine besides its files.
fn about(machine: &MachineEntry) -> String {
    let bare = MachineEntry { files: BTreeMap::new(), ..machine.clone() };
    serde_json::to_string_pretty(&bare).unwrap_or_default()
}

fn unified(name: &str, old: &str, new: &str) -> Vec<String> {
    if old == new {
        return Vec::new();
    }
    let diff = TextDiff::from_lines(old, new);
    diff.unified_diff().context_radius(3).header(name, name).to_string().lines().map(str::to_owned).collect()
}
