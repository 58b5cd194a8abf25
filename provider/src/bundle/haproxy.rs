//! HAProxy: one load balancer.
//!
//! Source: HAProxy 2.6 configuration manual; the sections are named where a rule is taken from them.

use std::fmt::Write;
use std::net::IpAddr;

use super::{Bundle, CHECKED, Layout, Service, Signal, TakesUp, encode};

pub const ADMIN_SOCKET: &str = "run/admin.sock";
pub const MASTER_SOCKET: &str = "run/master.sock";
pub const SERVER_STATE: &str = "run/server-state";

const INFALLIBLE: &str = "a String takes everything";

/// `balance` (section 4.2), those that need no further argument.
pub const ALGORITHMS: &[&str] = &["first", "leastconn", "random", "roundrobin", "source", "static-rr"];

#[derive(Debug, Clone)]
pub struct Balancer<'a> {
    pub name: &'a str,
    pub address: Option<&'a str>,
    pub port: u16,
    pub algorithm: &'a str,
    pub pool: &'a str,
    pub check: HealthCheck<'a>,
    pub servers: Vec<Server<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub struct HealthCheck<'a> {
    pub path: &'a str,
    pub interval_ms: u64,
    pub fall: u64,
    pub rise: u64,
}

#[derive(Debug, Clone)]
pub struct Server<'a> {
    pub name: Option<&'a str>,
    pub address: Option<&'a str>,
    pub port: Option<u16>,
}

pub fn render(balancer: &Balancer<'_>, layout: &Layout) -> Bundle {
    let mut bundle = Bundle { folders: vec!["run".to_owned(), "log".to_owned()], ..Bundle::default() };
    let config = haproxy_cfg(balancer, layout, &mut bundle);
    bundle.add("etc/haproxy.cfg", config);
    bundle.services = vec![Service {
        name: "haproxy",
        program: "haproxy",
        package: "haproxy",
        cure: None,
        args: vec![
            "-W".to_owned(),
            "-S".to_owned(),
            format!("{},level,admin", layout.path(MASTER_SOCKET)),
            "-p".to_owned(),
            layout.path("run/haproxy.pid"),
            "-f".to_owned(),
            layout.path("etc/haproxy.cfg"),
        ],
        check: ["-c", "-q", "-f", CHECKED].map(str::to_owned).to_vec(),
        config: "etc/haproxy.cfg",
        // The master re-executes itself and hands its listening sockets to the new worker.
        reads: &["etc/"],
        takes_up: TakesUp::By(Signal::Usr2),
        stop: Signal::Usr1,
        pid_file: "run/haproxy.pid",
        logs: &["log/haproxy.out"],
    }];
    bundle
}

fn haproxy_cfg(balancer: &Balancer<'_>, layout: &Layout, bundle: &mut Bundle) -> String {
    let HealthCheck { path, interval_ms, fall, rise } = balancer.check;
    let address = if layout.has_firewall { Some("*") } else { balancer.address };
    let address = bundle.known_in(address, encode::haproxy);
    let port = balancer.port;
    let name = bundle.fit(encode::comment(balancer.name));
    let mut word = |text: &str| bundle.fit(encode::haproxy(text));
    let (algorithm, pool, path) = (word(balancer.algorithm), word(balancer.pool), word(path));
    let (admin, state) = (word(&layout.path(ADMIN_SOCKET)), word(&layout.path(SERVER_STATE)));
    let mut out = format!(
        "# {name}: HAProxy. Written by lampwright; changes by hand are lost.
global
    maxconn 4096
    stats socket {admin} mode 600 level admin expose-fd listeners
    server-state-file {state}
    hard-stop-after 30s

defaults
    mode http
    timeout connect 2s
    # Without this a check may take no longer than the interval between two: a busy server would count as dead.
    timeout check 2s
    timeout client 30s
    timeout server 30s
    timeout queue 10s
    timeout http-request 10s
    timeout http-keep-alive 10s
    # A failed connection is tried again at once, on another server.
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response response-timeout 503
    # A server closes idle connections when its configuration changes, and what is not sent twice would be lost with them.
    option http-server-close
    # During a reload idle connections are closed with an answer, not under a client's next request.
    option idle-close-on-response
    # Servers keep their state (down, leaving) over a reload.
    load-server-state-from-file global
    default-server inter {interval_ms}ms fall {fall} rise {rise} observe layer4 error-limit 3 on-error mark-down on-marked-down shutdown-sessions

frontend {pool}
    bind {address}:{port}
    option forwardfor
    # What may have had an effect is not sent twice.
    http-request disable-l7-retry if !{{ method GET HEAD OPTIONS }}
    default_backend {pool}

backend {pool}
    balance {algorithm}
    option httpchk
    http-check send meth GET uri {path} ver HTTP/1.1 hdr Host {pool}
    # 404 is how a node says that it leaves: it ends its requests and gets no new ones (section 4.2).
    http-check disable-on-404
    http-check expect status 200
"
    );
    for server in &balancer.servers {
        let name = bundle.known_in(server.name, encode::haproxy);
        let at = server.address.zip(server.port).map(|(address, port)| format!("{address}:{port}"));
        let at = bundle.known_in(at.as_deref(), encode::haproxy);
        writeln!(out, "    server {name} {at} check").expect(INFALLIBLE);
    }
    out
}

/// What a balancer is to do with requests: the names of its servers, and where each of them is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    pub pool: String,
    /// Name, address and port.
    pub servers: Vec<(String, String, u16)>,
}

impl Sending {
    pub fn of(balancer: &Balancer<'_>) -> Sending {
        let servers = balancer.servers.iter();
        let servers = servers.map(|one| {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            (text(one.name), text(one.address), one.port.unwrap_or_default())
        });
        Sending { pool: balancer.pool.to_owned(), servers: servers.collect() }
    }

    fn has(&self, pool: &str, name: &str, address: &str, port: &str) -> bool {
        let is_there = |(known, at, at_port): &(String, String, u16)| {
            known == name && is_at(at, address) && port.parse() == Ok(*at_port)
        };
        pool == self.pool && self.servers.iter().any(is_there)
    }

    /// What belongs into the state that a new worker begins with, out of `show servers state` of the old one: whether
    /// a server is well, leaves or is set apart, and its weight, of servers that are where they were. HAProxy takes
    /// the port from there as well, whatever its configuration says, so all else is left out (management guide,
    /// section 9.3; haproxy/haproxy#1412).
    pub fn state_to_keep(&self, state: &str) -> String {
        let mut lines = state.lines();
        let (Some("1"), Some(header)) = (lines.next(), lines.next()) else { return String::new() };
        let columns: Vec<&str> = header.trim_start_matches("# ").split(' ').collect();
        let mut kept = format!("1\n{header}\n");
        for line in lines {
            let mut fields: Vec<&str> = line.split(' ').collect();
            let field = |name: &str| columns.iter().position(|column| *column == name).and_then(|at| fields.get(at));
            let (Some(pool), Some(name), Some(address), Some(port)) =
                (field("be_name"), field("srv_name"), field("srv_addr"), field("srv_port"))
            else {
                continue;
            };
            if fields.len() != columns.len() || !self.has(pool, name, address, port) {
                continue;
            }
            for (column, plain) in NOT_KEPT {
                if let Some(field) = columns.iter().position(|known| known == column).and_then(|at| fields.get_mut(at))
                {
                    *field = plain;
                }
            }
            kept.push_str(&fields.join(" "));
            kept.push('\n');
        }
        kept
    }

    /// In which servers a running HAProxy differs, from the CSV of `show stat` (management guide, section 9.1).
    pub fn differences(&self, table: &str) -> Vec<String> {
        let rows = rows(table);
        let missing = self.servers.iter().filter(|(name, ..)| rows.iter().all(|row| row.name != *name));
        let mut found: Vec<String> = missing.map(|(name, ..)| format!("{name} gets no requests")).collect();
        for row in rows {
            let (address, port) = row.at.rsplit_once(':').unwrap_or((row.at, ""));
            if !self.has(row.pool, row.name, address.trim_start_matches('[').trim_end_matches(']'), port) {
                found.push(format!("requests for {} go to {}", row.name, row.at));
            }
        }
        found
    }
}

/// By its number, or by a name that HAProxy has looked up.
fn is_at(wanted: &str, found: &str) -> bool {
    match wanted.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(wanted) => found.parse() == Ok(wanted),
        Err(_) => true,
    }
}

/// What the state says of a server that is no state but configuration, with what stands there if nothing is set.
const NOT_KEPT: &[(&str, &str)] = &[
    ("srv_fqdn", "-"),
    ("srvrecord", "-"),
    ("srv_use_ssl", "0"),
    ("srv_check_port", "0"),
    ("srv_check_addr", "-"),
    ("srv_agent_addr", "-"),
    ("srv_agent_port", "0"),
];

struct Row<'t> {
    pool: &'t str,
    name: &'t str,
    status: &'t str,
    at: &'t str,
}

fn rows(table: &str) -> Vec<Row<'_>> {
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
    let column = |name: &str| header.iter().position(|field| *field == name);
    let (Some(pool), Some(name), Some(status), Some(at)) =
        (column("pxname"), column("svname"), column("status"), column("addr"))
    else {
        return Vec::new();
    };
    let row = |line| {
        let fields: Vec<&str> = str::split(line, ',').collect();
        let of = |at: usize| fields.get(at).copied();
        Some(Row { pool: of(pool)?, name: of(name)?, status: of(status)?, at: of(at)? })
    };
    lines.filter_map(row).filter(|row| !matches!(row.name, "FRONTEND" | "BACKEND")).collect()
}

/// The servers that are not up, with their status, from the CSV of `show stat`.
pub fn servers_down(table: &str) -> Vec<(String, String)> {
    let down = rows(table).into_iter().filter(|row| !row.status.starts_with("UP"));
    down.map(|row| (row.name.to_owned(), row.status.to_owned())).collect()
}

#[cfg(test)]
mod tests;
