//! `lampwright test`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::lang::secrets;
use compiler::source::{SourceLoader as _, SourceMap};
use compiler::testing::{self, TestFile};
use engine::state::store;
use engine::testing::{Outcome, Running, Status, Tester, removal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::InputArgs;
use crate::disk::Disk;
use crate::proposal::Proposal;
use crate::session::{DATA, Session, Simulation};
use crate::snapshots::{self, Difference};
use crate::{exit, junit, test_report, ui};

const PARALLELISM: u16 = 4;
const TESTS: &str = "tests";

/// Run the module's tests, and compare what they plan with what was accepted
///
/// Tests are *.tftest.hcl here and in tests/, in Terraform's language. A run with `snapshot =
/// true` also compares its plan, the outputs and every file of every machine with what was
/// accepted, under tests/snapshots/.
///
///   lampwright test                 all tests; a difference is shown and fails
///   lampwright test --accept        takes what the runs found as right
///   lampwright test --review        asks for every difference
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Let the daemons check the syntax of every file of every snapshot; they have to be installed here
    #[arg(long)]
    check: bool,
    /// Only this test file; may be given several times
    #[arg(long, value_name = "FILE")]
    filter: Vec<PathBuf>,
    /// Where test files are, besides this folder
    #[arg(long, value_name = "DIR", default_value = TESTS)]
    test_directory: PathBuf,
    /// Take every difference of a snapshot as right
    #[arg(long, conflicts_with = "review")]
    accept: bool,
    /// Walk through the differences of snapshots, one by one
    #[arg(long, conflicts_with = "json")]
    review: bool,
    /// Machine-readable: one JSON object a line, as `terraform test -json` has them
    #[arg(long)]
    pub(super) json: bool,
    /// Write the results to a file, too, in the form of JUnit
    #[arg(long, value_name = "FILE")]
    junit_xml: Option<PathBuf>,
    /// Show the plan of every run
    #[arg(long, conflicts_with = "json")]
    verbose: bool,
    /// How many test files to run at once
    #[arg(long, default_value_t = PARALLELISM, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    parallelism: u16,
}

/// All tests of the module here, as without any flag. Whether there are any, and all pass.
pub(super) async fn all_pass() -> anyhow::Result<bool> {
    let args = TestArgs {
        inputs: InputArgs::default(),
        check: false,
        filter: Vec::new(),
        test_directory: PathBuf::from(TESTS),
        accept: false,
        review: false,
        json: false,
        junit_xml: None,
        verbose: false,
        parallelism: PARALLELISM,
    };
    let (code, reports) = execute(&args).await?;
    let has_passed = reports.iter().flat_map(|report| &report.runs).any(|run| run.status == Status::Pass);
    Ok(code == exit::SUCCESS && has_passed)
}

/// How runs are shown, and what becomes of differences.
#[derive(Debug, Clone, Copy)]
struct Mode {
    is_json: bool,
    is_verbose: bool,
    accepts: bool,
}

/// A test file and what became of it.
#[derive(Debug)]
pub(crate) struct Report {
    /// As the user would write it.
    pub(crate) path: String,
    pub(crate) runs: Vec<RunReport>,
    /// What could not be removed in the end.
    pub(crate) clean_up: Diagnostics,
    pub(crate) sources: SourceMap,
}

#[derive(Debug)]
pub(crate) struct RunReport {
    pub(crate) name: String,
    pub(crate) status: Status,
    pub(crate) elapsed: Duration,
    pub(crate) diags: Diagnostics,
    pub(crate) differences: Vec<Difference>,
    /// How many of them were accepted.
    pub(crate) accepted: usize,
    /// Where its snapshot is, if it has one.
    pub(crate) folder: Option<PathBuf>,
}

impl Report {
    pub(crate) fn status(&self) -> Status {
        let worst = self.runs.iter().map(|run| run.status).max().unwrap_or(Status::Pass);
        if self.clean_up.has_errors() { Status::Error } else { worst.max(Status::Pass) }
    }
}

pub(crate) async fn run(args: &TestArgs) -> anyhow::Result<u8> {
    Ok(execute(args).await?.0)
}

/// The exit code, and what became of every file.
async fn execute(args: &TestArgs) -> anyhow::Result<(u8, Vec<Report>)> {
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    if is_ci && (args.accept || args.review) {
        anyhow::bail!("in CI (the variable CI is set) no snapshot is written; accept it where you work, and commit it");
    }
    let failed = || (exit::FAILURE, Vec::new());
    let Ok(mut session) = Session::open() else { return Ok(failed()) };
    let Ok(mut inputs) = session.inputs(&args.inputs)? else { return Ok(failed()) };
    let Ok(()) = session.inputs_of_tests(&args.test_directory, &mut inputs)? else { return Ok(failed()) };
    let Some(files) = read_files(args, &mut session)? else { return Ok(failed()) };
    left_behind()?;
    test_report::start(&files, args.json);
    let permits = Arc::new(Semaphore::new(usize::from(args.parallelism)));
    let mut tasks = JoinSet::new();
    let files = Arc::new(files);
    let simulation = Simulation::of(args.check);
    for at in 0..files.len() {
        let (files, permits) = (files.clone(), permits.clone());
        let tester = session.tester(inputs.clone(), &format!("t{}-{at}", std::process::id()), simulation)?;
        let sources = session.sources.clone();
        let root = args.test_directory.join("snapshots");
        let mode = Mode { is_json: args.json, is_verbose: args.verbose, accepts: args.accept };
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let (path, file) = &files[at];
            let report = run_file(path, file, &tester, sources, &root, mode).await;
            let is_clean = !report.clean_up.has_errors();
            if is_clean {
                let _ = std::fs::remove_dir_all(&tester.scratch);
            }
            (at, report)
        });
    }
    let mut reports = Vec::new();
    while let Some(done) = tasks.join_next().await {
        reports.push(done?);
    }
    let _ = std::fs::remove_dir(Path::new(DATA).join("tests"));
    reports.sort_by_key(|(at, _)| *at);
    let mut reports: Vec<Report> = reports.into_iter().map(|(_, report)| report).collect();
    if args.review {
        for run in reports.iter_mut().flat_map(|report| &mut report.runs) {
            let name = run.name.clone();
            accept(run, |difference, folder| test_report::ask(&name, difference, folder));
        }
    }
    let unowned = unowned(args, &reports)?;
    if let Some(path) = &args.junit_xml {
        junit::write(path, &reports)?;
    }
    let again = Proposal::new("test").inputs(&args.inputs, &session.program);
    let again = again.argument_if(
        args.test_directory != Path::new(TESTS),
        format!("-test-directory={}", args.test_directory.display()),
    );
    let again = args.filter.iter().fold(again, |again, file| again.argument(format!("-filter={}", file.display())));
    Ok((test_report::finish(&reports, &unowned, args.json, &again), reports))
}

/// Tells of tests that were cut off, and did not remove what they had made.
fn left_behind() -> anyhow::Result<()> {
    let folders = match std::fs::read_dir(Path::new(DATA).join("tests")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        folders => folders?,
    };
    for folder in folders {
        let folder = folder?;
        let name = folder.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix('t').and_then(|name| name.split('-').next()).unwrap_or_default();
        // One that runs beside this one; a process that has ended has no command line, whether or not its parent knows.
        if std::fs::read(Path::new("/proc").join(pid).join("cmdline")).is_ok_and(|words| !words.is_empty()) {
            continue;
        }
        let folder = folder.path();
        // Another test may remove it meanwhile.
        let mut files = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        // A journal is there as long as nobody has gone on from it.
        let names_something = |path: &PathBuf| match path.extension().and_then(OsStr::to_str) {
            Some("journal") => true,
            // What cannot be read may name something.
            Some("tfstate") => !store::peek(path).is_ok_and(|view| view.state.is_empty()),
            _ => false,
        };
        if files.any(|path| names_something(&path)) {
            ui::note(&format!("an earlier test was cut off; {}", removal(&folder)));
        } else {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
    Ok(())
}

/// Every test file, by its path. None if one cannot be read: that was shown.
fn read_files(args: &TestArgs, session: &mut Session) -> anyhow::Result<Option<Vec<(String, TestFile)>>> {
    let mut paths = Vec::new();
    for folder in [Path::new("."), &args.test_directory] {
        let listed = Disk.list(&folder.display().to_string()).unwrap_or_default();
        let names = listed.into_iter().filter(|name| name.ends_with(".tftest.hcl") && !name.starts_with('.'));
        paths.extend(names.map(|name| plain(&folder.join(name))));
    }
    let wanted: Vec<String> = args.filter.iter().map(|path| plain(path)).collect();
    if let Some(missing) = wanted.iter().find(|wanted| !paths.contains(wanted)) {
        let known = if paths.is_empty() { "none".to_owned() } else { paths.join(", ") };
        anyhow::bail!("there is no test file {missing}; there are: {known}");
    }
    let mut folders: BTreeMap<PathBuf, &String> = BTreeMap::new();
    for path in &paths {
        if let Some(other) = folders.insert(snapshot_folder(Path::new(""), path), path) {
            anyhow::bail!("{other} and {path} have one name, and so one place for their snapshots; rename one of them");
        }
    }
    paths.retain(|path| wanted.is_empty() || wanted.contains(path));
    let mut diags = Diagnostics::default();
    let mut files = Vec::new();
    for path in paths {
        let text = String::from_utf8(Disk.read(&path)?);
        let Ok(text) = text else { anyhow::bail!("{path} is not UTF-8") };
        let id = session.sources.add(path.as_str(), text);
        let (file, found) = testing::read(id, &session.sources);
        let runs = file.runs.iter().map(|run| &run.variables);
        for given in runs.chain([&file.variables]) {
            secrets::conceal_given(&session.program.root().variables, given, &mut session.sources);
        }
        diags.extend(found);
        files.push((path, file));
    }
    ui::diagnostics(&diags, &session.sources);
    Ok((!diags.has_errors()).then_some(files))
}

/// `./tests/a` is `tests/a`.
fn plain(path: &Path) -> String {
    path.components().filter(|part| part.as_os_str() != ".").collect::<PathBuf>().display().to_string()
}

/// `tests/lamp.tftest.hcl` has its snapshots in `tests/snapshots/lamp`.
fn snapshot_folder(root: &Path, path: &str) -> PathBuf {
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    root.join(name.strip_suffix(".tftest.hcl").unwrap_or(&name))
}

async fn run_file(
    path: &str,
    file: &TestFile,
    tester: &Tester,
    mut sources: SourceMap,
    root: &Path,
    mode: Mode,
) -> Report {
    let mut running = Running::new(tester, file);
    let mut runs = Vec::new();
    for test in &file.runs {
        let outcome = running.run(test, &mut sources).await;
        let folder = test.snapshot.then(|| snapshot_folder(root, path).join(&*test.name.name));
        if let Some(plan) = outcome.plan.as_deref().filter(|_| mode.is_verbose) {
            ui::plan(plan);
        }
        let mut report = compare(&test.name.name, outcome, folder);
        if mode.accepts {
            accept(&mut report, |_, _| true);
        }
        test_report::ran(path, &report, mode.is_json);
        runs.push(report);
    }
    let clean_up = running.clean_up().await;
    Report { path: path.to_owned(), runs, clean_up, sources }
}

/// What a run found, beside what was accepted.
fn compare(name: &str, outcome: Outcome, folder: Option<PathBuf>) -> RunReport {
    let Outcome { mut status, mut diags, elapsed, snapshot, .. } = outcome;
    let mut differences = Vec::new();
    if let (Some(folder), Some(snapshot)) = (&folder, &snapshot) {
        match snapshots::read(folder) {
            Ok(accepted) => differences = snapshots::compare(&accepted, &snapshot.files),
            Err(error) => {
                status = Status::Error;
                let label = format!("{}: {error}", folder.display());
                diags.push(Diagnostic::error("the snapshot cannot be read", label));
            }
        }
        if !differences.is_empty() {
            status = status.max(Status::Fail);
        }
    }
    RunReport { name: name.to_owned(), status, elapsed, diags, differences, accepted: 0, folder }
}

/// Takes the differences that `is_right`; a run that had nothing else against it passes then.
fn accept(run: &mut RunReport, is_right: impl Fn(&Difference, &Path) -> bool) {
    let Some(folder) = run.folder.clone() else { return };
    // What goes makes room: a file may come where a folder was.
    let (gone, come): (Vec<_>, Vec<_>) =
        std::mem::take(&mut run.differences).into_iter().partition(|difference| difference.found.is_none());
    for difference in gone.into_iter().chain(come) {
        if !is_right(&difference, &folder) {
            run.differences.push(difference);
            continue;
        }
        match difference.accept(&folder) {
            Ok(()) => run.accepted += 1,
            Err(error) => {
                run.status = Status::Error;
                let label = format!("{}: {error}", folder.join(&difference.path).display());
                run.diags.push(Diagnostic::error("the snapshot cannot be written", label));
                run.differences.push(difference);
            }
        }
    }
    if run.status == Status::Fail && run.differences.is_empty() && !run.diags.has_errors() {
        run.status = Status::Pass;
    }
}

/// Snapshots that no run has any more. With `--accept` they go. With `-filter` nobody can tell.
fn unowned(args: &TestArgs, reports: &[Report]) -> anyhow::Result<Vec<PathBuf>> {
    if !args.filter.is_empty() {
        return Ok(Vec::new());
    }
    let owned: BTreeSet<PathBuf> =
        reports.iter().flat_map(|report| &report.runs).filter_map(|run| run.folder.clone()).collect();
    let found = snapshots::unowned(&args.test_directory.join("snapshots"), &owned)?;
    if args.accept {
        for folder in &found {
            let _ = std::fs::remove_dir_all(folder);
        }
        return Ok(Vec::new());
    }
    Ok(found)
}
