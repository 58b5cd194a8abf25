//! What daemons say that they have read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::bundle::Bundle;

const PATIENCE: Duration = Duration::from_secs(20);
const ANYBODY: u32 = 65534;

fn program(name: &str) -> PathBuf {
    let caches = std::fs::read_dir("/var/cache/lampwright").into_iter().flatten().flatten();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let folders = folders.chain(caches.map(|cache| cache.path().join("bin")));
    let found = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten()).find(|entry| {
        let file = entry.file_name();
        let rest = file.to_str().and_then(|file| file.strip_prefix(name));
        rest.is_some_and(|rest| rest.chars().all(|ch| ch.is_ascii_digit() || ch == '.'))
    });
    found.unwrap_or_else(|| panic!("{name} is not installed")).path()
}

/// Daemons do not run as root.
fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    if rustix::process::geteuid().is_root() {
        command.gid(ANYBODY).uid(ANYBODY);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(mut command: Command) -> (bool, String) {
    let output = command.output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn open(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
}

fn write_bundle(root: &Path, bundle: &Bundle) {
    for folder in bundle.folders.iter().map(String::as_str).chain(["etc"]) {
        std::fs::create_dir_all(root.join(folder)).expect("a folder");
        open(&root.join(folder), 0o777);
    }
    for (path, file) in bundle.files.iter().filter(|(path, _)| path.starts_with("etc/")) {
        write(&root.join(path), &file.content);
    }
}

fn write(path: &Path, content: &[u8]) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, content).expect("written");
    open(&beside, 0o644);
    std::fs::rename(&beside, path).expect("renamed");
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // PHP-FPM ends its workers, too.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

pub(super) struct Fpm {
    root: PathBuf,
    _running: Running,
}

const SCRIPT: &str = "<?php
$text = fn($value) => is_string($value) ? base64_encode($value) : null;
foreach (explode(',', $_GET['names']) as $name) {
    $read[$name] = [$text(getenv($name)), $text($_SERVER[$name] ?? null), $text($_ENV[$name] ?? null)];
}
echo json_encode($read);
";

impl Fpm {
    pub(super) fn start(root: &Path, bundle: &Bundle) -> Fpm {
        write_bundle(root, bundle);
        write(&root.join("read.php"), SCRIPT.as_bytes());
        let mut command = command("php-fpm");
        // What PHP keeps of a file is looked at again after seconds only.
        command.args(["-F", "-d", "opcache.enable=0", "-d", "variables_order=EGPCS", "-y"]);
        command.arg(root.join("etc/php-fpm.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let fpm = Fpm { root: root.to_owned(), _running: Running(command.spawn().expect("php-fpm runs")) };
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(root.join("run/php-fpm.sock")).is_err() {
            assert!(Instant::now() < deadline, "php-fpm did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        fpm
    }

    /// With the environment of a bundle, a page finds a value wherever PHP has variables of the environment.
    #[track_caller]
    pub(super) fn expect(&self, bundle: &Bundle, name: &str, value: &str) {
        write(&self.root.join("etc/php-env.php"), &bundle.files["etc/php-env.php"].content);
        let read = self.read(&[name.to_owned()]);
        let value = Some(value.to_owned());
        assert!(read[name] == [value.clone(), value.clone(), value.clone()], "{value:?} is read as {:?}", read[name]);
    }

    /// The values of `getenv`, `$_SERVER` and `$_ENV`.
    fn read(&self, names: &[String]) -> BTreeMap<String, [Option<String>; 3]> {
        let page = self.root.join("read.php").display().to_string();
        let query = format!("names={}", names.join(","));
        let parameters = [
            ("SCRIPT_FILENAME", page.as_str()),
            ("SCRIPT_NAME", "/read.php"),
            ("REQUEST_METHOD", "GET"),
            ("QUERY_STRING", &query),
        ];
        let mut body = Vec::new();
        let length = |text: &str| (text.len() as u32 | 0x8000_0000).to_be_bytes();
        for (name, value) in parameters {
            body.extend([length(name), length(value)].concat());
            body.extend([name.as_bytes(), value.as_bytes()].concat());
        }
        // FastCGI 1.0: BEGIN_REQUEST as responder, PARAMS, the end of PARAMS, the end of STDIN.
        let record = |kind: u8, content: &[u8]| {
            let length = u16::try_from(content.len()).expect("short").to_be_bytes();
            [&[1, kind, 0, 1, length[0], length[1], 0, 0], content].concat()
        };
        let mut request = record(1, &[0, 1, 0, 0, 0, 0, 0, 0]);
        for part in body.chunks(60_000) {
            request.extend(record(4, part));
        }
        request.extend([record(4, &[]), record(5, &[])].concat());
        let mut socket = UnixStream::connect(self.root.join("run/php-fpm.sock")).expect("php-fpm listens");
        socket.write_all(&request).expect("asked");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).expect("an answer");
        let (mut at, mut page) = (0, Vec::new());
        while at + 8 <= answer.len() {
            let length = usize::from(u16::from_be_bytes([answer[at + 4], answer[at + 5]]));
            if answer[at + 1] == 6 {
                page.extend_from_slice(&answer[at + 8..at + 8 + length]);
            }
            at += 8 + length + usize::from(answer[at + 6]);
        }
        let page = String::from_utf8_lossy(&page).into_owned();
        let (_, json) = page.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no page: {page}"));
        let read: BTreeMap<String, [Option<String>; 3]> =
            serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
        let decoded = |text: String| String::from_utf8(BASE64_STANDARD.decode(text).expect("base64")).expect("UTF-8");
        read.into_iter().map(|(name, values)| (name, values.map(|value| value.map(decoded)))).collect()
    }
}

/// Values in a file of PHP-FPM's, as variables.
pub(super) fn fpm_reads(carried: &[(String, String)]) -> Vec<(String, String)> {
    let folder = super::folder();
    let carried: Vec<_> = carried.iter().filter(|(text, _)| !text.is_empty()).collect();
    let root = folder.path();
    let mut conf = format!(
        "[global]\nerror_log = {0}/log\ndaemonize = no\n[www]\nlisten = {0}/run/php-fpm.sock\npm = static\npm.max_children = 1\n",
        root.display()
    );
    for (idx, (_, encoded)) in carried.iter().enumerate() {
        writeln!(conf, "env[V{idx}] = {encoded}").expect("a String takes everything");
    }
    let mut bundle = Bundle { folders: vec!["run".to_owned()], ..Bundle::default() };
    bundle.add("etc/php-fpm.conf", conf);
    let fpm = Fpm::start(root, &bundle);
    let names: Vec<String> = (0..carried.len()).map(|idx| format!("V{idx}")).collect();
    let read = fpm.read(&names);
    let of = |idx: usize| read[&format!("V{idx}")][0].clone().unwrap_or_default();
    carried.iter().enumerate().map(|(idx, (text, _))| (text.clone(), of(idx))).collect()
}

pub(super) struct Haproxy;

impl Haproxy {
    /// The first line of the check that a server gets.
    pub(super) fn asks_for(root: &Path, bundle: &Bundle) -> String {
        write_bundle(root, bundle);
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let config = String::from_utf8(bundle.files["etc/haproxy.cfg"].content.to_vec()).expect("text");
        let config = config.replace("127.99.2.1:8080", &server.local_addr().expect("an address").to_string());
        // Where a test of another folder may listen as well.
        let config = config.replace("bind 127.99.1.1:8080", &format!("bind {}/front", root.display()));
        write(&root.join("etc/haproxy.cfg"), config.replace("inter 500ms", "inter 20ms").as_bytes());
        open(root, 0o777);
        let mut lines = requests(&root.join("etc/haproxy.cfg"), &server, 1);
        lines.remove(0).0
    }

    /// Its own check takes the file. Host names of these texts are nobody's.
    pub(super) fn takes(root: &Path, bundle: &Bundle, text: &str) {
        write_bundle(root, bundle);
        let mut command = command("haproxy");
        command.args(["-c", "-f"]).arg(root.join("etc/haproxy.cfg"));
        let (is_fine, said) = output(command);
        assert!(is_fine || said.contains("could not resolve address"), "{text:?}: {said}");
    }
}

/// The first lines of some requests, each with the value of its header X-Id.
fn requests(config: &Path, server: &TcpListener, count: usize) -> Vec<(String, String)> {
    let mut command = command("haproxy");
    command.arg("-db").arg("-f").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Running(command.spawn().expect("haproxy runs"));
    server.set_nonblocking(true).expect("a socket");
    let deadline = Instant::now() + PATIENCE;
    let mut found = Vec::new();
    while found.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} requests came", found.len());
        let Ok((stream, _)) = server.accept() else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        stream.set_nonblocking(false).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let Some(first) = lines.next() else { continue };
        let id =
            lines.take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix("x-id: ").map(str::to_owned));
        let id = id.unwrap_or_default();
        if found.iter().all(|(_, known)| *known != id) {
            found.push((first, id));
        }
    }
    found
}

/// Words of a configuration of HAProxy's, as what servers are asked for.
pub(super) fn haproxy_reads(carried: &[(String, String)]) -> Vec<(String, String)> {
    let folder = super::folder();
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = server.local_addr().expect("an address");
    // With an @ and no slash it is a host for HAProxy, and nobody is asked.
    let is_path = |text: &str| !text.is_empty() && (text.starts_with('/') || !text.contains('@'));
    let carried: Vec<_> = carried.iter().filter(|(text, _)| is_path(text) && text.len() < 1000).collect();
    let mut config =
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n timeout check 5s\n"
            .to_owned();
    // Without one there is nothing to do for it.
    writeln!(config, "frontend f\n bind {}/front", folder.path().display()).expect("a String takes everything");
    for (idx, (_, encoded)) in carried.iter().enumerate() {
        let check = format!("option httpchk\n http-check send meth GET uri {encoded} ver HTTP/1.1 hdr X-Id {idx}");
        writeln!(config, "backend b{idx}\n {check}\n server s {at} check inter 2s").expect("a String takes everything");
    }
    write(&folder.path().join("cfg"), config.as_bytes());
    let found = requests(&folder.path().join("cfg"), &server, carried.len());
    let read = found.into_iter().map(|(line, id)| {
        let text = line.strip_prefix("GET ").and_then(|line| line.strip_suffix(" HTTP/1.1"));
        let idx: usize = id.parse().expect("a number");
        (carried[idx].0.clone(), text.unwrap_or(&line).to_owned())
    });
    read.collect()
}

/// The name of the set, as mongod prints its configuration.
pub(super) fn mongod_reads(root: &Path, bundle: &Bundle) -> String {
    write_bundle(root, bundle);
    let mut command = command("mongod");
    command.arg("-f").arg(root.join("etc/mongod.conf")).arg("--outputConfig").stderr(Stdio::null());
    let (is_fine, said) = output(command);
    assert!(is_fine, "{said}");
    // It writes words as they are, also those that mean something else to others.
    let name = said.lines().find_map(|line| line.strip_prefix("  replSetName: "));
    name.unwrap_or_else(|| panic!("no name: {said}")).trim_matches('"').to_owned()
}

pub(super) fn httpd_takes(root: &Path, bundle: &Bundle, text: &str) {
    write_bundle(root, bundle);
    let mut command = command("apache2");
    command.arg("-t").arg("-f").arg(root.join("etc/httpd.conf"));
    let (is_fine, said) = output(command);
    assert!(is_fine, "{text:?}: {said}");
}

pub(super) fn sh_reads(encoded: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(format!("printf %s {encoded}")).output().expect("sh runs");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Values of `Define`, which httpd lists.
pub(super) fn httpd_reads(carried: &[(String, String)]) -> Vec<(String, String)> {
    let folder = super::folder();
    let path = folder.path().join("conf");
    let mut conf = format!(
        "LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\nDefaultRuntimeDir {0}\nErrorLog {0}/log\nServerName localhost\n",
        folder.path().display()
    );
    for (idx, (_, encoded)) in carried.iter().enumerate() {
        writeln!(conf, "Define X{idx}x \"{encoded}\"").expect("a String takes everything");
    }
    write(&path, conf.as_bytes());
    let mut command = command("apache2");
    command.args(["-t", "-D", "DUMP_RUN_CFG", "-f"]).arg(&path);
    let (is_fine, said) = output(command);
    assert!(is_fine, "{said}");
    let of = |idx: usize| {
        let line = said.split('\n').find_map(|line| line.strip_prefix(&format!("Define: X{idx}x")));
        let line = line.unwrap_or_else(|| panic!("{:?} is not listed", carried[idx]));
        line.strip_prefix('=').unwrap_or(line).to_owned()
    };
    carried.iter().enumerate().map(|(idx, (text, _))| (text.clone(), of(idx))).collect()
}
