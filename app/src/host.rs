//! What an application is given by the process that it runs in.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use crate::watch::Watch;

/// Everything that comes from outside of the stack.
#[derive(Debug)]
pub struct Host {
    pub watch: Arc<dyn Watch>,
    pub environment: Environment,
    /// The folder of this program, where its own plugin is.
    pub beside: Option<PathBuf>,
    /// Words in front of a plugin's command line, by which plugins end with this process; empty for none.
    pub guard: Vec<OsString>,
    /// Where the program was started: TF_CLI_CONFIG_FILE is meant from there.
    pub started_in: PathBuf,
}

/// Variables, as the process was given them.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Environment {
        Environment(variables.into_iter().collect())
    }

    pub fn os(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.0.get(name.as_ref()).map(OsString::as_os_str)
    }

    /// All that are text.
    pub fn texts(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?.to_owned())))
    }

    /// An empty one counts as not set.
    pub fn text(&self, name: &str) -> Option<String> {
        self.os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
    }
}
