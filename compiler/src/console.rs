//! Values as the console shows them, and expressions on their own.

use std::fmt::Write;

use value::{Ty, Value};

use crate::diag::Diagnostics;
use crate::lang::eval::{self, NoScope};
use crate::source::SourceMap;
use crate::syntax::{self, quote};

/// Evaluates an expression that refers to nothing.
pub fn evaluate_constant(text: &str, sources: &mut SourceMap) -> Result<Value, Diagnostics> {
    let file = sources.add("<expression>", text);
    let expr = syntax::parse_expression(file, sources)?;
    crate::lang::secrets::conceal_expr(&expr, sources);
    let mut diags = Diagnostics::default();
    let value = eval::evaluate(&expr, &NoScope, &mut diags);
    if diags.has_errors() { Err(diags) } else { Ok(value) }
}

#[derive(Debug, PartialEq, Eq)]
enum Open {
    Bracket,
    Text,
}

/// Whether an expression goes on in the next line: a bracket, a comment or a heredoc of it is open.
pub fn is_open(text: &str) -> bool {
    let mut open = Vec::new();
    let mut rest = text;
    while let Some(ch) = rest.chars().next() {
        let is_text = open.last() == Some(&Open::Text);
        let taken = match ch {
            '\\' if is_text => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            '$' | '%' if is_text && rest[1..].starts_with(ch) => 2,
            '$' | '%' if is_text && rest[1..].starts_with('{') => {
                open.push(Open::Bracket);
                2
            }
            '"' if is_text => {
                open.pop();
                1
            }
            // It ends with its line, and this one has not: that is for an error to say.
            '\n' if is_text => return false,
            ch if is_text => ch.len_utf8(),
            '"' => {
                open.push(Open::Text);
                1
            }
            '(' | '[' | '{' => {
                open.push(Open::Bracket);
                1
            }
            ')' | ']' | '}' => match open.pop() {
                Some(_) => 1,
                None => return false,
            },
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => match rest.find("*/") {
                Some(end) => end + 2,
                None => return true,
            },
            '<' if rest.starts_with("<<") => match heredoc(rest) {
                Some(length) => length,
                None => return true,
            },
            ch => ch.len_utf8(),
        };
        rest = &rest[taken..];
    }
    !open.is_empty()
}

/// How long the heredoc is that a text begins with; none for one that goes on.
fn heredoc(text: &str) -> Option<usize> {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next()?;
    let word = first.trim_start_matches('<').trim_start_matches('-').trim();
    let mut length = first.len();
    for line in lines {
        length += line.len();
        if line.trim() == word {
            return Some(length);
        }
    }
    None
}

/// The value in the language's own notation, as `terraform console` prints it.
pub fn show(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, 0, &mut out);
    out
}

const INFALLIBLE: &str = "a String takes everything";

fn write_value(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Marked(marks, _) => {
            out.push_str(if marks.sensitive { "(sensitive value)" } else { "(ephemeral value)" });
        }
        Value::Unknown(..) => out.push_str("(known after apply)"),
        Value::Null(Ty::Dynamic) => out.push_str("null"),
        Value::Null(ty) => match ty {
            Ty::Bool => out.push_str("tobool(null)"),
            Ty::Number => out.push_str("tonumber(null)"),
            Ty::String => out.push_str("tostring(null)"),
            Ty::List(element) => write!(out, "tolist(null) /* of {} */", friendly(element)).expect(INFALLIBLE),
            Ty::Set(element) => write!(out, "toset(null) /* of {} */", friendly(element)).expect(INFALLIBLE),
            Ty::Map(element) => write!(out, "tomap(null) /* of {} */", friendly(element)).expect(INFALLIBLE),
            Ty::Tuple(_) | Ty::Object(_) | Ty::Dynamic => write!(out, "null /* {} */", friendly(ty)).expect(INFALLIBLE),
        },
        Value::Bool(truth) => write!(out, "{truth}").expect(INFALLIBLE),
        Value::Number(number) => write!(out, "{number}").expect(INFALLIBLE),
        Value::String(text) if text.contains('\n') && depth == 0 => {
            let newline = if text.ends_with('\n') { "" } else { "\n" };
            write!(out, "<<EOT\n{text}{newline}EOT").expect(INFALLIBLE);
        }
        Value::String(text) => out.push_str(&quote(text)),
        Value::List(_, items) => write_items("tolist([", items, "])", depth, out),
        Value::Set(_, items) => write_items("toset([", items, "])", depth, out),
        Value::Tuple(items) => write_items("[", items, "]", depth, out),
        Value::Map(_, entries) | Value::Object(entries) => {
            let is_map = matches!(value, Value::Map(..));
            out.push_str(if is_map { "tomap({" } else { "{" });
            for (key, value) in entries.iter() {
                let key = quote(key);
                write!(out, "\n{indent}  {key} = ").expect(INFALLIBLE);
                write_value(value, depth + 1, out);
            }
            if !entries.is_empty() {
                write!(out, "\n{indent}").expect(INFALLIBLE);
            }
            out.push_str(if is_map { "})" } else { "}" });
        }
    }
}

/// A type in words, as Terraform's console has them.
fn friendly(ty: &Ty) -> String {
    match ty {
        Ty::Dynamic => "dynamic".to_owned(),
        Ty::Bool => "bool".to_owned(),
        Ty::Number => "number".to_owned(),
        Ty::String => "string".to_owned(),
        Ty::List(element) => format!("list of {}", friendly(element)),
        Ty::Set(element) => format!("set of {}", friendly(element)),
        Ty::Map(element) => format!("map of {}", friendly(element)),
        Ty::Tuple(_) => "tuple".to_owned(),
        Ty::Object(_) => "object".to_owned(),
    }
}

fn write_items(open: &str, items: &[Value], close: &str, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    out.push_str(open);
    for item in items {
        write!(out, "\n{indent}  ").expect(INFALLIBLE);
        write_value(item, depth + 1, out);
        out.push(',');
    }
    if !items.is_empty() {
        write!(out, "\n{indent}").expect(INFALLIBLE);
    }
    out.push_str(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_go_on_until_all_is_closed() {
        for text in
            ["[\n", "f(1,\n", "{\na = \"}\"\n", "\"${[\n", "/* a\n", "<<EOT\na\n", "[<<-E\n  a ]\n  E\n", "[ # ]\n"]
        {
            assert!(is_open(text), "{text}");
        }
        for text in [
            "1\n",
            "[\n]\n",
            "\"a\n",
            "\"$${ \\\" %%{\"\n",
            "]\n",
            "<<EOT\n[\nEOT\n",
            "a / b // [\n",
            "\"${\"{\"}\"\n",
            "1 < 2\n",
        ] {
            assert!(!is_open(text), "{text}");
        }
    }
}
