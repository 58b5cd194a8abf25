//! The `-json` stream: one JSON object a line, in the form of Terraform's machine-readable UI (version 1.2).

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use app::change::Made;
use app::test::{Difference, Report, RunReport, Tested};
use compiler::diag::{Diagnostic, Diagnostics, Severity};
use compiler::source::{SourceMap, Span};
use compiler::testing::TestFile;
use compiler::text::Text;
use engine::event::Event;
use engine::plan::Plan;
use engine::plan::show::{ShowOptions, counts};
use engine::testing::Status;
use serde_json::{Map, Value as Json, json};

use crate::print;
use crate::proposal::Proposal;
use crate::screen::Screen;
use crate::view::View;

/// Where the lines go.
#[derive(Debug)]
pub(crate) enum Stream {
    Stdout,
    File(Into),
}

/// A file beside what people see.
#[derive(Debug)]
pub(crate) struct Into {
    path: PathBuf,
    /// None after it could not be written to.
    file: Mutex<Option<File>>,
    screen: Arc<Screen>,
}

/// A state, a stack, a saved plan: only what an earlier command has told is written over.
pub(crate) fn refuse_what_is_ours(path: &Path) -> std::io::Result<()> {
    // A pipe is nobody's.
    if !path.is_file() {
        return Ok(());
    }
    let Ok(found) = std::fs::read(path) else { return Ok(()) };
    let is_told = found.starts_with(b"{\"@")
        || found.starts_with(b"{\n  \"diagnostics\"")
        || found.starts_with(b"{\n  \"error_count\"");
    if found.is_empty() || is_told {
        return Ok(());
    }
    Err(std::io::Error::other("it is there, and is nothing that an earlier command has told; name another file"))
}

impl Stream {
    /// It takes the place of what was in the file.
    pub(crate) fn into_file(path: PathBuf, screen: Arc<Screen>) -> std::io::Result<Stream> {
        refuse_what_is_ours(&path)?;
        let file = Mutex::new(Some(File::create(&path)?));
        Ok(Stream::File(Into { path, file, screen }))
    }

    fn write(&self, line: &str) {
        match self {
            Stream::Stdout => print::line(line),
            Stream::File(Into { path, file, screen }) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let written = file.as_mut().map_or(Ok(()), |file| file.write_all(format!("{line}\n").as_bytes()));
                if let Err(error) = written {
                    *file = None;
                    screen.note(&format!("{} is not whole: it cannot be written any more: {error}", path.display()));
                }
            }
        }
    }

    fn emit(&self, level: &str, message: &str, kind: &str, mut fields: Map<String, Json>) {
        fields.insert("@level".to_owned(), level.into());
        fields.insert("@message".to_owned(), message.into());
        fields.insert("@module".to_owned(), "terraform.ui".into());
        fields.insert("@timestamp".to_owned(), jiff::Timestamp::now().to_string().into());
        fields.insert("type".to_owned(), kind.into());
        self.write(&Json::Object(fields).to_string());
    }

    pub(crate) fn version(&self) {
        let mut fields = one("ui", "1.2".into());
        fields.insert("lampwright".to_owned(), env!("CARGO_PKG_VERSION").into());
        self.emit("info", concat!("lampwright ", env!("CARGO_PKG_VERSION")), "version", fields);
    }

    /// What went wrong and has no place in a stack.
    pub(crate) fn error(&self, text: &str) {
        let diagnostic = json!({ "severity": "error", "summary": text, "detail": "" });
        self.emit("error", text, "diagnostic", one("diagnostic", diagnostic));
    }

    fn summary(&self, operation: &str, add: usize, change: usize, remove: usize) {
        let changes = json!({ "add": add, "change": change, "remove": remove, "import": 0, "operation": operation });
        let message = format!("{operation}: {add} to add, {change} to change, {remove} to destroy");
        self.emit("info", &message, "change_summary", one("changes", changes));
    }

    fn snapshot(&self, difference: &Difference, folder: &Path) {
        let path = folder.join(&difference.path).display().to_string();
        let json = json!({ "path": path, "diff": difference.text(folder).to_string().trim_end() });
        self.emit("error", &format!("{path} differs"), "test_snapshot", one("test_snapshot", json));
    }
}

fn one(name: &str, value: Json) -> Map<String, Json> {
    Map::from_iter([(name.to_owned(), value)])
}

pub(crate) fn diagnostic_json(diagnostic: &Diagnostic, sources: &SourceMap) -> Json {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let detail: Vec<&str> = std::iter::once(&*diagnostic.label)
        .chain(diagnostic.notes.iter().map(String::as_str))
        .filter(|text| !text.is_empty())
        .collect();
    let mut json = json!({ "severity": severity, "summary": diagnostic.summary, "detail": detail.join("\n") });
    if let Some(span) = diagnostic.span {
        json["range"] = range(span, sources);
    }
    json
}

fn range(span: Span, sources: &SourceMap) -> Json {
    let position = |offset: u32| {
        let (line, column) = sources.line_column(span.file, offset);
        json!({ "line": line, "column": column, "byte": offset })
    };
    json!({ "filename": sources.get(span.file).name, "start": position(span.start), "end": position(span.end) })
}

impl View for Stream {
    fn event(&self, event: &Event) {
        let resource = |addr: &compiler::addr::InstanceAddr| {
            json!({
                "addr": addr.to_string(),
                "module": addr.module.to_string(),
                "resource_type": &*addr.ty,
                "resource_name": &*addr.name,
            })
        };
        let hook =
            |addr: &compiler::addr::InstanceAddr, action: &str| json!({ "resource": resource(addr), "action": action });
        match event {
            Event::Refreshing { addr } => self.emit(
                "info",
                &format!("{addr}: refreshing"),
                "refresh_start",
                one("hook", json!({ "resource": resource(addr) })),
            ),
            Event::Surveying { .. } => {}
            Event::Refreshed { addr } => self.emit(
                "info",
                &format!("{addr}: refreshed"),
                "refresh_complete",
                one("hook", json!({ "resource": resource(addr) })),
            ),
            Event::Reading { addr } => {
                self.emit("info", &format!("{addr}: reading"), "apply_start", one("hook", hook(addr, "read")));
            }
            Event::Opening { addr } => {
                self.emit("info", &format!("{addr}: opening"), "ephemeral_op_start", one("hook", hook(addr, "open")));
            }
            Event::Started { addr, action } => {
                self.emit(
                    "info",
                    &format!("{addr}: started"),
                    "apply_start",
                    one("hook", hook(addr, &action.json().join("-"))),
                );
            }
            Event::Progress { address, message } => {
                self.emit(
                    "info",
                    &format!("{address}: {message}"),
                    "apply_progress",
                    one("hook", json!({ "resource": { "addr": address }, "message": message })),
                );
            }
            Event::Finished { addr, action, elapsed } => {
                let mut hook = hook(addr, &action.json().join("-"));
                hook["elapsed_seconds"] = elapsed.as_secs().into();
                self.emit("info", &format!("{addr}: complete"), "apply_complete", one("hook", hook));
            }
            Event::Failed { addr, action } => {
                self.emit(
                    "error",
                    &format!("{addr}: failed"),
                    "apply_errored",
                    one("hook", hook(addr, &action.json().join("-"))),
                );
            }
            Event::NotBegun { addr, action } => {
                self.emit(
                    "error",
                    &format!("{addr}: not begun"),
                    "apply_errored",
                    one("hook", hook(addr, &action.json().join("-"))),
                );
            }
        }
    }

    fn diagnostics(&self, diags: &Diagnostics, sources: &SourceMap) {
        for diagnostic in &diags.clone().without_repetitions().0 {
            let level = match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warn",
            };
            let json = one("diagnostic", diagnostic_json(diagnostic, sources));
            self.emit(level, &diagnostic.summary, "diagnostic", json);
        }
    }

    fn begun(&self, _plan: &Plan) {}

    fn made(&self, made: &Made, _onward: &str) {
        self.summary("apply", made.summary.added, made.summary.changed, made.summary.destroyed);
    }

    fn test_details(&self, _report: &Report, _run: &RunReport) {}

    fn test_differences(&self, run: &RunReport, folder: &Path) {
        run.differences.iter().for_each(|difference| self.snapshot(difference, folder));
    }

    fn planned(&self, plan: &Plan, _stack: &str, _options: &ShowOptions) {
        for change in plan.changes.values() {
            let moved_from = plan.moves.get(&change.addr);
            let action = match (change.action.json(), moved_from) {
                (["no-op"], Some(_)) => "move",
                (["no-op"], None) => continue,
                ([one], _) => *one,
                _ => "replace",
            };
            let mut json = json!({ "resource": { "addr": change.addr.to_string() }, "action": action });
            if let Some(from) = moved_from {
                json["previous_resource"] = json!({ "addr": from.to_string() });
            }
            if let Some(preview) = change.preview().filter(|preview| !preview.data.is_empty()) {
                json["data"] = json!(preview.data);
            }
            self.emit("info", &format!("{}: plan to {action}", change.addr), "planned_change", one("change", json));
        }
        for resource in plan.deferred.keys() {
            let json = json!({ "resource": { "addr": resource.to_string() } });
            self.emit("info", &format!("{resource}: put off"), "planned_deferral", one("deferral", json));
        }
        let (add, change, remove) = counts(plan);
        self.summary("plan", add, change, remove);
    }

    fn tests_found(&self, files: &[(String, TestFile)]) {
        let names = files.iter().map(|(path, file)| {
            let runs: Vec<&str> = file.runs.iter().map(|run| &*run.name.name).collect();
            (path.clone(), json!(runs))
        });
        let message = format!("Found {} test files", files.len());
        self.emit("info", &message, "test_abstract", one("test_abstract", Json::Object(names.collect())));
    }

    fn test_ran(&self, path: &str, run: &RunReport, _plan: Option<&Text>) {
        let status = run.status.as_str();
        let json = json!({
            "path": path, "run": run.name, "progress": "complete", "status": status,
            "elapsed": u64::try_from(run.elapsed.as_millis()).unwrap_or(u64::MAX),
        });
        self.emit("info", &format!("  \"{}\"... {status}", run.name), "test_run", one("test_run", json));
    }

    fn tested(&self, tested: &Tested, _again: &Proposal) {
        let is_good = tested.is_good();
        let json = json!({
            "status": if is_good { "pass" } else { "fail" },
            "passed": tested.count(Status::Pass), "failed": tested.count(Status::Fail),
            "errored": tested.count(Status::Error), "skipped": tested.count(Status::Skip),
            "unowned_snapshots": tested.unowned.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>(),
        });
        self.emit("info", if is_good { "Success!" } else { "Failure!" }, "test_summary", one("test_summary", json));
    }
}
