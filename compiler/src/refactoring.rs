//! What `moved` and `removed` blocks say of objects that an earlier configuration has made.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::addr::{InstanceAddr, Key, ModulePath, ResourceAddr, Selector};
use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::declare::moves::{Moved, Removed};
use crate::program::Program;
use crate::source::Span;

impl Program {
    /// Where an object is looked for now; an error is the place of a block that leads back to where it came from.
    pub fn moved(&self, addr: &InstanceAddr) -> Result<InstanceAddr, Span> {
        let mut now = addr.clone();
        let mut seen = BTreeSet::from([now.clone()]);
        while let Some((next, span)) = self.modules.iter().find_map(|module| {
            module.decl.moved.iter().find_map(|moved| Some((step(&module.path, moved, &now)?, moved.span)))
        }) {
            if !seen.insert(next.clone()) {
                return Err(span);
            }
            now = next;
        }
        Ok(now)
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
            let is_there = from.module.0.len() == rest.module.0.len() && from.module.leads_to(&rest.module);
            let is_named = (from.mode, &from.ty, &from.name) == (rest.mode, &rest.ty, &rest.name);
            let key = becomes(&from.key, &to.key, &rest.key)?;
            (is_there && is_named).then(|| InstanceAddr { key, ..to.clone() })?
        }
        (Selector::Module(from), Selector::Module(to)) => {
            let depth = from.0.len();
            let (_, outermost) = from.0.split_last()?;
            let ((_, from_key), (_, its_key)) = (from.0.last()?, rest.module.0.get(depth - 1)?);
            let names = |path: &[(Arc<str>, Key)]| path.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            if names(&rest.module.0[..depth]) != names(&from.0)
                || !ModulePath(outermost.to_vec()).leads_to(&rest.module)
            {
                return None;
            }
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
