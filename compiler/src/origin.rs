//! Where the value of an argument is decided: for whoever changes it in the user's place.

use std::sync::Arc;

use crate::addr::InstanceAddr;
use crate::program::{ModuleId, Program, ROOT};
use crate::source::Span;
use crate::syntax::ast::{Body, Expr, ExprKind, StepKind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A variable of the root module, and nothing else.
    Variable(Arc<str>),
    /// Text of the stack.
    Text(Span),
    /// It is not set; where it could be.
    Unset(Span),
}

impl Program {
    /// Where the argument of a resource gets its value from, through the calls of modules; none if the stack has no such
    /// resource any more.
    pub fn origin(&self, addr: &InstanceAddr, argument: &str) -> Option<Origin> {
        let path = addr.module.config_path();
        let mut module = self.ids().find(|id| self.module(*id).path == path)?;
        let key = (addr.mode, addr.ty.clone(), addr.name.clone());
        let resource = self.module(module).decl.resources.get(&key)?;
        let (mut body, mut header, mut argument) = (&resource.body, resource.header, Arc::<str>::from(argument));
        loop {
            let Some(expr) = value_of(body, &argument) else { return Some(Origin::Unset(header)) };
            let Some(variable) = variable(expr) else { return Some(Origin::Text(expr.span)) };
            if module == ROOT {
                return Some(Origin::Variable(variable));
            }
            let name = self.module(module).path.last()?;
            let parent: ModuleId = self.module(module).parent?;
            let call = self.module(parent).decl.calls.get(name)?;
            (module, body, header, argument) = (parent, &call.body, call.header, variable);
        }
    }
}

fn value_of<'b>(body: &'b Body, name: &str) -> Option<&'b Expr> {
    body.attributes.iter().find(|attribute| &*attribute.name.name == name).map(|attribute| &attribute.expr)
}

/// The name in `var.NAME`.
fn variable(expr: &Expr) -> Option<Arc<str>> {
    match &expr.kind {
        ExprKind::Parens(inner) => variable(inner),
        ExprKind::Access(base, steps) => match (&base.kind, steps.as_slice()) {
            (ExprKind::Name(name), [step]) if &**name == "var" => match &step.kind {
                StepKind::Attribute(name) => Some(name.clone()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}
