//! Diagnostics as text, with the source line and the place marked.

use std::io;
use std::ops::Range;

use codespan_reporting::diagnostic::LabelStyle;
use codespan_reporting::diagnostic::{Diagnostic as Report, Label, Severity as ReportSeverity};
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term::{self, Chars, Config, WriteStyle};

use indexmap::IndexMap;

use super::{Diagnostic, Diagnostics, Related, Severity};
use crate::source::{SourceMap, Span};
use crate::text::{Style, Text};

/// As `text`, without styles.
pub fn render(diagnostics: &Diagnostics, sources: &SourceMap) -> String {
    text(diagnostics, sources).to_string()
}

/// All diagnostics, errors last so that they are what is seen at the end of a long run; ready to print.
pub fn text(diagnostics: &Diagnostics, sources: &SourceMap) -> Text {
    let mut files = SimpleFiles::new();
    let mut shown: Vec<Shown> = Vec::new();
    let mut secrets: Vec<Vec<Span>> = sources.files().iter().map(|file| file.secrets.clone()).collect();
    for (span, related) in diagnostics.0.iter().flat_map(|diagnostic| &diagnostic.related) {
        match (related, secrets.get_mut(span.file.0 as usize)) {
            (Related::Concealed, Some(secrets)) => secrets.push(*span),
            (Related::Concealed, None) | (Related::Label(_), _) => {}
        }
    }
    for (file, secrets) in sources.files().iter().zip(secrets) {
        let (text, cuts) = conceal(&file.text, secrets);
        files.add(file.name.clone(), text);
        shown.push(cuts);
    }
    let config = Config { chars: Chars::box_drawing(), ..Config::default() };
    let mut out = Text::default();
    let (errors, others): (Vec<_>, Vec<_>) = diagnostics.0.iter().partition(|diagnostic| diagnostic.is_error());
    for diagnostic in others.into_iter().chain(errors) {
        // The only failures are a file or an offset that does not exist; the message alone is better than nothing.
        let mut writer = Writer::default();
        match term::emit_to_write_style(&mut writer, &config, &files, &report(diagnostic, &shown)) {
            Ok(()) => out.append(writer.text),
            Err(_) => out.line(Style::Plain, &diagnostic.summary),
        }
        if !out.ends_with("\n\n") {
            out.push(Style::Plain, "\n");
        }
    }
    out
}

/// Each summary once, in a line, with how often and where it came first.
pub fn summaries(diagnostics: &Diagnostics, sources: &SourceMap) -> Text {
    let mut found: IndexMap<(Severity, &str), Vec<Option<Span>>> = IndexMap::new();
    for Diagnostic { severity, summary, span, .. } in &diagnostics.0 {
        found.entry((*severity, &**summary)).or_default().push(*span);
    }
    let mut out = Text::default();
    for ((severity, summary), spans) in found {
        let (style, word) = match severity {
            Severity::Error => (Style::Error, "error"),
            Severity::Warning => (Style::Warning, "warning"),
        };
        let at = spans[0].map(|span| {
            let (line, column) = sources.line_column(span.file, span.start);
            format!(" at {}:{line}:{column}", sources.get(span.file).name)
        });
        let more = (spans.len() > 1).then(|| format!(", and {} more", spans.len() - 1));
        out.push(style, word);
        out.line(Style::Plain, &format!(": {summary}{}{}", at.unwrap_or_default(), more.unwrap_or_default()));
    }
    out
}

/// Takes the styles of a report for ours.
#[derive(Debug, Default)]
struct Writer {
    text: Text,
    style: Style,
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.push(self.style, &String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteStyle for Writer {
    fn set_header(&mut self, severity: ReportSeverity) -> io::Result<()> {
        self.style = style(severity);
        Ok(())
    }

    fn set_header_message(&mut self) -> io::Result<()> {
        self.style = Style::Plain;
        Ok(())
    }

    fn set_line_number(&mut self) -> io::Result<()> {
        self.style = Style::Plain;
        Ok(())
    }

    fn set_note_bullet(&mut self) -> io::Result<()> {
        self.style = Style::Plain;
        Ok(())
    }

    fn set_source_border(&mut self) -> io::Result<()> {
        self.style = Style::Plain;
        Ok(())
    }

    fn set_label(&mut self, severity: ReportSeverity, label: LabelStyle) -> io::Result<()> {
        self.style = match label {
            LabelStyle::Primary => style(severity),
            LabelStyle::Secondary => Style::Plain,
        };
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.style = Style::Plain;
        Ok(())
    }
}

fn style(severity: ReportSeverity) -> Style {
    match severity {
        ReportSeverity::Bug | ReportSeverity::Error => Style::Error,
        ReportSeverity::Warning => Style::Warning,
        ReportSeverity::Note | ReportSeverity::Help => Style::Plain,
    }
}

fn report(diagnostic: &Diagnostic, shown: &[Shown]) -> Report<usize> {
    let range = |span: Span| shown[span.file.0 as usize].range(span);
    let severity = match diagnostic.severity {
        Severity::Error => ReportSeverity::Error,
        Severity::Warning => ReportSeverity::Warning,
    };
    let mut labels = Vec::new();
    let mut notes = diagnostic.notes.clone();
    match diagnostic.span {
        Some(span) => {
            labels.push(Label::primary(span.file.0 as usize, range(span)).with_message(&diagnostic.label));
        }
        None if diagnostic.label.is_empty() => {}
        None => notes.insert(0, diagnostic.label.to_string()),
    }
    for (span, related) in &diagnostic.related {
        let Related::Label(message) = related else { continue };
        labels.push(Label::secondary(span.file.0 as usize, range(*span)).with_message(message));
    }
    Report::new(severity).with_message(&diagnostic.summary).with_labels(labels).with_notes(notes)
}

/// Where the places of a text are in what is shown of it.
struct Shown {
    /// A part that is not shown, and what stands for it.
    cuts: Vec<(Range<usize>, Range<usize>)>,
}

impl Shown {
    fn range(&self, span: Span) -> Range<usize> {
        let (start, _) = self.place(span.start as usize);
        let (_, end) = self.place(span.end as usize);
        start..end.max(start)
    }

    /// An offset; both ends of what stands for a part if it is inside of one.
    fn place(&self, offset: usize) -> (usize, usize) {
        match self.cuts.partition_point(|(hidden, _)| hidden.start <= offset).checked_sub(1) {
            None => (offset, offset),
            Some(idx) => {
                let (hidden, shown) = &self.cuts[idx];
                match offset {
                    _ if offset == hidden.start => (shown.start, shown.start),
                    _ if offset < hidden.end => (shown.start, shown.end),
                    _ => (shown.end + offset - hidden.end, shown.end + offset - hidden.end),
                }
            }
        }
    }
}

/// The text without what is sensitive in it. Lines keep their numbers.
fn conceal(text: &str, mut secrets: Vec<Span>) -> (String, Shown) {
    secrets.sort_unstable_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    let mut out = String::with_capacity(text.len());
    let mut cuts: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    let mut done = 0;
    for span in secrets {
        let hidden = (span.start as usize).max(done)..(span.end as usize).min(text.len());
        let (Some(before), Some(inside)) = (text.get(done..hidden.start), text.get(hidden.clone())) else { continue };
        if inside.is_empty() {
            continue;
        }
        out.push_str(before);
        let start = out.len();
        out.push_str("(sensitive)");
        out.extend(inside.matches('\n'));
        done = hidden.end;
        cuts.push((hidden, start..out.len()));
    }
    out.push_str(text.get(done..).unwrap_or_default());
    (out, Shown { cuts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensitive_text_is_not_shown_and_lines_keep_their_numbers() {
        let text = "a = \"hunter2\" + x\nb = <<E\nhunter2\nE\nc = 1\n";
        let mut sources = SourceMap::default();
        let file = sources.add("main.tf", text);
        sources.conceal(Span::new(file, 4, 13));
        let error = |at: &str| {
            let start = text.find(at).expect("it is there");
            Diagnostic::error("wrong", "this").at(Span::new(file, start, start + at.len()))
        };
        let heredoc = Span::new(file, text.find("<<E").expect("there"), text.find("c =").expect("there") - 1);
        let diags = Diagnostics(vec![error("\"hunter2\""), error("x").conceal(Some(heredoc)), error("1")]);
        let out = render(&diags, &sources);
        assert!(!out.contains("hunter2"), "{out}");
        assert!(out.contains("1 │ a = (sensitive) + x\n  │     ^^^^^^^^^^^ this"), "{out}");
        assert!(out.contains("1 │ a = (sensitive) + x\n  │                   ^ this"), "{out}");
        assert!(out.contains("5 │ c = 1\n  │     ^ this"), "{out}");
    }
}
