//! Machines that a cloud's API makes, cloud-init boots and SSH works on: all that clouds have in common. What differs
//! is a [`cloud::Cloud`].
//!
//! Failures: a run that is cut off leaves machines that carry their layer and id as tags; the next `create` of the
//! same ids takes them over. A machine that cannot be reached counts as failed, never as gone. A new configuration is
//! checked as a copy on the machine before anything live is touched.

mod bake;
pub(crate) mod cloud;
mod keys;
mod launch;
#[cfg(test)]
mod on_machine;
mod settings;
mod shell;
mod ssh;
mod user_data;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::Settings;
use crate::bundle::{Bundle, CHECKED, Layout, Manifest, Service, Signal, WATCHED};
use crate::driver::{
    Admitted, Balancers, BoxFuture, Created, Disks, Drift, DriftKind, Driver, DriverError, Firewall, Found, Ingress,
    Kept, LayerId, Machine, MachineKey, Need, Offer, Order, Result, Shell, Source, Status, Tail, Tell,
};
use crate::locks::Locks;
use cloud::{Cloud, Instance, Power};
use keys::Keys;
use settings::{SSH_PORT, jump, ssh_from};
use ssh::{Sessions, Target};

pub(crate) use settings::SETTINGS;

pub(super) const ROOT: &str = "/var/lib/lampwright/machine";
const SCRIPT: &str = concat!(include_str!("remote/beneath.py"), include_str!("remote/machine.py"));
/// For the status of a machine: a plan looks at all machines at once, and must not wait for one that hangs.
const LOOK_PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Remote {
    cloud: Arc<dyn Cloud>,
    keys: Keys,
    sessions: Arc<Sessions>,
    connect_private: Option<bool>,
    egress: Option<String>,
    ssh_from: Source,
    /// As last seen; a machine's addresses do not change while a command runs.
    seen: Mutex<BTreeMap<MachineKey, Instance>>,
    /// As last seen.
    twins: Mutex<Vec<Instance>>,
    /// Images, by name.
    baking: Locks,
}

impl Remote {
    pub(crate) fn new(cloud: Arc<dyn Cloud>, settings: &Settings) -> Result<Remote> {
        let connect_private = match settings.get("connect").map(String::as_str) {
            None => None,
            Some("private") => Some(true),
            Some("public") => Some(false),
            Some(other) => {
                let reason = format!("{other:?} is neither private nor public");
                return Err(DriverError::Setting { name: "connect".to_owned(), reason });
            }
        };
        let path = settings.get("ssh_key").map_or_else(|| PathBuf::from(".lampwright/ssh_key"), PathBuf::from);
        let keys = Keys::open(&path)?;
        let jump = settings.get("jump").map(|text| jump(text)).transpose()?;
        let sessions = Arc::new(Sessions::new(keys.client().clone(), jump));
        Ok(Remote {
            cloud,
            keys,
            sessions,
            connect_private,
            egress: super::network(settings, "egress")?,
            ssh_from: ssh_from(settings)?,
            seen: Mutex::default(),
            twins: Mutex::default(),
            baking: Locks::default(),
        })
    }

    /// One for each key. Those that have the key of another one are noted: an order whose answer was lost may be done
    /// long after it was given up and given anew.
    async fn instances(&self, layer: &LayerId) -> Result<Vec<Instance>> {
        let mut instances = self.cloud.instances(layer).await?;
        // Of two the one that has the disk is meant, then the older.
        let rank = |one: &Instance| (one.key.id, !(one.disk && one.has_its_disk), one.created.clone(), one.id.clone());
        instances.sort_by_cached_key(rank);
        for instance in &mut instances {
            let owner = instance.owner.take().unwrap_or_default();
            let (owner, key) = owner.rsplit_once('.').unwrap_or((&owner, ""));
            instance.is_foreign = key != self.keys.id();
            instance.owner = Some(owner.to_owned());
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|key, _| key.layer != *layer);
        let mut twins = self.twins.lock().unwrap_or_else(PoisonError::into_inner);
        twins.retain(|twin| twin.key.layer != *layer);
        let mut own: Vec<Instance> = Vec::new();
        for instance in instances {
            match own.last() {
                Some(last) if last.key == instance.key => twins.push(instance),
                _ => own.push(instance),
            }
        }
        seen.extend(own.iter().map(|instance| (instance.key.clone(), instance.clone())));
        Ok(own)
    }

    async fn instance(&self, key: &MachineKey) -> Result<Instance> {
        let known = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some(instance) = known.filter(|instance| instance.address.is_some()) {
            return Ok(instance);
        }
        let found = self.instances(&key.layer).await?.into_iter().find(|instance| instance.key == *key);
        found.ok_or_else(|| DriverError::NoSuchMachine(key.name()))
    }

    async fn target(&self, key: &MachineKey) -> Result<Target> {
        let instance = self.instance(key).await?;
        self.target_of(&instance)
            .ok_or_else(|| DriverError::Boot { machine: key.name(), reason: "it has no address yet".to_owned() })
    }

    fn target_of(&self, instance: &Instance) -> Option<Target> {
        let (private, public) = (instance.address, instance.public_address);
        let address = match self.connect_private {
            Some(true) => private,
            Some(false) => public,
            None => public.or(private),
        };
        let Instance { key, batch, .. } = instance;
        Some(Target {
            name: key.name(),
            address: SocketAddr::new(address?, SSH_PORT),
            keys: vec![self.keys.machine(&key.layer, key.id).public(), self.keys.batch(&key.layer, *batch).public()],
        })
    }

    /// One operation of `machine.py`.
    async fn call<T: DeserializeOwned>(&self, key: &MachineKey, op: &str, head: Json) -> Result<T> {
        let target = self.target(key).await?;
        self.call_at(&target, key, op, head).await
    }

    async fn call_at<T: DeserializeOwned>(&self, target: &Target, key: &MachineKey, op: &str, head: Json) -> Result<T> {
        let started = Instant::now();
        let mut conversation = self.begin(target, op, &head).await?;
        conversation.end().await?;
        let answer = answer(target, key, &conversation.line().await?);
        tracing::debug!(machine = %target.name, op, ms = started.elapsed().as_millis() as u64, ok = answer.is_ok(), "ssh: done");
        answer
    }

    async fn begin(&self, target: &Target, op: &str, head: &Json) -> Result<ssh::Conversation> {
        // The script comes first on standard input, as long as its first argument says; the rest is its input.
        let loader = "import sys; exec(compile(sys.stdin.buffer.read(int(sys.argv[1])), 'lampwright', 'exec'))";
        let mut conversation =
            self.sessions.run(target, &format!("python3 -c \"{loader}\" {} {op}", SCRIPT.len())).await?;
        conversation.say(SCRIPT.as_bytes()).await?;
        conversation.say(format!("{head}\n").as_bytes()).await?;
        Ok(conversation)
    }

    /// What the machine says of itself; one that cannot be reached is not well.
    async fn look(&self, instance: &Instance) -> Status {
        let has_twin = |twin: &Instance| twin.key == instance.key;
        let is_doubled = self.twins.lock().unwrap_or_else(PoisonError::into_inner).iter().any(has_twin);
        let failed = |reason: &str| Status::Failed(reason.to_owned());
        if instance.power != Power::Running {
            return failed("it is switched off");
        }
        if !instance.has_its_disk {
            return failed("its data disk is not attached");
        }
        if is_doubled {
            return failed("there are two of it");
        }
        let Some(target) = self.target_of(instance) else { return failed("it has no address") };
        let call = self.call_at::<(String, String)>(&target, &instance.key, "status", json!({}));
        let (word, detail) = match tokio::time::timeout(LOOK_PATIENCE, call).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => {
                tracing::warn!("{}", error.explain());
                return Status::Failed(error.explain());
            }
            Err(_) => return failed(&format!("no answer by SSH within {} s", LOOK_PATIENCE.as_secs())),
        };
        match word.as_str() {
            "running" => Status::Running,
            "created" => Status::Created,
            "changed" => Status::Changed,
            "full" => Status::Full(detail),
            "stopped" => Status::Stopped(detail.split(' ').map(str::to_owned).collect()),
            "hung" => {
                let (service, seen) = detail.split_once(": ").unwrap_or(("", &detail));
                Status::Hung { service: service.to_owned(), seen: seen.to_owned() }
            }
            other => Status::Failed(format!("it says that it is {other}")),
        }
    }
}

/// A file as `machine.py` tells of it.
#[derive(Debug, Deserialize)]
struct DriftSeen {
    path: String,
    kind: String,
    content: Option<String>,
    mode: Option<u32>,
}

impl DriftSeen {
    fn decoded(self) -> Option<Drift> {
        let kind = match self.kind.as_str() {
            "content" => DriftKind::Content,
            "mode" => DriftKind::Mode,
            "owner" => DriftKind::Owner,
            "added" => DriftKind::Added,
            "removed" => DriftKind::Removed,
            "replaced" => DriftKind::Replaced,
            _ => return None,
        };
        let content = self.content.and_then(|content| BASE64_STANDARD.decode(content).ok());
        let found = content.zip(self.mode).map(|(content, mode)| Found { content, mode });
        Some(Drift { path: self.path, kind, found })
    }
}

/// One that has no address (it could not be made, or is just being made) is there all the same, to be removed.
fn seen(instance: &Instance, status: Status) -> Machine {
    Machine {
        key: instance.key.clone(),
        address: instance.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        public_address: instance.public_address,
        status,
        owner: instance.owner.clone(),
        is_foreign: instance.is_foreign,
        size: instance.size.clone(),
    }
}

fn answer<T: DeserializeOwned>(target: &Target, key: &MachineKey, line: &str) -> Result<T> {
    let unexpected = || {
        ssh::failed(target, &format!("an answer that nobody expected: {}", line.chars().take(200).collect::<String>()))
    };
    let answer: Json = serde_json::from_str(line).map_err(|_| unexpected())?;
    if let Some(ok) = answer.get("ok") {
        return serde_json::from_value(ok.clone()).map_err(|_| unexpected());
    }
    let detail = answer.get("detail").cloned().unwrap_or_default();
    let text = |name: &str| detail.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let plain = detail.as_str().unwrap_or_default().to_owned();
    Err(match answer.get("error").and_then(Json::as_str).unwrap_or_default() {
        "check" => DriverError::Check { service: text("service"), machine: key.name(), output: text("output") },
        "start" => DriverError::Start { service: text("service"), machine: key.name(), log: text("log") },
        "missing-program" => {
            let cure = format!("use an image that has it; it is missing on {}", key.name());
            DriverError::MissingProgram { program: plain, cure }
        }
        // It was reached: a disk that is full is not a network that fails.
        _ => DriverError::Machine { machine: key.name(), reason: plain },
    })
}

fn service_json(service: &Service) -> Json {
    json!({
        "name": service.name, "program": service.program, "args": service.args, "check": service.check,
        "config": service.config, "stop": signal_name(service.stop), "pid_file": service.pid_file, "logs": service.logs,
    })
}

fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Usr1 => "SIGUSR1",
        Signal::Usr2 => "SIGUSR2",
        Signal::Winch => "SIGWINCH",
        Signal::Quit => "SIGQUIT",
        Signal::Term => "SIGTERM",
    }
}

/// The files that the machine asked for, as a tar archive.
fn archive(bundle: &Bundle, names: &[String]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for name in names {
        let Some(file) = bundle.files.get(name) else { continue };
        let mut header = tar::Header::new_gnu();
        header.set_size(file.content.len() as u64);
        header.set_mode(file.mode);
        header.set_cksum();
        archive.append_data(&mut header, name, &*file.content)?;
    }
    archive.into_inner()
}

impl Driver for Remote {
    fn layout(&self, _: &MachineKey) -> Layout {
        Layout { root: PathBuf::from(ROOT), has_firewall: true, is_shared: false }
    }

    fn firewall(&self) -> Option<&dyn Firewall> {
        Some(self)
    }

    fn balancers(&self) -> Option<&dyn Balancers> {
        self.cloud.balancers()
    }

    fn egress(&self) -> Option<String> {
        self.egress.clone()
    }

    fn network(&self) -> Option<String> {
        self.cloud.network()
    }

    fn offer<'a>(&'a self, need: &'a Need) -> BoxFuture<'a, Result<Offer>> {
        if bake::is_baked(need) { Box::pin(self.baked_offer(need)) } else { self.cloud.offer(need) }
    }

    fn create<'a>(&'a self, order: &'a Order, tell: Tell<'a>) -> BoxFuture<'a, Created> {
        Box::pin(self.make(order, tell))
    }

    fn list<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Machine>>> {
        Box::pin(async move {
            let instances = self.instances(layer).await?;
            let looks = instances.iter().map(|instance| self.look(instance));
            let statuses = futures_util::future::join_all(looks).await;
            Ok(instances.iter().zip(statuses).map(|(instance, status)| seen(instance, status)).collect())
        })
    }

    fn status<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<Status>> {
        Box::pin(async move { Ok(self.look(&self.instance(key).await?).await) })
    }

    fn shell<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<Shell>> {
        Box::pin(async move {
            let target = self.target(key).await?;
            shell::command(key, &target, self.keys.path(), self.sessions.jump()).map(Shell::Command)
        })
    }

    fn installed<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<Option<Manifest>>> {
        Box::pin(self.call(key, "installed", json!({})))
    }

    fn drift<'a>(&'a self, key: &'a MachineKey) -> BoxFuture<'a, Result<Vec<Drift>>> {
        Box::pin(async move {
            let found: Vec<DriftSeen> = self.call(key, "drift", json!({})).await?;
            Ok(found.into_iter().filter_map(DriftSeen::decoded).collect())
        })
    }

    fn await_boot<'a>(&'a self, key: &'a MachineKey, tell: Tell<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.booted(key, tell))
    }

    fn size(&self, key: &MachineKey) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(key)?.size.clone()
    }

    fn keeps_public_addresses(&self) -> bool {
        self.cloud.keeps_public_addresses()
    }

    fn resize<'a>(&'a self, key: &'a MachineKey, size: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.give_size(key, size))
    }

    fn delete<'a>(&'a self, keys: &'a [MachineKey], disks: &'a Disks) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Some(first) = keys.first() else { return Ok(()) };
            let mut instances = self.instances(&first.layer).await?;
            instances.retain(|instance| keys.contains(&instance.key));
            let twins = self.twins.lock().unwrap_or_else(PoisonError::into_inner).clone();
            instances.extend(twins.into_iter().filter(|twin| keys.contains(&twin.key) && !twin.is_foreign));
            if instances.is_empty() {
                return Ok(());
            }
            self.cloud.terminate(&instances, disks).await?;
            for instance in &instances {
                self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&instance.key);
                if let Some(target) = self.target_of(instance) {
                    self.sessions.forget(&target);
                }
            }
            Ok(())
        })
    }

    fn mend<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.give_back(order))
    }

    fn dissolve<'a>(&'a self, layer: &'a LayerId, disks: &'a Disks) -> BoxFuture<'a, Result<()>> {
        self.cloud.dissolve(layer, disks)
    }

    fn kept<'a>(&'a self, layer: &'a LayerId) -> BoxFuture<'a, Result<Vec<Kept>>> {
        self.cloud.kept(layer)
    }

    fn keeps_at(&self, layer: &LayerId) -> String {
        self.cloud.keeps_at(layer)
    }

    fn install<'a>(&'a self, key: &'a MachineKey, bundle: &'a Bundle) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let target = self.target(key).await?;
            // The machine keeps the services beside the files, to tell later whether all is well.
            let services: Vec<Json> = bundle.services.iter().map(service_json).collect();
            let mut manifest = json!(Manifest::of(bundle));
            manifest["services"] = json!(services);
            manifest["watched"] = json!(WATCHED);
            let head =
                json!({ "manifest": manifest, "folders": bundle.folders, "services": services, "checked": CHECKED });
            let mut conversation = self.begin(&target, "install", &head).await?;
            let asked = conversation.line().await?;
            let wanted = serde_json::from_str::<Json>(&asked).ok();
            let wanted =
                wanted.and_then(|asked| serde_json::from_value::<Vec<String>>(asked.get("send")?.clone()).ok());
            let Some(wanted) = wanted else { return answer(&target, key, &asked) };
            let io = |source| DriverError::Io { what: "packing the files", path: key.name(), source };
            conversation.say(&archive(bundle, &wanted).map_err(io)?).await?;
            conversation.end().await?;
            answer(&target, key, &conversation.line().await?)
        })
    }

    fn start<'a>(&'a self, key: &'a MachineKey, services: &'a [Service]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let services: Vec<Json> = services.iter().map(service_json).collect();
            self.call(key, "start", json!({ "services": services })).await
        })
    }

    /// A machine that cannot be reached has nothing that could be stopped politely.
    fn stop<'a>(&'a self, key: &'a MachineKey, services: &'a [Service]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let services: Vec<Json> = services.iter().map(service_json).collect();
            match self.call(key, "stop", json!({ "services": services })).await {
                Err(
                    DriverError::Ssh { .. }
                    | DriverError::Machine { .. }
                    | DriverError::Untrusted { .. }
                    | DriverError::NoSuchMachine(_),
                ) => Ok(()),
                other => other,
            }
        })
    }

    fn signal<'a>(&'a self, key: &'a MachineKey, service: &'a Service, signal: Signal) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let head = json!({ "service": service_json(service), "signal": signal_name(signal) });
            self.call(key, "signal", head).await
        })
    }

    fn ask<'a>(&'a self, key: &'a MachineKey, socket: &'a str, line: &'a str) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move { self.call(key, "ask", json!({ "socket": socket, "line": line })).await })
    }

    fn reach<'a>(&'a self, key: &'a MachineKey, port: u16) -> BoxFuture<'a, Result<SocketAddr>> {
        Box::pin(async move { self.sessions.forward(&self.target(key).await?, port).await })
    }

    fn probe<'a>(&'a self, key: &'a MachineKey, port: u16, path: &'a str) -> BoxFuture<'a, Option<(u16, String)>> {
        Box::pin(async move { self.call(key, "probe", json!({ "port": port, "path": path })).await.ok().flatten() })
    }

    fn read<'a>(&'a self, key: &'a MachineKey, path: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            let content: Option<String> = self.call(key, "read", json!({ "path": path })).await?;
            Ok(content.and_then(|content| BASE64_STANDARD.decode(content).ok()))
        })
    }

    fn tail<'a>(
        &'a self,
        key: &'a MachineKey,
        path: &'a str,
        from: Option<u64>,
        limit: u64,
    ) -> BoxFuture<'a, Result<Option<Tail>>> {
        Box::pin(async move {
            let head = json!({ "path": path, "from": from, "limit": limit });
            let part: Option<(String, u64)> = self.call(key, "tail", head).await?;
            Ok(part.and_then(|(content, end)| Some((BASE64_STANDARD.decode(content).ok()?, end))))
        })
    }

    fn write<'a>(&'a self, key: &'a MachineKey, path: &'a str, content: &'a [u8]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let head = json!({ "path": path, "content": BASE64_STANDARD.encode(content) });
            self.call(key, "write", head).await
        })
    }

    fn remove<'a>(&'a self, key: &'a MachineKey, path: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.call(key, "remove", json!({ "path": path })).await })
    }
}

impl Firewall for Remote {
    fn management(&self) -> Vec<Ingress> {
        vec![Ingress { source: self.ssh_from.clone(), port: SSH_PORT }]
    }

    fn admit<'a>(&'a self, to: &'a LayerId, by: &'a str, rules: &'a [Ingress]) -> BoxFuture<'a, Result<()>> {
        self.cloud.admit(to, by, rules)
    }

    fn admitted<'a>(&'a self, to: &'a LayerId) -> BoxFuture<'a, Result<Vec<Admitted>>> {
        self.cloud.admitted(to)
    }

    fn expel_unknown<'a>(&'a self, to: &'a LayerId) -> BoxFuture<'a, Result<()>> {
        self.cloud.expel_unknown(to)
    }
}
