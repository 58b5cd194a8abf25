//! Planning to record what there is: objects are read, and nothing about them is changed.

use compiler::addr::{InstanceAddr, Mode};

use super::instance;
use super::{Planning, Tasks};
use crate::state::InstanceState;

impl Planning<'_> {
    /// An object of the configuration that the state has.
    pub(super) fn observe(&mut self, addr: InstanceAddr, recorded: &InstanceState, tasks: &mut Tasks) {
        let Some(recorded) = self.with_provider(&addr, recorded) else { return };
        let (run, permits) = (self.run.clone(), self.permits.clone());
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await;
            (Some(addr.clone()), instance::observe(&run, &addr, recorded).await)
        });
    }

    /// Those that only the state has.
    pub(super) async fn observe_the_rest(&mut self) {
        let mut tasks = Tasks::new();
        let rest = self.state.instances.iter().filter(|(addr, _)| addr.mode == Mode::Managed);
        let rest: Vec<(InstanceAddr, InstanceState)> = rest
            .filter(|(addr, _)| !self.seen.contains(addr) && !self.keeps(addr))
            .map(|(addr, recorded)| (addr.clone(), recorded.clone()))
            .collect();
        for (addr, recorded) in rest {
            self.observe(addr, &recorded, &mut tasks);
        }
        self.gather(tasks).await;
    }
}
