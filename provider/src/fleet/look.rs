//! Looking: a layer that another state has made, found by its name. Nothing of it is taken, and nothing is changed.

use value::{Path, Problem, Ty, Value};

use super::import;
use super::read::look as look_at;
use crate::context::Context;
use crate::driver::LayerId;
use crate::field::Field;
use crate::layer::{Layer, State, group_fields, name};
use crate::model::Model as _;

/// The attributes of a layer as somebody else sees it: it is named, and the rest is found.
pub(super) fn fields<L: Layer>() -> Vec<Field> {
    let named = [
        Field::required("name", Ty::String, "the name of the layer").text(name),
        Field::optional("scope", Ty::String, "the scope of its stack; this stack's own if not set"),
        Field::optional("cloud", Ty::String, "the cloud that it is on; the provider's default_cloud if not set"),
        Field::optional("public", Ty::Bool, "whether its machines are reached by their public addresses"),
    ];
    // What only its own state has a use for, and what cannot be told by looking.
    let is_found =
        |field: &Field| L::FOUND.contains(&field.name) || ["id", "machines", "machine_size"].contains(&field.name);
    let found = group_fields().into_iter().chain(L::fields()).filter(is_found).map(Field::found);
    let sought = L::fields().into_iter().filter(|field| L::SOUGHT.contains(&field.name));
    named.into_iter().chain(found).chain(sought).collect()
}

pub(super) async fn look<L: Layer>(context: &Context, config: &Value) -> Result<State<L::Model>, Vec<Problem>> {
    let text = |name: &str| config.get(name).and_then(Value::as_str);
    let scope = text("scope").unwrap_or(&context.scope);
    let cloud = text("cloud").unwrap_or(&context.default_cloud);
    let layer = LayerId::of_id(&format!("{scope}/{}", text("name").unwrap_or_default()));
    if context.simulation.is_some() {
        let detail = format!(
            "Nothing is real here, so the layer {layer} of another stack cannot be found. In a test, say what is found: override_data {{ target = data.{}.NAME, values = {{ .. }} }}. A stack that finds layers of others has no bundle.",
            L::NAME
        );
        return Err(vec![Problem::error("a simulation finds no layers", detail)]);
    }
    let Some(found) = import::machines(context, cloud, &layer).await? else {
        let detail = import::absent(cloud, &layer);
        return Err(vec![Problem::error("there is no such layer", detail).at(Path::attribute("name"))]);
    };
    let mut state = import::state::<L>(context, cloud.to_owned(), &layer, &found).await?;
    let is_public = config.get("public").and_then(Value::as_bool).unwrap_or(false);
    let driver = state.group.driver(context)?.clone();
    let probes = L::probes(&state.own, L::port(&state.own));
    let looks = found.iter().map(|machine| look_at(&*driver, machine, &probes));
    let looks = futures_util::future::join_all(looks).await;
    state.group.machine_size = Some(found.iter().find_map(|machine| machine.size.clone()).unwrap_or_default());
    for machine in state.group.machines.iter_mut().flatten() {
        let Some((found, (status, _))) = found.iter().zip(&looks).find(|(found, _)| found.key.id == machine.id) else {
            continue;
        };
        machine.address = Some(found.known_address(is_public).to_string());
        status.as_str().clone_into(&mut machine.status);
    }
    state.group.public = Some(is_public);
    let mut state = said::<L>(state, config)?;
    L::computed(&mut state, None);
    let problems = if L::is_managed(&state.own) { L::read(context, &mut state).await } else { Vec::new() };
    if problems.is_empty() { Ok(state) } else { Err(problems) }
}

/// With what the other stack has to say.
fn said<L: Layer>(state: State<L::Model>, config: &Value) -> Result<State<L::Model>, Vec<Problem>> {
    let failed = |error: serde_json::Error| vec![Problem::error("a model could not be written", error.to_string())];
    let mut values = state.write().map_err(failed)?;
    for field in L::fields().iter().filter(|field| L::SOUGHT.contains(&field.name)) {
        let set = config.get(field.name).filter(|value| !value.is_null());
        let set = set.map(|value| value::codec::json::encode(value, &value.ty()));
        values[field.name] = set.or_else(|| field.filled_in().cloned()).unwrap_or_default();
    }
    State::read(&values, Vec::new()).map_err(failed)
}
