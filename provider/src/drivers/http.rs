//! Requests to the APIs of clouds: timed, retried with jitter where that is safe, paced when the cloud asks for it.
//!
//! Failures: no connection, no answer in time, an answer that is cut off, 5xx: tried again if doing it twice does no
//! harm, else reported, so that the caller can look at what has become of it. Throttling (429, 503 with a hint, the
//! services' own codes): all calls to this cloud wait. Every call is logged with its duration and request id.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{Client, Request};

use crate::driver::{DriverError, Result};

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// An answer larger than this is no answer.
const MAX_BODY: usize = 64 << 20;
const TRIES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    /// No call begins before.
    not_before: Mutex<Instant>,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// For messages: the beginning of what came, if it is text and not a page.
    pub(super) fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = text.trim();
        if text.starts_with('<') || text.is_empty() {
            return format!("status {}", self.status);
        }
        format!("status {}: {}", self.status, text.chars().take(300).collect::<String>())
    }
}

/// What an attempt has come to.
#[derive(Debug)]
pub(super) enum Attempt<T> {
    Done(T),
    /// It will not get better.
    Refused(DriverError),
    /// Nothing was done: try again, after a while.
    Throttled(DriverError, Option<Duration>),
    /// Perhaps it was done.
    Lost(DriverError),
}

impl Http {
    pub(super) fn new(timeout: Duration) -> Result<Http> {
        let builder = Client::builder()
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(timeout)
            .user_agent(concat!("lampwright/", env!("CARGO_PKG_VERSION")));
        let client = builder.build().map_err(|error| DriverError::Unreachable {
            call: "starting the HTTP client".to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Http { client, not_before: Mutex::new(Instant::now()) })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// One request and its whole answer; the error says what was lost.
    pub(super) async fn send(&self, call: &str, request: Request) -> Result<Reply> {
        let wait =
            self.not_before.lock().unwrap_or_else(PoisonError::into_inner).saturating_duration_since(Instant::now());
        tokio::time::sleep(wait).await;
        let started = Instant::now();
        let reply = self.exchange(request).await;
        let ms = started.elapsed().as_millis() as u64;
        match &reply {
            Ok(reply) => {
                let id = ["x-amzn-requestid", "x-openstack-request-id", "x-compute-request-id"]
                    .iter()
                    .find_map(|name| reply.header(name))
                    .unwrap_or("-");
                tracing::debug!(target: "api", call, status = reply.status, ms, request_id = id, "called");
            }
            Err(reason) => tracing::debug!(target: "api", call, ms, reason, "no answer"),
        }
        reply.map_err(|reason| DriverError::Unreachable { call: call.to_owned(), reason })
    }

    async fn exchange(&self, request: Request) -> std::result::Result<Reply, String> {
        let url = request.url().clone();
        let explain = |error: reqwest::Error| {
            let at = format!("{}://{}", url.scheme(), url.authority());
            match (error.is_timeout(), error.is_connect()) {
                (_, true) => format!("nobody is reached at {at}"),
                (true, _) => format!("{at} did not answer in time"),
                _ => format!("{at} broke the connection"),
            }
        };
        let response = self.client.execute(request).await.map_err(&explain)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if response.content_length().is_some_and(|length| length > MAX_BODY as u64) {
            return Err("the answer is larger than 64 MiB".to_owned());
        }
        let body = response.bytes().await.map_err(&explain)?.to_vec();
        Ok(Reply { status, headers, body })
    }

    /// Tries until it is done or cannot be done. What may have been done is tried again only if that does no harm.
    pub(super) async fn persist<T, F>(&self, is_repeatable: bool, mut attempt: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Attempt<T>> + Send,
    {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            let (error, hint) = match attempt().await {
                Attempt::Done(done) => return Ok(done),
                Attempt::Refused(error) => return Err(error),
                Attempt::Lost(error) if !is_repeatable => return Err(error),
                Attempt::Lost(error) => (error, None),
                Attempt::Throttled(error, hint) => {
                    let hint = hint.unwrap_or(pause).min(Duration::from_mins(1));
                    let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
                    *not_before = (*not_before).max(Instant::now() + jittered(hint));
                    (error, Some(hint))
                }
            };
            if tries == TRIES {
                return Err(error);
            }
            tracing::debug!(target: "api", tries, "trying again: {}", error.explain());
            // Full jitter: clients that failed together do not come back together (AWS Architecture Blog,
            // "Exponential Backoff And Jitter").
            if hint.is_none() {
                tokio::time::sleep(jittered(pause)).await;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            tries += 1;
        }
    }
}

/// Percent-encoding of RFC 3986, which leaves letters, digits and four signs as they are.
pub(super) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}
