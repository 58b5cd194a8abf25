//! `lampwright console`: expressions against the stack, its variables and its state.

use std::io::{BufRead as _, IsTerminal as _};

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
}

pub(crate) async fn run(args: &ConsoleArgs, invocation: &Invocation) -> Outcome {
    let mut stack = invocation.stack()?;
    let inputs = stack.inputs(args.inputs.given())?;
    let mut expressions = Console::open(&stack, &inputs, &stack.state(&inputs, None)?).await?;
    let is_terminal = std::io::stdin().is_terminal();
    if is_terminal {
        print::line("Expressions, one a line; `exit` ends.");
    }
    let mut failed = false;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.trim() {
            "" => {}
            "exit" | "quit" => break,
            text => match expressions.evaluate(text) {
                Ok(value) => print::line(&console::show(&value)),
                Err(diags) => {
                    failed = true;
                    invocation.ui.diagnostics(&diags, expressions.sources());
                }
            },
        }
    }
    Ok(if failed && !is_terminal { exit::FAILURE } else { exit::SUCCESS })
}
