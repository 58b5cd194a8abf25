//! What exists, and is asked how it is.

use compiler::Inputs;
use compiler::addr::InstanceAddr;
use compiler::diag::suggest::there_is;
use engine::host::HostError;
use engine::operations::dialect::{self, LayerReport, ShellAsked, ShellTold};
use engine::operations::{Answer, ask};
use engine::plan::{Goal, Plan, PlanOptions, Refresh};
use engine::state::store::Known;
use serde_json::json;

use crate::failure::{Result, refuse};
use crate::planning::{PARALLELISM, Planned, make};
use crate::stack::Stack;
use crate::state::StateAt;

/// What the state has, beside providers that are configured and can be asked.
pub struct Existing {
    pub(crate) planned: Planned,
}

impl Existing {
    /// Nobody is kept from changing the state meanwhile.
    pub async fn open(stack: &Stack, inputs: Inputs, state: &StateAt, operation: &str) -> Result<Existing> {
        let viewed = state.clone().unlocked().view(&stack.host, operation).await?;
        Existing::look(stack, inputs, viewed.known(), PARALLELISM).await
    }

    pub(crate) async fn look(stack: &Stack, inputs: Inputs, known: Known<'_>, parallelism: u16) -> Result<Existing> {
        let options = PlanOptions::new(Goal::Nothing, Refresh::OnlyLook);
        Ok(Existing { planned: make(stack, inputs, known, options, parallelism).await? })
    }

    pub async fn end(&self) {
        self.planned.end().await;
    }

    pub fn is_cancelled(&self) -> bool {
        *self.planned.run.cancelled.borrow()
    }

    /// How layers are. Objects of another make say nothing of this kind; they are left out where no layer was named.
    pub async fn status(&self, meant: &Meant) -> Vec<(InstanceAddr, Answer<LayerReport>)> {
        let Planned { run, plan, .. } = &self.planned;
        let mut answers = ask(run, plan, dialect::STATUS, |addr| meant.has(addr), |_| json!(null)).await;
        if meant.is_everything() {
            answers.retain(|(_, answer)| !matches!(answer, Err(HostError::NoOperation { .. })));
        }
        answers
    }

    /// The way onto a machine.
    pub async fn shell(&self, machine: &str) -> Result<ShellTold> {
        let Planned { run, plan, .. } = &self.planned;
        let asked = |_: &InstanceAddr| json!(ShellAsked { machine: machine.to_owned() });
        let answers = ask::<ShellTold>(run, plan, dialect::SHELL, |_| true, asked).await;
        let mut ways = Vec::new();
        let mut problems = Vec::new();
        for (addr, answer) in answers {
            match answer {
                Ok(told) if told.command.is_empty() && told.folder.is_none() => {}
                Ok(told) => ways.push((addr, told)),
                Err(HostError::NoOperation { .. }) => {}
                Err(error) => problems.push(format!("{addr}: {error}")),
            }
        }
        if ways.len() > 1 {
            let layers: Vec<String> = ways.iter().map(|(addr, _)| addr.to_string()).collect();
            refuse!("{machine:?} is a machine of {}", layers.join(" and "));
        }
        match ways.pop() {
            Some((_, told)) => Ok(told),
            None if problems.is_empty() => {
                refuse!("no layer has a machine {machine:?}; `lampwright status` shows which there are")
            }
            None => refuse!("{}", problems.join("\n")),
        }
    }

    /// Those that are called so; all if none was named.
    pub fn meant(&self, names: &[String]) -> Result<Meant> {
        Meant::of(&self.planned.plan, names)
    }
}

/// Which objects are asked.
#[derive(Debug, Clone)]
pub struct Meant(Vec<String>);

impl Meant {
    pub(crate) fn of(plan: &Plan, names: &[String]) -> Result<Meant> {
        for name in names {
            if !plan.changes.keys().any(|addr| is_named(addr, name)) {
                let known: Vec<String> = plan.changes.keys().map(ToString::to_string).collect();
                refuse!("nothing in the state is called {name:?}. {}", there_is(&known, "objects"));
            }
        }
        Ok(Meant(names.to_vec()))
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, addr: &InstanceAddr) -> bool {
        self.is_everything() || self.0.iter().any(|name| is_named(addr, name))
    }
}

fn is_named(addr: &InstanceAddr, name: &str) -> bool {
    let text = addr.to_string();
    // `web`, `lamp_cluster.web`, or with the key of an instance.
    text == *name || &*addr.name == name || text.split('[').next() == Some(name)
}
