//! Changes of the state by hand: which objects an address means, which leave the state, and which get another address.
//!
//! Nothing that exists is touched. Each change is one writing of the state file, so that it is done whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use compiler::addr::{InstanceAddr, Key, Mode, ModulePath, ProviderSource, ResourceAddr};

use super::State;
use super::journal::{self, Record};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    #[error(
        "{0:?} is no address of a resource, of one of its instances, or of a module; write it like lamp_cluster.web, lamp_cluster.web[0] or module.shop"
    )]
    NoAddress(String),
    #[error("the state has no {0}")]
    Unknown(String),
    #[error("{from} and {to} are not of one kind: a resource becomes a resource of its type, and a module a module")]
    OtherKind { from: String, to: String },
    #[error("{from} has several instances, so {to} cannot be one of them; leave the key away")]
    Several { from: String, to: String },
    #[error(
        "{0} is there already. If it is the same object, of a move that was cut off, `lampwright state rm` takes it out of the state that shall not have it"
    )]
    Taken(InstanceAddr),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    #[error("{0:?} is no address of an object; write it like lamp_cluster.web or module.shop.lamp_cluster.web[0]")]
    NoAddress(String),
    #[error("the state has no {0}")]
    Unknown(String),
    #[error("{of} has several objects; name one of them: {}", .objects.join(", "))]
    Several { of: String, objects: Vec<String> },
    #[error("{0} is only read, so there is nothing to replace")]
    OnlyRead(InstanceAddr),
    #[error("{0} has no mark that could be taken from it")]
    NotMarked(InstanceAddr),
}

/// Whether an object is marked as one to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Set,
    Taken,
}

/// The objects that an address means: of a module all that is in it, of a resource its instances.
pub fn meant(state: &State, target: &str) -> BTreeSet<InstanceAddr> {
    objects(state).filter(|addr| names(addr).iter().any(|name| name == target)).cloned().collect()
}

fn objects(state: &State) -> impl Iterator<Item = &InstanceAddr> {
    let objects = state.instances.keys().chain(state.deposed.keys().map(|(addr, _)| addr));
    objects.chain(state.unfinished.keys()).chain(state.in_doubt.keys())
}

/// All by which an object may be meant.
fn names(addr: &InstanceAddr) -> Vec<String> {
    let mut names = Vec::new();
    let mut modules = vec![ModulePath::default()];
    for (name, key) in &addr.module.0 {
        let inner = modules.iter().flat_map(|path| [Key::None, key.clone()].map(|key| path.child(name.clone(), key)));
        modules = inner.collect();
        names.extend(modules.iter().map(ToString::to_string));
    }
    for module in modules {
        for key in [Key::None, addr.key.clone()] {
            names.push(InstanceAddr { module: module.clone(), key, ..addr.clone() }.to_string());
        }
    }
    names
}

/// Forgets objects.
pub fn remove(state: &mut State, addrs: &BTreeSet<InstanceAddr>) {
    state.instances.retain(|addr, _| !addrs.contains(addr));
    state.deposed.retain(|(addr, _), _| !addrs.contains(addr));
    state.unfinished.retain(|addr, _| !addrs.contains(addr));
    state.in_doubt.retain(|addr, _| !addrs.contains(addr));
}

/// Marks an object, or takes the mark from it.
pub fn mark(state: &mut State, target: &str, mark: Mark) -> Result<(), MarkError> {
    let addr = InstanceAddr::parse(target).ok_or_else(|| MarkError::NoAddress(target.to_owned()))?;
    if addr.mode == Mode::Data {
        return Err(MarkError::OnlyRead(addr));
    }
    match state.instances.get_mut(&addr) {
        Some(object) if !object.tainted && mark == Mark::Taken => Err(MarkError::NotMarked(addr)),
        Some(object) => {
            object.tainted = mark == Mark::Set;
            Ok(())
        }
        None => {
            let objects: Vec<String> = meant(state, target).iter().map(ToString::to_string).collect();
            let of = target.to_owned();
            Err(if objects.is_empty() { MarkError::Unknown(of) } else { MarkError::Several { of, objects } })
        }
    }
}

/// What becomes of which address, in the same state.
pub fn moves(state: &State, from: &str, to: &str) -> Result<Vec<(InstanceAddr, InstanceAddr)>, MoveError> {
    let moves = renamed(state, from, to)?;
    let known: BTreeSet<&InstanceAddr> = objects(state).collect();
    match moves.iter().find(|(_, to)| known.contains(to)) {
        Some((_, taken)) => Err(MoveError::Taken(taken.clone())),
        None => Ok(moves),
    }
}

/// What becomes of which address in another state, and that one with what comes into it. A run that was cut off between the two
/// writings has left objects in both; the same ones may come once more.
pub fn transfer(
    state: &State,
    target: &State,
    from: &str,
    to: &str,
) -> Result<(Vec<(InstanceAddr, InstanceAddr)>, State), MoveError> {
    let moves = renamed(state, from, to)?;
    let going: BTreeSet<InstanceAddr> = moves.iter().map(|(from, _)| from.clone()).collect();
    let mut coming = state.clone();
    let rest: BTreeSet<InstanceAddr> = objects(state).filter(|addr| !going.contains(*addr)).cloned().collect();
    remove(&mut coming, &rest);
    rename(&mut coming, &moves);
    let mut whole = target.clone();
    let known: BTreeSet<InstanceAddr> = objects(target).cloned().collect();
    for (_, to) in &moves {
        let is_same = target.instances.get(to) == coming.instances.get(to)
            && target.unfinished.get(to) == coming.unfinished.get(to)
            && target.in_doubt.get(to) == coming.in_doubt.get(to);
        if known.contains(to) && !is_same {
            return Err(MoveError::Taken(to.clone()));
        }
    }
    whole.instances.extend(coming.instances);
    whole.deposed.extend(coming.deposed);
    whole.unfinished.extend(coming.unfinished);
    whole.in_doubt.extend(coming.in_doubt);
    Ok((moves, whole))
}

/// Lets another provider manage what one has made; of how many objects.
pub fn replace_provider(state: &mut State, from: &ProviderSource, to: &ProviderSource) -> usize {
    let objects = state.instances.values_mut().chain(state.deposed.values_mut()).chain(state.unfinished.values_mut());
    let mut count = 0;
    for object in objects.filter(|object| object.provider.source == *from) {
        object.provider.source = to.clone();
        count += 1;
    }
    count
}

fn renamed(state: &State, from: &str, to: &str) -> Result<Vec<(InstanceAddr, InstanceAddr)>, MoveError> {
    let sources = meant(state, from);
    let no_address = |text: &str| MoveError::NoAddress(text.to_owned());
    let other_kind = || MoveError::OtherKind { from: from.to_owned(), to: to.to_owned() };
    let moves: Vec<_> = if let Some(source) = InstanceAddr::parse(from) {
        let target = InstanceAddr::parse(to).ok_or_else(|| match ModulePath::parse(to) {
            Some(_) => other_kind(),
            None => no_address(to),
        })?;
        if (target.mode, &target.ty) != (source.mode, &source.ty) {
            return Err(other_kind());
        }
        if sources.contains(&source) {
            vec![(source, target)]
        } else if target.key != Key::None {
            return Err(MoveError::Several { from: from.to_owned(), to: to.to_owned() });
        } else {
            let becomes = |addr: InstanceAddr| (addr.clone(), InstanceAddr { key: addr.key, ..target.clone() });
            sources.into_iter().map(becomes).collect()
        }
    } else {
        let source = ModulePath::parse(from).filter(|path| !path.is_root()).ok_or_else(|| no_address(from))?;
        let target =
            ModulePath::parse(to).filter(|path| !path.is_root()).ok_or_else(|| match InstanceAddr::parse(to) {
                Some(_) => other_kind(),
                None => no_address(to),
            })?;
        let depth = source.0.len();
        let becomes = |addr: InstanceAddr| {
            let mut module = target.clone();
            // A module of several instances, named without a key, keeps them apart.
            if let (Some((_, key @ Key::None)), Some((_, old))) = (module.0.last_mut(), addr.module.0.get(depth - 1)) {
                *key = old.clone();
            }
            module.0.extend(addr.module.0[depth..].iter().cloned());
            (addr.clone(), InstanceAddr { module, ..addr })
        };
        sources.into_iter().map(becomes).collect()
    };
    if moves.is_empty() { Err(MoveError::Unknown(from.to_owned())) } else { Ok(moves) }
}

/// Gives objects other addresses, also where others refer to them.
pub fn rename(state: &mut State, moves: &[(InstanceAddr, InstanceAddr)]) {
    for (from, to) in moves {
        journal::apply(state, Record::Move { from: from.clone(), to: to.clone(), becomes: None });
    }
    let renamed: BTreeMap<ResourceAddr, ResourceAddr> =
        moves.iter().map(|(from, to)| (from.resource(), to.resource())).collect();
    let objects = state.instances.values_mut().chain(state.deposed.values_mut()).chain(state.unfinished.values_mut());
    for object in objects {
        if object.dependencies.iter().any(|one| renamed.contains_key(one)) {
            let dependencies = std::mem::take(&mut object.dependencies).into_iter();
            object.dependencies = dependencies.map(|one| renamed.get(&one).cloned().unwrap_or(one)).collect();
        }
    }
}
