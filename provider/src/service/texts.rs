//! Every attribute that takes text is given every text that could mean something in a file, and the daemons say what
//! they have read.

mod daemons;

use std::collections::BTreeSet;
use std::path::Path as FsPath;

use serde_json::{Value as Json, json};
use value::codec::json::decode_plain;
use value::convert::convert;
use value::schema::{Attribute, AttributeTy, Block};
use value::{Path, Step, Ty, Value};

use super::Service;
use crate::bundle::encode;
use crate::context::Context;
use crate::resource::AnyResource;
use crate::resources;
use daemons::{Fpm, Haproxy, mongod_reads, sh_reads};

/// How many texts are made by chance, besides those that are written out.
const BY_CHANCE: usize = 200;

/// Where the text of an attribute gets to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Gets {
    /// A variable of the application's environment has it, between two others.
    Variable(&'static str, &'static str, &'static str),
    /// It is what HAProxy asks its servers for.
    CheckPath,
    /// It is the name or address of a server or pool of HAProxy's.
    Haproxy,
    Mongod,
    /// It is a page, and what httpd answers 404 for when the node leaves.
    Page,
    /// It is a folder on this machine; reading all that is called so is no test.
    Folder,
    /// Into no file: it is looked up, or sent to a cloud's API as JSON or a form.
    Nowhere,
}

/// Every attribute that takes text. `[]` is an element of a list, `{}` the value of a map.
const ATTRIBUTES: &[(&str, &str, Gets)] = &[
    ("lamp_cluster", "app", Gets::Folder),
    ("lamp_cluster", "cloud", Gets::Nowhere),
    ("lamp_cluster", "database.cloud", Gets::Nowhere),
    ("lamp_cluster", "database.database", Gets::Variable("DATABASE_NAME", "", "")),
    ("lamp_cluster", "database.id", Gets::Nowhere),
    ("lamp_cluster", "database.machines[].address", Gets::Variable("DATABASE_MEMBERS", "db-1=", ":27017")),
    ("lamp_cluster", "database.machines[].name", Gets::Variable("DATABASE_MEMBERS", "", "=127.10.3.1:27017")),
    ("lamp_cluster", "database.machines[].status", Gets::Nowhere),
    ("lamp_cluster", "database.uri", Gets::Variable("DATABASE_URI", "", "")),
    ("lamp_cluster", "environment{}", Gets::Variable("KEY", "", "")),
    ("lamp_cluster", "health_check.path", Gets::Page),
    ("lamp_cluster", "image", Gets::Nowhere),
    ("lamp_cluster", "name", Gets::Nowhere),
    ("lamp_cluster", "os", Gets::Nowhere),
    ("lamp_cluster", "size", Gets::Nowhere),
    ("lb_pool", "algorithm", Gets::Haproxy),
    ("lb_pool", "backend.cloud", Gets::Nowhere),
    ("lb_pool", "backend.health_check.path", Gets::CheckPath),
    ("lb_pool", "backend.id", Gets::Nowhere),
    ("lb_pool", "backend.machines[].address", Gets::Haproxy),
    ("lb_pool", "backend.machines[].name", Gets::Haproxy),
    ("lb_pool", "backend.machines[].status", Gets::Nowhere),
    ("lb_pool", "backend.name", Gets::Haproxy),
    ("lb_pool", "cloud", Gets::Nowhere),
    ("lb_pool", "health_check.path", Gets::CheckPath),
    ("lb_pool", "image", Gets::Nowhere),
    ("lb_pool", "kind", Gets::Nowhere),
    ("lb_pool", "name", Gets::Nowhere),
    ("lb_pool", "os", Gets::Nowhere),
    ("lb_pool", "size", Gets::Nowhere),
    ("mongo_replset", "archive.sha256", Gets::Nowhere),
    ("mongo_replset", "archive.url", Gets::Nowhere),
    ("mongo_replset", "cloud", Gets::Nowhere),
    ("mongo_replset", "database", Gets::Nowhere),
    ("mongo_replset", "image", Gets::Nowhere),
    ("mongo_replset", "name", Gets::Nowhere),
    ("mongo_replset", "on_destroy", Gets::Nowhere),
    ("mongo_replset", "os", Gets::Nowhere),
    ("mongo_replset", "replica_set", Gets::Mongod),
    ("mongo_replset", "size", Gets::Nowhere),
    ("mongo_replset", "version", Gets::Nowhere),
    ("provider", "bundle_dir", Gets::Nowhere),
    ("provider", "cloud.driver", Gets::Nowhere),
    ("provider", "cloud.settings{}", Gets::Nowhere),
    ("provider", "default_cloud", Gets::Nowhere),
    ("provider", "scope", Gets::Nowhere),
];

#[test]
fn every_attribute_that_takes_text_is_known_here() {
    let mut found = BTreeSet::new();
    let mut schemas: Vec<(&str, Block)> = vec![("provider", super::provider_schema().block)];
    schemas.extend(resources::all().iter().map(|resource| (resource.name(), resource.schema().block)));
    for (of, block) in &schemas {
        of_block(block, "", &mut |path| found.extend([format!("{of} {path}")]));
    }
    let known: BTreeSet<String> = ATTRIBUTES.iter().map(|(of, path, _)| format!("{of} {path}")).collect();
    assert_eq!(found, known);
}

fn of_block(block: &Block, at: &str, tell: &mut dyn FnMut(String)) {
    of_attributes(block.attributes.iter(), at, tell);
    for (name, nested) in &block.blocks {
        of_block(&nested.block, &format!("{at}{name}."), tell);
    }
}

fn of_attributes<'a>(
    attributes: impl Iterator<Item = (&'a std::sync::Arc<str>, &'a Attribute)>,
    at: &str,
    tell: &mut dyn FnMut(String),
) {
    for (name, attribute) in attributes.filter(|(_, attribute)| attribute.required || attribute.optional) {
        match &attribute.ty {
            AttributeTy::Plain(ty) => of_ty(ty, &format!("{at}{name}"), tell),
            AttributeTy::Nested { attributes, .. } => of_attributes(attributes.iter(), &format!("{at}{name}."), tell),
        }
    }
}

fn of_ty(ty: &Ty, at: &str, tell: &mut dyn FnMut(String)) {
    match ty {
        Ty::String => tell(at.to_owned()),
        Ty::List(element) | Ty::Set(element) => of_ty(element, &format!("{at}[]"), tell),
        Ty::Map(element) => of_ty(element, &format!("{at}{{}}"), tell),
        Ty::Tuple(elements) => elements.iter().for_each(|element| of_ty(element, &format!("{at}[]"), tell)),
        Ty::Object(object) => {
            object.attributes.iter().for_each(|(name, ty)| of_ty(ty, &format!("{at}.{name}"), tell));
        }
        Ty::Dynamic | Ty::Bool | Ty::Number => {}
    }
}

/// What could mean something to somebody, and texts made of it.
fn texts() -> Vec<String> {
    let mut pieces: Vec<String> = (0..0x20).chain(0x7f..0xa1).filter_map(char::from_u32).map(String::from).collect();
    let written = [
        "'",
        "\"",
        "`",
        "\\",
        "$",
        "${HOME}",
        "$HOME",
        "$(id)",
        "$pool",
        "${",
        "}",
        "%",
        "%41",
        "%{HTTP_HOST}",
        "%[src]",
        "#",
        ";",
        "\r\n",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "\u{fffe}",
        "ä",
        "漢",
        "😀",
        " ",
        "  ",
        "&",
        "|",
        "<",
        ">",
        "*",
        "?",
        "[www]",
        "{",
        "=",
        ":",
        ": ",
        "- ",
        ",",
        "!",
        "~",
        "@",
        "null",
        "true",
        "no",
        "1e3",
        "0x10",
        "1.5",
        "PHP_OS",
        "E_ALL",
        "$2y$10$abcdefghijklmnopqrstuv",
        "?>",
        "<?php",
        "*/",
        "//",
        "EOF",
        "\\n",
        "\\'",
        "\\\"",
        "\\\\",
        "''",
        "'\\''",
        "--",
        "...",
        "a",
        "web-1",
        "/",
        "/livez.php",
        "../",
        "127.0.0.1",
        "(known after apply)",
    ];
    pieces.extend(written.map(str::to_owned));
    let mut random = fastrand::Rng::with_seed(20_26);
    let mut texts = vec![String::new(), "y".repeat(100_000), "'\\\"$".repeat(5_000)];
    for piece in &pieces {
        texts.extend([piece.clone(), format!("a{piece}b"), format!("/{piece}")]);
    }
    for _ in 0..BY_CHANCE {
        let n = random.usize(2..9);
        texts.push((0..n).map(|_| pieces[random.usize(..pieces.len())].as_str()).collect());
    }
    texts
}

/// A fine configuration, with one text in it.
fn config(of: &str, app: &FsPath) -> Json {
    let machine = |name: &str, address: &str, port: u16| json!([{ "id": 1, "name": name, "address": address, "port": port, "status": "running" }]);
    match of {
        "lamp_cluster" => json!({
            "app": app, "name": "web", "environment": { "KEY": "x" }, "health_check": { "path": "/livez.php" },
            "database": { "uri": "mongodb://x", "database": "app", "id": "s/db", "cloud": "local", "machines": machine("db-1", "127.10.3.1", 27017) },
        }),
        "lb_pool" => json!({
            "name": "lb", "algorithm": "roundrobin", "health_check": {},
            "backend": { "name": "web", "id": "s/web", "cloud": "local", "machines": machine("web-1", "127.99.2.1", 8080), "health_check": { "path": "/livez.php" } },
        }),
        _ => json!({
            "name": "db", "replica_set": "rs0", "database": "app", "version": "6.0",
            "archive": { "url": "https://db.example/mongod.tgz", "sha256": "0".repeat(64) },
        }),
    }
}

fn set(config: &mut Json, path: &str, text: &str) {
    let pointer = format!("/{}", path.replace("[]", "/0").replace("{}", "/KEY").replace('.', "/"));
    let (parent, name) = pointer.rsplit_once('/').expect("a slash");
    config.pointer_mut(parent).unwrap_or_else(|| panic!("nothing at {parent}"))[name] = json!(text);
}

fn as_config(resource: &dyn AnyResource, config: &Json) -> Value {
    let block = resource.schema().block;
    let entries = block.attributes.iter().map(|(name, attribute)| {
        let written = config.get(&**name).unwrap_or(&Json::Null);
        (name.clone(), convert(&decode_plain(written), &attribute.config_ty()).expect("it fits"))
    });
    Value::object(entries)
}

/// The attribute's place, as a problem names it.
fn place(path: &str) -> Path {
    let steps = path.split('.').flat_map(|part| {
        let name = part.trim_end_matches("[]").trim_end_matches("{}");
        let rest = &part[name.len()..];
        let below = match rest {
            "[]" => Some(Step::Index(0)),
            "{}" => Some(Step::Key("KEY".into())),
            _ => None,
        };
        std::iter::once(Step::Attribute(name.into())).chain(below)
    });
    Path(steps.collect())
}

fn context(root: &FsPath) -> Context {
    let service = Service::new();
    let settings = Value::map(Ty::String, [("root", Value::string(root.to_str().expect("UTF-8")))]);
    let cloud = Value::object([("driver", Value::string("local")), ("settings", settings)]);
    let config = Value::object([("scope", Value::string("t")), ("cloud", Value::object([("local", cloud)]))]);
    assert!(service.configure(&config).is_empty());
    service.context(None).expect("configured")
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("lw").tempdir_in("/tmp").expect("a folder");
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("permissions");
    folder
}

/// Refused at its place, or read by the daemon as it was written.
#[test]
fn a_text_arrives_as_it_was_written_or_is_refused_at_its_place() {
    let folder = folder();
    let app = folder.path().join("app");
    std::fs::create_dir(&app).expect("a folder");
    std::fs::write(app.join("index.php"), "<?php\n").expect("a file");
    let context = context(folder.path());
    let resources = resources::all();
    let resource = |of: &str| resources.iter().find(|resource| resource.name() == of);
    let layout = |name: &str| folder.path().join("t").join(name);
    let bundle = |of: &str, config: &Json| {
        let resource = &**resource(of).expect("a resource");
        resource.bundle(&context, &as_config(resource, config))
    };
    let fpm = Fpm::start(&layout("web-1"), &bundle("lamp_cluster", &config("lamp_cluster", &app)).expect("fine"));
    let (mut cases, mut carried, mut asked) = (0, 0, 0);
    for (of, path, gets) in ATTRIBUTES {
        // What the provider itself is told is checked by its own tests.
        if resource(of).is_none() || *gets == Gets::Folder {
            continue;
        }
        let plain = bundle(of, &config(of, &app)).expect("a fine configuration");
        for text in texts() {
            cases += 1;
            let mut config = config(of, &app);
            set(&mut config, path, &text);
            let rendered = match bundle(of, &config) {
                Ok(rendered) => rendered,
                Err(problems) => {
                    let is_there = problems.iter().any(|problem| problem.path == place(path));
                    assert!(is_there, "{of}.{path} = {text:?}: {problems:?}");
                    continue;
                }
            };
            carried += 1;
            assert_eq!(rendered.has_unknowns, plain.has_unknowns, "{of}.{path} = {text:?}");
            match gets {
                Gets::Folder => {}
                Gets::Page => {
                    assert!(rendered.files.contains_key(&format!("htdocs{text}")), "{text:?}");
                    daemons::httpd_takes(&layout("web-1"), &rendered, &text);
                }
                Gets::Nowhere => assert_eq!(rendered.digest(), plain.digest(), "{of}.{path} = {text:?}"),
                Gets::Variable(name, before, after) => {
                    asked += 1;
                    fpm.expect(&rendered, name, &format!("{before}{text}{after}"));
                }
                Gets::CheckPath => {
                    asked += 1;
                    assert_eq!(Haproxy::asks_for(&layout("lb-1"), &rendered), format!("GET {text} HTTP/1.1"));
                }
                Gets::Haproxy => {
                    let file = String::from_utf8(rendered.files["etc/haproxy.cfg"].content.to_vec()).expect("text");
                    assert!(file.contains(&text), "{of}.{path} = {text:?}: {file}");
                    Haproxy::takes(&layout("lb-1"), &rendered, &text);
                }
                Gets::Mongod => {
                    asked += 1;
                    assert_eq!(mongod_reads(&layout("db-1"), &rendered), text);
                }
            }
        }
    }
    // Enough to mean something.
    assert!(cases > 15_000 && carried > 2_500 && asked > 1_500, "{cases} cases, {carried} carried, {asked} asked");
}

/// The line of a configuration file has an end.
const LONGEST: usize = 2_000;

/// Every format on its own: what a function takes, its reader gives back.
#[test]
fn every_format_gives_back_what_it_takes() {
    let (mut cases, mut refused) = (0, 0);
    let texts = texts();
    let mut each = |encode: &dyn Fn(&str) -> encode::Encoded, reads: &mut dyn FnMut(&str) -> String| {
        for text in texts.iter().filter(|text| text.len() < LONGEST) {
            cases += 1;
            match encode(text) {
                Ok(encoded) => assert_eq!(reads(&encoded), *text, "{encoded}"),
                Err(_) => refused += 1,
            }
        }
    };
    each(&encode::shell, &mut |encoded| sh_reads(encoded));
    each(&encode::yaml, &mut |encoded| {
        let read: Json =
            serde_saphyr::from_str(&format!("a: {encoded}\n")).unwrap_or_else(|error| panic!("{encoded}: {error}"));
        read["a"].as_str().unwrap_or_else(|| panic!("{encoded} is no string")).to_owned()
    });
    // These read many at once.
    let carried = |encode: &dyn Fn(&str) -> encode::Encoded| -> Vec<(String, String)> {
        texts
            .iter()
            .filter(|text| text.len() < LONGEST)
            .filter_map(|text| Some((text.clone(), encode(text).ok()?)))
            .collect()
    };
    for (text, read) in daemons::fpm_reads(&carried(&encode::fpm)) {
        cases += 1;
        assert_eq!(read, text);
    }
    for (text, read) in daemons::httpd_reads(&carried(&encode::httpd)) {
        cases += 1;
        assert_eq!(read, text);
    }
    for (text, read) in daemons::haproxy_reads(&carried(&encode::haproxy)) {
        cases += 1;
        assert_eq!(read, text);
    }
    assert!(cases > 2_000 && refused < cases / 4, "{cases} cases, {refused} refused");
}
