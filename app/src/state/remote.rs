//! A state that a backend keeps. A copy of it is here, `.lampwright/states/PLACE/terraform.tfstate`, with its journal.
//!
//! Failures: while the copy may be ahead of what the backend has, `terraform.tfstate.unsent` beside it names what it goes on from. A run that is
//! cut off leaves it, and the next one on this machine goes on with the copy and its journal, and sends it. If somebody else has changed the state
//! meanwhile, the copy is put aside and told, once: nothing of either is lost.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use backends::{Backend, BackendError, DEFAULT_WORKSPACE, Holder};
use engine::state::private;
use engine::state::seal::Seal;
use engine::state::store::{self, Reserved, View};
use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, Result};
use crate::host::Host;
use crate::root::{DATA, Root};
use crate::sources::hex;
use crate::workspace::STATE;

#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) workspace: String,
    pub(super) copy: PathBuf,
    /// Whether a workspace is right that has no state yet.
    pub(super) may_be_missing: bool,
}

/// The state as it was read, which others cannot change until it is released.
pub(super) struct Held {
    backend: Arc<dyn Backend>,
    pub(super) workspace: String,
    copy: PathBuf,
    lock: Option<String>,
    bytes: Option<Vec<u8>>,
    /// Of the copy, from before it is written. The lock of the place may have been released by force.
    reserved: Option<Reserved>,
}

fn digest(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "none".to_owned(), |bytes| hex(&Sha256::digest(bytes)))
}

fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", path.display())),
    }
}

fn unsent(copy: &Path) -> PathBuf {
    copy.with_extension("tfstate.unsent")
}

fn journal(copy: &Path) -> PathBuf {
    copy.with_extension("tfstate.journal")
}

impl Remote {
    pub(super) fn new(root: &Root, backend: Arc<dyn Backend>, workspace: &str) -> Remote {
        let place = hex(&Sha256::digest(backend.identity())[..8]);
        let copy = root.at(Path::new(DATA).join("states").join(place).join(STATE));
        Remote { backend, workspace: workspace.to_owned(), copy, may_be_missing: workspace == DEFAULT_WORKSPACE }
    }

    /// Of the copy and what belongs to it.
    pub(super) fn folder(&self) -> &Path {
        self.copy.parent().unwrap_or(Path::new("."))
    }

    pub(super) async fn hold(&self, host: &Host, operation: &str, lock: bool) -> Result<Held> {
        let at = self.backend.at();
        let mut id = None;
        if lock {
            // From here on who wants to end us is heard, and the lock is released.
            drop(host.watch.cancelled());
        }
        if lock && self.backend.can_lock() {
            let holder = Holder::new(operation, host.environment.text("USER").as_deref(), &at);
            if let Err(error) = self.backend.lock(&holder).await {
                let is_held = matches!(error, BackendError::Held { .. } | BackendError::HeldBySomebody { .. });
                if !is_held {
                    // It may have been done, and its answer lost: nobody else knows the id.
                    let _ = self.backend.unlock(&holder.id).await;
                }
                return Err(error.into());
            }
            id = Some(holder.id);
        } else if lock {
            host.watch.note(&format!("{at} has no lock: that nobody else works on the state is your word"));
        }
        let (backend, workspace, copy) = (self.backend.clone(), self.workspace.clone(), self.copy.clone());
        let mut held = Held { backend, workspace, copy, lock: id, bytes: None, reserved: None };
        match held.backend.read().await {
            Ok(bytes) => held.bytes = bytes,
            Err(error) => return Err(held.give_up(error.into()).await),
        }
        // A word that is misspelled would be an empty state.
        if held.bytes.is_none() && !self.may_be_missing && !unsent(&self.copy).exists() {
            let make = host.watch.command(&format!("workspace new {}", self.workspace));
            let failure =
                anyhow!("nobody has made the workspace {:?}: {at} has no state; `{make}` makes it", self.workspace);
            return Err(held.give_up(failure.into()).await);
        }
        Ok(held)
    }

    /// What the copy here goes on from, if it may be ahead.
    fn base(&self) -> Result<Option<String>> {
        let base = read(&unsent(&self.copy))?;
        Ok(base.map(|base| String::from_utf8_lossy(&base).trim().to_owned()))
    }

    /// To look at; nothing is written.
    pub(super) fn look(&self, host: &Host, held: &Held, seal: &Arc<Seal>) -> Result<View> {
        let (base, now, at) = (self.base()?, digest(held.bytes.as_deref()), self.backend.at());
        match base {
            Some(base) if base == now => {
                if self.is_ahead(&now)? {
                    host.watch.note(&format!(
                        "what an earlier run here has done was not sent to {at} yet; the next apply or destroy sends it"
                    ));
                }
                return Ok(store::peek(&self.copy, seal)?);
            }
            Some(_) if self.is_ahead(&now)? => host.watch.note(&format!(
                "an earlier run here was cut off before it sent the state to {at}, and somebody else has changed that since; the next apply or destroy puts what it had done aside, and tells where"
            )),
            Some(_) | None => {}
        }
        // The journal beside the copy belongs to the copy.
        let nowhere = self.copy.with_extension("tfstate.remote");
        Ok(store::look(&nowhere, held.bytes.as_deref().unwrap_or_default(), seal)?)
    }

    /// Whether there is something in the copy or its journal that is not what the place has.
    fn is_ahead(&self, now: &str) -> Result<bool> {
        Ok(read(&journal(&self.copy))?.is_some() || digest(read(&self.copy)?.as_deref()) != now)
    }

    /// Makes the copy what it shall be before a change.
    pub(super) fn fetch(&self, host: &Host, held: &mut Held, operation: &str, lock: bool) -> Result<()> {
        let (copy, marker) = (&self.copy, unsent(&self.copy));
        let folder = self.folder();
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        if lock {
            held.reserved = Some(Reserved::new(&folder.with_extension("lock"), operation)?);
        }
        let now = digest(held.bytes.as_deref());
        let base = self.base()?;
        if base.as_deref() == Some(now.as_str()) {
            if digest(read(copy)?.as_deref()) != now {
                let at = self.backend.at();
                host.watch.note(&format!("an earlier run was cut off before it sent the state to {at}; this one does"));
            }
            return Ok(());
        }
        if let Some(base) = base {
            let here = digest(read(copy)?.as_deref());
            // One that was cut off behind its sending has nothing more to send.
            if read(&journal(copy))?.is_some() || (here != base && here != now) {
                return Err(self.put_aside());
            }
        }
        match &held.bytes {
            Some(bytes) => private::replace(copy, bytes).with_context(|| format!("cannot write {}", copy.display()))?,
            None => remove(copy)?,
        }
        private::replace(&marker, now.as_bytes()).with_context(|| format!("cannot write {}", marker.display()))?;
        Ok(())
    }

    /// Somebody else has changed the state since a run here was cut off. What that run has done is kept for a person to look at.
    fn put_aside(&self) -> Failure {
        let folder = self.folder();
        let aside =
            (1..1000).map(|number| folder.with_extension(format!("unsent-{number}"))).find(|path| !path.exists());
        let moved = aside.ok_or_else(|| anyhow!("no name is free")).and_then(|aside| {
            std::fs::rename(folder, &aside).with_context(|| format!("cannot move {}", folder.display()))?;
            Ok(aside)
        });
        match moved {
            Err(error) => error.into(),
            Ok(aside) => Failure::Error(anyhow!(
                "an earlier run here was cut off before it sent the state to {}, and somebody else has changed that since. What the run here had done is in {}: look at it, bring in what is missing (`lampwright import`), then do the same again. Nothing was changed",
                self.backend.at(),
                aside.display()
            )),
        }
    }
}

impl Held {
    pub(super) fn identity(&self) -> String {
        self.backend.identity()
    }

    /// Removes the state from its place.
    pub(super) async fn delete(&self) -> Result<()> {
        Ok(self.backend.delete(self.lock.as_deref()).await?)
    }

    /// Sends the copy if it is not what was read, and releases.
    pub(super) async fn send_and_release(self, seal: &Seal) -> Result<()> {
        let sent = self.send(seal).await;
        let released = self.release().await;
        sent?;
        released
    }

    async fn send(&self, seal: &Seal) -> Result<()> {
        let now = read(&self.copy)?;
        if let Some(bytes) = now.as_ref().filter(|_| digest(now.as_deref()) != digest(self.bytes.as_deref())) {
            // One whose writing was cut off (a full disk) is whole beside it, and the next run makes it good.
            store::check(&self.copy, bytes, seal)?;
            let written = self.backend.write(bytes, self.lock.as_deref()).await;
            written.map_err(anyhow::Error::from).with_context(|| {
                format!(
                    "the state could not be sent to where it is kept. It is whole in {}, and the next run on this machine sends it",
                    self.copy.display()
                )
            })?;
            let marker = unsent(&self.copy);
            let here = digest(now.as_deref());
            private::replace(&marker, here.as_bytes()).with_context(|| format!("cannot write {}", marker.display()))?;
        }
        // What could not be folded into the copy is still only in the journal (a full disk): it goes on from what was sent.
        if read(&journal(&self.copy))?.is_none() {
            remove(&unsent(&self.copy))?;
        }
        Ok(())
    }

    pub(super) async fn release(self) -> Result<()> {
        match &self.lock {
            Some(id) => Ok(self.backend.unlock(id).await?),
            None => Ok(()),
        }
    }

    /// Nothing was changed; why it failed is what counts.
    pub(super) async fn give_up(self, failure: Failure) -> Failure {
        // Where it cannot be released either, the next run tells of it.
        let _ = self.release().await;
        failure
    }
}
