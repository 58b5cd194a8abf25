//! States and plans that are encrypted where they lie, in OpenTofu's form.

use std::process::Stdio;
use std::time::Duration;

use crate::backends;
use crate::sandbox::{Ran, Sandbox, wait_for};

const APPLY: &[&str] = &["apply", "-auto-approve"];
const PLAN: &[&str] = &["plan", "-detailed-exitcode"];
/// In the outputs, and nowhere on the disk.
const SECRET: &str = "nobody-shall-read-this";

fn block(passphrase: &str, more: &str) -> String {
    format!(
        "encryption {{\n    key_provider \"pbkdf2\" \"one\" {{\n      passphrase = {passphrase}\n    }}\n    method \"aes_gcm\" \"one\" {{\n      keys = key_provider.pbkdf2.one\n    }}\n{more}\n  }}"
    )
}

const TARGETS: &str =
    "    state {\n      method = method.aes_gcm.one\n    }\n    plan {\n      method = method.aes_gcm.one\n    }";

fn write(sandbox: &Sandbox, folder: &str, in_terraform: &str) {
    let outputs = format!(
        "variable \"phrase\" {{ default = \"a phrase of the stack\" }}\noutput \"secret\" {{\n  value     = \"{SECRET}\"\n  sensitive = true\n}}\noutput \"word\" {{ value = \"plain\" }}\n"
    );
    let data = "resource \"terraform_data\" \"many\" {\n  count = 3\n  input = \"nobody-shall-read-this\"\n}\n";
    sandbox.write(&format!("{folder}/main.tf"), &format!("terraform {{\n  {in_terraform}\n}}\n{outputs}{data}"));
}

/// Every file in a folder, its sources aside, that has the secret.
fn leaks(sandbox: &Sandbox, folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![sandbox.join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_none_or(|end| end != "tf") {
                let text = std::fs::read(&path).expect("a file");
                if String::from_utf8_lossy(&text).contains(SECRET) {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    found
}

fn with(sandbox: &Sandbox, folder: &str, args: &[&str], variable: (&str, &str)) -> Ran {
    let mut command = sandbox.lampwright_command(folder, args);
    Ran::of(command.env(variable.0, variable.1).output().expect("lampwright runs"))
}

#[test]
fn nothing_of_a_state_can_be_read_where_it_lies() {
    let sandbox = Sandbox::new();
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    // It was not encrypted until now.
    write(&sandbox, "stack", "");
    run(APPLY).success();
    assert_eq!(leaks(&sandbox, "stack").len(), 1);
    let encrypted = block("var.phrase", TARGETS);
    write(&sandbox, "stack", &encrypted);
    let refused = run(&["plan"]).failure();
    assert!(refused.contains("it is not encrypted, and the stack does not allow that"), "{refused}");
    let taking = "    method \"unencrypted\" \"no\" {}\n    state {\n      method = method.aes_gcm.one\n      fallback {\n        method = method.unencrypted.no\n      }\n    }";
    write(&sandbox, "stack", &block("var.phrase", taking));
    run(APPLY).success();
    assert_eq!(leaks(&sandbox, "stack"), Vec::<String>::new());
    write(&sandbox, "stack", &encrypted);
    assert_eq!(run(PLAN).code, 0);
    // Everybody reads it who has the passphrase, with or without the stack's variables.
    assert_eq!(run(&["output", "-raw", "secret"]).success(), SECRET);
    assert!(run(&["state", "pull"]).success().contains(SECRET));
    assert!(run(&["show"]).success().contains("terraform_data.many[0]"));
    let other = run(&["plan", "-var", "phrase=another phrase, which is wrong"]).failure();
    assert!(
        other.contains(
            "terraform.tfstate: it cannot be decrypted: with key_provider.pbkdf2.one: the passphrase is another one"
        ),
        "{other}"
    );
    assert!(
        with(&sandbox, "stack", &["output"], ("TF_VAR_phrase", "another phrase, which is wrong"))
            .failure()
            .contains("cannot be decrypted")
    );
    // The form is OpenTofu's: these keys and no others, in this order.
    let text = std::fs::read_to_string(sandbox.join("stack/terraform.tfstate")).expect("a state");
    assert!(text.starts_with("{\"serial\":2,\"lineage\":\""), "{text}");
    assert!(
        text.contains("\"meta\":{\"key_provider.pbkdf2.one\":\"") && text.ends_with("\"encryption_version\":\"v0\"}"),
        "{text}"
    );

    // Plans, and journals of runs that were cut off.
    run(&["plan", "-out=saved", "-replace=terraform_data.many[0]"]).success();
    assert_eq!(leaks(&sandbox, "stack"), Vec::<String>::new());
    assert!(run(&["show", "saved"]).success().contains("terraform_data.many[0]"));
    assert!(run(&["apply", "saved"]).success().contains("1 added"));
    let id = run(&["state", "show", "terraform_data.many[0]"]).success();
    let mut child = sandbox.lampwright_command(
        "stack",
        &["apply", "-auto-approve", "-replace=terraform_data.many[0]", "-replace=terraform_data.many[1]"],
    );
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lampwright runs");
    let journal = sandbox.join("stack/terraform.tfstate.journal");
    let has_records = || std::fs::read_to_string(&journal).is_ok_and(|text| text.lines().count() > 1);
    let mut is_over = false;
    wait_for("a journal, or the end", Duration::from_secs(20), || {
        is_over = child.try_wait().expect("a child").is_some();
        is_over || has_records()
    });
    if !is_over {
        child.kill().expect("killed");
    }
    child.wait().expect("it has ended");
    assert_eq!(leaks(&sandbox, "stack"), Vec::<String>::new());
    // It may have been killed before it had replaced anything.
    run(&["apply", "-auto-approve", "-replace=terraform_data.many[0]"]).success();
    assert_eq!((run(PLAN).code, journal.exists()), (0, false));
    assert_ne!(run(&["state", "show", "terraform_data.many[0]"]).success(), id);

    // What goes into another file goes there as it was.
    run(&["state", "mv", "terraform_data.many[2]", "terraform_data.gone", "-state-out=gone.tfstate"]).success();
    assert_eq!(leaks(&sandbox, "stack"), Vec::<String>::new());
    assert!(run(&["state", "pull", "-state=gone.tfstate"]).success().contains(SECRET));
    run(APPLY).success();

    // Into a stack that encrypts nothing it goes as that has it, and not without a word.
    sandbox.write("bare/main.tf", "output \"o\" { value = 1 }\n");
    let told = run(&["state", "mv", "-dry-run", "terraform_data.many[2]", "terraform_data.b", "-stack-out=../bare"]);
    assert!(told.stderr.contains("is not encrypted there"), "{}", told.stderr);
    told.success();

    // Without a word of how, nobody guesses.
    write(&sandbox, "stack", "");
    let refused = run(&["plan"]).failure();
    assert!(
        refused.contains("it is encrypted, and nothing says how") && refused.contains("TF_ENCRYPTION"),
        "{refused}"
    );
    run(&["output"]).failure();
    // A part of it, argument by argument.
    write(&sandbox, "stack", &encrypted.replace("passphrase = var.phrase", "iterations = 600000"));
    assert!(run(&["plan"]).failure().contains("`passphrase` is required here, or in TF_ENCRYPTION"));
    let phrase = "key_provider \"pbkdf2\" \"one\" {\n  passphrase = \"a phrase of the stack\"\n}\nstate {\n  enforced = true\n}\n";
    assert_eq!(with(&sandbox, "stack", PLAN, ("TF_ENCRYPTION", phrase)).code, 0);
    // Half of it is nothing to go on with.
    let state = sandbox.join("stack/terraform.tfstate");
    let whole = std::fs::read(&state).expect("a state");
    std::fs::write(&state, &whole[..200]).expect("written");
    let refused = with(&sandbox, "stack", APPLY, ("TF_ENCRYPTION", phrase)).failure();
    assert!(refused.contains("it is neither a state nor an encrypted one"), "{refused}");
    std::fs::write(&state, &whole).expect("written");
    write(&sandbox, "stack", "");
    // The environment may say all of it.
    let variable = block("\"a phrase of the stack\"", TARGETS);
    let variable = variable.trim_start_matches("encryption {").trim_end_matches('}');
    assert_eq!(with(&sandbox, "stack", PLAN, ("TF_ENCRYPTION", variable)).code, 0);
    assert!(with(&sandbox, "stack", &["output", "secret"], ("TF_ENCRYPTION", variable)).success().contains(SECRET));
}

/// The new key writes, the old one reads, until it is no longer needed.
#[test]
fn keys_are_exchanged() {
    let sandbox = Sandbox::new();
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    write(&sandbox, "stack", &block("\"the key of last year\"", TARGETS));
    run(APPLY).success();
    let both = "    key_provider \"pbkdf2\" \"two\" {\n      passphrase    = file(\"key\")\n      hash_function = \"sha256\"\n      key_length    = 16\n    }\n    method \"aes_gcm\" \"two\" {\n      keys = key_provider.pbkdf2.two\n      aad  = [1, 2, 255]\n    }\n";
    let exchange = "    state {\n      method = method.aes_gcm.two\n      fallback {\n        method = method.aes_gcm.one\n      }\n    }";
    sandbox.write("stack/key", "the key of this year, in a file");
    write(&sandbox, "stack", &block("\"the key of last year\"", &format!("{both}{exchange}")));
    // Also by a plan that was saved: nothing has changed meanwhile.
    let saved = run(&["plan", "-out=saved", "-replace=terraform_data.many[0]"]);
    assert!(saved.stderr.contains("saved is not encrypted, and has what the state has"), "{}", saved.stderr);
    saved.success();
    run(&["apply", "saved"]).success();
    std::fs::remove_file(sandbox.join("stack/saved")).expect("removed");
    run(APPLY).success();
    let text = std::fs::read_to_string(sandbox.join("stack/terraform.tfstate")).expect("a state");
    assert!(text.contains("key_provider.pbkdf2.two") && !text.contains("key_provider.pbkdf2.one"), "{text}");
    let only = "    state {\n      method   = method.aes_gcm.two\n      enforced = true\n    }";
    write(&sandbox, "stack", &block("\"nobody knows it any more\"", &format!("{both}{only}")));
    assert_eq!(run(PLAN).code, 0);
    assert_eq!(leaks(&sandbox, "stack"), Vec::<String>::new());
}

/// A server keeps what it cannot read, and another stack reads it with the key.
#[test]
fn a_server_keeps_what_it_cannot_read() {
    let sandbox = Sandbox::new();
    let (_server, place) = backends::state_server(&sandbox);
    let (backend, at) = place("shop");
    write(&sandbox, "stack", &format!("{backend}\n  {}", block("\"a phrase for the server\"", TARGETS)));
    sandbox.lampwright("stack", APPLY).success();
    let kept = std::process::Command::new("curl").args(["-s", &at]).output().expect("curl runs").stdout;
    let kept = String::from_utf8(kept).expect("UTF-8");
    assert!(kept.contains("\"encrypted_data\"") && !kept.contains(SECRET), "{kept}");
    assert_eq!(leaks(&sandbox, "stack"), Vec::<String>::new());
    assert_eq!(sandbox.lampwright("stack", PLAN).code, 0);
    let data = format!(
        "data \"terraform_remote_state\" \"shop\" {{\n  backend = \"http\"\n  config  = {{ address = \"{at}\" }}\n}}\noutput \"word\" {{ value = data.terraform_remote_state.shop.outputs.word }}\n"
    );
    sandbox.write("other/main.tf", &data);
    assert!(sandbox.lampwright("other", APPLY).failure().contains("it is encrypted, and nothing says how"));
    let reading = "    remote_state_data_sources {\n      remote_state_data_source \"shop\" {\n        method = method.aes_gcm.one\n      }\n    }";
    sandbox.write(
        "other/main.tf",
        &format!("terraform {{\n  {}\n}}\n{data}", block("\"a phrase for the server\"", reading)),
    );
    assert!(sandbox.lampwright("other", APPLY).success().contains("word = \"plain\""));
}

#[test]
fn what_cannot_be_is_refused_at_its_place() {
    let sandbox = Sandbox::new();
    let says = |text: &str, expected: &str| {
        write(&sandbox, "stack", text);
        let refused = sandbox.lampwright("stack", &["plan"]).failure();
        assert!(refused.contains(expected) && refused.contains("main.tf:"), "{expected:?} is not in:\n{refused}");
    };
    says(&block("\"short\"", TARGETS), "a text of at least 16 bytes is required here");
    says(&block("terraform_data.many[0].id", TARGETS), "`terraform_data` cannot be used here");
    says(
        &block("\"long enough for this\"", "    state {\n      method = method.aes_gcm.two\n    }"),
        "there is no `method \"aes_gcm\" \"two\"`",
    );
    says(
        &block("\"long enough for this\"\n      iterations = 1000", TARGETS),
        "a number from 200000 to 50000000 is required here",
    );
    says(&block("\"long enough for this\"\n      chain = 1", TARGETS), "there is no argument `chain` here");
    says(&block("\"long enough for this\"", "    state {}"), "`method` is required here");
    let two = "    state {\n      method = method.aes_gcm.one\n      fallback {\n        method = method.aes_gcm.one\n      }\n      fallback {\n        method = method.aes_gcm.two\n      }\n    }";
    says(&block("\"long enough for this\"", two), "`fallback` is there already");
    says(
        &block(
            "\"long enough for this\"",
            "    method \"unencrypted\" \"no\" {}\n    state {\n      method   = method.unencrypted.no\n      enforced = true\n    }",
        ),
        "`enforced` is set, and one of its methods does not encrypt",
    );
    says(
        "encryption {\n    key_provider \"aws_kms\" \"x\" {}\n    method \"aes_gcm\" \"x\" {\n      keys = key_provider.aws_kms.x\n    }\n    state {\n      method = method.aes_gcm.x\n    }\n  }",
        "there is no key provider \"aws_kms\" here; there is: pbkdf2",
    );
    let wrong = "key_provider \"pbkdf2\" \"k\" { passphrase = \"hunter2\" }\nmethod \"aes_gcm\" \"m\" { keys = key_provider.pbkdf2.k }\nstate { method = method.aes_gcm.m }";
    let refused = with(&sandbox, "stack", &["output"], ("TF_ENCRYPTION", wrong)).failure();
    assert!(
        refused.contains("in TF_ENCRYPTION: a text of at least 16 bytes") && !refused.contains("hunter2"),
        "{refused}"
    );
    // Half of a text is not taken for nothing.
    sandbox.write("stack/main.tf", "terraform {\n  encryption {{\n}\n");
    sandbox.write("plain.json", "{\"version\":4,\"terraform_version\":\"1.11.4\",\"serial\":1,\"lineage\":\"x\",\"outputs\":{},\"resources\":[]}");
    sandbox.lampwright("stack", &["state", "push", "../plain.json"]).failure();
    assert!(!sandbox.join("stack/terraform.tfstate").exists());
    write(&sandbox, "stack", "");
    let refused = with(&sandbox, "stack", &["output"], ("TF_ENCRYPTION", "{}")).failure();
    assert!(refused.contains("it is read in HCL only"), "{refused}");
}
