//! Golden images: what the machines of a layer have in common is put on one machine, once, and an image of it is kept.
//! Machines of that image are ready when they have booted.
//!
//! An image is found by its name, which holds a digest of everything that went into it; so the same is never baked
//! twice, and whatever differs is another image. It belongs to no layer: it stays when a stack is destroyed.
//!
//! Failures: a machine that an earlier run baked with, and did not finish, is removed first. An image that the cloud
//! could not make is discarded and baked again. Two stacks of different SSH keys may bake at once; who comes second uses the
//! first's. Two of one key must not: the second removes the machine of the first.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::cloud::{GoldenState, Instance, Power};
use super::launch::REMIND;
use super::user_data::{self, ACCOUNT};
use super::{POLL, Remote};
use crate::bundle::hex;
use crate::driver::{
    BAKE, Disks, Driver, DriverError, Firewall, LayerId, MachineKey, Need, Offer, Order, Result, Tell,
};

/// How long a cloud may take to copy a disk.
const COPY_PATIENCE: Duration = Duration::from_mins(30);

/// What an image is made of.
#[derive(Debug)]
struct Recipe {
    name: String,
    /// The image that it begins with, for people.
    base: String,
    /// The machine that it is baked on.
    need: Need,
    layer: LayerId,
}

/// Whether the image of these machines is one that is baked.
pub(super) fn is_baked(need: &Need) -> bool {
    need.image.as_deref() == Some(BAKE)
}

impl Remote {
    async fn recipe(&self, need: &Need) -> Result<Recipe> {
        let need = Need { image: None, disk_gb: None, ..need.clone() };
        let foundation = self.cloud.foundation(&need).await?;
        let mut digest = Sha256::new();
        for part in [foundation.digest.as_str(), user_data::SCRIPT, super::SCRIPT] {
            digest.update(part);
            digest.update([0]);
        }
        for program in &need.programs {
            digest.update(format!("{}:{}:{}\n", program.name, program.package, program.units.join(" ")));
        }
        for archive in &need.archives {
            digest.update(format!("{}:{}\n", archive.program, archive.sha256));
        }
        let digest = hex(&digest.finalize()[..6]);
        Ok(Recipe {
            name: format!("lampwright-{}-{digest}", need.system()),
            base: foundation.image,
            need,
            // By the stack's key: what another stack bakes with is not ours to remove.
            layer: LayerId { scope: format!("bake-{}", self.keys.id()), name: format!("bake-{digest}") },
        })
    }

    pub(super) async fn baked_offer(&self, need: &Need) -> Result<Offer> {
        let recipe = self.recipe(need).await?;
        let (offer, golden) = tokio::try_join!(self.cloud.offer(&recipe.need), self.cloud.golden(&recipe.name))?;
        let image = match golden {
            Some(golden) if golden.state == GoldenState::Ready => recipe.name,
            _ => format!("{} (baked first, from {})", recipe.name, recipe.base),
        };
        Ok(Offer { image: Some(image), ..offer })
    }

    /// The cloud's id of the image for these machines, which is baked if it is not there.
    pub(super) async fn golden(&self, need: &Need, tell: Tell<'_>) -> Result<String> {
        let recipe = self.recipe(need).await?;
        let _alone = self.baking.lock(&recipe.name).await;
        match self.cloud.golden(&recipe.name).await? {
            Some(golden) if golden.state == GoldenState::Ready => return Ok(golden.id),
            Some(golden) => match golden.state {
                GoldenState::Failed(_) => self.cloud.discard(&golden).await?,
                _ => return self.await_golden(&recipe, tell).await,
            },
            None => {}
        }
        let started = Instant::now();
        tell(&format!("baking the image {} from {}, once for all such machines", recipe.name, recipe.base));
        let baked = Box::pin(self.bake(&recipe, tell)).await;
        let cleared = self.clear(&recipe.layer).await;
        let id = baked?;
        cleared?;
        tell(&format!("the image {} was baked in {} s", recipe.name, started.elapsed().as_secs()));
        Ok(id)
    }

    async fn bake(&self, recipe: &Recipe, tell: Tell<'_>) -> Result<String> {
        self.clear(&recipe.layer).await?;
        let order = Order {
            layer: recipe.layer.clone(),
            ids: vec![1],
            // New each time: for the same owner AWS would give back the machine of the last time.
            owner: uuid::Uuid::new_v4().simple().to_string(),
            takes: BTreeSet::new(),
            need: recipe.need.clone(),
            takes_up: Vec::new(),
        };
        let key = MachineKey { layer: recipe.layer.clone(), id: 1 };
        if let Some(failure) = self.make(&order, tell).await.failure {
            return Err(failure);
        }
        self.cloud.admit(&recipe.layer, &recipe.layer.to_string(), &Firewall::management(self)).await?;
        self.await_boot(&key, &|phase| tell(&format!("image: {phase}"))).await?;
        self.call::<Json>(&key, "generalize", json!({ "account": ACCOUNT })).await?;
        let instance = self.instance(&key).await?;
        self.cloud.power_off(&instance).await?;
        let is_off = |instance: &Instance| instance.power == Power::Off;
        self.wait_for(&recipe.layer, "the cloud did not switch it off", |all| all.iter().all(is_off)).await?;
        tell("image: copying the disk");
        self.cloud.keep(&instance, &recipe.name).await?;
        self.await_golden(recipe, tell).await
    }

    /// Removes the machine that was baked on, with its firewall.
    async fn clear(&self, layer: &LayerId) -> Result<()> {
        let keys: Vec<MachineKey> = self.instances(layer).await?.into_iter().map(|instance| instance.key).collect();
        self.delete(&keys, &Disks::Delete).await?;
        self.cloud.dissolve(layer, &Disks::Delete).await
    }

    async fn await_golden(&self, recipe: &Recipe, tell: Tell<'_>) -> Result<String> {
        let started = Instant::now();
        let mut reminded = started;
        loop {
            let failed = |reason: String| DriverError::Boot { machine: format!("the image {}", recipe.name), reason };
            // An image that was just asked for may not be listed yet.
            if let Some(golden) = self.cloud.golden(&recipe.name).await? {
                match golden.state {
                    GoldenState::Ready => return Ok(golden.id),
                    GoldenState::Failed(reason) => return Err(failed(reason)),
                    GoldenState::Pending => {}
                }
            }
            if started.elapsed() > COPY_PATIENCE {
                return Err(failed(format!("it was not ready within {} s", COPY_PATIENCE.as_secs())));
            }
            if reminded.elapsed() > REMIND {
                reminded = Instant::now();
                tell(&format!("image: still copying, {} s", started.elapsed().as_secs()));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
