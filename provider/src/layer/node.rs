//! One machine of a layer that is being changed, for what is peculiar to a layer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use value::Problem;

use super::{Layer, MachineModel, State};
use crate::bundle::{Bundle, Service, TakesUp};
use crate::context::Context;
use crate::driver::{Driver, MachineKey, driver_problem};

/// Between two looks at something that takes its time.
pub const POLL: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Node<L: Layer> {
    pub context: Context,
    pub driver: Arc<dyn Driver>,
    pub key: MachineKey,
    pub machine: MachineModel,
    /// The layer that it is a part of.
    pub layer: Arc<State<L::Model>>,
    pub bundle: Arc<Bundle>,
    /// Whether others of the layer do its work while it does none.
    pub others_work: bool,
    /// It has let its work go for this change.
    pub has_left: bool,
    /// The machine itself was stopped for this change: whoever asked it got no answer at all.
    pub was_off: bool,
}

impl<L: Layer> Clone for Node<L> {
    fn clone(&self) -> Node<L> {
        Node {
            context: self.context.clone(),
            driver: self.driver.clone(),
            key: self.key.clone(),
            machine: self.machine.clone(),
            layer: self.layer.clone(),
            bundle: self.bundle.clone(),
            others_work: self.others_work,
            has_left: self.has_left,
            was_off: self.was_off,
        }
    }
}

impl<L: Layer> Node<L> {
    pub fn own(&self) -> &L::Model {
        &self.layer.own
    }

    /// Tells whoever watches what happens to it.
    pub fn tell(&self, what: &str) {
        self.context.progress(&format!("{} {what}", self.machine.name));
    }

    /// Sends services the signals by which they take files up.
    pub async fn signal(&self, services: &[Service]) -> Result<(), Problem> {
        for service in services {
            let TakesUp::By(signal) = service.takes_up else { continue };
            let sent = self.driver.signal(&self.key, service, signal).await;
            sent.map_err(|error| driver_problem(&format!("Reloading {}", self.machine.name), &error))?;
        }
        Ok(())
    }

    /// The status that a page answers with, and the page.
    pub async fn get(&self, port: u16, path: &str) -> Option<(u16, String)> {
        self.driver.probe(&self.key, port, path).await
    }

    /// Waits until a page answers with a status that will do.
    pub async fn until_answered(
        &self,
        port: u16,
        path: &str,
        patience: Duration,
        will_do: impl Fn(u16) -> bool + Send,
    ) -> Result<(), Unanswered> {
        let deadline = Instant::now() + patience;
        let mut last = None;
        while Instant::now() < deadline {
            last = self.get(port, path).await.map(|(status, _)| status);
            if last.is_some_and(&will_do) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(Unanswered { port, path: path.to_owned(), last, patience })
    }
}

/// A page that did not answer as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    port: u16,
    path: String,
    pub last: Option<u16>,
    patience: Duration,
}

impl Unanswered {
    /// `GET /livez.php on port 8080: the answer is 500, for 30 s`.
    pub fn text(&self) -> String {
        let found = self.last.map_or_else(|| "nobody answers".to_owned(), |status| format!("the answer is {status}"));
        format!("GET {} on port {}: {found}, for {} s", self.path, self.port, self.patience.as_secs())
    }
}
