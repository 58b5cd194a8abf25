//! The `lampwright` command line.
//!
//! **Invariant:** the only part of the project that prints, and that decides on exit codes (`exit.rs`).

mod board;
mod commands;
mod document;
mod environment;
mod exit;
mod flags;
mod guard;
mod invocation;
mod json;
mod junit;
mod lines;
mod paint;
mod print;
mod proposal;
mod screen;
mod terminal;
mod test_report;
mod ui;
mod view;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use app::failure::Failure;
use app::host::{Environment, Host};
use commands::Cli;
use invocation::Invocation;
use ui::Ui;

/// Evaluation recurses as deep as expressions nest, so it gets a stack that is larger than any nesting allows.
const STACK_BYTES: usize = 64 << 20;

fn main() -> ExitCode {
    if let Some(code) = guard::become_plugin() {
        return code;
    }
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run);
    match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // The panic has been reported by the runtime.
        Ok(Err(_)) => ExitCode::from(exit::FAILURE),
        Err(error) => {
            Ui::default().error(&format!("lampwright cannot start a thread: {error}"));
            ExitCode::from(exit::FAILURE)
        }
    }
}

fn run() -> ExitCode {
    let args = match commands::arguments(std::env::args_os().collect()) {
        Ok(args) => args,
        Err(error) => {
            Ui::default().error(&format!("{error:#}"));
            return ExitCode::from(exit::FAILURE);
        }
    };
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" of clap that succeed.
            let code = if error.use_stderr() { exit::FAILURE } else { exit::SUCCESS };
            // Where there is a hint, what clap thinks similar would mislead.
            match commands::hint(&error).or_else(|| commands::told(&error)) {
                Some(text) => Ui::default().error(&text),
                None => drop(error.print()),
            }
            return ExitCode::from(code);
        }
    };
    let started_in = std::env::current_dir().unwrap_or_default();
    let ui = match cli.ui() {
        Ok(ui) => ui,
        Err(error) => {
            Ui::default().error(&format!("{error:#}"));
            return ExitCode::from(exit::FAILURE);
        }
    };
    let invocation = Invocation::new(ui, |ui| host(ui, started_in.clone()), &started_in);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(cli, &invocation)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(Failure::Told) => ExitCode::from(exit::FAILURE),
        Err(Failure::Error(error)) => {
            invocation.ui.error(&format!("{error:#}"));
            ExitCode::from(exit::FAILURE)
        }
    }
}

/// This process, as the application sees it.
fn host(ui: Arc<Ui>, started_in: PathBuf) -> Host {
    Host {
        watch: ui,
        environment: Environment::new(std::env::vars_os()),
        beside: std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned())),
        guard: guard::program(),
        started_in,
    }
}
