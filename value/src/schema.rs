//! Schemas: which attributes and blocks a provider's objects have.
//!
//! The names and rules are those of the plugin protocol's `Schema` message (tfplugin6).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Ty;
use crate::ty::ObjectTy;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schema {
    pub version: u64,
    pub block: Block,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Block {
    pub description: String,
    pub description_kind: TextKind,
    pub deprecated: bool,
    pub attributes: BTreeMap<Arc<str>, Attribute>,
    pub blocks: BTreeMap<Arc<str>, NestedBlock>,
}

/// How a description is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextKind {
    #[default]
    Plain,
    Markdown,
}

/// A function that a provider has.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    pub summary: String,
    pub description: String,
    /// Why it should not be used any more; empty if it should.
    pub deprecation: String,
    pub parameters: Vec<Parameter>,
    /// What any number of further arguments are.
    pub variadic: Option<Parameter>,
    pub result: Ty,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub name: String,
    pub description: String,
    pub ty: Ty,
    pub allows_null: bool,
    /// The function is asked though not all of the argument is known.
    pub allows_unknown: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    pub description: String,
    pub description_kind: TextKind,
    /// What holds where nothing is set, for people: who reads a schema from the wire finds it in the description.
    pub default: Option<String>,
    pub ty: AttributeTy,
    pub required: bool,
    pub optional: bool,
    pub computed: bool,
    pub sensitive: bool,
    pub write_only: bool,
    pub deprecated: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AttributeTy {
    Plain(Ty),
    Nested { nesting: Nesting, attributes: BTreeMap<Arc<str>, Attribute> },
}

#[derive(Debug, Clone, PartialEq)]
pub struct NestedBlock {
    pub block: Block,
    pub nesting: Nesting,
    pub min_items: u64,
    /// 0 means no limit.
    pub max_items: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    Single,
    /// Like `Single`, but never null: absent means an object of nulls.
    Group,
    List,
    Set,
    Map,
}

impl Attribute {
    fn plain(ty: Ty, description: &str) -> Attribute {
        Attribute {
            description: description.to_owned(),
            description_kind: TextKind::Plain,
            default: None,
            ty: AttributeTy::Plain(ty),
            required: false,
            optional: false,
            computed: false,
            sensitive: false,
            write_only: false,
            deprecated: false,
        }
    }

    pub fn required(ty: Ty, description: &str) -> Attribute {
        Attribute { required: true, ..Attribute::plain(ty, description) }
    }

    pub fn optional(ty: Ty, description: &str) -> Attribute {
        Attribute { optional: true, ..Attribute::plain(ty, description) }
    }

    pub fn computed(ty: Ty, description: &str) -> Attribute {
        Attribute { computed: true, ..Attribute::plain(ty, description) }
    }

    /// The user may set it; the provider fills it in otherwise.
    pub fn optional_computed(ty: Ty, description: &str) -> Attribute {
        Attribute { optional: true, computed: true, ..Attribute::plain(ty, description) }
    }

    #[must_use]
    pub fn sensitive(self) -> Attribute {
        Attribute { sensitive: true, ..self }
    }

    /// Whether it, or something in it, is sensitive.
    pub fn has_sensitive(&self) -> bool {
        match &self.ty {
            AttributeTy::Nested { attributes, .. } => {
                self.sensitive || attributes.values().any(Attribute::has_sensitive)
            }
            AttributeTy::Plain(_) => self.sensitive,
        }
    }

    #[must_use]
    pub fn default(self, default: impl std::fmt::Display) -> Attribute {
        Attribute { default: Some(default.to_string()), ..self }
    }

    /// The description with the default, as it is told to others.
    pub fn told(&self) -> String {
        match &self.default {
            Some(default) => format!("{} (default: {default})", self.description),
            None => self.description.clone(),
        }
    }

    /// The type that values of this attribute have.
    pub fn implied_ty(&self) -> Ty {
        self.ty.implied(false)
    }

    /// The type that configuration is converted to: nested attributes that need not be written are optional.
    pub fn config_ty(&self) -> Ty {
        self.ty.implied(true)
    }
}

impl AttributeTy {
    fn implied(&self, with_optional: bool) -> Ty {
        match self {
            AttributeTy::Plain(ty) if with_optional => ty.clone(),
            AttributeTy::Plain(ty) => ty.without_optional(),
            AttributeTy::Nested { nesting, attributes } => {
                let object = Ty::Object(Arc::new(ObjectTy {
                    attributes: attributes
                        .iter()
                        .map(|(name, attribute)| (name.clone(), attribute.ty.implied(with_optional)))
                        .collect(),
                    optional: attributes
                        .iter()
                        .filter(|(_, attribute)| with_optional && !attribute.required)
                        .map(|(name, _)| name.clone())
                        .collect(),
                }));
                nesting.collect(object)
            }
        }
    }
}

impl Nesting {
    fn collect(self, object: Ty) -> Ty {
        match self {
            Nesting::Single | Nesting::Group => object,
            Nesting::List => Ty::list(object),
            Nesting::Set => Ty::set(object),
            Nesting::Map => Ty::map(object),
        }
    }
}

impl Block {
    /// The object type that a block of this schema decodes to.
    ///
    /// A list of blocks whose type holds `dynamic` decodes to a tuple, a map of such blocks to an object, since
    /// their elements may differ in type; such values have type `dynamic` here.
    pub fn implied_ty(&self) -> Ty {
        let attributes = self.attributes.iter().map(|(name, attribute)| (name.clone(), attribute.implied_ty()));
        let blocks = self.blocks.iter().map(|(name, nested)| (name.clone(), nested.implied_ty()));
        Ty::object(attributes.chain(blocks))
    }
}

impl NestedBlock {
    pub fn implied_ty(&self) -> Ty {
        let object = self.block.implied_ty();
        match self.nesting {
            Nesting::List | Nesting::Map if !object.is_wholly_known() => Ty::Dynamic,
            Nesting::Single | Nesting::Group | Nesting::List | Nesting::Set | Nesting::Map => {
                self.nesting.collect(object)
            }
        }
    }
}
