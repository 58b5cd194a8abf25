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
    let mut moves = Moves::new();
    let mut blocked = Vec::new();
    let mut diags = Diagnostics::default();
    for from in &known {
        let told = match program.moved(from) {
            Ok(told) => told,
            Err(span) => {
                let label = "this block and others lead back to where the object came from";
                diags.push(Diagnostic::error("moves in a circle", label).at(span));
                continue;
            }
        };
        let to = configured(program, &told).unwrap_or(told);
        if to == **from {
            continue;
        }
        if known.contains(&to) || moves.contains_key(&to) {
            blocked.push(format!("{from} could not become {to}"));
        } else {
            moves.insert(to, (*from).clone());
        }
    }
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
