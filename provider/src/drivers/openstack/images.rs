//! Golden images: snapshots of servers, kept by Glance. Source: "Compute API", createImage; "Image service API v2".

use serde_json::{Value as Json, json};

use super::session::{Service, is_conflict, is_missing};
use super::{OpenStack, escaped, paged};
use crate::driver::{Need, Result};
use crate::drivers::remote::cloud::{Foundation, Golden, GoldenState, Instance};

#[derive(Debug, serde::Deserialize)]
struct Image {
    id: String,
    status: String,
}

impl OpenStack {
    /// A snapshot is as large as the disk of its flavor, so it fits only flavors with at least that.
    pub(super) async fn foundation(&self, need: &Need) -> Result<Foundation> {
        let image = self.image(need).await?;
        let flavor = self.flavor(need, &image).await?;
        Ok(Foundation { image: image.name, digest: format!("{} {}", image.id, flavor.disk) })
    }

    /// Of this project alone: anybody may give a public image any name. Glance lets several images have one name; the
    /// first of them that is of use is taken.
    pub(super) async fn golden(&self, name: &str) -> Result<Option<Golden>> {
        let path = format!("/images?visibility=private&name={}&sort=created_at:asc", escaped(name));
        let images: Vec<Image> =
            paged(&self.session, Service::Image, &path, "images", |image: &Image| image.id.clone()).await?;
        let mut found: Vec<Golden> = images
            .into_iter()
            .filter_map(|image| {
                let state = match image.status.as_str() {
                    "active" => GoldenState::Ready,
                    "queued" | "saving" | "importing" | "uploading" => GoldenState::Pending,
                    "deleted" | "pending_delete" => return None,
                    other => GoldenState::Failed(format!("it is {other}")),
                };
                Some(Golden { id: image.id, state })
            })
            .collect();
        found.sort_by_key(|golden| match golden.state {
            GoldenState::Ready => 0,
            GoldenState::Pending => 1,
            GoldenState::Failed(_) => 2,
        });
        Ok(found.into_iter().next())
    }

    pub(super) async fn power_off(&self, instance: &Instance) -> Result<()> {
        match self.act(&instance.id, json!({ "os-stop": null })).await {
            // The answer to the first order was lost.
            Err(error) if is_conflict(&error) => Ok(()),
            other => other,
        }
    }

    pub(super) async fn keep(&self, instance: &Instance, name: &str) -> Result<()> {
        let action = json!({ "createImage": { "name": name, "metadata": { "lampwright_baked": "yes" } } });
        let path = format!("/servers/{}/action", instance.id);
        let look = || async { Ok(self.golden(name).await?.map(|_| json!({}))) };
        self.session.make_once::<Json, _>(Service::Compute, &path, action, look).await.map(drop)
    }

    pub(super) async fn discard(&self, golden: &Golden) -> Result<()> {
        self.forget_images();
        match self.session.delete(Service::Image, &format!("/images/{}", golden.id)).await {
            Err(error) if is_missing(&error) => Ok(()),
            other => other,
        }
    }
}
