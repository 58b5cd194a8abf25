//! A release on one node: the application itself says whether it works.
//!
//! Failures: a node whose application does not answer stays out of the pool, and the error has PHP's own words. The nodes
//! after it are not touched (`fleet/life.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use value::Problem;

use super::{HEALTH_INTERVAL_MS, LampCluster, Model, health_path};
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
    let words = last_words(node).await.map_or_else(|| " ".to_owned(), |words| format!("\n{words}\n"));
    // One that could change among its requests gives them up now.
    let is_out = node.has_left || (node.others_work && node.driver.write(&node.key, DRAIN_FLAG, b"").await.is_ok());
    let detail = format!(
        "On {} {}.{words}{} The nodes that come after it stay as they are. Mend the application and apply again; its logs are in {}.",
        node.machine.name,
        unanswered.text(),
        if is_out {
            "It stays out of the pool until the application works."
        } else {
            "It is the only node, and goes on answering so."
        },
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
        tokio::time::sleep(notice(node).await).await;
    }
    Ok(())
}

/// For how long load balancers that are asked to look may go on believing what they saw before: an interval until they
/// look, another in case they were just looking, and one for requests that they sent before. A load balancer may have
/// an interval of its own, which the log of the node tells.
pub(super) async fn notice(node: &Node<LampCluster>) -> Duration {
    let own = node.own();
    let interval = own.health_check.as_ref().and_then(|check| check.interval_ms).unwrap_or(HEALTH_INTERVAL_MS);
    let interval = Duration::from_millis(interval);
    let log = node.driver.tail(&node.key, ACCESS_LOG, None, LOG_BYTES).await.ok().flatten();
    let text = log.map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let seen = pace(&text, &pages(own)).unwrap_or_default();
    if seen > interval {
        let (seen, all) = (seen.as_secs_f64(), (seen * 3).as_secs());
        node.tell(&format!("is asked by a load balancer every {seen:.0} s, which takes {all} s to notice"));
    }
    interval.max(seen) * 3
}

/// Those that load balancers ask for, and may not have been told yet to ask for another.
fn pages(own: &Model) -> Vec<&str> {
    let former = own.former_health_check_paths.iter().flatten().map(String::as_str);
    std::iter::once(health_path(own)).chain(former).collect()
}

/// Whoever asks more rarely is no load balancer, but somebody who watches.
const SLOWEST: Duration = Duration::from_secs(15);

/// Of the slowest load balancer that still asks, the time between its last checks. Pauses, when it or the node was away, do
/// not count.
fn pace(log: &str, pages: &[&str]) -> Option<Duration> {
    const CHECKS: usize = 12;
    const PAUSES: usize = 2;
    let mut times: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for check in checks(log, pages).filter(|check| !check.host.starts_with("127.")) {
        times.entry(check.host).or_default().extend(check.second());
    }
    let now = times.values().flatten().max().copied()?;
    let of_one = |times: Vec<i64>| {
        if now - times.last()? > 3 * SLOWEST.as_secs() as i64 {
            return None;
        }
        let last = &times[times.len().saturating_sub(CHECKS)..];
        let mut gaps: Vec<i64> = last.windows(2).map(|two| (two[1] - two[0]).max(0)).collect();
        gaps.sort_unstable();
        gaps.truncate(gaps.len().saturating_sub(PAUSES));
        // Times are whole seconds, so that a few of them say little.
        (gaps.len() >= 4).then(|| gaps.iter().sum::<i64>() as u64 * 1000 / gaps.len() as u64)
    };
    let paces = times.into_values().filter_map(of_one).map(Duration::from_millis);
    paces.filter(|pace| *pace <= SLOWEST).max()
}

/// Who has asked for the page of the health check from elsewhere, and where the log ends now.
async fn askers(node: &Node<LampCluster>) -> Option<(BTreeSet<String>, u64)> {
    let (bytes, end) = node.driver.tail(&node.key, ACCESS_LOG, None, LOG_BYTES).await.ok()??;
    let own = node.machine.address.as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let pages = pages(node.own());
    let hosts = checks(&text, &pages).map(|check| check.host.to_owned());
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
        for check in checks(&String::from_utf8_lossy(&bytes), &pages(node.own())) {
            if check.status == "200" {
                *counts.entry(check.host.to_owned()).or_default() += 1;
            }
        }
        hosts.retain(|host| counts.get(host).is_none_or(|count| *count < 2));
    }
    if !hosts.is_empty() {
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        node.tell(&format!("is not asked any more by {}", hosts.join(", ")));
    }
}

/// A request for the page of the health check, as `LogFormat` of httpd.conf has it.
struct Check<'l> {
    host: &'l str,
    time: &'l str,
    status: &'l str,
}

impl Check<'_> {
    fn second(&self) -> Option<i64> {
        jiff::Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", self.time).ok().map(jiff::Timestamp::as_second)
    }
}

fn checks<'l>(log: &'l str, pages: &[&str]) -> impl Iterator<Item = Check<'l>> {
    log.lines().filter_map(move |line| {
        let (before, rest) = line.split_once('"')?;
        let (request, after) = rest.split_once('"')?;
        let (host, time) = before.split_once(' ')?;
        let time = time.trim().trim_start_matches('[').trim_end_matches(']');
        let is_it = request.split(' ').nth(1).is_some_and(|page| pages.contains(&page));
        Some(Check { host, time, status: after.split_whitespace().next()? }).filter(|_| is_it)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_is_read_from_the_log() {
        let log = "10.0.0.9 [27/Nov/2026:19:31:01 +0000] \"GET /livez.php HTTP/1.1\" 200 12 800\n10.0.0.9 [x] \"GET / HTTP/1.1\" 200 5 90\n10.0.0.8 [x] \"GET /livez.php HTTP/1.0\" 404 5 90\nhalf a li";
        let found: Vec<_> = checks(log, &["/livez.php"]).map(|check| (check.host, check.status)).collect();
        assert_eq!(found, [("10.0.0.9", "200"), ("10.0.0.8", "404")]);
        assert_eq!(checks(log, &["/livez.php"]).next().unwrap().second(), Some(1_795_807_861));
    }

    #[test]
    fn how_often_a_load_balancer_asks_is_read_from_the_log() {
        let line = |host: &str, second: u64| {
            let (minute, second) = (second / 60, second % 60);
            format!("{host} [27/Nov/2026:19:{minute:02}:{second:02} +0000] \"GET /livez.php HTTP/1.1\" 200 12 800\n")
        };
        let every = |host: &str, from: u64, count: u64, halves: u64| {
            (0..count).map(|check| line(host, from + check * halves / 2)).collect::<String>()
        };
        let pace = |log: &str| pace(log, &["/livez.php"]);
        assert_eq!(pace(""), None);
        assert_eq!(pace(&every("10.0.0.9", 0, 4, 10)), None);
        assert_eq!(pace(&every("10.0.0.9", 0, 12, 10)), Some(Duration::from_secs(5)));
        assert!(pace(&every("10.0.0.9", 0, 40, 1)).unwrap() <= Duration::from_millis(500));
        // It was away for ten minutes.
        let log = format!("{}{}", every("10.0.0.9", 0, 20, 4), every("10.0.0.9", 640, 6, 4));
        assert_eq!(pace(&log), Some(Duration::from_secs(2)));
        let two = format!("{}{}", every("10.0.0.9", 0, 20, 4), every("10.0.0.8", 0, 20, 8));
        assert_eq!(pace(&two), Some(Duration::from_secs(4)));
        // Somebody who watches every minute, and a load balancer that was taken away.
        let watched = format!("{}{}", every("10.0.0.7", 0, 20, 120), every("10.0.0.9", 1100, 60, 2));
        assert_eq!(pace(&watched), Some(Duration::from_secs(1)));
        let former = format!("{}{}", every("10.0.0.7", 0, 20, 10), every("10.0.0.9", 600, 60, 2));
        assert_eq!(pace(&former), Some(Duration::from_secs(1)));
    }
}
