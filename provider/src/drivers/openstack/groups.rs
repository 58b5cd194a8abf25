//! Firewalls: a security group for each layer. A rule's description says which layer asked for it. Source: "Networking
//! API v2.0" (Neutron).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::session::{Service, is_conflict, is_lost};
use super::{OpenStack, PATIENCE, POLL, paged};
use crate::driver::{Admitted, DriverError, Ingress, LayerId, Result, Source};
use crate::drivers::rules;

/// Begins the description of every rule and every group of ours; the id of the layer follows.
const BY: &str = "lampwright ";
const WORLD: &str = "0.0.0.0/0";

#[derive(Debug, Deserialize)]
struct Group {
    id: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    security_group_rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    id: String,
    direction: String,
    ethertype: Option<String>,
    protocol: Option<String>,
    port_range_min: Option<u32>,
    port_range_max: Option<u32>,
    remote_ip_prefix: Option<String>,
    remote_group_id: Option<String>,
    description: Option<String>,
}

/// What makes two rules the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Meaning {
    protocol: Option<String>,
    ports: Option<(u32, u32)>,
    from: From,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    Prefix(String),
    Group(String),
}

impl Group {
    fn layer(&self) -> Option<LayerId> {
        self.description.strip_prefix(BY).map(LayerId::of_id)
    }

    fn ingress(&self) -> impl Iterator<Item = &Rule> {
        self.security_group_rules.iter().filter(|rule| rule.direction == "ingress")
    }
}

impl Rule {
    fn by(&self) -> Option<&str> {
        self.description.as_deref()?.strip_prefix(BY)
    }

    fn meaning(&self) -> Meaning {
        let everywhere = if self.ethertype.as_deref() == Some("IPv6") { "::/0" } else { WORLD };
        let from = match (&self.remote_group_id, &self.remote_ip_prefix) {
            (Some(group), _) => From::Group(group.clone()),
            (None, Some(prefix)) => From::Prefix(prefix.clone()),
            (None, None) => From::Prefix(everywhere.to_owned()),
        };
        Meaning { protocol: self.protocol.clone(), ports: self.port_range_min.zip(self.port_range_max), from }
    }
}

impl OpenStack {
    async fn groups(&self) -> Result<Vec<Group>> {
        paged(&self.session, Service::Network, "/security-groups", "security_groups", |group: &Group| group.id.clone())
            .await
    }

    /// The id of the layer's group, which is made if there is none.
    pub(super) async fn group_id(&self, layer: &LayerId) -> Result<String> {
        let mut tries = 0;
        loop {
            if let Some(group) = self.groups().await?.into_iter().find(|group| group.layer().as_ref() == Some(layer)) {
                return Ok(group.id);
            }
            let group = json!({ "name": format!("lampwright-{}-{}", layer.scope, layer.name), "description": format!("{BY}{layer}") });
            match self
                .session
                .post::<Json>(Service::Network, "/security-groups", json!({ "security_group": group }))
                .await
            {
                Ok(made) => {
                    let id = made.pointer("/security_group/id").and_then(Json::as_str);
                    return Ok(id.unwrap_or_default().to_owned());
                }
                Err(error) if !is_lost(&error) || tries == 4 => return Err(error),
                // Perhaps it is there now.
                Err(_) => tries += 1,
            }
            tokio::time::sleep(POLL * tries).await;
        }
    }

    pub(super) async fn set_rules(&self, to: &LayerId, by: &str, rules: &[Ingress]) -> Result<()> {
        let mut groups = self.groups().await?;
        if !groups.iter().any(|group| group.layer().as_ref() == Some(to)) {
            if rules.is_empty() {
                return Ok(());
            }
            self.group_id(to).await?;
            groups = self.groups().await?;
        }
        let Some(group) = groups.iter().find(|group| group.layer().as_ref() == Some(to)) else {
            return Err(DriverError::Unreachable {
                call: "neutron GET /security-groups".to_owned(),
                reason: format!("the group of {to} was made and is not there"),
            });
        };
        let mut wanted = BTreeSet::new();
        for rule in rules {
            let sources = match &rule.source {
                Source::World => vec![From::Prefix(WORLD.to_owned())],
                Source::Network(network) => vec![From::Prefix(network.clone())],
                Source::Addresses(addresses) => {
                    addresses.iter().map(|address| From::Prefix(single(*address))).collect()
                }
                Source::Layer(layer) => {
                    let known = groups.iter().find(|group| group.layer().as_ref() == Some(layer));
                    let id = match known {
                        Some(group) => group.id.clone(),
                        None => self.group_id(layer).await?,
                    };
                    vec![From::Group(id)]
                }
            };
            let port = u32::from(rule.port);
            wanted.extend(sources.into_iter().map(|from| Meaning {
                protocol: Some("tcp".to_owned()),
                ports: Some((port, port)),
                from,
            }));
        }
        let present: BTreeMap<Meaning, &str> = group
            .ingress()
            .filter(|rule| rule.by() == Some(by))
            .map(|rule| (rule.meaning(), rule.id.as_str()))
            .collect();
        // First what opens, then what closes: a connection that goes on being allowed is never refused in between.
        let missing: Vec<Json> = wanted
            .iter()
            .filter(|meaning| !present.contains_key(*meaning))
            .map(|meaning| meaning.json(&group.id, by))
            .collect();
        self.create_rules(missing).await?;
        let superfluous = present.iter().filter(|(meaning, _)| !wanted.contains(*meaning)).map(|(_, id)| *id);
        self.delete_rules(superfluous.collect()).await
    }

    /// All in one call.
    async fn create_rules(&self, rules: Vec<Json>) -> Result<()> {
        if rules.is_empty() {
            return Ok(());
        }
        let body = json!({ "security_group_rules": rules });
        match self.session.order(reqwest::Method::POST, Service::Network, "/security-group-rules", Some(body)).await {
            // A rule that is there already makes Neutron refuse them all: then they are made one by one.
            Err(error) if is_conflict(&error) && rules.len() > 1 => {
                for rule in rules {
                    Box::pin(self.create_rules(vec![rule])).await?;
                }
                Ok(())
            }
            Err(error) if is_conflict(&error) && error.to_string().contains("already exists") => Ok(()),
            other => other,
        }
    }

    async fn delete_rules(&self, ids: Vec<&str>) -> Result<()> {
        let deletions = ids.into_iter().map(|id| async move {
            self.session.delete(Service::Network, &format!("/security-group-rules/{id}")).await
        });
        futures_util::future::try_join_all(deletions).await.map(drop)
    }

    pub(super) async fn rules(&self, to: &LayerId) -> Result<Vec<Admitted>> {
        let groups = self.groups().await?;
        let Some(group) = groups.iter().find(|group| group.layer().as_ref() == Some(to)) else { return Ok(Vec::new()) };
        let names: BTreeMap<&str, String> =
            groups.iter().filter_map(|group| Some((group.id.as_str(), group.layer()?.to_string()))).collect();
        let rules = group.ingress().map(|rule| {
            let meaning = rule.meaning();
            let source = match meaning.from {
                From::Group(id) => rules::Source::Named(names.get(id.as_str()).cloned().unwrap_or(id)),
                From::Prefix(prefix) => rules::Source::of_cidr(&prefix),
            };
            rules::Rule { by: rule.by().map(str::to_owned), protocol: meaning.protocol, ports: meaning.ports, source }
        });
        Ok(rules::texts(rules))
    }

    pub(super) async fn delete_unknown_rules(&self, to: &LayerId) -> Result<()> {
        let groups = self.groups().await?;
        let Some(group) = groups.iter().find(|group| group.layer().as_ref() == Some(to)) else { return Ok(()) };
        self.delete_rules(group.ingress().filter(|rule| rule.by().is_none()).map(|rule| rule.id.as_str()).collect())
            .await
    }

    pub(super) async fn delete_group(&self, layer: &LayerId) -> Result<()> {
        let Some(group) = self.groups().await?.into_iter().find(|group| group.layer().as_ref() == Some(layer)) else {
            return Ok(());
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.session.delete(Service::Network, &format!("/security-groups/{}", group.id)).await {
                // In use until the ports of the servers are gone.
                Err(error) if is_conflict(&error) && Instant::now() < deadline => tokio::time::sleep(POLL).await,
                other => return other,
            }
        }
    }
}

impl Meaning {
    fn json(&self, group: &str, by: &str) -> Json {
        let ethertype =
            if matches!(&self.from, From::Prefix(prefix) if prefix.contains(':')) { "IPv6" } else { "IPv4" };
        let mut rule = json!({
            "security_group_id": group, "direction": "ingress", "ethertype": ethertype, "protocol": self.protocol,
            "description": format!("{BY}{by}"),
        });
        if let Some((low, high)) = self.ports {
            rule["port_range_min"] = json!(low);
            rule["port_range_max"] = json!(high);
        }
        match &self.from {
            From::Prefix(prefix) => rule["remote_ip_prefix"] = json!(prefix),
            From::Group(id) => rule["remote_group_id"] = json!(id),
        }
        rule
    }
}

fn single(address: IpAddr) -> String {
    if address.is_ipv4() { format!("{address}/32") } else { format!("{address}/128") }
}
