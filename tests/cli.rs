//! What people see who type something wrong, or ask for help.

use crate::sandbox::Sandbox;

fn check(sandbox: &Sandbox, args: &[&str]) -> String {
    let ran = sandbox.lampwright(".", args);
    sandbox.stable(&format!("exit {}\n{}{}", ran.code, ran.stdout, ran.stderr))
}

#[test]
fn help_teaches() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!("help", check(&sandbox, &["--help"]));
    insta::assert_snapshot!("help-apply", check(&sandbox, &["apply", "-help"]));
    insta::assert_snapshot!("help-bundle", check(&sandbox, &["bundle", "-help"]));
    insta::assert_snapshot!("help-init", check(&sandbox, &["init", "-help"]));
    insta::assert_snapshot!("help-package", check(&sandbox, &["module", "package", "-help"]));
    insta::assert_snapshot!("help-test", check(&sandbox, &["test", "-help"]));
}

#[test]
fn every_command_has_help() {
    let sandbox = Sandbox::new();
    let help = sandbox.lampwright(".", &["--help"]).success();
    let commands = help.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("commands");
    let commands: Vec<&str> = commands.lines().filter_map(|line| line.split_ascii_whitespace().next()).collect();
    assert!(commands.len() >= 14, "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        let text = sandbox.lampwright(".", &[command, "--help"]).success();
        assert!(text.contains("Usage: lampwright"), "{text}");
    }
}

#[test]
fn a_misspelled_argument_is_found_with_its_meaning() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "main.stack.hcl",
        "stack \"shop\" {}\n\nresource \"lamp_cluster\" \"web\" {\n  app  = \"./app\"\n  node = 2\n}\n",
    );
    insta::assert_snapshot!(check(&sandbox, &["validate"]), @r#"
    exit 1
    error: unknown argument
      ┌─ main.stack.hcl:5:3
      │
    5 │   node = 2
      │   ^^^^ `lamp_cluster` has no argument named `node`
      │
      = did you mean `nodes`? (how many web nodes, a whole number from 0 to 1000 (default: 2))
    "#);
}

#[test]
fn a_provider_points_at_the_source() {
    let sandbox = Sandbox::new();
    sandbox.write("app/index.php", "<?php\n");
    sandbox.write(
        "main.stack.hcl",
        "resource \"lamp_cluster\" \"web\" {\n  app   = \"./app\"\n  nodes = 1001\n}\n\nresource \"lb_pool\" \"lb\" {\n  backend   = lamp_cluster.web\n  algorithm = \"fastest\"\n}\n",
    );
    let out = check(&sandbox, &["validate"]);
    assert!(out.contains("main.stack.hcl:3:11") && out.contains("from 0 to 1000"), "{out}");
    assert!(out.contains("main.stack.hcl:8:15") && out.contains("\"fastest\" is none of: first, "), "{out}");
}

#[test]
fn an_empty_folder_says_what_is_missing() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(check(&sandbox, &["plan"]), @r#"
    exit 1
    error: no configuration
     = the folder "." holds no *.stack.hcl and no *.tf file
     = `lampwright --help` shows how to start
    "#);
}

#[test]
fn a_file_that_is_not_utf8_is_named() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.join("main.stack.hcl"), b"# fine\nx = \"\xff\"\n").expect("a file");
    let out = check(&sandbox, &["validate"]);
    assert!(out.contains("main.stack.hcl:2: this file is not UTF-8 from byte 12 on"), "{out}");
}

#[test]
fn deep_nesting_is_refused_and_nothing_overflows() {
    let sandbox = Sandbox::new();
    for (open, close) in [("(", ")"), ("[", "]"), ("{a=", "}"), ("!", ""), ("f(", ")"), ("true?1:", "")] {
        let depth = 10_000;
        let inner = if close.is_empty() { "true" } else { "1" };
        sandbox.write(
            "main.stack.hcl",
            &format!("output \"x\" {{\n  value = {}{inner}{}\n}}\n", open.repeat(depth), close.repeat(depth)),
        );
        let out = check(&sandbox, &["validate"]);
        assert!(
            out.starts_with("exit 1\n") && out.contains("nested"),
            "{open}: {}",
            out.chars().take(300).collect::<String>()
        );
    }
}

#[test]
fn variables_come_from_everywhere_and_the_last_wins() {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", "variable \"a\" {}\nvariable \"l\" {\n  type = list(string)\n  default = []\n}\noutput \"o\" { value = \"${var.a} ${join(\",\", var.l)}\" }\n");
    sandbox.write("terraform.tfvars", "a = \"file\"\n");
    sandbox.write("more.tfvars", "l = [\"x\", \"y\"]\n");
    let out = |args: &[&str]| {
        let mut all = vec!["apply", "-auto-approve"];
        all.extend(args);
        sandbox.lampwright(".", &all).success();
        sandbox.lampwright(".", &["output", "-raw", "o"]).success()
    };
    assert_eq!(out(&[]), "file ");
    assert_eq!(out(&["-var-file=more.tfvars", "-var", "a=flag"]), "flag x,y");
    assert_eq!(out(&["-var", "l=[\"p\"]"]), "file p");
    let refused = sandbox.lampwright(".", &["plan", "-var", "b=1"]).failure();
    assert!(refused.contains("no such variable is declared"), "{refused}");
}

#[test]
fn a_missing_variable_says_how_to_give_it() {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", "variable \"region\" {\n  description = \"where\"\n}\n");
    let out = check(&sandbox, &["plan"]);
    assert!(out.contains("-var 'region=..'"), "{out}");
}

#[test]
fn the_console_knows_the_stack() {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", "variable \"n\" { default = 2 }\nlocals {\n  twice = var.n * 2\n}\n");
    let mut command = sandbox.lampwright_command(".", &["console"]);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("lampwright runs");
    let lines = "local.twice\n[for i in range(2) : \"n${i}\"]\nupper(\"x\")\nvar.m\n";
    std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), lines.as_bytes()).expect("written");
    let ran = crate::sandbox::Ran::of(child.wait_with_output().expect("ended"));
    assert_eq!(ran.stdout, "4\n[\n  \"n0\",\n  \"n1\",\n]\n\"X\"\n");
    assert!(ran.code == 1 && ran.stderr.contains("there is no variable `m`"), "{}", ran.stderr);
}

#[test]
fn a_saved_plan_is_applied_as_it_was_and_not_when_it_is_stale() {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", "variable \"a\" {}\noutput \"o\" { value = var.a }\n");
    sandbox.lampwright(".", &["plan", "-var", "a=one", "-out", "p"]).success();
    assert!(sandbox.lampwright(".", &["show", "p"]).success().contains("+ o = \"one\""));
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.lampwright(".", &["show", "-json", "p"]).success()).expect("JSON");
    assert_eq!(json["output_changes"]["o"]["after"], "one");
    sandbox.lampwright(".", &["apply", "p"]).success();
    assert_eq!(sandbox.lampwright(".", &["output", "-json"]).success().matches("\"one\"").count(), 1);
    let stale = sandbox.lampwright(".", &["apply", "p"]).failure();
    assert!(stale.contains("is stale: the state has changed"), "{stale}");
}

#[test]
fn apply_without_a_terminal_asks_nobody_and_does_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", "output \"o\" { value = 1 }\n");
    let refused = sandbox.lampwright(".", &["apply"]).failure();
    assert!(refused.contains("use -auto-approve") && refused.contains("nothing was changed"), "{refused}");
    assert!(!sandbox.join("terraform.tfstate").exists());
}

#[test]
fn json_is_one_object_a_line() {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", "output \"o\" { value = 1 }\n");
    let out = sandbox.lampwright(".", &["apply", "-auto-approve", "-json"]).success();
    let type_of = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).expect("JSON")["type"].as_str().expect("a type").to_owned()
    };
    let types: Vec<String> = out.lines().map(type_of).collect();
    assert_eq!(types, ["version", "change_summary", "change_summary"]);
    sandbox.write("main.stack.hcl", "output \"o\" {\n");
    for command in ["plan", "apply"] {
        let ran = sandbox.lampwright(".", &[command, "-json"]);
        let types: Vec<String> = ran.stdout.lines().map(type_of).collect();
        assert_eq!((ran.code, types), (1, vec!["version".to_owned(), "diagnostic".to_owned()]));
    }
    let ran = sandbox.lampwright(".", &["validate", "-json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((ran.code, &json["error_count"]), (1, &1.into()));
    sandbox.write("main.stack.hcl", "output \"o\" { value = nothing.x }\n");
    let ran = sandbox.lampwright(".", &["validate", "-json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        (ran.code, &json["valid"], &json["diagnostics"][0]["range"]["start"]["line"]),
        (1, &false.into(), &1.into())
    );
}

/// What is there already is nobody's to replace.
#[test]
fn a_copy_of_a_module_comes_into_an_empty_place() {
    let sandbox = Sandbox::new();
    sandbox.write("notes.txt", "mine\n");
    std::os::unix::fs::symlink("nowhere", sandbox.join("link")).expect("a link");
    for place in ["notes.txt", "link", "."] {
        let refused = sandbox.lampwright(".", &["init", "--from", "lamp", place]).failure();
        assert!(refused.contains("name a new"), "{refused}");
    }
    assert_eq!(std::fs::read_to_string(sandbox.join("notes.txt")).expect("the file"), "mine\n");
    std::fs::create_dir(sandbox.join("empty")).expect("a folder");
    sandbox.lampwright("empty", &["init", "--from", "lamp", "."]).success();
    assert!(sandbox.join("empty/main.stack.hcl").is_file());
    let names =
        std::fs::read_dir(sandbox.join("empty")).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let hidden: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert_eq!(hidden, [".gitignore"]);
    let ignored = std::fs::read_to_string(sandbox.join("empty/.gitignore")).expect("the file");
    assert!(ignored.contains("*.tfstate\n"), "{ignored}");
}

/// Shells complete commands and flags, and every command has a page of the manual.
#[test]
fn shells_and_the_manual_know_the_commands() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = sandbox.lampwright(".", &["completion", shell]).success();
        assert!(script.contains("lampwright") && script.contains("refresh-only"), "{shell}: {script}");
        sandbox.write(&format!("completion.{shell}"), &script);
    }
    let complete = |words: &str, count: usize| {
        let script = format!(
            ". ./completion.bash; COMP_WORDS=({words}); COMP_CWORD={count}; _lampwright lampwright \"${{COMP_WORDS[{count}]}}\" x; echo \"${{COMPREPLY[@]}}\""
        );
        let output = std::process::Command::new("bash").args(["-c", &script]).current_dir(sandbox.path()).output();
        String::from_utf8(output.expect("bash runs").stdout).expect("UTF-8").trim().to_owned()
    };
    assert_eq!(complete("lampwright pl", 1), "plan");
    assert_eq!(complete("lampwright plan --refresh-o", 2), "--refresh-only");
    sandbox.lampwright(".", &["man", "pages"]).success();
    for page in ["lampwright.1", "lampwright-plan.1", "lampwright-state-mv.1"] {
        let text = std::fs::read_to_string(sandbox.join("pages").join(page)).expect("a page");
        assert!(text.contains(".TH lampwright"), "{page}: {text}");
    }
}

/// What is in docs is in the program, but for decisions.
#[test]
fn documents_are_in_the_program() {
    let sandbox = Sandbox::new();
    let listed = sandbox.lampwright(".", &["docs"]).success();
    assert_eq!(sandbox.lampwright(".", &["help", "topics"]).success(), listed);
    let folder = std::fs::read_dir(crate::sandbox::repository().join("docs")).expect("a folder").flatten();
    let mut names: Vec<String> =
        folder.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".md")?.to_owned())).collect();
    // What functions do stands beside them.
    names.push("functions".to_owned());
    names.sort();
    let topics: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(topics, names);
    for args in [&["help", "planning"][..], &["-chdir=.", "help", "planning"]] {
        assert!(sandbox.lampwright(".", args).success().starts_with("# What a plan is for\n"));
    }
    // A command of the same name is what is meant.
    assert!(sandbox.lampwright(".", &["help", "state"]).success().contains("Usage"));
    assert!(sandbox.lampwright(".", &["docs", "state"]).success().contains("# Where the state is"));
    assert!(sandbox.lampwright(".", &["docs", "planing"]).failure().contains("did you mean planning?"));
    let functions = sandbox.lampwright(".", &["docs", "functions"]).success();
    assert!(
        functions.lines().any(|line| line.starts_with("timeadd ")) && functions.lines().count() > 118,
        "{functions}"
    );
    insta::assert_snapshot!("docs_of_a_function", sandbox.lampwright(".", &["help", "timeadd"]).success());
    assert!(sandbox.lampwright(".", &["docs", "timead"]).failure().contains("did you mean timeadd?"));
}
