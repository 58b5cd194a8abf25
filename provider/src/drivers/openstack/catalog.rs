//! Flavors, images and quotas: by the cloud's own names, or by need.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::Value as Json;

use super::session::Service;
use super::{OpenStack, paged};
use crate::driver::{DriverError, Need, Result};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Flavor {
    pub(super) id: String,
    pub(super) name: String,
    vcpus: u64,
    /// In MiB.
    ram: u64,
    /// In GiB.
    pub(super) disk: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Image {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    created_at: String,
    #[serde(default)]
    min_disk: u64,
    #[serde(default)]
    min_ram: u64,
    os_distro: Option<String>,
    os_version: Option<String>,
    /// `snapshot` where Nova has made it of a server; it has its other properties from that server's image.
    image_type: Option<String>,
}

impl Image {
    /// By its properties, else by its name: `Debian 12 (bookworm)` is `debian-12`.
    fn is_system(&self, os: &str) -> bool {
        if self.image_type.as_deref() == Some("snapshot") {
            return false;
        }
        if let (Some(distro), Some(version)) = (&self.os_distro, &self.os_version) {
            return format!("{distro}-{version}") == os;
        }
        let name: String = self
            .name
            .to_lowercase()
            .chars()
            .map(|ch| if ch.is_alphanumeric() || ch == '.' { ch } else { '-' })
            .collect();
        name == os
            || name.strip_prefix(os).is_some_and(|rest| !rest.starts_with(|ch: char| ch.is_ascii_digit() || ch == '.'))
    }
}

impl Flavor {
    fn is_called(&self, size: &str) -> bool {
        self.name == size || self.id == size
    }
}

fn no_flavor(wanted: String, flavors: &[Flavor]) -> DriverError {
    let known = flavors.iter().map(|Flavor { name, vcpus, ram, disk, .. }| {
        format!("{name} ({vcpus} cpu, {} GiB, disk {disk} GiB)", *ram as f64 / 1024.0)
    });
    DriverError::NoSuchOffer { what: "size", wanted, known: known.collect::<Vec<_>>().join(", ") }
}

impl OpenStack {
    async fn flavors(&self) -> Result<&[Flavor]> {
        Ok(self.flavors.get_or_try_init(|| self.find_flavors()).await?)
    }

    /// The smallest first.
    async fn find_flavors(&self) -> Result<Vec<Flavor>> {
        let mut flavors: Vec<Flavor> =
            paged(&self.session, Service::Compute, "/flavors/detail", "flavors", |flavor: &Flavor| flavor.id.clone())
                .await?;
        flavors.sort_by(|a, b| (a.vcpus, a.ram, a.disk, &a.name).cmp(&(b.vcpus, b.ram, b.disk, &b.name)));
        Ok(flavors)
    }

    pub(super) async fn flavor_called(&self, size: &str) -> Result<Flavor> {
        let flavors = self.flavors().await?;
        let found = flavors.iter().find(|flavor| flavor.is_called(size)).cloned();
        found.ok_or_else(|| no_flavor(format!("{size:?}"), flavors))
    }

    pub(super) async fn flavor(&self, need: &Need, image: &Image) -> Result<Flavor> {
        let flavors = self.flavors().await?;
        let (wanted, found) = match &need.size {
            Some(size) => (format!("{size:?}"), flavors.iter().find(|flavor| flavor.is_called(size))),
            None => {
                let (cpu, memory) = (need.cpu.unwrap_or(1), need.memory_gb.unwrap_or(1));
                let wanted =
                    format!("with {cpu} processors and {memory} GiB of memory that holds the image {}", image.name);
                let fits = |flavor: &&Flavor| {
                    flavor.vcpus >= cpu
                        && flavor.ram >= (memory << 10).max(image.min_ram)
                        && flavor.disk >= image.min_disk.max(1)
                };
                (wanted, flavors.iter().find(fits))
            }
        };
        found.cloned().ok_or_else(|| no_flavor(wanted, flavors))
    }

    fn images(&self) -> MutexGuard<'_, BTreeMap<(Option<String>, String), Image>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One was removed.
    pub(super) fn forget_images(&self) {
        self.images().clear();
    }

    pub(super) async fn image(&self, need: &Need) -> Result<Image> {
        let key = (need.image.clone(), need.system().to_owned());
        if let Some(image) = self.images().get(&key) {
            return Ok(image.clone());
        }
        let image = self.find_image(need).await?;
        self.images().insert(key, image.clone());
        Ok(image)
    }

    async fn find_image(&self, need: &Need) -> Result<Image> {
        let mut images: Vec<Image> =
            paged(&self.session, Service::Image, "/images", "images", |image: &Image| image.id.clone()).await?;
        images.retain(|image| image.status == "active");
        let is_meant = |image: &&Image| match &need.image {
            Some(wanted) => image.id == *wanted || matches(wanted, &image.name),
            None => image.is_system(need.system()),
        };
        let newest = images.iter().filter(is_meant).max_by(|a, b| (&a.created_at, &a.id).cmp(&(&b.created_at, &b.id)));
        newest.cloned().ok_or_else(|| {
            let wanted = match &need.image {
                Some(image) => format!("{image:?}"),
                None => format!("of {}", need.system()),
            };
            let mut known: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
            known.sort_unstable();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            DriverError::NoSuchOffer { what: "image", wanted, known }
        })
    }

    pub(super) async fn limits(&self) -> Result<Limits> {
        let found: Json = self.session.get(Service::Compute, "/limits").await?;
        let get = |name: &str| found.pointer(&format!("/limits/absolute/{name}")).and_then(Json::as_i64);
        // Below zero: no limit.
        let size = |name: &str| get(name).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let pair = |max: &str, used: &str| Some((get(max).filter(|max| *max >= 0)?, get(used)?));
        Ok(Limits {
            instances: pair("maxTotalInstances", "totalInstancesUsed"),
            cores: pair("maxTotalCores", "totalCoresUsed"),
            ram: pair("maxTotalRAMSize", "totalRAMUsed"),
            group_size: size("maxServerGroupMembers").max(1),
        })
    }
}

/// What the project may have: each limit with what is used of it; none if there is no limit.
#[derive(Debug)]
pub(super) struct Limits {
    instances: Option<(i64, i64)>,
    cores: Option<(i64, i64)>,
    /// In MiB.
    ram: Option<(i64, i64)>,
    /// How many servers a group may have.
    pub(super) group_size: usize,
}

impl Limits {
    /// Before the first is made: half a layer helps nobody.
    pub(super) fn check(&self, machines: u64, flavor: &Flavor) -> Result<()> {
        let needs = [
            ("instances", self.instances, machines),
            ("cores", self.cores, machines * flavor.vcpus),
            ("ram (MiB)", self.ram, machines * flavor.ram),
        ];
        for (what, limit, need) in needs {
            let Some((max, used)) = limit else { continue };
            if used + i64::try_from(need).unwrap_or(i64::MAX - used) > max {
                return Err(DriverError::Quota {
                    what: format!("the quota for {what}"),
                    message: format!("{need} more are needed, {used} of {max} are used; nothing was made"),
                    cure: format!("Raise it to at least {} (openstack quota set), or use less", used + need as i64),
                });
            }
        }
        Ok(())
    }
}

/// A name, where `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, properties: Option<(&str, &str)>) -> Image {
        Image {
            id: String::new(),
            name: name.to_owned(),
            status: "active".to_owned(),
            created_at: String::new(),
            min_disk: 0,
            min_ram: 0,
            os_distro: properties.map(|(distro, _)| distro.to_owned()),
            os_version: properties.map(|(_, version)| version.to_owned()),
            image_type: None,
        }
    }

    #[test]
    fn systems_are_recognised() {
        assert!(image("Debian 12 (bookworm)", None).is_system("debian-12"));
        assert!(image("debian-12-genericcloud-amd64", None).is_system("debian-12"));
        assert!(!image("debian-12.5", None).is_system("debian-12"));
        assert!(!image("debian-125", None).is_system("debian-12"));
        assert!(image("whatever", Some(("ubuntu", "24.04"))).is_system("ubuntu-24.04"));
        assert!(!image("debian-12", Some(("ubuntu", "24.04"))).is_system("debian-12"));
        let snapshot = Image { image_type: Some("snapshot".to_owned()), ..image("debian-12", Some(("debian", "12"))) };
        assert!(!snapshot.is_system("debian-12"));
    }

    #[test]
    fn names_match_patterns() {
        assert!(matches("lamp-debian-12*", "lamp-debian-12-20261101"));
        assert!(matches("*lamp*1", "lamp-debian-12-20261101"));
        assert!(matches("debian", "debian") && !matches("debian", "debian-12"));
        assert!(!matches("*lamp", "debian-12-lamp-1"));
    }
}
