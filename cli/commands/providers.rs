//! `lampwright providers`: which providers a stack needs, and what is done with them beside a stack's life.

use std::path::PathBuf;

use app::providers::{self, Needs};
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
    Schema(SchemaArgs),
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
        Some(Command::Schema(_)) => {
            print::line(&providers::schemas(&invocation.stack()?).await?.to_string());
            Ok(exit::SUCCESS)
        }
    }
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
