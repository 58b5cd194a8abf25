//! Another number of machines, by the variable that says it.

mod recorded;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use compiler::Inputs;
use compiler::addr::InstanceAddr;
use compiler::diag::suggest::there_is;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::origin::Origin;
use engine::host::HostError;
use engine::operations::ask;
use engine::operations::dialect::{self, ScaleTold};
use serde_json::json;
use value::{Number, Value};

use crate::change::{Besides, Proposed, propose_on};
use crate::failure::{Result, refuse};
use crate::inputs::Given;
use crate::operate::{Existing, Meant};
use crate::planning::PlanRequest;
use crate::stack::Stack;
use crate::state::Opened;
use recorded::Recorded;

/// What is asked for: numbers of machines such as `web=5`, `web=+2` or `web=-1`, and machines that leave.
#[derive(Debug, Clone, Default)]
pub struct ScaleRequest {
    pub changes: Vec<String>,
    pub remove: Vec<String>,
    /// What was said of variables; nothing of it may say the numbers, too.
    pub given: Vec<Given>,
}

/// A layer, and how many machines it shall have.
#[derive(Debug, Clone)]
pub struct Scaled {
    pub addr: InstanceAddr,
    attribute: String,
    pub number: u64,
    /// The machines that shall leave, by name.
    pub leaving: Vec<String>,
}

/// What `web=+2` says of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Exactly(u64),
    More(u64),
    Less(u64),
}

/// What was asked for, read and found to be possible. The state is held from here until the change is made or left: what +2
/// means does not change in between.
pub struct Scaling {
    pub changes: Vec<Scaled>,
    inputs: Inputs,
    opened: Opened,
    recorded: Recorded,
}

/// Looks at what there is.
pub async fn read(stack: &mut Stack, request: &PlanRequest, asked: &ScaleRequest) -> Result<Scaling> {
    let opened = request.state.open(&stack.host, "scale").await?;
    match find(stack, request, asked, &opened).await {
        Ok((changes, inputs, recorded)) => Ok(Scaling { changes, inputs, opened, recorded }),
        Err(failure) => Err(opened.give_up(failure).await),
    }
}

async fn find(
    stack: &mut Stack,
    request: &PlanRequest,
    asked: &ScaleRequest,
    opened: &Opened,
) -> Result<(Vec<Scaled>, Inputs, Recorded)> {
    let found = Existing::look(stack, request.inputs.clone(), opened.known(), request.parallelism).await?;
    let changes = changes(asked, &found).await;
    found.end().await;
    let (layers, changes) = changes?;
    let variables = variables(stack, &layers, &changes)?;
    refuse_stronger(stack, &variables, &asked.given)?;
    let recorded = Recorded::with(&stack.root, &variables)?;
    let mut inputs = request.inputs.clone();
    for (name, number) in &variables {
        stack.set(&mut inputs, name, &number.to_string(), "of scale")?;
    }
    Ok((changes, inputs, recorded))
}

impl Scaling {
    /// Plans it. The new numbers are written beside the stack before anything is made.
    pub async fn propose<'s>(self, stack: &'s Stack, request: &PlanRequest) -> Result<Proposed<'s>> {
        let leaving: BTreeMap<String, &Vec<String>> =
            self.changes.iter().map(|change| (change.addr.to_string(), &change.leaving)).collect();
        let recorded = self.recorded;
        let besides = Besides {
            environment: vec![(dialect::LEAVING_VARIABLE.to_owned(), json!(leaving).to_string())],
            recorded: Some(Box::new(move || recorded.write())),
        };
        let request = PlanRequest { inputs: self.inputs, ..request.clone() };
        propose_on(stack, &request, self.opened, besides).await
    }
}

/// By address, with their number as the state has it.
type Counted = BTreeMap<InstanceAddr, (ScaleTold, Option<u64>)>;

/// The layers whose machines are counted, which of them are meant, and what shall become of these.
async fn changes(asked: &ScaleRequest, found: &Existing) -> Result<(Counted, Vec<Scaled>)> {
    let layers = layers(found).await?;
    let known = || there_is(&layers.keys().map(ToString::to_string).collect::<Vec<_>>(), "such layers");
    let mut changes: BTreeMap<&InstanceAddr, Scaled> = BTreeMap::new();
    for text in &asked.changes {
        let Some((name, number)) = parse(text) else {
            refuse!("{text:?} is not LAYER=N, LAYER=+N or LAYER=-N, such as web=5");
        };
        let named = Meant::of(&found.planned.plan, &[name.to_owned()])?;
        let mut meant = layers.keys().filter(|addr| named.has(addr));
        let (Some(addr), None) = (meant.next(), meant.next()) else {
            refuse!("{name:?} is not one layer whose machines are counted. {}", known());
        };
        let (told, now) = &layers[addr];
        let attribute = told.attribute.clone().unwrap_or_default();
        let now = now.with_context(|| format!("the state does not have the number of {addr}"))?;
        let number = match number {
            Asked::Exactly(number) => Some(number),
            Asked::More(number) => now.checked_add(number),
            Asked::Less(number) => now.checked_sub(number),
        };
        let number = number.with_context(|| format!("{addr} has {now} machines; {text} cannot be"))?;
        let change = Scaled { addr: addr.clone(), attribute, number, leaving: Vec::new() };
        if changes.insert(addr, change).is_some() {
            refuse!("{addr} is scaled twice; say it once");
        }
    }
    let counted: BTreeSet<InstanceAddr> = changes.keys().map(|addr| (*addr).clone()).collect();
    let named: BTreeSet<&String> = asked.remove.iter().collect();
    for machine in named {
        let mut owners = layers.iter().filter(|(_, (told, _))| told.machines.contains(machine));
        let (Some((addr, (told, number))), None) = (owners.next(), owners.next()) else {
            let machines: Vec<String> = layers.values().flat_map(|(told, _)| told.machines.clone()).collect();
            refuse!("no layer, or more than one, has a machine {machine:?}. {}", there_is(&machines, "machines"));
        };
        let now = number.with_context(|| format!("the state does not have the number of {addr}"))?;
        let change = changes.entry(addr).or_insert_with(|| Scaled {
            addr: addr.clone(),
            attribute: told.attribute.clone().unwrap_or_default(),
            number: now,
            leaving: Vec::new(),
        });
        if !counted.contains(addr) {
            change.number = change.number.checked_sub(1).with_context(|| format!("{addr} has no machine"))?;
        }
        change.leaving.push(machine.clone());
    }
    let changes = changes.into_values().collect();
    Ok((layers, changes))
}

async fn layers(found: &Existing) -> anyhow::Result<Counted> {
    let found = &found.planned;
    let answers = ask::<ScaleTold>(&found.run, &found.plan, dialect::SCALE, |_| true, |_| json!({})).await;
    let mut layers = BTreeMap::new();
    for (addr, answer) in answers {
        let told = match answer {
            Ok(told) => told,
            // One of another make has no machines that could be counted.
            Err(HostError::NoOperation { .. }) => continue,
            Err(error) => return Err(error).with_context(|| format!("{addr} does not say how it is counted")),
        };
        let Some(attribute) = &told.attribute else { continue };
        let before = found.plan.changes.get(&addr).and_then(|change| change.before.get(attribute));
        let number = before.and_then(Value::as_number).and_then(Number::to_i64);
        let number = number.and_then(|number| u64::try_from(number).ok());
        layers.insert(addr, (told, number));
    }
    Ok(layers)
}

fn parse(text: &str) -> Option<(&str, Asked)> {
    let (name, number) = text.rsplit_once('=')?;
    let asked = match number.as_bytes().first()? {
        b'+' => Asked::More(number[1..].parse().ok()?),
        b'-' => Asked::Less(number[1..].parse().ok()?),
        _ => Asked::Exactly(number.parse().ok()?),
    };
    (!name.is_empty()).then_some((name, asked))
}

/// The variables that say the numbers, and their new values. What has the number of another layer, too, is changed only
/// with it.
fn variables(stack: &Stack, layers: &Counted, changes: &[Scaled]) -> Result<BTreeMap<Arc<str>, u64>> {
    let mut variables = BTreeMap::new();
    let mut diags = Diagnostics::default();
    for Scaled { addr, attribute, number, .. } in changes {
        let refused = |label: String, span| {
            let text = format!("the number of machines of {addr} is no variable");
            Diagnostic::error(text, label)
                .at(span)
                .note(format!("let a variable say it: variable \"{n}\" {{ default = {number} }} and {attribute} = var.{n}; then `scale` changes it", n = variable_name(addr, attribute)))
        };
        match stack.program.origin(addr, attribute) {
            Some(Origin::Variable(name)) => {
                if let Some(other) = variables.insert(name.clone(), *number).filter(|other| other != number) {
                    refuse!(
                        "the variable {name} says the number of more than one layer, and cannot be {other} and {number}"
                    );
                }
            }
            Some(Origin::Text(span)) => diags.push(refused("this is more than a variable".to_owned(), span)),
            Some(Origin::Unset(span)) => diags.push(refused(format!("`{attribute}` is not set here"), span)),
            None => refuse!("the stack has no {addr} any more; the next apply removes it"),
        }
    }
    for (addr, (told, _)) in layers.iter().filter(|(addr, _)| changes.iter().all(|change| change.addr != **addr)) {
        let attribute = told.attribute.as_deref().unwrap_or_default();
        let Some(Origin::Variable(name)) = stack.program.origin(addr, attribute) else { continue };
        if let Some(number) = variables.get(&name) {
            refuse!(
                "the variable {name} says the number of {addr}, too. Let it have one of its own, or say it as well: '{addr}={number}'"
            );
        }
    }
    stack.tell(&diags)?;
    Ok(variables)
}

fn variable_name(addr: &InstanceAddr, attribute: &str) -> String {
    format!("{}_{attribute}", addr.name)
}

/// What is stronger than the file would win at the next plan.
fn refuse_stronger(stack: &Stack, variables: &BTreeMap<Arc<str>, u64>, given: &[Given]) -> Result<()> {
    for given in given {
        let (flag, name) = match given {
            Given::Variable { name, .. } => ("-var", Some(name.clone())),
            Given::File(path) => {
                let name = recorded::set_by(&stack.root, path, variables.keys())?;
                ("-var-file", name.map(ToString::to_string))
            }
        };
        if let Some(name) = name.filter(|name| variables.contains_key(name.as_str())) {
            refuse!("{flag} says {name}, the number that is to be changed; leave it away");
        }
    }
    if let Some((file, name)) = recorded::stronger(stack, variables.keys())? {
        refuse!(
            "{} sets {name}, too, and is read after {}; change the number there, and apply",
            file.display(),
            recorded::FILE
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_or_relative() {
        assert_eq!(parse("web=5"), Some(("web", Asked::Exactly(5))));
        assert_eq!(parse("lamp_cluster.web[\"a=b\"]=+2"), Some(("lamp_cluster.web[\"a=b\"]", Asked::More(2))));
        assert_eq!(parse("web=-1"), Some(("web", Asked::Less(1))));
        for text in ["web", "web=", "=3", "web=+", "web=x", "web=1.5", "web=--1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
