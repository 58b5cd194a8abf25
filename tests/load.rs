//! A small load: requests in a loop from a few threads, every answer counted.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) good: usize,
    pub(crate) bad: Vec<String>,
    pub(crate) by_node: BTreeMap<String, usize>,
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Answers>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// One request on a connection of its own. An answer that is cut short is an error.
pub(crate) fn request(url: &str, method: &str, path: &str, body: &str) -> Result<Answer, String> {
    let authority = url.strip_prefix("http://").ok_or("not an http URL")?;
    let mut stream = TcpStream::connect(authority).map_err(|error| format!("connect: {error}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(|error| error.to_string())?;
    let kind = if body.is_empty() { "" } else { "Content-Type: application/x-www-form-urlencoded\r\n" };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{kind}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).map_err(|error| format!("send: {error}"))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| format!("receive: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("cut short: {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
    // The page is small enough that Apache sends it in one chunk or with a length.
    let body = match head.to_lowercase().contains("transfer-encoding: chunked") {
        true => {
            let (_, rest) = body.split_once("\r\n").ok_or("no chunk")?;
            rest.strip_suffix("\r\n0\r\n\r\n").ok_or("the last chunk is missing")?
        }
        false => body,
    };
    Ok(Answer { status, body: body.to_owned() })
}

pub(crate) fn get(url: &str) -> Answer {
    request(url, "GET", "/?format=json", "").unwrap_or_else(|error| panic!("{error}"))
}

impl Load {
    pub(crate) fn start(url: &str, threads: usize) -> Load {
        Load::paced(url, threads, Duration::ZERO)
    }

    /// As above, with a pause after every request: where machines boot beside it, the load must leave them something.
    pub(crate) fn paced(url: &str, threads: usize, pause: Duration) -> Load {
        Load::of(url, threads, pause, false)
    }

    /// As above, and every second request is a POST.
    pub(crate) fn posting(url: &str, threads: usize, pause: Duration) -> Load {
        Load::of(url, threads, pause, true)
    }

    fn of(url: &str, threads: usize, pause: Duration, posts: bool) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..threads).map(|_| {
            let (stop, url) = (stop.clone(), url.to_owned());
            std::thread::spawn(move || {
                let mut answers = Answers::default();
                // Bounded, whatever becomes of the test.
                for number in 0..200_000 {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // What may have an effect is sent once only, so nobody tries it again on the way.
                    let method = if posts && number % 2 == 1 { "POST" } else { "GET" };
                    match request(&url, method, "/?format=json", if method == "POST" { "a=b" } else { "" }) {
                        Ok(answer) if answer.status == 200 => {
                            answers.good += 1;
                            let node = answer.json()["node"].as_str().unwrap_or("?").to_owned();
                            *answers.by_node.entry(node).or_default() += 1;
                        }
                        Ok(answer) => answers.bad.push(format!("{answer:?}")),
                        Err(error) => answers.bad.push(error),
                    }
                    std::thread::sleep(pause);
                }
                answers
            })
        });
        Load { threads: threads.collect(), stop }
    }

    pub(crate) fn stop(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        for thread in self.threads {
            let answers = thread.join().expect("a load thread");
            all.good += answers.good;
            all.bad.extend(answers.bad);
            for (node, count) in answers.by_node {
                *all.by_node.entry(node).or_default() += count;
            }
        }
        all
    }
}
