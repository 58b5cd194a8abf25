//! What `moved` and `removed` blocks say of objects that an earlier configuration has made.

use std::sync::Arc;

use crate::addr::{InstanceAddr, Key, ModulePath, ResourceAddr, Selector};
use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::declare::moves::{Moved, Removed};
use crate::program::Program;
use crate::source::Span;

impl Program {
    /// The `moved` blocks of all modules, in an order in which what one has moved is there for the next; an error is the place of one
    /// that leads back to where others begin.
    pub fn moves(&self) -> Result<Vec<Move<'_>>, Span> {
        let all = self
            .modules
            .iter()
            .flat_map(|module| module.decl.moved.iter().map(|moved| Move { path: &module.path, moved }));
        let mut left: Vec<Move<'_>> = all.collect();
        let mut ordered = Vec::with_capacity(left.len());
        while !left.is_empty() {
            // The first one that nothing else leads to.
            let free =
                left.iter().position(|one| !left.iter().any(|other| other.moved != one.moved && other.leads_to(one)));
            let Some(free) = free else { return Err(left[0].moved.span) };
            ordered.push(left.remove(free));
        }
        Ok(ordered)
    }

    /// What a `removed` block says of an object that the configuration does not have.
    pub fn removed(&self, addr: &InstanceAddr) -> Option<&Removed> {
        self.modules.iter().find_map(|module| {
            let (_, rest) = within(&module.path, addr)?;
            module.decl.removed.iter().find(|removed| removed.from.matches(&rest))
        })
    }

    /// Blocks about what is still there.
    pub(crate) fn check_refactoring(&self, diags: &mut Diagnostics) {
        let mut complain = |selector: &Selector, path: &[Arc<str>], span: Span, what: &str| {
            if self.declares(path, selector) {
                let label = format!("{selector} {what}, and is still in the configuration");
                let diagnostic = Diagnostic::error("the object is still configured", label).at(span);
                diags.push(diagnostic.note("take its block away, or this one"));
            }
        };
        for module in &self.modules {
            for removed in &module.decl.removed {
                complain(&removed.from, &module.path, removed.span, "is removed");
            }
            for moved in module.decl.moved.iter().filter(|moved| !is_of_instances(moved)) {
                complain(&moved.from, &module.path, moved.span, "has moved");
            }
        }
        for module in &self.modules {
            for (idx, moved) in module.decl.moved.iter().enumerate() {
                let others = &module.decl.moved[..idx];
                let twice = others.iter().find(|other| other.from == moved.from || other.to == moved.to);
                if let Some(first) = twice {
                    let what = if first.from == moved.from { &moved.from } else { &moved.to };
                    let label = format!("two blocks are about {what}");
                    let diagnostic = Diagnostic::error("ambiguous moves", label).at(moved.span);
                    diags.push(diagnostic.related(first.span, "the first one is here"));
                }
            }
        }
    }

    fn declares(&self, path: &[Arc<str>], selector: &Selector) -> bool {
        let absolute = |inner: &ModulePath| [path, &inner.config_path()].concat();
        match selector {
            Selector::Module(inner) => self.modules.iter().any(|module| module.path == absolute(inner)),
            Selector::Object(object) => {
                let resource = ResourceAddr { module: absolute(&object.module), ..object.resource() };
                self.has_resource(&resource)
            }
        }
    }
}

/// A `moved` block and the module that has it.
#[derive(Debug, Clone, Copy)]
pub struct Move<'p> {
    path: &'p [Arc<str>],
    pub moved: &'p Moved,
}

impl Move<'_> {
    pub fn span(&self) -> Span {
        self.moved.span
    }

    /// The address of an object behind the move, if it is one of those that move.
    pub fn of(&self, addr: &InstanceAddr) -> Option<InstanceAddr> {
        step(self.path, self.moved, addr)
    }

    /// Whether what it moves may be moved on by another one.
    fn leads_to(&self, next: &Move<'_>) -> bool {
        self.path == next.path && overlaps(&self.moved.to, &next.moved.from)
    }
}

/// Whether some object may be meant by both.
fn overlaps(one: &Selector, other: &Selector) -> bool {
    let compatible = |one: &Key, other: &Key| *one == Key::None || *other == Key::None || one == other;
    let paths = |one: &ModulePath, other: &ModulePath| {
        one.0.iter().zip(&other.0).all(|(one, other)| one.0 == other.0 && compatible(&one.1, &other.1))
    };
    match (one, other) {
        (Selector::Object(one), Selector::Object(other)) => {
            one.module.0.len() == other.module.0.len()
                && paths(&one.module, &other.module)
                && (one.mode, &one.ty, &one.name) == (other.mode, &other.ty, &other.name)
                && compatible(&one.key, &other.key)
        }
        (Selector::Module(one), Selector::Module(other)) => paths(one, other),
        (Selector::Module(path), Selector::Object(object)) | (Selector::Object(object), Selector::Module(path)) => {
            path.0.len() <= object.module.0.len() && paths(path, &object.module)
        }
    }
}

/// Between instances of one resource or module: its block is still there.
fn is_of_instances(moved: &Moved) -> bool {
    match (&moved.from, &moved.to) {
        (Selector::Module(from), Selector::Module(to)) => from.config_path() == to.config_path(),
        (Selector::Object(from), Selector::Object(to)) => from.resource() == to.resource() || from.key != Key::None,
        _ => false,
    }
}

/// The module instance that declares something, and an object relative to it.
fn within(path: &[Arc<str>], addr: &InstanceAddr) -> Option<(ModulePath, InstanceAddr)> {
    let calls = &addr.module.0;
    let is_in = calls.len() >= path.len() && path.iter().zip(calls).all(|(name, (call, _))| name == call);
    is_in.then(|| {
        let (outer, inner) = calls.split_at(path.len());
        (ModulePath(outer.to_vec()), InstanceAddr { module: ModulePath(inner.to_vec()), ..addr.clone() })
    })
}

fn step(path: &[Arc<str>], moved: &Moved, addr: &InstanceAddr) -> Option<InstanceAddr> {
    let (outer, rest) = within(path, addr)?;
    let inner = match (&moved.from, &moved.to) {
        (Selector::Object(from), Selector::Object(to)) => {
            let is_there = from.module == rest.module;
            let is_named = (from.mode, &from.ty, &from.name) == (rest.mode, &rest.ty, &rest.name);
            let key = becomes(&from.key, &to.key, &rest.key)?;
            (is_there && is_named).then(|| InstanceAddr { key, ..to.clone() })?
        }
        (Selector::Module(from), Selector::Module(to)) => {
            let depth = from.0.len();
            let (last_of_from, outer_of_from) = from.0.split_last()?;
            let (last_of_rest, outer_of_rest) = rest.module.0.get(..depth)?.split_last()?;
            // Of outer modules the very instance is meant.
            if outer_of_from != outer_of_rest || last_of_from.0 != last_of_rest.0 {
                return None;
            }
            let (from_key, its_key) = (&last_of_from.1, &last_of_rest.1);
            let mut calls = to.0.clone();
            let last = calls.last_mut()?;
            last.1 = becomes(from_key, &last.1, its_key)?;
            calls.extend(rest.module.0[depth..].iter().cloned());
            InstanceAddr { module: ModulePath(calls), ..rest.clone() }
        }
        _ => return None,
    };
    let calls = outer.0.into_iter().chain(inner.module.0).collect();
    Some(InstanceAddr { module: ModulePath(calls), ..inner }).filter(|next| next != addr)
}

/// The key of an instance behind a move: whole things keep theirs, and of those with keys only the named one moves.
fn becomes(from: &Key, to: &Key, key: &Key) -> Option<Key> {
    match (from, to) {
        (Key::None, Key::None) => Some(key.clone()),
        (from, to) => (from == key).then(|| to.clone()),
    }
}
