//! Whether the services of a machine work. That a process is there says little: it may be stopped, or wait for ever.
//!
//! Every resource says how its services are asked ([`Layer::probes`](crate::layer::Layer::probes)). A plan asks
//! briefly and tells who is silent. An apply ends a service only after it was silent for as long as one that is merely
//! busy can be: whoever answers in the meantime is left alone.

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use value::Problem;

use crate::bundle::Service;
use crate::context::Context;
use crate::driver::{Driver, MachineKey, Status, driver_problem};
use crate::layer::{Probe, Question};

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(250);

/// A service that was asked and did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) service: String,
    pub(crate) what: String,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.service, self.what)
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Get { port, path } => write!(f, "GET {path} on port {port}"),
            Question::Line { socket, line } => write!(f, "`{line}` on {socket}"),
            Question::Bytes { port, name, .. } => write!(f, "`{name}` on port {port}"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Answer,
    /// Nobody listens there. A daemon that reads its data first listens later.
    Refusal,
    Silence,
}

/// Asks every service twice at most, all at once; the first that gave no answer. For a plan: what holds for this moment.
pub(crate) async fn silent_now(driver: &dyn Driver, key: &MachineKey, probes: &[Probe]) -> Option<Silence> {
    let started = Instant::now();
    silent(driver, key, probes, |_, tries| tries < 2, started).await
}

/// Asks until a service answers or was silent for longer than one that is busy would be.
async fn silent_for_long(driver: &dyn Driver, key: &MachineKey, probes: &[Probe]) -> Option<Silence> {
    let started = Instant::now();
    let goes_on = |(probe, heard): (&Probe, Heard), _: u32| {
        // One that starts is not ended for it: it would only have to begin again.
        let patience = if heard == Heard::Refusal { probe.patience * 4 } else { probe.patience };
        started.elapsed() < patience
    };
    silent(driver, key, probes, goes_on, started).await
}

async fn silent(
    driver: &dyn Driver,
    key: &MachineKey,
    probes: &[Probe],
    goes_on: impl Fn((&Probe, Heard), u32) -> bool + Copy,
    started: Instant,
) -> Option<Silence> {
    let asked = probes.iter().map(|probe| async move {
        let mut tries = 0;
        loop {
            let heard = ask(driver, key, &probe.question).await;
            tries += 1;
            if heard == Heard::Answer {
                return None;
            }
            if !goes_on((probe, heard), tries) {
                let found = if heard == Heard::Refusal { "nobody listens" } else { "no answer" };
                let what =
                    format!("{} for {}, {found} in {:.0} s", tries_text(tries), probe.question, seconds(started));
                return Some(Silence { service: probe.service.to_owned(), what });
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    join_all(asked).await.into_iter().flatten().next()
}

fn tries_text(tries: u32) -> String {
    if tries == 1 { "asked once".to_owned() } else { format!("asked {tries} times") }
}

fn seconds(started: Instant) -> f64 {
    started.elapsed().as_secs_f64().max(1.0)
}

async fn ask(driver: &dyn Driver, key: &MachineKey, question: &Question) -> Heard {
    let started = Instant::now();
    let heard = async {
        match question {
            // A page that says that something is wrong is an answer all the same.
            Question::Get { port, path } => driver.probe(key, *port, path).await.is_some(),
            Question::Line { socket, line } => driver.ask(key, socket, line).await.is_ok(),
            Question::Bytes { port, bytes, .. } => exchange(driver, key, *port, bytes).await,
        }
    };
    match timeout(DEADLINE, heard).await {
        Ok(true) => Heard::Answer,
        // A driver has deadlines of its own, and does not tell whether it met one.
        Ok(false) if started.elapsed() < DEADLINE * 3 / 4 => Heard::Refusal,
        Ok(false) | Err(_) => Heard::Silence,
    }
}

/// Whether bytes get an answer; what it says does not matter here.
async fn exchange(driver: &dyn Driver, key: &MachineKey, port: u16, bytes: &[u8]) -> bool {
    let Ok(address) = driver.reach(key, port).await else { return false };
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    // Where nobody listens behind a tunnel, the tunnel takes the connection and ends it.
    stream.write_all(bytes).await.is_ok() && stream.read_u8().await.is_ok()
}

/// What of a machine hangs, if anything does.
pub(crate) async fn hung(driver: &dyn Driver, key: &MachineKey, probes: &[Probe]) -> Result<Option<Silence>, Problem> {
    let status = driver.status(key).await;
    match status.map_err(|error| driver_problem(&format!("Looking at {}", key.name()), &error))? {
        Status::Hung { service, seen } => Ok(Some(Silence { service, what: seen })),
        Status::Running | Status::Changed | Status::Full(_) => Ok(silent_for_long(driver, key, probes).await),
        Status::Created | Status::Stopped(_) | Status::Failed(_) => Ok(None),
    }
}

/// As [`hung`], where either of two sets of questions may be the right one: whoever answers one of them does not hang.
pub(crate) async fn hung_both(
    driver: &dyn Driver,
    key: &MachineKey,
    probes: &[Probe],
    others: &[Probe],
) -> Result<Option<Silence>, Problem> {
    if probes == others {
        return hung(driver, key, probes).await;
    }
    let (one, other) = (Box::pin(hung(driver, key, probes)), Box::pin(hung(driver, key, others)));
    match futures_util::future::select(one, other).await {
        Either::Left((Ok(None), _)) | Either::Right((Ok(None), _)) => Ok(None),
        Either::Left((silent, other)) => other.await.and_then(|answered| Ok(silent?.and(answered))),
        Either::Right((silent, one)) => one.await.and_then(|answered| Ok(silent?.and(answered))),
    }
}

/// Ends the services of a machine, so that they can be started anew; one that does not end by itself is killed.
pub(crate) async fn end(
    context: &Context,
    driver: &dyn Driver,
    key: &MachineKey,
    services: &[Service],
    silence: &Silence,
) -> Result<(), Problem> {
    context.progress(&format!("{} does not answer ({silence}): started anew", key.name()));
    let stopped = driver.stop(key, services).await;
    stopped.map_err(|error| driver_problem(&format!("Ending the services of {}", key.name()), &error))
}

#[cfg(test)]
mod tests;
