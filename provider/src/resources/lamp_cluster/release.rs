//! A release on one node: the application itself says whether it works.
//!
//! Failures: a node whose application does not answer stays out of the pool, and the error has PHP's own words. The nodes
//! after it are not touched (`fleet/life.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use value::Problem;

use super::{LampCluster, health_path, notice};
use crate::bundle::apache::{ACCESS_LOG, DRAIN_FLAG, PHP_LOG};
use crate::driver::driver_problem;
use crate::layer::{Began, Layer, Node, POLL};

/// What users ask for first.
const FRONT: &str = "/";
/// How long an application may answer with an error before it counts: it may wait for a database.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until the application answers on its front page. Whatever it says there will do, but that it failed. One that says
/// nothing in time is slow: whether PHP works is what the page of the health check says.
pub(super) async fn answers(node: &Node<LampCluster>, began: Began) -> Result<(), Problem> {
    if began == Began::Nothing {
        return Ok(());
    }
    let answered = node.until_answered(node.machine.port, FRONT, PATIENCE, |status| status < 500).await;
    let Some(unanswered) = answered.err().filter(|unanswered| unanswered.last.is_some()) else { return Ok(()) };
    let words = last_words(node).await.map(|words| format!("\n{words}\n")).unwrap_or_default();
    // One that could change among its requests gives them up now.
    let is_out = node.has_left || (node.others_work && node.driver.write(&node.key, DRAIN_FLAG, b"").await.is_ok());
    let detail = format!(
        "On {} {}.{words}{} The nodes that come after it stay as they are. Mend the application and apply again; its logs are in {}.",
        node.machine.name,
        unanswered.text(),
        if is_out { "It stays out of the pool until then." } else { "It is the only node, and goes on answering so." },
        node.driver.layout(&node.key).path("log"),
    );
    Err(Problem::error("the application does not work", detail))
}

/// Of the access log, to see who asks.
const LOG_BYTES: u64 = 256 << 10;

/// What PHP has said last.
async fn last_words(node: &Node<LampCluster>) -> Option<String> {
    let log = node.driver.read(&node.key, PHP_LOG).await.ok()??;
    let text = String::from_utf8_lossy(&log).into_owned();
    let line = text.lines().rev().find(|line| line.contains("PHP "))?;
    // `[27-Nov-2026 05:00:00 UTC] PHP Parse error:  ..`
    let words = line.split_once("] ").map_or(line, |(_, words)| words);
    // It gets onto a terminal.
    Some(words.chars().filter(|ch| !ch.is_control()).take(1000).collect())
}

/// The node takes requests again, or for the first time: the flag by which it left goes, and its page answers. Load
/// balancers that saw it leave see it come back before another one leaves.
pub(super) async fn readmit(node: &Node<LampCluster>) -> Result<(), Problem> {
    let askers = if node.was_off { askers(node).await } else { None };
    let removed = node.driver.remove(&node.key, DRAIN_FLAG).await;
    removed.map_err(|error| driver_problem("Readmitting the node", &error))?;
    let own = node.own();
    let patience = LampCluster::ROLLOUT.ready_within;
    let answered = node.until_answered(node.machine.port, health_path(own), patience, |status| status == 200).await;
    if let Err(unanswered) = answered {
        let detail = format!(
            "On {} {}, and 200 is required. Its logs are in {}. What was made is recorded; apply again to go on.",
            node.machine.name,
            unanswered.text(),
            node.driver.layout(&node.key).path("log"),
        );
        return Err(Problem::error("a machine is not healthy", detail));
    }
    if let Some((hosts, from)) = askers {
        seen_again(node, hosts, from).await;
    }
    if node.has_left {
        tokio::time::sleep(notice(own)).await;
    }
    Ok(())
}

/// Who has asked for the page of the health check from elsewhere, and where the log ends now.
async fn askers(node: &Node<LampCluster>) -> Option<(BTreeSet<String>, u64)> {
    let (bytes, end) = node.driver.tail(&node.key, ACCESS_LOG, None, LOG_BYTES).await.ok()??;
    let own = node.machine.address.as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let hosts = checks(&text, health_path(node.own())).map(|(host, _)| host.to_owned());
    Some((hosts.filter(|host| host != own && !host.starts_with("127.")).collect(), end))
}

/// A load balancer that asked while the machine was off waits for its answer as long as its own timeout says, which nobody
/// here knows: it is waited for until it has asked anew, twice. One that does not come is gone.
async fn seen_again(node: &Node<LampCluster>, mut hosts: BTreeSet<String>, mut from: u64) {
    let deadline = Instant::now() + LampCluster::ROLLOUT.ready_within;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    while !hosts.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
        let Ok(Some((bytes, end))) = node.driver.tail(&node.key, ACCESS_LOG, Some(from), LOG_BYTES).await else {
            continue;
        };
        from = end;
        for (host, status) in checks(&String::from_utf8_lossy(&bytes), health_path(node.own())) {
            if status == "200" {
                *counts.entry(host.to_owned()).or_default() += 1;
            }
        }
        hosts.retain(|host| counts.get(host).is_none_or(|count| *count < 2));
    }
}

/// The requests for a page: who asked, and the status of the answer.
fn checks<'l>(log: &'l str, page: &str) -> impl Iterator<Item = (&'l str, &'l str)> {
    log.lines().filter_map(move |line| {
        let (before, rest) = line.split_once('"')?;
        let (request, after) = rest.split_once('"')?;
        let is_it = request.split(' ').nth(1) == Some(page);
        Some((before.split(' ').next()?, after.split_whitespace().next()?)).filter(|_| is_it)
    })
}

#[cfg(test)]
mod tests {
    use super::checks;

    #[test]
    fn who_asked_is_read_from_the_log() {
        let log = "10.0.0.9 [27/Nov/2026:19:31:01 +0000] \"GET /livez.php HTTP/1.1\" 200 12 800\n10.0.0.9 [x] \"GET / HTTP/1.1\" 200 5 90\n10.0.0.8 [x] \"GET /livez.php HTTP/1.0\" 404 5 90\nhalf a li";
        assert_eq!(checks(log, "/livez.php").collect::<Vec<_>>(), [("10.0.0.9", "200"), ("10.0.0.8", "404")]);
    }
}
