//! `lampwright providers`: which providers a stack needs, and what is done with them beside a stack's life.

use std::path::PathBuf;

use app::providers::{self, Authority, LockRequest, LockedFor, MirrorRequest, Mirrored, Needs};
use app::test::TESTS;
use clap::{Args, Subcommand};
use compiler::addr::ProviderSource;
use compiler::version::Constraints;

use super::Outcome;
use crate::invocation::Invocation;
use crate::{exit, print};

/// Show which modules and tests need which providers, and in which versions
///
/// Below them are the providers of what exists. Nothing is fetched or started: `lampwright init` installs what is missing.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ProvidersArgs {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where test files are, besides this folder
    #[arg(long, value_name = "DIR", default_value = TESTS)]
    test_directory: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    Lock(LockArgs),
    Mirror(MirrorArgs),
    Schema(SchemaArgs),
}

/// Lock the packages of providers for other machines than this one
///
/// `init` locks what it installs. This fetches packages for other platforms from the registries of the providers, whatever
/// the CLI configuration prefers, and adds their hashes to .terraform.lock.hcl; nothing is installed, and versions that are
/// locked stay. For a team on Linux and macOS:
///
///   lampwright providers lock -platform=linux_amd64 -platform=darwin_arm64
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct LockArgs {
    /// Only these, such as hashicorp/aws
    providers: Vec<String>,
    /// For this operating system and architecture, such as linux_arm64; may be given several times
    #[arg(long, value_name = "OS_ARCH")]
    platform: Vec<String>,
    /// From the mirror in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "net_mirror")]
    fs_mirror: Option<PathBuf>,
    /// From the mirror at this address
    #[arg(long, value_name = "URL")]
    net_mirror: Option<String>,
    /// Do not fetch what `plugin_cache_dir` has
    #[arg(long)]
    enable_plugin_cache: bool,
}

/// Copy the packages of the stack's providers into a folder
///
/// They are fetched from the registries of the providers, whatever the CLI configuration prefers. A filesystem_mirror of the
/// CLI configuration may name the folder; served over HTTPS as files, it is a network_mirror.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct MirrorArgs {
    /// What is in it stays
    dir: PathBuf,
    /// For this operating system and architecture, such as linux_arm64; may be given several times
    #[arg(long, value_name = "OS_ARCH")]
    platform: Vec<String>,
    /// Whether to take the versions that .terraform.lock.hcl has
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, require_equals = true, value_name = "BOOL")]
    lock_file: bool,
}

/// Print what the providers have: resources, data sources, functions, and their attributes
///
/// For programs, in the form of `terraform providers schema -json`. `lampwright help reference` is for people.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct SchemaArgs {
    /// As JSON; there is no other form
    #[arg(long, required = true)]
    json: bool,
}

pub(crate) async fn run(args: &ProvidersArgs, invocation: &Invocation) -> Outcome {
    match &args.command {
        None => tree(args, invocation).await,
        Some(Command::Lock(args)) => lock(args, invocation).await,
        Some(Command::Mirror(args)) => mirror(args, invocation).await,
        Some(Command::Schema(_)) => {
            print::whole(&format!("{}\n", providers::schemas(&invocation.stack()?).await?))?;
            Ok(exit::SUCCESS)
        }
    }
}

async fn lock(args: &LockArgs, invocation: &Invocation) -> Outcome {
    let request = LockRequest {
        providers: args.providers.clone(),
        platforms: args.platform.clone(),
        authority: match (&args.fs_mirror, &args.net_mirror) {
            (Some(folder), _) => Authority::Folder(folder.clone()),
            (None, Some(address)) => Authority::Network(address.clone()),
            (None, None) => Authority::Registry,
        },
        uses_cache: args.enable_plugin_cache,
    };
    let told = |locked: &LockedFor| {
        print::line(&match &locked.version {
            None => format!("{}: not locked, as it is on this machine and in no registry's hands", locked.source),
            Some(version) if locked.is_changed => format!("{} {version}: locked", locked.source),
            Some(version) => format!("{} {version}: locked already", locked.source),
        });
    };
    providers::lock(&invocation.stack()?, &request, &told).await?;
    Ok(exit::SUCCESS)
}

async fn mirror(args: &MirrorArgs, invocation: &Invocation) -> Outcome {
    let folder = invocation.path(&args.dir);
    let request = MirrorRequest { folder, platforms: args.platform.clone(), heeds_lock: args.lock_file };
    let told = |package: &Mirrored| {
        let signer = package.signer.as_ref().map(|key| format!(", signed by {key}")).unwrap_or_default();
        print::line(&format!("{} {} for {}{signer}", package.source, package.version, package.platform));
    };
    providers::mirror(&invocation.stack()?, &request, &told).await?;
    Ok(exit::SUCCESS)
}

/// As Terraform draws it.
async fn tree(args: &ProvidersArgs, invocation: &Invocation) -> Outcome {
    let mut stack = invocation.stack()?;
    let needs = providers::needs(&mut stack, &args.test_directory)?;
    let recorded = providers::recorded(&stack).await?;
    let mut text = "\nProviders required by configuration:\n.\n".to_owned();
    draw(&branches(&needs), "", &mut text);
    print::line(&text);
    if !recorded.is_empty() {
        print::line("Providers required by state:\n");
        recorded.iter().for_each(|source| print::line(&format!("    provider[{source}]\n")));
    }
    Ok(exit::SUCCESS)
}

#[derive(Debug)]
struct Branch {
    label: String,
    branches: Vec<Branch>,
}

fn branches(needs: &Needs) -> Vec<Branch> {
    let mut branches: Vec<Branch> = needs.providers.iter().map(|(source, wanted)| leaf(source, wanted)).collect();
    for (path, runs) in &needs.tests {
        let name = path.strip_suffix(".tftest.hcl").unwrap_or(path).replace('/', ".");
        let runs = runs.iter();
        let runs = runs.map(|(name, needs)| Branch { label: format!("run.{name}"), branches: self::branches(needs) });
        branches.push(Branch { label: format!("test.{name}"), branches: runs.collect() });
    }
    let called = needs.modules.iter();
    let called =
        called.map(|(name, needs)| Branch { label: format!("module.{name}"), branches: self::branches(needs) });
    branches.extend(called);
    branches
}

fn leaf(source: &ProviderSource, wanted: &Constraints) -> Branch {
    let label = format!("provider[{source}] {wanted}").trim_end().to_owned();
    Branch { label, branches: Vec::new() }
}

fn draw(branches: &[Branch], before: &str, text: &mut String) {
    for (idx, branch) in branches.iter().enumerate() {
        let is_last = idx + 1 == branches.len();
        let (edge, below) = if is_last { ("└── ", "    ") } else { ("├── ", "│\u{a0}\u{a0} ") };
        text.push_str(&format!("{before}{edge}{}\n", branch.label));
        draw(&branch.branches, &format!("{before}{below}"), text);
    }
}
