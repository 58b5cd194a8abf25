//! The whole life of a layer, on the fake cloud and on this machine.

mod dummy;

use std::sync::{Mutex, PoisonError};

use value::{Problem, Value};

use crate::bundle::InForce;
use crate::context::Context;
use crate::driver::{LayerId, MachineKey};
use crate::resource::{AnyResource, PlanRequest};
use crate::service::Service;
use dummy::Dummy;

/// What has happened to machines, in order.
static HAPPENED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What a host does, for one resource.
struct Host {
    context: Context,
    state: Value,
    memory_gb: i64,
    public: bool,
}

impl Host {
    fn new(cloud: Value) -> Host {
        let service = Service::new();
        let config = Value::object([
            ("scope", Value::string("t")),
            ("default_cloud", Value::string("c")),
            ("bundle_dir", Value::string(std::env::temp_dir().join("lampwright-fleet").display().to_string())),
            ("cloud", Value::object([("c", cloud)])),
        ]);
        assert!(service.configure(&config).is_empty());
        let state = Value::Null(Dummy.schema().block.implied_ty());
        Host { context: service.context(Some("dummy.it")).unwrap(), state, memory_gb: 1, public: false }
    }

    fn configured(&self, nodes: u64, text: &str) -> (Value, Value) {
        let block = Dummy.schema().block;
        let set = |name: &str| match name {
            "nodes" => Some(Value::from(nodes as i64)),
            "text" => Some(Value::string(text)),
            "memory_gb" => Some(Value::from(self.memory_gb)),
            "public" => Some(Value::from(self.public)),
            _ => None,
        };
        let config = block
            .attributes
            .iter()
            .map(|(name, attribute)| (name.clone(), set(name).unwrap_or_else(|| Value::Null(attribute.implied_ty()))));
        let config = Value::object(config);
        let proposed = block.attributes.iter().map(|(name, attribute)| {
            let before = self.state.get(name).filter(|_| attribute.computed).cloned();
            let unset = || {
                if attribute.computed {
                    Value::unknown(attribute.implied_ty())
                } else {
                    Value::Null(attribute.implied_ty())
                }
            };
            (name.clone(), set(name).or(before).unwrap_or_else(unset))
        });
        (config, Value::object(proposed))
    }

    /// Looks, plans and applies; returns whether something was planned, and what has happened.
    async fn apply(&mut self, nodes: u64, text: &str) -> (bool, Vec<String>, Vec<Problem>) {
        HAPPENED.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if !self.state.is_null() {
            self.state = Dummy.read(&self.context, &self.state).await.0;
        }
        let (config, proposed) = self.configured(nodes, text);
        let request = PlanRequest {
            prior: &self.state,
            proposed: &proposed,
            config: &config,
            prior_private: &[],
            address: Some("dummy.it"),
            is_final: true,
        };
        let plan = Dummy.plan(&self.context, &request).await;
        assert!(plan.problems.is_empty(), "{:?}", plan.problems);
        if plan.planned == self.state {
            return (false, Vec::new(), Vec::new());
        }
        let (state, problems) = Dummy.apply(&self.context, &self.state, &plan.planned, &plan.preview).await;
        self.state = state;
        let happened = HAPPENED.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (true, happened, problems)
    }

    /// As above; everything has to succeed, and there is nothing to do afterwards.
    async fn settle(&mut self, nodes: u64, text: &str) -> Vec<String> {
        let (_, happened, problems) = self.apply(nodes, text).await;
        assert!(problems.is_empty(), "{problems:?}");
        let (is_changed, _, _) = self.apply(nodes, text).await;
        assert!(!is_changed);
        happened
    }

    fn machines(&self) -> Vec<String> {
        let machines = self.state.get("machines").and_then(Value::as_items).unwrap_or_default();
        let text =
            |machine: &Value, name: &str| machine.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        machines.iter().map(|machine| format!("{} {}", text(machine, "name"), text(machine, "status"))).collect()
    }

    fn addresses(&self) -> Vec<String> {
        let machines = self.state.get("machines").and_then(Value::as_items).unwrap_or_default();
        let address = |machine: &Value| machine.get("address").and_then(Value::as_str).unwrap_or_default().to_owned();
        machines.iter().map(address).collect()
    }

    async fn served(&self, id: u64) -> String {
        let driver = self.context.cloud("c").unwrap();
        let key = MachineKey { layer: LayerId::of_id("t/it"), id };
        let found = driver.read(&key, "htdocs/index.html").await.unwrap().unwrap();
        let in_force = driver.read(&key, "run/loaded").await.unwrap().unwrap();
        let in_force: InForce = serde_json::from_slice(&in_force).unwrap();
        assert!(in_force.services.contains_key("server"));
        String::from_utf8(found).unwrap()
    }
}

async fn lives_on(cloud: Value) {
    let mut host = Host::new(cloud);
    // Made, and scaled: nobody who runs is touched.
    assert_eq!(host.settle(2, "one").await, Vec::<String>::new());
    assert_eq!(host.machines(), ["it-1 running", "it-2 running"]);
    assert_eq!(host.settle(4, "one").await, Vec::<String>::new());
    // Rolled, two of four at a time: the next ones leave when these are back.
    let mut happened = host.settle(4, "two").await;
    happened[..4].sort();
    happened[4..].sort();
    let steps = |id: u64| [format!("it-{id} is back"), format!("it-{id} leaves until Changed")];
    assert_eq!(happened, [1, 2, 3, 4].map(steps).concat());
    assert_eq!(host.served(3).await, "two");
    // Resized, where machines have sizes: as a rollout, and each is who it was.
    let driver = host.context.cloud("c").unwrap().clone();
    let sizes = || (1..=4).map(|id| driver.size(&MachineKey { layer: LayerId::of_id("t/it"), id })).collect::<Vec<_>>();
    host.memory_gb = 4;
    let mut happened = host.settle(4, "two").await;
    if sizes()[0].is_some() {
        happened[..4].sort();
        happened[4..].sort();
        assert_eq!(happened, [1, 2, 3, 4].map(steps).concat());
        assert_eq!(sizes(), [(); 4].map(|()| Some("m4".to_owned())));
        // One that somebody has resized by hand gets back what it shall have.
        driver.resize(&MachineKey { layer: LayerId::of_id("t/it"), id: 2 }, "m1").await.unwrap();
        host.settle(4, "two").await;
        assert_eq!(sizes(), [(); 4].map(|()| Some("m4".to_owned())));
    } else {
        assert_eq!(happened, Vec::<String>::new());
    }
    assert_eq!(host.machines(), ["it-1 running", "it-2 running", "it-3 running", "it-4 running"]);
    // Repaired: what does not run is started, and the others are left alone.
    let key = MachineKey { layer: LayerId::of_id("t/it"), id: 2 };
    let bundle = Dummy.bundle(&host.context, &host.configured(1, "two").0).unwrap();
    driver.stop(&key, &bundle.services).await.unwrap();
    host.state = Dummy.read(&host.context, &host.state).await.0;
    assert_eq!(host.machines()[1], "it-2 stopped");
    assert_eq!(host.settle(4, "two").await, Vec::<String>::new());
    // Drained, and removed: the highest ids first; an id is never used again.
    let mut left = host.settle(2, "two").await;
    left.sort();
    assert_eq!(left, ["it-3 leaves until Removed", "it-4 leaves until Removed"]);
    host.settle(3, "two").await;
    assert_eq!(host.machines(), ["it-1 running", "it-2 running", "it-5 running"]);
    let null = Value::Null(Dummy.schema().block.implied_ty());
    let (gone, problems) = Dummy.apply(&host.context, &host.state, &null, &[]).await;
    assert!(gone.is_null() && problems.is_empty(), "{problems:?}");
    assert!(driver.list(&LayerId::of_id("t/it")).await.unwrap().is_empty());
}

/// Machines whose addresses may change are the ones that there were, also when the change does not succeed.
#[tokio::test]
async fn machines_with_public_addresses_get_another_size() {
    let mut host = Host::new(Value::object([("driver", Value::string("memory"))]));
    host.public = true;
    host.settle(2, "one").await;
    let before = host.addresses();
    host.memory_gb = 13;
    let (_, _, problems) = host.apply(2, "one").await;
    assert!(!problems.is_empty());
    assert_eq!(host.addresses(), before);
    host.state = Dummy.read(&host.context, &host.state).await.0;
    assert_eq!(host.machines(), ["it-1 unfinished", "it-2 of another size"]);
    host.memory_gb = 4;
    host.settle(2, "one").await;
    assert_eq!(host.machines(), ["it-1 running", "it-2 running"]);
    assert_eq!(before, ["198.51.100.1", "198.51.100.2"]);
    assert_eq!(host.addresses(), ["198.51.100.101", "198.51.100.102"]);
}

/// Nobody leaves for files that cannot be written; those that have room go on.
#[tokio::test]
async fn a_machine_without_room_serves_on_as_it_is() {
    let mut host = Host::new(Value::object([("driver", Value::string("memory"))]));
    host.settle(4, "one").await;
    let key = MachineKey { layer: LayerId::of_id("t/it"), id: 3 };
    let driver = host.context.cloud("c").unwrap().clone();
    driver.write(&key, "log/access.log", &vec![b'x'; 1 << 20]).await.unwrap();
    let (_, happened, problems) = host.apply(4, "two").await;
    assert!(problems.iter().any(|problem| problem.summary == "the disk is full"), "{problems:?}");
    assert!(!happened.contains(&"it-3 leaves until Changed".to_owned()), "{happened:?}");
    assert_eq!(host.served(3).await, "one");
    driver.remove(&key, "log/access.log").await.unwrap();
    assert!(host.settle(4, "two").await.contains(&"it-3 leaves until Changed".to_owned()));
    assert_eq!(host.served(3).await, "two");
}

#[tokio::test]
async fn a_layer_lives() {
    lives_on(Value::object([("driver", Value::string("memory"))])).await;
    let folder = tempfile::Builder::new().prefix("lw").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let root = folder.path().join("m").display().to_string();
    let settings =
        Value::map(value::Ty::String, [("root", Value::string(root)), ("network", Value::string("127.66.0.0/24"))]);
    lives_on(Value::object([("driver", Value::string("local")), ("settings", settings)])).await;
}
