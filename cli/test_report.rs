//! What `lampwright test` shows: a line for every run as it ends, what is wrong after all have ended.

use std::path::{Path, PathBuf};

use compiler::testing::TestFile;
use engine::testing::Status;

use crate::commands::test::{Report, RunReport};
use crate::proposal::Proposal;
use crate::snapshots::Difference;
use crate::{exit, json, ui};

pub(crate) fn start(files: &[(String, TestFile)], is_json: bool) {
    if is_json {
        json::test_abstract(files);
    } else if files.is_empty() {
        ui::line("There are no tests: write tests/NAME.tftest.hcl (docs/testing-modules.md shows how).");
    }
}

/// A run that has ended.
pub(crate) fn ran(path: &str, run: &RunReport, is_json: bool) {
    if is_json {
        return json::test_run(path, run);
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
    let status = ui::status(run.status.as_str(), colour(run.status));
    ui::line(&format!("{path}  {}  {status}{time}{accepted}", run.name));
}

fn colour(status: Status) -> &'static str {
    match status {
        Status::Pass => "32",
        Status::Fail | Status::Error => "31",
        Status::Skip => "33",
    }
}

/// Everything that is wrong, and the numbers. `again` is the command as it was called. Returns the exit code.
pub(crate) fn finish(reports: &[Report], unowned: &[PathBuf], is_json: bool, again: &Proposal) -> u8 {
    for report in reports {
        for run in &report.runs {
            details(report, run, is_json);
        }
        ui::diagnostics(&report.clean_up, &report.sources);
    }
    let count =
        |wanted: Status| reports.iter().flat_map(|report| &report.runs).filter(|run| run.status == wanted).count();
    let has_failed = reports.iter().any(|report| report.status() > Status::Pass);
    let is_good = !has_failed && unowned.is_empty();
    if is_json {
        json::test_summary(reports, unowned, is_good);
        return if is_good { exit::SUCCESS } else { exit::FAILURE };
    }
    for folder in unowned {
        ui::error(&format!(
            "no run has the snapshot {} any more; `{}` removes it",
            folder.display(),
            again.clone().argument("--accept").text()
        ));
    }
    let differing = reports.iter().flat_map(|report| &report.runs).filter(|run| !run.differences.is_empty()).count();
    if differing > 0 {
        let what = if differing == 1 { "snapshot differs" } else { "snapshots differ" };
        ui::line(&format!(
            "\n{differing} {what}. If this is what you want: {}, or --review to see one by one.",
            again.clone().argument("--accept").text()
        ));
    }
    let word = if is_good { "Success" } else { "Failure" };
    let numbers =
        [(Status::Pass, "passed"), (Status::Fail, "failed"), (Status::Error, "in error"), (Status::Skip, "skipped")];
    let numbers: Vec<String> = numbers
        .into_iter()
        .map(|(status, name)| (count(status), name))
        .filter(|(count, name)| *count > 0 || *name == "passed" || *name == "failed")
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    ui::line(&format!("\n{word}: {}.", numbers.join(", ")));
    if is_good { exit::SUCCESS } else { exit::FAILURE }
}

fn details(report: &Report, run: &RunReport, is_json: bool) {
    if !is_json && (!run.diags.is_empty() || !run.differences.is_empty()) {
        ui::line(&format!("\n{}  {}:", report.path, run.name));
    }
    ui::diagnostics(&run.diags, &report.sources);
    let Some(folder) = &run.folder else { return };
    if !is_json
        && run.differences.len() > 1
        && run.differences.iter().all(|one| one.accepted.is_none())
        && !folder.exists()
    {
        ui::line(&format!("new snapshot {} of {} files", folder.display(), run.differences.len()));
        return;
    }
    for difference in &run.differences {
        show(difference, folder, is_json);
    }
}

fn show(difference: &Difference, folder: &Path, is_json: bool) {
    if is_json {
        return json::snapshot(difference, folder);
    }
    ui::diff(&difference.lines(folder));
}

/// Whether the user takes a difference as right.
pub(crate) fn ask(run: &str, difference: &Difference, folder: &Path) -> bool {
    ui::line(&format!("\n{run}:"));
    ui::diff(&difference.lines(folder));
    ui::choose("Accept this? [y/N] ")
}
