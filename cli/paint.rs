//! Colours of the pieces of a text, and how much room they take.

use compiler::text::{Style, Text};
use unicode_width::UnicodeWidthChar as _;

use crate::print::tame;

/// A line as it is written. Nothing that others have written in it moves the cursor or has a colour.
pub(crate) fn painted(pieces: &[(Style, &str)], has_colour: bool) -> String {
    let paint = |(style, text): &(Style, &str)| match code(*style).filter(|_| has_colour) {
        Some(code) => format!("\x1b[{code}m{}\x1b[0m", tame(text)),
        None => tame(text),
    };
    pieces.iter().map(paint).collect()
}

fn code(style: Style) -> Option<&'static str> {
    match style {
        Style::Plain => None,
        Style::Added | Style::Good => Some("32"),
        Style::Changed => Some("33"),
        Style::Removed | Style::Bad => Some("31"),
        Style::Place => Some("36"),
        Style::Faint => Some("2"),
        Style::Error => Some("1;31"),
        Style::Warning => Some("1;33"),
    }
}

pub(crate) fn plain(text: &str) -> Text {
    let mut out = Text::default();
    out.line(Style::Plain, text);
    out
}

/// The columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|ch| ch.width().unwrap_or(1)).sum()
}

/// As much of a line as has room, with `…` where it was cut.
pub(crate) fn cut<'t>(pieces: &[(Style, &'t str)], columns: usize) -> Vec<(Style, &'t str)> {
    if pieces.iter().map(|(_, text)| width(text)).sum::<usize>() <= columns {
        return pieces.to_vec();
    }
    let mut left = columns.saturating_sub(1);
    let mut shown = Vec::new();
    for (style, text) in pieces {
        let mut end = 0;
        for ch in text.chars() {
            let taken = ch.width().unwrap_or(1);
            if taken > left {
                shown.extend([(*style, &text[..end]), (Style::Plain, "…")]);
                return shown;
            }
            left -= taken;
            end += ch.len_utf8();
        }
        shown.push((*style, *text));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_the_window_ends() {
        let pieces = [(Style::Plain, "ab"), (Style::Good, "日本"), (Style::Plain, "c")];
        for (columns, expected) in [(7, "ab日本c"), (6, "ab日…"), (5, "ab日…"), (4, "ab…"), (1, "…")] {
            assert_eq!(painted(&cut(&pieces, columns), false), expected, "{columns}");
        }
    }

    #[test]
    fn nothing_of_others_has_a_colour() {
        assert_eq!(painted(&[(Style::Added, "a\x1b[2J")], true), "\x1b[32ma\u{fffd}[2J\x1b[0m");
    }
}
