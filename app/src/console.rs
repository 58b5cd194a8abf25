//! Expressions against a stack, its variables and its state.

use compiler::diag::Diagnostics;
use compiler::evaluation::Input;
use compiler::source::SourceMap;
use compiler::{Evaluation, Inputs, Work};
use engine::run::mark;
use engine::state::State;
use value::{Value, codec::json};

use crate::failure::Result;
use crate::stack::Stack;
use crate::state::StateAt;

/// Evaluates one expression after the other.
pub struct Console {
    evaluation: Evaluation,
    sources: SourceMap,
}

impl Console {
    /// A missing variable is unknown here instead of an error: one may want to look at something else.
    pub async fn open(stack: &Stack, given: &Inputs, state: &StateAt) -> Result<Console> {
        let mut inputs = Inputs::validating();
        given.iter().for_each(|(name, value)| inputs.set(name.clone(), Input { value: value.clone(), span: None }));
        let state = state.peek(&stack.host).await?;
        let (run, _telling) = stack.run(inputs).await?;
        let mut evaluation = run.final_evaluation(None);
        supply_all(&mut evaluation, &state);
        // What is wrong elsewhere keeps nobody from looking.
        let _ = stack.tell(&evaluation.take_diagnostics());
        run.providers.shutdown().await;
        Ok(Console { evaluation, sources: stack.sources.clone() })
    }

    pub fn evaluate(&mut self, text: &str) -> Result<Value, Diagnostics> {
        self.evaluation.evaluate_text(text, &mut self.sources)
    }

    /// The texts that diagnostics are about.
    pub fn sources(&self) -> &SourceMap {
        &self.sources
    }
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
