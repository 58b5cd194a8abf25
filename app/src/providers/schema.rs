//! What providers have, in the form that tools for Terraform read ("terraform providers schema" in its documentation).

use std::collections::BTreeMap;
use std::sync::Arc;

use compiler::addr::ProviderSource;
use compiler::binding::{ProviderSchemas, Schemas};
use serde_json::{Map, Value as Json, json};
use value::schema::{Attribute, AttributeTy, Block, Function, NestedBlock, Nesting, Parameter, Schema, TextKind};

pub(super) fn document(schemas: &Schemas) -> Json {
    let providers = schemas.iter().map(|(source, schemas)| (source.to_string(), provider(source, schemas)));
    let providers: Map<String, Json> = providers.collect();
    object([("format_version", Some("1.0".into())), ("provider_schemas", filled(providers))])
}

fn provider(source: &ProviderSource, schemas: &ProviderSchemas) -> Json {
    let all = |schemas: &BTreeMap<Arc<str>, Arc<Schema>>| filled(each(schemas, |one| schema(one)));
    // The one that is a part of the program is configured by nothing.
    let own = match *source == ProviderSource::builtin() {
        true => json!({ "version": 0 }),
        false => schema(&schemas.provider),
    };
    object([
        ("provider", Some(own)),
        ("resource_schemas", all(&schemas.resources)),
        ("data_source_schemas", all(&schemas.data_sources)),
        ("ephemeral_resource_schemas", all(&schemas.ephemeral_resources)),
        ("functions", filled(each(&schemas.functions, |one| function(one)))),
    ])
}

fn schema(schema: &Schema) -> Json {
    json!({ "version": schema.version, "block": block(&schema.block) })
}

fn block(block: &Block) -> Json {
    object([
        ("attributes", filled(each(&block.attributes, attribute))),
        ("block_types", filled(each(&block.blocks, nested))),
        ("description", text(&block.description)),
        ("description_kind", Some(kind(block.description_kind))),
        ("deprecated", flag(block.deprecated)),
    ])
}

fn nested(nested: &NestedBlock) -> Json {
    let number = |number: u64| (number > 0).then(|| number.into());
    object([
        ("nesting_mode", Some(nesting(nested.nesting))),
        ("block", Some(block(&nested.block))),
        ("min_items", number(nested.min_items)),
        ("max_items", number(nested.max_items)),
    ])
}

fn attribute(attribute: &Attribute) -> Json {
    let (plain, nested) = match &attribute.ty {
        AttributeTy::Plain(ty) => (Some(ty.to_json()), None),
        AttributeTy::Nested { nesting: mode, attributes } => {
            let attributes = filled(each(attributes, self::attribute));
            (None, Some(object([("attributes", attributes), ("nesting_mode", Some(nesting(*mode)))])))
        }
    };
    object([
        ("type", plain),
        ("nested_type", nested),
        ("description", text(&attribute.told())),
        ("description_kind", Some(kind(attribute.description_kind))),
        ("deprecated", flag(attribute.deprecated)),
        ("required", flag(attribute.required)),
        ("optional", flag(attribute.optional)),
        ("computed", flag(attribute.computed)),
        ("sensitive", flag(attribute.sensitive)),
        ("write_only", flag(attribute.write_only)),
    ])
}

fn function(function: &Function) -> Json {
    let parameters: Vec<Json> = function.parameters.iter().map(parameter).collect();
    object([
        ("description", text(&function.description)),
        ("summary", text(&function.summary)),
        ("deprecation_message", text(&function.deprecation)),
        ("return_type", Some(function.result.to_json())),
        ("parameters", (!parameters.is_empty()).then_some(Json::Array(parameters))),
        ("variadic_parameter", function.variadic.as_ref().map(parameter)),
    ])
}

fn parameter(parameter: &Parameter) -> Json {
    object([
        ("name", Some(parameter.name.as_str().into())),
        ("description", text(&parameter.description)),
        ("is_nullable", flag(parameter.allows_null)),
        ("type", Some(parameter.ty.to_json())),
    ])
}

fn nesting(nesting: Nesting) -> Json {
    match nesting {
        Nesting::Single => "single",
        Nesting::Group => "group",
        Nesting::List => "list",
        Nesting::Set => "set",
        Nesting::Map => "map",
    }
    .into()
}

fn kind(kind: TextKind) -> Json {
    match kind {
        TextKind::Plain => "plain",
        TextKind::Markdown => "markdown",
    }
    .into()
}

fn each<T>(all: &BTreeMap<Arc<str>, T>, one: impl Fn(&T) -> Json) -> Map<String, Json> {
    all.iter().map(|(name, value)| (name.to_string(), one(value))).collect()
}

/// What is not there is left out, and so is what is empty or false.
fn object<const N: usize>(members: [(&str, Option<Json>); N]) -> Json {
    Json::Object(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

fn filled(members: Map<String, Json>) -> Option<Json> {
    (!members.is_empty()).then_some(Json::Object(members))
}

fn text(text: &str) -> Option<Json> {
    (!text.is_empty()).then(|| text.into())
}

fn flag(is_on: bool) -> Option<Json> {
    is_on.then_some(Json::Bool(true))
}
