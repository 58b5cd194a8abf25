//! What people see.

#![expect(clippy::print_stderr, reason = "this is where the program speaks")]

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::sync::OnceLock;

use app::watch::Watch;
use compiler::diag::Diagnostics;
use compiler::diag::render::{render, summaries};
use compiler::source::SourceMap;
use engine::event::Event;
use engine::plan::Action;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::print::{self, line, note, tame};
use crate::proposal::Proposal;
use crate::{exit, json};

/// The terminal, or a program that reads JSON. The words of events and diagnostics are chosen here.
#[derive(Debug, Default)]
pub(crate) struct Ui {
    has_colour: bool,
    /// A program reads what we say: then diagnostics and events are JSON, too.
    pub(crate) is_json: bool,
    /// Warnings by their summaries, where there is no error.
    is_compact: bool,
    /// Where the command was told to go, which the user's shell has not done.
    pub(crate) folder: Option<PathBuf>,
    /// Asked for when something begins that can be cut short.
    cancelled: OnceLock<watch::Receiver<bool>>,
}

impl Ui {
    /// Colour only for a terminal, and only if nobody objects (<https://no-color.org>).
    pub(crate) fn new(wants_colour: bool, is_json: bool, folder: Option<PathBuf>) -> Ui {
        let has_colour = wants_colour && std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal();
        Ui { has_colour, is_json, is_compact: false, folder, cancelled: OnceLock::new() }
    }

    pub(crate) fn compact(self, is_compact: bool) -> Ui {
        Ui { is_compact, ..self }
    }

    /// Whether what is written is read by a person at a terminal.
    pub(crate) fn is_coloured(&self) -> bool {
        self.has_colour && std::io::stderr().is_terminal()
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.has_colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn error(&self, text: &str) {
        // It may have words of others.
        let text = text.lines().map(tame).collect::<Vec<_>>().join("\n");
        eprintln!("{} {text}", self.paint("1;31", "error:"));
    }

    /// A plan, with its signs in colour.
    pub(crate) fn plan(&self, text: &str) {
        for line_text in text.trim_end().lines().map(tame) {
            let line_text = line_text.as_str();
            let code = match line_text.trim_start() {
                added if added.starts_with('+') => "32",
                removed if removed.starts_with('-') => "31",
                changed if changed.starts_with('~') => "33",
                _ => {
                    line(line_text);
                    continue;
                }
            };
            line(&self.paint(code, line_text));
        }
    }

    /// A word in a colour.
    pub(crate) fn status(&self, word: &str, code: &str) -> String {
        self.paint(code, word)
    }

    /// Lines of a unified diff, in its colours.
    pub(crate) fn diff(&self, lines: &[String]) {
        for text in lines {
            let code = match text.chars().next() {
                Some('+') => "32",
                Some('-') => "31",
                Some('@') => "36",
                _ => {
                    line(text);
                    continue;
                }
            };
            line(&self.paint(code, text));
        }
    }

    /// Asks what a flag answers, too; anything but `yes` is a no, and so is a wish to end. The answer may come from a file or a pipe, as Terraform has it.
    pub(crate) async fn confirm(&self, question: &str, flag: &str) -> bool {
        let mut cancelled = self.cancelled();
        print::prompt(&format!("{question}\n  Only `yes` goes on: "));
        let (sender, answer) = tokio::sync::oneshot::channel();
        // A thread of its own: nobody waits for it if there is no answer.
        std::thread::spawn(move || {
            let mut answer = String::new();
            let is_read = std::io::stdin().lock().read_line(&mut answer).is_ok_and(|length| length > 0);
            let _ = sender.send(is_read.then_some(answer));
        });
        let answer = tokio::select! {
            answer = answer => answer.ok().flatten(),
            _ = cancelled.wait_for(|is_cancelled| *is_cancelled) => {
                line("");
                return false;
            }
        };
        if !std::io::stdin().is_terminal() {
            line("");
            if answer.is_none() {
                self.error(&format!(
                    "there is nobody to ask: standard input is at its end; use {flag} to go on without a question"
                ));
            }
        }
        answer.is_some_and(|answer| answer.trim() == "yes")
    }

    fn event_line(&self, event: &Event) -> Option<String> {
        Some(match event {
            Event::Refreshing { .. } => return None,
            Event::Reading { addr } => format!("  {addr}  reading"),
            Event::Opening { addr } => format!("  {addr}  opening"),
            Event::Started { addr, action } => format!("  {addr}  {}", doing(*action)),
            Event::Progress { address, message } => format!("  {address}  {message}"),
            Event::Finished { addr, action, elapsed } => {
                format!("  {addr}  {} after {:.1} s", self.paint("32", done(*action)), elapsed.as_secs_f64())
            }
            Event::Failed { addr, action } => {
                format!("  {addr}  {}", self.paint("31", &format!("{} failed", doing(*action))))
            }
            Event::NotBegun { addr, action } => {
                format!("  {addr}  {}", self.paint("31", &format!("{} was not begun", doing(*action))))
            }
        })
    }
}

impl Watch for Ui {
    /// One line for every step, as it happens.
    fn event(&self, event: &Event) {
        if self.is_json {
            return json::event(event);
        }
        if let Some(text) = self.event_line(event) {
            line(&text);
        }
    }

    fn diagnostics(&self, diags: &Diagnostics, sources: &SourceMap) {
        let diags = &diags.clone().without_repetitions();
        if self.is_json {
            return json::diagnostics(diags, sources);
        }
        if diags.is_empty() {
            return;
        }
        let text = match self.is_compact && !diags.has_errors() {
            true => summaries(diags, sources).join("\n"),
            false => render(diags, sources),
        };
        for line in text.trim_end().lines().map(tame) {
            let painted = match line.split_once(':') {
                Some(("error", rest)) => format!("{}{rest}", self.paint("1;31", "error:")),
                Some(("warning", rest)) => format!("{}{rest}", self.paint("1;33", "warning:")),
                _ => line.clone(),
            };
            eprintln!("{painted}");
        }
    }

    fn note(&self, text: &str) {
        note(text);
    }

    fn step(&self, text: &str) {
        line(text);
    }

    fn command(&self, words: &str) -> String {
        Proposal::new(self.folder.as_deref(), words).text()
    }

    /// Turns true at the first Ctrl-C or SIGTERM. The second ends the program at once.
    fn cancelled(&self) -> watch::Receiver<bool> {
        self.cancelled.get_or_init(by_user).clone()
    }
}

fn by_user() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    // From this moment on, and not from when the task below begins.
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    tokio::spawn(async move {
        if let [Ok(mut interrupt), Ok(mut terminate)] = signals {
            let mut asked = async || tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} };
            asked().await;
            Ui::default().error(
                "stopping: what is under way is finished and recorded; press Ctrl-C again to stop without waiting",
            );
            let _ = sender.send(true);
            asked().await;
            std::process::exit(i32::from(exit::FAILURE));
        }
        // Keeps the channel open for as long as the program runs.
        std::future::pending::<()>().await;
        drop(sender);
    });
    receiver
}

fn doing(action: Action) -> &'static str {
    match action {
        Action::NoOp => "checking",
        Action::Read => "reading",
        Action::Create => "creating",
        Action::Update => "changing",
        Action::Replace { .. } => "replacing",
        Action::Delete => "removing",
        Action::Forget => "forgetting",
    }
}

fn done(action: Action) -> &'static str {
    match action {
        Action::NoOp => "checked",
        Action::Read => "read",
        Action::Create => "created",
        Action::Update => "changed",
        Action::Replace { .. } => "replaced",
        Action::Delete => "removed",
        Action::Forget => "forgotten",
    }
}
