//! `lamp_cluster`: identical web nodes, Apache with PHP-FPM.
//!
//! Order under change: new nodes are ready before the resource is done, so a load balancer that refers to it only
//! ever gets to know ready ones. A node that leaves first answers 404 to its health check, which every load
//! balancer understands as "no new requests"; it is stopped when it is idle or a deadline has passed; only then
//! does the load balancer's own configuration lose it.

mod app;
mod release;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use value::{Path, Problem, Step, Ty};

use super::text;
use crate::bundle::apache::{self, WebNode};
use crate::bundle::{Bundle, Program};
use crate::context::Context;
use crate::driver::{Driver, MachineKey};
use crate::field::{Change, Field};
use crate::fleet;
use crate::layer::{
    AtOnce, Began, Group, Layer, Node, POLL, Peer, Probe, Question, Reference, Rollout, State, Until, machine_ty,
};

#[derive(Debug)]
pub(super) struct LampCluster;

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(super) struct Model {
    nodes: Option<u64>,
    app: Option<String>,
    environment: Option<BTreeMap<String, Option<String>>>,
    database: Option<Database>,
    health_check: Option<HealthCheck>,
    port: Option<u16>,
    php_workers: Option<u32>,
    drain_seconds: Option<u64>,
    app_digest: Option<String>,
    former_ports: Option<Vec<u16>>,
    former_health_check_paths: Option<Vec<String>>,
}

/// The part of a `mongo_replset` that a web node needs.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
struct Database {
    id: Option<String>,
    public: Option<bool>,
    cloud: Option<String>,
    uri: Option<String>,
    database: Option<String>,
    machines: Option<Vec<Peer>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
struct HealthCheck {
    path: Option<String>,
    interval_ms: Option<u64>,
}

pub(super) const HEALTH_PATH: &str = "/livez.php";
pub(super) const HEALTH_INTERVAL_MS: u64 = 500;
const PORT: u16 = 8080;
const PHP_WORKERS: u32 = 4;
const DRAIN_SECONDS: u64 = 30;

impl Layer for LampCluster {
    const NAME: &'static str = "lamp_cluster";
    const DEFAULT_NAME: &'static str = "web";
    const DOC: &'static str = "Identical web nodes that serve a PHP application: Apache with PHP-FPM.";
    const PROGRAMS: &'static [Program] = apache::PROGRAMS;
    const LEAVING: &'static str = "finishing what is under way first";
    const ROLLOUT: Rollout =
        Rollout { at_once: AtOnce::OneOf(4), ready_within: Duration::from_secs(30), started: "ready" };
    const FOUND: &'static [&'static str] = &["nodes", "port", "health_check"];
    type Model = Model;

    fn fields() -> Vec<Field> {
        let database = vec![
            Field::required("uri", Ty::String, "connection string that names every member")
                .sensitive()
                .text(text::without_nul),
            Field::optional("id", Ty::String, "the id of the layer, whose firewall lets this one in")
                .text(text::layer_id),
            Field::optional("cloud", Ty::String, "the cloud of the layer"),
            Field::optional("public", Ty::Bool, "whether the layer is reached by its public addresses"),
            Field::optional("database", Ty::String, "the name of the application's database").text(text::without_nul),
            Field::optional("machines", Ty::list(machine_ty()), "the members, so that the application can name them"),
        ];
        let health_check = vec![
            Field::optional("path", Ty::String, "a page that PHP executes; made if the application has none")
                .default(HEALTH_PATH)
                .text(page),
            Field::optional("interval_ms", Ty::Number, "milliseconds between two checks")
                .default(HEALTH_INTERVAL_MS)
                .whole(text::INTERVALS_MS),
        ];
        vec![
            Field::settled("nodes", Ty::Number, "how many web nodes, a whole number from 0 to 1000")
                .default(2)
                .whole(0..=1000)
                .change(Change::Scales),
            Field::required(
                "app",
                Ty::String,
                "the folder of the application, copied to every node as its document root",
            )
            .change(Change::Releases),
            Field::optional("environment", Ty::map(Ty::String), "environment variables of the application")
                .sensitive()
                .change(Change::Reloads),
            Field::object("database", "the database that the application talks to: a whole mongo_replset", database)
                .change(Change::Reloads),
            Field::object("health_check", "how to tell that a node is alive: path, interval_ms", health_check)
                .change(Change::Reloads),
            Field::settled("port", Ty::Number, "the port that nodes listen on; the next one is for their status page")
                .default(PORT)
                .whole(1..=65534)
                .change(Change::Reloads),
            Field::settled("php_workers", Ty::Number, "PHP processes on every node")
                .default(PHP_WORKERS)
                .whole(1..=10_000)
                .change(Change::Reloads),
            Field::settled("drain_seconds", Ty::Number, "how long a node that leaves may take to finish its requests")
                .default(DRAIN_SECONDS)
                .whole(0..=86_400)
                .change(Change::Recorded),
            Field::computed("app_digest", Ty::String, "digest of the application's files"),
            Field::computed(
                "former_ports",
                Ty::list(Ty::Number),
                "ports of earlier times, at which nodes go on answering load balancers that have not been told",
            ),
            Field::computed(
                "former_health_check_paths",
                Ty::list(Ty::String),
                "as former_ports, for the page of the health check",
            ),
        ]
    }

    fn validate(state: &State<Model>) -> Vec<Problem> {
        let own = &state.own;
        let mut problems = Vec::new();
        for (name, value) in own.environment.iter().flatten() {
            let at = Path::attribute("environment").then(Step::Key(name.as_str().into()));
            let is_name = name.starts_with(|ch: char| ch.is_ascii_alphabetic() || ch == '_')
                && name.chars().all(|ch| ch.is_ascii_alphanumeric() || ch == '_');
            let detail = if !is_name {
                Some(format!("{name:?} is not the name of an environment variable."))
            } else if apache::is_set_by_the_server(name) {
                Some(format!(
                    "{name} is what the web server says of a request, or its client; the application would not get this value. Take another name."
                ))
            } else {
                value.as_deref().and_then(text::without_nul)
            };
            problems.extend(detail.map(|detail| Problem::error("invalid argument", detail).at(at)));
        }
        if let Some(database) = &own.database {
            let part = |name: &'static str| Path::attribute("database").then(Step::Attribute(name.into()));
            problems.extend(text::required(state, database.uri.is_none(), &part("uri")));
            problems.extend(text::peers(state, database.machines.as_deref(), &part("machines")));
        }
        problems
    }

    fn wanted(own: &Model) -> Option<u64> {
        own.nodes
    }

    fn port(own: &Model) -> u16 {
        own.port.unwrap_or(PORT)
    }

    fn probes(own: &Model, port: u16) -> Vec<Probe> {
        // Both wait for a worker while all are busy. A request may take that long (`Timeout`, `request_terminate_timeout`).
        let patience = Duration::from_secs(30);
        let former = own.former_ports.as_deref().unwrap_or_default();
        let get = |port, path: &str| Question::Get { port, path: path.to_owned() };
        vec![
            Probe {
                service: "apache2",
                question: get(apache::status_port(port, former), apache::STATUS_PATH),
                patience,
            },
            Probe { service: "php-fpm", question: get(port, health_path(own)), patience },
        ]
    }

    fn sources(own: &Model) -> Vec<String> {
        own.app.iter().cloned().collect()
    }

    fn references(own: &Model) -> Vec<Reference> {
        let database = own.database.as_ref();
        vec![Reference {
            at: "database",
            id: database.and_then(|it| it.id.clone()),
            cloud: database.and_then(|it| it.cloud.clone()),
            is_public: database.and_then(|it| it.public).unwrap_or(false),
            port: database.and_then(|it| it.machines.as_ref()?.first()?.port),
        }]
    }

    fn plan(context: &Context, planned: &mut State<Model>, _: Option<&State<Model>>) -> Result<(), Vec<Problem>> {
        let own = &mut planned.own;
        own.app_digest = match &own.app {
            Some(app) => Some(app::digest(&*app::read_once(context, app)?)),
            None => None,
        };
        Ok(())
    }

    fn computed(state: &mut State<Model>, prior: Option<&State<Model>>) {
        remember(state, prior);
    }

    fn summary(context: &Context, planned: &State<Model>) -> String {
        let own = &planned.own;
        let nodes = own.nodes.map_or_else(|| "?".to_owned(), |nodes| nodes.to_string());
        let app = own.app.as_deref().unwrap_or("?");
        let digest = own.app_digest.as_deref().and_then(|digest| digest.get(7..11)).unwrap_or("?");
        let files = own.app.as_deref().and_then(|app| app::read_once(context, app).ok()).map_or(0, |files| files.len());
        let plural = |is_one: bool| if is_one { "" } else { "s" };
        let (of_nodes, of_files) = (plural(own.nodes == Some(1)), plural(files == 1));
        format!("{nodes} node{of_nodes}, Apache with PHP-FPM, app {app} (sha256 {digest}…, {files} file{of_files})")
    }

    fn bundles(context: &Context, state: &State<Model>) -> Result<Vec<Bundle>, Vec<Problem>> {
        let driver = state.group.driver(context)?;
        let own = &state.own;
        let app = match &own.app {
            Some(app) => app::read_once(context, app)?,
            None => Arc::default(),
        };
        let environment = environment(state);
        let machines = state.group.machines().iter();
        Ok(machines
            .map(|machine| {
                let node = WebNode {
                    name: &machine.name,
                    address: machine.address.as_deref(),
                    port: machine.port,
                    health_check_path: health_path(own),
                    former_ports: own.former_ports.as_deref().unwrap_or_default(),
                    former_health_check_paths: own
                        .former_health_check_paths
                        .iter()
                        .flatten()
                        .map(String::as_str)
                        .collect(),
                    workers: own.php_workers.unwrap_or(PHP_WORKERS),
                    environment: environment.clone(),
                    app: &app,
                };
                apache::render(&node, &driver.layout(&state.group.key(machine.id)))
            })
            .collect())
    }

    /// The application itself answers, and the page that load balancers ask for.
    async fn ready(node: &Node<LampCluster>, began: Began) -> Result<(), Problem> {
        release::answers(node, began).await
    }

    async fn leave(node: &Node<LampCluster>, until: Until) -> Result<(), Problem> {
        if until == Until::Removed {
            node.tell("finishes its requests");
        }
        drain(node).await;
        Ok(())
    }

    async fn is_away(driver: &dyn Driver, key: &MachineKey) -> bool {
        driver.read(key, apache::DRAIN_FLAG).await.is_ok_and(|flag| flag.is_some())
    }

    async fn rejoin(node: &Node<LampCluster>) -> Result<(), Problem> {
        release::readmit(node).await
    }

    async fn imported(context: &Context, group: &Group) -> Result<Model, Vec<Problem>> {
        let port = fleet::number_after(context, group, "etc/httpd.conf", "Listen").await?;
        let rule = fleet::line_after(context, group, "etc/httpd.conf", apache::LEAVES).await?;
        let path = rule.as_deref().and_then(apache::health_path_of).filter(|path| path != HEALTH_PATH);
        Ok(Model {
            nodes: Some(group.machines().len() as u64),
            app: None,
            environment: None,
            database: None,
            health_check: path.map(|path| HealthCheck { path: Some(path), interval_ms: None }),
            port,
            php_workers: None,
            drain_seconds: None,
            app_digest: None,
            former_ports: None,
            former_health_check_paths: None,
        })
    }
}

/// Announces by the health check that the node leaves, and waits until it is idle.
async fn drain(node: &Node<LampCluster>) {
    if node.driver.write(&node.key, apache::DRAIN_FLAG, b"").await.is_err() {
        return;
    }
    let own = node.own();
    let former = own.former_ports.as_deref().unwrap_or_default();
    let notice = release::notice(node).await;
    let started = Instant::now();
    let deadline = started + Duration::from_secs(own.drain_seconds.unwrap_or(DRAIN_SECONDS)).max(notice);
    let mut quiet = 0;
    while Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
        // Of a port that is to change nothing is known yet; the node's files say what it is at this moment.
        let Some((_, page)) = node.get(apache::status_port(node.machine.port, former), apache::STATUS_PATH).await
        else {
            if started.elapsed() >= notice {
                return;
            }
            continue;
        };
        // The request for this page is one busy worker itself.
        let busy = page.lines().find_map(|line| line.strip_prefix("BusyWorkers: ")?.trim().parse::<u64>().ok());
        quiet = if busy.unwrap_or(0) <= 1 { quiet + 1 } else { 0 };
        if started.elapsed() >= notice && quiet >= 3 {
            return;
        }
    }
}

/// By name; what is not known yet is `None`, and what is not set is not there.
fn environment(state: &State<Model>) -> BTreeMap<String, Option<String>> {
    let own = &state.own;
    let mut environment = BTreeMap::new();
    let mut set = |name: &str, value: Option<String>, at: &Path| {
        if value.is_some() || !state.is_known(at) {
            environment.insert(name.to_owned(), value);
        }
    };
    let at = Path::attribute("database");
    let part = |name: &'static str| at.then(Step::Attribute(name.into()));
    if let Some(database) = &own.database {
        let name = database.database.clone().or_else(|| state.is_known(&part("database")).then(|| "app".to_owned()));
        set("DATABASE_URI", database.uri.clone(), &part("uri"));
        set("DATABASE_NAME", name, &part("database"));
        let member =
            |peer: &Peer| Some(format!("{}={}:{}", peer.name.as_deref()?, peer.address.as_deref()?, peer.port?));
        let members = database.machines.iter().flatten().map(member).collect::<Option<Vec<_>>>();
        match (&database.machines, members) {
            (Some(_), Some(members)) => set("DATABASE_MEMBERS", Some(members.join(",")), &at),
            // Something of a machine is not known yet, or all of them are not.
            (Some(_), None) => drop(environment.insert("DATABASE_MEMBERS".to_owned(), None)),
            (None, _) => set("DATABASE_MEMBERS", None, &part("machines")),
        }
    } else {
        for name in ["DATABASE_MEMBERS", "DATABASE_NAME", "DATABASE_URI"] {
            set(name, None, &at);
        }
    }
    for (name, value) in own.environment.iter().flatten() {
        let at = Path::attribute("environment").then(Step::Key(name.as_str().into()));
        if value.is_some() || !state.is_known(&at) {
            environment.insert(name.clone(), value.clone());
        }
    }
    environment
}

/// Load balancers are told after this layer has changed, those of other stacks perhaps never: where nodes were asked
/// before, they go on answering. It costs a line in a file, so nothing of it is ever taken back.
fn remember(planned: &mut State<Model>, prior: Option<&State<Model>>) {
    fn before<T: PartialEq + Clone>(now: &T, last: Option<T>, former: Option<&Vec<T>>) -> Vec<T> {
        let all = last.into_iter().chain(former.cloned().unwrap_or_default());
        let mut kept = Vec::new();
        for one in all.filter(|one| one != now) {
            if !kept.contains(&one) {
                kept.push(one);
            }
        }
        kept
    }
    let prior = prior.map(|prior| &prior.own);
    let port = LampCluster::port(&planned.own);
    let former = before(&port, prior.and_then(|own| own.port), prior.and_then(|own| own.former_ports.as_ref()));
    planned.own.former_ports = planned.is_known(&Path::attribute("port")).then_some(former);
    let path = health_path(&planned.own).to_owned();
    let last = prior.map(|own| health_path(own).to_owned());
    let former = before(&path, last, prior.and_then(|own| own.former_health_check_paths.as_ref()));
    let at = Path::attribute("health_check").then(Step::Attribute("path".into()));
    planned.own.former_health_check_paths = planned.is_known(&at).then_some(former);
}

fn health_path(own: &Model) -> &str {
    own.health_check.as_ref().and_then(|check| check.path.as_deref()).unwrap_or(HEALTH_PATH)
}

/// The path of a page that PHP executes.
fn page(path: &str) -> Option<String> {
    let is_file = |part: &str| !matches!(part, "" | "." | "..") && part.len() < 256;
    let is_page = path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_file))
        && path.len() <= 1024
        && path.ends_with(".php")
        && !path.contains("..")
        && path.chars().all(|ch| ch.is_ascii_alphanumeric() || "/._-".contains(ch));
    (!is_page).then(|| {
        "The path of the health check begins with a slash, ends in .php, and holds only letters, digits and any of / . _ -".to_owned()
    })
}

fn invalid(attribute: &'static str, detail: String) -> Problem {
    Problem::error("invalid argument", detail).at(Path::attribute(attribute))
}
