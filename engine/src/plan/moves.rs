//! Objects whose address changes and which stay: a `moved` block says so, or `count` was added to what had none, or taken away again.
//!
//! The latter of resources as Terraform has it (its implied moves). Of module calls, too, where Terraform needs a `moved` block:
//! without those nothing else keeps the objects of such a module.

use std::collections::{BTreeMap, BTreeSet};

use compiler::addr::{InstanceAddr, Key, Mode, ModulePath};
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::lang::declare::Repetition;
use compiler::program::{Program, ROOT};

use crate::state::State;
use crate::state::journal::{self, Record};

/// Old addresses by new ones.
pub type Moves = BTreeMap<InstanceAddr, InstanceAddr>;

/// What moves, and what would but for an object that is there already.
pub(super) fn implied(program: &Program, state: &State) -> (Moves, Diagnostics) {
    let known: BTreeSet<&InstanceAddr> = state
        .instances
        .keys()
        .chain(state.deposed.keys().map(|(addr, _)| addr))
        .chain(state.unfinished.keys())
        .filter(|addr| addr.mode == Mode::Managed)
        .collect();
    let mut blocked = Vec::new();
    let mut diags = Diagnostics::default();
    // Where each object is now, and where it was.
    let mut places: BTreeMap<InstanceAddr, InstanceAddr> =
        known.iter().map(|addr| ((*addr).clone(), (*addr).clone())).collect();
    let mut go = |from: &InstanceAddr, to: InstanceAddr, places: &mut BTreeMap<InstanceAddr, InstanceAddr>| {
        if places.contains_key(&to) {
            blocked.push(format!("{from} could not become {to}"));
        } else if let Some(origin) = places.remove(from) {
            places.insert(to, origin);
        }
    };
    match program.moves() {
        Err(span) => {
            let label = "this block and others lead back to where the object came from";
            diags.push(Diagnostic::error("moves in a circle", label).at(span));
        }
        Ok(statements) => {
            for statement in statements {
                let meant: Vec<_> =
                    places.keys().filter_map(|from| Some((from.clone(), statement.of(from)?))).collect();
                meant.into_iter().for_each(|(from, to)| go(&from, to, &mut places));
            }
        }
    }
    let implied: Vec<_> = places.keys().filter_map(|from| Some((from.clone(), configured(program, from)?))).collect();
    for (from, to) in implied.into_iter().filter(|(from, to)| from != to) {
        go(&from, to, &mut places);
    }
    let moves: Moves = places.into_iter().filter(|(to, from)| to != from).collect();
    if !blocked.is_empty() {
        let label = "there is an object at the new address already; the one at the old address is removed";
        let warning = Diagnostic::warning("address not changed", label);
        diags.push(blocked.into_iter().fold(warning, Diagnostic::note));
    }
    (moves, diags)
}

/// The state with its objects where the configuration looks for them.
pub(super) fn moved(state: &State, moves: &Moves) -> State {
    let mut state = state.clone();
    for (to, from) in moves {
        journal::apply(&mut state, Record::Move { from: from.clone(), to: to.clone() });
    }
    state
}

/// The address by which the configuration means an object, if it has its resource.
fn configured(program: &Program, addr: &InstanceAddr) -> Option<InstanceAddr> {
    let mut module = ROOT;
    let mut path = ModulePath::default();
    for (name, key) in &addr.module.0 {
        let call = program.module(module).decl.calls.get(name)?;
        path = path.child(name.clone(), fitting(key, &call.repetition));
        module = *program.module(module).children.get(name)?;
    }
    let resource = program.module(module).decl.resources.get(&(addr.mode, addr.ty.clone(), addr.name.clone()))?;
    Some(InstanceAddr { module: path, key: fitting(&addr.key, &resource.repetition), ..addr.clone() })
}

fn fitting(key: &Key, repetition: &Repetition) -> Key {
    match (key, repetition) {
        (Key::None, Repetition::Count(_)) => Key::Int(0),
        (Key::Int(0), Repetition::Single) => Key::None,
        (Key::None | Key::Int(_) | Key::Str(_), _) => key.clone(),
    }
}
