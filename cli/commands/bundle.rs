//! `lampwright bundle`: every file of every machine, to review, to sign, or for other tools.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use app::bundle::{self, MachineEntry, Manifest};
use app::stack::Simulation;
use clap::{Args, Subcommand};

use super::{InputArgs, Outcome};
use crate::invocation::Invocation;
use crate::{exit, print};

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

pub(crate) async fn run(args: &BundleArgs, invocation: &Invocation) -> Outcome {
    match (&args.command, &args.out) {
        (Some(BundleCommand::Diff(args)), _) => Ok(diff(args, invocation)?),
        (None, Some(out)) => render(args, out, invocation).await,
        (None, None) => Err(anyhow!("name a folder or an archive to write to").into()),
    }
}

async fn render(args: &BundleArgs, out: &Path, invocation: &Invocation) -> Outcome {
    let mut stack = invocation.stack()?;
    let inputs = stack.inputs(args.inputs.given())?;
    let state = stack.state(&inputs, None)?;
    let written = bundle::write(&stack, inputs, &state, Simulation::of(args.check), out).await?;
    let manifest = &written.manifest;
    report(manifest);
    let has_unknowns = manifest.machines.values().any(|machine| machine.has_unknowns);
    let checked = match (args.check, has_unknowns) {
        (false, _) => "",
        (true, false) => "; the daemons accept their configuration (the application's own code is not run)",
        (true, true) => "; the daemons accept the configuration that is known (the application's own code is not run)",
    };
    print::line(&format!("Written to {}{checked}. The manifest is {}.", out.display(), written.digest));
    Ok(exit::SUCCESS)
}

fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn report(manifest: &Manifest) {
    let files = || manifest.machines.values().flat_map(|machine| machine.files.values());
    let open = files().filter(|file| file.digest.is_some()).count();
    print::line(&format!(
        "{}: {}, {}.",
        manifest.stack,
        count(manifest.machines.len(), "machine"),
        count(open, "file")
    ));
    let secret = files().count() - open;
    if secret > 0 {
        print::line(&format!("{} left out: whoever uses the bundle brings them.", count(secret, "secret file")));
    }
    let new: Vec<&str> = names(manifest, |machine| !machine.exists);
    if !new.is_empty() {
        print::line(&format!("Addresses of machines that do not exist yet are stand-ins: {}.", new.join(", ")));
    }
    let unknown = names(manifest, |machine| machine.has_unknowns);
    if !unknown.is_empty() {
        print::line(&format!(
            "Files of {} hold \"(known after apply)\" where a value is not known.",
            unknown.join(", ")
        ));
    }
}

fn names(manifest: &Manifest, is_meant: impl Fn(&MachineEntry) -> bool) -> Vec<&str> {
    manifest.machines.iter().filter(|(_, machine)| is_meant(machine)).map(|(name, _)| name.as_str()).collect()
}

fn diff(args: &DiffArgs, invocation: &Invocation) -> anyhow::Result<u8> {
    let read = |path: &Path| bundle::read(&invocation.path(path));
    let differences = bundle::differences(&read(&args.old)?, &read(&args.new)?);
    if differences.is_empty() {
        print::line("No differences.");
        return Ok(exit::SUCCESS);
    }
    invocation.ui.text(&differences);
    Ok(if args.detailed_exitcode { exit::CHANGES } else { exit::SUCCESS })
}
