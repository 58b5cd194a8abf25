//! Object stores: how the states of workspaces are named, and a lock that is an object beside the state, made only if it is not
//! there. A run that was cut off leaves it. What a kind of store is, how it is reached, how it names and locks is in its room.

mod azurerm;
mod gcs;
mod s3;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use super::calls::Patience;
use super::settings::Setting;
use super::{Backend, BackendError, BoxFuture, DEFAULT_WORKSPACE, Holder, Kind, Result, Settings};

pub(crate) use azurerm::KIND as AZURERM;
pub(crate) use gcs::KIND as GCS;
pub(crate) use s3::KIND as S3;

/// Of one answer, and of all tries to get it.
const PATIENCE: Duration = Duration::from_mins(1);
const PATIENTLY: Patience =
    Patience { tries: 8, pause: (Duration::from_millis(200), Duration::from_secs(10)), whole: PATIENCE };
const LOCK: &str = ".tflock";

/// What stores do alike.
trait Store: fmt::Debug + Send + Sync {
    /// The state, as people know it.
    fn at(&self) -> &str;

    /// As [`Backend::identity`].
    fn identity(&self) -> String;

    fn get(&self, name: &str) -> impl Future<Output = Result<Option<Object>>> + Send;

    fn put(&self, name: &str, bytes: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// Whether it was made: not if there is one.
    fn create(&self, name: &str, bytes: &[u8]) -> impl Future<Output = Result<bool>> + Send;

    /// One that is not there is no failure. Whether it is gone: not if it is no longer of this generation.
    fn remove(&self, name: &str, generation: Option<&str>) -> impl Future<Output = Result<bool>> + Send;

    /// The names of objects that begin so.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>>> + Send;
}

struct Object {
    bytes: Vec<u8>,
    /// Where a store tells each writing of an object from all others.
    generation: Option<String>,
}

/// The state of a workspace, and how those of others are named: by what is before and behind the name of the workspace.
#[derive(Debug)]
struct Names {
    state: String,
    prefix: String,
    suffix: String,
}

impl Names {
    /// The workspaces whose states are among these objects.
    fn workspaces(&self, objects: &[String]) -> Vec<String> {
        let name = |object: &str| {
            let name = object.strip_prefix(&self.prefix)?.strip_suffix(&self.suffix)?;
            (!name.is_empty() && !name.contains('/') && name != DEFAULT_WORKSPACE).then(|| name.to_owned())
        };
        let mut names: Vec<String> = objects.iter().filter_map(|object| name(object)).collect();
        names.sort();
        names
    }
}

/// A lock that is there.
struct Lock {
    holder: Option<Holder>,
    generation: Option<String>,
}

impl Lock {
    fn is(&self, id: &str) -> bool {
        self.generation.as_deref() == Some(id) || self.holder.as_ref().is_some_and(|holder| holder.id == id)
    }

    /// As it is told, and released by others: Terraform knows a lock by its generation, where there is one.
    fn told(self) -> Option<Holder> {
        let mut holder = self.holder?;
        if let Some(generation) = self.generation {
            holder.id = generation;
        }
        Some(holder)
    }
}

/// The state of a workspace in a store.
#[derive(Debug)]
struct Place<S> {
    names: Names,
    /// The object that is the lock.
    lock: String,
    store: S,
}

impl<S: Store> Place<S> {
    fn at(&self) -> String {
        self.store.at().to_owned()
    }

    async fn found(&self) -> Result<Option<Lock>> {
        let found = self.store.get(&self.lock).await?;
        Ok(found.map(|object| Lock { holder: Holder::read(&object.bytes), generation: object.generation }))
    }

    fn lost(&self, lock: Option<Lock>) -> BackendError {
        let text = match lock {
            None => "nobody holds it".to_owned(),
            Some(lock) => lock.told().map_or_else(|| "somebody holds it".to_owned(), |holder| holder.to_string()),
        };
        BackendError::Lost { at: self.at(), text }
    }
}

fn invalid(name: &str, reason: impl fmt::Display) -> BackendError {
    BackendError::Setting { name: name.to_owned(), reason: format!("{name}: {reason}") }
}

impl<S: Store> Backend for Place<S> {
    fn at(&self) -> String {
        self.store.at().to_owned()
    }

    fn identity(&self) -> String {
        self.store.identity()
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>>> {
        Box::pin(async {
            let found = self.store.get(&self.names.state).await?;
            Ok(found.map(|object| object.bytes).filter(|bytes| !bytes.is_empty()))
        })
    }

    fn write<'a>(&'a self, bytes: &'a [u8], lock: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            // Somebody may have broken the lock.
            if let Some(id) = lock {
                match self.found().await? {
                    Some(lock) if lock.is(id) => {}
                    lock => return Err(self.lost(lock)),
                }
            }
            self.store.put(&self.names.state, bytes).await
        })
    }

    fn lock<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let name = &self.lock;
            // A holder that ends meanwhile takes its lock with it.
            for _ in 0..3 {
                if self.store.create(name, &holder.json()).await? {
                    return Ok(());
                }
                let Some(lock) = self.found().await? else { continue };
                // The answer to a first try was lost.
                if lock.is(&holder.id) {
                    return Ok(());
                }
                return Err(match lock.told() {
                    Some(found) => BackendError::Held { at: self.at(), holder: Box::new(found) },
                    None => BackendError::HeldBySomebody { at: self.at(), text: format!("{name} does not say which") },
                });
            }
            let text = "others come and go; try again".to_owned();
            Err(BackendError::HeldBySomebody { at: self.at(), text })
        })
    }

    fn unlock<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let lock = match self.found().await? {
                Some(lock) if lock.is(id) => lock,
                lock => return Err(self.lost(lock)),
            };
            match self.store.remove(&self.lock, lock.generation.as_deref()).await? {
                true => Ok(()),
                false => Err(self.lost(self.found().await?)),
            }
        })
    }

    fn delete<'a>(&'a self, _lock: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { self.store.remove(&self.names.state, None).await.map(drop) })
    }

    fn workspaces(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async { Ok(self.names.workspaces(&self.store.list(&self.names.prefix).await?)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_are_known_by_their_states() {
        let known = |prefix: &str, suffix: &str, objects: &[&str]| {
            let names = Names { state: String::new(), prefix: prefix.to_owned(), suffix: suffix.to_owned() };
            names.workspaces(&objects.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).join(" ")
        };
        assert_eq!(
            known("env:/", "/shop", &["env:/b/shop", "env:/a/shop", "env:/a/shop.tflock", "env:/c/d/shop"]),
            "a b"
        );
        assert_eq!(known("p/", ".tfstate", &["p/default.tfstate", "p/a.tfstate", "p/a.tflock", "p/q/b.tfstate"]), "a");
        assert_eq!(known("shopenv:", "", &["shopenv:a", "shopenv:", "shop"]), "a");
    }
}
