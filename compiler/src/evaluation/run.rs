//! Running a node: what its declaration means in each instance of its module.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;
use value::convert::convert;
use value::{Marks, Path, Ty, Value};

use super::deferral;
use super::nodes::{NodeId, NodeKind};
use super::scope::ModuleScope;
use super::triggers::triggers;
use super::{Evaluation, InstId, ModuleInst, ROOT_INST, Repeated, Work};
use crate::addr::{InstanceAddr, Key, Mode, ProviderSource, ResourceAddr};
use crate::config::{DesiredInstance, DesiredLifecycle, DesiredProvider};
use crate::diag::{Diagnostic, Diagnostics};
use crate::lang::declare::{Condition, Repetition, Resource};
use crate::lang::eval::body::{Spans, Target};
use crate::lang::eval::{self, Ctx};
use crate::program::{ModuleId, ROOT};
use crate::source::Span;
use crate::syntax::ast::Expr;

impl Evaluation {
    /// Evaluates a node in every instance of its module; returns how much was handed out to the engine.
    pub(super) fn run(&mut self, node: NodeId, work: &mut Vec<Work>) -> usize {
        let module = self.node(node).module;
        let insts = self.insts_of[module.0].clone();
        match self.node(node).kind.clone() {
            NodeKind::Expand => {
                self.expand_module(module);
                0
            }
            NodeKind::Close => 0,
            NodeKind::Variable(name) => {
                insts.into_iter().for_each(|inst| self.variable(node, inst, &name));
                0
            }
            NodeKind::Local(name) => {
                let decl = self.program.module(module).decl.clone();
                for inst in insts {
                    let value = self.evaluate(&decl.locals[&name].expr, module, inst);
                    self.values.insert((node, inst), value);
                }
                0
            }
            NodeKind::Output(name) => {
                insts.into_iter().for_each(|inst| self.output(node, inst, &name));
                0
            }
            NodeKind::Check(name) => {
                insts.into_iter().for_each(|inst| self.check(module, inst, &name));
                0
            }
            NodeKind::Import(idx) => {
                insts.into_iter().for_each(|inst| self.import(node, inst, idx));
                0
            }
            NodeKind::Provider(idx) => usize::from(self.provider(node, module, idx, work)),
            NodeKind::Resource(mode, ty, name) => {
                let decl = self.program.module(module).decl.clone();
                let resource = &decl.resources[&(mode, ty, name)];
                let is_left = self.is_left(node) || self.is_deferred(node);
                let mut repetitions: Vec<Repeated<Value>> = match is_left {
                    true => insts.iter().map(|_| Repeated::Unknown).collect(),
                    false => insts.iter().map(|inst| self.repetition(&resource.repetition, module, *inst)).collect(),
                };
                if !is_left && repetitions.iter().any(|one| self.puts_off(one, &resource.repetition)) {
                    // All of it, as far as it goes over several instances of its module.
                    self.defer(node, &resource.repetition);
                    repetitions.fill(Repeated::Unknown);
                }
                let insts = insts.into_iter().zip(repetitions);
                insts.map(|(inst, repetition)| self.resource(node, inst, resource, repetition, work)).sum()
            }
        }
    }

    fn evaluate(&mut self, expr: &Expr, module: ModuleId, inst: InstId) -> Value {
        let mut diags = Diagnostics::default();
        let value = eval::evaluate(expr, &ModuleScope::new(self, module, inst), &mut diags);
        self.diags.extend(diags);
        value
    }

    fn expand_module(&mut self, module: ModuleId) {
        let Some(parent) = self.program.module(module).parent else { return };
        let parent_decl = self.program.module(parent).decl.clone();
        let name = self.program.module(module).path.last().expect("a called module has a path").clone();
        let Some(call) = parent_decl.calls.get(&name) else { return };
        for parent_inst in self.insts_of[parent.0].clone() {
            let path = &self.program.module(module).path;
            let is_left = |part: &Arc<BTreeSet<ResourceAddr>>| !part.iter().any(|one| one.module.starts_with(path));
            // How often there is something of which nothing is evaluated may follow from what is not, either.
            let is_left = self.part.as_ref().is_some_and(is_left);
            let repeated =
                if is_left { Repeated::Unknown } else { self.repetition(&call.repetition, parent, parent_inst) };
            if !is_left && self.puts_off(&repeated, &call.repetition) {
                self.defer_module(module, &call.repetition);
            }
            let mut make = |key: Key, each: Option<(Value, Value)>, count_index: Option<usize>| {
                let inst = InstId(self.module_insts.len());
                let path = self.module_insts[parent_inst.0].path.child(name.clone(), key);
                let children = std::collections::HashMap::new();
                self.module_insts.push(ModuleInst { path, parent: Some(parent_inst), each, count_index, children });
                self.insts_of[module.0].push(inst);
                inst
            };
            let insts = match repeated {
                Repeated::Single(_) => Repeated::Single(make(Key::None, None, None)),
                Repeated::Count(slots) => {
                    Repeated::Count((0..slots.len()).map(|idx| make(Key::Int(idx), None, Some(idx))).collect())
                }
                Repeated::Each(entries) => Repeated::Each(
                    entries
                        .into_iter()
                        .map(|(key, value)| {
                            let each = Some((Value::String(key.clone()), value));
                            (key.clone(), make(Key::Str(key), each, None))
                        })
                        .collect(),
                ),
                Repeated::Unknown => Repeated::Unknown,
            };
            self.module_insts[parent_inst.0].children.insert(name.clone(), insts);
        }
        self.check_call_arguments(module, parent, &name);
    }

    /// Arguments that the module does not have; reported once, not for every instance.
    fn check_call_arguments(&mut self, module: ModuleId, parent: ModuleId, name: &str) {
        let decl = self.program.module(module).decl.clone();
        let parent_decl = self.program.module(parent).decl.clone();
        let call = &parent_decl.calls[name];
        for attribute in &call.body.attributes {
            let wrong = &attribute.name.name;
            if !decl.variables.contains_key(wrong) {
                let label = format!("the module `{name}` has no variable named `{wrong}`");
                let diagnostic = Diagnostic::error("unknown argument", label).at(attribute.name.span);
                self.diags.push(diagnostic.suggest(wrong, decl.variables.keys().map(|name| &**name)));
            }
        }
        for (variable, declared) in &decl.variables {
            if declared.default.is_none() && call.body.attribute(variable).is_none() {
                let label = format!("the module needs a value for its variable `{variable}`");
                let diagnostic = Diagnostic::error("missing argument", label).at(call.header);
                self.diags.push(diagnostic.note(declared.description.clone()));
            }
        }
    }

    fn variable(&mut self, node: NodeId, inst: InstId, name: &Arc<str>) {
        let module = self.node(node).module;
        let decl = self.program.module(module).decl.clone();
        let variable = &decl.variables[name];
        let given = match self.module_insts[inst.0].parent {
            None => self.inputs.get(name).map(|input| (input.value.clone(), input.span)),
            Some(parent_inst) => {
                let parent =
                    self.program.module(module).parent.expect("an instance with a parent has a calling module");
                let call_name = self.program.module(module).path.last().expect("a called module has a path").clone();
                let parent_decl = self.program.module(parent).decl.clone();
                let argument = parent_decl.calls[&call_name].body.attribute(name);
                argument.map(|argument| {
                    let mut diags = Diagnostics::default();
                    let ModuleInst { each, count_index, .. } = &self.module_insts[inst.0];
                    let mut scope = ModuleScope::new(self, parent, parent_inst);
                    scope.each.clone_from(each);
                    scope.count_index = *count_index;
                    let value = eval::evaluate_for(&argument.expr, variable.sensitive, &scope, &mut diags);
                    self.diags.extend(diags);
                    (value, Some(argument.expr.span))
                })
            }
        };
        let (mut value, span) = match given {
            Some((value, span)) if !(value.is_null() && !variable.nullable && variable.default.is_some()) => {
                (value, span)
            }
            _ => match &variable.default {
                Some(default) => (default.clone(), None),
                None if self.inputs.validating => (Value::unknown(variable.ty.ty.without_optional()), None),
                None if inst == ROOT_INST => {
                    let label = format!("the variable `{name}` has no value");
                    let diagnostic = Diagnostic::error("missing variable", label).at(variable.name.span);
                    self.diags.push(
                        diagnostic
                            .note(variable.description.clone())
                            .note(format!("give one with -var '{name}=..', -var-file, TF_VAR_{name}, or a default")),
                    );
                    (Value::unknown(variable.ty.ty.without_optional()), None)
                }
                // Reported at the call.
                None => (Value::unknown(variable.ty.ty.without_optional()), None),
            },
        };
        let blamed = span.unwrap_or(variable.name.span);
        let marks = Marks { sensitive: variable.sensitive, ephemeral: variable.ephemeral };
        if value.marks_deep().ephemeral && !variable.ephemeral {
            let label = format!("the variable `{name}` is not ephemeral, and this value is");
            self.diags.push(Diagnostic::error("ephemeral value", label).at(blamed).note(EPHEMERAL_VARIABLE));
        }
        value = match variable.ty.apply(&value.with_marks(marks)) {
            Ok(value) => value,
            Err(error) => {
                let label = format!("this value does not fit the variable `{name}`: {error}");
                self.diags.push(Diagnostic::error("wrong type", label).at(blamed));
                Value::unknown(variable.ty.ty.without_optional())
            }
        };
        if value.is_null() && !variable.nullable {
            let label = format!("the variable `{name}` cannot be null");
            self.diags.push(Diagnostic::error("missing variable", label).at(blamed));
        }
        value = value.with_marks(marks);
        let mut is_valid = true;
        for validation in &variable.validations {
            let mut scope = ModuleScope::new(self, module, inst);
            scope.validated = Some((name.clone(), value.clone()));
            let blame = Blame { subject: subject(module, || format!("var.{name}")), at: Some(blamed) };
            let found = check(validation, &scope, "invalid value for a variable", blame);
            is_valid &= !found.has_errors();
            self.diags.extend(found);
        }
        // What is wrong with it was said; nobody else needs to complain.
        if !is_valid {
            value = Value::unknown(variable.ty.ty.without_optional()).with_marks(marks);
        }
        self.values.insert((node, inst), value);
    }

    /// What does not hold is told, and stops nothing.
    fn check(&mut self, module: ModuleId, inst: InstId, name: &Arc<str>) {
        let decl = self.program.module(module).decl.clone();
        for assert in &decl.checks[name].asserts {
            let blame = Blame { subject: subject(module, || format!("check.{name}")), at: None };
            let found = check(assert, &ModuleScope::new(self, module, inst), "check failed", blame);
            self.diags.extend(found.softened());
        }
    }

    fn output(&mut self, node: NodeId, inst: InstId, name: &Arc<str>) {
        let module = self.node(node).module;
        let decl = self.program.module(module).decl.clone();
        let output = &decl.outputs[name];
        for precondition in &output.preconditions {
            let blame = Blame { subject: subject(module, || format!("output.{name}")), at: None };
            let found = check(precondition, &ModuleScope::new(self, module, inst), "precondition failed", blame);
            self.diags.extend(found);
        }
        let value = self.evaluate(&output.value, module, inst);
        let marks = value.marks_deep();
        if module == ROOT && output.ephemeral {
            let label = "outputs of the root module are stored, so they cannot be ephemeral";
            self.diags.push(Diagnostic::error("ephemeral output", label).at(output.name.span));
        }
        if marks.ephemeral && !output.ephemeral {
            let label = "this value is ephemeral, and the output is not";
            let diagnostic = Diagnostic::error("ephemeral value", label).at(output.value.span);
            self.diags.push(match module {
                ROOT => diagnostic.note("outputs of the root module are stored, so they cannot be ephemeral"),
                _ => diagnostic.note("set `ephemeral = true` in the output"),
            });
        }
        if module == ROOT && marks.sensitive && !output.sensitive {
            let label = "this value is sensitive, so showing it would leak it";
            let diagnostic = Diagnostic::error("sensitive output", label).at(output.value.span);
            self.diags.push(diagnostic.note("set `sensitive = true` in the output, or use nonsensitive(..)"));
        }
        let own = Marks { sensitive: output.sensitive && module != ROOT, ephemeral: output.ephemeral };
        self.values.insert((node, inst), value.with_marks(own));
    }

    /// Evaluates `count` or `for_each`. The values of `Each` are what `each.value` is.
    fn repetition(&mut self, repetition: &Repetition, module: ModuleId, inst: InstId) -> Repeated<Value> {
        let validating = self.inputs.validating;
        let (value, span, what) = match repetition {
            Repetition::Single => return Repeated::Single(Value::DYNAMIC),
            Repetition::Count(expr) => (self.evaluate(expr, module, inst), expr.span, "count"),
            Repetition::ForEach(expr) => (self.evaluate(expr, module, inst), expr.span, "for_each"),
        };
        if value.has_marks() {
            let marks = value.marks_deep();
            let kind = if marks.sensitive { "sensitive" } else { "ephemeral" };
            let label = format!("`{what}` cannot be {kind}: it shows in addresses");
            self.diags.push(Diagnostic::error(format!("invalid {what}"), label).at(span));
            return Repeated::Unknown;
        }
        let read = if what == "count" { read_count(&value) } else { read_for_each(&value) };
        match read {
            Ok(Repeated::Unknown) if self.defers => Repeated::Unknown,
            Ok(Repeated::Unknown) if !validating && !self.had_errors && !self.diags.has_errors() => {
                self.diags.push(deferral::unknown(what, span));
                Repeated::Unknown
            }
            Ok(repeated) => repeated,
            Err(label) => {
                self.diags.push(Diagnostic::error(format!("invalid {what}"), label).at(span));
                Repeated::Unknown
            }
        }
    }

    fn provider(&mut self, node: NodeId, module: ModuleId, idx: usize, work: &mut Vec<Work>) -> bool {
        let decl = self.program.module(module).decl.clone();
        let config = &decl.providers[idx];
        let source = self.program.source_of(module, &config.name.name);
        let Some(schemas) = self.environment.schemas.get(&source).cloned() else { return false };
        let is_ours = source == ProviderSource::lampwright();
        let target = Target { kind: &config.name.name, header: config.header, is_ours, is_stored: false };
        let inst = self.insts_of[module.0].first().copied().unwrap_or(ROOT_INST);
        let mut spans = Spans::default();
        let scope = ModuleScope::new(self, module, inst);
        let mut ctx = Ctx::new(&scope);
        let value = ctx.decode_body(&config.body, &schemas.provider.block, &target, &Path::root(), &mut spans);
        let found = ctx.diags;
        self.diags.extend(found);
        let addr = crate::addr::ProviderAddr {
            module: self.program.module(module).path.clone(),
            source,
            alias: config.alias.clone(),
        };
        self.providers_out.insert(addr.clone(), node);
        work.push(Work::Provider(DesiredProvider { addr, config: value, spans, span: Some(config.header) }));
        true
    }

    pub(super) fn is_left(&self, node: NodeId) -> bool {
        let is_in = |part: &Arc<BTreeSet<ResourceAddr>>| {
            self.nodes.address(&self.program, node).is_some_and(|addr| part.contains(&addr))
        };
        !self.part.as_ref().is_none_or(is_in)
    }

    fn resource(
        &mut self,
        node: NodeId,
        inst: InstId,
        resource: &Resource,
        repetitions: Repeated<Value>,
        work: &mut Vec<Work>,
    ) -> usize {
        // A type without a schema has been reported; its values are unknown.
        let Some(bound) = self.nodes.bound.get(&node).cloned() else {
            self.resources.insert((node, inst), Repeated::Unknown);
            return 0;
        };
        let marks = Marks::EPHEMERAL.when(resource.mode == Mode::Ephemeral);
        let placeholder = Value::unknown(bound.schema.block.implied_ty()).with_marks(marks);
        let keys: Vec<(Key, Option<(Value, Value)>)> = match repetitions {
            Repeated::Single(_) => {
                self.resources.insert((node, inst), Repeated::Single(placeholder));
                vec![(Key::None, None)]
            }
            Repeated::Count(slots) => {
                let count = slots.len();
                self.resources.insert((node, inst), Repeated::Count(vec![placeholder; count]));
                (0..count).map(|idx| (Key::Int(idx), None)).collect()
            }
            Repeated::Each(entries) => {
                let slots = entries.keys().map(|key| (key.clone(), placeholder.clone())).collect();
                self.resources.insert((node, inst), Repeated::Each(slots));
                let entries = entries.into_iter();
                entries.map(|(key, value)| (Key::Str(key.clone()), Some((Value::String(key), value)))).collect()
            }
            Repeated::Unknown => {
                self.resources.insert((node, inst), Repeated::Unknown);
                return 0;
            }
        };
        let mut handed_out = 0;
        for (key, each) in keys {
            let desired = self.instance(node, inst, resource, key, each, &bound);
            if let Some(desired) = desired {
                self.handed_out.insert(desired.addr.clone(), (node, inst));
                work.push(Work::Instance(Box::new(desired)));
                handed_out += 1;
            }
        }
        handed_out
    }

    fn instance(
        &mut self,
        node: NodeId,
        inst: InstId,
        resource: &Resource,
        key: Key,
        each: Option<(Value, Value)>,
        bound: &super::nodes::Bound,
    ) -> Option<DesiredInstance> {
        let module = self.node(node).module;
        let addr = InstanceAddr {
            module: self.module_insts[inst.0].path.clone(),
            mode: resource.mode,
            ty: resource.ty.name.clone(),
            name: resource.name.name.clone(),
            key: key.clone(),
        };
        let mut scope = ModuleScope::new(self, module, inst);
        scope.each = each;
        scope.count_index = if let Key::Int(idx) = key { Some(idx) } else { None };
        let mut found = Diagnostics::default();
        for precondition in &resource.lifecycle.preconditions {
            let blame = Blame { subject: subject(module, || addr.resource().to_string()), at: None };
            found.extend(check(precondition, &scope, "precondition failed", blame));
        }
        let is_ours = bound.provider.source == ProviderSource::lampwright();
        let is_stored = resource.mode != Mode::Ephemeral;
        let target = Target { kind: &resource.ty.name, header: resource.header, is_ours, is_stored };
        let mut ctx = Ctx::new(&scope);
        let mut spans = Spans::default();
        let config = ctx.decode_body(&resource.body, &bound.schema.block, &target, &Path::root(), &mut spans);
        found.extend(ctx.diags);
        let triggers = triggers(&resource.lifecycle.replace_triggered_by, &scope, &mut found);
        let lifecycle = &resource.lifecycle;
        let create_before_destroy =
            flag(lifecycle.create_before_destroy.as_ref(), self.inputs.validating, &scope, &mut found);
        let prevent_destroy = flag(lifecycle.prevent_destroy.as_ref(), self.inputs.validating, &scope, &mut found);
        let is_wrong = found.has_errors();
        self.diags.extend(found);
        if is_wrong {
            return None;
        }
        Some(DesiredInstance {
            addr,
            provider: bound.provider.clone(),
            schema: bound.schema.clone(),
            config,
            dependencies: self.stored_dependencies(node),
            awaits: self.nodes.awaited.get(&node).cloned().unwrap_or_default(),
            may_fail: resource.is_in_check,
            lifecycle: DesiredLifecycle {
                create_before_destroy,
                prevent_destroy,
                ignore_changes: lifecycle.ignore_changes.clone(),
                replace_triggered_by: triggers,
            },
            spans,
            span: resource.header,
        })
    }

    /// What is ephemeral is over when the run is: nothing waits for it later.
    fn stored_dependencies(&self, node: NodeId) -> Arc<BTreeSet<ResourceAddr>> {
        let all = self.nodes.resource_dependencies.get(&node).cloned().unwrap_or_default();
        match all.iter().any(|addr| addr.mode == Mode::Ephemeral) {
            true => Arc::new(all.iter().filter(|addr| addr.mode != Mode::Ephemeral).cloned().collect()),
            false => all,
        }
    }

    pub(super) fn check_postconditions(&mut self, node: NodeId, inst: InstId, addr: &InstanceAddr, value: &Value) {
        let module = self.node(node).module;
        let decl = self.program.module(module).decl.clone();
        let Some(resource) = decl.resources.get(&(addr.mode, addr.ty.clone(), addr.name.clone())) else { return };
        for postcondition in &resource.lifecycle.postconditions {
            let mut scope = ModuleScope::new(self, module, inst);
            scope.self_value = Some(value.clone());
            let blame = Blame { subject: subject(module, || addr.resource().to_string()), at: None };
            let found = check(postcondition, &scope, "postcondition failed", blame);
            self.diags.extend(found);
        }
    }
}

/// An argument of `lifecycle` that is true or false. Where it may be unknown, it is taken for true, which keeps more.
fn flag(expr: Option<&Expr>, may_be_unknown: bool, scope: &ModuleScope<'_>, diags: &mut Diagnostics) -> bool {
    let Some(expr) = expr else { return false };
    let value = eval::evaluate_as(expr, &Ty::Bool, scope, diags).unmark().0;
    match value.as_bool() {
        Some(truth) => truth,
        None if value.is_null() => false,
        None => {
            if !may_be_unknown && !diags.has_errors() {
                let label = "this depends on something that is known only after apply";
                let diagnostic = Diagnostic::error("unknown argument of `lifecycle`", label).at(expr.span);
                diags.push(diagnostic.note("make it depend on variables"));
            }
            true
        }
    }
}

const EPHEMERAL_VARIABLE: &str = "set `ephemeral = true` in the variable";

/// More than this is a mistake, and would only fill the memory.
const MAX_COUNT: usize = 100_000;

fn read_count(value: &Value) -> Result<Repeated<Value>, String> {
    match convert(value, &Ty::Number) {
        Ok(Value::Unknown(..)) => Ok(Repeated::Unknown),
        Ok(Value::Number(number)) => match number.to_usize() {
            Some(count) if count > MAX_COUNT => Err(format!("at most {MAX_COUNT} instances are possible")),
            Some(count) => Ok(Repeated::Count(vec![Value::DYNAMIC; count])),
            None => Err(format!("a whole number that is not negative is required, not {number}")),
        },
        Ok(_) => Err("`count` cannot be null".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn read_for_each(value: &Value) -> Result<Repeated<Value>, String> {
    match value {
        Value::Unknown(..) => Ok(Repeated::Unknown),
        Value::Map(_, entries) | Value::Object(entries) => {
            Ok(Repeated::Each(entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()))
        }
        // Of no items nobody knows what they would be: toset([]).
        Value::Set(Ty::Dynamic, items) if items.is_empty() => Ok(Repeated::Each(IndexMap::new())),
        Value::Set(Ty::String, items) => {
            if !value.is_wholly_known() {
                return Ok(Repeated::Unknown);
            }
            let keys: Option<IndexMap<Arc<str>, Value>> =
                items.iter().map(|item| Some((item.as_str()?.into(), item.clone()))).collect();
            keys.map(Repeated::Each).ok_or_else(|| "the set holds a null".to_owned())
        }
        Value::Null(_) => Err("`for_each` cannot be null".to_owned()),
        Value::List(..) | Value::Tuple(_) => {
            Err("`for_each` takes a map or a set of strings; toset([..]) makes a set of a list".to_owned())
        }
        Value::Set(..) | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Marked(..) => {
            Err(format!("`for_each` takes a map or a set of strings, not {}", value::convert::name(&value.ty())))
        }
    }
}

/// Whose condition it is, and where a person is pointed to if it is not the condition itself.
struct Blame {
    subject: Option<Box<str>>,
    at: Option<Span>,
}

/// Tests can expect a failure of what is in the root module.
fn subject(module: ModuleId, name: impl FnOnce() -> String) -> Option<Box<str>> {
    (module == ROOT).then(|| name().into())
}

/// Evaluates a condition; a false one is reported with its message, an unknown one is not.
fn check(condition: &Condition, scope: &ModuleScope<'_>, summary: &str, blame: Blame) -> Diagnostics {
    let mut diags = Diagnostics::default();
    let holds = eval::evaluate_as(&condition.condition, &Ty::Bool, scope, &mut diags);
    let fails = holds.as_bool() == Some(false);
    if fails {
        let message = eval::evaluate_as(&condition.error_message, &Ty::String, scope, &mut diags);
        let text =
            if message.has_marks() { "(the message is sensitive)" } else { message.as_str().unwrap_or("(no message)") };
        let diagnostic = Diagnostic::error(summary, text).at(blame.at.unwrap_or(condition.span)).about(blame.subject);
        diags.push(match blame.at {
            Some(_) => diagnostic.related(condition.span, "this does not hold"),
            None => diagnostic,
        });
    } else if holds.is_null() {
        diags.push(Diagnostic::error("invalid condition", "a condition cannot be null").at(condition.span));
    }
    diags
}
