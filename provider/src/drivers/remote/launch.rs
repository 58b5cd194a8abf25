//! Making machines: those that exist are taken over, the others are launched, and all have to run in the end. And
//! giving back what they lose later.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::bake::is_baked;
use super::cloud::{DiskHint, Instance, Mended, Power};
use super::{POLL, Remote, seen, user_data};
use crate::driver::{Created, Disks, DriverError, LayerId, MachineKey, Need, Order, Result, Status, Tell};

/// From the order to an address and a running machine.
const LAUNCH_PATIENCE: Duration = Duration::from_mins(10);
/// Packages may have to be installed.
const BOOT_PATIENCE: Duration = Duration::from_mins(15);
/// How often a person is told that something is still going on.
pub(super) const REMIND: Duration = Duration::from_secs(30);

impl Remote {
    pub(super) async fn make(&self, order: &Order, tell: Tell<'_>) -> Created {
        let nothing = |error| Created { machines: Vec::new(), failure: Some(error) };
        let existing = match self.instances(&order.layer).await {
            Ok(existing) => existing,
            Err(error) => return nothing(error),
        };
        if let Some(foreign) = existing.iter().find(|one| one.is_foreign && order.ids.contains(&one.key.id)) {
            return nothing(DriverError::Foreign { machine: foreign.key.name(), layer: order.layer.to_string() });
        }
        let is_others = |one: &&Instance| order.ids.contains(&one.key.id) && !order.may_take(one.owner.as_deref());
        if let Some(others) = existing.iter().find(is_others) {
            return nothing(DriverError::taken(&seen(others, Status::Created)));
        }
        // On the cloud the owner stands beside the key that opens the machine.
        let marked = Order { owner: format!("{}.{}", order.owner, self.keys.id()), ..order.clone() };
        // What the cloud itself could not make is no use to anybody.
        let (failed, existing): (Vec<Instance>, Vec<Instance>) = existing
            .into_iter()
            .partition(|one| matches!(one.power, Power::Failed(_)) && order.ids.contains(&one.key.id));
        if !failed.is_empty()
            && let Err(error) = self.cloud.terminate(&without_disks(failed), &Disks::Delete).await
        {
            return nothing(error);
        }
        let is_missing = |id: &u64| existing.iter().all(|instance| instance.key.id != *id);
        let missing: Vec<u64> = order.ids.iter().copied().filter(is_missing).collect();
        let mut failure = None;
        if !missing.is_empty() {
            let mut rest = Order { ids: missing, ..marked.clone() };
            if is_baked(&rest.need) {
                match self.golden(&rest.need, tell).await {
                    Ok(image) => rest.need.image = Some(image),
                    Err(error) => return nothing(error),
                }
            }
            let user_data = |ids: &[u64], disk: DiskHint| self.user_data(&rest, ids, disk);
            failure = self.cloud.launch(&rest, &user_data).await.failure;
        }
        // After a failure nobody knows which of them there will be; else the cloud may only be slow to list them.
        let mut created = self.await_launch(order, failure.is_none()).await;
        // A run that was cut off may have got as far as the machine, and not to its disk or its public address.
        for id in order.ids.iter().filter(|id| existing.iter().any(|instance| instance.key.id == **id)) {
            let key = MachineKey { layer: order.layer.clone(), id: *id };
            let mended = match self.instance(&key).await {
                Ok(instance) => self.cloud.mend(&instance, order).await,
                Err(error) => Err(error),
            };
            failure = failure.or(mended.err());
        }
        created.failure = failure.or(created.failure);
        if let Err(error) = self.remove_twins(order).await {
            created.failure.get_or_insert(error);
        }
        // Only now: a machine that is still on its way takes no notes.
        let is_others = |instance: &Instance| {
            order.ids.contains(&instance.key.id) && instance.owner.as_deref() != Some(&order.owner)
        };
        let (taken, others): (Vec<Instance>, Vec<Instance>) = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let not_ours = seen.values().filter(|one| one.key.layer == order.layer && is_others(one)).cloned();
            not_ours.partition(|one| is_for(order, one))
        };
        // Another state was quicker, since the first look.
        if let Some(other) = others.first() {
            created.machines.retain(|machine| others.iter().all(|other| other.key != machine.key));
            created.failure.get_or_insert(DriverError::taken(&seen(other, Status::Created)));
        }
        if !taken.is_empty() {
            let given = self.cloud.give(&taken, &marked.owner).await;
            created.failure = created.failure.or(given.err());
            let machines = created.machines.iter_mut();
            machines.for_each(|machine| machine.owner = Some(order.owner.clone()));
        }
        created
    }

    /// Waits until every ordered machine has an address and runs, or has failed.
    async fn await_launch(&self, order: &Order, all_exist: bool) -> Created {
        let mut deadline = Instant::now() + LAUNCH_PATIENCE;
        let mut settled = 0;
        loop {
            let asked = Instant::now();
            let instances = match self.instances(&order.layer).await {
                Ok(instances) => instances,
                Err(error) => return Created { machines: Vec::new(), failure: Some(error) },
            };
            let ordered: Vec<&Instance> =
                instances.iter().filter(|instance| order.ids.contains(&instance.key.id)).collect();
            let is_missing = all_exist && ordered.len() < order.ids.len();
            let waits = is_missing || ordered.iter().any(|instance| is_on_its_way(instance));
            // A cloud that is getting on with it has all the time that it takes: many machines take long.
            let now_settled = ordered.iter().filter(|instance| !is_on_its_way(instance)).count();
            if now_settled > settled {
                settled = now_settled;
                deadline = Instant::now() + LAUNCH_PATIENCE;
            }
            if !waits || Instant::now() > deadline {
                let failure = ordered.iter().find_map(|instance| match &instance.power {
                    Power::Failed(reason) => {
                        Some(DriverError::Boot { machine: instance.key.name(), reason: reason.clone() })
                    }
                    _ if waits => Some(DriverError::Boot {
                        machine: instance.key.name(),
                        reason: format!("the cloud did not start it within {} s", LAUNCH_PATIENCE.as_secs()),
                    }),
                    _ => None,
                });
                let failure = failure.or_else(|| {
                    let names = order.keys().filter(|key| ordered.iter().all(|instance| instance.key != *key));
                    let machine = names.map(|key| key.name()).collect::<Vec<_>>().join(", ");
                    let reason = "the cloud took the order and does not list it".to_owned();
                    is_missing.then_some(DriverError::Boot { machine, reason })
                });
                let usable = ordered.into_iter().filter(|instance| instance.address.is_some());
                return Created { machines: usable.map(|instance| seen(instance, Status::Created)).collect(), failure };
            }
            // A cloud that is slow to answer is busy enough.
            tokio::time::sleep(POLL.max(asked.elapsed())).await;
        }
    }

    /// Waits until the machines of a layer are as wanted.
    pub(super) async fn wait_for(
        &self,
        layer: &LayerId,
        complaint: &str,
        is_done: impl Fn(&[Instance]) -> bool,
    ) -> Result<Vec<Instance>> {
        let deadline = Instant::now() + LAUNCH_PATIENCE;
        loop {
            let instances = self.instances(layer).await?;
            if is_done(&instances) {
                return Ok(instances);
            }
            if Instant::now() > deadline {
                let reason = format!("{complaint} within {} s", LAUNCH_PATIENCE.as_secs());
                return Err(DriverError::Boot { machine: layer.to_string(), reason });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn remove_twins(&self, order: &Order) -> Result<()> {
        let twins: Vec<Instance> = {
            let seen = self.twins.lock().unwrap_or_else(PoisonError::into_inner);
            let of_layer = seen.iter().filter(|twin| twin.key.layer == order.layer && !twin.is_foreign);
            without_disks(of_layer.filter(|twin| is_for(order, twin)).cloned().collect())
        };
        if twins.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = twins.iter().map(|twin| format!("{} ({})", twin.key.name(), twin.id)).collect();
        tracing::warn!("made twice, so the later one is removed: {}", names.join(", "));
        self.cloud.terminate(&twins, &Disks::Delete).await
    }

    pub(super) async fn give_back(&self, order: &Order) -> Result<()> {
        let is_settled = |one: &Instance| {
            !order.ids.contains(&one.key.id) || !matches!(one.power, Power::Pending) || one.address.is_none()
        };
        // One that is on its way, up or down, takes no orders.
        let all = |all: &[Instance]| all.iter().all(is_settled);
        let mut broken = self.wait_for(&order.layer, "it was neither on nor off", all).await?;
        self.remove_twins(order).await?;
        broken.retain(|one| order.ids.contains(&one.key.id) && (one.power != Power::Running || !one.has_its_disk));
        if broken.is_empty() {
            return Ok(());
        }
        let mut mended = Vec::new();
        // One after the other: no two take the same disk.
        for instance in &broken {
            // Also where the size that it has is what keeps it from starting.
            if let Some(size) =
                order.need.size.as_deref().filter(|size| {
                    instance.power == Power::Off && instance.size.as_deref().is_some_and(|has| has != *size)
                })
                && let Err(error) = self.cloud.set_size(instance, size).await
            {
                tracing::warn!("{} keeps its size: {}", instance.key.name(), error.explain());
            }
            mended.push(self.cloud.mend(instance, order).await?);
        }
        let is_up = |one: &Instance| {
            let is_meant = broken.iter().any(|broken| broken.key == one.key);
            !is_meant || (one.power == Power::Running && one.address.is_some() && one.has_its_disk)
        };
        self.wait_for(&order.layer, "the cloud did not give back what was lost", |all| all.iter().all(is_up)).await?;
        let mounts = broken.iter().zip(mended).map(|(instance, mended)| self.mount(&instance.key, mended));
        futures_util::future::try_join_all(mounts).await.map(drop)
    }

    /// Stops a machine, gives it another size and starts it again. One that is cut off in between is started by `mend`, and
    /// comes here again: its size is still not the one that it shall have.
    pub(super) async fn give_size(&self, key: &MachineKey, size: &str) -> Result<()> {
        let find = |all: &[Instance]| all.iter().find(|one| one.key == *key).cloned();
        let is =
            |all: &[Instance], wanted: &dyn Fn(&Instance) -> bool| all.iter().any(|one| one.key == *key && wanted(one));
        let missing = || DriverError::NoSuchMachine(key.name());
        let instance = find(&self.instances(&key.layer).await?).ok_or_else(missing)?;
        // Nothing is stopped for a size that is not there.
        self.cloud.check_size(size).await?;
        if let Some(target) = self.target_of(&instance) {
            self.sessions.forget(&target);
        }
        if instance.power != Power::Off {
            self.cloud.power_off(&instance).await?;
        }
        let is_off = |all: &[Instance]| is(all, &|one| one.power == Power::Off);
        let all = self.wait_for(&key.layer, "it was not switched off", is_off).await?;
        let instance = find(&all).ok_or_else(missing)?;
        if let Err(error) = self.cloud.set_size(&instance, size).await {
            // It serves on with the size that it has.
            if let Err(error) = self.switch_on(&instance).await {
                tracing::warn!("{} was not started again: {}", key.name(), error.explain());
            }
            return Err(error);
        }
        let has_size = |all: &[Instance]| is(all, &|one| one.power == Power::Off && one.size.as_deref() == Some(size));
        let all = self.wait_for(&key.layer, "it did not get its size", has_size).await?;
        self.switch_on(&find(&all).ok_or_else(missing)?).await
    }

    /// Starts a machine that is off. No disk is made here: one that is lost is missed by the next plan, and made anew where
    /// its size is known.
    async fn switch_on(&self, instance: &Instance) -> Result<()> {
        let key = &instance.key;
        let order = Order {
            layer: key.layer.clone(),
            ids: vec![key.id],
            owner: instance.owner.clone().unwrap_or_default(),
            takes: BTreeSet::new(),
            need: Need::default(),
            takes_up: Vec::new(),
        };
        let mended = self.cloud.mend(instance, &order).await?;
        let is_up = |one: &Instance| one.power == Power::Running && one.address.is_some() && one.has_its_disk;
        let is_back = |all: &[Instance]| all.iter().any(|one| one.key == *key && is_up(one));
        self.wait_for(&key.layer, "it did not come back", is_back).await?;
        self.mount(key, mended).await
    }

    /// Puts the data disk where it was, on a machine that may still be booting.
    async fn mount(&self, key: &MachineKey, mended: Mended) -> Result<()> {
        let target = self.target(key).await?;
        let head = json!({ "is_empty": mended == Mended::EmptyDisk });
        let deadline = Instant::now() + LAUNCH_PATIENCE;
        while let Err(error) = self.call_at::<Json>(&target, key, "mount", head.clone()).await {
            if Instant::now() > deadline || matches!(error, DriverError::Untrusted { .. }) {
                return Err(error);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until a machine says that it is ready, and gives it the host key that is its alone.
    pub(super) async fn booted(&self, key: &MachineKey, tell: Tell<'_>) -> Result<()> {
        let started = Instant::now();
        let target = self.target(key).await?;
        let (mut told, mut reminded) = (0, started);
        loop {
            let last = match self.call_at::<Vec<String>>(&target, key, "phases", json!({})).await {
                // Most have booted long ago: of these nothing is told.
                Ok(phases) if told == 0 && phases.last().is_some_and(|last| last.ends_with(" ready")) => break,
                Ok(phases) => {
                    let what =
                        |phase: &String| phase.split_once(' ').map_or(phase.clone(), |(_, what)| what.to_owned());
                    let last = phases.last().map(what).unwrap_or_default();
                    if last == "ready" {
                        tell(&format!("ready after {:.1} s", started.elapsed().as_secs_f64()));
                        break;
                    }
                    phases.iter().skip(told).for_each(|phase| tell(&what(phase)));
                    told = phases.len();
                    if let Some(reason) = last.strip_prefix("failed: ") {
                        return Err(DriverError::Boot { machine: key.name(), reason: reason.to_owned() });
                    }
                    last
                }
                Err(DriverError::Ssh { reason, .. } | DriverError::Machine { reason, .. }) => reason,
                Err(error) => return Err(error),
            };
            if reminded.elapsed() > REMIND {
                reminded = Instant::now();
                tell(&format!("still booting after {} s: {last}", started.elapsed().as_secs()));
            }
            if started.elapsed() > BOOT_PATIENCE {
                let reason = format!(
                    "it was not ready within {} s; the last word was: {last}. Its log is /var/log/cloud-init-output.log",
                    BOOT_PATIENCE.as_secs()
                );
                return Err(DriverError::Boot { machine: key.name(), reason });
            }
            tokio::time::sleep(POLL).await;
        }
        if self.sessions.shown(&target).await? != 0 {
            let own = self.keys.machine(&key.layer, key.id);
            let head = json!({ "private": own.private_text(), "public": own.public_text() + "\n", "name": key.name() });
            let _: Json = self.call_at(&target, key, "own_host_key", head).await?;
            self.sessions.forget(&target);
        }
        tracing::info!(machine = %key.name(), ms = started.elapsed().as_millis() as u64, "booted");
        Ok(())
    }

    fn user_data(&self, order: &Order, ids: &[u64], disk: DiskHint) -> Vec<u8> {
        let first = ids.first().copied().unwrap_or_default();
        let key = MachineKey { layer: order.layer.clone(), id: first };
        let name = key.name();
        let (host_key, name) = match ids {
            [id] => (self.keys.machine(&order.layer, *id), Some(name.as_str())),
            _ => (self.keys.batch(&order.layer, first), None),
        };
        user_data::render(&user_data::Boot {
            name,
            client_key: self.keys.client().public_key().to_openssh().unwrap_or_default(),
            host_key: &host_key,
            programs: &order.need.programs,
            archives: &order.need.archives,
            disk,
        })
    }
}

/// Whether a machine that appeared while others were made is the order's own, or says nothing of itself yet.
fn is_for(order: &Order, instance: &Instance) -> bool {
    instance.owner.is_none() || order.may_take(instance.owner.as_deref())
}

/// Whatever hangs on them is left for a machine that needs a disk: it may hold data.
fn without_disks(instances: Vec<Instance>) -> Vec<Instance> {
    instances.into_iter().map(|one| Instance { disk: false, ..one }).collect()
}

/// Neither what was ordered yet nor a failure.
fn is_on_its_way(instance: &Instance) -> bool {
    instance.power == Power::Pending || (instance.power == Power::Running && instance.address.is_none())
}
