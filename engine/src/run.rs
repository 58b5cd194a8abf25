//! What plan and apply need alike: the program with its surroundings, providers, and values on their way between
//! the engine's and the provider's side.

use std::sync::Arc;

use compiler::addr::{InstanceAddr, ProviderAddr};
use compiler::config::{DesiredInstance, DesiredProvider};
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::lang::eval::body::Spans;
use compiler::source::{SourceLoader, Span};
use compiler::surroundings::{Outside, Surroundings};
use compiler::{Environment, Evaluation, Inputs, Program};
use jiff::Timestamp;
use tokio::sync::watch;
use value::codec::json;
use value::schema::{Attribute, AttributeTy, Block, Schema};
use value::{Path, Problem, Severity, Step, Value};

use crate::event::{Event, Events};
use crate::host::providers::Providers;
use crate::host::{HostError, Provider};
use crate::propose::without_write_only;
use crate::state::InstanceState;

/// A run of plan or apply.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "holds a loader, which need not be printable")]
pub struct Run {
    pub program: Arc<Program>,
    pub loader: Arc<dyn SourceLoader>,
    /// Without a plan and without what is outside, which are given to each evaluation.
    pub surroundings: Surroundings,
    pub inputs: Inputs,
    pub providers: Arc<Providers>,
    /// How many instances are worked on at once.
    pub parallelism: usize,
    pub events: Events,
    /// Turns true when the user asks to stop.
    pub cancelled: watch::Receiver<bool>,
}

/// The clock and the chance of this machine.
struct World;

impl Outside for World {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn random(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system has random numbers");
    }
}

/// The provider of an object, and what the object's module tells it of itself.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) meta: Option<Value>,
}

impl Run {
    /// For a plan that is made then, or for none: what is another thing each time stays unknown.
    pub fn evaluation(&self, planned_at: Option<Timestamp>) -> Evaluation {
        self.evaluation_in(Surroundings { planned_at, ..self.surroundings.clone() })
    }

    /// For making what was planned then, and for the console: there is a clock, and chance.
    pub fn final_evaluation(&self, planned_at: Option<Timestamp>) -> Evaluation {
        self.evaluation_in(Surroundings { planned_at, outside: Some(Arc::new(World)), ..self.surroundings.clone() })
    }

    fn evaluation_in(&self, surroundings: Surroundings) -> Evaluation {
        let environment = Environment {
            loader: self.loader.clone(),
            surroundings,
            schemas: self.providers.schemas().clone(),
            functions: self.providers.functions(),
        };
        Evaluation::new(self.program.clone(), environment, self.inputs.clone())
    }

    /// For taking things away: what is no longer known is no reason to stop.
    pub(crate) fn lenient_evaluation(&self, planned_at: Timestamp) -> Evaluation {
        let mut inputs = self.inputs.clone();
        inputs.validating = true;
        Run { inputs, ..self.clone() }.evaluation(Some(planned_at))
    }

    pub(crate) fn tell(&self, event: Event) {
        // Nobody may be watching.
        let _ = self.events.send(event);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// A provider that was configured by its block, or that needs none. Of one whose configuration was refused no more is
    /// said.
    pub(crate) async fn provider(&self, addr: &ProviderAddr) -> Result<Arc<dyn Provider>, Diagnostics> {
        if self.providers.is_refused(addr).await {
            return Err(Diagnostics::default());
        }
        let (provider, is_new) = self.providers.get(addr).await.map_err(|error| host_diagnostics(&error, None))?;
        if is_new {
            let config = empty(&provider.schemas().provider.block);
            if let Err(diags) = configure(&*provider, &config, None).await {
                self.providers.refuse(addr).await;
                return Err(diags);
            }
        }
        Ok(provider)
    }

    /// The provider of an object, as above.
    pub(crate) async fn served(&self, by: &ProviderAddr, addr: &InstanceAddr) -> Result<Served, Diagnostics> {
        let meta = self.program.provider_meta(addr, &by.source, self.providers.schemas());
        Ok(Served { provider: self.provider(by).await?, meta })
    }

    pub(crate) async fn configure(&self, desired: &DesiredProvider) -> Result<(), Diagnostics> {
        let configured = self.configure_by(desired).await;
        if configured.is_err() {
            self.providers.refuse(&desired.addr).await;
        }
        configured
    }

    async fn configure_by(&self, desired: &DesiredProvider) -> Result<(), Diagnostics> {
        let span = desired.span;
        let (provider, _) = self.providers.get(&desired.addr).await.map_err(|error| host_diagnostics(&error, span))?;
        let config = desired.config.clone().unmark_deep().0;
        let problems = provider.validate_config(&config).await.map_err(|error| host_diagnostics(&error, span))?;
        let mut diags = Diagnostics::default();
        for problem in problems {
            diags.push(located_in(&problem, &desired.spans, span));
        }
        if diags.has_errors() {
            return Err(diags);
        }
        configure(&*provider, &config, Some(desired)).await
    }

    /// The schema of an instance that may no longer be configured.
    pub(crate) fn schema(&self, provider: &ProviderAddr, addr: &InstanceAddr) -> Option<Arc<Schema>> {
        self.providers.schemas().get(&provider.source)?.get(addr.mode, &addr.ty).cloned()
    }
}

async fn configure(
    provider: &dyn Provider,
    config: &Value,
    desired: Option<&DesiredProvider>,
) -> Result<(), Diagnostics> {
    let span = desired.and_then(|desired| desired.span);
    let problems = provider.configure(config).await.map_err(|error| host_diagnostics(&error, span))?;
    let mut diags = Diagnostics::default();
    for problem in problems {
        diags.push(match desired {
            Some(desired) => located_in(&problem, &desired.spans, span),
            None => located(&problem, span),
        });
    }
    if diags.has_errors() { Err(diags) } else { Ok(()) }
}

/// The object that a body without anything in it decodes to.
fn empty(block: &Block) -> Value {
    let attributes =
        block.attributes.iter().map(|(name, attribute)| (name.clone(), Value::Null(attribute.implied_ty())));
    let blocks = block.blocks.iter().map(|(name, nested)| {
        let ty = nested.implied_ty();
        let value = match &ty {
            value::Ty::List(element) => Value::list((**element).clone(), Vec::new()),
            value::Ty::Set(element) => Value::set((**element).clone(), Vec::new()),
            value::Ty::Map(element) => Value::map((**element).clone(), Vec::<(&str, Value)>::new()),
            _ => Value::Null(ty.clone()),
        };
        (name.clone(), value)
    });
    Value::object(attributes.chain(blocks))
}

/// What a provider says, at the place of the source that it is about.
pub(crate) fn problem_diagnostic(problem: &Problem, desired: &DesiredInstance) -> Diagnostic {
    located_in(problem, &desired.spans, Some(desired.span))
}

/// The line that it is about is shown without what the schema calls sensitive.
pub(crate) fn located_in(problem: &Problem, spans: &Spans, otherwise: Option<Span>) -> Diagnostic {
    let diagnostic = located(problem, spans.nearest(&problem.path).or(otherwise));
    spans.secrets().fold(diagnostic, |diagnostic, secret| diagnostic.conceal(Some(secret)))
}

pub(crate) fn located(problem: &Problem, span: Option<Span>) -> Diagnostic {
    let diagnostic = match problem.severity {
        Severity::Error => Diagnostic::error(problem.summary.as_str(), ""),
        Severity::Warning => Diagnostic::warning(problem.summary.as_str(), ""),
    };
    diagnostic.at_opt(span).note(problem.detail.clone())
}

pub fn host_diagnostics(error: &HostError, span: Option<Span>) -> Diagnostics {
    let mut notes = vec![error.to_string()];
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        notes.push(format!("because: {error}"));
        cause = error.source();
    }
    if let HostError::NotFound { looked_in, .. } = error {
        notes.push(format!("looked in: {}", looked_in.join(", ")));
        notes.push("`init` installs it, if a registry or a mirror has it".to_owned());
    }
    if matches!(error, HostError::NotInstalled { .. } | HostError::Altered { .. }) {
        notes.push("`init` installs it".to_owned());
    }
    if let HostError::Locked { .. } = error {
        notes.push("`init -upgrade` takes another version".to_owned());
    }
    let diagnostic = Diagnostic::error("a provider cannot be used", "").at_opt(span);
    Diagnostics(vec![notes.into_iter().fold(diagnostic, Diagnostic::note)])
}

pub(crate) fn broken_promise(span: Option<Span>) -> Diagnostic {
    Diagnostic::error("the provider broke a promise", "this is a bug of the provider, not of the configuration")
        .at_opt(span)
}

/// An object as the state keeps it. `value` carries the marks that came from the configuration.
pub(crate) fn to_state(
    value: &Value,
    schema: &Schema,
    provider: &ProviderAddr,
    private: Vec<u8>,
    like: &InstanceState,
) -> InstanceState {
    let (plain, sensitive_paths) = value.clone().unmark_with_paths();
    // Whatever a provider says: what is only written is not stored.
    let plain = without_write_only(&schema.block, &plain);
    InstanceState {
        provider: provider.clone(),
        schema_version: schema.version,
        attributes: json::encode(&plain, &schema.block.implied_ty()),
        sensitive_paths,
        private,
        ..like.clone()
    }
}

/// What the configuration decides of an object's record.
pub(crate) fn fresh(desired: &DesiredInstance, recorded: Option<&InstanceState>) -> InstanceState {
    InstanceState {
        provider: desired.provider.clone(),
        schema_version: desired.schema.version,
        attributes: serde_json::Value::Null,
        sensitive_paths: Vec::new(),
        private: Vec::new(),
        dependencies: (*desired.dependencies).clone(),
        tainted: recorded.is_some_and(|recorded| recorded.tainted),
        create_before_destroy: desired.lifecycle.create_before_destroy,
        prevent_destroy: desired.lifecycle.prevent_destroy,
    }
}

/// Marks what the schema calls sensitive, and the paths that were sensitive in the configuration.
pub fn mark(value: Value, schema: &Schema, paths: &[Path]) -> Value {
    let mut all = paths.to_vec();
    sensitive_paths(&schema.block, &value, &Path::root(), &mut all);
    value.mark_paths(&all)
}

fn sensitive_paths(block: &Block, value: &Value, at: &Path, found: &mut Vec<Path>) {
    for (name, attribute) in &block.attributes {
        if let Some(value) = value.get(name) {
            attribute_paths(attribute, value, &at.then(Step::Attribute(name.clone())), found);
        }
    }
    for (name, nested) in &block.blocks {
        let at = at.then(Step::Attribute(name.clone()));
        match value.get(name) {
            Some(value) if value.as_items().is_some() => {
                for (idx, item) in value.as_items().unwrap_or_default().iter().enumerate() {
                    sensitive_paths(&nested.block, item, &at.then(Step::Index(idx)), found);
                }
            }
            Some(Value::Map(_, entries)) => {
                for (key, item) in entries.iter() {
                    sensitive_paths(&nested.block, item, &at.then(Step::Key(key.clone())), found);
                }
            }
            Some(value) => sensitive_paths(&nested.block, value, &at, found),
            None => {}
        }
    }
}

fn attribute_paths(attribute: &Attribute, value: &Value, at: &Path, found: &mut Vec<Path>) {
    if attribute.sensitive {
        if !value.is_null() {
            found.push(at.clone());
        }
        return;
    }
    let AttributeTy::Nested { attributes, .. } = &attribute.ty else { return };
    let mut each = |value: &Value, at: &Path| {
        for (name, attribute) in attributes {
            if let Some(value) = value.get(name) {
                attribute_paths(attribute, value, &at.then(Step::Attribute(name.clone())), found);
            }
        }
    };
    match value {
        Value::List(_, items) | Value::Set(_, items) => {
            items.iter().enumerate().for_each(|(idx, item)| each(item, &at.then(Step::Index(idx))));
        }
        Value::Map(_, entries) => entries.iter().for_each(|(key, item)| each(item, &at.then(Step::Key(key.clone())))),
        other => each(other, at),
    }
}
