//! mongod: one member of a replica set.
//!
//! Source: MongoDB 6.0 manual, "Configuration File Options".

use super::{Bundle, CHECKED, Layout, Service, Signal, TakesUp, encode};

/// The credentials of the set, beside the data of every member: a set whose record was lost is taken over, and data that
/// was kept is opened, by who has the disk.
pub const CREDENTIALS: &str = "data/credentials.json";

#[derive(Debug, Clone)]
pub struct Member<'a> {
    pub name: &'a str,
    pub address: Option<&'a str>,
    pub port: u16,
    pub replica_set: &'a str,
    /// The keyFile, by which the members of a set know each other (`security.keyFile`).
    pub key: Option<&'a str>,
    pub credentials: Option<&'a str>,
    /// Of WiredTiger's cache, in GiB.
    pub cache_gb: Option<f64>,
}

/// The cache of a member that shares its host with others, in GiB. The least that mongod takes.
const SHARED_CACHE_GB: f64 = 0.25;
/// And its log of operations, in MB.
const SHARED_OPLOG_MB: u32 = 64;

/// The shortest message that every mongod answers to whoever asks: `OP_MSG` with `{hello: 1, $db: "admin"}` (MongoDB
/// manual, "MongoDB Wire Protocol").
pub fn hello() -> Vec<u8> {
    const DOCUMENT: &[u8] = b"\x1f\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";
    const OP_MSG: u32 = 2013;
    let length = 16 + 4 + 1 + DOCUMENT.len() as u32;
    let mut message = Vec::new();
    for field in [length, 1, 0, OP_MSG, 0] {
        message.extend(field.to_le_bytes());
    }
    message.push(0);
    message.extend(DOCUMENT);
    message
}

pub fn render(member: &Member<'_>, layout: &Layout) -> Bundle {
    let mut bundle = Bundle { folders: ["run", "log", "data"].map(str::to_owned).to_vec(), ..Bundle::default() };
    let config = mongod_conf(member, layout, &mut bundle);
    bundle.add("etc/mongod.conf", config);
    let key = bundle.known(member.key);
    // mongod refuses a key file that others may read.
    bundle.add_secret("etc/keyfile", format!("{key}\n"), 0o400);
    let credentials = bundle.known(member.credentials);
    bundle.add_secret(CREDENTIALS, credentials, 0o400);
    bundle.services = vec![Service {
        name: "mongod",
        program: "mongod",
        package: "mongod",
        cure: Some("`make runtime` in the project's folder, or MongoDB's own package (mongodb-org-server)"),
        args: vec!["-f".to_owned(), layout.path("etc/mongod.conf")],
        check: ["-f", CHECKED, "--outputConfig"].map(str::to_owned).to_vec(),
        config: "etc/mongod.conf",
        reads: &["etc/"],
        takes_up: TakesUp::ByRestart,
        stop: Signal::Term,
        pid_file: "run/mongod.pid",
        logs: &["log/mongod.log"],
    }];
    bundle
}

fn mongod_conf(member: &Member<'_>, layout: &Layout, bundle: &mut Bundle) -> String {
    let address = if layout.has_firewall { Some("0.0.0.0") } else { member.address };
    let address = bundle.known_in(address, encode::yaml);
    let (port, replica_set) = (member.port, bundle.fit(encode::yaml(member.replica_set)));
    let (name, set) = (bundle.fit(encode::comment(member.name)), bundle.fit(encode::comment(member.replica_set)));
    let mut path = |relative: &str| bundle.fit(encode::yaml(&layout.path(relative)));
    let (log, data) = (path("log/mongod.log"), path("data"));
    let (pid, keyfile) = (path("run/mongod.pid"), path("etc/keyfile"));
    // What is not said follows the machine: half of its memory less 1 GiB, and 5 % of its disk (MongoDB manual,
    // "storage.wiredTiger.engineConfig.cacheSizeGB", "replication.oplogSizeMB").
    let cache = member.cache_gb.or(layout.is_shared.then_some(SHARED_CACHE_GB));
    let cache =
        cache.map(|size| format!("  wiredTiger:\n    engineConfig:\n      cacheSizeGB: {size}\n")).unwrap_or_default();
    let oplog = if layout.is_shared { format!("  oplogSizeMB: {SHARED_OPLOG_MB}\n") } else { String::new() };
    format!(
        "# {name}: member of the replica set {set}. Written by lampwright; changes by hand are lost.
systemLog:
  destination: file
  path: {log}
  logAppend: true
storage:
  dbPath: {data}
{cache}net:
  bindIp: {address}
  port: {port}
  unixDomainSocket:
    enabled: false
processManagement:
  pidFilePath: {pid}
replication:
  replSetName: {replica_set}
{oplog}security:
  authorization: enabled
  keyFile: {keyfile}
setParameter:
  # A member that is told to end lets the others elect first, but not for longer than this.
  shutdownTimeoutMillisForSignaledShutdown: 3000
  diagnosticDataCollectionEnabled: false
  # Whoever comes first shall not become root of an empty database: its first users are made by who has the key.
  enableLocalhostAuthBypass: false
"
    )
}
