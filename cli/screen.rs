//! Standard output and standard error, with lines below what was written that are written anew while something goes on.
//!
//! **Invariant:** while there are such lines, nothing else writes to the terminal.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compiler::text::{Style, Text};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::paint::{cut, painted, plain};
use crate::print::{self, tame};
use crate::terminal::{Size, Terminal};

/// How often lines are written anew.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct Screen {
    pub(crate) terminal: Terminal,
    live: Mutex<Option<Live>>,
    /// A question stands at the end of what was written, and no answer behind it.
    is_asking: AtomicBool,
}

#[derive(Debug)]
struct Live {
    bar: ProgressBar,
    /// How the terminal was before.
    before: Option<Termios>,
}

/// What goes on, as lines for a window of a size.
pub(crate) type Frame = Arc<dyn Fn(Size) -> Text + Send + Sync>;

impl Screen {
    pub(crate) fn new(terminal: Terminal) -> Screen {
        Screen { terminal, ..Screen::default() }
    }

    pub(crate) fn text(&self, text: &Text) {
        let lines = lines(text, self.terminal.out_has_colour);
        self.aside(|| lines.iter().for_each(|line| print::line(line)));
    }

    pub(crate) fn line(&self, text: &str) {
        self.text(&plain(text));
    }

    pub(crate) fn error_text(&self, text: &Text) {
        let lines = lines(text, self.terminal.err_has_colour);
        self.aside(|| lines.iter().for_each(|line| print::aside(line)));
    }

    pub(crate) fn error(&self, text: &str) {
        let mut out = Text::default();
        out.push(Style::Error, "error:");
        out.line(Style::Plain, &format!(" {text}"));
        self.error_text(&out);
    }

    pub(crate) fn note(&self, text: &str) {
        self.aside(|| print::note(&text.lines().map(tame).collect::<Vec<_>>().join("\n")));
    }

    /// A question, whose answer comes on the same line.
    pub(crate) fn ask(&self, question: &str) {
        self.is_asking.store(true, Ordering::Relaxed);
        print::prompt(question);
    }

    /// `has_ended`: so has the line that the question is on.
    pub(crate) fn answered(&self, has_ended: bool) {
        if self.is_asking.swap(false, Ordering::Relaxed) && !has_ended {
            print::line("");
        }
    }

    /// The terminal has shown `^C` where the cursor was.
    pub(crate) fn interrupted(&self) {
        let is_asking = self.is_asking.load(Ordering::Relaxed);
        if self.terminal.is_read && !is_asking && self.live().is_none() {
            print::line("");
        }
    }

    /// Shows what goes on, until it is settled. Only on a terminal that can.
    pub(crate) fn show(&self, frame: Frame) {
        if !self.terminal.is_live {
            return;
        }
        self.settle();
        let has_colour = self.terminal.out_has_colour;
        let draw = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            let size = Size::now();
            let text = frame(size);
            for (idx, pieces) in text.lines().iter().enumerate() {
                let end = if idx > 0 { "\n" } else { "" };
                let _ = write!(out, "{end}{}", painted(&cut(pieces, size.columns), has_colour));
            }
        };
        let style = ProgressStyle::with_template("{frame}").expect("a template").with_key("frame", draw);
        let target = ProgressDrawTarget::stdout_with_hz(10);
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        bar.enable_steady_tick(TICK);
        *self.live() = Some(Live { bar, before: without_echo_of_keys() });
    }

    /// Takes away the lines of what goes on: the record of it stays.
    pub(crate) fn settle(&self) {
        if let Some(Live { bar, before }) = self.live().take() {
            bar.finish_and_clear();
            if let Some(before) = before {
                let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
            }
        }
    }

    fn aside(&self, write: impl FnOnce()) {
        self.answered(false);
        match &*self.live() {
            Some(live) => live.bar.suspend(write),
            None => write(),
        }
    }

    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The terminal shows Ctrl-C as `^C`, where the cursor is: within lines that are written anew it shows nothing.
fn without_echo_of_keys() -> Option<Termios> {
    let before = tcgetattr(std::io::stdin()).ok()?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHOCTL);
    tcsetattr(std::io::stdin(), OptionalActions::Now, &quiet).ok()?;
    Some(before)
}

fn lines(text: &Text, has_colour: bool) -> Vec<String> {
    text.lines().iter().map(|pieces| painted(pieces, has_colour)).collect()
}
