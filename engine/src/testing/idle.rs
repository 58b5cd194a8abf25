//! Plugins that only stand behind a mock: nobody has configured them, so that the next run can have them as they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use compiler::addr::ProviderSource;

use crate::host::providers::Launcher;
use crate::host::{BoxFuture, Provider, Result};

pub(super) struct Idle {
    launcher: Arc<dyn Launcher>,
    waiting: Mutex<HashMap<ProviderSource, Vec<Arc<dyn Provider>>>>,
}

impl Idle {
    pub(super) fn new(launcher: Arc<dyn Launcher>) -> Arc<Idle> {
        Arc::new(Idle { launcher, waiting: Mutex::default() })
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<ProviderSource, Vec<Arc<dyn Provider>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn give_back(&self, source: &ProviderSource, provider: Arc<dyn Provider>) {
        self.waiting().entry(source.clone()).or_default().push(provider);
    }

    pub(super) async fn end(&self) {
        let waiting = std::mem::take(&mut *self.waiting());
        for provider in waiting.into_values().flatten() {
            provider.shutdown().await;
        }
    }
}

impl Launcher for Idle {
    fn launch<'a>(&'a self, source: &'a ProviderSource) -> BoxFuture<'a, Result<Arc<dyn Provider>>> {
        let waiting = self.waiting().get_mut(source).and_then(Vec::pop);
        match waiting {
            Some(provider) => Box::pin(async move { Ok(provider) }),
            None => self.launcher.launch(source),
        }
    }
}
