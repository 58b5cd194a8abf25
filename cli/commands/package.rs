//! `lampwright module package`: a module as one file, for those who reuse it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use app::package::Packaged;
use app::test::{self, TestRequest};
use clap::Args;
use engine::testing::Status;

use super::Outcome;
use super::module::{self, DocsArgs};
use crate::invocation::Invocation;
use crate::test_report::{self, Shown};
use crate::{exit, print};

/// Test a module and put it into an archive NAME-VERSION.tar.gz, with its digest
///
/// The archive has every file of the module's folder but those whose names begin with a dot, and
/// states. It is made only of a module whose tests pass, and whose README has the reference of
/// its variables and outputs. Its version is that of the `stack` block:
///
///   stack "lamp" { version = "1.2.0" }
///   lampwright module package           makes ./lamp-1.2.0.tar.gz
///   source = "./lamp-1.2.0.tar.gz"      uses it; ?checksum=sha256:.. takes no other file
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct PackageArgs {
    /// The module's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The folder to write the archive to
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

pub(super) async fn run(args: &PackageArgs, invocation: &Invocation) -> Outcome {
    let mut stack = invocation.stack_in(&args.dir)?;
    // What can be refused at once is, before tests run.
    app::package::refuse(&stack)?;
    module::docs(&DocsArgs { dir: args.dir.clone(), check: true }, &stack, invocation)?;
    let inputs = stack.inputs(&[])?;
    let watch = Arc::new(Shown { ui: invocation.ui.clone(), is_verbose: false });
    let tested = test::test(&mut stack, &TestRequest::new(inputs), watch).await?;
    let code = test_report::finish(&invocation.ui, &tested, &invocation.proposal("test"));
    if code != exit::SUCCESS || tested.count(Status::Pass) == 0 {
        return Err(anyhow!("the module has no tests, or they do not pass, so it was not packaged").into());
    }
    let packaged = app::package::package(&stack, &invocation.root.below(&args.out))?;
    let Packaged { file_name, files, digest } = &packaged;
    print::line(&format!("{}: {files} files", args.out.join(file_name).display()));
    print::line(&format!("source = \"./{file_name}?checksum=sha256:{digest}\""));
    Ok(exit::SUCCESS)
}
