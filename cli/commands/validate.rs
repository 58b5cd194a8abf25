//! `lampwright validate`.

use std::path::PathBuf;

use anyhow::Context as _;
use app::test::TESTS;
use app::validate::validate;
use app::watch::Watch as _;
use clap::Args;

use super::Outcome;
use crate::invocation::Invocation;
use crate::{exit, json, print};

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Write what -json prints to a file, too, beside the text for people
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    json_into: Option<PathBuf>,
    /// Do not look at the test files
    #[arg(long)]
    no_tests: bool,
    /// Where test files are, besides this folder
    #[arg(long, value_name = "DIR", default_value = TESTS)]
    test_directory: PathBuf,
}

pub(crate) async fn run(args: &ValidateArgs, invocation: &Invocation) -> Outcome {
    let tests = (!args.no_tests).then_some(args.test_directory.as_path());
    let (diags, sources) = validate(&invocation.host, &invocation.root, tests).await?;
    let errors = diags.0.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let document = || {
        let diagnostics: Vec<_> = diags.0.iter().map(|one| json::diagnostic_json(one, &sources)).collect();
        let document = serde_json::json!({
            "format_version": "1.0",
            "valid": errors == 0,
            "error_count": errors,
            "warning_count": diags.0.len() - errors,
            "diagnostics": diagnostics,
        });
        format!("{document:#}")
    };
    if let Some(path) = &args.json_into {
        let path = invocation.path(path);
        let written = json::refuse_what_is_ours(&path).and_then(|()| std::fs::write(&path, document() + "\n"));
        written.with_context(|| format!("-json-into: cannot write {}", path.display()))?;
    }
    if args.json {
        print::line(&document());
    } else {
        invocation.ui.diagnostics(&diags, &sources);
        if errors == 0 {
            print::line("The stack is valid.");
        }
    }
    Ok(if errors == 0 { exit::SUCCESS } else { exit::FAILURE })
}
