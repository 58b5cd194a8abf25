//! Files whose paths have a pattern.

use regex::Regex;
use value::{Ty, Value};

use super::{CallContext, Func, FuncError, Param, argument, fits, not_null, string, text};
use crate::source::{SourceLoader, join_path};

pub(super) const FUNCS: &[Func] = &[Func {
    name: "fileset",
    doc: "The files below a folder whose paths have a pattern: * and ? stand for characters, ** for folders at any depth, [a-z] for one of some, {a,b} for one of several.",
    params: &[Param::new("folder", string), Param::new("pattern", string)],
    variadic: None,
    examples: &[(r#"fileset("/no/such/folder", "*.txt")"#, "toset([])")],
    unknown: |_| not_null(Ty::set(Ty::String)),
    call: |args, context| fileset(args, context),
}];

fn fileset(args: &[Value], context: &CallContext<'_>) -> Result<Value, FuncError> {
    let base = join_path(context.folder(), text(args, 0));
    let pattern = join_path(&base, text(args, 1));
    let is_absolute = pattern.starts_with('/');
    let parts = pattern.split('/').filter(|part| !part.is_empty() && *part != ".");
    let parts: Vec<Part> = parts.map(part).collect::<Option<_>>().ok_or_else(|| argument(1, "it is not a pattern"))?;
    let mut found = Vec::new();
    if let Some(loader) = context.loader() {
        find(loader, if is_absolute { "/" } else { "." }, &parts, &mut found)?;
    }
    let paths = found.iter().map(|path| Value::string(relative(path, &base))).collect();
    Ok(Value::set(Ty::String, paths))
}

/// A part of a pattern, between two slashes.
enum Part {
    Name(String),
    Like(Regex),
    AnyDepth,
}

fn part(text: &str) -> Option<Part> {
    if text == "**" {
        return Some(Part::AnyDepth);
    }
    if !text.contains(['*', '?', '[', '{', '\\']) {
        return if text.contains(']') || text.contains('}') { None } else { Some(Part::Name(text.to_owned())) };
    }
    let mut pattern = String::from("^(?s:");
    let mut open = 0;
    let mut chars = text.chars();
    let escaped = |ch: char| regex::escape(ch.encode_utf8(&mut [0; 4]));
    while let Some(ch) = chars.next() {
        match ch {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            '{' => {
                open += 1;
                pattern.push_str("(?:");
            }
            '}' if open > 0 => {
                open -= 1;
                pattern.push(')');
            }
            ',' if open > 0 => pattern.push('|'),
            '\\' => pattern.push_str(&escaped(chars.next()?)),
            '[' => {
                pattern.push('[');
                let mut is_first = true;
                loop {
                    match chars.next()? {
                        '^' if is_first => pattern.push('^'),
                        ']' if !pattern.ends_with(['[', '^']) => break,
                        '-' => pattern.push('-'),
                        '\\' => pattern.push_str(&escaped(chars.next()?)),
                        ch => pattern.push_str(&escaped(ch)),
                    }
                    is_first = false;
                }
                pattern.push(']');
            }
            ch => pattern.push_str(&escaped(ch)),
        }
    }
    pattern.push_str(")$");
    if open > 0 { None } else { Regex::new(&pattern).ok().map(Part::Like) }
}

fn find(loader: &dyn SourceLoader, folder: &str, parts: &[Part], found: &mut Vec<String>) -> Result<(), FuncError> {
    let Some((part, rest)) = parts.split_first() else { return Ok(()) };
    // What is no folder, or cannot be read, has no files.
    let Ok(entries) = loader.entries(folder) else { return Ok(()) };
    if let (Part::Name(name), false) = (part, rest.is_empty()) {
        return find(loader, &join_path(folder, name), rest, found);
    }
    if matches!(part, Part::AnyDepth) && !rest.is_empty() {
        find(loader, folder, rest, found)?;
    }
    for entry in entries {
        let path = join_path(folder, &entry.name);
        let is_match = match part {
            Part::Name(name) => entry.name == *name,
            Part::Like(regex) => regex.is_match(&entry.name),
            Part::AnyDepth => true,
        };
        match (is_match, entry.is_folder) {
            (true, true) if matches!(part, Part::AnyDepth) => find(loader, &path, parts, found)?,
            (true, true) => find(loader, &path, rest, found)?,
            (true, false) if rest.is_empty() => {
                fits(found.len().saturating_mul(value::size::PART))?;
                found.push(path);
            }
            _ => {}
        }
    }
    Ok(())
}

/// A path as seen from a folder.
fn relative(path: &str, folder: &str) -> String {
    let parts = |path: &str| -> Vec<String> {
        path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
    };
    let (path, folder) = (parts(path), parts(folder));
    let same = path.iter().zip(&folder).take_while(|(a, b)| a == b).count();
    let up = folder[same..].iter().map(|_| "..".to_owned());
    up.chain(path[same..].iter().cloned()).collect::<Vec<_>>().join("/")
}
