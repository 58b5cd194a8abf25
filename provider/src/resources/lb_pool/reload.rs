//! HAProxy takes up a configuration without losing a request, and is asked whether it sends where it should.

use std::time::{Duration, Instant};

use value::Problem;

use super::LbPool;
use crate::bundle::haproxy::{self, ADMIN_SOCKET, Balancer, MASTER_SOCKET, SERVER_STATE, Sending};
use crate::driver::{Driver, MachineKey, driver_problem};
use crate::layer::{Node, POLL};

/// Health checks every half a second, two of which have to be good.
const SERVERS_PATIENCE: Duration = Duration::from_secs(20);
const RELOAD_PATIENCE: Duration = Duration::from_secs(15);
/// How long a worker may answer that is on its way out.
const ASTRAY_PATIENCE: Duration = Duration::from_secs(3);
pub(super) const SHOW_STAT: &str = "show stat";

/// Waits until the balancer sends requests to every one of its servers where it is, its own checks find them all well,
/// and a request through it is answered. A server that leaves at that moment, or is to be repaired by nobody here, is
/// named.
pub(super) async fn sends(node: &Node<LbPool>, balancer: &Balancer<'_>) -> Result<(), Problem> {
    let (driver, key) = (&*node.driver, &node.key);
    let sending = Sending::of(balancer);
    let started = Instant::now();
    let mut is_reloaded = false;
    let (summary, complaints) = loop {
        let table = driver.ask(key, ADMIN_SOCKET, SHOW_STAT).await;
        let table = table.map_err(|error| driver_problem(&format!("Asking {} for its servers", key.name()), &error))?;
        let differences = sending.differences(&table);
        let down = haproxy::servers_down(&table);
        let last = if !differences.is_empty() {
            // The old worker may still answer for a moment; then it is what was loaded or set from elsewhere.
            if started.elapsed() > ASTRAY_PATIENCE && !is_reloaded {
                is_reloaded = true;
                reload(node, None).await?;
            }
            ("requests go elsewhere", differences)
        } else if !down.is_empty() {
            let down = down.iter().map(|(server, status)| format!("{server} is {status}"));
            ("a server is not reached", down.collect())
        } else if let Some(what) = unanswered(node, balancer).await {
            ("requests are not answered", vec![what])
        } else {
            return Ok(());
        };
        if started.elapsed() > SERVERS_PATIENCE {
            break last;
        }
        tokio::time::sleep(POLL).await;
    };
    let detail = format!(
        "By {0} itself, {1} after {2} s. Requests go to the other servers. Look at the logs of these machines and at the network between them and {0}, and apply again.",
        key.name(),
        complaints.join(", "),
        SERVERS_PATIENCE.as_secs(),
    );
    Err(Problem::error(summary, detail))
}

/// Why a request through the balancer is not answered, if it is not. Without a server there is none to answer.
async fn unanswered(node: &Node<LbPool>, balancer: &Balancer<'_>) -> Option<String> {
    if balancer.servers.is_empty() {
        return None;
    }
    let found = match node.get(balancer.port, balancer.check.path).await {
        Some((status, _)) if status < 500 => return None,
        Some((status, _)) => format!("the answer is {status}"),
        None => "nobody answers".to_owned(),
    };
    Some(format!("GET {} on port {}: {found}", balancer.check.path, balancer.port))
}

pub(super) async fn forget_state(node: &Node<LbPool>) -> Result<(), Problem> {
    let removed = node.driver.remove(&node.key, SERVER_STATE).await;
    removed.map_err(|error| driver_problem(&format!("Removing the old state of {}", node.machine.name), &error))
}

/// Hands the listening sockets and the state of the servers over to a new worker; no connection is refused and no
/// request dropped (management guide, section 4). Done when the master says that a new worker runs. The state is gone
/// then: it is of this moment, and whatever starts later has to look for itself.
pub(super) async fn reload(node: &Node<LbPool>, kept: Option<&Sending>) -> Result<(), Problem> {
    let (driver, key) = (&*node.driver, &node.key);
    let failed = |error| driver_problem(&format!("Reloading {}", key.name()), &error);
    let before = worker(driver, key).await;
    let state = match kept {
        Some(sending) => driver.ask(key, ADMIN_SOCKET, "show servers state").await.ok().map(|now| (sending, now)),
        None => None,
    };
    match state {
        Some((sending, now)) => {
            let state = sending.state_to_keep(&now);
            driver.write(key, SERVER_STATE, state.as_bytes()).await.map_err(failed)?;
        }
        None => forget_state(node).await?,
    }
    node.signal(&node.bundle.services).await?;
    let deadline = Instant::now() + RELOAD_PATIENCE;
    loop {
        let now = worker(driver, key).await;
        if now.is_some() && now != before {
            return forget_state(node).await;
        }
        if Instant::now() > deadline {
            let detail = format!(
                "{} did not start a worker with the new configuration within {} s; the old one goes on serving. Its log is {}.",
                key.name(),
                RELOAD_PATIENCE.as_secs(),
                driver.layout(key).path("log/haproxy.out"),
            );
            return Err(Problem::error("a reload did not succeed", detail));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The pid of the present worker, from the master's `show proc`; none while the master re-executes itself.
async fn worker(driver: &dyn Driver, key: &MachineKey) -> Option<String> {
    let table = driver.ask(key, MASTER_SOCKET, "show proc").await.ok()?;
    let current = table.split("# old workers").next()?;
    let line = current.lines().find(|line| line.split_ascii_whitespace().nth(1) == Some("worker"))?;
    line.split_ascii_whitespace().next().map(str::to_owned)
}
