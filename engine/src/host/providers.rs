//! All providers of a run: one process for each configuration, started when first needed and kept to the end.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use compiler::addr::{ProviderAddr, ProviderSource};
use compiler::binding::{ProviderSchemas, Schemas};
use compiler::lang::eval::provided::{FunctionFailure, Functions};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use value::Value;

use super::grpc::GrpcProvider;
use super::launch::{self, Progress};
use super::search::PluginSearch;
use super::{HostError, Provider, Result};

/// How long a plugin has to say that it stops.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Starts a provider by its source.
pub trait Launcher: Send + Sync {
    fn launch<'a>(&'a self, source: &'a ProviderSource) -> super::BoxFuture<'a, Result<Arc<dyn Provider>>>;
}

/// Starts plugin programs.
#[derive(Debug)]
pub struct PluginLauncher {
    pub search: PluginSearch,
    /// The folder of the root module: where plugins run.
    pub folder: PathBuf,
    pub progress: UnboundedSender<Progress>,
    /// Variables that the plugin gets besides ours.
    pub environment: Vec<(String, String)>,
    /// What starts a plugin so that it ends with us however we end, if there is such a program: it gets the number of our
    /// process and the plugin's program. Our own plugin sees to that by itself.
    pub guard: Vec<OsString>,
}

impl Launcher for PluginLauncher {
    fn launch<'a>(&'a self, source: &'a ProviderSource) -> super::BoxFuture<'a, Result<Arc<dyn Provider>>> {
        Box::pin(async move {
            let plugin = match self.search.running.get(source) {
                Some(running) => launch::attach(running.clone(), source).await?,
                None => launch::start(&self.search.find(source)?.path, source, self).await?,
            };
            let provider = GrpcProvider::new(source.clone(), plugin).await?;
            Ok(Arc::new(provider) as Arc<dyn Provider>)
        })
    }
}

/// Puts something in front of the provider of a configuration.
pub type Wrap = dyn Fn(&ProviderAddr, Arc<dyn Provider>) -> Arc<dyn Provider> + Send + Sync;

#[expect(missing_debug_implementations, reason = "holds a launcher, which need not be printable")]
pub struct Providers {
    launcher: Arc<dyn Launcher>,
    wrap: Option<Arc<Wrap>>,
    schemas: Arc<Schemas>,
    /// The first that was started of each source: it is asked for functions, which need no configuration.
    first: HashMap<ProviderSource, Arc<dyn Provider>>,
    /// Started for their schema and not given to a configuration yet.
    spare: Mutex<HashMap<ProviderSource, Arc<dyn Provider>>>,
    configured: Mutex<HashMap<ProviderAddr, Arc<dyn Provider>>>,
    /// Those whose configuration was refused: they serve nothing, and asking them would only add to what was said.
    refused: Mutex<HashSet<ProviderAddr>>,
}

impl Providers {
    /// Starts one process of each source, all at once, and learns their schemas.
    pub async fn start(launcher: Arc<dyn Launcher>, sources: Vec<ProviderSource>) -> Result<Providers> {
        let mut tasks = tokio::task::JoinSet::new();
        for source in &sources {
            let (launcher, source) = (launcher.clone(), source.clone());
            tasks.spawn(async move {
                let provider = launcher.launch(&source).await;
                (source, provider)
            });
        }
        let mut spare = HashMap::new();
        for (source, provider) in tasks.join_all().await {
            spare.insert(source, provider?);
        }
        let schemas: Schemas = sources
            .into_iter()
            .map(|source| {
                let schemas: Arc<ProviderSchemas> = spare[&source].schemas().clone();
                (source, schemas)
            })
            .collect();
        Ok(Providers {
            launcher,
            wrap: None,
            schemas: Arc::new(schemas),
            first: spare.clone(),
            spare: Mutex::new(spare),
            configured: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    #[must_use]
    pub fn wrapped(self, wrap: Arc<Wrap>) -> Providers {
        Providers { wrap: Some(wrap), ..self }
    }

    /// With what stands in front of another run's providers.
    #[must_use]
    pub fn wrapped_like(self, other: &Providers) -> Providers {
        Providers { wrap: other.wrap.clone(), ..self }
    }

    pub fn schemas(&self) -> &Arc<Schemas> {
        &self.schemas
    }

    /// The process of a configuration, and whether it is new and must be configured.
    pub async fn get(&self, addr: &ProviderAddr) -> Result<(Arc<dyn Provider>, bool)> {
        let mut configured = self.configured.lock().await;
        if let Some(provider) = configured.get(addr) {
            return Ok((provider.clone(), false));
        }
        let spare = self.spare.lock().await.remove(&addr.source);
        let provider = match spare {
            Some(provider) => provider,
            // It would do for both what the last one says.
            None if self.first.get(&addr.source).is_some_and(|first| first.is_attached()) => {
                return Err(HostError::OneConfiguration { provider: addr.source.short() });
            }
            None => self.launcher.launch(&addr.source).await?,
        };
        let provider = match &self.wrap {
            Some(wrap) => wrap(addr, provider),
            None => provider,
        };
        configured.insert(addr.clone(), provider.clone());
        Ok((provider, true))
    }

    /// The first that was started, which nobody may have configured.
    pub(crate) fn first(&self, source: &ProviderSource) -> Option<Arc<dyn Provider>> {
        self.first.get(source).cloned()
    }

    /// What functions of providers are asked through.
    pub fn functions(&self) -> Arc<dyn Functions> {
        Arc::new(Asked { first: self.first.clone() })
    }

    pub async fn refuse(&self, addr: &ProviderAddr) {
        self.refused.lock().await.insert(addr.clone());
    }

    pub async fn is_refused(&self, addr: &ProviderAddr) -> bool {
        self.refused.lock().await.contains(addr)
    }

    pub async fn stop(&self) {
        // Nobody waits for the lock meanwhile, nor for one that does not answer.
        let configured: Vec<Arc<dyn Provider>> = self.configured.lock().await.values().cloned().collect();
        let mut tasks = tokio::task::JoinSet::new();
        for provider in configured {
            tasks.spawn(async move { tokio::time::timeout(STOP_DEADLINE, provider.stop()).await.is_ok() });
        }
        tasks.join_all().await;
    }

    pub async fn shutdown(&self) {
        let spare = std::mem::take(&mut *self.spare.lock().await);
        let configured = std::mem::take(&mut *self.configured.lock().await);
        let mut tasks = tokio::task::JoinSet::new();
        for provider in spare.into_values().chain(configured.into_values()) {
            tasks.spawn(async move { provider.shutdown().await });
        }
        tasks.join_all().await;
    }
}

/// Asks from where nobody can wait: an evaluation is no task.
#[derive(Debug)]
struct Asked {
    first: HashMap<ProviderSource, Arc<dyn Provider>>,
}

impl Functions for Asked {
    fn call(
        &self,
        source: &ProviderSource,
        name: &str,
        arguments: &[Value],
    ) -> std::result::Result<Value, FunctionFailure> {
        let failed = |message: String| FunctionFailure { message, argument: None };
        let provider = self.first.get(source).ok_or_else(|| failed(format!("{} was not started", source.short())))?;
        // Other tasks go on meanwhile, in other threads.
        let answer = tokio::task::block_in_place(|| Handle::current().block_on(provider.call(name, arguments)));
        answer.map_err(|error| failed(error.to_string()))?
    }
}
