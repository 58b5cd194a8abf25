//! Firewalls: a security group for each layer. A rule's description says which layer asked for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::ec2::{POLL, Tag, is_not_yet, tag, tag_params};
use super::query::{Items, Params, filters};
use super::{Aws, LAYER, Nothing, SCOPE, has_code, is_missing};
use crate::driver::{Admitted, DriverError, Ingress, LayerId, Result, Source};
use crate::drivers::rules;

/// Begins the description of every rule of ours; the id of the layer follows that asked for it.
const BY: &str = "lampwright ";
const WORLD: &str = "0.0.0.0/0";
const PATIENCE: Duration = Duration::from_mins(5);

#[derive(Debug, Deserialize)]
struct DescribeSecurityGroups {
    #[serde(rename = "securityGroupInfo", default)]
    groups: Items<Group>,
    #[serde(rename = "nextToken")]
    next_token: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateSecurityGroup {
    group_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    group_id: String,
    #[serde(default)]
    tag_set: Items<Tag>,
    #[serde(default)]
    ip_permissions: Items<Permission>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Permission {
    ip_protocol: String,
    from_port: Option<i32>,
    to_port: Option<i32>,
    #[serde(default)]
    groups: Items<Pair>,
    #[serde(default)]
    ip_ranges: Items<Range>,
    #[serde(default)]
    ipv6_ranges: Items<Range6>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    group_id: String,
    #[serde(default)]
    description: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    cidr_ip: String,
    #[serde(default)]
    description: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Range6 {
    cidr_ipv6: String,
    #[serde(default)]
    description: String,
}

/// A rule as AWS keeps it: one source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    by: Option<String>,
    protocol: String,
    ports: (i32, i32),
    from: From,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    Cidr(String),
    Cidr6(String),
    Group(String),
}

impl Group {
    fn layer(&self) -> Option<LayerId> {
        Some(LayerId { scope: tag(&self.tag_set, SCOPE)?.to_owned(), name: tag(&self.tag_set, LAYER)?.to_owned() })
    }

    fn rules(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        for permission in self.ip_permissions.iter() {
            let pairs = permission.groups.iter().map(|pair| (From::Group(pair.group_id.clone()), &pair.description));
            let ranges =
                permission.ip_ranges.iter().map(|range| (From::Cidr(range.cidr_ip.clone()), &range.description));
            let ranges6 =
                permission.ipv6_ranges.iter().map(|range| (From::Cidr6(range.cidr_ipv6.clone()), &range.description));
            rules.extend(pairs.chain(ranges).chain(ranges6).map(|(from, description)| Rule {
                by: description.strip_prefix(BY).map(str::to_owned),
                protocol: permission.ip_protocol.clone(),
                ports: (permission.from_port.unwrap_or(-1), permission.to_port.unwrap_or(-1)),
                from,
            }));
        }
        rules.sort();
        rules
    }
}

fn group_name(layer: &LayerId) -> String {
    format!("lampwright-{}-{}", layer.scope, layer.name)
}

impl Aws {
    /// All groups of ours in the network.
    async fn groups(&self) -> Result<Vec<Group>> {
        let network = self.network().await?;
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut params = filters(&[("vpc-id", &[&network.vpc]), ("tag-key", &[LAYER])]);
            params.push(("MaxResults".to_owned(), "1000".to_owned()));
            params.extend(token.take().map(|token| ("NextToken".to_owned(), token)));
            let answer: DescribeSecurityGroups = self.ec2("DescribeSecurityGroups", &params).await?;
            found.extend(answer.groups.item);
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// The id of the layer's group, which is made if there is none.
    pub(super) async fn group(&self, layer: &LayerId) -> Result<String> {
        let groups = self.groups().await?;
        if let Some(group) = groups.iter().find(|group| group.layer().as_ref() == Some(layer)) {
            return Ok(group.group_id.clone());
        }
        let network = self.network().await?;
        let name = group_name(layer);
        let description = format!("Machines of {layer}");
        let params = [("GroupName", name.as_str()), ("GroupDescription", &description), ("VpcId", &network.vpc)];
        let mut params = params.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        params.extend(tag_params(1, "security-group", &[("Name", &name), (SCOPE, &layer.scope), (LAYER, &layer.name)]));
        match self.ec2::<CreateSecurityGroup>("CreateSecurityGroup", &params).await {
            Ok(created) => Ok(created.group_id),
            // An answer that was lost, or one that another run has just made.
            Err(error) if has_code(&error, "InvalidGroup.Duplicate") => self.group_by_name(&name, error).await,
            Err(error) => Err(error),
        }
    }

    async fn group_by_name(&self, name: &str, error: DriverError) -> Result<String> {
        let network = self.network().await?;
        let params = filters(&[("group-name", &[name]), ("vpc-id", &[&network.vpc])]);
        let answer: DescribeSecurityGroups = self.ec2("DescribeSecurityGroups", &params).await?;
        answer.groups.item.into_iter().next().map(|group| group.group_id).ok_or(error)
    }

    pub(super) async fn set_rules(&self, to: &LayerId, by: &str, rules: &[Ingress]) -> Result<()> {
        let groups = self.groups().await?;
        let existing = groups.iter().find(|group| group.layer().as_ref() == Some(to));
        if existing.is_none() && rules.is_empty() {
            return Ok(());
        }
        let group_id = match existing {
            Some(group) => group.group_id.clone(),
            None => self.group(to).await?,
        };
        let mut wanted = BTreeSet::new();
        for rule in rules {
            let sources = match &rule.source {
                Source::World => vec![From::Cidr(WORLD.to_owned())],
                Source::Network(network) => vec![From::Cidr(network.clone())],
                Source::Addresses(addresses) => addresses.iter().map(single).collect(),
                Source::Layer(layer) if layer == to => vec![From::Group(group_id.clone())],
                Source::Layer(layer) => {
                    let known = groups.iter().find(|group| group.layer().as_ref() == Some(layer));
                    let id = match known {
                        Some(group) => group.group_id.clone(),
                        None => self.group(layer).await?,
                    };
                    vec![From::Group(id)]
                }
            };
            let port = i32::from(rule.port);
            wanted.extend(sources.into_iter().map(|from| Rule {
                by: Some(by.to_owned()),
                protocol: "tcp".to_owned(),
                ports: (port, port),
                from,
            }));
        }
        let present: BTreeSet<Rule> = existing
            .map(Group::rules)
            .unwrap_or_default()
            .into_iter()
            .filter(|rule| rule.by.as_deref() == Some(by))
            .collect();
        // First what opens, then what closes: a connection that goes on being allowed is never refused in between.
        self.change("AuthorizeSecurityGroupIngress", &group_id, wanted.difference(&present)).await?;
        self.change("RevokeSecurityGroupIngress", &group_id, present.difference(&wanted)).await
    }

    /// All rules in one call; one by one where AWS has one of them already, since it refuses them all then.
    async fn change(&self, action: &str, group: &str, rules: impl Iterator<Item = &Rule>) -> Result<()> {
        let rules: Vec<&Rule> = rules.collect();
        if rules.is_empty() {
            return Ok(());
        }
        match self.change_all(action, group, &rules).await {
            Err(error) if is_settled(&error) && rules.len() > 1 => {
                for rule in rules {
                    match self.change_all(action, group, &[rule]).await {
                        Err(error) if !is_settled(&error) => return Err(error),
                        Ok(()) | Err(_) => {}
                    }
                }
                Ok(())
            }
            Err(error) if is_settled(&error) => Ok(()),
            other => other,
        }
    }

    async fn change_all(&self, action: &str, group: &str, rules: &[&Rule]) -> Result<()> {
        let mut params: Params = vec![("GroupId".to_owned(), group.to_owned())];
        for (at, rule) in rules.iter().enumerate() {
            params.extend(permission_params(at + 1, rule));
        }
        let is_new = action == "AuthorizeSecurityGroupIngress";
        let done =
            if is_new { self.ec2_soon::<Nothing>(action, &params).await } else { self.ec2(action, &params).await };
        done.map(drop)
    }

    pub(super) async fn rules(&self, to: &LayerId) -> Result<Vec<Admitted>> {
        let groups = self.groups().await?;
        let Some(group) = groups.iter().find(|group| group.layer().as_ref() == Some(to)) else { return Ok(Vec::new()) };
        let names: BTreeMap<&str, String> =
            groups.iter().filter_map(|group| Some((group.group_id.as_str(), group.layer()?.to_string()))).collect();
        let found = group.rules().into_iter().map(|rule| {
            let source = match &rule.from {
                From::Cidr(cidr) | From::Cidr6(cidr) => rules::Source::of_cidr(cidr),
                From::Group(id) => rules::Source::Named(names.get(id.as_str()).cloned().unwrap_or_else(|| id.clone())),
            };
            let protocol = Some(rule.protocol).filter(|protocol| protocol != "-1");
            let ports = (u32::try_from(rule.ports.0).ok()).zip(u32::try_from(rule.ports.1).ok());
            rules::Rule { by: rule.by, protocol, ports, source }
        });
        Ok(rules::texts(found))
    }

    pub(super) async fn revoke_unknown(&self, to: &LayerId) -> Result<()> {
        let groups = self.groups().await?;
        let Some(group) = groups.iter().find(|group| group.layer().as_ref() == Some(to)) else { return Ok(()) };
        let rules = group.rules();
        self.change("RevokeSecurityGroupIngress", &group.group_id, rules.iter().filter(|rule| rule.by.is_none())).await
    }

    pub(super) async fn delete_group(&self, layer: &LayerId) -> Result<()> {
        let groups = self.groups().await?;
        let Some(group) = groups.iter().find(|group| group.layer().as_ref() == Some(layer)) else { return Ok(()) };
        let params = vec![("GroupId".to_owned(), group.group_id.clone())];
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ec2::<Nothing>("DeleteSecurityGroup", &params).await {
                Err(error) if is_not_yet(&error) && Instant::now() < deadline => tokio::time::sleep(POLL).await,
                Err(error) if !is_missing(&error) => return Err(error),
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    }
}

/// Done by the same call before, whose answer was lost.
fn is_settled(error: &DriverError) -> bool {
    has_code(error, "InvalidPermission.Duplicate") || has_code(error, "InvalidPermission.NotFound")
}

fn single(address: &IpAddr) -> From {
    match address {
        IpAddr::V4(address) => From::Cidr(format!("{address}/32")),
        IpAddr::V6(address) => From::Cidr6(format!("{address}/128")),
    }
}

fn permission_params(position: usize, rule: &Rule) -> Params {
    let prefix = format!("IpPermissions.{position}");
    let mut params = vec![(format!("{prefix}.IpProtocol"), rule.protocol.clone())];
    if rule.protocol != "-1" {
        params.push((format!("{prefix}.FromPort"), rule.ports.0.to_string()));
        params.push((format!("{prefix}.ToPort"), rule.ports.1.to_string()));
    }
    let (kind, name, value) = match &rule.from {
        From::Cidr(cidr) => ("IpRanges", "CidrIp", cidr),
        From::Cidr6(cidr) => ("Ipv6Ranges", "CidrIpv6", cidr),
        From::Group(id) => ("Groups", "GroupId", id),
    };
    params.push((format!("{prefix}.{kind}.1.{name}"), value.clone()));
    params.extend(rule.by.as_ref().map(|by| (format!("{prefix}.{kind}.1.Description"), format!("{BY}{by}"))));
    params
}
