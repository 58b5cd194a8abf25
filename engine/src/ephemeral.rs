//! What is opened while a run needs it and never stored: ephemeral resources.
//!
//! Failures: what is opened is closed however the run ends, but for a run that is killed; what cannot be renewed or closed is
//! told, and ends nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use compiler::addr::{InstanceAddr, Mode};
use compiler::config::DesiredInstance;
use compiler::diag::{Diagnostic, Diagnostics};
use tokio::task::JoinHandle;
use value::Value;

use crate::event::Event;
use crate::host::check::plan_violations;
use crate::host::{Lease, Provider};
use crate::propose::unread;
use crate::run::{Run, broken_promise, host_diagnostics, located, mark, problem_diagnostic};

/// How long before its time something is renewed, at most.
const AHEAD: Duration = Duration::from_secs(5);

/// All that a run has open.
#[derive(Debug, Default)]
pub(crate) struct Opened(Vec<Open>);

#[derive(Debug)]
pub(crate) struct Open {
    addr: InstanceAddr,
    provider: Arc<dyn Provider>,
    lease: Arc<Mutex<Lease>>,
    renewing: Option<JoinHandle<Diagnostics>>,
}

/// Opens an instance, if what it is opened with is known and nothing that it waits for is still to change. Gives its value.
pub(crate) async fn open(
    run: &Run,
    desired: &DesiredInstance,
    is_awaited: bool,
) -> Result<(Value, Option<Open>, Diagnostics), Diagnostics> {
    let span = Some(desired.span);
    let host = |error| host_diagnostics(&error, span);
    let provider = run.provider(&desired.provider).await?;
    let (config, sensitive) = desired.config.clone().unmark_with_paths();
    let (ty, block) = (&desired.addr.ty, &desired.schema.block);
    let mut diags = Diagnostics::default();
    let mut report = |problems: &[value::Problem]| {
        problems.iter().for_each(|problem| diags.push(problem_diagnostic(problem, desired)));
        if diags.has_errors() { Err(std::mem::take(&mut diags)) } else { Ok(()) }
    };
    report(&provider.validate_resource(Mode::Ephemeral, ty, &config).await.map_err(host)?)?;
    if is_awaited || !config.is_wholly_known() {
        return Ok((mark(unread(block, &config), &desired.schema, &sensitive), None, diags));
    }
    run.tell(Event::Opening { addr: desired.addr.clone() });
    let answer = provider.open(ty, &config, &desired.addr.to_string()).await.map_err(host)?;
    report(&answer.problems)?;
    let mut violations = plan_violations(block, &Value::Null(block.implied_ty()), &config, &answer.result);
    if !answer.result.is_wholly_known() {
        violations.push("a part of what it opened is not known".to_owned());
    }
    let lease = Arc::new(Mutex::new(answer.lease));
    let renewing = Some(tokio::spawn(renew(provider.clone(), desired.addr.clone(), lease.clone())));
    let open = Open { addr: desired.addr.clone(), provider, lease, renewing };
    if !violations.is_empty() {
        let found = Opened(vec![open]).close().await;
        let promise = broken_promise(span).note(format!("What it opened for {} is not valid:", desired.addr));
        let broken = violations.into_iter().fold(promise, Diagnostic::note);
        return Err(Diagnostics(vec![broken].into_iter().chain(found.0).collect()));
    }
    Ok((mark(answer.result, &desired.schema, &sensitive), Some(open), diags))
}

/// Renews as often as the provider wants, until it fails or is aborted.
async fn renew(provider: Arc<dyn Provider>, addr: InstanceAddr, lease: Arc<Mutex<Lease>>) -> Diagnostics {
    loop {
        let current = lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(at) = current.renew_at else { return Diagnostics::default() };
        let left = at.duration_since(SystemTime::now()).unwrap_or_default();
        // In time, but not all the time.
        tokio::time::sleep(left.saturating_sub(AHEAD.min(left / 2)).max(Duration::from_millis(100))).await;
        match provider.renew(&addr.ty, &current).await {
            Ok((next, problems)) => {
                let found: Vec<Diagnostic> = problems.iter().map(|problem| located(problem, None)).collect();
                if problems.iter().any(value::Problem::is_error) {
                    return Diagnostics(found);
                }
                *lease.lock().unwrap_or_else(PoisonError::into_inner) = next;
            }
            Err(error) => return host_diagnostics(&error, None),
        }
    }
}

impl Opened {
    pub(crate) fn add(&mut self, open: Option<Open>) {
        self.0.extend(open);
    }

    /// Closes everything, the last first.
    pub(crate) async fn close(self) -> Diagnostics {
        let mut diags = Diagnostics::default();
        for Open { addr, provider, lease, renewing } in self.0.into_iter().rev() {
            if let Some(renewing) = renewing {
                // One that has ended has something to say, if its time came.
                if !renewing.is_finished() {
                    renewing.abort();
                }
                diags.extend(renewing.await.unwrap_or_default());
            }
            let lease = lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match provider.close(&addr.ty, &lease).await {
                Ok(problems) => problems.iter().for_each(|problem| diags.push(located(problem, None))),
                Err(error) => diags.extend(host_diagnostics(&error, None)),
            }
        }
        diags
    }
}
