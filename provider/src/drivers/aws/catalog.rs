//! Sizes and images: by AWS' own names, or by need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use serde::Deserialize;

use super::query::{Items, Params, filters, list};
use super::{Aws, has_code, is_missing};
use crate::driver::{DriverError, Need, Result};

/// Families that are looked at when a size is chosen by need: general purpose, from small to large.
const FAMILIES: &[&str] = &["t3.*", "t3a.*", "m6i.*", "m7i.*"];

/// Operating systems by name: their publisher's account and the names of their images.
const SYSTEMS: &[(&str, &str, &str)] = &[
    ("debian-12", "136693071363", "debian-12-amd64-*"),
    ("debian-13", "136693071363", "debian-13-amd64-*"),
    ("ubuntu-22.04", "099720109477", "ubuntu/images/hvm-ssd*/ubuntu-jammy-22.04-amd64-server-*"),
    ("ubuntu-24.04", "099720109477", "ubuntu/images/hvm-ssd*/ubuntu-noble-24.04-amd64-server-*"),
];

#[derive(Debug, Deserialize)]
struct DescribeInstanceTypes {
    #[serde(rename = "instanceTypeSet", default)]
    types: Items<InstanceType>,
    #[serde(rename = "nextToken")]
    next_token: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InstanceType {
    instance_type: String,
    v_cpu_info: Cpus,
    memory_info: Memory,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Cpus {
    #[serde(rename = "defaultVCpus")]
    default: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    size_in_mi_b: u64,
}

#[derive(Debug, Deserialize)]
struct DescribeImages {
    #[serde(rename = "imagesSet", default)]
    images: Items<Image>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Image {
    #[serde(rename = "imageId")]
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(rename = "creationDate", default)]
    created: String,
    #[serde(rename = "imageState", default)]
    state: String,
}

/// Sizes that there are, and the image of a need.
#[derive(Debug, Default)]
pub(super) struct Found {
    sizes: BTreeSet<String>,
    images: BTreeMap<(Option<String>, String), Image>,
}

impl Aws {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn size(&self, need: &Need) -> Result<String> {
        let size = match &need.size {
            Some(size) if self.found().sizes.contains(size) => return Ok(size.clone()),
            Some(size) => self.named_size(size).await?,
            None => self.fitting_size(need.cpu.unwrap_or(1), need.memory_gb.unwrap_or(1)).await?,
        };
        self.found().sizes.insert(size.clone());
        Ok(size)
    }

    /// One was removed.
    pub(super) fn forget_images(&self) {
        self.found().images.clear();
    }

    pub(super) async fn image(&self, need: &Need) -> Result<Image> {
        let key = (need.image.clone(), need.system().to_owned());
        if let Some(image) = self.found().images.get(&key) {
            return Ok(image.clone());
        }
        let image = self.find_image(need).await?;
        self.found().images.insert(key, image.clone());
        Ok(image)
    }

    async fn named_size(&self, size: &str) -> Result<String> {
        match self.ec2::<DescribeInstanceTypes>("DescribeInstanceTypes", &list("InstanceType", [size])).await {
            Ok(found) if !found.types.item.is_empty() => Ok(size.to_owned()),
            Err(error) if !has_code(&error, "InvalidInstanceType") && !has_code(&error, "InvalidParameterValue") => {
                Err(error)
            }
            Ok(_) | Err(_) => {
                let family = format!("{}.*", size.split('.').next().unwrap_or(size));
                let mut types = self.types(&filters(&[("instance-type", &[&family])])).await.unwrap_or_default();
                if types.is_empty() {
                    types = self.types(&filters(&[("instance-type", FAMILIES)])).await?;
                }
                Err(DriverError::NoSuchOffer {
                    what: "size",
                    wanted: format!("{size:?}"),
                    known: described(&mut types),
                })
            }
        }
    }

    /// The availability zones that have machines of this size.
    pub(super) async fn zones_with(&self, size: &str) -> Result<Vec<String>> {
        #[derive(Debug, Deserialize)]
        struct Offerings {
            #[serde(rename = "instanceTypeOfferingSet", default)]
            offerings: Items<Offering>,
        }
        #[derive(Debug, Deserialize)]
        struct Offering {
            location: String,
        }
        let mut params = filters(&[("instance-type", &[size])]);
        params.push(("LocationType".to_owned(), "availability-zone".to_owned()));
        let found: Offerings = self.ec2("DescribeInstanceTypeOfferings", &params).await?;
        Ok(found.offerings.item.into_iter().map(|offering| offering.location).collect())
    }

    async fn fitting_size(&self, cpu: u64, memory_gb: u64) -> Result<String> {
        let mut types = self.types(&filters(&[("instance-type", FAMILIES)])).await?;
        let fits =
            |one: &&InstanceType| one.v_cpu_info.default >= cpu && one.memory_info.size_in_mi_b >= memory_gb << 10;
        let family = |one: &InstanceType| {
            FAMILIES.iter().position(|family| one.instance_type.starts_with(family.trim_end_matches('*')))
        };
        let smallest = types.iter().filter(fits).min_by_key(|one| {
            (one.v_cpu_info.default, one.memory_info.size_in_mi_b, family(one), one.instance_type.clone())
        });
        match smallest {
            Some(found) => Ok(found.instance_type.clone()),
            None => {
                let wanted = format!("with {cpu} processors and {memory_gb} GiB of memory");
                Err(DriverError::NoSuchOffer { what: "size", wanted, known: described(&mut types) })
            }
        }
    }

    async fn types(&self, filter: &Params) -> Result<Vec<InstanceType>> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut params = filter.clone();
            params.extend(token.take().map(|token| ("NextToken".to_owned(), token)));
            let answer: DescribeInstanceTypes = self.ec2("DescribeInstanceTypes", &params).await?;
            found.extend(answer.types.item);
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    async fn find_image(&self, need: &Need) -> Result<Image> {
        let (params, wanted) = match (&need.image, need.system()) {
            (Some(id), _) if id.starts_with("ami-") => (list("ImageId", [id.as_str()]), format!("{id:?}")),
            (Some(name), _) => {
                let mut params = filters(&[("name", &[name]), ("state", &["available"])]);
                params.extend(self.owners(&["self", "amazon", "136693071363", "099720109477"]));
                (params, format!("{name:?}"))
            }
            (None, os) => {
                let Some((_, owner, pattern)) = SYSTEMS.iter().find(|(name, ..)| *name == os) else {
                    let known: Vec<&str> = SYSTEMS.iter().map(|(name, ..)| *name).collect();
                    return Err(DriverError::NoSuchOffer {
                        what: "os",
                        wanted: format!("{os:?}"),
                        known: known.join(", "),
                    });
                };
                let mut params = filters(&[("name", &[pattern]), ("state", &["available"])]);
                params.extend(self.owners(&[owner]));
                (params, format!("of {os}"))
            }
        };
        let found = match self.ec2::<DescribeImages>("DescribeImages", &params).await {
            Ok(found) => found.images.item,
            Err(error) if is_missing(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        let usable = found.into_iter().filter(|image| image.state.is_empty() || image.state == "available");
        let newest = usable.max_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
        match newest {
            Some(image) => Ok(image),
            None => Err(DriverError::NoSuchOffer { what: "image", wanted, known: self.known_images().await }),
        }
    }

    fn owners(&self, defaults: &[&str]) -> Params {
        let owners = defaults.iter().map(|owner| (*owner).to_owned()).chain(self.image_owners.iter().cloned());
        list("Owner", owners)
    }

    /// For a message: what the account has itself.
    async fn known_images(&self) -> String {
        let own: Params = self.owners(&["self"]);
        let found =
            self.ec2::<DescribeImages>("DescribeImages", &own).await.map(|found| found.images.item).unwrap_or_default();
        let mut names: Vec<String> =
            found.into_iter().map(|image| image.name).filter(|name| !name.is_empty()).collect();
        names.sort();
        let systems: Vec<&str> = SYSTEMS.iter().map(|(name, ..)| *name).collect();
        let own = if names.is_empty() { "no images of this account".to_owned() } else { names.join(", ") };
        format!("{own}; and by `os`: {}", systems.join(", "))
    }
}

fn described(types: &mut [InstanceType]) -> String {
    types.sort_by_key(|one| (one.v_cpu_info.default, one.memory_info.size_in_mi_b));
    let described = types.iter().map(|one| {
        let InstanceType { instance_type, v_cpu_info, memory_info } = one;
        format!("{instance_type} ({} cpu, {} GiB)", v_cpu_info.default, memory_info.size_in_mi_b as f64 / 1024.0)
    });
    described.collect::<Vec<_>>().join(", ")
}
