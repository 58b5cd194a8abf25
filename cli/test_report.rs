//! What `lampwright test` shows: a line for every run as it ends, what is wrong after all have ended.

use std::path::Path;
use std::sync::Arc;

use app::test::{Difference, Report, RunReport, Tested, WatchTests};
use app::watch::Watch as _;
use compiler::testing::TestFile;
use engine::testing::Status;

use crate::print;
use crate::proposal::Proposal;
use crate::ui::Ui;
use crate::{exit, json};

/// Tests as they are run.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) ui: Arc<Ui>,
    /// With the plan of every run.
    pub(crate) is_verbose: bool,
}

impl WatchTests for Shown {
    fn found(&self, files: &[(String, TestFile)]) {
        if self.ui.is_json {
            json::test_abstract(files);
        } else if files.is_empty() {
            print::line("There are no tests: write tests/NAME.tftest.hcl (docs/testing-modules.md shows how).");
        }
    }

    fn ran(&self, path: &str, run: &RunReport, plan: Option<&str>) {
        if self.ui.is_json {
            return json::test_run(path, run);
        }
        if let Some(plan) = plan.filter(|_| self.is_verbose) {
            self.ui.plan(plan);
        }
        let time = match run.status {
            Status::Skip => String::new(),
            _ => format!("  {:.1} s", run.elapsed.as_secs_f64()),
        };
        let accepted = match run.accepted {
            0 => String::new(),
            1 => "  1 file accepted".to_owned(),
            count => format!("  {count} files accepted"),
        };
        let status = self.ui.status(run.status.as_str(), colour(run.status));
        print::line(&format!("{path}  {}  {status}{time}{accepted}", run.name));
    }
}

fn colour(status: Status) -> &'static str {
    match status {
        Status::Pass => "32",
        Status::Fail | Status::Error => "31",
        Status::Skip => "33",
    }
}

/// Everything that is wrong, and the numbers. `again` is the command as it was called. Returns the exit code.
pub(crate) fn finish(ui: &Ui, tested: &Tested, again: &Proposal) -> u8 {
    for report in &tested.reports {
        for run in &report.runs {
            details(ui, report, run);
        }
        ui.diagnostics(&report.clean_up, &report.sources);
    }
    let is_good = tested.is_good();
    if ui.is_json {
        json::test_summary(tested);
        return if is_good { exit::SUCCESS } else { exit::FAILURE };
    }
    for folder in &tested.unowned {
        ui.error(&format!(
            "no run has the snapshot {} any more; `{}` removes it",
            folder.display(),
            again.clone().argument("--accept").text()
        ));
    }
    let differing = tested.runs().filter(|run| !run.differences.is_empty()).count();
    if differing > 0 {
        let what = if differing == 1 { "snapshot differs" } else { "snapshots differ" };
        print::line(&format!(
            "\n{differing} {what}. If this is what you want: {}, or --review to see one by one.",
            again.clone().argument("--accept").text()
        ));
    }
    let word = if is_good { "Success" } else { "Failure" };
    let numbers =
        [(Status::Pass, "passed"), (Status::Fail, "failed"), (Status::Error, "in error"), (Status::Skip, "skipped")];
    let numbers: Vec<String> = numbers
        .into_iter()
        .map(|(status, name)| (tested.count(status), name))
        .filter(|(count, name)| *count > 0 || *name == "passed" || *name == "failed")
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    print::line(&format!("\n{word}: {}.", numbers.join(", ")));
    if is_good { exit::SUCCESS } else { exit::FAILURE }
}

fn details(ui: &Ui, report: &Report, run: &RunReport) {
    if !ui.is_json && (!run.diags.is_empty() || !run.differences.is_empty()) {
        print::line(&format!("\n{}  {}:", report.path, run.name));
    }
    ui.diagnostics(&run.diags, &report.sources);
    let Some(folder) = &run.folder else { return };
    if !ui.is_json
        && run.differences.len() > 1
        && run.differences.iter().all(|one| one.accepted.is_none())
        && !folder.exists()
    {
        print::line(&format!("new snapshot {} of {} files", folder.display(), run.differences.len()));
        return;
    }
    for difference in &run.differences {
        show(ui, difference, folder);
    }
}

fn show(ui: &Ui, difference: &Difference, folder: &Path) {
    if ui.is_json {
        return json::snapshot(difference, folder);
    }
    ui.diff(&difference.lines(folder));
}

/// Whether the user takes a difference as right.
pub(crate) fn ask(ui: &Ui, run: &str, difference: &Difference, folder: &Path) -> bool {
    print::line(&format!("\n{run}:"));
    ui.diff(&difference.lines(folder));
    print::choose("Accept this? [y/N] ")
}
