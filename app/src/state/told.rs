//! What is told of runs that were cut off, and of what they have left beside the state.

use compiler::diag::{Diagnostic, Diagnostics};
use compiler::source::SourceMap;
use engine::state::State;
use engine::state::recovery::Recovered;

use crate::watch::Watch;

/// Tells everything; returns whether something is lost that who makes changes has to know first.
pub(super) fn tell(watch: &dyn Watch, recovered: &Recovered, state: &State, reader: Reader) -> bool {
    let is_lost = tell_losses(watch, recovered, reader);
    notes(watch, recovered, state, reader);
    is_lost
}

/// Tells only what cannot be read.
pub(super) fn tell_losses(watch: &dyn Watch, recovered: &Recovered, reader: Reader) -> bool {
    let diags = diagnostics(recovered, reader);
    watch.diagnostics(&diags, &SourceMap::default());
    diags.has_errors()
}

/// More lines than this say nothing more.
const SHOWN_LINES: usize = 20;

/// Who opened the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Changes nothing, and leaves everything as it is.
    Looks,
    /// Has folded in what could be read.
    Changes,
}

/// What is lost. For whoever makes changes that is an error: what is lost may exist, and would be made once more.
fn diagnostics(recovered: &Recovered, reader: Reader) -> Diagnostics {
    let mut diags = Diagnostics::default();
    if recovered.is_emptied {
        let label = "there is no state, but a backup of one";
        diags.push(
            Diagnostic::warning("there is no state", label)
                .note("if it was lost, put the backup in its place before anything is made anew"),
        );
    }
    if recovered.is_altered {
        let label = "it says something else than was written: somebody has edited it, or it is damaged";
        diags.push(
            Diagnostic::warning("the state was changed by another hand", label)
                .note("if nobody did, put its backup in its place; the next apply takes it as it is"),
        );
    }
    let Some(journal) = recovered.journal.as_ref().filter(|_| recovered.is_incomplete()) else { return diags };
    let new = |summary: &str, label: String| match reader {
        Reader::Looks => Diagnostic::warning(summary, label),
        Reader::Changes => Diagnostic::error(summary, label),
    };
    let mut diagnostic = if recovered.is_foreign {
        let label = format!(
            "{} belongs to another version of the state, or to another one; what it records is not in the state",
            journal.display()
        );
        new("the journal is of another state", label)
    } else {
        new("the journal of the state is damaged", format!("of {} not everything can be read", journal.display()))
    };
    for line in recovered.damage.iter().take(SHOWN_LINES) {
        diagnostic = diagnostic.note(line.clone());
    }
    if recovered.damage.len() > SHOWN_LINES {
        diagnostic = diagnostic.note(format!("and {} lines more", recovered.damage.len() - SHOWN_LINES));
    }
    if !recovered.is_foreign && !recovered.is_void {
        let counted = changes(recovered.records);
        diagnostic = diagnostic.note(match reader {
            Reader::Looks => format!("{counted} of it could be read and taken into account"),
            Reader::Changes => format!("{counted} of it could be read and put into the state"),
        });
    }
    if recovered.is_void {
        diagnostic = diagnostic.note("everything that could be read of it is in the state already");
    }
    let what = "what it recorded besides may exist and is not in the state";
    let cure = "machines of our own layers are found by their tags when their layer is applied or imported; take in other objects with `lampwright import ADDRESS ID`, or remove them where they are";
    diagnostic = diagnostic.note(format!("{what}: {cure}"));
    diags.push(match &recovered.set_aside {
        Some(path) => diagnostic
            .note(format!("it was set aside as {}", path.display()))
            .note("nothing else was done; look at what is there, then do the same again to go on without it"),
        None => diagnostic.note("nothing was changed; the next apply or destroy sets it aside, and stops once"),
    });
    diags
}

/// What was going on.
fn notes(watch: &dyn Watch, recovered: &Recovered, state: &State, reader: Reader) {
    if recovered.is_from_copy {
        watch.note("the writing of the state file was cut off; the state is from the whole copy beside it");
    }
    let is_whole = !recovered.is_incomplete() && !recovered.is_void;
    if recovered.records > 0 && is_whole {
        let counted = changes(recovered.records);
        let (verb, done) = match reader {
            Reader::Looks => ("is", "taken into account, and in the state file after the next apply"),
            Reader::Changes => ("is", "in the state now"),
        };
        let verb = if recovered.records == 1 { verb } else { "are" };
        watch.note(&format!("an earlier run was cut off; its {counted} {verb} {done}"));
    } else if recovered.journal.is_some() && is_whole {
        watch.note("an earlier run was cut off before it recorded a change");
    }
    if recovered.is_torn {
        watch.note(
            "its last record was only half written and does not count: its step was not done when it was cut off",
        );
    }
    for addr in state.unfinished.keys() {
        watch.note(&format!(
            "{addr} was being made when a run was cut off; the next apply takes over what exists of it, or removes that if the stack has it no more"
        ));
    }
    for (addr, doubt) in &state.in_doubt {
        watch.note(&doubt.explain(addr));
    }
}

fn changes(records: usize) -> String {
    if records == 1 { "1 recorded change".to_owned() } else { format!("{records} recorded changes") }
}
