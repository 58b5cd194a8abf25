//! Operators and the conditional.

use std::sync::Arc;

use value::convert::{convert, unify_values};
use value::value::Refinement;
use value::{Marks, Ty, Value};

use super::Ctx;
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::{BinaryOp, Conditional, Expr, UnaryOp};

/// What stands to the left of an operator, evaluated.
struct Left {
    value: Value,
    span: Span,
}

impl Ctx<'_> {
    pub(super) fn unary(&mut self, op: UnaryOp, operand: &Expr) -> Value {
        let ty = match op {
            UnaryOp::Negate => Ty::Number,
            UnaryOp::Not => Ty::Bool,
        };
        let (value, marked) = self.operand(operand, &ty);
        let result = match value {
            Value::Number(number) => Value::Number(number.negated()),
            Value::Bool(truth) => Value::Bool(!truth),
            other => other,
        };
        result.with_marks(marked)
    }

    /// An operand of a type, which must not be null.
    fn operand(&mut self, expr: &Expr, ty: &Ty) -> (Value, Marks) {
        let value = self.eval(expr);
        self.operand_of(&value, expr.span, ty)
    }

    fn operand_of(&mut self, value: &Value, span: Span, ty: &Ty) -> (Value, Marks) {
        let (value, marked) = self.value_as(value, span, ty).unmark();
        if value.is_null() {
            let label = "this value is null, so it cannot be an operand";
            self.diags.push(Diagnostic::error("operand is null", label).at(span));
            return (Value::unknown(ty.clone()), marked);
        }
        (value, marked)
    }

    /// Operators from left to right, each with what the ones before have given.
    pub(super) fn chain(&mut self, first: &Expr, rest: &[(BinaryOp, Expr)]) -> Value {
        let mut left = Left { value: self.eval(first), span: first.span };
        for (op, right) in rest {
            let value = self.binary(*op, &left, right);
            left = Left { value, span: left.span.to(right.span) };
        }
        left.value
    }

    fn binary(&mut self, op: BinaryOp, left: &Left, right: &Expr) -> Value {
        match op {
            BinaryOp::Equal | BinaryOp::NotEqual => {
                let (left, right) = (left.value.clone(), self.eval(right));
                let marked = left.marks_deep() | right.marks_deep();
                let equal = equal(&left.unmark_deep().0, &right.unmark_deep().0);
                let negate = op == BinaryOp::NotEqual;
                equal.map_or(Value::unknown(Ty::Bool), |equal| Value::Bool(equal != negate)).with_marks(marked)
            }
            BinaryOp::And | BinaryOp::Or => {
                let (left, left_marked) = self.operand_of(&left.value, left.span, &Ty::Bool);
                let (right, right_marked) = self.operand(right, &Ty::Bool);
                // The truth value that decides on its own.
                let decides = op == BinaryOp::Or;
                let result = match (left.as_bool(), right.as_bool()) {
                    (Some(truth), _) | (_, Some(truth)) if truth == decides => Value::Bool(decides),
                    (Some(_), Some(_)) => Value::Bool(!decides),
                    _ => Value::unknown(Ty::Bool),
                };
                result.with_marks(left_marked | right_marked)
            }
            _ => self.arithmetic(op, left, right),
        }
    }

    fn arithmetic(&mut self, op: BinaryOp, left_operand: &Left, right_expr: &Expr) -> Value {
        let (left, left_marked) = self.operand_of(&left_operand.value, left_operand.span, &Ty::Number);
        let (right, right_marked) = self.operand(right_expr, &Ty::Number);
        let marked = left_marked | right_marked;
        let is_comparison =
            matches!(op, BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual);
        let (Value::Number(left), Value::Number(right)) = (left, right) else {
            return Value::unknown(if is_comparison { Ty::Bool } else { Ty::Number }).with_marks(marked);
        };
        let number = match op {
            BinaryOp::Less => return Value::Bool(left < right).with_marks(marked),
            BinaryOp::LessOrEqual => return Value::Bool(left <= right).with_marks(marked),
            BinaryOp::Greater => return Value::Bool(left > right).with_marks(marked),
            BinaryOp::GreaterOrEqual => return Value::Bool(left >= right).with_marks(marked),
            BinaryOp::Add => left.add(&right),
            BinaryOp::Subtract => left.sub(&right),
            BinaryOp::Multiply => left.mul(&right),
            BinaryOp::Divide => left.div(&right),
            BinaryOp::Remainder => left.rem(&right),
            BinaryOp::Or | BinaryOp::And | BinaryOp::Equal | BinaryOp::NotEqual => {
                unreachable!("handled by `binary`")
            }
        };
        match number {
            Ok(number) => Value::Number(number).with_marks(marked),
            Err(_) => {
                let label = "the result of this operation is not a number";
                self.fail(Diagnostic::error("undefined result", label).at(left_operand.span.to(right_expr.span)))
            }
        }
    }

    /// Both arms are evaluated, since the result has the type that both can have; errors count only in the arm
    /// that is chosen.
    pub(super) fn conditional(&mut self, conditional: &Conditional) -> Value {
        let (condition, condition_marked) = self.operand(&conditional.condition, &Ty::Bool);
        let before = self.diags.0.len();
        let yes = self.eval(&conditional.yes);
        let yes_diags = self.diags.0.split_off(before);
        let no = self.eval(&conditional.no);
        let no_diags = self.diags.0.split_off(before);
        let kept = match condition.as_bool() {
            Some(true) => yes_diags,
            Some(false) => no_diags,
            None => yes_diags.into_iter().chain(no_diags).collect(),
        };
        kept.into_iter().for_each(|diagnostic| self.diags.push(diagnostic));

        let arms = [yes, no];
        let ty = unify_values(&arms);
        let [yes, no] = arms;
        let Some(ty) = ty else {
            let label = format!(
                "the arms have types that do not go together: {} and {}",
                self.name_of(&yes, false),
                self.name_of(&no, false)
            );
            let span = conditional.yes.span.to(conditional.no.span);
            return self.fail(Diagnostic::error("inconsistent conditional", label).at(span));
        };
        // Which arm was chosen can be told from a value, so the mark of either is kept, as in Terraform.
        let marked = condition_marked | yes.marks() | no.marks();
        let result = match condition.as_bool() {
            Some(truth) => {
                let chosen = if truth { yes } else { no };
                convert(&chosen, &ty).unwrap_or(chosen)
            }
            // Of what is null in neither, there is no null.
            None if never_null(&yes) && never_null(&no) => {
                let refinement = Refinement { not_null: true, ..Refinement::default() };
                Value::Unknown(ty, Some(Arc::new(refinement)))
            }
            None => Value::unknown(ty),
        };
        result.with_marks(marked)
    }
}

fn never_null(value: &Value) -> bool {
    match value.unmarked() {
        Value::Unknown(ty, refinement) => {
            *ty != Ty::Dynamic && refinement.as_ref().is_some_and(|refinement| refinement.not_null)
        }
        value => !value.is_null(),
    }
}

/// Whether two values without marks are equal; `None` when that depends on something unknown. Values of
/// different types are not equal, except that null equals null.
pub(crate) fn equal(left: &Value, right: &Value) -> Option<bool> {
    match (left, right) {
        (Value::Null(_), Value::Null(_)) => Some(true),
        (Value::Unknown(_, refinement), Value::Null(_)) | (Value::Null(_), Value::Unknown(_, refinement)) => {
            refinement.as_ref().is_some_and(|refinement| refinement.not_null).then_some(false)
        }
        // What begins otherwise is not the same.
        (Value::Unknown(_, Some(refinement)), Value::String(text))
        | (Value::String(text), Value::Unknown(_, Some(refinement)))
            if !text.starts_with(&refinement.string_prefix) =>
        {
            Some(false)
        }
        (Value::Unknown(..), _) | (_, Value::Unknown(..)) => None,
        (Value::Null(_), _) | (_, Value::Null(_)) => Some(false),
        (Value::List(a_ty, a), Value::List(b_ty, b)) => {
            if same_type(a_ty, b_ty) {
                all_equal(a, b)
            } else {
                Some(false)
            }
        }
        (Value::Tuple(a), Value::Tuple(b)) => all_equal(a, b),
        (Value::Set(..), Value::Set(..)) if !left.is_wholly_known() || !right.is_wholly_known() => None,
        (Value::Set(a_ty, a), Value::Set(b_ty, b)) => Some(same_type(a_ty, b_ty) && a == b),
        (Value::Map(a_ty, a), Value::Map(b_ty, b)) => {
            if same_type(a_ty, b_ty) {
                entries_equal(a, b)
            } else {
                Some(false)
            }
        }
        (Value::Object(a), Value::Object(b)) => entries_equal(a, b),
        _ => Some(left == right),
    }
}

fn same_type(a: &Ty, b: &Ty) -> bool {
    a == b || !a.is_wholly_known() || !b.is_wholly_known()
}

fn all_equal(a: &[Value], b: &[Value]) -> Option<bool> {
    if a.len() != b.len() {
        return Some(false);
    }
    conjunction(a.iter().zip(b).map(|(a, b)| equal(a, b)))
}

fn entries_equal(a: &value::value::Attributes, b: &value::value::Attributes) -> Option<bool> {
    if !a.keys().eq(b.keys()) {
        return Some(false);
    }
    conjunction(a.values().zip(b.values()).map(|(a, b)| equal(a, b)))
}

fn conjunction(mut parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    parts
        .try_fold(Some(true), |all, part| match part {
            Some(false) => Err(()),
            Some(true) => Ok(all),
            None => Ok(None),
        })
        .unwrap_or(Some(false))
}
