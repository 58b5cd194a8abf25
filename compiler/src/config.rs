//! Configuration: what the text asks for, with no expression left.

use std::collections::BTreeSet;
use std::sync::Arc;

use value::schema::Schema;
use value::{Path, Value};

use crate::addr::{InstanceAddr, ProviderAddr, ResourceAddr};
use crate::lang::declare::Ignore;
use crate::lang::eval::body::Spans;
use crate::source::Span;

/// An instance of a resource or data source as it shall be.
#[derive(Debug, Clone)]
pub struct DesiredInstance {
    pub addr: InstanceAddr,
    pub provider: ProviderAddr,
    pub schema: Arc<Schema>,
    /// An object of the schema's type; may hold unknown parts and marks.
    pub config: Value,
    /// The resources that the configuration refers to, directly or through names, and `depends_on`.
    pub dependencies: Arc<BTreeSet<ResourceAddr>>,
    /// Of a data source: the managed resources whose changes are to be made before it is read.
    pub awaits: Arc<BTreeSet<ResourceAddr>>,
    pub lifecycle: DesiredLifecycle,
    /// What goes wrong with it is only a warning.
    pub may_fail: bool,
    pub spans: Spans,
    /// The header of the block.
    pub span: Span,
}

#[derive(Debug, Clone)]
pub struct DesiredLifecycle {
    pub create_before_destroy: bool,
    pub prevent_destroy: bool,
    pub ignore_changes: Ignore,
    /// Instances, or all of a resource's instances, whose change replaces this one; with an attribute, only a
    /// change of that.
    pub replace_triggered_by: Vec<(ResourceAddr, Option<InstanceAddr>, Path)>,
}

/// A provider configuration as it shall be.
#[derive(Debug, Clone)]
pub struct DesiredProvider {
    pub addr: ProviderAddr,
    pub config: Value,
    pub spans: Spans,
    pub span: Option<Span>,
}

/// An output of the root module.
#[derive(Debug, Clone, PartialEq)]
pub struct RootOutput {
    pub name: Arc<str>,
    pub value: Value,
    pub sensitive: bool,
    pub description: String,
}
