//! Changes of the state by hand. Nothing that exists is touched: only what the state knows of it.

use std::collections::BTreeSet;

use compiler::addr::InstanceAddr;
use compiler::diag::suggest::closest;
use engine::state::store::Store;
use engine::state::{State, surgery};

use crate::failure::{Result, refuse};
use crate::host::Host;
use crate::state::StateAt;

/// The objects that an address means; there has to be one.
pub fn meant(state: &State, address: &str) -> Result<BTreeSet<InstanceAddr>> {
    let meant = surgery::meant(state, address);
    if meant.is_empty() {
        let known: Vec<String> = state.instances.keys().map(ToString::to_string).collect();
        let hint = match closest(address, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None if known.is_empty() => "it has no objects".to_owned(),
            None => "`lampwright state list` prints what it has".to_owned(),
        };
        refuse!("the state has no {address}; {hint}");
    }
    Ok(meant)
}

/// Opens the state, changes it, and closes it.
async fn with<T>(host: &Host, at: &StateAt, operation: &str, work: impl FnOnce(&mut Store) -> Result<T>) -> Result<T> {
    let mut opened = at.open(host, operation).await?;
    match work(&mut opened.store) {
        Ok(done) => opened.close().await.map(|()| done),
        Err(failure) => Err(opened.give_up(failure).await),
    }
}

/// Gives objects another address. Returns the old ones with the new ones. A trial changes nothing.
pub async fn rename(
    host: &Host,
    at: &StateAt,
    from: &str,
    to: &str,
    is_trial: bool,
) -> Result<Vec<(InstanceAddr, InstanceAddr)>> {
    let work = |store: &mut Store| {
        meant(store.state(), from)?;
        let moves = surgery::moves(store.state(), from, to).map_err(anyhow::Error::from)?;
        if !is_trial {
            store.rewrite(|state| surgery::rename(state, &moves))?;
        }
        Ok(moves)
    };
    with(host, at, "state mv", work).await
}

/// Forgets objects. A trial changes nothing.
pub async fn remove(host: &Host, at: &StateAt, addresses: &[String], is_trial: bool) -> Result<BTreeSet<InstanceAddr>> {
    let work = |store: &mut Store| {
        let mut all = BTreeSet::new();
        for address in addresses {
            all.extend(meant(store.state(), address)?);
        }
        if !is_trial {
            store.rewrite(|state| surgery::remove(state, &all))?;
        }
        Ok(all)
    };
    with(host, at, "state rm", work).await
}

/// Puts another state into the place of the one that is there; `what` is how people call it. One that is older or of another
/// history is only taken by force.
pub async fn replace(host: &Host, at: &StateAt, new: State, what: &str, is_forced: bool) -> Result<()> {
    if new.lineage.is_empty() {
        refuse!("{what} is no state");
    }
    let work = |store: &mut Store| {
        let old = store.state();
        if !is_forced && !old.lineage.is_empty() && old.lineage != new.lineage {
            refuse!(
                "{what} is of another history (lineage {}) than the state (lineage {}): it may be that of another stack. -force puts it there all the same",
                new.lineage,
                old.lineage
            );
        }
        if !is_forced && (new.serial < old.serial || (new.serial == old.serial && new != *old)) {
            refuse!(
                "{what} has the serial {} and the state {}: it is not newer. -force puts it there all the same",
                new.serial,
                old.serial
            );
        }
        let serial = new.serial.max(old.serial);
        Ok(store.rewrite(|state| *state = State { serial, ..new })?)
    };
    with(host, at, "state push", work).await
}
