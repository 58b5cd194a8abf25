//! From a program and its inputs to configuration, step by step.
//!
//! An evaluation does no IO. It hands out what is ready (`ready`), is told what became of it (`supply`), and goes
//! on with what depends on that. Plan and apply drive the same machine; plan supplies planned values, with
//! unknown parts, and apply supplies final ones.

mod asserts;
mod awaited;
mod deferral;
mod imports;
mod inputs;
mod nodes;
mod run;
mod scope;
mod triggers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use value::{Marks, Value};

use crate::addr::{InstanceAddr, Key, Mode, ModulePath, ProviderAddr, ResourceAddr};
use crate::binding::Schemas;
use crate::config::{DesiredInstance, DesiredProvider, RootOutput};
use crate::diag::Diagnostics;
use crate::lang::eval::provided::Functions;
use crate::program::{ModuleId, Program};
use crate::source::SourceLoader;
use crate::surroundings::Surroundings;
use nodes::{Node, NodeId, NodeKind, Nodes};

pub use asserts::{RunOutputs, Verdict};
pub use deferral::Deferred;
pub use imports::Imports;
pub use inputs::{Input, Inputs, declared, read_variable, read_variables_file};

/// Something for the engine to do.
#[derive(Debug, Clone)]
pub enum Work {
    Instance(Box<DesiredInstance>),
    Provider(DesiredProvider),
}

/// The surroundings of an evaluation.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "holds a loader, which need not be printable")]
pub struct Environment {
    pub loader: Arc<dyn SourceLoader>,
    pub surroundings: Surroundings,
    pub schemas: Arc<Schemas>,
    pub functions: Arc<dyn Functions>,
}

#[expect(missing_debug_implementations, reason = "holds a loader, which need not be printable")]
pub struct Evaluation {
    program: Arc<Program>,
    environment: Environment,
    inputs: Inputs,
    nodes: Nodes,
    /// Dependencies that a node still waits for.
    waiting: Vec<usize>,
    dependents: Vec<Vec<usize>>,
    runnable: Vec<NodeId>,
    module_insts: Vec<ModuleInst>,
    /// The instances of every module.
    insts_of: Vec<Vec<InstId>>,
    /// Values of variables, locals and outputs.
    values: HashMap<(NodeId, InstId), Value>,
    resources: HashMap<(NodeId, InstId), Instances>,
    /// All instances of a resource as one value, where somebody has asked for that; each who asks gets the same one.
    wholes: Mutex<HashMap<(NodeId, InstId), Value>>,
    /// Which node an instance or provider that was handed out belongs to.
    handed_out: HashMap<InstanceAddr, (NodeId, InstId)>,
    providers_out: HashMap<ProviderAddr, NodeId>,
    /// How much of a node was handed out and not yet supplied.
    pending: HashMap<NodeId, usize>,
    done: usize,
    diags: Diagnostics,
    /// An error was found, perhaps taken already: what is unknown may be so because of it.
    had_errors: bool,
    /// Only these resources are evaluated, if not all; others are unknown.
    part: Option<Arc<BTreeSet<ResourceAddr>>>,
    /// That it is not known how many instances there are is no error: they are put off.
    defers: bool,
    deferred: BTreeMap<ResourceAddr, Deferred>,
    imports: Imports,
    takes_in: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct InstId(usize);

const ROOT_INST: InstId = InstId(0);

#[derive(Debug)]
struct ModuleInst {
    path: ModulePath,
    parent: Option<InstId>,
    each: Option<(Value, Value)>,
    count_index: Option<usize>,
    /// Instances of the modules that this one calls.
    children: HashMap<Arc<str>, Repeated<InstId>>,
}

/// The instances of something that may be repeated.
#[derive(Debug, Clone)]
enum Repeated<T> {
    Single(T),
    Count(Vec<T>),
    Each(IndexMap<Arc<str>, T>),
    /// How many there are is not known.
    Unknown,
}

type Instances = Repeated<Value>;

impl Evaluation {
    /// Prepares an evaluation. References to nothing and cycles are found here.
    pub fn new(program: Arc<Program>, environment: Environment, inputs: Inputs) -> Evaluation {
        let mut diags = Diagnostics::default();
        program.check_refactoring(&mut diags);
        program.check_provider_metas(&environment.schemas, &mut diags);
        let nodes = Nodes::build(&program, &environment.schemas, &mut diags);
        let dependents = nodes.dag.dependents();
        let waiting: Vec<usize> = nodes.dag.dependencies.iter().map(Vec::len).collect();
        // A cycle has been reported; nothing is run then.
        let runnable = if nodes.is_cyclic {
            Vec::new()
        } else {
            (0..waiting.len()).filter(|node| waiting[*node] == 0).map(NodeId).collect()
        };
        let mut insts_of = vec![Vec::new(); program.modules.len()];
        insts_of[0].push(ROOT_INST);
        let root = ModuleInst {
            path: ModulePath::default(),
            parent: None,
            each: None,
            count_index: None,
            children: HashMap::new(),
        };
        Evaluation {
            program,
            environment,
            inputs,
            nodes,
            waiting,
            dependents,
            runnable,
            module_insts: vec![root],
            insts_of,
            values: HashMap::new(),
            resources: HashMap::new(),
            wholes: Mutex::default(),
            handed_out: HashMap::new(),
            providers_out: HashMap::new(),
            pending: HashMap::new(),
            done: 0,
            diags,
            had_errors: false,
            part: None,
            defers: false,
            deferred: BTreeMap::new(),
            imports: Imports::new(),
            takes_in: true,
        }
    }

    /// Evaluates only these resources; none of them depends on one that is left out. Before the first `ready`.
    pub fn restrict(&mut self, part: Arc<BTreeSet<ResourceAddr>>) {
        self.part = Some(part);
    }

    /// Every resource of the program, with those that it depends on, directly or through names.
    pub fn resources(&self) -> impl Iterator<Item = (ResourceAddr, &BTreeSet<ResourceAddr>)> {
        let all = self.nodes.resource_dependencies.iter();
        all.filter_map(|(node, on)| Some((self.nodes.address(&self.program, *node)?, &**on)))
    }

    /// The resources that an output of the root module is made of.
    pub fn behind_output(&self, name: &str) -> impl Iterator<Item = &ResourceAddr> {
        self.nodes.output_dependencies.get(name).into_iter().flat_map(|set| set.iter())
    }

    /// What can be done now. Empty while everything waits for something that was handed out before, and in the
    /// end.
    pub fn ready(&mut self) -> Vec<Work> {
        let mut work = Vec::new();
        while let Some(node) = self.runnable.pop() {
            let handed_out = self.run(node, &mut work);
            if handed_out == 0 {
                self.complete(node);
            } else {
                self.pending.insert(node, handed_out);
            }
        }
        work
    }

    /// Tells the value that an instance has or will have.
    pub fn supply(&mut self, addr: &InstanceAddr, value: Value) {
        let Some((node, inst)) = self.handed_out.remove(addr) else { return };
        let value = if addr.mode == Mode::Ephemeral { value.with_marks(Marks::EPHEMERAL) } else { value };
        self.check_postconditions(node, inst, addr, &value);
        let instances = self.resources.get_mut(&(node, inst)).expect("instances are stored before they are handed out");
        match (instances, &addr.key) {
            (Repeated::Single(slot), _) => *slot = value,
            (Repeated::Count(slots), Key::Int(idx)) => slots[*idx] = value,
            (Repeated::Each(slots), Key::Str(key)) => {
                slots.insert(key.clone(), value);
            }
            (Repeated::Count(_) | Repeated::Each(_) | Repeated::Unknown, _) => {}
        }
        self.wholes.get_mut().unwrap_or_else(PoisonError::into_inner).remove(&(node, inst));
        self.one_less_pending(node);
    }

    /// Tells that a provider configuration was dealt with.
    pub fn supply_provider(&mut self, addr: &ProviderAddr) {
        if let Some(node) = self.providers_out.remove(addr) {
            self.one_less_pending(node);
        }
    }

    fn one_less_pending(&mut self, node: NodeId) {
        let left = self.pending.get_mut(&node).expect("the node has work that was handed out");
        *left -= 1;
        if *left == 0 {
            self.pending.remove(&node);
            self.complete(node);
        }
    }

    fn complete(&mut self, node: NodeId) {
        self.done += 1;
        for dependent in &self.dependents[node.0] {
            self.waiting[*dependent] -= 1;
            if self.waiting[*dependent] == 0 {
                self.runnable.push(NodeId(*dependent));
            }
        }
    }

    /// Whether everything has been evaluated.
    pub fn is_done(&self) -> bool {
        self.done == self.nodes.list.len() || self.nodes.is_cyclic
    }

    pub fn has_errors(&self) -> bool {
        self.diags.has_errors()
    }

    /// What was found so far; later calls give only what is new.
    pub fn take_diagnostics(&mut self) -> Diagnostics {
        self.had_errors |= self.diags.has_errors();
        std::mem::take(&mut self.diags).without_repetitions()
    }

    /// The outputs of the root module, as far as they have been evaluated.
    pub fn outputs(&self) -> Vec<RootOutput> {
        let outputs = self.nodes.list.iter().enumerate().filter_map(|(id, node)| match &node.kind {
            NodeKind::Output(name) if node.module == ModuleId(0) => {
                let value = self.values.get(&(NodeId(id), ROOT_INST))?.clone();
                let decl = self.program.root().outputs.get(name)?;
                Some(RootOutput {
                    name: name.clone(),
                    value,
                    sensitive: decl.sensitive,
                    description: decl.description.clone(),
                })
            }
            _ => None,
        });
        outputs.collect()
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes.list[id.0]
    }
}

impl Evaluation {
    /// Evaluates an expression in the root module, with what has been evaluated so far.
    pub fn evaluate_text(&self, text: &str, sources: &mut crate::source::SourceMap) -> Result<Value, Diagnostics> {
        let file = sources.add("<console>", text);
        let expr = crate::syntax::parse_expression(file, sources)?;
        crate::lang::secrets::conceal_expr(&expr, sources);
        let mut diags = self.nodes.undeclared(&self.program, crate::program::ROOT, &expr);
        if diags.has_errors() {
            return Err(diags);
        }
        let scope = scope::ModuleScope::new(self, crate::program::ROOT, ROOT_INST);
        let value = crate::lang::eval::evaluate(&expr, &scope, &mut diags);
        if diags.has_errors() { Err(diags) } else { Ok(value) }
    }
}
