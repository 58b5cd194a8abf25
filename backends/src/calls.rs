//! Calls of a server's API, as often as it takes: all that backends ask for may be done twice.

use std::error::Error as _;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, StatusCode};

use super::Result;

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) tries: u64,
    /// Before the second try, and the longest: each is twice as long as the one before.
    pub(crate) pause: (Duration, Duration),
    /// Nothing is tried again after this.
    pub(crate) whole: Duration,
}

/// What a server says, to the end of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// To be told: the status, and the beginning of the text.
    pub(crate) fn said(&self) -> String {
        let text: String = self.text().chars().filter(|ch| !ch.is_control()).take(200).collect();
        format!("{} {text}", self.status).trim_end().to_owned()
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("{}", explain(.0))]
    Network(#[from] reqwest::Error),
    #[error(transparent)]
    Request(#[from] super::BackendError),
}

/// An answer of the server's, whatever it says. What does not come, or says that it is the server's own fault or haste, is
/// asked for again.
pub(crate) async fn ask(
    patience: Patience,
    request: impl Fn() -> Result<RequestBuilder> + Send + Sync,
) -> std::result::Result<Answer, Unanswered> {
    let begun = Instant::now();
    let mut pause = patience.pause.0;
    let mut tries = 1;
    loop {
        let answer = once(request()?).await;
        let is_last = tries >= patience.tries || begun.elapsed() + pause > patience.whole;
        match answer {
            Ok(answer) if is_last || !is_passing(answer.status) => return Ok(answer),
            Err(error) if is_last => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(patience.pause.1);
        tries += 1;
    }
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT
}

async fn once(request: RequestBuilder) -> reqwest::Result<Answer> {
    // An address may have a password, and is told by whoever asks.
    let answer = request.send().await.map_err(reqwest::Error::without_url)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok(Answer { status, headers, body: answer.bytes().await.map_err(reqwest::Error::without_url)?.to_vec() })
}

/// With what lies below: "error sending request" alone says nothing.
fn explain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
