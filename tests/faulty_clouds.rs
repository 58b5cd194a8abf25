//! What becomes of an apply when the cloud's API fails it: at every single call, in every way.
//!
//! A proxy in front of the API (`tests/testbeds/proxy.py`) counts the calls and breaks one. The run either succeeds by
//! trying again or stops with a diagnostic; the next one converges; the cloud holds what the state names, no more.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value as Json, json};

use crate::clouds::{APPLY, Bed, sandbox, scope};
use crate::load::request;
use crate::sandbox::{Sandbox, repository};

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
        // Tests run side by side, each in a process of its own.
        let base = 17_000 + (std::process::id() % 500) as u16 * 10;
        let pairs =
            upstream.iter().enumerate().flat_map(|(at, port)| [(base + at as u16).to_string(), port.to_string()]);
        let mut command = Command::new("python3");
        let mut process = command
            .arg(repository().join("tests/testbeds/proxy.py"))
            .args(pairs)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "ready");
        Proxy { process, port: base }
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

/// One machine, with a data disk where `layer` has one.
fn write_stack(bed: Bed, sandbox: &Sandbox, proxy: &Proxy, layer: &str) {
    let endpoint = match bed {
        Bed::Aws => format!(", endpoint_url = \"http://127.0.0.1:{}/\"", proxy.port),
        Bed::OpenStack => format!(", auth_url = \"http://127.0.0.1:{}/v3\"", proxy.port),
    };
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    let text = format!(
        "provider \"lampwright\" {{\n  scope = \"{}\"\n{}}}\n{layer}",
        scope(),
        bed.cloud_block(sandbox, &format!("{endpoint}, timeout_s = \"3\"")),
    );
    sandbox.write("stack/main.stack.hcl", &text);
}

#[expect(clippy::print_stdout, reason = "how many calls were broken is the result")]
/// Breaks each call of an apply in turn.
fn survives(bed: Bed, upstream: &[u16], layer: &str, machine: &str) {
    let sandbox = sandbox();
    let proxy = Proxy::start(upstream);
    write_stack(bed, &sandbox, &proxy, layer);
    proxy.break_call(0, "");
    sandbox.lampwright("stack", APPLY).success();
    let calls = proxy.calls();
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    bed.assert_empty(&scope());

    // Every call is broken: those that change something in all ways that differ in what is there afterwards, the
    // others in ways that take turns, unless somebody has an hour and asks for all.
    let all = std::env::var("LAMPWRIGHT_FAULTS").is_ok_and(|faults| faults == "all");
    let (mut survived, mut stopped) = (0, 0);
    for at in 1..=calls.len() {
        for (number, mode) in MODES.iter().enumerate() {
            let changes = |call: &String| {
                ["Action=Run", "Action=Create", "Action=A", "POST"].iter().any(|verb| call.starts_with(verb))
                    && !call.contains("/auth/")
            };
            if all || at % MODES.len() == number || (TELLING.contains(mode) && changes(&calls[at - 1])) {
                match breaks(bed, &sandbox, &proxy, at, mode, machine) {
                    true => survived += 1,
                    false => stopped += 1,
                }
            }
        }
    }
    println!(
        "{}: {} calls in an apply; {survived} runs went through, {stopped} stopped and the next one went on",
        bed.name(),
        calls.len()
    );
}

#[expect(clippy::print_stdout, reason = "which call was broken is the result")]
/// Whether the run with the broken call went through by itself.
fn breaks(bed: Bed, sandbox: &Sandbox, proxy: &Proxy, at: usize, mode: &str, machine: &str) -> bool {
    proxy.break_call(at, mode);
    let first = sandbox.lampwright("stack", APPLY);
    let broken = proxy.calls().into_iter().find(|call| call.contains(" <- ")).unwrap_or_default();
    println!("  call {at} ({broken}) → exit {}", first.code);
    let what = format!("call {at} ({broken}):\n{}{}", first.stdout, first.stderr);
    assert!(!first.stderr.contains("panicked") && !first.stderr.contains("This is a bug"), "{what}");
    proxy.break_call(0, "");
    let went_through = first.code == 0;
    if !went_through {
        assert_eq!(first.code, 1, "{what}");
        assert!(first.stderr.contains("error: "), "{what}");
        let again = sandbox.lampwright("stack", APPLY);
        assert_eq!(again.code, 0, "after {what}\nthe next one:\n{}{}", again.stdout, again.stderr);
    }
    let machines = bed.machines(&scope());
    assert_eq!(machines.len(), 1, "{machines:?} after {what}");
    let shown = sandbox.lampwright("stack", &["show", "-json"]).success();
    assert!(shown.contains(&format!("\"{}\"", machines[0])), "{machines:?} is not in the state after {what}\n{shown}");
    assert!(machines[0].starts_with(machine), "{machines:?}");
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    bed.assert_empty(&scope());
    went_through
}

const WEB: &str = "resource \"lamp_cluster\" \"web\" {\n  nodes = 1\n  app   = \"./app\"\n  cloud = \"aws\"\n  image = \"lamp-debian-12*\"\n}\n";

#[test]
fn every_call_to_aws_may_fail() {
    let port =
        Bed::Aws.place().trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    survives(Bed::Aws, &[port], WEB, "web-");
}
