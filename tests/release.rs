//! A new release of an application: what the plan shows of it, how it gets to the nodes, and where it stops.

use std::fmt::Write as _;
use std::time::Duration;

use crate::load::{Load, request};
use crate::sandbox::{Sandbox, wait_for};

const APPLY: &[&str] = &["apply", "-auto-approve"];
const EXITCODE: &[&str] = &["plan", "-detailed-exitcode"];
/// Enough that they do not get onto a node between two requests.
const PARTS: usize = 1500;

fn write_stack(sandbox: &Sandbox, nodes: u32) {
    let layers = format!(
        "resource \"lamp_cluster\" \"web\" {{\n  nodes = {nodes}\n  app   = \"./app\"\n}}\nresource \"lb_pool\" \"lb\" {{ backend = lamp_cluster.web }}\noutput \"url\" {{ value = lb_pool.lb.url }}\n"
    );
    sandbox.write("stack/main.stack.hcl", &format!("{}{layers}", sandbox.provider_block()));
}

/// A page that answers 200 only if every part is of its own release.
fn write_release(sandbox: &Sandbox, release: &str) {
    let page = format!(
        "<?php
header('Content-Type: application/json');
for ($i = 0; $i < {PARTS}; $i += 100) {{
    require_once __DIR__ . \"/parts/part$i.php\";
    if (constant(\"PART$i\") !== '{release}') {{ http_response_code(500); exit; }}
}}
echo '{{\"node\":\"', getenv('LAMPWRIGHT_NODE'), '\",\"release\":\"{release}\"}}';
"
    );
    for part in 0..PARTS {
        sandbox.write(
            &format!("stack/app/parts/part{part}.php"),
            &format!("<?php\nconst PART{part} = '{release}';\n// {}\n", "x".repeat(500)),
        );
    }
    sandbox.write("stack/app/index.php", &page);
}

fn url(sandbox: &Sandbox) -> String {
    sandbox.lampwright("stack", &["output", "-raw", "url"]).success().trim().to_owned()
}

fn releases(url: &str, times: usize) -> Vec<String> {
    let mut found: Vec<String> = (0..times)
        .map(|_| match request(url, "GET", "/", "") {
            Ok(answer) if answer.status == 200 => answer.json()["release"].as_str().unwrap_or("?").to_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn a_release_that_does_not_mix_with_the_last_one_loses_no_request() {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, 3);
    write_release(&sandbox, "one");
    sandbox.lampwright("stack", APPLY).success();
    let url = url(&sandbox);
    let load = Load::posting(&url, 4, Duration::from_millis(2));
    write_release(&sandbox, "two");
    let applied = sandbox.lampwright("stack", APPLY).success();
    assert!(applied.contains("1 of 3 machines at a time leaves, changes and comes back"), "{applied}");
    assert_eq!(releases(&url, 6), ["two"]);
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    assert_eq!(answers.by_node.len(), 3, "{:?}", answers.by_node);
    assert_eq!(sandbox.lampwright("stack", EXITCODE).code, 0);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

#[test]
fn a_release_that_breaks_php_is_stopped_at_its_first_node() {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, 3);
    let page = |text: &str| {
        sandbox.write("stack/app/index.php", &format!("<?php\nheader('Content-Type: application/json');\n{text}\n"));
    };
    page("echo '{\"node\":\"', getenv('LAMPWRIGHT_NODE'), '\",\"release\":\"one\"}';");
    sandbox.lampwright("stack", APPLY).success();
    let url = url(&sandbox);
    let load = Load::posting(&url, 2, Duration::from_millis(5));
    page("echo '{\"node\":' . ;");
    let error = sandbox.lampwright("stack", APPLY).failure();
    for part in [
        "the application does not work",
        "On web-1 GET / on port 8080: the answer is 500",
        "PHP Parse error:  syntax error, unexpected token \";\"",
        "htdocs/index.php on line 3",
        "It stays out of the pool until the application works.",
        "The nodes that come after it stay as they are.",
    ] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    // The others serve on, and the next plan says how things stand.
    assert_eq!(releases(&url, 8), ["one"]);
    for node in ["web-2", "web-3"] {
        let on_node = std::fs::read_to_string(sandbox.machine(node).join("htdocs/index.php")).expect("the page");
        assert!(on_node.contains("\"release\":\"one\""), "{node}: {on_node}");
    }
    let plan = sandbox.lampwright("stack", EXITCODE);
    assert_eq!(plan.code, 2);
    assert!(
        plan.stdout.contains("web-1 is unfinished: it is repaired (its last change did not succeed)"),
        "{}",
        plan.stdout
    );
    page("echo '{\"node\":\"', getenv('LAMPWRIGHT_NODE'), '\",\"release\":\"two\"}';");
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(releases(&url, 6), ["two"]);
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    assert_eq!(sandbox.lampwright("stack", EXITCODE).code, 0);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// What a plan shows as "before" is what was installed, whatever has become of the folder that it came from.
#[test]
fn a_plan_shows_the_line_that_was_edited_once_for_all_machines_that_have_it() {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, 3);
    sandbox.write("stack/app/index.php", "<?php\n// the page\necho 'hello';\n");
    sandbox.lampwright("stack", APPLY).success();
    sandbox.write("stack/app/index.php", "<?php\n// the page\necho 'bye';\n");
    let expected = "
      web-1, web-2, web-3  htdocs/index.php  (3 machines)
        @@ -1,3 +1,3 @@
         <?php
         // the page
        -echo 'hello';
        +echo 'bye';
";
    let plan = sandbox.lampwright("stack", &["plan"]).success();
    assert!(plan.contains(expected), "{plan}");
    assert_eq!(plan.matches("bye").count(), 1, "{plan}");
    // A bundle has all files, also those that are as they were.
    sandbox.write("stack/app/other.php", "<?php echo 'new';\n");
    sandbox.lampwright("stack", &["bundle", "../bundle"]).success();
    for (file, text) in [("other.php", "new"), ("livez.php", "alive"), ("index.php", "bye")] {
        let packed = std::fs::read_to_string(sandbox.join("bundle/web-1/htdocs").join(file)).expect(file);
        assert!(packed.contains(text), "{file}: {packed}");
    }
    std::fs::remove_file(sandbox.join("stack/app/other.php")).expect("removed");
    // Another checkout has no copies, and copies that somebody has changed say nothing: the machines are asked.
    sandbox.replace("stack/.lampwright/bundles/web-2/htdocs/index.php", "<?php echo 'mine';\n");
    assert!(sandbox.lampwright("stack", &["plan"]).success().contains(expected));
    std::fs::remove_dir_all(sandbox.join("stack/.lampwright")).expect("removed");
    let plan = sandbox.lampwright("stack", &["plan"]).success();
    assert!(plan.contains(expected), "{plan}");
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// Each source is opened once for a plan, so that all of it sees the same.
#[test]
fn a_plan_opens_every_source_once() {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, 2);
    sandbox.write("stack/app/index.php", "<?php echo 'hello';\n");
    sandbox.lampwright("stack", APPLY).success();
    sandbox.write("stack/app/index.php", "<?php echo 'bye';\n");
    let traced = sandbox.join("trace");
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-y", "-qq", "-s", "256", "-e", "trace=openat", "-o"]).arg(&traced);
    let plan = sandbox.lampwright_command("stack", &["plan"]);
    command.arg(plan.get_program()).args(plan.get_args()).current_dir(sandbox.join("stack"));
    command.env_clear().envs(plan.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = command.output();
    if std::env::var_os("CI").is_none() && ran.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    {
        sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
        return;
    }
    let ran = ran.expect("strace runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let trace = std::fs::read_to_string(&traced).expect("the trace");
    let opened: Vec<&str> = trace.lines().filter(|line| line.contains("/stack/app>, \"index.php\"")).collect();
    let mut shown = String::new();
    opened.iter().for_each(|line| writeln!(shown, "{line}").expect("a String takes everything"));
    assert_eq!(opened.len(), 1, "{shown}");
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// A node that was drained in a run that was cut off is back after the next one.
#[test]
fn a_release_that_was_killed_is_finished_by_the_next_apply() {
    let sandbox = Sandbox::new();
    write_stack(&sandbox, 3);
    write_release(&sandbox, "one");
    sandbox.lampwright("stack", APPLY).success();
    let url = url(&sandbox);
    let load = Load::posting(&url, 2, Duration::from_millis(5));
    write_release(&sandbox, "two");
    for node in ["web-1", "web-2"] {
        let mut apply = sandbox.lampwright_command("stack", APPLY);
        apply.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut apply = apply.spawn().expect("lampwright runs");
        let flag = sandbox.machine(node).join("run/drain");
        wait_for("a node leaves", Duration::from_secs(30), || flag.exists());
        apply.kill().expect("killed");
        apply.wait().expect("ended");
        if node == "web-1" {
            // Whoever goes back is told that a node is out of the pool, and gets it back.
            write_release(&sandbox, "one");
            let plan = sandbox.lampwright("stack", EXITCODE);
            assert_eq!(plan.code, 2, "{}", plan.stdout);
            assert!(plan.stdout.contains("web-1 is unfinished: it is repaired"), "{}", plan.stdout);
            sandbox.lampwright("stack", APPLY).success();
            assert!(!flag.exists());
            assert_eq!(releases(&url, 6), ["one"]);
            write_release(&sandbox, "two");
        }
    }
    sandbox.lampwright("stack", APPLY).success();
    assert_eq!(releases(&url, 9), ["two"]);
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    for node in ["web-1", "web-2", "web-3"] {
        assert!(!sandbox.machine(node).join("run/drain").exists(), "{node}");
    }
    assert_eq!(sandbox.lampwright("stack", EXITCODE).code, 0);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}
