//! Data disks. They are made with their machine, stay when it is lost, and hang on its successor then.

use std::time::Instant;

use serde::Deserialize;

use super::ec2::{POLL, is_not_yet, tag_params};
use super::query::{Items, Params, filters};
use super::{Aws, LAYER, Nothing, SCOPE, has_code, is_missing};
use crate::driver::{DriverError, Layer, MachineKey, Result};

/// What the disk is called when it is attached; the machine may know it by another name.
pub(super) const DATA_DEVICE: &str = "/dev/sdf";
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) id: String,
    pub(super) zone: String,
}

#[derive(Debug, Deserialize)]
struct DescribeVolumes {
    #[serde(rename = "volumeSet", default)]
    volumes: Items<VolumeItem>,
    #[serde(rename = "nextToken")]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumeItem {
    volume_id: String,
    availability_zone: String,
}

impl Aws {
    async fn describe_volumes(&self, filter: Params) -> Result<Vec<Volume>> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut params = filter.clone();
            params.extend(token.take().map(|token| ("NextToken".to_owned(), token)));
            let answer: DescribeVolumes = self.ec2("DescribeVolumes", &params).await?;
            let volumes = answer.volumes.item.into_iter();
            found.extend(volumes.map(|volume| Volume { id: volume.volume_id, zone: volume.availability_zone }));
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// Disks of the layer that hang on nothing.
    pub(super) async fn orphans(&self, layer: &Layer) -> Result<Vec<Volume>> {
        let scope = format!("tag:{SCOPE}");
        let name = format!("tag:{LAYER}");
        let filter = filters(&[(&scope, &[&layer.scope]), (&name, &[&layer.name]), ("status", &["available"])]);
        self.describe_volumes(filter).await
    }

    /// The data disks that hang on these instances; the disks that they boot from carry no tag of ours.
    pub(super) async fn volumes_of(&self, instances: &[&str]) -> Result<Vec<Volume>> {
        let mut found = Vec::new();
        // A filter holds 200 values.
        for some in instances.chunks(190) {
            let filter = filters(&[("attachment.instance-id", some), ("tag-key", &[LAYER])]);
            found.extend(self.describe_volumes(filter).await?);
        }
        Ok(found)
    }

    /// A disk in place of one that is nowhere any more.
    pub(super) async fn create_volume(&self, key: &MachineKey, size: u64, zone: &str) -> Result<String> {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Made {
            volume_id: String,
        }
        let size = size.to_string();
        // An answer that was lost leaves an orphan, which the next try takes; the token makes AWS give back the same.
        let token = uuid::Uuid::new_v4().simple().to_string();
        let params = [("AvailabilityZone", zone), ("Size", &size), ("VolumeType", "gp3"), ("ClientToken", &token)];
        let mut params: Params = params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let Layer { scope, name } = &key.layer;
        let shown = format!("{name} data");
        params.extend(tag_params(1, "volume", &[("Name", &shown), (SCOPE, scope), (LAYER, name)]));
        let made: Made = self.ec2("CreateVolume", &params).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let filter = filters(&[("volume-id", &[&made.volume_id]), ("status", &["available"])]);
            if !self.describe_volumes(filter).await?.is_empty() {
                return Ok(made.volume_id);
            }
            if Instant::now() > deadline {
                let reason = format!("its new disk {} was not ready within {} s", made.volume_id, PATIENCE.as_secs());
                return Err(DriverError::Boot { machine: key.name(), reason });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) async fn attach(&self, volume: &str, instance: &str) -> Result<()> {
        let params = [("VolumeId", volume), ("InstanceId", instance), ("Device", DATA_DEVICE)];
        let params = params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        match self.ec2_soon::<Nothing>("AttachVolume", &params).await {
            // An answer that was lost: it hangs there already. Or on another machine.
            Err(error) if has_code(&error, "VolumeInUse") => {
                let there = filters(&[("volume-id", &[volume]), ("attachment.instance-id", &[instance])]);
                if self.describe_volumes(there).await?.is_empty() { Err(error) } else { Ok(()) }
            }
            other => other.map(drop),
        }
    }

    pub(super) async fn delete_volumes(&self, volumes: Vec<Volume>) -> Result<()> {
        let deletions = volumes.iter().map(|volume| self.delete_volume(&volume.id));
        futures_util::future::join_all(deletions).await.into_iter().collect::<Result<Vec<()>>>().map(drop)
    }

    async fn delete_volume(&self, id: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ec2::<Nothing>("DeleteVolume", &vec![("VolumeId".to_owned(), id.to_owned())]).await {
                Err(error) if is_not_yet(&error) && Instant::now() < deadline => tokio::time::sleep(POLL).await,
                Err(error) if !is_missing(&error) => return Err(error),
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    }

    pub(super) async fn delete_orphans(&self, layer: &Layer) -> Result<()> {
        let orphans = self.orphans(layer).await?;
        self.delete_volumes(orphans).await
    }
}
