//! The graph of everything that is evaluated: one node for each declaration of each module.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use value::schema::Schema;

use super::awaited::{self, Awaited};
use super::imports;
use crate::addr::{Mode, ProviderAddr, ResourceAddr};
use crate::binding::Schemas;
use crate::diag::{Diagnostic, Diagnostics};
use crate::graph::Dag;
use crate::lang::declare::{Condition, ModuleDecl, Repetition};
use crate::lang::refs::{self, Reference, Target};
use crate::program::{ModuleId, Program, ROOT};
use crate::source::Span;
use crate::syntax::ast::Expr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) usize);

#[derive(Debug)]
pub(super) struct Node {
    pub(super) module: ModuleId,
    pub(super) kind: NodeKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum NodeKind {
    /// How many instances the module has; everything in the module waits for it, and it for the `depends_on` of the
    /// module's call.
    Expand,
    /// All that is in a called module is done.
    Close,
    Variable(Arc<str>),
    Local(Arc<str>),
    Output(Arc<str>),
    Check(Arc<str>),
    Resource(Mode, Arc<str>, Arc<str>),
    /// By position in the module's list.
    Provider(usize),
    /// By position in the module's list.
    Import(usize),
}

/// A resource's provider and schema, once they are found.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) provider: ProviderAddr,
    pub(super) schema: Arc<Schema>,
}

#[derive(Debug, Default)]
pub(super) struct Nodes {
    pub(super) list: Vec<Node>,
    pub(super) dag: Dag,
    pub(super) is_cyclic: bool,
    pub(super) by_kind: HashMap<(ModuleId, NodeKind), NodeId>,
    pub(super) bound: HashMap<NodeId, Bound>,
    /// The resources that a resource depends on, directly or through names.
    pub(super) resource_dependencies: HashMap<NodeId, Arc<BTreeSet<ResourceAddr>>>,
    /// Those that a root output is made of.
    pub(super) output_dependencies: HashMap<Arc<str>, Arc<BTreeSet<ResourceAddr>>>,
    pub(super) awaited: HashMap<NodeId, Awaited>,
}

impl Nodes {
    pub(super) fn build(program: &Program, schemas: &Schemas, diags: &mut Diagnostics) -> Nodes {
        let mut nodes = Nodes::default();
        for module in program.ids() {
            nodes.declare(program, module);
        }
        nodes.dag = Dag::with_nodes(nodes.list.len());
        for id in 0..nodes.list.len() {
            nodes.connect(program, NodeId(id), schemas, diags);
        }
        nodes.dag.finish();
        match nodes.dag.order() {
            Ok(order) => {
                nodes.collect_resource_dependencies(program, &order);
                nodes.awaited = awaited::of_data_sources(&nodes, program);
            }
            Err(cycle) => {
                nodes.is_cyclic = true;
                diags.push(nodes.cycle(program, &cycle));
            }
        }
        nodes
    }

    pub(super) fn find(&self, module: ModuleId, kind: NodeKind) -> Option<NodeId> {
        self.by_kind.get(&(module, kind)).copied()
    }

    fn declare(&mut self, program: &Program, module: ModuleId) {
        let decl = &program.module(module).decl;
        let mut kinds = vec![NodeKind::Expand];
        kinds.extend(decl.variables.keys().cloned().map(NodeKind::Variable));
        kinds.extend(decl.locals.keys().cloned().map(NodeKind::Local));
        kinds.extend((0..decl.providers.len()).map(NodeKind::Provider));
        kinds.extend(decl.resources.keys().cloned().map(|(mode, ty, name)| NodeKind::Resource(mode, ty, name)));
        kinds.extend(decl.outputs.keys().cloned().map(NodeKind::Output));
        if program.module(module).parent.is_some() {
            kinds.push(NodeKind::Close);
        }
        // Nobody waits for these.
        kinds.extend(decl.checks.keys().cloned().map(NodeKind::Check));
        kinds.extend((0..decl.imports.len()).map(NodeKind::Import));
        for kind in kinds {
            self.by_kind.insert((module, kind.clone()), NodeId(self.list.len()));
            self.list.push(Node { module, kind });
        }
    }

    fn connect(&mut self, program: &Program, id: NodeId, schemas: &Schemas, diags: &mut Diagnostics) {
        let Node { module, kind } = &self.list[id.0];
        let (module, kind) = (*module, kind.clone());
        let decl = program.module(module).decl.clone();
        let parent = program.module(module).parent;
        if kind != NodeKind::Expand
            && let Some(expand) = self.find(module, NodeKind::Expand)
        {
            self.dag.depend(id.0, expand.0);
        }
        let call = parent.and_then(|parent| {
            let name = program.module(module).path.last()?;
            program.module(parent).decl.calls.get(name).cloned().map(|call| (parent, call))
        });
        let mut here = Vec::new();
        match &kind {
            NodeKind::Expand => {
                if let Some((parent, call)) = &call {
                    let mut outside = Vec::new();
                    repetition_refs(&call.repetition, &mut outside);
                    self.depend_on_all(program, id, *parent, &outside, diags);
                    self.depend_on_explicit(program, id, *parent, &call.depends_on, diags);
                    if let Some(expand) = self.find(*parent, NodeKind::Expand) {
                        self.dag.depend(id.0, expand.0);
                    }
                }
            }
            NodeKind::Close => {
                let first = self.find(module, NodeKind::Expand).map_or(id.0, |expand| expand.0);
                (first..id.0).for_each(|inner| self.dag.depend(id.0, inner));
                for child in program.module(module).children.values() {
                    if let Some(close) = self.find(*child, NodeKind::Close) {
                        self.dag.depend(id.0, close.0);
                    }
                }
            }
            NodeKind::Variable(name) => {
                if let Some((parent, call)) = &call
                    && let Some(argument) = call.body.attribute(name)
                {
                    let mut outside = Vec::new();
                    refs::of_expr(&argument.expr, &mut outside);
                    self.depend_on_all(program, id, *parent, &outside, diags);
                }
                for validation in &decl.variables[name].validations {
                    condition_refs(validation, &mut here);
                }
                // A validation looks at its own variable, which it does not wait for.
                here.retain(|reference| reference.target != Target::Variable(name.clone()));
            }
            NodeKind::Local(name) => refs::of_expr(&decl.locals[name].expr, &mut here),
            NodeKind::Output(name) => {
                let output = &decl.outputs[name];
                refs::of_expr(&output.value, &mut here);
                self.depend_on_explicit(program, id, module, &output.depends_on, diags);
                output.preconditions.iter().for_each(|condition| condition_refs(condition, &mut here));
            }
            NodeKind::Check(name) => {
                decl.checks[name].asserts.iter().for_each(|condition| condition_refs(condition, &mut here));
            }
            NodeKind::Provider(idx) => refs::of_body(&decl.providers[*idx].body, &mut here),
            NodeKind::Import(idx) => {
                let import = &decl.imports[*idx];
                imports::references(import, &mut here);
                if let Some(target) = imports::target(import, module, program, self) {
                    self.dag.depend(target.0, id.0);
                }
            }
            NodeKind::Resource(mode, ty, name) => {
                let resource = &decl.resources[&(*mode, ty.clone(), name.clone())];
                refs::of_body(&resource.body, &mut here);
                repetition_refs(&resource.repetition, &mut here);
                self.depend_on_explicit(program, id, module, &resource.depends_on, diags);
                let flags = [&resource.lifecycle.create_before_destroy, &resource.lifecycle.prevent_destroy];
                flags.into_iter().flatten().for_each(|expr| refs::of_expr(expr, &mut here));
                resource.lifecycle.replace_triggered_by.iter().for_each(|expr| refs::of_expr(expr, &mut here));
                resource.lifecycle.preconditions.iter().for_each(|condition| condition_refs(condition, &mut here));
                let mut after = Vec::new();
                resource.lifecycle.postconditions.iter().for_each(|condition| condition_refs(condition, &mut after));
                here.extend(
                    after
                        .into_iter()
                        .filter(|reference| reference.target != Target::Resource(*mode, ty.clone(), name.clone())),
                );
                match program.bind(module, resource, schemas) {
                    Ok((provider, schema)) => {
                        if let Some(config) = self.provider_node(program, &provider) {
                            self.dag.depend(id.0, config.0);
                        }
                        self.bound.insert(id, Bound { provider, schema });
                    }
                    Err(diagnostic) => diags.push(diagnostic),
                }
            }
        }
        self.depend_on_all(program, id, module, &here, diags);
    }

    /// `depends_on`: of a module call all that is in the module, not only its outputs.
    fn depend_on_explicit(
        &mut self,
        program: &Program,
        id: NodeId,
        module: ModuleId,
        exprs: &[Expr],
        diags: &mut Diagnostics,
    ) {
        let mut references = Vec::new();
        exprs.iter().for_each(|expr| refs::of_expr(expr, &mut references));
        for reference in &references {
            match self.explicit_targets(program, module, reference) {
                Ok(targets) => targets.into_iter().for_each(|target| self.dag.depend(id.0, target.0)),
                Err(diagnostic) => diags.push(*diagnostic),
            }
        }
    }

    pub(super) fn explicit_targets(
        &self,
        program: &Program,
        module: ModuleId,
        reference: &Reference,
    ) -> Result<Vec<NodeId>, Box<Diagnostic>> {
        if let Target::Module(name, None) = &reference.target
            && let Some(child) = program.module(module).children.get(name)
        {
            return Ok(self.find(*child, NodeKind::Close).into_iter().collect());
        }
        self.targets(program, module, reference)
    }

    fn provider_node(&self, program: &Program, addr: &ProviderAddr) -> Option<NodeId> {
        let module = program.ids().find(|module| program.module(*module).path == addr.module)?;
        let position = program.module(module).decl.providers.iter().position(|config| {
            config.alias == addr.alias && program.source_of(module, &config.name.name) == addr.source
        })?;
        self.find(module, NodeKind::Provider(position))
    }

    fn depend_on_all(
        &mut self,
        program: &Program,
        id: NodeId,
        module: ModuleId,
        references: &[Reference],
        diags: &mut Diagnostics,
    ) {
        for reference in references {
            match self.targets(program, module, reference) {
                Ok(targets) => targets.into_iter().for_each(|target| self.dag.depend(id.0, target.0)),
                Err(diagnostic) => diags.push(*diagnostic),
            }
        }
    }

    /// References of an expression that lead to nothing.
    pub(super) fn undeclared(&self, program: &Program, module: ModuleId, expr: &Expr) -> Diagnostics {
        let mut references = Vec::new();
        refs::of_expr(expr, &mut references);
        let found = references.iter().filter_map(|reference| self.is_undeclared(program, module, reference));
        Diagnostics(found.collect())
    }

    pub(super) fn is_undeclared(
        &self,
        program: &Program,
        module: ModuleId,
        reference: &Reference,
    ) -> Option<Diagnostic> {
        self.targets(program, module, reference).err().map(|diagnostic| *diagnostic)
    }

    fn targets(
        &self,
        program: &Program,
        module: ModuleId,
        reference: &Reference,
    ) -> Result<Vec<NodeId>, Box<Diagnostic>> {
        let decl = &program.module(module).decl;
        let found = match &reference.target {
            Target::Variable(name) => self.find(module, NodeKind::Variable(name.clone())).map(|id| vec![id]),
            Target::Local(name) => self.find(module, NodeKind::Local(name.clone())).map(|id| vec![id]),
            Target::Resource(mode, ty, name) => {
                self.find(module, NodeKind::Resource(*mode, ty.clone(), name.clone())).map(|id| vec![id])
            }
            Target::Module(name, output) => match program.module(module).children.get(name) {
                Some(child) => match output {
                    Some(output) => match self.find(*child, NodeKind::Output(output.clone())) {
                        Some(id) => Some(vec![id]),
                        None => {
                            return Err(Box::new(unknown_output(
                                name,
                                output,
                                &program.module(*child).decl,
                                reference.span,
                            )));
                        }
                    },
                    None => {
                        let outputs = program.module(*child).decl.outputs.keys();
                        let mut all: Vec<NodeId> =
                            outputs.filter_map(|name| self.find(*child, NodeKind::Output(name.clone()))).collect();
                        all.extend(self.find(*child, NodeKind::Expand));
                        Some(all)
                    }
                },
                // A call whose module could not be read has been reported.
                None if decl.calls.contains_key(name) => Some(Vec::new()),
                None => None,
            },
        };
        found.ok_or_else(|| Box::new(undeclared(decl, reference)))
    }

    fn collect_resource_dependencies(&mut self, program: &Program, order: &[usize]) {
        // What a node stands for: a resource for itself, anything else for the resources behind it.
        let mut behind: Vec<Arc<BTreeSet<ResourceAddr>>> = vec![Arc::default(); self.list.len()];
        for id in order {
            let set = union(self.dag.dependencies[*id].iter().map(|on| &behind[*on]));
            behind[*id] = match &self.list[*id].kind {
                NodeKind::Resource(mode, ty, name) => {
                    self.resource_dependencies.insert(NodeId(*id), set.clone());
                    let module = program.module(self.list[*id].module).path.clone();
                    let this = ResourceAddr { module, mode: *mode, ty: ty.clone(), name: name.clone() };
                    // Nothing is removed for a data source, so what depends on it depends on what is behind it, too.
                    match mode {
                        Mode::Managed => Arc::new(BTreeSet::from([this])),
                        Mode::Data | Mode::Ephemeral => Arc::new(set.iter().cloned().chain([this]).collect()),
                    }
                }
                NodeKind::Output(name) if self.list[*id].module == ROOT => {
                    self.output_dependencies.insert(name.clone(), set.clone());
                    set
                }
                _ => set,
            };
        }
    }

    pub(super) fn address(&self, program: &Program, id: NodeId) -> Option<ResourceAddr> {
        let Node { module, kind } = &self.list[id.0];
        let NodeKind::Resource(mode, ty, name) = kind else { return None };
        let module = program.module(*module).path.clone();
        Some(ResourceAddr { module, mode: *mode, ty: ty.clone(), name: name.clone() })
    }

    fn cycle(&self, program: &Program, cycle: &[usize]) -> Diagnostic {
        let names: Vec<String> = cycle.iter().map(|id| self.describe(program, NodeId(*id))).collect();
        let path = names.iter().chain(names.first()).cloned().collect::<Vec<_>>().join(" → ");
        let mut diagnostic = Diagnostic::error("circular reference", "this depends on itself");
        for (idx, id) in cycle.iter().enumerate() {
            let Some(span) = self.span(program, NodeId(*id)) else { continue };
            if diagnostic.span.is_none() {
                diagnostic = diagnostic.at(span);
            } else if idx < 8 {
                diagnostic = diagnostic.related(span, "which goes through this");
            }
        }
        diagnostic.note(path).note("break the circle: take one of these references away")
    }

    fn describe(&self, program: &Program, id: NodeId) -> String {
        let Node { module, kind } = &self.list[id.0];
        let prefix: String = program.module(*module).path.iter().map(|name| format!("module.{name}.")).collect();
        match kind {
            NodeKind::Expand | NodeKind::Close => prefix.trim_end_matches('.').to_owned(),
            NodeKind::Variable(name) => format!("{prefix}var.{name}"),
            NodeKind::Local(name) => format!("{prefix}local.{name}"),
            NodeKind::Output(name) => format!("{prefix}output.{name}"),
            NodeKind::Check(name) => format!("{prefix}check.{name}"),
            NodeKind::Resource(mode, ty, name) => format!("{prefix}{}{ty}.{name}", mode.prefix()),
            NodeKind::Provider(_) => format!("{prefix}provider"),
            NodeKind::Import(_) => format!("{prefix}import"),
        }
    }

    fn span(&self, program: &Program, id: NodeId) -> Option<Span> {
        let Node { module, kind } = &self.list[id.0];
        let decl = &program.module(*module).decl;
        Some(match kind {
            NodeKind::Expand | NodeKind::Close => return None,
            NodeKind::Variable(name) => decl.variables.get(name)?.name.span,
            NodeKind::Local(name) => decl.locals.get(name)?.name.span,
            NodeKind::Output(name) => decl.outputs.get(name)?.name.span,
            NodeKind::Check(name) => decl.checks.get(name)?.header,
            NodeKind::Resource(mode, ty, name) => decl.resources.get(&(*mode, ty.clone(), name.clone()))?.header,
            NodeKind::Provider(idx) => decl.providers.get(*idx)?.header,
            NodeKind::Import(idx) => decl.imports.get(*idx)?.span,
        })
    }
}

/// All that is in some sets. Most have nothing in them, or the same: then there is no new one.
fn union<'s>(sets: impl Iterator<Item = &'s Arc<BTreeSet<ResourceAddr>>>) -> Arc<BTreeSet<ResourceAddr>> {
    let sets: Vec<_> = sets.filter(|set| !set.is_empty()).collect();
    let Some(largest) = sets.iter().max_by_key(|set| set.len()) else { return Arc::default() };
    let mut added = sets.iter().filter(|set| !Arc::ptr_eq(set, largest) && !set.is_subset(largest)).peekable();
    if added.peek().is_none() {
        return Arc::clone(largest);
    }
    let mut all = BTreeSet::clone(largest);
    added.for_each(|set| all.extend(set.iter().cloned()));
    Arc::new(all)
}

pub(super) fn repetition_refs(repetition: &Repetition, out: &mut Vec<Reference>) {
    match repetition {
        Repetition::Single => {}
        Repetition::Count(expr) | Repetition::ForEach(expr) => refs::of_expr(expr, out),
    }
}

fn condition_refs(condition: &Condition, out: &mut Vec<Reference>) {
    for expr in [&condition.condition, &condition.error_message] {
        expr_refs(expr, out);
    }
}

fn expr_refs(expr: &Expr, out: &mut Vec<Reference>) {
    refs::of_expr(expr, out);
}

fn unknown_output(call: &str, output: &str, decl: &ModuleDecl, span: Span) -> Diagnostic {
    let label = format!("the module `{call}` has no output `{output}`");
    Diagnostic::error("reference to nothing", label).at(span).suggest(output, decl.outputs.keys().map(|name| &**name))
}

fn undeclared(decl: &ModuleDecl, reference: &Reference) -> Diagnostic {
    let error = |label: String| Diagnostic::error("reference to nothing", label).at(reference.span);
    match &reference.target {
        Target::Variable(name) => error(format!("there is no variable `{name}`"))
            .suggest(name, decl.variables.keys().map(|name| &**name))
            .note(format!("declare it: variable \"{name}\" {{ }}")),
        Target::Local(name) => {
            error(format!("there is no local value `{name}`")).suggest(name, decl.locals.keys().map(|name| &**name))
        }
        Target::Module(name, _) => {
            error(format!("there is no module call `{name}`")).suggest(name, decl.calls.keys().map(|name| &**name))
        }
        Target::Resource(mode, ty, name) => {
            let wanted = format!("{}{ty}.{name}", mode.prefix());
            let known: Vec<String> = decl
                .resources
                .keys()
                .filter(|(known_mode, ..)| known_mode == mode)
                .take(1_000)
                .map(|(_, ty, name)| format!("{}{ty}.{name}", mode.prefix()))
                .collect();
            let roots = ["var", "local", "module", "data", "ephemeral", "each", "count", "path", "self"];
            let diagnostic = error(format!("there is no resource `{wanted}`"));
            match crate::diag::suggest::closest(&wanted, known.iter().map(String::as_str)) {
                Some(candidate) => diagnostic.note(format!("did you mean `{candidate}`?")),
                None => match crate::diag::suggest::closest(ty, roots) {
                    Some(root) if !ty.contains('_') => diagnostic.note(format!("did you mean `{root}.{name}`?")),
                    _ => diagnostic,
                },
            }
        }
    }
}
