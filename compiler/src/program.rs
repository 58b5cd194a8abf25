//! The tree of modules: every folder that is called, read and declared.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::declare::{self, ModuleCall, ModuleDecl, ProviderConfig, Repetition};
use crate::lang::secrets;
use crate::source::{LoadError, ModuleSource, SourceLoader, SourceMap, Span, join_path};
use crate::syntax;

/// Deeper trees can only come from modules that call themselves.
const MAX_MODULE_DEPTH: usize = 50;
/// Modules that call two others each become very many without being deep.
const MAX_MODULES: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleId(pub usize);

pub const ROOT: ModuleId = ModuleId(0);

/// Every module of a configuration; the root is the first.
#[derive(Debug, Clone, Default)]
pub struct Program {
    pub modules: Vec<Module>,
}

/// A module at one place of the tree.
#[derive(Debug, Clone)]
pub struct Module {
    /// The names of the calls that lead here.
    pub path: Vec<Arc<str>>,
    pub decl: Arc<ModuleDecl>,
    pub parent: Option<ModuleId>,
    pub children: IndexMap<Arc<str>, ModuleId>,
}

impl Program {
    pub fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id.0]
    }

    pub fn root(&self) -> &ModuleDecl {
        &self.modules[0].decl
    }

    pub fn ids(&self) -> impl Iterator<Item = ModuleId> + use<> {
        (0..self.modules.len()).map(ModuleId)
    }
}

/// Reads the module in `folder` and all that it calls. The program holds what could be read.
pub fn load(folder: &str, loader: &dyn SourceLoader, sources: &mut SourceMap) -> (Program, Diagnostics) {
    let mut load = Load { loader, sources, read: IndexMap::new(), diags: Diagnostics::default() };
    let mut program = Program::default();
    load.module(&mut program, &Place { folder: folder.to_owned(), package: None }, Vec::new(), None, None);
    check_providers(&program, &mut load.diags);
    check_backends(&program, &mut load.diags);
    let diags = load.diags;
    for module in &program.modules {
        for (name, child) in &module.children {
            if let Some(call) = module.decl.calls.get(name) {
                secrets::conceal_arguments(&call.body, &program.module(*child).decl.variables, sources);
            }
        }
    }
    (program, diags)
}

/// There is one state, whatever the modules say that a stack is made of.
fn check_backends(program: &Program, diags: &mut Diagnostics) {
    for module in program.modules.iter().skip(1) {
        if let Some(backend) = &module.decl.backend {
            let label = "this module is called by another one, whose state has its objects, too";
            diags.push(Diagnostic::warning("the backend has no effect", label).at(backend.header));
        }
        if let Some(header) = module.decl.encryption.as_ref().and_then(|encryption| encryption.header) {
            let label = "this module is called by another one, which says how the state is encrypted";
            diags.push(Diagnostic::error("encryption belongs to the root module", label).at(header));
        }
    }
}

/// A module that configures providers itself cannot be repeated, nor wait: its objects would need the configuration after
/// the call has gone.
fn check_providers(program: &Program, diags: &mut Diagnostics) {
    // By module, the nearest call that leads there and repeats or waits.
    let mut repeated: Vec<Option<Span>> = Vec::new();
    for id in program.ids() {
        let Module { path, decl, parent, .. } = program.module(id);
        let call = parent.zip(path.last()).and_then(|(parent, name)| program.module(parent).decl.calls.get(name));
        let own = call.filter(|call| !matches!(call.repetition, Repetition::Single) || !call.depends_on.is_empty());
        let outer = parent.and_then(|parent| repeated[parent.0]);
        let nearest = own.map(|call| call.header).or(outer);
        repeated.push(nearest);
        let Some(call) = nearest else { continue };
        let is_configured =
            |config: &&ProviderConfig| !config.body.attributes.is_empty() || !config.body.blocks.is_empty();
        for config in decl.providers.iter().filter(is_configured) {
            let label = "a module that configures a provider cannot have count, for_each or depends_on";
            let diagnostic = Diagnostic::error("provider configuration in a repeated module", label).at(call);
            diags.push(
                diagnostic
                    .related(config.header, "it is configured here")
                    .note("configure it in the root module, and pass it: providers = { .. }"),
            );
        }
    }
}

/// The calls that lead from a folder back to itself, if a call of `name` in `caller` does.
fn circle(program: &Program, caller: ModuleId, name: &str, folder: &str) -> Option<String> {
    let mut names = vec![name];
    let mut module = program.module(caller);
    while module.decl.folder != folder {
        names.push(module.path.last()?);
        module = program.module(module.parent?);
    }
    let calls: Vec<String> = names.iter().rev().map(|name| format!("module.{name}")).collect();
    Some(format!("{folder} → {} → {folder}", calls.join(" → ")))
}

struct Load<'l> {
    loader: &'l dyn SourceLoader,
    sources: &'l mut SourceMap,
    /// A folder that is called twice is read once.
    read: IndexMap<String, Arc<ModuleDecl>>,
    diags: Diagnostics,
}

/// Where a module is, and within what it has to stay.
struct Place {
    folder: String,
    package: Option<String>,
}

impl Load<'_> {
    fn module(
        &mut self,
        program: &mut Program,
        place: &Place,
        path: Vec<Arc<str>>,
        parent: Option<ModuleId>,
        called_at: Option<Span>,
    ) -> ModuleId {
        let folder = place.folder.as_str();
        let decl = match self.read.get(folder) {
            Some(decl) => decl.clone(),
            None => {
                let decl = Arc::new(self.folder(folder, called_at));
                self.read.insert(folder.to_owned(), decl.clone());
                decl
            }
        };
        let id = ModuleId(program.modules.len());
        program.modules.push(Module { path: path.clone(), decl: decl.clone(), parent, children: IndexMap::new() });
        for (name, call) in &decl.calls {
            if path.len() >= MAX_MODULE_DEPTH {
                let label = "this module calls itself, directly or through others";
                self.diags.push(Diagnostic::error("endless module calls", label).at(call.source_span));
                continue;
            }
            let Some(inner) = self.called_folder(place, call) else { continue };
            if let Some(circle) = circle(program, id, name, &inner.folder) {
                let label = "this module calls itself, directly or through others";
                let diagnostic = Diagnostic::error("endless module calls", label).at(call.source_span);
                self.diags.push(diagnostic.note(circle));
                continue;
            }
            if program.modules.len() >= MAX_MODULES {
                let label = format!("there are more than {MAX_MODULES} calls of modules");
                self.diags.push(Diagnostic::error("too many module calls", label).at(call.source_span));
                continue;
            }
            let inner_path = path.iter().cloned().chain([name.clone()]).collect();
            let child = self.module(program, &inner, inner_path, Some(id), Some(call.source_span));
            program.modules[id.0].children.insert(name.clone(), child);
        }
        id
    }

    fn called_folder(&mut self, place: &Place, call: &ModuleCall) -> Option<Place> {
        let folder = place.folder.as_str();
        if is_local(&call.source) && !is_archive(&call.source) {
            if call.version.is_some() {
                let label = "a local folder has no versions; leave `version` out";
                self.diags.push(Diagnostic::error("version of a local module", label).at(call.source_span));
            }
            let inner = join_path(folder, &call.source);
            if let Some(package) = &place.package
                && !Path::new(&inner).starts_with(package)
            {
                let label = "this leads out of what the module came with";
                self.diags.push(Diagnostic::error("module outside of its package", label).at(call.source_span));
                return None;
            }
            return Some(Place { folder: inner, package: place.package.clone() });
        }
        let package = place.package.as_deref();
        let source = ModuleSource { source: &call.source, version: call.version.as_deref(), folder, package };
        match self.loader.module(&source) {
            // Relative to the root module, whoever calls.
            Some(Ok(found)) => {
                Some(Place { folder: join_path(".", &found.folder), package: Some(join_path(".", &found.package)) })
            }
            Some(Err(error)) => {
                self.unreadable(&error, Some(call.source_span));
                None
            }
            None => {
                let label = "this is no local folder, no module of the library, no archive and no git repository";
                let diagnostic = Diagnostic::error("unsupported module source", label).at(call.source_span);
                self.diags.push(diagnostic.note(
                    "write a path that starts with ./ or ../, \"lampwright/NAME\" for a module of the library, or \"git::https://HOST/REPOSITORY//FOLDER\" with `version`",
                ));
                None
            }
        }
    }

    fn folder(&mut self, folder: &str, called_at: Option<Span>) -> ModuleDecl {
        let mut module = ModuleDecl { folder: folder.to_owned(), ..ModuleDecl::default() };
        let names = match self.loader.list(folder) {
            Ok(names) => names,
            Err(error) => {
                self.unreadable(&error, called_at);
                return module;
            }
        };
        for name in names.iter().filter(|name| name.ends_with(".tf.json")) {
            let label = format!("{}: the JSON form of the language is not supported yet", join_path(folder, name));
            self.diags.push(Diagnostic::error("unsupported file", label).at_opt(called_at));
        }
        let names: Vec<_> = names.into_iter().filter(|name| is_source(name)).collect();
        if names.is_empty() {
            let label = format!("the folder {folder:?} holds no *.stack.hcl and no *.tf file");
            let diagnostic = Diagnostic::error("no configuration", label).at_opt(called_at);
            self.diags.push(diagnostic.note("`lampwright --help` shows how to start"));
        }
        for name in names {
            let path = join_path(folder, &name);
            match self.loader.read(&path) {
                Ok(bytes) => self.file(&mut module, path, bytes),
                Err(error) => self.unreadable(&error, called_at),
            }
        }
        module
    }

    fn file(&mut self, module: &mut ModuleDecl, path: String, bytes: Vec<u8>) {
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let line = String::from_utf8_lossy(&error.as_bytes()[..valid]).matches('\n').count() + 1;
                let label = format!("{path}:{line}: this file is not UTF-8 from byte {valid} on");
                let diagnostic = Diagnostic::error("invalid encoding", label);
                self.diags.push(diagnostic.note("save it as UTF-8"));
                return;
            }
        };
        if u32::try_from(text.len()).is_err() {
            self.diags.push(Diagnostic::error("file too large", format!("{path} is larger than 4 GiB")));
            return;
        }
        let file = self.sources.add(path, text);
        let (body, diags) = syntax::parse_file(file, self.sources);
        self.diags.extend(diags);
        secrets::conceal_body(&body, self.sources);
        declare::declare(module, &body, &mut self.diags);
    }

    fn unreadable(&mut self, error: &LoadError, called_at: Option<Span>) {
        self.diags.push(Diagnostic::error("unreadable module", error.to_string()).at_opt(called_at));
    }
}

/// Whether a module's source is a folder beside the module that calls it.
pub fn is_local(source: &str) -> bool {
    source.starts_with("./") || source.starts_with("../") || source == "." || source == ".."
}

/// Whether a module's source is a file that `module package` makes; what follows a `?` is no part of its name.
pub fn is_archive(source: &str) -> bool {
    let path = source.split('?').next().unwrap_or_default();
    path.ends_with(".tar.gz") || path.ends_with(".tgz")
}

/// `*.stack.hcl` and `*.tf`; names that begin with a dot are backups of editors.
pub fn is_source(name: &str) -> bool {
    !name.starts_with('.') && (name.ends_with(".stack.hcl") || name.ends_with(".tf"))
}
