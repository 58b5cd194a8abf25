//! Diagnostics: what is wrong in the user's text, where, why, and what to do.
//!
//! **Invariant:** problems in user input are never a Rust `Err`; they are collected, so that one run reports all
//! that can be known.

pub mod render;
pub mod suggest;

use std::collections::HashSet;

use crate::source::Span;
pub use value::Severity;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Short and fixed, without names.
    pub summary: Box<str>,
    /// What is wrong with the marked place, in a few words.
    pub label: Box<str>,
    /// Sentences: why, and what to do. Each becomes a note under the source text.
    pub notes: Vec<String>,
    pub span: Option<Span>,
    /// What of the root module checked itself and failed: `var.nodes`, `output.url`, `lamp_cluster.web`.
    pub subject: Option<Box<str>>,
    /// Other places that belong to the problem.
    pub related: Vec<(Span, Related)>,
}

/// What another place has to do with a problem.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Related {
    Label(String),
    /// Its text is sensitive: it is not shown, though the lines that it is on may be.
    Concealed,
}

impl Diagnostic {
    pub fn error(summary: impl Into<Box<str>>, label: impl Into<Box<str>>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            summary: summary.into(),
            label: label.into(),
            notes: Vec::new(),
            span: None,
            subject: None,
            related: Vec::new(),
        }
    }

    pub fn warning(summary: impl Into<Box<str>>, label: impl Into<Box<str>>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(summary, label) }
    }

    #[must_use]
    pub fn at(self, span: Span) -> Diagnostic {
        Diagnostic { span: Some(span), ..self }
    }

    #[must_use]
    pub fn at_opt(self, span: Option<Span>) -> Diagnostic {
        Diagnostic { span, ..self }
    }

    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Diagnostic {
        let note = note.into();
        if !note.is_empty() {
            self.notes.push(note);
        }
        self
    }

    /// Adds "did you mean ..?" if there is a likely candidate.
    #[must_use]
    pub fn suggest<'c>(self, wrong: &str, candidates: impl IntoIterator<Item = &'c str>) -> Diagnostic {
        match suggest::closest(wrong, candidates) {
            Some(candidate) => self.note(format!("did you mean `{candidate}`?")),
            None => self,
        }
    }

    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Diagnostic {
        self.related.push((span, Related::Label(label.into())));
        self
    }

    #[must_use]
    pub fn conceal(mut self, span: Option<Span>) -> Diagnostic {
        self.related.extend(span.map(|span| (span, Related::Concealed)));
        self
    }

    #[must_use]
    pub fn about(self, subject: Option<Box<str>>) -> Diagnostic {
        Diagnostic { subject, ..self }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Everything that was found in a run, in the order in which it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.0.last() != Some(&diagnostic) {
            self.0.push(diagnostic);
        }
    }

    /// With warnings in the place of errors.
    #[must_use]
    pub fn softened(self) -> Diagnostics {
        let soft = |diagnostic| Diagnostic { severity: Severity::Warning, ..diagnostic };
        Diagnostics(self.0.into_iter().map(soft).collect())
    }

    /// Each once: the same place evaluated for many instances has one thing to say.
    #[must_use]
    pub fn without_repetitions(self) -> Diagnostics {
        let mut seen = HashSet::new();
        Diagnostics(self.0.into_iter().filter(|diagnostic| seen.insert(diagnostic.clone())).collect())
    }

    /// Source text that none of what was found since there were `since` may show.
    pub(crate) fn conceal(&mut self, since: usize, span: Span) {
        self.0.iter_mut().skip(since).for_each(|diagnostic| diagnostic.related.push((span, Related::Concealed)));
    }

    pub fn extend(&mut self, other: Diagnostics) {
        other.0.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    pub fn has_errors(&self) -> bool {
        self.0.iter().any(Diagnostic::is_error)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
