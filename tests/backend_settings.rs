//! Settings of backends: what is refused is told at its place, and what is taken is documented.

use crate::backends::{state_server, write};
use crate::sandbox::{Sandbox, repository};

#[test]
fn settings_that_are_not_right_are_told_at_their_place() {
    let sandbox = Sandbox::new();
    let says = |backend: &str, expected: &[&str]| {
        // What an earlier one has said is forgotten.
        let _ = std::fs::remove_dir_all(sandbox.join("stack/.lampwright"));
        write(&sandbox, "stack", backend, 0);
        let refused = sandbox.lampwright("stack", &["plan"]).failure();
        for expected in expected {
            assert!(refused.contains(expected), "{expected:?} is not in:\n{refused}");
        }
    };
    says(
        "backend \"s4\" {}",
        &["there is no backend \"s4\"; there are: local, azurerm, gcs, http, pg, s3", "main.stack.hcl:2:"],
    );
    says("backend \"http\" {}", &["address is required, or TF_HTTP_ADDRESS in the environment"]);
    says(
        "backend \"http\" {\n    adress = \"x\"\n  }",
        &["has no setting \"adress\"; it has address,", "main.stack.hcl:3:14"],
    );
    says(
        "backend \"s3\" {\n    dynamodb_table = \"x\"\n  }",
        &["dynamodb_table is not honoured: the lock is an object"],
    );
    let gcs = |more: &str| format!("backend \"gcs\" {{\n    bucket = \"states\"\n    {more}\n  }}");
    says(
        &gcs("impersonate_service_account = \"a@b\""),
        &["impersonate_service_account: it is not honoured: give a token of that account", "main.stack.hcl:4:35"],
    );
    says(&gcs("encryption_key = \"hunter2\""), &["encryption_key: it names no file"]);
    sandbox.write("stack/federated.json", "{\"type\": \"external_account\"}");
    says(&gcs("credentials = \"federated.json\""), &["credentials of the kind \"external_account\" are not honoured"]);
    let azurerm = |more: &str| {
        let account = "storage_account_name = \"a\"\n    container_name = \"b\"\n    key = \"c\"";
        format!("backend \"azurerm\" {{\n    {account}\n    {more}\n  }}")
    };
    says(
        &azurerm("resource_group_name = \"r\""),
        &["access_key: it is required", "sas_token, or use_azuread_auth = true"],
    );
    says(&azurerm("environment = \"moon\""), &["it is public, usgovernment or china", "main.stack.hcl:6:19"]);
    says(&azurerm("metadata_host = \"m\""), &["metadata_host is not honoured: say blob_endpoint"]);
    let with = |more: &str| azurerm(&format!("use_azuread_auth = true\n    {more}"));
    says(&with("client_certificate_path = \"c.pfx\""), &["it is not honoured: a client is known by its secret here"]);
    says(
        &with("use_oidc = true\n    oidc_token = \"t\""),
        &["write the token into a file, and say oidc_token_file_path"],
    );
    says(&with("use_cli = false"), &["nothing says who asks"]);
    says(
        "backend \"pg\" {\n    conn_str = \"host=db.example.test user=u password=hunter2 sslmode=prefer\"\n  }",
        &["sslmode may let it go in the clear; say verify-full", "main.stack.hcl:3:16"],
    );
    says(
        "backend \"http\" {\n    address = lamp_cluster.web.id\n  }",
        &["`lamp_cluster` cannot be used here", "may use variables"],
    );
    says(
        "backend \"http\" {\n    address = local.a\n  }\n}\nlocals {\n  a = local.b\n  b = local.a",
        &["is made of itself"],
    );
}

/// What can be set is in docs/state.md.
#[test]
fn every_setting_is_documented() {
    let text = std::fs::read_to_string(repository().join("docs/state.md")).expect("UTF-8");
    for kind in ::backends::KINDS {
        let rows = text.lines().filter(|line| line.starts_with(&format!("| `{}` | ", kind.name)));
        let rows = rows.collect::<Vec<_>>().join("\n");
        for setting in kind.settings {
            assert!(rows.contains(&format!("`{}`", setting.name)), "{} of {}", setting.name, kind.name);
        }
    }
}

/// Settings may use variables, and locals that are made of them.
#[test]
fn settings_may_use_variables() {
    let sandbox = Sandbox::new();
    let (_server, block) = state_server(&sandbox);
    let (_, at) = block("");
    let backend = "backend \"http\" {\n    address = local.address\n  }\n}\nvariable \"server\" {}\nlocals {\n  name    = \"from-variables\"\n  address = \"${var.server}${local.name}\"";
    write(&sandbox, "stack", backend, 0);
    let server = format!("server={at}");
    let applied = sandbox.lampwright("stack", &["apply", "-auto-approve", "-var", &server]);
    assert!(applied.stderr.contains("from-variables has no lock"), "{}", applied.stderr);
    applied.success();
    let calls = std::fs::read_to_string(sandbox.join("calls")).expect("calls");
    assert!(calls.contains("POST /from-variables\n"), "{calls}");
    // Who does not read the stack finds it, too.
    assert!(sandbox.lampwright("stack", &["output"]).success().contains("workspace = \"default\""));
    sandbox.lampwright("stack", &["destroy", "-auto-approve", "-var", &server]).success();
}
