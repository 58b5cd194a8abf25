//! docs/terraform.md says how every command and flag of Terraform is here: it names all that the help of the real terraform
//! names, and nothing that either program does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::sandbox::{Ran, Sandbox, repository};
use crate::terraform::program;

/// Commands that take the flags of others, as their help says in words.
const INHERITED: &[(&str, &[&str])] = &[("apply", &["plan"]), ("destroy", &["apply", "plan"])];

/// Flags that terraform takes and its help does not list; of some it speaks elsewhere.
const UNNAMED: &[(&str, &str)] = &[
    ("apply", "json"),
    ("destroy", "json"),
    ("init", "cloud"),
    ("metadata functions", "json"),
    ("plan", "json"),
    ("providers schema", "json"),
    ("refresh", "json"),
    ("test", "junit-xml"),
];

/// What our help does not list, and is taken all the same.
const HIDDEN: &[(&str, &str)] = &[
    ("apply", "input"),
    ("destroy", "input"),
    ("import", "input"),
    ("init", "input"),
    ("plan", "input"),
    ("refresh", "input"),
];

const GLOBAL: &str = "Global options";

#[derive(Debug)]
struct Row {
    theirs: String,
    /// Empty for nothing.
    ours: String,
    verdict: String,
}

/// The tables of the document, by their command.
fn tables() -> BTreeMap<String, Vec<Row>> {
    let text = std::fs::read_to_string(repository().join("docs/terraform.md")).expect("UTF-8");
    let mut tables: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let mut command = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            assert!(tables.insert(name.to_owned(), Vec::new()).is_none(), "{name} has two tables");
            name.clone_into(&mut command);
        }
        let Some(cells) = line.strip_prefix("| `").and_then(|rest| rest.strip_suffix(" |")) else { continue };
        let cells: Vec<&str> = cells.split(" | ").collect();
        let [theirs, ours, how] = cells.as_slice() else { panic!("{line}") };
        let verdict = how.strip_prefix("**").and_then(|rest| rest.split_once("**: ")).map(|(verdict, _)| verdict);
        let row = Row {
            theirs: theirs.trim_end_matches('`').to_owned(),
            ours: if *ours == "-" { String::new() } else { ours.trim_matches('`').to_owned() },
            verdict: verdict.unwrap_or_else(|| panic!("{line}")).to_owned(),
        };
        tables.get_mut(&command).unwrap_or_else(|| panic!("{line} is below no command")).push(row);
    }
    tables
}

/// `auto-approve` of `-auto-approve=false`.
fn flag(text: &str) -> Option<&str> {
    let name = text.trim_start_matches('-');
    (name.len() < text.len()).then(|| name.split(['=', ' ']).next().unwrap_or_default())
}

/// What the help of terraform names.
#[derive(Debug, Default)]
struct Help {
    flags: BTreeSet<String>,
    commands: Vec<String>,
}

fn help(sandbox: &Sandbox, command: &str) -> Help {
    let mut terraform = Command::new(program().expect("looked for"));
    terraform.args(command.split(' ').filter(|word| !word.is_empty())).arg("-help").current_dir(sandbox.path());
    let rc = sandbox.join("rc");
    let ran =
        Ran::of(terraform.env("TF_CLI_CONFIG_FILE", rc).env("CHECKPOINT_DISABLE", "1").output().expect("it runs"));
    let mut help = Help::default();
    let mut lists_commands = false;
    for line in ran.stdout.lines().chain(ran.stderr.lines()) {
        if !line.starts_with(' ') && line.ends_with(':') {
            lists_commands = line.ends_with("commands:");
        }
        let text = line.trim();
        let is_word = |word: &str| !word.is_empty() && word.chars().all(|ch| ch.is_ascii_lowercase() || ch == '-');
        if let Some(names) = text.split(" are legacy options").next().filter(|names| names.len() < text.len()) {
            let names = names.split(", ").map(|name| name.trim_start_matches("and ").trim_start_matches('-'));
            help.flags.extend(names.map(str::to_owned));
        } else if let Some(name) = flag(text.split(['\t', ' ']).next().unwrap_or_default()).filter(|name| is_word(name))
        {
            help.flags.insert(name.to_owned());
        } else if lists_commands
            && let Some((name, about)) = text.split_once("  ")
            && is_word(name)
            && about.trim_start().starts_with(char::is_uppercase)
        {
            help.commands.push(name.to_owned());
        }
    }
    help
}

#[test]
fn every_command_and_flag_of_terraform_has_a_row() {
    if program().is_none() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("rc", "");
    let tables = tables();
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut open = vec![String::new()];
    let mut missing = Vec::new();
    while let Some(command) = open.pop() {
        let help = help(&sandbox, &command);
        let name = if command.is_empty() { GLOBAL.to_owned() } else { command.clone() };
        let rows = tables.get(&name).map(Vec::as_slice).unwrap_or_default();
        if !rows.iter().any(|row| row.theirs == format!("terraform {command}").trim_end()) {
            missing.push(format!("terraform {command}"));
        }
        let has = |name: &str| rows.iter().any(|row| flag(&row.theirs) == Some(name));
        missing.extend(help.flags.iter().filter(|name| !has(name)).map(|name| format!("terraform {command} -{name}")));
        open.extend(help.commands.iter().map(|name| format!("{command} {name}").trim_start().to_owned()));
        known.insert(name, help.flags);
    }
    assert_eq!(missing, Vec::<String>::new(), "terraform has these, and docs/terraform.md does not");
    assert!(known.len() > 35 && known["plan"].len() > 15, "{known:?}");
    let mut invented = Vec::new();
    for (command, rows) in &tables {
        let inherited = INHERITED.iter().filter(|(heir, _)| heir == command).flat_map(|(_, from)| from.iter());
        let names: Vec<&str> = inherited.copied().chain([command.as_str()]).collect();
        for name in rows.iter().filter_map(|row| flag(&row.theirs)) {
            let is_known = names.iter().any(|command| known.get(*command).is_some_and(|flags| flags.contains(name)));
            if !is_known && !UNNAMED.contains(&(command, name)) {
                invented.push(format!("terraform {command} -{name}"));
            }
        }
        if !known.contains_key(command) {
            invented.push(format!("terraform {command}"));
        }
    }
    assert_eq!(invented, Vec::<String>::new(), "docs/terraform.md has these, and terraform does not");
}

/// The help of a command, if there is such a one. Whatever stands before `-help` has to be a flag that it takes.
fn ours(sandbox: &Sandbox, command: &str, more: &[&str]) -> Option<String> {
    let words = command.split(' ').filter(|word| !word.is_empty() && *word != GLOBAL);
    let args: Vec<&str> = words.chain(more.iter().copied()).chain(["--help"]).collect();
    let ran = sandbox.lampwright(".", &args);
    (ran.code == 0).then_some(ran.stdout)
}

/// Whether a help lists a word: a flag by its name, an argument in the usage.
fn lists(help: &str, word: &str) -> bool {
    match flag(word) {
        Some(name) => {
            help.split(|ch: char| !ch.is_ascii_lowercase() && ch != '-').any(|one| one == format!("--{name}"))
        }
        None => {
            let name = word.trim_matches(|ch: char| !ch.is_alphanumeric());
            let usage = help.lines().find(|line| line.starts_with("Usage:")).unwrap_or_default();
            usage.split(|ch: char| !ch.is_alphanumeric()).any(|one| one == name)
        }
    }
}

#[test]
fn what_the_tables_say_of_our_flags_is_so() {
    let sandbox = Sandbox::new();
    let mut wrong = Vec::new();
    for (command, rows) in tables() {
        let name = if command == GLOBAL { "" } else { &command };
        for Row { theirs, ours: said, verdict } in rows {
            let mut wrong = |why: &str| wrong.push(format!("{command}: {theirs} | {said} | {verdict}: {why}"));
            if !["same", "better", "other", "not"].contains(&verdict.as_str()) {
                wrong("no verdict");
            }
            if (verdict == "not") != said.is_empty() && verdict != "other" {
                wrong("what is missing is not listed, and what is listed is not missing");
            }
            if let Some(line) = said.strip_prefix("lampwright") {
                let words: Vec<&str> = line.split_whitespace().take_while(|word| flag(word).is_none()).collect();
                match ours(&sandbox, &words.join(" "), &[]) {
                    None => wrong("there is no such command"),
                    Some(help) => {
                        let flags = line.split_whitespace().filter(|word| flag(word).is_some());
                        flags
                            .filter(|word| !lists(&help, word))
                            .for_each(|word| wrong(&format!("{word} is not listed")));
                    }
                }
            } else if !said.is_empty() {
                let is_listed = ours(&sandbox, name, &[]).is_some_and(|help| lists(&help, &said));
                if !is_listed {
                    wrong("our help does not list it");
                }
            } else if let Some(flag) = flag(&theirs) {
                let is_taken = ours(&sandbox, name, &[theirs.as_str()]).is_some();
                if is_taken != HIDDEN.contains(&(name, flag)) {
                    wrong(if is_taken { "it is taken" } else { "it is not taken" });
                }
            } else if theirs.starts_with("terraform") && ours(&sandbox, name, &[]).is_some() {
                wrong("there is such a command");
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
