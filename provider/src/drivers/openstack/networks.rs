//! Networks and public addresses. Source: "Networking API v2.0" (Neutron).

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::session::Service;
use super::{OpenStack, escaped, paged};
use crate::driver::{DriverError, LayerId, MachineKey, Result};
use crate::drivers::remote::cloud::Instance;

#[derive(Debug, Deserialize)]
struct Network {
    id: String,
    name: String,
    #[serde(rename = "router:external", default)]
    is_external: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct FloatingAddress {
    id: String,
    #[serde(default)]
    description: String,
    floating_ip_address: IpAddr,
    port_id: Option<String>,
}

/// Begins the description of every address of ours.
const BY: &str = "lampwright ";

#[derive(Debug, Deserialize)]
struct Ports {
    ports: Vec<Port>,
}

#[derive(Debug, Deserialize)]
struct Port {
    id: String,
}

impl OpenStack {
    pub(super) async fn network_id(&self) -> Result<&str> {
        let find = async || self.find_network(self.network.as_deref(), false).await;
        self.network_id.get_or_try_init(find).await.map(String::as_str)
    }

    /// The network's addresses, of its first IPv4 subnet.
    pub(super) async fn network_cidr(&self) -> Result<String> {
        #[derive(Debug, Deserialize)]
        struct Subnets {
            subnets: Vec<Subnet>,
        }
        #[derive(Debug, Deserialize)]
        struct Subnet {
            cidr: String,
        }
        let network = self.network_id().await?;
        let found: Subnets = self
            .session
            .get(Service::Network, &format!("/subnets?network_id={network}&ip_version=4&fields=cidr"))
            .await?;
        found.subnets.into_iter().next().map(|subnet| subnet.cidr).ok_or_else(|| DriverError::NoSuchOffer {
            what: "subnet",
            wanted: format!("with IPv4 addresses in the network {network}"),
            known: "none".to_owned(),
        })
    }

    async fn floating_network_id(&self) -> Result<&str> {
        let find = async || self.find_network(self.floating_network.as_deref(), true).await;
        self.floating_network_id.get_or_try_init(find).await.map(String::as_str)
    }

    async fn find_network(&self, wanted: Option<&str>, is_external: bool) -> Result<String> {
        let networks: Vec<Network> =
            paged(&self.session, Service::Network, "/networks", "networks", |network: &Network| network.id.clone())
                .await?;
        let candidates: Vec<&Network> =
            networks.iter().filter(|network| network.is_external == is_external || wanted.is_some()).collect();
        let found = match wanted {
            Some(wanted) => candidates.iter().find(|network| network.id == wanted || network.name == wanted),
            None => candidates.first().filter(|_| candidates.len() == 1),
        };
        found.map(|network| network.id.clone()).ok_or_else(|| {
            let known: Vec<&str> = candidates.iter().map(|network| network.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let wanted = wanted.map_or_else(
                || "of the project that could be meant without a word; set `network`".to_owned(),
                |name| format!("{name:?}"),
            );
            DriverError::NoSuchOffer { what: "network", wanted, known }
        })
    }

    /// Gives the machine a public address, once.
    pub(super) async fn give_floating_address(&self, key: &MachineKey, server: &str) -> Result<()> {
        let network = self.floating_network_id().await?;
        let ports: Ports = self.session.get(Service::Network, &format!("/ports?device_id={server}&fields=id")).await?;
        let port = ports
            .ports
            .first()
            .ok_or_else(|| DriverError::Boot { machine: key.name(), reason: "it has no port".to_owned() })?;
        let path = format!("/floatingips?port_id={}", port.id);
        let look = || async {
            let existing: Json = self.session.get(Service::Network, &path).await?;
            Ok(existing.get("floatingips").and_then(Json::as_array).and_then(|found| found.first().cloned()))
        };
        if look().await?.is_some() {
            return Ok(());
        }
        let address = json!({ "floating_network_id": network, "port_id": port.id, "description": describe(key) });
        let body = json!({ "floatingip": address });
        self.session.make_once::<Json, _>(Service::Network, "/floatingips", body, look).await.map(drop)
    }

    pub(super) async fn floating_addresses_of(&self, instances: &[Instance]) -> Result<Vec<FloatingAddress>> {
        if instances.iter().all(|instance| instance.public_address.is_none()) && self.floating_network.is_none() {
            return Ok(Vec::new());
        }
        // Of the machine itself, since another one may have its key; or of nobody, from a run that was cut off.
        self.floating_addresses(|address| {
            instances.iter().any(|instance| {
                instance.public_address == Some(address.floating_ip_address)
                    || (address.port_id.is_none() && address.description == describe(&instance.key))
            })
        })
        .await
    }

    async fn floating_addresses(&self, is_meant: impl Fn(&FloatingAddress) -> bool) -> Result<Vec<FloatingAddress>> {
        let mut found: Vec<FloatingAddress> =
            paged(&self.session, Service::Network, "/floatingips", "floatingips", |address: &FloatingAddress| {
                address.id.clone()
            })
            .await?;
        found.retain(|address| address.description.starts_with(BY) && is_meant(address));
        Ok(found)
    }

    /// Those whose machines were removed by somebody else.
    pub(super) async fn release_addresses(&self, layer: &LayerId) -> Result<()> {
        if self.floating_network.is_none() {
            return Ok(());
        }
        let prefix = describe_all(layer);
        for address in self.floating_addresses(|address| address.description.starts_with(&prefix)).await? {
            self.release(&address).await?;
        }
        Ok(())
    }

    pub(super) async fn release(&self, address: &FloatingAddress) -> Result<()> {
        self.session.delete(Service::Network, &format!("/floatingips/{}", escaped(&address.id))).await
    }
}

fn describe(key: &MachineKey) -> String {
    format!("{}{}", describe_all(&key.layer), key.id)
}

fn describe_all(layer: &LayerId) -> String {
    format!("{BY}{layer} ")
}
