//! Text to syntax tree.

pub mod ast;
mod lower;
mod template;

use std::collections::HashMap;

use grammar::{SyntaxError, SyntaxErrorKind};

use crate::diag::{Diagnostic, Diagnostics};
use crate::source::{FileId, SourceMap, Span};
use ast::{Body, Expr, Part};

/// Reads a whole file. What could be read is in the body even if there are errors.
pub fn parse_file(file: FileId, sources: &SourceMap) -> (Body, Diagnostics) {
    let text = &*sources.get(file).text;
    let mut body = Body::default();
    let mut diags = Diagnostics::default();
    let mut names = HashMap::new();
    let errors = grammar::parse_file(text, |item| {
        let mut lower = lower::Lower::new(file, item.base);
        lower.item(item.pair, &mut body, &mut names);
        diags.extend(lower.finish());
    });
    for error in errors {
        diags.push(syntax_diagnostic(&error, file, text));
    }
    body.end = Some(Span::new(file, text.len(), text.len()));
    (body, diags)
}

/// Reads one expression that is all of the file.
pub fn parse_expression(file: FileId, sources: &SourceMap) -> Result<Expr, Diagnostics> {
    let text = &*sources.get(file).text;
    match grammar::parse_expression(text) {
        Ok(pairs) => lower::Lower::new(file, 0).lone_expression(pairs),
        Err(error) => Err(Diagnostics(vec![syntax_diagnostic(&error, file, text)])),
    }
}

/// Reads a template that is all of the file.
pub fn parse_template(file: FileId, sources: &SourceMap) -> Result<Vec<Part>, Diagnostics> {
    let text = &*sources.get(file).text;
    match grammar::parse_template(text) {
        Ok(pairs) => lower::Lower::new(file, 0).lone_template(pairs),
        Err(error) => Err(Diagnostics(vec![syntax_diagnostic(&error, file, text)])),
    }
}

/// Text in quotes, with its escapes, so that it reads back as the same text.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for ch in text.chars() {
        match ch {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            _ => out.push(ch),
        }
    }
    out.push('"');
    out.replace("${", "$${").replace("%{", "%%{")
}

fn syntax_diagnostic(error: &SyntaxError, file: FileId, text: &str) -> Diagnostic {
    let end =
        text[error.offset.min(text.len())..].chars().next().map_or(error.offset, |ch| error.offset + ch.len_utf8());
    let span = Span::new(file, error.offset, end);
    match error.kind {
        SyntaxErrorKind::TooDeep => too_deep(span),
        SyntaxErrorKind::Unclosed { at, what } => {
            Diagnostic::error("unclosed bracket", format!("this {what} is never closed"))
                .at(Span::new(file, at, at + 1))
                .note(match what {
                    "string" => {
                        "a quoted string ends on the line that it begins on; use a heredoc (<<EOT) for more lines"
                    }
                    "heredoc" => "the marker must stand alone on a line of its own, with a new line after it",
                    _ => "add the closing bracket",
                })
        }
        SyntaxErrorKind::Unexpected => {
            let found = match text[error.offset.min(text.len())..].chars().next() {
                None => "the end of the file".to_owned(),
                Some('\n' | '\r') => "the end of the line".to_owned(),
                Some(ch) => format!("`{ch}`"),
            };
            let label = match error.expected.as_slice() {
                [] => format!("{found} cannot stand here"),
                expected => format!("{} expected, {found} found", one_of(expected)),
            };
            Diagnostic::error("invalid syntax", label).at(span)
        }
    }
}

fn one_of(expected: &[&str]) -> String {
    match expected {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error("nested too deeply", "this expression is nested more deeply than can be evaluated")
        .at(span)
        .note("give parts of it names in a `locals` block")
}
