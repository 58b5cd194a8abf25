//! Starting a plugin's program, and connecting to it.
//!
//! Failures: not a plugin, or one of another protocol → what it
//! printed; a plugin that says nothing → killed after the handshake's deadline; a plugin that dies later → its
//! last lines.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use compiler::addr::ProviderSource;
use hyper_util::rt::TokioIo;
use proto::handshake::{self, Handshake, Network, Protocol};
use proto::tls::{self, Identity};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedSender;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};

use super::providers::PluginLauncher;
use super::{HostError, Result};

/// go-plugin grants a minute; a plugin that needs longer is broken.
const HANDSHAKE_DEADLINE: Duration = Duration::from_mins(1);
const CONNECT_DEADLINE: Duration = Duration::from_secs(20);
const KEPT_LOG_LINES: usize = 20;
/// Of a line that a plugin writes, no more is read.
const MAX_LINE: usize = 64 << 10;

/// What a provider says while it works: which resource, and what is happening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub address: String,
    pub message: String,
}

/// A plugin process that has been connected to.
#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) channel: Channel,
    pub(super) protocol: Protocol,
    /// None of one that somebody else has started.
    pub(super) child: Mutex<Option<Child>>,
    pub(super) is_attached: bool,
    pub(super) log: Log,
}

/// The last lines that a plugin wrote.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    pub(super) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() { "(none)".to_owned() } else { lines.iter().cloned().collect::<Vec<_>>().join("\n") }
    }
}

pub(super) async fn start(program: &Path, provider: &ProviderSource, launcher: &PluginLauncher) -> Result<Plugin> {
    let path = program.display().to_string();
    let identity = Identity::generate()?;
    let mut command = match launcher.guard.split_first().filter(|_| *provider != ProviderSource::lampwright()) {
        Some((guard, args)) => {
            let mut command = Command::new(guard);
            command.args(args).arg(std::process::id().to_string()).arg(program);
            command
        }
        None => Command::new(program),
    };
    command
        .current_dir(&launcher.folder)
        .envs(launcher.environment.iter().map(|(name, value)| (name, value)))
        .env(handshake::COOKIE_KEY, handshake::COOKIE_VALUE)
        .env(handshake::PROTOCOL_VERSIONS, handshake::HOST_VERSIONS)
        .env("PLUGIN_MIN_PORT", "10000")
        .env("PLUGIN_MAX_PORT", "25000")
        .env(handshake::CLIENT_CERT, identity.certificate_pem())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C is for us: we tell the plugin what to do.
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|cause| HostError::Start { path: path.clone(), cause })?;
    let log = Log::default();
    let stderr = child.stderr.take().expect("standard error was piped");
    let log_reader = tokio::spawn(forward_log(stderr, log.clone(), launcher.progress.clone(), provider.short()));
    let stdout = child.stdout.take().expect("standard output was piped");
    let mut stdout = BufReader::new(stdout);
    let failed = |reason: String| HostError::Handshake { path: path.clone(), reason };
    let line = tokio::time::timeout(HANDSHAKE_DEADLINE, next_line(&mut stdout)).await;
    let line = match line {
        Err(_) => return Err(failed(format!("it printed nothing within {} s", HANDSHAKE_DEADLINE.as_secs()))),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Ok(Ok(None)) => {
            // It ended at once; what it wrote says why.
            let _ = tokio::time::timeout(Duration::from_secs(1), log_reader).await;
            return Err(failed(format!("it ended. It wrote:\n{}", log.text())));
        }
        Ok(Ok(Some(line))) => line,
    };
    // Later output goes nowhere, but it must be taken, or the plugin would block.
    tokio::spawn(async move { while let Ok(Some(_)) = next_line(&mut stdout).await {} });
    let handshake = Handshake::parse(&line).map_err(|error| failed(error.to_string()))?;
    let protocol = handshake.protocol;
    let connector = match handshake.certificate {
        Some(der) => Some(TlsConnector::from(Arc::new(tls::client_config(identity, der)?))),
        None => None,
    };
    let connecting = connect(handshake.network, handshake.address, connector);
    let channel = tokio::time::timeout(CONNECT_DEADLINE, connecting).await;
    let channel = channel
        .map_err(|_| failed(unaccepted()))?
        .map_err(|cause| HostError::Connect { provider: provider.short(), cause })?;
    Ok(Plugin { channel, protocol, child: Mutex::new(Some(child)), is_attached: false, log })
}

/// A plugin that somebody else has started, who wants neither encryption nor that it ends.
pub(super) async fn attach(running: Handshake, provider: &ProviderSource) -> Result<Plugin> {
    let (address, log) = (running.address.clone(), Log::default());
    let failed = |cause| HostError::Attach { provider: provider.short(), address: address.clone(), cause };
    let connecting = connect(running.network, running.address, None);
    let channel = tokio::time::timeout(CONNECT_DEADLINE, connecting).await;
    let channel = channel.map_err(|_| failed(unaccepted().into()))?.map_err(|cause| failed(cause.into()))?;
    log.push("(they are where it was started)".to_owned());
    Ok(Plugin { channel, protocol: running.protocol, child: Mutex::default(), is_attached: true, log })
}

fn unaccepted() -> String {
    format!("nobody accepts a connection within {} s", CONNECT_DEADLINE.as_secs())
}

async fn connect(
    network: Network,
    address: String,
    connector: Option<TlsConnector>,
) -> std::result::Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_static("http://localhost");
    let connecting = endpoint.connect_with_connector(tower::service_fn(move |_| {
        let (address, connector) = (address.clone(), connector.clone());
        async move {
            let stream: Box<dyn Stream> = match network {
                Network::Unix => Box::new(UnixStream::connect(&address).await?),
                Network::Tcp => Box::new(TcpStream::connect(&address).await?),
            };
            let stream: Box<dyn Stream> = match connector {
                Some(connector) => {
                    let name = ServerName::try_from("localhost").expect("localhost is a name");
                    Box::new(connector.connect(name, stream).await?)
                }
                None => stream,
            };
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    }));
    connecting.await
}

/// A connection, encrypted or not.
trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for S {}

/// The next line, whatever its bytes are and however long it is; none at the end.
async fn next_line(from: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<String>> {
    let (mut line, mut is_begun) = (Vec::new(), false);
    loop {
        let buffer = from.fill_buf().await?;
        if buffer.is_empty() {
            break;
        }
        is_begun = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        line.extend_from_slice(&part[..part.len().min(MAX_LINE - line.len())]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        from.consume(used);
        if end.is_some() {
            break;
        }
    }
    let line = line.strip_suffix(b"\r").unwrap_or(&line);
    Ok(is_begun.then(|| String::from_utf8_lossy(line).into_owned()))
}

/// Reads the plugin's log lines: progress goes to whoever shows it, the rest to our own log.
async fn forward_log(
    stderr: tokio::process::ChildStderr,
    log: Log,
    progress: UnboundedSender<Progress>,
    provider: String,
) {
    let mut stderr = BufReader::new(stderr);
    while let Ok(Some(line)) = next_line(&mut stderr).await {
        let json: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        let field = |name: &str| json.as_ref().and_then(|json| json.get(name)?.as_str().map(str::to_owned));
        let Some(message) = field("@message") else {
            tracing::debug!(target: "plugin", %provider, "{line}");
            log.push(line);
            continue;
        };
        match (field("@module").as_deref(), field("@level").as_deref()) {
            (Some("progress"), _) => {
                let address = field("address").unwrap_or_default();
                // Nobody may be listening any more.
                let _ = progress.send(Progress { address, message });
            }
            (_, Some("error")) => {
                tracing::error!(target: "plugin", %provider, "{message}");
                log.push(message);
            }
            (_, Some("warn")) => {
                tracing::warn!(target: "plugin", %provider, "{message}");
                log.push(message);
            }
            (_, Some("trace")) => tracing::trace!(target: "plugin", "{message}{}", details(json.as_ref())),
            _ => tracing::debug!(target: "plugin", "{message}{}", details(json.as_ref())),
        }
    }
}

/// What a log line says besides its message: ` name=value ..`.
fn details(line: Option<&serde_json::Value>) -> String {
    let fields = line.and_then(serde_json::Value::as_object).into_iter().flatten();
    let own = fields.filter(|(name, _)| !name.starts_with('@'));
    own.map(|(name, value)| format!(" {name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect()
}
