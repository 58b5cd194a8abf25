//! Blobs of a container, by the calls of Azure's own API: `object_store` knows no leases, and signs what is sent here.

use object_store::azure::{AzureAuthorizer, AzureCredentialProvider};
use object_store::client::{HttpRequest, HttpRequestBody};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url};
use serde::Deserialize;

use super::super::{PATIENTLY, Result};
use crate::BackendError;
use crate::calls::{self, Answer};

const METADATA: &str = "x-ms-meta-";

#[derive(Debug)]
pub(super) struct Container {
    pub(super) client: Client,
    pub(super) account: String,
    /// With the container.
    pub(super) url: Url,
    pub(super) credentials: AzureCredentialProvider,
    /// The state, as people know it.
    pub(super) at: String,
}

/// What is known of a blob without reading it.
#[derive(Debug)]
pub(super) struct Properties {
    /// Of what it has and says of itself; a lease is no part of that.
    pub(super) etag: String,
    pub(super) is_leased: bool,
    pub(super) is_empty: bool,
    pub(super) metadata: Metadata,
}

/// Names in lower case.
pub(super) type Metadata = Vec<(String, String)>;

/// When a call shall be carried out.
#[derive(Debug, Clone, Copy)]
pub(super) enum If<'a> {
    /// Nobody else has a lease.
    Free,
    /// Nobody else has a lease, and it is as it was.
    Etag(&'a str),
    New,
    Leased(&'a str),
}

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    Yes,
    /// It is not there, or not as it had to be.
    No,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    blobs: Blobs,
    next_marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blobs {
    #[serde(default)]
    blob: Vec<Name>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Name {
    name: String,
}

struct Call<'a> {
    method: Method,
    /// None: the container.
    blob: Option<&'a str>,
    query: &'a [(&'a str, &'a str)],
    headers: Vec<(String, String)>,
    body: &'a [u8],
}

impl If<'_> {
    fn headers(self) -> Vec<(String, String)> {
        let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        match self {
            If::Free => Vec::new(),
            If::Etag(etag) => header("if-match", etag),
            If::New => header("if-none-match", "*"),
            If::Leased(id) => header("x-ms-lease-id", id),
        }
    }
}

impl Container {
    fn failed(&self, reason: impl std::fmt::Display) -> BackendError {
        BackendError::Failed { at: self.at.clone(), reason: reason.to_string() }
    }

    fn refused(&self, what: &str, answer: &Answer) -> BackendError {
        // An answer to HEAD has no body.
        let code = answer.header("x-ms-error-code").map(|code| format!("{code}, ")).unwrap_or_default();
        self.failed(format!("the store refused to {what}: {code}{}", answer.said()))
    }

    async fn call(&self, call: Call<'_>) -> Result<Answer> {
        let Call { method, blob, query, headers, body } = call;
        let mut url = self.url.clone();
        if let (Some(blob), Ok(mut segments)) = (blob, url.path_segments_mut()) {
            segments.extend(blob.split('/'));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let credential = self.credentials.get_credential().await.map_err(|error| self.failed(error))?;
        let asked = calls::ask(PATIENTLY, || {
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.method_mut() = method.clone();
            *request.uri_mut() = url.as_str().parse().map_err(|error| self.failed(error))?;
            for (name, value) in &headers {
                let name: HeaderName = name.parse().map_err(|error| self.failed(error))?;
                request.headers_mut().insert(name, value.parse().map_err(|error| self.failed(error))?);
            }
            if method == Method::PUT {
                request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            }
            // Dated, so that each try is signed anew.
            AzureAuthorizer::new(&credential, &self.account)
                .try_authorize(&mut request)
                .map_err(|error| self.failed(error))?;
            let request_url = request.uri().to_string();
            let sent = self.client.request(method.clone(), request_url).headers(request.headers().clone());
            Ok(sent.body(body.to_vec()))
        });
        asked.await.map_err(|error| self.failed(error))
    }

    /// Something that is not there or not as it should be is an answer, and all else that is not done a failure.
    async fn order(&self, what: &str, call: Call<'_>) -> Result<Done> {
        let answer = self.call(call).await?;
        match answer.status {
            status if status.is_success() => Ok(Done::Yes),
            StatusCode::PRECONDITION_FAILED => Ok(Done::No),
            StatusCode::NOT_FOUND if is_blob_missing(&answer) => Ok(Done::No),
            StatusCode::CONFLICT if is_conflict(&answer) => Ok(Done::No),
            _ => Err(self.refused(what, &answer)),
        }
    }

    pub(super) async fn read(&self, blob: &str) -> Result<Option<Vec<u8>>> {
        let call = Call { method: Method::GET, blob: Some(blob), query: &[], headers: Vec::new(), body: &[] };
        let answer = self.call(call).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body)),
            StatusCode::NOT_FOUND if is_blob_missing(&answer) => Ok(None),
            _ => Err(self.refused("read it", &answer)),
        }
    }

    pub(super) async fn properties(&self, blob: &str) -> Result<Option<Properties>> {
        let call = Call { method: Method::HEAD, blob: Some(blob), query: &[], headers: Vec::new(), body: &[] };
        let answer = self.call(call).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND if is_blob_missing(&answer) => return Ok(None),
            _ => return Err(self.refused("tell of it", &answer)),
        }
        let metadata = answer.headers.iter().filter_map(|(name, value)| {
            Some((name.as_str().strip_prefix(METADATA)?.to_owned(), value.to_str().ok()?.to_owned()))
        });
        Ok(Some(Properties {
            etag: answer.header("etag").unwrap_or_default().to_owned(),
            is_empty: answer.header("content-length") == Some("0"),
            is_leased: answer.header("x-ms-lease-status") == Some("locked"),
            metadata: metadata.collect(),
        }))
    }

    pub(super) async fn write(&self, blob: &str, bytes: &[u8], metadata: &Metadata, when: If<'_>) -> Result<Done> {
        let mut headers = [when.headers(), headers(metadata)].concat();
        headers.push((CONTENT_TYPE.as_str().to_owned(), "application/json".to_owned()));
        headers.push(("x-ms-blob-type".to_owned(), "BlockBlob".to_owned()));
        self.order("write it", Call { method: Method::PUT, blob: Some(blob), query: &[], headers, body: bytes }).await
    }

    /// In the place of all that it has said of itself.
    pub(super) async fn describe(&self, blob: &str, metadata: &Metadata, when: If<'_>) -> Result<Done> {
        let headers = [when.headers(), headers(metadata)].concat();
        let query = &[("comp", "metadata")];
        self.order("lock it", Call { method: Method::PUT, blob: Some(blob), query, headers, body: &[] }).await
    }

    /// A copy of what it is now stays beside it.
    pub(super) async fn snapshot(&self, blob: &str, when: If<'_>) -> Result<Done> {
        let (headers, query) = (when.headers(), &[("comp", "snapshot")]);
        self.order("copy it", Call { method: Method::PUT, blob: Some(blob), query, headers, body: &[] }).await
    }

    /// Without an end; one that has this id already is taken once more.
    pub(super) async fn lease(&self, blob: &str, id: &str, when: If<'_>) -> Result<Done> {
        let mut headers = when.headers();
        for (name, value) in
            [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1"), ("x-ms-proposed-lease-id", id)]
        {
            headers.push((name.to_owned(), value.to_owned()));
        }
        let query = &[("comp", "lease")];
        self.order("lock it", Call { method: Method::PUT, blob: Some(blob), query, headers, body: &[] }).await
    }

    pub(super) async fn release(&self, blob: &str, id: &str) -> Result<Done> {
        let mut headers = If::Leased(id).headers();
        headers.push(("x-ms-lease-action".to_owned(), "release".to_owned()));
        let query = &[("comp", "lease")];
        self.order("release it", Call { method: Method::PUT, blob: Some(blob), query, headers, body: &[] }).await
    }

    /// With its snapshots, or only one that has none.
    pub(super) async fn remove(&self, blob: &str, with_snapshots: bool, when: If<'_>) -> Result<Done> {
        let mut headers = when.headers();
        if with_snapshots {
            headers.push(("x-ms-delete-snapshots".to_owned(), "include".to_owned()));
        }
        self.order("remove it", Call { method: Method::DELETE, blob: Some(blob), query: &[], headers, body: &[] }).await
    }

    /// The names of blobs that begin so.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut query = vec![("restype", "container"), ("comp", "list"), ("prefix", prefix)];
            query.extend(next.as_deref().map(|marker| ("marker", marker)));
            let call = Call { method: Method::GET, blob: None, query: &query, headers: Vec::new(), body: &[] };
            let answer = self.call(call).await?;
            if !answer.status.is_success() {
                return Err(self.refused("list states", &answer));
            }
            let page: Page = quick_xml::de::from_str(answer.text().trim_start_matches('\u{feff}'))
                .map_err(|error| self.failed(error))?;
            names.extend(page.blobs.blob.into_iter().map(|blob| blob.name));
            next = page.next_marker.filter(|marker| !marker.is_empty());
            if next.is_none() {
                return Ok(names);
            }
        }
    }
}

fn headers(metadata: &Metadata) -> Vec<(String, String)> {
    metadata.iter().map(|(name, value)| (format!("{METADATA}{name}"), value.clone())).collect()
}

/// A container that is misspelled is no empty state.
fn is_blob_missing(answer: &Answer) -> bool {
    answer.header("x-ms-error-code").is_none_or(|code| code == "BlobNotFound" || code == "ResourceNotFound")
}

/// Somebody else was there before, or something is in the way.
fn is_conflict(answer: &Answer) -> bool {
    let code = answer.header("x-ms-error-code").unwrap_or_default();
    code == "BlobAlreadyExists" || code == "SnapshotsPresent" || code.starts_with("Lease")
}
