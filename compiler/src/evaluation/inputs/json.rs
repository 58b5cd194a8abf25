//! Values of variables in a `*.tfvars.json` file: one object, whose texts are meant as they stand.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value as Json;
use value::codec::json;

use super::Input;
use crate::diag::{Diagnostic, Diagnostics};
use crate::program::Program;
use crate::source::{FileId, SourceMap, Span};

/// What a file says of each variable, in its order.
pub(super) fn read(program: &Program, file: FileId, sources: &mut SourceMap) -> (Vec<(Arc<str>, Input)>, Diagnostics) {
    let text = sources.get(file).text.clone();
    if let Err(error) = serde_json::from_str::<serde_json::Map<String, Json>>(&text) {
        let line_at = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
        let at = (line_at + error.column().saturating_sub(1)).min(text.len());
        let span = Span::new(file, at, at);
        // Whose value it is nobody knows.
        if program.root().variables.values().any(|variable| variable.sensitive) {
            sources.conceal_lines(span);
        }
        let label = if error.is_data() { "no object with values of variables" } else { "this is no JSON" };
        return (Vec::new(), Diagnostics(vec![Diagnostic::error("unreadable variables file", label).at(span)]));
    }
    let (mut inputs, mut diags) = (Vec::<(Arc<str>, Input)>::new(), Diagnostics::default());
    for (name_at, value_at) in entries(&text) {
        let name: String = serde_json::from_str(&text[name_at.clone()]).unwrap_or_default();
        // As HCL has it, this is a comment.
        if name == "//" {
            continue;
        }
        let span = Span::new(file, value_at.start, value_at.end);
        if program.root().variables.get(name.as_str()).is_none_or(|variable| variable.sensitive) {
            sources.conceal(span);
        }
        if let Some((_, first)) = inputs.iter().find(|(known, _)| **known == *name) {
            let here = Span::new(file, name_at.start, name_at.end);
            let diagnostic = Diagnostic::error("duplicate value", format!("`{name}` has a value already")).at(here);
            diags.push(first.span.map_or(diagnostic.clone(), |span| diagnostic.related(span, "here")));
            continue;
        }
        let value = serde_json::from_str(&text[value_at]).unwrap_or(Json::Null);
        inputs.push((name.into(), Input { value: json::decode_plain(&value), span: Some(span) }));
    }
    (inputs, diags)
}

/// Where names and values of an object stand, in a text that is one.
fn entries(text: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let mut entries = Vec::new();
    let (mut depth, mut is_text, mut is_escaped) = (0, false, false);
    let mut name_at = None;
    let mut begin = 0;
    for (at, ch) in text.char_indices() {
        if is_text {
            is_text = is_escaped || ch != '"';
            is_escaped = !is_escaped && ch == '\\';
            continue;
        }
        match (ch, depth) {
            ('"', _) => is_text = true,
            ('{', 0) => begin = at + 1,
            (':', 1) => {
                name_at = Some(trimmed(text, begin..at));
                begin = at + 1;
            }
            (',' | '}', 1) => {
                entries.extend(name_at.take().map(|name_at| (name_at, trimmed(text, begin..at))));
                begin = at + 1;
            }
            _ => {}
        }
        match ch {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ => {}
        }
    }
    entries
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + part.len() - part.trim_start().len();
    start..start + part.trim().len()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_and_values_are_found() {
        let text = r#" { "a" : "x,}\" :", "b":[1,{"c":2}] ,"d\"" : {"e":{}},"f":null } "#;
        let found: Vec<(&str, &str)> =
            super::entries(text).into_iter().map(|(name, value)| (&text[name], &text[value])).collect();
        let expected =
            [("\"a\"", r#""x,}\" :""#), ("\"b\"", r#"[1,{"c":2}]"#), (r#""d\"""#, r#"{"e":{}}"#), ("\"f\"", "null")];
        assert_eq!(found, expected);
        assert!(super::entries(" {} ").is_empty());
    }
}
