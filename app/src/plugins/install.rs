//! Installing the plugins that a stack needs: which version, from where, and what is locked of it.
//!
//! Failures: a place that does not answer ends it, and nothing is changed; a package that is not what is locked, or signed, is
//! not taken; one that is installed when another one fails stays, and is found by the next try. The lock file is written last.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use compiler::addr::ProviderSource;
use compiler::version::{Constraints, Version};
use engine::host::HostError;
use engine::host::search::{Place, PluginSearch, platform};
use registry::{Client, Content, LOCK_FILE, Lock, Locked, Origin, Origins, Package, install, place};

use super::{cli_config, is_locked, origins};
use crate::host::Host;
use crate::root::{DATA, Root};

/// How plugins are to be installed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// The newest right version is taken in the place of the one that is locked.
    pub upgrades: bool,
    /// The lock file stays as it is: what would change it is an error.
    pub keeps_lock: bool,
}

/// A plugin that is there now.
#[derive(Debug)]
pub struct Plugin {
    pub source: String,
    pub version: Option<Version>,
    pub path: PathBuf,
    /// Where it was fetched from, if it was.
    pub from: Option<String>,
    /// The id of the key that signed its checksum.
    pub signer: Option<String>,
}

pub(crate) struct Installer<'h> {
    host: &'h Host,
    root: &'h Root,
    search: PluginSearch,
    origins: Origins,
    cache: Option<PathBuf>,
    trusts_cache: bool,
    wish: Wish,
    lock: Lock,
    platform: String,
}

impl<'h> Installer<'h> {
    pub(crate) fn new(host: &'h Host, root: &'h Root, search: PluginSearch, wish: Wish) -> anyhow::Result<Self> {
        let config = cli_config::read(host)?;
        let list = origins(&config, host, root);
        let are_implied = config.origins.is_none();
        let client = Client::new(config.hosts);
        Ok(Installer {
            host,
            root,
            search,
            origins: Origins { client, list, are_implied },
            cache: config.cache.map(|folder| root.at(folder)),
            trusts_cache: config.trusts_cache,
            wish,
            lock: Lock::read(&root.at(LOCK_FILE))?,
            platform: platform(),
        })
    }

    /// Installs what is missing of these, which may be all that there are; `found` is told of each. What runs already is not
    /// asked for.
    pub(crate) async fn install(
        mut self,
        sources: &[ProviderSource],
        are_all: bool,
        found: &dyn Fn(&Plugin),
    ) -> anyhow::Result<PluginSearch> {
        let before = self.lock.clone();
        if are_all {
            self.lock.providers.retain(|source, _| sources.contains(source));
        }
        for source in sources {
            if !self.search.running.contains_key(source) {
                found(&self.one(source).await?);
            }
        }
        if self.lock != before {
            if self.wish.keeps_lock && !is_extended(&before, &self.lock) {
                bail!("{LOCK_FILE} would change, which -lockfile=readonly forbids");
            }
            if self.wish.keeps_lock {
                self.host.watch.note(&format!("{LOCK_FILE} does not have all hashes, and stays as it is"));
            } else {
                self.lock.write(&self.root.at(LOCK_FILE))?;
            }
        }
        let locked = self.lock.providers.into_iter().map(|(source, locked)| (source, locked.version));
        Ok(PluginSearch { locked: locked.collect::<BTreeMap<_, _>>(), ..self.search })
    }

    async fn one(&mut self, source: &ProviderSource) -> anyhow::Result<Plugin> {
        let there = |path: PathBuf, version: Option<Version>| Plugin {
            source: source.short(),
            version,
            path,
            from: None,
            signer: None,
        };
        let known = if self.wish.upgrades { None } else { self.lock.providers.get(source).cloned() };
        let search = PluginSearch {
            locked: known.iter().map(|locked| (source.clone(), locked.version.clone())).collect(),
            ..self.search.clone()
        };
        let at_hand = match search.find(source) {
            Err(error @ HostError::Locked { .. }) => {
                bail!("{error}; `{}` takes another one", self.host.watch.command("init -upgrade"))
            }
            at_hand => at_hand,
        };
        match &at_hand {
            Ok(found) if matches!(found.place, Place::Override | Place::Beside) => {
                return Ok(there(found.path.clone(), found.version.clone()));
            }
            Ok(found) if found.place == Place::Locked && is_locked(found, source, &self.lock)? => {
                self.relock(source);
                return Ok(there(found.path.clone(), found.version.clone()));
            }
            Ok(_) | Err(_) => {}
        }
        let constraints = self.constraints(source);
        let fit = known.as_ref().map_or(Fit::Constraints(&constraints), |locked| Fit::Locked(&locked.version));
        let chosen = choose(self.host, &self.origins, source, &self.platform, fit).await;
        let (version, origin) = chosen.map_err(|error| match &at_hand {
            Err(HostError::NotFound { looked_in, .. }) => {
                let looked_in = looked_in.join(", ");
                anyhow!("no plugin for provider {} was found in {looked_in}; and {error}", source.short())
            }
            Ok(_) | Err(_) => error,
        })?;
        // Of a version that stays the same the package does, too.
        let same = self.lock.providers.get(source).filter(|locked| locked.version == version).cloned();
        let (from, signer) = (origin.shown(source), self.fetch(source, &version, &origin, same.as_ref()).await?);
        let locked = BTreeMap::from([(source.clone(), version)]);
        let found = PluginSearch { locked, ..self.search.clone() }.find(source)?;
        Ok(Plugin { from: Some(from), signer, ..there(found.path, found.version) })
    }

    fn constraints(&self, source: &ProviderSource) -> Constraints {
        // One that cannot be read was told when the stack was read.
        let wanted = self.search.wanted.get(source).map(Vec::as_slice).unwrap_or_default();
        Constraints::of_provider(wanted).unwrap_or_default()
    }

    /// The constraints may have changed, and the version fits.
    fn relock(&mut self, source: &ProviderSource) {
        let constraints = self.constraints(source).to_string();
        if let Some(locked) = self.lock.providers.get_mut(source) {
            locked.constraints = constraints;
        }
    }

    /// Brings it to its place, and locks it. Gives the id of the key that signed it.
    async fn fetch(
        &mut self,
        source: &ProviderSource,
        version: &Version,
        origin: &Origin,
        known: Option<&Locked>,
    ) -> anyhow::Result<Option<String>> {
        let below = self.root.at(DATA).join("providers");
        let target = place(&below, source, version, &self.platform);
        let cached = self.cache.as_ref().map(|cache| place(cache, source, version, &self.platform));
        let hashes = known.map(|locked| locked.hashes.clone()).unwrap_or_default();
        if let Some(folder) = cached.as_ref().filter(|folder| folder.is_dir()) {
            let hash = registry::of_folder(folder)?;
            if hashes.contains(&hash) || (self.trusts_cache && known.is_none()) {
                let package = Package::of(Content::Folder(folder.clone()));
                install(&package, &target)?;
                self.note(source, version, [hash].into_iter().chain(hashes).collect());
                return Ok(None);
            }
        }
        let name = format!("{} {version}", source.short());
        let told = |size: u64| self.host.watch.step(&format!("Fetching {name} ({} KiB)", size.div_ceil(1024)));
        let package = self.origins.package(origin, source, version, &self.platform, &told).await?;
        if !hashes.is_empty() && !package.is_locked(&hashes)? {
            let error = HostError::Altered {
                source_name: source.short(),
                version: version.to_string(),
                path: format!("from {}", origin.shown(source)),
            };
            bail!("{error}; nothing of it was installed");
        }
        match (&cached, &package.content) {
            (Some(folder), Content::Archive(_)) => {
                install(&package, folder)?;
                install(&Package::of(Content::Folder(folder.clone())), &target)?;
            }
            _ => install(&package, &target)?,
        }
        let hash = package.hash()?;
        self.note(source, version, [hash].into_iter().chain(package.vouched).chain(hashes).collect());
        Ok(package.signer)
    }

    fn note(&mut self, source: &ProviderSource, version: &Version, mut hashes: Vec<registry::Hash>) {
        hashes.sort();
        hashes.dedup();
        let constraints = self.constraints(source).to_string();
        self.lock.providers.insert(source.clone(), Locked { version: version.clone(), constraints, hashes });
    }
}

/// Whether a lock has what another one has, and more hashes of the same versions.
fn is_extended(before: &Lock, after: &Lock) -> bool {
    before.providers.len() == after.providers.len()
        && before.providers.iter().all(|(source, locked)| {
            let same = after.providers.get(source).filter(|now| now.version == locked.version);
            same.is_some_and(|now| locked.hashes.iter().all(|hash| now.hashes.contains(hash)))
        })
}

/// Which versions are right.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fit<'v> {
    Locked(&'v Version),
    Constraints(&'v Constraints),
}

/// The newest version that is right, and where it is.
pub(crate) async fn choose(
    host: &Host,
    origins: &Origins,
    source: &ProviderSource,
    platform: &str,
    fit: Fit<'_>,
) -> anyhow::Result<(Version, Origin)> {
    host.watch.step(&format!("Looking for {}", source.short()));
    let available = origins.versions(source, platform).await?;
    let fits = |version: &Version| match fit {
        Fit::Locked(locked) => version == locked,
        Fit::Constraints(constraints) => constraints.allow(version),
    };
    if let Some((version, origin)) = available.iter().find(|(version, _)| fits(version)) {
        return Ok((version.clone(), (*origin).clone()));
    }
    let places: Vec<String> = origins.list.iter().map(|origin| origin.shown(source)).collect();
    let (name, places) = (source.short(), places.join(", "));
    match (fit, available.first()) {
        (_, None) => bail!("{name}: there is no such provider in {places}"),
        (Fit::Locked(locked), _) => bail!("{name} {locked}, which is locked, is not in {places} any more"),
        (Fit::Constraints(constraints), Some(_)) => {
            let some: Vec<String> = available.iter().take(5).map(|(version, _)| version.to_string()).collect();
            bail!("{name} has no version that fits {constraints}; the newest are {}", some.join(", "))
        }
    }
}
