//! `lb_pool`: a load balancer in front of a layer, HAProxy.

mod native;
mod reload;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use value::{Path, Problem, Step, Ty};

use super::lamp_cluster::{HEALTH_INTERVAL_MS, HEALTH_PATH};
use super::text;
use crate::bundle::haproxy::{self, ADMIN_SOCKET, Balancer, MASTER_SOCKET, Sending, Server};
use crate::bundle::{Bundle, Program, Service};
use crate::context::Context;
use crate::driver::{LayerId, MachineKey};
use crate::field::{Change, Field};
use crate::fleet;
use crate::layer::{
    AtOnce, Began, Door, Group, Layer, MachineModel, Node, POLL, Peer, Probe, Question, Reference, Rollout, State,
    machine_ty,
};
use reload::SHOW_STAT;

#[derive(Debug)]
pub(super) struct LbPool;

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(super) struct Model {
    kind: Option<String>,
    backend: Option<Backend>,
    algorithm: Option<String>,
    listener: Option<Listener>,
    health_check: Option<HealthCheck>,
    address: Option<String>,
    url: Option<String>,
    targets: Option<BTreeSet<String>>,
}

/// The part of a `lamp_cluster` that a load balancer needs.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
struct Backend {
    id: Option<String>,
    public: Option<bool>,
    name: Option<String>,
    cloud: Option<String>,
    machines: Option<Vec<Peer>>,
    health_check: Option<BackendCheck>,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
struct BackendCheck {
    path: Option<String>,
    interval_ms: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
struct Listener {
    port: Option<u16>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
struct HealthCheck {
    path: Option<String>,
    interval_ms: Option<u64>,
    fall: Option<u64>,
    rise: Option<u64>,
}

const HAPROXY: &str = "haproxy";
const NATIVE: &str = "native";
const PORT: u16 = 8080;
const ALGORITHM: &str = "roundrobin";
const FALL: u64 = 2;
const RISE: u64 = 2;
/// A page may take its time at first.
const PAGE_PATIENCE: Duration = Duration::from_secs(10);

impl Layer for LbPool {
    const NAME: &'static str = "lb_pool";
    const DEFAULT_NAME: &'static str = "lb";
    const DOC: &'static str = "A load balancer in front of a layer: HAProxy, or the cloud's own.";
    const PROGRAMS: &'static [Program] = &[Program { name: "haproxy", package: "haproxy", units: &["haproxy"] }];
    const LEAVING: &'static str = "its clients are cut off";
    const ROLLOUT: Rollout = Rollout { at_once: AtOnce::One, ready_within: Duration::from_secs(10), started: "ready" };
    const FOUND: &'static [&'static str] = &["kind", "listener", "address", "url"];
    type Model = Model;

    fn fields() -> Vec<Field> {
        let path = || {
            Field::optional("path", Ty::String, "the page that is asked for; the backend's own if not set")
                .text(text::request_path)
        };
        let number = |name, doc| Field::optional(name, Ty::Number, doc);
        let interval = || number("interval_ms", "milliseconds between two checks").whole(text::INTERVALS_MS);
        let backend = vec![
            Field::required("name", Ty::String, "the name of the layer").text(text::name),
            Field::optional("id", Ty::String, "the id of the layer, whose firewall lets this one in")
                .text(text::layer_id),
            Field::optional("cloud", Ty::String, "the cloud of the layer"),
            Field::optional("public", Ty::Bool, "whether the layer is reached by its public addresses"),
            Field::required("machines", Ty::list(machine_ty()), "the machines that requests go to"),
            Field::object("health_check", "the layer's own health check", vec![path(), interval()]),
        ];
        let listener = vec![number("port", "the port").default(PORT).whole(1..=65535)];
        let times = 1..=10_000;
        let health_check = vec![
            path(),
            interval().default(HEALTH_INTERVAL_MS),
            number("fall", "failed checks in a row after which a server is down").default(FALL).whole(times.clone()),
            number("rise", "good checks in a row after which a server is up").default(RISE).whole(times),
        ];
        vec![
            Field::settled(
                "kind",
                Ty::String,
                "haproxy: machines of this layer; native: the cloud's own, an Application Load Balancer of AWS or Octavia's",
            )
            .default(HAPROXY)
            .one_of(&[HAPROXY, NATIVE])
            .change(Change::Replaces),
            Field::object("backend", "the layer that requests go to: a whole lamp_cluster", backend)
                .needed()
                .change(Change::Reloads),
            Field::settled(
                "algorithm",
                Ty::String,
                "how a server is chosen: roundrobin, leastconn, first, random, source or static-rr",
            )
            .default(ALGORITHM)
            .one_of(haproxy::ALGORITHMS)
            .change(Change::Reloads),
            Field::object("listener", "where clients come in: port", listener).change(Change::Reloads),
            Field::object(
                "health_check",
                "how to tell that a server is alive: path, interval_ms, fall, rise",
                health_check,
            )
            .change(Change::Reloads),
            Field::computed("address", Ty::String, "the address that clients come to"),
            Field::computed("url", Ty::String, "the URL that clients come to"),
            Field::computed("targets", Ty::set(Ty::String), "address:port of every server behind a native load balancer"),
        ]
    }

    fn validate(state: &State<Model>) -> Vec<Problem> {
        let Some(backend) = &state.own.backend else { return Vec::new() };
        let part = |name: &'static str| Path::attribute("backend").then(Step::Attribute(name.into()));
        let mut problems = Vec::new();
        problems.extend(text::required(state, backend.name.is_none(), &part("name")));
        problems.extend(text::required(state, backend.machines.is_none(), &part("machines")));
        problems.extend(text::peers(state, backend.machines.as_deref(), &part("machines")));
        problems
    }

    fn wanted(own: &Model) -> Option<u64> {
        Some(u64::from(!native::is_native(own)))
    }

    fn port(own: &Model) -> u16 {
        own.listener.as_ref().and_then(|listener| listener.port).unwrap_or(PORT)
    }

    fn port_at() -> Path {
        Path::attribute("listener")
    }

    fn probes(_: &Model, _: u16) -> Vec<Probe> {
        // One loop serves all: where it turns, an answer takes milliseconds.
        let patience = Duration::from_secs(6);
        let line = |socket, line| Probe { service: "haproxy", question: Question::Line { socket, line }, patience };
        vec![line(MASTER_SOCKET, "show proc"), line(ADMIN_SOCKET, "show info")]
    }

    fn door(_: &Model) -> Door {
        Door::World
    }

    fn references(own: &Model) -> Vec<Reference> {
        let backend = own.backend.as_ref();
        vec![Reference {
            at: "backend",
            id: backend.and_then(|it| it.id.clone()),
            cloud: backend.and_then(|it| it.cloud.clone()),
            is_public: backend.and_then(|it| it.public).unwrap_or(false),
            port: backend.and_then(|it| it.machines.as_ref()?.first()?.port),
        }]
    }

    fn is_managed(own: &Model) -> bool {
        native::is_native(own)
    }

    fn plan(context: &Context, planned: &mut State<Model>, _: Option<&State<Model>>) -> Result<(), Vec<Problem>> {
        if native::is_native(&planned.own) {
            return native::plan(context, planned);
        }
        planned.own.targets = Some(BTreeSet::new());
        Ok(())
    }

    fn computed(state: &mut State<Model>, _: Option<&State<Model>>) {
        if !native::is_native(&state.own) {
            fill_addresses(state);
        }
    }

    fn summary(_: &Context, planned: &State<Model>) -> String {
        let own = &planned.own;
        let backend = own.backend.as_ref().and_then(|backend| backend.name.as_deref()).unwrap_or("?");
        let algorithm = match own.algorithm.as_deref() {
            Some("roundrobin") | None => "round robin",
            Some(algorithm) => algorithm,
        };
        let kind = if native::is_native(own) { "the cloud's own, " } else { "" };
        format!("{kind}{algorithm} over {backend}, health check GET {}", check(own).path)
    }

    fn bundles(context: &Context, state: &State<Model>) -> Result<Vec<Bundle>, Vec<Problem>> {
        let driver = state.group.driver(context)?;
        let own = &state.own;
        let servers = own.backend.as_ref().and_then(|backend| backend.machines.as_ref());
        let machines = state.group.machines().iter();
        Ok(machines
            .map(|machine| {
                let balancer = balancer(own, machine);
                let mut bundle = haproxy::render(&balancer, &driver.layout(&state.group.key(machine.id)));
                bundle.has_unknowns |= servers.is_none();
                bundle
            })
            .collect())
    }

    async fn prepare(context: &Context, state: &mut State<Model>) -> Result<(), Vec<Problem>> {
        if native::is_native(&state.own) {
            Ok(())
        } else {
            pages_answer(context, &state.own).await.map_err(|it| vec![it])
        }
    }

    /// What an earlier life knew of the servers is old.
    async fn before_start(node: &Node<LbPool>) -> Result<(), Problem> {
        reload::forget_state(node).await
    }

    async fn take_up(node: &Node<LbPool>, _: &[Service]) -> Result<(), Problem> {
        let sending = Sending::of(&balancer(node.own(), &node.machine));
        reload::reload(node, Some(&sending)).await
    }

    async fn ready(node: &Node<LbPool>, _: Began) -> Result<(), Problem> {
        // Any answer will do: without a healthy server it is 503, and that is for the backend to mend.
        let answered = node.until_answered(node.machine.port, "/", LbPool::ROLLOUT.ready_within, |_| true).await;
        if let Err(unanswered) = answered {
            let detail = format!("On {} {}.", node.machine.name, unanswered.text());
            return Err(Problem::error("a machine is not healthy", detail));
        }
        reload::sends(node, &balancer(node.own(), &node.machine)).await
    }

    async fn join(
        context: &Context,
        _: Option<&State<Model>>,
        state: &mut State<Model>,
        _: &[MachineModel],
    ) -> Result<(), Vec<Problem>> {
        if native::is_native(&state.own) { native::apply(context, state).await } else { Ok(()) }
    }

    async fn imported(context: &Context, group: &Group) -> Result<Model, Vec<Problem>> {
        let kind = if group.machines().is_empty() { NATIVE } else { HAPROXY };
        let port = fleet::number_after(context, group, "etc/haproxy.cfg", "bind").await?;
        Ok(Model {
            kind: Some(kind.to_owned()),
            backend: None,
            algorithm: None,
            listener: port.map(|port| Listener { port: Some(port) }),
            health_check: None,
            address: group.machines().first().and_then(|machine| machine.address.clone()),
            url: None,
            targets: None,
        })
    }

    async fn read(context: &Context, state: &mut State<Model>) -> Vec<Problem> {
        if native::is_native(&state.own) {
            return native::read(context, state).await;
        }
        let Ok(driver) = state.group.driver(context).cloned() else { return Vec::new() };
        let group = &state.group;
        let mut astray = Vec::new();
        for machine in group.machines().iter().filter(|machine| machine.is_up()) {
            let table = driver.ask(&group.key(machine.id), ADMIN_SOCKET, SHOW_STAT).await;
            let sending = Sending::of(&balancer(&state.own, machine));
            if table.is_ok_and(|table| !table.is_empty() && !sending.differences(&table).is_empty()) {
                astray.push(machine.id);
            }
        }
        for machine in state.group.machines.iter_mut().flatten().filter(|machine| astray.contains(&machine.id)) {
            "not sending to its servers".clone_into(&mut machine.status);
        }
        Vec::new()
    }
}

fn balancer<'m>(own: &'m Model, machine: &'m MachineModel) -> Balancer<'m> {
    let backend = own.backend.as_ref();
    let servers = backend.and_then(|backend| backend.machines.as_deref()).unwrap_or_default();
    Balancer {
        name: &machine.name,
        address: machine.address.as_deref(),
        port: machine.port,
        algorithm: own.algorithm.as_deref().unwrap_or("roundrobin"),
        pool: backend.and_then(|backend| backend.name.as_deref()).unwrap_or("pool"),
        check: check(own),
        servers: servers.iter().map(server).collect(),
    }
}

fn server(machine: &Peer) -> Server<'_> {
    Server { name: machine.name.as_deref(), address: machine.address.as_deref(), port: machine.port }
}

fn fill_addresses(state: &mut State<Model>) {
    let machine = state.group.machines().first();
    let address = machine.and_then(|machine| machine.address.clone());
    state.own.url =
        address.as_ref().zip(machine).map(|(address, machine)| format!("http://{address}:{}", machine.port));
    state.own.address = address;
}

/// The check as written, else as the backend says, else the defaults.
fn check(own: &Model) -> haproxy::HealthCheck<'_> {
    let written = own.health_check.as_ref();
    let backend = own.backend.as_ref().and_then(|backend| backend.health_check.as_ref());
    let path = written.and_then(|check| check.path.as_deref()).or(backend.and_then(|check| check.path.as_deref()));
    let interval = written.and_then(|check| check.interval_ms).or(backend.and_then(|check| check.interval_ms));
    haproxy::HealthCheck {
        path: path.unwrap_or(HEALTH_PATH),
        interval_ms: interval.unwrap_or(HEALTH_INTERVAL_MS),
        fall: written.and_then(|check| check.fall).unwrap_or(FALL),
        rise: written.and_then(|check| check.rise).unwrap_or(RISE),
    }
}

/// Makes sure that servers have the page which the balancer is about to ask them for: without it all of them would count
/// as leaving at once. One that does not answer at all is dead already, or nobody that this program reaches.
async fn pages_answer(context: &Context, own: &Model) -> Result<(), Problem> {
    let Some(backend) = &own.backend else { return Ok(()) };
    let (Some(id), Some(cloud)) = (&backend.id, &backend.cloud) else { return Ok(()) };
    let Ok(driver) = context.cloud(cloud) else { return Ok(()) };
    let path = check(own).path;
    let deadline = Instant::now() + PAGE_PATIENCE;
    for peer in backend.machines.iter().flatten() {
        let (Some(machine), Some(port)) = (peer.id, peer.port) else { continue };
        let key = MachineKey { layer: LayerId::of_id(id), id: machine };
        while let Some((status, _)) = driver.probe(&key, port, path).await.filter(|(status, _)| *status != 200) {
            if Instant::now() > deadline {
                let detail = format!(
                    "{} answers {status} to GET {path}, and not 200. With this health check no request would reach it, so nothing was changed. Have the page in the application, or name one that is.",
                    key.name()
                );
                let at = Path::attribute("health_check").then(Step::Attribute("path".into()));
                return Err(Problem::error("a health check that fails", detail).at(at));
            }
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(())
}
