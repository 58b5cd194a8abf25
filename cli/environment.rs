//! What Terraform's environment variables say: honoured, or refused or told by name. None is ignored in silence.
//!
//! Elsewhere: TF_VAR_NAME (`app::inputs`), TF_LOG (`commands`), TF_CLI_CONFIG_FILE, TF_PLUGIN_CACHE_DIR and TF_REATTACH_PROVIDERS (`app::plugins`),
//! TF_WORKSPACE and TF_DATA_DIR (`app::workspace`).
//! TF_INPUT has nothing to switch off, as no value is ever asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;

use anyhow::bail;
use clap::Command;

use crate::print;

/// Variables that change what Terraform does and cannot change anything here, and why. In alphabetical order.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("TF_CLOUD_HOSTNAME", "there is no HCP Terraform here"),
    ("TF_CLOUD_ORGANIZATION", "there is no HCP Terraform here"),
    ("TF_CLOUD_PROJECT", "there is no HCP Terraform here"),
    (
        "TF_DATA_DIR",
        "only the selected workspace and installed providers are read from there; this program keeps its own files in .lampwright",
    ),
    ("TF_IGNORE", "nothing is uploaded"),
    ("TF_LOG_CORE", "LAMPWRIGHT_LOG or TF_LOG says how much is told"),
    ("TF_LOG_PATH", "what is told goes to stderr"),
    ("TF_LOG_PROVIDER", "LAMPWRIGHT_LOG or TF_LOG says how much is told"),
    ("TF_STATE_PERSIST_INTERVAL", "every change is on the disk before the next step"),
];

/// Before the name of a command.
const OF_COMMAND: &str = "TF_CLI_ARGS_";

type Lookup<'l> = &'l dyn Fn(&str) -> Option<String>;

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// The command line with what TF_CLI_ARGS and TF_CLI_ARGS_COMMAND add, right behind the command, as Terraform does it: what
/// is written later is stronger.
pub(crate) fn arguments(args: Vec<OsString>, program: &Command, lookup: Lookup<'_>) -> anyhow::Result<Vec<OsString>> {
    let Some((at, command)) = command(&args, program) else { return Ok(args) };
    let mut added = Vec::new();
    for name in [format!("{OF_COMMAND}{}", suffix(&command)), "TF_CLI_ARGS".to_owned()] {
        let Some(text) = lookup(&name) else { continue };
        match words(&text) {
            Ok(words) => added.extend(words.into_iter().map(OsString::from)),
            // Not the text: it may have a secret.
            Err(fault) => bail!("{name} cannot be read: {fault}"),
        }
    }
    let mut args = args;
    args.splice(at..at, added);
    Ok(args)
}

/// The command, with that below it, and where its own arguments begin.
fn command(args: &[OsString], program: &Command) -> Option<(usize, String)> {
    let mut found: Option<(usize, String)> = None;
    let mut outer = Some(program);
    let mut takes_value = false;
    for (at, arg) in args.iter().enumerate().skip(1) {
        let text = arg.to_str().unwrap_or_default();
        if std::mem::take(&mut takes_value) {
            continue;
        }
        if text.starts_with('-') {
            takes_value = matches!(text, "-chdir" | "--chdir");
            continue;
        }
        let inner = outer.and_then(|outer| outer.find_subcommand(text));
        found = match found {
            None => Some((at + 1, text.to_owned())),
            Some((_, name)) if inner.is_some() => Some((at + 1, format!("{name} {text}"))),
            Some(_) => return found,
        };
        outer = inner;
    }
    found
}

/// The commands below one that take arguments of their own, as variables have them.
fn names(command: &Command, prefix: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for inner in command.get_subcommands() {
        let name = format!("{prefix}{}", suffix(inner.get_name()));
        all.extend(names(inner, &format!("{name}_")));
        if !inner.is_subcommand_required_set() {
            all.insert(name);
        }
    }
    all
}

fn suffix(command: &str) -> String {
    command.replace([' ', '-'], "_")
}

/// Why a text has no words, and which of its characters is to blame, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    OpenQuote(char, usize),
    Operator(char, usize),
    LastBackslash(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::OpenQuote(quote, at) => write!(f, "the quote {quote} at character {at} is not closed"),
            Fault::Operator(operator, at) => {
                write!(f, "the operator {operator} at character {at} is outside of quotes")
            }
            Fault::LastBackslash(at) => write!(f, "behind the backslash at character {at} there is nothing"),
        }
    }
}

/// Words as Terraform splits them (github.com/mattn/go-shellwords), but for what it cuts off without a word: from an operator
/// of a shell on.
fn words(text: &str) -> Result<Vec<String>, Fault> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    // With the place of each.
    let mut quote: Option<(char, usize)> = None;
    let mut backtick: Option<usize> = None;
    let mut chars = text.chars().zip(1..);
    while let Some((ch, at)) = chars.next() {
        match (ch, quote) {
            ('\\', None | Some(('"', _))) => {
                let (next, _) = chars.next().ok_or(Fault::LastBackslash(at))?;
                word.get_or_insert_default().push(next);
            }
            (' ' | '\t' | '\r' | '\n', None) if backtick.is_none() => words.extend(word.take()),
            ('"' | '\'', None) => {
                quote = Some((ch, at));
                // Quotes around nothing are a word, too.
                word.get_or_insert_default();
            }
            (ch, Some((open, _))) if ch == open => quote = None,
            (';' | '&' | '|' | '<' | '>' | '(' | ')', None) if backtick.is_none() => {
                return Err(Fault::Operator(ch, at));
            }
            (ch, _) => {
                if ch == '`' && quote.is_none() {
                    backtick = if backtick.is_some() { None } else { Some(at) };
                }
                word.get_or_insert_default().push(ch);
            }
        }
    }
    words.extend(word);
    match quote.or(backtick.map(|at| ('`', at))) {
        Some((quote, at)) => Err(Fault::OpenQuote(quote, at)),
        None => Ok(words),
    }
}

/// Tells what has no effect.
pub(crate) fn check(program: &Command) {
    let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, why) in WITHOUT_EFFECT.iter().filter(|(name, _)| variable(name).is_some()) {
        told.entry(why).or_default().push(name);
    }
    let commands = names(program, "");
    let given = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let mut given: Vec<String> = given.filter_map(|(name, _)| name.into_string().ok()).collect();
    given.retain(|name| name.strip_prefix(OF_COMMAND).is_some_and(|command| !commands.contains(command)));
    given.sort();
    told.extend(
        (!given.is_empty()).then(|| ("there is no such command here", given.iter().map(String::as_str).collect())),
    );
    for (why, names) in told {
        let verb = if names.len() == 1 { "has" } else { "have" };
        print::note(&format!("{} {verb} no effect: {why}", names.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As terraform 1.11.4 splits them, where it does not cut off.
    #[test]
    fn words_are_those_of_terraform() {
        for (text, expected) in [
            ("", &[][..]),
            ("  -a  -b\t-c\n", &["-a", "-b", "-c"]),
            (r#"-var "a=x y" -var 'b="1"'"#, &["-var", "a=x y", "-var", "b=\"1\""]),
            (r"-var a=x\ty -var b=\$HOME $HOME", &["-var", "a=xty", "-var", "b=$HOME", "$HOME"]),
            (r#"'a\b' "c\"d" e"f g"h '' "#, &["a\\b", "c\"d", "ef gh", ""]),
            ("`a b`", &["`a b`"]),
            (r"a\;b ';&' ", &["a;b", ";&"]),
        ] {
            assert_eq!(words(text).as_deref(), Ok(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]));
        }
        for text in ["\"a", "'a", "a;b", "a & b", "(a)", "a\\", "`a"] {
            assert!(words(text).is_err(), "{text}");
        }
    }

    fn program() -> Command {
        let state = Command::new("state").subcommand_required(true).subcommand(Command::new("replace-provider"));
        let module = Command::new("module").subcommand_required(true).subcommand(Command::new("package"));
        let bundle = Command::new("bundle").subcommand(Command::new("diff"));
        let plain = ["plan", "apply", "show"].map(Command::new);
        Command::new("lampwright").subcommands(plain).subcommands([state, module, bundle])
    }

    #[test]
    fn commands_with_arguments_have_a_variable() {
        let expected = ["apply", "bundle", "bundle_diff", "module_package", "plan", "show", "state_replace_provider"];
        assert_eq!(names(&program(), ""), expected.map(str::to_owned).into());
    }

    #[test]
    fn arguments_come_behind_the_command() {
        let lookup = |name: &str| match name {
            "TF_CLI_ARGS" => Some("-no-color".to_owned()),
            "TF_CLI_ARGS_plan" => Some("-var 'a=1 2'".to_owned()),
            "TF_CLI_ARGS_module_package" => Some("-x".to_owned()),
            "TF_CLI_ARGS_state_replace_provider" => Some("-y".to_owned()),
            "TF_CLI_ARGS_state" => Some("-never".to_owned()),
            "TF_CLI_ARGS_show" => Some("'".to_owned()),
            _ => None,
        };
        let read = |text: &str| {
            let args = text.split(' ').map(OsString::from).collect();
            arguments(args, &program(), &lookup).map(|args| args.join(" ".as_ref()).into_string().unwrap())
        };
        for (given, expected) in [
            ("lampwright plan -out=f", "lampwright plan -var a=1 2 -no-color -out=f"),
            ("lampwright -chdir=plan apply plan", "lampwright -chdir=plan apply -no-color plan"),
            ("lampwright -chdir plan apply", "lampwright -chdir plan apply -no-color"),
            ("lampwright module package d", "lampwright module package -x -no-color d"),
            ("lampwright state replace-provider a b", "lampwright state replace-provider -y -no-color a b"),
            ("lampwright plan state", "lampwright plan -var a=1 2 -no-color state"),
            ("lampwright --help", "lampwright --help"),
            ("lampwright", "lampwright"),
        ] {
            assert_eq!(read(given).unwrap(), expected);
        }
        assert!(read("lampwright show").unwrap_err().to_string().contains("TF_CLI_ARGS_show cannot be read"));
    }

    /// The text may have a secret: of it is said only where the fault is.
    #[test]
    fn what_cannot_be_split_is_not_repeated() {
        for (text, told) in [
            ("-var 'key=hunter2", "the quote ' at character 6 is not closed"),
            ("é \"hunter2", "the quote \" at character 3 is not closed"),
            ("`hunter2", "the quote ` at character 1 is not closed"),
            ("-var key=hunter2;x", "the operator ; at character 17 is outside of quotes"),
            ("(hunter2)", "the operator ( at character 1 is outside of quotes"),
            ("hunter2\\", "behind the backslash at character 8 there is nothing"),
        ] {
            let lookup = |name: &str| (name == "TF_CLI_ARGS").then(|| text.to_owned());
            let error =
                arguments(vec!["lampwright".into(), "plan".into()], &program(), &lookup).unwrap_err().to_string();
            assert_eq!(error, format!("TF_CLI_ARGS cannot be read: {told}"));
        }
    }

    #[test]
    fn variables_are_in_order() {
        assert!(WITHOUT_EFFECT.is_sorted());
    }
}
