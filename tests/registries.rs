//! Providers from registries, mirrors and a cache: what is installed, what proves it, and what is locked. Terraform, given the
//! same, locks the same.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::sandbox::{Ran, Sandbox};

pub(crate) const THING: &str = "registry.test/acme/thing";

/// A registry on loopback: its protocol is documents at paths, so any server of files is one.
pub(crate) struct Registry {
    pub(crate) sandbox: Sandbox,
    server: Option<Child>,
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    /// With these versions of acme/thing.
    pub(crate) fn with(versions: &[&str]) -> Registry {
        let mut registry = Registry { sandbox: Sandbox::new(), server: None, port: 0, asked: Arc::default() };
        registry.serve();
        let home = registry.sandbox.join("gpg");
        std::fs::create_dir(&home).expect("a folder");
        std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("set");
        let key = ["--quick-gen-key", "releases@acme.test", "rsa2048", "sign", "never"];
        registry.gpg(&[&["--passphrase", ""], key.as_slice()].concat());
        registry.publish(versions);
        registry
    }

    fn gpg(&self, args: &[&str]) -> String {
        let output = Command::new("gpg")
            .args(["--batch", "--yes", "--pinentry-mode", "loopback", "--quiet", "--homedir"])
            .arg(self.sandbox.join("gpg"))
            .args(args)
            .output()
            .expect("gpg is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn serve(&mut self) {
        std::fs::create_dir_all(self.sandbox.join("www")).expect("a folder");
        let mut server = Command::new("python3")
            .args(["-u", "-m", "http.server", &self.port.to_string(), "--bind", "127.0.0.1", "--directory"])
            .arg(self.sandbox.join("www"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let mut line = String::new();
        BufReader::new(server.stdout.take().expect("piped")).read_line(&mut line).expect("it says where it is");
        self.port = line.split(' ').nth(5).and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        let (asked, lines) = (self.asked.clone(), BufReader::new(server.stderr.take().expect("piped")).lines());
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| asked.lock().expect("whole").push(line));
        });
        self.server = Some(server);
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().expect("it runs");
            server.wait().expect("ended");
        }
    }

    fn base(&self) -> String {
        format!("http://127.0.0.1:{}/v1/providers/", self.port)
    }

    fn put(&self, path: &str, text: &str) {
        self.sandbox.write(&format!("www/v1/providers/acme/thing/{path}"), text);
    }

    fn publish(&self, versions: &[&str]) {
        let listed: Vec<serde_json::Value> = versions
            .iter()
            .map(|version| {
                serde_json::json!({ "version": version, "protocols": ["6.0"],
                    "platforms": PLATFORMS.map(|(os, arch)| serde_json::json!({ "os": os, "arch": arch })) })
            })
            .collect();
        self.put("versions", &serde_json::json!({ "versions": listed }).to_string());
        let key = self.gpg(&["--armor", "--export"]);
        for version in versions {
            let folder = format!("files/{version}");
            let sums = format!("thing_{version}_SHA256SUMS");
            self.put(&format!("{folder}/x"), "");
            let place = self.sandbox.join(&format!("www/v1/providers/acme/thing/{folder}"));
            let other = "0123456789abcdef".repeat(4);
            let mut lines = format!("{other}  terraform-provider-thing_{version}_plan9_amd64.zip\n");
            for (os, arch) in PLATFORMS {
                let zip = packed(version, &format!("{os}_{arch}"));
                pack(&place.join(&zip), version);
                lines.push_str(&format!("{}  {zip}\n", sha256(&place.join(&zip))));
            }
            self.put(&format!("{folder}/{sums}"), &lines);
            let path = place.join(&sums).display().to_string();
            self.gpg(&["--detach-sign", &path]);
            let at = |name: &str| format!("{}acme/thing/{folder}/{name}", self.base());
            for (os, arch) in PLATFORMS {
                let zip = packed(version, &format!("{os}_{arch}"));
                let download = serde_json::json!({
                    "protocols": ["6.0"], "os": os, "arch": arch, "filename": zip, "download_url": at(&zip),
                    "shasum": sha256(&place.join(&zip)), "shasums_url": at(&sums),
                    "shasums_signature_url": at(&format!("{sums}.sig")),
                    "signing_keys": { "gpg_public_keys": [{ "key_id": "x", "ascii_armor": key }] },
                });
                self.put(&format!("{version}/download/{os}/{arch}"), &download.to_string());
            }
        }
    }

    /// The package once more, with a folder of other files, signed.
    fn release_again(&self, version: &str, folder: &str) {
        let (zip, sums) =
            (self.file(version, &zip_name(version)), self.file(version, &format!("thing_{version}_SHA256SUMS")));
        let program = format!("terraform-provider-thing_v{version}");
        let place = zip.parent().expect("a folder");
        let status = Command::new("python3")
            .args(["-m", "zipfile", "-c"])
            .arg(&zip)
            .args([&program, folder])
            .current_dir(place)
            .status();
        assert!(status.expect("python3 runs").success());
        let sum = sha256(&zip);
        std::fs::write(&sums, format!("{sum}  {}\n", zip_name(version))).expect("written");
        self.gpg(&["--detach-sign", &sums.display().to_string()]);
        let path = format!("{version}/download/linux/amd64");
        let download = std::fs::read(self.sandbox.join(&format!("www/v1/providers/acme/thing/{path}"))).expect("read");
        let mut download: serde_json::Value = serde_json::from_slice(&download).expect("JSON");
        download["shasum"] = sum.into();
        self.put(&path, &download.to_string());
    }

    fn file(&self, version: &str, name: &str) -> PathBuf {
        self.sandbox.join(&format!("www/v1/providers/acme/thing/files/{version}/{name}"))
    }

    pub(crate) fn configure(&self, more: &str) {
        let base = self.base();
        let host = format!("host \"registry.test\" {{\n  services = {{ \"providers.v1\" = \"{base}\" }}\n}}\n");
        self.sandbox.write("rc", &format!("{host}{more}"));
    }

    pub(crate) fn stack(&self, folder: &str, constraint: &str) {
        let required = format!("thing = {{ source = \"{THING}\", version = \"{constraint}\" }}");
        let terraform = format!("terraform {{\n  required_providers {{\n    {required}\n  }}\n}}\n");
        self.sandbox.write(&format!("{folder}/main.tf"), &terraform);
    }

    pub(crate) fn lampwright(&self, folder: &str, args: &[&str]) -> Ran {
        self.run(Command::new(env!("CARGO_BIN_EXE_lampwright")), folder, args)
    }

    pub(crate) fn terraform(&self, folder: &str, args: &[&str]) -> Ran {
        self.run(Command::new("terraform"), folder, args)
    }

    fn run(&self, mut command: Command, folder: &str, args: &[&str]) -> Ran {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let command = command.args(args).current_dir(self.sandbox.join(folder)).env_clear().env("PATH", path);
        let command = command.env("HOME", self.sandbox.path());
        let command = command.env("TF_CLI_CONFIG_FILE", self.sandbox.join("rc")).env("NO_COLOR", "1");
        let certificate = self.sandbox.join("tls/authority.pem");
        let command = if certificate.exists() { command.env("SSL_CERT_FILE", certificate) } else { command };
        Ran::of(command.env("CHECKPOINT_DISABLE", "1").stdin(Stdio::null()).output().expect("it runs"))
    }

    pub(crate) fn lock(&self, folder: &str) -> String {
        std::fs::read_to_string(self.sandbox.join(folder).join(".terraform.lock.hcl")).expect("a lock file")
    }

    pub(crate) fn fetched(&self) -> usize {
        self.asked.lock().expect("whole").iter().filter(|line| line.contains(".zip")).count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
        let agent = Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", self.sandbox.join("gpg")).status();
        drop(agent);
    }
}

/// What there are packages for; the programs differ.
const PLATFORMS: [(&str, &str); 2] = [("linux", "amd64"), ("darwin", "arm64")];

fn packed(version: &str, platform: &str) -> String {
    format!("terraform-provider-thing_{version}_{platform}.zip")
}

fn zip_name(version: &str) -> String {
    packed(version, "linux_amd64")
}

/// A package whose program is our own plugin.
fn pack(zip: &Path, version: &str) {
    let program = zip.with_file_name(format!("terraform-provider-thing_v{version}"));
    let plugin = Path::new(env!("CARGO_BIN_EXE_lampwright")).with_file_name("terraform-provider-lampwright");
    let text = format!("#!/bin/sh\n# {}\nexec {} \"$@\"\n", zip.display(), plugin.display());
    std::fs::write(&program, text).expect("written");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    let status = Command::new("python3").args(["-m", "zipfile", "-c"]).arg(zip).arg(&program).status();
    assert!(status.expect("python3 runs").success());
}

fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().expect("sha256sum runs");
    String::from_utf8(output.stdout).expect("UTF-8")[..64].to_owned()
}

#[test]
fn a_provider_of_a_registry_is_installed_and_locked_as_terraform_does() {
    let mut registry = Registry::with(&["1.0.0", "1.1.0", "2.0.0-rc.1", "2.0.0"]);
    registry.configure("");
    for folder in ["ours", "theirs"] {
        registry.stack(folder, "~> 1, != 1.0.5");
    }
    let told = registry.lampwright("ours", &["init"]).success();
    assert!(
        told.contains("registry.test/acme/thing 1.1.0: .lampwright/providers/registry.test/acme/thing/1.1.0"),
        "{told}"
    );
    let key = registry.gpg(&["--list-keys", "--with-colons"]);
    let key = key.lines().find_map(|line| line.strip_prefix("pub:")).and_then(|line| line.split(':').nth(3));
    assert!(told.contains(&format!("signed by {}", key.expect("a key"))), "{told}");
    registry.terraform("theirs", &["init"]).success();
    assert_eq!(registry.lock("ours"), registry.lock("theirs"));
    // What is installed needs nobody; nor does what Terraform has installed.
    registry.stop();
    registry.lampwright("ours", &["init"]).success();
    registry.lampwright("ours", &["validate"]).success();
    registry.lampwright("theirs", &["validate"]).success();
    registry.terraform("ours", &["init"]).failure();
    registry.serve();
    // Another version is taken on demand only.
    registry.stack("ours", ">= 1.0");
    registry.lampwright("ours", &["init"]).success();
    assert!(registry.lock("ours").contains("version     = \"1.1.0\"\n  constraints = \">= 1.0.0\""));
    registry.stack("ours", ">= 2.0");
    let told = registry.lampwright("ours", &["validate"]).failure();
    assert!(told.contains("acme/thing is locked at 1.1.0, which does not fit >= 2.0"), "{told}");
    let told = registry.lampwright("ours", &["init"]).failure();
    assert!(told.contains("lampwright init -upgrade"), "{told}");
    let told = registry.lampwright("ours", &["init", "-upgrade", "-lockfile=readonly"]).failure();
    assert!(told.contains("would change"), "{told}");
    registry.lampwright("ours", &["init", "-upgrade"]).success();
    registry.stack("theirs", ">= 2.0");
    registry.terraform("theirs", &["init", "-upgrade"]).success();
    assert_eq!(registry.lock("ours"), registry.lock("theirs"));
}

#[test]
fn what_is_not_what_was_signed_or_locked_is_not_taken() {
    let registry = Registry::with(&["1.0.0"]);
    registry.configure("");
    registry.stack("s", "1.0.0");
    let nothing = |registry: &Registry| {
        let providers = registry.sandbox.join("s/.lampwright/providers/registry.test/acme/thing/1.0.0");
        assert!(!providers.exists() && !registry.sandbox.join("s/.terraform.lock.hcl").exists());
    };
    let (zip, sums) = (registry.file("1.0.0", &zip_name("1.0.0")), registry.file("1.0.0", "thing_1.0.0_SHA256SUMS"));
    let (package, signed) = (std::fs::read(&zip).expect("a package"), std::fs::read(&sums).expect("checksums"));
    std::fs::write(&zip, [package.as_slice(), b"x"].concat()).expect("written");
    let told = registry.lampwright("s", &["init"]).failure();
    assert!(told.contains("its hash is") && told.contains(&sha256(&zip)), "{told}");
    nothing(&registry);
    std::fs::write(&sums, [signed.as_slice(), b"\n"].concat()).expect("written");
    let told = registry.lampwright("s", &["init"]).failure();
    assert!(told.contains("are not signed by a key that the registry names"), "{told}");
    nothing(&registry);
    std::fs::write(&sums, &signed).expect("written");
    std::fs::write(&zip, &package).expect("written");
    registry.lampwright("s", &["init"]).success();
    // What somebody changes here is seen before it is started.
    let folder = registry.sandbox.join("s/.lampwright/providers/registry.test/acme/thing/1.0.0/linux_amd64");
    let program = folder.join("terraform-provider-thing_v1.0.0");
    std::fs::write(&program, "#!/bin/sh\ntouch started\n").expect("written");
    let told = registry.lampwright("s", &["validate"]).failure();
    assert!(told.contains("is not what is locked") && !registry.sandbox.join("s/started").exists(), "{told}");
    registry.lampwright("s", &["init"]).success();
    registry.lampwright("s", &["validate"]).success();
    // A release that was made again is another one.
    std::fs::remove_dir_all(registry.sandbox.join("s/.lampwright/providers")).expect("removed");
    let told = registry.lampwright("s", &["validate"]).failure();
    assert!(told.contains("acme/thing 1.0.0 is not installed here") && told.contains("init"), "{told}");
    std::fs::write(registry.file("1.0.0", "x"), "again").expect("written");
    let again = registry.file("1.0.0", &zip_name("1.0.0"));
    let status =
        Command::new("python3").args(["-m", "zipfile", "-c"]).arg(&again).arg(registry.file("1.0.0", "x")).status();
    assert!(status.expect("python3 runs").success());
    let text = format!("{}  {}\n", sha256(&again), zip_name("1.0.0"));
    std::fs::write(&sums, text).expect("written");
    registry.gpg(&["--detach-sign", &sums.display().to_string()]);
    let path = registry.sandbox.join("www/v1/providers/acme/thing/1.0.0/download/linux/amd64");
    let mut download: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    download["shasum"] = sha256(&again).into();
    std::fs::write(&path, download.to_string()).expect("written");
    let told = registry.lampwright("s", &["init"]).failure();
    assert!(told.contains("is not what is locked"), "{told}");
}

#[test]
fn what_is_wrong_with_a_registry_is_told() {
    let mut registry = Registry::with(&["1.0.0"]);
    registry.configure("");
    registry.stack("s", ">= 3");
    let told = registry.lampwright("s", &["init"]).failure();
    assert!(told.contains("acme/thing has no version that fits >= 3.0.0; the newest are 1.0.0"), "{told}");
    registry.stack("s", "1.0.0");
    registry.put("versions", "{ \"versions\": [{");
    let told = registry.lampwright("s", &["init"]).failure();
    assert!(told.contains("cannot be read"), "{told}");
    registry.put(
        "versions",
        "{ \"versions\": [{ \"version\": \"1.0.0\", \"platforms\": [{\"os\": \"plan9\", \"arch\": \"amd64\"}] }] }",
    );
    std::fs::remove_dir_all(registry.sandbox.join("www/v1/providers/acme/thing/1.0.0")).expect("removed");
    let told = registry.lampwright("s", &["init"]).failure();
    assert!(
        told.contains("has no registry.test/acme/thing 1.0.0 for linux_amd64; it has it for plan9_amd64"),
        "{told}"
    );
    registry.stop();
    let told = registry.lampwright("s", &["init"]).failure();
    assert!(told.contains("does not answer") && told.contains("refused"), "{told}");
    registry.sandbox.write("rc", "");
    let told = registry.lampwright("s", &["init"]).failure();
    assert!(told.contains("https://registry.test/.well-known/terraform.json does not answer"), "{told}");
}

#[test]
fn one_cache_serves_many_stacks_at_once() {
    let registry = Registry::with(&["1.0.0"]);
    registry.configure(&format!("plugin_cache_dir = \"{}\"\n", registry.sandbox.join("cache").display()));
    let folders: Vec<String> = (0..6).map(|number| format!("s{number}")).collect();
    folders.iter().for_each(|folder| registry.stack(folder, "1.0.0"));
    std::thread::scope(|scope| {
        for folder in &folders {
            let registry = &registry;
            scope.spawn(move || registry.lampwright(folder, &["init"]).success());
        }
    });
    let fetched = registry.fetched();
    assert!((1..=folders.len()).contains(&fetched), "{fetched}");
    for folder in &folders {
        registry.lampwright(folder, &["validate"]).success();
        assert_eq!(registry.lock(folder), registry.lock("s0"));
        let target =
            registry.sandbox.join(folder).join(".lampwright/providers/registry.test/acme/thing/1.0.0/linux_amd64");
        assert!(
            target.is_symlink() && target.canonicalize().expect("there").starts_with(registry.sandbox.join("cache"))
        );
    }
    // A stack whose lock knows the package takes it from there.
    std::fs::remove_dir_all(registry.sandbox.join("s0/.lampwright")).expect("removed");
    registry.lampwright("s0", &["init"]).success();
    assert_eq!(registry.fetched(), fetched);
}

#[test]
fn mirrors_are_asked_as_the_cli_configuration_says() {
    let registry = Registry::with(&["1.0.0", "1.1.0"]);
    // Packed, in a folder; what is not for a mirror comes from elsewhere.
    let mirror = registry.sandbox.join("mirror");
    let packed = mirror.join(THING).join(zip_name("1.0.0"));
    std::fs::create_dir_all(packed.parent().expect("a folder")).expect("made");
    std::fs::copy(registry.file("1.0.0", &zip_name("1.0.0")), &packed).expect("copied");
    let method = |name: &str, more: &str| format!("  {name} {{\n    {more}\n  }}\n");
    let folder = method("filesystem_mirror", &format!("path = \"{}\"", mirror.display()));
    let installation = |methods: &str| format!("provider_installation {{\n{methods}}}\n");
    registry.configure(&installation(&folder));
    for folder in ["ours", "theirs"] {
        registry.stack(folder, ">= 1.0");
    }
    let told = registry.lampwright("ours", &["init"]).success();
    assert!(told.contains("acme/thing 1.0.0") && registry.fetched() == 0, "{told}");
    registry.terraform("theirs", &["init"]).success();
    assert_eq!(registry.lock("ours"), registry.lock("theirs"));
    registry.lampwright("ours", &["validate"]).success();
    // The newest of all places is taken, unless one of them is not for it.
    registry.configure(&installation(&format!("{folder}{}", method("direct", ""))));
    let told = registry.lampwright("ours", &["init", "-upgrade"]).success();
    assert!(told.contains("acme/thing 1.1.0"), "{told}");
    registry.configure(&installation(&format!("{folder}{}", method("direct", "exclude = [\"registry.test/*/*\"]"))));
    let told = registry.lampwright("ours", &["init", "-upgrade"]).success();
    assert!(told.contains("acme/thing 1.0.0"), "{told}");
    registry.configure(&installation(&folder.replace("path", "include = [\"registry.test/other/*\"]\n    path")));
    std::fs::remove_file(registry.sandbox.join("ours/.terraform.lock.hcl")).expect("removed");
    let told = registry.lampwright("ours", &["init"]).failure();
    assert!(told.contains("there is no such provider in"), "{told}");
}

/// Terraform asks mirrors over TLS only, and so do we.
#[test]
fn a_mirror_over_the_network_is_asked() {
    let registry = Registry::with(&["1.0.0", "1.1.0"]);
    let tls = registry.sandbox.join("tls");
    std::fs::create_dir_all(&tls).expect("made");
    let script =
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out authority.pem
        openssl req -newkey rsa:2048 -nodes -subj /CN=mirror -keyout key.pem -out request.pem
        printf 'subjectAltName=IP:127.0.0.1' > extensions
        openssl x509 -req -in request.pem -CA authority.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions \
            -out certificate.pem";
    let made = Command::new("sh").args(["-ec", script]).current_dir(&tls).stderr(Stdio::null()).status();
    assert!(made.expect("openssl runs").success());
    let folder = format!("www/{THING}");
    registry.sandbox.write(&format!("{folder}/index.json"), "{\"versions\": {\"1.0.0\": {}}}");
    let zip = registry.sandbox.join(&folder).join(zip_name("1.0.0"));
    std::fs::copy(registry.file("1.0.0", &zip_name("1.0.0")), &zip).expect("copied");
    let archive = serde_json::json!({ "url": zip_name("1.0.0"), "hashes": [format!("zh:{}", sha256(&zip))] });
    let document = serde_json::json!({ "archives": { "linux_amd64": archive } });
    registry.sandbox.write(&format!("{folder}/1.0.0.json"), &document.to_string());
    let program = "import http.server, ssl, functools, sys\n\
        h = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])\n\
        s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), h)\n\
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
        c.load_cert_chain('certificate.pem', 'key.pem')\n\
        s.socket = c.wrap_socket(s.socket, server_side=True)\n\
        print(s.server_address[1], flush=True)\n\
        s.serve_forever()\n";
    let mut server = Command::new("python3")
        .args(["-c", program])
        .arg(registry.sandbox.join("www"))
        .current_dir(&tls)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 runs");
    let mut port = String::new();
    BufReader::new(server.stdout.take().expect("piped")).read_line(&mut port).expect("it says where it is");
    let url = format!("https://127.0.0.1:{}/", port.trim());
    registry
        .sandbox
        .write("rc", &format!("provider_installation {{\n  network_mirror {{\n    url = \"{url}\"\n  }}\n}}\n"));
    for folder in ["ours", "theirs"] {
        registry.stack(folder, ">= 1.0");
    }
    let wrong = serde_json::json!({ "url": zip_name("1.0.0"), "hashes": ["h1:AAAA"] });
    let wrong = serde_json::json!({ "archives": { "linux_amd64": wrong } });
    registry.sandbox.write(&format!("{folder}/1.0.0.json"), &wrong.to_string());
    let told = registry.lampwright("ours", &["init"]).failure();
    assert!(told.contains("instead of h1:AAAA"), "{told}");
    registry.sandbox.write(&format!("{folder}/1.0.0.json"), &document.to_string());
    let told = registry.lampwright("ours", &["init"]).success();
    assert!(told.contains("acme/thing 1.0.0: .lampwright") && told.contains(&url), "{told}");
    registry.terraform("theirs", &["init"]).success();
    assert_eq!(registry.lock("ours"), registry.lock("theirs"));
    server.kill().expect("it runs");
    server.wait().expect("ended");
}

/// Archives name folders, too, and who makes one again may have changed it.
#[test]
fn a_release_is_the_same_for_ever() {
    let registry = Registry::with(&["1.0.0", "1.1.0"]);
    registry.configure("");
    for folder in ["ours", "theirs"] {
        registry.stack(folder, "1.0.0");
    }
    let folder = registry.file("1.0.0", "docs");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("README"), "read me").expect("written");
    registry.release_again("1.0.0", "docs");
    registry.lampwright("ours", &["init"]).success();
    registry.lampwright("ours", &["validate"]).success();
    registry.terraform("theirs", &["init"]).success();
    assert_eq!(registry.lock("ours"), registry.lock("theirs"));
    let before = registry.lock("ours");
    std::fs::write(folder.join("README"), "another text").expect("written");
    registry.release_again("1.0.0", "docs");
    std::fs::remove_dir_all(registry.sandbox.join("ours/.lampwright")).expect("removed");
    let told = registry.lampwright("ours", &["init", "-upgrade"]).failure();
    assert!(told.contains("is not what is locked") && registry.lock("ours") == before, "{told}");
    // A lock that somebody has edited is not guessed at.
    let lock = registry.sandbox.join("ours/.terraform.lock.hcl");
    let block = before.split_once("\n\n").expect("a block").1;
    for (text, part) in [
        (format!("{before}\n{block}"), "there are two blocks of registry.test/acme/thing"),
        (before.replace("hashes = [", "hashes = \"h1:x\"\n  others = ["), "an argument that is not known: others"),
        (
            before.split("  hashes").next().expect("a text").to_owned() + "  hashes = \"h1:x\"\n}\n",
            "are no list of texts",
        ),
    ] {
        std::fs::write(&lock, text).expect("written");
        let told = registry.lampwright("ours", &["init"]).failure();
        assert!(told.contains(part), "{part}: {told}");
    }
}

/// What was made may have to be removed.
#[test]
fn a_provider_that_only_the_state_needs_is_installed() {
    let registry = Registry::with(&["1.0.0"]);
    registry.configure("");
    registry.stack("s", "1.0.0");
    registry.lampwright("s", &["init"]).success();
    let resource = serde_json::json!({
        "mode": "managed", "type": "lb_pool", "name": "gone", "provider": format!("provider[\"{THING}\"]"),
        "instances": [{ "schema_version": 0, "attributes": {} }],
    });
    let state = serde_json::json!({
        "version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "l", "outputs": {}, "resources": [resource],
    });
    registry.sandbox.write("s/terraform.tfstate", &state.to_string());
    registry.sandbox.write("s/main.tf", "locals {\n}\n");
    std::fs::remove_dir_all(registry.sandbox.join("s/.lampwright")).expect("removed");
    let before = registry.lock("s");
    let told = registry.lampwright("s", &["init"]).success();
    assert!(
        told.contains("acme/thing 1.0.0")
            && registry.lock("s").contains(&before[before.find("hashes").expect("hashes")..]),
        "{told}"
    );
    // When nothing needs it any more, it leaves the lock.
    std::fs::remove_file(registry.sandbox.join("s/terraform.tfstate")).expect("removed");
    registry.lampwright("s", &["init"]).success();
    assert!(!registry.lock("s").contains(THING));
}
