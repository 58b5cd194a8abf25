//! A plan as text: first what matters, in the words of the application, then the detail.

mod differences;
mod fold;

use std::collections::BTreeMap;
use std::fmt::Write;

use compiler::addr::InstanceAddr;
use compiler::console;
use compiler::text::{Style, Text};
use indexmap::IndexMap;
pub use proto::preview::{DataChange, Fate};
use proto::preview::{File, Layer, Preview};
use similar::TextDiff;
use value::Value;

use self::differences::{differences, one_line};
pub use self::fold::Fold;
use super::{Action, Change, Deferral, Goal, Plan};

/// How much to show.
#[derive(Debug, Clone, Default)]
pub struct ShowOptions {
    /// The whole text of new files, not only their names.
    pub files: bool,
    /// Set where somebody reads it who has only so much time.
    pub fold: Option<Fold>,
}

const INFALLIBLE: &str = "a text takes everything";

pub fn show(plan: &Plan, stack: &str, options: &ShowOptions) -> Text {
    let mut out = Text::default();
    let changes: Vec<&Change> = plan.changes.values().filter(|change| change.action.is_change()).collect();
    let fold = |text: Text, most| match &options.fold {
        Some(fold) => fold.cut(text, most),
        None => text,
    };
    out.append(fold(drift(plan), fold::MANY));
    if let Some(machines) = machines(&changes) {
        writeln!(out, "{stack}: {machines}\n").expect(INFALLIBLE);
    }
    match options.fold.as_ref().filter(|_| changes.len() > fold::MANY) {
        Some(fold) => fold.summary(&changes, &mut out),
        None => {
            let width = changes.iter().map(|change| change.addr.to_string().len()).max().unwrap_or(0);
            for change in &changes {
                let mut shown = Text::default();
                show_change(change, plan.moves.get(&change.addr), width, options, &mut shown);
                out.append(fold(shown, fold::LONG));
            }
        }
    }
    let others = others(plan);
    let has_detail = !changes.is_empty() || !others.is_empty();
    out.append(fold(others, fold::MANY));
    if has_detail {
        out.push(Style::Plain, "\n");
    }
    let deferred = deferred(plan);
    if !deferred.is_empty() {
        out.append(fold(deferred, fold::MANY));
        out.push(Style::Plain, "\n");
    }
    show_data(plan, &mut out);
    let outputs = outputs(plan);
    if !outputs.is_empty() {
        out.append(fold(outputs, fold::MANY));
        out.push(Style::Plain, "\n");
    }
    if plan.is_empty() && plan.goal == Goal::Record {
        out.push(Style::Plain, "No changes. The state says what there is.\n");
    } else if plan.goal == Goal::Record {
        out.push(Style::Plain, "This plan only records that in the state: nothing that exists is changed.\n");
    } else if plan.is_empty() && plan.believes {
        out.push(
            Style::Plain,
            "No changes. What the state says matches the configuration; what there is was not looked at.\n",
        );
    } else if plan.is_empty() {
        out.push(Style::Plain, "No changes. What there is matches the configuration.\n");
    } else {
        let (add, change, destroy) = counts(plan);
        let imports = plan.changes.values().filter(|change| change.adopted.is_some()).count();
        let imports = if imports > 0 { format!("{imports} to import, ") } else { String::new() };
        write!(out, "Plan: {imports}{add} to add, {change} to change, {destroy} to destroy.").expect(INFALLIBLE);
        out.push(Style::Plain, "\n");
    }
    out
}

/// What is done besides, and what is no change of an object.
fn others(plan: &Plan) -> Text {
    let mut out = Text::default();
    let stays = |addr| plan.changes.get(addr).is_none_or(|change| !change.action.is_change());
    for (to, from) in plan.moves.iter().filter(|(to, _)| stays(*to)) {
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
        out.line(
            Style::Removed,
            &format!("  - {} (an older object, {}, is still to be removed)", deposed.addr, deposed.key),
        );
    }
    out
}

fn deferred(plan: &Plan) -> Text {
    let mut out = Text::default();
    if plan.deferred.is_empty() {
        return out;
    }
    out.push(Style::Plain, "Put off, until it is known how many there are:\n");
    let width = plan.deferred.keys().map(|resource| resource.to_string().len()).max().unwrap_or(0);
    for (resource, why) in &plan.deferred {
        let resource = resource.to_string();
        match why {
            Deferral::Unknown(what) => writeln!(out, "    {resource:width$}   its `{what}` is known after this apply"),
            Deferral::Needs(needed) => writeln!(out, "    {resource:width$}   needs {needed}"),
        }
        .expect(INFALLIBLE);
    }
    out
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
fn show_data(plan: &Plan, out: &mut Text) {
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
    out.push(Style::Plain, "\n");
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
fn drift(plan: &Plan) -> Text {
    let mut out = Text::default();
    let drifted: Vec<&Change> = plan.changes.values().filter(|change| change.has_drifted()).collect();
    if drifted.is_empty() {
        return out;
    }
    out.push(Style::Plain, "Changed outside of lampwright since the last apply:\n\n");
    for change in drifted {
        if change.before.is_null() {
            writeln!(out, "  {} is gone", change.addr).expect(INFALLIBLE);
            continue;
        }
        let hide = |value: &Value| crate::run::mark(value.clone(), &change.schema, &[]);
        writeln!(out, "  {}", change.addr).expect(INFALLIBLE);
        differences(&hide(&change.recorded), &hide(&change.before), "", &mut out);
    }
    out.push(Style::Plain, "\n");
    out
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
    options: &ShowOptions,
    out: &mut Text,
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
    out.line(style(change.action), line.trim_end());
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
            let before = crate::run::mark(change.before.clone(), &change.schema, &[]);
            differences(&before, &change.after, "", out);
        }
    }
}

fn style(action: Action) -> Style {
    match action {
        Action::NoOp | Action::Read | Action::Forget => Style::Plain,
        Action::Create => Style::Added,
        Action::Update => Style::Changed,
        Action::Replace { .. } | Action::Delete => Style::Removed,
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

fn show_preview(change: &Change, preview: &Preview, options: &ShowOptions, out: &mut Text) {
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
        out.diff("        ", &diff.unified_diff().context_radius(2).to_string());
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

fn outputs(plan: &Plan) -> Text {
    let mut out = Text::default();
    let changed: Vec<_> = plan.outputs.iter().filter(|(_, output)| output.before != output.after).collect();
    if changed.is_empty() {
        return out;
    }
    out.push(Style::Plain, "Outputs:\n");
    for (name, output) in changed {
        let text = |value: &Option<Value>| match value {
            _ if output.sensitive => "(sensitive value)".to_owned(),
            Some(value) => one_line(value),
            None => String::new(),
        };
        match (&output.before, &output.after) {
            (None, Some(_)) => out.line(Style::Added, &format!("  + {name} = {}", text(&output.after))),
            (Some(_), None) => out.line(Style::Removed, &format!("  - {name}")),
            _ => out.line(Style::Changed, &format!("  ~ {name} = {} → {}", text(&output.before), text(&output.after))),
        }
    }
    out
}
