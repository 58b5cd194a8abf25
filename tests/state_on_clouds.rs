//! States in object stores. On the test beds of `make test-clouds`.

use crate::backends::{keeps_a_state, keeps_workspaces};
use crate::clouds::{Bed, sandbox};

#[test]
fn s3_keeps_a_state() {
    let sandbox = sandbox();
    let bucket = format!("states-{}", std::process::id());
    let endpoint = Bed::Aws.place();
    Bed::Aws.api(&["bucket", &bucket]);
    let backend = format!(
        "backend \"s3\" {{\n    bucket   = \"{bucket}\"\n    key      = \"shop/terraform.tfstate\"\n    region   = \"eu-west-1\"\n    endpoint = \"{endpoint}\"\n  }}"
    );
    keeps_a_state(&sandbox, &backend, &format!("s3://{bucket}/shop/terraform.tfstate"), true);
    keeps_workspaces(&sandbox, &backend);
}
