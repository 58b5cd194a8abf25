//! What `import` blocks name. As a backend's settings, ids may use variables, and locals that are made of variables.

use std::collections::BTreeMap;

use value::Value;

use crate::addr::{InstanceAddr, Selector};
use crate::backend::Given;
use crate::diag::{Diagnostic, Diagnostics};
use crate::evaluation::Inputs;
use crate::lang::declare::imports::Import;
use crate::lang::declare::moves::selector;
use crate::lang::eval::evaluate;
use crate::program::Program;
use crate::source::{SourceLoader, Span};
use crate::syntax::ast::Expr;

/// The provider's id of an object, and where that is said.
pub type Imports = BTreeMap<InstanceAddr, (String, Span)>;

pub fn named(program: &Program, inputs: &Inputs, loader: &dyn SourceLoader) -> (Imports, Diagnostics) {
    let mut found = Imports::new();
    let mut diags = Diagnostics::default();
    for module in program.modules.iter().skip(1) {
        for import in &module.decl.imports {
            let label = "only the root module can import; write there to = module.NAME.TYPE.NAME";
            diags.push(Diagnostic::error("import in a called module", label).at(import.span));
        }
    }
    for import in &program.root().imports {
        let given = Given::new(program.root(), inputs, loader);
        let each = match &import.for_each {
            None => vec![None],
            Some(expr) => each(&shown(expr, &given, &mut diags), expr, &mut diags),
        };
        for each in each {
            let given = Given::new(program.root(), inputs, loader).with_each(each);
            if let Some((addr, id)) = one(import, &given, &mut diags)
                && let Some((_, first)) = found.insert(addr.clone(), (id, import.span))
            {
                let label = format!("{addr} is imported twice");
                let diagnostic = Diagnostic::error("imported twice", label).at(import.span);
                diags.push(diagnostic.related(first, "the first one is here"));
            }
        }
    }
    (found, diags)
}

/// Addresses and ids are shown and stored, so nothing of them is secret.
fn shown(expr: &Expr, given: &Given<'_>, diags: &mut Diagnostics) -> Value {
    let (value, marks) = evaluate(expr, given, diags).unmark_deep();
    if marks.is_any() {
        let kind = if marks.sensitive { "sensitive" } else { "ephemeral" };
        let label = format!("what is imported, and where to, is shown and stored, so it cannot be {kind}");
        diags.push(Diagnostic::error(format!("{kind} value"), label).at(expr.span));
        return Value::DYNAMIC;
    }
    value
}

type Each = Option<(Value, Value)>;

fn each(value: &Value, expr: &Expr, diags: &mut Diagnostics) -> Vec<Each> {
    if let Some(entries) = value.as_entries() {
        return entries.iter().map(|(key, value)| Some((Value::String(key.clone()), value.clone()))).collect();
    }
    if let (Value::Set(..), Some(items)) = (value, value.as_items()) {
        return items.iter().map(|item| Some((item.clone(), item.clone()))).collect();
    }
    if !diags.has_errors() {
        let label = "a map or a set of texts is required here";
        diags.push(Diagnostic::error("invalid for_each", label).at(expr.span));
    }
    Vec::new()
}

fn one(import: &Import, given: &Given<'_>, diags: &mut Diagnostics) -> Option<(InstanceAddr, String)> {
    let Some(addr) = address(&import.to, given, diags) else {
        if !diags.has_errors() {
            let label = "the address of one object is required here, such as type.name or module.name.type.name[key]";
            diags.push(Diagnostic::error("invalid address", label).at(import.to.span));
        }
        return None;
    };
    let id = shown(&import.id, given, diags);
    match id.as_str() {
        Some(id) if !id.is_empty() => Some((addr, id.to_owned())),
        _ => {
            if !diags.has_errors() {
                let label = "a text that is not empty is required here";
                diags.push(Diagnostic::error("invalid id", label).at(import.id.span));
            }
            None
        }
    }
}

fn address(expr: &Expr, given: &Given<'_>, diags: &mut Diagnostics) -> Option<InstanceAddr> {
    match selector(expr, &mut |key| Some(shown(key, given, diags)))? {
        Selector::Object(addr) => Some(addr),
        Selector::Module(_) => None,
    }
}
