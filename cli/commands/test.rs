//! `lampwright test`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use app::stack::Simulation;
use app::test::{self, OnDifference, PARALLELISM, TESTS, TestRequest};
use clap::Args;

use super::plan::JsonArgs;
use super::{InputArgs, Outcome};
use crate::invocation::Invocation;
use crate::junit;
use crate::test_report::{self, Shown};

/// Run the module's tests, and compare what they plan with what was accepted
///
/// Tests are *.tftest.hcl here and in tests/, in Terraform's language. A run with `snapshot =
/// true` also compares its plan, the outputs and every file of every machine with what was
/// accepted, under tests/snapshots/.
///
///   lampwright test                 all tests; a difference is shown and fails
///   lampwright test --accept        takes what the runs found as right
///   lampwright test --review        asks for every difference
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Let the daemons check the syntax of every file of every snapshot; they have to be installed here
    #[arg(long)]
    check: bool,
    /// Only this test file; may be given several times
    #[arg(long, value_name = "FILE")]
    filter: Vec<PathBuf>,
    /// Where test files are, besides this folder
    #[arg(long, value_name = "DIR", default_value = TESTS)]
    test_directory: PathBuf,
    /// Take every difference of a snapshot as right
    #[arg(long, conflicts_with = "review")]
    accept: bool,
    /// Walk through the differences of snapshots, one by one
    #[arg(long, conflicts_with = "json")]
    review: bool,
    #[command(flatten)]
    pub(super) json: JsonArgs,
    /// Write the results to a file, too, in the form of JUnit
    #[arg(long, value_name = "FILE")]
    junit_xml: Option<PathBuf>,
    /// Show the plan of every run
    #[arg(long, conflicts_with = "json")]
    verbose: bool,
    /// How many test files to run at once
    #[arg(long, default_value_t = PARALLELISM, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    parallelism: u16,
}

pub(crate) async fn run(args: &TestArgs, invocation: &Invocation) -> Outcome {
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    if is_ci && (args.accept || args.review) {
        let text = "in CI (the variable CI is set) no snapshot is written; accept it where you work, and commit it";
        return Err(anyhow!(text).into());
    }
    let mut stack = invocation.stack()?;
    let request = TestRequest {
        inputs: stack.inputs(args.inputs.given())?,
        simulation: Simulation::of(args.check),
        filter: args.filter.clone(),
        folder: args.test_directory.clone(),
        on_difference: if args.accept { OnDifference::Accept } else { OnDifference::Fail },
        parallelism: args.parallelism,
    };
    let shown = Arc::new(Shown { ui: invocation.ui.clone(), is_verbose: args.verbose });
    let mut tested = test::test(&mut stack, &request, shown).await?;
    if args.review {
        for run in tested.reports.iter_mut().flat_map(|report| &mut report.runs) {
            let name = run.name.clone();
            test::accept(run, |difference, folder| test_report::ask(&invocation.ui, &name, difference, folder));
        }
    }
    if let Some(path) = &args.junit_xml {
        junit::write(&invocation.path(path), &tested.reports)?;
    }
    let again = invocation.proposal("test").inputs(args.inputs.given(), &stack.program).argument_if(
        args.test_directory != Path::new(TESTS),
        format!("-test-directory={}", args.test_directory.display()),
    );
    let again = args.filter.iter().fold(again, |again, file| again.argument(format!("-filter={}", file.display())));
    Ok(test_report::finish(&invocation.ui, &tested, &again))
}
