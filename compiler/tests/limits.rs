//! Large inputs: work grows with them and not with their square, and what cannot be is refused in words. Nothing here
//! looks at the clock; what takes its square takes minutes.

use std::fmt::Write as _;
use std::sync::Arc;

use compiler::diag::{Diagnostics, render::render};
use compiler::lang::eval::provided::NoFunctions;
use compiler::source::{MemoryLoader, SourceMap};
use compiler::surroundings::Surroundings;
use compiler::{Environment, Evaluation, Inputs, console, program};
use value::Value;

fn evaluated(text: &str) -> Result<Value, String> {
    let mut sources = SourceMap::default();
    console::evaluate_constant(text, &mut sources).map_err(|diags| render(&diags, &sources))
}

/// The outputs of a stack, and what is said of it.
fn run(files: &[(&str, String)]) -> (Vec<(String, String)>, Diagnostics, SourceMap) {
    let mut loader = MemoryLoader::default();
    loader.files.extend(files.iter().map(|(path, text)| ((*path).to_owned(), text.clone().into_bytes())));
    let mut sources = SourceMap::default();
    let (program, diags) = program::load(".", &loader, &mut sources);
    if diags.has_errors() {
        return (Vec::new(), diags, sources);
    }
    let environment = Environment {
        loader: Arc::new(loader),
        surroundings: Surroundings::at("/"),
        schemas: Arc::default(),
        functions: Arc::new(NoFunctions),
    };
    let mut evaluation = Evaluation::new(Arc::new(program), environment, Inputs::default());
    assert!(evaluation.ready().is_empty());
    let outputs = evaluation.outputs().into_iter();
    let outputs = outputs.map(|output| (output.name.to_string(), console::show(&output.value))).collect();
    (outputs, evaluation.take_diagnostics(), sources)
}

fn stack(text: String) -> (Vec<(String, String)>, Diagnostics, SourceMap) {
    run(&[("main.tf", text)])
}

/// `[0, .., count - 1]`, as an expression that is short.
fn numbers(count: usize) -> String {
    format!("flatten([for a in range({}) : [for b in range(1000) : a * 1000 + b]])", count / 1000)
}

#[track_caller]
fn check(expression: &str, expected: &str) {
    match evaluated(expression) {
        Ok(value) => assert_eq!(console::show(&value), expected, "{expression}"),
        Err(message) => panic!("{expression}\n{message}"),
    }
}

#[test]
fn functions_of_sets_look_an_element_up() {
    let many = numbers(50_000);
    check(&format!("length(distinct(concat({many}, {many})))"), "50000");
    check(&format!("length(setsubtract({many}, [for n in {many} : n + 25000]))"), "25000");
    check(&format!("length(setintersection({many}, [for n in {many} : n + 25000]))"), "25000");
    check(&format!("length(setunion({many}, [for n in {many} : n + 25000]))"), "75000");
    check(&format!("toset({many}) == toset(reverse({many}))"), "true");
    check(&format!("length(distinct([for n in {many} : {{ a = n % 10, b = [\"x\"] }}]))"), "10");
}

#[test]
fn a_key_is_looked_up_without_a_look_at_all_others() {
    let text = format!(
        "locals {{\n  m = {{ for n in {} : \"k${{n}}\" => n }}\n}}\noutput \"sum\" {{\n  value = sum([for k in keys(local.m) : lookup(local.m, k, 0)])\n}}\n",
        numbers(100_000)
    );
    let (outputs, diags, _) = stack(text);
    assert!(diags.is_empty(), "{diags:?}");
    assert_eq!(outputs, [("sum".to_owned(), (99_999 * 50_000_u64).to_string())]);
}

#[test]
fn a_chain_of_operators_may_be_long() {
    check(&vec!["1"; 100_000].join(" + "), "100000");
    check(&format!("{} - 1", vec!["2 * 3 / 6"; 50_000].join(" + ")), "49999");
    check(&vec!["true"; 50_000].join(" && "), "true");
    check("10 - 3 - 2 * 2 - 1", "2");
    check("1 + 2 == 3 && 4 / 2 / 2 == 1 || false", "true");
    let message = evaluated("1 + 2 - [3] * 4 + \"x\"").unwrap_err();
    assert!(message.contains("1 + 2 - [3] * 4 + \"x\"\n  │         ^^^"), "{message}");
    let message = evaluated("(1 + 2) && true || false").unwrap_err();
    assert!(message.contains("^^^^^^^ a bool required"), "{message}");
}

#[test]
fn attributes_of_one_block_and_errors_in_them_are_many() {
    let mut text = String::from("locals {\n");
    (0..60_000).for_each(|idx| writeln!(text, "  name_{idx} = {idx}").expect("a String"));
    text.push_str("}\noutput \"last\" {\n  value = local.name_59999\n}\n");
    let (outputs, diags, _) = stack(text);
    assert!(diags.is_empty());
    assert_eq!(outputs, [("last".to_owned(), "59999".to_owned())]);

    let mut text = String::new();
    (0..32_000).for_each(|idx| writeln!(text, "locals {{\n  name_{idx} = var.missing_{idx}\n}}").expect("a String"));
    let (_, diags, sources) = stack(text);
    assert_eq!(diags.0.len(), 32_000);
    let out = render(&diags, &sources);
    assert!(out.contains("there is no variable `missing_31999`"));
    let last = diags.0.last().and_then(|diagnostic| diagnostic.span).expect("a place");
    assert_eq!(sources.line_column(last.file, last.start), (31_999 * 3 + 2, 16));
}

#[test]
fn what_is_wrong_in_every_instance_is_said_once() {
    let (_, diags, _) = stack(
        "locals {\n  a = [for n in range(1000) : [n % 2].x]\n  b = [for n in range(1000) : n % 2 == 0 ? tobool(7) : tonumber(\"x\")]\n}\n"
            .to_owned(),
    );
    assert_eq!(diags.0.len(), 3, "{diags:?}");
}

/// `local.v0` to `local.v60`, each twice the one before.
fn doublings(first: &str, next: impl Fn(usize) -> String) -> String {
    let mut text = format!("locals {{\n  v0 = {first}\n");
    (1..=60).for_each(|idx| writeln!(text, "  v{idx} = {}", next(idx - 1)).expect("a String"));
    text.push_str("}\noutput \"o\" {\n  value = length(local.v60)\n}\n");
    text
}

/// What is asked for is what comes, or is refused.
#[test]
fn a_format_is_as_wide_as_it_says() {
    for (format, value, width) in [
        ("%20000d", "1", 20_000),
        ("%-20000s|", "\"a\"", 20_001),
        ("%020000d", "-1", 20_000),
        ("%.70000f", "0.5", 70_002),
        ("%80000.70000f", "0.5", 80_000),
    ] {
        check(&format!("length(format(\"{format}\", {value}))"), &width.to_string());
    }
    check("substr(format(\"%.70000f\", 0.1), 0, 20)", "\"0.100000000000000000\"");
    check("substr(format(\"%.70000f\", 0.1), 69990, -1)", "\"000000000000\"");
    // Of a text that is cut off nothing is made.
    check("format(\"%.99999999999999999999s\", \"abc\")", "\"abc\"");
    for format in ["%300000000d", "%99999999999999999999999999d", "%.300000000f", "%-300000000s"] {
        let message = evaluated(&format!("format(\"{format}\", 1)")).unwrap_err();
        assert!(message.contains("larger than a value may be, which is 256 MiB"), "{message}");
    }
}

#[test]
fn values_are_not_larger_than_is_said() {
    let too_large = |text: String| {
        let (_, diags, sources) = stack(text.clone());
        let out = render(&diags, &sources);
        assert!(out.contains("larger than a value may be, which is 256 MiB"), "{text}\n{out}");
    };
    let kilobyte = "join(\"\", [for n in range(1000) : \"\\n\"])";
    let large = format!("join({kilobyte}, [for n in range(400) : \"\"])");
    // A thousand at once, so that what is counted on the way is little.
    too_large(doublings("[1]", |idx| format!("[for n in range(1000) : local.v{idx}]")));
    too_large(doublings("{ a = 1 }", |idx| format!("{{ a = local.v{idx}, b = local.v{idx} }}")));
    too_large(doublings(&large, |idx| format!("\"${{local.v{idx}}}${{local.v{idx}}}\"")));
    for call in [
        "join(local.m, [for n in range(1000) : \"\"])",
        "join(\"\", [for n in range(1000) : local.m])",
        "concat([for n in range(1000) : local.l]...)",
        "merge([for n in range(1000) : { (n) = local.l }]...)",
        "replace(local.m, \"\\n\", local.m)",
        "replace(local.m, \"/\\n/\", local.m)",
        "replace(local.m, \"/.*/\", \"$0$0$0${local.m}\")",
        "indent(1000, local.m)",
        "format(join(\"\", [for n in range(1000) : \"%s\"]), [for n in range(1000) : local.m]...)",
        "[for a in range(1000) : local.l]",
        "{ for a in range(1000) : a => local.l }",
        "\"%{ for n in range(1000) }${local.m}%{ endfor }\"",
    ] {
        too_large(format!("locals {{\n  m = {large}\n  l = {}\n  r = {call}\n}}\n", numbers(10_000)));
    }
}

#[test]
fn modules_that_call_each_other_are_refused_with_their_circle() {
    let calls = |first: &str, second: &str, source: &str| {
        [first, second].map(|name| format!("module \"{name}\" {{\n  source = \"{source}\"\n}}\n")).concat()
    };
    let (_, diags, sources) = run(&[
        ("main.tf", calls("a1", "a2", "./a")),
        ("a/main.tf", calls("b1", "b2", "../b")),
        ("b/main.tf", calls("c1", "c2", "../a")),
    ]);
    let out = render(&diags.clone().without_repetitions(), &sources);
    assert!(diags.0.len() <= 8, "{out}");
    assert!(out.contains("this module calls itself, directly or through others"), "{out}");
    assert!(out.contains("a → module.b1 → module.c1 → a"), "{out}");
    let (_, diags, sources) = run(&[("main.tf", calls("a", "b", "./"))]);
    assert!(render(&diags, &sources).contains(". → module.a → ."));
    // Without a circle they can be too many all the same.
    let deep: Vec<(String, String)> =
        (0..30).map(|idx| (format!("m{idx}/main.tf"), calls("a", "b", &format!("../m{}", idx + 1)))).collect();
    let mut files: Vec<(&str, String)> = deep.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
    files.push(("m30/main.tf", "locals {}\n".to_owned()));
    files.push(("main.tf", calls("a", "b", "./m0")));
    let (_, diags, sources) = run(&files);
    assert!(render(&diags.without_repetitions(), &sources).contains("error: too many module calls"));
}
