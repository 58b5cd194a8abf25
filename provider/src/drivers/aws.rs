//! Amazon Web Services: machines are EC2 instances, firewalls are security groups.
//!
//! What belongs to a layer carries its scope and name as tags. Machines of a layer that are made together come from
//! one call for each availability zone; their ids follow from the `lampwright:ids` tag and the launch index, so that
//! no call per machine is needed.
//!
//! Failures: an answer of RunInstances that was lost is looked for by tags before anything is asked for again; calls
//! carry client tokens besides. What AWS does not show at once is waited for by looking again.

mod catalog;
mod ec2;
mod elb;
mod groups;
mod images;
mod query;
mod volumes;

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::remote::cloud::{Cloud, Foundation, Golden, Instance, Launched, Mended, UserData};
use super::remote::{self, Remote};
use super::{DriverInfo, Settings, Traits};
use crate::driver::{
    Admitted, Balancer, BalancerSeen, BalancerTraits, Balancers, BoxFuture, Disks, DriverError, Ingress, Kept, LayerId,
    Need, Offer, Order, Result, Source,
};
use query::{EC2, Params, Query};

const BALANCERS: BalancerTraits = BalancerTraits { algorithms: &["leastconn", "roundrobin"], shortest_check_ms: 5000 };

pub(super) const INFO: DriverInfo = DriverInfo {
    name: "aws",
    doc: "Amazon Web Services, with credentials as the aws command finds them: environment, profile, role of the instance",
    settings: &[
        ("endpoint_url", "where the API is, instead of AWS itself"),
        (
            "image_owners",
            "accounts whose images are taken, besides the publishers of Debian and Ubuntu, separated by commas",
        ),
        ("profile", "the profile in ~/.aws (AWS_PROFILE)"),
        ("region", "the region (AWS_REGION, or the profile's)"),
        (
            "subnets",
            "ids of the subnets for machines, separated by commas, one for each zone (those of the default VPC)",
        ),
        ("timeout_s", "seconds that a call may take (30)"),
    ],
    common_settings: remote::SETTINGS,
    connect: |settings| Ok(Arc::new(Remote::new(Arc::new(Aws::new(settings)?), settings)?)),
    traits: Traits { root: Some(remote::ROOT), has_firewall: true, balancer: Some(BALANCERS) },
};

/// Tags that say what is whose.
const SCOPE: &str = "lampwright:scope";
const LAYER: &str = "lampwright:layer";
const OWNER: &str = "lampwright:owner";
/// `FIRST+STEP`: the machine with launch index N has the id FIRST + N * STEP.
const IDS: &str = "lampwright:ids";
/// Says that a machine has a data disk.
const DISK: &str = "lampwright:disk";
/// Of a disk that stayed when its machine went: since when, and whose it was.
const KEPT: &str = "lampwright:kept";

#[derive(Debug)]
pub(super) struct Aws {
    query: Query,
    subnets: Vec<String>,
    image_owners: Vec<String>,
    network: OnceCell<Network>,
    /// What was found of sizes and images: a plan and its apply go by the same.
    found: std::sync::Mutex<catalog::Found>,
}

/// Where machines are put.
#[derive(Debug, Clone)]
struct Network {
    vpc: String,
    /// One for each zone, in the order of the zones.
    subnets: Vec<Subnet>,
}

#[derive(Debug, Clone)]
struct Subnet {
    id: String,
    zone: String,
}

impl Aws {
    fn new(settings: &Settings) -> Result<Aws> {
        let listed = |name: &str| -> Vec<String> {
            let items = settings.get(name).map(String::as_str).unwrap_or_default().split(',');
            items.map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
        };
        Ok(Aws {
            query: Query::new(settings)?,
            subnets: listed("subnets"),
            image_owners: listed("image_owners"),
            network: OnceCell::new(),
            found: std::sync::Mutex::default(),
        })
    }

    /// A question, or an order that does no harm when it is given twice.
    async fn ec2<T: serde::de::DeserializeOwned>(&self, action: &str, params: &Params) -> Result<T> {
        self.query.call(EC2, action, params, true).await
    }

    /// As above, for what refers to something that was just made: AWS may not know of it yet everywhere ("Eventual
    /// consistency in the Amazon EC2 API").
    async fn ec2_soon<T: serde::de::DeserializeOwned>(&self, action: &str, params: &Params) -> Result<T> {
        let mut tries: u32 = 0;
        loop {
            match self.ec2(action, params).await {
                Err(error) if is_missing(&error) && tries < 6 => {
                    tries += 1;
                    tokio::time::sleep(ec2::POLL * tries).await;
                }
                other => return other,
            }
        }
    }

    async fn ec2_once<T: serde::de::DeserializeOwned>(&self, action: &str, params: &Params) -> Result<T> {
        self.query.call(EC2, action, params, false).await
    }

    async fn network(&self) -> Result<&Network> {
        self.network.get_or_try_init(|| self.find_network()).await
    }
}

/// An answer of which nothing is needed.
#[derive(Debug, serde::Deserialize)]
struct Nothing {}

/// Whether the error says that what was asked for is not there.
fn is_missing(error: &DriverError) -> bool {
    matches!(error, DriverError::Api { code, .. } if code.ends_with(".NotFound") || code.ends_with("NotFound"))
}

fn has_code(error: &DriverError, wanted: &str) -> bool {
    matches!(error, DriverError::Api { code, .. } if code == wanted)
}

impl Cloud for Aws {
    /// They are not Elastic IP addresses, which outlive a stop ("Instance IP addressing", Amazon EC2 User Guide).
    fn keeps_public_addresses(&self) -> bool {
        false
    }

    /// An account's region: groups of one VPC may name each other, whatever subnets a cloud's name stands for. Of two VPCs
    /// AWS itself says that they may not.
    fn network(&self) -> Option<String> {
        Some(self.query.account())
    }

    fn offer<'a>(&'a self, need: &'a Need) -> BoxFuture<'a, Result<Offer>> {
        Box::pin(async move {
            let (size, image) = tokio::try_join!(self.size(need), self.image(need))?;
            Ok(Offer { size: Some(size), image: Some(image.name) })
        })
    }

    fn instances<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Instance>>> {
        Box::pin(self.describe_instances(layer))
    }

    fn launch<'a>(&'a self, order: &'a Order, user_data: UserData<'a>) -> BoxFuture<'a, Launched> {
        Box::pin(async move { Launched { failure: Box::pin(self.run_instances(order, user_data)).await.err() } })
    }

    fn give<'a>(&'a self, instances: &'a [Instance], owner: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut params = query::list("ResourceId", instances.iter().map(|instance| instance.id.as_str()));
            params.push(("Tag.1.Key".to_owned(), OWNER.to_owned()));
            params.push(("Tag.1.Value".to_owned(), owner.to_owned()));
            self.ec2_soon::<Nothing>("CreateTags", &params).await.map(drop)
        })
    }

    fn check_size<'a>(&'a self, size: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let need = Need { size: Some(size.to_owned()), ..Need::default() };
            self.size(&need).await.map(drop)
        })
    }

    fn set_size<'a>(&'a self, instance: &'a Instance, size: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.set_instance_type(instance, size))
    }

    fn mend<'a>(&'a self, instance: &'a Instance, order: &'a Order) -> BoxFuture<'a, Result<Mended>> {
        Box::pin(self.mend_instance(instance, order))
    }

    fn terminate<'a>(&'a self, instances: &'a [Instance], disks: &'a Disks) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.terminate_instances(instances, disks))
    }

    fn dissolve<'a>(&'a self, layer: &'a LayerId, disks: &'a Disks) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            Box::pin(self.delete_balancer(layer)).await?;
            let orphans = self.orphans(layer, |kept| kept.is_none()).await?;
            self.dispose_of(orphans, disks).await?;
            self.delete_group(layer).await
        })
    }

    fn kept<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Kept>>> {
        Box::pin(self.kept_volumes(layer))
    }

    fn keeps_at(&self, layer: &LayerId) -> String {
        format!("volumes of EBS with the tags {SCOPE} = {} and {LAYER} = {}", layer.scope, layer.name)
    }

    fn foundation<'a>(&'a self, need: &'a Need) -> BoxFuture<'a, Result<Foundation>> {
        Box::pin(Self::foundation(self, need))
    }

    fn golden<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Golden>>> {
        Box::pin(Self::golden(self, name))
    }

    fn keep<'a>(&'a self, instance: &'a Instance, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(Self::keep(self, instance, name))
    }

    fn discard<'a>(&'a self, golden: &'a Golden) -> BoxFuture<'a, Result<()>> {
        Box::pin(Self::discard(self, golden))
    }

    fn power_off<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<()>> {
        Box::pin(Self::power_off(self, instance))
    }

    fn balancers(&self) -> Option<&dyn Balancers> {
        Some(self)
    }

    fn admit<'a>(&'a self, to: &'a LayerId, by: &'a str, rules: &'a [Ingress]) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.set_rules(to, by, rules))
    }

    fn admitted<'a>(&'a self, to: &'a LayerId) -> BoxFuture<'a, Result<Vec<Admitted>>> {
        Box::pin(self.rules(to))
    }

    fn expel_unknown<'a>(&'a self, to: &'a LayerId) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.revoke_unknown(to))
    }
}

impl Balancers for Aws {
    fn traits(&self) -> BalancerTraits {
        BALANCERS
    }

    fn source<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Source>> {
        // A load balancer is in the group of its layer.
        Box::pin(async move { Ok(Source::Layer(layer.clone())) })
    }

    fn set<'a>(&'a self, wanted: &'a Balancer) -> BoxFuture<'a, Result<String>> {
        Box::pin(Aws::set_balancer(self, wanted))
    }

    fn find<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Option<BalancerSeen>>> {
        Box::pin(self.describe_balancer(layer))
    }
}
