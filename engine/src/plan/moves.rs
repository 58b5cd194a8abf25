//! Objects whose address changes and which stay: a `moved` block says so, or `count` was added to what had none, or taken away again.
//!
//! The latter of resources as Terraform has it (its implied moves). Of module calls, too, where Terraform needs a `moved` block:
//! without those nothing else keeps the objects of such a module.

use std::collections::{BTreeMap, BTreeSet};

use compiler::addr::{InstanceAddr, Key, Mode, ModulePath};
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::lang::declare::Repetition;
use compiler::program::{Program, ROOT};
use value::Value;

use crate::host::MoveRequest;
use crate::run::{Run, broken_promise, host_diagnostics, located, mark, to_state};
use crate::state::journal::{self, Record};
use crate::state::{InstanceState, State};

/// Old addresses by new ones.
pub type Moves = BTreeMap<InstanceAddr, InstanceAddr>;
/// By their new addresses.
pub type Converted = BTreeMap<InstanceAddr, InstanceState>;

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
        journal::apply(&mut state, Record::Move { from: from.clone(), to: to.clone(), becomes: None });
    }
    state
}

/// What objects are that become objects of another type: whoever has the new type makes it of the old one.
pub(super) async fn converted(run: &Run, moves: &Moves, state: &State) -> Result<Converted, Diagnostics> {
    let mut all = Converted::new();
    for (to, from) in moves.iter().filter(|(to, from)| to.ty != from.ty) {
        let Some(recorded) = state.instances.get(to) else { continue };
        let schemas = run.providers.schemas();
        let refused = |label: String| Diagnostics(vec![Diagnostic::error("an object cannot change its type", label)]);
        let provider = run.program.provider_of(to, &recorded.provider, schemas);
        let provider = provider.ok_or_else(|| refused(format!("nothing configures the provider of {to}")))?;
        let schema = schemas.get(&provider.source).and_then(|provider| provider.get(to.mode, &to.ty));
        let schema = schema.ok_or_else(|| refused(format!("{} has no type {}", provider.source.short(), to.ty)))?;
        let attributes = recorded.attributes.to_string();
        let request = MoveRequest {
            from_provider: recorded.provider.source.to_string(),
            from_type: &from.ty,
            from_version: recorded.schema_version,
            attributes: attributes.as_bytes(),
            private: &recorded.private,
            ty: &to.ty,
        };
        let running = run.providers.first(&provider.source);
        let running = running.ok_or_else(|| refused(format!("{} was not started", provider.source.short())))?;
        let made = running.move_state(request).await.map_err(|error| host_diagnostics(&error, None))?;
        let problems = Diagnostics(made.problems.iter().map(|problem| located(problem, None)).collect());
        if problems.has_errors() {
            return Err(problems);
        }
        let state = made.state.filter(Value::is_wholly_known);
        let state =
            state.ok_or_else(|| broken_promise(None).note(format!("It made nothing known of {from} for {to}.")));
        let value = mark(state.map_err(|promise| Diagnostics(vec![promise]))?, schema, &[]);
        all.insert(to.clone(), to_state(&value, schema, &provider, made.private, recorded));
    }
    Ok(all)
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
