//! Text on its way from a stack's file to the program that reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::load::{Load, request};
use crate::sandbox::Sandbox;

const APPLY: &[&str] = &["apply", "-auto-approve"];

/// Tells the environment as the application has it. `$_ENV` is empty where PHP's own settings say so.
const PAGE: &str = "<?php
if (isset($_GET['format'])) { header('Content-Type: application/json'); exit('{\"node\":\"' . getenv('LAMPWRIGHT_NODE') . '\"}'); }
header('Content-Type: text/plain');
$all = [];
foreach (getenv() as $name => $value) {
    $same = getenv($name) === $value && ($_SERVER[$name] ?? null) === $value;
    $all[$name] = $same ? $value : 'getenv and $_SERVER differ';
}
echo 'begin', rawurlencode(json_encode($all, JSON_PARTIAL_OUTPUT_ON_ERROR)), 'end';
";

fn stack(sandbox: &Sandbox, values: &BTreeMap<String, String>, database: &str) {
    sandbox.write("stack/app/index.php", PAGE);
    sandbox.write("stack/values.json", &json!(values).to_string());
    let web = format!(
        "resource \"lamp_cluster\" \"web\" {{\n  nodes = 1\n  app   = \"./app\"\n  environment = jsondecode(file(\"values.json\"))\n{database}}}\n"
    );
    let lb =
        "resource \"lb_pool\" \"lb\" {\n  backend = lamp_cluster.web\n}\noutput \"url\" { value = lb_pool.lb.url }\n";
    sandbox.write("stack/main.stack.hcl", &format!("{}{web}{lb}", sandbox.provider_block()));
}

fn environment(url: &str) -> BTreeMap<String, String> {
    let answer = request(url, "GET", "/", "").expect("an answer");
    let (_, text) = answer.body.split_once("begin").unwrap_or_else(|| panic!("{answer:?}"));
    // In chunks, perhaps.
    let text: String = text.lines().filter(|line| !line.is_empty() && line.len() > 6 || line.contains("end")).collect();
    let (text, _) = text.split_once("end").expect("the end");
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits: String = [rest.next(), rest.next()].into_iter().flatten().map(char::from).collect();
                bytes.push(u8::from_str_radix(&digits, 16).expect("two digits"));
            }
            byte => bytes.push(byte),
        }
    }
    let json: Json = serde_json::from_slice(&bytes).expect("JSON");
    let entries = json.as_object().expect("an object").iter();
    entries.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn values() -> BTreeMap<String, String> {
    let written = [
        "",
        "$",
        "$x",
        "$2y$10$abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQR",
        "pa$$w0rd",
        "${HOME}",
        "x${",
        "a\nb",
        "\r\n",
        "\n",
        "a\tb",
        "\\",
        "\\\\",
        "\\'",
        "'",
        "\"",
        "\"\"",
        "#",
        ";",
        "%41",
        "%{x}",
        "\u{1}\u{1f}\u{7f}",
        "\u{85}",
        "\u{2028}",
        "ä漢😀",
        " x ",
        "?>",
        "<?php exit;",
        "null",
        "true",
        "0",
        "$pool",
        "[www]",
        "`id`",
        "$(id)",
    ];
    let mut values: BTreeMap<String, String> =
        written.iter().enumerate().map(|(idx, text)| (format!("V{idx}"), (*text).to_owned())).collect();
    values.insert("PHP_OS".to_owned(), "a name that is a constant".to_owned());
    values.insert("null".to_owned(), "a name that is a word".to_owned());
    values
}

#[test]
fn the_environment_arrives_as_it_was_written() {
    let sandbox = Sandbox::new();
    let values = values();
    let database = "  database = { uri = \"mongodb://x/?a=$${b}\\nc\", machines = null }\n";
    stack(&sandbox, &values, database);
    sandbox.lampwright("stack", APPLY).success();
    let url = sandbox.lampwright("stack", &["output", "-raw", "url"]).success().trim().to_owned();
    let found = environment(&url);
    for (name, value) in &values {
        assert_eq!(found.get(name), Some(value), "{name}");
    }
    assert_eq!(found["DATABASE_URI"], "mongodb://x/?a=${b}\nc");
    // There is nothing to say of its machines: not even that it will be known.
    assert_eq!((found.get("DATABASE_MEMBERS"), found["DATABASE_NAME"].as_str()), (None, "app"));
    let secret = std::fs::read_to_string(sandbox.machine("web-1").join("etc/php-env.php")).expect("a file");
    assert!(!secret.contains("known after apply"), "{secret}");

    // A change of it, while pages are asked for.
    let load = Load::posting(&url, 4, Duration::from_millis(2));
    let changed: BTreeMap<String, String> =
        values.into_iter().map(|(name, value)| (name, format!("${value}"))).collect();
    stack(&sandbox, &changed, "");
    sandbox.lampwright("stack", APPLY).success();
    let answers = load.stop();
    assert_eq!(answers.bad, Vec::<String>::new(), "of {}", answers.good);
    let found = environment(&url);
    assert!(changed.iter().all(|(name, value)| found.get(name) == Some(value)), "{found:?}");
    assert_eq!(found.get("DATABASE_URI"), None);
    sandbox.lampwright("stack", &["destroy", "-auto-approve"]).success();
}

/// What is not honoured is refused with its place; a whole layer has more than is asked for.
#[test]
fn a_key_that_is_not_known_is_refused_at_its_place() {
    let sandbox = Sandbox::new();
    sandbox.write("app/index.php", "<?php\n");
    sandbox.write(
        "main.stack.hcl",
        "resource \"lamp_cluster\" \"web\" {\n  app = \"./app\"\n}\n\nresource \"lb_pool\" \"lb\" {\n  backend  = lamp_cluster.web\n  listener = { port = 443, protocol = \"https\" }\n  health_check = { pathh = \"/\" }\n}\n",
    );
    let error = sandbox.lampwright("", &["validate"]).failure();
    assert!(
        error.contains("main.stack.hcl:7:28") && error.contains("`listener` has no attribute named `protocol`"),
        "{error}"
    );
    assert!(error.contains("main.stack.hcl:8:20") && error.contains("did you mean `path`?"), "{error}");
    assert!(!error.contains("`backend`"), "{error}");
}

/// Also where it comes from another object and is known only then.
#[test]
fn a_name_from_elsewhere_is_refused_at_its_place() {
    let sandbox = Sandbox::new();
    let machines =
        |name: &str| format!("[{{ id = 1, name = {name}, address = \"127.0.0.9\", port = 80, status = \"running\" }}]");
    let lb = format!(
        "resource \"lb_pool\" \"lb\" {{\n  backend = {{ name = \"web\", machines = {} }}\n}}\n",
        machines("var.name")
    );
    sandbox.write("stack/main.stack.hcl", &format!("variable \"name\" {{}}\n{}{lb}", sandbox.provider_block()));
    let plan = |name: &str| sandbox.lampwright("stack", &["plan", "-var", &format!("name={name}")]);
    plan("web-1").success();
    let error = plan("web-1 127.0.0.1:9 check\n    server evil").failure();
    assert!(error.contains("cannot be a name here") && error.contains("main.stack.hcl:10:13"), "{error}");
}

/// A configured value would be hidden by what a client says.
#[test]
fn a_variable_that_the_web_server_sets_is_refused_at_its_place() {
    let sandbox = Sandbox::new();
    sandbox.write("stack/app/index.php", "<?php\n");
    for name in ["HTTP_SECRET", "PATH", "REQUEST_METHOD"] {
        let web = format!(
            "resource \"lamp_cluster\" \"web\" {{\n  app = \"./app\"\n  environment = {{\n    {name} = \"x\"\n  }}\n}}\n"
        );
        sandbox.write("stack/main.stack.hcl", &format!("{}{web}", sandbox.provider_block()));
        let error = sandbox.lampwright("stack", &["validate"]).failure();
        assert!(error.contains(&format!("{name} is what the web server says")), "{error}");
    }
    sandbox.write(
        "stack/main.stack.hcl",
        "resource \"lamp_cluster\" \"web\" {\n  app = \"./app\"\n  environment = { HTTP_PROXY = \"x\", SERVER_ENV = \"y\" }\n}\n",
    );
    sandbox.lampwright("stack", &["validate"]).success();
}
