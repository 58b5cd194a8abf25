//! A state that can be written neither to its file nor to its journal is kept elsewhere, as Terraform does.

use std::path::{Path, PathBuf};

use compiler::diag::Diagnostic;

use crate::state::file::StateError;
use crate::state::private;

const NAME: &str = "errored.tfstate";

/// Says where it is; the text comes back if it could be kept nowhere.
pub(super) fn rescue(state: &Path, cwd: &str, error: &StateError, text: String) -> (Diagnostic, Option<String>) {
    let beside = state.parent().map(|folder| folder.join(NAME));
    let places = [Some(PathBuf::from(cwd).join(NAME)), beside, Some(std::env::temp_dir().join(NAME))];
    let state = std::path::absolute(state).unwrap_or_else(|_| state.to_owned()).display().to_string();
    let diagnostic = Diagnostic::error("the state cannot be written", in_full(error));
    let kept = places.into_iter().flatten().find_map(|place| private::keep(&place, text.as_bytes()).ok());
    let until = "do this before anything else is changed: until then the state knows less than was done";
    match kept {
        Some(kept) => {
            let kept = std::path::absolute(&kept).unwrap_or(kept).display().to_string();
            let diagnostic = diagnostic.note(format!("the whole state, with everything that was done, is in {kept}"));
            (
                diagnostic
                    .note(format!("when there is room again, put it in its place: mv {kept} {state}"))
                    .note(until),
                None,
            )
        }
        None => {
            let note = format!(
                "nor could it be kept anywhere else, so the whole state follows here: save it, and when there is room again put it in the place of {state}"
            );
            (diagnostic.note(note).note(until), Some(text))
        }
    }
}

/// With what is behind it.
pub(super) fn in_full(error: &StateError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
