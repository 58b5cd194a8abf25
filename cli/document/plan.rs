//! A plan, with what it makes of the state and what it was made of.

use app::planning::SavedPlan;
use compiler::Program;
use compiler::addr::{Key, Mode, ResourceAddr};
use compiler::lang::declare::Repetition;
use engine::plan::{Action, Change, Deferral, Plan, Reason};
use serde_json::{Map, Value as Json, json};
use value::codec::json as values;
use value::{Path, Step, Ty, Value};

use super::{Module, TERRAFORM, address, configuration};

pub(crate) fn plan(plan: &Plan, saved: &SavedPlan) -> Json {
    let outputs = plan.outputs.iter().map(|(name, output)| {
        let actions = match (&output.before, &output.after) {
            (None, _) => ["create"],
            (_, None) => ["delete"],
            (before, after) if before == after => ["no-op"],
            _ => ["update"],
        };
        let known = output.after.as_ref().is_none_or(Value::is_wholly_known);
        let plain = |value: &Option<Value>| value.as_ref().map_or(Json::Null, values::encode_plain);
        let mut entry = json!({
            "actions": actions, "before": plain(&output.before),
            "after_unknown": !known, "before_sensitive": output.sensitive, "after_sensitive": output.sensitive,
        });
        if output.after.as_ref().is_none_or(Value::is_known) {
            entry["after"] = plain(&output.after);
        }
        (name.to_string(), entry)
    });
    let drift = plan.changes.values().filter(|change| change.has_drifted()).map(|change| {
        let action = if change.before.is_null() { "delete" } else { "update" };
        let mut json = subject(change);
        json["change"] = values_of(&change.recorded, &change.before, &[action]);
        json
    });
    let mut json = json!({
        "format_version": "1.2",
        "terraform_version": TERRAFORM,
        "planned_values": planned_values(plan),
        "resource_changes": plan.changes.values().map(|change| change_of(change, plan, &saved.stack.program)).collect::<Vec<_>>(),
        "output_changes": outputs.collect::<Map<_, _>>(),
        "applyable": !plan.is_empty(),
        "complete": plan.deferred.is_empty(),
        "errored": false,
    });
    let drift: Vec<Json> = drift.collect();
    if !drift.is_empty() {
        json["resource_drift"] = drift.into();
    }
    let variables = saved.stack.program.root().variables.iter().filter_map(|(name, variable)| {
        let given = saved.inputs.get(name).map(|input| &input.value);
        let value = given.or(variable.default.as_ref()).filter(|_| !variable.ephemeral)?;
        Some((name.to_string(), json!({ "value": values::encode_plain(value) })))
    });
    let variables: Map<_, _> = variables.collect();
    if !variables.is_empty() {
        json["variables"] = Json::Object(variables);
    }
    if let Some(prior) = prior_state(plan) {
        json["prior_state"] = prior;
    }
    json["timestamp"] = plan.planned_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    json["configuration"] = configuration::configuration(&saved.stack.program, &plan.schemas);
    if !plan.deferred.is_empty() {
        json["deferred_changes"] = plan.deferred.iter().map(deferred).collect();
    }
    json
}

/// With the reasons of Terraform's `deferred_changes`.
fn deferred((resource, why): (&ResourceAddr, &Deferral)) -> Json {
    let reason = match why {
        Deferral::Unknown(_) => "instance_count_unknown",
        Deferral::Needs(_) => "deferred_prereq",
    };
    let mode = if resource.mode == Mode::Data { "data" } else { "managed" };
    let mut change =
        json!({ "address": resource.to_string(), "mode": mode, "type": &*resource.ty, "name": &*resource.name });
    if !resource.module.is_empty() {
        let calls = resource.module.iter().map(|call| format!("module.{call}"));
        change["module_address"] = calls.collect::<Vec<_>>().join(".").into();
    }
    json!({ "reason": reason, "resource_change": change })
}

/// What will be, as far as it is known.
fn planned_values(plan: &Plan) -> Json {
    let mut tree = Module::default();
    for change in plan.changes.values().filter(|change| !change.after.is_null()) {
        tree.of(&change.addr.module).resources.push(object(change, &change.after));
    }
    let outputs = plan.outputs.iter().filter_map(|(name, output)| {
        let after = output.after.as_ref()?;
        let mut json = json!({ "sensitive": output.sensitive });
        if after.is_wholly_known() {
            json["type"] = after.ty().to_json();
            json["value"] = values::encode_plain(after);
        }
        Some((name.to_string(), json))
    });
    let outputs: Map<_, _> = outputs.collect();
    let mut json = json!({ "root_module": tree.into_json(None) });
    if !outputs.is_empty() {
        json["outputs"] = Json::Object(outputs);
    }
    json
}

/// What there is, as it was read.
fn prior_state(plan: &Plan) -> Option<Json> {
    let mut tree = Module::default();
    let there = plan.changes.values().filter(|change| change.addr.mode == Mode::Managed && !change.before.is_null());
    let mut has_any = false;
    for change in there {
        has_any = true;
        let mut json = object(change, &marked_before(change));
        if !change.dependencies.is_empty() {
            json["depends_on"] = change.dependencies.iter().map(|on| Json::from(on.to_string())).collect();
        }
        tree.of(&change.addr.module).resources.push(json);
    }
    let outputs = plan.outputs.iter().filter_map(|(name, output)| {
        let before = output.before.as_ref()?;
        let (value, ty) = (values::encode_plain(before), before.ty().to_json());
        Some((name.to_string(), json!({ "sensitive": output.sensitive, "value": value, "type": ty })))
    });
    let outputs: Map<_, _> = outputs.collect();
    let mut values = json!({ "root_module": tree.into_json(None) });
    if !outputs.is_empty() {
        values["outputs"] = Json::Object(outputs);
        has_any = true;
    }
    has_any.then(|| json!({ "format_version": "1.0", "terraform_version": TERRAFORM, "values": values }))
}

fn marked_before(change: &Change) -> Value {
    engine::run::mark(change.before.clone(), &change.schema, &change.recorded_sensitive)
}

fn object(change: &Change, value: &Value) -> Json {
    let mut json = address(&change.addr);
    json["provider_name"] = change.provider.source.to_string().into();
    json["schema_version"] = change.schema.version.into();
    json["values"] = known(value, values::encode_plain(&value.clone().unmark_deep().0));
    json["sensitive_values"] = marks_of(value);
    json
}

fn subject(change: &Change) -> Json {
    let mut json = address(&change.addr);
    if !change.addr.module.is_root() {
        json["module_address"] = change.addr.module.to_string().into();
    }
    json["provider_name"] = change.provider.source.to_string().into();
    json
}

fn change_of(change: &Change, plan: &Plan, program: &Program) -> Json {
    let mut json = subject(change);
    // A data source is read anew, whatever it was.
    let nothing = Value::Null(change.before.ty());
    let before = if change.addr.mode == Mode::Data { nothing } else { marked_before(change) };
    json["change"] = values_of(&before, &change.after, change.action.json());
    if matches!(change.action, Action::NoOp | Action::Delete) {
        json["change"]["after_unknown"] = json!({});
    }
    if let Some(reason) = reason(change, program) {
        json["action_reason"] = reason.into();
    }
    if !change.requires_replace.is_empty() {
        json["change"]["replace_paths"] = change.requires_replace.iter().map(steps).collect();
    }
    if let Some(adopted) = &change.adopted {
        json["change"]["importing"] = json!({ "id": adopted.id });
    }
    if let Some(from) = plan.moves.get(&change.addr) {
        json["previous_address"] = from.to_string().into();
    }
    // What this program knows besides.
    if let Some(preview) = change.preview() {
        json["preview"] = json!(preview);
    }
    json
}

/// In Terraform's words.
fn reason(change: &Change, program: &Program) -> Option<&'static str> {
    Some(match change.reason.as_ref()? {
        Reason::Tainted => "replace_because_tainted",
        Reason::CannotUpdate(_) => "replace_because_cannot_update",
        Reason::Triggered(_) => "replace_by_triggers",
        Reason::Requested => "replace_by_request",
        Reason::Awaits(_) => "read_because_dependency_pending",
        Reason::NotConfigured => not_configured(change, program),
        Reason::Removed | Reason::Gone => return None,
    })
}

fn not_configured(change: &Change, program: &Program) -> &'static str {
    let path = change.addr.module.config_path();
    let Some(module) = program.ids().find(|id| program.module(*id).path == path) else {
        return "delete_because_no_module";
    };
    let key = (change.addr.mode, change.addr.ty.clone(), change.addr.name.clone());
    match (program.module(module).decl.resources.get(&key).map(|resource| &resource.repetition), &change.addr.key) {
        (None, _) => "delete_because_no_resource_config",
        (Some(Repetition::Count(_)), Key::Int(_)) => "delete_because_count_index",
        (Some(Repetition::ForEach(_)), Key::Str(_)) => "delete_because_each_key",
        // The module has no such instance, or the repetition is another one.
        (Some(Repetition::Single), Key::None) => "delete_because_no_module",
        (Some(_), _) => "delete_because_wrong_repetition",
    }
}

fn values_of(before: &Value, after: &Value, actions: &[&str]) -> Json {
    let told = |value: &Value| {
        let json = values::encode_plain(&value.clone().unmark_deep().0);
        (json, if value.is_null() { false.into() } else { marks_of(value) })
    };
    let ((before, before_sensitive), (after_json, after_sensitive)) = (told(before), told(after));
    json!({
        "actions": actions,
        "before": before,
        "after": known(after, after_json),
        "after_unknown": if after.is_null() { false.into() } else { unknowns(after) },
        "before_sensitive": before_sensitive,
        "after_sensitive": after_sensitive,
    })
}

/// Without the attributes that are not known, which are in `after_unknown`.
fn known(value: &Value, json: Json) -> Json {
    match (value.as_entries(), json) {
        (Some(entries), Json::Object(mut object)) => {
            object.retain(|name, _| entries.get(name.as_str()).is_none_or(Value::is_known));
            let parts = object.into_iter().map(|(name, part)| match entries.get(name.as_str()) {
                Some(value) => (name, known(value, part)),
                None => (name, part),
            });
            Json::Object(parts.collect())
        }
        (None, Json::Array(parts)) => match value.as_items() {
            Some(items) if items.len() == parts.len() => {
                items.iter().zip(parts).map(|(item, part)| known(item, part)).collect()
            }
            _ => Json::Array(parts),
        },
        (_, json) => json,
    }
}

/// `true` where a value is unknown, in its shape.
fn unknowns(value: &Value) -> Json {
    match (value.is_known(), value.as_items(), value.as_entries()) {
        (false, ..) => true.into(),
        (true, Some(items), _) => items.iter().map(unknowns).collect(),
        (true, None, Some(entries)) => {
            let parts = entries.iter().map(|(name, part)| (name.to_string(), unknowns(part)));
            Json::Object(parts.filter(|(_, part)| *part != Json::Bool(false)).collect())
        }
        (true, None, None) => false.into(),
    }
}

/// `true` where a value is sensitive, in its shape; a collection that is not known is an empty one.
fn marks_of(value: &Value) -> Json {
    if value.marks().sensitive {
        return true.into();
    }
    let is_marked = |(name, part): (&std::sync::Arc<str>, &Value)| Some((name.to_string(), marks_of(part)));
    match (value.unmarked(), value.as_items(), value.as_entries()) {
        (_, Some(items), _) => items.iter().map(marks_of).collect(),
        (_, _, Some(entries)) => {
            let parts = entries.iter().filter_map(is_marked);
            Json::Object(parts.filter(|(_, part)| *part != Json::Bool(false)).collect())
        }
        (Value::Unknown(Ty::List(_) | Ty::Set(_) | Ty::Tuple(_), _), ..) => json!([]),
        (Value::Unknown(Ty::Map(_) | Ty::Object(_), _), ..) => json!({}),
        _ => false.into(),
    }
}

fn steps(path: &Path) -> Json {
    let steps = path.0.iter().map(|step| match step {
        Step::Attribute(name) | Step::Key(name) => Json::from(&**name),
        Step::Index(index) => (*index).into(),
    });
    steps.collect()
}
