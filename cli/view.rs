//! What a command tells, for whoever shows it.

use std::fmt;
use std::path::Path;

use app::change::Made;
use app::test::{Report, RunReport, Tested};
use compiler::diag::Diagnostics;
use compiler::source::SourceMap;
use compiler::testing::TestFile;
use compiler::text::Text;
use engine::event::Event;
use engine::plan::Plan;
use engine::plan::show::ShowOptions;

use crate::proposal::Proposal;

/// One way to show it: `lines` for people, `json` for programs.
pub(crate) trait View: fmt::Debug + Send + Sync {
    fn event(&self, event: &Event);

    fn diagnostics(&self, diags: &Diagnostics, sources: &SourceMap);

    fn planned(&self, plan: &Plan, stack: &str, options: &ShowOptions);

    /// A change begins to be made.
    fn begun(&self, plan: &Plan);

    /// It is made, or was stopped. `onward` is how to go on with what was not done.
    fn made(&self, made: &Made, onward: &str);

    fn tests_found(&self, files: &[(String, TestFile)]);

    /// A run has ended; with its plan, where that is asked for.
    fn test_ran(&self, path: &str, run: &RunReport, plan: Option<&Text>);

    /// The details of a run follow, after all have ended.
    fn test_details(&self, report: &Report, run: &RunReport);

    /// What is not as in the snapshot, which is in this folder.
    fn test_differences(&self, run: &RunReport, folder: &Path);

    /// All have ended. `again` is the command as it was called.
    fn tested(&self, tested: &Tested, again: &Proposal);
}
