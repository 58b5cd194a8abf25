//! The host end of the plugin protocol: providers as separate processes, spoken to in our own nouns.
//!
//! [`Provider`] is the seam: `grpc` is the real thing, `fake` serves tests of the engine.

pub mod check;
pub mod fake;
mod grpc;
pub mod launch;
pub mod providers;
pub mod search;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use compiler::addr::Mode;
use compiler::binding::ProviderSchemas;
use compiler::lang::eval::provided::FunctionFailure;
pub use proto::handshake;
use value::{Path, Problem, Value};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a provider gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("no plugin for provider {source_name} was found")]
    NotFound { source_name: String, looked_in: Vec<String> },
    #[error("no plugin for provider {source_name} has a version that fits {}: there is {}", wanted.join(" and "), found.join(", "))]
    Version { source_name: String, wanted: Vec<String>, found: Vec<String> },
    #[error("{source_name} is locked at {locked}, which does not fit {}", wanted.join(" and "))]
    Locked { source_name: String, wanted: Vec<String>, locked: String },
    #[error("the plugin for provider {source_name} {version} is not installed here")]
    NotInstalled { source_name: String, version: String },
    #[error("the plugin for provider {source_name} {version}, {path}, is not what is locked")]
    Altered { source_name: String, version: String, path: String },
    #[error("the plugin {path} could not be started")]
    Start {
        path: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("the plugin {path} did not say hello: {reason}")]
    Handshake { path: String, reason: String },
    #[error("the connection to the plugin of {provider} failed")]
    Connect {
        provider: String,
        #[source]
        cause: tonic::transport::Error,
    },
    #[error("the plugin of {provider} that runs already does not answer at {address}")]
    Attach {
        provider: String,
        address: String,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the plugin of {provider} runs already, and can have one configuration only")]
    OneConfiguration { provider: String },
    #[error("the plugin of {provider} failed during {call}: {message}\nThe last lines that it wrote:\n{log}")]
    Call { provider: String, call: &'static str, message: String, log: String },
    /// As `Call`, and the plugin was not even asked.
    #[error(
        "the plugin of {provider} is gone, and could not be asked for {call}: {message}\nThe last lines that it wrote:\n{log}"
    )]
    Gone { provider: String, call: &'static str, message: String, log: String },
    #[error("the plugin of {provider} has not answered {call} for {seconds} s\nThe last lines that it wrote:\n{log}")]
    Silent { provider: String, call: &'static str, seconds: u64, log: String },
    #[error("the plugin of {provider} answered {call} with something unreadable: {reason}")]
    Answer { provider: String, call: &'static str, reason: String },
    #[error("the plugin of {provider} has no `{operation}`: it is of another make, or older than this program")]
    NoOperation { provider: String, operation: String },
    #[error("{provider} on {address}: {reason}")]
    Refused { provider: String, address: String, reason: String },
    #[error(transparent)]
    Tls(#[from] proto::tls::TlsError),
}

impl HostError {
    /// Whether what was asked for may have happened.
    pub fn may_be_done(&self) -> bool {
        match self {
            HostError::Call { .. } | HostError::Answer { .. } | HostError::Silent { .. } => true,
            HostError::NotFound { .. }
            | HostError::Version { .. }
            | HostError::Locked { .. }
            | HostError::NotInstalled { .. }
            | HostError::Altered { .. }
            | HostError::Start { .. }
            | HostError::Handshake { .. }
            | HostError::Connect { .. }
            | HostError::Attach { .. }
            | HostError::OneConfiguration { .. }
            | HostError::Gone { .. }
            | HostError::NoOperation { .. }
            | HostError::Refused { .. }
            | HostError::Tls(_) => false,
        }
    }
}

pub type Result<T> = std::result::Result<T, HostError>;

/// `meta` is what the module of the object tells the provider of itself.
#[derive(Debug, Clone)]
pub struct PlanRequest<'a> {
    pub ty: &'a str,
    pub prior: &'a Value,
    pub proposed: &'a Value,
    pub config: &'a Value,
    pub prior_private: &'a [u8],
    pub meta: Option<&'a Value>,
    /// The address of the instance, for providers that care.
    pub address: &'a str,
    /// The apply of what is planned comes next.
    pub is_final: bool,
}

#[derive(Debug, Clone)]
pub struct PlanResponse {
    pub planned: Value,
    pub requires_replace: Vec<Path>,
    pub private: Vec<u8>,
    pub problems: Vec<Problem>,
    /// The provider is built on the old SDK, whose small deviations from the protocol are tolerated.
    pub legacy: bool,
}

#[derive(Debug, Clone)]
pub struct ApplyRequest<'a> {
    pub ty: &'a str,
    pub prior: &'a Value,
    pub planned: &'a Value,
    pub config: &'a Value,
    pub planned_private: &'a [u8],
    pub meta: Option<&'a Value>,
    pub address: &'a str,
}

#[derive(Debug, Clone)]
pub struct ApplyResponse {
    pub state: Value,
    pub private: Vec<u8>,
    pub problems: Vec<Problem>,
    pub legacy: bool,
}

#[derive(Debug, Clone)]
pub struct ReadRequest<'a> {
    pub ty: &'a str,
    pub state: &'a Value,
    pub private: &'a [u8],
    pub meta: Option<&'a Value>,
    pub address: &'a str,
}

#[derive(Debug, Clone)]
pub struct DataRequest<'a> {
    pub ty: &'a str,
    pub config: &'a Value,
    pub meta: Option<&'a Value>,
    /// For what stands in front of a provider; the protocol does not carry it.
    pub address: &'a str,
}

/// A question of [`proto::dialect`].
#[derive(Debug, Clone, Copy)]
pub struct AskRequest<'a> {
    pub operation: &'a str,
    pub ty: &'a str,
    pub address: &'a str,
    pub state: &'a Value,
    pub arguments: &'a serde_json::Value,
}

#[derive(Debug, Clone)]
pub struct ReadResponse {
    pub state: Value,
    pub private: Vec<u8>,
    pub problems: Vec<Problem>,
}

/// An object that a provider found by an id.
#[derive(Debug, Clone)]
pub struct ImportResponse {
    /// None if there are problems.
    pub state: Option<Value>,
    pub private: Vec<u8>,
    pub problems: Vec<Problem>,
}

/// Something ephemeral that was opened.
#[derive(Debug, Clone)]
pub struct OpenResponse {
    pub result: Value,
    pub lease: Lease,
    pub problems: Vec<Problem>,
}

/// What a provider needs to renew and to close it.
#[derive(Debug, Clone, Default)]
pub struct Lease {
    pub private: Option<Vec<u8>>,
    /// When it must be renewed, if it must.
    pub renew_at: Option<SystemTime>,
}

#[derive(Debug, Clone)]
pub struct MoveRequest<'a> {
    pub from_provider: String,
    pub from_type: &'a str,
    pub from_version: u64,
    /// Attributes as they lie in a state file.
    pub attributes: &'a [u8],
    pub private: &'a [u8],
    pub ty: &'a str,
}

/// A running provider. Values carry no marks here.
pub trait Provider: fmt::Debug + Send + Sync {
    fn schemas(&self) -> &Arc<ProviderSchemas>;
    fn validate_config<'a>(&'a self, config: &'a Value) -> BoxFuture<'a, Result<Vec<Problem>>>;
    fn configure<'a>(&'a self, config: &'a Value) -> BoxFuture<'a, Result<Vec<Problem>>>;
    fn validate_resource<'a>(
        &'a self,
        mode: Mode,
        ty: &'a str,
        config: &'a Value,
    ) -> BoxFuture<'a, Result<Vec<Problem>>>;
    /// Finds an object that was made before by its id, which only the provider understands.
    fn import<'a>(&'a self, ty: &'a str, id: &'a str, address: &'a str) -> BoxFuture<'a, Result<ImportResponse>>;
    /// Brings attributes as they lie in a state file to the present schema.
    fn upgrade<'a>(
        &'a self,
        ty: &'a str,
        version: u64,
        attributes: &'a [u8],
    ) -> BoxFuture<'a, Result<(Value, Vec<Problem>)>>;
    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BoxFuture<'a, Result<ReadResponse>>;
    /// A plan for nothing is a removal, which is only asked of one that `plans_destroy`.
    fn plan<'a>(&'a self, request: PlanRequest<'a>) -> BoxFuture<'a, Result<PlanResponse>>;
    /// Whether it wants to be asked about removals, too: the capability `plan_destroy` of the protocol.
    fn plans_destroy(&self) -> bool {
        false
    }
    fn apply<'a>(&'a self, request: ApplyRequest<'a>) -> BoxFuture<'a, Result<ApplyResponse>>;
    fn read_data<'a>(&'a self, request: DataRequest<'a>) -> BoxFuture<'a, Result<(Value, Vec<Problem>)>>;
    /// Opens something that is not stored.
    fn open<'a>(&'a self, ty: &'a str, config: &'a Value, address: &'a str) -> BoxFuture<'a, Result<OpenResponse>> {
        let _ = (config, address);
        no_call("OpenEphemeralResource", ty)
    }
    fn renew<'a>(&'a self, ty: &'a str, lease: &'a Lease) -> BoxFuture<'a, Result<(Lease, Vec<Problem>)>> {
        let _ = lease;
        no_call("RenewEphemeralResource", ty)
    }
    fn close<'a>(&'a self, ty: &'a str, lease: &'a Lease) -> BoxFuture<'a, Result<Vec<Problem>>> {
        let _ = lease;
        no_call("CloseEphemeralResource", ty)
    }
    /// Makes an object of a type of another one: the capability `move_resource_state`.
    fn move_state<'a>(&'a self, request: MoveRequest<'a>) -> BoxFuture<'a, Result<ImportResponse>> {
        no_call("MoveResourceState", request.ty)
    }
    /// Calls a function; `Err` inside is what the function has to say.
    fn call<'a>(
        &'a self,
        name: &'a str,
        arguments: &'a [Value],
    ) -> BoxFuture<'a, Result<std::result::Result<Value, FunctionFailure>>> {
        let _ = arguments;
        no_call("CallFunction", name)
    }
    /// Asks for what Terraform's protocol does not have ([`proto::dialect`]).
    fn ask<'a>(&'a self, request: AskRequest<'a>) -> BoxFuture<'a, Result<serde_json::Value>> {
        let operation = request.operation.to_owned();
        Box::pin(async move { Err(HostError::NoOperation { provider: "this one".to_owned(), operation }) })
    }
    /// Whether it was started by somebody else, so that all who talk to it talk to the same process.
    fn is_attached(&self) -> bool {
        false
    }
    /// Asks the provider to end what it is doing as soon as that is safe.
    fn stop(&self) -> BoxFuture<'_, ()>;
    /// Ends the process.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}

fn no_call<'a, T: Send + 'a>(operation: &'static str, ty: &'a str) -> BoxFuture<'a, Result<T>> {
    Box::pin(async move {
        let operation = format!("{operation} of {ty}");
        Err(HostError::NoOperation { provider: "this provider".to_owned(), operation })
    })
}
