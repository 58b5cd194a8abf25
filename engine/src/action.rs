//! What can be done to an object.

use std::fmt;

use compiler::addr::ResourceAddr;
use value::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    NoOp,
    /// A data source, once what it needs is known.
    Read,
    Create,
    Update,
    Replace {
        create_first: bool,
    },
    Delete,
    /// Its record goes; what there may be of it stays.
    Forget,
}

/// Why, where it does not follow from the configuration alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Its creation did not end well.
    Tainted,
    /// The provider cannot change these in place.
    CannotUpdate(Vec<Path>),
    /// `replace_triggered_by`.
    Triggered(String),
    /// The user wants it.
    Requested,
    /// It is no longer in the configuration.
    NotConfigured,
    /// A `removed` block lets it go on by itself.
    Removed,
    /// It is not there any more.
    Gone,
    /// What it depends on is changed first.
    Awaits(ResourceAddr),
}

impl Action {
    /// The word that Terraform's JSON has for it.
    pub fn json(self) -> &'static [&'static str] {
        match self {
            Action::NoOp => &["no-op"],
            Action::Read => &["read"],
            Action::Create => &["create"],
            Action::Update => &["update"],
            Action::Replace { create_first: true } => &["create", "delete"],
            Action::Replace { create_first: false } => &["delete", "create"],
            Action::Delete => &["delete"],
            Action::Forget => &["forget"],
        }
    }

    pub fn symbol(self) -> &'static str {
        match self {
            Action::NoOp => " ",
            Action::Read => "<=",
            Action::Create => "+",
            Action::Update => "~",
            Action::Replace { create_first: true } => "+/-",
            Action::Replace { create_first: false } => "-/+",
            Action::Delete => "-",
            Action::Forget => ".",
        }
    }

    pub fn is_change(self) -> bool {
        self != Action::NoOp
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Tainted => f.write_str("it was not made completely"),
            Reason::CannotUpdate(paths) => {
                let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
                write!(f, "{} cannot be changed in place", paths.join(", "))
            }
            Reason::Triggered(by) => write!(f, "{by} changes"),
            Reason::Requested => f.write_str("it was asked for"),
            Reason::Awaits(resource) => write!(f, "it depends on {resource}, which changes first"),
            Reason::Removed => {
                f.write_str("a `removed` block says so: it goes on, and nothing here manages it any more")
            }
            Reason::Gone => f.write_str("it is not there any more"),
            Reason::NotConfigured => f.write_str("it is no longer in the configuration"),
        }
    }
}
