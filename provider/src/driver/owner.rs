//! Whose a machine is.

use std::fmt;

/// What a machine says of whose it is: `GENERATION@STATE@ORIGIN`. Machines of earlier versions say the generation only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Of the object that the machine was made for.
    pub generation: String,
    /// Of the state that has the object.
    pub state: String,
    /// Where that state is, for people.
    pub origin: String,
}

impl Owner {
    pub fn parse(text: &str) -> Owner {
        let mut parts = text.splitn(3, '@').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        Owner { generation: part(), state: part(), origin: part() }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}@{}", self.generation, self.state, self.origin)
    }
}

impl Owner {
    /// For people.
    pub fn described(&self) -> String {
        match (self.state.as_str(), self.origin.as_str()) {
            ("", _) => "no state that they name".to_owned(),
            (state, "") => format!("the state {state}"),
            (state, origin) if state.starts_with("terraform-") => origin.to_owned(),
            (state, origin) => format!("{origin} (lineage {state})"),
        }
    }
}
