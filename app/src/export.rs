//! The stack and the modules that it calls, as Terraform modules.
//!
//! Text is kept as it was written, comments and all; only what Terraform needs to be different is: files are
//! called `.tf`, `stack` blocks are left out, every module says which provider its resources belong to, and
//! layers that have no name of their own get the one that this program would give them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use compiler::Inputs;
use compiler::addr::ProviderSource;
use compiler::binding::Schemas;
use compiler::lang::declare::{ModuleCall, Resource};
use compiler::program::{self, ModuleId, ROOT};
use compiler::source::{FileId, SourceMap, Span, join_path};
use compiler::syntax;
use compiler::syntax::ast::Attribute;
use compiler::testing;

use crate::failure::{Result, refuse};
use crate::root::Root;
use crate::sources::git::LOCK;
use crate::stack::Stack;

/// What was written.
#[derive(Debug)]
pub struct Exported {
    /// Where the stack itself is now.
    pub folder: PathBuf,
    pub modules: usize,
}

/// Writes everything into the folder `out`, which must not exist, or be empty.
pub async fn export(stack: Stack, out: &Root) -> Result<Exported> {
    if std::fs::read_dir(out.absolute()).is_ok_and(|mut entries| entries.next().is_some()) {
        refuse!("{} is not empty; export into a new folder", out.shown().display());
    }
    let mut stacks = vec![stack];
    for folder in modules_of_tests(&stacks[0])? {
        let module = stacks[0].module(&folder)?;
        stacks.push(module);
    }
    let modules: BTreeSet<PathBuf> = stacks.iter().flat_map(folders).collect();
    let root = common_folder(&modules);
    let export = Export { root, modules, out: out.absolute().to_owned() };
    let mut written = BTreeSet::new();
    for (idx, stack) in stacks.iter().enumerate() {
        let (run, _telling) = stack.run(Inputs::default()).await?;
        let schemas = run.providers.schemas().clone();
        run.providers.shutdown().await;
        for id in stack.program.ids() {
            if written.insert(absolute(stack, &stack.program.module(id).decl.folder)) {
                export.module(stack, id, &schemas, idx == 0 && id == ROOT)?;
            }
        }
    }
    let folder = export.target(&absolute(&stacks[0], "."))?;
    Ok(Exported { folder, modules: written.len() })
}

/// The folders of other modules that runs of test files are about.
fn modules_of_tests(stack: &Stack) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for folder in [".", "tests"] {
        for name in stack.loader.list(folder).unwrap_or_default().iter().filter(|name| name.ends_with(".tftest.hcl")) {
            let path = join_path(folder, name);
            let mut sources = stack.sources.clone();
            let text = String::from_utf8(stack.loader.read(&path)?).with_context(|| format!("{path} is not UTF-8"))?;
            let (file, _) = testing::read(sources.add(path, text), &sources);
            let modules = file.runs.into_iter().filter_map(|run| run.module);
            found.extend(modules.map(|(source, _)| join_path(".", &source)));
        }
    }
    Ok(found)
}

fn folders(stack: &Stack) -> impl Iterator<Item = PathBuf> {
    stack.program.ids().map(|id| absolute(stack, &stack.program.module(id).decl.folder))
}

/// The folder that all modules lie in, as an absolute path.
fn common_folder(modules: &BTreeSet<PathBuf>) -> PathBuf {
    let common = modules
        .iter()
        .cloned()
        .reduce(|a, b| a.components().zip(b.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect());
    common.unwrap_or_default()
}

fn absolute(stack: &Stack, folder: &str) -> PathBuf {
    PathBuf::from(join_path(&stack.root.absolute().display().to_string(), folder))
}

/// Where what comes from, and where it goes.
struct Export {
    /// All modules lie in it; it becomes `out`.
    root: PathBuf,
    modules: BTreeSet<PathBuf>,
    out: PathBuf,
}

impl Export {
    fn target(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        Ok(self.out.join(folder.strip_prefix(&self.root)?))
    }

    fn module(&self, stack: &Stack, id: ModuleId, schemas: &Schemas, is_stack: bool) -> anyhow::Result<()> {
        let module = stack.program.module(id);
        let folder = absolute(stack, &module.decl.folder);
        let target = self.target(&folder)?;
        std::fs::create_dir_all(&target).with_context(|| format!("cannot make the folder {}", target.display()))?;
        self.copy_others(&folder, &target)?;
        let mut needs_lampwright = false;
        for file in 0..stack.sources.files().len() {
            let file = FileId(file as u32);
            let name = &stack.sources.get(file).name;
            let in_folder = Path::new(name).parent().map(|parent| absolute(stack, &parent.display().to_string()))
                == Some(folder.clone());
            if !in_folder || !program::is_source(&file_name(name)) {
                continue;
            }
            let edits = edits(stack, id, file, schemas, &mut needs_lampwright);
            let text = apply(&stack.sources.get(file).text, edits);
            let new_name = file_name(name).replace(".stack.hcl", ".tf");
            std::fs::write(target.join(&new_name), text).with_context(|| format!("cannot write {new_name}"))?;
        }
        let declares = module.decl.required_providers.contains_key("lampwright");
        let configures = module.decl.providers.iter().any(|config| &*config.name.name == "lampwright");
        if (needs_lampwright || configures || is_stack) && !declares {
            let text = format!(
                "terraform {{\n  required_providers {{\n    lampwright = {{\n      source = \"{}\"\n    }}\n  }}\n}}\n",
                ProviderSource::lampwright().short()
            );
            std::fs::write(target.join("lampwright_providers.tf"), text)?;
        }
        Ok(())
    }

    /// Everything else in the folder: the application, templates, variable files. What belongs to a run stays.
    fn copy_others(&self, from: &Path, to: &Path) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let stays = name.starts_with('.')
                || name.contains(".tfstate")
                || name == LOCK
                || (program::is_source(&name) && self.modules.contains(from))
                || self.modules.contains(&path)
                || name == "target"
                || is_snapshots(&path);
            // Nor does the export copy itself into itself.
            if stays || self.out.starts_with(&path) {
                continue;
            }
            let target = to.join(&name);
            if self.modules.iter().any(|module| module.starts_with(&path)) {
                // The modules in it go their own way.
                std::fs::create_dir_all(&target)?;
                self.copy_others(&path, &target)?;
            } else {
                copy(&path, &target)?;
            }
        }
        Ok(())
    }
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_dir() {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            if !is_snapshots(&entry.path()) {
                copy(&entry.path(), &to.join(entry.file_name()))?;
            }
        }
        return Ok(());
    }
    if from.to_string_lossy().ends_with(".tftest.hcl") {
        let text = std::fs::read_to_string(from).with_context(|| format!("cannot read {}", from.display()))?;
        return std::fs::write(to, test_file(text)).with_context(|| format!("cannot write {}", to.display()));
    }
    std::fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()))
}

/// Snapshots of tests say nothing to Terraform.
fn is_snapshots(path: &Path) -> bool {
    path.ends_with("tests/snapshots")
}

/// A test file as Terraform knows it: without `snapshot`.
fn test_file(text: String) -> String {
    let mut sources = SourceMap::default();
    let file = sources.add("test", text);
    let (body, _) = syntax::parse_file(file, &sources);
    let text = &sources.get(file).text;
    let runs = body.blocks_of("run").filter_map(|run| run.body.attribute("snapshot"));
    apply(text, runs.map(|attribute| removal(text, attribute)).collect())
}

/// Takes an attribute out, with its whole line if nothing else is on it.
fn removal(text: &str, attribute: &Attribute) -> Edit {
    let (start, end) = (attribute.name.span.start as usize, attribute.expr.span.end as usize);
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[end..].find('\n').map_or(text.len(), |newline| end + newline + 1);
    let is_alone = text[line_start..start].trim().is_empty()
        && (text[end..line_end].trim().is_empty() || text[end..line_end].trim_start().starts_with('#'));
    if is_alone { (line_start, line_end, String::new()) } else { (start, end, String::new()) }
}

/// Bytes to replace with a text.
type Edit = (usize, usize, String);

fn edits(stack: &Stack, id: ModuleId, file: FileId, schemas: &Schemas, needs_lampwright: &mut bool) -> Vec<Edit> {
    let decl: &Arc<_> = &stack.program.module(id).decl;
    let (body, _) = syntax::parse_file(file, &stack.sources);
    let text = &stack.sources.get(file).text;
    let mut edits = Vec::new();
    for block in body.blocks_of("stack") {
        let end = block.span.end as usize;
        // The newline behind it goes, too.
        let end = end + text[end..].chars().next().filter(|ch| *ch == '\n').map_or(0, |_| 1);
        edits.push((block.span.start as usize, end, String::new()));
    }
    // Every module is a folder of the export, and no folder has versions.
    let is_elsewhere = |call: &&ModuleCall| !program::is_local(&call.source) || program::is_archive(&call.source);
    for call in decl.calls.values().filter(|call| call.header.file == file).filter(is_elsewhere) {
        let Some(child) = stack.program.module(id).children.get(&call.name.name) else { continue };
        let block = body.blocks_of("module").find(|block| block.header == call.header);
        edits.extend(block.and_then(|block| block.body.attribute("version")).map(|version| removal(text, version)));
        let path =
            relative(&absolute(stack, &decl.folder), &absolute(stack, &stack.program.module(*child).decl.folder));
        edits.push((call.source_span.start as usize, call.source_span.end as usize, format!("{path:?}")));
    }
    for resource in decl.resources.values().filter(|resource| resource.header.file == file) {
        let Ok((provider, _)) = stack.program.bind(id, resource, schemas) else { continue };
        let is_ours = provider.source == ProviderSource::lampwright();
        let mut lines = Vec::new();
        if is_ours && resource.provider.is_none() {
            *needs_lampwright = true;
            lines.push("provider = lampwright".to_owned());
        }
        if is_ours && resource.body.attribute("name").is_none() && default_name(resource) != Some(&resource.name.name) {
            lines.push(format!("name = {:?}", resource.name.name.replace('_', "-").to_lowercase()));
        }
        if !lines.is_empty() {
            edits.extend(insertion(text, resource.header, &lines, &body));
        }
    }
    edits
}

/// How one folder is called from another: `./b`, `../b`.
fn relative(from: &Path, to: &Path) -> String {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| "..");
    let down: Vec<String> =
        to.components().skip(common).map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let parts: Vec<&str> = up.chain(down.iter().map(String::as_str)).collect();
    if parts.first() == Some(&"..") { parts.join("/") } else { format!("./{}", parts.join("/")) }
}

/// The name that the provider gives a layer of this type when nothing says how it is called.
fn default_name(resource: &Resource) -> Option<&'static str> {
    match &*resource.ty.name {
        "lamp_cluster" => Some("web"),
        "lb_pool" => Some("lb"),
        "mongo_replset" => Some("db"),
        _ => None,
    }
}

/// Lines behind the opening brace. A block on one line is opened up.
fn insertion(text: &str, header: Span, lines: &[String], body: &syntax::ast::Body) -> Vec<Edit> {
    let brace = header.end as usize + text[header.end as usize..].find('{').unwrap_or(0) + 1;
    let inserted: String = lines.iter().map(|line| format!("\n  {line}")).collect();
    let block = body.blocks.iter().find(|block| block.header == header);
    let is_one_line =
        block.is_some_and(|block| !text[block.span.start as usize..block.span.end as usize].contains('\n'));
    match block {
        Some(block) if is_one_line => {
            let close = block.span.end as usize - 1;
            let inner = text[brace..close].trim();
            let rest = if inner.is_empty() { String::new() } else { format!("\n  {inner}") };
            vec![(brace, close, format!("{inserted}{rest}\n"))]
        }
        _ => vec![(brace, brace, inserted)],
    }
}

fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort();
    let mut out = String::new();
    let mut at = 0;
    for (start, end, replacement) in edits {
        out.push_str(&text[at..start]);
        out.push_str(&replacement);
        at = end;
    }
    out.push_str(&text[at..]);
    out
}
