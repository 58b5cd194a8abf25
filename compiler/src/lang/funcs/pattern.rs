//! Regular expressions, as RE2 has them.

mod re2;

use regex::Regex;
use value::size::PART;
use value::{Ty, Value};

use super::{Func, FuncError, Param, argument, fits, gives_any, gives_string, not_null, string, text};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "regex",
        doc: "The first match of a regular expression: the match, or a list of its groups, or an object of its named groups.",
        params: &[Param::new("pattern", string), Param::new("string", string)],
        variadic: None,
        examples: &[
            (r#"regex("[0-9]+", "web-12")"#, r#""12""#),
            (r#"regex("(\\w+)-(\\d+)", "web-12")"#, "[\n  \"web\",\n  \"12\",\n]"),
            (r#"regex("(?P<name>\\w+)-", "web-12").name"#, r#""web""#),
        ],
        unknown: gives_any,
        call: |args, _| {
            let regex = compile(text(args, 0))?;
            let captures = regex.captures(text(args, 1)).ok_or_else(|| argument(0, "the pattern does not match"))?;
            Ok(captured(&regex, &captures))
        },
    },
    Func {
        name: "regexall",
        doc: "All matches of a regular expression.",
        params: &[Param::new("pattern", string), Param::new("string", string)],
        variadic: None,
        examples: &[(r#"regexall("[a-z]+", "a1bc2")"#, "tolist([\n  \"a\",\n  \"bc\",\n])")],
        unknown: |_| not_null(Ty::list(Ty::Dynamic)),
        call: |args, _| {
            let regex = compile(text(args, 0))?;
            let mut found: Vec<Value> = Vec::new();
            for captures in regex.captures_iter(text(args, 1)) {
                fits(found.len().saturating_mul(captures.len().saturating_mul(PART)))?;
                found.push(captured(&regex, &captures));
            }
            let ty = match found.first() {
                Some(found) => found.ty(),
                None => captured_ty(&regex),
            };
            Ok(Value::list(ty, found))
        },
    },
    Func {
        name: "replace",
        doc: "Replaces every occurrence; a search text between slashes is a regular expression, with $1 for its groups.",
        params: &[Param::new("string", string), Param::new("search", string), Param::new("replacement", string)],
        variadic: None,
        examples: &[
            (r#"replace("a-b-c", "-", "_")"#, r#""a_b_c""#),
            (r#"replace("web-12", "/-(\\d)/", "_$1")"#, r#""web_12""#),
        ],
        unknown: gives_string,
        call: |args, _| {
            let (string, search, replacement) = (text(args, 0), text(args, 1), text(args, 2));
            let pattern = search.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|_| search.len() > 1);
            Ok(Value::string(match pattern {
                Some(pattern) => replace_all(&compile(pattern)?, string, replacement)?,
                None => {
                    let found = string.matches(search).count();
                    fits(string.len().saturating_add(found.saturating_mul(replacement.len())))?;
                    string.replace(search, replacement)
                }
            }))
        },
    },
];

fn compile(pattern: &str) -> Result<Regex, FuncError> {
    let refused = |reason: String| argument(0, format!("the pattern is not valid: {reason}"));
    let translated = re2::translate(pattern).map_err(refused)?;
    Regex::new(&translated).map_err(|error| refused(error.to_string()))
}

/// Every match replaced by `replacement`, in which `$1` stands for a group.
fn replace_all(regex: &Regex, string: &str, replacement: &str) -> Result<String, FuncError> {
    let mut out = String::new();
    let mut done = 0;
    for captures in regex.captures_iter(string) {
        let Some(found) = captures.get(0) else { continue };
        out.push_str(&string[done..found.start()]);
        // A group is at most the match, and stands at most at every `$`.
        let groups = replacement.matches('$').count();
        fits(out.len().saturating_add(replacement.len()).saturating_add(groups.saturating_mul(found.len())))?;
        captures.expand(replacement, &mut out);
        done = found.end();
    }
    out.push_str(&string[done..]);
    Ok(out)
}

/// The type of what [`captured`] gives, for when nothing is found.
fn captured_ty(regex: &Regex) -> Ty {
    if regex.capture_names().flatten().next().is_some() {
        return Ty::object(regex.capture_names().flatten().map(|name| (name, Ty::String)));
    }
    match regex.captures_len() {
        1 => Ty::String,
        len => Ty::tuple(vec![Ty::String; len - 1]),
    }
}

fn captured(regex: &Regex, captures: &regex::Captures<'_>) -> Value {
    let group = |found: Option<regex::Match<'_>>| found.map_or(Value::Null(Ty::String), |found| found.as_str().into());
    if regex.capture_names().flatten().next().is_some() {
        return Value::object(regex.capture_names().flatten().map(|name| (name, group(captures.name(name)))));
    }
    match captures.len() {
        1 => group(captures.get(0)),
        _ => Value::tuple((1..captures.len()).map(|idx| group(captures.get(idx))).collect()),
    }
}
