//! Where inside a value something is: `machines[0].address`.

use std::fmt;
use std::sync::Arc;

use crate::{Number, Value};

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Attribute(Arc<str>),
    /// A key of a map.
    Key(Arc<str>),
    /// A position in a list, tuple, or set (in the order that the set prints in).
    Index(usize),
}

/// Steps from the root of a value; empty for the value itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Path(pub Vec<Step>);

impl Path {
    pub fn root() -> Path {
        Path::default()
    }

    pub fn attribute(name: impl Into<Arc<str>>) -> Path {
        Path(vec![Step::Attribute(name.into())])
    }

    #[must_use]
    pub fn then(&self, step: Step) -> Path {
        let mut steps = self.0.clone();
        steps.push(step);
        Path(steps)
    }

    pub fn starts_with(&self, prefix: &Path) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// The value at this path; `None` where the path leads nowhere, is below an unknown, or below a null.
    pub fn get<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |value, step| match (value.unmarked(), step) {
            (Value::Object(map) | Value::Map(_, map), Step::Attribute(name) | Step::Key(name)) => map.get(name),
            (Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items), Step::Index(idx)) => items.get(*idx),
            _ => None,
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, step) in self.0.iter().enumerate() {
            match step {
                Step::Attribute(name) if idx == 0 => f.write_str(name)?,
                Step::Attribute(name) => write!(f, ".{name}")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
                Step::Index(position) => write!(f, "[{position}]")?,
            }
        }
        Ok(())
    }
}

impl Step {
    /// The key of an index step as a value of the language, as state files write it.
    pub fn key_value(&self) -> Value {
        match self {
            Step::Attribute(name) | Step::Key(name) => Value::String(name.clone()),
            Step::Index(position) => Value::Number(Number::from(*position as i64)),
        }
    }
}
