//! Native load balancers: an Application Load Balancer with one listener and one group of targets. Source: "Elastic
//! Load Balancing API Reference", version 2015-12-01.
//!
//! Names are made of the layer, so that what exists is found; what exists is changed, not made anew.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::ec2::POLL;
use super::query::{Params, Service};
use super::{Aws, LAYER, Nothing, SCOPE, has_code};
use crate::bundle::hex;
use crate::driver::{Balancer, BalancerSeen, DriverError, LayerId, Result};

const ELB: Service = Service {
    name: "elasticloadbalancing",
    version: "2015-12-01",
    endpoint_variable: "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2",
};
const PATIENCE: Duration = Duration::from_mins(5);
const ACTIVE_PATIENCE: Duration = Duration::from_mins(10);

/// Every answer of this service: `<ActionResponse><ActionResult>..`.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(
        alias = "DescribeLoadBalancersResult",
        alias = "CreateLoadBalancerResult",
        alias = "DescribeTargetGroupsResult",
        alias = "CreateTargetGroupResult",
        alias = "DescribeListenersResult",
        alias = "DescribeTargetHealthResult"
    )]
    result: AnswerResult,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AnswerResult {
    #[serde(default)]
    load_balancers: Members<LoadBalancer>,
    #[serde(default)]
    target_groups: Members<TargetGroup>,
    #[serde(default)]
    listeners: Members<Listener>,
    #[serde(default)]
    target_health_descriptions: Members<TargetHealth>,
}

#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Members<T> {
    #[serde(default = "Vec::new")]
    member: Vec<T>,
}

impl<T> Default for Members<T> {
    fn default() -> Members<T> {
        Members { member: Vec::new() }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct LoadBalancer {
    #[serde(rename = "LoadBalancerArn")]
    arn: String,
    #[serde(rename = "DNSName")]
    dns_name: String,
    #[serde(rename = "State")]
    state: Option<State>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    #[serde(default)]
    code: String,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Clone, Deserialize)]
struct TargetGroup {
    #[serde(rename = "TargetGroupArn")]
    arn: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listener {
    listener_arn: String,
    port: u16,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetHealth {
    target: Target,
    target_health: Option<Health>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    #[serde(default)]
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    id: String,
    port: u16,
}

/// Up to 32 letters, digits and hyphens, unique in a region.
fn name(layer: &LayerId) -> String {
    format!("lw-{}", hex(&Sha256::digest(layer.to_string().as_bytes())[..12]))
}

fn param(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

impl Aws {
    async fn elb<T: DeserializeOwned>(&self, action: &str, params: &Params) -> Result<T> {
        // Creation by name gives back what exists already: all of them can be repeated.
        self.query.call(ELB, action, params, true).await
    }

    async fn elb_list(&self, action: &str, params: &Params, missing: &str) -> Result<AnswerResult> {
        match self.elb::<Answer>(action, params).await {
            Ok(answer) => Ok(answer.result),
            Err(error) if has_code(&error, missing) => Ok(AnswerResult::default()),
            Err(error) => Err(error),
        }
    }

    async fn find_balancer(&self, layer: &LayerId) -> Result<Option<LoadBalancer>> {
        let params = vec![param("Names.member.1", name(layer))];
        let found = self.elb_list("DescribeLoadBalancers", &params, "LoadBalancerNotFound").await?;
        Ok(found.load_balancers.member.into_iter().next())
    }

    async fn find_target_group(&self, layer: &LayerId) -> Result<Option<TargetGroup>> {
        let params = vec![param("Names.member.1", name(layer))];
        let found = self.elb_list("DescribeTargetGroups", &params, "TargetGroupNotFound").await?;
        Ok(found.target_groups.member.into_iter().next())
    }

    async fn targets(&self, group: &TargetGroup) -> Result<BTreeSet<Target>> {
        let params = vec![param("TargetGroupArn", &group.arn)];
        let found = self.elb_list("DescribeTargetHealth", &params, "TargetGroupNotFound").await?;
        // One that was taken out is listed while it ends its requests.
        let is_in = |one: &TargetHealth| one.target_health.as_ref().is_none_or(|health| health.state != "draining");
        Ok(found.target_health_descriptions.member.into_iter().filter(is_in).map(|health| health.target).collect())
    }

    pub(super) async fn describe_balancer(&self, layer: &LayerId) -> Result<Option<BalancerSeen>> {
        let (balancer, group) = tokio::try_join!(self.find_balancer(layer), self.find_target_group(layer))?;
        let Some(balancer) = balancer else { return Ok(None) };
        let targets = match &group {
            Some(group) => self.targets(group).await?,
            None => BTreeSet::new(),
        };
        let targets = targets.into_iter().map(|target| format!("{}:{}", target.id, target.port));
        Ok(Some(BalancerSeen { host: balancer.dns_name, targets: targets.collect() }))
    }

    pub(super) async fn set_balancer(&self, wanted: &Balancer) -> Result<String> {
        let (balancer, group) = tokio::try_join!(self.make_balancer(wanted), self.make_target_group(wanted))?;
        self.set_targets(wanted, &group).await?;
        self.set_listener(wanted, &balancer, &group).await?;
        self.await_active(&wanted.layer).await?;
        Ok(balancer.dns_name)
    }

    /// AWS makes the machines of a new load balancer in some minutes.
    async fn await_active(&self, layer: &LayerId) -> Result<()> {
        let deadline = Instant::now() + ACTIVE_PATIENCE;
        loop {
            let state = self.find_balancer(layer).await?.and_then(|found| found.state);
            let (code, reason) = state.map(|state| (state.code, state.reason)).unwrap_or_default();
            let is_late = Instant::now() > deadline;
            match code.as_str() {
                "active" | "active_impaired" => return Ok(()),
                "failed" => {}
                _ if !is_late => {
                    tokio::time::sleep(POLL).await;
                    continue;
                }
                _ => {}
            }
            let reason = format!("its load balancer is {code} {reason}").trim().to_owned();
            return Err(DriverError::Boot { machine: layer.to_string(), reason });
        }
    }

    async fn make_balancer(&self, wanted: &Balancer) -> Result<LoadBalancer> {
        if let Some(found) = self.find_balancer(&wanted.layer).await? {
            return Ok(found);
        }
        let (network, group) = tokio::try_join!(self.network(), self.group(&wanted.layer))?;
        let mut params = vec![
            param("Name", name(&wanted.layer)),
            param("Type", "application"),
            param("Scheme", "internet-facing"),
            param("SecurityGroups.member.1", group),
        ];
        let subnets = network.subnets.iter().enumerate();
        params.extend(subnets.map(|(at, subnet)| param(&format!("Subnets.member.{}", at + 1), &subnet.id)));
        params.extend(tags(&wanted.layer));
        let made: Answer = self.elb("CreateLoadBalancer", &params).await?;
        made.result.load_balancers.member.into_iter().next().ok_or_else(|| empty("CreateLoadBalancer"))
    }

    async fn make_target_group(&self, wanted: &Balancer) -> Result<TargetGroup> {
        let check = [
            param("HealthCheckPath", &wanted.check_path),
            param("HealthCheckIntervalSeconds", (wanted.check_interval_ms / 1000).to_string()),
            param("HealthCheckTimeoutSeconds", "2"),
            param("HealthyThresholdCount", wanted.rise.clamp(2, 10).to_string()),
            param("UnhealthyThresholdCount", wanted.fall.clamp(2, 10).to_string()),
            param("Matcher.HttpCode", "200"),
        ];
        let group = if let Some(found) = self.find_target_group(&wanted.layer).await? {
            let mut params = vec![param("TargetGroupArn", &found.arn)];
            params.extend(check);
            self.elb::<Nothing>("ModifyTargetGroup", &params).await?;
            found
        } else {
            let network = self.network().await?;
            let mut params = vec![
                param("Name", name(&wanted.layer)),
                param("Protocol", "HTTP"),
                param("Port", wanted.port.to_string()),
                param("VpcId", &network.vpc),
                param("TargetType", "ip"),
            ];
            params.extend(check);
            params.extend(tags(&wanted.layer));
            let made: Answer = self.elb("CreateTargetGroup", &params).await?;
            made.result.target_groups.member.into_iter().next().ok_or_else(|| empty("CreateTargetGroup"))?
        };
        let algorithm = if wanted.algorithm == "leastconn" { "least_outstanding_requests" } else { "round_robin" };
        let attributes = vec![
            param("TargetGroupArn", &group.arn),
            param("Attributes.member.1.Key", "load_balancing.algorithm.type"),
            param("Attributes.member.1.Value", algorithm),
        ];
        self.elb::<Nothing>("ModifyTargetGroupAttributes", &attributes).await?;
        Ok(group)
    }

    /// First the new ones, then out with the old.
    async fn set_targets(&self, wanted: &Balancer, group: &TargetGroup) -> Result<()> {
        let present = self.targets(group).await?;
        let split = |text: &String| {
            let (id, port) = text.rsplit_once(':')?;
            Some(Target { id: id.to_owned(), port: port.parse().ok()? })
        };
        let targets: BTreeSet<Target> = wanted.targets.iter().filter_map(split).collect();
        for (action, some) in [
            ("RegisterTargets", targets.difference(&present).collect::<Vec<_>>()),
            ("DeregisterTargets", present.difference(&targets).collect()),
        ] {
            if some.is_empty() {
                continue;
            }
            let mut params = vec![param("TargetGroupArn", &group.arn)];
            for (at, target) in some.iter().enumerate() {
                params.push(param(&format!("Targets.member.{}.Id", at + 1), &target.id));
                params.push(param(&format!("Targets.member.{}.Port", at + 1), target.port.to_string()));
            }
            self.elb::<Nothing>(action, &params).await?;
        }
        Ok(())
    }

    async fn set_listener(&self, wanted: &Balancer, balancer: &LoadBalancer, group: &TargetGroup) -> Result<()> {
        let params = vec![param("LoadBalancerArn", &balancer.arn)];
        let found = self.elb_list("DescribeListeners", &params, "ListenerNotFound").await?.listeners.member;
        let action = match found.first() {
            Some(listener) if listener.port == wanted.port => return Ok(()),
            Some(listener) => ("ModifyListener", param("ListenerArn", &listener.listener_arn)),
            None => ("CreateListener", param("LoadBalancerArn", &balancer.arn)),
        };
        let params = vec![
            action.1,
            param("Protocol", "HTTP"),
            param("Port", wanted.port.to_string()),
            param("DefaultActions.member.1.Type", "forward"),
            param("DefaultActions.member.1.TargetGroupArn", &group.arn),
        ];
        match self.elb::<Nothing>(action.0, &params).await {
            // The answer of the first attempt was lost.
            Err(error) if has_code(&error, "DuplicateListener") => Ok(()),
            other => other.map(drop),
        }
    }

    pub(super) async fn delete_balancer(&self, layer: &LayerId) -> Result<()> {
        let (balancer, group) = tokio::try_join!(self.find_balancer(layer), self.find_target_group(layer))?;
        if let Some(balancer) = balancer {
            self.elb::<Nothing>("DeleteLoadBalancer", &vec![param("LoadBalancerArn", balancer.arn)]).await?;
        }
        let Some(group) = group else { return Ok(()) };
        let params = vec![param("TargetGroupArn", group.arn)];
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.elb::<Nothing>("DeleteTargetGroup", &params).await {
                // Until AWS knows that its load balancer is gone.
                Err(error) if has_code(&error, "ResourceInUse") && Instant::now() < deadline => {
                    tokio::time::sleep(POLL).await;
                }
                Err(error) if has_code(&error, "TargetGroupNotFound") => return Ok(()),
                other => return other.map(drop),
            }
        }
    }
}

fn tags(layer: &LayerId) -> Params {
    let tags = [("Name", layer.name.as_str()), (SCOPE, &layer.scope), (LAYER, &layer.name)];
    let params = tags.iter().enumerate().flat_map(|(at, (key, value))| {
        [param(&format!("Tags.member.{}.Key", at + 1), *key), param(&format!("Tags.member.{}.Value", at + 1), *value)]
    });
    params.collect()
}

fn empty(action: &str) -> DriverError {
    DriverError::Unreachable {
        call: format!("elasticloadbalancing {action}"),
        reason: "the answer tells of nothing that was made".to_owned(),
    }
}
