//! The program that a run tests: the module itself or another one, with the test's providers in place of the module's,
//! and with what it overrides.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use compiler::addr::{Mode, ProviderAddr, ProviderSource, ResourceAddr};
use compiler::binding::Schemas;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::evaluation::RunOutputs;
use compiler::lang::declare::{ModuleDecl, Output, ProviderConfig, ProviderRef};
use compiler::program::{self, Program, ROOT};
use compiler::source::{SourceLoader, SourceMap, Span};
use compiler::syntax::ast::{Expr, ExprKind};
use compiler::testing::{MockProvider, Override, OverrideKind, TestFile, TestRun, TestScope};
use indexmap::IndexMap;
use value::{Ty, Value};

use super::substitute::{Substitutes, Target, Values};

/// The module that a run is about.
pub(super) fn of_run(
    tested: &Program,
    test: &TestRun,
    loader: &dyn SourceLoader,
    sources: &mut SourceMap,
) -> (Program, Diagnostics) {
    let Some((source, span)) = &test.module else { return (tested.clone(), Diagnostics::default()) };
    if !program::is_local(source) {
        let diagnostic = Diagnostic::error("unsupported module source", "a run tests a local folder").at(*span);
        return (Program::default(), Diagnostics(vec![diagnostic.note("write a path that starts with ./ or ../")]));
    }
    program::load(source.trim_end_matches('/'), loader, sources)
}

/// A program, and what stands in front of its providers.
#[derive(Clone)]
pub(super) struct Substitution {
    pub(super) program: Arc<Program>,
    pub(super) by_provider: HashMap<ProviderAddr, Arc<Substitutes>>,
    /// For providers that are not named there.
    pub(super) everywhere: Arc<Substitutes>,
    /// Overrides of what is not there.
    pub(super) warnings: Diagnostics,
}

impl Substitution {
    /// Values for attributes that do not exist. They are ignored, as Terraform does, and not in silence.
    pub(super) fn unknown_attributes(&self, schemas: &Schemas) -> Diagnostics {
        let mut found: BTreeMap<(Span, Arc<str>), Diagnostic> = BTreeMap::new();
        for substitutes in self.by_provider.values().chain([&self.everywhere]) {
            let defaults = substitutes.defaults.iter().map(|(mode, ty, values)| (*mode, ty.clone(), values));
            let overrides = substitutes.overrides.iter().map(|(target, values)| {
                let resource = target.resource();
                (resource.mode, resource.ty, values)
            });
            for (mode, ty, values) in defaults.chain(overrides) {
                let Some(schema) = schemas.values().find_map(|schemas| schemas.get(mode, &ty)) else { continue };
                let (known, Some(span)) = (&schema.block, values.span) else { continue };
                let names =
                    values.given.as_ref().and_then(Value::as_entries).into_iter().flatten().map(|(name, _)| name);
                for name in
                    names.filter(|name| !known.attributes.contains_key(*name) && !known.blocks.contains_key(*name))
                {
                    let label = format!("`{ty}` has no attribute `{name}`; this value is ignored");
                    let warning = Diagnostic::warning("unknown attribute", label).at(span);
                    let candidates = known.attributes.keys().map(|name| &**name);
                    found.entry((span, name.clone())).or_insert_with(|| warning.suggest(name, candidates));
                }
            }
        }
        Diagnostics(found.into_values().collect())
    }
}

pub(super) fn substitute(
    mut program: Program,
    file: &TestFile,
    test: &TestRun,
    loader: &dyn SourceLoader,
    sources: &SourceMap,
    runs: &RunOutputs,
) -> Result<Substitution, Diagnostics> {
    let mut reader = Reader { loader, sources, runs, diags: Diagnostics::default() };
    let mut mocks: Vec<(ProviderRef, &MockProvider)> = Vec::new();
    let chosen = chosen_providers(file, test, &mut reader.diags);
    // A module that a run tests need not have all that the file configures.
    let required: Vec<ProviderSource> =
        program.requirements().into_iter().map(|requirement| requirement.source).collect();
    for (place, provider) in chosen {
        if !required.contains(&program.source_of(ROOT, &place.name)) {
            continue;
        }
        match provider {
            Chosen::Configured(config) => configure(&mut program, &place, config),
            Chosen::Mock(mock) => mocks.push((place, mock)),
        }
    }
    let overrides: Vec<&Override> = file.overrides.iter().chain(&test.overrides).collect();
    // Those of the file are for every run, also of another module that has nothing of the kind.
    let of_file: &[Override] = if test.module.is_some() { &[] } else { &file.overrides };
    of_file.iter().chain(&test.overrides).for_each(|one| reader.look_for(&program, one));
    for one in overrides.iter().filter(|one| one.kind == OverrideKind::Module) {
        reader.override_module(&mut program, one);
    }
    let common = reader.overrides(&overrides);
    let mut by_provider = HashMap::new();
    for (place, mock) in mocks {
        let source = program.source_of(ROOT, &place.name);
        let addr = ProviderAddr { module: Vec::new(), source, alias: place.alias };
        let mut substitutes = reader.mock(mock);
        substitutes.overrides.extend(common.clone());
        by_provider.insert(addr, Arc::new(substitutes));
    }
    if reader.diags.has_errors() {
        return Err(reader.diags);
    }
    let everywhere = Arc::new(Substitutes { overrides: common, ..Substitutes::default() });
    Ok(Substitution { program: Arc::new(program), by_provider, everywhere, warnings: reader.diags })
}

#[derive(Clone, Copy)]
enum Chosen<'f> {
    Configured(&'f ProviderConfig),
    Mock(&'f MockProvider),
}

/// Which provider of the test file goes where in the module: as `providers` says, else by its own name.
fn chosen_providers<'f>(file: &'f TestFile, test: &TestRun, diags: &mut Diagnostics) -> Vec<(ProviderRef, Chosen<'f>)> {
    let configured = file.providers.iter().map(|config| {
        let ProviderConfig { name, alias, header, .. } = config;
        (ProviderRef { name: name.name.clone(), alias: alias.clone(), span: *header }, Chosen::Configured(config))
    });
    let mocks = file.mocks.iter().map(|mock| {
        let MockProvider { name, alias, .. } = mock;
        (ProviderRef { name: name.name.clone(), alias: alias.clone(), span: name.span }, Chosen::Mock(mock))
    });
    let all: Vec<(ProviderRef, Chosen<'f>)> = configured.chain(mocks).collect();
    if test.providers.is_empty() {
        return all;
    }
    let mut chosen = Vec::new();
    for (inner, outer) in &test.providers {
        match all.iter().find(|(known, _)| known.name == outer.name && known.alias == outer.alias) {
            Some((_, provider)) => chosen.push((inner.clone(), *provider)),
            None => {
                let label = "the test file configures no such provider";
                diags.push(Diagnostic::error("unknown provider configuration", label).at(outer.span));
            }
        }
    }
    chosen
}

/// Puts a provider's configuration in the place of the module's own.
fn configure(program: &mut Program, place: &ProviderRef, config: &ProviderConfig) {
    let mut config = config.clone();
    config.name.name = place.name.clone();
    config.alias.clone_from(&place.alias);
    let Some(root) = program.modules.first_mut() else { return };
    let root = Arc::make_mut(&mut root.decl);
    root.providers.retain(|known| known.name.name != place.name || known.alias != place.alias);
    root.providers.push(config);
}

struct Reader<'r> {
    loader: &'r dyn SourceLoader,
    sources: &'r SourceMap,
    runs: &'r RunOutputs,
    diags: Diagnostics,
}

impl Reader<'_> {
    fn evaluate(&mut self, expr: &Expr) -> Value {
        let scope = TestScope { loader: self.loader, variables: &IndexMap::new(), runs: self.runs };
        compiler::lang::eval::evaluate(expr, &scope, &mut self.diags)
    }

    fn overrides(&mut self, overrides: &[&Override]) -> Vec<(Target, Values)> {
        let mut found = Vec::new();
        for one in overrides.iter().filter(|one| one.kind != OverrideKind::Module) {
            let text = self.sources.text(one.target.span).to_owned();
            let is_data = text.starts_with("data.") || text.contains(".data.");
            let target = Target::parse(&text).filter(|_| is_data == (one.kind == OverrideKind::Data));
            let Some(target) = target else {
                let label = match one.kind {
                    OverrideKind::Data => "a data source is required here, such as data.type.name",
                    _ => "a resource is required here, such as lamp_cluster.web or module.lamp.lamp_cluster.web",
                };
                self.diags.push(Diagnostic::error("invalid target", label).at(one.target.span));
                continue;
            };
            let given = one.values.as_ref().map(|expr| self.evaluate(expr));
            let span = one.values.as_ref().map(|expr| expr.span);
            found.push((target, Values { given, during_plan: one.during_plan.unwrap_or(false), span }));
        }
        found
    }

    fn mock(&mut self, mock: &MockProvider) -> Substitutes {
        let defaults = mock.defaults.iter().map(|one| {
            let given = one.defaults.as_ref().map(|expr| self.evaluate(expr));
            let during_plan = one.during_plan.unwrap_or(mock.during_plan);
            let span = one.defaults.as_ref().map(|expr| expr.span);
            (one.mode, one.ty.name.clone(), Values { given, during_plan, span })
        });
        let defaults: Vec<(Mode, Arc<str>, Values)> = defaults.collect();
        let says = |one: &Override| Override { during_plan: one.during_plan.or(Some(mock.during_plan)), ..one.clone() };
        let own: Vec<Override> = mock.overrides.iter().map(says).collect();
        let overrides: Vec<&Override> = own.iter().collect();
        Substitutes { is_mock: true, defaults, overrides: self.overrides(&overrides) }
    }

    /// A module that only gives outputs: nothing in it is made, and nothing it calls.
    fn override_module(&mut self, program: &mut Program, one: &Override) {
        let Some(path) = module_path(&one.target) else {
            let label = "a module call is required here, such as module.lamp";
            self.diags.push(Diagnostic::error("invalid target", label).at(one.target.span));
            return;
        };
        let given = one.values.as_ref().map_or(Value::Null(Ty::Dynamic), |expr| self.evaluate(expr));
        for module in program.modules.iter_mut().filter(|module| module.path.starts_with(&path)) {
            let outputs = if module.path == path { constants(&module.decl, &given) } else { IndexMap::new() };
            module.decl = Arc::new(ModuleDecl {
                folder: module.decl.folder.clone(),
                variables: module.decl.variables.clone(),
                required_providers: module.decl.required_providers.clone(),
                outputs,
                ..ModuleDecl::default()
            });
            module.children.clear();
        }
    }

    /// An override of what is not there does nothing: a warning, as in Terraform.
    fn look_for(&mut self, program: &Program, one: &Override) {
        let is_there = match one.kind {
            OverrideKind::Module => {
                module_path(&one.target).is_none_or(|path| program.modules.iter().any(|module| module.path == path))
            }
            OverrideKind::Resource | OverrideKind::Data => Target::parse(self.sources.text(one.target.span))
                .is_none_or(|target| {
                    let ResourceAddr { module: path, mode, ty, name } = target.resource();
                    let mut modules = program.modules.iter().filter(|module| module.path == path);
                    modules.any(|module| module.decl.resources.contains_key(&(mode, ty.clone(), name.clone())))
                }),
        };
        if !is_there {
            let label = "the module that is tested has nothing of this name, so this does nothing";
            self.diags.push(Diagnostic::warning("override of nothing", label).at(one.target.span));
        }
    }
}

/// The calls of `module.a.module.b`.
fn module_path(target: &Expr) -> Option<Vec<Arc<str>>> {
    let names = target.as_dotted()?;
    let calls = names.chunks(2).map(|pair| match pair {
        ["module", call] => Some((*call).into()),
        _ => None,
    });
    calls.collect()
}

/// A module's outputs with given values; those that are not given are null.
fn constants(decl: &ModuleDecl, given: &Value) -> IndexMap<Arc<str>, Output> {
    let outputs = decl.outputs.iter().map(|(name, output)| {
        let value = given.get(name).cloned().unwrap_or(Value::Null(Ty::Dynamic));
        let expr = Expr { kind: ExprKind::Literal(value), span: output.value.span };
        let output = Output { value: expr, depends_on: Vec::new(), preconditions: Vec::new(), ..output.clone() };
        (name.clone(), output)
    });
    outputs.collect()
}
