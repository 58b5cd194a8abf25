//! Values as expressions, for text that is written for people to go on with.

use value::Value;

use crate::syntax::quote;

/// An expression that has this value, or one that converts to it. What is unknown is null. Lines but the first are indented for a body
/// of this depth.
pub fn expression(value: &Value, depth: usize) -> String {
    let mut out = String::new();
    write(value, depth, &mut out);
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Null(_) | Value::Unknown(..) => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => out.push_str(&quote(text)),
        Value::Marked(_, value) => write(value, depth, out),
        Value::List(..) | Value::Set(..) | Value::Tuple(_) => {
            let items = value.as_items().unwrap_or_default();
            let is_plain = items.iter().all(|item| item.as_entries().is_none() && item.as_items().is_none());
            if items.is_empty() {
                out.push_str("[]");
            } else if is_plain && items.len() <= 8 {
                let items: Vec<String> = items.iter().map(|item| expression(item, depth)).collect();
                out.push_str(&format!("[{}]", items.join(", ")));
            } else {
                out.push_str("[\n");
                for item in items {
                    out.push_str(&format!("{indent}  {},\n", expression(item, depth + 1)));
                }
                out.push_str(&format!("{indent}]"));
            }
        }
        Value::Map(..) | Value::Object(_) => {
            let entries: Vec<_> = value.as_entries().into_iter().flatten().collect();
            if entries.is_empty() {
                return out.push_str("{}");
            }
            let key = |name: &str| if is_word(name) { name.to_owned() } else { quote(name) };
            let width = entries.iter().map(|(name, _)| key(name).chars().count()).max().unwrap_or(0);
            out.push_str("{\n");
            for (name, value) in entries {
                out.push_str(&format!("{indent}  {:width$} = {}\n", key(name), expression(value, depth + 1)));
            }
            out.push_str(&format!("{indent}}}"));
        }
    }
}

fn is_word(name: &str) -> bool {
    let starts = name.starts_with(|ch: char| ch.is_ascii_alphabetic() || ch == '_');
    // As the first key it would begin a `for` expression.
    starts && name != "for" && name.chars().all(|ch| ch.is_ascii_alphanumeric() || ch == '_' || ch == '-')
}
