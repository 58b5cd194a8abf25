//! Expressions to values.
//!
//! An error does not stop an evaluation: it is reported, and the part that is wrong becomes an unknown value of
//! any type, which nothing further complains about. So one run reports all that can be known.

mod access;
pub mod body;
mod call;
mod comprehension;
mod literal;
mod ops;
pub mod provided;
mod template;

pub(crate) use ops::equal;
use provided::Provided;

use std::sync::Arc;

use value::convert::{self, ConversionError, convert};
use value::size::MAX_SIZE;
use value::value::Attributes;
use value::{Marks, Ty, Value};

use crate::diag::{Diagnostic, Diagnostics};
use crate::source::{SourceLoader, Span};
use crate::surroundings::Surroundings;
use crate::syntax::ast::{Expr, ExprKind, ObjectKey, Step};

/// What names mean where an expression stands.
pub trait Scope {
    /// The value that `root` and as many of `steps` as the scope cares to take lead to, with the number of steps
    /// taken. Taking steps lets a scope find one instance of a thousand without building the thousand.
    fn resolve(&self, root: &str, span: Span, steps: &[Step], ctx: &mut Ctx<'_>) -> Result<(Value, usize), Diagnostic>;

    /// The function `name` of the provider that is called `local` here.
    fn function(&self, local: &str, name: &str) -> Result<Provided, Diagnostic> {
        let label = format!("functions of providers, as `{name}` of `{local}`, cannot be used here");
        Err(Diagnostic::error("unknown function", label))
    }

    /// Where `file()` and its like read.
    fn loader(&self) -> Option<&dyn SourceLoader> {
        None
    }

    /// The folder that `file()` and its like are relative to.
    fn folder(&self) -> &'static str {
        "."
    }

    /// What functions are told of the world.
    fn surroundings(&self) -> Option<&Surroundings> {
        None
    }

    /// Whether this is the text of a template, which renders no other.
    fn is_template(&self) -> bool {
        false
    }
}

/// The scope of constants: no name means anything.
#[derive(Debug)]
pub struct NoScope;

impl Scope for NoScope {
    fn resolve(&self, root: &str, span: Span, _: &[Step], ctx: &mut Ctx<'_>) -> Result<(Value, usize), Diagnostic> {
        // Where quotes were forgotten, the name is the value.
        let name = if ctx.hides_values { "a name".to_owned() } else { format!("`{root}`") };
        let label = format!("{name} cannot be used here: a constant is required");
        Err(Diagnostic::error("reference in a constant", label).at(span))
    }
}

/// The state of one evaluation.
#[expect(missing_debug_implementations, reason = "borrows a scope, which need not be printable")]
pub struct Ctx<'s> {
    pub scope: &'s dyn Scope,
    pub diags: Diagnostics,
    /// Names bound by `for`, innermost last.
    bound: Vec<(Arc<str>, Value)>,
    /// What is evaluated is part of something sensitive, though it may have no mark of its own: errors tell nothing of
    /// values.
    hides_values: bool,
    /// What arguments get: they are written in a block that a marked `for_each` made.
    marks_arguments: Marks,
}

pub fn evaluate(expr: &Expr, scope: &dyn Scope, diags: &mut Diagnostics) -> Value {
    evaluate_for(expr, false, scope, diags)
}

/// Evaluates what is given to something that is sensitive or not: if it is, errors tell nothing of values.
pub fn evaluate_for(expr: &Expr, is_sensitive: bool, scope: &dyn Scope, diags: &mut Diagnostics) -> Value {
    let mut ctx = Ctx::new(scope);
    let value = ctx.hiding(is_sensitive, |ctx| ctx.eval(expr));
    diags.extend(ctx.diags);
    value
}

/// Evaluates and converts.
pub fn evaluate_as(expr: &Expr, ty: &Ty, scope: &dyn Scope, diags: &mut Diagnostics) -> Value {
    let value = evaluate(expr, scope, diags);
    convert(&value, ty).unwrap_or_else(|error| {
        diags.push(wrong_type(&error).at(expr.span));
        Value::unknown(ty.without_optional())
    })
}

pub(crate) fn wrong_type(error: &ConversionError) -> Diagnostic {
    Diagnostic::error("wrong type", error.to_string())
}

impl<'s> Ctx<'s> {
    pub(crate) fn new(scope: &'s dyn Scope) -> Ctx<'s> {
        Ctx {
            scope,
            diags: Diagnostics::default(),
            bound: Vec::new(),
            hides_values: false,
            marks_arguments: Marks::NONE,
        }
    }
}

impl Ctx<'_> {
    pub(crate) fn eval(&mut self, expr: &Expr) -> Value {
        match &expr.kind {
            ExprKind::Literal(value) => value.clone(),
            ExprKind::Parens(inner) => self.eval(inner),
            ExprKind::Name(name) => self.name(name, expr.span, &[]).0,
            ExprKind::Access(base, steps) => self.access(base, steps),
            ExprKind::Tuple(items) => {
                let items = Value::tuple(items.iter().map(|item| self.eval(item)).collect());
                self.limited(items, expr.span)
            }
            ExprKind::Object(items) => {
                let object = self.object(items);
                self.limited(object, expr.span)
            }
            ExprKind::Template(parts) => self.template(parts, expr.span),
            ExprKind::Unary(op, operand) => self.unary(*op, operand),
            ExprKind::Binary(first, rest) => self.chain(first, rest),
            ExprKind::Conditional(conditional) => self.conditional(conditional),
            ExprKind::For(comprehension) => self.comprehension(comprehension, expr.span),
            ExprKind::Call(call) => self.call(call, expr.span),
        }
    }

    /// A value that was made, unless it is larger than values may be.
    fn limited(&mut self, value: Value, span: Span) -> Value {
        if value.size() > MAX_SIZE { self.too_large(span) } else { value }
    }

    fn too_large(&mut self, span: Span) -> Value {
        let label = "this would be larger than a value may be, which is 256 MiB";
        self.fail(Diagnostic::error("value too large", label).at(span))
    }

    /// Reports and poisons.
    pub(crate) fn fail(&mut self, diagnostic: Diagnostic) -> Value {
        self.diags.push(diagnostic);
        Value::DYNAMIC
    }

    /// Whether nothing may be told of a value that is marked or not.
    fn hides(&self, marked: bool) -> bool {
        marked || self.hides_values
    }

    /// Runs `body` on parts of something sensitive, if it is: its errors tell nothing of values.
    pub(crate) fn hiding<T>(&mut self, is_sensitive: bool, body: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.hides_values;
        self.hides_values |= is_sensitive;
        let result = body(self);
        self.hides_values = before;
        result
    }

    /// What a value is called in a message.
    fn name_of(&self, value: &Value, marked: bool) -> String {
        if self.hides(marked) { convert::kind(&value.ty()).to_owned() } else { convert::name_of(value) }
    }

    fn wrong_type(&self, error: ConversionError) -> Diagnostic {
        wrong_type(&error.hidden(self.hides_values))
    }

    /// Evaluates to a value of a type; an error is reported at the expression.
    pub(crate) fn eval_as(&mut self, expr: &Expr, ty: &Ty) -> Value {
        let value = self.eval(expr);
        self.value_as(&value, expr.span, ty)
    }

    fn value_as(&mut self, value: &Value, span: Span, ty: &Ty) -> Value {
        match convert(value, ty) {
            Ok(value) => value,
            Err(error) => {
                let diagnostic = self.wrong_type(error).at(span);
                self.diags.push(diagnostic);
                Value::unknown(ty.clone())
            }
        }
    }

    /// Runs `body` with names bound, as inside of `for`.
    pub(crate) fn with_bound<T>(&mut self, names: Vec<(Arc<str>, Value)>, body: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.bound.len();
        self.bound.extend(names);
        let result = body(self);
        self.bound.truncate(before);
        result
    }

    /// As `with_bound`, where the values may be parts of something sensitive.
    fn with_bound_parts<T>(
        &mut self,
        names: Vec<(Arc<str>, Value)>,
        is_sensitive: bool,
        body: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.hiding(is_sensitive, |ctx| ctx.with_bound(names, body))
    }

    fn object(&mut self, items: &[(ObjectKey, Expr)]) -> Value {
        let mut entries = Attributes::new();
        let mut key_marks = Marks::NONE;
        let mut unknown_key = false;
        for (key, item) in items {
            let key = match key {
                ObjectKey::Name(ident) => Some(ident.name.clone()),
                ObjectKey::Expr(expr) => {
                    let (key, marked) = self.eval_as(expr, &Ty::String).unmark();
                    key_marks |= marked;
                    match key {
                        Value::String(key) => Some(key),
                        Value::Null(_) => {
                            self.diags.push(Diagnostic::error("invalid key", "a key cannot be null").at(expr.span));
                            None
                        }
                        _ => {
                            unknown_key = true;
                            None
                        }
                    }
                }
            };
            let value = self.eval(item);
            if let Some(key) = key {
                entries.insert(key, value);
            }
        }
        if unknown_key {
            return Value::DYNAMIC.with_marks(key_marks);
        }
        Value::Object(Arc::new(entries)).with_marks(key_marks)
    }
}
