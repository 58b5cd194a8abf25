//! Connections to machines: one for each, shared by all that is done on it, verified by a key that is known before.
//!
//! Failures: a machine that is not there yet refuses or stays silent, and is tried again until a deadline; a
//! connection that broke is made anew by the next call; a call that gets no answer ends at its deadline. A host key
//! that is not the expected one is never accepted, and never tried again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use russh::client::{self, Handle};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{ChannelMsg, ChannelStream};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::user_data::ACCOUNT;
use crate::driver::{DriverError, Result};

const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// A connection that does not answer three of them is given up.
const KEEPALIVE: Duration = Duration::from_secs(15);
const CALL_PATIENCE: Duration = Duration::from_mins(2);
/// Connections that are being made or worked on at the same time.
const AT_ONCE: usize = 32;

/// A machine, and whom it must prove to be.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// Its own key first; then the one of the call that made it.
    pub(super) keys: Vec<PublicKey>,
}

/// A machine through which the others are reached.
#[derive(Debug, Clone)]
pub(super) struct Jump {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) port: u16,
}

type Shared = Arc<tokio::sync::Mutex<Option<Arc<Connection>>>>;

pub(super) struct Sessions {
    key: Arc<PrivateKey>,
    jump: Option<Jump>,
    /// One connection to the jump host, for all machines.
    through: tokio::sync::Mutex<Option<Arc<Handle<KnownHost>>>>,
    open: Mutex<HashMap<SocketAddr, Shared>>,
    forwards: tokio::sync::Mutex<HashMap<(SocketAddr, u16), SocketAddr>>,
    limit: Semaphore,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions(..)")
    }
}

struct Connection {
    handle: Handle<Verify>,
    /// Which of the target's keys the machine has shown.
    shown: usize,
    /// Kept, since the connection runs through it.
    _jump: Option<Arc<Handle<KnownHost>>>,
}

impl Sessions {
    pub(super) fn new(key: PrivateKey, jump: Option<Jump>) -> Sessions {
        Sessions {
            key: Arc::new(key),
            jump,
            through: tokio::sync::Mutex::default(),
            open: Mutex::default(),
            forwards: tokio::sync::Mutex::default(),
            limit: Semaphore::new(AT_ONCE),
        }
    }

    pub(super) fn jump(&self) -> Option<&Jump> {
        self.jump.as_ref()
    }

    async fn connection(&self, target: &Target) -> Result<Arc<Connection>> {
        let shared = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.entry(target.address).or_default().clone()
        };
        let mut slot = shared.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.handle.is_closed()) {
            return Ok(connection.clone());
        }
        let connected = tokio::time::timeout(CONNECT_PATIENCE, self.connect(target)).await;
        let connected = connected.unwrap_or_else(|_| Err(failed(target, "no answer in time")))?;
        let connected = Arc::new(connected);
        *slot = Some(connected.clone());
        Ok(connected)
    }

    async fn connect(&self, target: &Target) -> Result<Connection> {
        let started = Instant::now();
        let config = Arc::new(client::Config {
            keepalive_interval: Some(KEEPALIVE),
            nodelay: true,
            ..client::Config::default()
        });
        let shown = Arc::new(Mutex::new(None));
        let verify = Verify { keys: target.keys.clone(), shown: shown.clone() };
        let wrong_key = || {
            untrusted(
                target,
                "its host key is not the one that it was given. Either another machine answers at this address, or the stack's SSH key was exchanged",
            )
        };
        let explain = |error: russh::Error| match error {
            russh::Error::UnknownKey => wrong_key(),
            error => failed(target, &error.to_string()),
        };
        let (mut handle, jump) = match &self.jump {
            None => (client::connect(config, target.address, verify).await.map_err(explain)?, None),
            Some(jump) => {
                let through = self.jump_to(jump, target).await?;
                let (host, port) = (target.address.ip().to_string(), u32::from(target.address.port()));
                let channel = through.channel_open_direct_tcpip(host, port, "127.0.0.1", 0).await;
                let channel =
                    channel.map_err(|error| failed(target, &format!("{} does not get there: {error}", jump.host)))?;
                (client::connect_stream(config, channel.into_stream(), verify).await.map_err(explain)?, Some(through))
            }
        };
        if !self.authenticate(&mut handle, ACCOUNT, target).await? {
            return Err(failed(target, &format!("the account {ACCOUNT} does not take the stack's SSH key")));
        }
        let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(0);
        tracing::debug!(machine = %target.name, address = %target.address, ms = started.elapsed().as_millis() as u64, "ssh: connected");
        Ok(Connection { handle, shown, _jump: jump })
    }

    async fn jump_to(&self, jump: &Jump, target: &Target) -> Result<Arc<Handle<KnownHost>>> {
        let mut kept = self.through.lock().await;
        if let Some(handle) = kept.as_ref().filter(|handle| !handle.is_closed()) {
            return Ok(handle.clone());
        }
        let handler = KnownHost { host: jump.host.clone(), port: jump.port };
        let config = Arc::new(client::Config {
            keepalive_interval: Some(KEEPALIVE),
            nodelay: true,
            ..client::Config::default()
        });
        let connected = client::connect(config, (jump.host.as_str(), jump.port), handler).await;
        let mut handle = connected.map_err(|error| match error {
            russh::Error::UnknownKey => untrusted(target, &format!("the jump host {} is not in ~/.ssh/known_hosts with the key that it shows; connect to it once with ssh", jump.host)),
            error => failed(target, &format!("the jump host {}: {error}", jump.host)),
        })?;
        // A jump host is not about to boot: what it does not take now, it does not take later.
        if !self.authenticate(&mut handle, &jump.user, target).await? {
            let reason =
                format!("the account {} of the jump host {} does not take the stack's SSH key", jump.user, jump.host);
            return Err(untrusted(target, &reason));
        }
        let handle = Arc::new(handle);
        *kept = Some(handle.clone());
        Ok(handle)
    }

    async fn authenticate<H: client::Handler>(
        &self,
        handle: &mut Handle<H>,
        user: &str,
        target: &Target,
    ) -> Result<bool> {
        let key = PrivateKeyWithHashAlg::new(self.key.clone(), None);
        let result = handle.authenticate_publickey(user, key).await;
        match result {
            Ok(result) => Ok(result.success()),
            Err(error) => Err(failed(target, &error.to_string())),
        }
    }

    /// Which of its keys the machine has shown: 0 is its own.
    pub(super) async fn shown(&self, target: &Target) -> Result<usize> {
        Ok(self.connection(target).await?.shown)
    }

    /// Forgets the connection, so that the next call makes a new one.
    pub(super) fn forget(&self, target: &Target) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&target.address);
    }

    /// Runs a command with root's rights, in a conversation of lines.
    pub(super) async fn run(&self, target: &Target, command: &str) -> Result<Conversation> {
        let _slot = self.limit.acquire().await.map_err(|error| failed(target, &error.to_string()))?;
        // A connection that broke while nobody looked shows only now: once more, on a new one.
        for last in [false, true] {
            let connection = self.connection(target).await?;
            let opened = tokio::time::timeout(CONNECT_PATIENCE, connection.handle.channel_open_session()).await;
            match opened
                .map_err(|_| failed(target, "no answer in time"))
                .and_then(|opened| opened.map_err(|error| failed(target, &error.to_string())))
            {
                Ok(channel) => {
                    let started = channel.exec(true, format!("sudo -n {command}")).await;
                    started.map_err(|error| failed(target, &error.to_string()))?;
                    return Ok(Conversation::new(target.clone(), channel));
                }
                Err(error) if last => return Err(error),
                Err(_) => self.forget(target),
            }
        }
        Err(failed(target, "no connection"))
    }

    /// A loopback address that leads to a port on the machine itself.
    pub(super) async fn forward(self: &Arc<Self>, target: &Target, port: u16) -> Result<SocketAddr> {
        let mut forwards = self.forwards.lock().await;
        if let Some(address) = forwards.get(&(target.address, port)) {
            return Ok(*address);
        }
        let io = |source| DriverError::Io { what: "making a tunnel", path: target.name.clone(), source };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(io)?;
        let address = listener.local_addr().map_err(io)?;
        let (sessions, owned) = (self.clone(), target.clone());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (sessions, target) = (sessions.clone(), owned.clone());
                tokio::spawn(async move {
                    match sessions.stream(&target, port).await {
                        // Whoever uses the tunnel sees a connection that ends, as without one.
                        Ok(mut stream) => drop(tokio::io::copy_bidirectional(&mut socket, &mut stream).await),
                        Err(error) => tracing::debug!("tunnel to {}: {}", target.name, error.explain()),
                    }
                });
            }
        });
        forwards.insert((target.address, port), address);
        Ok(address)
    }

    async fn stream(&self, target: &Target, port: u16) -> Result<ChannelStream<client::Msg>> {
        let connection = self.connection(target).await?;
        let opened = connection.handle.channel_open_direct_tcpip("127.0.0.1", u32::from(port), "127.0.0.1", 0).await;
        opened.map(russh::Channel::into_stream).map_err(|error| failed(target, &error.to_string()))
    }
}

pub(super) fn failed(target: &Target, reason: &str) -> DriverError {
    DriverError::Ssh { machine: target.name.clone(), address: target.address.to_string(), reason: reason.to_owned() }
}

fn untrusted(target: &Target, reason: &str) -> DriverError {
    let (machine, address) = (target.name.clone(), target.address.to_string());
    DriverError::Untrusted { machine, address, reason: reason.to_owned() }
}

/// A command that runs on a machine: it is sent bytes, and answers with lines.
pub(super) struct Conversation {
    target: Target,
    channel: russh::Channel<client::Msg>,
    heard: Vec<u8>,
    complaints: Vec<u8>,
    deadline: Instant,
}

impl Conversation {
    fn new(target: Target, channel: russh::Channel<client::Msg>) -> Conversation {
        let deadline = Instant::now() + CALL_PATIENCE;
        Conversation { target, channel, heard: Vec::new(), complaints: Vec::new(), deadline }
    }

    pub(super) async fn say(&mut self, bytes: &[u8]) -> Result<()> {
        let mut writer = self.channel.make_writer();
        let said = tokio::time::timeout_at(self.deadline.into(), async {
            writer.write_all(bytes).await?;
            writer.flush().await
        });
        match said.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(&self.target, &error.to_string())),
            Err(_) => Err(failed(&self.target, "it does not take what is sent")),
        }
    }

    pub(super) async fn end(&mut self) -> Result<()> {
        self.channel.eof().await.map_err(|error| failed(&self.target, &error.to_string()))
    }

    pub(super) async fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let rest = self.heard.split_off(end + 1);
                let line = std::mem::replace(&mut self.heard, rest);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let message = tokio::time::timeout_at(self.deadline.into(), self.channel.wait()).await;
            match message.map_err(|_| failed(&self.target, "a command did not end in time"))? {
                Some(ChannelMsg::Data { data }) => self.heard.extend_from_slice(&data),
                Some(ChannelMsg::ExtendedData { data, .. }) => self.complaints.extend_from_slice(&data),
                Some(_) => {}
                None => {
                    let complaints = String::from_utf8_lossy(&self.complaints);
                    let last = complaints.trim().lines().last().unwrap_or("it ended without an answer").to_owned();
                    return Err(failed(&self.target, &last));
                }
            }
        }
    }
}

struct Verify {
    keys: Vec<PublicKey>,
    shown: Arc<Mutex<Option<usize>>>,
}

impl client::Handler for Verify {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> std::result::Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        let found = self.keys.iter().position(|known| known.key_data() == key.key_data());
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(found.is_some())
    }
}

/// A jump host is known as ssh knows it.
struct KnownHost {
    host: String,
    port: u16,
}

impl client::Handler for KnownHost {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> std::result::Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        Ok(russh::keys::check_known_hosts(&self.host, self.port, key).unwrap_or(false))
    }
}
