//! The top-level blocks, but for resources.

use std::sync::Arc;

use value::{Ty, Value};

use super::resource::{condition, declare_call, declare_check, declare_resource, provider_ref};
use super::{
    Backend, ModuleDecl, Output, ProviderConfig, ProviderMeta, RequiredProvider, Shape, StackInfo, Variable, without,
};
use super::{encryption, imports, moves};
use crate::addr::{Mode, ProviderSource};
use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::eval::{self, NoScope};
use crate::lang::types::{self, TypeConstraint};
use crate::syntax::ast::{Block, Body, Expr, ExprKind, ObjectKey};
use crate::version::{Constraints, TERRAFORM, Version};

/// Blocks of the language at the top of a file, for "did you mean".
const TOP_LEVEL: &[&str] = &[
    "check",
    "data",
    "ephemeral",
    "import",
    "locals",
    "module",
    "moved",
    "output",
    "provider",
    "removed",
    "resource",
    "stack",
    "terraform",
    "variable",
];

/// Adds what a file declares to its module.
pub fn declare(module: &mut ModuleDecl, body: &Body, diags: &mut Diagnostics) {
    for attribute in &body.attributes {
        let label = "an argument cannot stand at the top of a file";
        let diagnostic = Diagnostic::error("argument outside of a block", label).at(attribute.name.span);
        diags.push(diagnostic.note("put it into a block, such as `locals { .. }`"));
    }
    for block in &body.blocks {
        match &*block.kind.name {
            "stack" => stack(module, block, diags),
            "variable" => variable(module, block, diags),
            "locals" => locals(module, block, diags),
            "output" => output(module, block, diags),
            "resource" => declare_resource(module, Mode::Managed, block, diags),
            "data" => declare_resource(module, Mode::Data, block, diags),
            "ephemeral" => declare_resource(module, Mode::Ephemeral, block, diags),
            "module" => declare_call(module, block, diags),
            "provider" => provider(module, block, diags),
            "terraform" => terraform(module, block, diags),
            "moved" => moves::moved(module, block, diags),
            "removed" => moves::removed(module, block, diags),
            "check" => declare_check(module, block, diags),
            "import" => imports::import(module, block, diags),
            kind => {
                let label = format!("there is no block named `{kind}`");
                let diagnostic = Diagnostic::error("unknown block", label).at(block.kind.span);
                diags.push(diagnostic.suggest(kind, TOP_LEVEL.iter().copied()));
            }
        }
    }
}

fn stack(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape { labels: &["name"], attributes: &["description", "version"], blocks: &[] };
    if !shape.check(block, diags) {
        return;
    }
    if let Some(first) = &module.stack {
        let diagnostic =
            Diagnostic::error("two stack blocks", "a module has at most one `stack` block").at(block.header);
        diags.push(diagnostic.related(first.span, "the first one is here"));
        return;
    }
    let description = text(&block.body, "description", diags).unwrap_or_default();
    let version = text(&block.body, "version", diags).and_then(|written| {
        let version = Version::parse(&written);
        if version.is_none() {
            let span = block.body.attribute("version").map(|attribute| attribute.expr.span);
            let label = format!("{written:?} is no version; write such as \"1.2.0\"");
            diags.push(Diagnostic::error("invalid version", label).at_opt(span));
        }
        version
    });
    module.stack = Some(StackInfo { name: block.labels[0].name.clone(), description, version, span: block.header });
}

fn variable(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape {
        labels: &["name"],
        attributes: &["default", "description", "ephemeral", "nullable", "sensitive", "type"],
        blocks: &["validation"],
    };
    if !shape.check(block, diags) {
        return;
    }
    let body = &block.body;
    let name = block.labels[0].clone();
    let ty = match body.attribute("type") {
        Some(attribute) => types::constraint(&attribute.expr).unwrap_or_else(|diagnostic| {
            diags.push(diagnostic);
            TypeConstraint::any()
        }),
        None => TypeConstraint::any(),
    };
    let nullable = flag(body, "nullable", diags).unwrap_or(true);
    let sensitive = flag(body, "sensitive", diags).unwrap_or(false);
    let default = body.attribute("default").map(|attribute| {
        let value = eval::evaluate_for(&attribute.expr, sensitive, &NoScope, diags);
        if value.is_null() && !nullable {
            let label = "the default is null, but the variable is not nullable";
            diags.push(Diagnostic::error("invalid default", label).at(attribute.expr.span));
        }
        ty.apply(&value).unwrap_or_else(|error| {
            let error = error.hidden(sensitive);
            let label = format!("this default does not fit the type: {error}");
            diags.push(Diagnostic::error("invalid default", label).at(attribute.expr.span));
            Value::unknown(ty.ty.without_optional())
        })
    });
    let variable = Variable {
        ty,
        default,
        description: text(body, "description", diags).unwrap_or_default(),
        sensitive,
        ephemeral: flag(body, "ephemeral", diags).unwrap_or(false),
        nullable,
        validations: body.blocks_of("validation").filter_map(|block| condition(block, diags)).collect(),
        name: name.clone(),
    };
    if let Some(first) = module.variables.get(&name.name) {
        diags.push(twice("variable", &name.name, name.span, first.name.span));
        return;
    }
    module.variables.insert(name.name, variable);
}

fn locals(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape { labels: &[], attributes: &[], blocks: &[] };
    shape.check_labels(block, diags);
    for nested in &block.body.blocks {
        let label = "`locals` holds arguments only; write `name = { .. }`";
        diags.push(Diagnostic::error("unknown block", label).at(nested.header));
    }
    for attribute in &block.body.attributes {
        if let Some(first) = module.locals.get(&attribute.name.name) {
            diags.push(twice("local value", &attribute.name.name, attribute.name.span, first.name.span));
        } else {
            module.locals.insert(attribute.name.name.clone(), attribute.clone());
        }
    }
}

fn output(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape {
        labels: &["name"],
        attributes: &["depends_on", "description", "ephemeral", "sensitive", "value"],
        blocks: &["precondition"],
    };
    if !shape.check(block, diags) {
        return;
    }
    let name = block.labels[0].clone();
    let Some(value) = block.body.attribute("value") else {
        diags.push(missing("value", block));
        return;
    };
    if let Some(first) = module.outputs.get(&name.name) {
        diags.push(twice("output", &name.name, name.span, first.name.span));
        return;
    }
    let output = Output {
        name: name.clone(),
        value: value.expr.clone(),
        description: text(&block.body, "description", diags).unwrap_or_default(),
        sensitive: flag(&block.body, "sensitive", diags).unwrap_or(false),
        ephemeral: flag(&block.body, "ephemeral", diags).unwrap_or(false),
        depends_on: expressions(&block.body, "depends_on", diags),
        preconditions: block.body.blocks_of("precondition").filter_map(|block| condition(block, diags)).collect(),
    };
    module.outputs.insert(name.name, output);
}

pub(crate) fn provider(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape { labels: &["name"], attributes: &[], blocks: &[] };
    if !shape.check_labels(block, diags) {
        return;
    }
    let name = block.labels[0].clone();
    let alias = text(&block.body, "alias", diags).map(Arc::from);
    if let Some(first) = module.providers.iter().find(|p| p.name.name == name.name && p.alias == alias) {
        let diagnostic = twice("provider configuration", &name.name, block.header, first.header);
        diags.push(diagnostic.note("give one of them an `alias`"));
        return;
    }
    for name in ["count", "for_each"] {
        if let Some(attribute) = block.body.attribute(name) {
            let label = format!("a provider block is one configuration: `{name}` is not supported in it");
            let diagnostic = Diagnostic::error("unsupported argument", label).at(attribute.name.span);
            diags.push(diagnostic.note("write a block with an `alias` of its own for each"));
        }
    }
    let body = without(&block.body, &["alias", "count", "for_each", "version"], &[]);
    module.providers.push(ProviderConfig { name, alias, body, header: block.header });
}

fn terraform(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape {
        labels: &[],
        attributes: &["required_version"],
        blocks: &["backend", "cloud", "encryption", "provider_meta", "required_providers"],
    };
    shape.check(block, diags);
    required_version(&block.body, diags);
    for nested in &block.body.blocks {
        match &*nested.kind.name {
            "required_providers" => required_providers(module, nested, diags),
            "backend" => backend(module, nested, diags),
            "encryption" => encryption::encryption(module, nested, diags),
            "provider_meta" => provider_meta(module, nested, diags),
            "cloud" => {
                diags.push(Diagnostic::error("unsupported block", "`cloud` is not supported").at(nested.header));
            }
            _ => {}
        }
    }
}

fn provider_meta(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape { labels: &["name"], attributes: &[], blocks: &[] };
    if !shape.check_labels(block, diags) {
        return;
    }
    let name = block.labels[0].clone();
    if let Some(first) = module.provider_metas.iter().find(|meta| meta.name.name == name.name) {
        diags.push(twice("provider_meta", &name.name, block.header, first.header));
        return;
    }
    module.provider_metas.push(ProviderMeta { name, body: block.body.clone(), header: block.header });
}

fn backend(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape { labels: &["kind"], attributes: &[], blocks: &[] };
    if !shape.check_labels(block, diags) {
        return;
    }
    for nested in &block.body.blocks {
        let label = format!("a backend has no block `{}` here; its settings are arguments", nested.kind.name);
        diags.push(Diagnostic::error("unsupported block", label).at(nested.header));
    }
    if let Some(first) = &module.backend {
        diags.push(twice("backend", &block.labels[0].name, block.header, first.header));
        return;
    }
    let settings = block.body.attributes.clone();
    module.backend = Some(Backend { kind: block.labels[0].clone(), settings, header: block.header });
}

/// Of the language, which is that of a version of Terraform.
fn required_version(body: &Body, diags: &mut Diagnostics) {
    let Some(attribute) = body.attribute("required_version") else { return };
    let Some(written) = text(body, "required_version", diags) else { return };
    let span = attribute.expr.span;
    match Constraints::parse(&written) {
        Err(invalid) => {
            let diagnostic = Diagnostic::error("invalid version constraint", invalid.to_string()).at(span);
            diags.push(diagnostic.note("write such as \">= 1.5\" or \"~> 1.9, != 1.9.3\""));
        }
        Ok(constraints) if Version::parse(TERRAFORM).is_some_and(|version| !constraints.allow(&version)) => {
            let label =
                format!("this module does not support terraform {TERRAFORM}, whose language this program speaks");
            let diagnostic = Diagnostic::error("unsupported version", label).at(span);
            diags.push(diagnostic.note("take a version of the module that supports it, or change `required_version`"));
        }
        Ok(_) => {}
    }
}

fn required_providers(module: &mut ModuleDecl, block: &Block, diags: &mut Diagnostics) {
    for attribute in &block.body.attributes {
        let name = attribute.name.clone();
        // `configuration_aliases` names configurations instead of giving a value, so the object is read as written.
        let ExprKind::Object(items) = &attribute.expr.kind else {
            let label = "write { source = \"namespace/type\" }";
            diags.push(Diagnostic::error("invalid provider requirement", label).at(attribute.expr.span));
            continue;
        };
        let entry = |wanted: &str| {
            items.iter().find_map(|(key, value)| match key {
                ObjectKey::Name(ident) if &*ident.name == wanted => Some(value),
                ObjectKey::Name(_) | ObjectKey::Expr(_) => None,
            })
        };
        let source = match entry("source") {
            Some(expr) => expr.as_literal_str().and_then(ProviderSource::parse),
            None => ProviderSource::parse(&name.name),
        };
        let Some(source) = source else {
            let label = "a source is written \"type\", \"namespace/type\" or \"host/namespace/type\"";
            diags.push(Diagnostic::error("invalid provider source", label).at(attribute.expr.span));
            continue;
        };
        let version = entry("version").and_then(|expr| match expr.as_literal_str().map(Constraints::parse) {
            Some(Ok(_)) => expr.as_literal_str().map(str::to_owned),
            Some(Err(invalid)) => {
                diags.push(Diagnostic::error("invalid version constraint", invalid.to_string()).at(expr.span));
                None
            }
            None => {
                let label = "fixed text is required here, in quotes and without `${}`";
                diags.push(Diagnostic::error("invalid version constraint", label).at(expr.span));
                None
            }
        });
        module.required_providers.insert(name.name, RequiredProvider { source, version, span: name.span });
    }
}

/// The constant text of an attribute.
pub(crate) fn text(body: &Body, name: &str, diags: &mut Diagnostics) -> Option<String> {
    let attribute = body.attribute(name)?;
    let found = attribute.expr.as_literal_str().map(str::to_owned);
    if found.is_none() {
        let label = "fixed text is required here, in quotes and without `${}`";
        diags.push(Diagnostic::error("invalid argument", label).at(attribute.expr.span));
    }
    found
}

/// The constant truth value of an attribute.
pub(crate) fn flag(body: &Body, name: &str, diags: &mut Diagnostics) -> Option<bool> {
    let attribute = body.attribute(name)?;
    let value = constant(&attribute.expr, diags);
    let found = value::convert::convert(&value, &Ty::Bool).ok().and_then(|value| value.as_bool());
    if found.is_none() {
        let label = "true or false is required here";
        diags.push(Diagnostic::error("invalid argument", label).at(attribute.expr.span));
    }
    found
}

/// A value that refers to nothing; functions may be called.
pub(crate) fn constant(expr: &Expr, diags: &mut Diagnostics) -> Value {
    eval::evaluate(expr, &NoScope, diags)
}

/// The expressions of a list that is not evaluated, as in `depends_on`.
pub(crate) fn expressions(body: &Body, name: &str, diags: &mut Diagnostics) -> Vec<Expr> {
    match body.attribute(name) {
        None => Vec::new(),
        Some(attribute) => match &attribute.expr.kind {
            ExprKind::Tuple(items) => items.clone(),
            _ => {
                let label = format!("`{name}` is a list of references, such as [lamp_cluster.web]");
                diags.push(Diagnostic::error("invalid argument", label).at(attribute.expr.span));
                Vec::new()
            }
        },
    }
}

pub(crate) fn missing(name: &str, block: &Block) -> Diagnostic {
    let label = format!("`{}` needs the argument `{name}`", block.kind.name);
    Diagnostic::error("missing argument", label).at(block.header)
}

pub(crate) fn twice(what: &str, name: &str, span: crate::source::Span, first: crate::source::Span) -> Diagnostic {
    Diagnostic::error("declared twice", format!("the {what} `{name}` is already declared"))
        .at(span)
        .related(first, "it was declared here")
}

/// Kept here so that `provider = x.y` and `providers = { .. }` read the same.
pub(crate) fn provider_argument(body: &Body, diags: &mut Diagnostics) -> Option<super::ProviderRef> {
    body.attribute("provider").and_then(|attribute| provider_ref(&attribute.expr, diags))
}
