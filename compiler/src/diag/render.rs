//! Diagnostics as text, with the source line and the place marked.

use codespan_reporting::diagnostic::{Diagnostic as Report, Label, Severity as ReportSeverity};
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term::{self, Chars, Config};

use super::{Diagnostic, Diagnostics, Severity};
use crate::source::SourceMap;

/// All diagnostics, errors last so that they are what is seen at the end of a long run; ready to print.
pub fn render(diagnostics: &Diagnostics, sources: &SourceMap) -> String {
    let mut files = SimpleFiles::new();
    for file in sources.files() {
        files.add(file.name.clone(), file.text.to_string());
    }
    let config = Config { chars: Chars::box_drawing(), ..Config::default() };
    let mut out = String::new();
    let (errors, others): (Vec<_>, Vec<_>) = diagnostics.0.iter().partition(|diagnostic| diagnostic.is_error());
    for diagnostic in others.into_iter().chain(errors) {
        // The only failures are a file or an offset that does not exist; the message alone is better than nothing.
        match term::emit_into_string(&config, &files, &report(diagnostic)) {
            Ok(text) => out.push_str(&text),
            Err(_) => out.push_str(&format!("{}\n", diagnostic.summary)),
        }
        if !out.ends_with("\n\n") {
            out.push('\n');
        }
    }
    out
}

fn report(diagnostic: &Diagnostic) -> Report<usize> {
    let severity = match diagnostic.severity {
        Severity::Error => ReportSeverity::Error,
        Severity::Warning => ReportSeverity::Warning,
    };
    let mut labels = Vec::new();
    let mut notes = diagnostic.notes.clone();
    match diagnostic.span {
        Some(span) => {
            let range = span.start as usize..span.end as usize;
            labels.push(Label::primary(span.file.0 as usize, range).with_message(&diagnostic.label));
        }
        None if diagnostic.label.is_empty() => {}
        None => notes.insert(0, diagnostic.label.to_string()),
    }
    for (span, message) in &diagnostic.related {
        let range = span.start as usize..span.end as usize;
        labels.push(Label::secondary(span.file.0 as usize, range).with_message(message));
    }
    Report::new(severity).with_message(&diagnostic.summary).with_labels(labels).with_notes(notes)
}
