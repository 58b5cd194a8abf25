//! The application without its command line: what a server and an editor build on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use app::change;
use app::host::{Environment, Host};
use app::planning::{self, PlanRequest};
use app::root::Root;
use app::stack::Stack;
use app::state::{STATE, StateAt};
use app::watch::Watch;
use compiler::diag::Diagnostics;
use compiler::diag::render::render;
use compiler::source::SourceMap;
use engine::event::Event;
use engine::plan::Goal;
use tokio::sync::watch;

use crate::sandbox::Sandbox;

/// Keeps what it is told.
#[derive(Debug)]
struct Told {
    texts: Mutex<Vec<String>>,
    cancelled: watch::Sender<bool>,
}

impl Told {
    fn new() -> Arc<Told> {
        Arc::new(Told { texts: Mutex::default(), cancelled: watch::channel(false).0 })
    }

    fn tell(&self, text: String) {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn text(&self) -> String {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

impl Watch for Told {
    fn event(&self, event: &Event) {
        self.tell(format!("{event:?}"));
    }

    fn diagnostics(&self, diags: &Diagnostics, sources: &SourceMap) {
        self.tell(render(diags, sources));
    }

    fn note(&self, text: &str) {
        self.tell(text.to_owned());
    }

    fn step(&self, text: &str) {
        self.tell(text.to_owned());
    }

    fn command(&self, words: &str) -> String {
        format!("the button {words}")
    }

    fn cancelled(&self) -> watch::Receiver<bool> {
        self.cancelled.subscribe()
    }
}

fn host(watch: Arc<Told>, started_in: &Path) -> Arc<Host> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_lampwright"));
    Arc::new(Host {
        watch,
        // Nothing of the surroundings, but where daemons are.
        environment: Environment::new(["PATH".into()].into_iter().zip(std::env::var_os("PATH"))),
        beside: program.parent().map(Path::to_owned),
        guard: Vec::new(),
        started_in: started_in.to_owned(),
    })
}

/// A stack of one node, in a folder of its own.
fn write(sandbox: &Sandbox, text: &str) -> Root {
    sandbox.write("stack/app/index.php", &format!("<?php echo '{text}';\n"));
    let resource = "resource \"lamp_cluster\" \"web\" {\n  nodes = 1\n  app   = \"./app\"\n}\n";
    sandbox.write("stack/main.stack.hcl", &format!("stack \"{text}\" {{}}\n{}{resource}", sandbox.provider_block()));
    Root::new(sandbox.join("stack"), sandbox.join("stack"))
}

async fn lives(sandbox: &Sandbox, text: &str) {
    let root = write(sandbox, text);
    let told = Told::new();
    let host = host(told.clone(), sandbox.path());
    let mut stack = Stack::open(&host, &root).expect("a stack");
    assert_eq!(stack.name(), text);
    let inputs = stack.inputs(&[]).expect("no variables");
    let state = StateAt::file(root.at(STATE));
    let request = PlanRequest::new(inputs, state.clone(), Goal::Configuration);
    let plan = planning::plan(&stack, &request).await.expect("a plan");
    assert!(!plan.is_empty());
    assert!(!sandbox.join("stack").join(STATE).exists());
    let made = change::propose(&stack, &request).await.expect("a change").make().await.expect("made");
    assert!(!made.has_failed, "{}", told.text());
    assert_eq!((made.summary.added, sandbox.machines()), (1, vec!["web-1".to_owned()]));
    assert!(told.text().contains("Finished"), "{}", told.text());
    assert!(planning::plan(&stack, &request).await.expect("a plan").is_empty());
    let page = std::fs::read_to_string(sandbox.machine("web-1").join("htdocs/index.php")).expect("its page");
    assert!(page.contains(text), "{page}");
    let request = PlanRequest::new(request.inputs, state, Goal::Nothing);
    let made = change::propose(&stack, &request).await.expect("a change").make().await.expect("made");
    assert_eq!((made.summary.destroyed, made.has_failed), (1, false), "{}", told.text());
    assert_eq!(sandbox.machines(), Vec::<String>::new());
}

/// Side by side, and from a folder that is neither of theirs.
#[tokio::test(flavor = "multi_thread")]
async fn two_stacks_live_in_one_process() {
    let (one, other) = (Sandbox::new(), Sandbox::new());
    let here = std::env::current_dir().expect("a folder");
    tokio::join!(lives(&one, "one"), lives(&other, "other"));
    assert_eq!(std::env::current_dir().expect("a folder"), here);
}

#[tokio::test]
async fn what_is_wrong_is_told_to_the_watcher() {
    let sandbox = Sandbox::new();
    let root = write(&sandbox, "one");
    sandbox.write("stack/more.stack.hcl", "module \"m\" { source = \"git::https://example.test/m\" }\n");
    let told = Told::new();
    let refused = Stack::open(&host(told.clone(), sandbox.path()), &root);
    assert!(matches!(refused.map(|_| ()), Err(app::failure::Failure::Told)));
    // In words of whoever shows it.
    assert!(told.text().contains("it was not fetched yet; run: the button init"), "{}", told.text());
}
