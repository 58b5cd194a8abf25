//! `import { .. }`: an object that exists already, and is taken in by the next apply.

use value::Value;

use super::moves::selector;
use super::{ModuleDecl, Shape};
use crate::addr::{InstanceAddr, Selector};
use crate::diag::{Diagnostic, Diagnostics};
use crate::source::Span;
use crate::syntax::ast::{Block, Expr};

#[derive(Debug, Clone)]
pub struct Import {
    /// An address; its keys may be made of `each`.
    pub to: Expr,
    pub id: Expr,
    pub for_each: Option<Expr>,
    pub span: Span,
}

impl Import {
    /// What it names, whatever its keys are.
    pub(crate) fn target(&self) -> Option<InstanceAddr> {
        match selector(&self.to, &mut |_| Some(Value::from("key")))? {
            Selector::Object(addr) => Some(addr),
            Selector::Module(_) => None,
        }
    }
}

pub(super) fn import(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape { labels: &[], attributes: &["for_each", "id", "provider", "to"], blocks: &[] };
    if !shape.check(block, diags) {
        return;
    }
    if let Some(provider) = block.body.attribute("provider") {
        let label = "it is not honoured: the provider is that of the resource";
        diags.push(Diagnostic::error("unsupported argument", label).at(provider.name.span));
    }
    let mut argument = |name: &str| {
        let found = block.body.attribute(name).map(|attribute| attribute.expr.clone());
        if found.is_none() {
            let label = format!("`{name}` is required here");
            diags.push(Diagnostic::error("missing argument", label).at(block.header));
        }
        found
    };
    let (Some(to), Some(id)) = (argument("to"), argument("id")) else { return };
    let for_each = block.body.attribute("for_each").map(|attribute| attribute.expr.clone());
    module.imports.push(Import { to, id, for_each, span: block.header });
}
