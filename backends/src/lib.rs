//! Where the state of a stack is, if it is not a file beside it: one file for each kind of place, and a line in [`KINDS`].
//!
//! A backend keeps the bytes of a state, and lets one run at a time change them. It knows nothing of what a state says. Names of
//! kinds, settings and objects are Terraform's ("Backend Type" pages of its documentation), so that both find the same state.
//!
//! Failures: a server that does not answer ends a call after a while with an error that names the place; a state that was read
//! is whole, and one that was written is there. A run that was cut off leaves its lock where the place does not release it by
//! itself; [`Holder`] says whose it is.

mod calls;
mod holder;
mod http;
mod objects;
mod pg;
mod settings;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use value::Value;

pub use holder::Holder;
pub use settings::Settings;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
pub type Result<T> = std::result::Result<T, BackendError>;

/// The workspace that everybody has.
pub const DEFAULT_WORKSPACE: &str = "default";

#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A setting that is not right, with its name.
    #[error("{reason}")]
    Setting { name: String, reason: String },
    #[error("the state in {at} is locked by another run: {holder}")]
    Held { at: String, holder: Box<Holder> },
    /// It is locked, and the place does not say by whom.
    #[error("the state in {at} is locked by another run: {text}")]
    HeldBySomebody { at: String, text: String },
    /// Somebody has broken the lock, and holds it now or has ended already.
    #[error("the lock of the state in {at} is no longer the one of this run: {text}")]
    Lost { at: String, text: String },
    #[error("{at}: {reason}")]
    Failed { at: String, reason: String },
    #[error("the backend {kind} has no workspaces but {DEFAULT_WORKSPACE:?}")]
    NoWorkspaces { kind: &'static str },
}

/// A place for one state.
pub trait Backend: fmt::Debug + Send + Sync {
    /// As people know it, such as `s3://bucket/key`.
    fn at(&self) -> String;

    /// Tells it from every other place, whatever people call it. Without secrets.
    fn identity(&self) -> String {
        self.at()
    }

    /// Whether one run keeps others out.
    fn can_lock(&self) -> bool {
        true
    }

    /// The bytes of the state; none if there is none.
    fn read(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>>>;

    /// Only who holds the lock calls it, where there is one: `lock` is its id.
    fn write<'a>(&'a self, bytes: &'a [u8], lock: Option<&'a str>) -> BoxFuture<'a, Result<()>>;

    fn lock<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<()>>;

    /// Releases the lock with this id; one that is another's stays.
    fn unlock<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Removes the state itself. Called as `write` is, and the lock is released behind it.
    fn delete<'a>(&'a self, lock: Option<&'a str>) -> BoxFuture<'a, Result<()>>;

    /// The workspaces that have a state, without the one that everybody has.
    fn workspaces(&self) -> BoxFuture<'_, Result<Vec<String>>>;
}

/// A kind of backend.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    pub settings: &'static [settings::Setting],
    connect: fn(&Settings, &str) -> Result<Arc<dyn Backend>>,
}

/// In alphabetical order.
pub const KINDS: &[Kind] = &[objects::AZURERM, objects::GCS, http::KIND, pg::KIND, objects::S3];

/// The place of a workspace's state. What is not set comes from `variable`, the environment. Nothing is asked yet.
pub fn connect(
    kind: &str,
    values: &[(String, Value)],
    variable: &dyn Fn(&str) -> Option<String>,
    workspace: &str,
) -> Result<Arc<dyn Backend>> {
    let Some(found) = KINDS.iter().find(|known| known.name == kind) else {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        let reason = format!("there is no backend {kind:?}; there are: local, {}", known.join(", "));
        return Err(BackendError::Setting { name: String::new(), reason });
    };
    (found.connect)(&Settings::read(found, values, variable)?, workspace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_settings_are_in_order() {
        assert!(KINDS.iter().map(|kind| kind.name).is_sorted());
        for kind in KINDS {
            assert!(kind.settings.iter().map(|setting| setting.name).is_sorted(), "{}", kind.name);
        }
    }
}
