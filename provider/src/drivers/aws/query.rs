//! The AWS Query protocol: form-encoded requests, signed (Signature Version 4), answered in XML.
//!
//! Sources: "Amazon EC2 API Reference", Query requests and Common errors.

use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use reqwest::{Method, Request, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, OnceCell};

use crate::driver::{DriverError, Result};
use crate::drivers::Settings;
use crate::drivers::http::{Attempt, Http, Reply, escaped};

/// A service that speaks the protocol.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// The variable by which users of AWS exchange its endpoint.
    pub(super) endpoint_variable: &'static str,
}

pub(super) const EC2: Service =
    Service { name: "ec2", version: "2016-11-15", endpoint_variable: "AWS_ENDPOINT_URL_EC2" };

/// Codes by which services say that they are asked too often.
const THROTTLED: &[&str] = &[
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];
/// Codes that a later attempt gets around.
const PASSING: &[&str] = &["InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"];

/// Credentials that end so soon are found anew.
const RENEW_BEFORE: Duration = Duration::from_mins(1);

pub(super) fn is_passing(code: &str) -> bool {
    PASSING.contains(&code)
}

pub(super) type Params = Vec<(String, String)>;

#[derive(Debug)]
pub(super) struct Query {
    http: Http,
    region: Option<String>,
    profile: Option<String>,
    endpoint: Option<String>,
    /// Made at the first call: reading profiles and asking for an instance's role takes time.
    config: OnceCell<SdkConfig>,
    /// Until they end: an instance's role or a login takes a call to find.
    credentials: Mutex<Option<Credentials>>,
}

impl Query {
    /// What two clouds have alike that are one account's in one region.
    pub(super) fn account(&self) -> String {
        format!("aws {:?} {:?} {:?}", self.region, self.profile, self.endpoint)
    }

    pub(super) fn new(settings: &Settings) -> Result<Query> {
        let seconds = crate::drivers::seconds(settings, "timeout_s", 30)?;
        Ok(Query {
            http: Http::new(Duration::from_secs(seconds))?,
            region: settings.get("region").cloned(),
            profile: settings.get("profile").cloned(),
            endpoint: settings.get("endpoint_url").cloned(),
            config: OnceCell::new(),
            credentials: Mutex::new(None),
        })
    }

    async fn credentials(&self, config: &SdkConfig) -> std::result::Result<Credentials, String> {
        let mut kept = self.credentials.lock().await;
        let soon = SystemTime::now() + RENEW_BEFORE;
        let is_good = |kept: &&Credentials| kept.expiry().is_none_or(|end| end > soon);
        if let Some(credentials) = kept.as_ref().filter(is_good) {
            return Ok(credentials.clone());
        }
        let provider = config.credentials_provider().ok_or("there is no source of credentials")?;
        let found = provider.provide_credentials().await.map_err(|error| {
            let mut reason = format!("no AWS credentials were found: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                reason = format!("{reason}: {error}");
                source = error.source();
            }
            format!("{reason}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the setting `profile`")
        })?;
        *kept = Some(found.clone());
        Ok(found)
    }

    async fn config(&self) -> &SdkConfig {
        self.config.get_or_init(|| self.load_config()).await
    }

    async fn load_config(&self) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        loader.load().await
    }

    /// One action. `is_repeatable`: whether doing it twice does no harm.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        service: Service,
        action: &str,
        params: &Params,
        is_repeatable: bool,
    ) -> Result<T> {
        let call = format!("{} {action}", service.name);
        self.http.persist(is_repeatable, || self.attempt(service, action, params, &call)).await
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        service: Service,
        action: &str,
        params: &Params,
        call: &str,
    ) -> Attempt<T> {
        let request = match self.request(service, action, params).await {
            Ok(request) => request,
            Err(error) => return Attempt::Refused(error),
        };
        match self.http.send(call, request).await {
            Ok(reply) => judge(call, &reply),
            Err(error) => Attempt::Lost(error),
        }
    }

    async fn request(&self, service: Service, action: &str, params: &Params) -> Result<Request> {
        let call = || format!("{} {action}", service.name);
        let unreachable = |reason: String| DriverError::Unreachable { call: call(), reason };
        let config = self.config().await;
        let region = config.region().map(Region::as_ref).ok_or_else(|| DriverError::Setting {
            name: "region".to_owned(),
            reason: "no region is set; set it here, by AWS_REGION, or in the profile".to_owned(),
        })?;
        let credentials = self.credentials(config).await.map_err(unreachable)?;
        let endpoint = self
            .endpoint
            .clone()
            .or_else(|| std::env::var(service.endpoint_variable).ok())
            .or_else(|| config.endpoint_url().map(str::to_owned));
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let endpoint = endpoint.unwrap_or_else(|| format!("https://{}.{region}.{suffix}", service.name));
        let url = Url::parse(&endpoint)
            .map_err(|error| DriverError::Setting { name: "endpoint_url".to_owned(), reason: error.to_string() })?;
        let own = [("Action", action), ("Version", service.version)];
        let pairs = own.into_iter().chain(params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let body =
            pairs.map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect::<Vec<_>>().join("&");

        let identity = credentials.into();
        let signing = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service.name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build();
        let signing = signing.map_err(|error| unreachable(error.to_string()))?.into();
        let content_type = "application/x-www-form-urlencoded; charset=utf-8";
        let host = url.port().map_or_else(
            || url.host_str().unwrap_or_default().to_owned(),
            |port| format!("{}:{port}", url.host_str().unwrap_or_default()),
        );
        let headers = [("content-type", content_type), ("host", host.as_str())];
        let signable =
            SignableRequest::new("POST", url.as_str(), headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
        let signed =
            signable.and_then(|signable| sign(signable, &signing)).map_err(|error| unreachable(error.to_string()))?;
        let (instructions, _) = signed.into_parts();
        let mut request = self.http.client().request(Method::POST, url).header("content-type", content_type).body(body);
        for (name, value) in instructions.headers() {
            request = request.header(name, value);
        }
        request.build().map_err(|error| unreachable(error.to_string()))
    }
}

fn judge<T: DeserializeOwned>(call: &str, reply: &Reply) -> Attempt<T> {
    let text = String::from_utf8_lossy(&reply.body);
    if (200..300).contains(&reply.status) {
        return match quick_xml::de::from_str(&text) {
            Ok(answer) => Attempt::Done(answer),
            // A body that was cut off: the work was done.
            Err(error) => Attempt::Lost(DriverError::Unreachable {
                call: call.to_owned(),
                reason: format!("the answer cannot be read: {error}"),
            }),
        };
    }
    let Some((code, message)) = error_of(&text) else {
        let error = DriverError::Unreachable {
            call: call.to_owned(),
            reason: format!("an answer that is not of AWS ({})", reply.excerpt()),
        };
        return match reply.status {
            429 | 503 => Attempt::Throttled(error, None),
            500.. => Attempt::Lost(error),
            _ => Attempt::Refused(error),
        };
    };
    let is_quota =
        code.ends_with("LimitExceeded") && code != "FilterLimitExceeded" && !THROTTLED.contains(&code.as_str());
    let error = if is_quota {
        let cure = "Ask for more in the AWS console under Service Quotas, or use less; apply again to go on".to_owned();
        DriverError::Quota { what: format!("the quota behind {code}"), message, cure }
    } else {
        DriverError::Api { call: call.to_owned(), code: code.clone(), message }
    };
    if THROTTLED.contains(&code.as_str()) || reply.status == 429 {
        Attempt::Throttled(error, None)
    } else if is_passing(&code) || reply.status >= 500 {
        Attempt::Lost(error)
    } else {
        Attempt::Refused(error)
    }
}

/// EC2 writes `<Response><Errors><Error>`, the younger services `<ErrorResponse><Error>`.
fn error_of(text: &str) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "Errors")]
        errors: Option<Errors>,
        #[serde(rename = "Error")]
        error: Option<Error>,
    }
    #[derive(Deserialize)]
    struct Errors {
        #[serde(rename = "Error")]
        error: Option<Error>,
    }
    #[derive(Deserialize)]
    struct Error {
        #[serde(rename = "Code")]
        code: String,
        #[serde(rename = "Message", default)]
        message: String,
    }
    let body: Body = quick_xml::de::from_str(text).ok()?;
    let error = body.error.or(body.errors.and_then(|errors| errors.error))?;
    Some((error.code, error.message))
}

/// A list in an answer: `<item>..</item>` over and over.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(super) struct Items<T> {
    #[serde(rename = "item", default = "Vec::new")]
    pub(super) item: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Items<T> {
        Items { item: Vec::new() }
    }
}

impl<T> Items<T> {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.item.iter()
    }
}

/// `Filter.N.Name`, `Filter.N.Value.M`.
pub(super) fn filters(filters: &[(&str, &[&str])]) -> Params {
    let mut params = Vec::new();
    for (position, (name, values)) in filters.iter().enumerate() {
        let prefix = format!("Filter.{}", position + 1);
        params.push((format!("{prefix}.Name"), (*name).to_owned()));
        params.extend(
            values.iter().enumerate().map(|(at, value)| (format!("{prefix}.Value.{}", at + 1), (*value).to_owned())),
        );
    }
    params
}

/// `PREFIX.1`, `PREFIX.2`.
pub(super) fn list(prefix: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Params {
    values.into_iter().enumerate().map(|(at, value)| (format!("{prefix}.{}", at + 1), value.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Nothing {}

    #[track_caller]
    fn check(status: u16, body: &str) -> Attempt<Nothing> {
        let reply = Reply { status, headers: reqwest::header::HeaderMap::new(), body: body.as_bytes().to_vec() };
        judge("ec2 RunInstances", &reply)
    }

    fn error(code: &str) -> String {
        format!("<Response><Errors><Error><Code>{code}</Code><Message>m</Message></Error></Errors></Response>")
    }

    #[test]
    fn answers_are_told_apart() {
        assert!(matches!(check(503, &error("RequestLimitExceeded")), Attempt::Throttled(DriverError::Api { .. }, _)));
        assert!(matches!(check(400, &error("InvalidAMIID.NotFound")), Attempt::Refused(DriverError::Api { .. })));
        assert!(matches!(check(400, &error("VcpuLimitExceeded")), Attempt::Refused(DriverError::Quota { .. })));
        assert!(matches!(check(500, "<html>oops</html>"), Attempt::Lost(DriverError::Unreachable { .. })));
        assert!(matches!(check(200, "<RunInstancesResponse><a>"), Attempt::Lost(DriverError::Unreachable { .. })));
        assert!(matches!(check(404, "nothing here"), Attempt::Refused(DriverError::Unreachable { .. })));
        let young = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>m</Message></Error></ErrorResponse>";
        assert!(matches!(check(400, young), Attempt::Throttled(..)));
    }
}
