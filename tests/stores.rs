//! States in object stores, on servers that others have made (tests/testbeds/stores): with leases, with generations.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::backends::{
    Server, at_its_question, certificate, is_shared_with_terraform, keeps_a_state, keeps_workspaces, told_lock, write,
};
use crate::sandbox::{Sandbox, repository};

/// Where `scripts/test` has prepared the servers.
fn bed() -> PathBuf {
    let folder = std::env::var_os("LAMPWRIGHT_TESTBED_STORES");
    let folder = folder.map_or_else(|| PathBuf::from("/var/cache/lampwright/testbeds/stores"), PathBuf::from);
    assert!(
        folder.join("azurerm").exists(),
        "the servers of object stores are not in {}: tests/testbeds/stores/up DIR, and LAMPWRIGHT_TESTBED_STORES=DIR",
        folder.display()
    );
    folder
}

/// A server, and the first lines that it says: where it is.
fn store(args: &[&str], lines: usize) -> (Server, Vec<String>) {
    let mut command = Command::new("python3");
    command.arg(repository().join("tests/testbeds/stores/store.py")).arg(args[0]).arg(bed()).args(&args[1..]);
    let mut server = Server(command.stdout(Stdio::piped()).spawn().expect("python3 runs"));
    let said = BufReader::new(server.0.stdout.take().expect("its output")).lines().take(lines);
    let said: Vec<String> = said.map(|line| line.expect("UTF-8")).collect();
    assert_eq!(said.len(), lines, "it ended");
    (server, said)
}

fn gcs() -> (Server, String) {
    let (server, said) = store(&["gcs"], 1);
    let block = format!(
        "backend \"gcs\" {{\n    bucket                  = \"states\"\n    prefix                  = \"shop\"\n    access_token            = \"anything\"\n    storage_custom_endpoint = \"{}/storage/v1/b\"\n  }}",
        said[0]
    );
    (server, block)
}

/// In base64, "the key of an account of nobody's".
const KEY: &str = "dGhlIGtleSBvZiBhbiBhY2NvdW50IG9mIG5vYm9keSdz";

fn azurerm(more: &str) -> String {
    format!(
        "backend \"azurerm\" {{\n    storage_account_name = \"lampwright\"\n    container_name       = \"states\"\n    key                  = \"shop/terraform.tfstate\"\n    access_key           = \"{KEY}\"\n{more}  }}"
    )
}

/// Somebody releases the lock of a run that waits for an answer: it does not write over what others may have done.
fn tells_of_a_broken_lock(sandbox: &Sandbox, folder: &str) {
    let mut held = at_its_question(sandbox.lampwright_command(folder, &["destroy"]), "to destroy");
    let refused = sandbox.lampwright(folder, &["plan"]).failure();
    sandbox.lampwright(folder, &["force-unlock", "-force", told_lock(&refused)]).success();
    held.stdin.take().expect("its input").write_all(b"yes\n").expect("an answer");
    let ended = held.wait_with_output().expect("it has ended");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("is no longer the one of this run: nobody holds it"), "{said}");
    // What it has done is not lost.
    sandbox.lampwright(folder, &["destroy", "-auto-approve"]).success();
}

#[test]
fn gcs_keeps_a_state() {
    let sandbox = Sandbox::new();
    let (_server, backend) = gcs();
    keeps_a_state(&sandbox, &backend, "gs://states/shop/default.tfstate", true);
    keeps_workspaces(&sandbox, &backend);
    // A service account proves itself by its key.
    let key = Command::new("openssl").args(["genrsa", "2048"]).output().expect("openssl runs").stdout;
    let key = String::from_utf8(key).expect("PEM").replace('\n', "\\n");
    let account = format!(
        "{{\"type\": \"service_account\", \"private_key\": \"{key}\", \"private_key_id\": \"1\", \"client_email\": \"a@b\"}}"
    );
    sandbox.write("account.json", &account);
    let path = sandbox.join("account.json").display().to_string();
    let backend = backend.replace("access_token            = \"anything\"", &format!("credentials = \"{path}\""));
    write(&sandbox, "account", &backend, 0);
    sandbox.lampwright("account", &["apply", "-auto-approve"]).success();
    tells_of_a_broken_lock(&sandbox, "account");
}

#[test]
fn terraform_finds_the_same_state_in_gcs() {
    let sandbox = Sandbox::new();
    let (_server, backend) = gcs();
    is_shared_with_terraform(&sandbox, "gcs", &backend);
}

#[test]
fn azurerm_keeps_a_state() {
    let sandbox = Sandbox::new();
    let (_server, said) = store(&["azurerm"], 2);
    let backend = azurerm(&format!("    blob_endpoint        = \"{}\"\n    snapshot             = true\n", said[0]));
    keeps_a_state(&sandbox, &backend, &format!("{}/states/shop/terraform.tfstate", said[0]), true);
    keeps_workspaces(&sandbox, &backend);
    // Who may do it only because the account says so.
    let signature = format!("sas_token            = \"?{}\"", said[1]);
    write(&sandbox, "signed", &backend.replace(&format!("access_key           = \"{KEY}\""), &signature), 0);
    sandbox.lampwright("signed", &["apply", "-auto-approve"]).success();
    assert!(sandbox.lampwright("signed", &["workspace", "list"]).success().contains("* default"));
    tells_of_a_broken_lock(&sandbox, "signed");
    // What is not there is no empty state.
    write(&sandbox, "wrong", &backend.replace("\"states\"", "\"stales\""), 0);
    let refused = sandbox.lampwright("wrong", &["plan", "-lock=false"]).failure();
    assert!(refused.contains("the store refused to read it: ContainerNotFound"), "{refused}");
}

/// By the names that Azure has, which lead to a server of the test.
#[test]
fn terraform_finds_the_same_state_in_azurerm() {
    let mut sandbox = Sandbox::new();
    certificate(&sandbox, "lampwright.blob.core.windows.net");
    let folder = sandbox.path().display().to_string();
    let (_server, said) = store(&["azurerm", &folder], 3);
    sandbox.environment.push(("HTTPS_PROXY".to_owned(), said[2].clone()));
    sandbox.environment.push(("SSL_CERT_FILE".to_owned(), format!("{folder}/root.pem")));
    is_shared_with_terraform(&sandbox, "azurerm", &azurerm(""));
}
