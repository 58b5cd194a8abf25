//! Comma-separated values, as RFC 4180 has them and Go reads them: quotes where they may not be are refused, which crates for
//! CSV take for text.

use std::collections::BTreeSet;
use std::sync::Arc;

use value::size::PART;
use value::value::Attributes;
use value::{Ty, Value};

use super::{Func, FuncError, Param, argument, fits, not_null, string, text};

pub(super) const FUNCS: &[Func] = &[Func {
    name: "csvdecode",
    doc: "Reads comma-separated values: a list of objects, whose attributes the first line names.",
    params: &[Param::new("string", string)],
    variadic: None,
    examples: &[(r#"csvdecode("a,b\n1,2")[0].b"#, r#""2""#)],
    unknown: |_| not_null(Ty::list(Ty::Dynamic)),
    call: |args, _| decode(text(args, 0)),
}];

fn decode(text: &str) -> Result<Value, FuncError> {
    let mut rest = text;
    let refused = |line: usize, reason: &str| argument(0, format!("row {line}: {reason}"));
    let header = record(&mut rest).map_err(|reason| refused(1, reason))?;
    let header = header.ok_or_else(|| argument(0, "a line that names the columns is required"))?;
    let names: Vec<Arc<str>> = header.iter().map(|name| Arc::from(&**name)).collect();
    if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
        return Err(argument(0, "two columns have the same name"));
    }
    let ty = Ty::object(names.iter().map(|name| (name.clone(), Ty::String)));
    let mut rows = Vec::new();
    while let Some(fields) = record(&mut rest).map_err(|reason| refused(rows.len() + 2, reason))? {
        if fields.len() != names.len() {
            let message =
                format!("row {}: {} fields, and the first line names {}", rows.len() + 2, fields.len(), names.len());
            return Err(argument(0, message));
        }
        fits(rows.len().saturating_mul(PART * (names.len() + 1)))?;
        let entries: Attributes = names.iter().cloned().zip(fields.into_iter().map(Value::string)).collect();
        rows.push(Value::Object(Arc::new(entries)));
    }
    Ok(Value::list(ty, rows))
}

/// The next row that is not empty.
fn record(rest: &mut &str) -> Result<Option<Vec<String>>, &'static str> {
    while let Some(after) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')) {
        *rest = after;
    }
    if rest.is_empty() {
        return Ok(None);
    }
    let mut fields = Vec::new();
    loop {
        let is_quoted = rest.starts_with('"');
        fields.push(if is_quoted { quoted(rest)? } else { plain(rest)? });
        if let Some(after) = rest.strip_prefix(',') {
            *rest = after;
            continue;
        }
        *rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')).unwrap_or(rest);
        return Ok(Some(fields));
    }
}

fn plain(rest: &mut &str) -> Result<String, &'static str> {
    let end = rest.find([',', '\n']).unwrap_or(rest.len());
    let field = &rest[..end];
    let at_newline = rest[end..].starts_with('\n');
    let field = if at_newline { field.strip_suffix('\r').unwrap_or(field) } else { field };
    *rest = &rest[field.len()..];
    if field.contains('"') { Err("a field with a quote in it must be in quotes") } else { Ok(field.to_owned()) }
}

fn quoted(rest: &mut &str) -> Result<String, &'static str> {
    let mut field = String::new();
    let mut after = &rest[1..];
    loop {
        let end = after.find('"').ok_or("a quote is never closed")?;
        field.push_str(&after[..end]);
        after = &after[end + 1..];
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                after = more;
            }
            None => break,
        }
    }
    *rest = after;
    let is_end = after.is_empty() || [",", "\n", "\r\n"].iter().any(|end| after.starts_with(end));
    if is_end { Ok(field.replace("\r\n", "\n")) } else { Err("text follows a quote; write two quotes for one") }
}
