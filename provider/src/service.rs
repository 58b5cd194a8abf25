//! What the plugin can be asked to do, in our own nouns. One file a kind of request; no gRPC here.
//!
//! A resource is spoken to through [`AnyResource`], which no kind of resource shows through.

mod configure;
pub mod reference;
#[cfg(test)]
mod texts;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use value::schema::Schema;
use value::{Problem, Value};

use crate::context::{Claims, Context, Findings};
use crate::locks::Locks;
use crate::ownership::{Ownership, StateName};
use crate::place::Place;
use crate::resource::AnyResource;
use crate::resources;

use configure::Connections;
pub(crate) use configure::provider_schema;

/// A plugin process: its resources, and its configuration once there is one.
#[derive(Debug)]
pub struct Service {
    resources: BTreeMap<&'static str, Box<dyn AnyResource>>,
    context: RwLock<Option<Context>>,
    /// The last configuration was refused.
    is_refused: AtomicBool,
    claims: Arc<Claims>,
    /// Of the process, not of a configuration: a host may configure again while work is under way.
    layers: Arc<Locks>,
    state: StateName,
    ownership: Arc<Ownership>,
    findings: Arc<Findings>,
    connections: Connections,
}

impl Service {
    pub fn new() -> Service {
        let state = configure::state_name();
        Service {
            resources: resources::all().into_iter().map(|resource| (resource.name(), resource)).collect(),
            context: RwLock::new(None),
            is_refused: AtomicBool::new(false),
            claims: Arc::default(),
            layers: Arc::default(),
            ownership: Arc::new(Ownership::new(state.clone())),
            state,
            findings: Arc::default(),
            connections: Connections::default(),
        }
    }

    pub fn schemas(&self) -> BTreeMap<&'static str, Schema> {
        self.resources.iter().map(|(name, resource)| (*name, resource.schema())).collect()
    }

    pub fn data_schemas(&self) -> BTreeMap<&'static str, Schema> {
        self.resources.iter().filter_map(|(name, resource)| Some((*name, resource.data_schema()?))).collect()
    }

    pub fn configure(&self, config: &Value) -> Vec<Problem> {
        match configure::configure(config, &self.state, &self.ownership, &self.connections) {
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

    /// The host says that it is done.
    pub fn end(&self) {
        self.ownership.end();
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
            claims: self.claims.clone(),
            sources: Arc::default(),
            ..context.clone()
        })
    }

    /// The state has this object.
    pub fn know(&self, object: &Value) {
        self.ownership.know(object.get("generation").and_then(Value::as_str));
    }
}

impl Default for Service {
    fn default() -> Service {
        Service::new()
    }
}

/// Shared by all calls of a process.
pub type SharedService = Arc<Service>;
