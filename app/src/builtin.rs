//! The provider that is a part of this program, as it is a part of Terraform: `terraform.io/builtin/terraform`. It has
//! `terraform_data` and `terraform_remote_state`, with Terraform's attributes and meaning ("The terraform_data Managed Resource
//! Type", "The terraform_remote_state Data Source" in its documentation).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use backends::{Backend, BackendError, DEFAULT_WORKSPACE};
use compiler::addr::{Mode, ProviderSource};
use compiler::binding::ProviderSchemas;
use engine::host::providers::{Launcher, PluginLauncher};
use engine::host::{
    ApplyRequest, ApplyResponse, BoxFuture, DataRequest, HostError, ImportResponse, MoveRequest, PlanRequest,
    PlanResponse, Provider, ReadRequest, ReadResponse, Result,
};
use engine::state::State;
use engine::state::seal::Seal;
use engine::state::store;
use value::codec::json;
use value::schema::{Attribute, Block, Schema};
use value::value::Attributes;
use value::{Path, Problem, Ty, Value};

use crate::host::Host;
use crate::root::Root;
use crate::workspace;

const DATA: &str = "terraform_data";
const REMOTE_STATE: &str = "terraform_remote_state";

/// Starts plugins, and gives what is built in.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) plugins: PluginLauncher,
    pub(crate) host: Arc<Host>,
    pub(crate) root: Root,
    pub(crate) remote_states: Seals,
}

/// How states of other stacks are encrypted, by the name of their data source; `None` is for all others.
pub(crate) type Seals = Vec<(Option<Arc<str>>, Arc<Seal>)>;

impl Launcher for Launch {
    fn launch<'a>(&'a self, source: &'a ProviderSource) -> BoxFuture<'a, Result<Arc<dyn Provider>>> {
        if *source == ProviderSource::builtin() {
            let builtin = Builtin {
                host: self.host.clone(),
                root: self.root.clone(),
                schemas: Arc::new(schemas()),
                remote_states: self.remote_states.clone(),
            };
            return now(Ok(Arc::new(builtin) as Arc<dyn Provider>));
        }
        self.plugins.launch(source)
    }
}

#[derive(Debug)]
struct Builtin {
    host: Arc<Host>,
    root: Root,
    schemas: Arc<ProviderSchemas>,
    remote_states: Seals,
}

fn schema<const N: usize>(attributes: [(&str, Attribute); N]) -> Arc<Schema> {
    let attributes = attributes.into_iter().map(|(name, attribute)| (name.into(), attribute)).collect();
    Arc::new(Schema { version: 0, block: Block { attributes, ..Block::default() } })
}

fn schemas() -> ProviderSchemas {
    let data = schema([
        ("id", Attribute::computed(Ty::String, "a number of its own")),
        ("input", Attribute::optional(Ty::Dynamic, "any value, which is kept in the state")),
        ("output", Attribute::computed(Ty::Dynamic, "the input, known when it is made")),
        ("triggers_replace", Attribute::optional(Ty::Dynamic, "a value whose change replaces this object")),
    ]);
    let remote_state = schema([
        ("backend", Attribute::required(Ty::String, "the kind of the place, as that of a backend block, or local")),
        ("config", Attribute::optional(Ty::Dynamic, "its settings, as in a backend block")),
        ("defaults", Attribute::optional(Ty::Dynamic, "outputs where the state is not there, or does not have them")),
        ("outputs", Attribute::computed(Ty::Dynamic, "the outputs of the root module")),
        ("workspace", Attribute::optional(Ty::String, "the workspace; default if not set")),
    ]);
    ProviderSchemas {
        resources: BTreeMap::from([(DATA.into(), data)]),
        data_sources: BTreeMap::from([(REMOTE_STATE.into(), remote_state)]),
        ..ProviderSchemas::default()
    }
}

fn now<'a, T: Send + 'a>(result: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(result))
}

/// An object with another value of some attributes.
fn with<const N: usize>(object: &Value, changed: [(&str, Value); N]) -> Value {
    let mut attributes: Attributes = object.as_entries().cloned().unwrap_or_default();
    attributes.extend(changed.map(|(name, value)| (Arc::from(name), value)));
    Value::Object(Arc::new(attributes))
}

fn get(object: &Value, name: &str) -> Value {
    object.get(name).cloned().unwrap_or(Value::Null(Ty::Dynamic))
}

fn plan(request: &PlanRequest<'_>) -> PlanResponse {
    let mut answer = PlanResponse {
        planned: request.proposed.clone(),
        requires_replace: Vec::new(),
        private: Vec::new(),
        problems: Vec::new(),
        legacy: false,
    };
    if request.proposed.is_null() {
        return answer;
    }
    let input = get(request.proposed, "input");
    let output = if input.is_null() { input.clone() } else { Value::unknown(input.ty()) };
    if request.prior.is_null() {
        answer.planned = with(request.proposed, [("id", Value::unknown(Ty::String)), ("output", output)]);
        return answer;
    }
    if get(request.prior, "triggers_replace") != get(request.proposed, "triggers_replace") {
        answer.requires_replace.push(Path::attribute("triggers_replace"));
    }
    if get(request.prior, "input") != input {
        answer.planned = with(request.proposed, [("output", output)]);
    }
    answer
}

fn apply(request: &ApplyRequest<'_>) -> ApplyResponse {
    let mut state = request.planned.clone();
    if !state.is_null() {
        let id = get(&state, "id");
        let id = if id.is_known() { id } else { Value::string(uuid::Uuid::new_v4().to_string()) };
        let input = get(&state, "input");
        state = with(&state, [("id", id), ("output", input)]);
    }
    ApplyResponse { state, private: Vec::new(), problems: Vec::new(), legacy: false }
}

/// Where a state of another stack is.
#[derive(Debug)]
enum Place {
    File(PathBuf),
    Backend(Arc<dyn Backend>),
}

impl Builtin {
    /// As OpenTofu has it: by the name of the data source, with its module in front, else what holds for all others.
    fn seal(&self, address: &str) -> Arc<Seal> {
        let name = address.replace(&format!("data.{REMOTE_STATE}."), "");
        let name = name.strip_prefix("module.").unwrap_or(&name);
        let named = self.remote_states.iter().find(|(known, _)| known.as_deref() == Some(name));
        let found = named.or_else(|| self.remote_states.iter().find(|(known, _)| known.is_none()));
        found.map(|(_, seal)| seal.clone()).unwrap_or_default()
    }

    fn place(&self, config: &Value) -> std::result::Result<Place, Problem> {
        let kind = config.get("backend").and_then(Value::as_str).unwrap_or_default();
        let named = config.get("workspace").and_then(Value::as_str);
        let workspace = named.unwrap_or(DEFAULT_WORKSPACE);
        let invalid = |name: &str, reason: String| unreadable(reason).at(Path::attribute(name));
        workspace::check_name(workspace).map_err(|error| invalid("workspace", error.to_string()))?;
        let settings = config.get("config").and_then(Value::as_entries).into_iter().flatten();
        let settings: Vec<(String, Value)> = settings.map(|(name, value)| (name.to_string(), value.clone())).collect();
        if kind == "local" {
            let path = local(&settings, workspace).map_err(|reason| invalid("config", reason))?;
            return Ok(Place::File(self.root.at(path)));
        }
        let variable = |name: &str| self.host.environment.text(name);
        let backend = backends::connect(kind, &settings, &variable, workspace);
        Ok(Place::Backend(backend.map_err(|error| {
            let is_kind = matches!(&error, BackendError::Setting { name, .. } if name.is_empty());
            invalid(if is_kind { "backend" } else { "config" }, error.to_string())
        })?))
    }

    async fn outputs(&self, config: &Value, address: &str) -> std::result::Result<Value, Problem> {
        let seal = &self.seal(address);
        let failed = |error: anyhow::Error| unreadable(format!("{error:#}"));
        let (at, state) = match self.place(config)? {
            Place::File(path) => {
                let view = store::peek(&path, seal).map_err(|error| failed(error.into()))?;
                (path.display().to_string(), view.state)
            }
            Place::Backend(backend) => {
                let (at, bytes) = (backend.at(), backend.read().await.map_err(|error| failed(error.into()))?);
                let state = match bytes {
                    Some(bytes) => store::decode(&at, &bytes, seal).map_err(|error| failed(error.into()))?,
                    None => State::default(),
                };
                (at, state)
            }
        };
        let defaults = get(config, "defaults");
        let defaults = defaults.as_entries();
        if state.lineage.is_empty() && defaults.is_none() {
            return Err(unreadable(format!("there is none in {at}; `defaults` says what holds meanwhile")));
        }
        let mut outputs: Attributes = defaults.cloned().unwrap_or_default();
        outputs.extend(state.outputs.iter().map(|(name, output)| (name.clone(), output.value.clone())));
        Ok(Value::Object(Arc::new(outputs)))
    }
}

fn unreadable(reason: String) -> Problem {
    Problem::error("the state of another stack cannot be read", reason)
}

/// A file, and with a workspace the one that it has for that.
fn local(settings: &[(String, Value)], name: &str) -> std::result::Result<PathBuf, String> {
    let mut path = workspace::path(name);
    for (setting, value) in settings.iter().filter(|(_, value)| !value.is_null()) {
        let text = value.as_str().ok_or_else(|| format!("{setting} is a text"))?;
        match setting.as_str() {
            "path" if name == DEFAULT_WORKSPACE => path = text.into(),
            // Those of other workspaces lie beside each other.
            "path" => {}
            "workspace_dir" if name == DEFAULT_WORKSPACE => {}
            "workspace_dir" => path = std::path::Path::new(text).join(name).join(workspace::STATE),
            other => return Err(format!("the backend local has no setting {other:?}; it has path, workspace_dir")),
        }
    }
    Ok(path)
}

impl Provider for Builtin {
    fn schemas(&self) -> &Arc<ProviderSchemas> {
        &self.schemas
    }

    fn validate_config<'a>(&'a self, _: &'a Value) -> BoxFuture<'a, Result<Vec<Problem>>> {
        now(Ok(Vec::new()))
    }

    fn configure<'a>(&'a self, _: &'a Value) -> BoxFuture<'a, Result<Vec<Problem>>> {
        now(Ok(Vec::new()))
    }

    fn validate_resource<'a>(
        &'a self,
        mode: Mode,
        _: &'a str,
        config: &'a Value,
    ) -> BoxFuture<'a, Result<Vec<Problem>>> {
        let problems = if mode == Mode::Data && config.is_wholly_known() {
            self.place(config).err().into_iter().collect()
        } else {
            Vec::new()
        };
        now(Ok(problems))
    }

    /// The id is all that is known of it, as in Terraform.
    fn import<'a>(&'a self, _: &'a str, id: &'a str, _: &'a str) -> BoxFuture<'a, Result<ImportResponse>> {
        let nulls = ["input", "output", "triggers_replace"].map(|name| (name, Value::Null(Ty::Dynamic)));
        let state = Value::object([("id", Value::string(id))].into_iter().chain(nulls));
        now(Ok(ImportResponse { state: Some(state), private: Vec::new(), problems: Vec::new() }))
    }

    fn upgrade<'a>(
        &'a self,
        ty: &'a str,
        _: u64,
        attributes: &'a [u8],
    ) -> BoxFuture<'a, Result<(Value, Vec<Problem>)>> {
        let unreadable = |reason: String| HostError::Refused {
            provider: ProviderSource::builtin().to_string(),
            address: ty.to_owned(),
            reason,
        };
        let schema = self.schemas.resources.get(ty).ok_or_else(|| unreadable(format!("there is no type {ty:?}")));
        now(schema.and_then(|schema| {
            let parsed = serde_json::from_slice(attributes).map_err(|error| unreadable(error.to_string()))?;
            let value = json::decode(&parsed, &schema.block.implied_ty());
            Ok((value.map_err(|error| unreadable(error.to_string()))?, Vec::new()))
        }))
    }

    fn read<'a>(&'a self, request: ReadRequest<'a>) -> BoxFuture<'a, Result<ReadResponse>> {
        let (state, private) = (request.state.clone(), request.private.to_vec());
        now(Ok(ReadResponse { state, private, problems: Vec::new() }))
    }

    fn plan<'a>(&'a self, request: PlanRequest<'a>) -> BoxFuture<'a, Result<PlanResponse>> {
        now(Ok(plan(&request)))
    }

    fn apply<'a>(&'a self, request: ApplyRequest<'a>) -> BoxFuture<'a, Result<ApplyResponse>> {
        now(Ok(apply(&request)))
    }

    fn read_data<'a>(&'a self, request: DataRequest<'a>) -> BoxFuture<'a, Result<(Value, Vec<Problem>)>> {
        let DataRequest { config, address, .. } = request;
        Box::pin(async move {
            Ok(match self.outputs(config, address).await {
                Ok(outputs) => (with(config, [("outputs", outputs)]), Vec::new()),
                Err(problem) => (config.clone(), vec![problem]),
            })
        })
    }

    /// As Terraform's does: of HashiCorp's `null_resource`, whose triggers become those of a replacement.
    fn move_state<'a>(&'a self, request: MoveRequest<'a>) -> BoxFuture<'a, Result<ImportResponse>> {
        let of_null = request.from_type == "null_resource" && request.from_provider.ends_with("/hashicorp/null");
        let refused = |reason: String| {
            let (provider, address) = (ProviderSource::builtin().to_string(), request.ty.to_owned());
            HostError::Refused { provider, address, reason }
        };
        if !of_null || request.ty != DATA {
            return now(Err(refused(format!("it makes no {} of a {}", request.ty, request.from_type))));
        }
        let before: serde_json::Value = match serde_json::from_slice(request.attributes) {
            Ok(before) => before,
            Err(error) => return now(Err(refused(error.to_string()))),
        };
        let texts = before["triggers"].as_object().map(|triggers| {
            let texts =
                triggers.iter().map(|(name, text)| (name.as_str(), Value::string(text.as_str().unwrap_or_default())));
            Value::object(texts)
        });
        let null = Value::Null(Ty::Dynamic);
        let state = Value::object([
            ("id", before["id"].as_str().map_or(Value::Null(Ty::String), Value::string)),
            ("input", null.clone()),
            ("output", null.clone()),
            ("triggers_replace", texts.unwrap_or(null)),
        ]);
        now(Ok(ImportResponse { state: Some(state), private: Vec::new(), problems: Vec::new() }))
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        now(())
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        now(())
    }
}
