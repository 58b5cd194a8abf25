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
fn known_tag(tag: Option<&Tag>, known: &[&'static str]) -> Result<Option<&'static str>, String> {
    let Some(tag) = tag else { return Ok(None) };
    let name = tag.suffix_in_namespace("tag:yaml.org,2002:");
    let name = name.and_then(|name| known.iter().find(|known| **known == name));
    name.map(|name| Some(*name)).ok_or_else(|| format!("the tag {}{} is not known", tag.handle(), tag.suffix()))
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    const KNOWN: [&str; 8] = ["str", "int", "float", "bool", "null", "binary", "timestamp", "merge"];
    let tag = known_tag(tag, &KNOWN)?;
    if style != ScalarStyle::Plain || matches!(tag, Some("str" | "binary")) {
        return Ok(Value::string(text));
    }
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null(Ty::Dynamic),
        "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Number(Number::infinity(false)),
        "-.inf" | "-.Inf" | "-.INF" => Value::Number(Number::infinity(true)),
        ".nan" | ".NaN" | ".NAN" => return Err("a value is not a number".to_owned()),
        _ => match number(text) {
            Some(number) => Value::Number(number),
            None => time(text).map_or_else(|| Value::string(text), Value::string),
        },
    };
    match (tag, &value) {
        (Some("null"), _) => Ok(Value::Null(Ty::Dynamic)),
        (Some("int" | "float"), Value::Number(_)) | (Some("bool"), Value::Bool(_)) => Ok(value),
        (Some(tag @ ("int" | "float" | "bool")), _) => Err(format!("{text:?} is no {tag}")),
        _ => Ok(value),
    }
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

/// A time with a zone or none, which is UTC then; a day is the time that it begins.
fn time(text: &str) -> Option<String> {
    let (day, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "0:0:0"));
    let (time, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) => (time, Some(fraction)),
        None => (time, None),
    };
    let part = |part: &str, digits: usize| {
        let is_number = (1..=digits).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { part.parse::<i16>().ok() } else { None }
    };
    let mut days = day.split('-');
    let (year, month, day) = (days.next().filter(|year| year.len() == 4)?, days.next()?, days.next()?);
    let mut times = time.split(':');
    let (hour, minute, second) = (times.next()?, times.next()?, times.next()?);
    if days.next().is_some()
        || times.next().is_some()
        || fraction.is_some_and(|fraction| !(1..=9).contains(&fraction.len()))
    {
        return None;
    }
    let (year, month, day) = (part(year, 4)?, part(month, 2)?, part(day, 2)?);
    let (hour, minute, second) = (part(hour, 2)?, part(minute, 2)?, part(second, 2)?);
    let fraction = fraction.map(|fraction| fraction.trim_end_matches('0')).filter(|fraction| !fraction.is_empty());
    let fraction = fraction.map_or_else(String::new, |fraction| format!(".{fraction}"));
    let written = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
    let is_zone = zone == "Z" || (zone.len() == 6 && zone.as_bytes()[3] == b':');
    if is_zone && super::date::is_time(&written) { Some(written) } else { None }
}
