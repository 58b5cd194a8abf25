//! A provider made of closures, for tests of the engine: a fake, and called so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use compiler::addr::{Mode, ProviderSource};
use compiler::binding::ProviderSchemas;
use value::codec::json;
use value::schema::Schema;
use value::value::Attributes;
use value::{Path, Problem, Value};

use super::providers::Launcher;
use super::{
    ApplyRequest, ApplyResponse, BoxFuture, DataRequest, HostError, ImportResponse, PlanRequest, PlanResponse,
    Provider, ReadRequest, ReadResponse, Result,
};

pub type PlanFn = dyn Fn(&PlanRequest<'_>, Value) -> PlanResponse + Send + Sync;
pub type ApplyFn = dyn Fn(&ApplyRequest<'_>, Value) -> ApplyResponse + Send + Sync;
pub type DiesFn = dyn Fn(&ApplyRequest<'_>) -> bool + Send + Sync;
pub type ReadFn = dyn Fn(&ReadRequest<'_>) -> Value + Send + Sync;

/// By default plans computed attributes as unknown, makes them `ATTRIBUTE of ADDRESS` on apply, and reads back
/// what is in the state. Every call is noted in `calls`.
pub struct FakeProvider {
    schemas: Arc<ProviderSchemas>,
    pub plan: Box<PlanFn>,
    pub apply: Box<ApplyFn>,
    pub read: Box<ReadFn>,
    pub plans_destroy: bool,
    /// Whether the plugin dies after it has done what it was asked for, and before it answers.
    pub dies: Box<DiesFn>,
    pub calls: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for FakeProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeProvider")
    }
}

impl FakeProvider {
    pub fn new(resources: BTreeMap<&str, Schema>) -> FakeProvider {
        let resources: BTreeMap<Arc<str>, Arc<Schema>> =
            resources.into_iter().map(|(name, schema)| (name.into(), Arc::new(schema))).collect();
        FakeProvider {
            schemas: Arc::new(ProviderSchemas {
                data_sources: resources.clone(),
                resources,
                ..ProviderSchemas::default()
            }),
            plan: Box::new(|_, planned| PlanResponse {
                planned,
                requires_replace: Vec::new(),
                private: Vec::new(),
                problems: Vec::new(),
                legacy: false,
            }),
            apply: Box::new(|_, state| ApplyResponse {
                state,
                private: Vec::new(),
                problems: Vec::new(),
                legacy: false,
            }),
            read: Box::new(|request| request.state.clone()),
            plans_destroy: false,
            dies: Box::new(|_| false),
            calls: Arc::default(),
        }
    }

    /// One that modules tell something of themselves; what it is told is noted, too.
    #[must_use]
    pub fn with_meta(mut self, schema: Schema) -> FakeProvider {
        Arc::make_mut(&mut self.schemas).meta = Some(Arc::new(schema));
        self
    }

    fn told(&self, call: &str, meta: Option<&Value>) {
        if let (Some(meta), Some(schema)) = (meta, &self.schemas.meta) {
            self.note(call, &format!("told {}", json::encode(meta, &schema.block.implied_ty())));
        }
    }

    fn note(&self, call: &str, address: &str) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{call} {address}"));
    }

    /// Computed attributes that nothing sets: unknown in a plan, made up in an apply.
    fn fill(&self, ty: &str, value: &Value, fill: impl Fn(&str, &value::Ty) -> Value) -> Value {
        let (Some(schema), Some(entries)) = (self.schemas.resources.get(ty), value.as_entries()) else {
            return value.clone();
        };
        let filled: Attributes = entries
            .iter()
            .map(|(name, value)| {
                let computed = schema.block.attributes.get(name).is_some_and(|attribute| attribute.computed);
                let missing = value.is_null() || !value.is_known();
                let value = if computed && missing { fill(name, &value.ty()) } else { value.clone() };
                (name.clone(), value)
            })
            .collect();
        Value::Object(Arc::new(filled))
    }
}

fn now<'a, T: Send + 'a>(result: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(result))
}

impl Provider for FakeProvider {
    fn schemas(&self) -> &Arc<ProviderSchemas> {
        &self.schemas
    }

    fn plans_destroy(&self) -> bool {
        self.plans_destroy
    }

    fn validate_config<'a>(&'a self, _: &'a Value) -> BoxFuture<'a, Result<Vec<Problem>>> {
        now(Ok(Vec::new()))
    }

    fn configure<'a>(&'a self, _: &'a Value) -> BoxFuture<'a, Result<Vec<Problem>>> {
        self.note("configure", "");
        now(Ok(Vec::new()))
    }

    fn validate_resource<'a>(&'a self, _: Mode, _: &'a str, _: &'a Value) -> BoxFuture<'a, Result<Vec<Problem>>> {
        now(Ok(Vec::new()))
    }

    /// An object whose attributes are all null; `read` may fill them in.
    fn import<'a>(&'a self, ty: &'a str, id: &'a str, address: &'a str) -> BoxFuture<'a, Result<ImportResponse>> {
        Box::pin(async move {
            self.note("import", &format!("{address} {id}"));
            let attributes =
                self.schemas.resources.get(ty).map(|schema| schema.block.attributes.clone()).unwrap_or_default();
            let nulls = attributes.iter().map(|(name, attribute)| (name.clone(), Value::Null(attribute.implied_ty())));
            Ok(ImportResponse { state: Some(Value::object(nulls)), private: Vec::new(), problems: Vec::new() })
        })
    }

    fn upgrade<'a>(
        &'a self,
        ty: &'a str,
        _: u64,
        attributes: &'a [u8],
    ) -> BoxFuture<'a, Result<(Value, Vec<Problem>)>> {
        let ty = self.schemas.resources[ty].block.implied_ty();
        let parsed = serde_json::from_slice(attributes).expect("the engine wrote this JSON itself");
        now(Ok((json::decode(&parsed, &ty).expect("the state fits the schema"), Vec::new())))
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BoxFuture<'a, Result<ReadResponse>> {
        self.told("read", request.meta);
        let state = (self.read)(&request);
        now(Ok(ReadResponse { state, private: request.private.to_vec(), problems: Vec::new() }))
    }

    fn plan<'a>(&'a self, request: PlanRequest<'a>) -> BoxFuture<'a, Result<PlanResponse>> {
        self.told("plan", request.meta);
        let planned = self.fill(request.ty, request.proposed, |_, ty| Value::unknown(ty.clone()));
        now(Ok((self.plan)(&request, planned)))
    }

    fn apply<'a>(&'a self, request: ApplyRequest<'a>) -> BoxFuture<'a, Result<ApplyResponse>> {
        let verb = match (request.prior.is_null(), request.planned.is_null()) {
            (true, _) => "create",
            (false, true) => "delete",
            (false, false) => "update",
        };
        self.note(verb, request.address);
        self.told(verb, request.meta);
        if (self.dies)(&request) {
            let (provider, message, log) = ("fake".to_owned(), "transport error".to_owned(), "(none)".to_owned());
            return now(Err(HostError::Call { provider, call: "ApplyResourceChange", message, log }));
        }
        let made =
            self.fill(request.ty, request.planned, |name, _| Value::string(format!("{name} of {}", request.address)));
        now(Ok((self.apply)(&request, made)))
    }

    fn read_data<'a>(&'a self, request: DataRequest<'a>) -> BoxFuture<'a, Result<(Value, Vec<Problem>)>> {
        let DataRequest { ty, config, meta, .. } = request;
        self.note("read", ty);
        self.told("read data", meta);
        now(Ok((self.fill(ty, config, |name, _| Value::string(format!("{name} of {ty}"))), Vec::new())))
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        now(())
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        now(())
    }
}

/// Gives the same fake for every source.
#[derive(Debug)]
pub struct FakeLauncher(pub Arc<FakeProvider>);

impl Launcher for FakeLauncher {
    fn launch<'a>(&'a self, _: &'a ProviderSource) -> BoxFuture<'a, Result<Arc<dyn Provider>>> {
        now(Ok(self.0.clone() as Arc<dyn Provider>))
    }
}

/// A plan answer that asks for replacement when an attribute differs.
pub fn replace_when_changed(attribute: &'static str) -> Box<PlanFn> {
    Box::new(move |request, planned| {
        let differs = !request.prior.is_null() && request.prior.get(attribute) != request.config.get(attribute);
        PlanResponse {
            planned,
            requires_replace: if differs { vec![Path::attribute(attribute)] } else { Vec::new() },
            private: Vec::new(),
            problems: Vec::new(),
            legacy: false,
        }
    })
}
