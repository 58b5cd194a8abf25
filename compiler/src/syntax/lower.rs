//! Pairs to syntax tree: operator precedence, literals, and the checks that a grammar cannot make.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use grammar::Rule;
use pest::iterators::{Pair, Pairs};
use pest::pratt_parser::{Assoc, Op, PrattParser};
use value::{Number, Ty, Value};

use super::ast::{
    Attribute, BinaryOp, Block, Body, Call, Conditional, Expr, ExprKind, For, Ident, ObjectKey, Part, Step, StepKind,
    UnaryOp,
};
use super::too_deep;
use crate::diag::{Diagnostic, Diagnostics};
use crate::source::{FileId, Span};

/// Deeper trees are refused: evaluation and drop recurse as deep as the tree is.
const MAX_DEPTH: usize = 200;

pub(super) struct Lower {
    pub(super) file: FileId,
    base: usize,
    depth: usize,
    pub(super) diags: Diagnostics,
}

impl Lower {
    pub(super) fn new(file: FileId, base: usize) -> Lower {
        Lower { file, base, depth: 0, diags: Diagnostics::default() }
    }

    pub(super) fn finish(self) -> Diagnostics {
        self.diags
    }

    pub(super) fn lone_expression(mut self, pairs: Pairs<'_, Rule>) -> Result<Expr, Diagnostics> {
        let expr = child(pairs.into_iter().next().expect("lone_expression matched"), Rule::expr);
        let expr = self.expr(expr);
        if self.diags.has_errors() { Err(self.diags) } else { Ok(expr) }
    }

    pub(super) fn lone_template(mut self, pairs: Pairs<'_, Rule>) -> Result<Vec<Part>, Diagnostics> {
        let template = pairs.into_iter().next().expect("lone_template matched");
        let parts = self.template_parts(template.into_inner());
        if self.diags.has_errors() { Err(self.diags) } else { Ok(parts) }
    }

    pub(super) fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        Span::new(self.file, self.base + span.start(), self.base + span.end())
    }

    pub(super) fn ident(&self, pair: &Pair<'_, Rule>) -> Ident {
        Ident { name: pair.as_str().into(), span: self.span(pair) }
    }

    /// `names` tells where the body has which attribute.
    pub(super) fn item(&mut self, pair: Pair<'_, Rule>, body: &mut Body, names: &mut HashMap<Arc<str>, usize>) {
        match pair.as_rule() {
            Rule::attribute => {
                let attribute = self.attribute(pair);
                match names.get(&attribute.name.name) {
                    Some(first) => self.diags.push(
                        Diagnostic::error("attribute set twice", "this attribute is already set")
                            .at(attribute.name.span)
                            .related(body.attributes[*first].name.span, "it was set here"),
                    ),
                    None => {
                        names.insert(attribute.name.name.clone(), body.attributes.len());
                        body.attributes.push(attribute);
                    }
                }
            }
            Rule::block => {
                if let Some(block) = self.block(pair) {
                    body.blocks.push(block);
                }
            }
            other => unreachable!("{other:?} is not an item"),
        }
    }

    fn attribute(&mut self, pair: Pair<'_, Rule>) -> Attribute {
        let mut inner = pair.into_inner();
        let name = inner.next().expect("an attribute has a name");
        let name = self.ident(&name);
        let expr = self.expr(inner.next().expect("an attribute has an expression"));
        Attribute { name, expr }
    }

    fn block(&mut self, pair: Pair<'_, Rule>) -> Option<Block> {
        let span = self.span(&pair);
        self.deeper(span, |lower| {
            let mut inner = pair.into_inner();
            let kind = lower.ident(&inner.next().expect("a block has a kind"));
            let mut header = kind.span;
            let mut labels = Vec::new();
            let mut body = Body::default();
            let mut names = HashMap::new();
            for part in inner {
                match part.as_rule() {
                    Rule::label => {
                        header = header.to(lower.span(&part));
                        let label = part.into_inner().next().expect("a label is a string or a name");
                        labels.push(lower.label(label));
                    }
                    Rule::body | Rule::one_line_body => {
                        part.into_inner().filter(is_item).for_each(|item| lower.item(item, &mut body, &mut names));
                    }
                    Rule::close_brace => body.end = Some(lower.span(&part)),
                    _ => {}
                }
            }
            Block { kind, labels, body, header, span }
        })
    }

    fn label(&mut self, pair: Pair<'_, Rule>) -> Ident {
        if pair.as_rule() == Rule::ident {
            return self.ident(&pair);
        }
        let span = self.span(&pair);
        match self.string(pair).kind {
            ExprKind::Literal(Value::String(name)) => Ident { name, span },
            _ => {
                let label = "a label is fixed text, without `${}`";
                self.diags.push(Diagnostic::error("invalid label", label).at(span));
                Ident { name: "".into(), span }
            }
        }
    }

    /// Runs `build` one level deeper; reports and gives `None` when that is too deep.
    fn deeper<T>(&mut self, span: Span, build: impl FnOnce(&mut Lower) -> T) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            if !self.diags.has_errors() {
                self.diags.push(too_deep(span));
            }
            return None;
        }
        self.depth += 1;
        let built = build(self);
        self.depth -= 1;
        Some(built)
    }

    pub(super) fn expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let built = self.deeper(span, |lower| {
            let mut inner = pair.into_inner();
            let condition = lower.operation(inner.next().expect("an expression has an operation"));
            let mut branches = inner.filter(|part| part.as_rule() == Rule::expr);
            match (branches.next(), branches.next()) {
                (Some(yes), Some(no)) => {
                    let conditional = Conditional { condition, yes: lower.expr(yes), no: lower.expr(no) };
                    Expr { kind: ExprKind::Conditional(Box::new(conditional)), span }
                }
                _ => condition,
            }
        });
        built.unwrap_or(Expr { kind: ExprKind::Literal(Value::DYNAMIC), span })
    }

    fn operation(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let lower = std::cell::RefCell::new(self);
        PRECEDENCE
            .map_primary(|operand| lower.borrow_mut().operand(operand))
            .map_infix(|left, op, right| {
                let span = left.span.to(right.span);
                let op = binary_op(op.as_str());
                let (first, mut rest) = match left.kind {
                    ExprKind::Binary(first, rest) => (first, rest),
                    kind => (Box::new(Expr { kind, span: left.span }), Vec::new()),
                };
                rest.push((op, right));
                Expr { kind: ExprKind::Binary(first, rest), span }
            })
            .parse(pair.into_inner())
    }

    fn operand(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let mut unary = Vec::new();
        let mut expr: Option<Expr> = None;
        let mut steps: Vec<Step> = Vec::new();
        for part in pair.into_inner() {
            let part_span = self.span(&part);
            let is_legacy_index = part.as_rule() == Rule::legacy_index;
            let step = match part.as_rule() {
                Rule::unary_op => {
                    unary.push((if part.as_str() == "-" { UnaryOp::Negate } else { UnaryOp::Not }, part_span));
                    continue;
                }
                Rule::get_attr => {
                    let name = part.into_inner().next().expect("get_attr has a name");
                    StepKind::Attribute(name.as_str().into())
                }
                Rule::legacy_index => {
                    let digits = part.into_inner().next().expect("legacy_index has digits");
                    StepKind::Index(Expr { kind: number_literal(digits.as_str()), span: part_span })
                }
                Rule::index => {
                    let index = part.into_inner().next().expect("index has an expression");
                    StepKind::Index(self.expr(index))
                }
                Rule::attr_splat => StepKind::Splat { full: false, steps: Vec::new() },
                Rule::full_splat => StepKind::Splat { full: true, steps: Vec::new() },
                _ => {
                    expr = Some(self.primary(part));
                    continue;
                }
            };
            push_step(&mut steps, Step { kind: step, span: part_span }, is_legacy_index);
        }
        let mut expr = expr.expect("an operand has a primary expression");
        if unary.len() > MAX_DEPTH {
            self.diags.push(too_deep(span));
            return expr;
        }
        if !steps.is_empty() {
            let span = steps.iter().fold(expr.span, |span, step| span.to(step.span));
            expr = Expr { kind: ExprKind::Access(Box::new(expr), steps), span };
        }
        for (op, op_span) in unary.into_iter().rev() {
            let span = op_span.to(expr.span);
            expr = match (op, expr.kind) {
                // A negative number is a literal, so that it can stand where only literals may.
                (UnaryOp::Negate, ExprKind::Literal(Value::Number(number))) => {
                    Expr { kind: ExprKind::Literal(Value::Number(number.negated())), span }
                }
                (op, kind) => Expr { kind: ExprKind::Unary(op, Box::new(Expr { kind, span: expr.span })), span },
            };
        }
        expr
    }

    fn primary(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::number => number_literal(pair.as_str()),
            Rule::name => match pair.as_str() {
                "true" => ExprKind::Literal(Value::Bool(true)),
                "false" => ExprKind::Literal(Value::Bool(false)),
                "null" => ExprKind::Literal(Value::Null(Ty::Dynamic)),
                name => ExprKind::Name(name.into()),
            },
            Rule::string => return self.string(pair),
            Rule::heredoc => return self.heredoc(pair),
            Rule::parens => {
                let inner = pair.into_inner().next().expect("parens hold an expression");
                ExprKind::Parens(Box::new(self.expr(inner)))
            }
            Rule::tuple => ExprKind::Tuple(pair.into_inner().map(|item| self.expr(item)).collect()),
            Rule::object => ExprKind::Object(pair.into_inner().map(|item| self.object_item(item)).collect()),
            Rule::for_tuple | Rule::for_object => self.for_expr(pair),
            Rule::call => self.call(pair),
            other => unreachable!("{other:?} is not an expression"),
        };
        Expr { kind, span }
    }

    fn object_item(&mut self, pair: Pair<'_, Rule>) -> (ObjectKey, Expr) {
        let mut exprs = pair.into_inner().filter(|part| matches!(part.as_rule(), Rule::object_key | Rule::expr));
        let key = exprs.next().expect("an item has a key");
        let key = self.expr(key.into_inner().next().expect("a key is an expression"));
        let value = self.expr(exprs.next().expect("an item has a value"));
        let key = match key.kind {
            ExprKind::Name(name) => ObjectKey::Name(Ident { name, span: key.span }),
            // `null`, `true` and `false` as keys are names like any other.
            ExprKind::Literal(Value::Bool(truth)) => {
                ObjectKey::Name(Ident { name: if truth { "true" } else { "false" }.into(), span: key.span })
            }
            ExprKind::Literal(Value::Null(_)) => ObjectKey::Name(Ident { name: "null".into(), span: key.span }),
            kind => ObjectKey::Expr(Expr { kind, span: key.span }),
        };
        (key, value)
    }

    fn call(&mut self, pair: Pair<'_, Rule>) -> ExprKind {
        let mut inner = pair.into_inner();
        let name = self.ident(&inner.next().expect("a call has a name"));
        let mut args = Vec::new();
        let mut expand_last = false;
        for part in inner.next().expect("a call has arguments").into_inner() {
            match part.as_rule() {
                Rule::expand => expand_last = true,
                _ => args.push(self.expr(part)),
            }
        }
        ExprKind::Call(Call { name, args, expand_last })
    }

    pub(super) fn for_intro(&mut self, pair: Pair<'_, Rule>) -> (Option<Ident>, Ident, Expr) {
        let mut names = Vec::new();
        let mut collection = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::ident => names.push(self.ident(&part)),
                Rule::expr => collection = Some(self.expr(part)),
                _ => {}
            }
        }
        let value_name = names.pop().expect("`for` has a name");
        (names.pop(), value_name, collection.expect("`for` has a collection"))
    }

    fn for_expr(&mut self, pair: Pair<'_, Rule>) -> ExprKind {
        let is_object = pair.as_rule() == Rule::for_object;
        let mut inner = pair.into_inner();
        let (key_name, value_name, collection) = self.for_intro(inner.next().expect("`for` has an introduction"));
        let mut exprs = Vec::new();
        let mut condition = None;
        let mut group = false;
        for part in inner {
            match part.as_rule() {
                Rule::expand => group = true,
                Rule::for_cond => condition = Some(self.expr(child(part, Rule::expr))),
                _ => exprs.push(self.expr(part)),
            }
        }
        let value = exprs.pop().expect("`for` has a result");
        let key = if is_object { exprs.pop() } else { None };
        ExprKind::For(Box::new(For { key_name, value_name, collection, key, value, condition, group }))
    }
}

static PRECEDENCE: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    let left = |rule| Op::infix(rule, Assoc::Left);
    PrattParser::new()
        .op(left(Rule::op_or))
        .op(left(Rule::op_and))
        .op(left(Rule::op_equality))
        .op(left(Rule::op_comparison))
        .op(left(Rule::op_sum))
        .op(left(Rule::op_product))
});

fn binary_op(text: &str) -> BinaryOp {
    match text {
        "||" => BinaryOp::Or,
        "&&" => BinaryOp::And,
        "==" => BinaryOp::Equal,
        "!=" => BinaryOp::NotEqual,
        "<" => BinaryOp::Less,
        "<=" => BinaryOp::LessOrEqual,
        ">" => BinaryOp::Greater,
        ">=" => BinaryOp::GreaterOrEqual,
        "+" => BinaryOp::Add,
        "-" => BinaryOp::Subtract,
        "*" => BinaryOp::Multiply,
        "/" => BinaryOp::Divide,
        "%" => BinaryOp::Remainder,
        other => unreachable!("{other} is not an operator"),
    }
}

fn number_literal(text: &str) -> ExprKind {
    let number = text.parse::<Number>().unwrap_or(Number::ZERO);
    ExprKind::Literal(Value::Number(number))
}

/// After `.*` only attributes and legacy indexes belong to the splat; after `[*]` everything does, another splat with what
/// belongs to that.
fn push_step(steps: &mut Vec<Step>, step: Step, is_legacy_index: bool) {
    if let Some(Step { kind: StepKind::Splat { full, steps: inner }, .. }) = steps.last_mut()
        && (*full || is_legacy_index || matches!(step.kind, StepKind::Attribute(_)))
    {
        push_step(inner, step, is_legacy_index);
    } else {
        steps.push(step);
    }
}

fn is_item(pair: &Pair<'_, Rule>) -> bool {
    matches!(pair.as_rule(), Rule::attribute | Rule::block)
}

/// The first child of a rule.
pub(super) fn child(pair: Pair<'_, Rule>, rule: Rule) -> Pair<'_, Rule> {
    pair.into_inner().find(|part| part.as_rule() == rule).expect("the grammar gives every such pair this child")
}
