//! `lampwright scale`: another number of machines, by the variable that says it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use compiler::addr::InstanceAddr;
use compiler::diag::{Diagnostic, Diagnostics};
use compiler::origin::Origin;
use engine::host::HostError;
use engine::operations::ask;
use engine::operations::dialect::{self, ScaleTold};
use engine::plan::Goal;
use serde_json::json;
use value::{Number, Value};

use super::apply::{ChangeArgs, Doing, plan_and_do};
use super::operate;
use super::plan::{Planned, open_store, show_diagnostics};
use super::{Given, InputArgs};
use crate::exit;
use crate::proposal::Proposal;
use crate::recorded::{self, Recorded};
use crate::session::Session;

/// Change how many machines layers have
///
/// The number is that of a variable, as in `nodes = var.web_nodes`. Its new value is written to scale.auto.tfvars beside the
/// stack, which plan and apply read (and Terraform, too), so that the next plan agrees.
///
///   lampwright scale web=5             there shall be five
///   lampwright scale web=+2 cache=-1   two more, and one less
///   lampwright scale --remove web-3    one less, and it is web-3 that leaves
///   lampwright scale web=+0 --remove web-3   a new machine in the place of web-3
///
/// Where no machine is named, those leave first that are not well, then the newest.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ScaleArgs {
    /// The number of machines of a layer, by the address or name of its resource: LAYER=N, LAYER=+N or LAYER=-N
    #[arg(value_name = "LAYER=N", required_unless_present = "remove")]
    changes: Vec<String>,
    /// A machine that leaves; may be given several times
    #[arg(long, value_name = "MACHINE")]
    remove: Vec<String>,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

/// A layer, and how many machines it shall have.
#[derive(Debug)]
struct Change {
    addr: InstanceAddr,
    attribute: String,
    number: u64,
    leaving: Vec<String>,
}

/// What `web=+2` says of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Exactly(u64),
    More(u64),
    Less(u64),
}

pub(crate) async fn run(args: &ScaleArgs) -> anyhow::Result<u8> {
    let ChangeArgs { inputs: given, common, .. } = &args.change;
    let Ok(mut session) = Session::open() else { return Ok(exit::FAILURE) };
    let Ok(mut inputs) = session.inputs(given)? else { return Ok(exit::FAILURE) };
    // Held from the look at what there is until the change is made: what +2 means does not change in between.
    let Some(store) = open_store("scale", common)? else { return Ok(exit::FAILURE) };
    let found = operate::look(&session, inputs.clone(), store.known(), common).await;
    let Some(found) = found else { return Ok(exit::FAILURE) };
    let changes = changes(args, &found).await;
    found.end().await;
    let (layers, changes) = changes?;
    let variables = match variables(&session, &layers, &changes)? {
        Ok(variables) => variables,
        Err(diags) => {
            show_diagnostics(&session, &diags, common.json);
            return Ok(exit::FAILURE);
        }
    };
    refuse_stronger(&variables, given)?;
    let recorded = Recorded::with(&variables)?;
    for (name, number) in &variables {
        let Ok(()) = session.set(&mut inputs, name, &number.to_string(), "of scale") else { return Ok(exit::FAILURE) };
    }
    let leaving: BTreeMap<String, &Vec<String>> =
        changes.iter().map(|change| (change.addr.to_string(), &change.leaving)).collect();
    let doing = Doing {
        goal: Goal::Configuration,
        args: &args.change,
        replace: BTreeSet::new(),
        command: &|not_done| command(&changes, not_done),
        environment: vec![(dialect::LEAVING_VARIABLE.to_owned(), json!(leaving).to_string())],
        recorded: Some(&recorded),
    };
    plan_and_do(&session, inputs, store, &doing).await
}

/// What goes on where it was cut off. The numbers are recorded by then, so they are not relative any more; which machines
/// leave is recorded nowhere.
fn command(changes: &[Change], not_done: &[String]) -> Proposal {
    let changes: Vec<&Change> = changes.iter().filter(|change| not_done.contains(&change.addr.to_string())).collect();
    if changes.is_empty() {
        return Proposal::to(Goal::Configuration);
    }
    let numbers = changes.iter().map(|change| format!("{}={}", change.addr, change.number));
    let proposal = numbers.fold(Proposal::new("scale"), Proposal::argument);
    let leaving = changes.iter().flat_map(|change| &change.leaving);
    leaving.fold(proposal, |proposal, machine| proposal.argument("-remove").argument(machine))
}

/// The layers whose machines are counted, which of them are meant, and what shall become of these.
async fn changes(args: &ScaleArgs, found: &Planned) -> anyhow::Result<(Counted, Vec<Change>)> {
    let layers = layers(found).await?;
    let known = || layers.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut changes: BTreeMap<&InstanceAddr, Change> = BTreeMap::new();
    for text in &args.changes {
        let Some((name, asked)) = parse(text) else {
            bail!("{text:?} is not LAYER=N, LAYER=+N or LAYER=-N, such as web=5");
        };
        let is_meant = operate::layers(&found.plan, &[name.to_owned()])?;
        let mut meant = layers.keys().filter(|addr| is_meant(addr));
        let (Some(addr), None) = (meant.next(), meant.next()) else {
            bail!("{name:?} is not one layer whose machines are counted. There is: {}", known());
        };
        let (told, number) = &layers[addr];
        let attribute = told.attribute.clone().unwrap_or_default();
        let now = number.with_context(|| format!("the state does not have the number of {addr}"))?;
        let number = match asked {
            Asked::Exactly(number) => Some(number),
            Asked::More(number) => now.checked_add(number),
            Asked::Less(number) => now.checked_sub(number),
        };
        let number = number.with_context(|| format!("{addr} has {now} machines; {text} cannot be"))?;
        let change = Change { addr: addr.clone(), attribute, number, leaving: Vec::new() };
        if changes.insert(addr, change).is_some() {
            bail!("{addr} is scaled twice; say it once");
        }
    }
    let counted: BTreeSet<InstanceAddr> = changes.keys().map(|addr| (*addr).clone()).collect();
    let named: BTreeSet<&String> = args.remove.iter().collect();
    for machine in named {
        let mut owners = layers.iter().filter(|(_, (told, _))| told.machines.contains(machine));
        let (Some((addr, (told, number))), None) = (owners.next(), owners.next()) else {
            let machines: Vec<&str> =
                layers.values().flat_map(|(told, _)| told.machines.iter().map(String::as_str)).collect();
            bail!("no layer, or more than one, has a machine {machine:?}. There is: {}", machines.join(", "));
        };
        let now = number.with_context(|| format!("the state does not have the number of {addr}"))?;
        let change = changes.entry(addr).or_insert_with(|| Change {
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

/// By address, with their number as the state has it.
type Counted = BTreeMap<InstanceAddr, (ScaleTold, Option<u64>)>;

async fn layers(found: &Planned) -> anyhow::Result<Counted> {
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
fn variables(
    session: &Session,
    layers: &Counted,
    changes: &[Change],
) -> anyhow::Result<Result<BTreeMap<Arc<str>, u64>, Diagnostics>> {
    let mut variables = BTreeMap::new();
    let mut diags = Diagnostics::default();
    for Change { addr, attribute, number, .. } in changes {
        let refused = |label: String, span| {
            let text = format!("the number of machines of {addr} is no variable");
            Diagnostic::error(text, label)
                .at(span)
                .note(format!("let a variable say it: variable \"{n}\" {{ default = {number} }} and {attribute} = var.{n}; then `scale` changes it", n = variable_name(addr, attribute)))
        };
        match session.program.origin(addr, attribute) {
            Some(Origin::Variable(name)) => {
                if let Some(other) = variables.insert(name.clone(), *number).filter(|other| other != number) {
                    bail!(
                        "the variable {name} says the number of more than one layer, and cannot be {other} and {number}"
                    );
                }
            }
            Some(Origin::Text(span)) => diags.push(refused("this is more than a variable".to_owned(), span)),
            Some(Origin::Unset(span)) => diags.push(refused(format!("`{attribute}` is not set here"), span)),
            None => bail!("the stack has no {addr} any more; the next apply removes it"),
        }
    }
    for (addr, (told, _)) in layers.iter().filter(|(addr, _)| changes.iter().all(|change| change.addr != **addr)) {
        let attribute = told.attribute.as_deref().unwrap_or_default();
        let Some(Origin::Variable(name)) = session.program.origin(addr, attribute) else { continue };
        if let Some(number) = variables.get(&name) {
            bail!(
                "the variable {name} says the number of {addr}, too. Let it have one of its own, or say it as well: '{addr}={number}'"
            );
        }
    }
    Ok(if diags.has_errors() { Err(diags) } else { Ok(variables) })
}

fn variable_name(addr: &InstanceAddr, attribute: &str) -> String {
    format!("{}_{attribute}", addr.name)
}

/// What is stronger than the file would win at the next plan.
fn refuse_stronger(variables: &BTreeMap<Arc<str>, u64>, given: &InputArgs) -> anyhow::Result<()> {
    for given in given.in_order() {
        let (flag, name) = match &given {
            Given::Variable(text) => ("-var", text.split_once('=').map(|(name, _)| name.trim().to_owned())),
            Given::File(path) => ("-var-file", recorded::set_by(path, variables.keys())?.map(ToString::to_string)),
        };
        if let Some(name) = name.filter(|name| variables.contains_key(name.as_str())) {
            bail!("{flag} says {name}, the number that is to be changed; leave it away");
        }
    }
    if let Some((file, name)) = recorded::stronger(variables.keys())? {
        bail!(
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
