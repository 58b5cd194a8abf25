//! Requests to hosts: where their services are, who asks, and for how long.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use tempfile::NamedTempFile;
use tokio::sync::Mutex;

use crate::{RegistryError, Result};

/// No list of versions is longer.
const DOCUMENT_LIMIT: u64 = 64 << 20;
/// No package is larger.
const PACKAGE_LIMIT: u64 = 2 << 30;
const CONNECT: Duration = Duration::from_secs(10);
/// A server that sends nothing for so long is gone.
const SILENCE: Duration = Duration::from_mins(1);

/// What the CLI configuration and the environment say of hosts.
#[derive(Clone, Default)]
pub struct Hosts {
    /// `host` blocks: addresses of services by name, for hosts that are not asked.
    pub services: BTreeMap<String, BTreeMap<String, String>>,
    /// `credentials` blocks and `TF_TOKEN_..`, by host.
    pub tokens: BTreeMap<String, String>,
    /// `TF_REGISTRY_CLIENT_TIMEOUT`: of one answer that is a document.
    pub timeout: Option<Duration>,
    /// `TF_REGISTRY_DISCOVERY_RETRY`: how often what failed is asked again.
    pub retries: Option<u32>,
}

/// Tokens are not shown.
impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts")
            .field("services", &self.services)
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub struct Client {
    /// Made with the first request: a machine without certificates of authorities works as long as nobody asks one.
    http: OnceLock<reqwest::Client>,
    hosts: Hosts,
    discovered: Mutex<HashMap<String, BTreeMap<String, String>>>,
}

impl Client {
    pub fn new(hosts: Hosts) -> Client {
        Client { http: OnceLock::new(), hosts, discovered: Mutex::default() }
    }

    fn http(&self, url: &Url) -> Result<&reqwest::Client> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let built = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("lampwright/", env!("CARGO_PKG_VERSION")))
            .build();
        let http =
            built.map_err(|error| RegistryError::NotAsked { url: url.to_string(), reason: last_cause(&error) })?;
        Ok(self.http.get_or_init(|| http))
    }

    /// Where a service of a host is ("Remote Service Discovery").
    pub(crate) async fn service(&self, host: &str, service: &'static str) -> Result<Url> {
        let discovery = format!("https://{host}/.well-known/terraform.json");
        let known = match self.hosts.services.get(host) {
            Some(services) => services.clone(),
            None => self.discover(host, &discovery).await?,
        };
        let missing = || RegistryError::NoService { host: host.to_owned(), service, url: discovery.clone() };
        let mut place = known.get(service).ok_or_else(missing)?.clone();
        if !place.ends_with('/') {
            place.push('/');
        }
        let base = url(&discovery)?;
        base.join(&place).map_err(|error| unreadable(&discovery, &error))
    }

    async fn discover(&self, host: &str, address: &str) -> Result<BTreeMap<String, String>> {
        let mut discovered = self.discovered.lock().await;
        if let Some(services) = discovered.get(host) {
            return Ok(services.clone());
        }
        let document: BTreeMap<String, serde_json::Value> = self.json(&url(address)?, Some(host)).await?;
        let services: BTreeMap<String, String> =
            document.into_iter().filter_map(|(name, place)| Some((name, place.as_str()?.to_owned()))).collect();
        discovered.insert(host.to_owned(), services.clone());
        Ok(services)
    }

    /// A document. `host` is whose token goes with the question.
    pub(crate) async fn json<T: DeserializeOwned>(&self, url: &Url, host: Option<&str>) -> Result<T> {
        let bytes = self.bytes(url, host).await?;
        serde_json::from_slice(&bytes).map_err(|error| unreadable(url.as_str(), &error))
    }

    pub(crate) async fn bytes(&self, url: &Url, host: Option<&str>) -> Result<Vec<u8>> {
        let whole = async {
            let mut answer = self.get(url, host).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(url, &error))? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() as u64 > DOCUMENT_LIMIT {
                    return Err(unreadable(url.as_str(), &"it does not end"));
                }
            }
            Ok(bytes)
        };
        // A server that drips answers is as good as none.
        match tokio::time::timeout(self.patience() * 4, whole).await {
            Ok(result) => result,
            Err(_) => Err(RegistryError::Unreachable { url: url.to_string(), reason: "it takes too long".to_owned() }),
        }
    }

    /// A package, into a file of its own; `told` hears how large it is.
    pub(crate) async fn download(&self, url: &Url, told: &(dyn Fn(u64) + Sync)) -> Result<NamedTempFile> {
        let mut answer = self.get(url, None).await?;
        if let Some(size) = answer.content_length() {
            told(size);
        }
        let mut file = NamedTempFile::new().map_err(crate::io(&std::env::temp_dir()))?;
        let mut size = 0;
        while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(url, &error))? {
            let path = file.path().to_owned();
            size += chunk.len() as u64;
            if size > PACKAGE_LIMIT {
                return Err(unreadable(url.as_str(), &"it is larger than 2 GiB, or does not end"));
            }
            file.write_all(&chunk).map_err(crate::io(&path))?;
        }
        Ok(file)
    }

    async fn get(&self, url: &Url, host: Option<&str>) -> Result<Response> {
        let mut left = self.hosts.retries.unwrap_or(1);
        let http = self.http(url)?;
        loop {
            let mut request = http.get(url.clone());
            if let Some(token) = host.and_then(|host| self.hosts.tokens.get(host)) {
                request = request.bearer_auth(token);
            }
            let problem = match tokio::time::timeout(self.patience(), request.send()).await {
                Ok(Ok(answer)) if answer.status() == StatusCode::OK => return Ok(answer),
                Ok(Ok(answer)) => {
                    let status = answer.status();
                    let problem = RegistryError::Status { url: url.to_string(), status: status.as_u16() };
                    if !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS {
                        return Err(problem);
                    }
                    problem
                }
                Ok(Err(error)) => unreachable(url, &error),
                Err(_) => {
                    let reason = format!("it says nothing for {} s", self.patience().as_secs());
                    RegistryError::Unreachable { url: url.to_string(), reason }
                }
            };
            if left == 0 {
                return Err(problem);
            }
            left -= 1;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn patience(&self) -> Duration {
        self.hosts.timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(Duration::from_secs(10))
    }
}

pub(crate) fn url(text: &str) -> Result<Url> {
    text.parse().map_err(|error| unreadable(text, &error))
}

pub(crate) fn unreadable(url: &str, reason: &dyn fmt::Display) -> RegistryError {
    RegistryError::Unreadable { url: url.to_owned(), reason: reason.to_string() }
}

fn unreachable(url: &Url, error: &reqwest::Error) -> RegistryError {
    RegistryError::Unreachable { url: url.to_string(), reason: last_cause(error) }
}

/// The one that says something.
fn last_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
