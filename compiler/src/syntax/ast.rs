//! The syntax tree: what was written, with the place of everything, and no meaning yet.

use std::sync::Arc;

use value::Value;

use crate::source::Span;

#[derive(Debug, Clone, PartialEq)]
pub struct Ident {
    pub name: Arc<str>,
    pub span: Span,
}

/// What stands between the braces of a block, or in a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Body {
    pub attributes: Vec<Attribute>,
    pub blocks: Vec<Block>,
    /// Where a missing attribute is reported: the closing brace.
    pub end: Option<Span>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    pub name: Ident,
    pub expr: Expr,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub kind: Ident,
    pub labels: Vec<Ident>,
    pub body: Body,
    /// Kind and labels.
    pub header: Span,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A number, truth value, null, or a string without interpolations.
    Literal(Value),
    /// A quoted template or heredoc with at least one interpolation or directive.
    Template(Vec<Part>),
    Tuple(Vec<Expr>),
    Object(Vec<(ObjectKey, Expr)>),
    /// A name that stands alone or begins a traversal.
    Name(Arc<str>),
    /// A value with steps into it: `a.b[0]`, `a[*].b`.
    Access(Box<Expr>, Vec<Step>),
    Call(Call),
    Unary(UnaryOp, Box<Expr>),
    /// Operators from left to right: `a - b + c` is `(a - b) + c`. What binds more tightly is in the operands. A list,
    /// not a tree, as it may be long.
    Binary(Box<Expr>, Vec<(BinaryOp, Expr)>),
    Conditional(Box<Conditional>),
    For(Box<For>),
    /// In parentheses; kept because `(a)` as an object key is not `a`.
    Parens(Box<Expr>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Conditional {
    pub condition: Expr,
    pub yes: Expr,
    pub no: Expr,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ObjectKey {
    /// A bare name stands for itself.
    Name(Ident),
    Expr(Expr),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub kind: StepKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    Attribute(Arc<str>),
    /// `[..]`, and the legacy `.0`.
    Index(Expr),
    /// `.*` or (`full`) `[*]`, with the steps that apply to every element.
    Splat {
        full: bool,
        steps: Vec<Step>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub name: Ident,
    pub args: Vec<Expr>,
    /// The last argument ends in `...`.
    pub expand_last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    Negate,
    Not,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, PartialEq)]
pub struct For {
    pub key_name: Option<Ident>,
    pub value_name: Ident,
    pub collection: Expr,
    /// `Some` in `{ for .. : key => value }`.
    pub key: Option<Expr>,
    pub value: Expr,
    pub condition: Option<Expr>,
    /// `value...`: values of equal keys are grouped.
    pub group: bool,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Text(Arc<str>),
    Interpolation(Expr),
    If { condition: Expr, yes: Vec<Part>, no: Vec<Part> },
    For { key_name: Option<Ident>, value_name: Ident, collection: Expr, parts: Vec<Part> },
}

impl Body {
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| &*attribute.name.name == name)
    }

    pub fn blocks_of<'b>(&'b self, kind: &'b str) -> impl Iterator<Item = &'b Block> {
        self.blocks.iter().filter(move |block| &*block.kind.name == kind)
    }
}

impl Expr {
    /// The text of a string literal.
    pub fn as_literal_str(&self) -> Option<&str> {
        match &self.kind {
            ExprKind::Literal(value) => value.as_str(),
            _ => None,
        }
    }

    /// A name with attribute steps only, as in `depends_on` and `provider`: `a.b.c`.
    pub fn as_dotted(&self) -> Option<Vec<&str>> {
        match &self.kind {
            ExprKind::Name(name) => Some(vec![name]),
            ExprKind::Access(base, steps) => {
                let mut names = base.as_dotted()?;
                for step in steps {
                    match &step.kind {
                        StepKind::Attribute(name) => names.push(name),
                        StepKind::Index(_) | StepKind::Splat { .. } => return None,
                    }
                }
                Some(names)
            }
            _ => None,
        }
    }
}
