//! Planning one instance: read what is there, ask the provider for a plan, decide on the action.

use std::sync::Arc;

use compiler::addr::{InstanceAddr, Mode, ProviderAddr, ResourceAddr};
use compiler::config::DesiredInstance;
use compiler::diag::{Diagnostic, Diagnostics};
use proto::preview::Recovery;
use value::codec::json;
use value::schema::Schema;
use value::{Path, Value};

use super::ignore::ignoring;
use super::part::Part;
use super::{Action, Adopted, Change, PlanOptions, Reason, Refresh};
use crate::ephemeral::Open;
use crate::event::Event;
use crate::host::check::{WRITE_ONLY, plan_violations};
use crate::host::{DataRequest, PlanRequest, Provider, ReadRequest};
use crate::propose::{proposed, unread, without_write_only};
use crate::run::{Run, Served, broken_promise, fresh, host_diagnostics, located, mark, problem_diagnostic, to_state};
use crate::state::{InstanceState, State};

pub(super) enum Outcome {
    Provider(ProviderAddr, Diagnostics),
    Planned(Box<Change>, Diagnostics),
    Opened(InstanceAddr, Value, Option<Open>, Diagnostics),
    Failed(Diagnostics),
}

/// When the provider is asked what there is of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Always,
    IfChanged,
    Never,
}

impl Reading {
    pub(super) fn of(refresh: Refresh, state: &State, addr: &InstanceAddr) -> Reading {
        match refresh {
            Refresh::Everything => Reading::Always,
            // What became of it nobody knows but its provider.
            Refresh::Changed | Refresh::InDoubt if state.in_doubt.contains_key(addr) => Reading::Always,
            Refresh::Changed => Reading::IfChanged,
            Refresh::InDoubt | Refresh::Nothing | Refresh::OnlyLook => Reading::Never,
        }
    }
}

#[derive(Clone)]
pub(super) struct Request<'a> {
    pub(super) desired: &'a DesiredInstance,
    pub(super) recorded: Option<InstanceState>,
    /// Why it is to be replaced, where that does not follow from its own configuration.
    pub(super) triggered: Option<Reason>,
    /// What a data source waits for, if that is still to be changed.
    pub(super) awaited: Option<ResourceAddr>,
    pub(super) reading: Reading,
    /// The provider's id of an object that exists and is not in the state yet.
    pub(super) adopt: Option<String>,
}

/// The value in the state file, as far as the present schema can read it.
pub(crate) fn recorded_value(recorded: &InstanceState, schema: &Schema) -> Option<Value> {
    let value = json::decode(&recorded.attributes, &schema.block.implied_ty()).ok()?;
    Some(mark(value, schema, &recorded.sensitive_paths))
}

pub(super) async fn plan_instance(run: &Run, request: Request<'_>) -> Outcome {
    let mut diags = Diagnostics::default();
    let change = match request.desired.addr.mode {
        Mode::Managed if request.reading == Reading::IfChanged => plan_if_changed(run, request, &mut diags).await,
        Mode::Managed => plan_managed(run, request, &mut diags).await,
        Mode::Data | Mode::Ephemeral => plan_data(run, request, &mut diags).await,
    };
    match change {
        Ok(change) if !diags.has_errors() => Outcome::Planned(Box::new(change), diags),
        Ok(_) => Outcome::Failed(diags),
        Err(errors) => {
            diags.extend(errors);
            Outcome::Failed(diags)
        }
    }
}

/// By what the state says first; only where something would be done, or the provider refuses, by what there is.
async fn plan_if_changed(run: &Run, request: Request<'_>, diags: &mut Diagnostics) -> Result<Change, Diagnostics> {
    let is_recorded = request.recorded.is_some();
    let mut told = Diagnostics::default();
    let believing = Request { reading: Reading::Never, ..request.clone() };
    let planned = if is_recorded { plan_managed(run, believing, &mut told).await.ok() } else { None };
    match planned.filter(|change| change.action == Action::NoOp) {
        Some(change) => {
            diags.extend(told);
            Ok(change)
        }
        None => plan_managed(run, Request { reading: Reading::Always, ..request }, diags).await,
    }
}

/// Whether everything that is asked of the provider went well is in the diagnostics.
async fn plan_managed(run: &Run, request: Request<'_>, diags: &mut Diagnostics) -> Result<Change, Diagnostics> {
    let Request { desired, mut recorded, triggered, reading, adopt, .. } = request;
    let refresh = reading == Reading::Always;
    let span = Some(desired.span);
    let served = run.served(&desired.provider, &desired.addr).await?;
    let provider = &served.provider;
    let schema = &desired.schema;
    let (config, sensitive) = desired.config.clone().unmark_with_paths();
    let host = |error| host_diagnostics(&error, span);
    for problem in provider.validate_resource(Mode::Managed, &desired.addr.ty, &config).await.map_err(host)? {
        diags.push(problem_diagnostic(&problem, desired));
    }
    if diags.has_errors() {
        return Err(std::mem::take(diags));
    }
    let null = Value::Null(schema.block.implied_ty());
    let address = desired.addr.to_string();
    let mut adopted = None;
    if let Some(id) = adopt.filter(|_| recorded.is_none()) {
        let instance = import(&**provider, desired, &id, diags).await?;
        recorded = Some(instance.clone());
        adopted = Some(Box::new(Adopted { id, instance }));
    }
    let existing = match &recorded {
        Some(recorded) => existing(run, &served, &desired.addr, recorded, refresh, span, diags).await?,
        None => Existing { recorded: null.clone(), value: null.clone(), private: Vec::new() },
    };
    if let Some(adopted) = adopted.as_ref().filter(|_| existing.value.is_null()) {
        let label = format!("there is nothing with the id {:?}", adopted.id);
        let diagnostic = Diagnostic::error("nothing to import", label).at(desired.span);
        return Err(Diagnostics(vec![
            diagnostic.note(format!("{address} is not in the state, and was not made either.")),
        ]));
    }
    let is_tainted = recorded.as_ref().is_some_and(|recorded| recorded.tainted) && !existing.value.is_null();
    // An object that is to be replaced anyway is planned as if there were none.
    let prior = if is_tainted { &null } else { &existing.value };
    let kept = ignoring(&config, prior, &desired.lifecycle.ignore_changes, &schema.block);
    let ask = async |prior: &Value, config: &Value, private: &[u8]| {
        let proposed = proposed(&schema.block, prior, config);
        let request = PlanRequest {
            ty: &desired.addr.ty,
            prior,
            proposed: &proposed,
            config,
            prior_private: private,
            meta: served.meta.as_ref(),
            address: &address,
            is_final: false,
        };
        provider.plan(request).await
    };
    // As the second plan of a replacement is told of the first, this one is told of the removal.
    let mut removal = Vec::new();
    if is_tainted {
        removal = plan_removal(&served, &desired.addr, &existing, span, diags).await?;
        // Others know it from Terraform, which tells nothing here.
        if Recovery::decode(&removal).is_none() {
            removal.clear();
        }
    }
    let prior_private = if is_tainted { &removal } else { &existing.private };
    let mut answer = ask(prior, &kept, prior_private).await.map_err(host)?;
    report(&answer.problems, desired, diags)?;
    keep_promise(&plan_violations(&schema.block, prior, &kept, &answer.planned), answer.legacy, desired)?;
    let replaced: Vec<Path> = answer
        .requires_replace
        .iter()
        .filter(|path| !prior.is_null() && path.get(prior) != path.get(&answer.planned))
        .cloned()
        .collect();
    let create_first = desired.lifecycle.create_before_destroy;
    let (action, reason) = if existing.value.is_null() {
        (Action::Create, None)
    } else if is_tainted {
        (Action::Replace { create_first }, Some(Reason::Tainted))
    } else if !replaced.is_empty() {
        (Action::Replace { create_first }, Some(Reason::CannotUpdate(replaced.clone())))
    } else if let Some(reason) = triggered {
        (Action::Replace { create_first }, Some(reason))
    } else if answer.planned == *prior {
        (Action::NoOp, None)
    } else {
        (Action::Update, None)
    };
    if matches!(action, Action::Replace { .. }) && !is_tainted {
        // The new object is planned from nothing, so that what is computed becomes unknown again, and nothing is ignored.
        let private = std::mem::take(&mut answer.private);
        answer = ask(&null, &config, &private).await.map_err(host)?;
        report(&answer.problems, desired, diags)?;
        keep_promise(&plan_violations(&schema.block, &null, &config, &answer.planned), answer.legacy, desired)?;
    }
    if desired.lifecycle.prevent_destroy && matches!(action, Action::Replace { .. }) {
        return Err(Diagnostics(vec![prevented(desired, reason.as_ref())]));
    }
    // What it referred to until now must stay until it has changed.
    let before = recorded.iter().flat_map(|recorded| recorded.dependencies.iter());
    let dependencies = desired.dependencies.iter().chain(before).cloned().collect();
    Ok(Change {
        addr: desired.addr.clone(),
        provider: desired.provider.clone(),
        schema: schema.clone(),
        action,
        reason,
        recorded: existing.recorded,
        before: existing.value,
        after: mark(answer.planned, schema, &sensitive),
        requires_replace: replaced,
        before_private: existing.private,
        private: answer.private,
        dependencies,
        create_before_destroy: create_first,
        recorded_sensitive: recorded.as_ref().map(|recorded| recorded.sensitive_paths.clone()).unwrap_or_default(),
        adopted,
    })
}

/// The provider's private data of the plan to remove an object, if it wants to be asked.
async fn plan_removal(
    Served { provider, meta }: &Served,
    addr: &InstanceAddr,
    existing: &Existing,
    span: Option<compiler::source::Span>,
    diags: &mut Diagnostics,
) -> Result<Vec<u8>, Diagnostics> {
    if !provider.plans_destroy() || existing.value.is_null() {
        return Ok(existing.private.clone());
    }
    let null = Value::Null(existing.value.ty());
    let address = addr.to_string();
    let request = PlanRequest {
        ty: &addr.ty,
        prior: &existing.value,
        proposed: &null,
        config: &null,
        prior_private: &existing.private,
        meta: meta.as_ref(),
        address: &address,
        is_final: false,
    };
    let answer = provider.plan(request).await.map_err(|error| host_diagnostics(&error, span))?;
    push_all(&answer.problems, span, diags)?;
    if !answer.planned.is_null() {
        let note = format!("It was asked to plan the removal of {addr}, and planned something else.");
        return Err(Diagnostics(vec![broken_promise(span).note(note)]));
    }
    Ok(answer.private)
}

async fn import(
    provider: &dyn Provider,
    desired: &DesiredInstance,
    id: &str,
    diags: &mut Diagnostics,
) -> Result<InstanceState, Diagnostics> {
    let span = Some(desired.span);
    let address = desired.addr.to_string();
    let found = provider.import(&desired.addr.ty, id, &address).await;
    let found = found.map_err(|error| host_diagnostics(&error, span))?;
    push_all(&found.problems, span, diags)?;
    let Some(state) = found.state.filter(|state| !state.is_null() && state.is_wholly_known()) else {
        let note = format!("The provider found nothing for {address} by the id {id:?}, and did not say why.");
        return Err(Diagnostics(vec![broken_promise(span).note(note)]));
    };
    let value = mark(state, &desired.schema, &[]);
    Ok(to_state(&value, &desired.schema, &desired.provider, found.private, &fresh(desired, None)))
}

struct Existing {
    recorded: Value,
    value: Value,
    private: Vec<u8>,
}

/// What there is: the recorded object in the present schema, and what the provider reads.
/// Says how many objects providers will be asked about.
pub(super) fn announce(run: &Run, state: &State, options: &PlanOptions, part: Option<&Part<'_>>) {
    if options.refresh == Refresh::Everything && options.adopt.is_empty() {
        let asked = state.instances.keys().filter(|addr| addr.mode == Mode::Managed);
        let total = asked.filter(|addr| part.is_none_or(|part| part.plans(addr))).count();
        if total > 0 {
            run.tell(Event::Surveying { total });
        }
    }
}

async fn existing(
    run: &Run,
    Served { provider, meta }: &Served,
    addr: &InstanceAddr,
    recorded: &InstanceState,
    refresh: bool,
    span: Option<compiler::source::Span>,
    diags: &mut Diagnostics,
) -> Result<Existing, Diagnostics> {
    let host = |error| host_diagnostics(&error, span);
    let attributes = recorded.attributes.to_string();
    let (old, problems) =
        provider.upgrade(&addr.ty, recorded.schema_version, attributes.as_bytes()).await.map_err(host)?;
    push_all(&problems, span, diags)?;
    let block = provider.schemas().get(addr.mode, &addr.ty).map(|schema| &schema.block);
    let stored = |value: &Value| block.map_or_else(|| value.clone(), |block| without_write_only(block, value));
    let old = stored(&old);
    if !refresh {
        return Ok(Existing { recorded: old.clone(), value: old, private: recorded.private.clone() });
    }
    run.tell(Event::Refreshing { addr: addr.clone() });
    let address = addr.to_string();
    let request =
        ReadRequest { ty: &addr.ty, state: &old, private: &recorded.private, meta: meta.as_ref(), address: &address };
    let read = provider.read(request).await.map_err(host)?;
    push_all(&read.problems, span, diags)?;
    run.tell(Event::Refreshed { addr: addr.clone() });
    if !read.state.is_wholly_known() {
        let note = format!("The provider read {addr} as something that is partly unknown, which cannot be.");
        return Err(Diagnostics(vec![broken_promise(span).note(note)]));
    }
    if stored(&read.state) != read.state {
        let note = format!("The provider read {addr} with a value of an argument that is only written.");
        return Err(Diagnostics(vec![broken_promise(span).note(note)]));
    }
    Ok(Existing { recorded: old, value: read.state, private: read.private })
}

fn push_all(
    problems: &[value::Problem],
    span: Option<compiler::source::Span>,
    diags: &mut Diagnostics,
) -> Result<(), Diagnostics> {
    problems.iter().for_each(|problem| diags.push(located(problem, span)));
    if diags.has_errors() { Err(std::mem::take(diags)) } else { Ok(()) }
}

fn report(problems: &[value::Problem], desired: &DesiredInstance, diags: &mut Diagnostics) -> Result<(), Diagnostics> {
    problems.iter().for_each(|problem| diags.push(problem_diagnostic(problem, desired)));
    if diags.has_errors() { Err(std::mem::take(diags)) } else { Ok(()) }
}

fn keep_promise(violations: &[String], is_legacy: bool, desired: &DesiredInstance) -> Result<(), Diagnostics> {
    let counts = |violation: &&String| !is_legacy || violation.ends_with(WRITE_ONLY);
    let violations: Vec<&String> = violations.iter().filter(counts).collect();
    if violations.is_empty() {
        return Ok(());
    }
    let diagnostic = broken_promise(Some(desired.span)).note(format!("The plan for {} is not valid:", desired.addr));
    Err(Diagnostics(vec![
        violations.into_iter().fold(diagnostic, |diagnostic, violation| diagnostic.note(violation.clone())),
    ]))
}

fn prevented(desired: &DesiredInstance, reason: Option<&Reason>) -> Diagnostic {
    let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Diagnostic::error("destruction prevented", "`prevent_destroy` is set here")
        .at(desired.span)
        .note(format!("The plan would destroy {} and make it anew{because}.", desired.addr))
        .note("take `prevent_destroy` away, or undo the change that asks for it")
}

async fn plan_data(run: &Run, request: Request<'_>, diags: &mut Diagnostics) -> Result<Change, Diagnostics> {
    let Request { desired, recorded, awaited, .. } = request;
    let span = Some(desired.span);
    let served = run.served(&desired.provider, &desired.addr).await?;
    let provider = &served.provider;
    let (config, sensitive) = desired.config.clone().unmark_with_paths();
    let host = |error| host_diagnostics(&error, span);
    for problem in provider.validate_resource(Mode::Data, &desired.addr.ty, &config).await.map_err(host)? {
        diags.push(problem_diagnostic(&problem, desired));
    }
    if diags.has_errors() {
        return Err(std::mem::take(diags));
    }
    let ty = desired.schema.block.implied_ty();
    let (action, after) = if config.is_wholly_known() && awaited.is_none() {
        run.tell(Event::Reading { addr: desired.addr.clone() });
        let request = DataRequest {
            ty: &desired.addr.ty,
            config: &config,
            meta: served.meta.as_ref(),
            address: &desired.addr.to_string(),
        };
        let (read, problems) = provider.read_data(request).await.map_err(host)?;
        report(&problems, desired, diags)?;
        (Action::NoOp, read)
    } else {
        (Action::Read, unread(&desired.schema.block, &config))
    };
    let before = recorded.and_then(|recorded| recorded_value(&recorded, &desired.schema)).unwrap_or(Value::Null(ty));
    // What it waits for may be far behind what it refers to.
    let dependencies = desired.dependencies.union(&desired.awaits).cloned().collect();
    Ok(Change {
        addr: desired.addr.clone(),
        provider: desired.provider.clone(),
        schema: desired.schema.clone(),
        action,
        reason: awaited.map(Reason::Awaits),
        recorded: before.clone(),
        before,
        after: mark(after, &desired.schema, &sensitive),
        requires_replace: Vec::new(),
        before_private: Vec::new(),
        private: Vec::new(),
        dependencies,
        create_before_destroy: false,
        recorded_sensitive: Vec::new(),
        adopted: None,
    })
}

/// An object that an earlier run has replaced and could not remove.
pub(super) async fn plan_deposed(
    run: &Run,
    addr: &InstanceAddr,
    instance: &InstanceState,
    value: &Value,
    diags: &mut Diagnostics,
) -> Result<Vec<u8>, Diagnostics> {
    let served = run.served(&instance.provider, addr).await?;
    let value = value.clone().unmark_deep().0;
    let existing = Existing { recorded: value.clone(), value, private: instance.private.clone() };
    plan_removal(&served, addr, &existing, None, diags).await
}

/// An object as it is; one that is gone is forgotten.
pub(super) async fn observe(run: &Run, addr: &InstanceAddr, recorded: InstanceState) -> Outcome {
    let mut diags = Diagnostics::default();
    let served = match run.served(&recorded.provider, addr).await {
        Ok(served) => served,
        Err(errors) => return Outcome::Failed(errors),
    };
    let Some(schema) = run.schema(&recorded.provider, addr) else { return Outcome::Failed(no_type(addr, &recorded)) };
    let existing = match existing(run, &served, addr, &recorded, true, None, &mut diags).await {
        Ok(existing) => existing,
        Err(errors) => return Outcome::Failed(errors),
    };
    let is_gone = existing.value.is_null();
    let change = Change {
        addr: addr.clone(),
        provider: recorded.provider.clone(),
        action: if is_gone { Action::Forget } else { Action::NoOp },
        reason: is_gone.then_some(Reason::Gone),
        after: mark(existing.value.clone(), &schema, &recorded.sensitive_paths),
        recorded: existing.recorded,
        before: existing.value,
        requires_replace: Vec::new(),
        private: existing.private.clone(),
        before_private: existing.private,
        dependencies: recorded.dependencies.clone(),
        create_before_destroy: recorded.create_before_destroy,
        schema,
        recorded_sensitive: recorded.sensitive_paths.clone(),
        adopted: None,
    };
    Outcome::Planned(Box::new(change), diags)
}

/// An object that goes on without being managed; nobody is asked about it.
pub(super) fn forget(
    run: &Run,
    addr: &InstanceAddr,
    recorded: &InstanceState,
    reason: Reason,
) -> Result<Change, Diagnostics> {
    let schema = run.schema(&recorded.provider, addr).ok_or_else(|| no_type(addr, recorded))?;
    let null = Value::Null(schema.block.implied_ty());
    let value = recorded_value(recorded, &schema).map_or(null.clone(), |value| value.unmark_deep().0);
    Ok(Change {
        addr: addr.clone(),
        provider: recorded.provider.clone(),
        action: Action::Forget,
        reason: Some(reason),
        recorded: value.clone(),
        before: value,
        after: null,
        requires_replace: Vec::new(),
        before_private: Vec::new(),
        private: Vec::new(),
        dependencies: recorded.dependencies.clone(),
        create_before_destroy: false,
        schema,
        recorded_sensitive: recorded.sensitive_paths.clone(),
        adopted: None,
    })
}

fn no_type(addr: &InstanceAddr, recorded: &InstanceState) -> Diagnostics {
    let note = format!("The state has {addr}, but {} has no such type any more.", recorded.provider.source.short());
    Diagnostics(vec![Diagnostic::error("unknown type in the state", "").note(note)])
}

/// An object that is no longer wanted.
pub(super) async fn plan_orphan(
    run: &Run,
    addr: &InstanceAddr,
    recorded: InstanceState,
    refresh: bool,
    only_looks: bool,
    reason: Option<Reason>,
) -> Outcome {
    let mut diags = Diagnostics::default();
    let served = match run.served(&recorded.provider, addr).await {
        Ok(served) => served,
        Err(errors) => return Outcome::Failed(errors),
    };
    let Some(schema) = run.schema(&recorded.provider, addr) else { return Outcome::Failed(no_type(addr, &recorded)) };
    let existing = match existing(run, &served, addr, &recorded, refresh, None, &mut diags).await {
        Ok(existing) => existing,
        Err(errors) => return Outcome::Failed(errors),
    };
    let private = if only_looks {
        Vec::new()
    } else {
        match plan_removal(&served, addr, &existing, None, &mut diags).await {
            Ok(private) => private,
            Err(errors) => return Outcome::Failed(errors),
        }
    };
    let null = Value::Null(schema.block.implied_ty());
    let dependencies = recorded.dependencies.clone();
    let change = Change {
        addr: addr.clone(),
        provider: recorded.provider.clone(),
        // What is gone already needs no deleting, but its record does.
        action: Action::Delete,
        reason,
        recorded: existing.recorded,
        before: existing.value,
        after: null,
        requires_replace: Vec::new(),
        before_private: existing.private,
        private,
        dependencies,
        create_before_destroy: recorded.create_before_destroy,
        schema: Arc::clone(&schema),
        recorded_sensitive: recorded.sensitive_paths,
        adopted: None,
    };
    Outcome::Planned(Box::new(change), diags)
}
