//! Flags in all the forms that Terraform takes (it reads them by Go's package `flag`), as clap wants them.
//!
//! **Invariant:** no command reads a value of true or false, or a time, by itself.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("-{flag} is true or false, and {value:?} is neither")]
pub(crate) struct NoBoolean {
    flag: String,
    value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no time; write it like 30s, 1.5s or 1h30m")]
pub(crate) struct NoTime;

/// Two dashes for one, and flags that are true or false as the command declares them. What comes behind `--` is somebody
/// else's.
pub(crate) fn canonical(args: Vec<OsString>, program: &Command) -> Result<Vec<OsString>, NoBoolean> {
    let ours = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let mut command = program;
    // Beside a switch that is on its name: what comes later is stronger.
    let mut found: Vec<(OsString, Option<String>)> = Vec::new();
    let mut is_value = false;
    for (idx, arg) in args.into_iter().enumerate() {
        if idx == 0 || idx >= ours || std::mem::take(&mut is_value) {
            found.push((arg, None));
            continue;
        }
        let arg = long(arg);
        let Some(text) = arg.to_str().filter(|text| text.starts_with('-')) else {
            command = arg.to_str().and_then(|name| command.find_subcommand(name)).unwrap_or(command);
            found.push((arg, None));
            continue;
        };
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let Some(flag) = declared(name, command).or_else(|| declared(name, program)) else {
            found.push((arg, None));
            continue;
        };
        let name = flag.get_long().unwrap_or_default().to_owned();
        let read = |value: Option<&str>| match value.map(|value| (value, boolean(value))) {
            None => Ok(true),
            Some((_, Some(is_on))) => Ok(is_on),
            Some((value, None)) => Err(NoBoolean { flag: name.clone(), value: value.to_owned() }),
        };
        match flag.get_action() {
            ArgAction::SetTrue => {
                let is_on = read(value)?;
                found.retain(|(_, switch)| switch.as_ref() != Some(&name));
                if is_on {
                    found.push((format!("--{name}").into(), Some(name)));
                }
            }
            ArgAction::Set if flag.get_value_parser().type_id() == clap::value_parser!(bool).type_id() => {
                found.push((format!("--{name}={}", read(value)?).into(), None));
            }
            action => {
                is_value = value.is_none() && action.takes_values() && !flag.is_require_equals_set();
                found.push((arg, None));
            }
        }
    }
    Ok(found.into_iter().map(|(arg, _)| arg).collect())
}

/// `-auto-approve` is `--auto-approve`; single letters and everything that is no flag stay.
fn long(arg: OsString) -> OsString {
    let Some(text) = arg.to_str() else { return arg };
    let is_single_dash = text.starts_with('-') && !text.starts_with("--");
    let name = text.trim_start_matches('-').split('=').next().unwrap_or_default();
    let is_word = name.len() > 1 && name.chars().all(|ch| ch.is_ascii_lowercase() || ch == '-');
    if is_single_dash && is_word { format!("-{text}").into() } else { arg }
}

/// The flag that is written `--name` or `-n`.
fn declared<'c>(written: &str, command: &'c Command) -> Option<&'c Arg> {
    command.get_arguments().find(|arg| {
        let is_long = written.strip_prefix("--").is_some_and(|name| arg.get_long() == Some(name));
        is_long || arg.get_short().is_some_and(|letter| written == format!("-{letter}"))
    })
}

pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Numbers with their units, as in 1h30m or 1.5s; `0` needs none. What is below zero is no time to wait.
pub(crate) fn time(text: &str) -> Result<Duration, NoTime> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut nanoseconds = 0;
    let mut rest = if text == "0" { "0s" } else { text };
    if rest.is_empty() {
        return Err(NoTime);
    }
    while !rest.is_empty() {
        let is_digit = |ch: char| ch.is_ascii_digit() || ch == '.';
        let unit_at = rest.find(|ch| !is_digit(ch)).ok_or(NoTime)?;
        let (number, behind) = rest.split_at(unit_at);
        let (unit, next) = behind.split_at(behind.find(is_digit).unwrap_or(behind.len()));
        let unit: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(NoTime),
        };
        nanoseconds += amount(number, unit).ok_or(NoTime)?;
        rest = next;
    }
    // As far as Go counts.
    let nanoseconds = i64::try_from(nanoseconds).map_err(|_| NoTime)?;
    Ok(Duration::from_nanos(if is_negative { 0 } else { nanoseconds.unsigned_abs() }))
}

/// A decimal number of units; digits that no unit is small enough for are left out.
fn amount(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok().map(u128::from) };
    if !fraction.chars().all(|ch| ch.is_ascii_digit()) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(15)];
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(digits(whole)? * unit + digits(fraction)? * unit / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
        let choice = Arg::new("lock").long("lock").action(ArgAction::Set).value_parser(clap::value_parser!(bool));
        let of_var = Arg::new("var").long("var").action(ArgAction::Append);
        let lines = Arg::new("lines").long("lines").short('n');
        let plan = Command::new("plan").args([switch("destroy"), choice, of_var, lines]);
        let program = Command::new("lampwright").arg(switch("no-color").global(true)).subcommand(plan);
        let args = text.split(' ').map(OsString::from).collect();
        match canonical(args, &program) {
            Ok(args) => args.join(" ".as_ref()).into_string().expect("UTF-8"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn flags_are_as_the_command_declares_them() {
        for (given, expected) in [
            ("lampwright plan -destroy=T -lock", "lampwright plan --destroy --lock=true"),
            ("lampwright plan -destroy -destroy=0", "lampwright plan"),
            ("lampwright plan -destroy=false --destroy=1", "lampwright plan --destroy"),
            ("lampwright plan -lock=F -lock=True", "lampwright plan --lock=false --lock=true"),
            ("lampwright -no-color=f plan", "lampwright plan"),
            ("lampwright plan -no-color=TRUE", "lampwright plan --no-color"),
            ("lampwright plan -var -destroy=false", "lampwright plan --var -destroy=false"),
            ("lampwright plan -n -lock -lock", "lampwright plan -n -lock --lock=true"),
            ("lampwright plan -surprise=1 -- -lock", "lampwright plan --surprise=1 -- -lock"),
            ("lampwright plan -destroy=yes", "-destroy is true or false, and \"yes\" is neither"),
            ("lampwright plan -lock=", "-lock is true or false, and \"\" is neither"),
            ("lampwright ssh -state=x web-1 -- id -un -state", "lampwright ssh --state=x web-1 -- id -un -state"),
        ] {
            assert_eq!(read(given), expected, "{given}");
        }
    }

    /// As Go's time.ParseDuration reads them.
    #[test]
    fn times_are_those_of_go() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("0s", 0),
            ("+5s", 5_000_000_000),
            ("-5s", 0),
            ("1.5s", 1_500_000_000),
            (".5m", 30_000_000_000),
            ("1.h", 3_600_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1m1.25s3ms", 61_253_000_000),
            ("1us2µs3μs4ns", 6_004),
            ("0.1234567891234567891s", 123_456_789),
        ] {
            assert_eq!(time(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
        for text in ["", "-", "1", "s", ".s", "1.2.3s", "1d", "1 s", "9999999h", "99999999999999999999999s", "1s "] {
            assert_eq!(time(text), Err(NoTime), "{text}");
        }
    }
}
