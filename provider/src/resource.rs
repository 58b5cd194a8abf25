//! What a resource is: a model, and how it is planned, applied, read and imported.
//!
//! A resource author writes the [`Resource`] trait on typed models; [`AnyResource`] decodes and encodes values, once for
//! all. A layer is a resource by one blanket implementation (`fleet`).
//!
//! **Invariant:** no protobuf here.

use std::fmt;
use std::future::Future;

use serde_json::Value as Json;
use value::schema::{Block, Schema};
use value::{Path, Problem, Value};

#[cfg(test)]
use crate::bundle::Bundle;
use crate::context::Context;
use crate::driver::BoxFuture;
use crate::field::{self, Field};
use crate::model::{Model, decode, decode_filled, encode, encode_part, encode_planned, with_configured};

pub trait Resource: fmt::Debug + Send + Sync + 'static {
    const NAME: &'static str;
    const DOC: &'static str;
    type Model: Model;

    fn fields() -> Vec<Field>;

    /// What a change of an attribute does, in words; none of what cannot be set.
    fn effect(field: &Field) -> Option<String> {
        field.change.map(|change| change.text().to_owned())
    }

    /// Fills in what a record of an earlier version lacks.
    fn upgrade(_: &mut Json) {}

    /// Whatever can be said of a configuration alone beyond the fields' checks. Asked again whenever more is known.
    fn validate(config: &Self::Model) -> Vec<Problem>;

    fn plan(
        context: &Context,
        request: &PlanRequest<'_>,
        prior: Option<Self::Model>,
        proposed: Option<Self::Model>,
    ) -> impl Future<Output = Result<Planned<Self::Model>, Vec<Problem>>> + Send;

    /// Refuses an apply before anything is done; then the state stays as it was.
    fn refuse_apply(
        _: &Context,
        _prior: Option<&Self::Model>,
    ) -> impl Future<Output = Result<(), Vec<Problem>>> + Send {
        std::future::ready(Ok(()))
    }

    /// Makes it so. What was done is in the model that is returned, also when there are problems; none is left of what
    /// was removed.
    fn apply(
        context: &Context,
        prior: Option<Self::Model>,
        planned: Option<Self::Model>,
        private: &[u8],
    ) -> impl Future<Output = (Option<Self::Model>, Vec<Problem>)> + Send;

    /// What is real now; none if nothing is left.
    fn read(context: &Context, state: Self::Model) -> impl Future<Output = (Option<Self::Model>, Vec<Problem>)> + Send;

    /// What exists and no state knows, by an id that people write.
    fn import(context: &Context, id: &str) -> impl Future<Output = Result<Self::Model, Vec<Problem>>> + Send;

    /// The attributes of the data source of this name, by which something that another state has made is found; none if there
    /// is none.
    fn data_fields() -> Option<Vec<Field>> {
        None
    }

    /// What the data source finds.
    fn look(_: &Context, _: &Value) -> impl Future<Output = Result<Self::Model, Vec<Problem>>> + Send {
        std::future::ready(Err(vec![no_data_source(Self::NAME)]))
    }

    /// What the command line asks for beside Terraform's protocol ([`proto::dialect`]).
    fn operate(
        _: &Context,
        operation: &str,
        _: Self::Model,
        _: Json,
    ) -> impl Future<Output = Result<Json, Vec<Problem>>> + Send {
        std::future::ready(Err(vec![not_an_operation(Self::NAME, operation)]))
    }

    /// What a machine would get, secrets and all, for tests of encodings.
    #[cfg(test)]
    fn bundle(_: &Context, _: Self::Model) -> Result<Bundle, Vec<Problem>> {
        Ok(Bundle::default())
    }
}

/// A planned change of a model.
#[derive(Debug)]
pub struct Planned<M> {
    pub model: Option<M>,
    pub requires_replace: Vec<Path>,
    /// What the plan shows beyond values: a summary and the files that differ.
    pub preview: Vec<u8>,
    /// Warnings.
    pub problems: Vec<Problem>,
}

/// A planned change of a value.
#[derive(Debug)]
pub struct PlanOutcome {
    pub planned: Value,
    pub requires_replace: Vec<Path>,
    pub preview: Vec<u8>,
    pub problems: Vec<Problem>,
}

#[derive(Debug)]
pub struct PlanRequest<'a> {
    pub prior: &'a Value,
    pub proposed: &'a Value,
    pub config: &'a Value,
    /// Of a plan with no prior state: the private data of the plan that found a replacement to be needed.
    pub prior_private: &'a [u8],
    /// Where the resource is in the stack; our own engine says so.
    pub address: Option<&'a str>,
    /// The apply of what is planned comes next; our own engine says so.
    pub is_final: bool,
}

/// A resource type without its model type.
pub trait AnyResource: fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn schema(&self) -> Schema;
    fn data_schema(&self) -> Option<Schema>;
    fn validate_data(&self, config: &Value) -> Vec<Problem>;
    fn read_data<'a>(&'a self, context: &'a Context, config: &'a Value) -> BoxFuture<'a, Result<Value, Vec<Problem>>>;
    fn upgrade(&self, record: &mut Json);
    fn effect(&self, attribute: &str) -> Option<String>;
    fn validate(&self, config: &Value) -> Vec<Problem>;
    #[cfg(test)]
    fn bundle(&self, context: &Context, config: &Value) -> Result<Bundle, Vec<Problem>>;
    fn plan<'a>(&'a self, context: &'a Context, request: &'a PlanRequest<'a>) -> BoxFuture<'a, PlanOutcome>;
    /// `private` is what the plan said beside the planned state.
    fn apply<'a>(
        &'a self,
        context: &'a Context,
        prior: &'a Value,
        planned: &'a Value,
        private: &'a [u8],
    ) -> BoxFuture<'a, (Value, Vec<Problem>)>;
    fn import<'a>(&'a self, context: &'a Context, id: &'a str) -> BoxFuture<'a, Result<Value, Vec<Problem>>>;
    fn read<'a>(&'a self, context: &'a Context, state: &'a Value) -> BoxFuture<'a, (Value, Vec<Problem>)>;
    fn operate<'a>(
        &'a self,
        context: &'a Context,
        operation: &'a str,
        state: &'a Value,
        arguments: Json,
    ) -> BoxFuture<'a, Result<Json, Vec<Problem>>>;
}

pub(crate) fn not_an_operation(resource: &str, operation: &str) -> Problem {
    Problem::error("unknown operation", format!("A {resource} has no operation {operation:?}."))
}

pub(crate) fn no_data_source(name: &str) -> Problem {
    Problem::error("unknown data source", format!("This provider has no data source {name:?}."))
}

fn block<R: Resource>() -> Block {
    block_of(R::fields(), R::DOC.to_owned())
}

fn block_of(fields: Vec<Field>, description: String) -> Block {
    let attributes = fields.into_iter().map(|field| (field.name.into(), field.attribute)).collect();
    Block { description, attributes, ..Block::default() }
}

impl<R: Resource> AnyResource for R {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn schema(&self) -> Schema {
        Schema { version: 0, block: block::<R>() }
    }

    fn data_schema(&self) -> Option<Schema> {
        let description = format!("A {} that another stack has made, found by its name.", R::NAME);
        R::data_fields().map(|fields| Schema { version: 0, block: block_of(fields, description) })
    }

    fn validate_data(&self, config: &Value) -> Vec<Problem> {
        let values = value::codec::json::encode(config, &config.ty());
        field::problems(&R::data_fields().unwrap_or_default(), &values, &Path::root())
    }

    fn read_data<'a>(&'a self, context: &'a Context, config: &'a Value) -> BoxFuture<'a, Result<Value, Vec<Problem>>> {
        Box::pin(async move {
            let Some(schema) = self.data_schema() else { return Err(vec![no_data_source(R::NAME)]) };
            let found = R::look(context, config).await?;
            let found = encode_part(&found, &schema.block).map_err(|problem| vec![problem])?;
            Ok(with_configured(found, config, &schema.block))
        })
    }

    fn upgrade(&self, record: &mut Json) {
        R::upgrade(record);
    }

    fn effect(&self, attribute: &str) -> Option<String> {
        R::fields().iter().find(|field| field.name == attribute).and_then(R::effect)
    }

    fn validate(&self, config: &Value) -> Vec<Problem> {
        decode::<R::Model>(config).map_or_else(|problem| vec![problem], |config| validate::<R>(&config))
    }

    #[cfg(test)]
    fn bundle(&self, context: &Context, config: &Value) -> Result<Bundle, Vec<Problem>> {
        let config: R::Model = decode_filled(config, config, &R::fields()).map_err(|problem| vec![problem])?;
        refuse(validate::<R>(&config))?;
        R::bundle(context, config)
    }

    fn plan<'a>(&'a self, context: &'a Context, request: &'a PlanRequest<'a>) -> BoxFuture<'a, PlanOutcome> {
        Box::pin(async move {
            plan::<R>(context, request).await.unwrap_or_else(|problems| PlanOutcome {
                planned: request.proposed.clone(),
                requires_replace: Vec::new(),
                preview: Vec::new(),
                problems,
            })
        })
    }

    fn apply<'a>(
        &'a self,
        context: &'a Context,
        prior: &'a Value,
        planned: &'a Value,
        private: &'a [u8],
    ) -> BoxFuture<'a, (Value, Vec<Problem>)> {
        Box::pin(async move {
            let decoded = decode_some::<R::Model>(prior).and_then(|prior| Ok((prior, decode_some(planned)?)));
            let (before, after) = match decoded {
                Ok(decoded) => decoded,
                Err(problem) => return (prior.clone(), vec![problem]),
            };
            if let Some(after) = &after
                && let Err(problems) = refuse(validate::<R>(after))
            {
                return (prior.clone(), problems);
            }
            if after.is_some()
                && let Err(problems) = R::refuse_apply(context, before.as_ref()).await
            {
                return (prior.clone(), problems);
            }
            let (state, problems) = R::apply(context, before, after, private).await;
            encoded::<R>(state, planned, prior, problems)
        })
    }

    fn import<'a>(&'a self, context: &'a Context, id: &'a str) -> BoxFuture<'a, Result<Value, Vec<Problem>>> {
        Box::pin(async move {
            let state = R::import(context, id).await?;
            encode(&state, &block::<R>()).map_err(|problem| vec![problem])
        })
    }

    fn operate<'a>(
        &'a self,
        context: &'a Context,
        operation: &'a str,
        state: &'a Value,
        arguments: Json,
    ) -> BoxFuture<'a, Result<Json, Vec<Problem>>> {
        Box::pin(async move {
            let state = decode::<R::Model>(state).map_err(|problem| vec![problem])?;
            R::operate(context, operation, state, arguments).await
        })
    }

    fn read<'a>(&'a self, context: &'a Context, current: &'a Value) -> BoxFuture<'a, (Value, Vec<Problem>)> {
        Box::pin(async move {
            let state = match decode::<R::Model>(current) {
                Ok(state) => state,
                Err(problem) => return (current.clone(), vec![problem]),
            };
            let (state, problems) = R::read(context, state).await;
            encoded::<R>(state, &Value::Null(value::Ty::Dynamic), current, problems)
        })
    }
}

/// By the fields' checks, and the resource's own.
fn validate<R: Resource>(model: &R::Model) -> Vec<Problem> {
    let mut problems = match model.write() {
        Ok(values) => field::problems(&R::fields(), &values, &Path::root()),
        Err(error) => vec![Problem::error("a model could not be written", error.to_string())],
    };
    problems.extend(R::validate(model));
    problems
}

/// Warnings are told when a configuration is validated.
pub(crate) fn refuse(problems: Vec<Problem>) -> Result<(), Vec<Problem>> {
    if problems.iter().any(Problem::is_error) { Err(problems) } else { Ok(()) }
}

async fn plan<R: Resource>(context: &Context, request: &PlanRequest<'_>) -> Result<PlanOutcome, Vec<Problem>> {
    let prior = decode_some::<R::Model>(request.prior).map_err(|problem| vec![problem])?;
    let proposed = match request.proposed {
        proposed if proposed.is_null() => None,
        proposed => {
            let filled = decode_filled::<R::Model>(proposed, request.config, &R::fields());
            Some(filled.map_err(|problem| vec![problem])?)
        }
    };
    // What other objects say in it may not have been known before.
    if let Some(proposed) = &proposed {
        refuse(validate::<R>(proposed))?;
    }
    let Planned { model, requires_replace, preview, problems } = R::plan(context, request, prior, proposed).await?;
    let planned = match model {
        Some(model) => encode_planned(&model, &block::<R>(), request.config).map_err(|problem| vec![problem])?,
        None => request.proposed.clone(),
    };
    Ok(PlanOutcome { planned, requires_replace, preview, problems })
}

fn decode_some<M: Model>(value: &Value) -> Result<Option<M>, Problem> {
    if value.is_null() { Ok(None) } else { decode(value).map(Some) }
}

/// The value of a state, with what was configured as it came; `before` if it cannot be written.
fn encoded<R: Resource>(
    state: Option<R::Model>,
    planned: &Value,
    before: &Value,
    mut problems: Vec<Problem>,
) -> (Value, Vec<Problem>) {
    let block = block::<R>();
    let Some(state) = state else { return (Value::Null(block.implied_ty()), problems) };
    match encode(&state, &block) {
        Ok(value) => (with_configured(value, planned, &block), problems),
        Err(problem) => {
            problems.push(problem);
            (before.clone(), problems)
        }
    }
}
