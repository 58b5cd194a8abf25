//! The schemas of a saved plan: of every type that the stack or the plan has, without descriptions, so that a plan is shown where there is no
//! provider. An apply asks the providers that it starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use compiler::addr::{Mode, ProviderSource};
use compiler::binding::{ProviderSchemas, Schemas};
use serde_json::{Map, Value as Json, json};
use value::Ty;
use value::schema::{Attribute, AttributeTy, Block, NestedBlock, Nesting, Schema};

const MODES: [(Mode, &str); 3] = [(Mode::Managed, "managed"), (Mode::Data, "data"), (Mode::Ephemeral, "ephemeral")];
const NESTINGS: [(Nesting, &str); 5] = [
    (Nesting::Single, "single"),
    (Nesting::Group, "group"),
    (Nesting::List, "list"),
    (Nesting::Set, "set"),
    (Nesting::Map, "map"),
];

/// Those of `is_used`.
pub(super) fn encode(schemas: &Schemas, is_used: &dyn Fn(Mode, &str) -> bool) -> Json {
    let sources = schemas.iter().map(|(source, all)| {
        let mut json = Map::new();
        json.insert("provider".to_owned(), schema(&all.provider));
        for (mode, name) in MODES {
            let used = types(all, mode).iter().filter(|(ty, _)| is_used(mode, ty));
            let used: Map<_, _> = used.map(|(ty, one)| (ty.to_string(), schema(one))).collect();
            if !used.is_empty() {
                json.insert(name.to_owned(), Json::Object(used));
            }
        }
        (source.to_string(), Json::Object(json))
    });
    Json::Object(sources.collect())
}

fn types(all: &ProviderSchemas, mode: Mode) -> &BTreeMap<Arc<str>, Arc<Schema>> {
    match mode {
        Mode::Managed => &all.resources,
        Mode::Data => &all.data_sources,
        Mode::Ephemeral => &all.ephemeral_resources,
    }
}

pub(super) fn decode(json: &Json) -> Option<Schemas> {
    let sources = json.as_object()?.iter().map(|(source, json)| {
        let mut all =
            ProviderSchemas { provider: Arc::new(read_schema(&json["provider"])?), ..ProviderSchemas::default() };
        for (mode, name) in MODES {
            let types = json[name].as_object().into_iter().flatten();
            let types = types.map(|(ty, json)| Some((Arc::from(ty.as_str()), Arc::new(read_schema(json)?))));
            let types = types.collect::<Option<_>>()?;
            match mode {
                Mode::Managed => all.resources = types,
                Mode::Data => all.data_sources = types,
                Mode::Ephemeral => all.ephemeral_resources = types,
            }
        }
        Some((ProviderSource::parse(source)?, Arc::new(all)))
    });
    sources.collect()
}

fn schema(schema: &Schema) -> Json {
    json!({ "version": schema.version, "block": block(&schema.block) })
}

fn read_schema(json: &Json) -> Option<Schema> {
    Some(Schema { version: json["version"].as_u64()?, block: read_block(&json["block"])? })
}

fn block(block: &Block) -> Json {
    let blocks = block.blocks.iter().map(|(name, nested)| {
        let json = json!({
            "nesting": nesting(nested.nesting), "min": nested.min_items, "max": nested.max_items, "block": self::block(&nested.block),
        });
        (name.to_string(), json)
    });
    json!({ "attributes": attributes(&block.attributes), "blocks": blocks.collect::<Map<_, _>>() })
}

fn read_block(json: &Json) -> Option<Block> {
    let blocks = json["blocks"].as_object()?.iter().map(|(name, json)| {
        let nested = NestedBlock {
            block: read_block(&json["block"])?,
            nesting: read_nesting(&json["nesting"])?,
            min_items: json["min"].as_u64()?,
            max_items: json["max"].as_u64()?,
        };
        Some((Arc::from(name.as_str()), nested))
    });
    let blocks = blocks.collect::<Option<_>>()?;
    Some(Block { attributes: read_attributes(&json["attributes"])?, blocks, ..Block::default() })
}

fn nesting(nesting: Nesting) -> &'static str {
    NESTINGS.iter().find(|(one, _)| *one == nesting).map_or("", |(_, name)| name)
}

fn read_nesting(json: &Json) -> Option<Nesting> {
    NESTINGS.iter().find(|(_, name)| json.as_str() == Some(name)).map(|(nesting, _)| *nesting)
}

fn attributes(attributes: &BTreeMap<Arc<str>, Attribute>) -> Json {
    let all = attributes.iter().map(|(name, attribute)| {
        let flags = [
            ('r', attribute.required),
            ('o', attribute.optional),
            ('c', attribute.computed),
            ('s', attribute.sensitive),
            ('w', attribute.write_only),
            ('d', attribute.deprecated),
        ];
        let flags: String = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(letter, _)| letter).collect();
        let json = match &attribute.ty {
            AttributeTy::Plain(ty) => json!({ "is": flags, "type": ty.to_json() }),
            AttributeTy::Nested { nesting, attributes } => {
                json!({ "is": flags, "nesting": self::nesting(*nesting), "attributes": self::attributes(attributes) })
            }
        };
        (name.to_string(), json)
    });
    Json::Object(all.collect())
}

fn read_attributes(json: &Json) -> Option<BTreeMap<Arc<str>, Attribute>> {
    let all = json.as_object()?.iter().map(|(name, json)| {
        let ty = match &json["type"] {
            Json::Null => AttributeTy::Nested {
                nesting: read_nesting(&json["nesting"])?,
                attributes: read_attributes(&json["attributes"])?,
            },
            ty => AttributeTy::Plain(Ty::from_json(ty).ok()?),
        };
        let flags = json["is"].as_str()?;
        let is = |letter: char| flags.contains(letter);
        let attribute = Attribute {
            ty,
            required: is('r'),
            optional: is('o'),
            computed: is('c'),
            sensitive: is('s'),
            write_only: is('w'),
            deprecated: is('d'),
            ..Attribute::optional(Ty::Dynamic, "")
        };
        Some((Arc::from(name.as_str()), attribute))
    });
    all.collect()
}
