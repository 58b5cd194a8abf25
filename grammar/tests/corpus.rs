//! Every file of `corpus/ok` reads without an error, every file of `corpus/err` has one; what comes out lies in
//! `corpus/snapshots`, as a tree with one line a rule that carries something.

use std::fmt::Write;

use grammar::{Rule, parse_file};
use pest::iterators::Pair;

fn outcome(text: &str) -> (String, usize) {
    let mut out = String::new();
    let errors = parse_file(text, |item| print(&item.pair, 0, &mut out));
    for error in &errors {
        writeln!(out, "! {} {:?} expected {}", error.offset, error.kind, error.expected.join(", ")).expect("String");
    }
    (out, errors.len())
}

fn print(pair: &Pair<'_, Rule>, depth: usize, out: &mut String) {
    let children: Vec<_> = pair.clone().into_inner().collect();
    let wraps_one = matches!(pair.as_rule(), Rule::expr | Rule::operation | Rule::operand) && children.len() == 1;
    if wraps_one {
        return print(&children[0], depth, out);
    }
    let indent = "  ".repeat(depth);
    if children.is_empty() {
        writeln!(out, "{indent}{:?} {:?}", pair.as_rule(), pair.as_str()).expect("String");
    } else {
        writeln!(out, "{indent}{:?}", pair.as_rule()).expect("String");
        children.iter().for_each(|child| print(child, depth + 1, out));
    }
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("../corpus/snapshots");
    settings
}

fn check(folder: &str, expect_errors: bool) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(folder);
    let mut names: Vec<_> = std::fs::read_dir(&root).expect("corpus").map(|e| e.expect("entry").path()).collect();
    names.sort();
    assert!(!names.is_empty());
    for path in names {
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        let (tree, errors) = outcome(&text);
        assert_eq!(errors > 0, expect_errors, "{}: {tree}", path.display());
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").replace(".stack.hcl", "");
        settings().bind(|| insta::assert_snapshot!(format!("{folder}-{name}"), tree));
    }
}

#[test]
fn everything_in_ok_reads() {
    check("ok", false);
}

#[test]
fn everything_in_err_is_refused() {
    check("err", true);
}

#[test]
fn deep_nesting_ends_in_an_answer() {
    for depth in [1_000, 10_000, 200_000] {
        let text = format!("a = {}1{}\n", "(".repeat(depth), ")".repeat(depth));
        let mut items = 0;
        let errors = parse_file(&text, |_| items += 1);
        assert_eq!(items + errors.len(), 1);
    }
}
