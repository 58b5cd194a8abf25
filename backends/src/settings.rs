//! Settings of a backend: each is known by its name, comes from the block or from the environment, and is otherwise refused.

use std::collections::BTreeMap;

use value::convert::convert;
use value::{Ty, Value};

use super::{BackendError, Kind, Result};

/// What can be set.
#[derive(Debug)]
pub struct Setting {
    pub name: &'static str,
    /// Where it comes from if the block does not say it.
    pub variables: &'static [&'static str],
    pub need: Need,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Required,
    Optional,
    /// Terraform has it, and it is not honoured here: why.
    Refused(&'static str),
}

impl Setting {
    pub(crate) const fn required(name: &'static str, variables: &'static [&'static str]) -> Setting {
        Setting { name, variables, need: Need::Required }
    }

    pub(crate) const fn optional(name: &'static str, variables: &'static [&'static str]) -> Setting {
        Setting { name, variables, need: Need::Optional }
    }

    pub(crate) const fn refused(name: &'static str, why: &'static str) -> Setting {
        Setting { name, variables: &[], need: Need::Refused(why) }
    }
}

/// What is set, as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    pub(crate) fn read(
        kind: &Kind,
        values: &[(String, Value)],
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Settings> {
        let refused = |name: &str, reason: String| Err(BackendError::Setting { name: name.to_owned(), reason });
        let mut set = BTreeMap::new();
        for (name, value) in values.iter().filter(|(_, value)| !value.is_null()) {
            let Some(setting) = kind.settings.iter().find(|setting| setting.name == name) else {
                let known: Vec<&str> = kind.settings.iter().map(|setting| setting.name).collect();
                return refused(
                    name,
                    format!("the backend {} has no setting {name:?}; it has {}", kind.name, known.join(", ")),
                );
            };
            if let Need::Refused(why) = setting.need {
                return refused(name, format!("{name} is not honoured: {why}"));
            }
            let text = convert(value, &Ty::String);
            let Some(text) = text.as_ref().ok().and_then(Value::as_str) else {
                return refused(name, format!("{name} is a text, a number or a bool"));
            };
            set.insert(setting.name, text.to_owned());
        }
        for setting in kind.settings.iter().filter(|setting| !matches!(setting.need, Need::Refused(_))) {
            if !set.contains_key(setting.name)
                && let Some(text) = setting.variables.iter().find_map(|name| variable(name))
            {
                set.insert(setting.name, text);
            }
            if setting.need == Need::Required && set.get(setting.name).is_none_or(String::is_empty) {
                let or = setting.variables.first().map(|name| format!(", or {name} in the environment"));
                return refused(setting.name, format!("{} is required{}", setting.name, or.unwrap_or_default()));
            }
        }
        Ok(Settings(set))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn or<'s>(&'s self, name: &str, default: &'s str) -> &'s str {
        self.get(name).unwrap_or(default)
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(text) => text.parse().map_err(|_| BackendError::Setting {
                name: name.to_owned(),
                reason: format!("{name} is true or false, not {text:?}"),
            }),
        }
    }

    pub(crate) fn number(&self, name: &str, default: u64) -> Result<u64> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| BackendError::Setting {
                name: name.to_owned(),
                reason: format!("{name} is a whole number, not {text:?}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KINDS;

    fn read(values: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
        let kind = KINDS.iter().find(|kind| kind.name == "http").unwrap();
        let values: Vec<(String, Value)> =
            values.iter().map(|(name, text)| ((*name).to_owned(), Value::string(*text))).collect();
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        match Settings::read(kind, &values, &variable) {
            Ok(settings) => {
                settings.0.iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn settings_come_from_the_block_else_from_the_environment() {
        assert_eq!(read(&[("address", "http://a")], &[("TF_HTTP_ADDRESS", "http://b")]), "address=http://a");
        assert_eq!(read(&[], &[("TF_HTTP_ADDRESS", "http://b")]), "address=http://b");
        assert_eq!(read(&[], &[]), "address is required, or TF_HTTP_ADDRESS in the environment");
        assert!(
            read(&[("adress", "x")], &[]).starts_with("the backend http has no setting \"adress\"; it has address,")
        );
    }
}
