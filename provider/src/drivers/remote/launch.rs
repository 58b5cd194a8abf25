//! Making machines: those that exist are taken over, the others are launched, and all have to run in the end.

use std::sync::PoisonError;
use std::time::Instant;

use super::cloud::{DiskHint, Instance, Power};
use super::{LAUNCH_PATIENCE, POLL, Remote, seen, user_data};
use crate::driver::{Created, DriverError, MachineKey, Order, Status};

impl Remote {
    pub(super) async fn make(&self, order: &Order) -> Created {
        let nothing = |error| Created { machines: Vec::new(), failure: Some(error) };
        let existing = match self.instances(&order.layer).await {
            Ok(existing) => existing,
            Err(error) => return nothing(error),
        };
        if let Some(foreign) = existing.iter().find(|one| one.is_foreign && order.ids.contains(&one.key.id)) {
            return nothing(DriverError::Foreign { machine: foreign.key.name(), layer: order.layer.to_string() });
        }
        // On the cloud the owner stands beside the key that opens the machine.
        let marked = Order { owner: format!("{}.{}", order.owner, self.keys.id()), ..order.clone() };
        // What the cloud itself could not make is no use to anybody.
        let (failed, existing): (Vec<Instance>, Vec<Instance>) = existing
            .into_iter()
            .partition(|one| matches!(one.power, Power::Failed(_)) && order.ids.contains(&one.key.id));
        if !failed.is_empty()
            && let Err(error) = self.cloud.terminate(&failed).await
        {
            return nothing(error);
        }
        let is_missing = |id: &u64| existing.iter().all(|instance| instance.key.id != *id);
        let missing: Vec<u64> = order.ids.iter().copied().filter(is_missing).collect();
        let mut failure = None;
        if !missing.is_empty() {
            let rest = Order { ids: missing, ..marked.clone() };
            let user_data = |ids: &[u64], disk: DiskHint| self.user_data(&rest, ids, disk);
            failure = self.cloud.launch(&rest, &user_data).await.failure;
        }
        // After a failure nobody knows which of them there will be; else the cloud may only be slow to list them.
        let mut created = self.await_launch(order, failure.is_none()).await;
        // A run that was cut off may have got as far as the machine, and not to its disk or its public address.
        for id in order.ids.iter().filter(|id| existing.iter().any(|instance| instance.key.id == **id)) {
            let key = MachineKey { layer: order.layer.clone(), id: *id };
            let mended = match self.instance(&key).await {
                Ok(instance) => self.cloud.mend(&instance).await,
                Err(error) => Err(error),
            };
            failure = failure.or(mended.err());
        }
        created.failure = failure.or(created.failure);
        // Only now: a machine that is still on its way takes no notes.
        let is_others = |instance: &Instance| {
            order.ids.contains(&instance.key.id) && instance.owner.as_deref() != Some(&order.owner)
        };
        let taken: Vec<Instance> = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.values().filter(|one| one.key.layer == order.layer && is_others(one)).cloned().collect()
        };
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
        let deadline = Instant::now() + LAUNCH_PATIENCE;
        loop {
            let instances = match self.instances(&order.layer).await {
                Ok(instances) => instances,
                Err(error) => return Created { machines: Vec::new(), failure: Some(error) },
            };
            let ordered: Vec<&Instance> =
                instances.iter().filter(|instance| order.ids.contains(&instance.key.id)).collect();
            let is_missing = all_exist && ordered.len() < order.ids.len();
            let waits = is_missing
                || ordered.iter().any(|instance| {
                    instance.power == Power::Pending || (instance.power == Power::Running && instance.address.is_none())
                });
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
            tokio::time::sleep(POLL).await;
        }
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
            disk,
        })
    }
}
