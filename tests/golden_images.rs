//! Golden images on clouds: baked once, found again, and machines of them are ready without installing anything.

use std::time::Instant;

use crate::clouds::{APPLY, Bed, sandbox, scope};
use crate::load::get;

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
