//! A provider over gRPC.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use compiler::addr::{Mode, ProviderSource};
use compiler::binding::ProviderSchemas;
use compiler::lang::eval::provided::FunctionFailure;
use proto::convert::{
    function_from_wire, path_from_wire, problem_from_wire, schema_from_wire, schemas_of_protocol_5, value_from_wire,
    value_to_wire,
};
use proto::dialect;
use proto::handshake::Protocol;
use proto::lampwright::Question;
use proto::lampwright::operations_client::OperationsClient;
use proto::plugin::grpc_controller_client::GrpcControllerClient;
use proto::rpc::{self, Rpc};
use proto::{tfplugin5, tfplugin6 as wire};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::{Code, IntoRequest, Request, Status};
use value::codec::msgpack;
use value::schema::Schema;
use value::{Problem, Ty, Value};

use super::launch::Plugin;
use super::{
    ApplyRequest, ApplyResponse, AskRequest, BoxFuture, DataRequest, HostError, ImportResponse, Lease, MoveRequest,
    OpenResponse, PlanRequest, PlanResponse, Provider, ReadRequest, ReadResponse, Result,
};

/// Of what asks nobody else: schemas, whether a configuration is right, functions.
const QUESTION_DEADLINE: Duration = Duration::from_mins(2);
/// Whoever waits for the end of a run does not wait for longer.
const CLOSE_DEADLINE: Duration = Duration::from_secs(30);
/// How long a plugin has to end after Shutdown before it is killed, as go-plugin has it.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct GrpcProvider {
    source: ProviderSource,
    plugin: Plugin,
    schemas: Arc<ProviderSchemas>,
    plans_destroy: bool,
    moves_state: bool,
}

impl GrpcProvider {
    /// Asks for the schemas, which everything else needs.
    pub(super) async fn new(source: ProviderSource, plugin: Plugin) -> Result<GrpcProvider> {
        let mut provider =
            GrpcProvider { source, plugin, schemas: Arc::default(), plans_destroy: false, moves_state: false };
        let call = rpc::GET_PROVIDER_SCHEMA.name;
        let answer = match provider.plugin.protocol {
            Protocol::V5 => {
                let request = tfplugin5::get_provider_schema::Request {};
                schemas_of_protocol_5(provider.call_within(QUESTION_DEADLINE, rpc::GET_SCHEMA, request).await?)
            }
            Protocol::V6 => {
                let request = wire::get_provider_schema::Request {};
                provider.call_within(QUESTION_DEADLINE, rpc::GET_PROVIDER_SCHEMA, request).await?
            }
        };
        if let Some(error) = answer.diagnostics.iter().map(problem_from_wire).find(Problem::is_error) {
            return Err(provider.unreadable(call, &format!("{}: {}", error.summary, error.detail)));
        }
        let read = |schema: &wire::Schema| {
            schema_from_wire(schema).map(Arc::new).map_err(|error| provider.unreadable(call, &error))
        };
        let config = answer.provider.as_ref().ok_or_else(|| provider.unreadable(call, &"it has no provider schema"))?;
        let mut schemas = ProviderSchemas { provider: read(config)?, ..ProviderSchemas::default() };
        schemas.meta = answer.provider_meta.as_ref().map(read).transpose()?;
        for (name, schema) in &answer.resource_schemas {
            schemas.resources.insert(name.as_str().into(), read(schema)?);
        }
        for (name, schema) in &answer.data_source_schemas {
            schemas.data_sources.insert(name.as_str().into(), read(schema)?);
        }
        for (name, schema) in &answer.ephemeral_resource_schemas {
            schemas.ephemeral_resources.insert(name.as_str().into(), read(schema)?);
        }
        for (name, function) in &answer.functions {
            let function = function_from_wire(function).map_err(|error| provider.unreadable(call, &error))?;
            schemas.functions.insert(name.as_str().into(), Arc::new(function));
        }
        provider.schemas = Arc::new(schemas);
        let capabilities = answer.server_capabilities.unwrap_or_default();
        provider.plans_destroy = capabilities.plan_destroy;
        provider.moves_state = capabilities.move_resource_state;
        Ok(provider)
    }

    async fn call<Q, A>(&self, rpc: Rpc<Q, A>, message: impl IntoRequest<Q>) -> Result<A>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut client = tonic::client::Grpc::new(self.plugin.channel.clone())
            .max_decoding_message_size(proto::MAX_MESSAGE)
            .max_encoding_message_size(proto::MAX_MESSAGE);
        client.ready().await.map_err(|error| self.failed(rpc.name, &Status::from_error(error.into())))?;
        let path = PathAndQuery::from_static(rpc.path(self.plugin.protocol));
        let codec = tonic_prost::ProstCodec::<Q, A>::default();
        let answer = client.unary(message.into_request(), path, codec).await;
        Ok(answer.map_err(|status| self.failed(rpc.name, &status))?.into_inner())
    }

    /// As `call`, of what nobody has to wait for: one that is silent for longer hangs.
    async fn call_within<Q, A>(&self, limit: Duration, rpc: Rpc<Q, A>, message: impl IntoRequest<Q>) -> Result<A>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let (call, seconds) = (rpc.name, limit.as_secs());
        // A debugger may hold it for as long as it likes.
        if self.plugin.is_attached {
            return self.call(rpc, message).await;
        }
        let answer = tokio::time::timeout(limit, self.call(rpc, message)).await;
        answer.unwrap_or_else(|_| {
            Err(HostError::Silent { provider: self.source.short(), call, seconds, log: self.plugin.log.text() })
        })
    }

    fn failed(&self, call: &'static str, status: &Status) -> HostError {
        let (provider, message, log) = (self.source.short(), status.message().to_owned(), self.plugin.log.text());
        let mut cause = std::error::Error::source(status);
        while let Some(error) = cause {
            if error.is::<tonic::ConnectError>() {
                return HostError::Gone { provider, call, message, log };
            }
            cause = error.source();
        }
        HostError::Call { provider, call, message, log }
    }

    fn unreadable(&self, call: &'static str, reason: &dyn std::fmt::Display) -> HostError {
        HostError::Answer { provider: self.source.short(), call, reason: reason.to_string() }
    }

    fn schema(&self, mode: Mode, ty: &str, call: &'static str) -> Result<&Arc<Schema>> {
        self.schemas.get(mode, ty).ok_or_else(|| self.unreadable(call, &format!("it has no type {ty:?}")))
    }

    fn ty(&self, mode: Mode, ty: &str, call: &'static str) -> Result<Ty> {
        Ok(self.schema(mode, ty, call)?.block.implied_ty())
    }

    fn meta(&self, value: Option<&Value>) -> Option<wire::DynamicValue> {
        Some(value_to_wire(value?, &self.schemas.meta.as_ref()?.block.implied_ty()))
    }

    fn value(&self, wire: Option<&wire::DynamicValue>, ty: &Ty, call: &'static str) -> Result<Value> {
        value_from_wire(wire, ty).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            self.unreadable(call, &format!("{error}{cause}"))
        })
    }
}

/// A time that is none is no time.
fn time_from_wire(wire: prost_types::Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(wire).ok()
}

fn problems(wire: &[wire::Diagnostic]) -> Vec<Problem> {
    wire.iter().map(problem_from_wire).collect()
}

/// Logs a call when it has ended: which, about what, how long it took. Never a value: it may be a secret.
struct Timed<'a> {
    call: &'static str,
    about: &'a str,
    started: Instant,
}

fn timed<'a>(call: &'static str, about: &'a str) -> Timed<'a> {
    Timed { call, about, started: Instant::now() }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let Timed { call, about, started } = self;
        tracing::debug!(target: "engine", about, ms = started.elapsed().as_millis() as u64, "{call}");
    }
}

/// A request that says which resource it is about.
fn about<T>(address: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    // Keys may hold characters that a header cannot; such an address is simply not told.
    if let Ok(address) = address.parse() {
        request.metadata_mut().insert(dialect::RESOURCE_ADDRESS_HEADER, address);
    }
    request
}

#[expect(clippy::unnecessary_wraps, reason = "an optional message field")]
fn capabilities() -> Option<wire::ClientCapabilities> {
    Some(wire::ClientCapabilities { deferral_allowed: false, write_only_attributes_allowed: true })
}

impl Provider for GrpcProvider {
    fn schemas(&self) -> &Arc<ProviderSchemas> {
        &self.schemas
    }

    fn plans_destroy(&self) -> bool {
        self.plans_destroy
    }

    fn is_attached(&self) -> bool {
        self.plugin.is_attached
    }

    fn validate_config<'a>(&'a self, config: &'a Value) -> BoxFuture<'a, Result<Vec<Problem>>> {
        Box::pin(async move {
            let source = self.source.short();
            let _timed = timed("ValidateProviderConfig", &source);
            let config = Some(value_to_wire(config, &self.schemas.provider.block.implied_ty()));
            let request = wire::validate_provider_config::Request { config };
            Ok(problems(
                &self.call_within(QUESTION_DEADLINE, rpc::VALIDATE_PROVIDER_CONFIG, request).await?.diagnostics,
            ))
        })
    }

    fn configure<'a>(&'a self, config: &'a Value) -> BoxFuture<'a, Result<Vec<Problem>>> {
        Box::pin(async move {
            let source = self.source.short();
            let _timed = timed("ConfigureProvider", &source);
            let request = wire::configure_provider::Request {
                // Providers look at this as at the version of the host program.
                terraform_version: "1.11.4".to_owned(),
                config: Some(value_to_wire(config, &self.schemas.provider.block.implied_ty())),
                client_capabilities: capabilities(),
            };
            Ok(problems(&self.call(rpc::CONFIGURE_PROVIDER, request).await?.diagnostics))
        })
    }

    fn validate_resource<'a>(
        &'a self,
        mode: Mode,
        ty: &'a str,
        config: &'a Value,
    ) -> BoxFuture<'a, Result<Vec<Problem>>> {
        Box::pin(async move {
            let call = "ValidateResourceConfig";
            let _timed = timed(call, ty);
            let config = Some(value_to_wire(config, &self.ty(mode, ty, call)?));
            let type_name = ty.to_owned();
            let diagnostics = match mode {
                Mode::Managed => {
                    let request = wire::validate_resource_config::Request {
                        type_name,
                        config,
                        client_capabilities: capabilities(),
                    };
                    self.call_within(QUESTION_DEADLINE, rpc::VALIDATE_RESOURCE_CONFIG, request).await?.diagnostics
                }
                Mode::Data => {
                    let request = wire::validate_data_resource_config::Request { type_name, config };
                    self.call_within(QUESTION_DEADLINE, rpc::VALIDATE_DATA_SOURCE_CONFIG, request).await?.diagnostics
                }
                Mode::Ephemeral => {
                    let request = wire::validate_ephemeral_resource_config::Request { type_name, config };
                    self.call_within(QUESTION_DEADLINE, rpc::VALIDATE_EPHEMERAL_RESOURCE_CONFIG, request)
                        .await?
                        .diagnostics
                }
            };
            Ok(problems(&diagnostics))
        })
    }

    fn upgrade<'a>(
        &'a self,
        ty: &'a str,
        version: u64,
        attributes: &'a [u8],
    ) -> BoxFuture<'a, Result<(Value, Vec<Problem>)>> {
        Box::pin(async move {
            let call = "UpgradeResourceState";
            let _timed = timed(call, ty);
            let value_ty = self.ty(Mode::Managed, ty, call)?;
            let request = wire::upgrade_resource_state::Request {
                type_name: ty.to_owned(),
                version: version as i64,
                raw_state: Some(wire::RawState { json: attributes.to_vec(), ..wire::RawState::default() }),
            };
            let answer = self.call(rpc::UPGRADE_RESOURCE_STATE, request).await?;
            let found = problems(&answer.diagnostics);
            let state = self.value(answer.upgraded_state.as_ref(), &value_ty, call)?;
            Ok((state, found))
        })
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BoxFuture<'a, Result<ReadResponse>> {
        Box::pin(async move {
            let call = "ReadResource";
            let _timed = timed(call, request.address);
            let ty = self.ty(Mode::Managed, request.ty, call)?;
            let message = wire::read_resource::Request {
                type_name: request.ty.to_owned(),
                current_state: Some(value_to_wire(request.state, &ty)),
                private: request.private.to_vec(),
                provider_meta: self.meta(request.meta),
                client_capabilities: capabilities(),
            };
            let answer = self.call(rpc::READ_RESOURCE, about(request.address, message)).await?;
            Ok(ReadResponse {
                state: self.value(answer.new_state.as_ref(), &ty, call)?,
                private: answer.private,
                problems: problems(&answer.diagnostics),
            })
        })
    }

    fn import<'a>(&'a self, ty: &'a str, id: &'a str, address: &'a str) -> BoxFuture<'a, Result<ImportResponse>> {
        Box::pin(async move {
            let call = "ImportResourceState";
            let _timed = timed(call, address);
            let value_ty = self.ty(Mode::Managed, ty, call)?;
            let message = wire::import_resource_state::Request {
                type_name: ty.to_owned(),
                id: id.to_owned(),
                client_capabilities: capabilities(),
            };
            let answer = self.call(rpc::IMPORT_RESOURCE_STATE, about(address, message)).await?;
            // A provider may find more than was asked for; what is not of this type has no address here.
            let found = answer.imported_resources.into_iter().find(|found| found.type_name == ty);
            let (state, private) = match found {
                Some(found) => (Some(self.value(found.state.as_ref(), &value_ty, call)?), found.private),
                None => (None, Vec::new()),
            };
            Ok(ImportResponse { state, private, problems: problems(&answer.diagnostics) })
        })
    }

    fn plan<'a>(&'a self, request: PlanRequest<'a>) -> BoxFuture<'a, Result<PlanResponse>> {
        Box::pin(async move {
            let call = "PlanResourceChange";
            let _timed = timed(call, request.address);
            let ty = self.ty(Mode::Managed, request.ty, call)?;
            let message = wire::plan_resource_change::Request {
                type_name: request.ty.to_owned(),
                prior_state: Some(value_to_wire(request.prior, &ty)),
                proposed_new_state: Some(value_to_wire(request.proposed, &ty)),
                config: Some(value_to_wire(request.config, &ty)),
                prior_private: request.prior_private.to_vec(),
                provider_meta: self.meta(request.meta),
                client_capabilities: capabilities(),
            };
            let mut message = about(request.address, message);
            if request.is_final {
                message.metadata_mut().insert(dialect::FINAL_PLAN_HEADER, MetadataValue::from_static("1"));
            }
            let answer = self.call(rpc::PLAN_RESOURCE_CHANGE, message).await?;
            Ok(PlanResponse {
                planned: self.value(answer.planned_state.as_ref(), &ty, call)?,
                requires_replace: answer.requires_replace.iter().map(path_from_wire).collect(),
                private: answer.planned_private,
                problems: problems(&answer.diagnostics),
                legacy: answer.legacy_type_system,
            })
        })
    }

    fn apply<'a>(&'a self, request: ApplyRequest<'a>) -> BoxFuture<'a, Result<ApplyResponse>> {
        Box::pin(async move {
            let call = "ApplyResourceChange";
            let _timed = timed(call, request.address);
            let ty = self.ty(Mode::Managed, request.ty, call)?;
            let message = wire::apply_resource_change::Request {
                type_name: request.ty.to_owned(),
                prior_state: Some(value_to_wire(request.prior, &ty)),
                planned_state: Some(value_to_wire(request.planned, &ty)),
                config: Some(value_to_wire(request.config, &ty)),
                planned_private: request.planned_private.to_vec(),
                provider_meta: self.meta(request.meta),
            };
            let answer = self.call(rpc::APPLY_RESOURCE_CHANGE, about(request.address, message)).await?;
            Ok(ApplyResponse {
                state: self.value(answer.new_state.as_ref(), &ty, call)?,
                private: answer.private,
                problems: problems(&answer.diagnostics),
                legacy: answer.legacy_type_system,
            })
        })
    }

    fn open<'a>(&'a self, ty: &'a str, config: &'a Value, address: &'a str) -> BoxFuture<'a, Result<OpenResponse>> {
        Box::pin(async move {
            let call = rpc::OPEN_EPHEMERAL_RESOURCE.name;
            let _timed = timed(call, address);
            let value_ty = self.ty(Mode::Ephemeral, ty, call)?;
            let message = wire::open_ephemeral_resource::Request {
                type_name: ty.to_owned(),
                config: Some(value_to_wire(config, &value_ty)),
                client_capabilities: capabilities(),
            };
            let answer = self.call(rpc::OPEN_EPHEMERAL_RESOURCE, about(address, message)).await?;
            Ok(OpenResponse {
                result: self.value(answer.result.as_ref(), &value_ty, call)?,
                lease: Lease { private: answer.private, renew_at: answer.renew_at.and_then(time_from_wire) },
                problems: problems(&answer.diagnostics),
            })
        })
    }

    fn renew<'a>(&'a self, ty: &'a str, lease: &'a Lease) -> BoxFuture<'a, Result<(Lease, Vec<Problem>)>> {
        Box::pin(async move {
            let _timed = timed(rpc::RENEW_EPHEMERAL_RESOURCE.name, ty);
            let (type_name, private) = (ty.to_owned(), lease.private.clone());
            let message = wire::renew_ephemeral_resource::Request { type_name, private };
            let answer = self.call(rpc::RENEW_EPHEMERAL_RESOURCE, message).await?;
            let renew_at = answer.renew_at.and_then(time_from_wire);
            Ok((Lease { private: answer.private, renew_at }, problems(&answer.diagnostics)))
        })
    }

    fn close<'a>(&'a self, ty: &'a str, lease: &'a Lease) -> BoxFuture<'a, Result<Vec<Problem>>> {
        Box::pin(async move {
            let _timed = timed(rpc::CLOSE_EPHEMERAL_RESOURCE.name, ty);
            let (type_name, private) = (ty.to_owned(), lease.private.clone());
            let message = wire::close_ephemeral_resource::Request { type_name, private };
            let answer = self.call_within(CLOSE_DEADLINE, rpc::CLOSE_EPHEMERAL_RESOURCE, message).await?;
            Ok(problems(&answer.diagnostics))
        })
    }

    fn move_state<'a>(&'a self, request: MoveRequest<'a>) -> BoxFuture<'a, Result<ImportResponse>> {
        Box::pin(async move {
            let call = rpc::MOVE_RESOURCE_STATE.name;
            let _timed = timed(call, request.ty);
            if !self.moves_state {
                let (provider, address) = (self.source.short(), request.ty.to_owned());
                let reason = format!("it makes no {} of a {}", request.ty, request.from_type);
                return Err(HostError::Refused { provider, address, reason });
            }
            let value_ty = self.ty(Mode::Managed, request.ty, call)?;
            let message = wire::move_resource_state::Request {
                source_provider_address: request.from_provider,
                source_type_name: request.from_type.to_owned(),
                source_schema_version: request.from_version as i64,
                source_state: Some(wire::RawState { json: request.attributes.to_vec(), ..wire::RawState::default() }),
                target_type_name: request.ty.to_owned(),
                source_private: request.private.to_vec(),
            };
            let answer = self.call(rpc::MOVE_RESOURCE_STATE, message).await?;
            let state = self.value(answer.target_state.as_ref(), &value_ty, call)?;
            let state = Some(state).filter(|state| !state.is_null());
            Ok(ImportResponse { state, private: answer.target_private, problems: problems(&answer.diagnostics) })
        })
    }

    fn call<'a>(
        &'a self,
        name: &'a str,
        arguments: &'a [Value],
    ) -> BoxFuture<'a, Result<std::result::Result<Value, FunctionFailure>>> {
        Box::pin(async move {
            let call = rpc::CALL_FUNCTION.name;
            let _timed = timed(call, name);
            let function = self.schemas.functions.get(name);
            let function = function.ok_or_else(|| self.unreadable(call, &format!("it has no function {name:?}")))?;
            let parameters = function.parameters.iter().chain(function.variadic.iter().cycle());
            let encoded = arguments.iter().zip(parameters).map(|(value, of)| value_to_wire(value, &of.ty));
            let message = wire::call_function::Request { name: name.to_owned(), arguments: encoded.collect() };
            let answer = self.call_within(QUESTION_DEADLINE, rpc::CALL_FUNCTION, message).await?;
            if let Some(error) = answer.error {
                let argument = error.function_argument.and_then(|index| usize::try_from(index).ok());
                return Ok(Err(FunctionFailure { message: error.text, argument }));
            }
            Ok(Ok(self.value(answer.result.as_ref(), &function.result, call)?))
        })
    }

    fn ask<'a>(&'a self, request: AskRequest<'a>) -> BoxFuture<'a, Result<serde_json::Value>> {
        Box::pin(async move {
            let call = "Ask";
            let _timed = timed(call, request.address);
            let ty = self.ty(Mode::Managed, request.ty, call)?;
            let question = Question {
                operation: request.operation.to_owned(),
                type_name: request.ty.to_owned(),
                address: request.address.to_owned(),
                state: msgpack::encode(request.state, &ty),
                arguments: request.arguments.to_string().into_bytes(),
            };
            let mut client = OperationsClient::new(self.plugin.channel.clone())
                .max_decoding_message_size(proto::MAX_MESSAGE)
                .max_encoding_message_size(proto::MAX_MESSAGE);
            let answer = match client.ask(question).await {
                Ok(answer) => answer.into_inner(),
                Err(status) if status.code() == Code::Unimplemented => {
                    let (provider, operation) = (self.source.short(), request.operation.to_owned());
                    return Err(HostError::NoOperation { provider, operation });
                }
                Err(status) => return Err(self.failed(call, &status)),
            };
            if !answer.problem.is_empty() {
                let (provider, reason) = (self.source.short(), answer.problem);
                return Err(HostError::Refused { provider, address: request.address.to_owned(), reason });
            }
            serde_json::from_slice(&answer.result).map_err(|error| self.unreadable(call, &error))
        })
    }

    fn read_data<'a>(&'a self, request: DataRequest<'a>) -> BoxFuture<'a, Result<(Value, Vec<Problem>)>> {
        Box::pin(async move {
            let call = "ReadDataSource";
            let _timed = timed(call, request.address);
            let value_ty = self.ty(Mode::Data, request.ty, call)?;
            let message = wire::read_data_source::Request {
                type_name: request.ty.to_owned(),
                config: Some(value_to_wire(request.config, &value_ty)),
                provider_meta: self.meta(request.meta),
                client_capabilities: capabilities(),
            };
            let answer = self.call(rpc::READ_DATA_SOURCE, message).await?;
            Ok((self.value(answer.state.as_ref(), &value_ty, call)?, problems(&answer.diagnostics)))
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A plugin that cannot even be told to stop ends with its connection.
            let _ = self.call(rpc::STOP_PROVIDER, wire::stop_provider::Request {}).await;
        })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let child = self.plugin.child.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(mut child) = child else { return };
            let mut controller = GrpcControllerClient::new(self.plugin.channel.clone());
            let polite = async {
                let _ = controller.shutdown(()).await;
                let _ = child.wait().await;
            };
            if tokio::time::timeout(SHUTDOWN_DEADLINE, polite).await.is_err() {
                let _ = child.kill().await;
            }
        })
    }
}
