//! A test file's text to its declarations.

use super::{Command, MockDefaults, MockProvider, Override, OverrideKind, TestFile, TestRun};
use crate::addr::Mode;
use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::declare::blocks::{expressions, flag, missing, text, twice};
use crate::lang::declare::resource::{condition, passed_providers};
use crate::lang::declare::{ModuleDecl, Shape, declare_provider};
use crate::source::{FileId, SourceMap};
use crate::syntax::ast::{Block, Body, Expr};
use crate::syntax::{self};

const TOP_LEVEL: &[&str] =
    &["mock_provider", "override_data", "override_module", "override_resource", "provider", "run", "variables"];

/// Reads a test file. What could be read is there even if there are errors.
pub fn read(file: FileId, sources: &SourceMap) -> (TestFile, Diagnostics) {
    let (body, mut diags) = syntax::parse_file(file, sources);
    let mut test = TestFile::default();
    for attribute in &body.attributes {
        let label = "an argument cannot stand at the top of a test file";
        let diagnostic = Diagnostic::error("argument outside of a block", label).at(attribute.name.span);
        diags.push(diagnostic.note("values for variables stand in `variables { .. }`"));
    }
    // Provider blocks are those of a module.
    let mut module = ModuleDecl::default();
    for block in &body.blocks {
        match &*block.kind.name {
            "variables" => test.variables.extend(variables(block, &mut diags)),
            "provider" => declare_provider(&mut module, block, &mut diags),
            "mock_provider" => test.mocks.extend(mock_provider(block, &mut diags)),
            "run" => run(&mut test, block, &mut diags),
            kind => match override_kind(kind) {
                Some(kind) => test.overrides.extend(read_override(kind, block, &mut diags)),
                None => {
                    let label = format!("a test file has no block named `{kind}`");
                    let diagnostic = Diagnostic::error("unknown block", label).at(block.kind.span);
                    diags.push(diagnostic.suggest(kind, TOP_LEVEL.iter().copied()));
                }
            },
        }
    }
    test.providers = module.providers;
    (test, diags)
}

fn override_kind(kind: &str) -> Option<OverrideKind> {
    match kind {
        "override_resource" => Some(OverrideKind::Resource),
        "override_data" => Some(OverrideKind::Data),
        "override_module" => Some(OverrideKind::Module),
        _ => None,
    }
}

fn variables(block: &Block, diags: &mut Diagnostics) -> Vec<crate::syntax::ast::Attribute> {
    let shape = Shape { labels: &[], attributes: &[], blocks: &[] };
    shape.check_labels(block, diags);
    for nested in &block.body.blocks {
        let label = "`variables` holds arguments only; write `name = { .. }`";
        diags.push(Diagnostic::error("unknown block", label).at(nested.header));
    }
    block.body.attributes.clone()
}

fn run(test: &mut TestFile, block: &Block, diags: &mut Diagnostics) {
    let shape = Shape {
        labels: &["name"],
        attributes: &["command", "expect_failures", "providers", "snapshot", "state_key"],
        blocks: &[
            "assert",
            "module",
            "override_data",
            "override_module",
            "override_resource",
            "plan_options",
            "variables",
        ],
    };
    if !shape.check(block, diags) {
        return;
    }
    let body = &block.body;
    let name = block.labels[0].clone();
    // Terraform asks for the same; the name is a folder of snapshots, too.
    let is_identifier = name.name.starts_with(|ch: char| ch.is_alphabetic() || ch == '_')
        && name.name.chars().all(|ch| ch.is_alphanumeric() || ch == '_' || ch == '-');
    if !is_identifier {
        let label = "a name of letters, digits, _ and - is required, which begins with a letter";
        diags.push(Diagnostic::error("invalid name", label).at(name.span));
        return;
    }
    if let (Some(snapshot), Some(failures)) = (body.attribute("snapshot"), body.attribute("expect_failures")) {
        let label = "a run that is expected to fail has no plan to keep";
        let diagnostic = Diagnostic::error("snapshot of a failure", label).at(snapshot.name.span);
        diags.push(diagnostic.related(failures.name.span, "the failure is expected here"));
    }
    if let Some(first) = test.runs.iter().find(|run| run.name.name == name.name) {
        diags.push(twice("run", &name.name, name.span, first.name.span));
        return;
    }
    let overrides = body.blocks.iter().filter_map(|nested| {
        let kind = override_kind(&nested.kind.name)?;
        read_override(kind, nested, diags)
    });
    let overrides = overrides.collect();
    test.runs.push(TestRun {
        command: command(body, diags),
        variables: body.blocks_of("variables").flat_map(|block| variables(block, diags)).collect(),
        module: body.blocks_of("module").next().and_then(|block| module(block, diags)),
        providers: passed_providers(body, diags),
        asserts: body.blocks_of("assert").filter_map(|block| condition(block, diags)).collect(),
        expect_failures: expressions(body, "expect_failures", diags),
        overrides,
        refresh: body.blocks_of("plan_options").next().is_none_or(|block| refresh(block, diags)),
        state_key: text(body, "state_key", diags),
        snapshot: flag(body, "snapshot", diags).unwrap_or(false),
        span: block.header,
        name,
    });
}

fn command(body: &Body, diags: &mut Diagnostics) -> Command {
    let Some(attribute) = body.attribute("command") else { return Command::Apply };
    match keyword(&attribute.expr) {
        Some("plan") => Command::Plan,
        Some("apply") => Command::Apply,
        _ => {
            diags.push(
                Diagnostic::error("invalid argument", "`plan` or `apply` is required here").at(attribute.expr.span),
            );
            Command::Apply
        }
    }
}

/// A bare word.
fn keyword(expr: &Expr) -> Option<&str> {
    match expr.as_dotted()?.as_slice() {
        [word] => Some(word),
        _ => None,
    }
}

fn module(block: &Block, diags: &mut Diagnostics) -> Option<(String, crate::source::Span)> {
    let shape = Shape { labels: &[], attributes: &["source", "version"], blocks: &[] };
    shape.check(block, diags);
    let Some(source) = block.body.attribute("source") else {
        diags.push(missing("source", block));
        return None;
    };
    if let Some(version) = block.body.attribute("version") {
        let label = "a run tests a local folder, which has no versions";
        diags.push(Diagnostic::error("unsupported argument", label).at(version.name.span));
    }
    Some((text(&block.body, "source", diags)?, source.expr.span))
}

fn refresh(block: &Block, diags: &mut Diagnostics) -> bool {
    let shape = Shape { labels: &[], attributes: &["mode", "refresh", "replace", "target"], blocks: &[] };
    shape.check(block, diags);
    for attribute in &block.body.attributes {
        let name = &*attribute.name.name;
        let is_normal = name == "mode" && keyword(&attribute.expr) == Some("normal");
        if !is_normal && name != "refresh" {
            let label = format!("`{name}` is not supported yet");
            diags.push(Diagnostic::error("unsupported argument", label).at(attribute.name.span));
        }
    }
    flag(&block.body, "refresh", diags).unwrap_or(true)
}

/// `override_during = plan | apply`.
fn during_plan(body: &Body, diags: &mut Diagnostics) -> Option<bool> {
    let attribute = body.attribute("override_during")?;
    match keyword(&attribute.expr) {
        Some("plan") => Some(true),
        Some("apply") => Some(false),
        _ => {
            diags.push(
                Diagnostic::error("invalid argument", "`plan` or `apply` is required here").at(attribute.expr.span),
            );
            None
        }
    }
}

fn read_override(kind: OverrideKind, block: &Block, diags: &mut Diagnostics) -> Option<Override> {
    let values = if kind == OverrideKind::Module { "outputs" } else { "values" };
    let attributes: &[&str] = match kind {
        OverrideKind::Module => &["outputs", "override_during", "target"],
        OverrideKind::Resource | OverrideKind::Data => &["override_during", "target", "values"],
    };
    Shape { labels: &[], attributes, blocks: &[] }.check(block, diags);
    let Some(target) = block.body.attribute("target") else {
        diags.push(missing("target", block));
        return None;
    };
    Some(Override {
        kind,
        target: target.expr.clone(),
        values: block.body.attribute(values).map(|attribute| attribute.expr.clone()),
        during_plan: during_plan(&block.body, diags),
        span: block.header,
    })
}

fn mock_provider(block: &Block, diags: &mut Diagnostics) -> Option<MockProvider> {
    let shape = Shape {
        labels: &["name"],
        attributes: &["alias", "override_during", "source"],
        blocks: &["mock_data", "mock_resource", "override_data", "override_resource"],
    };
    if !shape.check(block, diags) {
        return None;
    }
    let body = &block.body;
    if let Some(source) = body.attribute("source") {
        let label = "mocks in files of their own (`source`) are not supported yet";
        diags.push(Diagnostic::error("unsupported argument", label).at(source.name.span));
    }
    let mut mock = MockProvider {
        name: block.labels[0].clone(),
        alias: text(body, "alias", diags).map(std::sync::Arc::from),
        defaults: Vec::new(),
        overrides: Vec::new(),
        during_plan: during_plan(body, diags).unwrap_or(false),
    };
    for nested in &body.blocks {
        let mode = match &*nested.kind.name {
            "mock_resource" => Mode::Managed,
            "mock_data" => Mode::Data,
            kind => {
                mock.overrides.extend(override_kind(kind).and_then(|kind| read_override(kind, nested, diags)));
                continue;
            }
        };
        let shape = Shape { labels: &["type"], attributes: &["defaults", "override_during"], blocks: &[] };
        if shape.check(nested, diags) {
            mock.defaults.push(MockDefaults {
                mode,
                ty: nested.labels[0].clone(),
                defaults: nested.body.attribute("defaults").map(|attribute| attribute.expr.clone()),
                during_plan: during_plan(&nested.body, diags),
            });
        }
    }
    Some(mock)
}
