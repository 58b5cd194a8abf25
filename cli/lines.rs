//! For people: lines that stay, and on a terminal what goes on below them.

mod tested;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use app::change::Made;
use app::test::{Report, RunReport, Tested};
use compiler::console;
use compiler::diag::Diagnostics;
use compiler::diag::render::{summaries, text};
use compiler::source::SourceMap;
use compiler::testing::TestFile;
use compiler::text::{Style, Text};
use engine::event::Event;
use engine::plan::show::{DataChange, Fate, ShowOptions, show};
use engine::plan::{Goal, Plan};
use engine::state::State;

use crate::board::{Board, GoesOn, Survey};
use crate::proposal::Proposal;
use crate::screen::Screen;
use crate::view::View;
use crate::words::{doing, done};

#[derive(Debug)]
pub(crate) struct Lines {
    screen: Arc<Screen>,
    /// Warnings by their summaries, where there is no error.
    is_compact: bool,
    goes_on: Arc<Mutex<Option<GoesOn>>>,
}

impl Lines {
    pub(crate) fn new(screen: Arc<Screen>, is_compact: bool) -> Lines {
        Lines { screen, is_compact, goes_on: Arc::default() }
    }

    fn begin(&self, what: Option<GoesOn>) {
        if what.is_none() {
            return;
        }
        *lock(&self.goes_on) = what;
        let goes_on = self.goes_on.clone();
        let frame = move |size| lock(&goes_on).as_ref().map(|what| what.text(size, Instant::now())).unwrap_or_default();
        self.screen.show(Arc::new(frame));
    }

    fn end(&self) {
        self.screen.settle();
        *lock(&self.goes_on) = None;
    }
}

fn lock(goes_on: &Mutex<Option<GoesOn>>) -> MutexGuard<'_, Option<GoesOn>> {
    goes_on.lock().unwrap_or_else(PoisonError::into_inner)
}

impl View for Lines {
    /// One line for every step, as it happens.
    fn event(&self, event: &Event) {
        let now = Instant::now();
        if let Event::Surveying { total } = event {
            self.begin(Some(GoesOn::Reading(Survey::new(*total, now))));
        }
        if let Some(goes_on) = &mut *lock(&self.goes_on) {
            goes_on.event(event, now);
        }
        if let Some(text) = step(event) {
            self.screen.text(&text);
        }
    }

    fn diagnostics(&self, diags: &Diagnostics, sources: &SourceMap) {
        let diags = &diags.clone().without_repetitions();
        if diags.is_empty() {
            return;
        }
        let mut told = match self.is_compact && !diags.has_errors() {
            true => summaries(diags, sources),
            false => text(diags, sources),
        };
        told.trim_end();
        self.screen.error_text(&told);
    }

    fn planned(&self, plan: &Plan, stack: &str, options: &ShowOptions) {
        self.end();
        let mut text = show(plan, stack, options);
        text.trim_end();
        self.screen.text(&text);
    }

    fn begun(&self, plan: &Plan) {
        if !plan.is_empty() {
            self.screen.line("");
            self.begin(Board::new(plan, Instant::now()).map(GoesOn::Changing));
        }
    }

    fn made(&self, made: &Made, onward: &str) {
        self.end();
        let verb = match (made.goal, made.has_failed) {
            (_, true) => "Stopped",
            (Goal::Configuration, false) => "Applied",
            (Goal::Nothing, false) => "Destroyed",
            (Goal::Record, false) => "Recorded",
        };
        let engine::apply::Summary { added, changed, destroyed, not_done, forgotten, imported, unwritten } =
            &made.summary;
        let elapsed = made.elapsed.as_secs_f64();
        let imported = if *imported > 0 { format!("{imported} imported, ") } else { String::new() };
        let forgotten = if *forgotten > 0 { format!(", {forgotten} forgotten") } else { String::new() };
        self.screen.line(&format!(
            "\n{verb} in {elapsed:.1} s: {imported}{added} added, {changed} changed, {destroyed} destroyed{forgotten}."
        ));
        if !not_done.is_empty() {
            self.screen.line(&format!("Not done: {}.", not_done.join(", ")));
            // Where it is not recorded, the errors above say so.
            if unwritten.is_none() {
                self.screen.line(&format!("What was done is recorded. {onward}"));
            }
        }
        if !made.has_failed && !made.deferred.is_empty() {
            let names: Vec<String> = made.deferred.keys().map(ToString::to_string).collect();
            self.screen.line(&format!("Put off until now: {}; an apply goes on with it.", names.join(", ")));
        }
        if !made.has_failed {
            self.kept(&made.data);
            self.outputs(&made.state);
        }
    }

    fn tests_found(&self, files: &[(String, TestFile)]) {
        tested::found(&self.screen, files);
    }

    fn test_ran(&self, path: &str, run: &RunReport, plan: Option<&Text>) {
        tested::ran(&self.screen, path, run, plan);
    }

    fn test_details(&self, report: &Report, run: &RunReport) {
        tested::details(&self.screen, report, run);
    }

    fn test_differences(&self, run: &RunReport, folder: &Path) {
        tested::differences(&self.screen, run, folder);
    }

    fn tested(&self, tested: &Tested, again: &Proposal) {
        tested::all(&self.screen, tested, again);
    }
}

impl Lines {
    /// Where data is now, and the way back to it.
    fn kept(&self, data: &[(String, DataChange)]) {
        let kept = data.iter().filter(|(_, change)| matches!(change.fate, Fate::Kept | Fate::LeftBehind));
        for (address, change) in kept.filter(|(_, change)| !change.way_back.is_empty()) {
            self.screen.line(&format!("\n{address}: {}.\n{}", change.text, change.way_back));
        }
    }

    fn outputs(&self, state: &State) {
        if state.outputs.is_empty() {
            return;
        }
        self.screen.line("");
        for (name, output) in &state.outputs {
            let shown = if output.sensitive { "(sensitive value)".to_owned() } else { console::show(&output.value) };
            self.screen.line(&format!("{name} = {shown}"));
        }
    }
}

fn step(event: &Event) -> Option<Text> {
    let mut text = Text::default();
    let mut say = |addr: &str, style: Style, what: &str, behind: &str| {
        text.push(Style::Plain, &format!("  {addr}  "));
        text.push(style, what);
        text.line(Style::Plain, behind);
    };
    match event {
        Event::Surveying { .. } | Event::Refreshing { .. } | Event::Refreshed { .. } => return None,
        Event::Reading { addr } => say(&addr.to_string(), Style::Plain, "reading", ""),
        Event::Opening { addr } => say(&addr.to_string(), Style::Plain, "opening", ""),
        Event::Started { addr, action } => say(&addr.to_string(), Style::Plain, doing(*action), ""),
        Event::Progress { address, message } => say(address, Style::Plain, message, ""),
        Event::Finished { addr, action, elapsed } => {
            let after = format!(" after {:.1} s", elapsed.as_secs_f64());
            say(&addr.to_string(), Style::Good, done(*action), &after);
        }
        Event::Failed { addr, action } => {
            say(&addr.to_string(), Style::Bad, &format!("{} failed", doing(*action)), "");
        }
        Event::NotBegun { addr, action } => {
            say(&addr.to_string(), Style::Bad, &format!("{} was not begun", doing(*action)), "");
        }
    }
    Some(text)
}
