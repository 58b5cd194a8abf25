//! Locking packages for other machines than this one: they are fetched and hashed, and nothing is installed.

use std::path::PathBuf;

use compiler::addr::ProviderSource;
use compiler::version::Version;
use engine::host::HostError;
use engine::host::search::{Place, platform};
use registry::{Hash, LOCK_FILE, Lock, Locked, Origins, place};

use super::{Authority, asked_for, check_platforms, wanted};
use crate::failure::{Result, refuse};
use crate::plugins;
use crate::plugins::install::{Fit, choose};
use crate::stack::Stack;

#[derive(Debug, Clone, Default)]
pub struct LockRequest {
    /// Only these; all of the stack if there are none.
    pub providers: Vec<String>,
    /// Such as `linux_amd64`; that of this machine if there are none.
    pub platforms: Vec<String>,
    pub authority: Authority,
    /// What the shared cache has is not fetched.
    pub uses_cache: bool,
}

/// A provider, and what became of its lock.
#[derive(Debug)]
pub struct LockedFor {
    pub source: String,
    /// None: nothing of it is locked, because it comes with this program or is being developed.
    pub version: Option<Version>,
    pub is_changed: bool,
}

/// Locks the packages of providers for platforms; `told` hears of each provider.
pub async fn lock(stack: &Stack, request: &LockRequest, told: &dyn Fn(&LockedFor)) -> Result<()> {
    let platforms = match request.platforms.as_slice() {
        [] => vec![platform()],
        some => check_platforms(some)?,
    };
    let origins = plugins::authority(&stack.host, &stack.root, &request.authority)?;
    let (cache, trusts_cache) = plugins::cache(&stack.host, &stack.root)?;
    let locking = Locking { stack, origins, cache: cache.filter(|_| request.uses_cache), trusts_cache };
    let path = stack.root.at(LOCK_FILE);
    let mut lock = Lock::read(&path)?;
    let before = lock.clone();
    for source in asked_for(stack, &request.providers)? {
        let search = stack.search()?;
        let version = match search.find(&source) {
            Ok(found) if matches!(found.place, Place::Override | Place::Beside) => None,
            Err(error @ HostError::Locked { .. }) => {
                refuse!("{error}; `{}` takes another one", stack.host.watch.command("init -upgrade"))
            }
            Ok(_) | Err(_) => {
                let locked = locking.one(&source, lock.providers.get(&source), &platforms).await?;
                let version = locked.version.clone();
                lock.providers.insert(source.clone(), locked);
                Some(version)
            }
        };
        let is_changed = lock.providers.get(&source) != before.providers.get(&source);
        told(&LockedFor { source: source.short(), version, is_changed });
    }
    if lock != before {
        lock.write(&path)?;
    }
    Ok(())
}

struct Locking<'s> {
    stack: &'s Stack,
    origins: Origins,
    cache: Option<PathBuf>,
    trusts_cache: bool,
}

impl Locking<'_> {
    async fn one(&self, source: &ProviderSource, known: Option<&Locked>, platforms: &[String]) -> Result<Locked> {
        let constraints = wanted(self.stack, source);
        let mut version = known.map(|locked| locked.version.clone());
        let mut hashes = known.map(|locked| locked.hashes.clone()).unwrap_or_default();
        for platform in platforms {
            if let Some(hash) = self.cached(source, version.as_ref(), platform, &hashes)? {
                hashes.push(hash);
                continue;
            }
            let fit = version.as_ref().map_or(Fit::Constraints(&constraints), Fit::Locked);
            let (chosen, origin) = choose(&self.stack.host, &self.origins, source, platform, fit).await?;
            let name = format!("{} {chosen} for {platform}", source.short());
            let told =
                |size: u64| self.stack.host.watch.step(&format!("Fetching {name} ({} KiB)", size.div_ceil(1024)));
            let package = self.origins.package(&origin, source, &chosen, platform, &told).await?;
            hashes.push(package.hash()?);
            hashes.extend(package.vouched.iter().cloned());
            version = Some(chosen);
        }
        let Some(version) = version else { refuse!("{}: no platform is named", source.short()) };
        hashes.sort();
        hashes.dedup();
        Ok(Locked { version, constraints: constraints.to_string(), hashes })
    }

    /// The hash of what the cache has, where that is locked or believed.
    fn cached(
        &self,
        source: &ProviderSource,
        version: Option<&Version>,
        platform: &str,
        locked: &[Hash],
    ) -> Result<Option<Hash>> {
        let (Some(cache), Some(version)) = (&self.cache, version) else { return Ok(None) };
        let folder = place(cache, source, version, platform);
        if !folder.is_dir() {
            return Ok(None);
        }
        let hash = registry::of_folder(&folder)?;
        Ok(Some(hash).filter(|hash| self.trusts_cache || locked.contains(hash)))
    }
}
