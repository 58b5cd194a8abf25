//! What is written, as it is.

#![expect(clippy::print_stdout, reason = "this is where the program speaks")]

use std::io::{BufRead as _, ErrorKind, Write as _};

use anyhow::Context as _;

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

/// A text as it is, for a program that reads it.
pub(crate) fn raw(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// What is no result. Whether anybody reads it (`2>&1 | head`, a full disk) changes nothing of what is done.
pub(crate) fn aside(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// What the user should know, and is no result.
pub(crate) fn note(text: &str) {
    aside(&format!("note: {text}"));
}

/// A result for a program or a file: half of it is no result. A reader that went away is no failure of ours.
pub(crate) fn whole(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("the output is not whole: it cannot be written")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A question, whose answer comes on the same line.
pub(crate) fn prompt(text: &str) {
    raw(text);
}

/// Asks for y or n; without a terminal the answer is no.
pub(crate) fn choose(question: &str) -> bool {
    prompt(question);
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "yes")
}
