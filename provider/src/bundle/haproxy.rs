//! HAProxy: one load balancer.
//!
//! Source: HAProxy 2.6 configuration manual; the sections are named where a rule is taken from them.

use std::fmt::Write;

use super::{Bundle, CHECKED, Service};
use crate::driver::{Layout, Signal};

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
    pub name: &'a str,
    pub address: Option<&'a str>,
    pub port: u16,
}

pub fn render(balancer: &Balancer<'_>, layout: &Layout) -> Bundle {
    let mut bundle = Bundle { folders: vec!["run".to_owned(), "log".to_owned()], ..Bundle::default() };
    let config = haproxy_cfg(balancer, layout, &mut bundle);
    bundle.add("etc/haproxy.cfg", config);
    bundle.services = vec![Service {
        name: "haproxy",
        program: "haproxy",
        package: "haproxy",
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
        reload: Some(Signal::Usr2),
        stop: Signal::Usr1,
        pid_file: "run/haproxy.pid",
    }];
    bundle
}

fn haproxy_cfg(balancer: &Balancer<'_>, layout: &Layout, bundle: &mut Bundle) -> String {
    let Balancer { name, port, algorithm, pool, .. } = balancer;
    let HealthCheck { path, interval_ms, fall, rise } = balancer.check;
    let address = if layout.has_firewall { "*" } else { bundle.known(balancer.address) };
    let admin = layout.path(ADMIN_SOCKET);
    let state = layout.path(SERVER_STATE);
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
    # During a reload idle connections are closed with an answer, not under a client's next request.
    option idle-close-on-response
    # Servers keep their state (down, leaving) over a reload.
    load-server-state-from-file global
    default-server inter {interval_ms}ms fall {fall} rise {rise} observe layer4 error-limit 3 on-error mark-down

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
        let address = bundle.known(server.address);
        writeln!(out, "    server {} {address}:{} check", server.name, server.port).expect(INFALLIBLE);
    }
    out
}

/// The servers that are not up, with their status, from the CSV of `show stat` (management guide, section 9.1).
pub fn servers_down(table: &str) -> Vec<(String, String)> {
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
    let column = |name: &str| header.iter().position(|field| *field == name);
    let (Some(name), Some(status)) = (column("svname"), column("status")) else { return Vec::new() };
    lines
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter_map(|fields| Some((*fields.get(name)?, *fields.get(status)?)))
        .filter(|(name, status)| !matches!(*name, "FRONTEND" | "BACKEND") && !status.starts_with("UP"))
        .map(|(name, status)| (name.to_owned(), status.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn servers_that_are_not_up_are_found() {
        let table = "# pxname,svname,qcur,status,weight\nweb,FRONTEND,,OPEN,\nweb,web-1,0,UP 1/2,1\nweb,web-2,0,DOWN,1\nweb,BACKEND,0,UP,1\n";
        assert_eq!(super::servers_down(table), [("web-2".to_owned(), "DOWN".to_owned())]);
    }
}
