//! Data disks. Source: "Block Storage API v3" (Cinder), and Compute's volume attachments.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::session::{Service, is_conflict, is_lost, is_missing};
use super::{ID, LAYER, OpenStack, PATIENCE, POLL, SCOPE, escaped, paged};
use crate::driver::{DriverError, Layer, MachineKey, Result};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Volume {
    pub(super) id: String,
    status: String,
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

impl OpenStack {
    async fn volumes(&self, layer: &Layer) -> Result<Vec<Volume>> {
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

    /// Disks of the layer that hang on nothing.
    pub(super) async fn orphans(&self, layer: &Layer) -> Result<Vec<Volume>> {
        let mut found = self.volumes(layer).await?;
        found.retain(|volume| volume.status == "available");
        Ok(found)
    }

    /// A disk for a machine that has lost its own: that very one, if it is still there.
    pub(super) async fn disk_for(&self, key: &MachineKey) -> Result<Option<Volume>> {
        let mut orphans = self.orphans(&key.layer).await?;
        let id = key.id.to_string();
        let own = orphans.iter().position(|volume| volume.metadata.get(ID) == Some(&id));
        Ok(match own {
            Some(own) => Some(orphans.swap_remove(own)),
            None => orphans.pop(),
        })
    }

    pub(super) async fn volumes_of(&self, layer: &Layer, servers: &[&str]) -> Result<Vec<Volume>> {
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

    async fn wait_for(&self, volume: &str, wanted: &str) -> Result<()> {
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

    pub(super) async fn delete_orphans(&self, layer: &Layer) -> Result<()> {
        let mut orphans = self.volumes(layer).await?;
        // Also those that Cinder could not make or delete.
        orphans.retain(|volume| volume.status == "available" || volume.status.starts_with("error"));
        let deletions = orphans.iter().map(|volume| self.delete_volume(volume));
        futures_util::future::try_join_all(deletions).await.map(drop)
    }
}
