//! Golden images on clouds: baked once, found again, and machines of them are ready without installing anything.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::clouds::{APPLY, Bed, HOST, sandbox, scope};
use crate::load::{get, request};
use crate::sandbox::{repository, wait_for};

const STACK: &str = r#"resource "lamp_cluster" "web" {
  nodes = 2
  app   = "./app"
  cloud = "@CLOUD@"
  image = "bake"
}
resource "lb_pool" "lb" {
  backend = lamp_cluster.web
  cloud   = "@CLOUD@"
  image   = "bake"
}
output "url" { value = lb_pool.lb.url }
"#;

#[expect(clippy::print_stdout, reason = "the time to ready is a result")]
fn bakes_on(bed: Bed) {
    let sandbox = sandbox();
    bed.api(&["discard"]);
    let others = bed.api(&["list", "bake-"]);
    sandbox.write("stack/app/index.php", "<?php echo 'here';\n");
    let cloud = bed.cloud_block(&sandbox, &bed.endpoint());
    let layers = STACK.replace("@CLOUD@", bed.name());
    let text = format!("provider \"lampwright\" {{\n  scope = \"{}\"\n{cloud}}}\n{layers}", scope());
    sandbox.write("stack/main.stack.hcl", &text);
    let plan = sandbox.lampwright("stack", &["plan"]).success();
    assert_eq!(plan.matches("(baked first, from ").count(), 2, "{plan}");

    // Each layer has its own programs, and so its own image.
    let mut seconds = Vec::new();
    for is_baked in [false, true] {
        let started = Instant::now();
        let applied = sandbox.lampwright("stack", APPLY);
        seconds.push(started.elapsed().as_secs());
        let told = format!("{}{}", applied.stdout, applied.stderr);
        applied.success();
        assert_eq!(
            told.matches("baking the image lampwright-debian-12-").count(),
            if is_baked { 0 } else { 2 },
            "{told}"
        );
        assert!(!told.contains("web-1 installing") && !told.contains("web-2 installing"), "{told}");
        let url = sandbox.lampwright("stack", &["output", "-raw", "url"]).success();
        assert_eq!(get(url.trim()).body, "here");
        assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
        assert_eq!(bed.api(&["baked"]).as_array().expect("images").len(), 2);
        sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
        bed.assert_empty(&scope());
        // Nor is there anything left of what was baked with.
        assert_eq!(bed.api(&["list", "bake-"]), others);
    }
    println!("{}: ready after {} s with baking, {} s with baked images", bed.name(), seconds[0], seconds[1]);
    let plan = sandbox.lampwright("stack", &["plan"]).success();
    assert!(plan.contains("lampwright-debian-12-") && !plan.contains("baked first"), "{plan}");
}

#[test]
fn images_are_baked_on_aws() {
    bakes_on(Bed::Aws);
}

#[test]
fn images_are_baked_on_openstack() {
    bakes_on(Bed::OpenStack);
}

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// No distribution has mongod. A machine of a stock image fetches it, if it is the one that was named.
#[test]
fn a_stock_image_gets_its_program_from_an_archive() {
    let bed = Bed::Aws;
    let sandbox = sandbox();
    let shell = |script: &str| {
        let ran = Command::new("sh").args(["-ec", script]).current_dir(sandbox.path()).output().expect("sh runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    };
    let runtime = repository().join("scripts/runtime").display().to_string();
    let digest = shell(&format!(
        "mkdir -p pub/mongodb-linux/bin; cp \"$(PATH=$PATH:$({runtime} 2>/dev/null | tail -1) command -v mongod)\" pub/mongodb-linux/bin/; tar -C pub -czf pub/mongod.tgz mongodb-linux; sha256sum < pub/mongod.tgz | cut -d' ' -f1"
    ));
    let port = 18_000 + std::process::id() % 1000;
    let mut server = Command::new("python3");
    server.args(["-m", "http.server", &port.to_string(), "--bind", HOST, "-d"]).arg(sandbox.join("pub"));
    let _server = Server(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("python3 runs"));
    let url = format!("http://{HOST}:{port}");
    wait_for("the archive", Duration::from_secs(10), || request(&url, "HEAD", "/mongod.tgz", "").is_ok());
    let write = |sha256: &str| {
        let cloud = bed.cloud_block(&sandbox, &bed.endpoint());
        let layer = format!(
            "resource \"mongo_replset\" \"db\" {{\n  members = 1\n  on_destroy = \"delete\"\n  cloud = \"{}\"\n  archive = {{ url = \"{url}/mongod.tgz\", sha256 = \"{sha256}\" }}\n}}\n",
            bed.name()
        );
        let text = format!("provider \"lampwright\" {{\n  scope = \"{}\"\n{cloud}}}\n{layer}", scope());
        sandbox.write("stack/main.stack.hcl", &text);
    };
    write(&"0".repeat(64));
    let failed = sandbox.lampwright("stack", APPLY).failure();
    assert!(failed.contains(&format!("has the SHA-256 {digest}, and {} is required", "0".repeat(64))), "{failed}");
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    write(&digest);
    let applied = sandbox.lampwright("stack", APPLY);
    assert!(applied.stdout.contains("fetching mongod from"), "{}", applied.stdout);
    applied.success();
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
    bed.assert_empty(&scope());
}
