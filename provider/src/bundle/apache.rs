//! Apache with PHP-FPM: one web node.
//!
//! Sources: Apache HTTP Server 2.4 manual (mod_proxy_fcgi, event, mod_rewrite), PHP manual "FPM configuration".

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Bundle, CHECKED, Service};
use crate::driver::{Layout, Signal};

/// While this file exists, the health check answers 404: load balancers let the node finish its requests and
/// send it no new ones.
pub const DRAIN_FLAG: &str = "run/drain";
/// The status page listens on the port above the node's own, where no load balancer sends anybody.
pub const STATUS_PATH: &str = "/status?auto";

/// What has to be on a machine, and the packages that bring it.
pub const PROGRAMS: &[(&str, &str)] = &[("apache2", "apache2"), ("php-fpm", "php-fpm"), ("mongodb.so", "php-mongodb")];

const INFALLIBLE: &str = "a String takes everything";

#[derive(Debug, Clone)]
pub struct WebNode<'a> {
    pub name: &'a str,
    pub address: Option<&'a str>,
    pub port: u16,
    pub health_check_path: &'a str,
    /// PHP processes.
    pub workers: u32,
    /// For the application; secret as a whole, since it holds the database's credentials.
    pub environment: BTreeMap<String, Option<String>>,
    /// By path below the document root.
    pub app: &'a BTreeMap<String, Vec<u8>>,
}

pub fn status_port(port: u16) -> u16 {
    port.saturating_add(1)
}

pub fn render(node: &WebNode<'_>, layout: &Layout) -> Bundle {
    let mut bundle =
        Bundle { folders: ["run", "log", "tmp", "htdocs"].map(str::to_owned).to_vec(), ..Bundle::default() };
    for (path, content) in node.app {
        bundle.add(format!("htdocs/{path}"), content.clone());
    }
    // A liveness page that PHP executes: Apache alone being alive is not enough. The application may have its own.
    let health_file = format!("htdocs/{}", node.health_check_path.trim_start_matches('/'));
    if !bundle.files.contains_key(&health_file) {
        bundle.add(health_file, "<?php header('Content-Type: text/plain'); echo \"alive\\n\";\n");
    }
    let httpd = httpd_conf(node, layout, &mut bundle);
    bundle.add("etc/httpd.conf", httpd);
    bundle.add("etc/mime.types", MIME_TYPES);
    bundle.add("etc/php-fpm.conf", fpm_conf(node, layout));
    let environment = environment_conf(node, &mut bundle);
    bundle.add_secret("etc/php-env.conf", environment, 0o600);
    bundle.services = vec![
        Service {
            name: "php-fpm",
            program: "php-fpm",
            package: "php-fpm",
            args: ["-F", "-y"].map(str::to_owned).into_iter().chain([layout.path("etc/php-fpm.conf")]).collect(),
            check: ["-t", "-y", CHECKED].map(str::to_owned).to_vec(),
            config: "etc/php-fpm.conf",
            reload: Some(Signal::Usr2),
            stop: Signal::Quit,
            pid_file: "run/php-fpm.pid",
        },
        Service {
            name: "apache2",
            program: "apache2",
            package: "apache2",
            args: ["-DFOREGROUND", "-f"]
                .map(str::to_owned)
                .into_iter()
                .chain([layout.path("etc/httpd.conf")])
                .collect(),
            check: ["-t", "-f", CHECKED].map(str::to_owned).to_vec(),
            config: "etc/httpd.conf",
            reload: Some(Signal::Usr1),
            stop: Signal::Winch,
            pid_file: "run/apache2.pid",
        },
    ];
    bundle
}

fn httpd_conf(node: &WebNode<'_>, layout: &Layout, bundle: &mut Bundle) -> String {
    let address = if layout.has_firewall { "*" } else { bundle.known(node.address) };
    let (port, status_port) = (node.port, status_port(node.port));
    let root = layout.root.display();
    let name = node.name;
    let health_pattern = regex_escape(node.health_check_path);
    let modules: String = MODULES
        .iter()
        .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
        .collect();
    format!(
        r#"# {name}: Apache in front of PHP-FPM. Written by lampwright; changes by hand are lost.
ServerRoot "{root}"
ServerName {name}
Listen {address}:{port}
Listen {address}:{status_port}
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

<VirtualHost {address}:{port}>
    DocumentRoot "{root}/htdocs"
    DirectoryIndex index.php index.html
    <Directory "{root}/htdocs">
        Require all granted
        Options -Indexes
    </Directory>

    # A node that leaves says so by its health check first.
    RewriteEngine On
    RewriteCond "{root}/{DRAIN_FLAG}" -f
    RewriteRule "^{health_pattern}$" - [R=404,L]

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

fn fpm_conf(node: &WebNode<'_>, layout: &Layout) -> String {
    let root = layout.root.display();
    let (name, workers) = (node.name, node.workers);
    format!(
        "; {name}: PHP-FPM behind Apache. Written by lampwright; changes by hand are lost.
[global]
pid = {root}/run/php-fpm.pid
error_log = {root}/log/php-fpm.log
daemonize = no
; A reload lets running requests finish.
process_control_timeout = 10s

[www]
listen = {root}/run/php-fpm.sock
listen.mode = 0600
pm = static
pm.max_children = {workers}
pm.max_requests = 10000
request_terminate_timeout = 25s
clear_env = yes
catch_workers_output = yes
php_admin_value[upload_tmp_dir] = {root}/tmp
php_admin_value[sys_temp_dir] = {root}/tmp
php_admin_value[error_log] = {root}/log/php.log
php_admin_flag[log_errors] = on
php_admin_flag[display_errors] = off
php_admin_flag[expose_php] = off
include = {root}/etc/php-env.conf
"
    )
}

fn environment_conf(node: &WebNode<'_>, bundle: &mut Bundle) -> String {
    let mut out = String::from("[www]\n");
    writeln!(out, "env[LAMPWRIGHT_NODE] = \"{}\"", node.name).expect(INFALLIBLE);
    for (name, value) in &node.environment {
        let value = bundle.known(value.as_deref());
        // In double quotes of FPM's ini dialect only these two are special, and `${`, which validation refuses.
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        writeln!(out, "env[{name}] = \"{value}\"").expect(INFALLIBLE);
    }
    out
}

fn regex_escape(path: &str) -> String {
    path.chars()
        .flat_map(|ch| if ch.is_alphanumeric() || "/_-".contains(ch) { vec![ch] } else { vec!['\\', ch] })
        .collect()
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
