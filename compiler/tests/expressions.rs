//! Every line of `expressions/<topic>.txt` is an expression that is evaluated in the module beside them, in which nothing
//! has been applied yet; what it gives lies beside it. The same lines are given to the real terraform, whose values are
//! the same but for the lines of `deviations.txt`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use compiler::addr::ProviderSource;
use compiler::binding::{ProviderSchemas, Schemas};
use compiler::diag::{Diagnostics, render::render};
use compiler::lang::eval::provided::NoFunctions;
use compiler::lang::funcs;
use compiler::source::{MemoryLoader, SourceMap};
use compiler::surroundings::{Outside, Surroundings};
use compiler::syntax::quote;
use compiler::{Environment, Evaluation, Inputs, Work, console, program};
use value::schema::{Attribute, Block, Schema};
use value::{Ty, Value};

/// What stands in the place of a value where there is an error: what is said is ours.
const ERROR: &str = "\"an error\"";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("expressions")
}

#[expect(clippy::disallowed_methods, reason = "the test reads what the compiler must not")]
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every topic with its expressions.
fn topics() -> BTreeMap<String, Vec<String>> {
    let files = std::fs::read_dir(root()).expect("a folder").map(|entry| entry.expect("an entry").path());
    let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let topics = texts.map(|path| {
        let text = String::from_utf8(read(&path)).expect("UTF-8");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        (path.file_stem().expect("a name").to_string_lossy().into_owned(), lines.map(str::to_owned).collect())
    });
    topics.filter(|(topic, _)| topic != "deviations").collect()
}

/// The expressions that give another value than in terraform, each with a reason in a comment before it.
fn deviations() -> Vec<String> {
    let text = String::from_utf8(read(&root().join("deviations.txt"))).expect("UTF-8");
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn files(folder: &Path, prefix: &str, into: &mut MemoryLoader) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = format!("{prefix}{}", path.file_name().expect("a name").to_string_lossy());
        if path.is_dir() {
            files(&path, &format!("{name}/"), into);
        } else {
            into.files.insert(name, read(&path));
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let copied = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            std::fs::create_dir(&copied).expect("a folder");
            copy(&path, &copied);
        } else {
            std::fs::copy(&path, &copied).expect("a file");
        }
    }
}

fn schemas() -> Schemas {
    let attributes = BTreeMap::from([
        ("id".into(), Attribute::computed(Ty::String, "")),
        ("output".into(), Attribute::computed(Ty::Dynamic, "")),
    ]);
    let data = Arc::new(Schema { version: 0, block: Block { attributes, ..Block::default() } });
    let provider =
        ProviderSchemas { resources: BTreeMap::from([("terraform_data".into(), data)]), ..ProviderSchemas::default() };
    Schemas::from([(ProviderSource::builtin(), Arc::new(provider))])
}

/// What changes is known and always the same, as nothing of it is compared.
struct Fixed;

impl Outside for Fixed {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// The module, planned and not applied.
fn planned() -> (Evaluation, SourceMap) {
    let mut loader = MemoryLoader::default();
    files(&root().join("module"), "", &mut loader);
    let mut sources = SourceMap::default();
    let (program, diags) = program::load(".", &loader, &mut sources);
    assert!(diags.is_empty(), "{}", render(&diags, &sources));
    let environment = Environment {
        loader: Arc::new(loader),
        surroundings: Surroundings { outside: Some(Arc::new(Fixed)), ..Surroundings::at("/work") },
        schemas: Arc::new(schemas()),
        functions: Arc::new(NoFunctions),
    };
    let mut evaluation = Evaluation::new(Arc::new(program), environment, Inputs::default());
    loop {
        let batch = evaluation.ready();
        if batch.is_empty() {
            break;
        }
        for work in batch {
            match work {
                Work::Instance(desired) => {
                    let value = [("id", Value::unknown(Ty::String)), ("output", Value::DYNAMIC)];
                    evaluation.supply(&desired.addr, Value::object(value));
                }
                Work::Provider(provider) => evaluation.supply_provider(&provider.addr),
            }
        }
    }
    let diags = evaluation.take_diagnostics();
    assert!(diags.is_empty(), "{}", render(&diags, &sources));
    (evaluation, sources)
}

/// An expression that is wrong for terraform before it has a look at values cannot be in one text with others.
fn in_a_tuple(expression: &str) -> String {
    format!("[{expression}]")
}

fn evaluated(evaluation: &Evaluation, expression: &str, sources: &SourceMap) -> Result<String, String> {
    let mut sources = sources.clone();
    match evaluation.evaluate_text(&in_a_tuple(expression), &mut sources) {
        Ok(value) => Ok(console::show(&value)),
        Err(diags) => Err(said(&diags)),
    }
}

fn said(diags: &Diagnostics) -> String {
    diags.0.iter().map(|diagnostic| diagnostic.label.clone()).collect::<Vec<_>>().join("; ")
}

/// A value in a line of its own.
fn in_a_line(shown: &str) -> String {
    let shown = shown.strip_prefix("[\n  ").and_then(|shown| shown.strip_suffix(",\n]")).unwrap_or(shown);
    shown.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[test]
fn expressions() {
    let (evaluation, sources) = planned();
    for (topic, expressions) in topics() {
        let outcome: String = expressions
            .iter()
            .map(|expression| match evaluated(&evaluation, expression, &sources) {
                Ok(shown) => format!("{expression}\n    {}\n", in_a_line(&shown)),
                Err(said) => format!("{expression}\n    error: {said}\n"),
            })
            .collect();
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_snapshot_path(root());
        settings.bind(|| insta::assert_snapshot!(topic, outcome));
    }
}

/// CI sets `LAMPWRIGHT_REQUIRE_TERRAFORM`, so that this can never pass by not running.
#[test]
fn expressions_have_the_values_that_terraform_gives_them() {
    let (evaluation, sources) = planned();
    let deviations = deviations();
    let mut all = topics();
    let examples = funcs::all().flat_map(|func| func.examples).map(|(expression, _)| (*expression).to_owned());
    all.insert("examples of functions".to_owned(), examples.collect());
    // It leaves files where it runs.
    let folder = tempfile::tempdir().expect("a folder");
    copy(&root().join("module"), folder.path());
    let mut differences = String::new();
    let mut met = 0;
    for (topic, expressions) in &all {
        let Some(theirs) = of_terraform(folder.path(), topic, expressions) else { return };
        for (expression, theirs) in expressions.iter().zip(theirs) {
            let ours = evaluated(&evaluation, expression, &sources);
            let shown = ours.clone().unwrap_or_else(|_| ERROR.to_owned());
            let is_same = shown.replace("$${", "${").replace("%%{", "%{") == unescaped(&theirs);
            if deviations.contains(expression) {
                met += 1;
                assert!(!is_same, "{expression}: it is as in terraform now");
            } else if !is_same {
                let ours = ours.map_or_else(|said| format!("error: {said}"), |shown| in_a_line(&shown));
                differences.push_str(&format!(
                    "{topic}: {expression}\n    ours   {ours}\n    theirs {}\n",
                    in_a_line(&theirs)
                ));
            }
        }
    }
    assert!(met >= deviations.len(), "an expression of deviations.txt is in no topic");
    assert!(differences.is_empty(), "{} differences\n{differences}", differences.matches("theirs").count());
}

/// Text of several lines is told as a heredoc; none of them here begins with blanks.
fn in_quotes(shown: &str) -> String {
    let body = shown.strip_prefix("[\n  <<-EOT\n").and_then(|rest| rest.strip_suffix("\n  EOT,\n]"));
    body.map_or_else(
        || shown.to_owned(),
        |body| {
            let lines: Vec<&str> = body.split('\n').map(|line| line.trim_start_matches(' ')).collect();
            format!("[\n  {},\n]", quote(&lines.join("\n")))
        },
    )
}

/// The console of terraform escapes what is not printable, and not what begins a template.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let digits = match after.as_bytes().first() {
            Some(b'u') => 4,
            Some(b'U') => 8,
            Some(b'x') => 2,
            _ => 0,
        };
        let code = after.get(1..=digits).and_then(|code| u32::from_str_radix(code, 16).ok());
        match code.and_then(char::from_u32).filter(|_| digits > 0) {
            Some(ch) => {
                out.push(ch);
                rest = &after[1 + digits..];
            }
            None => {
                let escape = after.chars().next().map_or(0, char::len_utf8);
                out.push('\\');
                out.push_str(&after[..escape]);
                rest = &after[escape..];
            }
        }
    }
    out + rest
}

/// What the real terraform prints for each expression. It tells the value of one text only, so all of a topic are in it.
fn of_terraform(folder: &Path, topic: &str, expressions: &[String]) -> Option<Vec<String>> {
    #[expect(clippy::disallowed_methods, reason = "the test looks for a program")]
    let is_required = std::env::var("LAMPWRIGHT_REQUIRE_TERRAFORM").is_ok();
    let mut text = String::from("[");
    for (idx, expression) in expressions.iter().enumerate() {
        // What is known of an unknown value is lost in `try`, and such an expression has no errors.
        let guarded = match topic {
            "unknown" => in_a_tuple(expression),
            _ => format!("try({}, {ERROR})", in_a_tuple(expression)),
        };
        text.push_str(&format!("\"== {idx}\", {guarded}, "));
    }
    text.push_str("]\n");
    let child = Command::new("terraform")
        .args(["console", "-no-color"])
        .current_dir(folder)
        .env("CHECKPOINT_DISABLE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            assert!(!is_required, "terraform cannot be run: {error}");
            return None;
        }
    };
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("terraform reads");
    let output = child.wait_with_output().expect("terraform ends");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{topic}: {}", String::from_utf8_lossy(&output.stderr));
    let mut values: Vec<String> = Vec::new();
    let printed = printed.trim_end().strip_suffix("\n]").unwrap_or(&printed);
    for line in printed.lines().skip(1) {
        if line.starts_with("  \"== ") {
            values.push(String::new());
        } else if let Some(value) = values.last_mut() {
            value.push_str(line.strip_prefix("  ").unwrap_or(line));
            value.push('\n');
        }
    }
    let values: Vec<String> = values.iter().map(|value| in_quotes(value.trim_end_matches([',', '\n']))).collect();
    assert_eq!(values.len(), expressions.len(), "{topic}: {printed}");
    Some(values)
}
