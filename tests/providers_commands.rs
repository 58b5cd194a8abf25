//! `lampwright providers` and its commands, beside the real terraform.

use std::collections::BTreeMap;
use std::path::Path;

use crate::registries::{Registry, THING};
use crate::terraform::{Both, program};

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

/// The lines of a folder's files, by their paths.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(open) = folders.pop() {
        for entry in std::fs::read_dir(&open).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let path = entry.path().strip_prefix(folder).expect("below").display().to_string();
            found.insert(path, std::fs::read(entry.path()).expect("a file"));
        }
    }
    found
}

const BOTH: [&str; 2] = ["-platform=linux_amd64", "-platform=darwin_arm64"];

#[test]
fn packages_for_other_machines_are_locked_as_terraform_locks_them() {
    if program().is_none() {
        return;
    }
    let registry = Registry::with(&["1.0.0", "1.1.0"]);
    // Whatever is preferred, the registry is asked.
    registry.configure("provider_installation {\n  filesystem_mirror {\n    path = \"/nowhere\"\n  }\n}\n");
    let stack = |constraint: &str| ["ours", "theirs"].iter().for_each(|folder| registry.stack(folder, constraint));
    let same = |args: &[&str]| {
        let args = [&["providers", "lock"], args].concat();
        let (ours, theirs) = (registry.lampwright("ours", &args), registry.terraform("theirs", &args));
        assert_eq!(ours.code, theirs.code, "{args:?}: {}{}\n{}", ours.stdout, ours.stderr, theirs.stderr);
        if ours.code == 0 {
            assert_eq!(registry.lock("ours"), registry.lock("theirs"), "{args:?}");
        }
        ours
    };
    stack("~> 1.0, < 1.1");
    let told = same(&[]).success();
    assert!(told.ends_with("registry.test/acme/thing 1.0.0: locked\n"), "{told}");
    assert_eq!(registry.lock("ours").matches("h1:").count(), 1);
    // What is locked stays.
    stack(">= 1.0");
    same(&["-platform=darwin_arm64"]).success();
    assert_eq!(registry.lock("ours").matches("h1:").count(), 2);
    assert!(registry.lock("ours").contains("\"1.0.0\""));
    let told = same(&[&BOTH[..], &[THING]].concat()).success();
    assert!(told.ends_with("registry.test/acme/thing 1.0.0: locked already\n"), "{told}");
    for (args, told) in [
        (&["acme/other"][..], "the stack does not need the provider acme/other. There is: registry.test/acme/thing"),
        (&["a b"], "\"a b\" is no provider"),
        (&["-platform=linux"], "\"linux\" is no platform"),
        (&["-platform=plan9_amd64"], "it has it for linux_amd64, darwin_arm64"),
        (&["-fs-mirror=x", "-net-mirror=https://y.test/"], "cannot be used with"),
        (&["-fs-mirror=none"], "there is no such provider in none"),
        (&["-net-mirror=http://y.test/"], "begins with https://"),
    ] {
        let refused = same(args).failure();
        assert!(refused.contains(told), "{refused}");
    }
    stack(">= 1.1");
    let refused = same(&[]).failure();
    assert!(refused.contains("init -upgrade"), "{refused}");
    // Nothing is installed.
    assert!(!registry.sandbox.join("ours/.lampwright").exists());
}

#[test]
fn a_mirror_is_made_as_terraform_makes_it() {
    if program().is_none() {
        return;
    }
    let mut registry = Registry::with(&["1.0.0", "1.1.0"]);
    registry.configure("");
    let stack = |registry: &Registry, constraint: &str| {
        ["ours", "theirs"].iter().for_each(|folder| registry.stack(folder, constraint));
    };
    let same = |registry: &Registry, args: &[&str]| {
        let args = [&["providers", "mirror"], args, &["mirror"]].concat();
        let told = registry.lampwright("ours", &args).success();
        registry.terraform("theirs", &args).success();
        let ours = files(&registry.sandbox.join("ours/mirror"));
        assert_eq!(ours, files(&registry.sandbox.join("theirs/mirror")), "{args:?}");
        (told, ours.len())
    };
    stack(&registry, "1.0.0");
    let (told, n_files) = same(&registry, &[]);
    assert!(told.contains("\nregistry.test/acme/thing 1.0.0 for linux_amd64, signed by "), "{told}");
    assert_eq!(n_files, 3);
    // Another version comes to what is there; what is locked is taken.
    ["ours", "theirs"].iter().for_each(|folder| drop(registry.lampwright(folder, &["init"]).success()));
    stack(&registry, ">= 1.0");
    assert_eq!(same(&registry, &BOTH).1, 4);
    assert_eq!(same(&registry, &[&BOTH[..], &["-lock-file=false"]].concat()).1, 7);
    stack(&registry, ">= 1.1");
    let args = ["providers", "mirror", "mirror"];
    registry.terraform("theirs", &args).failure();
    let refused = registry.lampwright("ours", &args).failure();
    assert!(refused.contains("locked at 1.0.0, which does not fit >= 1.1.0"), "{refused}");
    // It is one that can be installed from, and locked by.
    registry.stop();
    let mirror = registry.sandbox.join("ours/mirror").display().to_string();
    registry
        .configure(&format!("provider_installation {{\n  filesystem_mirror {{\n    path = \"{mirror}\"\n  }}\n}}\n"));
    registry.lampwright("ours", &["init", "-upgrade"]).success();
    let mirror = format!("-fs-mirror={mirror}");
    ["ours", "theirs"].iter().for_each(|folder| {
        drop(std::fs::remove_file(registry.sandbox.join(folder).join(".terraform.lock.hcl")));
    });
    let args = ["providers", "lock", BOTH[0], BOTH[1], mirror.as_str()];
    registry.lampwright("ours", &args).success();
    registry.terraform("theirs", &args).success();
    assert_eq!(registry.lock("ours"), registry.lock("theirs"));
}
