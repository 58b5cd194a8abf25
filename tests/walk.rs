//! Documents that are executed: every command of a walk through gives what the document says.

use std::process::Command;

use crate::sandbox::{Sandbox, repository};

pub(crate) fn walk_through(document: &str, sandbox: &Sandbox) {
    let text = std::fs::read_to_string(repository().join(document)).expect("the document");
    let blocks: Vec<&str> =
        text.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap_or_default()).collect();
    assert!(!blocks.is_empty(), "{document} has no commands");
    let mut folder = String::from(".");
    for step in blocks.iter().flat_map(|block| block.split("$ ").skip(1)) {
        let (command, expected) = step.split_once('\n').expect("a command and what it prints");
        if let Some(inner) = command.strip_prefix("cd ") {
            folder = format!("{folder}/{inner}");
            continue;
        }
        let found = match command.strip_prefix("lampwright ") {
            Some(args) => {
                let args: Vec<&str> = args.split(' ').collect();
                let ran = sandbox.lampwright(&folder, &args);
                let shall_fail = expected.contains("error: ") || expected.contains("\nFailure: ");
                // A status that is not well is no failure.
                let code = if args[0] == "status" && ran.code == 2 { 0 } else { ran.code };
                assert_eq!(code, i32::from(shall_fail), "$ {command}\n{}", ran.stderr);
                format!("{}{}", ran.stdout, ran.stderr)
            }
            None => {
                let mut shell = Command::new("sh");
                let ran = shell.args(["-c", command]).current_dir(sandbox.join(&folder)).output().expect("sh runs");
                let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
                assert!(ran.status.success(), "$ {command}\n{said}");
                said
            }
        };
        let found = found.replace(&sandbox.path().display().to_string(), "/srv");
        assert_eq!(stable(found.trim()), stable(expected.trim()), "$ {command}");
    }
}

/// Times differ from run to run; a digest says no more than the text beside it.
pub(crate) fn stable(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_once("sha256:") {
        Some((before, after)) => {
            format!("{before}sha256:..{}", after.trim_start_matches(|ch: char| ch.is_ascii_hexdigit() || ch == '.'))
        }
        None if word.contains('.') && word.parse::<f32>().is_ok() => "0.0".to_owned(),
        None if is_server(word) => "ADDRESS".to_owned(),
        None => word.to_owned(),
    });
    let text = words.collect::<Vec<_>>().join(" ");
    text.lines().map(stable_status).collect::<Vec<_>>().join("\n")
}

/// `ADDRESS:PORT`, also in a URL.
fn is_server(word: &str) -> bool {
    word.trim_start_matches("\"http://")
        .split_once(':')
        .is_some_and(|(address, _)| address.parse::<std::net::Ipv4Addr>().is_ok())
}

/// A line of `lampwright status`: addresses, digests, times and daemons' own words are those of a run, and columns are as wide
/// as they have to be.
fn stable_status(line: &str) -> String {
    if line.trim_start().starts_with("apache2: ") {
        return "apache2: ..".to_owned();
    }
    let Some((before, after)) = line.split_once("  files ") else { return line.to_owned() };
    let plain = |word: &&str| word.parse::<std::net::Ipv4Addr>().is_err();
    let words: Vec<&str> = before.split_whitespace().filter(plain).collect();
    format!("{} files{}", words.join(" "), if after.contains("since ") { " since" } else { "" })
}
