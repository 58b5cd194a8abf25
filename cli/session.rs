//! What every command needs: the stack in this folder, its inputs, and its providers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::evaluation::{read_variable, read_variables_file};
use compiler::program::{self, Program};
use compiler::source::{SourceLoader, SourceMap};
use compiler::{Inputs, addr::ProviderSource};
use engine::event::{Event, Events};
use engine::host::launch::{PluginSearch, Progress};
use engine::host::providers::{PluginLauncher, Providers};
use engine::operations::dialect;
use engine::run::{Run, host_diagnostics};
use engine::state::State;
use engine::state::store::Known;
use engine::testing::Tester;
use tokio::sync::{mpsc, watch};

use crate::commands::InputArgs;
use crate::{cli_config, disk::Disk, guard, ui};

pub(crate) const STATE: &str = "terraform.tfstate";
/// What belongs to this folder's stack and is no source: locks, copies of bundles.
pub(crate) const DATA: &str = ".lampwright";

/// A stack that has been read.
pub(crate) struct Session {
    pub(crate) program: Arc<Program>,
    pub(crate) sources: SourceMap,
    pub(crate) loader: Arc<dyn SourceLoader>,
}

/// What our provider does in the place of talking to clouds (`drivers/simulated.rs` of it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Simulation {
    /// It renders.
    Render,
    /// It also lets the daemons check their files.
    Check,
}

impl Simulation {
    pub(crate) fn of(checks: bool) -> Simulation {
        if checks { Simulation::Check } else { Simulation::Render }
    }

    fn variable(self) -> (String, String) {
        let value = match self {
            Simulation::Render => "1",
            Simulation::Check => "check",
        };
        (dialect::SIMULATE_VARIABLE.to_owned(), value.to_owned())
    }
}

/// Whether a file has values of variables, and is read unasked.
pub(crate) fn is_automatic(name: &str) -> bool {
    name.ends_with(".auto.tfvars")
}

/// Errors have been shown to the user; the command has failed.
#[derive(Debug)]
pub(crate) struct Shown;

impl Session {
    /// Reads the stack in the working directory.
    pub(crate) fn open() -> Result<Session, Shown> {
        Session::with_loader(Arc::new(Disk))
    }

    pub(crate) fn with_loader(loader: Arc<dyn SourceLoader>) -> Result<Session, Shown> {
        let (session, diags) = Session::read(loader);
        ui::diagnostics(&diags, &session.sources);
        if diags.has_errors() { Err(Shown) } else { Ok(session) }
    }

    /// Reads another module.
    pub(crate) fn open_folder(folder: &str) -> Result<Session, Shown> {
        let (session, diags) = Session::read_folder(Arc::new(Disk), folder);
        ui::diagnostics(&diags, &session.sources);
        if diags.has_errors() { Err(Shown) } else { Ok(session) }
    }

    /// Reads the stack and leaves it to the caller to show what is wrong with it.
    pub(crate) fn read(loader: Arc<dyn SourceLoader>) -> (Session, Diagnostics) {
        Session::read_folder(loader, ".")
    }

    fn read_folder(loader: Arc<dyn SourceLoader>, folder: &str) -> (Session, Diagnostics) {
        let mut sources = SourceMap::default();
        let (program, diags) = program::load(folder, &*loader, &mut sources);
        (Session { program: Arc::new(program), sources, loader }, diags)
    }

    /// Values for variables, the strongest last: environment, `terraform.tfvars`, `*.auto.tfvars`, then the
    /// command line in its order.
    pub(crate) fn inputs(&mut self, args: &InputArgs) -> anyhow::Result<Result<Inputs, Shown>> {
        let mut inputs = Inputs::default();
        let mut diags = Diagnostics::default();
        let declared: Vec<Arc<str>> = self.program.root().variables.keys().cloned().collect();
        for name in declared {
            if let Ok(text) = std::env::var(format!("TF_VAR_{name}")) {
                self.variable(&name, &text, "in the environment", &mut inputs, &mut diags);
            }
        }
        self.variables_files(Path::new(""), &mut inputs, &mut diags)?;
        for given in args.in_order() {
            match given {
                crate::commands::Given::Variable(text) => match text.split_once('=') {
                    Some((name, value)) => {
                        self.variable(name.trim(), value, "on the command line", &mut inputs, &mut diags);
                    }
                    None => diags
                        .push(Diagnostic::error("invalid -var", "-var is written 'name=value', and one has no `=`")),
                },
                crate::commands::Given::File(path) => self.variables_file(&path, &mut inputs, &mut diags)?,
            }
        }
        diags.extend(inputs.check_names(&self.program));
        ui::diagnostics(&diags, &self.sources);
        Ok(if diags.has_errors() { Err(Shown) } else { Ok(inputs) })
    }

    /// The values that tests have in files of their own folder. They are stronger than all that `inputs` gives, as
    /// Terraform has it.
    pub(crate) fn inputs_of_tests(&mut self, folder: &Path, inputs: &mut Inputs) -> anyhow::Result<Result<(), Shown>> {
        let mut diags = Diagnostics::default();
        self.variables_files(folder, inputs, &mut diags)?;
        ui::diagnostics(&diags, &self.sources);
        Ok(if diags.has_errors() { Err(Shown) } else { Ok(()) })
    }

    /// Those of a folder that are read unasked.
    fn variables_files(&mut self, folder: &Path, inputs: &mut Inputs, diags: &mut Diagnostics) -> anyhow::Result<()> {
        let mut names: Vec<String> = Disk.list(&Path::new(".").join(folder).display().to_string()).unwrap_or_default();
        names.retain(|name| name == "terraform.tfvars" || is_automatic(name));
        names.sort_by_key(|name| (name != "terraform.tfvars", name.clone()));
        names.iter().try_for_each(|name| self.variables_file(&folder.join(name), inputs, diags))
    }

    fn variable(&mut self, name: &str, text: &str, origin: &str, inputs: &mut Inputs, diags: &mut Diagnostics) {
        match read_variable(&self.program, name, text, origin, &mut self.sources) {
            Ok(input) => inputs.set(name, input),
            Err(found) => diags.extend(found),
        }
    }

    /// A value that a command gives itself.
    pub(crate) fn set(&mut self, inputs: &mut Inputs, name: &str, text: &str, origin: &str) -> Result<(), Shown> {
        let mut diags = Diagnostics::default();
        self.variable(name, text, origin, inputs, &mut diags);
        ui::diagnostics(&diags, &self.sources);
        if diags.has_errors() { Err(Shown) } else { Ok(()) }
    }

    fn variables_file(&mut self, path: &Path, inputs: &mut Inputs, diags: &mut Diagnostics) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the variables file {}", path.display()))?;
        let (found, errors) = read_variables_file(&self.program, &path.display().to_string(), &text, &mut self.sources);
        diags.extend(errors);
        found.into_iter().for_each(|(name, input)| inputs.set(name, input));
        Ok(())
    }

    /// What the stack is called: by its `stack` block, else by its folder.
    pub(crate) fn name(&self) -> String {
        match &self.program.root().stack {
            Some(stack) => stack.name.to_string(),
            None => std::env::current_dir()
                .ok()
                .and_then(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()))
                .unwrap_or_else(|| "stack".to_owned()),
        }
    }

    /// Starts the providers and prepares a run. Events go to `events`.
    pub(crate) async fn run(&self, inputs: Inputs, parallelism: usize, events: Events) -> Result<Run, Shown> {
        self.start(inputs, parallelism, events, &State::default(), Vec::new()).await
    }

    /// As `run`, with the providers of what the state has, too: it may have to be removed. They are told which state it is.
    pub(crate) async fn run_with_state(
        &self,
        inputs: Inputs,
        parallelism: usize,
        events: Events,
        known: &Known<'_>,
    ) -> Result<Run, Shown> {
        self.start(inputs, parallelism, events, known.state, known.environment.clone()).await
    }

    /// As `run_with_state`, with our own provider talking to no cloud: plans are the same everywhere and tell all files
    /// of all machines.
    pub(crate) async fn simulate(&self, inputs: Inputs, state: &State, simulation: Simulation) -> Result<Run, Shown> {
        // What such a plan does on its way is of no interest.
        let (events, _) = mpsc::unbounded_channel();
        self.start(inputs, 10, events, state, vec![simulation.variable()]).await
    }

    async fn start(
        &self,
        inputs: Inputs,
        parallelism: usize,
        events: Events,
        state: &State,
        environment: Vec<(String, String)>,
    ) -> Result<Run, Shown> {
        let configured = self.program.requirements().into_iter().map(|requirement| requirement.source);
        let recorded = state.instances.values().chain(state.unfinished.values()).chain(state.deposed.values());
        let recorded = recorded.map(|instance| instance.provider.source.clone());
        let sources: BTreeSet<ProviderSource> = configured.chain(recorded).collect();
        let sources: Vec<ProviderSource> = sources.into_iter().collect();
        let (progress, mut progress_of_plugins) = mpsc::unbounded_channel::<Progress>();
        let forwarded = events.clone();
        tokio::spawn(async move {
            while let Some(Progress { address, message }) = progress_of_plugins.recv().await {
                let _ = forwarded.send(Event::Progress { address, message });
            }
        });
        let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let search = match plugin_search(&self.program) {
            Ok(search) => search,
            Err(error) => {
                ui::error(&format!("{error:#}"));
                return Err(Shown);
            }
        };
        ui::diagnostics(&unchecked(&search, &sources), &self.sources);
        let guard = guard::program();
        let launcher = PluginLauncher { search, folder: folder.clone(), progress, environment, guard };
        let providers = match Providers::start(Arc::new(launcher), sources).await {
            Ok(providers) => providers,
            Err(error) => {
                ui::diagnostics(&host_diagnostics(&error, None), &self.sources);
                return Err(Shown);
            }
        };
        Ok(Run {
            program: self.program.clone(),
            loader: self.loader.clone(),
            cwd: folder.display().to_string(),
            inputs,
            providers: Arc::new(providers),
            parallelism,
            events,
            cancelled: cancelled_by_user(),
        })
    }
}

impl Session {
    /// Prepares tests. `name` tells what they make from everything else.
    pub(crate) fn tester(&self, inputs: Inputs, name: &str, simulation: Simulation) -> anyhow::Result<Tester> {
        let folder = std::env::current_dir()?;
        let scratch = Path::new(DATA).join("tests").join(name);
        let search = plugin_search(&self.program)?;
        let launcher = |variable: (String, String)| {
            let (progress, _) = mpsc::unbounded_channel();
            let environment = vec![variable];
            let guard = guard::program();
            Arc::new(PluginLauncher { search: search.clone(), folder: folder.clone(), progress, environment, guard })
        };
        // What happens inside of a run is of interest only in the log.
        let (events, _) = mpsc::unbounded_channel();
        Ok(Tester {
            program: self.program.clone(),
            loader: self.loader.clone(),
            cwd: folder.display().to_string(),
            launcher: launcher((dialect::TEST_VARIABLE.to_owned(), name.to_owned())),
            simulator: launcher(simulation.variable()),
            inputs,
            parallelism: 10,
            events,
            cancelled: cancelled_by_user(),
            scratch,
        })
    }
}

/// A command may look for plugins more than once.
static TOLD: std::sync::Once = std::sync::Once::new();

/// Where plugins are, in the order in which they are preferred.
pub(crate) fn plugin_search(program: &Program) -> anyhow::Result<PluginSearch> {
    let config = cli_config::read()?;
    TOLD.call_once(|| config.told.iter().for_each(|text| ui::note(text)));
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned()));
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".terraform.d/plugins"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(PluginSearch {
        beside,
        mirrors: [PathBuf::from("terraform.d/plugins")].into_iter().chain(home).chain(config.mirrors).collect(),
        path: std::env::split_paths(&path).collect(),
        overrides: config.overrides,
        wanted: program.wanted_versions(),
    })
}

/// Plugins that are taken whatever their version.
fn unchecked(search: &PluginSearch, sources: &[ProviderSource]) -> Diagnostics {
    let mut diags = Diagnostics::default();
    for source in sources {
        let Ok(found) = search.find(source) else { continue };
        let path = found.path.display();
        if found.is_override {
            let label =
                format!("{} is taken from {path}, as `dev_overrides` of the CLI configuration says", source.short());
            let warning = Diagnostic::warning("provider under development", label);
            diags.push(warning.note("what it does may differ from what is released; no version is compared"));
        } else if let (None, Some(wanted)) = (&found.version, search.wanted.get(source)) {
            let label = format!("{path} does not say its version, so {} is not compared with it", wanted.join(" and "));
            let warning = Diagnostic::warning("version not compared", label);
            diags.push(warning.note(
                "a version is told by the name of the file, terraform-provider-NAME_v1.2.3, or by a mirror's folder",
            ));
        }
    }
    diags
}

/// Turns true at the first Ctrl-C. The second ends the program at once.
fn cancelled_by_user() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            ui::error(
                "stopping: what is under way is finished and recorded; press Ctrl-C again to stop without waiting",
            );
            let _ = sender.send(true);
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(i32::from(crate::exit::FAILURE));
            }
        }
        // Keeps the channel open for as long as the program runs.
        std::future::pending::<()>().await;
        drop(sender);
    });
    receiver
}
