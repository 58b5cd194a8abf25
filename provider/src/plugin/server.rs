//! Serving: socket, handshake line, TLS, and an end in good time.
//!
//! Failures: without the cookie a person has started the program by hand and gets a hint; a host that was killed
//! leaves us as an orphan, which we notice and end; SIGINT reaches the whole process group and is ignored, since
//! the host tells us by StopProvider what to do.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use proto::handshake::{self, Handshake, Network, Protocol};
use proto::lampwright::operations_server::OperationsServer;
use proto::plugin::grpc_broker_server::GrpcBrokerServer;
use proto::plugin::grpc_controller_server::GrpcControllerServer;
use proto::plugin::grpc_stdio_server::GrpcStdioServer;
use proto::tfplugin6::provider_server::ProviderServer;
use proto::tls::{self, Identity, TlsError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::operations::Answers;
use super::stdio::{Broker, Controller, Stdio};
use super::wire::Wire;
use crate::service::Service;

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("this program is a plugin and is started by lampwright or terraform, not by hand.\nTry: lampwright --help")]
    StartedByHand,
    #[error("the host speaks plugin protocol versions {0}, and this plugin speaks 6")]
    Versions(String),
    #[error("the plugin's socket could not be made")]
    Socket(#[source] std::io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the connection to the host failed")]
    Transport(#[from] tonic::transport::Error),
}

/// How often we look whether the host is still there. Short: the next host may already be starting a plugin of
/// its own, and two must not work on the same machines.
const ORPHAN_CHECK: Duration = Duration::from_millis(200);

/// Daemons that this process starts go on in its session. With a terminal in it, an application could type at the prompt
/// of whoever ran the command (ioctl_tty(2), TIOCSTI).
fn leave_terminal() {
    if rustix::process::setsid().is_ok() {
        return;
    }
    // Whoever leads a process group may not: back into the parent's.
    let group = rustix::process::getppid().and_then(|parent| rustix::process::getpgid(Some(parent)).ok());
    if let Some(group) = group
        && rustix::process::setpgid(None, Some(group)).is_ok()
    {
        let _ = rustix::process::setsid();
    }
}

/// How the folders of plugins' sockets begin.
const FOLDER: &str = "lampwright";

/// As long as it may take to hold a folder.
const NEW: Duration = Duration::from_secs(10);

/// Serves until the host says Shutdown or is gone.
pub async fn serve() -> Result<(), ServeError> {
    if std::env::var(handshake::COOKIE_KEY).as_deref() != Ok(handshake::COOKIE_VALUE) {
        return Err(ServeError::StartedByHand);
    }
    if let Ok(versions) = std::env::var(handshake::PROTOCOL_VERSIONS)
        && !versions.split(',').any(|version| version.trim() == handshake::PROTOCOL_VERSION.to_string())
    {
        return Err(ServeError::Versions(versions));
    }
    leave_terminal();
    super::logging::start();
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    clear_leftovers();
    let folder = tempfile::Builder::new()
        .prefix(FOLDER)
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .map_err(ServeError::Socket)?;
    // For as long as this process lives.
    let held = File::open(folder.path()).map_err(ServeError::Socket)?;
    let _ = held.try_lock();
    let socket = folder.path().join("plugin");
    let listener = UnixListener::bind(&socket).map_err(ServeError::Socket)?;
    let (acceptor, certificate) = match std::env::var(handshake::CLIENT_CERT) {
        Ok(client_pem) => {
            let identity = Identity::generate()?;
            let certificate = identity.certificate.to_vec();
            (Some(TlsAcceptor::from(Arc::new(tls::server_config(identity, &client_pem)?))), Some(certificate))
        }
        Err(_) => (None, None),
    };
    let line = Handshake {
        protocol: Protocol::V6,
        network: Network::Unix,
        address: socket.display().to_string(),
        certificate,
    }
    .to_line();
    // Before the line: a host that is gone by now no longer reads it, and one that goes later is another parent then.
    let host = std::os::unix::process::parent_id();
    announce(&line).map_err(ServeError::Socket)?;

    let stop = Arc::new(Notify::new());
    tokio::spawn(end_when_orphaned(host, folder.path().to_owned()));
    let service = Arc::new(Service::new());
    let operations = service.clone();
    let controller = Controller { stop: stop.clone(), folder: folder.path().to_owned(), service: service.clone() };
    let wire = ProviderServer::new(Wire::new(service))
        .max_decoding_message_size(proto::MAX_MESSAGE)
        .max_encoding_message_size(proto::MAX_MESSAGE);
    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter.set_service_status(proto::HEALTH_SERVICE, tonic_health::ServingStatus::Serving).await;
    Server::builder()
        .add_service(wire)
        .add_service(OperationsServer::new(Answers { service: operations }))
        .add_service(GrpcStdioServer::new(Stdio))
        .add_service(GrpcBrokerServer::new(Broker))
        .add_service(GrpcControllerServer::new(controller))
        .add_service(health)
        // Streams that the host keeps open would delay a graceful end beyond the two seconds that it grants.
        .serve_with_incoming_shutdown(
            ReceiverStream::new(accept(listener, acceptor)),
            async move { stop.notified().await },
        )
        .await?;
    Ok(())
}

/// Folders of plugins that were killed: nobody holds them any more. A new one is not held yet.
fn clear_leftovers() {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(FOLDER)) {
        let Ok(metadata) = entry.metadata() else { continue };
        let is_ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
        let is_old = metadata.modified().ok().and_then(|time| time.elapsed().ok()).is_some_and(|age| age > NEW);
        let has_socket = || std::fs::symlink_metadata(entry.path().join("plugin")).is_ok();
        if is_ours && is_old && has_socket() && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The one line that may ever go to standard output.
fn announce(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

async fn end_when_orphaned(host: u32, folder: PathBuf) {
    loop {
        tokio::time::sleep(ORPHAN_CHECK).await;
        if std::os::unix::process::parent_id() != host {
            let _ = std::fs::remove_dir_all(folder);
            std::process::exit(1);
        }
    }
}

/// Accepts connections; each handshake runs on its own, so that a slow one holds up no other.
fn accept(listener: UnixListener, acceptor: Option<TlsAcceptor>) -> mpsc::Receiver<Result<Connection, std::io::Error>> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (sender, acceptor) = (sender.clone(), acceptor.clone());
            tokio::spawn(async move {
                let connection = match acceptor {
                    None => Ok(Connection::Plain(stream)),
                    Some(acceptor) => acceptor.accept(stream).await.map(|stream| Connection::Tls(Box::new(stream))),
                };
                match connection {
                    Ok(connection) => drop(sender.send(Ok(connection)).await),
                    Err(error) => tracing::error!("the TLS handshake with the host failed: {error}"),
                }
            });
        }
    });
    receiver
}

/// A connection from the host; plain only if the host asked for it (TF_DISABLE_PLUGIN_TLS).
enum Connection {
    Plain(UnixStream),
    Tls(Box<TlsStream<UnixStream>>),
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Connection::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Connection::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_flush(context),
            Connection::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Connection::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
