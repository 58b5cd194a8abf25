//! What differs between two values.

use std::collections::BTreeSet;

use compiler::console;
use compiler::text::{Style, Text};
use similar::TextDiff;
use value::{Step, Value};

/// Of longer texts only what differs is shown, and what stands around it.
const LONG: usize = 120;
const AROUND: usize = 24;

/// One line for every leaf that differs: `tags["a"] = 1 → 2`.
pub(super) fn differences(before: &Value, after: &Value, at: &str, out: &mut Text) {
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
        _ if hidden => say(out, &format!("{at} = (sensitive value)")),
        (Value::Null(_), Value::Object(entries)) if at.is_empty() => {
            for (name, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
                differences(&Value::Null(value.ty()), value, name, out);
            }
        }
        (Value::Object(old), Value::Object(new)) | (Value::Map(_, old), Value::Map(_, new)) => {
            let is_map = matches!(after.unmarked(), Value::Map(..));
            let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let path = if is_map { step(&Step::Key(key.clone())) } else { step(&Step::Attribute(key.clone())) };
                let null = Value::Null(value::Ty::Dynamic);
                differences(old.get(key).unwrap_or(&null), new.get(key).unwrap_or(&null), &path, out);
            }
        }
        (Value::List(_, old), Value::List(_, new)) | (Value::Tuple(old), Value::Tuple(new))
            if old.len() == new.len() =>
        {
            for (idx, (old, new)) in old.iter().zip(new.iter()).enumerate() {
                differences(old, new, &step(&Step::Index(idx)), out);
            }
        }
        (Value::Null(_), new) => say(out, &format!("{at} = {}", console::show(new).replace('\n', "\n      "))),
        (Value::String(old), Value::String(new)) if old.contains('\n') || new.contains('\n') => {
            say(out, &format!("{at}:"));
            let (old, new) = (whole_lines(old), whole_lines(new));
            let diff = TextDiff::from_lines(&old, &new);
            out.diff("        ", &diff.unified_diff().context_radius(2).to_string());
        }
        (Value::String(old), Value::String(new)) if old.len().max(new.len()) > LONG => {
            let (old, new) = changed_parts(old, new);
            say(out, &format!("{at} = {} → {}", quoted(&old), quoted(&new)));
        }
        (old, new) => say(out, &format!("{at} = {} → {}", one_line(old), one_line(new))),
    }
}

pub(super) fn one_line(value: &Value) -> String {
    if value.is_null() {
        return "null".to_owned();
    }
    console::show(value).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn say(out: &mut Text, text: &str) {
    out.line(Style::Plain, &format!("      {text}"));
}

/// A text as lines that all have an end, so that a last one without is no difference by itself.
fn whole_lines(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

/// Of two lines what differs, with some of what is alike before and behind; `…` stands for the rest.
fn changed_parts(old: &str, new: &str) -> (String, String) {
    let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
    let before = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let behind = old[before..].iter().rev().zip(new[before..].iter().rev());
    let behind = behind.take_while(|(one, other)| one == other).count();
    let part = |text: &[char]| {
        let (start, end) = (before.saturating_sub(AROUND), (text.len() - behind + AROUND).min(text.len()));
        let shown: String = text[start..end].iter().collect();
        let (first, last) = (if start > 0 { "…" } else { "" }, if end < text.len() { "…" } else { "" });
        format!("{first}{shown}{last}")
    };
    (part(&old), part(&new))
}

fn quoted(text: &str) -> String {
    console::show(&Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(old: &str, new: &str, expected: &[&str]) {
        let mut out = Text::default();
        differences(&Value::from(old), &Value::from(new), "text", &mut out);
        let shown = out.to_string();
        assert_eq!(shown.lines().map(|line| &line[6..]).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn of_a_long_line_the_changed_part_is_shown() {
        check("short", "shorter", &["text = \"short\" → \"shorter\""]);
        let line = |word: &str| format!("{} key={word} {}", "a".repeat(150), "b".repeat(150));
        let around = |word: &str| format!("\"…{} key={word} {}…\"", "a".repeat(19), "b".repeat(21));
        check(&line("one"), &line("öne"), &[&format!("text = {} → {}", around("one"), around("öne"))]);
        check(
            &"a".repeat(130),
            &"a".repeat(131),
            &[&format!("text = \"…{}\" → \"…{}\"", "a".repeat(24), "a".repeat(25))],
        );
    }

    #[test]
    fn of_a_text_the_changed_lines_are_shown() {
        check(
            "one\ntwo\nthree\nfour\nfive\n",
            "one\ntwo\nthree\nfour\nsix",
            &["text:", "  @@ -3,3 +3,3 @@", "   three", "   four", "  -five", "  +six"],
        );
    }
}
