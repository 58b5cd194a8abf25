//! What a provider has to say about a value: the `Diagnostic` of the plugin protocol.

use crate::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Error,
    Warning,
}

/// A message about a value, without a place in a source text (only the compiler knows those).
///
/// `summary` is short and fixed; `detail` says in sentences what, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub summary: String,
    pub detail: String,
    /// The part of the configuration that the problem is about; the root for all of it.
    pub path: Path,
}

impl Problem {
    pub fn error(summary: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem { severity: Severity::Error, summary: summary.into(), detail: detail.into(), path: Path::root() }
    }

    pub fn warning(summary: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(summary, detail) }
    }

    #[must_use]
    pub fn at(self, path: Path) -> Problem {
        Problem { path, ..self }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
