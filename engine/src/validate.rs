//! Validation: everything that can be said without a state and without configuring a provider.

use compiler::config::DesiredInstance;
use compiler::diag::Diagnostics;
use compiler::{Inputs, Work};
use value::Value;

use crate::run::{Run, host_diagnostics, located_in, problem_diagnostic};

/// Evaluates with unknown values where only a plan could know, and lets every provider look at its part.
pub async fn validate(run: &Run) -> Diagnostics {
    let run = Run { inputs: Inputs::validating(), ..run.clone() };
    let mut evaluation = run.evaluation(None);
    let mut diags = Diagnostics::default();
    loop {
        let batch = evaluation.ready();
        if batch.is_empty() {
            break;
        }
        for work in batch {
            match work {
                Work::Provider(desired) => {
                    diags.extend(validate_provider(&run, &desired).await);
                    evaluation.supply_provider(&desired.addr);
                }
                Work::Instance(desired) => {
                    diags.extend(validate_instance(&run, &desired).await);
                    evaluation.supply(&desired.addr, unknown_object(&desired));
                }
            }
        }
    }
    let mut all = evaluation.take_diagnostics();
    all.extend(diags);
    all
}

async fn validate_provider(run: &Run, desired: &compiler::config::DesiredProvider) -> Diagnostics {
    let mut diags = Diagnostics::default();
    let config = desired.config.clone().unmark_deep().0;
    let provider = match run.providers.get(&desired.addr).await {
        Ok((provider, _)) => provider,
        Err(error) => return host_diagnostics(&error, desired.span),
    };
    match provider.validate_config(&config).await {
        Ok(problems) => {
            problems.iter().for_each(|problem| {
                diags.push(located_in(problem, &desired.spans, desired.span));
            });
        }
        Err(error) => return host_diagnostics(&error, desired.span),
    }
    diags
}

async fn validate_instance(run: &Run, desired: &DesiredInstance) -> Diagnostics {
    let mut diags = Diagnostics::default();
    let config = desired.config.clone().unmark_deep().0;
    let span = Some(desired.span);
    let provider = match run.providers.get(&desired.provider).await {
        Ok((provider, _)) => provider,
        Err(error) => return host_diagnostics(&error, span),
    };
    match provider.validate_resource(desired.addr.mode, &desired.addr.ty, &config).await {
        Ok(problems) => problems.iter().for_each(|problem| diags.push(problem_diagnostic(problem, desired))),
        Err(error) => return host_diagnostics(&error, span),
    }
    diags
}

/// What is configured, and unknown for what only the provider can say.
fn unknown_object(desired: &DesiredInstance) -> Value {
    let Some(entries) = desired.config.as_entries() else { return Value::DYNAMIC };
    Value::object(entries.iter().map(|(name, value)| {
        let computed = desired.schema.block.attributes.get(name).is_some_and(|attribute| attribute.computed);
        let value = if computed && value.is_null() { Value::unknown(value.ty()) } else { value.clone() };
        (name.clone(), value)
    }))
}
