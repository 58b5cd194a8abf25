//! Plugins that end with the run that has started them.
//!
//! A plugin of somebody else's does not notice that its host was killed, and would go on with what it was asked for, or stay
//! for good. So this program starts itself between the two, asks the system for a signal when the host is gone, and becomes
//! the plugin.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt as _, parent_id};
use std::process::{Command, ExitCode};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::exit;
use crate::ui::Ui;

const WORD: &str = "--end-plugin-with";

/// What a plugin is started by.
pub(crate) fn program() -> Vec<OsString> {
    match std::env::current_exe() {
        Ok(program) => vec![program.into(), WORD.into()],
        // Then it is started without.
        Err(_) => Vec::new(),
    }
}

/// Becomes the plugin if this process was started for that; comes back if it was not, or cannot.
pub(crate) fn become_plugin() -> Option<ExitCode> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [word, parent, program] = &args[..] else { return None };
    if word != WORD {
        return None;
    }
    // Where the system has no such signal the plugin runs as it would have without.
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    if parent.to_str().and_then(|text| text.parse().ok()) != Some(parent_id()) {
        return Some(ExitCode::from(exit::FAILURE));
    }
    let error = Command::new(program).exec();
    Ui::default().error(&format!("{} cannot be started: {error}", program.display()));
    Some(ExitCode::from(exit::FAILURE))
}
