//! Text.

use regex::Regex;
use unicode_segmentation::UnicodeSegmentation;
use value::convert::convert;
use value::size::PART;
use value::{Ty, Value};

use super::{
    Func, FuncError, Param, any, argument, boolean, fits, gives_any, gives_bool, gives_string, gives_strings, items,
    number, string, strings, text, whole,
};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "chomp",
        doc: "Removes newlines at the end of a string.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"chomp("hello\n\n")"#, r#""hello""#)],
        result_ty: gives_string,
        call: |args, _| Ok(text(args, 0).trim_end_matches(['\n', '\r']).into()),
    },
    Func {
        name: "endswith",
        doc: "Whether a string ends in a suffix.",
        params: &[Param::new("string", string), Param::new("suffix", string)],
        variadic: None,
        examples: &[(r#"endswith("web-1", "-1")"#, "true")],
        result_ty: gives_bool,
        call: |args, _| Ok(text(args, 0).ends_with(text(args, 1)).into()),
    },
    Func {
        name: "format",
        doc: "Fills values into a format: %s text, %d whole number, %f fraction, %t truth, %q quoted, %v any, %x hexadecimal, %% a percent sign; with width, 0 and - as in %05d and %-10s.",
        params: &[Param::new("format", string)],
        variadic: Some(Param::new("values", any).nullable()),
        examples: &[
            (r#"format("web-%02d", 7)"#, r#""web-07""#),
            (r#"format("%s has %.1f of %d%%", "db", 2.25, 3)"#, r#""db has 2.2 of 3%""#),
            (r#"format("[%5s|%-5s]", "a", "b")"#, r#""[    a|b    ]""#),
        ],
        result_ty: gives_string,
        call: |args, _| format_values(text(args, 0), &args[1..]).map(Value::string),
    },
    Func {
        name: "indent",
        doc: "Adds spaces to the beginning of every line but the first.",
        params: &[Param::new("spaces", number), Param::new("string", string)],
        variadic: None,
        examples: &[(r#"indent(2, "a\nb")"#, "<<EOT\na\n  b\nEOT")],
        result_ty: gives_string,
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
        params: &[Param::new("separator", string)],
        variadic: Some(Param::new("lists", strings)),
        examples: &[(r#"join("-", ["web", "1"])"#, r#""web-1""#), (r#"join(",", ["a"], ["b"])"#, r#""a,b""#)],
        result_ty: gives_string,
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
        result_ty: gives_string,
        call: |args, _| Ok(Value::string(text(args, 0).to_lowercase())),
    },
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
        result_ty: gives_any,
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
        result_ty: gives_any,
        call: |args, _| {
            let regex = compile(text(args, 0))?;
            let mut found: Vec<Value> = Vec::new();
            for captures in regex.captures_iter(text(args, 1)) {
                fits(found.len().saturating_mul(captures.len().saturating_mul(PART)))?;
                found.push(captured(&regex, &captures));
            }
            let ty = found.first().map_or(Ty::String, Value::ty);
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
        result_ty: gives_string,
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
    Func {
        name: "split",
        doc: "The parts of a string between separators.",
        params: &[Param::new("separator", string), Param::new("string", string)],
        variadic: None,
        examples: &[(r#"split(",", "a,b")"#, "tolist([\n  \"a\",\n  \"b\",\n])")],
        result_ty: gives_strings,
        call: |args, _| {
            let (separator, string) = (text(args, 0), text(args, 1));
            let mut parts: Vec<Value> = Vec::new();
            let mut found: Box<dyn Iterator<Item = &str>> = match separator {
                "" => Box::new(string.graphemes(true)),
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
        params: &[Param::new("string", string), Param::new("prefix", string)],
        variadic: None,
        examples: &[(r#"startswith("web-1", "db")"#, "false")],
        result_ty: gives_bool,
        call: |args, _| Ok(text(args, 0).starts_with(text(args, 1)).into()),
    },
    Func {
        name: "strcontains",
        doc: "Whether a string contains another.",
        params: &[Param::new("string", string), Param::new("part", string)],
        variadic: None,
        examples: &[(r#"strcontains("web-1", "b-")"#, "true")],
        result_ty: gives_bool,
        call: |args, _| Ok(text(args, 0).contains(text(args, 1)).into()),
    },
    Func {
        name: "strrev",
        doc: "The characters of a string in reverse order.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"strrev("été1")"#, r#""1été""#)],
        result_ty: gives_string,
        call: |args, _| Ok(Value::string(text(args, 0).graphemes(true).rev().collect::<String>())),
    },
    Func {
        name: "substr",
        doc: "A part of a string: offset (from the end if negative) and length (-1 for all of the rest), in characters.",
        params: &[Param::new("string", string), Param::new("offset", number), Param::new("length", number)],
        variadic: None,
        examples: &[(r#"substr("hello", 1, 3)"#, r#""ell""#), (r#"substr("hello", -3, -1)"#, r#""llo""#)],
        result_ty: gives_string,
        call: |args, _| {
            let graphemes = || text(args, 0).graphemes(true);
            let (offset, length) = (whole(args, 1)?, whole(args, 2)?);
            let start = if offset < 0 {
                graphemes().count().saturating_sub(offset.unsigned_abs() as usize)
            } else {
                offset as usize
            };
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
        result_ty: gives_string,
        call: |args, _| {
            let mut out = String::new();
            let mut in_word = false;
            for ch in text(args, 0).chars() {
                if in_word {
                    out.push(ch);
                } else {
                    out.extend(ch.to_uppercase());
                }
                in_word = !ch.is_whitespace();
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
        result_ty: gives_string,
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
        result_ty: gives_string,
        call: |args, _| Ok(text(args, 0).strip_prefix(text(args, 1)).unwrap_or(text(args, 0)).into()),
    },
    Func {
        name: "trimspace",
        doc: "Removes blanks and newlines from both ends of a string.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"trimspace("  a \n")"#, r#""a""#)],
        result_ty: gives_string,
        call: |args, _| Ok(text(args, 0).trim().into()),
    },
    Func {
        name: "trimsuffix",
        doc: "Removes a suffix, if it is there.",
        params: &[Param::new("string", string), Param::new("suffix", string)],
        variadic: None,
        examples: &[(r#"trimsuffix("a.php", ".php")"#, r#""a""#)],
        result_ty: gives_string,
        call: |args, _| Ok(text(args, 0).strip_suffix(text(args, 1)).unwrap_or(text(args, 0)).into()),
    },
    Func {
        name: "upper",
        doc: "All letters as capitals.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"upper("web-é")"#, r#""WEB-É""#)],
        result_ty: gives_string,
        call: |args, _| Ok(Value::string(text(args, 0).to_uppercase())),
    },
];

fn compile(pattern: &str) -> Result<Regex, FuncError> {
    Regex::new(pattern).map_err(|error| argument(0, format!("the pattern is not valid: {error}")))
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

fn format_values(format: &str, values: &[Value]) -> Result<String, FuncError> {
    let mut out = String::new();
    let mut used = 0;
    let mut chars = format.chars().peekable();
    while let Some(ch) = chars.next() {
        if ch != '%' {
            out.push(ch);
            continue;
        }
        let mut spec = Spec::default();
        loop {
            match chars.peek() {
                Some('0') if spec.width.is_none() && spec.precision.is_none() => spec.zeros = true,
                Some('-') => spec.left = true,
                Some('+') => spec.plus = true,
                Some('.') => spec.precision = Some(0),
                Some(digit @ '0'..='9') => {
                    let digit = *digit as usize - '0' as usize;
                    let field = if spec.precision.is_some() { &mut spec.precision } else { &mut spec.width };
                    *field = Some(field.unwrap_or(0).saturating_mul(10).saturating_add(digit));
                }
                _ => break,
            }
            chars.next();
        }
        let verb = chars.next().ok_or_else(|| argument(0, "the format ends in the middle of a verb"))?;
        if verb == '%' {
            out.push('%');
            continue;
        }
        let value =
            values.get(used).ok_or_else(|| argument(0, format!("there is no value for verb {}, %{verb}", used + 1)))?;
        used += 1;
        fits(out.len().saturating_add(spec.least(verb)))?;
        spec.write(verb, value, &mut out).map_err(|message| argument(used, message))?;
        fits(out.len())?;
    }
    if used < values.len() {
        return Err(argument(used + 1, "the format has no verb for this value"));
    }
    Ok(out)
}

#[derive(Default)]
struct Spec {
    width: Option<usize>,
    precision: Option<usize>,
    zeros: bool,
    left: bool,
    plus: bool,
}

/// An f64 has no more places behind its point, and the standard library makes no more than 65,535.
const MOST_PLACES: usize = 1074;

/// With zeros for the places that it does not have.
fn with_places(float: f64, places: usize) -> String {
    let written = places.min(MOST_PLACES);
    format!("{float:.written$}{}", "0".repeat(places - written))
}

impl Spec {
    /// How long what comes of a value is, whatever the value.
    fn least(&self, verb: char) -> usize {
        let places = self.precision.filter(|_| verb == 'f').unwrap_or(0);
        self.width.unwrap_or(0).max(places)
    }

    fn write(&self, verb: char, value: &Value, out: &mut String) -> Result<(), String> {
        let as_ty = |ty: &Ty| match convert(value, ty) {
            Ok(Value::Null(_)) => Err("it is null".to_owned()),
            other => other.map_err(|error| error.to_string()),
        };
        let text = match verb {
            's' => as_ty(&string())?.as_str().unwrap_or_default().to_owned(),
            'q' => crate::syntax::quote(as_ty(&string())?.as_str().unwrap_or_default()),
            't' => as_ty(&boolean())?.as_bool().unwrap_or_default().to_string(),
            'd' => {
                let value = as_ty(&number())?;
                let number =
                    value.as_number().filter(|number| number.is_whole()).ok_or("a whole number is required")?;
                number.to_string()
            }
            'x' | 'X' => {
                let number = as_ty(&number())?
                    .as_number()
                    .and_then(value::Number::to_i64)
                    .ok_or("a whole number is required")?;
                if verb == 'x' { format!("{number:x}") } else { format!("{number:X}") }
            }
            'f' | 'e' | 'g' => {
                let float = as_ty(&number())?.as_number().map_or(0.0, value::Number::to_f64);
                match verb {
                    'f' => with_places(float, self.precision.unwrap_or(6)),
                    'e' => format!("{float:e}"),
                    _ => format!("{float}"),
                }
            }
            'v' => match convert(value, &Ty::String) {
                Ok(Value::String(text)) => text.to_string(),
                _ => value::codec::json::encode_plain(value).to_string(),
            },
            _ => return Err(format!("%{verb} is not a verb of `format`")),
        };
        let text = match self.precision {
            Some(precision) if matches!(verb, 's' | 'q' | 'v') => text.chars().take(precision).collect(),
            _ => text,
        };
        let text = if self.plus && matches!(verb, 'd' | 'f' | 'g') && !text.starts_with('-') {
            format!("+{text}")
        } else {
            text
        };
        let missing = self.width.unwrap_or(0).saturating_sub(text.graphemes(true).count());
        if self.left {
            out.push_str(&text);
            out.push_str(&" ".repeat(missing));
        } else if self.zeros && !matches!(verb, 's' | 'q' | 'v') {
            let (sign, digits) = if text.starts_with(['-', '+']) { text.split_at(1) } else { ("", text.as_str()) };
            out.push_str(sign);
            out.push_str(&"0".repeat(missing));
            out.push_str(digits);
        } else {
            out.push_str(&" ".repeat(missing));
            out.push_str(&text);
        }
        Ok(())
    }
}
