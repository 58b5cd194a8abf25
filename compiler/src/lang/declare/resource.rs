//! `resource`, `data` and `module` blocks: the meta-arguments and what is left for the schema.

use value::{Path, Step};

use super::blocks::{expressions, missing, provider_argument, text, twice};
use super::{
    Check, Condition, Ignore, Lifecycle, ModuleCall, ModuleDecl, ProviderRef, Repetition, Resource, Shape, without,
};
use crate::addr::Mode;
use crate::diag::{Diagnostic, Diagnostics};
use crate::syntax::ast::{Block, Body, Expr, ExprKind, ObjectKey, StepKind};
use crate::version::Constraints;

const META: &[&str] = &["count", "depends_on", "for_each", "provider"];

pub(super) fn declare_resource(module: &mut ModuleDecl, mode: Mode, block: &Block, diags: &mut Diagnostics) {
    declare(module, mode, block, false, diags);
}

pub(super) fn declare_check(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape { labels: &["name"], attributes: &[], blocks: &["assert", "data"] };
    if !shape.check(block, diags) {
        return;
    }
    let name = block.labels[0].clone();
    if let Some(first) = module.checks.get(&name.name) {
        diags.push(twice("check", &name.name, block.header, first.header));
        return;
    }
    let asserts: Vec<Condition> =
        block.body.blocks_of("assert").filter_map(|assert| condition(assert, diags)).collect();
    if block.body.blocks_of("assert").next().is_none() {
        let label = "a check has at least one `assert` block";
        diags.push(Diagnostic::error("nothing is checked", label).at(block.header));
    }
    let mut data = block.body.blocks_of("data");
    if let Some(data) = data.next() {
        declare(module, Mode::Data, data, true, diags);
    }
    if let Some(second) = data.next() {
        diags.push(Diagnostic::error("two data sources", "a check has at most one of its own").at(second.header));
    }
    module.checks.insert(name.name.clone(), Check { name, asserts, header: block.header });
}

fn declare(module: &mut ModuleDecl, mode: Mode, block: &Block, is_in_check: bool, diags: &mut Diagnostics) {
    let shape = Shape { labels: &["type", "name"], attributes: &[], blocks: &[] };
    if !shape.check_labels(block, diags) {
        return;
    }
    let [ty, name] = [block.labels[0].clone(), block.labels[1].clone()];
    for unsupported in ["connection", "provisioner"] {
        for nested in block.body.blocks_of(unsupported) {
            let label = format!("`{unsupported}` blocks are not supported");
            let diagnostic = Diagnostic::error("unsupported block", label).at(nested.header);
            diags.push(diagnostic.note("files and services of a machine belong into a provider's configuration"));
        }
    }
    let resource = Resource {
        mode,
        header: block.header,
        repetition: repetition(&block.body, diags),
        provider: provider_argument(&block.body, diags),
        depends_on: expressions(&block.body, "depends_on", diags),
        lifecycle: lifecycle(&block.body, mode, diags),
        body: without(&block.body, META, &["lifecycle", "connection", "provisioner"]),
        ty: ty.clone(),
        name: name.clone(),
        is_in_check,
    };
    let key = (mode, ty.name, name.name.clone());
    if let Some(first) = module.resources.get(&key) {
        diags.push(twice("resource", &format!("{}.{}", key.1, key.2), block.header, first.header));
        return;
    }
    module.resources.insert(key, resource);
}

pub(super) fn declare_call(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape { labels: &["name"], attributes: &[], blocks: &[] };
    if !shape.check_labels(block, diags) {
        return;
    }
    let name = block.labels[0].clone();
    for nested in &block.body.blocks {
        let label = "a module call has arguments only; write `name = { .. }`";
        diags.push(Diagnostic::error("unknown block", label).at(nested.header));
    }
    let Some(source) = block.body.attribute("source") else {
        diags.push(missing("source", block));
        return;
    };
    let call = ModuleCall {
        source: text(&block.body, "source", diags).unwrap_or_default(),
        version: version(&block.body, diags),
        source_span: source.expr.span,
        repetition: repetition(&block.body, diags),
        depends_on: expressions(&block.body, "depends_on", diags),
        providers: passed_providers(&block.body, diags),
        body: without(&block.body, &["count", "depends_on", "for_each", "providers", "source", "version"], &[]),
        header: block.header,
        name: name.clone(),
    };
    if let Some(first) = module.calls.get(&name.name) {
        diags.push(twice("module call", &name.name, block.header, first.header));
        return;
    }
    module.calls.insert(name.name, call);
}

/// The versions of a module that are right.
fn version(body: &Body, diags: &mut Diagnostics) -> Option<String> {
    let written = text(body, "version", diags)?;
    if let Err(invalid) = Constraints::parse(&written) {
        let span = body.attribute("version").map(|attribute| attribute.expr.span);
        let diagnostic = Diagnostic::error("invalid version constraint", invalid.to_string()).at_opt(span);
        diags
            .push(diagnostic.note("write such as \"1.2.0\", \"~> 1.2\" (1.2 or higher, below 2) or \">= 1.2, < 1.5\""));
        return None;
    }
    Some(written)
}

fn repetition(body: &Body, diags: &mut Diagnostics) -> Repetition {
    match (body.attribute("count"), body.attribute("for_each")) {
        (Some(count), Some(for_each)) => {
            let diagnostic =
                Diagnostic::error("both count and for_each", "use one or the other").at(for_each.name.span);
            diags.push(diagnostic.related(count.name.span, "`count` is set here"));
            Repetition::Single
        }
        (Some(count), None) => Repetition::Count(count.expr.clone()),
        (None, Some(for_each)) => Repetition::ForEach(for_each.expr.clone()),
        (None, None) => Repetition::Single,
    }
}

fn lifecycle(body: &Body, mode: Mode, diags: &mut Diagnostics) -> Lifecycle {
    let mut blocks = body.blocks_of("lifecycle");
    let Some(block) = blocks.next() else { return Lifecycle::default() };
    if let Some(second) = blocks.next() {
        diags.push(twice("block", "lifecycle", second.header, block.header));
    }
    let shape = match mode {
        Mode::Managed => Shape {
            labels: &[],
            attributes: &["create_before_destroy", "ignore_changes", "prevent_destroy", "replace_triggered_by"],
            blocks: &["postcondition", "precondition"],
        },
        Mode::Data | Mode::Ephemeral => {
            Shape { labels: &[], attributes: &[], blocks: &["postcondition", "precondition"] }
        }
    };
    shape.check(block, diags);
    let body = &block.body;
    Lifecycle {
        create_before_destroy: body.attribute("create_before_destroy").map(|attribute| attribute.expr.clone()),
        prevent_destroy: body.attribute("prevent_destroy").map(|attribute| attribute.expr.clone()),
        ignore_changes: ignore_changes(body, diags),
        replace_triggered_by: expressions(body, "replace_triggered_by", diags),
        preconditions: body.blocks_of("precondition").filter_map(|block| condition(block, diags)).collect(),
        postconditions: body.blocks_of("postcondition").filter_map(|block| condition(block, diags)).collect(),
    }
}

fn ignore_changes(body: &Body, diags: &mut Diagnostics) -> Ignore {
    let is_all = |expr: &Expr| matches!(&expr.kind, ExprKind::Name(name) if &**name == "all");
    if body.attribute("ignore_changes").is_some_and(|attribute| is_all(&attribute.expr)) {
        return Ignore::All;
    }
    let mut paths = Vec::new();
    for expr in expressions(body, "ignore_changes", diags) {
        match attribute_path(&expr) {
            Some(path) => paths.push(path),
            None => {
                let label = "an attribute of this resource is required here, such as `nodes` or `tags[\"x\"]`";
                diags.push(Diagnostic::error("invalid argument", label).at(expr.span));
            }
        }
    }
    Ignore::Paths(paths)
}

/// `a.b["k"][0]` as a path.
fn attribute_path(expr: &Expr) -> Option<Path> {
    match &expr.kind {
        ExprKind::Name(name) => Some(Path::attribute(name.clone())),
        ExprKind::Access(base, steps) => {
            let mut path = attribute_path(base)?;
            for step in steps {
                path.0.push(match &step.kind {
                    StepKind::Attribute(name) => Step::Attribute(name.clone()),
                    StepKind::Index(index) => match &index.kind {
                        ExprKind::Literal(value::Value::String(key)) => Step::Key(key.clone()),
                        ExprKind::Literal(value::Value::Number(number)) => Step::Index(number.to_usize()?),
                        _ => return None,
                    },
                    StepKind::Splat { .. } => return None,
                });
            }
            Some(path)
        }
        _ => None,
    }
}

pub(crate) fn condition(block: &Block, diags: &mut Diagnostics) -> Option<Condition> {
    let shape = Shape { labels: &[], attributes: &["condition", "error_message"], blocks: &[] };
    shape.check(block, diags);
    match (block.body.attribute("condition"), block.body.attribute("error_message")) {
        (Some(condition), Some(error_message)) => Some(Condition {
            condition: condition.expr.clone(),
            error_message: error_message.expr.clone(),
            span: condition.expr.span,
        }),
        (None, _) => {
            diags.push(missing("condition", block));
            None
        }
        (_, None) => {
            diags.push(missing("error_message", block));
            None
        }
    }
}

pub(super) fn provider_ref(expr: &Expr, diags: &mut Diagnostics) -> Option<ProviderRef> {
    let names = match expr.as_literal_str() {
        // Quotes are an old form that Terraform still reads.
        Some(text) => Some(text.split('.').collect()),
        None => expr.as_dotted(),
    };
    match names.as_deref() {
        Some([name]) => Some(ProviderRef { name: (*name).into(), alias: None, span: expr.span }),
        Some([name, alias]) => {
            Some(ProviderRef { name: (*name).into(), alias: Some((*alias).into()), span: expr.span })
        }
        _ => {
            let label = "a provider is written `name` or `name.alias`";
            let diagnostic = Diagnostic::error("invalid provider reference", label).at(expr.span);
            diags.push(diagnostic.note("which configuration it is cannot depend on a key"));
            None
        }
    }
}

pub(crate) fn passed_providers(body: &Body, diags: &mut Diagnostics) -> Vec<(ProviderRef, ProviderRef)> {
    let Some(attribute) = body.attribute("providers") else { return Vec::new() };
    let ExprKind::Object(items) = &attribute.expr.kind else {
        let label = "write { name_in_the_module = name_here }";
        diags.push(Diagnostic::error("invalid argument", label).at(attribute.expr.span));
        return Vec::new();
    };
    let mut passed = Vec::new();
    for (key, value) in items {
        let inner = match key {
            ObjectKey::Name(ident) => Some(ProviderRef { name: ident.name.clone(), alias: None, span: ident.span }),
            ObjectKey::Expr(expr) => provider_ref(expr, diags),
        };
        if let (Some(inner), Some(outer)) = (inner, provider_ref(value, diags)) {
            passed.push((inner, outer));
        }
    }
    passed
}
