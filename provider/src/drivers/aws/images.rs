//! Golden images: AMIs of this account. Source: "Amazon EC2 API Reference", CreateImage.

use serde::Deserialize;

use super::ec2::tag_params;
use super::query::{Items, filters, list};
use super::{Aws, Nothing, has_code, is_missing};
use crate::driver::{Need, Result};
use crate::drivers::remote::cloud::{Foundation, Golden, GoldenState, Instance};

/// Says that an image is one of ours, for people who look for what can go.
const BAKED: &str = "lampwright:baked";

#[derive(Debug, Deserialize)]
struct DescribeImages {
    #[serde(rename = "imagesSet", default)]
    images: Items<Image>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    image_id: String,
    #[serde(default)]
    image_state: String,
    state_reason: Option<Reason>,
    #[serde(default)]
    block_device_mapping: Items<Mapping>,
}

#[derive(Debug, Deserialize)]
struct Reason {
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Mapping {
    ebs: Option<Ebs>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ebs {
    snapshot_id: Option<String>,
}

impl Aws {
    pub(super) async fn foundation(&self, need: &Need) -> Result<Foundation> {
        let image = self.image(need).await?;
        Ok(Foundation { image: image.name, digest: image.id })
    }

    pub(super) async fn golden(&self, name: &str) -> Result<Option<Golden>> {
        Ok(self.golden_image(name).await?.map(|image| {
            let state = match image.image_state.as_str() {
                "available" => GoldenState::Ready,
                "pending" | "transient" => GoldenState::Pending,
                other => {
                    let reason = image.state_reason.map(|reason| reason.message).unwrap_or_default();
                    GoldenState::Failed(format!("it is {other}: {reason}"))
                }
            };
            Golden { id: image.image_id, state }
        }))
    }

    async fn golden_image(&self, name: &str) -> Result<Option<Image>> {
        let mut params = filters(&[("name", &[name])]);
        params.extend(list("Owner", ["self"]));
        let found: DescribeImages = self.ec2("DescribeImages", &params).await?;
        let gone = ["deregistered", "disabled"];
        Ok(found.images.item.into_iter().find(|image| !gone.contains(&image.image_state.as_str())))
    }

    pub(super) async fn power_off(&self, instance: &Instance) -> Result<()> {
        self.ec2::<Nothing>("StopInstances", &list("InstanceId", [instance.id.as_str()])).await.map(drop)
    }

    pub(super) async fn keep(&self, instance: &Instance, name: &str) -> Result<()> {
        let mut params = vec![("InstanceId".to_owned(), instance.id.clone()), ("Name".to_owned(), name.to_owned())];
        params.extend(tag_params(1, "image", &[("Name", name), (BAKED, "yes")]));
        match self.ec2::<Nothing>("CreateImage", &params).await {
            // An answer that was lost, or another run that was faster.
            Err(error) if has_code(&error, "InvalidAMIName.Duplicate") => Ok(()),
            other => other.map(drop),
        }
    }

    /// With its snapshots, which AWS would keep.
    pub(super) async fn discard(&self, golden: &Golden) -> Result<()> {
        let id = list("ImageId", [golden.id.as_str()]);
        let found: DescribeImages = match self.ec2("DescribeImages", &id).await {
            Err(error) if is_missing(&error) => return Ok(()),
            other => other?,
        };
        self.forget_images();
        self.ec2::<Nothing>("DeregisterImage", &vec![("ImageId".to_owned(), golden.id.clone())]).await?;
        let mappings = found.images.iter().flat_map(|image| image.block_device_mapping.iter());
        for snapshot in mappings.filter_map(|mapping| mapping.ebs.as_ref()?.snapshot_id.clone()) {
            match self.ec2::<Nothing>("DeleteSnapshot", &vec![("SnapshotId".to_owned(), snapshot)]).await {
                Err(error) if !is_missing(&error) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}
