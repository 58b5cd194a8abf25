//! Instances. Source: "Amazon EC2 API Reference".

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::query::{Items, Params, filters, list};
use super::volumes::{DATA_DEVICE, Volume};
use super::{Aws, DISK, IDS, LAYER, Network, Nothing, OWNER, SCOPE, Subnet, has_code, is_missing};
use crate::bundle::hex;
use crate::driver::{Disks, DriverError, LayerId, MachineKey, Order, Result};
use crate::drivers::remote::cloud::{DiskHint, Instance, Mended, Power, UserData};

const GONE_PATIENCE: Duration = Duration::from_mins(5);
pub(super) const POLL: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize)]
struct DescribeInstances {
    #[serde(rename = "reservationSet", default)]
    reservations: Items<Reservation>,
    #[serde(rename = "nextToken")]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Reservation {
    #[serde(rename = "instancesSet", default)]
    instances: Items<Ec2Instance>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ec2Instance {
    instance_id: String,
    instance_type: Option<String>,
    instance_state: StateName,
    #[serde(default)]
    launch_time: String,
    #[serde(default)]
    ami_launch_index: u64,
    private_ip_address: Option<IpAddr>,
    ip_address: Option<IpAddr>,
    #[serde(default)]
    tag_set: Items<Tag>,
    #[serde(default)]
    block_device_mapping: Items<Mapping>,
    placement: Option<Placement>,
}

#[derive(Debug, Deserialize)]
struct StateName {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placement {
    availability_zone: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    device_name: String,
}

pub(super) fn tag<'t>(tags: &'t Items<Tag>, key: &str) -> Option<&'t str> {
    tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
}

/// Which ids the machines of one call have: FIRST, FIRST + STEP, ..
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ids {
    first: u64,
    step: u64,
}

impl Ids {
    fn parse(text: &str) -> Option<Ids> {
        let (first, step) = text.split_once('+')?;
        Some(Ids { first: first.parse().ok()?, step: step.parse().ok()? })
    }
}

impl Aws {
    /// What terminated is not there any more, though AWS tells of it for an hour.
    pub(super) async fn describe_instances(&self, layer: &LayerId) -> Result<Vec<Instance>> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut params = filters(&[
                (&format!("tag:{SCOPE}"), &[&layer.scope]),
                (&format!("tag:{LAYER}"), &[&layer.name]),
                ("instance-state-name", &["pending", "running", "stopping", "stopped"]),
            ]);
            params.push(("MaxResults".to_owned(), "1000".to_owned()));
            params.extend(token.take().map(|token| ("NextToken".to_owned(), token)));
            let answer: DescribeInstances = self.ec2("DescribeInstances", &params).await?;
            let instances = answer.reservations.item.into_iter().flat_map(|reservation| reservation.instances.item);
            found.extend(instances.filter_map(|instance| instance.read(layer)));
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        found.sort_by_key(|instance: &Instance| instance.key.id);
        Ok(found)
    }

    /// One call for each zone, all at once; machines that take over a disk are made where the disk is.
    pub(super) async fn run_instances(&self, order: &Order, user_data: UserData<'_>) -> Result<()> {
        let (network, size, image, group, orphans) = tokio::try_join!(
            self.network(),
            self.size(&order.need),
            self.image(&order.need),
            self.group(&order.layer),
            async { if order.need.disk_gb.is_some() { self.disks_for(order).await } else { Ok(Vec::new()) } },
        )?;
        let zones = self.zones_with(&size).await?;
        let subnets = network.subnets.iter().filter(|subnet| zones.contains(&subnet.zone)).cloned();
        let network = Network { vpc: network.vpc.clone(), subnets: subnets.collect() };
        if network.subnets.is_empty() {
            let known = format!("the zones {}", zones.join(", "));
            let wanted = format!("{size:?} in the zones of the subnets");
            return Err(DriverError::NoSuchOffer { what: "size", wanted, known });
        }
        // Data that is to be taken up must not be missing for its place.
        let is_out_of_reach = |volume: &&Volume| network.subnets.iter().all(|subnet| subnet.zone != volume.zone);
        if let Some(kept) = orphans.iter().filter(|volume| volume.kept.is_some()).find(is_out_of_reach) {
            let zones: Vec<&str> = network.subnets.iter().map(|subnet| subnet.zone.as_str()).collect();
            let wanted = format!("{} in the zone {}", kept.id, kept.zone);
            return Err(DriverError::NoSuchOffer { what: "subnet for the disk", wanted, known: zones.join(", ") });
        }
        let calls = plan_calls(&order.ids, &network, orphans);
        let runs = calls.iter().map(|call| {
            let hint = if order.need.disk_gb.is_some() { DiskHint::Any } else { DiskHint::None };
            let user_data = user_data(&call.ids, hint);
            self.run(order, call, Launch { size: &size, image: &image.id, group: &group, user_data })
        });
        let results = futures_util::future::join_all(runs).await;
        results.into_iter().collect::<Result<Vec<()>>>().map(drop)
    }

    async fn run(&self, order: &Order, call: &Call, launch: Launch<'_>) -> Result<()> {
        let params = run_params(order, call, &launch);
        let mut tries = 0;
        loop {
            let Err(error) = self.ec2_once::<Nothing>("RunInstances", &params).await else { break };
            let code = match &error {
                DriverError::Api { code, .. } => Some(code.as_str()),
                _ => None,
            };
            // The group may have been made a moment ago.
            let is_early = code == Some("InvalidGroup.NotFound");
            let may_exist = is_early
                || matches!(error, DriverError::Unreachable { .. })
                || code.is_some_and(super::query::is_passing);
            if !may_exist || tries == 4 {
                return Err(error);
            }
            tries += 1;
            // The answer was lost, perhaps after the work was done. What is there is found by its tags, which AWS
            // may show only after a while; the same client token makes AWS refuse to do it twice besides.
            tracing::debug!(target: "api", "looking for what RunInstances has made: {}", error.explain());
            tokio::time::sleep(POLL * tries).await;
            let existing = self.describe_instances(&order.layer).await?;
            if call.ids.iter().all(|id| existing.iter().any(|instance| instance.key.id == *id)) {
                break;
            }
        }
        match &call.volume {
            Some(volume) => self.attach_to_new(order, call, volume).await,
            None => Ok(()),
        }
    }

    async fn attach_to_new(&self, order: &Order, call: &Call, volume: &Volume) -> Result<()> {
        let deadline = Instant::now() + GONE_PATIENCE;
        loop {
            let instances = self.describe_instances(&order.layer).await?;
            if let Some(instance) = instances
                .iter()
                .find(|instance| call.ids.contains(&instance.key.id) && instance.power == Power::Running)
            {
                return self.attach(volume, &instance.id).await;
            }
            if Instant::now() > deadline {
                let machine = MachineKey { layer: order.layer.clone(), id: call.ids[0] }.name();
                return Err(DriverError::Boot {
                    machine,
                    reason: "it does not run, so its disk cannot be attached".to_owned(),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) async fn terminate_instances(&self, instances: &[Instance], disks: &Disks) -> Result<()> {
        let ids: Vec<&str> = instances.iter().map(|instance| instance.id.as_str()).collect();
        let with_disk: Vec<&str> = instances.iter().filter(|one| one.disk).map(|one| one.id.as_str()).collect();
        let volumes = self.volumes_of(&with_disk).await?;
        if let Disks::Keep { owner } = disks {
            // Before they hang on nothing: what hangs on nothing and has no such tag may be deleted.
            self.tag_kept(&volumes, owner).await?;
        }
        match self.ec2::<Nothing>("TerminateInstances", &list("InstanceId", ids.iter().copied())).await {
            Err(error) if !is_missing(&error) => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let deadline = Instant::now() + GONE_PATIENCE;
        loop {
            let mut params = list("InstanceId", ids.iter().copied());
            params.extend(filters(&[(
                "instance-state-name",
                &["pending", "running", "shutting-down", "stopping", "stopped"],
            )]));
            let left = match self.ec2::<DescribeInstances>("DescribeInstances", &params).await {
                Ok(left) => left.reservations.iter().map(|reservation| reservation.instances.item.len()).sum(),
                Err(error) if is_missing(&error) => 0,
                Err(error) => return Err(error),
            };
            if left == 0 {
                break;
            }
            if Instant::now() > deadline {
                let machine = instances.iter().map(|instance| instance.key.name()).collect::<Vec<_>>().join(", ");
                return Err(DriverError::Boot {
                    machine,
                    reason: format!("not terminated within {} s", GONE_PATIENCE.as_secs()),
                });
            }
            tokio::time::sleep(POLL).await;
        }
        match disks {
            Disks::Delete => self.delete_volumes(volumes).await,
            // A successor looks for those that hang on nothing.
            Disks::Keep { .. } => {
                let waits = volumes.iter().map(|volume| self.await_free(&volume.id));
                futures_util::future::try_join_all(waits).await.map(drop)
            }
        }
    }

    /// Starts what was stopped, and gives back a disk that was detached, or another one.
    pub(super) async fn mend_instance(&self, instance: &Instance, order: &Order) -> Result<Mended> {
        if instance.power == Power::Off {
            self.ec2::<Nothing>("StartInstances", &list("InstanceId", [instance.id.as_str()])).await?;
        }
        let Some(size) = order.need.disk_gb.filter(|_| !instance.has_its_disk) else { return Ok(Mended::Own) };
        let zone = instance.zone.as_deref().unwrap_or_default();
        let orphan = self.disks_for(order).await?.into_iter().find(|volume| volume.zone == zone);
        let (volume, mended) = match orphan {
            Some(volume) => (volume, Mended::Own),
            None => (self.create_volume(&instance.key, size, zone).await?, Mended::EmptyDisk),
        };
        self.attach(&volume, &instance.id).await?;
        Ok(mended)
    }

    /// Only of an instance that is stopped ("Change the instance type", Amazon EC2 User Guide).
    pub(super) async fn set_instance_type(&self, instance: &Instance, size: &str) -> Result<()> {
        let params = [("InstanceId", instance.id.as_str()), ("InstanceType.Value", size)];
        let params: Params = params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        self.ec2::<Nothing>("ModifyInstanceAttribute", &params).await.map(drop)
    }

    pub(super) async fn find_network(&self) -> Result<Network> {
        #[derive(Debug, Deserialize)]
        struct DescribeSubnets {
            #[serde(rename = "subnetSet", default)]
            subnets: Items<SubnetItem>,
        }
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct SubnetItem {
            subnet_id: String,
            vpc_id: String,
            availability_zone: String,
        }
        let params = if self.subnets.is_empty() {
            filters(&[("default-for-az", &["true"])])
        } else {
            list("SubnetId", self.subnets.iter().map(String::as_str))
        };
        let mut found = self.ec2::<DescribeSubnets>("DescribeSubnets", &params).await?.subnets.item;
        found.sort_by(|a, b| (&a.availability_zone, &a.subnet_id).cmp(&(&b.availability_zone, &b.subnet_id)));
        let setting = |reason: String| DriverError::Setting { name: "subnets".to_owned(), reason };
        let vpc = found.first().map(|subnet| subnet.vpc_id.clone());
        let vpc =
            vpc.ok_or_else(|| setting("this region has no default VPC; name the subnets for the machines".to_owned()))?;
        if let Some(other) = found.iter().find(|subnet| subnet.vpc_id != vpc) {
            return Err(setting(format!(
                "{} is in the VPC {}, and the others are in {vpc}",
                other.subnet_id, other.vpc_id
            )));
        }
        let subnets = found.into_iter().map(|subnet| Subnet { id: subnet.subnet_id, zone: subnet.availability_zone });
        Ok(Network { vpc, subnets: subnets.collect() })
    }
}

impl Ec2Instance {
    fn read(self, layer: &LayerId) -> Option<Instance> {
        let ids = Ids::parse(tag(&self.tag_set, IDS)?)?;
        let power = match self.instance_state.name.as_str() {
            // On its way up or down.
            "pending" | "stopping" => Power::Pending,
            "running" => Power::Running,
            _ => Power::Off,
        };
        let has_disk = self.block_device_mapping.iter().any(|mapping| mapping.device_name == DATA_DEVICE);
        let disk = tag(&self.tag_set, DISK).is_some();
        Some(Instance {
            key: MachineKey { layer: layer.clone(), id: ids.first + self.ami_launch_index * ids.step },
            id: self.instance_id,
            created: self.launch_time,
            address: self.private_ip_address,
            public_address: self.ip_address,
            power,
            owner: tag(&self.tag_set, OWNER).map(str::to_owned),
            is_foreign: false,
            batch: ids.first,
            zone: self.placement.and_then(|placement| placement.availability_zone),
            disk,
            has_its_disk: has_disk || !disk,
            size: self.instance_type,
        })
    }
}

/// One RunInstances: machines of one zone.
#[derive(Debug)]
struct Call {
    ids: Vec<u64>,
    step: u64,
    subnet: Subnet,
    /// A disk that lost its machine, for the one machine of this call.
    volume: Option<Volume>,
}

struct Launch<'a> {
    size: &'a str,
    image: &'a str,
    group: &'a str,
    user_data: Vec<u8>,
}

/// Machines go over the zones in turn, by their ids. Disks that lost their machine draw one to their zone.
fn plan_calls(ids: &[u64], network: &Network, mut orphans: Vec<Volume>) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut by_zone: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for id in ids {
        let drawn = orphans.iter().position(|volume| network.subnets.iter().any(|subnet| subnet.zone == volume.zone));
        if let Some(position) = drawn {
            let volume = orphans.swap_remove(position);
            let subnet = network.subnets.iter().find(|subnet| subnet.zone == volume.zone);
            let subnet = subnet.expect("the disk was chosen for its zone").clone();
            calls.push(Call { ids: vec![*id], step: 1, subnet, volume: Some(volume) });
            continue;
        }
        let zone = id.saturating_sub(1) as usize % network.subnets.len();
        by_zone.entry(zone).or_default().push(*id);
    }
    for (zone, ids) in by_zone {
        let subnet = &network.subnets[zone];
        // The ids of one call have equal distances; gaps, after a run that was cut off, make another call.
        let mut rest = ids.as_slice();
        while let [first, others @ ..] = rest {
            let step = others.first().map_or(1, |second| second - first);
            let length = rest.iter().enumerate().take_while(|(at, id)| **id == first + *at as u64 * step).count();
            calls.push(Call { ids: rest[..length].to_vec(), step, subnet: subnet.clone(), volume: None });
            rest = &rest[length..];
        }
    }
    calls
}

fn run_params(order: &Order, call: &Call, launch: &Launch<'_>) -> Params {
    let LayerId { scope, name } = &order.layer;
    let first = call.ids[0];
    let shown = match call.ids.as_slice() {
        [id] => MachineKey { layer: order.layer.clone(), id: *id }.name(),
        _ => name.clone(),
    };
    // The same machines for the same object are the same order, also after a crash.
    let token = hex(&Sha256::digest(format!("{}\0{}\0{:?}", order.layer, order.owner, call.ids))[..16]);
    let count = call.ids.len().to_string();
    let mut params: Params = [
        ("ImageId", launch.image),
        ("InstanceType", launch.size),
        ("MinCount", &count),
        ("MaxCount", &count),
        ("ClientToken", &token),
        ("UserData", &BASE64_STANDARD.encode(&launch.user_data)),
        ("SubnetId", &call.subnet.id),
        ("SecurityGroupId.1", launch.group),
        // Without this any process on the machine could read its user-data, and the first host key, by one request.
        ("MetadataOptions.HttpTokens", "required"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let ids = format!("{first}+{}", call.step);
    let mut tags = vec![("Name", shown.as_str()), (SCOPE, scope), (LAYER, name), (OWNER, &order.owner), (IDS, &ids)];
    if order.need.disk_gb.is_some() {
        tags.push((DISK, "yes"));
    }
    params.extend(tag_params(1, "instance", &tags));
    if let (Some(size), None) = (order.need.disk_gb, &call.volume) {
        let mapping = [
            ("DeviceName", DATA_DEVICE),
            ("Ebs.VolumeSize", &size.to_string()),
            ("Ebs.VolumeType", "gp3"),
            ("Ebs.DeleteOnTermination", "false"),
        ];
        params.extend(mapping.map(|(name, value)| (format!("BlockDeviceMapping.1.{name}"), value.to_owned())));
        let tags = [("Name", format!("{name} data")), (SCOPE, scope.clone()), (LAYER, name.clone())];
        let tags: Vec<(&str, &str)> = tags.iter().map(|(name, value)| (*name, value.as_str())).collect();
        params.extend(tag_params(2, "volume", &tags));
    }
    params
}

pub(super) fn tag_params(position: usize, resource_type: &str, tags: &[(&str, &str)]) -> Params {
    let prefix = format!("TagSpecification.{position}");
    let mut params = vec![(format!("{prefix}.ResourceType"), resource_type.to_owned())];
    for (at, (name, value)) in tags.iter().enumerate() {
        params.push((format!("{prefix}.Tag.{}.Key", at + 1), (*name).to_owned()));
        params.push((format!("{prefix}.Tag.{}.Value", at + 1), (*value).to_owned()));
    }
    params
}

/// Something that AWS refuses for as long as it does not know of what was just done.
pub(super) fn is_not_yet(error: &DriverError) -> bool {
    ["DependencyViolation", "IncorrectState", "VolumeInUse", "IncorrectInstanceState"]
        .iter()
        .any(|code| has_code(error, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        let subnets = ["a", "b", "c"].map(|zone| Subnet { id: format!("subnet-{zone}"), zone: zone.to_owned() });
        Network { vpc: "vpc-1".to_owned(), subnets: subnets.to_vec() }
    }

    #[track_caller]
    fn check(ids: &[u64], orphans: Vec<Volume>, expected: &[(&[u64], u64, &str)]) {
        let calls = plan_calls(ids, &network(), orphans);
        let calls: Vec<(&[u64], u64, &str)> =
            calls.iter().map(|call| (call.ids.as_slice(), call.step, call.subnet.zone.as_str())).collect();
        assert_eq!(calls, expected);
    }

    #[test]
    fn a_layer_is_made_by_one_call_for_each_zone() {
        check(&[1, 2, 3, 4, 5], Vec::new(), &[(&[1, 4], 3, "a"), (&[2, 5], 3, "b"), (&[3], 1, "c")]);
        check(&[2], Vec::new(), &[(&[2], 1, "b")]);
        check(&[1, 4, 10], Vec::new(), &[(&[1, 4], 3, "a"), (&[10], 1, "a")]);
    }

    #[test]
    fn a_disk_draws_a_machine_to_its_zone() {
        let volume = |zone: &str| Volume { id: format!("vol-{zone}"), zone: zone.to_owned(), gib: 1, kept: None };
        check(&[4, 5], vec![volume("b")], &[(&[4], 1, "b"), (&[5], 1, "b")]);
        check(&[4], vec![volume("elsewhere")], &[(&[4], 1, "a")]);
    }
}
