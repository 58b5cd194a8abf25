//! What every driver must do alike. A new driver adds itself to [`drivers`] by being in the list of drivers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Settings, all};
use crate::bundle::{Bundle, CHECKED, Manifest, Program, Service, Signal, TakesUp};
use crate::driver::{Disks, Driver, DriverError, Ingress, LayerId, Machine, MachineKey, Need, Order, Source, Status};

/// Every driver, ready for use, with what must be kept alive meanwhile.
///
/// Those that need a test bed take part when LAMPWRIGHT_CONFORMANCE names them (`make test-clouds`); the others then
/// do not.
fn drivers() -> Vec<(&'static str, Arc<dyn Driver>, tempfile::TempDir)> {
    let named = std::env::var("LAMPWRIGHT_CONFORMANCE").unwrap_or_else(|_| "local,memory".to_owned());
    let named: Vec<&str> = named.split(',').collect();
    let chosen: Vec<_> = all().filter(|info| named.contains(&info.name)).collect();
    assert_eq!(chosen.len(), named.len(), "LAMPWRIGHT_CONFORMANCE names a driver that is not there: {named:?}");
    chosen
        .into_iter()
        .map(|info| {
            let folder = tempfile::Builder::new().prefix("lw").tempdir_in("/tmp").unwrap();
            // Daemons may run as nobody, who must be able to get there.
            std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            let mut settings = Settings::new();
            if info.name == "local" {
                settings.insert("root".to_owned(), folder.path().display().to_string());
                let third = std::process::id() % 60 * 4;
                settings.insert("network".to_owned(), format!("127.61.{third}.0/22"));
            }
            let ssh_key = folder.path().join("key").display().to_string();
            if info.name == "aws" {
                let endpoint = std::env::var("LAMPWRIGHT_TESTBED_AWS").expect("the test bed is up");
                let own = [
                    ("region", "eu-west-1"),
                    ("endpoint_url", &endpoint),
                    ("image_owners", "self"),
                    ("connect", "private"),
                    ("ssh_from", "0.0.0.0/0"),
                    ("ssh_key", &ssh_key),
                ];
                settings.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            if info.name == "openstack" {
                let own = [("network", "internal"), ("ssh_from", "0.0.0.0/0"), ("ssh_key", &ssh_key)];
                settings.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            (info.name, (info.connect)(&settings).unwrap(), folder)
        })
        .collect()
}

fn layer(name: &str) -> LayerId {
    // Of this test alone: clouds are shared by all.
    LayerId { scope: format!("test{}", std::process::id()), name: name.to_owned() }
}

fn key(layer_name: &str, id: u64) -> MachineKey {
    MachineKey { layer: layer(layer_name), id }
}

/// Nothing is left behind on a cloud that others use.
async fn clean(driver: &dyn Driver) {
    for name in ["web", "db"] {
        let machines = driver.list(&layer(name)).await.unwrap();
        let keys: Vec<MachineKey> = machines.into_iter().map(|machine| machine.key).collect();
        driver.delete(&keys, &Disks::Delete).await.unwrap();
        driver.dissolve(&layer(name), &Disks::Delete).await.unwrap();
        assert!(driver.list(&layer(name)).await.unwrap().is_empty());
        if let Some(firewall) = driver.firewall() {
            assert!(firewall.admitted(&layer(name)).await.unwrap().is_empty());
        }
    }
}

/// Makes one machine and waits until it can be worked on.
async fn make(driver: &dyn Driver, key: &MachineKey) -> Machine {
    let machine = make_all(driver, &key.layer, &[key.id]).await.remove(0);
    driver.await_boot(key, &|_| ()).await.unwrap();
    machine
}

async fn make_all(driver: &dyn Driver, layer: &LayerId, ids: &[u64]) -> Vec<Machine> {
    make_of(driver, layer, ids, "me", &[]).await
}

/// For an owner, with what is kept for others.
async fn make_of(driver: &dyn Driver, layer: &LayerId, ids: &[u64], owner: &str, takes_up: &[&str]) -> Vec<Machine> {
    let disk_gb = (layer.name == "db").then_some(1);
    let need = Need { programs: vec![Program { name: "sh", package: "dash", units: &[] }], disk_gb, ..Need::default() };
    let takes_up = takes_up.iter().map(|owner| (*owner).to_owned()).collect();
    let order = Order {
        layer: layer.clone(),
        ids: ids.to_vec(),
        owner: owner.to_owned(),
        takes: BTreeSet::new(),
        need,
        takes_up,
    };
    let created = driver.create(&order, &|_| ()).await;
    assert!(created.failure.is_none(), "{:?}", created.failure);
    if let Some(firewall) = driver.firewall() {
        firewall.admit(layer, &layer.to_string(), &firewall.management()).await.unwrap();
    }
    created.machines
}

/// A daemon that is on every machine: it writes its pid and sleeps.
fn sleeper(driver: &dyn Driver, key: &MachineKey) -> Bundle {
    let mut bundle = Bundle { folders: vec!["run".to_owned(), "log".to_owned()], ..Bundle::default() };
    let pid_file = driver.layout(key).path("run/sleeper.pid");
    bundle.add("etc/sleeper.sh", format!("echo $$ > {pid_file}\nexec sleep 600\n"));
    bundle.services = vec![Service {
        name: "sleeper",
        program: "sh",
        package: "dash",
        cure: None,
        args: vec![driver.layout(key).path("etc/sleeper.sh")],
        check: vec!["-n".to_owned(), CHECKED.to_owned()],
        config: "etc/sleeper.sh",
        reads: &[],
        takes_up: TakesUp::ByRestart,
        stop: Signal::Term,
        pid_file: "run/sleeper.pid",
        logs: &[],
    }];
    bundle
}

/// Between a plan and its apply another state may have made them.
#[tokio::test]
async fn a_machine_of_somebody_else_is_taken_only_if_that_was_agreed() {
    for (name, driver, _folder) in drivers() {
        make(&*driver, &key("web", 1)).await;
        let mut order = Order {
            layer: layer("web"),
            ids: vec![1],
            owner: "another".to_owned(),
            takes: BTreeSet::new(),
            need: Need::default(),
            takes_up: Vec::new(),
        };
        let failure = driver.create(&order, &|_| ()).await.failure;
        assert!(matches!(failure, Some(DriverError::Taken { .. })), "{name}: {failure:?}");
        let owner = || async { driver.list(&layer("web")).await.unwrap().remove(0).owner };
        assert_eq!(owner().await.as_deref(), Some("me"), "{name}");
        order.takes.insert("me".to_owned());
        let failure = driver.create(&order, &|_| ()).await.failure;
        assert!(failure.is_none(), "{name}: {failure:?}");
        assert_eq!(owner().await.as_deref(), Some("another"), "{name}");
        clean(&*driver).await;
    }
}

#[tokio::test]
async fn creating_twice_makes_one_machine() {
    for (name, driver, _folder) in drivers() {
        let first = make(&*driver, &key("web", 1)).await;
        let again = make(&*driver, &key("web", 1)).await;
        assert_eq!(first, again, "{name}");
        assert_eq!(first.status, Status::Created, "{name}");
        assert_eq!(driver.list(&layer("web")).await.unwrap(), [first], "{name}");
        clean(&*driver).await;
    }
}

#[tokio::test]
async fn machines_have_addresses_of_their_own_and_are_listed_by_layer() {
    for (name, driver, _folder) in drivers() {
        let mut addresses = Vec::new();
        for (layer_name, id) in [("web", 1), ("web", 10), ("db", 1)] {
            addresses.push(make_all(&*driver, &layer(layer_name), &[id]).await[0].address);
        }
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 3, "{name}");
        let ids: Vec<u64> = driver.list(&layer("web")).await.unwrap().iter().map(|machine| machine.key.id).collect();
        assert_eq!(ids, [1, 10], "{name}");
        assert!(driver.list(&layer("other")).await.unwrap().is_empty(), "{name}");
        clean(&*driver).await;
    }
}

#[tokio::test]
async fn deleting_is_final_and_may_be_repeated() {
    for (name, driver, _folder) in drivers() {
        let one = key("web", 1);
        make_all(&*driver, &one.layer, &[1, 10]).await;
        driver.delete(std::slice::from_ref(&one), &Disks::Delete).await.unwrap();
        driver.delete(std::slice::from_ref(&one), &Disks::Delete).await.unwrap();
        let left: Vec<u64> = driver.list(&layer("web")).await.unwrap().iter().map(|machine| machine.key.id).collect();
        assert_eq!(left, [10], "{name}");
        clean(&*driver).await;
    }
}

fn with_data(mut bundle: Bundle) -> Bundle {
    bundle.folders.push("data".to_owned());
    bundle
}

/// What a machine has in its folder `data`.
async fn note(driver: &dyn Driver, key: &MachineKey) -> Option<Vec<u8>> {
    driver.read(key, "data/note").await.unwrap()
}

#[tokio::test]
async fn data_is_kept_taken_up_and_deleted() {
    for (name, driver, _folder) in drivers() {
        let (key, layer) = (key("db", 1), layer("db"));
        make(&*driver, &key).await;
        let bundle = with_data(sleeper(&*driver, &key));
        driver.install(&key, &bundle).await.unwrap();
        driver.start(&key, &bundle.services).await.unwrap();
        driver.write(&key, "data/note", b"kept").await.unwrap();
        assert!(driver.kept(&layer).await.unwrap().is_empty(), "{name}");

        // It stays when its machine goes, also when nothing else is left of the layer.
        let keep = Disks::Keep { owner: "me".to_owned() };
        for _ in 0..2 {
            driver.delete(std::slice::from_ref(&key), &keep).await.unwrap();
            driver.dissolve(&layer, &keep).await.unwrap();
        }
        driver.dissolve(&layer, &Disks::Delete).await.unwrap();
        assert!(driver.list(&layer).await.unwrap().is_empty(), "{name}");
        let kept = driver.kept(&layer).await.unwrap();
        assert_eq!(kept.iter().map(|kept| kept.owner.as_str()).collect::<Vec<_>>(), ["me"], "{name}");
        assert!(kept[0].size.is_some() && kept[0].since.ends_with('Z') && !kept[0].cure.is_empty(), "{name}: {kept:?}");

        // Another one's machines have it only if that was asked for.
        make_of(&*driver, &layer, &[1], "other", &[]).await;
        driver.await_boot(&key, &|_| ()).await.unwrap();
        driver.install(&key, &bundle).await.unwrap();
        assert_eq!(note(&*driver, &key).await, None, "{name}");
        driver.delete(std::slice::from_ref(&key), &Disks::Delete).await.unwrap();
        assert_eq!(driver.kept(&layer).await.unwrap(), kept, "{name}");

        make_of(&*driver, &layer, &[1], "other", &["me"]).await;
        driver.await_boot(&key, &|_| ()).await.unwrap();
        driver.install(&key, &bundle).await.unwrap();
        assert_eq!(note(&*driver, &key).await.as_deref(), Some(&b"kept"[..]), "{name}");
        assert!(driver.kept(&layer).await.unwrap().is_empty(), "{name}");

        // It can be written by the daemon's user: the sleeper runs with it.
        driver.start(&key, &bundle.services).await.unwrap();
        driver.delete(std::slice::from_ref(&key), &Disks::Delete).await.unwrap();
        assert!(driver.kept(&layer).await.unwrap().is_empty(), "{name}");
        clean(&*driver).await;
    }
}

/// Of this size no cloud has a machine.
const NO_SIZE: &str = "m13";

/// Where machines have sizes, one that gets another is who it was, with its data.
#[tokio::test]
async fn a_machine_gets_another_size() {
    for (name, driver, _folder) in drivers() {
        let key = key("db", 1);
        let made = make(&*driver, &key).await;
        let bundle = with_data(sleeper(&*driver, &key));
        driver.install(&key, &bundle).await.unwrap();
        driver.write(&key, "data/note", b"mine").await.unwrap();
        let need = Need { memory_gb: Some(4), ..Need::default() };
        let offer = driver.offer(&need).await.unwrap();
        let seen = driver.list(&key.layer).await.unwrap().remove(0);
        assert_eq!((&seen.size, driver.size(&key)), (&made.size, made.size.clone()), "{name}");
        assert_eq!(offer.size.is_some(), made.size.is_some(), "{name}");
        if let Some(size) = offer.size {
            assert_ne!(Some(&size), made.size.as_ref(), "{name}");
            driver.start(&key, &bundle.services).await.unwrap();
            driver.stop(&key, &bundle.services).await.unwrap();
            driver.resize(&key, &size).await.unwrap();
            driver.await_boot(&key, &|_| ()).await.unwrap();
            let seen = driver.list(&key.layer).await.unwrap().remove(0);
            assert_eq!((seen.size, driver.size(&key)), (Some(size.clone()), Some(size.clone())), "{name}");
            assert_eq!(seen.address, made.address, "{name}");
            assert_eq!(note(&*driver, &key).await.as_deref(), Some(&b"mine"[..]), "{name}");
            driver.start(&key, &bundle.services).await.unwrap_or_else(|error| panic!("{name}: {}", error.explain()));
            assert_eq!(driver.status(&key).await.unwrap(), Status::Running, "{name}");
            // One that the cloud does not give leaves it with the one that it has.
            driver.stop(&key, &bundle.services).await.unwrap();
            driver.resize(&key, NO_SIZE).await.unwrap_err();
            driver.await_boot(&key, &|_| ()).await.unwrap();
            assert_eq!(driver.list(&key.layer).await.unwrap().remove(0).size, Some(size), "{name}");
            driver.start(&key, &bundle.services).await.unwrap_or_else(|error| panic!("{name}: {}", error.explain()));
        }
        clean(&*driver).await;
    }
}

/// A removal that was cut off after it had kept the data, and then the apply that goes on with the layer.
#[tokio::test]
async fn the_local_cloud_gives_a_machine_its_own_data_back() {
    let Some((_, driver, folder)) = drivers().into_iter().find(|(name, ..)| *name == "local") else { return };
    let key = key("db", 1);
    make(&*driver, &key).await;
    let bundle = with_data(sleeper(&*driver, &key));
    driver.install(&key, &bundle).await.unwrap();
    driver.write(&key, "data/note", b"mine").await.unwrap();
    let scope = folder.path().join(&key.layer.scope);
    let record = std::fs::read(scope.join("db-1/machine.json")).unwrap();
    driver.delete(std::slice::from_ref(&key), &Disks::Keep { owner: "me".to_owned() }).await.unwrap();
    std::fs::create_dir(scope.join("db-1")).unwrap();
    std::fs::write(scope.join("db-1/machine.json"), record).unwrap();
    let order = |owner: &str| Order {
        layer: key.layer.clone(),
        ids: vec![1],
        owner: owner.to_owned(),
        takes: BTreeSet::new(),
        need: Need::default(),
        takes_up: Vec::new(),
    };
    driver.mend(&order("other")).await.unwrap();
    assert_eq!(note(&*driver, &key).await, None);
    driver.mend(&order("me")).await.unwrap();
    assert_eq!(note(&*driver, &key).await.as_deref(), Some(&b"mine"[..]));
    assert!(!scope.join("kept").exists());
}

#[tokio::test]
async fn installing_changes_only_what_differs() {
    for (name, driver, _folder) in drivers() {
        let key = key("web", 1);
        make(&*driver, &key).await;
        let mut bundle = sleeper(&*driver, &key);
        bundle.add("htdocs/a", "1");
        bundle.add_secret("etc/secret", "s", 0o600);
        let mut first = driver.install(&key, &bundle).await.unwrap();
        first.sort();
        assert_eq!(first, ["etc/secret", "etc/sleeper.sh", "htdocs/a"], "{name}");
        // A flag that somebody wrote in between is no part of what was installed.
        driver.write(&key, "run/flag", b"up").await.unwrap();
        assert!(driver.install(&key, &bundle).await.unwrap().is_empty(), "{name}");
        bundle.add("htdocs/a", "2");
        assert_eq!(driver.install(&key, &bundle).await.unwrap(), ["htdocs/a"], "{name}");
        bundle.files.remove("htdocs/a");
        assert_eq!(driver.install(&key, &bundle).await.unwrap(), ["htdocs/a"], "{name}");
        assert_eq!(driver.read(&key, "htdocs/a").await.unwrap(), None, "{name}");
        assert_eq!(driver.read(&key, "run/flag").await.unwrap().as_deref(), Some(&b"up"[..]), "{name}");
        // A log is read from its end, and on from there; one that was begun anew from its beginning.
        driver.write(&key, "run/log", b"one\ntwo\n").await.unwrap();
        assert_eq!(driver.tail(&key, "run/log", None, 4).await.unwrap(), Some((b"two\n".to_vec(), 8)), "{name}");
        assert_eq!(driver.tail(&key, "run/log", Some(8), 4).await.unwrap(), Some((Vec::new(), 8)), "{name}");
        driver.write(&key, "run/log", b"new\n").await.unwrap();
        assert_eq!(driver.tail(&key, "run/log", Some(8), 9).await.unwrap(), Some((b"new\n".to_vec(), 4)), "{name}");
        assert_eq!(driver.tail(&key, "run/none", None, 4).await.unwrap(), None, "{name}");
        // A plan goes by this.
        let manifest = driver.installed(&key).await.unwrap().unwrap();
        assert_eq!(manifest.files, Manifest::of(&bundle).files, "{name}");
        assert_eq!(driver.read(&key, "etc/secret").await.unwrap().as_deref(), Some(&b"s"[..]), "{name}");
        clean(&*driver).await;
    }
}

#[tokio::test]
async fn a_machine_runs_from_start_to_stop() {
    for (name, driver, _folder) in drivers() {
        let key = key("web", 1);
        make(&*driver, &key).await;
        let bundle = sleeper(&*driver, &key);
        driver.install(&key, &bundle).await.unwrap();
        driver.start(&key, &bundle.services).await.unwrap();
        driver.start(&key, &bundle.services).await.unwrap();
        assert_eq!(driver.list(&key.layer).await.unwrap()[0].status, Status::Running, "{name}");
        driver.stop(&key, &bundle.services).await.unwrap();
        let stopped = driver.list(&key.layer).await.unwrap()[0].status.clone();
        assert!(matches!(stopped, Status::Stopped(_)), "{name}: {stopped:?}");
        driver.start(&key, &bundle.services).await.unwrap();
        assert_eq!(driver.list(&key.layer).await.unwrap()[0].status, Status::Running, "{name}");
        driver.delete(std::slice::from_ref(&key), &Disks::Delete).await.unwrap();
        clean(&*driver).await;
    }
}

#[tokio::test]
async fn rules_belong_to_who_asked_for_them() {
    for (name, driver, _folder) in drivers() {
        let (web, db) = (layer("web"), layer("db"));
        let Some(firewall) = driver.firewall() else { continue };
        make_all(&*driver, &web, &[1]).await;
        let from = |source, port| Ingress { source, port };
        let of = async |by: &str| {
            let admitted = firewall.admitted(&web).await.unwrap();
            let own = admitted.into_iter().filter(|rule| rule.by.as_deref() == Some(by)).map(|rule| rule.text);
            own.collect::<Vec<_>>()
        };
        let addresses: Vec<std::net::IpAddr> = ["10.0.0.10", "10.0.0.9"].map(|text| text.parse().unwrap()).to_vec();
        let rules = [from(Source::Layer(db.clone()), 8080), from(Source::Addresses(addresses), 8081)];
        firewall.admit(&web, "test/lb", &rules).await.unwrap();
        firewall.admit(&web, "test/lb", &rules).await.unwrap();
        assert_eq!(
            of("test/lb").await,
            [format!("tcp 8080 from {db}"), "tcp 8081 from 10.0.0.9, 10.0.0.10".to_owned()],
            "{name}"
        );
        // Others' rules stay.
        firewall.admit(&web, "test/other", &[from(Source::Network("192.0.2.0/24".to_owned()), 80)]).await.unwrap();
        firewall.admit(&web, "test/lb", &[]).await.unwrap();
        firewall.expel_unknown(&web).await.unwrap();
        assert!(of("test/lb").await.is_empty(), "{name}");
        assert_eq!(of("test/other").await, ["tcp 80 from 192.0.2.0/24"], "{name}");
        clean(&*driver).await;
    }
}

#[tokio::test]
async fn a_machine_that_is_not_there_is_an_error() {
    for (name, driver, _folder) in drivers() {
        let result = driver.install(&key("web", 7), &Bundle::default()).await;
        assert!(matches!(result, Err(DriverError::NoSuchMachine(_))), "{name}");
        clean(&*driver).await;
    }
}

#[tokio::test]
async fn the_local_cloud_changes_nothing_when_a_service_refuses() {
    let Some((_, driver, _folder)) = drivers().into_iter().find(|(name, ..)| *name == "local") else { return };
    let key = key("web", 1);
    make(&*driver, &key).await;
    let good = sleeper(&*driver, &key);
    driver.install(&key, &good).await.unwrap();
    let mut bad = good.clone();
    bad.add("etc/sleeper.sh", "if then fi (");
    let refused = driver.install(&key, &bad).await;
    assert!(matches!(refused, Err(DriverError::Check { .. })), "{refused:?}");
    let live = driver.read(&key, "etc/sleeper.sh").await.unwrap().unwrap();
    assert_eq!(live, &*good.files["etc/sleeper.sh"].content);
}

#[tokio::test]
async fn the_local_cloud_says_which_package_is_missing() {
    let Some((_, driver, _folder)) = drivers().into_iter().find(|(name, ..)| *name == "local") else { return };
    let key = key("web", 1);
    make(&*driver, &key).await;
    let mut bundle = sleeper(&*driver, &key);
    bundle.services[0].program = "no-such-daemon";
    bundle.services[0].package = "no-such-package";
    let error = driver.install(&key, &bundle).await.unwrap_err().explain();
    assert_eq!(
        error,
        "no-such-daemon is not installed on this machine; install it with: apt-get install no-such-package"
    );
}

/// A process that leaves its folder when it is told to end, and lives on: it is no longer one of the machine's.
#[tokio::test]
async fn the_local_cloud_waits_for_no_process_that_has_left() {
    let Some((_, driver, _folder)) = drivers().into_iter().find(|(name, ..)| *name == "local") else { return };
    let key = key("web", 1);
    make(&*driver, &key).await;
    let mut bundle = sleeper(&*driver, &key);
    let pid_file = driver.layout(&key).path("run/sleeper.pid");
    let script = format!("trap 'cd /; exec sleep 600' TERM\necho $$ > {pid_file}\nwhile :; do sleep 0.1; done\n");
    bundle.add("etc/sleeper.sh", script);
    driver.install(&key, &bundle).await.unwrap();
    driver.start(&key, &bundle.services).await.unwrap();
    let pid = driver.read(&key, "run/sleeper.pid").await.unwrap().unwrap();
    let pid: i32 = String::from_utf8(pid).unwrap().trim().parse().unwrap();
    driver.stop(&key, &bundle.services).await.unwrap();
    assert!(matches!(driver.status(&key).await.unwrap(), Status::Stopped(_)));
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it lives on");
    driver.delete(std::slice::from_ref(&key), &Disks::Delete).await.unwrap();
}
