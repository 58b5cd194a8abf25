//! Every `suite/<area>/<case>.stack.hcl` is evaluated as a root module, against a provider that has the types
//! below; the outcome lies beside it. A file may hold several files of a tree: `### path` begins the next one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use compiler::addr::{Mode, ProviderSource};
use compiler::binding::{ProviderSchemas, Schemas};
use compiler::config::DesiredInstance;
use compiler::console;
use compiler::diag::{Diagnostics, render::render};
use compiler::lang::eval::provided::NoFunctions;
use compiler::source::{MemoryLoader, SourceMap};
use compiler::surroundings::Surroundings;
use compiler::{Environment, Evaluation, Inputs, Work, program};
use value::schema::{Attribute, AttributeTy, Block, NestedBlock, Nesting, Schema};
use value::{Ty, Value};

fn schemas() -> Schemas {
    let nested = |nesting| NestedBlock {
        block: Block {
            attributes: BTreeMap::from([
                ("key".into(), Attribute::required(Ty::String, "what it is called")),
                ("value".into(), Attribute::optional(Ty::Number, "")),
            ]),
            ..Block::default()
        },
        nesting,
        min_items: 0,
        max_items: 0,
    };
    let thing = Block {
        attributes: BTreeMap::from([
            ("id".into(), Attribute::computed(Ty::String, "")),
            ("name".into(), Attribute::optional(Ty::String, "what people call it")),
            ("nodes".into(), Attribute::optional(Ty::Number, "how many there are")),
            ("secret".into(), Attribute::optional(Ty::String, "").sensitive()),
            ("tags".into(), Attribute::optional(Ty::map(Ty::String), "")),
            ("any".into(), Attribute::optional(Ty::Dynamic, "")),
            (
                "listener".into(),
                Attribute {
                    ty: AttributeTy::Nested {
                        nesting: Nesting::Single,
                        attributes: BTreeMap::from([
                            ("port".into(), Attribute::optional(Ty::Number, "")),
                            ("hosts".into(), Attribute::optional(Ty::list(Ty::object([("name", Ty::String)])), "")),
                        ]),
                    },
                    ..Attribute::optional(Ty::Dynamic, "")
                },
            ),
        ]),
        blocks: BTreeMap::from([("setting".into(), nested(Nesting::List)), ("cloud".into(), nested(Nesting::Map))]),
        ..Block::default()
    };
    let schema = Arc::new(Schema { version: 0, block: thing });
    let provider = ProviderSchemas {
        provider: Arc::new(Schema {
            version: 0,
            block: Block {
                attributes: BTreeMap::from([("region".into(), Attribute::optional(Ty::String, ""))]),
                ..Block::default()
            },
        }),
        resources: BTreeMap::from([("test_thing".into(), schema.clone())]),
        data_sources: BTreeMap::from([("test_info".into(), schema)]),
        ..ProviderSchemas::default()
    };
    let provider = Arc::new(provider);
    // The same types under the name of somebody else.
    let other = ProviderSource::parse("example/other").expect("a source");
    Schemas::from([(ProviderSource::lampwright(), provider.clone()), (other, provider)])
}

/// The value that a provider would give: the configuration, with an id made of the address.
fn created(desired: &DesiredInstance) -> Value {
    let Value::Object(entries) = &desired.config else { panic!("a configuration is an object") };
    let mut entries = (**entries).clone();
    entries.insert("id".into(), Value::string(format!("id of {}", desired.addr)));
    Value::Object(Arc::new(entries))
}

fn show_config(desired: &DesiredInstance) -> String {
    let entries = desired.config.as_entries().expect("an object").iter();
    let written = entries.filter(|(_, value)| {
        !value.is_null() && value.as_items() != Some(&[]) && value.as_entries().is_none_or(|e| !e.is_empty())
    });
    console::show(&Value::object(written.map(|(name, value)| (name.clone(), value.clone()))))
}

fn outcome(text: &str) -> String {
    let mut loader = MemoryLoader::default();
    let mut path = "main.stack.hcl".to_owned();
    for part in text.split_inclusive('\n') {
        match part.strip_prefix("### ") {
            Some(next) => next.trim().clone_into(&mut path),
            None => loader.files.entry(path.clone()).or_default().extend_from_slice(part.as_bytes()),
        }
    }
    let mut sources = SourceMap::default();
    let (program, mut diags) = program::load(".", &loader, &mut sources);
    let mut out = String::new();
    if !diags.has_errors() {
        let environment = Environment {
            loader: Arc::new(loader),
            surroundings: Surroundings::at("/work"),
            schemas: Arc::new(schemas()),
            functions: Arc::new(NoFunctions),
        };
        diags = evaluate(program, environment, &mut out);
    }
    if !diags.is_empty() {
        write!(out, "{}", render(&diags, &sources)).expect("String");
    }
    out
}

fn evaluate(program: program::Program, environment: Environment, out: &mut String) -> Diagnostics {
    let mut evaluation = Evaluation::new(Arc::new(program), environment, Inputs::default());
    loop {
        let batch = evaluation.ready();
        if batch.is_empty() {
            break;
        }
        for work in batch {
            match work {
                Work::Instance(desired) => {
                    let dependencies: Vec<String> = desired.dependencies.iter().map(ToString::to_string).collect();
                    let after = if dependencies.is_empty() {
                        String::new()
                    } else {
                        format!(" after {}", dependencies.join(", "))
                    };
                    writeln!(out, "{}{after} = {}", desired.addr, show_config(&desired)).expect("String");
                    if desired.addr.mode == Mode::Data || desired.addr.mode == Mode::Managed {
                        evaluation.supply(&desired.addr, created(&desired));
                    }
                }
                Work::Provider(provider) => {
                    writeln!(out, "{} = {}", provider.addr, console::show(&provider.config)).expect("String");
                    evaluation.supply_provider(&provider.addr);
                }
            }
        }
    }
    for output in evaluation.outputs() {
        writeln!(out, "output {} = {}", output.name, console::show(&output.value)).expect("String");
    }
    evaluation.take_diagnostics()
}

#[test]
fn suite() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("suite");
    let mut cases = 0;
    for area in std::fs::read_dir(&root).expect("suite") {
        let area = area.expect("entry").path();
        for case in std::fs::read_dir(&area).expect("area") {
            let path = case.expect("entry").path();
            let Some(name) =
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".stack.hcl"))
            else {
                continue;
            };
            cases += 1;
            #[expect(clippy::disallowed_methods, reason = "the test reads what the compiler must not")]
            let text = std::fs::read_to_string(&path).expect("UTF-8");
            let result = outcome(&text);
            assert_eq!(result.contains("error:"), area.ends_with("errors"), "{}\n{result}", path.display());
            let mut settings = insta::Settings::clone_current();
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            settings.set_snapshot_path(&area);
            settings.bind(|| insta::assert_snapshot!(name, result));
        }
    }
    assert!(cases >= 15, "{cases}");
}
