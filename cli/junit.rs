//! Test results in the form of JUnit, as `terraform test -junit-xml` writes it.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use app::test::{Report, RunReport};
use compiler::diag::render::render;
use engine::testing::Status;

pub(crate) fn write(path: &Path, reports: &[Report]) -> anyhow::Result<()> {
    std::fs::write(path, document(reports)).with_context(|| format!("cannot write {}", path.display()))
}

fn document(reports: &[Report]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><testsuites>\n");
    for report in reports {
        let count = |wanted: Status| report.runs.iter().filter(|run| run.status == wanted).count();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" skipped=\"{}\" failures=\"{}\" errors=\"{}\">",
            escaped(&report.path),
            report.runs.len(),
            count(Status::Skip),
            count(Status::Fail),
            count(Status::Error)
        );
        report.runs.iter().for_each(|run| case(&mut out, report, run));
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn case(out: &mut String, report: &Report, run: &RunReport) {
    let (name, file) = (escaped(&run.name), escaped(&report.path));
    let _ = write!(out, "    <testcase name=\"{name}\" classname=\"{file}\" time=\"{:.3}\"", run.elapsed.as_secs_f64());
    let mut text = render(&run.diags, &report.sources);
    if let Some(folder) = &run.folder {
        text.extend(run.differences.iter().map(|one| one.text(folder).to_string()));
    }
    let _ = match run.status {
        Status::Pass => writeln!(out, "></testcase>"),
        Status::Skip => {
            writeln!(
                out,
                ">\n      <skipped message=\"an earlier run of the file ended in an error\"></skipped>\n    </testcase>"
            )
        }
        Status::Fail => element(out, "failure", "Test run failed", &text),
        Status::Error => element(out, "error", "Encountered an error", &text),
    };
}

fn element(out: &mut String, kind: &str, message: &str, text: &str) -> std::fmt::Result {
    writeln!(out, ">\n      <{kind} message=\"{message}\">{}</{kind}>\n    </testcase>", escaped(text.trim_end()))
}

/// XML has no way to write most control characters at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for ch in text.chars() {
        match ch {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(ch),
            ch if ch.is_control() => out.push('\u{fffd}'),
            ch => out.push(ch),
        }
    }
    out
}
