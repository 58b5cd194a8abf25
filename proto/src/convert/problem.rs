use value::{Path, Problem, Severity, Step};

use crate::tfplugin6::attribute_path::{Step as WireStep, step::Selector};
use crate::tfplugin6::{AttributePath, Diagnostic, diagnostic};

pub fn problem_to_wire(problem: &Problem) -> Diagnostic {
    let severity = match problem.severity {
        Severity::Error => diagnostic::Severity::Error,
        Severity::Warning => diagnostic::Severity::Warning,
    };
    Diagnostic {
        severity: severity.into(),
        summary: problem.summary.clone(),
        detail: problem.detail.clone(),
        attribute: (!problem.path.0.is_empty()).then(|| path_to_wire(&problem.path)),
    }
}

/// A severity that is not known counts as an error: it is safer to stop than to go on.
pub fn problem_from_wire(wire: &Diagnostic) -> Problem {
    let severity = match wire.severity() {
        diagnostic::Severity::Warning => Severity::Warning,
        diagnostic::Severity::Error | diagnostic::Severity::Invalid => Severity::Error,
    };
    Problem {
        severity,
        summary: wire.summary.clone(),
        detail: wire.detail.clone(),
        path: wire.attribute.as_ref().map(path_from_wire).unwrap_or_default(),
    }
}

pub fn path_to_wire(path: &Path) -> AttributePath {
    let steps = path.0.iter().map(|step| {
        let selector = match step {
            Step::Attribute(name) => Selector::AttributeName(name.to_string()),
            Step::Key(key) => Selector::ElementKeyString(key.to_string()),
            Step::Index(position) => Selector::ElementKeyInt(*position as i64),
        };
        WireStep { selector: Some(selector) }
    });
    AttributePath { steps: steps.collect() }
}

/// Steps that cannot be read end the path: what is left still leads near the place.
pub fn path_from_wire(wire: &AttributePath) -> Path {
    let steps = wire.steps.iter().map_while(|step| match step.selector.as_ref()? {
        Selector::AttributeName(name) => Some(Step::Attribute(name.as_str().into())),
        Selector::ElementKeyString(key) => Some(Step::Key(key.as_str().into())),
        Selector::ElementKeyInt(position) => usize::try_from(*position).ok().map(Step::Index),
    });
    Path(steps.collect())
}
