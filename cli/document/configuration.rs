//! The configuration that a plan was made of: every expression as its value, if it is constant, or as what it refers to.

use compiler::Program;
use compiler::addr::{Mode, ProviderAddr};
use compiler::binding::Schemas;
use compiler::diag::Diagnostics;
use compiler::lang::declare::{ModuleCall, ModuleDecl, Repetition, Resource, Variable};
use compiler::lang::eval::{NoScope, evaluate};
use compiler::lang::refs;
use compiler::program::ModuleId;
use compiler::syntax::ast::{Body, Expr, ExprKind, Step, StepKind};
use serde_json::{Map, Value as Json, json};
use value::Value;
use value::codec::json as values;
use value::schema::{Block, Nesting};

pub(super) fn configuration(program: &Program, schemas: &Schemas) -> Json {
    let mut providers = Map::new();
    for id in program.ids() {
        let module = program.module(id);
        for config in &module.decl.providers {
            let source = program.source_of(id, &config.name.name);
            let addr = ProviderAddr { module: module.path.clone(), source, alias: config.alias.clone() };
            let mut json = provider(&addr, &config.name.name, &module.decl);
            let schema = schemas.get(&addr.source).map(|all| &all.provider.block);
            let expressions = expressions(&config.body, schema);
            if !is_empty(&expressions) {
                json["expressions"] = expressions;
            }
            providers.insert(provider_key(&addr, &config.name.name), json);
        }
        for resource in module.decl.resources.values() {
            let Ok((addr, _)) = program.bind(id, resource, schemas) else { continue };
            let name = local_name(&addr);
            let key = provider_key(&addr, &name);
            if !providers.contains_key(&key) {
                providers.insert(key, provider(&addr, &name, program.root()));
            }
        }
    }
    json!({ "provider_config": providers, "root_module": module(program, compiler::program::ROOT, schemas) })
}

/// By which a provider is known, where no block says it.
fn local_name(addr: &ProviderAddr) -> String {
    addr.source.ty.to_string()
}

fn provider(addr: &ProviderAddr, name: &str, decl: &ModuleDecl) -> Json {
    let mut json = json!({ "name": name, "full_name": addr.source.to_string() });
    if let Some(version) = decl.required_providers.get(name).and_then(|required| required.version.as_ref()) {
        json["version_constraint"] = version.as_str().into();
    }
    if let Some(alias) = &addr.alias {
        json["alias"] = (**alias).into();
    }
    if !addr.module.is_empty() {
        json["module_address"] =
            addr.module.iter().map(|call| format!("module.{call}")).collect::<Vec<_>>().join(".").into();
    }
    json
}

fn provider_key(addr: &ProviderAddr, name: &str) -> String {
    let alias = addr.alias.as_ref().map(|alias| format!(".{alias}")).unwrap_or_default();
    match addr.module.is_empty() {
        true => format!("{name}{alias}"),
        false => format!(
            "{}:{name}{alias}",
            addr.module.iter().map(|call| format!("module.{call}")).collect::<Vec<_>>().join(".")
        ),
    }
}

fn module(program: &Program, id: ModuleId, schemas: &Schemas) -> Json {
    let decl = &program.module(id).decl;
    let mut json = Map::new();
    let mut put = |name: &str, part: Json| {
        if !is_empty(&part) {
            json.insert(name.to_owned(), part);
        }
    };
    let outputs = decl.outputs.iter().map(|(name, output)| {
        let mut json = json!({ "expression": expression(&output.value) });
        let flags = [("sensitive", output.sensitive), ("ephemeral", output.ephemeral)];
        flags.into_iter().filter(|(_, is_set)| *is_set).for_each(|(name, _)| json[name] = true.into());
        if !output.description.is_empty() {
            json["description"] = output.description.as_str().into();
        }
        if !output.depends_on.is_empty() {
            json["depends_on"] = depends_on(&output.depends_on);
        }
        (name.to_string(), json)
    });
    put("outputs", Json::Object(outputs.collect()));
    let mut resources: Vec<&Resource> = decl.resources.values().collect();
    resources.sort_by_key(|resource| (resource.mode != Mode::Managed, address(resource)));
    put("resources", resources.into_iter().filter_map(|one| resource(program, id, one, schemas)).collect());
    let calls = decl.calls.iter().map(|(name, called)| (name.to_string(), call(program, id, name, called, schemas)));
    put("module_calls", Json::Object(calls.collect()));
    let variables = decl.variables.iter().map(|(name, declared)| (name.to_string(), variable(declared)));
    put("variables", Json::Object(variables.collect()));
    Json::Object(json)
}

fn address(resource: &Resource) -> String {
    let prefix = if resource.mode == Mode::Data { "data." } else { "" };
    format!("{prefix}{}.{}", resource.ty.name, resource.name.name)
}

fn resource(program: &Program, id: ModuleId, resource: &Resource, schemas: &Schemas) -> Option<Json> {
    let mode = match resource.mode {
        Mode::Managed => "managed",
        Mode::Data => "data",
        // Terraform leaves them out.
        Mode::Ephemeral => return None,
    };
    let (provider, schema) = program.bind(id, resource, schemas).ok()?;
    let name = resource.provider.as_ref().map_or_else(|| local_name(&provider), |reference| reference.name.to_string());
    let mut json = json!({
        "address": address(resource),
        "mode": mode,
        "type": &*resource.ty.name,
        "name": &*resource.name.name,
        "provider_config_key": provider_key(&provider, &name),
        "schema_version": schema.version,
    });
    let expressions = expressions(&resource.body, Some(&schema.block));
    if !is_empty(&expressions) {
        json["expressions"] = expressions;
    }
    repeated(&resource.repetition, &mut json);
    if !resource.depends_on.is_empty() {
        json["depends_on"] = depends_on(&resource.depends_on);
    }
    Some(json)
}

fn call(program: &Program, id: ModuleId, name: &str, call: &ModuleCall, schemas: &Schemas) -> Json {
    let mut json = json!({ "source": call.source });
    let expressions = expressions(&call.body, None);
    if !is_empty(&expressions) {
        json["expressions"] = expressions;
    }
    repeated(&call.repetition, &mut json);
    json["module"] = match program.module(id).children.get(name) {
        Some(child) => module(program, *child, schemas),
        None => json!({}),
    };
    if let Some(version) = &call.version {
        json["version_constraint"] = version.as_str().into();
    }
    if !call.depends_on.is_empty() {
        json["depends_on"] = depends_on(&call.depends_on);
    }
    json
}

fn variable(variable: &Variable) -> Json {
    let mut json = Map::new();
    match &variable.default {
        // Terraform does not tell a default that is null from none.
        Some(default) if !default.is_null() => drop(json.insert("default".to_owned(), values::encode_plain(default))),
        Some(_) | None => {}
    }
    if !variable.description.is_empty() {
        json.insert("description".to_owned(), variable.description.as_str().into());
    }
    let flags = [("sensitive", variable.sensitive), ("ephemeral", variable.ephemeral)];
    flags
        .into_iter()
        .filter(|(_, is_set)| *is_set)
        .for_each(|(name, _)| drop(json.insert(name.to_owned(), true.into())));
    Json::Object(json)
}

fn repeated(repetition: &Repetition, json: &mut Json) {
    match repetition {
        Repetition::Single => {}
        Repetition::Count(expr) => json["count_expression"] = expression(expr),
        Repetition::ForEach(expr) => json["for_each_expression"] = expression(expr),
    }
}

fn depends_on(exprs: &[Expr]) -> Json {
    exprs.iter().filter_map(|expr| Some(Json::from(expr.as_dotted()?.join(".")))).collect()
}

/// Blocks as their nesting has them; without a schema there are none.
fn expressions(body: &Body, schema: Option<&Block>) -> Json {
    let mut found = Map::new();
    for attribute in &body.attributes {
        found.insert(attribute.name.name.to_string(), expression(&attribute.expr));
    }
    for (name, nested) in schema.into_iter().flat_map(|schema| &schema.blocks) {
        let blocks: Vec<_> = body.blocks.iter().filter(|block| block.kind.name == *name).collect();
        let one = |body: &Body| expressions(body, Some(&nested.block));
        let json = match (nested.nesting, &blocks[..]) {
            (_, []) => continue,
            (Nesting::Single | Nesting::Group, [first, ..]) => one(&first.body),
            (Nesting::List | Nesting::Set, all) => all.iter().map(|block| one(&block.body)).collect(),
            (Nesting::Map, all) => {
                let labelled =
                    all.iter().filter_map(|block| Some((block.labels.first()?.name.to_string(), one(&block.body))));
                Json::Object(labelled.collect())
            }
        };
        found.insert(name.to_string(), json);
    }
    Json::Object(found)
}

fn is_empty(json: &Json) -> bool {
    json.as_object().is_some_and(Map::is_empty) || json.as_array().is_some_and(Vec::is_empty)
}

fn expression(expr: &Expr) -> Json {
    let mut references: Vec<String> = Vec::new();
    refs::traversals(expr, &mut |root, steps, _| {
        references.extend(chain(root, steps));
    });
    if !references.is_empty() {
        return json!({ "references": references });
    }
    let mut diags = Diagnostics::default();
    let value = if calls(expr) { Value::DYNAMIC } else { evaluate(expr, &NoScope, &mut diags) };
    match value.is_wholly_known() && !value.is_null() && !diags.has_errors() {
        true => json!({ "constant_value": values::encode_plain(&value) }),
        false => json!({}),
    }
}

/// Terraform evaluates no function here.
fn calls(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Call(_) => true,
        ExprKind::Tuple(items) => items.iter().any(calls),
        ExprKind::Object(items) => items.iter().any(|(_, value)| calls(value)),
        ExprKind::Parens(inner) | ExprKind::Unary(_, inner) => calls(inner),
        ExprKind::Binary(first, rest) => calls(first) || rest.iter().any(|(_, operand)| calls(operand)),
        _ => false,
    }
}

/// A reference with everything behind it, then with less and less, to the object itself and what it is one of.
fn chain(root: &str, steps: &[Step]) -> Vec<String> {
    let mut words = vec![root.to_owned()];
    for step in steps {
        match &step.kind {
            StepKind::Attribute(name) => words.push(format!(".{name}")),
            StepKind::Index(Expr { kind: ExprKind::Literal(key), .. }) => match key {
                Value::String(key) => words.push(format!("[{}]", compiler::syntax::quote(key))),
                Value::Number(number) => words.push(format!("[{number}]")),
                _ => break,
            },
            StepKind::Index(_) | StepKind::Splat { .. } => break,
        }
    }
    let is_key = |idx: usize| words.get(idx).is_some_and(|word| word.starts_with('['));
    // How many words the object itself takes.
    let own = match root {
        "self" => 1,
        "data" | "ephemeral" => 3 + usize::from(is_key(3)),
        "module" if is_key(2) => (3 + usize::from(words.len() > 3)).min(words.len()),
        "module" => words.len().min(3),
        "var" | "local" | "each" | "count" | "path" | "terraform" => 2,
        _ => 2 + usize::from(is_key(2)),
    }
    .min(words.len());
    let mut found: Vec<String> = (own..=words.len()).rev().map(|length| words[..length].concat()).collect();
    let shorter = match root {
        "module" if own > 2 && !is_key(own - 1) => Some(own - 1),
        _ if own > 1 && is_key(own - 1) => Some(own - 1),
        _ => None,
    };
    found.extend(shorter.map(|length| words[..length].concat()));
    found
}
