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
        assert_eq!(stable(found.trim()), stable(expected.trim()), "$ {command}");
    }
}

/// Times, addresses and daemons' own words differ from run to run; a digest says no more than the text beside it.
pub(crate) fn stable(text: &str) -> String {
    let lines = text.lines().map(|line| match line.trim_start().strip_prefix("apache2: ") {
        Some(_) => "apache2: ..",
        None => line,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut is_digest = false;
    let words = text.split(' ').filter(|word| !word.is_empty()).map(|word| match word.split_once("sha256:") {
        Some((before, after)) => {
            format!("{before}sha256:..{}", after.trim_start_matches(|ch: char| ch.is_ascii_hexdigit() || ch == '.'))
        }
        None if word.contains('.') && word.parse::<f32>().is_ok() => "0.0".to_owned(),
        None if word.parse::<std::net::Ipv4Addr>().is_ok() => "0.0.0.0".to_owned(),
        None if std::mem::take(&mut is_digest) => "..".to_owned(),
        None if word == "files" => {
            is_digest = true;
            word.to_owned()
        }
        // `2026-11-27T06:15:17Z`, perhaps at the end of a line.
        None if word.get(10..11) == Some("T") && word.get(19..20) == Some("Z") => format!("..{}", &word[20..]),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}
