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
            Ty::List(_) | Ty::Set(_) | Ty::Map(_) | Ty::Tuple(_) | Ty::Object(_) | Ty::Dynamic => {
                write!(out, "null /* {ty} */").expect(INFALLIBLE);
            }
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
