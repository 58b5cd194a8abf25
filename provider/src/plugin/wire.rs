//! tfplugin6: messages in, our nouns to the service, messages out.

use std::panic::AssertUnwindSafe;

use proto::convert::{path_to_wire, problem_to_wire, schema_to_wire, value_from_wire, value_to_wire};
use proto::dialect;
use proto::tfplugin6 as wire;
use proto::tfplugin6::provider_server::Provider;
use tonic::{Request, Response, Status};
use value::{Problem, Ty, Value};

use crate::resource::{PlanRequest, no_data_source};
use crate::service::{SharedService, provider_schema};

pub(super) struct Wire {
    service: SharedService,
}

impl Wire {
    pub(super) fn new(service: SharedService) -> Wire {
        Wire { service }
    }

    fn data_ty(&self, type_name: &str) -> Result<Ty, Problem> {
        let schema = self.service.resource(type_name)?.data_schema();
        schema.map(|schema| schema.block.implied_ty()).ok_or_else(|| no_data_source(type_name))
    }

    /// A record, with what an earlier version did not write.
    fn filled_in(&self, type_name: &str, record: Vec<u8>) -> Vec<u8> {
        let Ok(resource) = self.service.resource(type_name) else { return record };
        let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(&record) else { return record };
        resource.upgrade(&mut json);
        json.to_string().into_bytes()
    }

    fn ty(&self, type_name: &str) -> Result<Ty, Problem> {
        Ok(self.service.resource(type_name)?.schema().block.implied_ty())
    }
}

fn decode(wire: Option<&wire::DynamicValue>, ty: &Ty) -> Result<Value, Problem> {
    value_from_wire(wire, ty).map_err(|error| {
        use std::error::Error as _;
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Problem::error(
            "unreadable value",
            format!("The host sent a value that does not fit the schema: {error}{cause}."),
        )
    })
}

fn diagnostics(problems: &[Problem]) -> Vec<wire::Diagnostic> {
    problems.iter().map(problem_to_wire).collect()
}

fn provider_ty() -> Ty {
    provider_schema().block.implied_ty()
}

/// Where the resource is; only our own engine says so.
fn address<T>(request: &Request<T>) -> Option<String> {
    let header = request.metadata().get(dialect::RESOURCE_ADDRESS_HEADER)?;
    header.to_str().ok().map(str::to_owned)
}

/// A panic becomes a diagnostic: a bug in one resource does not take the others' results with it.
async fn guarded<T>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Problem>
where
    T: Send + 'static,
{
    tokio::spawn(work).await.map_err(|error| {
        let detail = if error.is_panic() {
            let panic = error.into_panic();
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            text.unwrap_or("no message").to_owned()
        } else {
            "the work was cancelled".to_owned()
        };
        Problem::error("the provider failed", format!("This is a bug of the provider: {detail}"))
    })
}

fn guarded_now<T>(work: impl FnOnce() -> T) -> Result<T, Problem> {
    std::panic::catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| Problem::error("the provider failed", "This is a bug of the provider; its log says more."))
}

#[tonic::async_trait]
impl Provider for Wire {
    async fn get_provider_schema(
        &self,
        _: Request<wire::get_provider_schema::Request>,
    ) -> Result<Response<wire::get_provider_schema::Response>, Status> {
        let schemas = self.service.schemas().into_iter();
        let data = self.service.data_schemas().into_iter();
        Ok(Response::new(wire::get_provider_schema::Response {
            provider: Some(schema_to_wire(&provider_schema())),
            resource_schemas: schemas.map(|(name, schema)| (name.to_owned(), schema_to_wire(&schema))).collect(),
            data_source_schemas: data.map(|(name, schema)| (name.to_owned(), schema_to_wire(&schema))).collect(),
            server_capabilities: Some(capabilities()),
            provider_meta: Some(schema_to_wire(&value::schema::Schema::default())),
            ..Default::default()
        }))
    }

    async fn get_metadata(
        &self,
        _: Request<wire::get_metadata::Request>,
    ) -> Result<Response<wire::get_metadata::Response>, Status> {
        let names = self.service.schemas().into_keys();
        let data = self.service.data_schemas().into_keys();
        let data = data.map(|name| wire::get_metadata::DataSourceMetadata { type_name: name.to_owned() });
        let resources = names.map(|name| wire::get_metadata::ResourceMetadata { type_name: name.to_owned() });
        Ok(Response::new(wire::get_metadata::Response {
            server_capabilities: Some(capabilities()),
            data_sources: data.collect(),
            resources: resources.collect(),
            ..Default::default()
        }))
    }

    async fn validate_provider_config(
        &self,
        request: Request<wire::validate_provider_config::Request>,
    ) -> Result<Response<wire::validate_provider_config::Response>, Status> {
        let config = decode(request.get_ref().config.as_ref(), &provider_ty());
        let problems = match config {
            Ok(config) => self.service.validate_provider(&config),
            Err(problem) => vec![problem],
        };
        Ok(Response::new(wire::validate_provider_config::Response { diagnostics: diagnostics(&problems) }))
    }

    async fn configure_provider(
        &self,
        request: Request<wire::configure_provider::Request>,
    ) -> Result<Response<wire::configure_provider::Response>, Status> {
        let config = decode(request.get_ref().config.as_ref(), &provider_ty());
        let problems = match config {
            Ok(config) => self.service.configure(&config),
            Err(problem) => vec![problem],
        };
        Ok(Response::new(wire::configure_provider::Response { diagnostics: diagnostics(&problems) }))
    }

    async fn validate_resource_config(
        &self,
        request: Request<wire::validate_resource_config::Request>,
    ) -> Result<Response<wire::validate_resource_config::Response>, Status> {
        let request = request.into_inner();
        let config = self.ty(&request.type_name).and_then(|ty| decode(request.config.as_ref(), &ty));
        let problems = config.and_then(|config| {
            let resource = self.service.resource(&request.type_name)?;
            guarded_now(|| resource.validate(&config))
        });
        let problems = problems.unwrap_or_else(|problem| vec![problem]);
        Ok(Response::new(wire::validate_resource_config::Response { diagnostics: diagnostics(&problems) }))
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<wire::validate_data_resource_config::Request>,
    ) -> Result<Response<wire::validate_data_resource_config::Response>, Status> {
        let request = request.into_inner();
        let problems = self.data_ty(&request.type_name).and_then(|ty| {
            let config = decode(request.config.as_ref(), &ty)?;
            let resource = self.service.resource(&request.type_name)?;
            guarded_now(|| resource.validate_data(&config))
        });
        let problems = problems.unwrap_or_else(|problem| vec![problem]);
        Ok(Response::new(wire::validate_data_resource_config::Response { diagnostics: diagnostics(&problems) }))
    }

    async fn read_data_source(
        &self,
        request: Request<wire::read_data_source::Request>,
    ) -> Result<Response<wire::read_data_source::Response>, Status> {
        let address = address(&request);
        let request = request.into_inner();
        let (service, ty) = (self.service.clone(), self.data_ty(&request.type_name));
        let found = guarded(async move {
            let one = |problem| vec![problem];
            let ty = ty.map_err(one)?;
            let config = decode(request.config.as_ref(), &ty).map_err(one)?;
            let context = service.context(address.as_deref()).map_err(one)?;
            let found = service.resource(&request.type_name).map_err(one)?.read_data(&context, &config).await?;
            Ok(value_to_wire(&found, &ty))
        });
        Ok(Response::new(match found.await.map_err(|problem| vec![problem]).flatten() {
            Ok(state) => wire::read_data_source::Response { state: Some(state), ..Default::default() },
            Err(problems) => {
                wire::read_data_source::Response { diagnostics: diagnostics(&problems), ..Default::default() }
            }
        }))
    }

    /// There is one version of every schema so far; the state goes back as it came.
    async fn upgrade_resource_state(
        &self,
        request: Request<wire::upgrade_resource_state::Request>,
    ) -> Result<Response<wire::upgrade_resource_state::Response>, Status> {
        let request = request.into_inner();
        let json = self.filled_in(&request.type_name, request.raw_state.map(|raw| raw.json).unwrap_or_default());
        let upgraded = self.ty(&request.type_name).and_then(|ty| {
            let as_wire = wire::DynamicValue { msgpack: Vec::new(), json };
            let object = decode(Some(&as_wire), &ty)?;
            self.service.know(&object);
            Ok(value_to_wire(&object, &ty))
        });
        Ok(Response::new(match upgraded {
            Ok(state) => {
                wire::upgrade_resource_state::Response { upgraded_state: Some(state), diagnostics: Vec::new() }
            }
            Err(problem) => {
                wire::upgrade_resource_state::Response { upgraded_state: None, diagnostics: diagnostics(&[problem]) }
            }
        }))
    }

    async fn read_resource(
        &self,
        request: Request<wire::read_resource::Request>,
    ) -> Result<Response<wire::read_resource::Response>, Status> {
        let address = address(&request);
        let request = request.into_inner();
        let prepared = self.ty(&request.type_name).and_then(|ty| {
            let state = decode(request.current_state.as_ref(), &ty)?;
            Ok((ty, state, self.service.context(address.as_deref())?))
        });
        let outcome = match prepared {
            Ok((ty, state, context)) => {
                let (service, name) = (self.service.clone(), request.type_name.clone());
                let read = guarded(async move {
                    let resource = service.resource(&name)?;
                    Ok::<_, Problem>(resource.read(&context, &state).await)
                });
                read.await.flatten().map(|(state, problems)| (value_to_wire(&state, &ty), problems))
            }
            Err(problem) => Err(problem),
        };
        Ok(Response::new(match outcome {
            Ok((state, problems)) => wire::read_resource::Response {
                new_state: Some(state),
                diagnostics: diagnostics(&problems),
                private: request.private,
                deferred: None,
            },
            Err(problem) => wire::read_resource::Response {
                new_state: request.current_state,
                diagnostics: diagnostics(&[problem]),
                ..Default::default()
            },
        }))
    }

    async fn plan_resource_change(
        &self,
        request: Request<wire::plan_resource_change::Request>,
    ) -> Result<Response<wire::plan_resource_change::Response>, Status> {
        let address = address(&request);
        let is_final = request.metadata().contains_key(dialect::FINAL_PLAN_HEADER);
        let request = request.into_inner();
        let service = self.service.clone();
        let ty = self.ty(&request.type_name);
        let unplanned = request.proposed_new_state.clone();
        let outcome = guarded(async move {
            let ty = ty?;
            let prior = decode(request.prior_state.as_ref(), &ty)?;
            let proposed = decode(request.proposed_new_state.as_ref(), &ty)?;
            let config = decode(request.config.as_ref(), &ty)?;
            let context = service.context(address.as_deref())?;
            let resource = service.resource(&request.type_name)?;
            let address = address.as_deref();
            let prior_private = &request.prior_private;
            let plan =
                PlanRequest { prior: &prior, proposed: &proposed, config: &config, prior_private, address, is_final };
            let outcome = resource.plan(&context, &plan).await;
            Ok((outcome, ty))
        });
        let outcome = outcome.await.flatten();
        Ok(Response::new(match outcome {
            Ok((outcome, ty)) => wire::plan_resource_change::Response {
                planned_state: Some(value_to_wire(&outcome.planned, &ty)),
                requires_replace: outcome.requires_replace.iter().map(path_to_wire).collect(),
                planned_private: outcome.preview,
                diagnostics: diagnostics(&outcome.problems),
                ..Default::default()
            },
            Err(problem) => wire::plan_resource_change::Response {
                planned_state: unplanned,
                diagnostics: diagnostics(&[problem]),
                ..Default::default()
            },
        }))
    }

    async fn apply_resource_change(
        &self,
        request: Request<wire::apply_resource_change::Request>,
    ) -> Result<Response<wire::apply_resource_change::Response>, Status> {
        let address = address(&request);
        let request = request.into_inner();
        let prepared = self.ty(&request.type_name).and_then(|ty| {
            let prior = decode(request.prior_state.as_ref(), &ty)?;
            let planned = decode(request.planned_state.as_ref(), &ty)?;
            Ok((ty, prior, planned, self.service.context(address.as_deref())?))
        });
        let outcome = match prepared {
            Ok((ty, prior, planned, context)) => {
                let (service, name) = (self.service.clone(), request.type_name.clone());
                let private = request.planned_private.clone();
                let applied = guarded(async move {
                    let resource = service.resource(&name)?;
                    Ok::<_, Problem>(resource.apply(&context, &prior, &planned, &private).await)
                });
                applied.await.flatten().map(|(state, problems)| (value_to_wire(&state, &ty), problems))
            }
            Err(problem) => Err(problem),
        };
        // The preview has done its work; nothing private is kept.
        Ok(Response::new(match outcome {
            Ok((state, problems)) => wire::apply_resource_change::Response {
                new_state: Some(state),
                diagnostics: diagnostics(&problems),
                ..Default::default()
            },
            Err(problem) => wire::apply_resource_change::Response {
                new_state: request.prior_state,
                diagnostics: diagnostics(&[problem]),
                ..Default::default()
            },
        }))
    }

    async fn import_resource_state(
        &self,
        request: Request<wire::import_resource_state::Request>,
    ) -> Result<Response<wire::import_resource_state::Response>, Status> {
        let address = address(&request);
        let request = request.into_inner();
        let (service, ty) = (self.service.clone(), self.ty(&request.type_name));
        let imported = guarded(async move {
            let ty = ty.map_err(|problem| vec![problem])?;
            let context = service.context(address.as_deref()).map_err(|problem| vec![problem])?;
            let resource = service.resource(&request.type_name).map_err(|problem| vec![problem])?;
            let state = resource.import(&context, &request.id).await?;
            Ok(wire::import_resource_state::ImportedResource {
                type_name: request.type_name,
                state: Some(value_to_wire(&state, &ty)),
                private: Vec::new(),
            })
        });
        let imported = imported.await.map_err(|problem| vec![problem]).flatten();
        Ok(Response::new(match imported {
            Ok(imported) => {
                wire::import_resource_state::Response { imported_resources: vec![imported], ..Default::default() }
            }
            Err(problems) => {
                wire::import_resource_state::Response { diagnostics: diagnostics(&problems), ..Default::default() }
            }
        }))
    }

    /// Work on daemons is done in short steps that are safe to finish, so nothing has to be broken off.
    async fn stop_provider(
        &self,
        _: Request<wire::stop_provider::Request>,
    ) -> Result<Response<wire::stop_provider::Response>, Status> {
        Ok(Response::new(wire::stop_provider::Response { error: String::new() }))
    }

    async fn get_functions(
        &self,
        _: Request<wire::get_functions::Request>,
    ) -> Result<Response<wire::get_functions::Response>, Status> {
        Ok(Response::new(wire::get_functions::Response::default()))
    }
}

fn capabilities() -> wire::ServerCapabilities {
    wire::ServerCapabilities { plan_destroy: true, get_provider_schema_optional: true, move_resource_state: false }
}
