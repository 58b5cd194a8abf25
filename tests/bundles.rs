//! `lampwright bundle`: every file of every machine as an artefact.

use std::path::Path;

use serde_json::Value as Json;

use crate::sandbox::Sandbox;
use crate::walk::walk_through;

#[test]
fn the_walk_through_is_as_it_is_written() {
    walk_through("docs/bundles.md", &Sandbox::new());
}

fn forked(module: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.lampwright(".", &["init", "--from", module, "stack"]).success();
    sandbox
}

/// Layers on AWS and OpenStack, and neither credentials nor a network.
#[test]
fn no_cloud_is_asked() {
    let sandbox = forked("multi-cloud-lamp");
    let clouds = "provider \"lampwright\" {\n  cloud \"aws\" { driver = \"aws\" }\n  cloud \"os\" { driver = \"openstack\" }\n}\n";
    sandbox.write("stack/clouds.stack.hcl", clouds);
    let vars = ["-var", "web_cloud=aws", "-var", "db_cloud=os"];
    let args = |out| ["bundle"].into_iter().chain(vars).chain([out]).collect::<Vec<_>>();
    sandbox.lampwright("stack", &args("../out.tar")).success();
    sandbox.lampwright("stack", &args("../again.tar")).success();
    let read = |name: &str| std::fs::read(sandbox.join(name)).expect("an archive");
    assert_eq!(read("out.tar"), read("again.tar"), "an archive can be reproduced");
    sandbox.lampwright("stack", &args("../out")).success();
    let differ = sandbox.lampwright(".", &["bundle", "diff", "-detailed-exitcode", "out", "out.tar"]).success();
    assert_eq!(differ, "No differences.\n");
    let manifest = manifest(&sandbox.join("out"));
    let of = |machine: &str, field: &str| manifest["machines"][machine][field].clone();
    assert_eq!(of("web-1", "cloud"), "aws");
    assert_eq!(of("db-1", "cloud"), "os");
    assert_eq!(of("db-1", "exists"), false);
    // A secret is named, and not there.
    assert_eq!(of("db-1", "files")["etc/keyfile"]["digest"], Json::Null);
    assert!(!sandbox.join("out/db-1/etc/keyfile").exists());
    assert!(sandbox.join("out/db-1/etc/mongod.conf").is_file());
}

fn manifest(folder: &Path) -> Json {
    let text = std::fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn what_is_no_bundle_any_more_is_refused() {
    let sandbox = forked("lamp");
    let bundle = |out: &str| sandbox.lampwright("stack", &["bundle", out]);
    let diff = |one: &str, other: &str| sandbox.lampwright(".", &["bundle", "diff", one, other]);
    bundle("../good").success();
    for (name, spoil) in [
        ("changed", "echo '# more' >> lb-1/etc/haproxy.cfg"),
        ("missing", "rm web-2/etc/httpd.conf"),
        ("added", "touch web-2/etc/other.conf"),
        ("unreadable", "echo '{' > manifest.json"),
        ("future", "sed -i 's/\"version\": 1/\"version\": 2/' manifest.json"),
        ("empty", "rm -r *"),
        ("set-user-id", "chmod 4755 lb-1/etc/haproxy.cfg"),
        ("link", "ln -sf /etc/hostname lb-1/etc/haproxy.cfg"),
        ("pipe", "mkfifo lb-1/etc/pipe"),
    ] {
        bundle(&format!("../{name}")).success();
        let shell = std::process::Command::new("sh").args(["-c", spoil]).current_dir(sandbox.join(name)).status();
        assert!(shell.expect("sh runs").success());
        let refused = diff("good", name).failure();
        insta::assert_snapshot!(format!("bundle-{name}"), refused);
    }
    // What is somebody's own is not overwritten.
    sandbox.write("good/notes.txt", "mine\n");
    insta::assert_snapshot!(bundle("../good").failure(), @"error: ../good holds notes.txt, which is no part of the bundle there and would be lost; move it away");
    insta::assert_snapshot!(bundle("../stack").failure(), @"error: ../stack holds files that are no bundle; name a folder that is new, or empty");
    sandbox.write("cut.tar", "nothing of a tar archive");
    insta::assert_snapshot!(bundle("../cut.tar").failure(), @"error: ../cut.tar exists and is no bundle; remove it, or choose another name");
    insta::assert_snapshot!(bundle("app/out").failure(), @"error: app/out lies in ./app, which lamp_cluster.web takes its files from; write the bundle elsewhere");
    assert!(bundle("..").failure().contains(".. holds files that are no bundle"));
    insta::assert_snapshot!(diff("cut.tar", "missing").failure());
}

/// Layers of one name, told apart by the scopes of two providers: a bundle has one folder for a machine.
#[test]
fn machines_of_one_name_are_not_mixed_up() {
    let sandbox = forked("lamp");
    let other = "provider \"lampwright\" {\n  alias = \"b\"\n  scope = \"b\"\n}\nresource \"lamp_cluster\" \"other\" {\n  provider = lampwright.b\n  name     = \"web\"\n  app      = \"./app\"\n}\n";
    sandbox.write("stack/other.stack.hcl", other);
    sandbox.lampwright("stack", &["plan"]).success();
    let refused = sandbox.lampwright("stack", &["bundle", "../out"]).failure();
    insta::assert_snapshot!(refused, @"error: lamp_cluster.other and lamp_cluster.web both have a machine web-1; give one of the layers another `name`");
    let test = sandbox.lampwright("stack", &["test"]);
    assert!(test.code == 1 && test.stderr.contains("two machines of one name"), "{}", test.stderr);
}

/// Many machines, many changes: each once, under the names of all who have it.
#[test]
fn a_difference_that_machines_share_is_shown_once() {
    let sandbox = forked("lamp");
    sandbox.lampwright("stack", &["bundle", "../old"]).success();
    let variables = sandbox.join("stack/variables.stack.hcl");
    let text = std::fs::read_to_string(&variables).expect("variables").replace("\"roundrobin\"", "\"leastconn\"");
    std::fs::write(&variables, text).expect("written");
    std::fs::write(sandbox.join("stack/app/style.css"), "body { color: red }\n").expect("written");
    sandbox.lampwright("stack", &["bundle", "-var", "db_members=5", "../new.tgz"]).success();
    let differ = sandbox.lampwright(".", &["bundle", "diff", "-detailed-exitcode", "old", "new.tgz"]);
    assert_eq!(differ.code, 2, "{}", differ.stderr);
    insta::assert_snapshot!(differ.stdout);
}

/// What the daemons would refuse is refused before it is written.
#[test]
fn the_daemons_check_their_files() {
    let mut sandbox = forked("lamp");
    sandbox.lampwright("stack", &["bundle", "--check", "../out"]).success();
    // A fake HAProxy that refuses everything comes first on the PATH.
    sandbox.write("fake/haproxy", "#!/bin/sh\necho 'line 3: unknown keyword'\nexit 1\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(sandbox.join("fake/haproxy"), mode).expect("permissions");
    let path = std::env::var("PATH").unwrap_or_default();
    sandbox.environment.push(("PATH".to_owned(), format!("{}:{path}", sandbox.join("fake").display())));
    let refused = sandbox.lampwright("stack", &["bundle", "--check", "../other"]).failure();
    assert!(refused.contains("haproxy refuses its configuration of lb-1:"), "{refused}");
    assert!(refused.contains("line 3: unknown keyword"), "{refused}");
    assert!(!sandbox.join("other").exists());
    let refused = sandbox.lampwright("stack", &["test", "--check"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("line 3: unknown keyword"), "{}", refused.stderr);
}
