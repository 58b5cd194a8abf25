//! The life of a layer, written once for all: what a plan says of its machines, how they are made, get their files, work
//! and go.

mod apply;
mod data;
mod firewall;
mod health;
mod import;
mod installed;
mod life;
mod look;
mod machines;
mod node;
mod notes;
mod plan;
mod preview;
mod read;
mod report;
mod taken;
#[cfg(test)]
mod tests;

use proto::dialect;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use value::{Problem, Value};

#[cfg(test)]
use crate::bundle::Bundle;
use crate::context::Context;
use crate::field::{Change, Field};
use crate::layer::{Layer, State, data_fields, group_fields};
#[cfg(test)]
use crate::layer::{MachineModel, RUNNING};
use crate::resource::{self, PlanRequest, Planned, Resource};
pub(crate) use machines::{leaving, line_after, number_after, word_after};

fn asked<T: DeserializeOwned>(arguments: Json) -> Result<T, Vec<Problem>> {
    serde_json::from_value(arguments).map_err(|error| vec![Problem::error("invalid question", error.to_string())])
}

impl<L: Layer> Resource for L {
    const NAME: &'static str = <L as Layer>::NAME;
    const DOC: &'static str = <L as Layer>::DOC;
    type Model = State<<L as Layer>::Model>;

    fn fields() -> Vec<Field> {
        let of_data = if L::HAS_DATA { data_fields() } else { Vec::new() };
        group_fields().into_iter().chain(of_data).chain(<L as Layer>::fields()).collect()
    }

    fn effect(field: &Field) -> Option<String> {
        let change = field.change?;
        let data = if L::HAS_DATA && change == Change::Replaces {
            "; `on_destroy` decides whether its data is kept for one of the same name, or **deleted**"
        } else {
            ""
        };
        Some(format!("{}{data}", change.text()))
    }

    fn upgrade(record: &mut Json) {
        let size = record.as_object_mut().map(|record| record.entry("machine_size").or_insert(Json::Null));
        if let Some(size) = size.filter(|size| size.is_null()) {
            *size = json!("");
        }
    }

    fn validate(config: &Self::Model) -> Vec<Problem> {
        <L as Layer>::validate(config)
    }

    async fn plan(
        context: &Context,
        request: &PlanRequest<'_>,
        prior: Option<Self::Model>,
        proposed: Option<Self::Model>,
    ) -> Result<Planned<Self::Model>, Vec<Problem>> {
        plan::plan::<L>(context, request, prior, proposed).await
    }

    async fn refuse_apply(context: &Context, prior: Option<&Self::Model>) -> Result<(), Vec<Problem>> {
        let Some(prior) = prior else { return Ok(()) };
        context.ownership.know(prior.group.generation.as_deref());
        let _alone = context.layers.lock(prior.group.id.as_deref().unwrap_or_default()).await;
        taken::refuse_lost::<L>(context, &prior.group).await
    }

    async fn apply(
        context: &Context,
        prior: Option<Self::Model>,
        planned: Option<Self::Model>,
        private: &[u8],
    ) -> (Option<Self::Model>, Vec<Problem>) {
        apply::apply::<L>(context, prior, planned, private).await
    }

    async fn read(context: &Context, state: Self::Model) -> (Option<Self::Model>, Vec<Problem>) {
        read::read::<L>(context, state).await
    }

    async fn operate(
        context: &Context,
        operation: &str,
        state: Self::Model,
        arguments: Json,
    ) -> Result<Json, Vec<Problem>> {
        match operation {
            dialect::STATUS => Ok(json!(report::status::<L>(context, &state).await?)),
            dialect::LOGS => Ok(json!(report::logs::<L>(context, &state, &asked(arguments)?).await?)),
            dialect::SCALE => Ok(json!(report::scale::<L>(&state))),
            dialect::SHELL => Ok(json!(report::shell::<L>(context, &state, &asked(arguments)?).await?)),
            _ => Err(vec![resource::not_an_operation(<L as Layer>::NAME, operation)]),
        }
    }

    async fn import(context: &Context, id: &str) -> Result<Self::Model, Vec<Problem>> {
        import::import::<L>(context, id).await
    }

    fn data_fields() -> Option<Vec<Field>> {
        Some(look::fields::<L>())
    }

    async fn look(context: &Context, config: &Value) -> Result<Self::Model, Vec<Problem>> {
        look::look::<L>(context, config).await
    }

    #[cfg(test)]
    fn bundle(context: &Context, mut state: Self::Model) -> Result<Bundle, Vec<Problem>> {
        state.group.id = Some(format!("{}/{}", context.scope, L::DEFAULT_NAME));
        <L as Layer>::plan(context, &mut state, None)?;
        L::computed(&mut state, None);
        state.group.machines = Some(vec![MachineModel {
            id: 1,
            name: format!("{}-1", L::DEFAULT_NAME),
            address: Some("127.99.1.1".to_owned()),
            port: L::port(&state.own),
            status: RUNNING.to_owned(),
        }]);
        let bundle = L::bundles(context, &state)?.into_iter().next().expect("a machine");
        resource::refuse(machines::refusals("web-1", &bundle))?;
        Ok(bundle)
    }
}
