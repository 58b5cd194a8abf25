//! The `-json` stream: one JSON object a line, in the form of Terraform's machine-readable UI (version 1.2).

use std::path::Path;

use app::test::{Difference, RunReport, Tested};
use compiler::diag::{Diagnostic, Diagnostics, Severity};
use compiler::source::{SourceMap, Span};
use compiler::testing::TestFile;
use engine::event::Event;
use engine::plan::{Plan, show::counts};
use engine::testing::Status;
use serde_json::{Map, Value as Json, json};

use crate::print;

fn emit(level: &str, message: &str, kind: &str, mut fields: Map<String, Json>) {
    fields.insert("@level".to_owned(), level.into());
    fields.insert("@message".to_owned(), message.into());
    fields.insert("@module".to_owned(), "terraform.ui".into());
    fields.insert("@timestamp".to_owned(), jiff::Timestamp::now().to_string().into());
    fields.insert("type".to_owned(), kind.into());
    print::line(&Json::Object(fields).to_string());
}

fn one(name: &str, value: Json) -> Map<String, Json> {
    Map::from_iter([(name.to_owned(), value)])
}

pub(crate) fn version() {
    let mut fields = one("ui", "1.2".into());
    fields.insert("lampwright".to_owned(), env!("CARGO_PKG_VERSION").into());
    emit("info", concat!("lampwright ", env!("CARGO_PKG_VERSION")), "version", fields);
}

pub(crate) fn diagnostics(diags: &Diagnostics, sources: &SourceMap) {
    for diagnostic in &diags.0 {
        let level = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warn",
        };
        emit(level, &diagnostic.summary, "diagnostic", one("diagnostic", diagnostic_json(diagnostic, sources)));
    }
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

pub(crate) fn event(event: &Event) {
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
        Event::Refreshing { addr } => emit(
            "info",
            &format!("{addr}: refreshing"),
            "refresh_start",
            one("hook", json!({ "resource": resource(addr) })),
        ),
        Event::Reading { addr } => {
            emit("info", &format!("{addr}: reading"), "apply_start", one("hook", hook(addr, "read")));
        }
        Event::Opening { addr } => {
            emit("info", &format!("{addr}: opening"), "ephemeral_op_start", one("hook", hook(addr, "open")));
        }
        Event::Started { addr, action } => {
            emit("info", &format!("{addr}: started"), "apply_start", one("hook", hook(addr, &action.json().join("-"))));
        }
        Event::Progress { address, message } => {
            emit(
                "info",
                &format!("{address}: {message}"),
                "apply_progress",
                one("hook", json!({ "resource": { "addr": address }, "message": message })),
            );
        }
        Event::Finished { addr, action, elapsed } => {
            let mut hook = hook(addr, &action.json().join("-"));
            hook["elapsed_seconds"] = elapsed.as_secs().into();
            emit("info", &format!("{addr}: complete"), "apply_complete", one("hook", hook));
        }
        Event::Failed { addr, action } => {
            emit(
                "error",
                &format!("{addr}: failed"),
                "apply_errored",
                one("hook", hook(addr, &action.json().join("-"))),
            );
        }
        Event::NotBegun { addr, action } => {
            emit(
                "error",
                &format!("{addr}: not begun"),
                "apply_errored",
                one("hook", hook(addr, &action.json().join("-"))),
            );
        }
    }
}

pub(crate) fn planned(plan: &Plan) {
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
        emit("info", &format!("{}: plan to {action}", change.addr), "planned_change", one("change", json));
    }
    for resource in plan.deferred.keys() {
        let json = json!({ "resource": { "addr": resource.to_string() } });
        emit("info", &format!("{resource}: put off"), "planned_deferral", one("deferral", json));
    }
    let (add, change, remove) = counts(plan);
    summary("plan", add, change, remove);
}

pub(crate) fn summary(operation: &str, add: usize, change: usize, remove: usize) {
    let changes = json!({ "add": add, "change": change, "remove": remove, "import": 0, "operation": operation });
    let message = format!("{operation}: {add} to add, {change} to change, {remove} to destroy");
    emit("info", &message, "change_summary", one("changes", changes));
}

pub(crate) fn test_abstract(files: &[(String, TestFile)]) {
    let names = files.iter().map(|(path, file)| {
        let runs: Vec<&str> = file.runs.iter().map(|run| &*run.name.name).collect();
        (path.clone(), json!(runs))
    });
    let message = format!("Found {} test files", files.len());
    emit("info", &message, "test_abstract", one("test_abstract", Json::Object(names.collect())));
}

pub(crate) fn test_run(path: &str, run: &RunReport) {
    let status = run.status.as_str();
    let json = json!({
        "path": path, "run": run.name, "progress": "complete", "status": status,
        "elapsed": u64::try_from(run.elapsed.as_millis()).unwrap_or(u64::MAX),
    });
    emit("info", &format!("  \"{}\"... {status}", run.name), "test_run", one("test_run", json));
}

pub(crate) fn snapshot(difference: &Difference, folder: &Path) {
    let path = folder.join(&difference.path).display().to_string();
    let json = json!({ "path": path, "diff": difference.lines(folder).join("\n") });
    emit("error", &format!("{path} differs"), "test_snapshot", one("test_snapshot", json));
}

pub(crate) fn test_summary(tested: &Tested) {
    let is_good = tested.is_good();
    let json = json!({
        "status": if is_good { "pass" } else { "fail" },
        "passed": tested.count(Status::Pass), "failed": tested.count(Status::Fail),
        "errored": tested.count(Status::Error), "skipped": tested.count(Status::Skip),
        "unowned_snapshots": tested.unowned.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>(),
    });
    emit("info", if is_good { "Success!" } else { "Failure!" }, "test_summary", one("test_summary", json));
}
