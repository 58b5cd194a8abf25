//! `lampwright console`: expressions against the stack, its variables and its state.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use app::console::Console;
use app::watch::Watch as _;
use clap::Args;
use compiler::console;

use super::{InputArgs, Outcome};
use crate::invocation::Invocation;
use crate::{exit, print};

#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// The file of the state, where no backend keeps it; terraform.tfstate if not set
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

pub(crate) async fn run(args: &ConsoleArgs, invocation: &Invocation) -> Outcome {
    let mut stack = invocation.stack()?;
    let inputs = stack.inputs(args.inputs.given())?;
    let mut expressions = Console::open(&stack, &inputs, &stack.state(&inputs, args.state.as_deref())?).await?;
    let is_terminal = std::io::stdin().is_terminal();
    if is_terminal {
        print::line("Expressions; one goes on until its brackets are closed. `exit` ends.");
    }
    let mut failed = false;
    let mut evaluate = |text: &str| match expressions.evaluate(text) {
        Ok(value) => print::line(&console::show(&value)),
        Err(diags) => {
            failed = true;
            invocation.ui.diagnostics(&diags, expressions.sources());
        }
    };
    let mut begun = String::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.trim() {
            "" if begun.is_empty() => {}
            "exit" | "quit" if begun.is_empty() => break,
            _ => {
                begun.push_str(&line);
                begun.push('\n');
                if !console::is_open(&begun) {
                    evaluate(std::mem::take(&mut begun).trim());
                }
            }
        }
    }
    if !begun.is_empty() {
        evaluate(begun.trim());
    }
    Ok(if failed && !is_terminal { exit::FAILURE } else { exit::SUCCESS })
}
