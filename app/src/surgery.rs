//! Changes of the state by hand. Nothing that exists is touched: only what the state knows of it.

use std::collections::BTreeSet;

use compiler::addr::{InstanceAddr, ProviderSource};
use compiler::diag::suggest::{closest, there_is};
use engine::state::store::Store;
pub use engine::state::surgery::Mark;
use engine::state::surgery::MarkError;
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

/// Gives objects to another state, where they may get another address. First that one has them, too, then this one forgets them:
/// whoever was cut off in between does the same again. A trial changes nothing.
pub async fn transfer(
    host: &Host,
    at: &StateAt,
    other: &StateAt,
    from: &str,
    to: &str,
    is_trial: bool,
) -> Result<Vec<(InstanceAddr, InstanceAddr)>> {
    if at.is_same(other) {
        refuse!(
            "{} is the same state; without -state-out and -stack-out objects get another address in it",
            other.shown()
        );
    }
    if other.is_open() && !at.is_open() {
        host.watch.note(&format!("what goes to {} is not encrypted there", other.shown()));
    }
    let mut source = at.open(host, "state mv").await?;
    let mut target = match other.open(host, "state mv").await {
        Ok(target) => target,
        Err(failure) => return Err(source.give_up(failure).await),
    };
    let moved = move_between(&mut source.store, &mut target.store, from, to, is_trial);
    // What has come into the other state is there before it is gone here.
    let closed = target.close().await;
    let done = match (moved, closed) {
        (Ok(moves), Ok(())) => forget(&mut source.store, &moves, is_trial).map(|()| moves),
        (Err(failure), _) | (Ok(_), Err(failure)) => Err(failure),
    };
    match done {
        Ok(moves) => source.close().await.map(|()| moves),
        Err(failure) => Err(source.give_up(failure).await),
    }
}

fn move_between(
    source: &mut Store,
    target: &mut Store,
    from: &str,
    to: &str,
    is_trial: bool,
) -> Result<Vec<(InstanceAddr, InstanceAddr)>> {
    meant(source.state(), from)?;
    let moved = surgery::transfer(source.state(), target.state(), from, to);
    let (moves, whole) = moved.map_err(anyhow::Error::from)?;
    if !is_trial {
        target.rewrite(|state| *state = whole)?;
    }
    Ok(moves)
}

fn forget(store: &mut Store, moves: &[(InstanceAddr, InstanceAddr)], is_trial: bool) -> Result<()> {
    let gone = moves.iter().map(|(from, _)| from.clone()).collect();
    if is_trial { Ok(()) } else { Ok(store.rewrite(|state| surgery::remove(state, &gone))?) }
}

/// Lets another provider manage what one has made. Returns of how many objects; a trial changes nothing.
pub async fn replace_provider(
    host: &Host,
    at: &StateAt,
    from: &ProviderSource,
    to: &ProviderSource,
    is_trial: bool,
) -> Result<usize> {
    let work = |store: &mut Store| {
        let count = surgery::replace_provider(&mut store.state().clone(), from, to);
        if count == 0 {
            let known: BTreeSet<String> =
                store.state().instances.values().map(|object| object.provider.source.to_string()).collect();
            let known: Vec<String> = known.into_iter().collect();
            refuse!("the state has no object of {from}. {}", there_is(&known, "objects"));
        }
        if !is_trial {
            store.rewrite(|state| {
                surgery::replace_provider(state, from, to);
            })?;
        }
        Ok(count)
    };
    with(host, at, "state replace-provider", work).await
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

/// Marks an object as one that the next apply replaces, or takes the mark from it. False is for one that may be missing, and is.
pub async fn mark(host: &Host, at: &StateAt, address: &str, mark: Mark, may_be_missing: bool) -> Result<bool> {
    let operation = match mark {
        Mark::Set => "taint",
        Mark::Taken => "untaint",
    };
    let work = |store: &mut Store| {
        let mut marked = store.state().clone();
        match surgery::mark(&mut marked, address, mark) {
            Ok(()) => store.rewrite(|state| *state = marked)?,
            Err(MarkError::Unknown(_) | MarkError::Several { .. }) if may_be_missing => return Ok(false),
            // Says what comes nearest.
            Err(MarkError::Unknown(_)) => drop(meant(store.state(), address)?),
            Err(error) => return Err(anyhow::Error::from(error).into()),
        }
        Ok(true)
    };
    with(host, at, operation, work).await
}

/// Refuses a state that does not go on from the one that is there; `what` is how people call it, `cure` what they can do.
pub(crate) fn check_newer(old: &State, new: &State, what: &str, cure: &str) -> Result<()> {
    if !old.lineage.is_empty() && old.lineage != new.lineage {
        refuse!(
            "{what} is of another history (lineage {}) than the state (lineage {}): it may be that of another stack. {cure}",
            new.lineage,
            old.lineage
        );
    }
    if new.serial < old.serial || (new.serial == old.serial && new != old) {
        refuse!("{what} has the serial {} and the state {}: it is not newer. {cure}", new.serial, old.serial);
    }
    Ok(())
}

/// Puts another state into the place of the one that is there; `what` is how people call it. One that does not go on from that is
/// refused with the cure; without a cure it is taken all the same.
pub async fn replace(
    host: &Host,
    at: &StateAt,
    new: State,
    what: &str,
    cure: Option<&str>,
    operation: &str,
) -> Result<()> {
    if new.lineage.is_empty() {
        refuse!("{what} is no state");
    }
    let work = |store: &mut Store| {
        let old = store.state();
        if let Some(cure) = cure {
            check_newer(old, &new, what, cure)?;
        }
        let serial = new.serial.max(old.serial);
        Ok(store.rewrite(|state| *state = State { serial, ..new })?)
    };
    with(host, at, operation, work).await
}
