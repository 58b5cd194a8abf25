//! The library of modules: each has a README and an example, and a snapshot of what the example plans, with the
//! text of every file of every machine.

use crate::sandbox::{Sandbox, copy, repository};

#[test]
fn every_example_plans_what_its_snapshot_says() {
    let root = repository().join("modules");
    let mut examples = 0;
    for module in folders(&root) {
        assert!(module.join("README.md").is_file(), "{} needs a README.md", module.display());
        let all = folders(&module.join("examples"));
        assert!(!all.is_empty(), "{} needs an example", module.display());
        for example in all {
            examples += 1;
            let sandbox = Sandbox::new();
            copy(&module, &sandbox.join("module"));
            let name = example.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
            let folder = format!("module/examples/{name}");
            // The same paths on every machine.
            let provider = "provider \"lampwright\" {\n  scope         = \"snapshot\"\n  default_cloud = \"memory\"\n  cloud \"memory\" { driver = \"memory\" }\n  cloud \"local\" { driver = \"memory\" }\n}\n";
            sandbox.write(&format!("{folder}/provider.stack.hcl"), provider);
            let plan = sandbox.lampwright(&folder, &["plan", "-files"]).success();
            let mut settings = insta::Settings::clone_current();
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            settings.set_snapshot_path(module.join("examples/snapshots"));
            settings.bind(|| insta::assert_snapshot!(name, plan));
        }
    }
    assert!(examples > 0);
}

fn folders(root: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut folders: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.is_dir() && !matches!(path.file_name().and_then(|name| name.to_str()), Some("src" | "snapshots"))
        })
        .collect();
    folders.sort();
    folders
}
