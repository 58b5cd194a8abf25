//! Flags, files of values and commands as people know them from Terraform, beside the real one.

use crate::sandbox::Ran;
use crate::terraform::Both;

const STACK: &str = "variable \"a\" { default = \"none\" }\noutput \"o\" { value = var.a }\n";

/// Runs both, whose exit codes are the same; what ours said.
#[track_caller]
fn same(both: &Both, args: &[&str]) -> Ran {
    let ours = both.ours(args);
    if let Some(theirs) = both.theirs() {
        let theirs = theirs.run(args);
        assert_eq!(
            ours.code, theirs.code,
            "{args:?}\n{}{}\n{}{}",
            ours.stdout, ours.stderr, theirs.stdout, theirs.stderr
        );
    }
    ours
}

#[test]
fn what_is_true_or_false_is_written_in_every_form() {
    let both = Both::new(&[("main.tf", STACK)]);
    for word in ["1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"] {
        same(&both, &["plan", &format!("-refresh={word}"), &format!("-lock={word}")]).success();
    }
    for args in [
        &["plan", "-lock", "-refresh", "-input"][..],
        &["plan", "-destroy=false", "-refresh-only=1"],
        &["plan", "-destroy", "-destroy=0", "-refresh-only"],
    ] {
        same(&both, args).success();
    }
    assert_eq!(same(&both, &["plan", "-detailed-exitcode=F"]).code, 0);
    assert_eq!(same(&both, &["plan", "-detailed-exitcode=t"]).code, 2);
    let refused = same(&both, &["plan", "-lock=maybe"]).failure();
    assert_eq!(refused, "error: -lock is true or false, and \"maybe\" is neither\n");
    same(&both, &["plan", "-lock", "false"]).failure();
    // Nobody is there to agree.
    same(&both, &["apply", "-auto-approve", "-auto-approve=false"]).failure();
    same(&both, &["apply", "-auto-approve=true"]).success();
    same(&both, &["workspace", "select", "-or-create=false", "other"]).failure();
    same(&both, &["workspace", "select", "-or-create=1", "other"]).success();
}

#[test]
fn a_time_is_written_in_every_form() {
    let both = Both::new(&[("main.tf", STACK)]);
    for time in ["0", "0s", "1.5s", "1m30s", "-1s"] {
        same(&both, &["plan", &format!("-lock-timeout={time}")]).success();
    }
    for time in ["1", "1 s", "soon", ""] {
        same(&both, &["plan", &format!("-lock-timeout={time}")]).failure();
    }
    let plan = both.ours(&["plan", "-lock-timeout=1m1.5s"]).success();
    assert!(plan.contains("`lampwright apply -lock-timeout=61.5s` does it"), "{plan}");
}

/// The outputs that a plan shows.
fn planned(both: &Both, args: &[&str]) -> String {
    let plan = same(both, &[&["plan"], args].concat()).success();
    let lines = plan.lines().filter_map(|line| line.trim().strip_prefix("+ "));
    lines.filter(|line| line.starts_with("o = ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_may_have_values_for_other_stacks() {
    let both = Both::new(&[("main.tf", STACK)]);
    both.write(&[("terraform.tfvars", "a = \"file\"\nother = \"hunter2\"\n")]);
    both.write(&[("more.tfvars", "third = 1\naa = 2\na = \"more\"\n")]);
    assert_eq!(planned(&both, &[]), "o = \"file\"");
    assert_eq!(planned(&both, &["-var-file=more.tfvars"]), "o = \"more\"");
    let told = both.ours(&["plan", "-var-file=more.tfvars"]).stderr;
    assert_eq!(told.matches("warning: unknown variable").count(), 2, "{told}");
    for part in ["no variable `other` is declared", "no variable `third` is declared", "did you mean `a`?"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
    // What is typed for this stack and no other is an error.
    let refused = same(&both, &["plan", "-var", "aa=1"]).failure();
    assert!(refused.contains("error: unknown variable") && refused.contains("did you mean `a`?"), "{refused}");
    let mut both = both;
    both.sandbox.environment = vec![("TF_VAR_aa".to_owned(), "1".to_owned())];
    both.write(&[("terraform.tfvars", "a = \"file\"\n")]);
    assert_eq!((planned(&both, &[]), both.ours(&["plan"]).stderr), ("o = \"file\"".to_owned(), String::new()));
}

#[test]
fn values_may_be_json() {
    let stack =
        "variable \"a\" {}\nvariable \"l\" { default = [] }\noutput \"o\" { value = jsonencode([var.a, var.l]) }\n";
    let both = Both::new(&[("main.tf", stack)]);
    let given = |name: &str, value: &str| both.write(&[(name, &format!("{{ \"a\": {value} }}\n"))]);
    // No part of a text is evaluated.
    given("terraform.tfvars.json", r#""${upper(\"x\")} %{if} $${y}""#);
    assert_eq!(planned(&both, &[]), r#"o = "[\"$${upper(\\\"x\\\")} %%{if} $$${y}\",[]]""#);
    given("terraform.tfvars.json", r#""b", "l": [1.50, true, null, {"k": "v"}], "//": "a comment""#);
    assert_eq!(planned(&both, &[]), r#"o = "[\"b\",[1.5,true,null,{\"k\":\"v\"}]]""#);
    // The strongest last.
    both.write(&[("terraform.tfvars", "a = \"weak\"\nl = []\n")]);
    given("terraform.tfvars.json", "1");
    assert_eq!(planned(&both, &[]), r#"o = "[1,[]]""#);
    given("b.auto.tfvars.json", "2");
    both.write(&[("a.auto.tfvars", "a = 3\n")]);
    given("other.tfvars.json", "4");
    assert_eq!(planned(&both, &[]), r#"o = "[2,[]]""#);
    both.write(&[("c.auto.tfvars", "a = 5\n")]);
    assert_eq!(planned(&both, &[]), r#"o = "[5,[]]""#);
    assert_eq!(planned(&both, &["-var-file=other.tfvars.json"]), r#"o = "[4,[]]""#);
    assert_eq!(planned(&both, &["-var-file=other.tfvars.json", "-var", "a=6"]), r#"o = "[\"6\",[]]""#);
    for (text, place, told) in [
        ("[1]", "bad.json:1:1\n", "no object with values of variables"),
        ("{\n  \"a\":}", "bad.json:2:7\n", "this is no JSON"),
        ("a = 1", "bad.json:1:1\n", "this is no JSON"),
        ("{\"a\": 1, \"a\": 2}", "bad.json:1:10\n", "`a` has a value already"),
    ] {
        both.write(&[("bad.json", text)]);
        let refused = same(&both, &["plan", "-var-file=bad.json"]).failure();
        assert!(refused.contains(place) && refused.contains(told), "{refused}");
    }
    both.write(&[("more.json", "{\"token\": \"hunter2\", \"a\": 7}")]);
    assert_eq!(planned(&both, &["-var-file=more.json"]), r#"o = "[7,[]]""#);
    let told = both.ours(&["plan", "-var-file=more.json"]).stderr;
    assert!(told.contains("no variable `token` is declared") && !told.contains("hunter2"), "{told}");
}

const OBJECTS: &str = "resource \"terraform_data\" \"one\" { input = 1 }\nresource \"terraform_data\" \"many\" {\n  count = 2\n  input = 1\n}\n";

#[test]
fn an_object_is_marked_and_replaced() {
    let both = Both::new(&[("main.tf", OBJECTS)]);
    same(&both, &["taint", "-allow-missing", "terraform_data.one"]).success();
    same(&both, &["apply", "-auto-approve"]).success();
    let changes = |code| assert_eq!(same(&both, &["plan", "-detailed-exitcode"]).code, code);
    for args in [&["taint", "terraform_data.one"][..], &["taint", "-lock=0", "-lock-timeout=1s", "terraform_data.one"]]
    {
        assert_eq!(same(&both, args).success(), "terraform_data.one is marked: the next apply replaces it.\n");
        changes(2);
    }
    same(&both, &["untaint", "terraform_data.one"]).success();
    changes(0);
    for (args, told) in [
        (&["untaint", "terraform_data.one"][..], "terraform_data.one has no mark"),
        (&["untaint", "-allow-missing", "terraform_data.one"], "terraform_data.one has no mark"),
        (&["taint", "terraform_data.on"], "did you mean terraform_data.one?"),
        (&["taint", "terraform_data.many"], "name one of them: terraform_data.many[0], terraform_data.many[1]"),
        (&["taint", "data.x.y"], "data.x.y is only read"),
        (&["taint", "module.x"], "\"module.x\" is no address of an object"),
        (&["taint", "-state=none", "terraform_data.one"], "it has no objects"),
    ] {
        let refused = same(&both, args).failure();
        assert!(refused.contains(told), "{refused}");
    }
    for name in ["terraform_data.x", "terraform_data.many"] {
        for command in ["taint", "untaint"] {
            let ran = same(&both, &[command, "-allow-missing", name]);
            assert_eq!((ran.code, ran.stderr), (0, format!("note: the state has no {name}, so nothing was changed\n")));
        }
    }
    changes(0);
    same(&both, &["taint", "terraform_data.many[1]"]).success();
    let applied = same(&both, &["apply", "-auto-approve"]).success();
    assert!(applied.contains("1 added, 0 changed, 1 destroyed"), "{applied}");
}

#[test]
fn what_there_is_is_recorded_without_a_question() {
    let both = Both::new(&[("main.tf", STACK)]);
    same(&both, &["apply", "-auto-approve"]).success();
    for args in [&["refresh", "-var", "a=new"][..], &["refresh", "-lock=false", "-parallelism=2", "-input=false"]] {
        let told = same(&both, args).success();
        assert!(told.contains("Recorded"), "{told}");
    }
    same(&both, &["refresh", "-var", "b=1"]).failure();
    // Outputs are recorded, too.
    same(&both, &["refresh", "-var", "a=new"]).success();
    assert_eq!(same(&both, &["output", "-raw", "o"]).success(), "new");
}

#[test]
fn a_saved_plan_takes_the_values_that_it_was_made_with() {
    let stack = "variable \"a\" {}\nvariable \"n\" {\n  type    = number\n  default = 1\n}\nvariable \"l\" {\n  type    = list(string)\n  default = []\n}\noutput \"o\" { value = [var.a, var.n, var.l] }\n";
    let both = Both::new(&[("main.tf", stack)]);
    both.write(&[("one.tfvars", "a = \"one\"\n"), ("two.tfvars", "a = \"two\"\nother = 1\n")]);
    let applied = |planned: &[&str], args: &[&str]| {
        same(&both, &[&["plan", "-out=p"], planned].concat()).success();
        same(&both, &[&["apply"], args, &["p"]].concat())
    };
    let plan = ["-var", "a=one", "-var", "l=[\"x\"]"];
    applied(&plan, &["-var", "l=[ \"x\" ]", "-var-file=one.tfvars"]).success();
    for (args, name) in [
        (&["-var", "a=two"][..], "a"),
        (&["-var", "a=one", "-var-file=two.tfvars"], "a"),
        (&["-var", "n=2"], "n"),
        (&["-var", "l=[]"], "l"),
    ] {
        let refused = applied(&plan, args).failure();
        assert!(refused.contains(&format!("p was made with another value of the variable {name};")), "{refused}");
    }
    let refused = applied(&plan, &["-var", "b=1"]).failure();
    assert!(refused.contains("error: unknown variable"), "{refused}");
    // One that is as by default is the same, too.
    both.ours(&["plan", "-out=p", "-var", "a=two"]).success();
    both.ours(&["apply", "-var", "n=1.0", "p"]).success();
}

#[test]
fn what_init_does_may_be_said() {
    let both = Both::new(&[("main.tf", OBJECTS)]);
    for args in [
        &["init", "-force-copy"][..],
        &["init", "-get=false", "-lock=false", "-lock-timeout=1s", "-input=0"],
        &["init", "-backend=false", "-upgrade=false"],
        &["get", "-update", "-no-color"],
        &["get"],
    ] {
        same(&both, args).success();
    }
    same(&both, &["init", "-migrate-state", "-reconfigure"]).failure();
    same(&both, &["get", "-upgrade"]).failure();
}

#[test]
fn a_command_of_two_words_has_arguments_of_the_environment() {
    let mut both = Both::new(&[("main.tf", OBJECTS)]);
    same(&both, &["apply", "-auto-approve"]).success();
    let with = |both: &mut Both, variables: &[(&str, &str)], args: &[&str]| {
        both.sandbox.environment = variables.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        let ran = same(both, args);
        (ran.code, ran.stdout + &ran.stderr)
    };
    let listed = with(&mut both, &[("TF_CLI_ARGS_state_list", "terraform_data.one")], &["state", "list"]);
    assert_eq!(listed, (0, "terraform_data.one\n".to_owned()));
    let (code, _) = with(&mut both, &[("TF_CLI_ARGS_state_rm", "-surprise")], &["state", "rm", "terraform_data.one"]);
    assert_eq!(code, 1);
    // It would be for `state` alone.
    let (code, told) = with(&mut both, &[("TF_CLI_ARGS_state", "-surprise")], &["state", "list"]);
    assert!(code == 0 && told.contains("note: TF_CLI_ARGS_state has no effect: there is no such command"), "{told}");
    let (_, told) = with(&mut both, &[("TF_CLI_ARGS_login", "-x"), ("TF_CLI_ARGS_cloud", "-x")], &["state", "list"]);
    assert!(told.contains("note: TF_CLI_ARGS_cloud, TF_CLI_ARGS_login have no effect"), "{told}");
    let variables = [("TF_CLI_ARGS_login", ""), ("TF_CLI_ARGS_force_unlock", "-x"), ("TF_CLI_ARGS_module_docs", "-x")];
    let (_, told) = with(&mut both, &variables, &["state", "list"]);
    assert!(!told.contains("note: "), "{told}");
}

#[test]
fn what_is_empty_is_said_to_be() {
    let both = Both::new(&[("main.tf", "variable \"a\" { default = 1 }\n")]);
    let warned = same(&both, &["output"]);
    assert_eq!(warned.code, 0);
    assert!(warned.stderr.contains("warning: no outputs\n") && warned.stdout.is_empty(), "{}", warned.stderr);
    assert_eq!(same(&both, &["output", "-json"]).success(), "{}\n");
    for (args, told) in [
        (&["output", "-json", "url"][..], "the state has no output \"url\". There are no outputs"),
        (&["import", "a.b", "x"], "describe it first. There are no other objects"),
        (&["state", "show", "a.b"], "the state has no a.b; it has no objects"),
    ] {
        let refused = same(&both, args).failure();
        assert!(refused.contains(told), "{refused}");
    }
    for args in [&["state", "replace-provider", "a/b", "c/d"][..], &["status", "web"]] {
        let refused = both.ours(args).failure();
        assert!(refused.contains("There are no objects\n"), "{refused}");
    }
    both.write(&[("main.tf", STACK)]);
    same(&both, &["apply", "-auto-approve"]).success();
    let refused = same(&both, &["output", "p"]).failure();
    assert!(refused.contains("the state has no output \"p\". Did you mean o?"), "{refused}");
    let refused = same(&both, &["output", "address"]).failure();
    assert!(refused.contains("There is: o\n"), "{refused}");
}

#[test]
fn a_saved_plan_says_what_it_is_for() {
    let both = Both::new(&[("main.tf", STACK)]);
    both.ours(&["plan", "-out=p"]).success();
    for flag in ["-destroy", "-refresh-only"] {
        let refused = both.ours(&["apply", flag, "p"]).failure();
        assert_eq!(
            refused,
            format!("error: a saved plan says what it is for; leave {flag} away, or plan again with it\n")
        );
    }
    both.ours(&["apply", "-destroy=false", "-refresh-only=0", "p"]).success();
}

#[test]
fn what_is_wrong_with_a_command_line_is_told_as_it_was_written() {
    let both = Both::new(&[("main.tf", OBJECTS)]);
    let help = both.ours(&["help"]).success();
    for args in [&["help", "--help"][..], &["help", "-help"], &["help", "-h"]] {
        assert_eq!(both.ours(args).success(), help);
    }
    assert!(both.ours(&["help", "plan", "-help"]).success().contains("Usage: lampwright plan"));
    for (args, told) in [
        (&["plan", "-refresh-onl"][..], "a similar argument exists: '-refresh-only'"),
        (&["plan", "-surprise"], "unexpected argument '-surprise' found"),
        (&["plan", "-target=x.y", "-exclude=x.y"], "'-target <ADDRESS>' cannot be used with '-exclude <ADDRESS>'"),
        (&["plan", "-out"], "try '-help'"),
        (&["modules"], "`get` fetches modules"),
    ] {
        let refused = both.ours(args).failure();
        assert!(refused.starts_with("error: ") && refused.contains(told) && !refused.contains("--"), "{refused}");
    }
    for (args, flag) in [
        (&["apply"][..], "-auto-approve"),
        (&["force-unlock", "x"], "-force"),
        (&["state", "replace-provider", "terraform.io/builtin/terraform", "a/b"], "-auto-approve"),
    ] {
        let refused = both.ours(args);
        let told = format!("standard input is at its end; use {flag} to go on without a question");
        assert!(refused.code == 1 && refused.stderr.contains(&told), "{args:?}: {}{}", refused.stdout, refused.stderr);
        both.ours(&["apply", "-auto-approve"]).success();
    }
}

#[test]
fn warnings_may_be_short() {
    let both = Both::new(&[("main.tf", STACK), ("terraform.tfvars", "b = 1\n"), ("c.auto.tfvars", "\nc = 1\n")]);
    let short = "warning: unknown variable at terraform.tfvars:1:5, and 1 more\n";
    for args in [
        &["plan", "-compact-warnings"][..],
        &["apply", "-compact-warnings", "-auto-approve"],
        &["refresh", "-compact-warnings"],
        &["destroy", "-compact-warnings", "-auto-approve"],
    ] {
        let ran = same(&both, args);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, short), "{args:?}: {}", ran.stdout);
    }
    let whole = both.ours(&["plan", "-compact-warnings=false"]).stderr;
    assert!(whole.contains("no variable `c` is declared"), "{whole}");
    // Beside an error all is shown.
    let whole = same(&both, &["plan", "-compact-warnings", "-var", "d=1"]).failure();
    assert!(whole.contains("no variable `c` is declared") && whole.contains("error: unknown variable"), "{whole}");
}

#[test]
fn test_files_are_checked_too() {
    let both = Both::new(&[("main.tf", STACK)]);
    both.write(&[("tests/a.tftest.hcl", "run \"a\" {\n  surprise = 1\n}\n"), ("alt/b.tftest.hcl", "run \"b\" {}\n")]);
    let refused = same(&both, &["validate"]).failure();
    assert!(refused.contains("tests/a.tftest.hcl:2:3"), "{refused}");
    same(&both, &["validate", "-no-tests"]).success();
    same(&both, &["validate", "-test-directory=alt"]).success();
    let ran = same(&both, &["validate", "-test-directory=none"]);
    assert!(ran.code == 0 && ran.stderr.contains("there is no folder none with tests"), "{}", ran.stderr);
    assert_eq!(same(&both, &["validate", "-no-tests", "-test-directory=none"]).stderr, "");
}

#[test]
fn objects_are_found_by_their_id() {
    let both = Both::new(&[("main.tf", OBJECTS)]);
    same(&both, &["apply", "-auto-approve"]).success();
    let shown = both.ours(&["state", "show", "terraform_data.many[1]"]).success();
    let id = shown.lines().find_map(|line| line.trim().strip_prefix("id = \"")).expect("an id").trim_end_matches('"');
    let listed = |args: &[&str]| both.ours(&[&["state", "list"], args].concat()).success();
    assert_eq!(listed(&["-id", id]), "terraform_data.many[1]\n");
    assert_eq!(listed(&["-id", id, "terraform_data.many"]), "terraform_data.many[1]\n");
    assert_eq!(listed(&["-id", id, "terraform_data.one"]), "");
    assert_eq!(same(&both, &["state", "list", "-id=nobody"]).success(), "");
}

#[test]
fn a_state_in_a_file_is_shown_and_begins_a_workspace() {
    let both = Both::new(&[("main.tf", OBJECTS)]);
    same(&both, &["apply", "-auto-approve"]).success();
    for folder in ["ours", "theirs"] {
        let state = both.sandbox.join(&format!("{folder}/terraform.tfstate"));
        if state.exists() {
            std::fs::rename(state, both.sandbox.join(&format!("{folder}/old.tfstate"))).expect("moved");
        }
    }
    let shown = same(&both, &["show", "old.tfstate"]).success();
    assert!(shown.contains("terraform_data.one") && shown.contains("terraform_data.many[1]"), "{shown}");
    let json = same(&both, &["show", "-json", "old.tfstate"]).success();
    assert!(json.contains("\"address\":\"terraform_data.one\""), "{json}");
    for file in ["main.tf", "none"] {
        same(&both, &["show", file]).failure();
    }
    same(&both, &["workspace", "new", "-state=old.tfstate", "-lock=false", "-lock-timeout=1s", "old"]).success();
    assert_eq!(both.objects().len(), 3);
    let refused = same(&both, &["workspace", "new", "-state=none", "empty"]).failure();
    assert!(refused.contains("there is no state in none"), "{refused}");
    assert_eq!(both.ours(&["workspace", "list"]).success(), "  default\n* old\n");
    same(&both, &["workspace", "select", "default"]).success();
    same(&both, &["workspace", "delete", "-lock-timeout=1s", "old"]).failure();
    same(&both, &["workspace", "delete", "-force", "-lock=0", "old"]).success();
}

#[test]
fn the_console_reads_on_until_brackets_are_closed() {
    let both = Both::new(&[("main.tf", OBJECTS)]);
    both.ours(&["apply", "-auto-approve", "-state=other.tfstate"]).success();
    let said = |args: &[&str], lines: &str| {
        both.sandbox.write("lines", lines);
        let lines = std::fs::File::open(both.sandbox.join("lines")).expect("the file");
        let mut command = both.sandbox.lampwright_command("ours", &[&["console"], args].concat());
        Ran::of(command.stdin(lines).output().expect("lampwright runs"))
    };
    assert_eq!(said(&[], "length([\n  1,\n\n  \"]\", # ]\n])\n2\n").success(), "2\n2\n");
    assert_eq!(said(&["-state=other.tfstate"], "[\n  terraform_data.one.input,\n][0]\n").success(), "1\n");
    assert_eq!(said(&[], "terraform_data.one.input\n").success(), "(known after apply)\n");
    let ran = said(&[], "[1\n");
    assert!(ran.code == 1 && ran.stderr.contains("<console>:1:"), "{}", ran.stderr);
}

/// What -json prints, in a file beside the text for people.
#[test]
fn programs_read_along_in_a_file() {
    let sandbox = crate::sandbox::Sandbox::new();
    sandbox.write("stack/main.stack.hcl", "resource \"terraform_data\" \"a\" { input = 1 }\n");
    let run = |args: &[&str]| sandbox.lampwright("stack", args);
    let kinds = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        lines.map(|line| line["type"].as_str().expect("a type").to_owned()).collect()
    };
    let read = || std::fs::read_to_string(sandbox.join("stack/log.jsonl")).expect("the file");
    for args in [&["plan"][..], &["apply", "-auto-approve"], &["refresh"], &["destroy", "-auto-approve"]] {
        let into: Vec<&str> = args.iter().copied().chain(["-json-into=log.jsonl"]).collect();
        let instead: Vec<&str> = args.iter().copied().chain(["-json"]).collect();
        // The same is done twice: what exists is put back in between.
        let backup = std::fs::read(sandbox.join("stack/terraform.tfstate")).ok();
        let expected = kinds(&run(&instead).success());
        let path = sandbox.join("stack/terraform.tfstate");
        match backup {
            Some(bytes) => std::fs::write(&path, bytes).expect("written"),
            None => drop(std::fs::remove_file(&path)),
        }
        let shown = run(&into).success();
        assert!(!shown.contains("\"@level\""), "{shown}");
        assert_eq!(kinds(&read()), expected, "{args:?}");
        assert!(expected.contains(&"version".to_owned()) && expected.contains(&"change_summary".to_owned()));
    }
    // People are asked, and programs learn what came of it.
    let refused = run(&["apply", "-json-into=log.jsonl"]).failure();
    assert!(refused.contains("there is nobody to ask"), "{refused}");
    assert_eq!(kinds(&read()), ["version", "planned_change", "change_summary", "diagnostic", "diagnostic"]);
    assert!(read().contains("\"summary\":\"nothing was changed\""), "{}", read());
    assert_eq!(run(&["validate", "-json-into=log.jsonl"]).success(), "The stack is valid.\n");
    assert!(read().contains("\"valid\": true"), "{}", read());
    for (args, told) in [
        (&["plan", "-json", "-json-into=x"][..], "-json"),
        (&["validate", "-json", "-json-into=x"], "-json"),
        (&["plan", "-json-into=no/such/folder"], "-json-into: cannot write no/such/folder"),
    ] {
        let refused = run(args).failure();
        assert!(refused.contains(told) && refused.starts_with("error: "), "{refused}");
    }
    // Where the stack is, and beside the folder of the command.
    sandbox.lampwright(".", &["-chdir=stack", "plan", "-json-into=there.jsonl"]).success();
    assert!(sandbox.join("stack/there.jsonl").is_file());
}
