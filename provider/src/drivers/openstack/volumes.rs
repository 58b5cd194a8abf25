//! Data disks. Source: "Block Storage API v3" (Cinder), and Compute's volume attachments.

use std::collections::BTreeMap;
use std::time::Instant;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::session::{Service, is_conflict, is_lost, is_missing};
use super::{ID, KEPT, LAYER, OpenStack, PATIENCE, POLL, SCOPE, escaped, paged};
use crate::driver::{Disks, DriverError, Kept, LayerId, MachineKey, Order, Result, Size};
use crate::drivers::remote::cloud::KeptTag;

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Volume {
    pub(super) id: String,
    status: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

#[derive(Debug, Clone, Deserialize)]
struct Attachment {
    server_id: String,
}

#[derive(Debug, Deserialize)]
struct Shown {
    volume: Volume,
}

impl Volume {
    fn kept(&self) -> Option<KeptTag> {
        self.metadata.get(KEPT).map(|text| KeptTag::parse(text))
    }
}

impl OpenStack {
    async fn volumes(&self, layer: &LayerId) -> Result<Vec<Volume>> {
        let filter = format!("{{'{LAYER}': '{}', '{SCOPE}': '{}'}}", layer.name, layer.scope);
        let path = format!("/volumes/detail?metadata={}", escaped(&filter));
        let mut found: Vec<Volume> =
            paged(&self.session, Service::Volume, &path, "volumes", |volume: &Volume| volume.id.clone()).await?;
        // A cloud may not filter.
        let has =
            |volume: &Volume, name: &str, value: &str| volume.metadata.get(name).map(String::as_str) == Some(value);
        found.retain(|volume| {
            has(volume, LAYER, &layer.name) && has(volume, SCOPE, &layer.scope) && volume.status != "deleting"
        });
        Ok(found)
    }

    /// Disks of the layer that hang on nothing and that machines of an order may have.
    pub(super) async fn disks_for(&self, order: &Order) -> Result<Vec<Volume>> {
        let mut found = self.volumes(&order.layer).await?;
        found.retain(|volume| {
            volume.status == "available" && volume.kept().is_none_or(|kept| order.may_have(&kept.owner))
        });
        Ok(found)
    }

    pub(super) async fn kept_volumes(&self, layer: &LayerId) -> Result<Vec<Kept>> {
        let mut volumes = self.volumes(layer).await?;
        volumes.retain(|volume| volume.attachments.is_empty());
        let mut kept: Vec<Kept> = volumes
            .into_iter()
            .filter_map(|volume| {
                let KeptTag { since, owner } = volume.kept()?;
                let cure = format!("openstack volume delete {}", volume.id);
                Some(Kept { name: volume.id, owner, since, size: Some(Size::Disk(volume.size << 30)), cure })
            })
            .collect();
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(kept)
    }

    pub(super) async fn mark_kept(&self, volumes: &[Volume], owner: &str) -> Result<()> {
        let body = json!({ "metadata": { KEPT: KeptTag::now(owner) } });
        let marks = volumes.iter().map(|volume| {
            let (path, body) = (format!("/volumes/{}/metadata", volume.id), body.clone());
            async move { self.session.order(Method::POST, Service::Volume, &path, Some(body)).await }
        });
        futures_util::future::try_join_all(marks).await.map(drop)
    }

    /// A disk for a machine that has lost its own: that very one, if it is still there.
    pub(super) async fn disk_for(&self, key: &MachineKey, order: &Order) -> Result<Option<Volume>> {
        let mut orphans = self.disks_for(order).await?;
        let id = key.id.to_string();
        let own = orphans.iter().position(|volume| volume.metadata.get(ID) == Some(&id));
        Ok(match own {
            Some(own) => Some(orphans.swap_remove(own)),
            None => orphans.pop(),
        })
    }

    pub(super) async fn volumes_of(&self, layer: &LayerId, servers: &[&str]) -> Result<Vec<Volume>> {
        let mut found = self.volumes(layer).await?;
        found.retain(|volume| {
            volume.attachments.iter().any(|attachment| servers.contains(&attachment.server_id.as_str()))
        });
        Ok(found)
    }

    /// Makes the disk for a machine; one that was made for it before, by a call whose answer was lost, is taken.
    pub(super) async fn create_volume(&self, key: &MachineKey, size: u64) -> Result<Volume> {
        let metadata = json!({ SCOPE: key.layer.scope, LAYER: key.layer.name, ID: key.id.to_string() });
        let mut volume = json!({ "name": format!("{} data", key.name()), "size": size, "metadata": metadata });
        if let Some(kind) = &self.volume_type {
            volume["volume_type"] = json!(kind);
        }
        if let Some(zone) = self.zones.first() {
            volume["availability_zone"] = json!(zone);
        }
        let look = || async {
            let id = key.id.to_string();
            let is_it = |volume: &Volume| volume.attachments.is_empty() && volume.metadata.get(ID) == Some(&id);
            Ok(self.volumes(&key.layer).await?.into_iter().find(is_it).map(|volume| Shown { volume }))
        };
        let body = json!({ "volume": volume });
        let Shown { volume: made } = self.session.make_once(Service::Volume, "/volumes", body, look).await?;
        self.wait_for(&made.id, "available").await?;
        Ok(made)
    }

    pub(super) async fn wait_for(&self, volume: &str, wanted: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown: Shown = self.session.get(Service::Volume, &format!("/volumes/{volume}")).await?;
            if shown.volume.status == wanted {
                return Ok(());
            }
            if shown.volume.status.starts_with("error") || Instant::now() > deadline {
                let message = format!("the volume is {} and not {wanted}", shown.volume.status);
                return Err(DriverError::Api {
                    call: format!("cinder GET /volumes/{volume}"),
                    code: shown.volume.status,
                    message,
                });
            }
            tokio::time::sleep(POLL / 2).await;
        }
    }

    pub(super) async fn attach(&self, volume: &Volume, server: &str) -> Result<()> {
        if volume.kept().is_some() {
            // Before it is somebody's again: a server that is lost later leaves a disk that its successor takes.
            self.session.delete(Service::Volume, &format!("/volumes/{}/metadata/{KEPT}", volume.id)).await?;
        }
        let body = json!({ "volumeAttachment": { "volumeId": volume.id, "delete_on_termination": false } });
        let path = format!("/servers/{server}/os-volume_attachments");
        let mut tries = 0;
        loop {
            match self.session.post::<Json>(Service::Compute, &path, body.clone()).await {
                Ok(_) => break,
                Err(error) if tries == 8 => return Err(error),
                // It may hang there already: the answer was lost.
                Err(error)
                    if is_lost(&error)
                        || is_conflict(&error)
                        || matches!(&error, DriverError::Api { code, .. } if code == "400") =>
                {
                    tries += 1;
                    let shown: Shown = self.session.get(Service::Volume, &format!("/volumes/{}", volume.id)).await?;
                    if shown.volume.attachments.iter().any(|attachment| attachment.server_id == server)
                        || matches!(shown.volume.status.as_str(), "attaching" | "reserved")
                    {
                        break;
                    }
                    if !is_lost(&error) && !is_conflict(&error) {
                        return Err(error);
                    }
                    tokio::time::sleep(POLL).await;
                }
                Err(error) => return Err(error),
            }
        }
        self.wait_for(&volume.id, "in-use").await
    }

    pub(super) async fn delete_volume(&self, volume: &Volume) -> Result<()> {
        let path = format!("/volumes/{}", volume.id);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.session.delete(Service::Volume, &path).await {
                // In use (400) until Cinder knows that its server is gone.
                Err(DriverError::Api { code, .. })
                    if matches!(code.as_str(), "400" | "409") && Instant::now() < deadline => {}
                Err(error) => return Err(error),
                Ok(()) => match self.session.get::<Shown>(Service::Volume, &path).await {
                    Err(error) if is_missing(&error) => return Ok(()),
                    Err(error) => return Err(error),
                    Ok(shown) if shown.volume.status.starts_with("error") || Instant::now() > deadline => {
                        let message = format!("the volume is {} and not deleted", shown.volume.status);
                        return Err(DriverError::Api {
                            call: format!("cinder DELETE {path}"),
                            code: shown.volume.status,
                            message,
                        });
                    }
                    Ok(_) => {}
                },
            }
            tokio::time::sleep(POLL / 2).await;
        }
    }

    /// Disks that have lost their server are deleted, or kept; those that are kept already stay.
    pub(super) async fn dispose_of_orphans(&self, layer: &LayerId, disks: &Disks) -> Result<()> {
        let mut orphans = self.volumes(layer).await?;
        orphans.retain(|volume| volume.kept().is_none());
        if let Disks::Keep { owner } = disks {
            orphans.retain(|volume| volume.status == "available");
            return self.mark_kept(&orphans, owner).await;
        }
        // Also those that Cinder could not make or delete.
        orphans.retain(|volume| volume.status == "available" || volume.status.starts_with("error"));
        let deletions = orphans.iter().map(|volume| self.delete_volume(volume));
        futures_util::future::try_join_all(deletions).await.map(drop)
    }
}
