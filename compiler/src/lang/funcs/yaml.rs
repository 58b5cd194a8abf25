//! YAML, with the values that Terraform gives its scalars: those of 1.2, and the truth values of 1.1.

mod write;

use granit_parser::{Event, Parser, ScalarStyle, Tag};
use value::size::PART;
use value::value::Attributes;
use value::{Number, Ty, Value};

use std::collections::HashMap;
use std::sync::Arc;

use super::{Func, FuncError, Param, any, argument, failed, fits, gives_any, gives_string, string, text};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "yamldecode",
        doc: "Reads YAML: one document, without tags of its own.",
        params: &[Param::new("string", string)],
        variadic: None,
        examples: &[(r#"yamldecode("a: [1, x]").a[1]"#, r#""x""#)],
        unknown: gives_any,
        call: |args, _| decode(text(args, 0)),
    },
    Func {
        name: "yamlencode",
        doc: "Writes a value as YAML.",
        params: &[Param::new("value", any).nullable()],
        variadic: None,
        examples: &[("yamlencode({ a = [1, \"x\"] })", "<<EOT\n\"a\":\n- 1\n- \"x\"\nEOT")],
        unknown: gives_string,
        call: |args, _| {
            let written = write::document(&args[0]).map_err(failed)?;
            fits(written.len())?;
            Ok(Value::string(written))
        },
    },
];

/// A collection that is open.
enum Open {
    Sequence(Vec<Value>),
    Mapping { entries: Attributes, merged: Attributes, key: Option<Key> },
}

enum Key {
    Name(Arc<str>),
    /// `<<`: what follows is a part of the mapping.
    Merge,
}

const MAX_DEPTH: usize = 200;

fn decode(text: &str) -> Result<Value, FuncError> {
    let refused = |message: String| argument(0, format!("it is not YAML that can be read: {message}"));
    let mut open: Vec<(Open, usize)> = Vec::new();
    let mut anchors: HashMap<usize, Value> = HashMap::new();
    let mut documents = 0;
    let mut root = None;
    let mut size = 0;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| refused(error.to_string()))?;
        let (value, anchor) = match event {
            Event::DocumentStart(..) => {
                documents += 1;
                continue;
            }
            Event::SequenceStart(_, anchor, tag) => {
                known_tag(tag.as_deref(), &["seq"]).map_err(refused)?;
                open.push((Open::Sequence(Vec::new()), anchor));
                continue;
            }
            Event::MappingStart(_, anchor, tag) => {
                known_tag(tag.as_deref(), &["map"]).map_err(refused)?;
                open.push((Open::Mapping { entries: Attributes::new(), merged: Attributes::new(), key: None }, anchor));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some((Open::Sequence(items), anchor)) => (Value::tuple(items), anchor),
                Some((Open::Mapping { entries, mut merged, .. }, anchor)) => {
                    merged.extend(entries);
                    (Value::Object(Arc::new(merged)), anchor)
                }
                None => continue,
            },
            Event::Alias(anchor) => {
                let value = anchors.get(&anchor).ok_or_else(|| refused("an alias is of what holds it".to_owned()))?;
                // What is repeated grows without a text that does.
                size += value.size();
                (value.clone(), 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                if let Some((Open::Mapping { key: key @ None, .. }, _)) = open.last_mut()
                    && anchor == 0
                {
                    let is_plain = style == ScalarStyle::Plain && tag.is_none();
                    *key = Some(match &*text {
                        "<<" if is_plain => Key::Merge,
                        "" | "~" | "null" | "Null" | "NULL" if is_plain => {
                            return Err(refused("a key is null".to_owned()));
                        }
                        text => Key::Name(Arc::from(text)),
                    });
                    continue;
                }
                (scalar(&text, style, tag.as_deref()).map_err(refused)?, anchor)
            }
            _ => continue,
        };
        size += PART;
        fits(size)?;
        if open.len() > MAX_DEPTH {
            return Err(refused("it is nested too deeply".to_owned()));
        }
        if anchor != 0 {
            anchors.insert(anchor, value.clone());
        }
        match open.last_mut() {
            None => root = Some(value),
            Some((Open::Sequence(items), _)) => items.push(value),
            Some((Open::Mapping { entries, merged, key }, _)) => match (key.take(), value) {
                (Some(Key::Name(name)), value) => {
                    entries.insert(name, value);
                }
                (Some(Key::Merge), Value::Object(more)) => {
                    merged.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
                }
                (Some(Key::Merge), _) => return Err(refused("only a mapping can be merged with <<".to_owned())),
                (None, Value::String(name)) => *key = Some(Key::Name(name)),
                (None, _) => return Err(refused("a key is not a text".to_owned())),
            },
        }
    }
    match (documents, root) {
        (1, Some(root)) => Ok(root),
        (0 | 1, _) => Err(argument(0, "there is no document in it")),
        _ => Err(argument(0, "there is more than one document in it")),
    }
}

/// The name of a tag of YAML itself.
fn known_tag<'t>(tag: Option<&'t Tag>, known: &[&str]) -> Result<Option<&'t str>, String> {
    let Some(tag) = tag else { return Ok(None) };
    let (handle, suffix) = tag.parts();
    if handle == "tag:yaml.org,2002:" && known.contains(&suffix) {
        Ok(Some(suffix))
    } else {
        Err(format!("the tag {handle}{suffix} is not known"))
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    const KNOWN: [&str; 8] = ["str", "int", "float", "bool", "null", "binary", "timestamp", "merge"];
    let tag = known_tag(tag, &KNOWN)?;
    if style != ScalarStyle::Plain || matches!(tag, Some("str" | "binary")) {
        return Ok(Value::string(text));
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null(Ty::Dynamic),
        "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Number(Number::infinity(false)),
        "-.inf" | "-.Inf" | "-.INF" => Value::Number(Number::infinity(true)),
        ".nan" | ".NaN" | ".NAN" => return Err("a value is not a number".to_owned()),
        _ => match number(text) {
            Some(number) => Value::Number(number),
            None => date(text).map_or_else(|| Value::string(text), Value::string),
        },
    })
}

fn number(text: &str) -> Option<Number> {
    if let Some(octal) = text.strip_prefix("0o") {
        return Number::parse_whole(octal, 8).filter(|_| octal.bytes().all(|byte| byte.is_ascii_digit()));
    }
    if let Some(hexadecimal) = text.strip_prefix("0x") {
        return Number::parse_whole(hexadecimal, 16).filter(|_| !hexadecimal.starts_with(['-', '+']));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|ch: char| ch.is_ascii_digit() || ch == '.') {
        return None;
    }
    text.parse().ok()
}

/// A day is the time that it begins.
fn date(text: &str) -> Option<String> {
    let is_date = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    let date: jiff::civil::Date = if is_date { text.parse().ok()? } else { return None };
    Some(format!("{date}T00:00:00Z"))
}
