//! What people see and programs read.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use app::watch::Watch;
use compiler::diag::Diagnostics;
use compiler::source::SourceMap;
use compiler::text::Text;
use engine::event::Event;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::environment::variable;
use crate::exit;
use crate::json::Stream;
use crate::lines::Lines;
use crate::proposal::Proposal;
use crate::screen::Screen;
use crate::terminal::{Terminal, Wish};
use crate::view::View;

/// Who is told, and how.
#[derive(Debug, Default)]
pub(crate) struct Ui {
    screen: Arc<Screen>,
    /// None with -json.
    people: Option<Lines>,
    program: Option<Stream>,
    /// Where the command was told to go, which the user's shell has not done.
    pub(crate) folder: Option<PathBuf>,
    /// Asked for when something begins that can be cut short.
    cancelled: OnceLock<watch::Receiver<bool>>,
}

/// What the command line says of it.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    pub(crate) colour: bool,
    /// Warnings by their summaries, where there is no error.
    pub(crate) is_compact: bool,
    pub(crate) json: Json,
    pub(crate) folder: Option<PathBuf>,
}

/// Whether a program reads along.
#[derive(Debug, Default)]
pub(crate) enum Json {
    #[default]
    No,
    /// In the place of people.
    Instead,
    Into(PathBuf),
}

impl Ui {
    pub(crate) fn new(telling: Telling) -> anyhow::Result<Ui> {
        let Telling { colour, is_compact, json, folder } = telling;
        let screen = Arc::new(Screen::new(Terminal::of_process(Wish { colour }, &variable)));
        let people = || Some(Lines::new(screen.clone(), is_compact));
        let (people, program) = match json {
            Json::No => (people(), None),
            Json::Instead => (None, Some(Stream::Stdout)),
            Json::Into(path) => {
                let path = folder.as_deref().unwrap_or(Path::new("")).join(path);
                let stream = Stream::into_file(path.clone(), screen.clone());
                (people(), Some(stream.with_context(|| format!("-json-into: cannot write {}", path.display()))?))
            }
        };
        Ok(Ui { screen, people, program, folder, cancelled: OnceLock::new() })
    }

    pub(crate) fn terminal(&self) -> Terminal {
        self.screen.terminal
    }

    pub(crate) fn views(&self) -> impl Iterator<Item = &dyn View> {
        let people = self.people.iter().map(|view| view as &dyn View);
        people.chain(self.program.iter().map(|view| view as &dyn View))
    }

    /// False with -json: nobody can be asked, and nothing be said besides.
    pub(crate) fn has_people(&self) -> bool {
        self.people.is_some()
    }

    /// What a program reads first.
    pub(crate) fn version(&self) {
        self.program.iter().for_each(Stream::version);
    }

    pub(crate) fn error(&self, text: &str) {
        self.screen.error(text);
        self.program.iter().for_each(|program| program.error(text));
    }

    /// For people only.
    pub(crate) fn say(&self, text: &str) {
        if self.has_people() {
            self.screen.line(text);
        }
    }

    pub(crate) fn text(&self, text: &Text) {
        self.screen.text(text);
    }

    /// Asks what a flag answers, too; anything but `yes` is a no, and so is a wish to end. The answer may come from a file or a pipe, as Terraform has it.
    pub(crate) async fn confirm(&self, question: &str, flag: &str) -> bool {
        let mut cancelled = self.cancelled();
        self.screen.ask(&format!("{question}\n  Only `yes` goes on: "));
        let (sender, answer) = tokio::sync::oneshot::channel();
        // A thread of its own: nobody waits for it if there is no answer.
        std::thread::spawn(move || {
            let mut answer = String::new();
            let is_read = std::io::stdin().lock().read_line(&mut answer).is_ok_and(|length| length > 0);
            let _ = sender.send(is_read.then_some(answer));
        });
        let answer = tokio::select! {
            answer = answer => answer.ok().flatten(),
            _ = cancelled.wait_for(|is_cancelled| *is_cancelled) => None,
        };
        // A terminal has shown the end of the line that was typed.
        self.screen.answered(answer.is_some() && std::io::stdin().is_terminal());
        if answer.is_none() && !*cancelled.borrow() && !std::io::stdin().is_terminal() {
            self.error(&format!(
                "there is nobody to ask: standard input is at its end; use {flag} to go on without a question"
            ));
        }
        answer.is_some_and(|answer| answer.trim() == "yes")
    }
}

impl Watch for Ui {
    fn event(&self, event: &Event) {
        self.views().for_each(|view| view.event(event));
    }

    fn diagnostics(&self, diags: &Diagnostics, sources: &SourceMap) {
        self.views().for_each(|view| view.diagnostics(diags, sources));
    }

    fn note(&self, text: &str) {
        self.screen.note(text);
    }

    fn step(&self, text: &str) {
        self.say(text);
    }

    fn command(&self, words: &str) -> String {
        Proposal::new(self.folder.as_deref(), words).text()
    }

    /// Turns true at the first Ctrl-C or SIGTERM. The second ends the program at once.
    fn cancelled(&self) -> watch::Receiver<bool> {
        self.cancelled.get_or_init(|| by_user(self.screen.clone())).clone()
    }
}

fn by_user(screen: Arc<Screen>) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    // From this moment on, and not from when the task below begins.
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    tokio::spawn(async move {
        if let [Ok(mut interrupt), Ok(mut terminate)] = signals {
            let mut asked = async || tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} };
            asked().await;
            // Before anything is said of it.
            let _ = sender.send(true);
            screen.interrupted();
            screen.error(
                "stopping: what is under way is finished and recorded; press Ctrl-C again to stop without waiting",
            );
            asked().await;
            screen.interrupted();
            screen.settle();
            std::process::exit(i32::from(exit::FAILURE));
        }
        // Keeps the channel open for as long as the program runs.
        std::future::pending::<()>().await;
        drop(sender);
    });
    receiver
}
