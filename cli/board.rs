//! What goes on while a stack is read or changed: what moves, what that does, and what the rest waits for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use compiler::addr::{InstanceAddr, ResourceAddr};
use compiler::text::{Style, Text};
use engine::event::Event;
use engine::plan::{Action, Goal, Plan};

use crate::paint::width;
use crate::terminal::Size;
use crate::words::doing;

/// What takes no longer than this is not worth a bar.
const SHORT: Duration = Duration::from_millis(500);

/// What is shown of it while it lasts.
#[derive(Debug)]
pub(crate) enum GoesOn {
    Reading(Survey),
    Changing(Board),
}

impl GoesOn {
    pub(crate) fn event(&mut self, event: &Event, now: Instant) {
        match self {
            GoesOn::Reading(survey) => survey.event(event),
            GoesOn::Changing(board) => board.event(event, now),
        }
    }

    pub(crate) fn text(&self, size: Size, now: Instant) -> Text {
        match self {
            GoesOn::Reading(survey) => survey.text(size, now),
            GoesOn::Changing(board) => board.text(size, now),
        }
    }
}

/// Of a change that is made.
#[derive(Debug)]
pub(crate) struct Board {
    begun: Instant,
    rows: BTreeMap<InstanceAddr, Row>,
    /// By the address as events have it that come from providers.
    names: HashMap<String, InstanceAddr>,
    /// In the order in which they began.
    moving: Vec<InstanceAddr>,
    /// How many objects of a resource are not yet done.
    open: HashMap<ResourceAddr, usize>,
    done: usize,
    total: usize,
}

#[derive(Debug)]
struct Row {
    /// A replacement is two.
    steps: usize,
    waits_for: BTreeSet<ResourceAddr>,
    now: Option<Moving>,
}

#[derive(Debug)]
struct Moving {
    action: Action,
    since: Instant,
    message: String,
}

impl Board {
    /// None where nothing will move.
    pub(crate) fn new(plan: &Plan, now: Instant) -> Option<Board> {
        if plan.goal == Goal::Record {
            return None;
        }
        // What goes waits for what refers to it.
        let mut users: HashMap<&ResourceAddr, BTreeSet<ResourceAddr>> = HashMap::new();
        for change in plan.changes.values().filter(|change| change.action.is_change()) {
            let own = change.addr.resource();
            for used in change.dependencies.iter().filter(|used| **used != own) {
                users.entry(used).or_default().insert(own.clone());
            }
        }
        let mut rows = BTreeMap::new();
        for change in plan.changes.values() {
            let steps = match change.action {
                Action::NoOp | Action::Forget => continue,
                Action::Read | Action::Create | Action::Update | Action::Delete => 1,
                Action::Replace { .. } => 2,
            };
            let own = change.addr.resource();
            let mut waits_for = BTreeSet::new();
            if change.action != Action::Delete {
                waits_for.extend(change.dependencies.iter().filter(|used| **used != own).cloned());
            }
            if matches!(change.action, Action::Delete | Action::Replace { create_first: false }) {
                let goes = |user: &&ResourceAddr| change.action == Action::Delete || !waits_for.contains(*user);
                let users: Vec<_> = users.get(&own).into_iter().flatten().filter(goes).cloned().collect();
                waits_for.extend(users);
            }
            rows.insert(change.addr.clone(), Row { steps, waits_for, now: None });
        }
        for deposed in &plan.deposed {
            let none = || Row { steps: 0, waits_for: BTreeSet::new(), now: None };
            rows.entry(deposed.addr.clone()).or_insert_with(none).steps += 1;
        }
        let mut open = HashMap::new();
        rows.keys().for_each(|addr| *open.entry(addr.resource()).or_default() += 1);
        let total = rows.values().map(|row| row.steps).sum();
        let names = rows.keys().map(|addr| (addr.to_string(), addr.clone())).collect();
        (total > 0).then(|| Board { begun: now, rows, names, moving: Vec::new(), open, done: 0, total })
    }

    pub(crate) fn event(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Started { addr, action } => {
                let Some(row) = self.rows.get_mut(addr) else { return };
                row.now = Some(Moving { action: *action, since: now, message: String::new() });
                self.moving.retain(|moving| moving != addr);
                self.moving.push(addr.clone());
            }
            Event::Progress { address, message } => {
                let row = self.names.get(address).and_then(|addr| self.rows.get_mut(addr));
                if let Some(moving) = row.and_then(|row| row.now.as_mut()) {
                    moving.message.clone_from(message);
                }
            }
            Event::Finished { addr, .. } => self.over(addr, false),
            Event::Failed { addr, .. } | Event::NotBegun { addr, .. } => self.over(addr, true),
            Event::Surveying { .. }
            | Event::Refreshing { .. }
            | Event::Refreshed { .. }
            | Event::Reading { .. }
            | Event::Opening { .. } => {}
        }
    }

    /// A step has ended; after one that failed there is no other.
    fn over(&mut self, addr: &InstanceAddr, is_last: bool) {
        self.moving.retain(|moving| moving != addr);
        let Some(row) = self.rows.get_mut(addr).filter(|row| row.steps > 0) else { return };
        row.now = None;
        row.steps -= 1;
        self.done += usize::from(!is_last);
        if is_last {
            row.steps = 0;
        }
        if row.steps == 0 && !is_last {
            self.open.entry(addr.resource()).and_modify(|open| *open -= 1);
        }
    }

    /// At most half of the window: above it the record goes on.
    pub(crate) fn text(&self, size: Size, now: Instant) -> Text {
        let room = (size.lines / 2).saturating_sub(2);
        let waiting = self.rows.iter().filter(|(_, row)| row.now.is_none() && row.steps > 0);
        let moving = self.moving.iter().filter_map(|addr| Some((addr, self.rows.get(addr)?)));
        let all = self.moving.len() + waiting.clone().count();
        // So that what it does has room, too.
        let widest = (size.columns / 2).max(10);
        let name = |addr: &InstanceAddr| end_of(&addr.to_string(), widest);
        let shown: Vec<(String, &Row)> =
            moving.chain(waiting).take(room).map(|(addr, row)| (name(addr), row)).collect();
        let names = shown.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
        let mut out = Text::default();
        for (name, row) in &shown {
            let gap = " ".repeat(names.saturating_sub(width(name)));
            out.push(Style::Plain, &format!("  {name}{gap}  "));
            match &row.now {
                Some(Moving { action, since, message }) => {
                    let seconds = now.saturating_duration_since(*since).as_secs();
                    out.push(Style::Changed, doing(*action));
                    out.line(Style::Plain, format!("  {seconds} s  {message}").trim_end());
                }
                None => out.line(Style::Faint, &self.waits(row)),
            }
        }
        if all > shown.len() {
            out.line(Style::Faint, &format!("  and {} more", all - shown.len()));
        }
        let elapsed = now.saturating_duration_since(self.begun).as_secs();
        out.line(Style::Plain, &format!("  {}  {elapsed} s", counted(self.done, self.total, "done", size)));
        out
    }

    fn waits(&self, row: &Row) -> String {
        const SHOWN: usize = 2;
        let is_open = |resource: &&ResourceAddr| self.open.get(*resource).is_some_and(|open| *open > 0);
        let names: Vec<String> = row.waits_for.iter().filter(is_open).map(ToString::to_string).collect();
        match names.len() {
            0 => "waits for its turn".to_owned(),
            count if count <= SHOWN => format!("waits for {}", names.join(" and ")),
            count => format!("waits for {} and {} more", names[..SHOWN].join(", "), count - SHOWN),
        }
    }
}

/// Of objects that are read.
#[derive(Debug)]
pub(crate) struct Survey {
    begun: Instant,
    total: usize,
    done: usize,
}

impl Survey {
    pub(crate) fn new(total: usize, now: Instant) -> Survey {
        Survey { begun: now, total, done: 0 }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        if matches!(event, Event::Refreshed { .. }) {
            self.done += 1;
        }
    }

    pub(crate) fn text(&self, size: Size, now: Instant) -> Text {
        let mut out = Text::default();
        let elapsed = now.saturating_duration_since(self.begun);
        if elapsed >= SHORT && self.done < self.total {
            let counted = counted(self.done, self.total, "objects read", size);
            out.line(Style::Plain, &format!("  {counted}  {} s", elapsed.as_secs()));
        }
        out
    }
}

/// As much of a name as has room: its end tells it from others.
fn end_of(name: &str, columns: usize) -> String {
    let mut rest = name;
    while width(rest) > columns.saturating_sub(usize::from(rest.len() < name.len())) {
        rest = rest.char_indices().nth(1).map_or("", |(next, _)| &rest[next..]);
    }
    if rest.len() < name.len() { format!("…{rest}") } else { name.to_owned() }
}

/// A bar, where it has room, and the numbers.
fn counted(done: usize, total: usize, what: &str, size: Size) -> String {
    const CELLS: usize = 15;
    let numbers = format!("{done} of {total} {what}");
    if size.columns < CELLS + width(&numbers) + 12 {
        return numbers;
    }
    let full = (done * CELLS).checked_div(total).unwrap_or(0).min(CELLS);
    format!("{}{}  {numbers}", "█".repeat(full), "░".repeat(CELLS - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> InstanceAddr {
        InstanceAddr::parse(text).unwrap()
    }

    #[test]
    fn a_long_reading_has_a_bar() {
        let begun = Instant::now();
        let mut survey = Survey::new(4, begun);
        let text = |survey: &Survey, columns, after| {
            survey.text(Size { columns, lines: 24 }, begun + Duration::from_millis(after)).to_string()
        };
        // What is short does not flicker.
        assert_eq!(text(&survey, 80, 100), "");
        assert_eq!(text(&survey, 80, 600), "  ░░░░░░░░░░░░░░░  0 of 4 objects read  0 s\n");
        survey.event(&Event::Refreshing { addr: addr("a.b") });
        survey.event(&Event::Refreshed { addr: addr("a.b") });
        assert_eq!(text(&survey, 80, 2000), "  ███░░░░░░░░░░░░  1 of 4 objects read  2 s\n");
        assert_eq!(text(&survey, 40, 2000), "  1 of 4 objects read  2 s\n");
        (0..3).for_each(|_| survey.event(&Event::Refreshed { addr: addr("a.b") }));
        assert_eq!(text(&survey, 80, 2000), "");
    }

    #[test]
    fn a_long_name_is_known_by_its_end() {
        assert_eq!(end_of("module.a.lamp_cluster.web", 25), "module.a.lamp_cluster.web");
        assert_eq!(end_of("module.a.lamp_cluster.web", 12), "…cluster.web");
    }
}
