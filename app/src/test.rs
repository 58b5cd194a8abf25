//! The tests of a module, and the snapshots of what they plan.

mod snapshots;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use compiler::Inputs;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::lang::secrets;
use compiler::source::SourceMap;
use compiler::testing::{self, TestFile};
use compiler::text::Text;
use engine::state::store;
use engine::testing::{Outcome, Running, Status, Tester, removal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::failure::{Result, refuse};
use crate::root::{DATA, Root};
use crate::stack::{Simulation, Stack};
pub use snapshots::Difference;

/// How many test files run at once where nobody says otherwise.
pub const PARALLELISM: u16 = 4;
/// Where test files are, besides the folder of the stack.
pub const TESTS: &str = "tests";

#[derive(Debug, Clone)]
pub struct TestRequest {
    pub inputs: Inputs,
    pub simulation: Simulation,
    /// Only these test files; all if there are none.
    pub filter: Vec<PathBuf>,
    pub folder: PathBuf,
    pub on_difference: OnDifference,
    pub parallelism: u16,
}

impl TestRequest {
    /// All tests, as they are.
    pub fn new(inputs: Inputs) -> TestRequest {
        TestRequest {
            inputs,
            simulation: Simulation::Render,
            filter: Vec::new(),
            folder: PathBuf::from(TESTS),
            on_difference: OnDifference::Fail,
            parallelism: PARALLELISM,
        }
    }
}

/// What becomes of a snapshot that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDifference {
    Fail,
    /// What was found is right.
    Accept,
}

/// Who is told of tests while they run.
pub trait WatchTests: Send + Sync {
    fn found(&self, files: &[(String, TestFile)]);
    /// A run has ended; with the text of its plan.
    fn ran(&self, path: &str, run: &RunReport, plan: Option<&Text>);
}

/// What became of all test files.
#[derive(Debug)]
pub struct Tested {
    pub reports: Vec<Report>,
    /// Snapshots that no run has any more.
    pub unowned: Vec<PathBuf>,
}

impl Tested {
    pub fn is_good(&self) -> bool {
        self.reports.iter().all(|report| report.status() <= Status::Pass) && self.unowned.is_empty()
    }

    pub fn count(&self, wanted: Status) -> usize {
        self.runs().filter(|run| run.status == wanted).count()
    }

    pub fn runs(&self) -> impl Iterator<Item = &RunReport> {
        self.reports.iter().flat_map(|report| &report.runs)
    }
}

/// A test file and what became of it.
#[derive(Debug)]
pub struct Report {
    /// As the user would write it.
    pub path: String,
    pub runs: Vec<RunReport>,
    /// What could not be removed in the end.
    pub clean_up: Diagnostics,
    pub sources: SourceMap,
}

#[derive(Debug)]
pub struct RunReport {
    pub name: String,
    pub status: Status,
    pub elapsed: Duration,
    pub diags: Diagnostics,
    pub differences: Vec<Difference>,
    /// How many of them were accepted.
    pub accepted: usize,
    /// Where its snapshot is, if it has one.
    pub folder: Option<PathBuf>,
}

impl Report {
    pub fn status(&self) -> Status {
        let worst = self.runs.iter().map(|run| run.status).max().unwrap_or(Status::Pass);
        if self.clean_up.has_errors() { Status::Error } else { worst.max(Status::Pass) }
    }
}

/// Runs them.
pub async fn test(stack: &mut Stack, request: &TestRequest, watch: Arc<dyn WatchTests>) -> Result<Tested> {
    let mut inputs = request.inputs.clone();
    stack.inputs_of_tests(&request.folder, &mut inputs)?;
    let files = read_files(request, stack)?;
    left_behind(stack)?;
    watch.found(&files);
    let permits = Arc::new(Semaphore::new(usize::from(request.parallelism)));
    let mut tasks = JoinSet::new();
    let files = Arc::new(files);
    for at in 0..files.len() {
        let (files, permits, watch) = (files.clone(), permits.clone(), watch.clone());
        let name = format!("t{}-{at}", std::process::id());
        let tester = stack.tester(inputs.clone(), &name, request.simulation)?;
        let snapshots = Snapshots {
            root: stack.root.clone(),
            folder: request.folder.join("snapshots"),
            accepts: request.on_difference == OnDifference::Accept,
        };
        let sources = stack.sources.clone();
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let (path, file) = &files[at];
            let report = run_file(path, file, &tester, sources, &snapshots, &*watch).await;
            let is_clean = !report.clean_up.has_errors();
            if is_clean {
                let _ = std::fs::remove_dir_all(&tester.scratch);
            }
            (at, report)
        });
    }
    let mut reports = Vec::new();
    while let Some(done) = tasks.join_next().await {
        reports.push(done.map_err(anyhow::Error::from)?);
    }
    let _ = std::fs::remove_dir(stack.root.at(Path::new(DATA).join("tests")));
    reports.sort_by_key(|(at, _)| *at);
    let reports: Vec<Report> = reports.into_iter().map(|(_, report)| report).collect();
    let unowned = unowned(stack, request, &reports)?;
    Ok(Tested { reports, unowned })
}

/// Where snapshots are.
#[derive(Debug)]
struct Snapshots {
    root: Root,
    /// As the user would write it.
    folder: PathBuf,
    accepts: bool,
}

/// Tells of tests that were cut off, and did not remove what they had made.
fn left_behind(stack: &Stack) -> Result<()> {
    let folders = match std::fs::read_dir(stack.root.at(Path::new(DATA).join("tests"))) {
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
            Some("tfstate") => !store::peek(path, &Arc::default()).is_ok_and(|view| view.state.is_empty()),
            _ => false,
        };
        if files.any(|path| names_something(&path)) {
            stack.host.watch.note(&format!("an earlier test was cut off; {}", removal(&folder)));
        } else {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
    Ok(())
}

/// Every test file, by its path.
fn read_files(request: &TestRequest, stack: &mut Stack) -> Result<Vec<(String, TestFile)>> {
    let mut paths = paths(stack, &request.folder);
    let wanted: Vec<String> = request.filter.iter().map(|path| plain(path)).collect();
    if let Some(missing) = wanted.iter().find(|wanted| !paths.contains(wanted)) {
        let known = if paths.is_empty() { "none".to_owned() } else { paths.join(", ") };
        refuse!("there is no test file {missing}; there are: {known}");
    }
    let mut folders: BTreeMap<PathBuf, &String> = BTreeMap::new();
    for path in &paths {
        if let Some(other) = folders.insert(snapshot_folder(Path::new(""), path), path) {
            refuse!("{other} and {path} have one name, and so one place for their snapshots; rename one of them");
        }
    }
    paths.retain(|path| wanted.is_empty() || wanted.contains(path));
    read_all(stack, paths)
}

fn read_all(stack: &mut Stack, paths: Vec<String>) -> Result<Vec<(String, TestFile)>> {
    let mut diags = Diagnostics::default();
    let mut files = Vec::new();
    for path in paths {
        let (file, found) = read_file(stack, &path)?;
        diags.extend(found);
        files.push((path, file));
    }
    stack.tell(&diags)?;
    Ok(files)
}

fn read_file(stack: &mut Stack, path: &str) -> Result<(TestFile, Diagnostics)> {
    let text = String::from_utf8(stack.loader.read(path).map_err(anyhow::Error::from)?);
    let Ok(text) = text else { refuse!("{path} is not UTF-8") };
    let id = stack.sources.add(path, text);
    let (file, found) = testing::read(id, &stack.sources);
    let runs = file.runs.iter().map(|run| &run.variables);
    for given in runs.chain([&file.variables]) {
        secrets::conceal_given(&stack.program.root().variables, given, &mut stack.sources);
    }
    Ok((file, found))
}

/// What is wrong with the test files of a stack, here and in a folder.
pub(crate) fn check_files(stack: &mut Stack, folder: &Path) -> Result<Diagnostics> {
    let mut diags = Diagnostics::default();
    if folder != Path::new(TESTS) && !stack.root.at(folder).is_dir() {
        let label = format!("there is no folder {} with tests", folder.display());
        diags.push(Diagnostic::warning("missing folder", label));
    }
    for path in paths(stack, folder) {
        diags.extend(read_file(stack, &path)?.1);
    }
    Ok(diags)
}

/// The test files here and in a folder, by their paths.
pub(crate) fn files(stack: &mut Stack, folder: &Path) -> Result<Vec<(String, TestFile)>> {
    let paths = paths(stack, folder);
    read_all(stack, paths)
}

fn paths(stack: &Stack, folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for folder in [Path::new("."), folder] {
        let listed = stack.loader.list(&folder.display().to_string()).unwrap_or_default();
        let names = listed.into_iter().filter(|name| name.ends_with(".tftest.hcl") && !name.starts_with('.'));
        paths.extend(names.map(|name| plain(&folder.join(name))));
    }
    paths
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
    snapshots: &Snapshots,
    watch: &dyn WatchTests,
) -> Report {
    let mut running = Running::new(tester, file);
    let mut runs = Vec::new();
    for test in &file.runs {
        let outcome = running.run(test, &mut sources).await;
        let folder = test.snapshot.then(|| snapshot_folder(&snapshots.folder, path).join(&*test.name.name));
        let plan = outcome.plan.clone();
        let mut report = compare(&test.name.name, outcome, folder.map(|folder| snapshots.root.at(folder)));
        if snapshots.accepts {
            accept(&mut report, |_, _| true);
        }
        watch.ran(path, &report, plan.as_ref());
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
pub fn accept(run: &mut RunReport, is_right: impl Fn(&Difference, &Path) -> bool) {
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

/// Snapshots that no run has any more; where what was found is right, they go. With a filter nobody can tell.
fn unowned(stack: &Stack, request: &TestRequest, reports: &[Report]) -> Result<Vec<PathBuf>> {
    if !request.filter.is_empty() {
        return Ok(Vec::new());
    }
    let owned: BTreeSet<PathBuf> =
        reports.iter().flat_map(|report| &report.runs).filter_map(|run| run.folder.clone()).collect();
    let found = snapshots::unowned(&stack.root.at(request.folder.join("snapshots")), &owned)?;
    if request.on_difference == OnDifference::Accept {
        for folder in &found {
            let _ = std::fs::remove_dir_all(folder);
        }
        return Ok(Vec::new());
    }
    Ok(found)
}
