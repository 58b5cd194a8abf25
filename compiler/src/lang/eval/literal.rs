//! Objects that are written out where an object of known attributes is wanted: a key that the type does not have would be
//! dropped without a word.
//!
//! Terraform drops it, whosever provider it is. So it is an error only where the schema is our own, and a warning
//! elsewhere: what Terraform takes goes on. Whole objects from elsewhere (`backend = lamp_cluster.web`) have more than is
//! asked for by intention.

use std::sync::Arc;

use value::{Path, Step, Ty};

use crate::diag::{Diagnostic, Diagnostics};
use crate::syntax::ast::{Expr, ExprKind, ObjectKey};

pub(super) struct Literals<'d> {
    pub(super) diags: &'d mut Diagnostics,
    pub(super) is_error: bool,
}

impl Literals<'_> {
    /// Complains of the keys below `expr` that a value of the type will not have.
    pub(super) fn check(&mut self, expr: &Expr, ty: &Ty, at: &Path) {
        match (&expr.kind, ty) {
            (ExprKind::Parens(inner), _) => self.check(inner, ty, at),
            (ExprKind::Conditional(conditional), _) => {
                self.check(&conditional.yes, ty, at);
                self.check(&conditional.no, ty, at);
            }
            (ExprKind::Object(entries), Ty::Object(object)) => {
                for (key, value) in entries {
                    let Some((name, span)) = written_name(key) else { continue };
                    match object.attributes.get(&name) {
                        Some(ty) => self.check(value, ty, &at.then(Step::Attribute(name))),
                        None => {
                            let label = format!("`{at}` has no attribute named `{name}`");
                            let summary = "unknown attribute";
                            let diagnostic = match self.is_error {
                                true => Diagnostic::error(summary, label),
                                false => Diagnostic::warning(summary, label)
                                    .note("its value is not used, and Terraform drops it without a word"),
                            };
                            let known = object.attributes.keys().map(|name| &**name);
                            let diagnostic = diagnostic.at(span).suggest(&name, known.clone());
                            let known = known.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                            self.diags.push(diagnostic.note(format!("it has {known}")));
                        }
                    }
                }
            }
            (ExprKind::Object(entries), Ty::Map(element)) => {
                for (key, value) in entries {
                    let key = written_name(key).map_or_else(|| Arc::from(".."), |(name, _)| name);
                    self.check(value, element, &at.then(Step::Key(key)));
                }
            }
            (ExprKind::Tuple(items), Ty::List(element) | Ty::Set(element)) => {
                for (idx, item) in items.iter().enumerate() {
                    self.check(item, element, &at.then(Step::Index(idx)));
                }
            }
            (ExprKind::For(each), Ty::List(element) | Ty::Set(element) | Ty::Map(element)) if !each.group => {
                self.check(&each.value, element, at);
            }
            _ => {}
        }
    }
}

/// The key as it stands in the text; none if it is computed.
fn written_name(key: &ObjectKey) -> Option<(Arc<str>, crate::source::Span)> {
    match key {
        ObjectKey::Name(name) => Some((name.name.clone(), name.span)),
        ObjectKey::Expr(expr) => match &expr.kind {
            ExprKind::Literal(value) => Some((value.as_str()?.into(), expr.span)),
            _ => None,
        },
    }
}
