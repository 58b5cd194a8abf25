//! A session with an OpenStack cloud: Keystone's token and catalog, and calls to the services.
//!
//! Sources: "Identity API v3", "OpenStack API-SIG guidelines" (microversions, errors), python-openstackclient's
//! documentation of clouds.yaml and the OS_ variables.
//!
//! Failures: a token that ends in the middle is renewed and the call made again; a cloud that wants time (429, 503) gets
//! it; an answer that was lost is reported as such, and its caller looks at what has become of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use tokio::sync::{Mutex, OnceCell};

use super::POLL;
use super::credentials::Credentials;
use crate::driver::{DriverError, Result};
use crate::drivers::http::{Attempt, Http, Reply};

/// The services that are talked to, by their types in the catalog; the first that is there is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Service {
    Compute,
    Image,
    LoadBalancer,
    Network,
    Volume,
}

impl Service {
    fn types(self) -> &'static [&'static str] {
        match self {
            Service::Compute => &["compute"],
            Service::Image => &["image"],
            Service::LoadBalancer => &["load-balancer"],
            Service::Network => &["network"],
            Service::Volume => &["block-storage", "volumev3"],
        }
    }

    /// What follows the catalog's address, which names no version for some.
    fn suffix(self) -> &'static str {
        match self {
            Service::Compute | Service::Volume => "",
            Service::Image => "v2",
            Service::LoadBalancer => "v2.0/lbaas",
            Service::Network => "v2.0",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Service::Compute => "nova",
            Service::Image => "glance",
            Service::LoadBalancer => "octavia",
            Service::Network => "neutron",
            Service::Volume => "cinder",
        }
    }
}

/// The newest microversion of Nova that this program was written for, and the oldest that will do (server tags on
/// creation, 2.52; Pike, 2017; groups with rules, 2.64).
const NOVA_NEWEST: (u32, u32) = (2, 90);
const NOVA_OLDEST: (u32, u32) = (2, 64);

pub(super) struct Session {
    http: Http,
    credentials: Credentials,
    token: Mutex<Option<Arc<Token>>>,
    nova: OnceCell<String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session(..)")
    }
}

struct Token {
    secret: String,
    endpoints: HashMap<String, Url>,
    /// When a new one is due; some time before the end of this one.
    renew_at: std::time::Instant,
}

/// A request to a service.
#[derive(Debug, Clone)]
pub(super) struct Call<'a> {
    pub(super) service: Service,
    pub(super) method: Method,
    /// Below the service's address, with the query.
    pub(super) path: &'a str,
    pub(super) body: Option<Json>,
}

impl Session {
    pub(super) fn new(credentials: Credentials, timeout: Duration) -> Result<Session> {
        Ok(Session { http: Http::new(timeout)?, credentials, token: Mutex::new(None), nova: OnceCell::new() })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, service: Service, path: &str) -> Result<T> {
        let call = Call { service, method: Method::GET, path, body: None };
        let found = self.run(&call, true).await?;
        serde_json::from_value(found).map_err(|error| unreadable(&name(&call), &error))
    }

    /// Makes something, once: if the answer is lost, the error says so and nothing is tried again.
    pub(super) async fn post<T: DeserializeOwned>(&self, service: Service, path: &str, body: Json) -> Result<T> {
        let call = Call { service, method: Method::POST, path, body: Some(body) };
        let made = self.run(&call, false).await?;
        serde_json::from_value(made).map_err(|error| unreadable(&name(&call), &error))
    }

    /// Makes something that must not be made twice: when the answer is lost, `look` tells what is there.
    pub(super) async fn make_once<T, F>(
        &self,
        service: Service,
        path: &str,
        body: Json,
        look: impl Fn() -> F,
    ) -> Result<T>
    where
        T: DeserializeOwned,
        F: Future<Output = Result<Option<T>>> + Send,
    {
        let mut tries = 0;
        loop {
            match self.post(service, path, body.clone()).await {
                Err(error) if is_lost(&error) && tries < 4 => {
                    tries += 1;
                    tracing::debug!(target: "api", "looking for what POST {path} has made: {}", error.explain());
                    tokio::time::sleep(POLL * tries).await;
                    if let Some(found) = look().await? {
                        return Ok(found);
                    }
                }
                other => return other,
            }
        }
    }

    /// An order that does no harm when it is given twice.
    pub(super) async fn order(&self, method: Method, service: Service, path: &str, body: Option<Json>) -> Result<()> {
        self.run(&Call { service, method, path, body }, true).await.map(drop)
    }

    /// Removes something; that it is not there is fine.
    pub(super) async fn delete(&self, service: Service, path: &str) -> Result<()> {
        match self.order(Method::DELETE, service, path, None).await {
            Err(error) if is_missing(&error) => Ok(()),
            other => other,
        }
    }

    /// Whether the cloud has the service at all.
    pub(super) async fn has(&self, service: Service) -> Result<bool> {
        let token = self.token().await?;
        Ok(service.types().iter().any(|kind| token.endpoints.contains_key(*kind)))
    }

    async fn run(&self, call: &Call<'_>, is_repeatable: bool) -> Result<Json> {
        self.http.persist(is_repeatable, || self.attempt(call)).await
    }

    async fn attempt(&self, call: &Call<'_>) -> Attempt<Json> {
        // A token may end at any moment: once more, with a new one.
        for last in [false, true] {
            let token = match self.token().await {
                Ok(token) => token,
                Err(error) => return Attempt::Refused(error),
            };
            let reply = match self.send(call, &token).await {
                Ok(reply) => reply,
                Err(Attempt::Refused(DriverError::Api { code, .. })) if code == "401" && !last => {
                    self.forget(&token).await;
                    continue;
                }
                Err(error) => return error,
            };
            if reply.status != 401 || last {
                return judge(&name(call), &reply);
            }
            tracing::debug!(target: "api", "the token has ended, logging in again");
            self.forget(&token).await;
        }
        unreachable!("the second attempt returns")
    }

    async fn send(&self, call: &Call<'_>, token: &Token) -> std::result::Result<Reply, Attempt<Json>> {
        let refused = Attempt::Refused;
        let url = Self::url(call.service, call.path, token).map_err(refused)?;
        let mut request = self.http.client().request(call.method.clone(), url).header("X-Auth-Token", &token.secret);
        if call.service == Service::Compute {
            let version = self.nova.get_or_try_init(|| self.negotiate(token)).await.map_err(refused)?;
            request = request.header("OpenStack-API-Version", format!("compute {version}"));
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let built = request.build().map_err(|error| {
            Attempt::Refused(DriverError::Unreachable { call: name(call), reason: error.to_string() })
        })?;
        self.http.send(&name(call), built).await.map_err(Attempt::Lost)
    }

    fn url(service: Service, path: &str, token: &Token) -> Result<Url> {
        let base = service.types().iter().find_map(|kind| token.endpoints.get(*kind));
        let base = base.ok_or_else(|| DriverError::NoSuchOffer {
            what: "service",
            wanted: format!("{:?} in the catalog of this cloud", service.types()[0]),
            known: {
                let mut known: Vec<&str> = token.endpoints.keys().map(String::as_str).collect();
                known.sort_unstable();
                known.join(", ")
            },
        })?;
        let base = base.as_str().trim_end_matches('/');
        let suffix = service.suffix();
        let joined = if suffix.is_empty() || base.ends_with(suffix) {
            format!("{base}{path}")
        } else {
            format!("{base}/{suffix}{path}")
        };
        Url::parse(&joined).map_err(|error| DriverError::Unreachable { call: joined, reason: error.to_string() })
    }

    async fn negotiate(&self, token: &Token) -> Result<String> {
        let call = "nova GET /".to_owned();
        let url = Self::url(Service::Compute, "/", token)?;
        let found: Json = self
            .http
            .persist(true, || {
                let request = self.http.client().get(url.clone()).header("X-Auth-Token", &token.secret).build();
                let call = &call;
                async move {
                    let request = match request {
                        Ok(request) => request,
                        Err(error) => {
                            return Attempt::Refused(DriverError::Unreachable {
                                call: call.clone(),
                                reason: error.to_string(),
                            });
                        }
                    };
                    match self.http.send(call, request).await {
                        Ok(reply) => judge(call, &reply),
                        Err(error) => Attempt::Lost(error),
                    }
                }
            })
            .await?;
        let newest = found.pointer("/version/version").and_then(Json::as_str).and_then(version).unwrap_or((2, 1));
        if newest < NOVA_OLDEST {
            let message = format!(
                "it speaks microversions up to {}.{}, and {}.{} is needed (OpenStack Rocky or later)",
                newest.0, newest.1, NOVA_OLDEST.0, NOVA_OLDEST.1
            );
            return Err(DriverError::Api { call, code: "microversion".to_owned(), message });
        }
        let (major, minor) = newest.min(NOVA_NEWEST);
        Ok(format!("{major}.{minor}"))
    }

    async fn token(&self) -> Result<Arc<Token>> {
        let mut slot = self.token.lock().await;
        if let Some(token) = slot.as_ref().filter(|token| token.renew_at > std::time::Instant::now()) {
            return Ok(token.clone());
        }
        let token = Arc::new(self.login().await?);
        *slot = Some(token.clone());
        Ok(token)
    }

    async fn forget(&self, token: &Arc<Token>) {
        let mut slot = self.token.lock().await;
        slot.take_if(|current| Arc::ptr_eq(current, token));
    }

    async fn login(&self) -> Result<Token> {
        self.http.persist(true, || self.attempt_login()).await
    }

    async fn attempt_login(&self) -> Attempt<Token> {
        let call = "keystone POST /auth/tokens";
        let url = format!("{}/auth/tokens", self.credentials.auth_url.trim_end_matches('/'));
        let unreachable = |reason: String| Attempt::Refused(DriverError::Unreachable { call: call.to_owned(), reason });
        let body = json!({ "auth": self.credentials.auth });
        let request = match self.http.client().post(url).json(&body).build() {
            Ok(request) => request,
            Err(error) => return unreachable(format!("auth_url is no URL: {error}")),
        };
        let reply = match self.http.send(call, request).await {
            Ok(reply) => reply,
            Err(error) => return Attempt::Lost(error),
        };
        if reply.status == 401 {
            return Attempt::Refused(DriverError::Api {
                call: call.to_owned(),
                code: "401".to_owned(),
                message: format!("the cloud does not accept these credentials ({})", self.credentials.source),
            });
        }
        let secret = reply.header("x-subject-token").map(str::to_owned);
        let body: Json = match judge(call, &reply) {
            Attempt::Done(body) => body,
            Attempt::Refused(error) => return Attempt::Refused(error),
            Attempt::Throttled(error, hint) => return Attempt::Throttled(error, hint),
            Attempt::Lost(error) => return Attempt::Lost(error),
        };
        let Some(secret) = secret else { return unreachable("the answer holds no token".to_owned()) };
        match read_token(&body, secret, &self.credentials) {
            Some(token) => Attempt::Done(token),
            None => unreachable("the answer holds no catalog".to_owned()),
        }
    }
}

#[derive(Debug, Deserialize)]
struct CatalogEntry {
    #[serde(rename = "type")]
    kind: String,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    interface: String,
    region_id: Option<String>,
    url: String,
}

fn read_token(body: &Json, secret: String, credentials: &Credentials) -> Option<Token> {
    let token = body.get("token")?;
    let catalog: Vec<CatalogEntry> = serde_json::from_value(token.get("catalog")?.clone()).ok()?;
    let mut endpoints = HashMap::new();
    for entry in catalog {
        let is_ours = |endpoint: &&Endpoint| {
            endpoint.interface == credentials.interface
                && credentials.region.as_ref().is_none_or(|region| endpoint.region_id.as_ref() == Some(region))
        };
        if let Some(url) = entry.endpoints.iter().find(is_ours).and_then(|endpoint| Url::parse(&endpoint.url).ok()) {
            endpoints.insert(entry.kind, url);
        }
    }
    // Clocks differ, so only the length of its life counts; a fifth of it, up to a minute, is kept as a margin.
    let time =
        |name: &str| token.get(name).and_then(Json::as_str).and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let life = match (time("issued_at"), time("expires_at")) {
        (Some(issued), Some(expires)) => {
            Duration::from_secs(u64::try_from(expires.as_second() - issued.as_second()).unwrap_or(0))
        }
        _ => Duration::from_mins(5),
    };
    let margin = (life / 5).min(Duration::from_mins(1));
    let renew_at = std::time::Instant::now() + life.saturating_sub(margin);
    Some(Token { secret, endpoints, renew_at })
}

/// `2.96`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn name(call: &Call<'_>) -> String {
    let path = call.path.split('?').next().unwrap_or(call.path);
    format!("{} {} {path}", call.service.name(), call.method)
}

fn unreadable(call: &str, error: &serde_json::Error) -> DriverError {
    DriverError::Unreachable {
        call: call.to_owned(),
        reason: format!("an answer of another form than documented: {error}"),
    }
}

pub(super) fn is_missing(error: &DriverError) -> bool {
    matches!(error, DriverError::Api { code, .. } if code == "404")
}

pub(super) fn is_conflict(error: &DriverError) -> bool {
    matches!(error, DriverError::Api { code, .. } if code == "409")
}

/// Whether the work may have been done although there is no good answer.
pub(super) fn is_lost(error: &DriverError) -> bool {
    match error {
        DriverError::Unreachable { .. } => true,
        DriverError::Api { code, .. } => code.starts_with('5'),
        _ => false,
    }
}

/// What a service says went wrong. Nova, Cinder and Keystone: `{"KIND": {"code", "message"}}`; Neutron:
/// `{"NeutronError": {"type", "message", "detail"}}`; Octavia: `{"faultcode", "faultstring"}`.
fn message_of(body: &Json) -> Option<(Option<String>, String)> {
    let text = |value: &Json, name: &str| value.get(name).and_then(Json::as_str).map(str::to_owned);
    if let Some(fault) = text(body, "faultstring") {
        return Some((None, fault));
    }
    let (kind, inner) = body.as_object()?.iter().next()?;
    let message = text(inner, "message").or_else(|| inner.as_str().map(str::to_owned))?;
    let kind = if kind == "NeutronError" { text(inner, "type") } else { Some(kind.clone()) };
    Some((kind, message))
}

fn judge(call: &str, reply: &Reply) -> Attempt<Json> {
    let body = serde_json::from_slice::<Json>(&reply.body);
    if (200..300).contains(&reply.status) {
        return match body {
            Ok(body) => Attempt::Done(body),
            Err(_) if reply.body.is_empty() => Attempt::Done(Json::Null),
            Err(error) => Attempt::Lost(DriverError::Unreachable {
                call: call.to_owned(),
                reason: format!("the answer cannot be read: {error}"),
            }),
        };
    }
    let (kind, message) = body.ok().as_ref().and_then(message_of).unwrap_or_else(|| (None, reply.excerpt()));
    let kind = kind.unwrap_or_default();
    let lower = message.to_lowercase();
    let is_quota = kind == "OverQuota" || (matches!(reply.status, 403 | 413) && lower.contains("quota"));
    let error = if is_quota {
        let cure = "Ask the cloud's operator for more (openstack quota show tells what there is), or use less; apply again to go on".to_owned();
        DriverError::Quota { what: "a quota of the project".to_owned(), message, cure }
    } else {
        DriverError::Api { call: call.to_owned(), code: reply.status.to_string(), message }
    };
    let hint = reply.header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
    match reply.status {
        _ if is_quota => Attempt::Refused(error),
        // Nova has long said so when it is asked too often.
        413 if hint.is_some() => Attempt::Throttled(error, hint),
        429 | 503 => Attempt::Throttled(error, hint),
        // Octavia changes one thing at a time.
        409 if lower.contains("immutable") => Attempt::Throttled(error, Some(Duration::from_secs(1))),
        500.. => Attempt::Lost(error),
        _ => Attempt::Refused(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str) -> Attempt<Json> {
        let reply = Reply { status, headers: reqwest::header::HeaderMap::new(), body: body.as_bytes().to_vec() };
        judge("nova POST /servers", &reply)
    }

    #[track_caller]
    fn refusal(status: u16, body: &str) -> String {
        match check(status, body) {
            Attempt::Refused(error) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_three_shapes_of_errors_are_read() {
        assert_eq!(
            refusal(400, r#"{"badRequest": {"code": 400, "message": "Flavor 9 could not be found."}}"#),
            "nova POST /servers was refused: Flavor 9 could not be found. (400)"
        );
        assert_eq!(
            refusal(409, r#"{"NeutronError": {"type": "SubnetInUse", "message": "in use", "detail": ""}}"#),
            "nova POST /servers was refused: in use (409)"
        );
        assert_eq!(
            refusal(400, r#"{"faultcode": "Client", "faultstring": "Invalid input", "debuginfo": null}"#),
            "nova POST /servers was refused: Invalid input (400)"
        );
    }

    #[test]
    fn quotas_are_told_apart_from_prohibitions() {
        let over = r#"{"forbidden": {"code": 403, "message": "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances"}}"#;
        assert!(matches!(check(403, over), Attempt::Refused(DriverError::Quota { .. })));
        let policy = r#"{"forbidden": {"code": 403, "message": "Policy doesn't allow os_compute_api:servers:create"}}"#;
        assert!(matches!(check(403, policy), Attempt::Refused(DriverError::Api { .. })));
        let ports = r#"{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: ['port'].", "detail": ""}}"#;
        assert!(matches!(check(409, ports), Attempt::Refused(DriverError::Quota { .. })));
    }

    #[test]
    fn what_may_have_been_done_is_not_called_refused() {
        assert!(matches!(check(500, "<html>oops</html>"), Attempt::Lost(_)));
        assert!(matches!(check(202, "{\"server\": {"), Attempt::Lost(_)));
        assert!(matches!(check(503, ""), Attempt::Throttled(..)));
        assert!(matches!(check(204, ""), Attempt::Done(Json::Null)));
    }
}
