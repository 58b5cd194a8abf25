use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use value::Ty;
use value::schema::{Attribute, AttributeTy, Block, Function, NestedBlock, Nesting, Parameter, Schema, TextKind};

use super::ConvertError;
use crate::tfplugin6::schema::{self, nested_block, object};
use crate::{tfplugin5, tfplugin6 as wire};

pub fn schema_to_wire(schema: &Schema) -> wire::Schema {
    wire::Schema { version: schema.version as i64, block: Some(block_to_wire(&schema.block)) }
}

pub fn schema_from_wire(wire: &wire::Schema) -> Result<Schema, ConvertError> {
    Ok(Schema {
        version: wire.version.try_into().unwrap_or(0),
        block: block_from_wire(wire.block.as_ref().ok_or(ConvertError::NoBlock)?)?,
    })
}

fn kind_to_wire(kind: TextKind) -> wire::StringKind {
    match kind {
        TextKind::Plain => wire::StringKind::Plain,
        TextKind::Markdown => wire::StringKind::Markdown,
    }
}

fn kind_from_wire(kind: wire::StringKind) -> TextKind {
    match kind {
        wire::StringKind::Plain => TextKind::Plain,
        wire::StringKind::Markdown => TextKind::Markdown,
    }
}

fn block_to_wire(block: &Block) -> schema::Block {
    schema::Block {
        version: 0,
        attributes: block.attributes.iter().map(|(name, attribute)| attribute_to_wire(name, attribute)).collect(),
        block_types: block.blocks.iter().map(|(name, nested)| nested_to_wire(name, nested)).collect(),
        description: block.description.clone(),
        description_kind: kind_to_wire(block.description_kind).into(),
        deprecated: block.deprecated,
    }
}

fn block_from_wire(wire: &schema::Block) -> Result<Block, ConvertError> {
    let blocks =
        wire.block_types.iter().map(|nested| Ok((nested.type_name.as_str().into(), nested_from_wire(nested)?)));
    Ok(Block {
        description: wire.description.clone(),
        description_kind: kind_from_wire(wire.description_kind()),
        deprecated: wire.deprecated,
        attributes: attributes_from_wire(&wire.attributes)?,
        blocks: blocks.collect::<Result<_, ConvertError>>()?,
    })
}

fn attributes_from_wire(wire: &[schema::Attribute]) -> Result<BTreeMap<Arc<str>, Attribute>, ConvertError> {
    wire.iter().map(|attribute| Ok((attribute.name.as_str().into(), attribute_from_wire(attribute)?))).collect()
}

fn attribute_to_wire(name: &str, attribute: &Attribute) -> schema::Attribute {
    let (ty, nested_type) = match &attribute.ty {
        AttributeTy::Plain(ty) => (ty.to_json().to_string().into_bytes(), None),
        AttributeTy::Nested { nesting, attributes } => {
            let nesting = match nesting {
                Nesting::Single | Nesting::Group => object::NestingMode::Single,
                Nesting::List => object::NestingMode::List,
                Nesting::Set => object::NestingMode::Set,
                Nesting::Map => object::NestingMode::Map,
            };
            let attributes = attributes.iter().map(|(name, attribute)| attribute_to_wire(name, attribute)).collect();
            (Vec::new(), Some(schema::Object { attributes, nesting: nesting.into() }))
        }
    };
    schema::Attribute {
        name: name.to_owned(),
        r#type: ty,
        nested_type,
        description: attribute.told(),
        description_kind: kind_to_wire(attribute.description_kind).into(),
        required: attribute.required,
        optional: attribute.optional,
        computed: attribute.computed,
        sensitive: attribute.sensitive,
        write_only: attribute.write_only,
        deprecated: attribute.deprecated,
    }
}

fn attribute_from_wire(wire: &schema::Attribute) -> Result<Attribute, ConvertError> {
    let ty = match &wire.nested_type {
        Some(nested) => {
            let nesting = match nested.nesting() {
                object::NestingMode::Single => Nesting::Single,
                object::NestingMode::List => Nesting::List,
                object::NestingMode::Set => Nesting::Set,
                object::NestingMode::Map => Nesting::Map,
                object::NestingMode::Invalid => return Err(ConvertError::Nesting { name: wire.name.clone() }),
            };
            AttributeTy::Nested { nesting, attributes: attributes_from_wire(&nested.attributes)? }
        }
        None => {
            let unreadable = || ConvertError::AttributeType { attribute: wire.name.clone() };
            let json = serde_json::from_slice(&wire.r#type).map_err(|_| unreadable())?;
            AttributeTy::Plain(Ty::from_json(&json).map_err(|_| unreadable())?)
        }
    };
    Ok(Attribute {
        description: wire.description.clone(),
        description_kind: kind_from_wire(wire.description_kind()),
        default: None,
        ty,
        required: wire.required,
        optional: wire.optional,
        computed: wire.computed,
        sensitive: wire.sensitive,
        write_only: wire.write_only,
        deprecated: wire.deprecated,
    })
}

fn nested_to_wire(name: &str, nested: &NestedBlock) -> schema::NestedBlock {
    let nesting = match nested.nesting {
        Nesting::Single => nested_block::NestingMode::Single,
        Nesting::Group => nested_block::NestingMode::Group,
        Nesting::List => nested_block::NestingMode::List,
        Nesting::Set => nested_block::NestingMode::Set,
        Nesting::Map => nested_block::NestingMode::Map,
    };
    schema::NestedBlock {
        type_name: name.to_owned(),
        block: Some(block_to_wire(&nested.block)),
        nesting: nesting.into(),
        min_items: nested.min_items as i64,
        max_items: nested.max_items as i64,
    }
}

fn nested_from_wire(wire: &schema::NestedBlock) -> Result<NestedBlock, ConvertError> {
    let nesting = match wire.nesting() {
        nested_block::NestingMode::Single => Nesting::Single,
        nested_block::NestingMode::Group => Nesting::Group,
        nested_block::NestingMode::List => Nesting::List,
        nested_block::NestingMode::Set => Nesting::Set,
        nested_block::NestingMode::Map => Nesting::Map,
        nested_block::NestingMode::Invalid => return Err(ConvertError::Nesting { name: wire.type_name.clone() }),
    };
    Ok(NestedBlock {
        block: block_from_wire(wire.block.as_ref().ok_or(ConvertError::NoBlock)?)?,
        nesting,
        min_items: wire.min_items.try_into().unwrap_or(0),
        max_items: wire.max_items.try_into().unwrap_or(0),
    })
}

pub fn function_from_wire(wire: &wire::Function) -> Result<Function, ConvertError> {
    let ty = |json: &[u8], name: &str| {
        let unreadable = || ConvertError::FunctionType { name: name.to_owned() };
        let json = serde_json::from_slice(json).map_err(|_| unreadable())?;
        Ty::from_json(&json).map_err(|_| unreadable())
    };
    let parameter = |wire: &wire::function::Parameter| {
        Ok(Parameter {
            name: wire.name.clone(),
            description: wire.description.clone(),
            ty: ty(&wire.r#type, &wire.name)?,
            allows_null: wire.allow_null_value,
            allows_unknown: wire.allow_unknown_values,
        })
    };
    let result = wire.r#return.as_ref().ok_or_else(|| ConvertError::FunctionType { name: "return".to_owned() })?;
    Ok(Function {
        summary: wire.summary.clone(),
        description: wire.description.clone(),
        deprecation: wire.deprecation_message.clone(),
        parameters: wire.parameters.iter().map(parameter).collect::<Result<_, ConvertError>>()?,
        variadic: wire.variadic_parameter.as_ref().map(parameter).transpose()?,
        result: ty(&result.r#type, "return")?,
    })
}

/// In the form of protocol 6, which has all that protocol 5 has.
pub fn schemas_of_protocol_5(answer: tfplugin5::get_provider_schema::Response) -> wire::get_provider_schema::Response {
    fn schema(of: tfplugin5::Schema) -> wire::Schema {
        wire::Schema { version: of.version, block: of.block.map(block) }
    }
    fn block(of: tfplugin5::schema::Block) -> schema::Block {
        let nested = |of: tfplugin5::schema::NestedBlock| schema::NestedBlock {
            type_name: of.type_name,
            block: of.block.map(block),
            nesting: of.nesting,
            min_items: of.min_items,
            max_items: of.max_items,
        };
        schema::Block {
            version: of.version,
            attributes: of.attributes.into_iter().map(attribute).collect(),
            block_types: of.block_types.into_iter().map(nested).collect(),
            description: of.description,
            description_kind: of.description_kind,
            deprecated: of.deprecated,
        }
    }
    fn attribute(of: tfplugin5::schema::Attribute) -> schema::Attribute {
        schema::Attribute {
            name: of.name,
            r#type: of.r#type,
            nested_type: None,
            description: of.description,
            description_kind: of.description_kind,
            required: of.required,
            optional: of.optional,
            computed: of.computed,
            sensitive: of.sensitive,
            write_only: of.write_only,
            deprecated: of.deprecated,
        }
    }
    let all = |of: HashMap<String, tfplugin5::Schema>| of.into_iter().map(|(name, of)| (name, schema(of))).collect();
    wire::get_provider_schema::Response {
        provider: answer.provider.map(schema),
        resource_schemas: all(answer.resource_schemas),
        data_source_schemas: all(answer.data_source_schemas),
        diagnostics: answer.diagnostics,
        provider_meta: answer.provider_meta.map(schema),
        server_capabilities: answer.server_capabilities,
        functions: answer.functions,
        ephemeral_resource_schemas: all(answer.ephemeral_resource_schemas),
    }
}
