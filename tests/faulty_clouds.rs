//! What becomes of an apply when the cloud's API fails it: at every single call, in every way.
//!
//! A proxy in front of the API (`tests/testbeds/proxy.py`) counts the calls and breaks one. The run either succeeds by
//! trying again or stops with a diagnostic; the next one converges; the cloud holds what the state names, no more.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value as Json, json};

use crate::clouds::{APPLY, Bed, sandbox, scope};
use crate::load::request;
use crate::sandbox::{Sandbox, repository};

/// Half of a run is waiting.
const WORKERS: usize = 2;

const MODES: &[&str] = &["500", "503", "429", "refuse", "lost", "late", "cut", "401", "quota"];

/// Not done, done, done and half told, refused for good: what differs in what the cloud holds afterwards.
const TELLING: &[&str] = &["500", "lost", "cut", "quota"];

struct Proxy {
    process: Child,
    port: u16,
}

impl Proxy {
    /// Of the ports of the cloud's API, the first is the one that everything begins with.
    fn start(upstream: &[u16]) -> Proxy {
        let mut command = Command::new("python3");
        let mut process = command
            .arg(repository().join("tests/testbeds/proxy.py"))
            .args(upstream.iter().map(u16::to_string))
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let port = line.trim().strip_prefix("ready ").and_then(|port| port.parse().ok());
        Proxy { process, port: port.unwrap_or_else(|| panic!("the proxy said: {line}")) }
    }

    /// Counts anew and breaks the call with this number; 0 breaks none.
    fn break_call(&self, at: usize, mode: &str) {
        let body = json!({ "at": at, "mode": mode }).to_string();
        let told =
            request(&format!("http://127.0.0.1:{}", self.port), "POST", "/_proxy", &body).expect("the proxy answers");
        assert_eq!(told.status, 200);
    }

    fn calls(&self) -> Vec<String> {
        let told =
            request(&format!("http://127.0.0.1:{}", self.port), "GET", "/_proxy", "").expect("the proxy answers");
        let told: Json = told.json();
        told["calls"].as_array().expect("calls").iter().map(|call| call.as_str().expect("text").to_owned()).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A stack of one machine behind a proxy.
struct Victim {
    bed: Bed,
    sandbox: Sandbox,
    proxy: Proxy,
    scope: String,
}

impl Victim {
    fn new(bed: Bed, upstream: &[u16], layer: &str, number: usize) -> Victim {
        let victim =
            Victim { bed, sandbox: sandbox(), proxy: Proxy::start(upstream), scope: format!("{}-{number}", scope()) };
        let port = victim.proxy.port;
        let endpoint = match bed {
            Bed::Aws => format!(", endpoint_url = \"http://127.0.0.1:{port}/\""),
            Bed::OpenStack => format!(", auth_url = \"http://127.0.0.1:{port}/v3\""),
        };
        victim.sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
        let cloud = bed.cloud_block(&victim.sandbox, &format!("{endpoint}, timeout_s = \"8\""));
        let text = format!("provider \"lampwright\" {{\n  scope = \"{}\"\n{cloud}}}\n{layer}", victim.scope);
        victim.sandbox.write("stack/main.stack.hcl", &text);
        victim
    }

    /// The calls of an apply.
    fn calls(&self) -> Vec<String> {
        self.proxy.break_call(0, "");
        self.sandbox.lampwright("stack", APPLY).success();
        let calls = self.proxy.calls();
        self.destroy();
        calls
    }

    fn destroy(&self) {
        self.sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
        self.bed.assert_empty(&self.scope);
    }

    /// Whether the run with the broken call went through by itself.
    #[expect(clippy::print_stdout, reason = "which call was broken is the result")]
    fn breaks(&self, at: usize, mode: &str) -> bool {
        self.proxy.break_call(at, mode);
        let first = self.sandbox.lampwright("stack", APPLY);
        let broken = self.proxy.calls().into_iter().find(|call| call.contains(" <- ")).unwrap_or_default();
        println!("  call {at} ({broken}) → exit {}", first.code);
        let what = format!("call {at} ({broken}):\n{}{}", first.stdout, first.stderr);
        assert!(!first.stderr.contains("panicked") && !first.stderr.contains("This is a bug"), "{what}");
        self.proxy.break_call(0, "");
        let went_through = first.code == 0;
        if !went_through {
            assert_eq!(first.code, 1, "{what}");
            assert!(first.stderr.contains("error: "), "{what}");
            let again = self.sandbox.lampwright("stack", APPLY);
            assert_eq!(again.code, 0, "after {what}\nthe next one:\n{}{}", again.stdout, again.stderr);
        }
        let machines = self.bed.machines(&self.scope);
        assert_eq!(machines.len(), 1, "{machines:?} after {what}");
        let shown = self.sandbox.lampwright("stack", &["show", "-json"]).success();
        let name = format!("\"{}\"", machines[0]);
        assert!(shown.contains(&name), "{machines:?} is not in the state after {what}\n{shown}");
        self.destroy();
        went_through
    }
}

/// Calls that make something: what is there after they failed differs from way to way.
fn makes(call: &str) -> bool {
    ["Action=Run", "Action=Create", "Action=A", "POST"].iter().any(|verb| call.starts_with(verb))
        && !call.contains("/auth/")
}

/// Breaks each call of an apply in turn, several stacks side by side.
#[expect(clippy::print_stdout, reason = "how many calls were broken is the result")]
fn survives(bed: Bed, upstream: &[u16], layer: &str) {
    let victims: Vec<Victim> = (1..=WORKERS).map(|number| Victim::new(bed, upstream, layer, number)).collect();
    let calls = victims[0].calls();
    // Every call is broken: those that make something in all ways that differ in what is there afterwards, the
    // others in ways that take turns, unless somebody has an hour and asks for all.
    let all = std::env::var("LAMPWRIGHT_FAULTS").is_ok_and(|faults| faults == "all");
    let faults = calls.iter().zip(1..).flat_map(|(call, at)| {
        let chosen = MODES.iter().enumerate().filter(move |(number, mode)| {
            all || at % MODES.len() == *number || (TELLING.contains(mode) && makes(call))
        });
        chosen.map(move |(_, mode)| (at, *mode))
    });
    let faults = Mutex::new(faults.collect::<Vec<_>>().into_iter());
    let next = || faults.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (survived, stopped) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for victim in &victims {
            scope.spawn(|| {
                while let Some((at, mode)) = next() {
                    let count = if victim.breaks(at, mode) { &survived } else { &stopped };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    println!(
        "{}: {} calls in an apply; {} runs went through, {} stopped and the next one went on",
        bed.name(),
        calls.len(),
        survived.into_inner(),
        stopped.into_inner()
    );
}

const WEB: &str = "resource \"lamp_cluster\" \"web\" {\n  nodes = 1\n  app   = \"./app\"\n  cloud = \"aws\"\n  image = \"lamp-debian-12*\"\n}\n";

#[test]
fn every_call_to_aws_may_fail() {
    let port =
        Bed::Aws.place().trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    survives(Bed::Aws, &[port], WEB);
}

const DB: &str = "resource \"mongo_replset\" \"db\" {\n  members = 1\n  on_destroy = \"delete\"\n  cloud   = \"openstack\"\n  image   = \"lamp-debian-12*\"\n}\n";

#[test]
fn every_call_to_openstack_may_fail() {
    // Keystone, Glance, Placement, Nova, Neutron, .., as `tests/testbeds/openstack/up.sh` places them.
    let ports: Vec<u16> = (15_000..15_008).collect();
    survives(Bed::OpenStack, &ports, DB);
}
