//! Native load balancers. Source: "Load Balancer API v2" (Octavia).
//!
//! A whole one, with listener, pool, members and health monitor, is made by a single call. Later every change waits
//! until the one before it is done: Octavia takes one at a time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::session::{Service, is_missing};
use super::{OpenStack, POLL, paged};
use crate::driver::{Balancer, BalancerSeen, DriverError, LayerId, Result};

/// Begins the description of every load balancer of ours.
const BY: &str = "lampwright ";
const PATIENCE: Duration = Duration::from_mins(10);

#[derive(Debug, Clone, Deserialize)]
struct LoadBalancer {
    id: String,
    #[serde(default)]
    description: String,
    vip_address: String,
    provisioning_status: String,
    #[serde(default)]
    listeners: Vec<Reference>,
    #[serde(default)]
    pools: Vec<Reference>,
}

#[derive(Debug, Clone, Deserialize)]
struct Reference {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Member {
    address: String,
    protocol_port: u16,
}

impl OpenStack {
    async fn find_balancer(&self, layer: &LayerId) -> Result<Option<LoadBalancer>> {
        let all: Vec<LoadBalancer> =
            paged(&self.session, Service::LoadBalancer, "/loadbalancers", "loadbalancers", |one: &LoadBalancer| {
                one.id.clone()
            })
            .await?;
        let wanted = format!("{BY}{layer}");
        Ok(all.into_iter().find(|one| one.description == wanted && one.provisioning_status != "DELETED"))
    }

    async fn members(&self, pool: &str) -> Result<BTreeSet<String>> {
        #[derive(Debug, Deserialize)]
        struct Members {
            members: Vec<Member>,
        }
        let found: Members =
            self.session.get(Service::LoadBalancer, &format!("/pools/{pool}/members?limit=1000")).await?;
        Ok(found.members.into_iter().map(|member| format!("{}:{}", member.address, member.protocol_port)).collect())
    }

    pub(super) async fn describe_balancer(&self, layer: &LayerId) -> Result<Option<BalancerSeen>> {
        let Some(found) = self.find_balancer(layer).await? else { return Ok(None) };
        let targets = match found.pools.first() {
            Some(pool) => self.members(&pool.id).await?,
            None => BTreeSet::new(),
        };
        Ok(Some(BalancerSeen { host: found.vip_address, targets }))
    }

    pub(super) async fn set_balancer(&self, wanted: &Balancer) -> Result<String> {
        let found = match self.find_balancer(&wanted.layer).await? {
            Some(found) if found.provisioning_status == "ERROR" => {
                // It cannot be changed, only be made anew.
                self.delete_balancer(&wanted.layer).await?;
                None
            }
            other => other,
        };
        match found {
            None => self.create_balancer(wanted).await,
            Some(found) => self.change_balancer(wanted, found).await,
        }
    }

    async fn create_balancer(&self, wanted: &Balancer) -> Result<String> {
        let name = format!("lampwright-{}-{}", wanted.layer.scope, wanted.layer.name);
        let pool = json!({
            "name": name, "protocol": "HTTP", "lb_algorithm": algorithm(wanted), "healthmonitor": monitor(wanted, true), "members": members(wanted),
        });
        let listener = json!({ "name": name, "protocol": "HTTP", "protocol_port": wanted.port, "default_pool": pool });
        let body = json!({ "loadbalancer": {
            "name": name, "description": format!("{BY}{}", wanted.layer), "vip_network_id": self.network_id().await?, "listeners": [listener],
        } });
        let look = || async { Ok(self.find_balancer(&wanted.layer).await?.map(|_| json!({}))) };
        self.session.make_once::<Json, _>(Service::LoadBalancer, "/loadbalancers", body, look).await?;
        Ok(self.wait_for_balancer(&wanted.layer).await?.vip_address)
    }

    async fn change_balancer(&self, wanted: &Balancer, found: LoadBalancer) -> Result<String> {
        #[derive(Debug, Deserialize)]
        struct Shown {
            listener: ShownListener,
        }
        #[derive(Debug, Deserialize)]
        struct ShownListener {
            protocol_port: u16,
        }
        #[derive(Debug, Deserialize)]
        struct ShownPool {
            pool: Pool,
        }
        #[derive(Debug, Deserialize)]
        struct Pool {
            lb_algorithm: String,
            healthmonitor_id: Option<String>,
        }
        if let Some(listener) = found.listeners.first() {
            let shown: Shown = self.session.get(Service::LoadBalancer, &format!("/listeners/{}", listener.id)).await?;
            if shown.listener.protocol_port != wanted.port {
                let message = format!(
                    "it listens on {}, and Octavia cannot change that. Give the layer another `name` to make a new one",
                    shown.listener.protocol_port
                );
                return Err(DriverError::Api {
                    call: "changing the port of a load balancer".to_owned(),
                    code: "immutable".to_owned(),
                    message,
                });
            }
        }
        let Some(pool) = found.pools.first().map(|pool| pool.id.clone()) else {
            // Made by a run that was cut off in Octavia itself.
            self.delete_balancer(&wanted.layer).await?;
            return self.create_balancer(wanted).await;
        };
        self.wait_for_balancer(&wanted.layer).await?;
        if self.members(&pool).await? != wanted.targets {
            let body = json!({ "members": members(wanted) });
            self.session
                .order(Method::PUT, Service::LoadBalancer, &format!("/pools/{pool}/members"), Some(body))
                .await?;
            self.wait_for_balancer(&wanted.layer).await?;
        }
        let shown: ShownPool = self.session.get(Service::LoadBalancer, &format!("/pools/{pool}")).await?;
        if shown.pool.lb_algorithm != algorithm(wanted) {
            let body = json!({ "pool": { "lb_algorithm": algorithm(wanted) } });
            self.session.order(Method::PUT, Service::LoadBalancer, &format!("/pools/{pool}"), Some(body)).await?;
            self.wait_for_balancer(&wanted.layer).await?;
        }
        if let Some(id) = shown.pool.healthmonitor_id {
            let body = json!({ "healthmonitor": monitor(wanted, false) });
            self.session
                .order(Method::PUT, Service::LoadBalancer, &format!("/healthmonitors/{id}"), Some(body))
                .await?;
        }
        Ok(self.wait_for_balancer(&wanted.layer).await?.vip_address)
    }

    async fn wait_for_balancer(&self, layer: &LayerId) -> Result<LoadBalancer> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.find_balancer(layer).await?;
            let status = found.as_ref().map_or("gone", |found| found.provisioning_status.as_str()).to_owned();
            match found {
                Some(found) if status == "ACTIVE" => return Ok(found),
                Some(_) if status != "ERROR" && Instant::now() < deadline => tokio::time::sleep(POLL / 2).await,
                _ => {
                    let message =
                        format!("the load balancer of {layer} is {status} and not ACTIVE; apply again to make it anew");
                    return Err(DriverError::Api {
                        call: "octavia GET /loadbalancers".to_owned(),
                        code: status,
                        message,
                    });
                }
            }
        }
    }

    pub(super) async fn delete_balancer(&self, layer: &LayerId) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut is_ordered = false;
        // A cloud without Octavia has no load balancers.
        if !self.session.has(Service::LoadBalancer).await? {
            return Ok(());
        }
        while let Some(found) = self.find_balancer(layer).await? {
            if !is_ordered && !found.provisioning_status.starts_with("PENDING") {
                match self
                    .session
                    .delete(Service::LoadBalancer, &format!("/loadbalancers/{}?cascade=true", found.id))
                    .await
                {
                    Err(error) if !is_missing(&error) => return Err(error),
                    Ok(()) | Err(_) => is_ordered = true,
                }
            }
            if Instant::now() > deadline {
                let message = format!("the load balancer of {layer} is {} and not deleted", found.provisioning_status);
                return Err(DriverError::Api {
                    call: "octavia DELETE /loadbalancers".to_owned(),
                    code: found.provisioning_status,
                    message,
                });
            }
            tokio::time::sleep(POLL / 2).await;
        }
        Ok(())
    }
}

fn algorithm(wanted: &Balancer) -> &'static str {
    match wanted.algorithm.as_str() {
        "leastconn" => "LEAST_CONNECTIONS",
        "source" => "SOURCE_IP",
        _ => "ROUND_ROBIN",
    }
}

fn monitor(wanted: &Balancer, is_new: bool) -> Json {
    let delay = (wanted.check_interval_ms / 1000).max(1);
    let mut monitor = json!({
        "url_path": wanted.check_path, "delay": delay, "timeout": delay.clamp(1, 2), "expected_codes": "200",
        "max_retries": wanted.rise.clamp(1, 10), "max_retries_down": wanted.fall.clamp(1, 10),
    });
    if is_new {
        monitor["type"] = json!("HTTP");
    }
    monitor
}

fn members(wanted: &Balancer) -> Vec<Json> {
    let split = |text: &String| {
        let (address, port) = text.rsplit_once(':')?;
        Some(json!({ "address": address, "protocol_port": port.parse::<u16>().ok()? }))
    };
    wanted.targets.iter().filter_map(split).collect()
}
