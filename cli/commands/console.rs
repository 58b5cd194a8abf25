//! `lampwright console`: expressions against the stack, its variables and its state.

use std::io::{BufRead as _, IsTerminal as _};

use clap::Args;
use compiler::{Evaluation, Inputs, Work, console, evaluation::Input};
use engine::run::mark;
use engine::state::State;
use value::{Value, codec::json};

use super::InputArgs;
use super::plan::Shower;
use crate::session::{STATE, Session};
use crate::{exit, recovered, ui};

#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    #[command(flatten)]
    inputs: InputArgs,
}

pub(crate) async fn run(args: &ConsoleArgs) -> anyhow::Result<u8> {
    let Ok(mut session) = Session::open() else { return Ok(exit::FAILURE) };
    let Ok(given) = session.inputs(&args.inputs)? else { return Ok(exit::FAILURE) };
    // A missing variable is unknown here instead of an error: one may want to look at something else.
    let mut inputs = Inputs::validating();
    given.iter().for_each(|(name, value)| inputs.set(name.clone(), Input { value: value.clone(), span: None }));
    let state = recovered::peek(STATE.as_ref())?;
    let (events, _shower) = Shower::start(false);
    let Ok(run) = session.run(inputs, 1, events).await else { return Ok(exit::FAILURE) };
    let mut evaluation = run.evaluation();
    supply_all(&mut evaluation, &state);
    ui::diagnostics(&evaluation.take_diagnostics(), &session.sources);
    run.providers.shutdown().await;
    let is_terminal = std::io::stdin().is_terminal();
    if is_terminal {
        ui::line("Expressions, one a line; `exit` ends.");
    }
    let mut failed = false;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.trim() {
            "" => {}
            "exit" | "quit" => break,
            text => match evaluation.evaluate_text(text, &mut session.sources) {
                Ok(value) => ui::line(&console::show(&value)),
                Err(diags) => {
                    failed = true;
                    ui::diagnostics(&diags, &session.sources);
                }
            },
        }
    }
    Ok(if failed && !is_terminal { exit::FAILURE } else { exit::SUCCESS })
}

/// Runs the evaluation with what the state says; what is not there yet is unknown.
fn supply_all(evaluation: &mut Evaluation, state: &State) {
    loop {
        let batch = evaluation.ready();
        if batch.is_empty() {
            return;
        }
        for work in batch {
            match work {
                Work::Provider(desired) => evaluation.supply_provider(&desired.addr),
                Work::Instance(desired) => {
                    let ty = desired.schema.block.implied_ty();
                    let recorded = state.instances.get(&desired.addr);
                    let value = recorded.and_then(|recorded| {
                        let value = json::decode(&recorded.attributes, &ty).ok()?;
                        Some(mark(value, &desired.schema, &recorded.sensitive_paths))
                    });
                    evaluation.supply(&desired.addr, value.unwrap_or_else(|| Value::unknown(ty.clone())));
                }
            }
        }
    }
}
