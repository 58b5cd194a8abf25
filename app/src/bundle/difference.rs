//! What differs between two bundles.

use std::collections::{BTreeMap, BTreeSet};

use compiler::text::{Style, Text};
use similar::TextDiff;

use super::artefact::{Bundle, FileEntry, MachineEntry};

/// Machines that came and went, then every change once, under the names of the machines that have it.
pub fn differences(old: &Bundle, new: &Bundle) -> Text {
    let (before, after) = (&old.manifest.machines, &new.manifest.machines);
    let mut out = Text::default();
    for (one, other, style, sign) in [(before, after, Style::Removed, "-"), (after, before, Style::Added, "+")] {
        for (name, machine) in one.iter().filter(|(name, _)| !other.contains_key(*name)) {
            out.line(style, &format!("{sign} {name}  {}, {}", machine.resource, files(machine)));
        }
    }
    // By what is to be shown, in the order of machines and paths.
    let mut shared: Vec<(Text, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<Text, usize> = BTreeMap::new();
    for (name, before) in before {
        let Some(after) = after.get(name) else { continue };
        for shown in changes(name, (before, old), (after, new)) {
            let place = *places.entry(shown.clone()).or_insert_with(|| {
                shared.push((shown, Vec::new()));
                shared.len() - 1
            });
            shared[place].1.push(name);
        }
    }
    for (shown, machines) in shared {
        if !out.is_empty() {
            out.line(Style::Plain, "");
        }
        out.line(Style::Plain, &format!("{}:", machines.join(", ")));
        out.append(shown);
    }
    out
}

/// The changes of a machine, file by file.
fn changes(name: &str, before: (&MachineEntry, &Bundle), after: (&MachineEntry, &Bundle)) -> Vec<Text> {
    let (old, new) = (before.0, after.0);
    let mut changes = Vec::new();
    let machine = unified("(machine)", &about(old), &about(new));
    if !machine.is_empty() {
        changes.push(machine);
    }
    let paths: BTreeSet<&String> = old.files.keys().chain(new.files.keys()).collect();
    for path in paths {
        let (one, other) = (old.files.get(path), new.files.get(path));
        if one == other {
            continue;
        }
        let content = |bundle: &Bundle| bundle.contents.get(&format!("{name}/{path}")).cloned();
        let mut shown = Text::default();
        if one.map(rights) != other.map(rights) {
            let rights = |entry: Option<&FileEntry>| entry.map_or_else(|| "none".to_owned(), rights);
            shown.line(Style::Plain, &format!("{path}: {} → {}", rights(one), rights(other)));
        }
        match (content(before.1), content(after.1)) {
            (None, None) => {}
            (one, other) => {
                let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
                match (String::from_utf8(one), String::from_utf8(other)) {
                    (Ok(one), Ok(other)) => shown.append(unified(path, &one, &other)),
                    _ => shown.line(Style::Plain, &format!("{path}: not text, and not the same bytes")),
                }
            }
        }
        changes.push(shown);
    }
    changes
}

fn files(machine: &MachineEntry) -> String {
    let count = machine.files.len();
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}

fn rights(entry: &FileEntry) -> String {
    let secret = if entry.digest.is_none() { " secret" } else { "" };
    format!("mode {} owner {}{secret}", entry.mode, entry.owner)
}

/// All that is said of a machine besides its files.
fn about(machine: &MachineEntry) -> String {
    let bare = MachineEntry { files: BTreeMap::new(), ..machine.clone() };
    serde_json::to_string_pretty(&bare).unwrap_or_default()
}

fn unified(name: &str, old: &str, new: &str) -> Text {
    let mut out = Text::default();
    if old != new {
        let diff = TextDiff::from_lines(old, new);
        out.diff("", &diff.unified_diff().context_radius(3).header(name, name).to_string());
    }
    out
}
