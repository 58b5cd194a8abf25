//! What functions are told of the world, besides files. The compiler knows nothing of it on its own.

use std::sync::Arc;

use jiff::Timestamp;

#[derive(Clone, Default)]
#[expect(missing_debug_implementations, reason = "holds an outside, which need not be printable")]
pub struct Surroundings {
    /// `path.cwd`, where `abspath` starts.
    pub cwd: String,
    /// The folder of the user, which `pathexpand` writes for `~`.
    pub home: Option<String>,
    /// When the plan was made that this is about.
    pub planned_at: Option<Timestamp>,
    /// None while planning: what it gives is known when what was planned is made.
    pub outside: Option<Arc<dyn Outside>>,
}

/// What gives something else whenever it is asked.
pub trait Outside: Send + Sync {
    fn now(&self) -> Timestamp;
    /// Fills `bytes` with what nobody can guess.
    fn random(&self, bytes: &mut [u8]);
}

impl Surroundings {
    pub fn at(cwd: &str) -> Surroundings {
        Surroundings { cwd: cwd.to_owned(), ..Surroundings::default() }
    }
}
