//! The state of a stack: where it is, opened to be looked at or to be changed.
//!
//! It is a file beside the stack, or a backend keeps it (`remote`): then there is a copy of it here, with the journal, and what
//! a run has changed is sent when it ends.

mod choice;
mod remote;
mod told;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use backends::{Backend, BackendError};
use engine::operations::dialect;
use engine::state::lock::LockError;
use engine::state::seal::Seal;
use engine::state::store::{self, Known, Store, StoreError, View};
use engine::state::{State, state_name};

use crate::failure::{Failure, Result, refuse};
use crate::host::Host;
use crate::root::Root;
use crate::workspace;
pub use choice::{Chosen, Remembered, beside, chosen, is_state, last};
pub(crate) use choice::{seal_of, used};
use remote::Remote;
use told::{Reader, tell, tell_losses};

pub use crate::workspace::STATE;

/// Which state is meant, and how it is opened.
#[derive(Debug, Clone)]
pub struct StateAt {
    place: Place,
    /// Without a lock it is for file systems that have none, and for who only looks.
    locking: Locking,
    /// How it is encrypted.
    seal: Arc<Seal>,
}

/// Whether other runs are kept away from a state, and for how long they are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locking {
    pub lock: bool,
    pub patience: Duration,
}

impl Default for Locking {
    fn default() -> Locking {
        Locking { lock: true, patience: Duration::ZERO }
    }
}

/// Between two looks whether others have ended.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Backend(Remote),
}

impl StateAt {
    /// A file.
    pub fn file(path: PathBuf) -> StateAt {
        StateAt::at(Place::File(path))
    }

    /// What a backend keeps, for a workspace.
    pub fn backend(root: &Root, backend: Arc<dyn Backend>, workspace: &str) -> StateAt {
        StateAt::at(Place::Backend(Remote::new(root, backend, workspace)))
    }

    fn at(place: Place) -> StateAt {
        StateAt { place, locking: Locking::default(), seal: Arc::default() }
    }

    /// Encrypted as its stack says.
    #[must_use]
    pub fn sealed(self, seal: Arc<Seal>) -> StateAt {
        StateAt { seal, ..self }
    }

    #[must_use]
    pub fn locking(self, locking: Locking) -> StateAt {
        StateAt { locking, ..self }
    }

    /// For who only looks.
    #[must_use]
    pub fn unlocked(self) -> StateAt {
        self.locking(Locking { lock: false, ..Locking::default() })
    }

    /// Does what needs the lock, again and again while another run has it and there is patience left.
    async fn wait<T>(&self, host: &Host, mut work: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        // None: for longer than a clock can tell.
        let end = Instant::now().checked_add(self.locking.patience);
        let mut cancelled = host.watch.cancelled();
        let mut is_told = false;
        loop {
            let holder = match work().await {
                Err(Failure::Error(error)) if is_held(&error) && end.is_none_or(|end| Instant::now() < end) => error,
                done => return done,
            };
            if !is_told {
                host.watch.note(&format!("{holder:#}; waiting for it"));
                is_told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = cancelled.wait_for(|is_cancelled| *is_cancelled) => return Err(holder.into()),
            }
        }
    }

    /// As people know it.
    pub fn shown(&self) -> String {
        match &self.place {
            Place::File(path) => path.display().to_string(),
            Place::Backend(remote) => remote.backend.at(),
        }
    }

    /// Tells it from every other state.
    pub(crate) fn identity(&self, root: &Root) -> String {
        match &self.place {
            Place::File(path) => root.relative(path).display().to_string(),
            Place::Backend(remote) => remote.backend.identity(),
        }
    }

    /// Whether everybody can read it where it lies.
    pub(crate) fn is_open(&self) -> bool {
        self.seal.is_open()
    }

    /// Whether both are one state, whatever they are called.
    pub(crate) fn is_same(&self, other: &StateAt) -> bool {
        let resolved = |path: &Path| std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        match (&self.place, &other.place) {
            (Place::File(one), Place::File(other)) => match (resolved(one), resolved(other)) {
                (Ok(one), Ok(other)) => one == other,
                _ => one == other,
            },
            (Place::Backend(one), Place::Backend(other)) => one.backend.identity() == other.backend.identity(),
            _ => false,
        }
    }

    /// One that may not have been made yet, of whatever workspace.
    pub(crate) fn made_here(mut self) -> StateAt {
        if let Place::Backend(remote) = &mut self.place {
            remote.may_be_missing = true;
        }
        self
    }

    /// To look at. What an earlier run left unfinished is told, and left as it is. It is kept from changes until it is closed.
    pub async fn view(&self, host: &Host, operation: &str) -> Result<Viewed> {
        let (view, held) = match &self.place {
            Place::File(path) if self.locking.lock => {
                (self.wait(host, async || Ok(View::open(path, operation, &self.seal)?)).await?, None)
            }
            Place::File(path) => (store::peek(path, &self.seal)?, None),
            Place::Backend(remote) => {
                let held = self.wait(host, async || remote.hold(host, operation, self.locking.lock).await).await?;
                match remote.look(host, &held, &self.seal) {
                    Ok(view) => (view, Some(held)),
                    Err(failure) => return Err(held.give_up(failure).await),
                }
            }
        };
        tell(&*host.watch, &view.recovered, &view.state, Reader::Looks);
        Ok(Viewed { view, held })
    }

    /// Open for a change. What an earlier run left unfinished is in it now, and told. It fails where something of that cannot
    /// be read: before anything is made anew, a person has to know.
    pub async fn open(&self, host: &Host, operation: &str) -> Result<Opened> {
        let open = if self.locking.lock { Store::open } else { Store::open_without_lock };
        let (store, held) = match &self.place {
            Place::File(path) => (self.wait(host, async || Ok(open(path, operation, &self.seal)?)).await?, None),
            Place::Backend(remote) => {
                let mut held = self.wait(host, async || remote.hold(host, operation, self.locking.lock).await).await?;
                let opened = match remote.fetch(host, &mut held, operation, self.locking.lock) {
                    Ok(()) => open(&remote.copy, operation, &self.seal).map_err(Failure::from),
                    Err(failure) => Err(failure),
                };
                match opened {
                    Ok(store) => (store, Some(held)),
                    Err(failure) => return Err(held.give_up(failure).await),
                }
            }
        };
        let is_lost = tell(&*host.watch, &store.recovered, store.state(), Reader::Changes);
        let opened = Opened { store, held, seal: self.seal.clone() };
        if is_lost {
            opened.close().await?;
            return Err(Failure::Told);
        }
        Ok(opened)
    }

    /// Where copies of the files of its machines are.
    pub fn bundles(&self, root: &Root) -> PathBuf {
        let path = match &self.place {
            Place::File(path) => root.relative(path).to_owned(),
            Place::Backend(remote) => workspace::path(&remote.workspace),
        };
        root.at(state_name::bundle_folder(state_name::label(root.absolute(), &path).as_deref()))
    }

    /// What it says, for who only reads. What cannot be read of it is told.
    pub async fn peek(&self, host: &Host) -> Result<State> {
        let View { state, recovered, .. } = match &self.place {
            Place::File(path) => store::peek(path, &self.seal)?,
            Place::Backend(remote) => remote.look(host, &remote.hold(host, "", false).await?, &self.seal)?,
        };
        tell_losses(&*host.watch, &recovered, Reader::Looks);
        Ok(state)
    }

    /// Makes an empty state, where there is none.
    pub(crate) async fn create(&self, host: &Host) -> Result<()> {
        match &self.place {
            Place::File(path) => {
                let folder = path.parent().unwrap_or(Path::new("."));
                std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
                Ok(())
            }
            Place::Backend(_) => {
                let mut opened = self.open(host, "workspace new").await?;
                match opened.store.rewrite(|_| ()) {
                    Ok(()) => opened.close().await,
                    Err(error) => Err(opened.give_up(error.into()).await),
                }
            }
        }
    }

    /// Removes the state itself, and what belongs to it here, if `is_agreed` to what it says. Nobody changes it meanwhile.
    pub(crate) async fn delete(&self, host: &Host, is_agreed: impl FnOnce(&State) -> Result<()>) -> Result<()> {
        let opened = self.open(host, "workspace delete").await?;
        if let Err(failure) = is_agreed(opened.store.state()) {
            return Err(opened.give_up(failure).await);
        }
        let (folder, held) = match (&self.place, opened) {
            (Place::File(path), Opened { store, .. }) => {
                let folder = path.parent().unwrap_or(Path::new("."));
                remove_folder(folder)?;
                drop(store);
                return Ok(());
            }
            (Place::Backend(remote), Opened { store, held, .. }) => {
                drop(store);
                (remote.folder(), held)
            }
        };
        let Some(held) = held else { return Ok(()) };
        let removed = match held.delete().await {
            Ok(()) => remove_folder(folder),
            Err(failure) => Err(failure),
        };
        let released = held.release().await;
        removed.and(released)
    }

    /// Releases a lock by its id, whoever holds it.
    pub async fn force_unlock(&self, id: &str) -> Result<()> {
        match &self.place {
            Place::File(path) => Err(Failure::Error(anyhow::anyhow!(
                "the lock of {} ends with the process that holds it; there is nothing to release",
                path.display()
            ))),
            Place::Backend(remote) if !remote.backend.can_lock() => {
                refuse!("{} has no lock, so there is nothing to release", remote.backend.at())
            }
            Place::Backend(remote) => Ok(remote.backend.unlock(id).await?),
        }
    }
}

/// Whether another run has the lock.
fn is_held(error: &anyhow::Error) -> bool {
    let by_store = |error: &StoreError| matches!(error, StoreError::Lock(LockError::Held { .. }));
    let by_backend =
        |error: &BackendError| matches!(error, BackendError::Held { .. } | BackendError::HeldBySomebody { .. });
    error.downcast_ref().is_some_and(by_store) || error.downcast_ref().is_some_and(by_backend)
}

fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed.with_context(|| format!("cannot remove {}", folder.display()))?),
    }
}

/// A state that is looked at.
pub struct Viewed {
    view: View,
    held: Option<remote::Held>,
}

impl Viewed {
    pub fn state(&self) -> &State {
        &self.view.state
    }

    pub(crate) fn known(&self) -> Known<'_> {
        known(self.view.known(), self.held.as_ref())
    }

    pub async fn close(self) -> Result<()> {
        match self.held {
            Some(held) => held.release().await,
            None => Ok(()),
        }
    }
}

/// A state that is changed. It has to be closed: what is dropped keeps its lock where that does not end with the process.
#[must_use = "it has to be closed"]
pub struct Opened {
    pub(crate) store: Store,
    held: Option<remote::Held>,
    seal: Arc<Seal>,
}

impl Opened {
    pub(crate) fn known(&self) -> Known<'_> {
        known(self.store.known(), self.held.as_ref())
    }

    /// Sends what was changed to where the state is, and releases it.
    pub async fn close(self) -> Result<()> {
        let Opened { store, held, seal } = self;
        drop(store);
        match held {
            Some(held) => held.send_and_release(&seal).await,
            None => Ok(()),
        }
    }

    /// Nothing is to be kept but why it failed.
    pub(crate) async fn give_up(self, failure: Failure) -> Failure {
        match self.close().await {
            Ok(()) => failure,
            Err(Failure::Told) => failure,
            Err(Failure::Error(also)) => match failure {
                Failure::Told => Failure::Error(also),
                Failure::Error(first) => Failure::Error(anyhow::anyhow!("{first:#}\n{also:#}")),
            },
        }
    }
}

/// Plugins know the state by the path that it has where no backend keeps it.
fn known<'s>(mut known: Known<'s>, held: Option<&remote::Held>) -> Known<'s> {
    if let Some(held) = held {
        let path = workspace::path(&held.workspace).display().to_string();
        for (name, value) in &mut known.environment {
            if name == state_name::PATH_VARIABLE {
                value.clone_from(&path);
            }
        }
        known.environment.push((dialect::PLACE_VARIABLE.to_owned(), held.identity()));
    }
    known
}
