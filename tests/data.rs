//! What becomes of data: the plan says it, and what it says is so. With real databases.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::bson::{Document, doc};
use serde_json::Value as Json;

use crate::sandbox::Sandbox;
use crate::terraform::{Terraform, program, write_config};

const APPLY: &[&str] = &["apply", "-auto-approve"];
const DESTROY: &[&str] = &["destroy", "-auto-approve"];

fn write_stack(sandbox: &Sandbox, arguments: &str) {
    let resource = format!("resource \"mongo_replset\" \"db\" {{\n  {}\n}}\n", arguments.replace("; ", "\n  "));
    sandbox.write("stack/main.stack.hcl", &format!("{}{resource}", sandbox.provider_block()));
}

fn apply(sandbox: &Sandbox) -> String {
    sandbox.lampwright("stack", APPLY).success()
}

fn plan(sandbox: &Sandbox, args: &[&str]) -> String {
    sandbox.lampwright("stack", &[&["plan"], args].concat()).success()
}

fn uri_in(shown: &str) -> String {
    let state: Json = serde_json::from_str(shown).expect("JSON");
    let resources = state["values"]["root_module"]["resources"].as_array().expect("resources");
    resources[0]["values"]["uri"].as_str().expect("the connection string").to_owned()
}

fn uri(sandbox: &Sandbox) -> String {
    uri_in(&sandbox.lampwright("stack", &["show", "-json"]).success())
}

/// Writes a line into the application's database, as the application does.
fn write_line(uri: &str, text: &str) {
    with_lines(uri, async |lines| drop(lines.insert_one(doc! { "text": text }).await.expect("written by a majority")));
}

fn lines(uri: &str) -> Vec<String> {
    with_lines(uri, async |lines| {
        let mut cursor = lines.find(doc! {}).await.expect("an answer");
        let mut found = Vec::new();
        while cursor.advance().await.expect("more") {
            let line = cursor.deserialize_current().expect("a document");
            found.push(line.get_str("text").expect("a text").to_owned());
        }
        found
    })
}

fn with_lines<T>(uri: &str, work: impl AsyncFnOnce(mongodb::Collection<Document>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = mongodb::Client::with_uri_str(uri).await.expect("a connection string");
        let lines = client.default_database().expect("its database").collection("lines");
        work(lines).await
    })
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

const MEMBERS: [&str; 3] = ["db-1", "db-2", "db-3"];

/// A changed configuration comes into force, on one member after the other, while the application writes.
#[test]
fn a_changed_configuration_is_in_force_on_every_member_and_no_write_is_lost() {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, "members = 3");
    apply(&sandbox);
    let uri = uri(&sandbox);
    let is_done = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (uri, is_done) = (uri.clone(), is_done.clone());
        move || {
            with_lines(&uri, async |lines| {
                let mut written = 0;
                while !is_done.load(Ordering::Relaxed) {
                    lines.insert_one(doc! { "text": format!("line {written}") }).await.expect("written by a majority");
                    written += 1;
                }
                written
            })
        }
    });
    write_stack(&sandbox, "members = 3; cache_gb = 0.5");
    has(&plan(&sandbox, &[]), &["cache_gb", "1 of 3 machines at a time leaves, changes and comes back"]);
    let applied = apply(&sandbox);
    // Somebody changes it by hand on all of them: it comes back, on one after the other, too.
    for member in MEMBERS {
        let file = sandbox.machine(member).join("etc/mongod.conf");
        let text = std::fs::read_to_string(&file).expect("its configuration");
        std::fs::write(file, format!("{text}# by hand\n")).expect("written");
    }
    let repaired = apply(&sandbox);
    is_done.store(true, Ordering::Relaxed);
    let written = writer.join().expect("no write has failed");
    // A member that was restarted last may still be catching up; what counts is what the primary has.
    assert_eq!(lines(&uri.replace("primaryPreferred", "primary")).len(), written);
    for member in MEMBERS {
        has(&applied, &[&format!("{member} restarted")]);
        has(&repaired, &[&format!("{member} is changed by hand"), &format!("{member} restarted")]);
        let log = std::fs::read_to_string(sandbox.machine(member).join("log/mongod.log")).expect("its log");
        let options = log.lines().rfind(|line| line.contains("Options set by command line")).expect("its options");
        has(options, &["\"cacheSizeGB\":0.5"]);
    }
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    sandbox.lampwright("stack", DESTROY).success();
}

/// Where members run the plan says it, before anything is touched; a set that is made has members by then, and goes on
/// when the version is another one.
#[test]
fn a_version_that_is_not_installed_is_refused() {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, "members = 1; version = \"1.2\"");
    let refused = |ran: crate::sandbox::Ran| {
        has(&ran.failure(), &[" is installed, and version 1.2 is required", "version = \"1.2\""]);
    };
    refused(sandbox.lampwright("stack", APPLY));
    write_stack(&sandbox, "members = 1");
    apply(&sandbox);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    let before = sandbox.daemons();
    write_stack(&sandbox, "members = 1; version = \"1.2\"");
    refused(sandbox.lampwright("stack", &["plan"]));
    assert_eq!(sandbox.daemons(), before);
    write_stack(&sandbox, "members = 1");
    sandbox.lampwright("stack", DESTROY).success();
}

/// Whichever of the two is applied first, the old name or the new: the data goes on, and the plan has promised no end of it.
#[test]
fn a_resource_that_is_renamed_hands_its_data_over() {
    for on_destroy in ["delete", "keep"] {
        let sandbox = Sandbox::new();
        let write = |name: &str| {
            let resource = format!(
                "resource \"mongo_replset\" \"{name}\" {{\n  members    = 1\n  name       = \"db\"\n  on_destroy = \"{on_destroy}\"\n}}\n"
            );
            sandbox.write("stack/main.stack.hcl", &format!("{}{resource}", sandbox.provider_block()));
        };
        write("old");
        apply(&sandbox);
        write_line(&uri(&sandbox), "precious");
        write("new");
        apply(&sandbox);
        assert_eq!(sandbox.machines(), ["db-1"]);
        assert_eq!(lines(&uri(&sandbox)), ["precious"], "{on_destroy}");
        assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
        sandbox.lampwright("stack", DESTROY).success();
    }
}

/// The state file was lost, or it is another environment of the same scope: taking its data needs a look.
#[test]
fn data_of_another_state_is_taken_up_with_a_warning() {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, "members = 1");
    apply(&sandbox);
    write_line(&uri(&sandbox), "precious");
    sandbox.lampwright("stack", DESTROY).success();
    std::fs::remove_file(sandbox.join("stack/terraform.tfstate")).expect("removed");
    let plan = plan(&sandbox, &[]);
    let line = plan.lines().find(|line| line.contains("of ANOTHER STATE")).expect(&plan);
    assert!(line.trim_start().starts_with('!'), "{line}");
    apply(&sandbox);
    assert_eq!(lines(&uri(&sandbox)), ["precious"]);
    sandbox.lampwright("stack", DESTROY).success();
}

#[test]
fn data_outlives_its_layer_and_is_taken_up_by_the_next() {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, "members = 3");
    let applied = apply(&sandbox);
    assert!(!applied.contains("takes up") && !applied.contains("kept"), "{applied}");
    write_line(&uri(&sandbox), "precious");

    let place = sandbox.join("m/t/kept").display().to_string();
    let kept = format!("is kept in {place}.");
    let way_back = "The way back: a layer named \"db\" in the scope \"t\" takes it up.";
    let planned = plan(&sandbox, &["-destroy"]);
    has(&planned, &["= mongo_replset.db: database \"app\" (", "iB on db-1, db-2, db-3) ", &kept, way_back]);
    let json = plan(&sandbox, &["-destroy", "-json"]);
    has(&json, &["\"fate\":\"kept\"", "\"layer\":\"local:t/db\""]);
    let destroyed = sandbox.lampwright("stack", DESTROY).success();
    let (_, after) = destroyed.split_once("Destroyed in").expect("it is done");
    has(after, &[&kept, way_back]);
    has(&destroyed, &[&format!("deletes it for good: rm -r {place}/db-1;")]);
    assert_eq!(sandbox.machines(), ["kept"]);
    assert_eq!(sandbox.daemons(), Vec::<i32>::new());
    let mode = |path: &str| std::fs::metadata(sandbox.join(path)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode("m/t/kept"), mode("m/t/kept/db-1/data/credentials.json")), (0o700, 0o400));

    // It is not taken up in silence, and not by fewer.
    let takes_up = "= mongo_replset.db: it takes up the data (";
    has(&plan(&sandbox, &[]), &[takes_up, "that db-1, db-2, db-3 left on 20", "delete it before: rm -r "]);
    write_stack(&sandbox, "members = 2");
    let refused = sandbox.lampwright("stack", &["plan"]).failure();
    has(&refused, &["data would be left out", "The data is on 3 disks, and 2 machines cannot take all of them up"]);
    write_stack(&sandbox, "members = 3");
    has(&apply(&sandbox), &[takes_up]);
    assert_eq!(lines(&uri(&sandbox)), ["precious"]);
    assert_eq!(sandbox.machines(), ["db-1", "db-2", "db-3"]);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    write_line(&uri(&sandbox), "more");

    // Out of the stack is gone, too.
    sandbox.write("stack/main.stack.hcl", &format!("stack \"empty\" {{}}\n{}", sandbox.provider_block()));
    has(&apply(&sandbox), &["= mongo_replset.db: database \"app\" (", &kept]);
    write_stack(&sandbox, "members = 3");
    apply(&sandbox);
    assert_eq!(lines(&uri(&sandbox)), ["precious", "more"]);
    write_stack(&sandbox, "members = 3; on_destroy = \"delete\"");
    apply(&sandbox);
    sandbox.lampwright("stack", DESTROY).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
}

#[test]
fn data_is_deleted_only_by_those_who_were_told() {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, "members = 3; on_destroy = \"delete\"");
    apply(&sandbox);
    write_line(&uri(&sandbox), "gone");

    // A member that leaves: the others have the data.
    write_stack(&sandbox, "members = 1; on_destroy = \"delete\"");
    has(
        &apply(&sandbox),
        &[
            "! mongo_replset.db: the copies of database \"app\" (",
            "iB on db-2, db-3) are DELETED, since what leaves does so for good; the data stays on db-1.",
        ],
    );
    assert_eq!(lines(&uri(&sandbox)), ["gone"]);
    assert_eq!(sandbox.machines(), ["db-1"]);

    // A replacement.
    write_stack(&sandbox, "members = 1; on_destroy = \"delete\"; port = 27018");
    let all = "! mongo_replset.db: ALL DATA of database \"app\" (";
    let why =
        "iB on db-1) is DELETED for good, since port cannot be changed in place, and its `on_destroy` is \"delete\".";
    has(&plan(&sandbox, &[]), &[all, why, "To keep it, apply `on_destroy = \"keep\"` first."]);
    has(&plan(&sandbox, &["-json"]), &["\"fate\":\"deleted\""]);
    let asked = sandbox.lampwright("stack", &["apply"]);
    has(
        &format!("{}{}", asked.stdout, asked.stderr),
        &["Do this, and DELETE database \"app\" (", "for good? There is no way back."],
    );
    apply(&sandbox);
    assert_eq!(lines(&uri(&sandbox)), Vec::<String>::new());
    write_line(&uri(&sandbox), "gone, too");

    has(&plan(&sandbox, &["-destroy"]), &[all, "is DELETED for good, since its `on_destroy` is \"delete\"."]);
    let asked = sandbox.lampwright("stack", &["destroy"]);
    has(&format!("{}{}", asked.stdout, asked.stderr), &["Remove all of this, and DELETE database \"app\" ("]);
    sandbox.lampwright("stack", &["plan", "-destroy", "-out", "p"]).success();
    sandbox.lampwright("stack", &["apply", "p"]).success();
    assert_eq!(sandbox.machines(), Vec::<String>::new());
    apply(&sandbox);
    assert_eq!(lines(&uri(&sandbox)), Vec::<String>::new());
    sandbox.lampwright("stack", DESTROY).success();
}

#[test]
fn a_replacement_goes_on_with_the_data() {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, "members = 3");
    apply(&sandbox);
    write_line(&uri(&sandbox), "precious");
    write_stack(&sandbox, "members = 3; port = 27018");
    let applied = apply(&sandbox);
    let carried = "is kept on its disks, and the replacement takes it up.";
    has(&applied, &["because port cannot be changed in place", "= mongo_replset.db: database \"app\" (", carried]);
    assert!(!applied.contains("! mongo"), "{applied}");
    let uri_now = uri(&sandbox);
    has(&uri_now, &[":27018"]);
    assert_eq!(lines(&uri_now), ["precious"]);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);

    // One whose making failed is replaced, too.
    let state = sandbox.join("stack/terraform.tfstate");
    let text = std::fs::read_to_string(&state).expect("the state");
    let tainted = text.replacen("\"attributes\": {", "\"status\": \"tainted\", \"attributes\": {", 1);
    assert_ne!(text, tainted);
    std::fs::write(&state, tainted).expect("written");
    has(&apply(&sandbox), &["because it was not made completely", "= mongo_replset.db: database \"app\" (", carried]);
    assert_eq!(lines(&uri(&sandbox)), ["precious"]);

    // Its name is on its disks: a set of another name could not go on with them.
    write_stack(&sandbox, "members = 3; port = 27018; replica_set = \"other\"");
    has(&sandbox.lampwright("stack", &["plan"]).failure(), &["name is written on its disks, which are kept"]);

    // Another layer starts empty, and what there was is where it was.
    write_stack(&sandbox, "members = 1; port = 27018; name = \"other\"");
    has(
        &apply(&sandbox),
        &[
            "! mongo_replset.db: database \"app\" (",
            "STAYS BEHIND and the new layer starts EMPTY, since name cannot be changed in place",
        ],
    );
    assert_eq!(sandbox.machines(), ["kept", "other-1"]);
    assert_eq!(lines(&uri(&sandbox)), Vec::<String>::new());
}

#[test]
fn another_database_is_made_beside_the_old_one() {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, "members = 1");
    apply(&sandbox);
    let before = uri(&sandbox);
    write_line(&before, "precious");
    write_stack(&sandbox, "members = 1; database = \"blog\"");
    has(
        &apply(&sandbox),
        &[
            "database app → blog",
            "! mongo_replset.db: the application gets database \"blog\", which is EMPTY if it was not there before; \"app\" STAYS BEHIND",
        ],
    );
    write_line(&uri(&sandbox), "new");
    assert_eq!((lines(&uri(&sandbox)), lines(&before)), (vec!["new".to_owned()], vec!["precious".to_owned()]));
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    has(&plan(&sandbox, &["-destroy"]), &["databases \"app\", \"blog\" ("]);
}

/// The real terraform says it as warnings, and asks about removals, too.
#[test]
fn terraform_is_warned_and_takes_data_up() {
    let Some(program) = program() else { return };
    let sandbox = Sandbox::new();
    let requirement = "terraform {\n  required_providers {\n    lampwright = {\n      source = \"lampwright/lampwright\"\n    }\n  }\n}\n";
    let write = |arguments: &str| {
        let resource =
            format!("resource \"mongo_replset\" \"db\" {{\n  provider = lampwright\n  members = 1\n{arguments}}}\n");
        sandbox.write("stack/main.tf", &format!("{requirement}{}{resource}", sandbox.provider_block()));
    };
    write("");
    write_config(&sandbox);
    let terraform = Terraform { sandbox: &sandbox, program, folder: "stack" };
    let run = |args: &[&str]| {
        let text = terraform.run(&[args, &["-no-color"]].concat()).success();
        text.split_whitespace().map(|word| word.trim_matches('│')).collect::<Vec<_>>().join(" ")
    };
    run(APPLY);
    let uri = || uri_in(&terraform.run(&["show", "-json"]).success());
    write_line(&uri(), "precious");

    write("  port = 27018\n");
    has(&run(&["plan"]), &["Warning: data is kept", "and the replacement takes it up."]);
    run(APPLY);
    assert_eq!(lines(&uri()), ["precious"]);
    terraform.run(&["taint", "mongo_replset.db"]).success();
    has(&run(&["plan"]), &["Warning: data is kept", "and the replacement takes it up."]);
    // Of what it replaces unasked it tells nobody but its user.
    run(&["apply", "-auto-approve", "-replace=mongo_replset.db"]);
    assert_eq!(lines(&uri()), ["precious"]);

    has(&run(&["plan", "-destroy"]), &["Warning: data is kept", "is kept in"]);
    has(&run(DESTROY), &["This deletes it for good: rm -r"]);
    assert_eq!(sandbox.machines(), ["kept"]);
    has(&run(&["plan"]), &["Warning: data is taken up", "it takes up the data ("]);
    run(APPLY);
    assert_eq!(lines(&uri()), ["precious"]);
    assert_eq!(terraform.run(&["plan", "-detailed-exitcode"]).code, 0);

    write("  port = 27018\n  on_destroy = \"delete\"\n");
    run(APPLY);
    has(&run(&["plan", "-destroy"]), &["Warning: ALL DATA is deleted", "is DELETED for good"]);
    run(DESTROY);
    assert_eq!(sandbox.machines(), Vec::<String>::new());
}
