//! What the state has and the configuration does not: objects that are to go.

use compiler::addr::{InstanceAddr, Mode};
use compiler::diag::Diagnostic;

use super::instance::{self, Outcome};
use super::{Deposed, Goal, Planning, Reason, Refresh, Tasks};
use crate::state::InstanceState;

impl Planning<'_> {
    /// What the state has and the configuration does not.
    pub(super) async fn orphans(&mut self) {
        let mut tasks = Tasks::new();
        let unfinished = self.state.unfinished.iter().filter(|(addr, _)| !self.state.instances.contains_key(addr));
        for (addr, recorded) in self.state.instances.iter().chain(unfinished) {
            if self.seen.contains(addr) || self.keeps(addr) {
                continue;
            }
            if addr.mode == Mode::Data {
                // Nothing exists for it; the record is dropped when the state is written.
                continue;
            }
            let only_looks = self.options.refresh == Refresh::OnlyLook;
            if let Some(span) = self.protected.get(&addr.resource()).filter(|_| !only_looks) {
                let diagnostic = Diagnostic::error("destruction prevented", "`prevent_destroy` is set here").at(*span);
                self.diags.push(
                    diagnostic.note(format!("The plan would remove {addr}.")).note("take `prevent_destroy` away first"),
                );
                continue;
            }
            let removed = self.run.program.removed(addr).filter(|_| self.options.goal == Goal::Configuration);
            if recorded.prevent_destroy
                && removed.is_none()
                && !only_looks
                && !self.run.program.has_resource(&addr.resource())
            {
                let label = format!("the block of {addr} has `prevent_destroy`, and is gone");
                let diagnostic = Diagnostic::error("destruction prevented", label);
                self.diags.push(
                    diagnostic
                        .note("write the block again, or a `removed` block, which says whether what exists goes, too"),
                );
                continue;
            }
            if removed.is_some_and(|removed| !removed.destroy) {
                match instance::forget(&self.run, addr, recorded, Reason::Removed) {
                    Ok(change) => drop(self.plan.changes.insert(addr.clone(), change)),
                    Err(diags) => self.diags.extend(diags),
                }
                continue;
            }
            let Some(recorded) = self.with_provider(addr, recorded) else { continue };
            let (run, addr) = (self.run.clone(), addr.clone());
            // How much there is of what is unfinished, its provider cannot read.
            let refresh = instance::Reading::of(self.options.refresh, self.state, &addr) != instance::Reading::Never
                && self.state.instances.contains_key(&addr);
            let permits = self.permits.clone();
            let reason = if self.options.goal == Goal::Nothing { None } else { Some(Reason::NotConfigured) };
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await;
                (Some(addr.clone()), instance::plan_orphan(&run, &addr, recorded, refresh, only_looks, reason).await)
            });
        }
        self.gather(tasks).await;
        let deposed = self.state.deposed.iter();
        let deposed: Vec<_> = deposed.filter(|((addr, _), _)| self.seen.contains(addr) || !self.keeps(addr)).collect();
        for ((addr, key), instance) in deposed {
            let removed = self.run.program.removed(addr).filter(|_| self.options.goal == Goal::Configuration);
            if removed.is_some_and(|removed| !removed.destroy) && !self.seen.contains(addr) {
                self.plan.forgotten.push((addr.clone(), key.clone()));
                continue;
            }
            let schema = self.run.schema(&instance.provider, addr);
            let value = schema.and_then(|schema| instance::recorded_value(instance, &schema));
            if let Some(value) = value {
                let Some(instance) = self.with_provider(addr, instance) else { continue };
                let planned = instance::plan_deposed(&self.run, addr, &instance, &value, &mut self.diags).await;
                let private = match planned {
                    Ok(private) => private,
                    Err(diags) => {
                        self.diags.extend(diags);
                        continue;
                    }
                };
                self.plan.deposed.push(Deposed { addr: addr.clone(), key: key.clone(), instance, value, private });
            }
        }
    }

    /// What was planned of objects that nothing waits for.
    pub(super) async fn gather(&mut self, mut tasks: Tasks) {
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok((_, Outcome::Planned(change, diags))) => {
                    self.diags.extend(diags);
                    self.plan.changes.insert(change.addr.clone(), *change);
                }
                Ok((_, Outcome::Failed(diags) | Outcome::Provider(_, diags) | Outcome::Opened(.., diags))) => {
                    self.diags.extend(diags);
                }
                Err(error) => self.diags.push(Diagnostic::error("internal error", error.to_string())),
            }
        }
    }

    /// Whether an object that the configuration does not have stays all the same: it is left out, or the block that it belongs to is
    /// not evaluated.
    pub(super) fn keeps(&self, addr: &InstanceAddr) -> bool {
        if self.waits.contains(&addr.resource()) {
            return true;
        }
        let Some(part) = &self.part else { return false };
        let is_configured = || self.run.program.has_resource(&addr.resource());
        let is_unread =
            self.options.goal != Goal::Nothing && !part.evaluated.contains(&addr.resource()) && is_configured();
        is_unread || !part.removes(addr)
    }

    /// An object with the provider that removes it, which has to be configured as the one that made it.
    pub(super) fn with_provider(&mut self, addr: &InstanceAddr, recorded: &InstanceState) -> Option<InstanceState> {
        let made_with = &recorded.provider;
        let provider = self.run.program.provider_of(addr, made_with, self.run.providers.schemas());
        if let Some(provider) = provider {
            return Some(InstanceState { provider, ..recorded.clone() });
        }
        let name = &made_with.source.ty;
        let block = match &made_with.alias {
            Some(alias) => format!("provider \"{name}\" with alias = \"{alias}\""),
            None => format!("provider \"{name}\""),
        };
        let place = match made_with.module.join(".") {
            path if path.is_empty() => "the root module".to_owned(),
            path => format!("the module that module.{} called", path.replace('.', ".module.")),
        };
        let label = format!("{addr} was made with {made_with}, which is not there any more");
        self.diags.push(
            Diagnostic::error("missing provider configuration", label)
                .note(format!(
                    "It is the block {block} in {place}. Without it nobody knows where to look for the object."
                ))
                .note("put the block back and apply, so that the object is removed; then take the block away"),
        );
        None
    }
}
