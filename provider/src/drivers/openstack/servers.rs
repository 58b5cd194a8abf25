//! Servers. Source: "Compute API" (Nova), microversions as negotiated in `session`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;

use super::catalog::Limits;
use super::session::{Service, is_conflict};
use super::volumes::Volume;
use super::{DISK, ID, LAYER, OWNER, OpenStack, PATIENCE, POLL, SCOPE, escaped, paged, tag};
use crate::driver::{Disks, DriverError, LayerId, MachineKey, Order, Result};
use crate::drivers::remote::cloud::{DiskHint, Instance, Mended, Power, UserData};

#[derive(Debug, Deserialize)]
struct Server {
    id: String,
    status: String,
    #[serde(default)]
    created: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    addresses: BTreeMap<String, Vec<Address>>,
    #[serde(rename = "os-extended-volumes:volumes_attached", default)]
    volumes: Vec<Attached>,
    fault: Option<Fault>,
    flavor: Option<FlavorOf>,
    #[serde(rename = "OS-EXT-STS:task_state")]
    task: Option<String>,
}

/// Since microversion 2.47.
#[derive(Debug, Deserialize)]
struct FlavorOf {
    original_name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Shown {
    server: Server,
}

/// The answer to an order tells nothing but the id.
#[derive(Debug, Deserialize)]
struct Ordered {
    server: OrderedServer,
}

#[derive(Debug, Deserialize)]
struct OrderedServer {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Address {
    addr: IpAddr,
    #[serde(rename = "OS-EXT-IPS:type")]
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Attached {}

#[derive(Debug, Deserialize)]
struct Fault {
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct ServerGroup {
    id: String,
    name: String,
    #[serde(default)]
    members: Vec<String>,
}

/// Servers that are ordered at the same time: Nova takes a second for each, whatever the number, and what waits too
/// long is lost.
const AT_ONCE: usize = 10;

impl OpenStack {
    /// Without those that are being deleted.
    pub(super) async fn servers(&self, layer: &LayerId) -> Result<Vec<Instance>> {
        Ok(self
            .all_servers(layer)
            .await?
            .into_iter()
            .filter(|(_, is_leaving)| !is_leaving)
            .map(|(server, _)| server)
            .collect())
    }

    /// Each with whether it is being deleted.
    async fn all_servers(&self, layer: &LayerId) -> Result<Vec<(Instance, bool)>> {
        let path = format!("/servers/detail?tags={}", escaped(&tag(layer)));
        let servers: Vec<Server> =
            paged(&self.session, Service::Compute, &path, "servers", |server: &Server| server.id.clone()).await?;
        let mut found: Vec<(Instance, bool)> = servers.into_iter().filter_map(|server| server.read(layer)).collect();
        found.sort_by(|(a, _), (b, _)| (a.key.id, &a.id).cmp(&(b.key.id, &b.id)));
        Ok(found)
    }

    /// All at once; what fails does not stop the others.
    pub(super) async fn create_servers(&self, order: &Order, user_data: UserData<'_>) -> Result<()> {
        let image = self.image(&order.need).await?;
        let (flavor, limits, network, group, mut orphans) = tokio::try_join!(
            self.flavor(&order.need, &image),
            self.limits(),
            self.network_id(),
            self.group_id(&order.layer),
            async { if order.need.disk_gb.is_some() { self.disks_for(order).await } else { Ok(Vec::new()) } },
        )?;
        limits.check(order.ids.len() as u64, &flavor)?;
        let server_groups = self.server_groups(&order.layer, order.ids.len(), &limits).await?;
        let mut volumes: Vec<Option<Volume>> = Vec::new();
        for _ in &order.ids {
            volumes.push(orphans.pop());
        }
        let turns = Semaphore::new(AT_ONCE);
        let creations = order.ids.iter().zip(volumes).zip(server_groups).map(|((id, orphan), server_group)| {
            let body = ServerBody {
                order,
                id: *id,
                image: &image.id,
                flavor: &flavor.id,
                network,
                group: &group,
                server_group,
            };
            let turns = &turns;
            async move {
                let _turn = turns.acquire().await;
                self.create_server(body, orphan, user_data).await
            }
        });
        let results = futures_util::future::join_all(creations).await;
        results.into_iter().collect::<Result<Vec<()>>>().map(drop)
    }

    async fn create_server(&self, body: ServerBody<'_>, orphan: Option<Volume>, user_data: UserData<'_>) -> Result<()> {
        let key = MachineKey { layer: body.order.layer.clone(), id: body.id };
        let volume = match (orphan, body.order.need.disk_gb) {
            (Some(volume), _) => Some(volume),
            (None, Some(size)) => Some(self.create_volume(&key, size).await?),
            (None, None) => None,
        };
        // virtio shows the first 20 characters of a volume's id as the serial number of the disk.
        let hint = volume.as_ref().map_or(DiskHint::None, |volume| DiskHint::Id(volume.id.chars().take(20).collect()));
        let json = body.json(&key, self.zone(body.id), &user_data(&[body.id], hint));
        let look = || async {
            let existing = self.servers(&key.layer).await?;
            let found = existing.into_iter().find(|server| server.key == key);
            Ok(found.map(|server| Ordered { server: OrderedServer { id: server.id } }))
        };
        let Ordered { server } = self.session.make_once(Service::Compute, "/servers", json, look).await?;
        let server = server.id;
        if volume.is_some() || self.floating_network.is_some() {
            self.wait_until_active(&server, &key).await?;
        }
        if let Some(volume) = volume {
            self.attach(&volume, &server).await?;
        }
        if self.floating_network.is_some() {
            self.give_floating_address(&key, &server).await?;
        }
        Ok(())
    }

    async fn wait_until_active(&self, server: &str, key: &MachineKey) -> Result<()> {
        let deadline = Instant::now() + PATIENCE * 2;
        loop {
            let shown: Shown = self.session.get(Service::Compute, &format!("/servers/{server}")).await?;
            match shown.server.status.as_str() {
                "ACTIVE" => return Ok(()),
                "ERROR" => {
                    let reason =
                        shown.server.fault.map_or_else(|| "Nova gives no reason".to_owned(), |fault| fault.message);
                    return Err(DriverError::Boot { machine: key.name(), reason });
                }
                _ if Instant::now() > deadline => {
                    return Err(DriverError::Boot {
                        machine: key.name(),
                        reason: format!("it is {} after {} s", shown.server.status, (PATIENCE * 2).as_secs()),
                    });
                }
                _ => tokio::time::sleep(POLL / 2).await,
            }
        }
    }

    fn zone(&self, id: u64) -> Option<&str> {
        let zones = self.zones.len().max(1);
        self.zones.get(id.saturating_sub(1) as usize % zones).map(String::as_str)
    }

    pub(super) async fn set_owner(&self, instances: &[Instance], owner: &str) -> Result<()> {
        let body = json!({ "metadata": { OWNER: owner } });
        let changes = instances.iter().map(|instance| {
            let path = format!("/servers/{}/metadata", instance.id);
            let body = body.clone();
            async move { self.session.order(Method::POST, Service::Compute, &path, Some(body)).await }
        });
        futures_util::future::try_join_all(changes).await.map(drop)
    }

    pub(super) async fn mend_server(&self, instance: &Instance, order: &Order) -> Result<Mended> {
        if instance.power != Power::Running {
            self.wake(instance).await?;
        }
        let mut mended = Mended::Own;
        if let Some(size) = order.need.disk_gb.filter(|_| !instance.has_its_disk) {
            let volume = match self.disk_for(&instance.key, order).await? {
                Some(volume) => volume,
                None => {
                    mended = Mended::EmptyDisk;
                    self.create_volume(&instance.key, size).await?
                }
            };
            self.attach(&volume, &instance.id).await?;
        }
        if self.floating_network.is_some() && instance.public_address.is_none() {
            self.give_floating_address(&instance.key, &instance.id).await?;
        }
        Ok(mended)
    }

    /// The action that leads from a server's status back to ACTIVE ("Server concepts", Nova).
    async fn wake(&self, instance: &Instance) -> Result<()> {
        // In an apply that was cut off.
        self.confirm_resize(instance).await?;
        let action = match self.server_status(instance).await?.as_str() {
            "ACTIVE" => return Ok(()),
            "PAUSED" => json!({ "unpause": null }),
            "SUSPENDED" => json!({ "resume": null }),
            "SHELVED" | "SHELVED_OFFLOADED" => json!({ "unshelve": null }),
            "RESCUE" => json!({ "unrescue": null }),
            "ERROR" => json!({ "reboot": { "type": "HARD" } }),
            _ => json!({ "os-start": null }),
        };
        match self.act(&instance.id, action).await {
            // It may be on its way already.
            Err(error) if is_conflict(&error) => Ok(()),
            other => other,
        }
    }

    async fn server(&self, instance: &Instance) -> Result<Server> {
        let shown: Shown = self.session.get(Service::Compute, &format!("/servers/{}", instance.id)).await?;
        Ok(shown.server)
    }

    async fn server_status(&self, instance: &Instance) -> Result<String> {
        Ok(self.server(instance).await?.status)
    }

    /// Nova keeps the old server until the new one is confirmed ("Resize an instance", Nova).
    pub(super) async fn resize_server(&self, instance: &Instance, size: &str) -> Result<()> {
        let flavor = self.flavor_called(size).await?;
        let ordered = self.act(&instance.id, json!({ "resize": { "flavorRef": flavor.id } })).await;
        let failed = |reason: String| {
            let reason = format!("Nova did not give it the flavor {size}{reason}");
            Err(DriverError::Boot { machine: instance.key.name(), reason })
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let server = self.server(instance).await?;
            match server.status.as_str() {
                "VERIFY_RESIZE" => return self.confirm_resize(instance).await,
                "RESIZE" => {}
                // What is under way is still shown with the status of before.
                _ if server.task.is_some() => {}
                // Clouds may confirm by themselves (`resize_confirm_window`).
                _ if server.flavor.as_ref().and_then(|it| it.original_name.as_deref()) == Some(size) => return Ok(()),
                status => {
                    // Where the answer to a first order was lost, a second one is a conflict.
                    ordered?;
                    let fault = server.fault.map(|fault| format!(" ({})", fault.message)).unwrap_or_default();
                    return failed(format!(": the server is {status} again{fault}; its events say why"));
                }
            }
            if Instant::now() > deadline {
                return failed(format!(" within {} s", PATIENCE.as_secs()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn confirm_resize(&self, instance: &Instance) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut is_told = false;
        while self.server_status(instance).await? == "VERIFY_RESIZE" {
            if !is_told {
                self.act(&instance.id, json!({ "confirmResize": null })).await?;
                is_told = true;
            }
            if Instant::now() > deadline {
                let reason = format!("Nova did not confirm its flavor within {} s", PATIENCE.as_secs());
                return Err(DriverError::Boot { machine: instance.key.name(), reason });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    pub(super) async fn act(&self, server: &str, action: Json) -> Result<()> {
        let path = format!("/servers/{server}/action");
        self.session.order(Method::POST, Service::Compute, &path, Some(action)).await
    }

    pub(super) async fn delete_servers(&self, instances: &[Instance], disks: &Disks) -> Result<()> {
        let Some(first) = instances.first() else { return Ok(()) };
        let ids: Vec<&str> = instances.iter().map(|instance| instance.id.as_str()).collect();
        let (volumes, addresses) = tokio::try_join!(
            async {
                if instances.iter().any(|instance| instance.disk) {
                    self.volumes_of(&first.key.layer, &ids).await
                } else {
                    Ok(Vec::new())
                }
            },
            self.floating_addresses_of(instances),
        )?;
        if let Disks::Keep { owner } = disks {
            // Before they hang on nothing: what hangs on nothing and is not marked so may be deleted.
            self.mark_kept(&volumes, owner).await?;
        }
        let deletions =
            ids.iter().map(|id| async move { self.session.delete(Service::Compute, &format!("/servers/{id}")).await });
        futures_util::future::try_join_all(deletions).await?;
        let releases = addresses.iter().map(|address| self.release(address));
        futures_util::future::try_join_all(releases).await?;
        let mut deadline = Instant::now() + PATIENCE;
        let mut fewest = ids.len();
        loop {
            let asked = Instant::now();
            let mut left = self.all_servers(&first.key.layer).await?;
            left.retain(|(server, _)| ids.contains(&server.id.as_str()));
            // A deletion may fail inside of Nova, which leaves the server in ERROR; it takes another one.
            for (server, _) in
                left.iter().filter(|(server, is_leaving)| !is_leaving && matches!(server.power, Power::Failed(_)))
            {
                self.session.delete(Service::Compute, &format!("/servers/{}", server.id)).await?;
            }
            let left: Vec<String> = left.into_iter().map(|(server, _)| server.key.name()).collect();
            if left.is_empty() {
                break;
            }
            // A cloud that is getting on with it has all the time that it takes.
            if left.len() < fewest {
                fewest = left.len();
                deadline = Instant::now() + PATIENCE;
            }
            if Instant::now() > deadline {
                return Err(DriverError::Boot {
                    machine: left.join(", "),
                    reason: format!("not deleted within {} s", PATIENCE.as_secs()),
                });
            }
            tokio::time::sleep((POLL / 2).max(asked.elapsed())).await;
        }
        match disks {
            Disks::Delete => {
                let deletions = volumes.iter().map(|volume| self.delete_volume(volume));
                futures_util::future::try_join_all(deletions).await.map(drop)
            }
            // A successor looks for those that hang on nothing.
            Disks::Keep { .. } => {
                let waits = volumes.iter().map(|volume| self.wait_for(&volume.id, "available"));
                futures_util::future::try_join_all(waits).await.map(drop)
            }
        }
    }

    /// The groups that keep a layer's machines on different hosts, as far as there are enough: one for each machine
    /// that is to be made. A group holds only so many, so a large layer has several.
    async fn server_groups(&self, layer: &LayerId, count: usize, limits: &Limits) -> Result<Vec<Option<String>>> {
        let mut existing = self.find_server_groups(layer).await?;
        let mut chosen = Vec::new();
        let mut number = existing.len();
        while chosen.len() < count {
            if let Some(group) = existing.pop() {
                let room = limits.group_size.saturating_sub(group.members.len()).min(count - chosen.len());
                chosen.extend(std::iter::repeat_n(Some(group.id), room));
                continue;
            }
            number += 1;
            match self.make_server_group(&format!("{}-{number}", tag(layer))).await {
                Ok(group) => existing.push(group),
                // Machines without a group are better than none.
                Err(DriverError::Quota { .. }) => {
                    tracing::warn!("the quota for server groups is used up; machines of {layer} may share a host");
                    chosen.resize(count, None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(chosen)
    }

    async fn make_server_group(&self, name: &str) -> Result<ServerGroup> {
        #[derive(Debug, Deserialize)]
        struct Made {
            server_group: ServerGroup,
        }
        let body = json!({ "server_group": { "name": name, "policy": "soft-anti-affinity" } });
        let look = || async {
            let found = self.all_server_groups().await?.into_iter().find(|group| group.name == name);
            Ok(found.map(|server_group| Made { server_group }))
        };
        let made: Made = self.session.make_once(Service::Compute, "/os-server-groups", body, look).await?;
        Ok(made.server_group)
    }

    async fn all_server_groups(&self) -> Result<Vec<ServerGroup>> {
        #[derive(Debug, Deserialize)]
        struct Groups {
            server_groups: Vec<ServerGroup>,
        }
        let groups: Groups = self.session.get(Service::Compute, "/os-server-groups?limit=1000").await?;
        Ok(groups.server_groups)
    }

    async fn find_server_groups(&self, layer: &LayerId) -> Result<Vec<ServerGroup>> {
        let prefix = format!("{}-", tag(layer));
        Ok(self.all_server_groups().await?.into_iter().filter(|group| group.name.starts_with(&prefix)).collect())
    }

    pub(super) async fn delete_server_groups(&self, layer: &LayerId) -> Result<()> {
        for group in self.find_server_groups(layer).await? {
            self.session.delete(Service::Compute, &format!("/os-server-groups/{}", group.id)).await?;
        }
        Ok(())
    }
}

struct ServerBody<'a> {
    order: &'a Order,
    id: u64,
    image: &'a str,
    flavor: &'a str,
    network: &'a str,
    group: &'a str,
    server_group: Option<String>,
}

impl ServerBody<'_> {
    fn json(&self, key: &MachineKey, zone: Option<&str>, user_data: &[u8]) -> Json {
        let LayerId { scope, name } = &key.layer;
        let mut metadata = json!({ SCOPE: scope, LAYER: name, ID: self.id.to_string(), OWNER: self.order.owner });
        if self.order.need.disk_gb.is_some() {
            metadata[DISK] = json!("yes");
        }
        let mut server = json!({
            "name": key.name(),
            "imageRef": self.image,
            "flavorRef": self.flavor,
            "networks": [{ "uuid": self.network }],
            "security_groups": [{ "name": self.group }],
            "user_data": BASE64_STANDARD.encode(user_data),
            "metadata": metadata,
            "tags": [tag(&key.layer)],
        });
        if let Some(zone) = zone {
            server["availability_zone"] = json!(zone);
        }
        match &self.server_group {
            Some(group) => json!({ "server": server, "os:scheduler_hints": { "group": group } }),
            None => json!({ "server": server }),
        }
    }
}

impl Server {
    fn read(self, layer: &LayerId) -> Option<(Instance, bool)> {
        let id: u64 = self.metadata.get(ID)?.parse().ok()?;
        let of_kind = |kind: &str| {
            let all = self.addresses.values().flatten();
            all.filter(|address| address.addr.is_ipv4())
                .find(|address| address.kind.as_deref().unwrap_or("fixed") == kind)
                .map(|address| address.addr)
        };
        let (fixed, floating) = (of_kind("fixed"), of_kind("floating"));
        let power = match self.status.as_str() {
            "ACTIVE" => Power::Running,
            "BUILD" | "REBOOT" | "HARD_REBOOT" | "PASSWORD" | "RESIZE" => Power::Pending,
            "ERROR" => {
                Power::Failed(self.fault.map_or_else(|| "Nova gives no reason".to_owned(), |fault| fault.message))
            }
            _ => Power::Off,
        };
        // DELETED is shown for a moment, before it is gone.
        let is_leaving = self.task.as_deref() == Some("deleting") || self.status.ends_with("DELETED");
        let disk = self.metadata.contains_key(DISK);
        let instance = Instance {
            key: MachineKey { layer: layer.clone(), id },
            id: self.id,
            created: self.created,
            address: fixed.or(floating),
            public_address: floating,
            power,
            owner: self.metadata.get(OWNER).cloned(),
            is_foreign: false,
            batch: id,
            zone: None,
            disk,
            has_its_disk: !disk || !self.volumes.is_empty(),
            size: self.flavor.and_then(|flavor| flavor.original_name),
        };
        Some((instance, is_leaving))
    }
}
