//! Every module of the library, applied on this machine as its example says, and answering on its URL.
//!
//! `make acceptance` runs these; nothing else does.

use std::collections::BTreeSet;

use crate::load::{get, request};
use crate::sandbox::{Ran, Sandbox, copy, repository};

/// Who is tested here, so that no module is forgotten.
const MODULES: &[&str] = &["lamp", "mongo-replset", "multi-cloud-lamp", "shop", "web-farm"];

#[test]
fn no_module_is_forgotten() {
    assert_eq!(modules::names(), MODULES);
}

const DEMO: &str = "module/examples/demo";

/// Applies the example of a module, and finds nothing to do after that.
fn applied(module: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    copy(&repository().join("modules").join(module), &sandbox.join("module"));
    sandbox.write(&format!("{DEMO}/provider.stack.hcl"), &sandbox.provider_block());
    sandbox.lampwright(DEMO, &["apply", "-auto-approve"]).success();
    assert_eq!(
        sandbox.lampwright(DEMO, &["plan", "-detailed-exitcode"]).code,
        0,
        "{module}: a second plan has changes"
    );
    sandbox
}

fn output(sandbox: &Sandbox, name: &str) -> String {
    sandbox.lampwright(DEMO, &["output", "-raw", name]).success().trim().to_owned()
}

/// `make demo`, wherever cargo puts what it builds: with the demo's own scope and root, on this very checkout, which it leaves
/// as clean as it was.
#[test]
fn the_demo_runs_and_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_lampwright"));
    let target = program.parent().and_then(std::path::Path::parent).expect("cargo's folder");
    std::os::unix::fs::symlink(target, sandbox.join("built elsewhere")).expect("a link");
    let demo = |what: &str| {
        let mut command = std::process::Command::new(repository().join("scripts/demo"));
        command.arg(what).env("CARGO_TARGET_DIR", sandbox.join("built elsewhere"));
        Ran::of(command.output().expect("bash runs")).success()
    };
    let changed = || {
        let mut git = std::process::Command::new("git");
        git.args(["status", "--porcelain"]).current_dir(repository());
        Ran::of(git.output().expect("git runs")).success()
    };
    let before = changed();
    let told = demo("up");
    let url = told.lines().find_map(|line| line.strip_prefix("The stack runs. Open")).expect("a URL").trim();
    assert_eq!(nodes(url).len(), 2);
    assert!(told.contains("ssh -L 8080:") && told.contains("built elsewhere/debug/lampwright"), "{told}");
    assert_eq!(changed(), before);
    demo("down");
    assert_eq!(changed(), before);
    assert!(request(url, "GET", "/", "").is_err(), "the load balancer still answers");
}

/// Takes everything away, and looks that it is.
fn removed(sandbox: &Sandbox) {
    sandbox.lampwright(DEMO, &["destroy", "-auto-approve"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
    assert_eq!(sandbox.daemons(), Vec::<i32>::new());
}

fn nodes(url: &str) -> BTreeSet<String> {
    (0..6).map(|_| get(url).json()["node"].as_str().expect("a node").to_owned()).collect()
}

/// The guest book: what is written through one node is read through all.
fn is_a_guest_book(url: &str) {
    assert_eq!(nodes(url).len(), 2);
    assert_eq!(request(url, "POST", "/?format=json", "text=hello").expect("an answer").status, 200);
    for _ in 0..4 {
        assert_eq!(get(url).json()["entries"][0]["text"], "hello");
    }
}

#[test]
fn lamp_answers() {
    let sandbox = applied("lamp");
    is_a_guest_book(&output(&sandbox, "url"));
    the_bundle_is_of_the_machines(&sandbox);
    removed(&sandbox);
}

/// A bundle of what exists has the addresses of what exists, and nothing of its secrets.
fn the_bundle_is_of_the_machines(sandbox: &Sandbox) {
    let told = sandbox.lampwright(DEMO, &["bundle", "--check", "../out"]).success();
    assert!(told.contains("6 machines") && !told.contains("stand-ins"), "{told}");
    let out = sandbox.join("module/examples/out");
    let rendered = std::fs::read_to_string(out.join("lb-1/etc/haproxy.cfg")).expect("the file");
    let live = std::fs::read_to_string(sandbox.machine("lb-1").join("etc/haproxy.cfg")).expect("the file");
    // A bundle has a root of its own where the local cloud has a folder.
    assert_eq!(rendered.replace("/machine/lb-1", &sandbox.machine("lb-1").display().to_string()), live);
    let key = std::fs::read_to_string(sandbox.machine("db-1").join("etc/keyfile")).expect("the key");
    let search = std::process::Command::new("grep").args(["-rF", key.trim()]).arg(&out).output().expect("grep runs");
    assert_eq!(search.status.code(), Some(1), "the bundle holds a secret");
}

#[test]
fn mongo_replset_answers() {
    let sandbox = applied("mongo-replset");
    let shown = sandbox.lampwright(DEMO, &["show", "-json"]).success();
    let state: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let resources = state["values"]["root_module"]["child_modules"][0]["resources"].as_array().expect("resources");
    let uri = resources[0]["values"]["uri"].as_str().expect("the connection string").to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = mongodb::Client::with_uri_str(&uri).await.expect("a connection string");
        let database = client.default_database().expect("the connection string names the application's database");
        let lines = database.collection::<mongodb::bson::Document>("lines");
        lines.insert_one(mongodb::bson::doc! { "text": "hello" }).await.expect("written by a majority");
        let found = lines.find_one(mongodb::bson::doc! {}).await.expect("an answer").expect("a line");
        assert_eq!(found.get_str("text").expect("a text"), "hello");
    });
    removed(&sandbox);
}

#[test]
fn multi_cloud_lamp_answers() {
    let sandbox = applied("multi-cloud-lamp");
    is_a_guest_book(&output(&sandbox, "url"));
    removed(&sandbox);
}

#[test]
fn shop_answers() {
    let sandbox = applied("shop");
    for application in ["catalogue", "cart"] {
        let url = output(&sandbox, &format!("{application}_url"));
        assert_eq!(nodes(&url).len(), 2);
        assert_eq!(request(&url, "POST", "/", &format!("item={application}")).expect("an answer").status, 200);
        let answer = get(&url).json();
        // One database, and each has its own in it.
        assert_eq!(answer["application"], application);
        assert_eq!(answer["items"], serde_json::json!([application]));
    }
    removed(&sandbox);
}

#[test]
fn web_farm_answers() {
    let sandbox = applied("web-farm");
    assert_eq!(nodes(&output(&sandbox, "url")).len(), 2);
    removed(&sandbox);
}
