//! Tests of modules: `*.tftest.hcl`, Terraform's language for them, and `snapshot`, which is ours.
//!
//! Here is what a test file says; `engine::testing` runs it. Terraform's documentation of the language: "Tests", in
//! the configuration language.

mod declare;
mod scope;

use std::sync::Arc;

use crate::addr::Mode;
use crate::lang::declare::{Condition, ProviderConfig, ProviderRef};
use crate::source::Span;
use crate::syntax::ast::{Attribute, Expr, Ident};

pub use declare::read;
pub use scope::TestScope;

#[derive(Debug, Clone, Default)]
pub struct TestFile {
    pub variables: Vec<Attribute>,
    /// In place of the module's own configurations of the same names.
    pub providers: Vec<ProviderConfig>,
    pub mocks: Vec<MockProvider>,
    pub overrides: Vec<Override>,
    pub runs: Vec<TestRun>,
}

/// `run "name" { .. }`: one plan or apply, and what must hold then.
#[derive(Debug, Clone)]
pub struct TestRun {
    pub name: Ident,
    pub command: Command,
    pub variables: Vec<Attribute>,
    /// Another module than the one that is tested, such as one that prepares something: its folder.
    pub module: Option<(String, Span)>,
    /// Provider of the module (local name, alias) to provider of the test file.
    pub providers: Vec<(ProviderRef, ProviderRef)>,
    pub asserts: Vec<Condition>,
    /// What must fail: `var.nodes`, `output.url`, `lamp_cluster.web`.
    pub expect_failures: Vec<Expr>,
    pub overrides: Vec<Override>,
    /// Whether the plan asks the providers what there is.
    pub refresh: bool,
    /// Runs of the same key share their state; those of one module, if there is none.
    pub state_key: Option<String>,
    /// Whether what it plans is compared with what it planned when it was accepted. Terraform does not know it.
    pub snapshot: bool,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Plan,
    Apply,
}

/// A provider that makes nothing: what it would compute is made up, or given here.
#[derive(Debug, Clone)]
pub struct MockProvider {
    pub name: Ident,
    pub alias: Option<Arc<str>>,
    pub defaults: Vec<MockDefaults>,
    pub overrides: Vec<Override>,
    /// What `mock_resource`, `mock_data` and overrides in here do that do not say it themselves. A type without a block of
    /// its own has its values only after apply, as in Terraform.
    pub during_plan: bool,
}

/// `mock_resource "type" { defaults = { .. } }`.
#[derive(Debug, Clone)]
pub struct MockDefaults {
    pub mode: Mode,
    pub ty: Ident,
    pub defaults: Option<Expr>,
    pub during_plan: Option<bool>,
}

/// What one resource, data source or module gives in place of its own.
#[derive(Debug, Clone)]
pub struct Override {
    pub kind: OverrideKind,
    /// `lamp_cluster.web`, `module.lamp.lamp_cluster.web[0]`, `module.lamp`.
    pub target: Expr,
    pub values: Option<Expr>,
    pub during_plan: Option<bool>,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverrideKind {
    Resource,
    Data,
    Module,
}
