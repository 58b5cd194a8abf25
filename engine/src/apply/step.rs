//! One step: a call to a provider, and the check that it kept its promise.

use std::time::Instant;

use compiler::addr::{InstanceAddr, ProviderAddr};
use compiler::config::DesiredInstance;
use compiler::diag::{Diagnostic, Diagnostics};
use proto::preview::Recovery;
use tokio::sync::OwnedSemaphorePermit;
use value::{Path, Value};

use super::schedule::Removal;
use crate::ephemeral::Open;
use crate::host::check::{UNKNOWN_NOW, plan_violations, result_violations};
use crate::host::{ApplyRequest, DataRequest, PlanRequest, PlanResponse};
use crate::plan::{Action, Change, ignore::ignoring};
use crate::propose::proposed;
use crate::run::{Run, Served, fresh, host_diagnostics, located, mark, problem_diagnostic, to_state};
use crate::state::journal::Record;
use crate::state::{InDoubt, InstanceState, Operation};

pub(super) struct Step {
    pub(super) desired: DesiredInstance,
    pub(super) change: Change,
    pub(super) recorded: Option<InstanceState>,
    pub(super) started: Instant,
    /// One of those that may be under way at once; given back when the step ends.
    #[expect(dead_code, reason = "held, not read")]
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// A step whose plan is final: next comes the apply.
pub(super) struct Prepared {
    pub(super) step: Step,
    planned: PlanResponse,
    config: Value,
    sensitive: Vec<Path>,
    diags: Diagnostics,
}

pub(super) enum Done {
    Provider {
        addr: ProviderAddr,
        diags: Diagnostics,
    },
    Opened {
        addr: InstanceAddr,
        result: Result<(Value, Option<Open>, Diagnostics), Diagnostics>,
    },
    Prepared(Box<Prepared>),
    Removable(Box<Removable>),
    Made {
        addr: InstanceAddr,
        action: Action,
        /// What the state shall say; `None`: what it says already.
        instance: Option<Box<InstanceState>>,
        value: Value,
        diags: Diagnostics,
        started: Instant,
        /// The provider was asked to do it, and nobody knows what became of it.
        is_lost: bool,
    },
    Removed {
        removal: Removal,
        instance: Option<Box<InstanceState>>,
        diags: Diagnostics,
        started: Instant,
        is_lost: bool,
    },
}

/// A removal whose turn has come.
pub(super) struct Removable {
    pub(super) removal: Removal,
    pub(super) recorded: Option<InstanceState>,
    /// What the plan read of it.
    pub(super) before: Option<(Value, Vec<u8>)>,
    #[expect(dead_code, reason = "held, not read")]
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// The state of an object with which nothing is done, if it is not what the state file says already.
pub(super) fn settle(
    desired: &DesiredInstance,
    change: &Change,
    recorded: Option<&InstanceState>,
) -> Option<InstanceState> {
    let settled = to_state(
        &change.after,
        &change.schema,
        &change.provider,
        change.before_private.clone(),
        &fresh(desired, recorded),
    );
    (recorded != Some(&settled)).then_some(settled)
}

impl Step {
    fn done(&self, result: Result<Made, Diagnostics>, is_lost: bool) -> Done {
        let (addr, action, started) = (self.desired.addr.clone(), self.change.action, self.started);
        let (instance, value, diags) = result.unwrap_or_else(|diags| (None, Value::DYNAMIC, diags));
        Done::Made { addr, action, instance: instance.map(Box::new), value, diags, started, is_lost }
    }
}

/// Reads a data source, or plans a change once more, now that everything is known.
pub(super) async fn prepare(run: &Run, step: Step) -> Done {
    match step.change.action {
        Action::Read => {
            let result = read_data(run, &step).await;
            step.done(result, false)
        }
        Action::NoOp | Action::Create | Action::Update | Action::Replace { .. } | Action::Delete | Action::Forget => {
            match plan_again(run, &step).await {
                Ok((planned, config, sensitive, diags)) => {
                    Done::Prepared(Box::new(Prepared { step, planned, config, sensitive, diags }))
                }
                Err(diags) => step.done(Err(diags), false),
            }
        }
    }
}

/// Creates or updates.
pub(super) async fn carry_out(run: &Run, prepared: Prepared) -> Done {
    let mut is_lost = false;
    let result = change_object(run, &prepared, &mut is_lost).await;
    prepared.step.done(result, is_lost)
}

impl Prepared {
    /// What is to be on the disk before the provider is asked.
    pub(super) fn beginning(&self) -> Record {
        let addr = self.step.change.addr.clone();
        let operation = match self.step.change.action {
            Action::Create | Action::Replace { .. } => Operation::Create,
            Action::NoOp | Action::Read | Action::Update | Action::Delete | Action::Forget => Operation::Update,
        };
        match self.intent().filter(|_| operation == Operation::Create) {
            Some(planned) => Record::Intent { addr, planned: Box::new(planned) },
            None => {
                let provider = self.step.change.provider.clone();
                Record::Doubt { addr, doubt: InDoubt { provider, operation, times: 1 } }
            }
        }
    }

    /// What is about to be made, as far as it is known, if its provider can remove it by that.
    fn intent(&self) -> Option<InstanceState> {
        let Step { desired, .. } = &self.step;
        let is_removable = Recovery::decode(&self.planned.private).is_some_and(|recovery| recovery.is_removable);
        is_removable.then(|| {
            let like = InstanceState { tainted: true, ..fresh(desired, None) };
            let value = mark(self.planned.planned.clone(), &desired.schema, &self.sensitive);
            to_state(&value, &desired.schema, &desired.provider, Vec::new(), &like)
        })
    }
}

type Made = (Option<InstanceState>, Value, Diagnostics);

async fn read_data(run: &Run, step: &Step) -> Result<Made, Diagnostics> {
    let desired = &step.desired;
    let Served { provider, meta } = run.served(&desired.provider, &desired.addr).await?;
    let (config, sensitive) = desired.config.clone().unmark_with_paths();
    let request =
        DataRequest { ty: &desired.addr.ty, config: &config, meta: meta.as_ref(), address: &desired.addr.to_string() };
    let read = provider.read_data(request).await;
    let (value, problems) = read.map_err(|error| host_diagnostics(&error, Some(desired.span)))?;
    let mut diags = Diagnostics::default();
    problems.iter().for_each(|problem| diags.push(problem_diagnostic(problem, desired)));
    if diags.has_errors() {
        return Err(diags);
    }
    let value = mark(value, &desired.schema, &sensitive);
    let instance = to_state(&value, &desired.schema, &desired.provider, Vec::new(), &fresh(desired, None));
    Ok((Some(instance), value, diags))
}

type Replanned = (PlanResponse, Value, Vec<Path>, Diagnostics);

async fn plan_again(run: &Run, step: &Step) -> Result<Replanned, Diagnostics> {
    let Step { desired, change, .. } = step;
    let schema = &desired.schema;
    let span = Some(desired.span);
    let Served { provider, meta } = run.served(&desired.provider, &desired.addr).await?;
    let (config, sensitive) = desired.config.clone().unmark_with_paths();
    let null = Value::Null(schema.block.implied_ty());
    let is_new = matches!(change.action, Action::Create | Action::Replace { .. });
    let prior = if is_new { &null } else { &change.before };
    let config = ignoring(&config, prior, &desired.lifecycle.ignore_changes, &schema.block);
    let mut diags = Diagnostics::default();
    if !config.is_wholly_known() {
        let note = format!("{} still depends on something unknown when its turn has come.", desired.addr);
        return Err(Diagnostics(vec![Diagnostic::error("internal error", note).at(desired.span)]));
    }
    let host = |error| host_diagnostics(&error, span);
    let address = desired.addr.to_string();
    // Once more, now that everything is known. The provider may know more than before, and nothing else.
    let proposal = proposed(&schema.block, prior, &config);
    let prior_private = if is_new { &[][..] } else { &change.before_private };
    let request = PlanRequest {
        ty: &desired.addr.ty,
        prior,
        proposed: &proposal,
        config: &config,
        prior_private,
        meta: meta.as_ref(),
        address: &address,
        is_final: true,
    };
    let planned = provider.plan(request).await.map_err(host)?;
    planned.problems.iter().for_each(|problem| diags.push(problem_diagnostic(problem, desired)));
    if diags.has_errors() {
        return Err(diags);
    }
    let mut violations = plan_violations(&schema.block, prior, &config, &planned.planned);
    violations.extend(result_violations_of_plan(&change.after, &planned.planned));
    if !violations.is_empty() && !planned.legacy {
        let diagnostic =
            Diagnostic::error("the plan no longer holds", "planned anew now, it differs from what was agreed to")
                .at(desired.span)
                .note(format!("{}: what differs:", desired.addr));
        let diagnostic = violations.into_iter().fold(diagnostic, Diagnostic::note);
        return Err(Diagnostics(vec![diagnostic.note(
            "something that it was made from, such as a file, has changed since: plan again; if nothing has, this is a bug of the provider",
        )]));
    }
    Ok((planned, config, sensitive, diags))
}

async fn change_object(run: &Run, prepared: &Prepared, is_lost: &mut bool) -> Result<Made, Diagnostics> {
    let Prepared { step, planned, config, sensitive, diags } = prepared;
    let Step { desired, change, recorded, .. } = step;
    let mut diags = diags.clone();
    let schema = &desired.schema;
    let Served { provider, meta } = run.served(&desired.provider, &desired.addr).await?;
    let null = Value::Null(schema.block.implied_ty());
    let is_new = matches!(change.action, Action::Create | Action::Replace { .. });
    let prior = if is_new { &null } else { &change.before };
    let address = desired.addr.to_string();
    let request = ApplyRequest {
        ty: &desired.addr.ty,
        prior,
        planned: &planned.planned,
        config,
        planned_private: &planned.private,
        meta: meta.as_ref(),
        address: &address,
    };
    let applied = provider.apply(request).await.map_err(|error| {
        *is_lost = error.may_be_done();
        host_diagnostics(&error, Some(desired.span))
    })?;
    applied.problems.iter().for_each(|problem| diags.push(problem_diagnostic(problem, desired)));
    let failed = diags.has_errors();
    if applied.state.is_null() {
        if !failed {
            return Err(broken(desired, "It says that all is well, and gives no object.", &[]));
        }
        // Nothing was made, or what was there is unchanged.
        return Err(diags);
    }
    let state = without_unknowns(&applied.state);
    let mut tainted = failed && is_new;
    if !failed && !applied.legacy {
        let marked = mark(planned.planned.clone(), schema, sensitive);
        let violations = result_violations(&marked, &applied.state);
        if !violations.is_empty() {
            tainted = is_new;
            diags.extend(broken(desired, "What it made differs from its plan:", &violations));
        }
    }
    let value = mark(state, schema, sensitive);
    let like = InstanceState { tainted, ..fresh(desired, recorded.as_ref()) };
    let instance = to_state(&value, schema, &desired.provider, applied.private, &like);
    Ok((Some(instance), value, diags))
}

/// The second plan may know what the first did not; what the first knew must stay.
fn result_violations_of_plan(first: &Value, second: &Value) -> Vec<String> {
    let second_known = second.clone();
    result_violations(first, &second_known).into_iter().filter(|violation| !violation.ends_with(UNKNOWN_NOW)).collect()
}

/// Nothing unknown may be recorded; a provider that leaves something so has broken its promise, and the rest is
/// kept all the same.
fn without_unknowns(value: &Value) -> Value {
    match value {
        Value::Unknown(ty, _) => Value::Null(ty.clone()),
        Value::Object(entries) => {
            Value::object(entries.iter().map(|(name, value)| (name.clone(), without_unknowns(value))))
        }
        Value::Map(ty, entries) => {
            Value::map(ty.clone(), entries.iter().map(|(name, value)| (name.clone(), without_unknowns(value))))
        }
        Value::List(ty, items) => Value::list(ty.clone(), items.iter().map(without_unknowns).collect()),
        Value::Set(ty, items) => Value::set(ty.clone(), items.iter().map(without_unknowns).collect()),
        Value::Tuple(items) => Value::tuple(items.iter().map(without_unknowns).collect()),
        Value::Marked(marks, inner) => without_unknowns(inner).with_marks(*marks),
        Value::Null(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn broken(desired: &DesiredInstance, what: &str, violations: &[String]) -> Diagnostics {
    let diagnostic =
        Diagnostic::error("the provider broke a promise", "this is a bug of the provider, not of the configuration")
            .at(desired.span)
            .note(format!("{}: {what}", desired.addr));
    Diagnostics(vec![violations.iter().fold(diagnostic, |diagnostic, violation| diagnostic.note(violation.clone()))])
}

/// Deletes an object.
pub(super) async fn remove(run: &Run, removable: Removable) -> Done {
    let started = Instant::now();
    let mut is_lost = false;
    let result = remove_object(run, &removable, &mut is_lost).await;
    let (instance, diags) = match result {
        Ok(diags) => (None, diags),
        Err((instance, diags)) => (instance, diags),
    };
    Done::Removed { removal: removable.removal, instance: instance.map(Box::new), diags, started, is_lost }
}

type RemoveError = (Option<InstanceState>, Diagnostics);

async fn remove_object(run: &Run, removable: &Removable, is_lost: &mut bool) -> Result<Diagnostics, RemoveError> {
    let Removable { removal, recorded, before, .. } = removable;
    let Some(recorded) = recorded else { return Ok(Diagnostics::default()) };
    let addr = &removal.addr;
    let served = run.served(&recorded.provider, addr).await;
    let Served { provider, meta } = served.map_err(|diags| (None, diags))?;
    let Some(schema) = run.schema(&recorded.provider, addr) else {
        let label = format!("{addr} cannot be removed: its provider has no such type any more");
        return Err((None, Diagnostics(vec![Diagnostic::error("unknown type in the state", label)])));
    };
    let ty = schema.block.implied_ty();
    let (prior, private) = match before {
        Some(before) => before.clone(),
        // An object that stepped aside in this very run.
        None => {
            let value = value::codec::json::decode(&recorded.attributes, &ty).unwrap_or(Value::Null(ty.clone()));
            (value, recorded.private.clone())
        }
    };
    if prior.is_null() {
        return Ok(Diagnostics::default());
    }
    let null = Value::Null(ty);
    let address = addr.to_string();
    let request = ApplyRequest {
        ty: &addr.ty,
        prior: &prior,
        planned: &null,
        config: &null,
        planned_private: &private,
        meta: meta.as_ref(),
        address: &address,
    };
    let applied = provider.apply(request).await.map_err(|error| {
        *is_lost = error.may_be_done();
        (None, host_diagnostics(&error, None))
    })?;
    let mut diags = Diagnostics::default();
    applied
        .problems
        .iter()
        .for_each(|problem| diags.push(located(problem, None).note(format!("while removing {addr}"))));
    if applied.state.is_null() && !diags.has_errors() {
        return Ok(diags);
    }
    if !diags.has_errors() {
        diags.push(Diagnostic::error(
            "the provider broke a promise",
            format!("{addr} still exists after it was removed"),
        ));
    }
    let left = (!applied.state.is_null()).then(|| {
        let value = mark(without_unknowns(&applied.state), &schema, &recorded.sensitive_paths);
        to_state(&value, &schema, &recorded.provider, applied.private, recorded)
    });
    Err((left, diags))
}
