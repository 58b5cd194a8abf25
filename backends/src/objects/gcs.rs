//! `gcs`: Google Cloud Storage, by its JSON API. That knows generations of objects: a lock is made only where there is none, and
//! only the one that was meant is released. Terraform knows a lock by its generation, so that is its id when it is told.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use object_store::RetryConfig;
use object_store::gcp::{GcpCredential, GcpCredentialProvider, GoogleCloudStorageBuilder};
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use super::{Kind, LOCK, Names, Object, PATIENCE, PATIENTLY, Place, Result, Setting, Settings, Store, invalid};
use crate::BackendError;
use crate::calls::{self, Answer};

pub(crate) const KIND: Kind = Kind {
    name: "gcs",
    settings: &[
        Setting::optional("access_token", &["GOOGLE_OAUTH_ACCESS_TOKEN"]),
        Setting::required("bucket", &[]),
        Setting::optional(
            "credentials",
            &["GOOGLE_BACKEND_CREDENTIALS", "GOOGLE_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS"],
        ),
        Setting::optional("encryption_key", &["GOOGLE_ENCRYPTION_KEY"]),
        // Looked for, so that nobody's identity is another one than Terraform's.
        Setting::optional(
            IMPERSONATE,
            &["GOOGLE_BACKEND_IMPERSONATE_SERVICE_ACCOUNT", "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT"],
        ),
        Setting::refused("impersonate_service_account_delegates", NO_IMPERSONATION),
        Setting::optional("kms_encryption_key", &["GOOGLE_KMS_ENCRYPTION_KEY"]),
        Setting::optional("prefix", &[]),
        Setting::optional(
            "storage_custom_endpoint",
            &["GOOGLE_BACKEND_STORAGE_CUSTOM_ENDPOINT", "GOOGLE_STORAGE_CUSTOM_ENDPOINT"],
        ),
    ],
    connect: |settings, workspace| {
        let names = names(settings, workspace);
        let lock = format!("{}{workspace}{LOCK}", names.prefix);
        Ok(Arc::new(Place { store: Gcs::new(settings, &names)?, lock, names }))
    },
};

const IMPERSONATE: &str = "impersonate_service_account";
const NO_IMPERSONATION: &str =
    "give a token of that account as access_token (`gcloud auth print-access-token --impersonate-service-account=..`)";
const ENDPOINT: &str = "https://storage.googleapis.com";
const SUFFIX: &str = ".tfstate";
/// Between the parts of an upload: no line of JSON begins so.
const BOUNDARY: &str = "lampwright-part";

#[derive(Debug)]
struct Gcs {
    settings: Settings,
    bucket: String,
    at: String,
    endpoint: Url,
    client: Client,
    /// The state is encrypted with it, and the lock is not.
    key: Option<Key>,
    credentials: OnceCell<GcpCredentialProvider>,
}

/// A key that the store does not keep ("customer-supplied encryption keys").
#[derive(Debug)]
struct Key {
    key: String,
    digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    items: Vec<Item>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
}

fn names(settings: &Settings, workspace: &str) -> Names {
    let prefix = match settings.or("prefix", "").trim_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    let suffix = SUFFIX.to_owned();
    Names { state: format!("{prefix}{workspace}{suffix}"), prefix, suffix }
}

/// A text as it is, or what is in the file that it names.
fn contents(name: &str, text: &str, is_text: impl Fn(&str) -> bool) -> Result<String> {
    if is_text(text) {
        return Ok(text.to_owned());
    }
    // What is no path may be a secret.
    let read = std::fs::read_to_string(text).map_err(|error| invalid(name, format!("it names no file: {error}")))?;
    if is_text(&read) { Ok(read) } else { Err(invalid(name, format!("{text} has not what is needed"))) }
}

impl Key {
    fn new(text: &str) -> Result<Key> {
        let decode = |text: &str| BASE64_STANDARD.decode(text.trim()).ok().filter(|key| key.len() == 32);
        let key = contents("encryption_key", text, |text| decode(text).is_some())?;
        let digest = BASE64_STANDARD.encode(Sha256::digest(decode(&key).unwrap_or_default()));
        Ok(Key { key: key.trim().to_owned(), digest })
    }
}

impl Gcs {
    fn new(settings: &Settings, names: &Names) -> Result<Gcs> {
        if settings.get(IMPERSONATE).is_some() {
            return Err(invalid(IMPERSONATE, format!("it is not honoured: {NO_IMPERSONATION}")));
        }
        let key = settings.get("encryption_key").map(Key::new).transpose()?;
        if key.is_some() && settings.get("kms_encryption_key").is_some() {
            return Err(invalid("encryption_key", "it does not go together with kms_encryption_key"));
        }
        // As Terraform has it, with the path of the API; that is the same everywhere.
        let endpoint = settings.or("storage_custom_endpoint", ENDPOINT).parse::<Url>();
        let endpoint = endpoint.map_err(|error| invalid("storage_custom_endpoint", error))?;
        let bucket = settings.or("bucket", "").to_owned();
        let at = format!("gs://{bucket}/{}", names.state);
        let client = Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        let client = client.build().map_err(|error| invalid("storage_custom_endpoint", error))?;
        Ok(Gcs { settings: settings.clone(), bucket, at, endpoint, client, key, credentials: OnceCell::new() })
    }

    async fn token(&self) -> Result<Arc<GcpCredential>> {
        let provider = self.credentials.get_or_try_init(|| async { self.provider() }).await?;
        provider.get_credential().await.map_err(|error| self.failed(error))
    }

    fn provider(&self) -> Result<GcpCredentialProvider> {
        if let Some(token) = self.settings.get("access_token") {
            let credential = GcpCredential { bearer: token.to_owned() };
            return Ok(Arc::new(object_store::StaticCredentialProvider::new(credential)));
        }
        let retry = RetryConfig { retry_timeout: PATIENCE, ..RetryConfig::default() };
        let mut builder = GoogleCloudStorageBuilder::new().with_bucket_name(&self.bucket).with_retry(retry);
        if let Some(text) = self.settings.get("credentials") {
            let kind = |text: &str| {
                let read: serde_json::Value = serde_json::from_str(text).ok()?;
                Some(read.get("type").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned())
            };
            let read = contents("credentials", text, |text| kind(text).is_some())?;
            builder = match kind(&read).as_deref() {
                Some("service_account") => builder.with_service_account_key(read),
                Some("authorized_user") if read != text => builder.with_application_credentials(text),
                Some("authorized_user") => return Err(invalid("credentials", "those of a user are given as a file")),
                kind => {
                    let kind = kind.unwrap_or_default();
                    let reason = format!(
                        "credentials of the kind {kind:?} are not honoured, only service_account and authorized_user; give an access_token"
                    );
                    return Err(invalid("credentials", reason));
                }
            };
        }
        let built = builder.build().map_err(|error| invalid("credentials", error))?;
        Ok(built.credentials().clone())
    }

    fn failed(&self, reason: impl std::fmt::Display) -> BackendError {
        BackendError::Failed { at: self.at.clone(), reason: reason.to_string() }
    }

    fn refused(&self, what: &str, answer: &Answer) -> BackendError {
        self.failed(format!("the store refused to {what}: {}", answer.said()))
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.endpoint.clone();
        url.set_path("");
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        url.set_query(None);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn object(&self, name: &str, query: &[(&str, &str)]) -> Url {
        self.url(&["storage", "v1", "b", &self.bucket, "o", name], query)
    }

    async fn call(
        &self,
        method: Method,
        url: Url,
        with: impl Fn(RequestBuilder) -> RequestBuilder + Send + Sync,
    ) -> Result<Answer> {
        let token = self.token().await?;
        let asked = calls::ask(PATIENTLY, || {
            Ok(with(self.client.request(method.clone(), url.clone())).bearer_auth(&token.bearer))
        });
        asked.await.map_err(|error| self.failed(error))
    }

    fn key(&self, name: &str) -> Option<&Key> {
        self.key.as_ref().filter(|_| !name.ends_with(LOCK))
    }

    async fn upload(&self, name: &str, bytes: &[u8], query: &[(&str, &str)]) -> Result<Answer> {
        let mut query = [&[("uploadType", "multipart"), ("name", name)], query].concat();
        if let Some(key) = self.settings.get("kms_encryption_key").filter(|_| !name.ends_with(LOCK)) {
            query.push(("kmsKeyName", key));
        }
        let url = self.url(&["upload", "storage", "v1", "b", &self.bucket, "o"], &query);
        let about = serde_json::json!({ "name": name, "contentType": "application/json" });
        let head = format!(
            "--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n{about}\r\n--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n"
        );
        let body = [head.as_bytes(), bytes, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat();
        let kind = format!("multipart/related; boundary={BOUNDARY}");
        let send = |request: RequestBuilder| {
            with_key(request, self.key(name)).header("Content-Type", &kind).body(body.clone())
        };
        self.call(Method::POST, url, send).await
    }
}

fn with_key(request: RequestBuilder, key: Option<&Key>) -> RequestBuilder {
    let Some(Key { key, digest }) = key else { return request };
    let request = request.header("x-goog-encryption-algorithm", "AES256").header("x-goog-encryption-key", key);
    request.header("x-goog-encryption-key-sha256", digest)
}

impl Store for Gcs {
    fn at(&self) -> &str {
        &self.at
    }

    fn identity(&self) -> String {
        format!("{} {}", self.at, self.settings.or("storage_custom_endpoint", ""))
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        let url = self.object(name, &[("alt", "media")]);
        let answer = self.call(Method::GET, url, |request| with_key(request, self.key(name))).await?;
        match answer.status {
            StatusCode::OK => {
                let generation = answer.header("x-goog-generation").map(str::to_owned);
                Ok(Some(Object { bytes: answer.body, generation }))
            }
            // A bucket that is misspelled is no empty state.
            StatusCode::NOT_FOUND if !answer.text().contains("bucket does not exist") => Ok(None),
            _ => Err(self.refused("read it", &answer)),
        }
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let answer = self.upload(name, bytes, &[]).await?;
        if answer.status.is_success() { Ok(()) } else { Err(self.refused("write it", &answer)) }
    }

    async fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let answer = self.upload(name, bytes, &[("ifGenerationMatch", "0")]).await?;
        match answer.status {
            status if status.is_success() => Ok(true),
            StatusCode::PRECONDITION_FAILED => Ok(false),
            _ => Err(self.refused("lock it", &answer)),
        }
    }

    async fn remove(&self, name: &str, generation: Option<&str>) -> Result<bool> {
        let query: Vec<_> = generation.map(|generation| ("ifGenerationMatch", generation)).into_iter().collect();
        let answer = self.call(Method::DELETE, self.object(name, &query), |request| request).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(true),
            StatusCode::PRECONDITION_FAILED => Ok(false),
            status if status.is_success() => Ok(true),
            _ => Err(self.refused(&format!("remove {name}"), &answer)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut query = vec![("prefix", prefix), ("delimiter", "/"), ("fields", "items/name,nextPageToken")];
            query.extend(next.as_deref().map(|token| ("pageToken", token)));
            let url = self.url(&["storage", "v1", "b", &self.bucket, "o"], &query);
            let answer = self.call(Method::GET, url, |request| request).await?;
            if !answer.status.is_success() {
                return Err(self.refused("list states", &answer));
            }
            let page: Page = serde_json::from_slice(&answer.body).map_err(|error| self.failed(error))?;
            names.extend(page.items.into_iter().map(|item| item.name));
            next = page.next_page_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(names);
            }
        }
    }
}

#[cfg(test)]
mod tests;
