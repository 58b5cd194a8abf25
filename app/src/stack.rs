//! A stack that has been read, and its providers.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use compiler::binding::Schemas;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::encryption::{self, Encryption};
use compiler::program::{self, Program};
use compiler::source::{SourceFile, SourceLoader, SourceMap};
use compiler::surroundings::Surroundings;
use compiler::{Inputs, addr::ProviderSource};
use engine::event::Event;
use engine::host::launch::Progress;
use engine::host::providers::{PluginLauncher, Providers};
use engine::host::search::PluginSearch;
use engine::operations::dialect;
use engine::run::{Run, host_diagnostics};
use engine::state::seal::Seal;
use engine::state::store::Known;
use engine::state::{State, state_name};
use engine::testing::Tester;
use tokio::sync::{mpsc, oneshot};

use crate::builtin::{Launch, Seals};
use crate::failure::{Failure, Result};
use crate::host::Host;
use crate::plugins;
use crate::root::{DATA, Root};
use crate::sources::loader::{Disk, Overlay};
use crate::workspace;

pub struct Stack {
    pub program: Arc<Program>,
    pub sources: SourceMap,
    /// How many of those are the program; the others are values of variables.
    n_own_sources: usize,
    pub root: Root,
    pub(crate) host: Arc<Host>,
    pub(crate) loader: Arc<dyn SourceLoader>,
    /// Found when it is first needed.
    search: Mutex<Option<PluginSearch>>,
}

/// What our provider does in the place of talking to clouds (`drivers/simulated.rs` of it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simulation {
    /// It renders.
    Render,
    /// It also lets the daemons check their files.
    Check,
}

impl Simulation {
    pub fn of(checks: bool) -> Simulation {
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

impl Stack {
    pub fn open(host: &Arc<Host>, root: &Root) -> Result<Stack> {
        let (stack, diags) = Stack::read(host, root);
        stack.tell(&diags)?;
        Ok(stack)
    }

    /// Leaves it to the caller to tell what is wrong with it.
    pub fn read(host: &Arc<Host>, root: &Root) -> (Stack, Diagnostics) {
        Stack::load(host, root, Arc::new(Stack::disk(host, root)), ".")
    }

    /// Another module, in a folder of this one.
    pub(crate) fn module(&self, folder: &str) -> Result<Stack> {
        let (stack, diags) = Stack::load(&self.host, &self.root, self.loader.clone(), folder);
        stack.tell(&diags)?;
        Ok(stack)
    }

    /// As it was when these were its texts.
    pub(crate) fn as_saved(
        host: &Arc<Host>,
        root: &Root,
        texts: std::collections::BTreeMap<String, String>,
    ) -> Result<Stack> {
        Stack::open_with(host, root, Arc::new(Overlay { texts, disk: Stack::disk(host, root) }))
    }

    pub(crate) fn open_with(host: &Arc<Host>, root: &Root, loader: Arc<dyn SourceLoader>) -> Result<Stack> {
        let (stack, diags) = Stack::load(host, root, loader, ".");
        stack.tell(&diags)?;
        Ok(stack)
    }

    pub(crate) fn disk(host: &Host, root: &Root) -> Disk {
        Disk { root: root.clone(), watch: host.watch.clone() }
    }

    fn load(host: &Arc<Host>, root: &Root, loader: Arc<dyn SourceLoader>, folder: &str) -> (Stack, Diagnostics) {
        let mut sources = SourceMap::default();
        let (program, diags) = program::load(folder, &*loader, &mut sources);
        let stack = Stack {
            program: Arc::new(program),
            n_own_sources: sources.files().len(),
            sources,
            root: root.clone(),
            host: host.clone(),
            loader,
            search: Mutex::default(),
        };
        (stack, diags)
    }

    /// Tells the watcher; errors among these are a failure.
    pub(crate) fn tell(&self, diags: &Diagnostics) -> Result<()> {
        self.host.watch.diagnostics(diags, &self.sources);
        if diags.has_errors() { Err(Failure::Told) } else { Ok(()) }
    }

    /// The texts that it was read from.
    pub(crate) fn own_sources(&self) -> &[SourceFile] {
        &self.sources.files()[..self.n_own_sources]
    }

    /// The selected workspace.
    pub fn workspace(&self) -> Result<String> {
        Ok(workspace::selected(&self.host, &self.root)?)
    }

    /// Whether anything is said of encryption, here or in the environment.
    pub(crate) fn says_encryption(&self) -> bool {
        self.program.root().encryption.is_some() || self.host.environment.text("TF_ENCRYPTION").is_some()
    }

    /// Whether its texts have the word, read or not.
    pub(crate) fn mentions_encryption(&self) -> bool {
        self.sources.files().iter().any(|file| file.text.contains("encryption"))
    }

    /// How what is written is encrypted.
    pub(crate) fn encryption(&self, inputs: &Inputs) -> Result<Encryption> {
        let variable = self.host.environment.text("TF_ENCRYPTION");
        let mut sources = self.sources.clone();
        match encryption::settings(&self.program, inputs, &*self.loader, variable.as_deref(), &mut sources) {
            Ok(settings) => Ok(settings),
            Err(diags) => {
                // Of the variable no text is shown: it may have a passphrase.
                let known = self.sources.files().len();
                let conceal =
                    |diagnostic: Diagnostic| match diagnostic.span.filter(|span| span.file.0 as usize >= known) {
                        Some(_) => {
                            let label = format!("in TF_ENCRYPTION: {}", diagnostic.label);
                            Diagnostic { label: label.into(), span: None, related: Vec::new(), ..diagnostic }
                        }
                        None => diagnostic,
                    };
                let diags = Diagnostics(diags.0.into_iter().map(conceal).collect());
                self.host.watch.diagnostics(&diags, &self.sources);
                Err(Failure::Told)
            }
        }
    }

    /// What the stack is called: by its `stack` block, else by its folder.
    pub fn name(&self) -> String {
        match &self.program.root().stack {
            Some(stack) => stack.name.to_string(),
            None => {
                let folder = self.root.absolute().file_name();
                folder.map_or_else(|| "stack".to_owned(), |name| name.to_string_lossy().into_owned())
            }
        }
    }

    /// Starts the providers and prepares a run.
    pub(crate) async fn run(&self, inputs: Inputs) -> Result<(Run, Telling)> {
        self.start(inputs, 1, &State::default(), Vec::new()).await
    }

    /// As `run`, with the providers of what the state has, too: it may have to be removed. They are told which state it is.
    pub(crate) async fn run_with_state(
        &self,
        inputs: Inputs,
        parallelism: usize,
        known: &Known<'_>,
    ) -> Result<(Run, Telling)> {
        let environment = known.environment.iter().map(|(name, value)| match name.as_str() {
            // Plugins stand in the folder of the stack.
            state_name::PATH_VARIABLE => (name.clone(), self.root.relative(value.as_ref()).display().to_string()),
            _ => (name.clone(), value.clone()),
        });
        self.start(inputs, parallelism, known.state, environment.collect()).await
    }

    /// What the providers of the stack, and of what a state has, say that they have.
    pub(crate) async fn schemas(&self, state: &State) -> Result<Arc<Schemas>> {
        let (run, _telling) = self.start(Inputs::default(), 1, state, Vec::new()).await?;
        let schemas = run.providers.schemas().clone();
        run.providers.shutdown().await;
        Ok(schemas)
    }

    /// As `run_with_state`, with our own provider talking to no cloud: plans are the same everywhere and tell all files
    /// of all machines.
    pub(crate) async fn simulate(&self, inputs: Inputs, state: &State, simulation: Simulation) -> Result<Run> {
        // What such a plan does on its way is of no interest.
        let (events, _) = mpsc::unbounded_channel();
        self.start_with(inputs, 10, events, state, vec![simulation.variable()]).await
    }

    async fn start(
        &self,
        inputs: Inputs,
        parallelism: usize,
        state: &State,
        environment: Vec<(String, String)>,
    ) -> Result<(Run, Telling)> {
        let (events, telling) = Telling::start(self.host.clone());
        Ok((self.start_with(inputs, parallelism, events, state, environment).await?, telling))
    }

    async fn start_with(
        &self,
        inputs: Inputs,
        parallelism: usize,
        events: mpsc::UnboundedSender<Event>,
        state: &State,
        environment: Vec<(String, String)>,
    ) -> Result<Run> {
        let configured = self.program.requirements().into_iter().map(|requirement| requirement.source);
        let sources: BTreeSet<ProviderSource> = configured.chain(state.providers()).collect();
        let sources: Vec<ProviderSource> = sources.into_iter().collect();
        let (progress, mut progress_of_plugins) = mpsc::unbounded_channel::<Progress>();
        let forwarded = events.clone();
        tokio::spawn(async move {
            while let Some(Progress { address, message }) = progress_of_plugins.recv().await {
                let _ = forwarded.send(Event::Progress { address, message });
            }
        });
        let search = self.search()?;
        self.tell(&plugins::check(&search, &self.root, &sources)?)?;
        let mut seals = Seals::new();
        if sources.contains(&ProviderSource::builtin()) && self.says_encryption() {
            let found = self.encryption(&inputs)?.remote_states.into_iter();
            seals = found.map(|(name, methods)| (name, Arc::new(Seal::new(methods)))).collect();
        }
        let launcher = self.launcher(search, progress, environment, seals);
        let providers = match Providers::start(Arc::new(launcher), sources).await {
            Ok(providers) => providers,
            Err(error) => {
                self.tell(&host_diagnostics(&error, None))?;
                return Err(Failure::Told);
            }
        };
        Ok(Run {
            program: self.program.clone(),
            loader: self.loader.clone(),
            surroundings: self.surroundings(),
            inputs,
            providers: Arc::new(providers),
            parallelism,
            events,
            cancelled: self.host.watch.cancelled(),
        })
    }

    fn surroundings(&self) -> Surroundings {
        let home = self.host.environment.text("HOME");
        Surroundings { home, ..Surroundings::at(&self.root.absolute().display().to_string()) }
    }

    fn launcher(
        &self,
        search: PluginSearch,
        progress: mpsc::UnboundedSender<Progress>,
        environment: Vec<(String, String)>,
        remote_states: Seals,
    ) -> Launch {
        let folder = self.root.absolute().to_owned();
        let plugins = PluginLauncher { search, folder, progress, environment, guard: self.host.guard.clone() };
        Launch { plugins, host: self.host.clone(), root: self.root.clone(), remote_states }
    }

    /// Where plugins are. What has no effect of what the user has said of it is told once.
    pub(crate) fn search(&self) -> Result<PluginSearch> {
        let mut found = self.search.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(search) = &*found {
            return Ok(search.clone());
        }
        let (search, told) = plugins::search(&self.host, &self.root, &self.program)?;
        told.iter().for_each(|text| self.host.watch.note(text));
        *found = Some(search.clone());
        Ok(search)
    }

    /// Plugins were installed.
    pub(crate) fn found(&self, search: PluginSearch) {
        *self.search.lock().unwrap_or_else(PoisonError::into_inner) = Some(search);
    }

    /// Prepares tests. `name` tells what they make from everything else.
    pub(crate) fn tester(&self, inputs: Inputs, name: &str, simulation: Simulation) -> Result<Tester> {
        let search = self.search()?;
        let launcher = |variable: (String, String)| {
            let (progress, _) = mpsc::unbounded_channel();
            Arc::new(self.launcher(search.clone(), progress, vec![variable], Seals::new()))
        };
        // What happens inside of a run is of interest only in the log.
        let (events, _) = mpsc::unbounded_channel();
        Ok(Tester {
            program: self.program.clone(),
            loader: self.loader.clone(),
            surroundings: self.surroundings(),
            launcher: launcher((dialect::TEST_VARIABLE.to_owned(), name.to_owned())),
            simulator: launcher(simulation.variable()),
            inputs,
            parallelism: 10,
            events,
            cancelled: self.host.watch.cancelled(),
            scratch: self.root.at(Path::new(DATA).join("tests").join(name)),
        })
    }
}

/// Tells events while they happen.
#[derive(Debug)]
pub struct Telling {
    task: tokio::task::JoinHandle<()>,
    marks: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Telling {
    fn start(host: Arc<Host>) -> (mpsc::UnboundedSender<Event>, Telling) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let (marks, mut marked) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    event = receiver.recv() => match event {
                        Some(event) => host.watch.event(&event),
                        None => return,
                    },
                    Some(mark) = marked.recv() => {
                        while let Ok(event) = receiver.try_recv() {
                            host.watch.event(&event);
                        }
                        let _ = mark.send(());
                    }
                }
            }
        });
        (sender, Telling { task, marks })
    }

    /// What has happened until now is told before anything else is.
    pub(crate) async fn catch_up(&self) {
        let (mark, is_told) = oneshot::channel();
        if self.marks.send(mark).is_ok() {
            let _ = is_told.await;
        }
    }

    /// Waits a moment for events that are still on their way.
    pub(crate) async fn finish(self) {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(300), self.task).await;
    }
}
