//! What names mean inside an instance of a module.

use std::sync::{Arc, PoisonError};

use value::{Ty, Value};

use super::nodes::{NodeId, NodeKind};
use super::{Evaluation, InstId, Instances, Repeated, RunOutputs};
use crate::addr::{BUILTIN, Mode};
use crate::diag::Diagnostic;
use crate::lang::eval::provided::Provided;
use crate::lang::eval::{Ctx, Scope};
use crate::program::ModuleId;
use crate::source::{SourceLoader, Span};
use crate::surroundings::Surroundings;
use crate::syntax::ast::{Step, StepKind};

pub(super) struct ModuleScope<'e> {
    pub(super) evaluation: &'e Evaluation,
    pub(super) module: ModuleId,
    pub(super) inst: InstId,
    pub(super) each: Option<(Value, Value)>,
    pub(super) count_index: Option<usize>,
    pub(super) self_value: Option<Value>,
    /// A variable that is being validated has its value here.
    pub(super) validated: Option<(Arc<str>, Value)>,
    /// In an assertion of a test: the outputs of earlier runs.
    pub(super) runs: Option<&'e RunOutputs>,
}

impl<'e> ModuleScope<'e> {
    pub(super) fn new(evaluation: &'e Evaluation, module: ModuleId, inst: InstId) -> ModuleScope<'e> {
        ModuleScope {
            evaluation,
            module,
            inst,
            each: None,
            count_index: None,
            self_value: None,
            validated: None,
            runs: None,
        }
    }

    fn value(&self, kind: NodeKind) -> Value {
        let found = self.evaluation.nodes.find(self.module, kind);
        // What could not be evaluated has been reported.
        found.and_then(|node| self.evaluation.values.get(&(node, self.inst))).cloned().unwrap_or(Value::DYNAMIC)
    }

    fn resource(
        &self,
        mode: Mode,
        ty: &Arc<str>,
        name: &Arc<str>,
        steps: &[Step],
        ctx: &mut Ctx<'_>,
    ) -> (Value, usize) {
        let kind = NodeKind::Resource(mode, ty.clone(), name.clone());
        let found = self.evaluation.nodes.find(self.module, kind).map(|node| (node, self.inst));
        match found.and_then(|found| Some((found, self.evaluation.resources.get(&found)?))) {
            Some((found, instances)) => pick(instances, steps, || self.whole(found, instances), ctx),
            None => (Value::DYNAMIC, steps.len()),
        }
    }

    fn whole(&self, resource: (NodeId, InstId), instances: &Instances) -> Value {
        let mut wholes = self.evaluation.wholes.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = wholes.entry(resource).or_insert_with(|| match instances {
            Repeated::Single(value) => value.clone(),
            Repeated::Count(values) => Value::tuple(values.clone()),
            Repeated::Each(values) => Value::object(values.iter().map(|(key, value)| (key.clone(), value.clone()))),
            Repeated::Unknown => Value::DYNAMIC,
        });
        whole.clone()
    }

    /// A module call: the value of one output where one is named, else an object of all.
    fn call(&self, name: &Arc<str>, steps: &[Step], ctx: &mut Ctx<'_>) -> (Value, usize) {
        let child = self.evaluation.program.module(self.module).children.get(name).copied();
        let insts = self.evaluation.module_insts[self.inst.0].children.get(name);
        let (Some(child), Some(insts)) = (child, insts) else { return (Value::DYNAMIC, steps.len()) };
        let output = |inst: InstId, output: &Arc<str>| {
            let node = self.evaluation.nodes.find(child, NodeKind::Output(output.clone()));
            node.and_then(|node| self.evaluation.values.get(&(node, inst))).cloned().unwrap_or(Value::DYNAMIC)
        };
        let all = |inst: InstId| {
            let names = self.evaluation.program.module(child).decl.outputs.keys();
            Value::object(names.map(|name| (name.clone(), output(inst, name))))
        };
        let named = |step: Option<&Step>| match step.map(|step| &step.kind) {
            Some(StepKind::Attribute(name)) => Some(name.clone()),
            _ => None,
        };
        match (insts, steps) {
            (Repeated::Single(inst), _) => match named(steps.first()) {
                Some(name) => (output(*inst, &name), 1),
                None => (all(*inst), 0),
            },
            (Repeated::Count(insts), [Step { kind: StepKind::Index(index), .. }, rest @ ..]) => {
                let chosen = ctx.eval_as(index, &Ty::Number);
                match chosen.as_number().and_then(value::Number::to_usize).and_then(|idx| insts.get(idx)) {
                    Some(inst) => match named(rest.first()) {
                        Some(name) => (output(*inst, &name), 2),
                        None => (all(*inst), 1),
                    },
                    None => (Value::tuple(insts.iter().map(|inst| all(*inst)).collect()), 0),
                }
            }
            (Repeated::Each(insts), [Step { kind: StepKind::Index(index), .. }, rest @ ..]) => {
                let chosen = ctx.eval_as(index, &Ty::String);
                match chosen.as_str().and_then(|key| insts.get(key)) {
                    Some(inst) => match named(rest.first()) {
                        Some(name) => (output(*inst, &name), 2),
                        None => (all(*inst), 1),
                    },
                    None => (Value::object(insts.iter().map(|(key, inst)| (key.clone(), all(*inst)))), 0),
                }
            }
            (Repeated::Count(insts), _) => (Value::tuple(insts.iter().map(|inst| all(*inst)).collect()), 0),
            (Repeated::Each(insts), _) => (Value::object(insts.iter().map(|(key, inst)| (key.clone(), all(*inst)))), 0),
            (Repeated::Unknown, _) => (Value::DYNAMIC, steps.len()),
        }
    }

    fn path(&self, name: &str, span: Span) -> Result<Value, Diagnostic> {
        match name {
            "module" => Ok(Value::string(&self.evaluation.program.module(self.module).decl.folder)),
            "root" => Ok(Value::string(&self.evaluation.program.root().folder)),
            "cwd" => Ok(Value::string(&self.evaluation.environment.surroundings.cwd)),
            _ => Err(Diagnostic::error("reference to nothing", format!("there is no `path.{name}`"))
                .at(span)
                .note("there are path.module, path.root and path.cwd")),
        }
    }
}

impl Scope for ModuleScope<'_> {
    fn resolve(&self, root: &str, span: Span, steps: &[Step], ctx: &mut Ctx<'_>) -> Result<(Value, usize), Diagnostic> {
        let attribute = |idx: usize| match steps.get(idx).map(|step| &step.kind) {
            Some(StepKind::Attribute(name)) => Some(name),
            _ => None,
        };
        let needs_name = |example: &str| {
            let label = format!("`{root}` needs a name behind it, such as {example}");
            Diagnostic::error("incomplete reference", label).at(span)
        };
        match root {
            "var" => {
                let name = attribute(0).ok_or_else(|| needs_name("var.nodes"))?;
                match &self.validated {
                    Some((validated, value)) if validated == name => Ok((value.clone(), 1)),
                    _ => Ok((self.value(NodeKind::Variable(name.clone())), 1)),
                }
            }
            "local" => {
                let name = attribute(0).ok_or_else(|| needs_name("local.name"))?;
                Ok((self.value(NodeKind::Local(name.clone())), 1))
            }
            "module" => {
                let name = attribute(0).ok_or_else(|| needs_name("module.name.output"))?;
                let (value, taken) = self.call(name, &steps[1..], ctx);
                Ok((value, taken + 1))
            }
            "path" => {
                let name = attribute(0).ok_or_else(|| needs_name("path.module"))?;
                self.path(name, span).map(|value| (value, 1))
            }
            "terraform" => match attribute(0).map(|name| &**name) {
                Some("workspace") => {
                    let name = self.evaluation.inputs.workspace.as_deref().unwrap_or("default");
                    Ok((Value::string(name), 1))
                }
                _ => Err(needs_name("terraform.workspace")),
            },
            "count" => match (attribute(0).map(|name| &**name), self.count_index) {
                (Some("index"), Some(idx)) => Ok((Value::from(idx as i64), 1)),
                (Some("index"), None) => {
                    let label = "`count.index` exists only where `count` is set";
                    Err(Diagnostic::error("reference to nothing", label).at(span))
                }
                _ => Err(needs_name("count.index")),
            },
            "each" => match (attribute(0).map(|name| &**name), &self.each) {
                (Some("key"), Some((key, _))) => Ok((key.clone(), 1)),
                (Some("value"), Some((_, value))) => Ok((value.clone(), 1)),
                (Some("key" | "value"), None) => {
                    let label = "`each` exists only where `for_each` is set";
                    Err(Diagnostic::error("reference to nothing", label).at(span))
                }
                _ => Err(needs_name("each.key")),
            },
            "self" => match &self.self_value {
                Some(value) => Ok((value.clone(), 0)),
                None => {
                    let label = "`self` exists only in a postcondition";
                    Err(Diagnostic::error("reference to nothing", label).at(span))
                }
            },
            "data" | "ephemeral" => {
                let mode = if root == "data" { Mode::Data } else { Mode::Ephemeral };
                let needs = || needs_name(&format!("{root}.type.name"));
                let (ty, name) = attribute(0).zip(attribute(1)).ok_or_else(needs)?;
                let (value, taken) = self.resource(mode, ty, name, &steps[2..], ctx);
                Ok((value, taken + 2))
            }
            "output" if self.runs.is_some() => {
                let name = attribute(0).ok_or_else(|| needs_name("output.name"))?;
                let declared = self.evaluation.program.module(self.module).decl.outputs.get(name);
                let is_sensitive = declared.is_some_and(|output| output.sensitive);
                Ok((self.value(NodeKind::Output(name.clone())).mark_sensitive_if(is_sensitive), 1))
            }
            "run" if let Some(runs) = self.runs => {
                let name = attribute(0).ok_or_else(|| needs_name("run.name.output"))?;
                Ok((runs.get(name).cloned().unwrap_or(Value::DYNAMIC), 1))
            }
            _ => match attribute(0) {
                Some(name) => {
                    let (value, taken) = self.resource(Mode::Managed, &root.into(), name, &steps[1..], ctx);
                    Ok((value, taken + 1))
                }
                None => {
                    let label = format!("`{root}` means nothing here");
                    let diagnostic = Diagnostic::error("reference to nothing", label).at(span);
                    Err(diagnostic.note("text stands in quotes; references look like var.name or type.name.attribute"))
                }
            },
        }
    }

    fn function(&self, local: &str, name: &str) -> Result<Provided, Diagnostic> {
        let Evaluation { program, environment, .. } = self.evaluation;
        let unknown = |label: String| Diagnostic::error("unknown function", label);
        let declared = &program.module(self.module).decl.required_providers;
        if !declared.contains_key(local) && local != "lampwright" && local != BUILTIN {
            let names = declared.keys().map(|name| &**name);
            let diagnostic = unknown(format!("this module has no provider named `{local}`")).suggest(local, names);
            return Err(diagnostic.note("name it in `required_providers`"));
        }
        let source = program.source_of(self.module, local);
        let functions = environment.schemas.get(&source).map(|schemas| &schemas.functions);
        match functions.and_then(|functions| functions.get(name)) {
            Some(function) => {
                Ok(Provided { source, function: function.clone(), functions: environment.functions.clone() })
            }
            None => {
                let names = functions.into_iter().flatten().map(|(name, _)| &**name);
                Err(unknown(format!("{} has no function `{name}`", source.short())).suggest(name, names))
            }
        }
    }

    fn loader(&self) -> Option<&dyn SourceLoader> {
        Some(&*self.evaluation.environment.loader)
    }

    fn folder(&self) -> &'static str {
        "."
    }

    fn surroundings(&self) -> Option<&Surroundings> {
        Some(&self.evaluation.environment.surroundings)
    }
}

/// One instance where the steps name one, without building a value of all.
fn pick(instances: &Instances, steps: &[Step], whole: impl FnOnce() -> Value, ctx: &mut Ctx<'_>) -> (Value, usize) {
    match (instances, steps.first().map(|step| &step.kind)) {
        (Repeated::Single(value), _) => (value.clone(), 0),
        (Repeated::Unknown, _) => (Value::DYNAMIC, steps.len()),
        (Repeated::Count(values), Some(StepKind::Index(index))) => {
            let (chosen, marked) = ctx.eval(index).unmark();
            match value::convert::convert(&chosen, &Ty::Number)
                .ok()
                .as_ref()
                .and_then(Value::as_number)
                .and_then(value::Number::to_usize)
            {
                Some(idx) if idx < values.len() => (values[idx].clone().with_marks(marked), 1),
                // Let the ordinary rules say what is wrong with the index.
                _ => (whole(), 0),
            }
        }
        (Repeated::Each(values), Some(StepKind::Index(index))) => {
            let (chosen, marked) = ctx.eval(index).unmark();
            match chosen.as_str().and_then(|key| values.get(key)) {
                Some(value) => (value.clone().with_marks(marked), 1),
                None => (whole(), 0),
            }
        }
        (Repeated::Count(_) | Repeated::Each(_), _) => (whole(), 0),
    }
}
