//! Text.

use unicode_segmentation::UnicodeSegmentation;
use value::size::PART;
use value::{Ty, Value};

use super::{
    Func, Param, argument, fits, gives_bool, gives_string, gives_strings, items, number, string, strings, text, whole,
};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "chomp",
        doc: "Removes newlines at the end of a string.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"chomp("hello\n\n")"#, r#""hello""#)],
        unknown: gives_string,
        call: |args, _| Ok(text(args, 0).trim_end_matches(['\n', '\r']).into()),
    },
    Func {
        name: "endswith",
        doc: "Whether a string ends in a suffix.",
        params: &[Param::new("string", string), Param::new("suffix", string)],
        variadic: None,
        examples: &[(r#"endswith("web-1", "-1")"#, "true")],
        unknown: gives_bool,
        call: |args, _| Ok(text(args, 0).ends_with(text(args, 1)).into()),
    },
    Func {
        name: "indent",
        doc: "Adds spaces to the beginning of every line but the first.",
        params: &[Param::new("spaces", number), Param::new("string", string)],
        variadic: None,
        examples: &[(r#"split("\n", indent(2, "a\nb"))"#, "tolist([\n  \"a\",\n  \"  b\",\n])")],
        unknown: gives_string,
        call: |args, _| {
            let spaces = usize::try_from(whole(args, 0)?).ok().filter(|spaces| *spaces <= 1000);
            let spaces = spaces.ok_or_else(|| argument(0, "a whole number from 0 to 1000 is required"))?;
            let newlines = text(args, 1).matches('\n').count();
            fits(newlines.saturating_mul(spaces).saturating_add(text(args, 1).len()))?;
            Ok(Value::string(text(args, 1).replace('\n', &format!("\n{}", " ".repeat(spaces)))))
        },
    },
    Func {
        name: "join",
        doc: "The strings of lists, with a separator between them.",
        params: &[Param::new("separator", string), Param::new("list", strings)],
        variadic: Some(Param::new("lists", strings)),
        examples: &[(r#"join("-", ["web", "1"])"#, r#""web-1""#), (r#"join(",", ["a"], ["b"])"#, r#""a,b""#)],
        unknown: gives_string,
        call: |args, _| {
            let mut joined = String::new();
            let mut separator = "";
            for idx in 1..args.len() {
                for item in items(args, idx)? {
                    let item = item.as_str().ok_or_else(|| argument(idx, "an element is null"))?;
                    fits(joined.len() + separator.len() + item.len())?;
                    joined.push_str(separator);
                    joined.push_str(item);
                    separator = text(args, 0);
                }
            }
            Ok(Value::string(joined))
        },
    },
    Func {
        name: "lower",
        doc: "All letters as small letters.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"lower("Éa B")"#, r#""éa b""#)],
        unknown: gives_string,
        call: |args, _| Ok(Value::string(text(args, 0).chars().map(lower).collect::<String>())),
    },
    Func {
        name: "split",
        doc: "The parts of a string between separators.",
        params: &[Param::new("separator", string), Param::new("string", string)],
        variadic: None,
        examples: &[(r#"split(",", "a,b")"#, "tolist([\n  \"a\",\n  \"b\",\n])")],
        unknown: gives_strings,
        call: |args, _| {
            let (separator, string) = (text(args, 0), text(args, 1));
            let mut parts: Vec<Value> = Vec::new();
            let mut found: Box<dyn Iterator<Item = &str>> = match separator {
                "" => Box::new(string.split_inclusive(|_: char| true)),
                _ => Box::new(string.split(separator)),
            };
            found.try_for_each(|part| {
                parts.push(Value::from(part));
                fits(parts.len().saturating_mul(PART))
            })?;
            Ok(Value::list(Ty::String, parts))
        },
    },
    Func {
        name: "startswith",
        doc: "Whether a string starts with a prefix.",
        params: &[Param::new("string", string).may_be_unknown(), Param::new("prefix", string)],
        variadic: None,
        examples: &[(r#"startswith("web-1", "db")"#, "false")],
        unknown: gives_bool,
        call: |args, _| {
            let prefix = text(args, 1);
            Ok(match &args[0] {
                // What is known of its beginning may be enough.
                Value::Unknown(_, refinement) => {
                    let known = refinement.as_ref().map_or("", |refinement| &refinement.string_prefix);
                    if known.starts_with(prefix) {
                        Value::Bool(true)
                    } else if prefix.starts_with(known) {
                        gives_bool(args)
                    } else {
                        Value::Bool(false)
                    }
                }
                _ => text(args, 0).starts_with(prefix).into(),
            })
        },
    },
    Func {
        name: "strcontains",
        doc: "Whether a string contains another.",
        params: &[Param::new("string", string), Param::new("part", string)],
        variadic: None,
        examples: &[(r#"strcontains("web-1", "b-")"#, "true")],
        unknown: gives_bool,
        call: |args, _| Ok(text(args, 0).contains(text(args, 1)).into()),
    },
    Func {
        name: "strrev",
        doc: "The characters of a string in reverse order.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"strrev("été1")"#, r#""1été""#)],
        unknown: gives_string,
        call: |args, _| Ok(Value::string(text(args, 0).graphemes(true).rev().collect::<String>())),
    },
    Func {
        name: "substr",
        doc: "A part of a string: offset (from the end if negative) and length (-1 for all of the rest), in characters.",
        params: &[Param::new("string", string), Param::new("offset", number), Param::new("length", number)],
        variadic: None,
        examples: &[(r#"substr("hello", 1, 3)"#, r#""ell""#), (r#"substr("hello", -3, -1)"#, r#""llo""#)],
        unknown: gives_string,
        call: |args, _| {
            let graphemes = || text(args, 0).graphemes(true);
            let (offset, length) = (whole(args, 1)?, whole(args, 2)?);
            let start = if offset < 0 {
                graphemes().count().saturating_sub(offset.unsigned_abs() as usize)
            } else {
                offset as usize
            };
            // From the end, a length of nothing is all of the rest, as in Terraform.
            let length = if offset < 0 && length == 0 { -1 } else { length };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            Ok(Value::string(graphemes().skip(start).take(length).collect::<String>()))
        },
    },
    Func {
        name: "title",
        doc: "The first letter of every word as a capital.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"title("hello big world")"#, r#""Hello Big World""#)],
        unknown: gives_string,
        call: |args, _| {
            let mut before = ' ';
            let mut out = String::new();
            for ch in text(args, 0).chars() {
                out.push(if separates(before) { title(ch) } else { ch });
                before = ch;
            }
            Ok(Value::string(out))
        },
    },
    Func {
        name: "trim",
        doc: "Removes the given characters from both ends of a string.",
        params: &[Param::new("string", string), Param::new("characters", string)],
        variadic: None,
        examples: &[(r#"trim("?!web!?", "!?")"#, r#""web""#)],
        unknown: gives_string,
        call: |args, _| {
            let set: Vec<char> = text(args, 1).chars().collect();
            Ok(text(args, 0).trim_matches(set.as_slice()).into())
        },
    },
    Func {
        name: "trimprefix",
        doc: "Removes a prefix, if it is there.",
        params: &[Param::new("string", string), Param::new("prefix", string)],
        variadic: None,
        examples: &[(r#"trimprefix("web-1", "web-")"#, r#""1""#)],
        unknown: gives_string,
        call: |args, _| Ok(text(args, 0).strip_prefix(text(args, 1)).unwrap_or(text(args, 0)).into()),
    },
    Func {
        name: "trimspace",
        doc: "Removes blanks and newlines from both ends of a string.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"trimspace("  a \n")"#, r#""a""#)],
        unknown: gives_string,
        call: |args, _| Ok(text(args, 0).trim().into()),
    },
    Func {
        name: "trimsuffix",
        doc: "Removes a suffix, if it is there.",
        params: &[Param::new("string", string), Param::new("suffix", string)],
        variadic: None,
        examples: &[(r#"trimsuffix("a.php", ".php")"#, r#""a""#)],
        unknown: gives_string,
        call: |args, _| Ok(text(args, 0).strip_suffix(text(args, 1)).unwrap_or(text(args, 0)).into()),
    },
    Func {
        name: "upper",
        doc: "All letters as capitals.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"upper("web-é")"#, r#""WEB-É""#)],
        unknown: gives_string,
        call: |args, _| Ok(Value::string(text(args, 0).chars().map(upper).collect::<String>())),
    },
];

/// One letter for one letter, as Go does it: `ß` stays, where Rust makes two of it.
fn upper(ch: char) -> char {
    let mut upper = ch.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        // Greek letters with a iota below have a capital of their own.
        _ => match ch {
            '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
                char::from_u32(ch as u32 + 8).unwrap_or(ch)
            }
            '\u{1fb3}' => '\u{1fbc}',
            '\u{1fc3}' => '\u{1fcc}',
            '\u{1ff3}' => '\u{1ffc}',
            _ => ch,
        },
    }
}

fn lower(ch: char) -> char {
    ch.to_lowercase().next().unwrap_or(ch)
}

fn title(ch: char) -> char {
    match ch {
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        // Georgian has capitals, but no words that begin with one.
        '\u{10d0}'..='\u{10fa}' | '\u{10fd}'..='\u{10ff}' => ch,
        _ => upper(ch),
    }
}

/// Whether a word begins after it.
fn separates(ch: char) -> bool {
    if ch.is_ascii() { !ch.is_ascii_alphanumeric() && ch != '_' } else { ch.is_whitespace() }
}
