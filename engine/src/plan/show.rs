//! A plan as text: first what matters, in the words of the application, then the detail.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use compiler::addr::InstanceAddr;
use compiler::console;
use indexmap::IndexMap;
pub use proto::preview::{DataChange, Fate};
use proto::preview::{File, Layer, Preview};
use similar::TextDiff;
use value::{Step, Value};

use super::{Action, Change, Deferral, Goal, Plan};

/// How much to show.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShowOptions {
    /// The whole text of new files, not only their names.
    pub files: bool,
}

const INFALLIBLE: &str = "a String takes everything";

pub fn show(plan: &Plan, stack: &str, options: ShowOptions) -> String {
    let mut out = String::new();
    let changes: Vec<&Change> = plan.changes.values().filter(|change| change.action.is_change()).collect();
    drift(plan, &mut out);
    if let Some(machines) = machines(&changes) {
        writeln!(out, "{stack}: {machines}\n").expect(INFALLIBLE);
    }
    let width = changes.iter().map(|change| change.addr.to_string().len()).max().unwrap_or(0);
    for change in &changes {
        show_change(change, plan.moves.get(&change.addr), width, options, &mut out);
    }
    let stays = |addr| plan.changes.get(addr).is_none_or(|change| !change.action.is_change());
    let moved: Vec<_> = plan.moves.iter().filter(|(to, _)| stays(*to)).collect();
    for (to, from) in &moved {
        writeln!(out, "    {from} has moved to {to}").expect(INFALLIBLE);
    }
    for change in plan.changes.values() {
        if let Some(adopted) = &change.adopted {
            writeln!(out, "    {} is imported (id {})", change.addr, adopted.id).expect(INFALLIBLE);
        }
    }
    for (addr, key) in &plan.forgotten {
        writeln!(out, "  . {addr} (an older object, {key}, is forgotten: a `removed` block says so)")
            .expect(INFALLIBLE);
    }
    for deposed in &plan.deposed {
        writeln!(out, "  - {} (an older object, {}, is still to be removed)", deposed.addr, deposed.key)
            .expect(INFALLIBLE);
    }
    if !changes.is_empty() || !moved.is_empty() {
        out.push('\n');
    }
    show_deferred(plan, &mut out);
    show_data(plan, &mut out);
    show_outputs(plan, &mut out);
    if plan.is_empty() && plan.goal == Goal::Record {
        out.push_str("No changes. The state says what there is.\n");
    } else if plan.goal == Goal::Record {
        out.push_str("This plan only records that in the state: nothing that exists is changed.\n");
    } else if plan.is_empty() {
        out.push_str("No changes. What there is matches the configuration.\n");
    } else {
        let (add, change, destroy) = counts(plan);
        let imports = plan.changes.values().filter(|change| change.adopted.is_some()).count();
        let imports = if imports > 0 { format!("{imports} to import, ") } else { String::new() };
        write!(out, "Plan: {imports}{add} to add, {change} to change, {destroy} to destroy.").expect(INFALLIBLE);
        out.push('\n');
    }
    out
}

fn show_deferred(plan: &Plan, out: &mut String) {
    if plan.deferred.is_empty() {
        return;
    }
    out.push_str("Put off, until it is known how many there are:\n");
    let width = plan.deferred.keys().map(|resource| resource.to_string().len()).max().unwrap_or(0);
    for (resource, why) in &plan.deferred {
        let resource = resource.to_string();
        match why {
            Deferral::Unknown(what) => writeln!(out, "    {resource:width$}   its `{what}` is known after this apply"),
            Deferral::Needs(needed) => writeln!(out, "    {resource:width$}   needs {needed}"),
        }
        .expect(INFALLIBLE);
    }
    out.push('\n');
}

/// What becomes of data, by the address of its resource.
pub fn data(plan: &Plan) -> Vec<(String, DataChange)> {
    let of = |addr: String, private: &[u8]| {
        let data = Preview::decode(private).map(|preview| preview.data).unwrap_or_default();
        data.into_iter().map(move |change| (addr.clone(), change))
    };
    let changes = plan.changes.values().filter(|change| change.action.is_change());
    let changes = changes.flat_map(|change| of(change.addr.to_string(), &change.private));
    let deposed = plan.deposed.iter().flat_map(|deposed| of(deposed.addr.to_string(), &deposed.private));
    changes.chain(deposed).collect()
}

/// Losses first, each on a line that cannot be overlooked.
fn show_data(plan: &Plan, out: &mut String) {
    let (losses, others): (Vec<_>, Vec<_>) = data(plan).into_iter().partition(|(_, change)| change.fate.is_loss());
    if losses.is_empty() && others.is_empty() {
        return;
    }
    for (sign, changes) in [("!", losses), ("=", others)] {
        for (address, change) in changes {
            writeln!(out, "{sign} {address}: {}.", change.text).expect(INFALLIBLE);
            if !change.way_back.is_empty() {
                writeln!(out, "      {}", change.way_back).expect(INFALLIBLE);
            }
        }
    }
    out.push('\n');
}

/// How many objects are added, changed and destroyed.
pub fn counts(plan: &Plan) -> (usize, usize, usize) {
    let count = |wanted: fn(Action) -> bool| plan.changes.values().filter(|change| wanted(change.action)).count();
    (
        count(|action| matches!(action, Action::Create | Action::Replace { .. })),
        count(|action| action == Action::Update),
        count(|action| matches!(action, Action::Delete | Action::Replace { .. })) + plan.deposed.len(),
    )
}

/// What the provider found to be different from what the state says.
fn drift(plan: &Plan, out: &mut String) {
    let drifted: Vec<&Change> = plan.changes.values().filter(|change| change.has_drifted()).collect();
    if drifted.is_empty() {
        return;
    }
    out.push_str("Changed outside of lampwright since the last apply:\n\n");
    for change in drifted {
        if change.before.is_null() {
            writeln!(out, "  {} is gone", change.addr).expect(INFALLIBLE);
            continue;
        }
        let mut lines = Vec::new();
        let hide = |value: &Value| crate::run::mark(value.clone(), &change.schema, &[]);
        differences(&hide(&change.recorded), &hide(&change.before), "", &mut lines);
        writeln!(out, "  {}", change.addr).expect(INFALLIBLE);
        lines.iter().for_each(|line| writeln!(out, "      {line}").expect(INFALLIBLE));
    }
    out.push('\n');
}

/// "6 machines to add on local (2 web, 3 db, 1 lb)".
fn machines(changes: &[&Change]) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut added: BTreeMap<String, Vec<(String, usize)>> = BTreeMap::new();
    let mut removed: BTreeMap<String, Vec<(String, usize)>> = BTreeMap::new();
    for change in changes {
        for Layer { name, cloud, before, after } in change.preview().into_iter().flat_map(|preview| preview.layers) {
            let coming = after.iter().filter(|machine| !before.contains(machine)).count();
            let going = before.iter().filter(|machine| !after.contains(machine)).count();
            if coming > 0 {
                added.entry(cloud.clone()).or_default().push((name.clone(), coming));
            }
            if going > 0 {
                removed.entry(cloud).or_default().push((name, going));
            }
        }
    }
    for (what, clouds) in [("add", added), ("remove", removed)] {
        for (cloud, layers) in clouds {
            let total: usize = layers.iter().map(|(_, count)| count).sum();
            let detail: Vec<String> = layers.iter().map(|(name, count)| format!("{count} {name}")).collect();
            let plural = if total == 1 { "" } else { "s" };
            let on = if what == "add" { "on" } else { "from" };
            parts.push(format!("{total} machine{plural} to {what} {on} {cloud} ({})", detail.join(", ")));
        }
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn show_change(
    change: &Change,
    moved_from: Option<&InstanceAddr>,
    width: usize,
    options: ShowOptions,
    out: &mut String,
) {
    let preview = change.preview();
    let summary = preview.as_ref().map(|preview| preview.summary.clone());
    let headline = match (change.action, &summary) {
        (Action::Create | Action::Replace { .. }, Some(summary)) => summary.clone(),
        (Action::Update, _) => changed_settings(change).join(", "),
        _ => String::new(),
    };
    let symbol = change.action.symbol();
    let line = format!("  {symbol} {:width$}   {headline}", change.addr.to_string());
    writeln!(out, "{}", line.trim_end()).expect(INFALLIBLE);
    if let Some(reason) = &change.reason {
        writeln!(out, "      because {reason}").expect(INFALLIBLE);
    }
    if let Some(from) = moved_from {
        writeln!(out, "      moved from {from}").expect(INFALLIBLE);
    }
    match &preview {
        Some(_) | None if matches!(change.action, Action::Delete | Action::Forget) => {}
        Some(preview) => show_preview(change, preview, options, out),
        None => {
            let mut lines = Vec::new();
            let before = crate::run::mark(change.before.clone(), &change.schema, &[]);
            differences(&before, &change.after, "", &mut lines);
            lines.iter().for_each(|line| writeln!(out, "      {line}").expect(INFALLIBLE));
        }
    }
}

/// `nodes 2 → 4`: attributes that the user sets, with simple values.
fn changed_settings(change: &Change) -> Vec<String> {
    let settable =
        change.schema.block.attributes.iter().filter(|(_, attribute)| attribute.optional || attribute.required);
    let mut found = Vec::new();
    for (name, attribute) in settable {
        let (Some(before), Some(after)) = (change.before.get(name), change.after.get(name)) else { continue };
        let plain_after = after.clone().unmark_deep().0;
        if *before == plain_after {
            continue;
        }
        found.push(match (attribute.sensitive || after.has_marks(), is_simple(before) && is_simple(&plain_after)) {
            (true, _) => format!("{name} (sensitive)"),
            (false, true) => format!("{name} {} → {}", plain(before), plain(&plain_after)),
            (false, false) => name.to_string(),
        });
    }
    found
}

fn is_simple(value: &Value) -> bool {
    value.as_items().is_none() && value.as_entries().is_none()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Null(_) => "not set".to_owned(),
        other => console::show(other),
    }
}

fn show_preview(change: &Change, preview: &Preview, options: ShowOptions, out: &mut String) {
    for note in &preview.notes {
        writeln!(out, "      {note}").expect(INFALLIBLE);
    }
    let is_new = matches!(change.action, Action::Create | Action::Replace { .. });
    // Of what several machines have alike once for all of them, where the first one has it.
    let mut alike: IndexMap<&File, Vec<&str>> = IndexMap::new();
    for machine in &preview.machines {
        let name = &machine.name;
        let files: Vec<&File> = machine.files.iter().filter(|file| file.before != file.after).collect();
        let is_lost = files.iter().all(|file| file.after.is_none());
        let is_whole = is_lost || files.iter().all(|file| file.before.is_none());
        if is_whole && !options.files {
            let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
            let verb = if is_lost { "loses" } else { "gets" };
            if !files.is_empty() && (is_new || change.action == Action::Update) {
                writeln!(out, "      {name} {verb} {}", abbreviated(&names)).expect(INFALLIBLE);
            }
            continue;
        }
        for file in files {
            alike.entry(file).or_default().push(name);
        }
    }
    for (file, machines) in &alike {
        let many = if machines.len() > 1 { format!("  ({} machines)", machines.len()) } else { String::new() };
        writeln!(out, "\n      {}  {}{many}", abbreviated(machines), file.path).expect(INFALLIBLE);
        if let (Some(before), Some(after)) = (&file.before, &file.after)
            && before.mode != after.mode
        {
            writeln!(out, "        mode {:04o} → {:04o}", before.mode, after.mode).expect(INFALLIBLE);
        }
        let (before, after) = (preview.shown(file.before.as_ref()), preview.shown(file.after.as_ref()));
        let diff = TextDiff::from_lines(&*before, &*after);
        for line in diff.unified_diff().context_radius(2).to_string().lines() {
            writeln!(out, "        {line}").expect(INFALLIBLE);
        }
    }
}

/// All names of a few, or how many there are beside the first of many.
fn abbreviated(names: &[&str]) -> String {
    const SHOWN: usize = 6;
    match names {
        few if few.len() <= SHOWN => few.join(", "),
        many => format!("{} and {} more", many[..SHOWN].join(", "), many.len() - SHOWN),
    }
}

/// One line for every leaf that differs: `tags["a"] = 1 → 2`.
fn differences(before: &Value, after: &Value, at: &str, lines: &mut Vec<String>) {
    if before == after {
        return;
    }
    let step = |step: &Step| match step {
        Step::Attribute(name) if at.is_empty() => name.to_string(),
        Step::Attribute(name) => format!("{at}.{name}"),
        Step::Key(key) => format!("{at}[{key:?}]"),
        Step::Index(idx) => format!("{at}[{idx}]"),
    };
    let hidden = after.marks().is_any() || before.marks().is_any();
    match (before.unmarked(), after.unmarked()) {
        _ if hidden => lines.push(format!("{at} = (sensitive value)")),
        (Value::Null(_), Value::Object(entries)) if at.is_empty() => {
            for (name, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
                differences(&Value::Null(value.ty()), value, name, lines);
            }
        }
        (Value::Object(old), Value::Object(new)) | (Value::Map(_, old), Value::Map(_, new)) => {
            let is_map = matches!(after.unmarked(), Value::Map(..));
            let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let path = if is_map { step(&Step::Key(key.clone())) } else { step(&Step::Attribute(key.clone())) };
                let null = Value::Null(value::Ty::Dynamic);
                differences(old.get(key).unwrap_or(&null), new.get(key).unwrap_or(&null), &path, lines);
            }
        }
        (Value::List(_, old), Value::List(_, new)) | (Value::Tuple(old), Value::Tuple(new))
            if old.len() == new.len() =>
        {
            for (idx, (old, new)) in old.iter().zip(new.iter()).enumerate() {
                differences(old, new, &step(&Step::Index(idx)), lines);
            }
        }
        (Value::Null(_), new) => lines.push(format!("{at} = {}", console::show(new).replace('\n', "\n      "))),
        (old, new) => lines.push(format!("{at} = {} → {}", one_line(old), one_line(new))),
    }
}

fn one_line(value: &Value) -> String {
    if value.is_null() {
        return "null".to_owned();
    }
    console::show(value).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn show_outputs(plan: &Plan, out: &mut String) {
    let changed: Vec<_> = plan.outputs.iter().filter(|(_, output)| output.before != output.after).collect();
    if changed.is_empty() {
        return;
    }
    out.push_str("Outputs:\n");
    for (name, output) in changed {
        let text = |value: &Option<Value>| match value {
            _ if output.sensitive => "(sensitive value)".to_owned(),
            Some(value) => one_line(value),
            None => String::new(),
        };
        let line = match (&output.before, &output.after) {
            (None, Some(_)) => format!("  + {name} = {}", text(&output.after)),
            (Some(_), None) => format!("  - {name}"),
            _ => format!("  ~ {name} = {} → {}", text(&output.before), text(&output.after)),
        };
        writeln!(out, "{line}").expect(INFALLIBLE);
    }
    out.push('\n');
}
