//! The `lampwright` command line.
//!
//! **Invariant:** the only part of the project that prints, and that decides on exit codes (`exit.rs`).

mod archive;
mod bundles;
mod cli_config;
mod commands;
mod disk;
mod environment;
mod exit;
mod git;
mod guard;
mod json;
mod junit;
mod library;
mod log_lines;
mod proposal;
mod recorded;
mod recovered;
mod session;
mod snapshots;
mod sources;
mod test_report;
mod ui;

use std::process::ExitCode;

use clap::Parser as _;

use commands::Cli;

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
            ui::error(&format!("lampwright cannot start a thread: {error}"));
            ExitCode::from(exit::FAILURE)
        }
    }
}

fn run() -> ExitCode {
    let args = match environment::arguments(std::env::args_os().collect(), &environment::variable) {
        Ok(args) => args,
        Err(error) => {
            ui::error(&format!("{error:#}"));
            return ExitCode::from(exit::FAILURE);
        }
    };
    let args = commands::with_version(commands::long_flags(args));
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" of clap that succeed.
            let code = if error.use_stderr() { exit::FAILURE } else { exit::SUCCESS };
            match commands::hint(&error) {
                // What clap thinks similar would mislead.
                Some(hint) => ui::error(&hint),
                None => drop(error.print()),
            }
            return ExitCode::from(code);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(cli)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            ui::error(&format!("{error:#}"));
            ExitCode::from(exit::FAILURE)
        }
    }
}
