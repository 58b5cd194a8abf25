//! The library of modules: each has a README with the reference of its variables and outputs, an example that can be
//! planned, and tests with snapshots that hold.

use crate::sandbox::{Sandbox, copy, repository};

fn every_module(check: impl Fn(&str, &Sandbox)) {
    let names = modules::names();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let sandbox = Sandbox::new();
        copy(&repository().join("modules").join(name), &sandbox.join("module"));
        check(name, &sandbox);
    }
}

#[test]
fn every_module_passes_its_tests() {
    every_module(|name, sandbox| {
        let ran = sandbox.lampwright("module", &["test", "--check"]);
        assert_eq!(ran.code, 0, "{name}:\n{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("Success: "), "{name} has no tests:\n{}", ran.stdout);
    });
}

#[test]
fn every_reference_is_that_of_its_module() {
    every_module(|name, sandbox| {
        let ran = sandbox.lampwright("module", &["module", "docs", "--check"]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
    });
}

#[test]
fn every_example_can_be_planned() {
    every_module(|name, sandbox| {
        let examples = std::fs::read_dir(sandbox.join("module/examples")).expect("examples");
        let examples: Vec<_> = examples.map(|entry| entry.expect("an entry").file_name()).collect();
        assert!(!examples.is_empty(), "{name} needs an example");
        for example in examples {
            let folder = format!("module/examples/{}", example.display());
            sandbox.write(&format!("{folder}/provider.stack.hcl"), &sandbox.provider_block());
            let plan = sandbox.lampwright(&folder, &["plan"]).success();
            assert!(plan.contains("machines to add on local"), "{name}: {plan}");
        }
    });
}
