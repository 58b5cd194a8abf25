//! An attribute of a resource, written in one place: name, type, default, documentation, checks, and what a change of it
//! does. The schema, the defaults of a plan, the reference and the replacement of objects follow from it.

use std::ops::RangeInclusive;

use serde_json::Value as Json;
use value::schema::{Attribute, AttributeTy, Nesting};
use value::{Path, Problem, Step, Ty};

#[derive(Debug, Clone)]
pub struct Field {
    pub name: &'static str,
    pub attribute: Attribute,
    /// Of what can be set.
    pub change: Option<Change>,
    /// What a plan fills in where nothing is set.
    default: Option<Json>,
    check: Check,
    /// Of an object.
    parts: Vec<Field>,
}

/// What a change of an attribute does to what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Another object takes the place of this one.
    Replaces,
    /// Nothing that runs is touched.
    Recorded,
    /// Machines are made or taken away; the others run on.
    Scales,
    /// Files change in place, and services read them again without losing a request.
    Reloads,
    /// Files of the application change, on some machines at a time, which do no work meanwhile.
    Releases,
    /// Services are started anew, on some machines at a time, whose work others take over.
    Restarts,
    /// Machines get another size, some at a time, and keep their disks and addresses.
    Resizes,
    /// Machines that are there stay as they are.
    NewMachines,
    /// Others are told another address of the machines.
    Addresses,
    /// What only this kind of layer knows, in words.
    InPlace(&'static str),
    /// Only checked against what runs.
    Checked,
}

impl Change {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Change::Replaces => "replaces the layer",
            Change::Recorded => "in place: nothing that runs is touched",
            Change::Scales => "in place: machines are made or taken away, the others run on",
            Change::Reloads => "in place: files change, and services read them again without losing a request",
            Change::Releases => {
                "in place: some machines at a time leave, change, and come back when the application answers; if one fails, the others stay as they are"
            }
            Change::Restarts => {
                "in place: services are started anew, on one machine after the other, whose work the others take over"
            }
            Change::Resizes => {
                "in place: some machines at a time leave, and come back with another size, their disks and their addresses in the network; nothing on this machine"
            }
            Change::NewMachines => {
                "in place: holds for machines that are made from then on, and the plan names those that keep what they have; nothing on this machine"
            }
            Change::Addresses => "in place: other layers are told another address",
            Change::InPlace(text) => text,
            Change::Checked => "in place: compared with what runs, and refused if it does not fit",
        }
    }
}

/// What a value may be, beyond its type.
#[derive(Debug, Clone, Default)]
enum Check {
    #[default]
    Any,
    Whole(RangeInclusive<u64>),
    Number(RangeInclusive<f64>),
    OneOf(&'static [&'static str]),
    /// Says what is wrong with a text.
    Text(fn(&str) -> Option<String>),
}

impl Field {
    fn new(name: &'static str, attribute: Attribute) -> Field {
        Field { name, attribute, change: None, default: None, check: Check::Any, parts: Vec::new() }
    }

    pub fn required(name: &'static str, ty: Ty, doc: &str) -> Field {
        Field::new(name, Attribute::required(ty, doc))
    }

    /// It may stay unset.
    pub fn optional(name: &'static str, ty: Ty, doc: &str) -> Field {
        Field::new(name, Attribute::optional(ty, doc))
    }

    /// The layer says what it is where nothing is set.
    pub fn settled(name: &'static str, ty: Ty, doc: &str) -> Field {
        Field::new(name, Attribute::optional_computed(ty, doc))
    }

    pub fn computed(name: &'static str, ty: Ty, doc: &str) -> Field {
        Field::new(name, Attribute::computed(ty, doc))
    }

    /// An object that may stay unset.
    pub fn object(name: &'static str, doc: &str, parts: Vec<Field>) -> Field {
        let attributes = parts.iter().map(|part| (part.name.into(), part.attribute.clone())).collect();
        let ty = AttributeTy::Nested { nesting: Nesting::Single, attributes };
        Field { parts, ..Field::new(name, Attribute { ty, ..Attribute::optional(Ty::Dynamic, doc) }) }
    }

    #[must_use]
    pub fn needed(mut self) -> Field {
        (self.attribute.required, self.attribute.optional) = (true, false);
        self
    }

    /// What holds where nothing is set. A plan fills it in if the layer says what the attribute is (`settled`); else what
    /// uses the value has to know it.
    #[must_use]
    pub fn default(mut self, default: impl Into<Json>) -> Field {
        let default = default.into();
        let text = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        self.attribute = self.attribute.default(text);
        self.default = Some(default);
        self
    }

    #[must_use]
    pub fn whole(self, range: RangeInclusive<u64>) -> Field {
        Field { check: Check::Whole(range), ..self }
    }

    #[must_use]
    pub fn number(self, range: RangeInclusive<f64>) -> Field {
        Field { check: Check::Number(range), ..self }
    }

    #[must_use]
    pub fn one_of(self, texts: &'static [&'static str]) -> Field {
        Field { check: Check::OneOf(texts), ..self }
    }

    #[must_use]
    pub fn text(self, check: fn(&str) -> Option<String>) -> Field {
        Field { check: Check::Text(check), ..self }
    }

    #[must_use]
    pub fn sensitive(mut self) -> Field {
        self.attribute = self.attribute.sensitive();
        self
    }

    /// As whoever finds it sees it: nobody sets it.
    #[must_use]
    pub fn found(self) -> Field {
        let attribute = Attribute {
            required: false,
            optional: false,
            computed: true,
            default: None,
            ty: match self.attribute.ty {
                AttributeTy::Nested { nesting, .. } => AttributeTy::Nested {
                    nesting,
                    attributes: self.parts.into_iter().map(|part| (part.name.into(), part.found().attribute)).collect(),
                },
                plain @ AttributeTy::Plain(_) => plain,
            },
            ..self.attribute
        };
        Field::new(self.name, attribute)
    }

    #[must_use]
    pub fn change(self, change: Change) -> Field {
        Field { change: Some(change), ..self }
    }

    /// What a plan fills in where nothing is set.
    pub fn filled_in(&self) -> Option<&Json> {
        self.default.as_ref().filter(|_| self.attribute.computed)
    }

    fn problem(&self, value: &Json) -> Option<String> {
        match &self.check {
            Check::Any => None,
            Check::Whole(range) => (!value.as_u64().is_some_and(|value| range.contains(&value)))
                .then(|| format!("{value} is not a whole number from {} to {}.", range.start(), range.end())),
            Check::Number(range) => (!value.as_f64().is_some_and(|value| range.contains(&value)))
                .then(|| format!("{value} is not a number from {} to {}.", range.start(), range.end())),
            Check::OneOf(texts) => (!value.as_str().is_some_and(|value| texts.contains(&value)))
                .then(|| format!("{value} is none of: {}.", texts.join(", "))),
            Check::Text(check) => value.as_str().and_then(check),
        }
    }
}

/// What is wrong with values, by the fields' checks; what is null is not set, or not known yet.
pub fn problems(fields: &[Field], values: &Json, at: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    for field in fields {
        let value = &values[field.name];
        if value.is_null() {
            continue;
        }
        let here = at.then(Step::Attribute(field.name.into()));
        if let Some(detail) = field.problem(value) {
            problems.push(Problem::error("invalid argument", detail).at(here.clone()));
        }
        problems.extend(self::problems(&field.parts, value, &here));
    }
    problems
}
