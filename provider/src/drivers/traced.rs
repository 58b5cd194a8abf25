//! Calls of a driver in the log: which, of which machine, how long it took. Never what was read or written.

use std::time::Instant;

use crate::driver::MachineKey;

/// Says it when the call has ended.
pub(super) struct Traced {
    call: &'static str,
    what: String,
    started: Instant,
}

pub(super) fn traced(call: &'static str, key: &MachineKey, what: &str) -> Traced {
    let blank = if what.is_empty() { "" } else { " " };
    Traced { call, what: format!("{}/{}{blank}{what}", key.layer.scope, key.name()), started: Instant::now() }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let Traced { call, what, started } = self;
        tracing::trace!(ms = started.elapsed().as_millis() as u64, "driver: {call} {what}");
    }
}
