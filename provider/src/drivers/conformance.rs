//! What every driver must do alike. A new driver adds itself to [`drivers`] by being in the list of drivers.

use std::sync::Arc;

use super::{DRIVERS, Settings};
use crate::bundle::{Bundle, CHECKED, Service};
use crate::driver::{Driver, DriverError, Layer, MachineKey, Signal, Status};

/// Every driver, ready for use, with what must be kept alive meanwhile.
fn drivers() -> Vec<(&'static str, Arc<dyn Driver>, tempfile::TempDir)> {
    DRIVERS
        .iter()
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
            (info.name, (info.connect)(&settings).unwrap(), folder)
        })
        .collect()
}

fn layer(name: &str) -> Layer {
    Layer { scope: "test".to_owned(), name: name.to_owned() }
}

fn key(layer_name: &str, id: u64) -> MachineKey {
    MachineKey { layer: layer(layer_name), id }
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
        args: vec![driver.layout(key).path("etc/sleeper.sh")],
        check: vec!["-n".to_owned(), CHECKED.to_owned()],
        config: "etc/sleeper.sh",
        reload: None,
        stop: Signal::Term,
        pid_file: "run/sleeper.pid",
    }];
    bundle
}

#[tokio::test]
async fn creating_twice_makes_one_machine() {
    for (name, driver, _folder) in drivers() {
        let first = driver.create(&key("web", 1)).await.unwrap();
        let again = driver.create(&key("web", 1)).await.unwrap();
        assert_eq!(first, again, "{name}");
        assert_eq!(first.status, Status::Created, "{name}");
        assert_eq!(driver.list(&layer("web")).await.unwrap(), [first], "{name}");
    }
}

#[tokio::test]
async fn machines_have_addresses_of_their_own_and_are_listed_by_layer() {
    for (name, driver, _folder) in drivers() {
        let mut addresses = Vec::new();
        for (layer_name, id) in [("web", 1), ("web", 10), ("db", 1)] {
            addresses.push(driver.create(&key(layer_name, id)).await.unwrap().address);
        }
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 3, "{name}");
        let ids: Vec<u64> = driver.list(&layer("web")).await.unwrap().iter().map(|machine| machine.key.id).collect();
        assert_eq!(ids, [1, 10], "{name}");
        assert!(driver.list(&layer("other")).await.unwrap().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn deleting_is_final_and_may_be_repeated() {
    for (name, driver, _folder) in drivers() {
        let (one, ten) = (key("web", 1), key("web", 10));
        driver.create(&one).await.unwrap();
        driver.create(&ten).await.unwrap();
        driver.delete(&one).await.unwrap();
        driver.delete(&one).await.unwrap();
        let left: Vec<u64> = driver.list(&layer("web")).await.unwrap().iter().map(|machine| machine.key.id).collect();
        assert_eq!(left, [10], "{name}");
    }
}

#[tokio::test]
async fn installing_changes_only_what_differs() {
    for (name, driver, _folder) in drivers() {
        let key = key("web", 1);
        driver.create(&key).await.unwrap();
        let mut bundle = sleeper(&*driver, &key);
        bundle.add("htdocs/a", "1");
        bundle.add_secret("etc/secret", "s", 0o600);
        let mut first = driver.install(&key, &bundle).await.unwrap();
        first.sort();
        assert_eq!(first, ["etc/secret", "etc/sleeper.sh", "htdocs/a"], "{name}");
        assert!(driver.install(&key, &bundle).await.unwrap().is_empty(), "{name}");
        bundle.add("htdocs/a", "2");
        assert_eq!(driver.install(&key, &bundle).await.unwrap(), ["htdocs/a"], "{name}");
        bundle.files.remove("htdocs/a");
        assert_eq!(driver.install(&key, &bundle).await.unwrap(), ["htdocs/a"], "{name}");
        assert_eq!(driver.read(&key, "htdocs/a").await.unwrap(), None, "{name}");
        assert_eq!(driver.read(&key, "etc/secret").await.unwrap().as_deref(), Some(&b"s"[..]), "{name}");
    }
}

#[tokio::test]
async fn a_machine_runs_from_start_to_stop() {
    for (name, driver, _folder) in drivers() {
        let key = key("web", 1);
        driver.create(&key).await.unwrap();
        let bundle = sleeper(&*driver, &key);
        driver.install(&key, &bundle).await.unwrap();
        driver.start(&key, &bundle.services).await.unwrap();
        driver.start(&key, &bundle.services).await.unwrap();
        assert_eq!(driver.list(&key.layer).await.unwrap()[0].status, Status::Running, "{name}");
        driver.stop(&key, &bundle.services).await.unwrap();
        assert_eq!(driver.list(&key.layer).await.unwrap()[0].status, Status::Failed, "{name}");
        driver.start(&key, &bundle.services).await.unwrap();
        assert_eq!(driver.list(&key.layer).await.unwrap()[0].status, Status::Running, "{name}");
        driver.delete(&key).await.unwrap();
    }
}

#[tokio::test]
async fn a_machine_that_is_not_there_is_an_error() {
    for (name, driver, _folder) in drivers() {
        let result = driver.install(&key("web", 7), &Bundle::default()).await;
        assert!(matches!(result, Err(DriverError::NoSuchMachine(_))), "{name}");
    }
}

#[tokio::test]
async fn the_local_cloud_changes_nothing_when_a_service_refuses() {
    let (_, driver, _folder) = drivers().into_iter().find(|(name, ..)| *name == "local").unwrap();
    let key = key("web", 1);
    driver.create(&key).await.unwrap();
    let good = sleeper(&*driver, &key);
    driver.install(&key, &good).await.unwrap();
    let mut bad = good.clone();
    bad.add("etc/sleeper.sh", "if then fi (");
    let refused = driver.install(&key, &bad).await;
    assert!(matches!(refused, Err(DriverError::Check { .. })), "{refused:?}");
    let live = driver.read(&key, "etc/sleeper.sh").await.unwrap().unwrap();
    assert_eq!(live, good.files["etc/sleeper.sh"].content);
}

#[tokio::test]
async fn the_local_cloud_says_which_package_is_missing() {
    let (_, driver, _folder) = drivers().into_iter().find(|(name, ..)| *name == "local").unwrap();
    let key = key("web", 1);
    driver.create(&key).await.unwrap();
    let mut bundle = sleeper(&*driver, &key);
    bundle.services[0].program = "no-such-daemon";
    bundle.services[0].package = "no-such-package";
    let error = driver.install(&key, &bundle).await.unwrap_err().explain();
    assert_eq!(
        error,
        "no-such-daemon is not installed on this machine; install it with: apt-get install no-such-package"
    );
}
