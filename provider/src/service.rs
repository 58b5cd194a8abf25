//! What the plugin can be asked to do, in our own nouns. One file a kind of request; no gRPC here.
//!
//! The frame around every resource lives here: it decodes values to models, plans machines, fills in what is
//! computed, renders previews, and encodes the result.

mod apply;
mod configure;
mod data;
mod import;
mod model;
mod plan;
mod preview;
mod read;
pub mod reference;
mod schema;
mod taken;
#[cfg(test)]
mod texts;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use value::schema::Schema;
use value::{Problem, Value};

use crate::driver::BoxFuture;
use crate::findings::Findings;
use crate::locks::Locks;
use crate::ownership::{Ownership, StateName};
use crate::place::Place;
use crate::resource::Context;
use crate::resources;

pub(crate) use configure::provider_schema;

/// A plugin process: its resources, and its configuration once there is one.
#[derive(Debug)]
pub struct Service {
    resources: BTreeMap<&'static str, Box<dyn AnyResource>>,
    context: RwLock<Option<Context>>,
    /// The last configuration was refused.
    is_refused: AtomicBool,
    claims: plan::Claims,
    /// Of the process, not of a configuration: a host may configure again while work is under way.
    layers: Arc<Locks>,
    state: StateName,
    ownership: Arc<Ownership>,
    findings: Arc<Findings>,
}

/// A planned change.
#[derive(Debug)]
pub struct PlanOutcome {
    pub planned: Value,
    pub requires_replace: Vec<value::Path>,
    /// What the plan shows beyond values: a summary and the files that differ.
    pub preview: Vec<u8>,
    pub problems: Vec<Problem>,
}

#[derive(Debug)]
pub struct PlanRequest<'a> {
    pub prior: &'a Value,
    pub proposed: &'a Value,
    pub config: &'a Value,
    /// Of a plan with no prior state: the private data of the plan that found a replacement to be needed.
    pub prior_private: &'a [u8],
    /// Where the resource is in the stack; our own engine says so.
    pub address: Option<&'a str>,
    /// The apply of what is planned comes next; our own engine says so.
    pub is_final: bool,
}

/// A resource type without its model type.
pub trait AnyResource: std::fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn schema(&self) -> Schema;
    /// What a change of an attribute does, in words; none of what cannot be set.
    fn effect(&self, attribute: &str) -> Option<String>;
    fn validate(&self, config: &Value) -> Vec<Problem>;
    /// What a machine of the layer would get, secrets and all.
    #[cfg(test)]
    fn bundle(&self, context: &Context, config: &Value) -> Result<crate::bundle::Bundle, Vec<Problem>>;
    fn plan<'a>(
        &'a self,
        context: &'a Context,
        claims: &'a plan::Claims,
        request: &'a PlanRequest<'a>,
    ) -> BoxFuture<'a, PlanOutcome>;
    /// `private` is what the plan said beside the planned state.
    fn apply<'a>(
        &'a self,
        context: &'a Context,
        prior: &'a Value,
        planned: &'a Value,
        private: &'a [u8],
    ) -> BoxFuture<'a, (Value, Vec<Problem>)>;
    /// The state of a layer that exists, found by `SCOPE/NAME` or `CLOUD:SCOPE/NAME`.
    fn import<'a>(&'a self, context: &'a Context, id: &'a str) -> BoxFuture<'a, Result<Value, Vec<Problem>>>;
    fn read<'a>(
        &'a self,
        context: &'a Context,
        claims: &'a plan::Claims,
        state: &'a Value,
    ) -> BoxFuture<'a, (Value, Vec<Problem>)>;
}

impl Service {
    pub fn new() -> Service {
        let state = configure::state_name();
        Service {
            resources: resources::all().into_iter().map(|resource| (resource.name(), resource)).collect(),
            context: RwLock::new(None),
            is_refused: AtomicBool::new(false),
            claims: plan::Claims::default(),
            layers: Arc::default(),
            ownership: Arc::new(Ownership::new(state.clone())),
            state,
            findings: Arc::default(),
        }
    }

    pub fn schemas(&self) -> BTreeMap<&'static str, Schema> {
        self.resources.iter().map(|(name, resource)| (*name, resource.schema())).collect()
    }

    pub fn configure(&self, config: &Value) -> Vec<Problem> {
        match configure::configure(config, &self.state, &self.ownership) {
            Ok(context) => {
                *self.context.write().unwrap_or_else(PoisonError::into_inner) = Some(context);
                Vec::new()
            }
            Err(problems) => {
                self.is_refused.store(true, Ordering::Relaxed);
                problems
            }
        }
    }

    pub fn validate_provider(&self, config: &Value) -> Vec<Problem> {
        configure::validate(config)
    }

    pub fn resource(&self, type_name: &str) -> Result<&dyn AnyResource, Problem> {
        self.resources.get(type_name).map(|resource| &**resource).ok_or_else(|| {
            let detail = format!("This provider has no resource type {type_name:?}.");
            Problem::error("unknown resource type", detail)
        })
    }

    /// The configuration, for work on one resource.
    pub fn context(&self, address: Option<&str>) -> Result<Context, Problem> {
        let context = self.context.read().unwrap_or_else(PoisonError::into_inner);
        let context = context.as_ref().ok_or_else(|| {
            let detail = if self.is_refused.load(Ordering::Relaxed) {
                "Its configuration was refused before; what was said of it then is what has to be mended."
            } else {
                "ConfigureProvider was not called before; this is a bug of the host program."
            };
            Problem::error("the provider is not configured", detail)
        })?;
        let address = address.unwrap_or_default();
        let module = Place::of(address).module;
        // The same name in two modules of a stack is two layers.
        let (scope, bundle_dir) = match module.as_str() {
            "" => (context.scope.clone(), context.bundle_dir.clone()),
            module => (format!("{}-{module}", context.scope), context.bundle_dir.join(module)),
        };
        Ok(Context {
            scope,
            bundle_dir,
            address: address.to_owned(),
            layers: self.layers.clone(),
            findings: self.findings.clone(),
            ..context.clone()
        })
    }

    /// The state has this object.
    pub fn know(&self, object: &Value) {
        self.ownership.know(object.get("generation").and_then(Value::as_str));
    }

    pub fn claims(&self) -> &plan::Claims {
        &self.claims
    }
}

impl Default for Service {
    fn default() -> Service {
        Service::new()
    }
}

/// Shared by all calls of a process.
pub type SharedService = Arc<Service>;
