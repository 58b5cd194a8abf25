//! Values in text, by the verbs of Go's `fmt` as far as Terraform has them.

use unicode_segmentation::UnicodeSegmentation;
use value::codec::json;
use value::convert::convert;
use value::number::Digits;
use value::{Number, Ty, Value};

use super::{Func, FuncError, Param, any, argument, failed, fits, gives_strings, string, text};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "format",
        doc: "Fills values into a format: %s text, %d whole number, %f %e %g number, %t truth, %q quoted, %v any, %#v JSON, %x %o %b bases, %% a percent sign; with width, precision, 0, -, + and blank as in %05d, %-10s and %.2f, and %[2]s for the second value.",
        params: &[Param::new("format", string)],
        variadic: Some(Param::new("values", any).nullable()),
        examples: &[
            (r#"format("web-%02d", 7)"#, r#""web-07""#),
            (r#"format("%s has %.1f of %d%%", "db", 2.25, 3)"#, r#""db has 2.2 of 3%""#),
            (r#"format("[%5s|%-5s]", "a", "b")"#, r#""[    a|b    ]""#),
        ],
        unknown: |args| {
            // What comes before the first verb is known.
            let before =
                args.first().and_then(Value::as_str).map_or("", |format| format.split('%').next().unwrap_or(""));
            super::begins_with(before)
        },
        call: |args, _| format_values(text(args, 0), &args[1..]).map(Value::string),
    },
    Func {
        name: "formatlist",
        doc: "A list of texts, each made by `format` of the elements at one index of lists; what is no list stands in each.",
        params: &[Param::new("format", string)],
        variadic: Some(Param::new("values", any).nullable().shallow()),
        examples: &[(r#"formatlist("%s-%d", ["a", "b"], 1)"#, "tolist([\n  \"a-1\",\n  \"b-1\",\n])")],
        unknown: gives_strings,
        call: |args, _| format_lists(text(args, 0), &args[1..]),
    },
];

fn format_lists(format: &str, values: &[Value]) -> Result<Value, FuncError> {
    let lengths: Vec<usize> = values.iter().filter_map(Value::as_items).map(<[Value]>::len).collect();
    let length = lengths.first().copied().unwrap_or(1);
    if let Some(other) = lengths.iter().find(|other| **other != length) {
        return Err(failed(format!("the lists have different lengths, {length} and {other}")));
    }
    let mut made = Vec::new();
    let mut size = 0;
    for idx in 0..length {
        let row: Vec<Value> = values
            .iter()
            .map(|value| value.as_items().map_or_else(|| value.clone(), |items| items[idx].clone()))
            .collect();
        if !row.iter().all(Value::is_wholly_known) {
            made.push(super::gives_string(values));
            continue;
        }
        let text = format_values(format, &row)?;
        size += text.len() + value::size::PART;
        fits(size)?;
        made.push(Value::string(text));
    }
    Ok(Value::list(Ty::String, made))
}

fn format_values(format: &str, values: &[Value]) -> Result<String, FuncError> {
    let mut out = String::new();
    let (mut next, mut most_used) = (0, 0);
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (spec, after) = Spec::read(after)?;
        rest = after;
        if spec.verb == '%' {
            if !spec.is_plain() {
                return Err(argument(0, "%% takes no flags and no width"));
            }
            out.push('%');
            continue;
        }
        if let Some(index) = spec.index {
            next = index.checked_sub(1).ok_or_else(|| argument(0, "%[0] is no value: the first one is %[1]"))?;
        }
        let value = values
            .get(next)
            .ok_or_else(|| argument(0, format!("there is no value {} for %{}", next + 1, spec.verb)))?;
        next += 1;
        most_used = most_used.max(next);
        fits(out.len().saturating_add(spec.least()))?;
        out.push_str(&spec.write(value).map_err(|message| argument(next, message))?);
        fits(out.len())?;
    }
    out.push_str(rest);
    if most_used < values.len() {
        return Err(argument(most_used + 1, "the format has no verb for this value"));
    }
    Ok(out)
}

/// A verb with what stands between it and its `%`.
#[derive(Default)]
struct Spec {
    verb: char,
    width: Option<usize>,
    precision: Option<usize>,
    index: Option<usize>,
    zeros: bool,
    left: bool,
    plus: bool,
    blank: bool,
    sharp: bool,
}

impl Spec {
    fn read(text: &str) -> Result<(Spec, &str), FuncError> {
        let mut spec = Spec::default();
        let mut rest = text;
        loop {
            match rest.as_bytes().first() {
                Some(b'0') => spec.zeros = true,
                Some(b'-') => spec.left = true,
                Some(b'+') => spec.plus = true,
                Some(b' ') => spec.blank = true,
                Some(b'#') => spec.sharp = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        (spec.width, rest) = digits(rest);
        if let Some(after) = rest.strip_prefix('.') {
            let precision;
            (precision, rest) = digits(after);
            spec.precision = Some(precision.unwrap_or(0));
        }
        if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = digits(after);
            spec.index = Some(index.ok_or_else(|| argument(0, "a number is required between [ and ]"))?);
            rest = after.strip_prefix(']').ok_or_else(|| argument(0, "a ] is missing"))?;
        }
        let mut chars = rest.chars();
        spec.verb = chars.next().ok_or_else(|| argument(0, "the format ends in the middle of a verb"))?;
        Ok((spec, chars.as_str()))
    }

    fn is_plain(&self) -> bool {
        let has_flags = self.zeros || self.left || self.plus || self.blank || self.sharp;
        !has_flags && self.width.is_none() && self.precision.is_none() && self.index.is_none()
    }

    /// How long what comes of a value is, whatever the value.
    fn least(&self) -> usize {
        let places = self.precision.filter(|_| !matches!(self.verb, 's' | 'q' | 'v' | 'g' | 'G')).unwrap_or(0);
        self.width.unwrap_or(0).max(places)
    }

    fn write(&self, value: &Value) -> Result<String, String> {
        let as_ty = |ty: Ty| match convert(value, &ty) {
            Ok(Value::Null(_)) => Err("it is null".to_owned()),
            other => other.map_err(|error| error.to_string()),
        };
        let as_number = || as_ty(Ty::Number).map(|value| value.as_number().cloned().unwrap_or(Number::ZERO));
        match self.verb {
            'v' if value.is_null() => Err("it is null".to_owned()),
            'v' if self.sharp => Ok(self.padded(&to_json(value), 0)),
            'v' => Ok(match value {
                Value::String(text) => self.padded(text, 0),
                Value::Number(number) => self.number(number, 'g'),
                Value::Bool(truth) => self.padded(if *truth { "true" } else { "false" }, 0),
                _ => self.padded(&to_json(value), 0),
            }),
            's' => as_ty(Ty::String).map(|value| self.padded(&self.cut(value.as_str().unwrap_or_default()), 0)),
            'q' => as_ty(Ty::String).map(|value| {
                let quoted = Value::string(self.cut(value.as_str().unwrap_or_default()));
                self.padded(&to_json(&quoted), 0)
            }),
            // Terraform gives it no width.
            't' => as_ty(Ty::Bool).map(|truth| (truth.as_bool() == Some(true)).to_string()),
            'd' | 'b' | 'o' | 'x' | 'X' => {
                let number = as_number()?;
                if !number.is_whole() {
                    return Err(format!("a whole number is required, not {number}"));
                }
                Ok(self.number(&number, self.verb))
            }
            'e' | 'E' | 'f' | 'g' | 'G' => as_number().map(|number| self.number(&number, self.verb)),
            other => Err(format!("%{other} is not a verb of `format`")),
        }
    }

    /// Text has at most as many characters as the precision says.
    fn cut(&self, text: &str) -> String {
        match self.precision {
            Some(precision) => text.graphemes(true).take(precision).collect(),
            None => text.to_owned(),
        }
    }

    fn number(&self, number: &Number, verb: char) -> String {
        let shown = number.to_string();
        let is_whole_verb = matches!(verb, 'd' | 'b' | 'o' | 'x' | 'X');
        let sign = match shown.as_bytes().first() {
            Some(b'-') if !is_whole_verb || !number.is_zero() => "-",
            Some(b'+') => "+",
            _ if self.plus && self.verb != 'v' => "+",
            _ if self.blank && self.verb != 'v' => " ",
            _ => "",
        };
        let places = self.precision.unwrap_or(6);
        let (Some(exact), Some(shortest)) = (number.exact_digits(), number.shortest_digits()) else {
            return self.padded(&format!("{sign}{}", shown.trim_start_matches(['-', '+'])), sign.len());
        };
        let (prefix, digits) = match verb {
            'd' => ("", self.whole(number, 10)),
            'b' => ("0b", self.whole(number, 2)),
            'o' => ("0", self.whole(number, 8)),
            'x' => ("0x", self.whole(number, 16)),
            'X' => ("0X", self.whole(number, 16).to_uppercase()),
            'f' => ("", in_places(&exact, places)),
            'e' | 'E' => ("", with_exponent(exact, places, verb)),
            _ => {
                let digits = match self.precision.filter(|_| self.verb != 'v') {
                    Some(precision) => exact.rounded(precision.max(1) as i64),
                    None => shortest,
                };
                ("", general(&digits, self.precision.filter(|_| self.verb != 'v'), if verb == 'G' { 'E' } else { 'e' }))
            }
        };
        let sign = format!("{sign}{}", if self.sharp { prefix } else { "" });
        self.padded(&format!("{sign}{digits}"), sign.len())
    }

    /// The digits of a whole number, as many as the precision says at least.
    fn whole(&self, number: &Number, base: u32) -> String {
        let digits = number.whole_in_base(base).unwrap_or_default();
        format!("{}{digits}", "0".repeat(self.precision.unwrap_or(0).saturating_sub(digits.len())))
    }

    /// With blanks, or zeros after the sign, up to the width.
    fn padded(&self, text: &str, sign: usize) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(text.graphemes(true).count());
        if self.left {
            format!("{text}{}", " ".repeat(missing))
        } else if self.zeros {
            format!("{}{}{}", &text[..sign], "0".repeat(missing), &text[sign..])
        } else {
            format!("{}{text}", " ".repeat(missing))
        }
    }
}

fn digits(text: &str) -> (Option<usize>, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(end);
    (if end == 0 { None } else { Some(digits.parse().unwrap_or(usize::MAX)) }, rest)
}

fn to_json(value: &Value) -> String {
    json::go_escape(&json::encode_plain(value).to_string())
}

/// `places` digits after the point.
fn in_places(digits: &Digits, places: usize) -> String {
    let rounded = digits.clone().rounded(digits.point.saturating_add(places as i64));
    let mut out = String::new();
    for position in rounded.point.min(1) - 1..rounded.point {
        if position >= 0 {
            out.push(digit_at(&rounded, position));
        }
    }
    if out.is_empty() {
        out.push('0');
    }
    if places > 0 {
        out.push('.');
        let from = rounded.point;
        let written = places.min(rounded.digits.len() + from.min(0).unsigned_abs() as usize);
        out.extend((0..written as i64).map(|place| digit_at(&rounded, from + place)));
        out.push_str(&"0".repeat(places - written));
    }
    out
}

/// Zero where there is none.
fn digit_at(digits: &Digits, position: i64) -> char {
    let digit = usize::try_from(position).ok().and_then(|position| digits.digits.get(position));
    char::from(b'0' + digit.copied().unwrap_or(0))
}

/// `d.ddde+XX`
fn with_exponent(digits: Digits, places: usize, letter: char) -> String {
    let rounded = digits.rounded(places as i64 + 1);
    let mut out = String::from(digit_at(&rounded, 0));
    if places > 0 {
        out.push('.');
        let written = places.min(rounded.digits.len());
        out.extend((1..=written as i64).map(|position| digit_at(&rounded, position)));
        out.push_str(&"0".repeat(places - written));
    }
    let exponent = if rounded.digits.is_empty() { 0 } else { rounded.point - 1 };
    out.push_str(&format!("{letter}{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()));
    out
}

/// With an exponent where the number is very large or small.
fn general(digits: &Digits, precision: Option<usize>, letter: char) -> String {
    let exponent = digits.point - 1;
    let count = digits.digits.len() as i64;
    let limit = match precision {
        None => 6,
        Some(precision) if precision as i64 > count && count >= digits.point => count,
        Some(precision) => precision.max(1) as i64,
    };
    if digits.digits.is_empty() {
        return "0".to_owned();
    }
    if exponent < -4 || exponent >= limit {
        return with_exponent(digits.clone(), digits.digits.len() - 1, letter);
    }
    in_places(digits, (digits.digits.len() as i64 - digits.point).max(0) as usize)
}
