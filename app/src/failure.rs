//! Why something was not done.

use engine::state::file::StateError;
use engine::state::store::StoreError;

/// What is wrong with a text of the user's is told as diagnostics, with its places; everything else is an error.
#[derive(Debug)]
pub enum Failure {
    /// The watcher has been told already.
    Told,
    Error(anyhow::Error),
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Error(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::Error(error.into())
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Failure {
        Failure::Error(error.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Error(error.into())
    }
}

impl From<registry::RegistryError> for Failure {
    fn from(error: registry::RegistryError) -> Failure {
        Failure::Error(error.into())
    }
}

impl From<backends::BackendError> for Failure {
    fn from(error: backends::BackendError) -> Failure {
        Failure::Error(error.into())
    }
}

/// Ends a function with an error, as `anyhow::bail!` does.
macro_rules! refuse {
    ($($text:tt)*) => {
        return Err($crate::failure::Failure::Error(anyhow::anyhow!($($text)*)))
    };
}
pub(crate) use refuse;
