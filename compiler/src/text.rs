//! Text for people, in pieces that say what they are. Whoever shows it picks the colours, or none.

use std::fmt;

/// What a piece of text is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Style {
    #[default]
    Plain,
    Added,
    Changed,
    Removed,
    /// Where in a file lines are that follow.
    Place,
    Good,
    Bad,
    /// Less important than what stands beside it.
    Faint,
    Error,
    Warning,
}

/// What is written into it by `write!` is plain.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text {
    pieces: Vec<(Style, String)>,
}

impl Text {
    pub fn push(&mut self, style: Style, text: &str) {
        match self.pieces.last_mut() {
            Some((last, piece)) if *last == style => piece.push_str(text),
            _ => self.pieces.push((style, text.to_owned())),
        }
    }

    pub fn line(&mut self, style: Style, text: &str) {
        self.push(style, text);
        self.push(Style::Plain, "\n");
    }

    pub fn append(&mut self, other: Text) {
        other.pieces.iter().for_each(|(style, text)| self.push(*style, text));
    }

    /// A unified diff, each line behind `indent`.
    pub fn diff(&mut self, indent: &str, diff: &str) {
        for line in diff.lines() {
            let style = match line.as_bytes().first() {
                Some(b'+') => Style::Added,
                Some(b'-') => Style::Removed,
                Some(b'@') => Style::Place,
                _ => Style::Plain,
            };
            self.push(Style::Plain, indent);
            self.line(style, line);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(|(_, text)| text.is_empty())
    }

    /// Without what is empty at its end.
    pub fn trim_end(&mut self) {
        while let Some((_, last)) = self.pieces.last_mut() {
            last.truncate(last.trim_end().len());
            if !last.is_empty() {
                return;
            }
            self.pieces.pop();
        }
    }

    /// Looks at no more of it than it has to: texts grow by thousands of errors.
    pub fn ends_with(&self, end: &str) -> bool {
        let mut left = end;
        for (_, text) in self.pieces.iter().rev() {
            match left.strip_suffix(text.as_str()) {
                Some(before) => left = before,
                None => return text.ends_with(left),
            }
        }
        left.is_empty()
    }

    /// Each with its pieces, which have no end of a line.
    pub fn lines(&self) -> Vec<Vec<(Style, &str)>> {
        let mut lines: Vec<Vec<(Style, &str)>> = vec![Vec::new()];
        for (style, text) in &self.pieces {
            for (idx, part) in text.split('\n').enumerate() {
                if idx > 0 {
                    lines.push(Vec::new());
                }
                if let Some(line) = lines.last_mut().filter(|_| !part.is_empty()) {
                    line.push((*style, part));
                }
            }
        }
        // Behind the last end of a line there is no line.
        lines.pop_if(|line| line.is_empty());
        lines
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(Style::Plain, text);
        Ok(())
    }
}

/// Without styles.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|(_, text)| f.write_str(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_pieces() {
        let mut text = Text::default();
        text.push(Style::Error, "error:");
        fmt::Write::write_str(&mut text, " a\n\n").expect("it takes everything");
        text.diff("  ", "-b");
        assert_eq!(text.to_string(), "error: a\n\n  -b\n");
        for (end, expected) in [("", true), ("\n", true), ("  -b\n", true), ("b", false), ("x-b\n", false)] {
            assert_eq!(text.ends_with(end), expected, "{end:?}");
        }
        assert!(!Text::default().ends_with("\n") && text.ends_with(&text.to_string()));
        let expected: [&[(Style, &str)]; 3] =
            [&[(Style::Error, "error:"), (Style::Plain, " a")], &[], &[(Style::Plain, "  "), (Style::Removed, "-b")]];
        assert_eq!(text.lines(), expected);
    }
}
