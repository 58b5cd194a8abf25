//! What stands in for a provider in tests: nothing is made, and what would be computed is given by the test or made up.
//!
//! What is made up follows from the address and the attribute alone, so it is the same in every run.

use std::fmt;
use std::sync::Arc;

use compiler::addr::{InstanceAddr, Mode, ProviderSource, ResourceAddr};
use compiler::binding::ProviderSchemas;
use compiler::lang::eval::provided::FunctionFailure;
use compiler::source::Span;
use sha2::{Digest, Sha256};
use value::convert::convert;
use value::schema::{Attribute, AttributeTy, Block};
use value::value::Attributes;
use value::{Path, Problem, Ty, Value};

use super::idle::Idle;
use crate::host::{
    ApplyRequest, ApplyResponse, BoxFuture, DataRequest, ImportResponse, Lease, MoveRequest, OpenResponse, PlanRequest,
    PlanResponse, Provider, ReadRequest, ReadResponse, Result,
};

/// Values in place of what a provider computes.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    pub(super) given: Option<Value>,
    /// Whether they are there already in a plan.
    pub(super) during_plan: bool,
    /// Where they are given.
    pub(super) span: Option<Span>,
}

/// Which instances an override is for.
#[derive(Debug, Clone)]
pub(super) enum Target {
    All(ResourceAddr),
    One(InstanceAddr),
}

impl Target {
    pub(super) fn parse(text: &str) -> Option<Target> {
        // An index names one instance; without one all instances are meant, also the only one.
        match text.ends_with(']') {
            true => InstanceAddr::parse(text).map(Target::One),
            false => ResourceAddr::parse(text).map(Target::All),
        }
    }

    pub(super) fn resource(&self) -> ResourceAddr {
        match self {
            Target::All(resource) => resource.clone(),
            Target::One(one) => one.resource(),
        }
    }

    fn matches(&self, addr: &InstanceAddr) -> bool {
        match self {
            Target::All(resource) => addr.resource() == *resource,
            Target::One(one) => one == addr,
        }
    }
}

/// What a test puts in the place of a provider, or of a part of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Substitutes {
    /// Nothing at all is asked of the provider.
    pub(super) is_mock: bool,
    pub(super) defaults: Vec<(Mode, Arc<str>, Values)>,
    /// The later wins.
    pub(super) overrides: Vec<(Target, Values)>,
}

impl Substitutes {
    fn for_address(&self, mode: Mode, ty: &str, address: &str) -> Option<Values> {
        let addr = InstanceAddr::parse(address);
        let found = addr.and_then(|addr| self.overrides.iter().rev().find(|(target, _)| target.matches(&addr)));
        if let Some((_, values)) = found {
            return Some(values.clone());
        }
        if !self.is_mock {
            return None;
        }
        let found = self.defaults.iter().find(|(known, name, _)| *known == mode && **name == *ty);
        let values = found.map(|(.., values)| values.clone());
        Some(values.unwrap_or_default())
    }
}

/// A provider of which a part, or all, is substituted.
pub(super) struct Substituted {
    pub(super) inner: Arc<dyn Provider>,
    pub(super) source: ProviderSource,
    pub(super) substitutes: Arc<Substitutes>,
    pub(super) idle: Arc<Idle>,
}

impl fmt::Debug for Substituted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Substituted").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Substituted {
    fn values(&self, mode: Mode, ty: &str, address: &str) -> Option<Values> {
        self.substitutes.for_address(mode, ty, address)
    }

    fn block(&self, mode: Mode, ty: &str) -> Option<&Block> {
        self.inner.schemas().get(mode, ty).map(|schema| &schema.block)
    }

    fn fill(&self, mode: Mode, ty: &str, value: &Value, fill: &Fill<'_>) -> std::result::Result<Value, Problem> {
        match self.block(mode, ty) {
            Some(block) => fill.block(block, value, fill.given, fill.address),
            None => Ok(value.clone()),
        }
    }
}

/// How computed attributes without a value get one.
struct Fill<'a> {
    given: Option<&'a Value>,
    address: &'a str,
    /// Leaves unknown what is not given: a plan of something whose values are there only after apply.
    is_unknown: bool,
}

impl Fill<'_> {
    fn block(
        &self,
        block: &Block,
        value: &Value,
        given: Option<&Value>,
        at: &str,
    ) -> std::result::Result<Value, Problem> {
        let Some(entries) = value.as_entries() else { return Ok(value.clone()) };
        let mut filled = Attributes::new();
        for (name, value) in entries {
            let given = given.and_then(|given| given.get(name));
            let at = format!("{at}.{name}");
            let value = match (block.attributes.get(name), block.blocks.get(name)) {
                (Some(attribute), _) => self.attribute(attribute, value, given, &at)?,
                (None, Some(nested)) => self.nested(&nested.block, value, given, &at)?,
                (None, None) => value.clone(),
            };
            filled.insert(name.clone(), value);
        }
        Ok(Value::Object(Arc::new(filled)))
    }

    /// Nested blocks: what is given is for each of them.
    fn nested(
        &self,
        block: &Block,
        value: &Value,
        given: Option<&Value>,
        at: &str,
    ) -> std::result::Result<Value, Problem> {
        let each = |(idx, value): (usize, &Value)| self.block(block, value, given, &format!("{at}[{idx}]"));
        match value {
            Value::Object(_) => self.block(block, value, given, at),
            Value::List(ty, items) => {
                Ok(Value::list(ty.clone(), items.iter().enumerate().map(each).collect::<std::result::Result<_, _>>()?))
            }
            Value::Set(ty, items) => {
                Ok(Value::set(ty.clone(), items.iter().enumerate().map(each).collect::<std::result::Result<_, _>>()?))
            }
            Value::Map(ty, entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), self.block(block, value, given, &format!("{at}[{key:?}]"))?)));
                Ok(Value::map(ty.clone(), entries.collect::<std::result::Result<Vec<_>, Problem>>()?))
            }
            _ => Ok(value.clone()),
        }
    }

    fn attribute(
        &self,
        attribute: &Attribute,
        value: &Value,
        given: Option<&Value>,
        at: &str,
    ) -> std::result::Result<Value, Problem> {
        let is_missing = value.is_null() || !value.is_known();
        if attribute.computed && is_missing {
            let ty = attribute.implied_ty();
            if self.is_unknown {
                return Ok(Value::unknown(ty));
            }
            return match given {
                Some(given) => convert(given, &ty).map_err(|error| {
                    let summary = "a value of a test does not fit";
                    Problem::error(summary, format!("The value for {at} does not fit the attribute: {error}."))
                }),
                None => Ok(made_up(&ty, at)),
            };
        }
        match (&attribute.ty, value) {
            (AttributeTy::Nested { attributes, .. }, Value::Object(_)) => {
                let block = Block { attributes: attributes.clone(), ..Block::default() };
                self.block(&block, value, given, at)
            }
            _ => Ok(value.clone()),
        }
    }
}

/// A value of a type that nobody would take for a real one, the same for the same place.
fn made_up(ty: &Ty, at: &str) -> Value {
    match ty {
        Ty::String => {
            let digest = Sha256::digest(at.as_bytes());
            let letters = b"abcdefghijkmnpqrstuvwxyz23456789";
            let text: String =
                digest[..8].iter().map(|byte| char::from(letters[usize::from(*byte) % letters.len()])).collect();
            Value::string(text)
        }
        Ty::Number => Value::number(0),
        Ty::Bool => Value::Bool(false),
        Ty::List(element) => Value::list((**element).clone(), Vec::new()),
        Ty::Set(element) => Value::set((**element).clone(), Vec::new()),
        Ty::Map(element) => Value::map((**element).clone(), Vec::<(&str, Value)>::new()),
        Ty::Object(object) => Value::object(
            object.attributes.iter().map(|(name, ty)| (name.clone(), made_up(ty, &format!("{at}.{name}")))),
        ),
        Ty::Tuple(items) => Value::tuple(items.iter().map(|ty| made_up(ty, at)).collect()),
        Ty::Dynamic => Value::Null(Ty::Dynamic),
    }
}

fn now<'a, T: Send + 'a>(result: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(result))
}

/// The object, or what is wrong with it.
fn split(filled: std::result::Result<Value, Problem>, otherwise: &Value) -> (Value, Vec<Problem>) {
    match filled {
        Ok(value) => (value, Vec::new()),
        Err(problem) => (otherwise.clone(), vec![problem]),
    }
}

impl Provider for Substituted {
    fn schemas(&self) -> &Arc<ProviderSchemas> {
        self.inner.schemas()
    }

    fn plans_destroy(&self) -> bool {
        self.inner.plans_destroy()
    }

    fn validate_config<'a>(&'a self, config: &'a Value) -> BoxFuture<'a, Result<Vec<Problem>>> {
        if self.substitutes.is_mock { now(Ok(Vec::new())) } else { self.inner.validate_config(config) }
    }

    fn configure<'a>(&'a self, config: &'a Value) -> BoxFuture<'a, Result<Vec<Problem>>> {
        if self.substitutes.is_mock { now(Ok(Vec::new())) } else { self.inner.configure(config) }
    }

    /// The provider's own rules hold for a mock, too: a configuration that it would refuse is not tested with success.
    fn validate_resource<'a>(
        &'a self,
        mode: Mode,
        ty: &'a str,
        config: &'a Value,
    ) -> BoxFuture<'a, Result<Vec<Problem>>> {
        self.inner.validate_resource(mode, ty, config)
    }

    fn import<'a>(&'a self, ty: &'a str, id: &'a str, address: &'a str) -> BoxFuture<'a, Result<ImportResponse>> {
        self.inner.import(ty, id, address)
    }

    fn upgrade<'a>(
        &'a self,
        ty: &'a str,
        version: u64,
        attributes: &'a [u8],
    ) -> BoxFuture<'a, Result<(Value, Vec<Problem>)>> {
        self.inner.upgrade(ty, version, attributes)
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BoxFuture<'a, Result<ReadResponse>> {
        if self.values(Mode::Managed, request.ty, request.address).is_none() {
            return self.inner.read(request);
        }
        let (state, private) = (request.state.clone(), request.private.to_vec());
        now(Ok(ReadResponse { state, private, problems: Vec::new() }))
    }

    fn plan<'a>(&'a self, request: PlanRequest<'a>) -> BoxFuture<'a, Result<PlanResponse>> {
        let Some(values) = self.values(Mode::Managed, request.ty, request.address) else {
            return self.inner.plan(request);
        };
        let fill = Fill { given: values.given.as_ref(), address: request.address, is_unknown: !values.during_plan };
        let (planned, problems) =
            split(self.fill(Mode::Managed, request.ty, request.proposed, &fill), request.proposed);
        let requires_replace: Vec<Path> = Vec::new();
        now(Ok(PlanResponse { planned, requires_replace, private: Vec::new(), problems, legacy: false }))
    }

    fn apply<'a>(&'a self, request: ApplyRequest<'a>) -> BoxFuture<'a, Result<ApplyResponse>> {
        let Some(values) = self.values(Mode::Managed, request.ty, request.address) else {
            return self.inner.apply(request);
        };
        let fill = Fill { given: values.given.as_ref(), address: request.address, is_unknown: false };
        let (state, problems) = split(self.fill(Mode::Managed, request.ty, request.planned, &fill), request.prior);
        now(Ok(ApplyResponse { state, private: Vec::new(), problems, legacy: false }))
    }

    fn read_data<'a>(&'a self, request: DataRequest<'a>) -> BoxFuture<'a, Result<(Value, Vec<Problem>)>> {
        let DataRequest { ty, config, address, .. } = request;
        let Some(values) = self.values(Mode::Data, ty, address) else {
            return self.inner.read_data(request);
        };
        let fill = Fill { given: values.given.as_ref(), address, is_unknown: false };
        now(Ok(split(self.fill(Mode::Data, ty, config, &fill), config)))
    }

    fn open<'a>(&'a self, ty: &'a str, config: &'a Value, address: &'a str) -> BoxFuture<'a, Result<OpenResponse>> {
        let Some(values) = self.values(Mode::Ephemeral, ty, address) else {
            return self.inner.open(ty, config, address);
        };
        let fill = Fill { given: values.given.as_ref(), address, is_unknown: false };
        let (result, problems) = split(self.fill(Mode::Ephemeral, ty, config, &fill), config);
        now(Ok(OpenResponse { result, lease: Lease::default(), problems }))
    }

    fn renew<'a>(&'a self, ty: &'a str, lease: &'a Lease) -> BoxFuture<'a, Result<(Lease, Vec<Problem>)>> {
        self.inner.renew(ty, lease)
    }

    fn close<'a>(&'a self, ty: &'a str, lease: &'a Lease) -> BoxFuture<'a, Result<Vec<Problem>>> {
        if self.substitutes.is_mock { now(Ok(Vec::new())) } else { self.inner.close(ty, lease) }
    }

    fn move_state<'a>(&'a self, request: MoveRequest<'a>) -> BoxFuture<'a, Result<ImportResponse>> {
        self.inner.move_state(request)
    }

    fn call<'a>(
        &'a self,
        name: &'a str,
        arguments: &'a [Value],
    ) -> BoxFuture<'a, Result<std::result::Result<Value, FunctionFailure>>> {
        self.inner.call(name, arguments)
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.inner.stop()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        if !self.substitutes.is_mock {
            return self.inner.shutdown();
        }
        self.idle.give_back(&self.source, self.inner.clone());
        now(())
    }
}
