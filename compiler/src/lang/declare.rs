//! Bodies to declarations: what a module says there is. Values are not computed here; names and shapes are
//! checked.

pub(crate) mod blocks;
pub mod encryption;
pub mod imports;
pub mod moves;
pub(crate) mod resource;

use std::sync::Arc;

use indexmap::IndexMap;
use value::Value;

use super::types::TypeConstraint;
use crate::addr::{Mode, ProviderSource};
use crate::source::Span;
use crate::syntax::ast::{Attribute, Block, Body, Expr, Ident};
use crate::version::Version;

pub use blocks::declare;
pub(crate) use blocks::provider as declare_provider;

/// One folder of stack files.
#[derive(Debug, Clone, Default)]
pub struct ModuleDecl {
    /// The folder, relative to the root module.
    pub folder: String,
    pub stack: Option<StackInfo>,
    pub variables: IndexMap<Arc<str>, Variable>,
    pub locals: IndexMap<Arc<str>, Attribute>,
    pub outputs: IndexMap<Arc<str>, Output>,
    pub resources: IndexMap<(Mode, Arc<str>, Arc<str>), Resource>,
    pub calls: IndexMap<Arc<str>, ModuleCall>,
    /// By local name: which provider it is.
    pub required_providers: IndexMap<Arc<str>, RequiredProvider>,
    pub providers: Vec<ProviderConfig>,
    pub provider_metas: Vec<ProviderMeta>,
    pub checks: IndexMap<Arc<str>, Check>,
    pub imports: Vec<imports::Import>,
    pub moved: Vec<moves::Moved>,
    pub removed: Vec<moves::Removed>,
    /// Where the state is; of the root module.
    pub backend: Option<Backend>,
    pub encryption: Option<encryption::EncryptionDecl>,
}

/// `backend "KIND" { .. }` in a `terraform` block.
#[derive(Debug, Clone)]
pub struct Backend {
    pub kind: Ident,
    pub settings: Vec<Attribute>,
    pub header: Span,
}

/// The name and description of a stack.
#[derive(Debug, Clone)]
pub struct StackInfo {
    pub name: Arc<str>,
    pub description: String,
    /// Of the module, for those who reuse it.
    pub version: Option<Version>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Variable {
    pub name: Ident,
    pub ty: TypeConstraint,
    pub default: Option<Value>,
    pub description: String,
    pub sensitive: bool,
    pub ephemeral: bool,
    pub nullable: bool,
    pub validations: Vec<Condition>,
}

/// A `validation`, `precondition` or `postcondition` block.
#[derive(Debug, Clone)]
pub struct Condition {
    pub condition: Expr,
    pub error_message: Expr,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct Output {
    pub name: Ident,
    pub value: Expr,
    pub description: String,
    pub sensitive: bool,
    pub ephemeral: bool,
    pub depends_on: Vec<Expr>,
    pub preconditions: Vec<Condition>,
}

#[derive(Debug, Clone)]
pub struct Resource {
    pub mode: Mode,
    pub ty: Ident,
    pub name: Ident,
    pub header: Span,
    /// Without the meta-arguments.
    pub body: Body,
    pub repetition: Repetition,
    pub provider: Option<ProviderRef>,
    pub depends_on: Vec<Expr>,
    pub lifecycle: Lifecycle,
    /// A data source of a `check` block: what goes wrong with it is only a warning.
    pub is_in_check: bool,
}

/// `check "NAME" { .. }`: what should hold, and stops nothing if it does not.
#[derive(Debug, Clone)]
pub struct Check {
    pub name: Ident,
    pub asserts: Vec<Condition>,
    pub header: Span,
}

#[derive(Debug, Clone)]
pub enum Repetition {
    Single,
    Count(Expr),
    ForEach(Expr),
}

#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Each true or false, if it is written.
    pub create_before_destroy: Option<Expr>,
    pub prevent_destroy: Option<Expr>,
    pub ignore_changes: Ignore,
    pub replace_triggered_by: Vec<Expr>,
    pub preconditions: Vec<Condition>,
    pub postconditions: Vec<Condition>,
}

/// Which attributes keep their old value whatever the configuration says.
#[derive(Debug, Clone, PartialEq)]
pub enum Ignore {
    All,
    Paths(Vec<value::Path>),
}

impl Default for Ignore {
    fn default() -> Ignore {
        Ignore::Paths(Vec::new())
    }
}

#[derive(Debug, Clone)]
pub struct ModuleCall {
    pub name: Ident,
    pub source: String,
    pub source_span: Span,
    /// The constraint that is written, if there is one; it can be parsed.
    pub version: Option<String>,
    /// Without the meta-arguments.
    pub body: Body,
    pub repetition: Repetition,
    pub depends_on: Vec<Expr>,
    /// Provider of the called module (local name, alias) to provider of the calling one.
    pub providers: Vec<(ProviderRef, ProviderRef)>,
    pub header: Span,
}

/// `name` or `name.alias`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRef {
    pub name: Arc<str>,
    pub alias: Option<Arc<str>>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct RequiredProvider {
    pub source: ProviderSource,
    pub version: Option<String>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct ProviderConfig {
    pub name: Ident,
    pub alias: Option<Arc<str>>,
    pub body: Body,
    pub header: Span,
}

/// `provider_meta "NAME" { .. }` in a `terraform` block: what a module tells a provider of itself.
#[derive(Debug, Clone)]
pub struct ProviderMeta {
    pub name: Ident,
    pub body: Body,
    pub header: Span,
}

/// A copy of a body without some attributes and blocks.
fn without(body: &Body, attributes: &[&str], blocks: &[&str]) -> Body {
    Body {
        attributes: body.attributes.iter().filter(|a| !attributes.contains(&&*a.name.name)).cloned().collect(),
        blocks: body.blocks.iter().filter(|b| !blocks.contains(&&*b.kind.name)).cloned().collect(),
        end: body.end,
    }
}

/// What a block of a certain kind looks like: its labels and the attributes and blocks that it may hold.
pub(crate) struct Shape {
    pub(crate) labels: &'static [&'static str],
    pub(crate) attributes: &'static [&'static str],
    pub(crate) blocks: &'static [&'static str],
}

impl Shape {
    /// Reports what does not belong; `false` if the labels are wrong, so that the block cannot be used.
    pub(crate) fn check(&self, block: &Block, diags: &mut crate::diag::Diagnostics) -> bool {
        use crate::diag::Diagnostic;
        let kind = &block.kind.name;
        for attribute in &block.body.attributes {
            let name = &attribute.name.name;
            if !self.attributes.contains(&&**name) {
                let label = format!("`{kind}` has no argument named `{name}`");
                let diagnostic = Diagnostic::error("unknown argument", label).at(attribute.name.span);
                diags.push(diagnostic.suggest(name, self.attributes.iter().copied()));
            }
        }
        for nested in &block.body.blocks {
            let name = &nested.kind.name;
            if !self.blocks.contains(&&**name) {
                let label = format!("`{kind}` has no block named `{name}`");
                let diagnostic = Diagnostic::error("unknown block", label).at(nested.kind.span);
                diags.push(diagnostic.suggest(name, self.blocks.iter().copied()));
            }
        }
        self.check_labels(block, diags)
    }

    pub(crate) fn check_labels(&self, block: &Block, diags: &mut crate::diag::Diagnostics) -> bool {
        use crate::diag::Diagnostic;
        let fits = block.labels.len() == self.labels.len();
        if !fits {
            let form: String = self.labels.iter().map(|label| format!(" \"{label}\"")).collect();
            let label = match self.labels.len() {
                0 => "this block has no label".to_owned(),
                n => format!("this block has {n} label{}", if n == 1 { "" } else { "s" }),
            };
            let diagnostic = Diagnostic::error("wrong number of labels", label).at(block.header);
            diags.push(diagnostic.note(format!("write it as: {}{form} {{ .. }}", block.kind.name)));
        }
        fits
    }
}
