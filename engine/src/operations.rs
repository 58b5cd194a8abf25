//! What is asked of objects that exist, beside plan and apply ([`proto::dialect`]).

use compiler::addr::InstanceAddr;
pub use proto::dialect;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio::task::JoinSet;

use crate::host::{AskRequest, HostError};
use crate::plan::Plan;
use crate::run::Run;

/// What one object's provider says, or why it says nothing.
pub type Answer<T> = Result<T, HostError>;

/// Asks about every object that a plan has found and that `is_meant`, all at once; in the order of their addresses. The
/// plan has configured their providers.
pub async fn ask<T: DeserializeOwned + Send + 'static>(
    run: &Run,
    plan: &Plan,
    operation: &'static str,
    is_meant: impl Fn(&InstanceAddr) -> bool,
    arguments: impl Fn(&InstanceAddr) -> Json,
) -> Vec<(InstanceAddr, Answer<T>)> {
    let mut tasks = JoinSet::new();
    let meant = plan.changes.values().filter(|change| !change.before.is_null() && is_meant(&change.addr));
    for change in meant {
        let (addr, state, arguments) = (change.addr.clone(), change.before.clone(), arguments(&change.addr));
        let (providers, provider) = (run.providers.clone(), change.provider.clone());
        tasks.spawn(async move {
            let address = addr.to_string();
            let request =
                AskRequest { operation, ty: &addr.ty, address: &address, state: &state, arguments: &arguments };
            let answer = match providers.get(&provider).await {
                Ok((provider, _)) => provider.ask(request).await,
                Err(error) => Err(error),
            };
            let unreadable = |error: serde_json::Error| HostError::Answer {
                provider: provider.source.short(),
                call: operation,
                reason: error.to_string(),
            };
            let answer = answer.and_then(|json| serde_json::from_value(json).map_err(unreadable));
            (addr, answer)
        });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_by(|(one, _), (other, _)| one.cmp(other));
    answers
}
