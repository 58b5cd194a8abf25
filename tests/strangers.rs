//! A machine that others use, too: what they can get at of ours, and what they can make us do.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::{AuthMechanism, ClientOptions, Credential, ServerAddress};

use crate::sandbox::{Sandbox, no_plugin_in, wait_for};

const APPLY: &[&str] = &["apply", "-auto-approve"];

fn database(sandbox: &Sandbox) {
    let resource = "resource \"mongo_replset\" \"db\" {\n  members = 1\n}\n";
    sandbox.write("stack/main.stack.hcl", &format!("{}{resource}", sandbox.provider_block()));
}

/// The address in a machine's record, once there is one.
fn address(sandbox: &Sandbox, machine: &str) -> Option<String> {
    let record = std::fs::read(sandbox.join("m/t").join(machine).join("machine.json")).ok()?;
    let record: serde_json::Value = serde_json::from_slice(&record).ok()?;
    record["address"].as_str().map(str::to_owned)
}

/// Gives a command to the member at an address; the code of the error, or none if nobody answered.
fn command(address: &str, login: Option<(&str, &str, &str)>, command: Document) -> Result<Document, Option<i32>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut options = ClientOptions::builder()
            .hosts(vec![ServerAddress::Tcp { host: address.to_owned(), port: Some(27017) }])
            .direct_connection(true)
            .server_selection_timeout(Duration::from_millis(500))
            .build();
        options.credential = login.map(|(user, password, source)| {
            let credential = Credential::builder().username(user.to_owned()).password(password.to_owned());
            credential.source(source.to_owned()).mechanism(AuthMechanism::ScramSha256).build()
        });
        let client = mongodb::Client::with_options(options).expect("options");
        let answer = client.database("admin").run_command(command).await;
        client.shutdown().immediate(true).await;
        answer.map_err(|error| match error.kind.as_ref() {
            ErrorKind::Command(command) => Some(command.code),
            _ => None,
        })
    })
}

fn thief() -> Document {
    doc! { "createUser": "thief", "pwd": "x", "roles": ["root"] }
}

fn initiation(address: &str) -> Document {
    doc! { "replSetInitiate": { "_id": "rs0", "members": [{ "_id": 1, "host": format!("{address}:27017") }] } }
}

fn key(machine: &Path) -> Option<String> {
    Some(std::fs::read_to_string(machine.join("etc/keyfile")).ok()?.trim().to_owned())
}

fn admin_password(machine: &Path) -> String {
    let text = std::fs::read_to_string(machine.join("etc/credentials.json")).expect("credentials");
    let credentials: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    credentials["admin_password"].as_str().expect("a password").to_owned()
}

/// Anybody on the machine comes before the first user is made.
#[test]
fn nobody_gets_into_a_database_that_is_being_made() {
    let sandbox = Sandbox::new();
    database(&sandbox);
    let mut apply = sandbox.lampwright_command("stack", APPLY);
    let mut apply = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lampwright runs");
    let (mut let_in, mut refused) = (Vec::new(), 0);
    while apply.try_wait().expect("a child").is_none() {
        let Some(address) = address(&sandbox, "db-1") else { continue };
        for attempt in [thief(), initiation(&address)] {
            match command(&address, None, attempt.clone()) {
                Ok(_) => let_in.push(attempt.to_string()),
                Err(code) => refused += usize::from(code == Some(13)),
            }
        }
    }
    assert!(apply.wait().expect("ended").success());
    assert_eq!(let_in, Vec::<String>::new());
    assert!(refused > 0, "the database was never asked");
    let (member, address) = (sandbox.machine("db-1"), address(&sandbox, "db-1").expect("an address"));
    let admin = admin_password(&member);
    let users = command(&address, Some(("lampwright", &admin, "admin")), doc! { "usersInfo": { "forAllDBs": true } });
    let users = users.expect("the administrator may ask");
    let users =
        users.get_array("users").expect("users").iter().filter_map(|user| user.as_document()?.get_str("user").ok());
    assert_eq!(users.collect::<Vec<_>>(), ["app", "lampwright"]);
    assert_eq!(sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]).code, 0);
    // A member that came with other users than ours is told by every plan.
    command(&address, Some(("lampwright", &admin, "admin")), thief()).expect("made");
    let plan = sandbox.lampwright("stack", &["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    assert!(plan.stderr.contains("thief@admin (root@admin) is in the replica set"), "{}", plan.stderr);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// Somebody who has the key by other means was there first.
#[test]
fn a_new_database_that_somebody_else_has_a_user_in_is_refused() {
    let sandbox = Sandbox::new();
    database(&sandbox);
    let mut apply = sandbox.lampwright_command("stack", APPLY);
    let mut apply = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lampwright runs");
    wait_for("db-1", Duration::from_secs(30), || {
        address(&sandbox, "db-1").is_some_and(|address| command(&address, None, doc! { "hello": 1 }).is_ok())
    });
    apply.kill().expect("killed");
    apply.wait().expect("ended");
    wait_for("the orphaned plugin's end", Duration::from_secs(10), || no_plugin_in(&sandbox));
    let (member, address) = (sandbox.machine("db-1"), address(&sandbox, "db-1").expect("an address"));
    let key = key(&member).expect("the key");
    let member_login = Some(("__system", key.as_str(), "local"));
    // 23: the command that was killed had come so far.
    let initiated = command(&address, member_login, initiation(&address));
    assert!(matches!(initiated, Ok(_) | Err(Some(23))), "{initiated:?}");
    wait_for("a primary", Duration::from_secs(30), || command(&address, member_login, thief()).is_ok());
    let refused = sandbox.lampwright("stack", APPLY).failure();
    assert!(refused.contains("the replica set has users of somebody else's"), "{refused}");
    assert!(refused.contains("thief@admin (root@admin)"), "{refused}");
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}
