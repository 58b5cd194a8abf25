//! What people see of tests: a line for every run as it ends, what is wrong after all have ended.

use std::path::Path;

use app::test::{Report, RunReport, Tested};
use compiler::testing::TestFile;
use compiler::text::{Style, Text};
use engine::testing::Status;

use crate::proposal::Proposal;
use crate::screen::Screen;

pub(super) fn found(screen: &Screen, files: &[(String, TestFile)]) {
    if files.is_empty() {
        screen.line("There are no tests: write tests/NAME.tftest.hcl (docs/testing-modules.md shows how).");
    }
}

pub(super) fn ran(screen: &Screen, path: &str, run: &RunReport, plan: Option<&Text>) {
    if let Some(plan) = plan {
        let mut plan = plan.clone();
        plan.trim_end();
        screen.text(&plan);
    }
    let time = match run.status {
        Status::Skip => String::new(),
        Status::Pass | Status::Fail | Status::Error => format!("  {:.1} s", run.elapsed.as_secs_f64()),
    };
    let accepted = match run.accepted {
        0 => String::new(),
        1 => "  1 file accepted".to_owned(),
        count => format!("  {count} files accepted"),
    };
    let style = match run.status {
        Status::Pass => Style::Good,
        Status::Fail | Status::Error => Style::Bad,
        Status::Skip => Style::Changed,
    };
    let mut text = Text::default();
    text.push(Style::Plain, &format!("{path}  {}  ", run.name));
    text.push(style, run.status.as_str());
    text.line(Style::Plain, &format!("{time}{accepted}"));
    screen.text(&text);
}

pub(super) fn details(screen: &Screen, report: &Report, run: &RunReport) {
    if !run.diags.is_empty() || !run.differences.is_empty() {
        screen.line(&format!("\n{}  {}:", report.path, run.name));
    }
}

pub(super) fn differences(screen: &Screen, run: &RunReport, folder: &Path) {
    let is_new = run.differences.iter().all(|one| one.accepted.is_none()) && !folder.exists();
    if is_new && run.differences.len() > 1 {
        screen.line(&format!("new snapshot {} of {} files", folder.display(), run.differences.len()));
        return;
    }
    run.differences.iter().for_each(|difference| screen.text(&difference.text(folder)));
}

/// Everything that is wrong with all of them, and the numbers.
pub(super) fn all(screen: &Screen, tested: &Tested, again: &Proposal) {
    for folder in &tested.unowned {
        screen.error(&format!(
            "no run has the snapshot {} any more; `{}` removes it",
            folder.display(),
            again.clone().argument("--accept").text()
        ));
    }
    let differing = tested.runs().filter(|run| !run.differences.is_empty()).count();
    if differing > 0 {
        let what = if differing == 1 { "snapshot differs" } else { "snapshots differ" };
        screen.line(&format!(
            "\n{differing} {what}. If this is what you want: {}, or --review to see one by one.",
            again.clone().argument("--accept").text()
        ));
    }
    let word = if tested.is_good() { "Success" } else { "Failure" };
    let numbers =
        [(Status::Pass, "passed"), (Status::Fail, "failed"), (Status::Error, "in error"), (Status::Skip, "skipped")];
    let numbers: Vec<String> = numbers
        .into_iter()
        .map(|(status, name)| (tested.count(status), name))
        .filter(|(count, name)| *count > 0 || *name == "passed" || *name == "failed")
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    screen.line(&format!("\n{word}: {}.", numbers.join(", ")));
}
