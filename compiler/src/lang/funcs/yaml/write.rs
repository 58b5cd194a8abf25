//! Values as YAML, byte by byte as Terraform writes them: texts in quotes, or as blocks where they have several lines.

use value::Value;

/// Lines of text in quotes are broken at a blank behind this column.
const WIDTH: usize = 80;

/// A key that is longer stands in a line of its own.
const MAX_KEY: usize = 128;

pub(super) fn document(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    node(value, 0, &mut out)?;
    out.push('\n');
    // What could go on in a next line is ended.
    if matches!(value, Value::Number(_) | Value::Bool(_) | Value::Null(_)) {
        out.push_str("...\n");
    }
    Ok(out)
}

/// A value whose lines but the first are indented.
fn node(value: &Value, indent: usize, out: &mut String) -> Result<(), String> {
    match value {
        Value::Null(_) => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) if number.is_infinite() => {
            out.push_str(if number.is_negative() { "-.inf" } else { ".inf" });
        }
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => string(text, indent, out),
        Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) => {
            if items.is_empty() {
                out.push_str("[]");
            }
            for (idx, item) in items.iter().enumerate() {
                next_line(idx > 0, indent, out);
                out.push_str("- ");
                let has_parts = item.as_items().is_some() || item.as_entries().is_some();
                node(item, if has_parts { indent + 2 } else { indent }, out)?;
            }
        }
        Value::Map(_, entries) | Value::Object(entries) => {
            if entries.is_empty() {
                out.push_str("{}");
            }
            for (idx, (key, item)) in entries.iter().enumerate() {
                next_line(idx > 0, indent, out);
                if is_block(key) || key.len() > MAX_KEY {
                    out.push_str("? ");
                    string(key, indent, out);
                    next_line(true, indent, out);
                } else {
                    quoted(key, indent, false, out);
                }
                out.push(':');
                entry(item, indent, out)?;
            }
        }
        Value::Unknown(..) | Value::Marked(..) => return Err("a part of the value is not known".to_owned()),
    }
    Ok(())
}

/// What follows a key: in the same line, but for a collection that has elements.
fn entry(item: &Value, indent: usize, out: &mut String) -> Result<(), String> {
    match item {
        Value::List(_, items) | Value::Set(_, items) | Value::Tuple(items) if !items.is_empty() => {
            next_line(true, indent, out);
            node(item, indent, out)
        }
        Value::Map(_, entries) | Value::Object(entries) if !entries.is_empty() => {
            next_line(true, indent + 2, out);
            node(item, indent + 2, out)
        }
        _ => {
            out.push(' ');
            node(item, indent, out)
        }
    }
}

fn next_line(is_next: bool, indent: usize, out: &mut String) {
    if is_next {
        // A block has ended its line.
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&" ".repeat(indent));
    }
}

fn string(text: &str, indent: usize, out: &mut String) {
    if is_block(text) { block(text, indent, out) } else { quoted(text, indent, true, out) }
}

/// Whether a text can stand line by line: all of it can be printed, and no blanks end a line.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && text.chars().all(|ch| ch == '\n' || is_printable(ch))
        && !text.contains(" \n")
        && !text.ends_with(' ')
}

fn is_printable(ch: char) -> bool {
    matches!(ch, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && !matches!(ch, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

fn block(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    let body = text.trim_end_matches('\n');
    match text.len() - body.len() {
        0 => out.push('-'),
        1 if !body.is_empty() => {}
        _ => out.push('+'),
    }
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent + 2));
            out.push_str(line);
        }
    }
}

fn quoted(text: &str, indent: usize, may_break: bool, out: &mut String) {
    let begin = out.rfind('\n').map_or(0, |newline| newline + 1);
    let mut column = out[begin..].chars().count() + 1;
    out.push('"');
    let chars: Vec<char> = text.chars().collect();
    for (idx, ch) in chars.iter().enumerate() {
        let is_inside = idx > 0 && idx + 1 < chars.len();
        if *ch == ' ' && may_break && column > WIDTH && is_inside && chars[idx - 1] != ' ' {
            out.push('\n');
            out.push_str(&" ".repeat(indent + 2));
            column = indent + 2;
            if chars[idx + 1] == ' ' {
                out.push('\\');
                column += 1;
            }
            continue;
        }
        let written = escaped(*ch);
        column += written.chars().count();
        out.push_str(&written);
    }
    out.push('"');
}

fn escaped(ch: char) -> String {
    match ch {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\0' => "\\0".to_owned(),
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\t' => "\\t".to_owned(),
        '\n' => "\\n".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\r' => "\\r".to_owned(),
        '\u{1b}' => "\\e".to_owned(),
        '\u{85}' => "\\N".to_owned(),
        '\u{2028}' => "\\L".to_owned(),
        '\u{2029}' => "\\P".to_owned(),
        ch if is_printable(ch) => ch.to_string(),
        ch => match ch as u32 {
            code @ 0..=0xff => format!("\\x{code:02X}"),
            code @ 0x100..=0xffff => format!("\\u{code:04X}"),
            code => format!("\\U{code:08X}"),
        },
    }
}
