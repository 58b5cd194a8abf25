//! `lampwright validate`.

use std::sync::Arc;

use clap::Args;
use compiler::Inputs;
use engine::validate;

use super::plan::Shower;
use crate::disk::Disk;
use crate::session::Session;
use crate::{exit, json, ui};

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &ValidateArgs) -> anyhow::Result<u8> {
    let (session, mut diags) = Session::read(Arc::new(Disk));
    if !diags.has_errors() {
        let (events, _shower) = Shower::start(args.json);
        let Ok(run) = session.run(Inputs::default(), 1, events).await else { return Ok(exit::FAILURE) };
        diags.extend(validate::validate(&run).await);
        run.providers.shutdown().await;
    }
    let diags = diags.without_repetitions();
    let errors = diags.0.iter().filter(|diagnostic| diagnostic.is_error()).count();
    if args.json {
        let diagnostics: Vec<_> =
            diags.0.iter().map(|diagnostic| json::diagnostic_json(diagnostic, &session.sources)).collect();
        let document = serde_json::json!({
            "format_version": "1.0",
            "valid": errors == 0,
            "error_count": errors,
            "warning_count": diags.0.len() - errors,
            "diagnostics": diagnostics,
        });
        ui::line(&serde_json::to_string_pretty(&document)?);
    } else {
        ui::diagnostics(&diags, &session.sources);
        if errors == 0 {
            ui::line("The stack is valid.");
        }
    }
    Ok(if errors == 0 { exit::SUCCESS } else { exit::FAILURE })
}
