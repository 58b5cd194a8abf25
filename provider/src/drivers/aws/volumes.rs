//! Data disks. They are made with their machine, stay when it is lost, and hang on its successor then. One that is kept
//! when its layer goes carries a tag that says so, and hangs on a new machine only where the plan said so.

use std::time::Instant;

use serde::Deserialize;

use super::ec2::{POLL, Tag, is_not_yet, tag, tag_params};
use super::query::{Items, Params, filters, list};
use super::{Aws, KEPT, LAYER, Nothing, SCOPE, has_code, is_missing};
use crate::driver::{Disks, DriverError, Kept, LayerId, MachineKey, Order, Result, Size};
use crate::drivers::remote::cloud::KeptTag;

/// What the disk is called when it is attached; the machine may know it by another name.
pub(super) const DATA_DEVICE: &str = "/dev/sdf";
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) id: String,
    pub(super) zone: String,
    pub(super) gib: u64,
    pub(super) kept: Option<KeptTag>,
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
    #[serde(default)]
    size: u64,
    #[serde(default)]
    tag_set: Items<Tag>,
}

impl VolumeItem {
    fn read(self) -> Volume {
        let kept = tag(&self.tag_set, KEPT).map(KeptTag::parse);
        Volume { id: self.volume_id, zone: self.availability_zone, gib: self.size, kept }
    }
}

impl Aws {
    async fn describe_volumes(&self, filter: Params) -> Result<Vec<Volume>> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut params = filter.clone();
            params.extend(token.take().map(|token| ("NextToken".to_owned(), token)));
            let answer: DescribeVolumes = self.ec2("DescribeVolumes", &params).await?;
            found.extend(answer.volumes.item.into_iter().map(VolumeItem::read));
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// Disks of the layer that hang on nothing, of those that are kept for somebody the ones that are `wanted`.
    pub(super) async fn orphans(
        &self,
        layer: &LayerId,
        wanted: impl Fn(Option<&KeptTag>) -> bool,
    ) -> Result<Vec<Volume>> {
        let scope = format!("tag:{SCOPE}");
        let name = format!("tag:{LAYER}");
        let filter = filters(&[(&scope, &[&layer.scope]), (&name, &[&layer.name]), ("status", &["available"])]);
        let mut found = self.describe_volumes(filter).await?;
        found.retain(|volume| wanted(volume.kept.as_ref()));
        Ok(found)
    }

    /// Those that machines of an order may have.
    pub(super) async fn disks_for(&self, order: &Order) -> Result<Vec<Volume>> {
        self.orphans(&order.layer, |kept| kept.is_none_or(|kept| order.may_have(&kept.owner))).await
    }

    pub(super) async fn kept_volumes(&self, layer: &LayerId) -> Result<Vec<Kept>> {
        let volumes = self.orphans(layer, |kept| kept.is_some()).await?;
        let mut kept: Vec<Kept> = volumes
            .into_iter()
            .filter_map(|Volume { id, gib, kept, .. }| {
                let KeptTag { since, owner } = kept?;
                let cure = format!("aws ec2 delete-volume --volume-id {id}");
                Some(Kept { name: id, owner, since, size: Some(Size::Disk(gib << 30)), cure })
            })
            .collect();
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(kept)
    }

    pub(super) async fn tag_kept(&self, volumes: &[Volume], owner: &str) -> Result<()> {
        if volumes.is_empty() {
            return Ok(());
        }
        let mut params = list("ResourceId", volumes.iter().map(|volume| volume.id.as_str()));
        params.push(("Tag.1.Key".to_owned(), KEPT.to_owned()));
        params.push(("Tag.1.Value".to_owned(), KeptTag::now(owner)));
        self.ec2_soon::<Nothing>("CreateTags", &params).await.map(drop)
    }

    /// Deletes disks that hang on nothing, or notes whose they were.
    pub(super) async fn dispose_of(&self, volumes: Vec<Volume>, disks: &Disks) -> Result<()> {
        match disks {
            Disks::Delete => self.delete_volumes(volumes).await,
            Disks::Keep { owner } => self.tag_kept(&volumes, owner).await,
        }
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
    pub(super) async fn create_volume(&self, key: &MachineKey, size: u64, zone: &str) -> Result<Volume> {
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
        let LayerId { scope, name } = &key.layer;
        let shown = format!("{name} data");
        params.extend(tag_params(1, "volume", &[("Name", &shown), (SCOPE, scope), (LAYER, name)]));
        let made: Made = self.ec2("CreateVolume", &params).await?;
        self.await_free(&made.volume_id).await.map_err(|error| match error {
            DriverError::Boot { reason, .. } => DriverError::Boot { machine: key.name(), reason },
            other => other,
        })
    }

    /// Waits until a disk can be attached.
    pub(super) async fn await_free(&self, volume: &str) -> Result<Volume> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let filter = filters(&[("volume-id", &[volume]), ("status", &["available"])]);
            if let Some(volume) = self.describe_volumes(filter).await?.pop() {
                return Ok(volume);
            }
            if Instant::now() > deadline {
                let reason = format!("the disk {volume} was not free within {} s", PATIENCE.as_secs());
                return Err(DriverError::Boot { machine: volume.to_owned(), reason });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) async fn attach(&self, volume: &Volume, instance: &str) -> Result<()> {
        let Volume { id: volume, kept, .. } = volume;
        if kept.is_some() {
            // Before it is somebody's again: a machine that is lost later leaves a disk that its successor takes.
            let params = [("ResourceId.1", volume.as_str()), ("Tag.1.Key", KEPT)];
            let params = params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            self.ec2::<Nothing>("DeleteTags", &params).await?;
        }
        let params = [("VolumeId", volume.as_str()), ("InstanceId", instance), ("Device", DATA_DEVICE)];
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
}
