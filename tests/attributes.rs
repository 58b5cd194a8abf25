//! What a change of each attribute does to a layer that is there: what the plan says, and what is seen to happen to daemons,
//! files and machines. `docs/attributes.md` is what these tests have seen; LAMPWRIGHT_WRITE_DOCS=1 writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value as Json;

use crate::sandbox::{Ran, Sandbox, repository};

const DOCUMENT: &str = "docs/attributes.md";
const APPLY: &[&str] = &["apply", "-auto-approve"];

/// A change of an attribute: another line in the block of the layer.
struct Row {
    attribute: &'static str,
    before: &'static str,
    after: &'static str,
}

const fn row(attribute: &'static str, before: &'static str, after: &'static str) -> Row {
    Row { attribute, before, after }
}

/// A machine as it is on the disk and in the table of processes.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// By service.
    pids: BTreeMap<String, String>,
    /// By path: what is installed.
    files: BTreeMap<String, Vec<u8>>,
    /// By service: what it has taken up.
    in_force: BTreeMap<String, String>,
}

#[derive(Debug, Default, PartialEq)]
struct Layer {
    generation: String,
    machines: BTreeMap<String, Seen>,
}

fn look(sandbox: &Sandbox, address: &str) -> Layer {
    let state = std::fs::read(sandbox.join("stack/terraform.tfstate")).expect("the state");
    let state: Json = serde_json::from_slice(&state).expect("JSON");
    let (ty, name) = address.split_once('.').expect("an address");
    let is_it = |resource: &&Json| resource["type"] == ty && resource["name"] == name;
    let resource = state["resources"].as_array().expect("resources").iter().find(is_it).expect("the layer").clone();
    let attributes = &resource["instances"][0]["attributes"];
    let machines = attributes["machines"].as_array().expect("machines").iter().map(|machine| {
        let name = machine["name"].as_str().expect("a name");
        // Two clouds of this machine have two roots.
        let root = if attributes["cloud"] == "other" { "m2" } else { "m" };
        let folder = sandbox.join(root).join(attributes["id"].as_str().expect("an id")).with_file_name(name);
        (name.to_owned(), seen(&folder))
    });
    Layer {
        generation: attributes["generation"].as_str().expect("a generation").to_owned(),
        machines: machines.collect(),
    }
}

fn seen(folder: &Path) -> Seen {
    let mut seen = Seen::default();
    for entry in std::fs::read_dir(folder.join("run")).expect("run").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(service) = name.strip_suffix(".pid") {
            let pid = std::fs::read_to_string(entry.path()).unwrap_or_default();
            seen.pids.insert(service.to_owned(), pid.trim().to_owned());
        }
    }
    for part in ["etc", "htdocs"] {
        files(&folder.join(part), part, &mut seen.files);
    }
    let loaded = std::fs::read(folder.join("run/loaded")).unwrap_or_default();
    let loaded: Json = serde_json::from_slice(&loaded).unwrap_or_default();
    for (service, digest) in loaded["services"].as_object().into_iter().flatten() {
        seen.in_force.insert(service.clone(), digest.to_string());
    }
    seen
}

fn files(folder: &Path, path: &str, into: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = format!("{path}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files(&entry.path(), &path, into);
        } else {
            into.insert(path, std::fs::read(entry.path()).unwrap_or_default());
        }
    }
}

/// In a few words, what has happened between two looks.
fn happened(before: &Layer, after: &Layer) -> String {
    let names = |layer: &Layer| layer.machines.keys().cloned().collect::<BTreeSet<_>>();
    let (old, new) = (names(before), names(after));
    if before.generation != after.generation {
        return format!("another layer: {} gone, {} made", join(&old), join(&new));
    }
    let mut told = Vec::new();
    let (made, gone): (Vec<_>, Vec<_>) = (new.difference(&old).collect(), old.difference(&new).collect());
    if !made.is_empty() {
        told.push(format!("{} made", join(made)));
    }
    if !gone.is_empty() {
        told.push(format!("{} removed", join(gone)));
    }
    let mut by_event: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in old.intersection(&new) {
        let (old, new) = (&before.machines[name], &after.machines[name]);
        for (service, pid) in &new.pids {
            let event = if old.pids.get(service) != Some(pid) {
                "started anew"
            } else if old.in_force.get(service) != new.in_force.get(service) {
                "reloaded"
            } else {
                continue;
            };
            by_event.entry(format!("{service} {event}")).or_default().insert(name.clone());
        }
        let paths: BTreeSet<&String> = old.files.keys().chain(new.files.keys()).collect();
        let changed = paths.into_iter().filter(|path| old.files.get(*path) != new.files.get(*path));
        let changed: Vec<String> = changed.map(|path| format!("`{path}`")).collect();
        if !changed.is_empty() {
            by_event.entry(format!("{} written", changed.join(", "))).or_default().insert(name.clone());
        }
    }
    let all: Vec<&String> = old.intersection(&new).collect();
    told.extend(
        by_event.into_iter().map(
            |(event, names)| {
                if names.len() == all.len() { event } else { format!("{event} on {}", join(&names)) }
            },
        ),
    );
    if told.is_empty() { "nothing".to_owned() } else { told.join("; ") }
}

fn join<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

/// What a plan says of a layer, without the lines of files.
pub(crate) fn said(plan: &str, address: &str) -> String {
    let mut told = Vec::new();
    let mut is_in = false;
    for line in plan.lines() {
        let text = line.trim();
        if line.starts_with("  ") && !line.starts_with("   ") {
            is_in = text.split_whitespace().nth(1) == Some(address);
            if is_in {
                told.push(
                    text.split_whitespace()
                        .enumerate()
                        .filter(|(at, _)| *at != 1)
                        .map(|(_, word)| word)
                        .collect::<Vec<_>>()
                        .join(" "),
                );
            }
        } else if text.is_empty() {
            is_in = false;
        } else if is_in && ![" gets ", " loses "].iter().any(|lists| text.contains(lists)) {
            told.push(text.to_owned());
        }
    }
    told.join("; ")
}

fn refused(ran: &Ran) -> String {
    let text = ran.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or("an error");
    format!("refused: {}", text.trim_start_matches("error: "))
}

/// Changes each attribute, looks, and changes it back.
fn table(sandbox: &Sandbox, address: &str, stack: &dyn Fn(&str) -> String, rows: &[Row]) -> String {
    let mut out = String::from(
        "| attribute | from | to | what the plan says | what is seen to happen |\n|---|---|---|---|---|\n",
    );
    for Row { attribute, before, after } in rows {
        sandbox.write("stack/main.stack.hcl", &stack(before));
        sandbox.lampwright("stack", APPLY).success();
        let was = look(sandbox, address);
        sandbox.write("stack/main.stack.hcl", &stack(after));
        let plan = sandbox.lampwright("stack", &["plan"]);
        let (plan, seen) = if plan.code == 0 {
            sandbox.lampwright("stack", APPLY).success();
            let now = look(sandbox, address);
            assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0, "{attribute}");
            let told = said(&plan.stdout, address);
            (if told.is_empty() { "nothing".to_owned() } else { told }, happened(&was, &now))
        } else {
            (refused(&plan), happened(&was, &look(sandbox, address)))
        };
        let line = |text: &str| {
            let text = text.trim().split_once('=').map_or(text, |(_, value)| value).trim().to_owned();
            if text.is_empty() { "not set".to_owned() } else { format!("`{text}`") }
        };
        let cells = [format!("`{attribute}`"), line(before), line(after), plan, seen];
        let cells = cells.map(|cell| stable(&cell.replace('|', "\\|").replace('\n', " "), sandbox));
        writeln!(out, "| {} |", cells.join(" | ")).expect("a String takes everything");
    }
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    out
}

/// Addresses and digests are those of a run.
fn stable(text: &str, sandbox: &Sandbox) -> String {
    let text = text.replace(&sandbox.path().display().to_string(), "..");
    let words = text.split(' ').map(|word| match word.parse::<std::net::Ipv4Addr>() {
        Ok(_) => "ADDRESS".to_owned(),
        Err(_) => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Every attribute that can be set has a row.
fn assert_whole(resource: &str, rows: &[Row]) {
    let reference = std::fs::read_to_string(repository().join("docs/reference.md")).expect("the reference");
    let section = reference.split("\n## ").find(|section| section.starts_with(&format!("{resource}\n")));
    let section = section.expect("the resource");
    let settable = section.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split(" | ").collect();
        let name = cells.first()?.strip_prefix("| `")?.strip_suffix('`')?;
        let is_settable = cells.get(2).is_some_and(|cell| cell.contains("required") || cell.contains("optional"));
        (is_settable && !name.contains('.')).then_some(name)
    });
    let has: BTreeSet<&str> = rows.iter().map(|row| row.attribute).collect();
    assert_eq!(settable.collect::<BTreeSet<_>>(), has, "{resource}");
}

/// Compares a part of the document with what was seen, or writes it.
pub(crate) fn compare(heading: &str, table: &str) {
    let path = repository().join(DOCUMENT);
    let document = std::fs::read_to_string(&path).unwrap_or_default();
    let begin = format!("\n## {heading}\n\n");
    if std::env::var_os("LAMPWRIGHT_WRITE_DOCS").is_some() {
        let mut parts: Vec<String> = document.split("\n## ").map(str::to_owned).collect();
        let own = format!("{heading}\n\n{table}");
        match parts.iter_mut().find(|part| part.starts_with(&format!("{heading}\n"))) {
            Some(part) => *part = own,
            None => parts.push(own),
        }
        std::fs::write(&path, parts.join("\n## ")).expect("written");
        return;
    }
    let written = document.split_once(&begin).map(|(_, rest)| rest.split("\n## ").next().unwrap_or_default());
    assert_eq!(
        written.map(str::trim_end),
        Some(table.trim_end()),
        "{DOCUMENT} is out of date; write it by: LAMPWRIGHT_WRITE_DOCS=1 cargo nextest run --test it -j 1 attributes::"
    );
}

const ARCHIVE: &str = "archive = { url = \"https://mongodb.example/mongod.tgz\", sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\" }";

const COMMON: [Row; 6] = [
    row("size", "", "size = \"m1.large\""),
    row("cpu", "", "cpu = 2"),
    row("memory_gb", "", "memory_gb = 4"),
    row("image", "", "image = \"debian-12\""),
    row("os", "", "os = \"debian-13\""),
    row("public", "", "public = true"),
];

fn with_common(rows: Vec<Row>) -> Vec<Row> {
    COMMON.into_iter().chain(rows).collect()
}

/// With another cloud of this machine.
fn provider(sandbox: &Sandbox) -> String {
    let block = sandbox.provider_block();
    let (start, end) = block.trim_end().rsplit_once('}').expect("a block");
    let other = start.split_once("  cloud ").map(|(_, cloud)| cloud.replacen("\"local\" {", "\"other\" {", 1));
    let other = other.expect("a cloud").replace("/m\"", "/m2\"");
    format!("{start}  cloud {other}}}{end}\n")
}

#[test]
fn of_a_lamp_cluster() {
    let rows = with_common(vec![
        row("nodes", "nodes = 2", "nodes = 3"),
        row("app", "app = \"./app\"", "app = \"./app2\""),
        row("environment", "", "environment = { COLOUR = \"red\" }"),
        row("database", "", "database = { uri = \"mongodb://db.example/app\" }"),
        row("health_check", "", "health_check = { path = \"/alive.php\" }"),
        row("port", "", "port = 8090"),
        row("php_workers", "", "php_workers = 6"),
        row("drain_seconds", "", "drain_seconds = 5"),
        row("name", "", "name = \"site\""),
        row("cloud", "", "cloud = \"other\""),
    ]);
    assert_whole("lamp_cluster", &rows);
    let sandbox = Sandbox::new();
    sandbox.write("stack/app/index.php", "<?php echo 'one';\n");
    sandbox.write("stack/app2/index.php", "<?php echo 'two';\n");
    let provider = provider(&sandbox);
    let stack = |line: &str| {
        let default =
            |name: &str, text: &str| if line.starts_with(name) { String::new() } else { format!("  {text}\n") };
        let (nodes, app) = (default("nodes", "nodes = 2"), default("app ", "app = \"./app\""));
        format!("{provider}resource \"lamp_cluster\" \"web\" {{\n{nodes}{app}  {line}\n}}\n")
    };
    compare("lamp_cluster on this machine", &table(&sandbox, "lamp_cluster.web", &stack, &rows));
}

#[test]
fn of_a_lb_pool() {
    let rows = with_common(vec![
        row("kind", "", "kind = \"native\""),
        row("backend", "backend = lamp_cluster.web", "backend = lamp_cluster.other"),
        row("algorithm", "", "algorithm = \"leastconn\""),
        row("listener", "", "listener = { port = 8090 }"),
        row("health_check", "", "health_check = { fall = 5 }"),
        row("name", "", "name = \"front\""),
        row("cloud", "", "cloud = \"other\""),
    ]);
    assert_whole("lb_pool", &rows);
    let sandbox = Sandbox::new();
    sandbox.write("stack/app/index.php", "<?php echo 'one';\n");
    let provider = provider(&sandbox);
    let web = |name: &str| format!("resource \"lamp_cluster\" \"{name}\" {{\n  nodes = 1\n  app   = \"./app\"\n}}\n");
    let stack = |line: &str| {
        let backend = if line.starts_with("backend") { "" } else { "  backend = lamp_cluster.web\n" };
        let webs = [web("web"), web("other")].concat();
        format!("{provider}{webs}resource \"lb_pool\" \"lb\" {{\n{backend}  {line}\n}}\n")
    };
    compare("lb_pool on this machine", &table(&sandbox, "lb_pool.lb", &stack, &rows));
}

#[test]
fn of_a_mongo_replset() {
    let rows = with_common(vec![
        row("on_destroy", "", "on_destroy = \"keep\""),
        row("members", "", "members = 3"),
        row("version", "", "version = \"4.0\""),
        row("disk_gb", "", "disk_gb = 20"),
        row("archive", "", ARCHIVE),
        row("cache_gb", "", "cache_gb = 0.5"),
        row("database", "", "database = \"books\""),
        row("replica_set", "", "replica_set = \"rs9\""),
        row("port", "", "port = 27018"),
        row("name", "", "name = \"store\""),
        row("cloud", "", "cloud = \"other\""),
    ]);
    assert_whole("mongo_replset", &rows);
    let sandbox = Sandbox::new();
    let provider = provider(&sandbox);
    let stack = |line: &str| {
        let default =
            |name: &str, text: &str| if line.starts_with(name) { String::new() } else { format!("  {text}\n") };
        let (members, kept) = (default("members", "members = 1"), default("on_destroy", "on_destroy = \"delete\""));
        format!("{provider}resource \"mongo_replset\" \"db\" {{\n{members}{kept}  {line}\n}}\n")
    };
    compare("mongo_replset on this machine", &table(&sandbox, "mongo_replset.db", &stack, &rows));
}
