//! Types of the language, as in `cty`: three primitives, three collections, two structural types, `dynamic`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

/// A type. Cheap to clone: the nested parts are shared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ty {
    /// Not known yet, or any type at all (`any` in a type constraint).
    Dynamic,
    Bool,
    Number,
    String,
    List(Arc<Ty>),
    Set(Arc<Ty>),
    Map(Arc<Ty>),
    Tuple(Arc<[Ty]>),
    Object(Arc<ObjectTy>),
}

/// The attributes of an object type. Names in `optional` may be missing from a value that is converted to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ObjectTy {
    pub attributes: BTreeMap<Arc<str>, Ty>,
    pub optional: BTreeSet<Arc<str>>,
}

/// What is wrong with a type written in JSON.
#[derive(Debug, thiserror::Error)]
#[error("{found} is not a type")]
pub struct BadTypeJson {
    pub found: String,
}

impl Ty {
    pub fn list(element: Ty) -> Ty {
        Ty::List(Arc::new(element))
    }

    pub fn set(element: Ty) -> Ty {
        Ty::Set(Arc::new(element))
    }

    pub fn map(element: Ty) -> Ty {
        Ty::Map(Arc::new(element))
    }

    pub fn tuple(elements: Vec<Ty>) -> Ty {
        Ty::Tuple(elements.into())
    }

    pub fn object<K: Into<Arc<str>>>(attributes: impl IntoIterator<Item = (K, Ty)>) -> Ty {
        Ty::Object(Arc::new(ObjectTy {
            attributes: attributes.into_iter().map(|(name, ty)| (name.into(), ty)).collect(),
            optional: BTreeSet::new(),
        }))
    }

    pub fn is_primitive(&self) -> bool {
        matches!(self, Ty::Bool | Ty::Number | Ty::String)
    }

    /// Whether `dynamic` occurs nowhere in the type.
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Ty::Dynamic => false,
            Ty::Bool | Ty::Number | Ty::String => true,
            Ty::List(element) | Ty::Set(element) | Ty::Map(element) => element.is_wholly_known(),
            Ty::Tuple(elements) => elements.iter().all(Ty::is_wholly_known),
            Ty::Object(object) => object.attributes.values().all(Ty::is_wholly_known),
        }
    }

    /// The same type without the markers of optional attributes.
    #[must_use]
    pub fn without_optional(&self) -> Ty {
        match self {
            Ty::Dynamic | Ty::Bool | Ty::Number | Ty::String => self.clone(),
            Ty::List(element) => Ty::list(element.without_optional()),
            Ty::Set(element) => Ty::set(element.without_optional()),
            Ty::Map(element) => Ty::map(element.without_optional()),
            Ty::Tuple(elements) => Ty::tuple(elements.iter().map(Ty::without_optional).collect()),
            Ty::Object(object) => {
                Ty::object(object.attributes.iter().map(|(name, ty)| (name.clone(), ty.without_optional())))
            }
        }
    }

    /// The JSON form that the plugin protocol and plan files use: `"string"`, `["list","string"]`,
    /// `["object",{..}]`.
    pub fn to_json(&self) -> Json {
        match self {
            Ty::Dynamic => "dynamic".into(),
            Ty::Bool => "bool".into(),
            Ty::Number => "number".into(),
            Ty::String => "string".into(),
            Ty::List(element) => Json::Array(vec!["list".into(), element.to_json()]),
            Ty::Set(element) => Json::Array(vec!["set".into(), element.to_json()]),
            Ty::Map(element) => Json::Array(vec!["map".into(), element.to_json()]),
            Ty::Tuple(elements) => Json::Array(vec!["tuple".into(), elements.iter().map(Ty::to_json).collect()]),
            Ty::Object(object) => {
                let attributes = object.attributes.iter().map(|(name, ty)| (name.to_string(), ty.to_json()));
                let mut parts = vec!["object".into(), Json::Object(attributes.collect())];
                if !object.optional.is_empty() {
                    parts.push(object.optional.iter().map(|name| Json::from(&**name)).collect());
                }
                Json::Array(parts)
            }
        }
    }

    /// Reads the JSON form. Never panics, however odd the input: it comes from another process.
    pub fn from_json(json: &Json) -> Result<Ty, BadTypeJson> {
        let bad = || BadTypeJson { found: json.to_string() };
        match json {
            Json::String(name) => match name.as_str() {
                "dynamic" => Ok(Ty::Dynamic),
                "bool" => Ok(Ty::Bool),
                "number" => Ok(Ty::Number),
                "string" => Ok(Ty::String),
                _ => Err(bad()),
            },
            Json::Array(parts) => match (parts.first().and_then(Json::as_str), parts.get(1)) {
                (Some("list"), Some(element)) => Ok(Ty::list(Ty::from_json(element)?)),
                (Some("set"), Some(element)) => Ok(Ty::set(Ty::from_json(element)?)),
                (Some("map"), Some(element)) => Ok(Ty::map(Ty::from_json(element)?)),
                (Some("tuple"), Some(Json::Array(elements))) => {
                    Ok(Ty::tuple(elements.iter().map(Ty::from_json).collect::<Result<_, _>>()?))
                }
                (Some("object"), Some(Json::Object(attributes))) => {
                    let mut object = ObjectTy::default();
                    for (name, ty) in attributes {
                        object.attributes.insert(name.as_str().into(), Ty::from_json(ty)?);
                    }
                    if let Some(Json::Array(optional)) = parts.get(2) {
                        object.optional = optional.iter().filter_map(Json::as_str).map(Into::into).collect();
                    }
                    Ok(Ty::Object(Arc::new(object)))
                }
                _ => Err(bad()),
            },
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => Err(bad()),
        }
    }
}

/// As the type constraint language writes it: `list(string)`, `object({name = string})`.
impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ty::Dynamic => f.write_str("any"),
            Ty::Bool => f.write_str("bool"),
            Ty::Number => f.write_str("number"),
            Ty::String => f.write_str("string"),
            Ty::List(element) => write!(f, "list({element})"),
            Ty::Set(element) => write!(f, "set({element})"),
            Ty::Map(element) => write!(f, "map({element})"),
            Ty::Tuple(elements) => {
                f.write_str("tuple([")?;
                for (idx, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if idx == 0 { "" } else { ", " })?;
                }
                f.write_str("])")
            }
            Ty::Object(object) => {
                f.write_str("object({")?;
                for (idx, (name, ty)) in object.attributes.iter().enumerate() {
                    let comma = if idx == 0 { "" } else { ", " };
                    if object.optional.contains(name) {
                        write!(f, "{comma}{name}=optional({ty})")?;
                    } else {
                        write!(f, "{comma}{name}={ty}")?;
                    }
                }
                f.write_str("})")
            }
        }
    }
}
