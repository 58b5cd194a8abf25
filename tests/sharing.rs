//! Modules that others reuse: of git repositories by tags, and as archives.

use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use crate::sandbox::{Ran, Sandbox};
use crate::terraform::{Terraform, program, write_config};
use crate::walk::walk_through;

#[test]
fn the_walk_through_is_as_it_is_written() {
    walk_through("docs/modules.md", &Sandbox::new());
}

fn git(folder: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main"]);
    let ran = command.args(args).current_dir(folder).output().expect("git is installed");
    assert!(ran.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// A repository with a module `modules/base`, whose output says which version it is.
fn with_repository() -> Sandbox {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.join("repo")).expect("a folder");
    git(&sandbox.join("repo"), &["init", "--quiet"]);
    for version in ["0.9.0", "1.0.0", "1.1.0", "2.0.0"] {
        release(&sandbox, version);
    }
    git(&sandbox.join("repo"), &["tag", "nightly"]);
    sandbox
}

fn release(sandbox: &Sandbox, version: &str) {
    let module = format!("output \"version\" {{ value = \"{version}\" }}\n");
    sandbox.write("repo/modules/base/main.stack.hcl", &module);
    let repo = sandbox.join("repo");
    git(&repo, &["add", "-A"]);
    git(&repo, &["commit", "--quiet", "-m", version]);
    git(&repo, &["tag", "-f", "-a", "-m", version, &format!("v{version}")]);
}

fn write_stack(sandbox: &Sandbox, query: &str, version: &str) {
    let source = format!("git::file://{}//modules/base{query}", sandbox.join("repo").display());
    let version = if version.is_empty() { String::new() } else { format!("  version = {version:?}\n") };
    let call = format!("module \"base\" {{\n  source = {source:?}\n{version}}}\n");
    sandbox.write("stack/main.stack.hcl", &format!("{call}output \"version\" {{ value = module.base.version }}\n"));
}

fn init(sandbox: &Sandbox) -> Ran {
    sandbox.lampwright("stack", &["init"])
}

/// Which version a plan has.
fn version(sandbox: &Sandbox) -> String {
    let plan = sandbox.lampwright("stack", &["plan"]).success();
    let line = plan.lines().find(|line| line.contains("+ version = ")).expect("the output");
    line.rsplit('"').nth(1).expect("a text").to_owned()
}

#[test]
fn the_newest_right_tag_is_taken_and_kept() {
    let sandbox = with_repository();
    write_stack(&sandbox, "", "~> 1.0");
    insta::assert_snapshot!("git-not-fetched", sandbox.stable(&sandbox.lampwright("stack", &["validate"]).failure()));
    insta::assert_snapshot!("git-init", sandbox.stable(&init(&sandbox).success()));
    assert_eq!(version(&sandbox), "1.1.0");
    let lock = std::fs::read_to_string(sandbox.join("stack/lampwright.lock")).expect("the lock");
    let lock: Json = serde_json::from_str(&lock).expect("JSON");
    let locked = lock["modules"].as_object().expect("modules").values().next().expect("one").clone();
    assert_eq!(locked["reference"], "v1.1.0");
    // A newer one is not taken unasked, also where nothing was fetched yet.
    release(&sandbox, "1.2.0");
    std::fs::remove_dir_all(sandbox.join("stack/.lampwright")).expect("removed");
    init(&sandbox).success();
    assert_eq!(version(&sandbox), "1.1.0");
    // Once it is here, no repository is needed.
    std::fs::rename(sandbox.join("repo"), sandbox.join("away")).expect("moved");
    init(&sandbox).success();
    assert_eq!(version(&sandbox), "1.1.0");
    std::fs::rename(sandbox.join("away"), sandbox.join("repo")).expect("moved");
    sandbox.lampwright("stack", &["init", "-upgrade"]).success();
    assert_eq!(version(&sandbox), "1.2.0");
}

/// As `init`, but for everything else that it does.
#[test]
fn modules_are_fetched_alone_or_not_at_all() {
    let sandbox = with_repository();
    write_stack(&sandbox, "", "~> 1.0");
    let refused = sandbox.lampwright("stack", &["init", "-get=false"]).failure();
    assert!(refused.contains("lampwright init"), "{refused}");
    let told = sandbox.lampwright("stack", &["get", "-no-color"]).success();
    assert!(told.starts_with("Fetching ") && told.ends_with("Stack stack: 2 modules\n"), "{told}");
    assert_eq!(version(&sandbox), "1.1.0");
    release(&sandbox, "1.2.0");
    sandbox.lampwright("stack", &["get", "-update=false"]).success();
    sandbox.lampwright("stack", &["init", "-get=false"]).success();
    assert_eq!(version(&sandbox), "1.1.0");
    sandbox.lampwright("stack", &["get", "-update"]).success();
    assert_eq!(version(&sandbox), "1.2.0");
}

/// Where the digest of the commit stands, a word.
fn without_commits(text: &str) -> String {
    let is_commit = |word: &str| word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split(' ').map(|word| if is_commit(word) { "[commit]" } else { word }).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_was_taken_is_not_changed_in_secret() {
    let sandbox = with_repository();
    write_stack(&sandbox, "", "1.1.0");
    init(&sandbox).success();
    // Files that somebody changed are fetched again.
    let modules = sandbox.join("stack/.lampwright/modules");
    let mut entries = std::fs::read_dir(&modules).expect("modules").map(|entry| entry.expect("an entry").path());
    let fetched = entries.find(|path| path.is_dir()).expect("the module");
    let file = fetched.join("modules/base/main.stack.hcl");
    std::fs::write(&file, "output \"version\" { value = \"mine\" }\n").expect("written");
    init(&sandbox).success();
    assert_eq!(version(&sandbox), "1.1.0");
    // A tag that is another commit now is refused, and what is here goes on being used.
    release(&sandbox, "1.1.0");
    std::fs::write(&file, "changed").expect("written");
    insta::assert_snapshot!("git-moved-tag", without_commits(&sandbox.stable(&init(&sandbox).failure())));
    sandbox.lampwright("stack", &["init", "-upgrade"]).success();
    assert_eq!(version(&sandbox), "1.1.0");
}

#[test]
fn references_are_tags_branches_and_commits() {
    let sandbox = with_repository();
    let commit = Command::new("git").args(["rev-parse", "v0.9.0^{commit}"]).current_dir(sandbox.join("repo")).output();
    let commit = String::from_utf8(commit.expect("git").stdout).expect("text").trim().to_owned();
    for (query, expected) in [
        ("?ref=v1.0.0".to_owned(), "1.0.0"),
        ("?ref=main".to_owned(), "2.0.0"),
        (String::new(), "2.0.0"),
        (format!("?ref={commit}"), "0.9.0"),
        (format!("?ref={}", &commit[..10]), "0.9.0"),
    ] {
        write_stack(&sandbox, &query, "");
        init(&sandbox).success();
        assert_eq!(version(&sandbox), expected, "{query}");
    }
    // What is not used any more is no longer in the lock.
    let lock = std::fs::read_to_string(sandbox.join("stack/lampwright.lock")).expect("the lock");
    assert_eq!(lock.matches("\"commit\"").count(), 1, "{lock}");
}

/// A branch goes on; whoever has the lock takes what was taken.
#[test]
fn a_branch_is_locked_to_its_commit() {
    let sandbox = with_repository();
    for query in ["?ref=main", ""] {
        write_stack(&sandbox, query, "");
        sandbox.lampwright("stack", &["init", "-upgrade"]).success();
        let before = version(&sandbox);
        release(&sandbox, if query.is_empty() { "2.2.0" } else { "2.1.0" });
        std::fs::remove_dir_all(sandbox.join("stack/.lampwright")).expect("removed");
        init(&sandbox).success();
        assert_eq!(version(&sandbox), before, "{query}");
    }
}

#[test]
fn many_may_fetch_at_once() {
    let sandbox = with_repository();
    write_stack(&sandbox, "", "~> 1.0");
    let all: Vec<_> = (0..6)
        .map(|_| {
            let mut command = sandbox.lampwright_command("stack", &["init"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("starts")
        })
        .collect();
    for child in all {
        Ran::of(child.wait_with_output().expect("ends")).success();
    }
    assert_eq!(version(&sandbox), "1.1.0");
    let left = std::fs::read_dir(sandbox.join("stack/.lampwright/modules")).expect("modules").count();
    assert_eq!(left, 2, "the module and the lock");
}

#[test]
fn a_module_stays_in_its_repository() {
    let sandbox = with_repository();
    sandbox.write(
        "repo/modules/base/main.stack.hcl",
        "module \"beside\" {\n  source = \"../beside\"\n}\noutput \"version\" { value = module.beside.version }\n",
    );
    sandbox.write("repo/modules/beside/main.stack.hcl", "output \"version\" { value = \"beside\" }\n");
    let commit = || {
        git(&sandbox.join("repo"), &["add", "-A"]);
        git(&sandbox.join("repo"), &["commit", "--quiet", "-m", "more"]);
        sandbox.lampwright("stack", &["init", "-upgrade"])
    };
    write_stack(&sandbox, "", "");
    commit().success();
    assert_eq!(version(&sandbox), "beside");
    // Nor by a link.
    std::os::unix::fs::symlink("../../..", sandbox.join("repo/modules/out")).expect("a link");
    let refused = commit().failure();
    assert!(refused.contains("the repository has a link modules/out that leads nowhere, or out of it"), "{refused}");
    std::fs::remove_file(sandbox.join("repo/modules/out")).expect("removed");
    sandbox.write("stack/secret/main.stack.hcl", "output \"version\" { value = \"mine\" }\n");
    sandbox.write("repo/modules/beside/main.stack.hcl", "module \"out\" {\n  source = \"../../../../../secret\"\n}\noutput \"version\" { value = module.out.version }\n");
    let refused = commit().failure();
    assert!(refused.contains("module outside of its package"), "{refused}");
}

#[test]
fn sources_that_lead_nowhere_say_so() {
    let mut sandbox = with_repository();
    for (name, query, constraint) in [
        ("no-such-version", "", "~> 3.0"),
        ("no-such-tag", "?ref=v7", ""),
        ("both", "?ref=v1.0.0", "1.0.0"),
        ("no-constraint", "", "newest"),
    ] {
        write_stack(&sandbox, query, constraint);
        insta::assert_snapshot!(format!("git-{name}"), sandbox.stable(&init(&sandbox).failure()));
        assert!(!sandbox.join("stack/lampwright.lock").exists());
    }
    write_stack(&sandbox, "", "1.0.0");
    std::fs::rename(sandbox.join("repo"), sandbox.join("away")).expect("moved");
    let refused = init(&sandbox).failure();
    assert!(refused.contains("git ls-remote: ") && refused.contains("repo"), "{refused}");
    sandbox.write("stack/lampwright.lock", "{");
    let damaged = sandbox.lampwright("stack", &["validate"]).failure();
    assert!(damaged.contains("lampwright.lock is damaged; take it from version control again"), "{damaged}");
    std::fs::remove_file(sandbox.join("stack/lampwright.lock")).expect("removed");
    sandbox.environment.push(("PATH".to_owned(), "/nonexistent".to_owned()));
    let refused = init(&sandbox).failure();
    assert!(refused.contains("git is not installed; install it with: apt-get install git"), "{refused}");
}

/// Terraform knows no versions of git sources: an export has the module as a folder.
#[test]
fn terraform_takes_the_export_of_a_stack_with_a_git_module() {
    let Some(program) = program() else { return };
    let sandbox = with_repository();
    write_stack(&sandbox, "", "~> 1.0");
    init(&sandbox).success();
    sandbox.lampwright(".", &["export", "stack", "exported"]).success();
    let text = std::fs::read_to_string(sandbox.join("exported/main.tf")).expect("main.tf");
    assert!(!text.contains("git::") && !text.contains("version ="), "{text}");
    write_config(&sandbox);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "exported" };
    terraform.run(&["get"]).success();
    assert!(terraform.run(&["plan", "-no-color"]).success().contains("+ version = \"1.1.0\""));
}

fn versioned(module: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.lampwright(".", &["init", "--from", module, "m"]).success();
    let main = sandbox.join("m/main.stack.hcl");
    let text = std::fs::read_to_string(&main).expect("the module");
    std::fs::write(&main, text.replacen('{', "{\n  version     = \"1.2.0\"", 1)).expect("written");
    sandbox
}

#[test]
fn a_module_is_packaged_and_used() {
    let sandbox = versioned("mongo-replset");
    let packaged = sandbox.lampwright("m", &["module", "package"]).success();
    let archive = sandbox.join("m/mongo-replset-1.2.0.tar.gz");
    let first = std::fs::read(&archive).expect("the archive");
    // The same bytes again, wherever it is written to, and without the archive that is there.
    sandbox.lampwright(".", &["module", "package", "m", "--out", "."]).success();
    assert!(std::fs::read(sandbox.join("mongo-replset-1.2.0.tar.gz")).expect("the archive") == first);
    let source = packaged.lines().last().expect("how to use it").to_owned();
    assert!(source.starts_with("source = \"./mongo-replset-1.2.0.tar.gz?checksum=sha256:"), "{packaged}");
    let write = |source: &str| {
        let source = source.replace("./", "../");
        sandbox.write("stack/main.stack.hcl", &format!("module \"db\" {{\n  {source}\n}}\n"));
    };
    write(&source);
    sandbox.write("stack/provider.stack.hcl", &sandbox.provider_block());
    let plan = sandbox.lampwright("stack", &["plan"]).success();
    assert!(plan.contains("3 machines to add on local (3 db)"), "{plan}");
    // What somebody has changed below .lampwright is not used.
    let unpacked = std::fs::read_dir(sandbox.join("stack/.lampwright/modules")).expect("modules").next();
    let unpacked = unpacked.expect("one").expect("an entry").path();
    std::fs::write(unpacked.join("more.stack.hcl"), "output \"more\" { value = 1 }\n").expect("written");
    std::fs::write(unpacked.join("main.stack.hcl"), "nonsense").expect("written");
    sandbox.lampwright("stack", &["plan"]).success();
    assert!(!unpacked.join("more.stack.hcl").exists());
    // Another file of the same name is noticed.
    let mut changed = first.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    std::fs::write(sandbox.join("mongo-replset-1.2.0.tar.gz"), changed).expect("written");
    let refused = sandbox.lampwright("stack", &["plan"]).failure();
    assert!(refused.contains("its checksum is sha256:") && refused.contains("not what is asked for"), "{refused}");
    write("source = \"./mongo-replset-1.2.0.tar.gz\"");
    let refused = sandbox.lampwright("stack", &["plan"]).failure();
    assert!(refused.contains("unreadable module"), "{refused}");
}

#[test]
fn what_is_not_proven_is_not_packaged() {
    let sandbox = Sandbox::new();
    sandbox.lampwright(".", &["init", "--from", "mongo-replset", "m"]).success();
    let package = |sandbox: &Sandbox| sandbox.lampwright("m", &["module", "package"]);
    insta::assert_snapshot!("package-no-version", package(&sandbox).failure());
    let sandbox = versioned("mongo-replset");
    let test = sandbox.join("m/tests/mongo_replset.tftest.hcl");
    let text = std::fs::read_to_string(&test).expect("the test");
    std::fs::write(&test, text.replacen("command", "variables { members = 5 }\n  command", 1)).expect("written");
    let refused = package(&sandbox).failure();
    assert!(refused.contains("the module has no tests, or they do not pass, so it was not packaged"), "{refused}");
    std::fs::remove_dir_all(sandbox.join("m/tests")).expect("removed");
    let refused = package(&sandbox).failure();
    assert!(refused.contains("the module has no tests, or they do not pass, so it was not packaged"), "{refused}");
    let sandbox = versioned("mongo-replset");
    sandbox.write("m/more.stack.hcl", "variable \"more\" {\n  default = 1\n}\n");
    let refused = package(&sandbox).failure();
    assert!(refused.contains("the reference in ./README.md is not that of the module"), "{refused}");
    let sandbox = versioned("mongo-replset");
    sandbox.write("beside/main.stack.hcl", "output \"o\" { value = 1 }\n");
    sandbox.write("m/more.stack.hcl", "module \"beside\" {\n  source = \"../beside\"\n}\n");
    let refused = package(&sandbox).failure();
    assert!(refused.contains("the module beside is in ../beside, outside of this one"), "{refused}");
}

/// Neither values nor what is ignored nor earlier archives get into an archive.
#[test]
fn only_the_module_is_packaged() {
    let sandbox = versioned("mongo-replset");
    let module = sandbox.join("m");
    let packaged = || {
        sandbox.lampwright("m", &["module", "package", "--out", "dist"]).success();
        std::fs::read(sandbox.join("m/dist/mongo-replset-1.2.0.tar.gz")).expect("the archive")
    };
    let first = packaged();
    sandbox.write("m/prod.tfvars", "password = \"secret\"\n");
    assert!(packaged() == first);
    git(&module, &["init", "--quiet"]);
    sandbox.write("m/.gitignore", "out\n*.plan\n");
    sandbox.write("m/out/manifest.json", "{}");
    sandbox.write("m/saved.plan", "secret");
    assert!(packaged() == first);
    let fifo = Command::new("mkfifo").arg(module.join("pipe")).status().expect("mkfifo runs");
    assert!(fifo.success());
    let refused = sandbox.lampwright("m", &["module", "package"]).failure();
    assert!(refused.contains("pipe is neither a file nor a folder"), "{refused}");
}
