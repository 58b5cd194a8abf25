//! What `lampwright test` tells, to whom.

use std::path::Path;
use std::sync::Arc;

use app::test::{Difference, RunReport, Tested, WatchTests};
use app::watch::Watch as _;
use compiler::testing::TestFile;
use compiler::text::Text;

use crate::proposal::Proposal;
use crate::ui::Ui;
use crate::{exit, print};

/// Tests as they are run.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) ui: Arc<Ui>,
    /// With the plan of every run.
    pub(crate) is_verbose: bool,
}

impl WatchTests for Shown {
    fn found(&self, files: &[(String, TestFile)]) {
        self.ui.views().for_each(|view| view.tests_found(files));
    }

    fn ran(&self, path: &str, run: &RunReport, plan: Option<&Text>) {
        let plan = plan.filter(|_| self.is_verbose);
        self.ui.views().for_each(|view| view.test_ran(path, run, plan));
    }
}

/// Everything that is wrong, and the numbers. `again` is the command as it was called. Returns the exit code.
pub(crate) fn finish(ui: &Ui, tested: &Tested, again: &Proposal) -> u8 {
    for report in &tested.reports {
        for run in &report.runs {
            ui.views().for_each(|view| view.test_details(report, run));
            ui.diagnostics(&run.diags, &report.sources);
            if let Some(folder) = &run.folder {
                ui.views().for_each(|view| view.test_differences(run, folder));
            }
        }
        ui.diagnostics(&report.clean_up, &report.sources);
    }
    ui.views().for_each(|view| view.tested(tested, again));
    if tested.is_good() { exit::SUCCESS } else { exit::FAILURE }
}

/// Whether the user takes a difference as right.
pub(crate) fn ask(ui: &Ui, run: &str, difference: &Difference, folder: &Path) -> bool {
    ui.say(&format!("\n{run}:"));
    ui.text(&difference.text(folder));
    print::choose("Accept this? [y/N] ")
}
