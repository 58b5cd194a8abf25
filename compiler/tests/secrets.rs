//! Whatever goes wrong with a sensitive value, no message tells anything of it: a secret is put into the reach of every
//! diagnostic, and must be in none.

use std::collections::BTreeMap;
use std::sync::Arc;

use compiler::addr::ProviderSource;
use compiler::binding::{ProviderSchemas, Schemas};
use compiler::diag::{Diagnostic, Diagnostics, render::render};
use compiler::evaluation::{Inputs, read_variable, read_variables_file};
use compiler::lang::eval::provided::NoFunctions;
use compiler::lang::eval::{self, Ctx, Scope};
use compiler::lang::funcs;
use compiler::source::{MemoryLoader, SourceMap, Span};
use compiler::surroundings::Surroundings;
use compiler::syntax::ast::Step;
use compiler::{Environment, Evaluation, Work, console, program, syntax};
use value::schema::{Attribute, Block, NestedBlock, Nesting, Schema};
use value::{Ty, Value};

/// In every secret; a message that has it tells a part of one.
const SECRETS: [&str; 3] = ["hunter2", "4242", "/etc/hidden"];

#[track_caller]
fn tells_nothing(out: &str, of: &str) {
    for secret in SECRETS {
        assert!(!out.contains(secret), "{of}\n{out}");
    }
}

/// Names that are bound to values.
struct Names(BTreeMap<&'static str, Value>);

impl Scope for Names {
    fn resolve(&self, root: &str, span: Span, _: &[Step], _: &mut Ctx<'_>) -> Result<(Value, usize), Diagnostic> {
        let found = self.0.get(root).cloned().map(|value| (value, 0));
        found.ok_or_else(|| Diagnostic::error("no such name", root.to_owned()).at(span))
    }
}

/// What the evaluation of a text says, or the value.
fn evaluated(text: &str, names: &Names) -> Result<Value, String> {
    let mut sources = SourceMap::default();
    let file = sources.add("test", text);
    let expr = match syntax::parse_expression(file, &sources) {
        Ok(expr) => expr,
        Err(diags) => panic!("{}", render(&diags, &sources)),
    };
    let mut diags = Diagnostics::default();
    let value = eval::evaluate(&expr, names, &mut diags);
    if diags.has_errors() { Err(render(&diags, &sources)) } else { Ok(value) }
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn secrets() -> Vec<Value> {
    let object = Value::object([("hunter2", text("hunter2")), ("a", Value::tuple(vec![text("hunter2"), 4242.into()]))]);
    let plain = vec![
        text("hunter2"),
        text("/etc/hidden/[hunter2"),
        text("/(hunter2/"),
        text("%hunter2"),
        text("%d hunter2"),
        text("hunter2/99"),
        text("{\"hunter2\": hunter2}"),
        Value::from(4242),
        Value::Number("4242.5".parse().expect("a number")),
        Value::from(-4242),
        Value::tuple(vec![text("hunter2"), text("hunter2")]),
        Value::tuple(vec![text("hunter2"), 4242.into(), Value::Null(Ty::String)]),
        Value::list(Ty::list(Ty::String), vec![Value::list(Ty::String, vec![text("hunter2")])]),
        object.clone(),
        Value::map(Ty::String, [("hunter2", text("hunter2"))]),
        Value::tuple(vec![object]),
    ];
    let below = plain.iter().map(|value| Value::tuple(vec![value.clone().mark_sensitive(), Value::from(1)]));
    plain.iter().cloned().map(Value::mark_sensitive).chain(below).collect()
}

/// What stands beside a secret in a call.
fn others() -> Vec<Value> {
    vec![
        text("a"),
        text("%d %s"),
        Value::from(1),
        text("10.0.0.0/8"),
        text("/(/"),
        Value::from(-7),
        Value::tuple(vec![text("a"), text("b")]),
        Value::object([("a", Value::from(1))]),
        Value::Null(Ty::Dynamic),
    ]
}

/// What is looked up is as sensitive as it is where it stands, or as all of the map.
#[test]
fn what_is_looked_up_keeps_its_mark() {
    let secret = || text("hunter2").mark_sensitive();
    let unknown = Value::unknown(Ty::map(Ty::String));
    let names = Names(BTreeMap::from([
        ("parts", Value::object([("a", secret()), ("b", text("b")), ("c", Value::tuple(vec![secret()]))])),
        ("whole", Value::object([("a", text("hunter2"))]).mark_sensitive()),
        ("unknown", unknown.mark_sensitive()),
        ("key", text("a").mark_sensitive()),
    ]));
    let marks = |call: &str| {
        let value = evaluated(call, &names).expect("a value");
        (value.marks().sensitive, value.has_marks())
    };
    for (call, expected) in [
        ("lookup(parts, \"a\", 1)", (true, true)),
        ("lookup(parts, \"b\", 1)", (false, false)),
        ("lookup(parts, \"c\", 1)", (false, true)),
        ("lookup(parts, \"d\", 1)", (false, false)),
        ("lookup(parts, \"d\", key)", (true, true)),
        ("lookup({ a = \"b\" }, key, 1)", (true, true)),
        ("lookup(whole, \"a\", 1)", (true, true)),
        ("lookup(whole, \"d\", 1)", (true, true)),
        ("lookup(unknown, \"d\", 1)", (true, true)),
    ] {
        assert_eq!(marks(call), expected, "{call}");
    }
    let missing = evaluated("lookup(whole, \"hunter2\")", &names).expect_err("no such key");
    assert!(missing.contains("saying why could show a sensitive value"), "{missing}");
}

#[test]
fn no_function_tells_a_sensitive_argument() {
    const NAMES: [&str; 4] = ["a0", "a1", "a2", "a3"];
    let (secrets, all) = (secrets(), others());
    let mut failures = 0;
    for func in funcs::all() {
        let most = func.params.len() + 2 * usize::from(func.variadic.is_some());
        for count in func.params.len().max(1)..=most.min(NAMES.len()) {
            // All that can stand beside it where that are not too many.
            let others = if count > 2 { &all[..4] } else { &all[..] };
            let call = format!("{}({})", func.name, NAMES[..count].join(", "));
            for secret_at in 0..count {
                for secret in &secrets {
                    for combination in 0..others.len().pow(count as u32 - 1) {
                        let mut rest = combination;
                        let values = (0..count).map(|idx| {
                            let value = if idx == secret_at {
                                secret.clone()
                            } else {
                                let other = others[rest % others.len()].clone();
                                rest /= others.len();
                                other
                            };
                            (NAMES[idx], value)
                        });
                        let names = Names(values.collect());
                        if let Err(message) = evaluated(&call, &names) {
                            failures += 1;
                            tells_nothing(&message, &format!("{call} with {:?}", names.0));
                        }
                    }
                }
            }
        }
    }
    assert!(failures > 5_000, "{failures}");
}

#[test]
fn no_operator_step_or_construct_tells_a_sensitive_value() {
    let expressions = [
        "s + 1",
        "1 - s",
        "-s",
        "!s",
        "s && true",
        "false || s",
        "s < 1",
        "s ? 1 : 2",
        "s.x",
        "s[0]",
        "s[\"k\"]",
        "{ a = 1 }[s]",
        "[1][s]",
        "[1][n]",
        "m[s]",
        "l[n]",
        "l[99]",
        "m[\"hunter\"]",
        "m.hunter",
        "o.hunter",
        "o.a.b",
        "o[\"hunter\"]",
        "m[*].hunter",
        "l[*].x",
        "[for x in s : x]",
        "[for x in l : x + 1]",
        "[for x in l : tonumber(x)]",
        "[for x in l : x.y]",
        "[for k, v in m : tonumber(k)]",
        "[for k, v in m : k + 1]",
        "{ for x in [s, s] : x => 1 }",
        "{ for k, v in [1, 2] : s => k }",
        "{ for x in l : x => 1 }",
        "{ for x in l : o => x }",
        "[for x in l : x if x]",
        "[for x in l : [for y in [x] : tonumber(y)]]",
        "[for x in l : { a = 1 }[x]]",
        "[for x in l : [1][x]]",
        "[for x in l : tobool(x) ? 1 : 2]",
        "[for x in l : \"${[x]}\"]",
        "[for x in l : true ? { (x) = 1 } : [{ (x) = 1 }]]",
        "{ (l) = 1 }",
        "{ (o) = 1 }",
        "\"${o}\"",
        "\"a ${l} b\"",
        "\"%{ if s }a%{ endif }\"",
        "\"%{ for x in s }a%{ endfor }\"",
        "\"%{ for x in l }${tonumber(x)}%{ endfor }\"",
        "\"%{ for x in l }${x.y}%{ endfor }\"",
        "true ? m : [m]",
        "true ? [{ (s) = 1 }] : m",
        "true ? tolist([o]) : 1",
        "tonumber(l...)",
        "join(l...)",
        "format(l...)",
        "substr(l...)",
        "try(tonumber(s), tobool(s))",
        "try(file(s))",
        "[tolist([o])][0].x",
        "tolist([o]).x",
        "s.x.y",
        "[o, 1][0].zz",
        "{ (s) = 1 }.hunter",
        "{ (s) = 1 }[\"hunter\"]",
        "s()[0] == 1 ? 1 : 2",
    ];
    let names = Names(BTreeMap::from([
        ("s", text("hunter2").mark_sensitive()),
        ("n", Value::from(4242).mark_sensitive()),
        ("l", Value::tuple(vec![text("hunter2"), text("hunter2")]).mark_sensitive()),
        ("m", Value::map(Ty::String, [("hunter2", text("hunter2"))]).mark_sensitive()),
        ("o", Value::object([("hunter2", text("hunter2")), ("a", 4242.into())]).mark_sensitive()),
    ]));
    for expression in expressions {
        match evaluated(expression, &names) {
            Err(message) => tells_nothing(&message, expression),
            Ok(value) => tells_nothing(&console::show(&value), expression),
        }
    }
}

fn environment(loader: MemoryLoader) -> Environment {
    let attributes = |names: &[(&str, Ty)]| {
        names.iter().map(|(name, ty)| ((*name).into(), Attribute::optional(ty.clone(), ""))).collect()
    };
    let types = [
        ("text", Ty::String),
        ("num", Ty::Number),
        ("truth", Ty::Bool),
        ("list", Ty::list(Ty::Number)),
        ("set", Ty::set(Ty::Number)),
        ("map", Ty::map(Ty::Number)),
        ("object", Ty::object([("a", Ty::Number)])),
        ("tuple", Ty::tuple(vec![Ty::Number])),
    ];
    let nested = |nesting| NestedBlock {
        block: Block { attributes: attributes(&types), ..Block::default() },
        nesting,
        min_items: 0,
        max_items: 0,
    };
    let mut block = Block {
        attributes: attributes(&types),
        blocks: [("one", Nesting::Single), ("many", Nesting::List), ("any", Nesting::Set), ("by_key", Nesting::Map)]
            .map(|(name, nesting)| (name.into(), nested(nesting)))
            .into(),
        ..Block::default()
    };
    block.attributes.insert("pin".into(), Attribute::optional(Ty::Number, "").sensitive());
    let schema = Arc::new(Schema { version: 0, block });
    let provider = ProviderSchemas {
        provider: schema.clone(),
        resources: [("test_thing".into(), schema.clone())].into(),
        data_sources: [("test_info".into(), schema)].into(),
        ..ProviderSchemas::default()
    };
    let schemas = Arc::new(Schemas::from([(ProviderSource::lampwright(), Arc::new(provider))]));
    Environment {
        loader: Arc::new(loader),
        surroundings: Surroundings::at("/"),
        schemas,
        functions: Arc::new(NoFunctions),
    }
}

/// Everything that is said of a stack, and the configurations as a plan shows them.
fn said(files: &[(&str, &str)], given: &[(&str, &str)], tfvars: &str) -> String {
    let mut loader = MemoryLoader::default();
    loader.files.extend(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())));
    let mut sources = SourceMap::default();
    let (program, mut diags) = program::load(".", &loader, &mut sources);
    let mut inputs = Inputs::default();
    let (found, errors) = read_variables_file(&program, "terraform.tfvars", tfvars, &mut sources);
    diags.extend(errors);
    found.into_iter().for_each(|(name, input)| inputs.set(name, input));
    for (name, text) in given {
        match read_variable(&program, name, text, "on the command line", &mut sources) {
            Ok(input) => inputs.set(*name, input),
            Err(errors) => diags.extend(errors),
        }
    }
    diags.extend(inputs.check_names(&program));
    let mut out = String::new();
    let mut evaluation = Evaluation::new(Arc::new(program), environment(loader), inputs);
    loop {
        let batch = evaluation.ready();
        if batch.is_empty() {
            break;
        }
        for work in batch {
            match work {
                Work::Instance(desired) => {
                    out.push_str(&format!("{} = {}\n", desired.addr, console::show(&desired.config)));
                    evaluation.supply(&desired.addr, desired.config);
                }
                Work::Provider(provider) => {
                    out.push_str(&console::show(&provider.config));
                    evaluation.supply_provider(&provider.addr);
                }
            }
        }
    }
    diags.extend(evaluation.take_diagnostics());
    for output in evaluation.outputs() {
        out.push_str(&format!("{} = {}\n", output.name, console::show(&output.value)));
    }
    out.push_str(&render(&diags, &sources));
    out
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let said = said(&[("main.tf", &format!("{DECLARED}{text}"))], &[], "");
    tells_nothing(&said, text);
    assert!(said.contains(expected), "{text}\n{said}");
}

const DECLARED: &str = r#"
variable "s" {
  sensitive = true
  default   = "hunter2"
}
variable "l" {
  sensitive = true
  default   = ["hunter2", "hunter2"]
}
variable "m" {
  sensitive = true
  default   = { hunter2 = "hunter2" }
}
variable "n" {
  sensitive = true
  default   = 4242.5
}
"#;

#[test]
fn no_argument_of_the_wrong_type_tells_a_sensitive_value() {
    for attribute in ["num", "truth", "list", "set", "map", "object", "tuple", "pin"] {
        for value in
            ["var.s", "var.l", "var.m", "[var.s]", "{ a = var.s }", "sensitive(\"hunter2\")", "[{ (var.s) = 1 }]"]
        {
            let body = format!("{attribute} = {value}");
            check(&format!("resource \"test_thing\" \"a\" {{\n  {body}\n}}"), "");
            check(&format!("provider \"test\" {{\n  {body}\n}}\ndata \"test_info\" \"a\" {{\n  {body}\n}}"), "");
            check(&format!("resource \"test_thing\" \"a\" {{\n  many {{\n    {body}\n  }}\n}}"), "");
        }
    }
    check("resource \"test_thing\" \"a\" {\n  num = var.s\n}", "a number required, but the sensitive value is none");
    // What the schema calls sensitive is so where it is written, too.
    check("resource \"test_thing\" \"a\" {\n  pin = \"hunter2\"\n}", "pin = (sensitive)");
    check("resource \"test_thing\" \"a\" {\n  pin = tonumber(\"hunter2\")\n}", "pin = (sensitive)");
}

#[test]
fn a_dynamic_block_keeps_the_mark_of_what_it_is_made_of() {
    for kind in ["one", "many", "any"] {
        let block = |content: &str| {
            format!(
                "resource \"test_thing\" \"a\" {{\n  dynamic \"{kind}\" {{\n    for_each = toset([var.s])\n    content {{\n      {content}\n    }}\n  }}\n}}\n"
            )
        };
        check(&block(&format!("text = {kind}.value")), "(sensitive value)");
        check(&block(&format!("text = \"x ${{{kind}.key}}\"")), "(sensitive value)");
        check(&block(&format!("num = {kind}.value")), "error: wrong type");
        check(&block(&format!("num = tonumber({kind}.value)")), "error: ");
        let output =
            format!("{}output \"o\" {{\n  value = test_thing.a.{kind}\n}}\n", block(&format!("text = {kind}.value")));
        let text = if kind == "one" { output.replace(".one\n", ".one.text\n") } else { output };
        check(&text.replace(".many\n", ".many[0].text\n"), "error: sensitive output");
    }
    let labels = "resource \"test_thing\" \"a\" {\n  dynamic \"by_key\" {\n    for_each = var.l\n    labels   = [by_key.value]\n    content {}\n  }\n}\n";
    check(labels, "with this label");
    check(&labels.replace("var.l", "var.m"), "by_key\" = (sensitive value)");
}

#[test]
fn no_condition_repetition_or_output_tells_a_sensitive_value() {
    check("resource \"test_thing\" \"a\" {\n  for_each = var.m\n}", "error: invalid for_each");
    check("resource \"test_thing\" \"a\" {\n  for_each = var.s\n}", "error: invalid for_each");
    check("resource \"test_thing\" \"a\" {\n  for_each = tolist([{ (var.s) = 1 }])\n}", "error: ");
    check("resource \"test_thing\" \"a\" {\n  count = var.s\n}", "error: ");
    check("resource \"test_thing\" \"a\" {\n  count = var.n\n}", "error: ");
    check("output \"o\" {\n  value = var.m\n}", "error: sensitive output");
    check("output \"o\" {\n  value = [var.s]\n}", "error: sensitive output");
    check("output \"o\" {\n  value = false ? var.s : \"b\"\n}", "error: sensitive output");
    check("output \"o\" {\n  value = nonsensitive([var.s])\n}", "error: sensitive output");
    let condition = |condition: &str, message: &str| {
        format!(
            "resource \"test_thing\" \"a\" {{\n  lifecycle {{\n    precondition {{\n      condition     = {condition}\n      error_message = {message}\n    }}\n  }}\n}}\n"
        )
    };
    check(&condition("var.s == \"a\"", "\"it is ${var.s}\""), "(the message is sensitive)");
    check(&condition("var.s", "\"no\""), "error: wrong type");
    check(&condition("false", "var.l"), "error: ");
    check(&condition("false", "jsonencode(var.m)"), "error: ");
    let after = condition("self.text == \"a\"", "\"it is ${self.text}\"").replace("precondition", "postcondition");
    check(&after.replace("  lifecycle", "  text = var.s\n  lifecycle"), "(the message is sensitive)");
    let validated = "variable \"p\" {\n  sensitive = true\n  default = \"hunter2\"\n  validation {\n    condition     = length(var.p) > 90\n    error_message = \"not ${var.p}\"\n  }\n}\n";
    check(validated, "(the message is sensitive)");
}

#[test]
fn no_text_of_a_sensitive_value_is_shown_as_source() {
    check("variable \"p\" {\n  type = number\n  sensitive = true\n  default = \"hunter2\"\n}", "default = (sensitive)");
    check("variable \"p\" {\n  sensitive = true\n  default = tonumber(\"hunter2\")\n}", "default = (sensitive)");
    check("variable \"p\" {\n  sensitive = true\n  default = <<E\n${hunter2}\nE\n}", "error: ");
    check("locals {\n  a = tonumber(sensitive(\"hunter2\"))\n}", "sensitive((sensitive))");
    // What is about to be made sensitive is a secret before it is.
    for function in ["sensitive", "core::sensitive"] {
        for value in [
            "tonumber(\"hunter2\")",
            "{ hunter2 = 1 }.a",
            "{ a = \"hunter2\" }[\"hunter2\"]",
            "\"hunter2\" + 1",
            "-\"hunter2\"",
            "[for a in \"hunter2\" : a]",
            "[for a in [\"hunter2\"] : tonumber(a)]",
            "try(tonumber(\"hunter2\"))",
            "lookup({ a = 1 }, \"hunter2\")",
            "base64decode(\"hunter2\")",
            "jsondecode(\"hunter2\")",
            "hunter2(1)",
            "upper(\"hunter2\", \"hunter2\")",
            "file(\"hunter2\")",
        ] {
            check(&format!("locals {{\n  a = {function}({value})\n}}"), "error: ");
            check(&format!("locals {{\n  a = [upper({function}([{value}][0]))]\n}}"), "error: ");
        }
        check(&format!("locals {{\n  a = {function}(\"hunter2\"...)\n}}"), "error: ");
    }
    let module = ("m/main.tf", "variable \"p\" {\n  sensitive = true\n  type = number\n}\n");
    let call = ("main.tf", "module \"m\" {\n  source = \"./m\"\n  p = \"hunter2\"\n}\n");
    let out = said(&[call, module], &[], "");
    tells_nothing(&out, "a module's argument");
    assert!(out.contains("p = (sensitive)"), "{out}");
}

#[test]
fn no_way_to_give_a_variable_tells_its_value() {
    let types = [
        "number",
        "bool",
        "list(number)",
        "set(bool)",
        "map(number)",
        "object({ a = number })",
        "tuple([number])",
        "list(object({ a = optional(number, 1) }))",
    ];
    let values = [
        "\"hunter2\"",
        "[\"hunter2\"]",
        "{ hunter2 = \"hunter2\" }",
        "{ a = \"hunter2\" }",
        "[{ a = \"hunter2\" }]",
        "tonumber(\"hunter2\")",
        "hunter2",
        "{ hunter2 = ",
        "\"hunter2",
        "[\"hunter2\" \"hunter2\"]",
    ];
    for ty in types {
        let declared = format!("variable \"p\" {{\n  type      = {ty}\n  sensitive = true\n}}\n");
        for value in values {
            let out = said(&[("main.tf", &declared)], &[("p", value)], "");
            tells_nothing(&out, &format!("{ty} by -var {value}"));
            assert!(out.contains("error: "), "{ty} {value}\n{out}");
            let out = said(&[("main.tf", &declared)], &[], &format!("p = {value}\n"));
            tells_nothing(&out, &format!("{ty} in tfvars {value}"));
            assert!(out.contains("error: "), "{ty} {value}\n{out}");
        }
    }
    let misspelt = said(&[("main.tf", "variable \"pass\" {\n  sensitive = true\n}\n")], &[], "pas = \"hunter2\"\n");
    tells_nothing(&misspelt, "a name that is misspelt");
    assert!(misspelt.contains("pas = (sensitive)"), "{misspelt}");
}
