//! Rules of the repository that no compiler checks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::sandbox::repository;

/// What a crate of ours may import of ours. Cargo.toml and this list change together.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("app", &["backends", "compiler", "engine", "modules", "registry", "value"]),
    ("backends", &["value"]),
    ("compiler", &["grammar", "value"]),
    ("engine", &["compiler", "proto", "value"]),
    ("grammar", &[]),
    ("modules", &[]),
    ("proto", &["value"]),
    ("provider", &["proto", "value"]),
    ("registry", &["compiler", "value"]),
    ("value", &[]),
];

/// What a crate must not depend on, whoever wrote it.
const MUST_NOT: &[(&str, &[&str])] = &[
    ("compiler", &["tokio", "tonic", "reqwest", "rustix", "tempfile"]),
    ("grammar", &["serde_json", "tokio"]),
    ("value", &["tokio", "tonic", "prost"]),
];

/// The rooms of a crate, from the top down: a room imports only what stands below it, so there are no circles. Those of one
/// floor know nothing of each other.
const ROOMS: &[(&str, &[&[&str]])] = &[
    (
        "provider/src",
        &[
            &["plugin"],
            &["service"],
            &["resources"],
            &["fleet"],
            &["layer"],
            &["resource"],
            &["context"],
            &["drivers"],
            &["seed", "ownership", "locks", "place"],
            &["driver"],
            &["bundle"],
            &["model"],
            &["field"],
        ],
    ),
    (
        "app/src",
        &[
            &["logs", "providers", "scale", "validate"],
            &[
                "bundle",
                "change",
                "console",
                "docs",
                "export",
                "graph",
                "import",
                "init",
                "migration",
                "operate",
                "package",
                "test",
                "workspaces",
            ],
            &["planning", "surgery"],
            &["inputs"],
            &["state"],
            &["stack"],
            &["builtin"],
            &["plugins", "workspace"],
            &["sources"],
            &["archive", "disk", "host"],
            &["root", "watch"],
            &["failure"],
        ],
    ),
    ("backends/src", &[&["http", "objects", "pg"], &["calls", "settings"], &["holder"]]),
    (
        "registry/src",
        &[
            &["mirror", "origin"],
            &["network", "direct", "folder"],
            &["package"],
            &["client", "lock", "signature"],
            &["hash"],
        ],
    ),
    (
        "cli",
        &[
            &["main"],
            &["commands"],
            &["guard", "invocation", "test_report"],
            &["ui"],
            &["environment", "json", "lines"],
            &["document", "flags", "junit", "view"],
            &["board", "proposal", "screen"],
            &["paint", "terminal", "words"],
            &["exit", "print"],
        ],
    ),
    (
        "engine/src",
        &[
            &["testing", "operations", "validate"],
            &["apply"],
            &["plan"],
            &["ephemeral"],
            &["run"],
            &["event"],
            &["action", "host", "propose", "state"],
        ],
    ),
    (
        "compiler/src",
        &[
            &["encryption"],
            &["backend"],
            &["evaluation"],
            &["provider_meta"],
            &["binding", "config", "origin", "graph", "refactoring"],
            &["program", "console", "literal", "testing"],
            &["lang"],
            &["syntax"],
            &["diag"],
            &["selection"],
            &["addr", "source", "surroundings", "text", "version"],
        ],
    ),
    (
        "value/src",
        &[&["codec", "marks"], &["convert", "size"], &["path", "problem", "schema", "value"], &["number", "set", "ty"]],
    ),
];

const MAX_LINES: usize = 600;

#[test]
fn crates_import_downwards_only() {
    for (name, allowed) in MAY_IMPORT {
        let ours: Vec<String> = dependencies(name)
            .into_iter()
            .filter(|dependency| MAY_IMPORT.iter().any(|(known, _)| known == dependency))
            .collect();
        let forbidden: Vec<&String> =
            ours.iter().filter(|dependency| !allowed.contains(&dependency.as_str())).collect();
        assert!(forbidden.is_empty(), "{name} must not import {forbidden:?}");
    }
    for (name, forbidden) in MUST_NOT {
        let found: Vec<String> =
            dependencies(name).into_iter().filter(|dependency| forbidden.contains(&dependency.as_str())).collect();
        assert!(found.is_empty(), "{name} must not depend on {found:?}");
    }
}

/// The names under `[dependencies]`.
fn dependencies(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join(name).join("Cargo.toml")).expect("a manifest");
    let section = text.split("\n[dependencies]\n").nth(1).unwrap_or_default().split("\n[").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn rooms_import_downwards_only() {
    for (source, floors) in ROOMS {
        let root = repository().join(source);
        let floor_of = |name: &str| floors.iter().position(|floor| floor.contains(&name));
        for file in rust_files(&root) {
            let relative = file.strip_prefix(&root).expect("below").display().to_string();
            let own = relative.split(['/', '.']).next().unwrap_or_default().to_owned();
            // A test may look at a room from above.
            let is_test = relative.ends_with("/tests.rs") || relative.contains("/tests/");
            if is_test || relative == "lib.rs" {
                continue;
            }
            let Some(own_floor) = floor_of(&own) else { panic!("{source}/{own} is on no floor of tests/tidy.rs") };
            let text = std::fs::read_to_string(&file).expect("UTF-8");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for imported in imported(code) {
                if let Some(floor) = floor_of(imported).filter(|_| imported != own) {
                    assert!(floor > own_floor, "{source}/{relative} imports {imported}, which is not below it");
                }
            }
        }
    }
}

/// An application can be called by anything: nothing of it depends on what the process happens to be.
#[test]
fn the_application_has_no_process_of_its_own() {
    let forbidden = ["current_dir(", "env::var", "env::args", "process::exit", "static ", "print!(", "println!("];
    for file in rust_files(&repository().join("app/src")) {
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            let found = forbidden.iter().find(|word| line.replace("&'static ", "").contains(*word));
            assert!(found.is_none(), "{}: {line}", file.display());
        }
    }
}

/// The rooms that a file names: `crate::ROOM`, and `crate::{ROOM, ROOM::..}`.
fn imported(code: &str) -> impl Iterator<Item = &str> {
    code.split("crate::").skip(1).flat_map(|rest| {
        let word =
            |text: &str| text.len() - text.trim_start_matches(|ch: char| ch.is_alphanumeric() || ch == '_').len();
        match rest.strip_prefix('{') {
            None => vec![&rest[..word(rest)]],
            Some(list) => {
                let list = list.split("};").next().unwrap_or_default();
                list.split(',').map(|item| &item.trim()[..word(item.trim())]).collect()
            }
        }
    })
}

#[test]
fn rooms_are_read_from_imports() {
    let code = "use crate::driver::{Machine, Owner};\nuse crate::{\n    bundle::Bundle, field,\n};\nlet x = crate::model::read(1);\n";
    assert_eq!(imported(code).collect::<Vec<_>>(), ["driver", "bundle", "field", "", "model"]);
}

#[test]
fn files_stay_readable() {
    for file in rust_files(&repository()) {
        let lines = std::fs::read_to_string(&file).expect("UTF-8").lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines; split it by what it is about", file.display());
    }
}

/// A file that no `mod` declares is compiled by nobody.
#[test]
fn no_file_is_forgotten() {
    for source in [
        "compiler/src",
        "engine/src",
        "grammar/src",
        "modules/src",
        "proto/src",
        "provider/src",
        "registry/src",
        "value/src",
        "cli",
        "tests",
        "engine/tests",
    ] {
        let root = repository().join(source);
        let files = rust_files(&root);
        let text: String = files.iter().map(|file| std::fs::read_to_string(file).expect("UTF-8")).collect();
        let declared: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.trim().strip_suffix(';'))
            .filter_map(|line| line.rsplit_once("mod ").map(|(_, name)| name.to_owned()))
            .collect();
        for file in files {
            let stem = file.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8").to_owned();
            let is_root = ["lib", "main", "suite", "corpus", "lifecycle"].contains(&stem.as_str());
            assert!(is_root || declared.contains(&stem), "{} is declared nowhere", file.display());
        }
    }
}

#[test]
fn no_test_is_left_out() {
    let forbidden =
        ["#[ign", "should_pan"].map(|start| format!("{start}{}", if start.ends_with("ign") { "ore" } else { "ic" }));
    for file in rust_files(&repository()) {
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        for word in &forbidden {
            assert!(!text.contains(word.as_str()), "{} has {word}", file.display());
        }
    }
}

/// What the documents name exists.
#[test]
fn documents_name_files_that_are_there() {
    let root = repository();
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(root.join(document)).expect("a document");
        for named in text.split('`').skip(1).step_by(2).filter(|word| {
            word.contains('/') && !word.contains([' ', '*', '<', '{', '$', '.'])
                || word.ends_with(".md") && word.contains('/')
        }) {
            let is_ours = named.split('/').next().is_some_and(|first| root.join(first).exists());
            assert!(
                !is_ours || root.join(named.trim_end_matches('/')).exists(),
                "{document} names {named}, which is not there"
            );
        }
    }
}

#[test]
fn generated_code_is_what_the_proto_files_give() {
    // Comparing needs the generator, whose build takes a minute: CI runs `cargo regen -- --check`. Here: the files
    // are there and say where they come from.
    let generated = repository().join("proto/src/gen");
    let names: BTreeMap<String, u64> = std::fs::read_dir(generated)
        .expect("generated files")
        .flatten()
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), entry.metadata().map_or(0, |metadata| metadata.len()))
        })
        .collect();
    assert_eq!(names.keys().collect::<Vec<_>>(), ["lampwright.rs", "plugin.rs", "tfplugin5.rs", "tfplugin6.rs"]);
    assert!(names.values().all(|size| *size > 3_000), "{names:?}");
}

/// Our own Rust files below a folder, but for generated ones.
fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && !matches!(name.as_str(), "target" | "gen" | "node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The policy in the docs and the calls of the driver are the same.
#[test]
fn the_policy_for_aws_names_what_is_called() {
    let mut called = BTreeSet::new();
    let folder = repository().join("provider/src/drivers");
    let mut files = vec![folder.join("aws.rs")];
    let entries = std::fs::read_dir(folder.join("aws")).expect("the driver");
    files.extend(entries.map(|entry| entry.expect("an entry").path()));
    for file in files {
        let text = std::fs::read_to_string(file).expect("a source file");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let words = code.split('"').skip(1).step_by(2).filter(|word| {
            let is_action = [
                "Add",
                "Attach",
                "Authorize",
                "Create",
                "Delete",
                "Deregister",
                "Describe",
                "Modify",
                "Register",
                "Revoke",
                "Run",
                "Start",
                "Stop",
                "Terminate",
            ];
            is_action
                .iter()
                .any(|verb| word.strip_prefix(verb).is_some_and(|rest| rest.starts_with(char::is_uppercase)))
        });
        called.extend(words.filter(|word| !word.ends_with("Result")).map(str::to_owned));
    }
    let policy = std::fs::read_to_string(repository().join("docs/examples/aws-policy.json")).expect("the policy");
    let named = policy
        .split('"')
        .filter_map(|word| word.split_once(':'))
        .filter(|(service, _)| matches!(*service, "ec2" | "elasticloadbalancing"));
    let named: BTreeSet<String> = named.map(|(_, action)| action.to_owned()).collect();
    // ELBv2 asks for this right where something is made with tags.
    called.insert("AddTags".to_owned());
    assert_eq!(named, called);
}
