//! Packages of the providers of a stack in a folder, for machines that reach no registry.

use std::path::PathBuf;

use compiler::addr::ProviderSource;
use compiler::version::Version;
use engine::host::search::platform;
use registry::{LOCK_FILE, Lock};

use super::{Authority, asked_for, check_platforms, wanted};
use crate::failure::{Result, refuse};
use crate::plugins;
use crate::plugins::install::{Fit, choose};
use crate::stack::Stack;

#[derive(Debug, Clone)]
pub struct MirrorRequest {
    pub folder: PathBuf,
    /// Such as `linux_amd64`; that of this machine if there are none.
    pub platforms: Vec<String>,
    /// The versions that are locked are taken.
    pub heeds_lock: bool,
}

/// A package that is in the mirror now.
#[derive(Debug)]
pub struct Mirrored {
    pub source: String,
    pub version: Version,
    pub platform: String,
    pub signer: Option<String>,
}

/// Fetches packages from the registries of their providers, whatever the CLI configuration prefers; `told` hears of each.
pub async fn mirror(stack: &Stack, request: &MirrorRequest, told: &dyn Fn(&Mirrored)) -> Result<()> {
    let platforms = match request.platforms.as_slice() {
        [] => vec![platform()],
        some => check_platforms(some)?,
    };
    let origins = plugins::authority(&stack.host, &stack.root, &Authority::Registry)?;
    let lock = if request.heeds_lock { Lock::read(&stack.root.at(LOCK_FILE))? } else { Lock::default() };
    std::fs::create_dir_all(&request.folder)?;
    let ours = ProviderSource::lampwright();
    for source in asked_for(stack, &[])?.into_iter().filter(|source| *source != ours) {
        let constraints = wanted(stack, &source);
        let fit = match lock.providers.get(&source) {
            Some(locked) if !constraints.allow(&locked.version) => {
                refuse!(
                    "{} is locked at {}, which does not fit {constraints}; `{}` locks another one",
                    source.short(),
                    locked.version,
                    stack.host.watch.command("init -upgrade")
                )
            }
            Some(locked) => Fit::Locked(&locked.version),
            None => Fit::Constraints(&constraints),
        };
        let (version, origin) = choose(&stack.host, &origins, &source, &platforms[0], fit).await?;
        for platform in &platforms {
            let name = format!("{} {version} for {platform}", source.short());
            let step = |size: u64| stack.host.watch.step(&format!("Fetching {name} ({} KiB)", size.div_ceil(1024)));
            let package = origins.package(&origin, &source, &version, platform, &step).await?;
            registry::mirror::keep(&package, &request.folder, &source, &version, platform)?;
            let (source, version, platform) = (source.short(), version.clone(), platform.clone());
            told(&Mirrored { source, version, platform, signer: package.signer });
        }
    }
    registry::mirror::index(&request.folder)?;
    Ok(())
}
