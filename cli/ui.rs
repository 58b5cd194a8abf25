//! What people see.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is where the program speaks")]

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use compiler::diag::Diagnostics;
use compiler::diag::render::render;
use compiler::source::SourceMap;
use engine::event::Event;
use engine::plan::Action;

static COLOUR: AtomicBool = AtomicBool::new(false);
/// Whether a program reads what we say: then diagnostics are JSON, too.
static JSON: AtomicBool = AtomicBool::new(false);

pub(crate) fn set_json(is_json: bool) {
    JSON.store(is_json, Ordering::Relaxed);
}

/// Colour only for a terminal, and only if nobody objects (<https://no-color.org>).
pub(crate) fn set_colour(wanted: bool) {
    let is_wanted = wanted && std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal();
    COLOUR.store(is_wanted, Ordering::Relaxed);
}

/// Whether what is written is read by a person at a terminal.
pub(crate) fn is_coloured() -> bool {
    COLOUR.load(Ordering::Relaxed) && std::io::stderr().is_terminal()
}

fn paint(code: &str, text: &str) -> String {
    if COLOUR.load(Ordering::Relaxed) { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// What others have written, for a terminal: nothing of it moves the cursor, changes colours, or forges a line.
pub(crate) fn tame(text: &str) -> String {
    text.chars().map(|ch| if ch == '\t' || !ch.is_control() { ch } else { '\u{fffd}' }).collect()
}

/// Begins a screen anew.
pub(crate) fn clear() {
    print!("\x1b[H\x1b[2J");
}

pub(crate) fn line(text: &str) {
    // A reader that went away (`| head`) is no failure of ours.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// What the user should know, and is no result.
pub(crate) fn note(text: &str) {
    eprintln!("note: {text}");
}

pub(crate) fn error(text: &str) {
    eprintln!("{} {text}", paint("1;31", "error:"));
}

pub(crate) fn diagnostics(diags: &Diagnostics, sources: &SourceMap) {
    let diags = &diags.clone().without_repetitions();
    if JSON.load(Ordering::Relaxed) {
        return crate::json::diagnostics(diags, sources);
    }
    if diags.is_empty() {
        return;
    }
    for line in render(diags, sources).trim_end().lines() {
        let painted = match line.split_once(':') {
            Some(("error", rest)) => format!("{}{rest}", paint("1;31", "error:")),
            Some(("warning", rest)) => format!("{}{rest}", paint("1;33", "warning:")),
            _ => line.to_owned(),
        };
        eprintln!("{painted}");
    }
}

/// A plan, with its signs in colour.
pub(crate) fn plan(text: &str) {
    for line_text in text.trim_end().lines() {
        let code = match line_text.trim_start() {
            added if added.starts_with('+') => "32",
            removed if removed.starts_with('-') => "31",
            changed if changed.starts_with('~') => "33",
            _ => {
                line(line_text);
                continue;
            }
        };
        line(&paint(code, line_text));
    }
}

/// A word in a colour.
pub(crate) fn status(word: &str, code: &str) -> String {
    paint(code, word)
}

/// Lines of a unified diff, in its colours.
pub(crate) fn diff(lines: &[String]) {
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
        line(&paint(code, text));
    }
}

/// Asks for y or n; without a terminal the answer is no.
pub(crate) fn choose(question: &str) -> bool {
    print!("{question}");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "yes")
}

/// Asks; anything but `yes` is a no. The answer may come from a file or a pipe, as Terraform has it.
pub(crate) fn confirm(question: &str) -> bool {
    print!("{question}\n  Only `yes` goes on: ");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    let is_read = std::io::stdin().lock().read_line(&mut answer).is_ok_and(|length| length > 0);
    if !std::io::stdin().is_terminal() {
        line("");
        if !is_read {
            error(
                "there is nobody to ask: standard input is at its end; use -auto-approve to go on without a question",
            );
        }
    }
    is_read && answer.trim() == "yes"
}

/// One line for every step, as it happens.
pub(crate) fn event(event: &Event) {
    let text = match event {
        Event::Refreshing { .. } => return,
        Event::Reading { addr } => format!("  {addr}  reading"),
        Event::Started { addr, action } => format!("  {addr}  {}", doing(*action)),
        Event::Progress { address, message } => format!("  {address}  {message}"),
        Event::Finished { addr, action, elapsed } => {
            format!("  {addr}  {} after {:.1} s", paint("32", done(*action)), elapsed.as_secs_f64())
        }
        Event::Failed { addr, action } => format!("  {addr}  {}", paint("31", &format!("{} failed", doing(*action)))),
        Event::NotBegun { addr, action } => {
            format!("  {addr}  {}", paint("31", &format!("{} was not begun", doing(*action))))
        }
    };
    line(&text);
}

fn doing(action: Action) -> &'static str {
    match action {
        Action::NoOp => "checking",
        Action::Read => "reading",
        Action::Create => "creating",
        Action::Update => "changing",
        Action::Replace { .. } => "replacing",
        Action::Delete => "removing",
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
    }
}
