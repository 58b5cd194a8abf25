//! OpenStack: machines are servers of Nova, firewalls are security groups of Neutron, data disks are volumes of Cinder.
//!
//! OpenStack knows no client tokens: what belongs to a layer carries a tag, and is looked for before anything is made,
//! so that an answer that was lost never makes a twin. Each machine is one call, since a call for several would give
//! them all the same name and the same disk; calls overlap.
//!
//! Failures: see `session`. A server that Nova could not make (no host, no network) is in state ERROR: its fault is
//! reported, and the next apply removes it and makes another.

mod balancers;
mod catalog;
mod credentials;
mod groups;
mod images;
mod networks;
mod servers;
mod session;
mod volumes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use catalog::{Flavor, Image};

use super::http::escaped;
use super::remote::cloud::{Cloud, Foundation, Golden, Instance, Launched, Mended, UserData};
use super::remote::{self, Remote};
use super::{DriverInfo, Settings, Traits};
use crate::bundle::hex;
use crate::driver::{
    Admitted, Balancer, BalancerSeen, BalancerTraits, Balancers, BoxFuture, Disks, DriverError, Ingress, Kept, LayerId,
    Need, Offer, Order, Result, Source,
};
use credentials::Credentials;
use session::Session;

const BALANCERS: BalancerTraits =
    BalancerTraits { algorithms: &["leastconn", "roundrobin", "source"], shortest_check_ms: 1000 };

pub(super) const INFO: DriverInfo = DriverInfo {
    name: "openstack",
    doc: "OpenStack, with credentials as its own client finds them: clouds.yaml or the OS_ variables",
    settings: &[
        ("auth_url", "where Keystone is (OS_AUTH_URL, or clouds.yaml)"),
        ("clouds_yaml", "the file (./clouds.yaml, ~/.config/openstack/clouds.yaml, /etc/openstack/clouds.yaml)"),
        ("clouds_yaml_name", "the name of the cloud in clouds.yaml (OS_CLOUD)"),
        ("floating_network", "the external network that machines get a public address from; none if not set"),
        ("network", "the network of the machines, by name or id; the project's own if there is just one"),
        ("region", "the region (OS_REGION_NAME)"),
        ("timeout_s", "seconds that a call may take (60)"),
        ("volume_type", "the type of data disks; the cloud's default if not set"),
        ("zones", "availability zones to spread machines over, separated by commas; left to the cloud if not set"),
    ],
    common_settings: remote::SETTINGS,
    connect: |settings| Ok(Arc::new(Remote::new(Arc::new(OpenStack::new(settings)?), settings)?)),
    traits: Traits { root: Some(remote::ROOT), has_firewall: true, balancer: Some(BALANCERS) },
};

#[derive(Debug)]
pub(super) struct OpenStack {
    session: Session,
    network: Option<String>,
    network_id: OnceCell<String>,
    floating_network: Option<String>,
    floating_network_id: OnceCell<String>,
    volume_type: Option<String>,
    zones: Vec<String>,
    flavors: OnceCell<Vec<Flavor>>,
    /// What was found for a need: a plan and its apply go by the same.
    images: std::sync::Mutex<BTreeMap<(Option<String>, String), Image>>,
}

impl OpenStack {
    fn new(settings: &Settings) -> Result<OpenStack> {
        let environment = |name: &str| std::env::var(name).ok();
        let seconds = super::seconds(settings, "timeout_s", 60)?;
        let zones = settings.get("zones").map(String::as_str).unwrap_or_default().split(',');
        Ok(OpenStack {
            session: Session::new(Credentials::find(settings, &environment)?, Duration::from_secs(seconds))?,
            network: settings.get("network").cloned(),
            network_id: OnceCell::new(),
            floating_network: settings.get("floating_network").cloned(),
            floating_network_id: OnceCell::new(),
            volume_type: settings.get("volume_type").cloned(),
            zones: zones.map(str::trim).filter(|zone| !zone.is_empty()).map(str::to_owned).collect(),
            flavors: OnceCell::new(),
            images: std::sync::Mutex::default(),
        })
    }
}

/// What everything of a layer is called or tagged. Nova's tags hold up to 60 characters and no slash, so it is a
/// digest; the readable names are in the metadata.
fn tag(layer: &LayerId) -> String {
    format!("lampwright-{}", hex(&Sha256::digest(layer.to_string().as_bytes())[..12]))
}

/// Metadata that says what is whose.
const SCOPE: &str = "lampwright_scope";
const LAYER: &str = "lampwright_layer";
const ID: &str = "lampwright_id";
const OWNER: &str = "lampwright_owner";
const DISK: &str = "lampwright_disk";
/// Of a disk that stayed when its machine went: since when, and whose it was.
const KEPT: &str = "lampwright_kept";

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_mins(5);

impl Cloud for OpenStack {
    fn offer<'a>(&'a self, need: &'a Need) -> BoxFuture<'a, Result<Offer>> {
        Box::pin(async move {
            let image = self.image(need).await?;
            let flavor = self.flavor(need, &image).await?;
            Ok(Offer { size: Some(flavor.name), image: Some(image.name) })
        })
    }

    fn instances<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Instance>>> {
        Box::pin(self.servers(layer))
    }

    fn launch<'a>(&'a self, order: &'a Order, user_data: UserData<'a>) -> BoxFuture<'a, Launched> {
        Box::pin(async move { Launched { failure: Box::pin(self.create_servers(order, user_data)).await.err() } })
    }

    fn give<'a>(&'a self, instances: &'a [Instance], owner: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.set_owner(instances, owner))
    }

    fn check_size<'a>(&'a self, size: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.flavor_called(size).await.map(drop) })
    }

    fn set_size<'a>(&'a self, instance: &'a Instance, size: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.resize_server(instance, size))
    }

    fn mend<'a>(&'a self, instance: &'a Instance, order: &'a Order) -> BoxFuture<'a, Result<Mended>> {
        Box::pin(self.mend_server(instance, order))
    }

    fn terminate<'a>(&'a self, instances: &'a [Instance], disks: &'a Disks) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.delete_servers(instances, disks))
    }

    fn kept<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Kept>>> {
        Box::pin(self.kept_volumes(layer))
    }

    fn keeps_at(&self, layer: &LayerId) -> String {
        format!("volumes of Cinder with the properties {SCOPE} = {} and {LAYER} = {}", layer.scope, layer.name)
    }

    fn dissolve<'a>(&'a self, layer: &'a LayerId, disks: &'a Disks) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.delete_balancer(layer).await?;
            self.dispose_of_orphans(layer, disks).await?;
            self.release_addresses(layer).await?;
            self.delete_server_groups(layer).await?;
            self.delete_group(layer).await
        })
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
        Box::pin(self.delete_unknown_rules(to))
    }
}

impl Balancers for OpenStack {
    fn traits(&self) -> BalancerTraits {
        BALANCERS
    }

    /// The machines that Octavia makes belong to somebody else; they have addresses in the network.
    fn source<'a>(&'a self, _: &'a LayerId) -> BoxFuture<'a, Result<Source>> {
        Box::pin(async move { Ok(Source::Network(self.network_cidr().await?)) })
    }

    fn set<'a>(&'a self, wanted: &'a Balancer) -> BoxFuture<'a, Result<String>> {
        Box::pin(OpenStack::set_balancer(self, wanted))
    }

    fn find<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Option<BalancerSeen>>> {
        Box::pin(self.describe_balancer(layer))
    }
}

/// A list in a service's answer may go on: `{"servers": [..], "servers_links": [{"rel": "next", "href"}]}`. The next
/// part is asked for by the id of the last item, as all services understand.
async fn paged<T: serde::de::DeserializeOwned>(
    session: &Session,
    service: session::Service,
    path: &str,
    key: &str,
    id_of: impl Fn(&T) -> String,
) -> Result<Vec<T>> {
    const PAGE: usize = 500;
    let mut found: Vec<T> = Vec::new();
    let mut marker = String::new();
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page: serde_json::Value = session.get(service, &format!("{path}{separator}limit={PAGE}{marker}")).await?;
        let items = page.get(key).cloned().unwrap_or_else(|| serde_json::json!([]));
        let items: Vec<T> = serde_json::from_value(items).map_err(|error| DriverError::Unreachable {
            call: format!("{service:?} GET {path}"),
            reason: format!("an answer of another form than documented: {error}"),
        })?;
        // A service may have a smaller page; that there is more it says by a link, under one of two names.
        let has_next = page.get("next").is_some()
            || page.get(format!("{key}_links")).and_then(serde_json::Value::as_array).is_some_and(|links| {
                links.iter().any(|link| link.get("rel").and_then(serde_json::Value::as_str) == Some("next"))
            });
        let last = items.last().map(&id_of);
        found.extend(items);
        match last {
            Some(last) if has_next => marker = format!("&marker={}", escaped(&last)),
            _ => return Ok(found),
        }
    }
}
