//! `lampwright providers` and its commands, beside the real terraform.

use crate::terraform::Both;

/// Terraform has what one module needs in no order: each line with those that it is below, sorted.
fn sorted(tree: &str) -> Vec<String> {
    let mut above: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    for line in tree.lines() {
        let Some((before, label)) = line.split_once("── ") else {
            lines.push(line.to_owned());
            continue;
        };
        above.truncate(before.chars().count() / 4);
        above.push(label.to_owned());
        lines.push(above.join(" > "));
    }
    lines.sort();
    lines
}

#[test]
fn who_needs_which_providers_is_drawn_as_terraform_draws_it() {
    let required = |lines: &str| format!("terraform {{\n  required_providers {{\n{lines}  }}\n}}\n");
    let aws = |version: &str| format!("    aws = {{ source = \"hashicorp/aws\", version = \"{version}\" }}\n");
    let root = required(&format!("{}    thing = {{ source = \"registry.test/acme/thing\" }}\n", aws(">= 5")));
    let calls = "module \"m\" {\n  source = \"./m\"\n}\nmodule \"none\" {\n  source = \"./none\"\n}\n";
    let data = "data \"terraform_remote_state\" \"x\" {\n  backend = \"local\"\n  config  = { path = \"x\" }\n}\n";
    let inner = "module \"inner\" {\n  source = \"./inner\"\n}\n";
    let files = [
        ("main.tf", format!("{root}{calls}resource \"terraform_data\" \"x\" {{}}\n")),
        ("m/main.tf", format!("{}{inner}{data}", required(&aws("< 7, >=5")))),
        ("m/inner/main.tf", required(&aws("~> 5, != 5.1.0, 5.2"))),
        ("none/main.tf", "variable \"x\" {\n  default = 1\n}\n".to_owned()),
        ("main.tftest.hcl", "provider \"aws\" {}\nrun \"of_the_stack\" {}\n".to_owned()),
        ("tests/a.tftest.hcl", "run \"inner\" {\n  module {\n    source = \"./m/inner\"\n  }\n}\n".to_owned()),
        ("more/b.tftest.hcl", "mock_provider \"thing\" {}\nrun \"x\" {}\n".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let both = Both::new(&[("empty", "")]);
    both.write(&files);
    let object = |ty: &str, source: &str| {
        format!(
            "{{\"mode\":\"managed\",\"type\":\"{ty}\",\"name\":\"x\",\"provider\":\"provider[\\\"{source}\\\"]\",\"instances\":[{{\"schema_version\":0,\"attributes\":{{}}}}]}}"
        )
    };
    let objects =
        [object("old", "registry.terraform.io/old/old"), object("aws_x", "registry.terraform.io/hashicorp/aws")];
    let state = format!(
        "{{\"version\":4,\"terraform_version\":\"1.11.4\",\"serial\":1,\"lineage\":\"x\",\"outputs\":{{}},\"resources\":[{}]}}",
        objects.join(",")
    );
    both.write(&[("terraform.tfstate", &state)]);
    for args in [&["providers"][..], &["providers", "-test-directory=more"]] {
        let ours = both.ours(args).success();
        let inner = "module.m > module.inner > provider[registry.terraform.io/hashicorp/aws] ~> 5.0, != 5.1.0, 5.2.0";
        assert!(sorted(&ours).contains(&inner.to_owned()), "{ours}");
        if let Some(theirs) = both.theirs() {
            let directory = args.get(1).copied().unwrap_or("-test-directory=tests");
            theirs.run(&["get", directory]).success();
            assert_eq!(sorted(&ours), sorted(&theirs.run(args).success()));
        }
    }
    // What has one order only is the same to the byte.
    let alone = Both::new(&[
        ("main.tf", "module \"m\" {\n  source = \"./m\"\n}\n"),
        ("m/main.tf", "resource \"terraform_data\" \"x\" {}\n"),
    ]);
    let ours = alone.ours(&["providers"]).success();
    assert_eq!(
        ours,
        "\nProviders required by configuration:\n.\n└── module.m\n    └── provider[terraform.io/builtin/terraform]\n\n"
    );
    if let Some(theirs) = alone.theirs() {
        assert_eq!(ours, theirs.run(&["providers"]).success());
    }
}

#[test]
fn what_providers_have_is_told_as_terraform_tells_it() {
    let required = "terraform {\n  required_providers {\n    lampwright = {\n      source = \"lampwright/lampwright\"\n    }\n  }\n}\n";
    let both = Both::new(&[("empty", "")]);
    both.write(&[("main.tf", required)]);
    both.ours(&["providers", "schema"]).failure();
    let document = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let ours = document(&both.ours(&["providers", "schema", "-json"]).success());
    let provider = &ours["provider_schemas"]["registry.terraform.io/lampwright/lampwright"];
    assert_eq!(provider["resource_schemas"]["lamp_cluster"]["block"]["attributes"]["app"]["required"], true);
    if let Some(theirs) = both.theirs() {
        theirs.run(&["providers", "schema"]).failure();
        let theirs = document(&theirs.run(&["providers", "schema", "-json"]).success());
        assert_eq!(ours, theirs);
    }
    // What is built in has the same forms, and texts and functions of its own; without providers there is nothing.
    both.write(&[("main.tf", "resource \"terraform_data\" \"x\" {}\n")]);
    let resources = |document: &serde_json::Value| {
        let builtin = &document["provider_schemas"]["terraform.io/builtin/terraform"];
        (
            builtin["provider"].clone(),
            builtin["resource_schemas"]["terraform_data"]["block"]["attributes"]["id"]["type"].clone(),
        )
    };
    let ours = document(&both.ours(&["providers", "schema", "-json"]).success());
    assert_eq!(resources(&ours).1, "string");
    if let Some(theirs) = both.theirs() {
        assert_eq!(resources(&ours), resources(&document(&theirs.run(&["providers", "schema", "-json"]).success())));
    }
    both.write(&[("main.tf", "")]);
    assert_eq!(both.ours(&["providers", "schema", "-json"]).success(), "{\"format_version\":\"1.0\"}\n");
}
