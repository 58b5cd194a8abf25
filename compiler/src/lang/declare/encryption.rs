//! `encryption { .. }` in a `terraform` block, as OpenTofu has it ("State and Plan Encryption" in its documentation).

use std::sync::Arc;

use super::{ModuleDecl, Shape};
use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::eval::{self, NoScope};
use crate::source::Span;
use crate::syntax::ast::{Block, Body, Expr, ExprKind, Ident, Step, StepKind};
use value::Value;

#[derive(Debug, Clone, Default)]
pub struct EncryptionDecl {
    pub key_providers: Vec<Named>,
    pub methods: Vec<Named>,
    pub state: Option<Target>,
    pub plan: Option<Target>,
    pub remote_states: RemoteStates,
    pub header: Option<Span>,
}

/// States of other stacks.
#[derive(Debug, Clone, Default)]
pub struct RemoteStates {
    pub default: Option<Target>,
    pub named: Vec<(Arc<str>, Target)>,
}

/// `key_provider "TYPE" "NAME" { .. }`, `method "TYPE" "NAME" { .. }`.
#[derive(Debug, Clone)]
pub struct Named {
    pub ty: Ident,
    pub name: Ident,
    pub body: Body,
    pub header: Span,
}

/// What is encrypted, and how; it is read by the fallbacks, too.
#[derive(Debug, Clone)]
pub struct Target {
    /// The type and the name of a method.
    pub method: Option<(Arc<str>, Arc<str>)>,
    pub enforced: bool,
    pub fallback: Option<Box<Target>>,
    pub span: Span,
}

pub(super) fn encryption(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    if let Some(first) = module.encryption.as_ref().and_then(|encryption| encryption.header) {
        let diagnostic = Diagnostic::error("two encryption blocks", "a module has at most one").at(block.header);
        diags.push(diagnostic.related(first, "the first one is here"));
        return;
    }
    let shape = Shape { labels: &[], attributes: &[], blocks: BLOCKS };
    if shape.check(block, diags) {
        let read = body(&block.body, diags);
        module.encryption = Some(EncryptionDecl { header: Some(block.header), ..read });
    }
}

const BLOCKS: &[&str] = &["key_provider", "method", "plan", "remote_state_data_sources", "state"];

/// What is in the block; the variable TF_ENCRYPTION has only that.
pub fn body(body: &Body, diags: &mut Diagnostics) -> EncryptionDecl {
    let mut read = EncryptionDecl::default();
    for block in &body.blocks {
        match &*block.kind.name {
            "key_provider" => read.key_providers.extend(named(block, &read.key_providers, diags)),
            "method" => read.methods.extend(named(block, &read.methods, diags)),
            "state" => once(&mut read.state, block, diags),
            "plan" => once(&mut read.plan, block, diags),
            "remote_state_data_sources" => remote_states(&mut read.remote_states, block, diags),
            other => {
                let label = format!("`encryption` has no block named `{other}`");
                let diagnostic = Diagnostic::error("unknown block", label).at(block.kind.span);
                diags.push(diagnostic.suggest(other, BLOCKS.iter().copied()));
            }
        }
    }
    read
}

fn named(block: &Block, others: &[Named], diags: &mut Diagnostics) -> Option<Named> {
    let shape = Shape { labels: &["type", "name"], attributes: &[], blocks: &[] };
    if !shape.check_labels(block, diags) {
        return None;
    }
    let (ty, name) = (block.labels[0].clone(), block.labels[1].clone());
    if let Some(first) = others.iter().find(|other| (&other.ty.name, &other.name.name) == (&ty.name, &name.name)) {
        let label = format!("`{}.{}.{}` is there already", block.kind.name, ty.name, name.name);
        let diagnostic = Diagnostic::error("declared twice", label).at(block.header);
        diags.push(diagnostic.related(first.header, "the first one is here"));
        return None;
    }
    Some(Named { ty, name, body: block.body.clone(), header: block.header })
}

fn once(place: &mut Option<Target>, block: &Block, diags: &mut Diagnostics) {
    if let Some(first) = place {
        let label = format!("`{}` is there already", block.kind.name);
        diags.push(
            Diagnostic::error("declared twice", label).at(block.header).related(first.span, "the first one is here"),
        );
        return;
    }
    *place = target(block, &[], true, diags);
}

fn again(name: &str, block: &Block, first: Span) -> Diagnostic {
    let label = format!("`{name}` is there already");
    Diagnostic::error("declared twice", label).at(block.header).related(first, "the first one is here")
}

fn remote_states(found: &mut RemoteStates, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape { labels: &[], attributes: &[], blocks: &["default", "remote_state_data_source"] };
    if !shape.check(block, diags) {
        return;
    }
    for inner in &block.body.blocks {
        if &*inner.kind.name == "default" {
            if let Some(first) = &found.default {
                diags.push(again("default", inner, first.span));
            }
            found.default = target(inner, &[], false, diags);
        } else if let Some(target) = target(inner, &["name"], false, diags) {
            let name = inner.labels[0].name.clone();
            if let Some((_, first)) = found.named.iter().find(|(known, _)| *known == name) {
                diags.push(again(&name, inner, first.span));
            }
            found.named.push((name, target));
        }
    }
}

fn target(
    block: &Block,
    labels: &'static [&'static str],
    may_enforce: bool,
    diags: &mut Diagnostics,
) -> Option<Target> {
    let attributes: &[&str] = if may_enforce { &["enforced", "method"] } else { &["method"] };
    let shape = Shape { labels, attributes, blocks: &["fallback"] };
    if !shape.check(block, diags) {
        return None;
    }
    let method = block.body.attribute("method").and_then(|attribute| {
        let found = reference(&attribute.expr, "method");
        if found.is_none() {
            let label = "a method is required here, such as method.aes_gcm.name";
            diags.push(Diagnostic::error("invalid method", label).at(attribute.expr.span));
        }
        found
    });
    let mut enforced = false;
    if let Some(attribute) = block.body.attribute("enforced") {
        match eval::evaluate(&attribute.expr, &NoScope, diags) {
            Value::Bool(value) => enforced = value,
            _ => {
                diags.push(Diagnostic::error("wrong type", "true or false is required here").at(attribute.expr.span));
            }
        }
    }
    let mut fallbacks = block.body.blocks_of("fallback");
    let first = fallbacks.next();
    if let (Some(first), Some(second)) = (first, fallbacks.next()) {
        diags.push(again("fallback", second, first.header).note("a further one stands within the first"));
    }
    let fallback = first.and_then(|inner| target(inner, &[], false, diags));
    Some(Target { method, enforced, fallback: fallback.map(Box::new), span: block.header })
}

/// `KIND.TYPE.NAME`, which is never evaluated.
pub(crate) fn reference(expr: &Expr, kind: &str) -> Option<(Arc<str>, Arc<str>)> {
    let ExprKind::Access(base, steps) = &expr.kind else { return None };
    let ExprKind::Name(root) = &base.kind else { return None };
    let [Step { kind: StepKind::Attribute(ty), .. }, Step { kind: StepKind::Attribute(name), .. }] = steps.as_slice()
    else {
        return None;
    };
    (&**root == kind).then(|| (ty.clone(), name.clone()))
}
