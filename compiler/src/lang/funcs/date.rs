//! Times, as RFC 3339 writes them.

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Timestamp};
use value::{Ty, Value};

use super::{Func, FuncError, Param, argument, failed, gives_number, gives_string, not_null, string, text};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "formatdate",
        doc: "A time in a form: YYYY year, MM month (MMM name), DD day, EEE weekday, hh hour (HH of 12, AA am or pm), mm minute, ss second, Z zone, and text between single quotes.",
        params: &[Param::new("form", string), Param::new("time", string)],
        variadic: None,
        examples: &[(r#"formatdate("DD MMM YYYY hh:mm", "2018-01-02T23:12:01Z")"#, r#""02 Jan 2018 23:12""#)],
        unknown: gives_string,
        call: |args, _| format(text(args, 0), &parse(args, 1)?),
    },
    Func {
        name: "plantimestamp",
        doc: "When the plan was made, the same in all of what follows from it.",
        params: &[],
        variadic: None,
        examples: &[("plantimestamp()", "(known after apply)")],
        unknown: gives_string,
        call: |_, context| {
            let planned_at = context.surroundings().and_then(|surroundings| surroundings.planned_at);
            Ok(planned_at.map_or(not_null(Ty::String), |planned_at| Value::string(show_utc(planned_at))))
        },
    },
    Func {
        name: "timeadd",
        doc: "A time a duration later, such as \"1h30m\", or earlier, such as \"-10s\".",
        params: &[Param::new("time", string), Param::new("duration", string)],
        variadic: None,
        examples: &[(r#"timeadd("2017-11-22T00:00:00Z", "10m")"#, r#""2017-11-22T00:10:00Z""#)],
        unknown: gives_string,
        call: |args, _| {
            let moment = parse(args, 0)?;
            let duration = duration(text(args, 1))
                .ok_or_else(|| argument(1, "a duration is numbers with units: h, m, s, ms, us or ns, such as 1h30m"))?;
            let local = moment.local.checked_add(SignedDuration::from_nanos(duration));
            let local = local.map_err(|_| failed("the result is no time of the years 0 to 9999"))?;
            Ok(Value::string(Moment { local, ..moment }.show()))
        },
    },
    Func {
        name: "timecmp",
        doc: "-1, 0 or 1 for a time that is before another, the same, or after it.",
        params: &[Param::new("a", string), Param::new("b", string)],
        variadic: None,
        examples: &[(r#"timecmp("2017-11-22T01:00:00Z", "2017-11-22T00:00:00Z")"#, "1")],
        unknown: gives_number,
        call: |args, _| Ok(Value::from(parse(args, 0)?.utc()?.cmp(&parse(args, 1)?.utc()?) as i64)),
    },
    Func {
        name: "timestamp",
        doc: "The time now; known when what was planned is made.",
        params: &[],
        variadic: None,
        examples: &[("timestamp()", "(known after apply)")],
        unknown: gives_string,
        call: |_, context| {
            let outside = context.surroundings().and_then(|surroundings| surroundings.outside.as_ref());
            Ok(outside.map_or(not_null(Ty::String), |outside| Value::string(show_utc(outside.now()))))
        },
    },
];

fn show_utc(moment: Timestamp) -> String {
    let local = moment.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    Moment { local, offset: 0, is_utc: true }.show()
}

/// A time with its place.
struct Moment {
    local: DateTime,
    /// Minutes east of UTC.
    offset: i64,
    /// Written with a Z.
    is_utc: bool,
}

impl Moment {
    fn utc(&self) -> Result<DateTime, FuncError> {
        let utc = self.local.checked_sub(SignedDuration::from_mins(self.offset));
        utc.map_err(|_| failed("it is no time of the years 0 to 9999"))
    }

    fn zone(&self, separator: &str) -> String {
        let sign = if self.offset < 0 { '-' } else { '+' };
        format!("{sign}{:02}{separator}{:02}", self.offset.abs() / 60, self.offset.abs() % 60)
    }

    fn zone_or_z(&self) -> String {
        if self.is_utc || self.offset == 0 { "Z".to_owned() } else { self.zone(":") }
    }

    /// Without parts of a second, which are not asked for.
    fn show(&self) -> String {
        let at = self.local;
        let time = format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second());
        format!("{:04}-{:02}-{:02}T{time}{}", at.year(), at.month(), at.day(), self.zone_or_z())
    }
}

fn parse(args: &[Value], idx: usize) -> Result<Moment, FuncError> {
    let refused = || argument(idx, "a time is written as 2018-01-02T23:12:01Z, with Z or a zone such as +02:00");
    parse_moment(text(args, idx)).ok_or_else(refused)
}

pub(super) fn is_time(text: &str) -> bool {
    parse_moment(text).is_some()
}

fn parse_moment(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = text.get(from..from + len)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let has = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    if ![(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].iter().all(|(at, byte)| has(*at, *byte)) {
        return None;
    }
    let part = |from, len| number(from, len).and_then(|part| i8::try_from(part).ok());
    let date = Date::new(i16::try_from(number(0, 4)?).ok()?, part(5, 2)?, part(8, 2)?).ok()?;
    let mut rest = &text[19..];
    let mut nanoseconds = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let nine: String = fraction[..digits].chars().chain("000000000".chars()).take(9).collect();
        nanoseconds = if digits == 0 { return None } else { nine.parse().ok()? };
        rest = &fraction[digits..];
    }
    let time = Time::new(part(11, 2)?, part(14, 2)?, part(17, 2)?, nanoseconds).ok()?;
    let (offset, is_utc) = match rest.as_bytes() {
        b"Z" => (0, true),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let at = text.len() - 5;
            let (hours, minutes) = (number(at, 2)?, number(at + 3, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 60 + minutes;
            (if *sign == b'-' { -offset } else { offset }, false)
        }
        _ => return None,
    };
    Some(Moment { local: DateTime::from_parts(date, time), offset, is_utc })
}

/// Nanoseconds. `1.5h`, `-1h30m`, `0`.
fn duration(text: &str) -> Option<i64> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut sum: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|ch: char| !ch.is_ascii_digit() && ch != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return None;
        }
        let end = after.find(|ch: char| ch.is_ascii_digit() || ch == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        rest = after;
        let unit: i128 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        // More digits than these are below a nanosecond.
        let fraction: String = fraction.chars().take(18).collect();
        let part = if fraction.is_empty() {
            0
        } else {
            fraction.parse::<i128>().ok()? * unit / 10_i128.pow(fraction.len() as u32)
        };
        sum = sum.checked_add(whole.checked_mul(unit)?)?.checked_add(part)?;
    }
    i64::try_from(if is_negative { -sum } else { sum }).ok()
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn format(form: &str, moment: &Moment) -> Result<Value, FuncError> {
    let at = moment.local;
    let month = MONTHS[at.month() as usize - 1];
    let day = DAYS[at.weekday().to_monday_zero_offset() as usize];
    let hour_of_12 = (at.hour() + 11) % 12 + 1;
    let mut out = String::new();
    let mut rest = form;
    while let Some(ch) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("''") {
            out.push('\'');
            rest = after;
            continue;
        }
        if ch == '\'' {
            let (quoted, after) = quoted(&rest[1..]).ok_or_else(|| argument(0, "a quote is never closed"))?;
            out.push_str(&quoted);
            rest = after;
            continue;
        }
        if !ch.is_ascii_alphabetic() {
            out.push(ch);
            rest = &rest[ch.len_utf8()..];
            continue;
        }
        let length = rest.len() - rest.trim_start_matches(ch).len();
        let (verb, after) = rest.split_at(length);
        rest = after;
        out.push_str(&match verb {
            "YYYY" => format!("{:04}", at.year()),
            "YY" => format!("{:02}", at.year() % 100),
            "M" => at.month().to_string(),
            "MM" => format!("{:02}", at.month()),
            "MMM" => month[..3].to_owned(),
            "MMMM" => month.to_owned(),
            "D" => at.day().to_string(),
            "DD" => format!("{:02}", at.day()),
            "EEE" => day[..3].to_owned(),
            "EEEE" => day.to_owned(),
            "h" => at.hour().to_string(),
            "hh" => format!("{:02}", at.hour()),
            "H" => hour_of_12.to_string(),
            "HH" => format!("{hour_of_12:02}"),
            "AA" => if at.hour() < 12 { "AM" } else { "PM" }.to_owned(),
            "aa" => if at.hour() < 12 { "am" } else { "pm" }.to_owned(),
            "m" => at.minute().to_string(),
            "mm" => format!("{:02}", at.minute()),
            "s" => at.second().to_string(),
            "ss" => format!("{:02}", at.second()),
            "Z" => moment.zone_or_z(),
            "ZZZZ" => moment.zone(""),
            "ZZZZZ" => moment.zone(":"),
            "ZZZ" => {
                if moment.offset == 0 {
                    "UTC".to_owned()
                } else {
                    moment.zone("")
                }
            }
            _ => return Err(argument(0, format!("{verb:?} is no part of a time; text stands between single quotes"))),
        });
    }
    Ok(Value::string(out))
}

/// Text up to the quote that closes it, with two quotes for one, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('\'')?;
        out.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                out.push('\'');
                rest = after;
            }
            None => return Some((out, rest)),
        }
    }
}
