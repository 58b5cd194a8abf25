//! How this program was called: what every command works with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use app::failure::Result;
use app::host::Host;
use app::root::{Root, plain};
use app::stack::Stack;
use app::state::{self, StateAt};
use engine::plan::Goal;

use crate::proposal::Proposal;
use crate::ui::Ui;

#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) ui: Arc<Ui>,
    pub(crate) host: Arc<Host>,
    /// Where the stack is: here, or where -chdir says.
    pub(crate) root: Root,
}

impl Invocation {
    pub(crate) fn new(ui: Ui, host: impl FnOnce(Arc<Ui>) -> Host, started_in: &Path) -> Invocation {
        let shown = ui.folder.clone().unwrap_or_default();
        let root = Root::new(shown.clone(), plain(&started_in.join(shown)));
        let ui = Arc::new(ui);
        Invocation { host: Arc::new(host(ui.clone())), ui, root }
    }

    /// Reads the stack; what is wrong with it is told.
    pub(crate) fn stack(&self) -> Result<Stack> {
        Stack::open(&self.host, &self.root)
    }

    /// The stack of another folder.
    pub(crate) fn stack_in(&self, folder: &Path) -> Result<Stack> {
        Stack::open(&self.host, &self.root.below(folder))
    }

    /// A path of the command line, as it is to be opened.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.at(path)
    }

    /// The state that was used last, or that -state names, for a look.
    pub(crate) fn state(&self, path: Option<&Path>) -> Result<StateAt> {
        Ok(state::last(&self.host, &self.root, path)?.unlocked())
    }

    pub(crate) fn proposal(&self, command: &str) -> Proposal {
        Proposal::new(self.ui.folder.as_deref(), command)
    }

    pub(crate) fn proposal_to(&self, goal: Goal) -> Proposal {
        self.proposal(match goal {
            Goal::Configuration => "apply",
            Goal::Nothing => "destroy",
            Goal::Record => "apply -refresh-only",
        })
    }
}
