//! Apache with PHP-FPM: one web node.
//!
//! Sources: Apache HTTP Server 2.4 manual (mod_proxy_fcgi, event, mod_rewrite), PHP manual "FPM configuration".

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{APPLICATION, Bundle, CHECKED, Content, Layout, Program, Service, Signal, TakesUp, encode};

/// While this file exists, the health check answers 404: load balancers let the node finish its requests and
/// send it no new ones.
pub const DRAIN_FLAG: &str = "run/drain";
/// The status page listens on the port above the node's own, where no load balancer sends anybody.
pub const STATUS_PATH: &str = "/status?auto";

/// What has to be on a machine, and the packages that bring it.
pub const PROGRAMS: &[Program] = &[
    Program { name: "apache2", package: "apache2", units: &["apache2", "apache-htcacheclean"] },
    Program { name: "php-fpm", package: "php-fpm", units: &["php*-fpm"] },
    Program { name: "mongodb.so", package: "php-mongodb", units: &[] },
];

/// Where PHP says what went wrong.
pub const PHP_LOG: &str = "log/php.log";

/// Runs before every page. PHP-FPM's own `env[..]` takes a value that begins with `$` for the name of another variable,
/// and cannot carry an empty one or a line break; and a page must not see half of a change.
const ENVIRONMENT: &str = "etc/php-env.php";

const INFALLIBLE: &str = "a String takes everything";

#[derive(Debug, Clone)]
pub struct WebNode<'a> {
    pub name: &'a str,
    pub address: Option<&'a str>,
    pub port: u16,
    pub health_check_path: &'a str,
    /// Where it goes on answering, for load balancers that have not been told yet, or never are.
    pub former_ports: &'a [u16],
    pub former_health_check_paths: Vec<&'a str>,
    /// PHP processes.
    pub workers: u32,
    /// For the application; secret as a whole, since it holds the database's credentials.
    pub environment: BTreeMap<String, Option<String>>,
    /// By path below the document root.
    pub app: &'a BTreeMap<String, Content>,
}

/// The next one that is nobody's.
pub fn status_port(port: u16, former_ports: &[u16]) -> u16 {
    let others = (port.saturating_add(1)..=u16::MAX).chain((1024..port).rev());
    others.into_iter().find(|other| *other != port && !former_ports.contains(other)).unwrap_or(u16::MAX)
}

pub fn render(node: &WebNode<'_>, layout: &Layout) -> Bundle {
    let mut bundle =
        Bundle { folders: ["log", "run", "sessions", "tmp"].map(str::to_owned).to_vec(), ..Bundle::default() };
    for (path, content) in node.app {
        bundle.add(format!("htdocs/{path}"), content.clone());
    }
    // A liveness page that PHP executes: Apache alone being alive is not enough. The application may have its own.
    for path in health_paths(node) {
        let file = format!("htdocs/{}", path.trim_start_matches('/'));
        if !bundle.files.contains_key(&file) {
            bundle.add(file, "<?php header('Content-Type: text/plain'); echo \"alive\\n\";\n");
        }
    }
    let httpd = httpd_conf(node, layout, &mut bundle);
    bundle.add("etc/httpd.conf", httpd);
    bundle.add("etc/mime.types", MIME_TYPES);
    let fpm = fpm_conf(node, layout, &mut bundle);
    bundle.add("etc/php-fpm.conf", fpm);
    let environment = environment_php(node, &mut bundle);
    // Every page begins with it, so who runs the application may not write it.
    bundle.add_secret(ENVIRONMENT, environment, 0o640);
    bundle.services = vec![
        Service {
            name: "php-fpm",
            program: "php-fpm",
            package: "php-fpm",
            cure: Some("apt-get install php-fpm php-mongodb"),
            args: ["-F", "-y"].map(str::to_owned).into_iter().chain([layout.path("etc/php-fpm.conf")]).collect(),
            check: ["-t", "-y", CHECKED].map(str::to_owned).to_vec(),
            config: "etc/php-fpm.conf",
            // It keeps pages that it has compiled.
            reads: &["etc/php-fpm.conf", ENVIRONMENT, APPLICATION],
            takes_up: TakesUp::By(Signal::Usr2),
            stop: Signal::Quit,
            pid_file: "run/php-fpm.pid",
            logs: &[PHP_LOG, "log/php-fpm.log"],
        },
        Service {
            name: "apache2",
            program: "apache2",
            package: "apache2",
            cure: None,
            args: ["-DFOREGROUND", "-f"]
                .map(str::to_owned)
                .into_iter()
                .chain([layout.path("etc/httpd.conf")])
                .collect(),
            check: ["-t", "-f", CHECKED].map(str::to_owned).to_vec(),
            config: "etc/httpd.conf",
            reads: &["etc/httpd.conf", "etc/mime.types"],
            takes_up: TakesUp::By(Signal::Usr1),
            stop: Signal::Winch,
            pid_file: "run/apache2.pid",
            logs: &["log/error.log", ACCESS_LOG],
        },
    ];
    bundle
}

fn health_paths<'n>(node: &'n WebNode<'_>) -> impl Iterator<Item = &'n str> {
    std::iter::once(node.health_check_path).chain(node.former_health_check_paths.iter().copied())
}

/// Each line is `HOST [TIME] "METHOD PATH PROTOCOL" STATUS BYTES MICROSECONDS`.
pub const ACCESS_LOG: &str = "log/access.log";

/// Begins the line by which a node that leaves answers its health check.
pub const LEAVES: &str = "RewriteRule";

/// The page of the health check, by what follows [`LEAVES`] in a node's httpd.conf.
pub fn health_path_of(rule: &str) -> Option<String> {
    let pattern = rule.strip_prefix("\"^")?.split_once("$\"")?.0;
    let mut chars = pattern.chars();
    let mut path = String::new();
    while let Some(ch) = chars.next() {
        path.push(if ch == '\\' { chars.next()? } else { ch });
    }
    Some(path)
}

fn httpd_conf(node: &WebNode<'_>, layout: &Layout, bundle: &mut Bundle) -> String {
    let address = if layout.has_firewall { "*" } else { bundle.known(node.address) };
    let status_port = status_port(node.port, node.former_ports);
    let doors: Vec<String> =
        std::iter::once(&node.port).chain(node.former_ports).map(|port| format!("{address}:{port}")).collect();
    let listens: String = doors.iter().map(|door| format!("Listen {door}\n")).collect();
    let doors = doors.join(" ");
    let root = bundle.fit(encode::httpd(&layout.root.display().to_string()));
    let (comment, name) = (bundle.fit(encode::comment(node.name)), bundle.fit(encode::httpd(node.name)));
    let leaves: Vec<String> = health_paths(node)
        .map(|path| {
            let pattern = bundle.fit(encode::httpd_pattern(path));
            format!("    RewriteCond \"{root}/{DRAIN_FLAG}\" -f\n    {LEAVES} \"^{pattern}$\" - [R=404,L]\n")
        })
        .collect();
    let leaves = leaves.concat();
    let modules: String = MODULES
        .iter()
        .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
        .collect();
    format!(
        r#"# {comment}: Apache in front of PHP-FPM. Written by lampwright; changes by hand are lost.
ServerRoot "{root}"
ServerName {name}
{listens}Listen {address}:{status_port}
PidFile "{root}/run/apache2.pid"
DefaultRuntimeDir "{root}/run"
Mutex "file:{root}/run" default
ErrorLog "{root}/log/error.log"
LogLevel warn
ServerTokens Prod
ServerSignature Off
TraceEnable Off
Timeout 30
KeepAlive On
KeepAliveTimeout 5
GracefulShutdownTimeout 10

{modules}
StartServers 1
ServerLimit 4
ThreadsPerChild 32
MaxRequestWorkers 128
MinSpareThreads 16
MaxSpareThreads 64

TypesConfig "{root}/etc/mime.types"
LogFormat "%h %t \"%r\" %>s %b %D" timed
CustomLog "{root}/log/access.log" timed

<Directory />
    AllowOverride None
    Require all denied
</Directory>

<VirtualHost {doors}>
    DocumentRoot "{root}/htdocs"
    DirectoryIndex index.php index.html
    <Directory "{root}/htdocs">
        Require all granted
        Options -Indexes
    </Directory>

    # A node that leaves says so by its health check first.
    RewriteEngine On
{leaves}
    <FilesMatch "\.php$">
        # Hands over only what exists, so that PHP never guesses at a path.
        <If "-f %{{REQUEST_FILENAME}}">
            SetHandler "proxy:unix:{root}/run/php-fpm.sock|fcgi://localhost"
        </If>
    </FilesMatch>
    <Proxy "fcgi://localhost">
        ProxySet connectiontimeout=2 timeout=30
    </Proxy>
</VirtualHost>

<VirtualHost {address}:{status_port}>
    <Location "/status">
        SetHandler server-status
        Require local
    </Location>
</VirtualHost>
"#
    )
}

fn fpm_conf(node: &WebNode<'_>, layout: &Layout, bundle: &mut Bundle) -> String {
    let mut path = |relative: &str| bundle.fit(encode::fpm(&layout.path(relative)));
    let (pid, error_log, socket) = (path("run/php-fpm.pid"), path("log/php-fpm.log"), path("run/php-fpm.sock"));
    let (tmp, log, environment) = (path("tmp"), path(PHP_LOG), path(ENVIRONMENT));
    let sessions = path("sessions");
    let name = bundle.fit(encode::comment(node.name));
    let workers = node.workers;
    format!(
        "; {name}: PHP-FPM behind Apache. Written by lampwright; changes by hand are lost.
[global]
pid = {pid}
error_log = {error_log}
daemonize = no
; A reload lets running requests finish.
process_control_timeout = 10s

[www]
listen = {socket}
listen.mode = 0600
pm = static
pm.max_children = {workers}
pm.max_requests = 10000
request_terminate_timeout = 25s
clear_env = yes
catch_workers_output = yes
php_admin_value[upload_tmp_dir] = {tmp}
php_admin_value[sys_temp_dir] = {tmp}
; The distribution's folder is everybody's, and it empties it by a timer that knows no other.
php_value[session.save_path] = {sessions}
php_value[session.gc_probability] = 1
php_admin_value[error_log] = {log}
; Gives the application its environment.
php_admin_value[auto_prepend_file] = {environment}
php_admin_flag[log_errors] = on
php_admin_flag[display_errors] = off
php_admin_flag[expose_php] = off
"
    )
}

/// Whether a variable comes from the web server or the client of each request, before anything that is configured (RFC 3875,
/// section 4.1; Apache's `mod_proxy_fcgi`).
pub fn is_set_by_the_server(name: &str) -> bool {
    const NAMES: &str = "AUTH_TYPE CONTENT_LENGTH CONTENT_TYPE CONTEXT_DOCUMENT_ROOT CONTEXT_PREFIX DOCUMENT_ROOT FCGI_ROLE \
        GATEWAY_INTERFACE PATH PATH_INFO PATH_TRANSLATED PHP_AUTH_DIGEST PHP_AUTH_PW PHP_AUTH_USER PHP_SELF QUERY_STRING \
        REDIRECT_STATUS REDIRECT_URL REMOTE_ADDR REMOTE_HOST REMOTE_IDENT REMOTE_PORT REMOTE_USER REQUEST_METHOD \
        REQUEST_SCHEME REQUEST_TIME REQUEST_TIME_FLOAT REQUEST_URI SCRIPT_FILENAME SCRIPT_NAME SERVER_ADDR SERVER_ADMIN \
        SERVER_NAME SERVER_PORT SERVER_PROTOCOL SERVER_SIGNATURE SERVER_SOFTWARE";
    // A client cannot say this one: Apache never passes a header `Proxy` on.
    let is_header = name.starts_with("HTTP_") && name != "HTTP_PROXY";
    is_header || NAMES.split_whitespace().any(|one| one == name)
}

/// The environment, where PHP looks for it: as with PHP-FPM's own, what the web server says of a request comes first.
fn environment_php(node: &WebNode<'_>, bundle: &mut Bundle) -> String {
    let mut out = String::from(
        "<?php // The application's environment. Written by lampwright; changes by hand are lost.
(static function (array $variables): void {
    foreach ($variables as $name => $value) {
        putenv(\"$name=$value\");
    }
    $_SERVER += $variables;
    if (stripos((string) ini_get('variables_order'), 'e') !== false) {
        $_ENV = $variables + $_ENV;
    }
})([
",
    );
    let mut environment = BTreeMap::from([("LAMPWRIGHT_NODE", node.name)]);
    for (name, value) in &node.environment {
        environment.insert(name, bundle.known(value.as_deref()));
    }
    for (name, value) in environment {
        writeln!(out, "    {} => {},", encode::php(name), encode::php(value)).expect(INFALLIBLE);
    }
    out.push_str("]);\n");
    out
}

const MODULES: &[&str] =
    &["authz_core", "authz_host", "dir", "headers", "mime", "mpm_event", "proxy", "proxy_fcgi", "rewrite", "status"];

/// Enough for an application's own assets; the distribution's list may or may not be installed.
const MIME_TYPES: &str = "text/html html htm
text/css css
text/plain txt
text/javascript js mjs
application/json json map
application/wasm wasm
application/pdf pdf
image/svg+xml svg
image/png png
image/jpeg jpg jpeg
image/gif gif
image/webp webp
image/x-icon ico
font/woff woff
font/woff2 woff2
";
