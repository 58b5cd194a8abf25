//! Saved plans: `plan -out FILE`, `apply FILE`.
//!
//! A JSON document with everything that apply needs: the source texts, the inputs, and the changes with their
//! values as msgpack, which keeps unknown parts. It may hold secrets, as state files do, so only its owner can
//! read it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path as FsPath;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compiler::addr::{InstanceAddr, Mode, ProviderAddr, ResourceAddr};
use compiler::binding::Schemas;
use compiler::evaluation::Input;
use compiler::source::SourceFile;
use compiler::{Inputs, Program};
use serde_json::{Map, Value as Json, json};
use value::codec::msgpack;
use value::{Path, Ty, Value};

use super::part::LeftOut;
use super::schemas;
use super::{Action, Adopted, Change, Deferral, Deposed, Goal, OutputChange, Plan, Reason};
use crate::state::file::{object_from_json, object_to_json, path_from_json, path_to_json};
use crate::state::private;
use crate::state::seal::{Seal, SealError, is_sealed};

const FORMAT: u32 = 6;

#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    #[error("{path} cannot be read")]
    Read {
        path: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("{path} cannot be written")]
    Write {
        path: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("{path}: {cause}")]
    Sealed { path: String, cause: SealError },
    #[error(
        "{path} is encrypted, and nothing says how: `plan` in an `encryption` block of the stack does, or TF_ENCRYPTION"
    )]
    Encrypted { path: String },
    #[error("{path} is not a plan of this version of lampwright")]
    Malformed { path: String },
}

/// What a plan file holds besides the changes: enough to evaluate the same configuration again.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    /// By path, as the loader knows them.
    pub sources: BTreeMap<String, String>,
    pub inputs: Inputs,
    /// Where the state is that it was planned for.
    pub place: String,
    pub changes: Json,
    pub schemas: Arc<Schemas>,
}

pub fn write(
    path: &FsPath,
    plan: &Plan,
    program: &Program,
    sources: &[SourceFile],
    inputs: &Inputs,
    place: &str,
    seal: &Seal,
) -> Result<(), PlanFileError> {
    let texts: Map<String, Json> = sources.iter().map(|file| (file.name.clone(), Json::from(&*file.text))).collect();
    let values: Map<String, Json> =
        inputs.iter().map(|(name, value)| (name.to_string(), encode_value(value))).collect();
    let declared = program.ids().flat_map(|id| program.module(id).decl.resources.values());
    let used: HashSet<(Mode, &str)> = declared
        .map(|resource| (resource.mode, &*resource.ty.name))
        .chain(plan.changes.keys().map(|addr| (addr.mode, &*addr.ty)))
        .chain(plan.deposed.iter().map(|deposed| (deposed.addr.mode, &*deposed.addr.ty)))
        .collect();
    let document = json!({
        "lampwright_plan": FORMAT,
        "sources": texts,
        "inputs": values,
        "workspace": inputs.workspace.as_deref(),
        "place": place,
        "plan": encode_plan(plan),
        "schemas": schemas::encode(&plan.schemas, &|mode, ty| used.contains(&(mode, ty))),
    });
    let failed = |cause| PlanFileError::Write { path: path.display().to_string(), cause };
    let sealed = seal.seal(document.to_string().as_bytes(), None);
    let sealed = sealed.map_err(|cause| PlanFileError::Sealed { path: path.display().to_string(), cause })?;
    private::replace(path, &sealed).map_err(failed)
}

pub fn read(path: &FsPath, seal: &Seal) -> Result<Saved, PlanFileError> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|cause| PlanFileError::Read { path: name.clone(), cause })?;
    let malformed = || PlanFileError::Malformed { path: name.clone() };
    let opened = seal.open(&bytes).map_err(|cause| PlanFileError::Sealed { path: name.clone(), cause })?;
    let mut document: Json = serde_json::from_slice(&opened.text).map_err(|_| malformed())?;
    if is_sealed(&document) {
        return Err(PlanFileError::Encrypted { path: name.clone() });
    }
    if document["lampwright_plan"].as_u64() != Some(u64::from(FORMAT)) {
        return Err(malformed());
    }
    let mut saved = Saved::default();
    for (name, text) in document["sources"].as_object().into_iter().flatten() {
        saved.sources.insert(name.clone(), text.as_str().ok_or_else(malformed)?.to_owned());
    }
    for (name, value) in document["inputs"].as_object().into_iter().flatten() {
        let value = decode_value(value).ok_or_else(malformed)?;
        saved.inputs.set(name.as_str(), Input { value, span: None });
    }
    saved.inputs.workspace = document["workspace"].as_str().map(Arc::from);
    document["place"].as_str().ok_or_else(malformed)?.clone_into(&mut saved.place);
    saved.changes = document["plan"].take();
    saved.schemas = Arc::new(schemas::decode(&document["schemas"]).ok_or_else(malformed)?);
    Ok(saved)
}

/// The plan itself, with the schemas that its providers have now; to look at it, with those that it was saved with.
pub fn decode(saved: &Saved, known: &Arc<Schemas>) -> Option<Plan> {
    decode_plan(&saved.changes, known)
}

fn encode_plan(plan: &Plan) -> Json {
    let changes = plan.changes.values().map(|change| {
        json!({
            "addr": change.addr.to_string(),
            "provider": change.provider.to_string(),
            "action": encode_action(change.action),
            "reason": change.reason.as_ref().map(encode_reason),
            "recorded": encode_value(&change.recorded),
            "recorded_sensitive": change.recorded_sensitive.iter().map(path_to_json).collect::<Vec<_>>(),
            "before": encode_value(&change.before),
            "after": encode_value(&change.after),
            "requires_replace": change.requires_replace.iter().map(path_to_json).collect::<Vec<_>>(),
            "before_private": STANDARD.encode(&change.before_private),
            "private": STANDARD.encode(&change.private),
            "dependencies": change.dependencies.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "create_before_destroy": change.create_before_destroy,
            "adopted": change.adopted.as_ref().map(
                |adopted| json!({ "id": adopted.id, "object": object_to_json(&adopted.instance) })
            ),
        })
    });
    let deposed = plan.deposed.iter().map(|deposed| {
        json!({
            "addr": deposed.addr.to_string(),
            "key": deposed.key,
            "object": object_to_json(&deposed.instance),
            "value": encode_value(&deposed.value),
            "private": STANDARD.encode(&deposed.private),
        })
    });
    let outputs: Map<String, Json> = plan
        .outputs
        .iter()
        .map(|(name, output)| {
            let encode = |value: &Option<Value>| value.as_ref().map_or(Json::Null, encode_value);
            let entry = json!({ "before": encode(&output.before), "after": encode(&output.after), "sensitive": output.sensitive });
            (name.to_string(), entry)
        })
        .collect();
    json!({
        "goal": goal_word(plan.goal),
        "lineage": plan.lineage,
        "serial": plan.serial,
        "believes": plan.believes,
        "planned_at": plan.planned_at.to_string(),
        "changes": changes.collect::<Vec<_>>(),
        "deposed": deposed.collect::<Vec<_>>(),
        "forgotten": plan.forgotten.iter().map(|(addr, key)| [addr.to_string(), key.clone()]).collect::<Vec<_>>(),
        "outputs": outputs,
        "left_out": plan.left_out.as_ref().map(|left_out| json!({
            "evaluated": left_out.evaluated.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "instances": left_out.instances.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "outputs": left_out.outputs.iter().map(|name| Json::from(&**name)).collect::<Vec<_>>(),
        })),
        "deferred": plan.deferred.iter().map(|(resource, why)| match why {
            Deferral::Unknown(what) => json!({ "resource": resource.to_string(), "unknown": what }),
            Deferral::Needs(needed) => json!({ "resource": resource.to_string(), "needs": needed.to_string() }),
        }).collect::<Vec<_>>(),
        "becomes": plan.becomes.iter().map(|(to, object)| json!([to.to_string(), object_to_json(object)])).collect::<Vec<_>>(),
        "moves": plan.moves.iter().map(|(to, from)| [to.to_string(), from.to_string()]).collect::<Vec<_>>(),
    })
}

fn encode_reason(reason: &Reason) -> Json {
    match reason {
        Reason::Tainted => json!("tainted"),
        Reason::CannotUpdate(paths) => json!({ "cannot_update": paths.iter().map(path_to_json).collect::<Vec<_>>() }),
        Reason::Triggered(by) => json!({ "triggered": by }),
        Reason::Requested => json!("requested"),
        Reason::NotConfigured => json!("not_configured"),
        Reason::Removed => json!("removed"),
        Reason::Gone => json!("gone"),
        Reason::Awaits(resource) => json!({ "awaits": resource.to_string() }),
    }
}

fn decode_reason(json: &Json) -> Option<Reason> {
    if let Some(word) = json.as_str() {
        let plain = [Reason::Tainted, Reason::Requested, Reason::NotConfigured, Reason::Removed, Reason::Gone];
        return plain.into_iter().find(|reason| encode_reason(reason).as_str() == Some(word));
    }
    if let Some(paths) = json["cannot_update"].as_array() {
        return Some(Reason::CannotUpdate(paths.iter().map(path_from_json).collect::<Option<_>>()?));
    }
    match (json["triggered"].as_str(), json["awaits"].as_str()) {
        (Some(by), _) => Some(Reason::Triggered(by.to_owned())),
        (None, awaited) => Some(Reason::Awaits(ResourceAddr::parse(awaited?)?)),
    }
}

fn decode_plan(json: &Json, known: &Arc<Schemas>) -> Option<Plan> {
    let mut plan = Plan {
        goal: GOALS.into_iter().find(|goal| json["goal"].as_str() == Some(goal_word(*goal)))?,
        lineage: json["lineage"].as_str()?.to_owned(),
        serial: json["serial"].as_u64()?,
        schemas: known.clone(),
        believes: json["believes"].as_bool()?,
        planned_at: json["planned_at"].as_str()?.parse().ok()?,
        ..Plan::default()
    };
    for change in json["changes"].as_array()? {
        let addr = InstanceAddr::parse(change["addr"].as_str()?)?;
        let provider = ProviderAddr::parse(change["provider"].as_str()?)?;
        let schema = known.get(&provider.source)?.get(addr.mode, &addr.ty)?.clone();
        let dependencies = change["dependencies"].as_array()?.iter();
        let decoded = Change {
            schema,
            action: decode_action(change["action"].as_str()?)?,
            reason: match &change["reason"] {
                Json::Null => None,
                reason => Some(decode_reason(reason)?),
            },
            recorded: decode_value(&change["recorded"])?,
            recorded_sensitive: change["recorded_sensitive"]
                .as_array()?
                .iter()
                .map(path_from_json)
                .collect::<Option<_>>()?,
            before: decode_value(&change["before"])?,
            after: decode_value(&change["after"])?,
            requires_replace: change["requires_replace"]
                .as_array()?
                .iter()
                .map(path_from_json)
                .collect::<Option<_>>()?,
            before_private: STANDARD.decode(change["before_private"].as_str()?).ok()?,
            private: STANDARD.decode(change["private"].as_str()?).ok()?,
            dependencies: dependencies.map(|text| ResourceAddr::parse(text.as_str()?)).collect::<Option<_>>()?,
            create_before_destroy: change["create_before_destroy"].as_bool()?,
            provider,
            addr: addr.clone(),
            adopted: match &change["adopted"] {
                Json::Null => None,
                adopted => {
                    let id = adopted["id"].as_str()?.to_owned();
                    Some(Box::new(Adopted { id, instance: object_from_json(&adopted["object"])? }))
                }
            },
        };
        plan.changes.insert(addr, decoded);
    }
    for deposed in json["deposed"].as_array()? {
        plan.deposed.push(Deposed {
            addr: InstanceAddr::parse(deposed["addr"].as_str()?)?,
            key: deposed["key"].as_str()?.to_owned(),
            instance: object_from_json(&deposed["object"])?,
            value: decode_value(&deposed["value"])?,
            private: STANDARD.decode(deposed["private"].as_str()?).ok()?,
        });
    }
    for forgotten in json["forgotten"].as_array()? {
        let addr = InstanceAddr::parse(forgotten[0].as_str()?)?;
        plan.forgotten.push((addr, forgotten[1].as_str()?.to_owned()));
    }
    for object in json["becomes"].as_array().into_iter().flatten() {
        let addr = object[0].as_str().and_then(InstanceAddr::parse)?;
        plan.becomes.insert(addr, object_from_json(&object[1])?);
    }
    for moved in json["moves"].as_array()? {
        let addr = |idx: usize| InstanceAddr::parse(moved[idx].as_str()?);
        plan.moves.insert(addr(0)?, addr(1)?);
    }
    plan.left_out = match &json["left_out"] {
        Json::Null => None,
        left_out => {
            let evaluated = left_out["evaluated"].as_array()?.iter();
            let evaluated = evaluated.map(|text| ResourceAddr::parse(text.as_str()?)).collect::<Option<_>>()?;
            let instances = left_out["instances"].as_array()?.iter();
            let outputs = left_out["outputs"].as_array()?.iter();
            Some(LeftOut {
                evaluated: Arc::new(evaluated),
                instances: instances.map(|text| InstanceAddr::parse(text.as_str()?)).collect::<Option<_>>()?,
                outputs: outputs.map(|name| Some(name.as_str()?.into())).collect::<Option<_>>()?,
            })
        }
    };
    for deferred in json["deferred"].as_array().into_iter().flatten() {
        let resource = ResourceAddr::parse(deferred["resource"].as_str()?)?;
        let why = match deferred["unknown"].as_str() {
            Some(what) => Deferral::Unknown(what.to_owned()),
            None => Deferral::Needs(ResourceAddr::parse(deferred["needs"].as_str()?)?),
        };
        plan.deferred.insert(resource, why);
    }
    for (name, output) in json["outputs"].as_object()? {
        let decode = |json: &Json| if json.is_null() { Some(None) } else { decode_value(json).map(Some) };
        let change = OutputChange {
            before: decode(&output["before"])?,
            after: decode(&output["after"])?,
            sensitive: output["sensitive"].as_bool()?,
        };
        plan.outputs.insert(Arc::from(name.as_str()), change);
    }
    Some(plan)
}

const GOALS: [Goal; 3] = [Goal::Configuration, Goal::Nothing, Goal::Record];

fn goal_word(goal: Goal) -> &'static str {
    match goal {
        Goal::Configuration => "configuration",
        Goal::Nothing => "nothing",
        Goal::Record => "record",
    }
}

fn encode_action(action: Action) -> String {
    action.json().join(",")
}

fn decode_action(text: &str) -> Option<Action> {
    [
        Action::NoOp,
        Action::Read,
        Action::Create,
        Action::Update,
        Action::Replace { create_first: true },
        Action::Replace { create_first: false },
        Action::Delete,
        Action::Forget,
    ]
    .into_iter()
    .find(|action| encode_action(*action) == text)
}

fn encode_value(value: &Value) -> Json {
    let (plain, paths) = value.clone().unmark_with_paths();
    let ty = plain.ty();
    json!({
        "type": ty.to_json(),
        "msgpack": STANDARD.encode(msgpack::encode(&plain, &ty)),
        "sensitive": paths.iter().map(path_to_json).collect::<Vec<_>>(),
    })
}

fn decode_value(json: &Json) -> Option<Value> {
    let ty = Ty::from_json(json.get("type")?).ok()?;
    let bytes = STANDARD.decode(json.get("msgpack")?.as_str()?).ok()?;
    let value = msgpack::decode(&bytes, &ty).ok()?;
    let paths: Vec<Path> = json.get("sensitive")?.as_array()?.iter().map(path_from_json).collect::<Option<_>>()?;
    Some(value.mark_paths(&paths))
}
