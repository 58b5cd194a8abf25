//! What a plan says of machines in words.

use std::collections::{BTreeMap, BTreeSet};

use super::preview::{Before, Rendered};
use crate::bundle::{APPLICATION, Service, TakesUp, digest_of};
use crate::context::Context;
use crate::driver::{DEFAULT_SYSTEM, OUT_OF_SPACE};
use crate::field::Change;
use crate::layer::{Group, Layer, MachineModel, RUNNING, State};
use crate::model::Model as _;
use crate::resource::Resource;

/// What happens to machines, and what does not.
pub(super) fn machines<L: Layer>(context: &Context, prior: &Group, planned: &Group) -> Vec<String> {
    const FILES_NAMED: usize = 20;
    let mut notes = Vec::new();
    let names = |machines: Vec<&MachineModel>| {
        machines.iter().map(|machine| machine.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let added: Vec<_> =
        planned.machines().iter().filter(|new| prior.machines().iter().all(|old| old.id != new.id)).collect();
    let removed: Vec<_> =
        prior.machines().iter().filter(|old| planned.machines().iter().all(|new| old.id != new.id)).collect();
    let (untouched, repaired): (Vec<_>, Vec<_>) = prior
        .machines()
        .iter()
        .filter(|old| planned.machines().iter().any(|new| old.id == new.id))
        .partition(|old| old.status == RUNNING);
    for machine in &repaired {
        let finding = context.findings.of(&prior.key(machine.id));
        let detail = if finding.detail.is_empty() { String::new() } else { format!(" ({})", finding.detail) };
        let then = if machine.status == OUT_OF_SPACE { "make room there first" } else { "it is repaired" };
        notes.push(format!("{} is {}: {then}{detail}", machine.name, machine.status));
        notes.extend(finding.drift.iter().take(FILES_NAMED).map(|one| format!("  {one}")));
        if finding.drift.len() > FILES_NAMED {
            notes.push(format!("  and {} more files", finding.drift.len() - FILES_NAMED));
        }
    }
    for (sign, one, other) in [("-", prior, planned), ("+", planned, prior)] {
        let rules =
            one.firewall.iter().flatten().filter(|rule| !other.firewall.iter().flatten().any(|known| known == *rule));
        // Rules that are not known yet are not lost.
        let is_known = planned.firewall.is_some();
        notes.extend(rules.filter(|_| is_known).map(|rule| format!("{sign} firewall: {rule}")));
    }
    if !added.is_empty() {
        notes.push(format!("+ {}", names(added)));
    }
    if !removed.is_empty() {
        notes.push(format!("- {} ({})", names(removed), L::LEAVING));
    }
    if !untouched.is_empty() && !notes.is_empty() {
        let verb = if untouched.len() == 1 { "goes" } else { "go" };
        notes.push(format!("{} {verb} on running", names(untouched)));
    }
    notes
}

/// What happens to machines that run on, by the files that differ: which services take them up and how, and whether the
/// machine does its work meanwhile.
pub(super) fn rollout<L: Layer>(before: &[Before], after: &[Rendered]) -> Vec<String> {
    let kept: Vec<(&Before, &Rendered)> = after
        .iter()
        .filter_map(|after| Some((before.iter().find(|before| before.name == after.name)?, after)))
        .filter(|(before, _)| !before.files.0.is_empty())
        .collect();
    let mut reloaded: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut restarted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut leaving = 0;
    for (before, after) in &kept {
        let paths = before.files.0.keys().chain(after.bundle.files.keys()).filter(|path| {
            let (old, new) = (before.files.0.get(*path), after.bundle.files.get(*path));
            old.map(|old| old.entry.digest.clone()) != new.map(|new| digest_of(&new.content))
        });
        let changed: BTreeSet<&String> = paths.collect();
        let mut leaves = changed.iter().any(|path| path.starts_with(APPLICATION));
        let concerned = |service: &&Service| changed.iter().any(|path| service.reads(path));
        for service in after.bundle.services.iter().filter(concerned) {
            let restarts = service.takes_up == TakesUp::ByRestart;
            leaves |= restarts;
            let by_service = if restarts { &mut restarted } else { &mut reloaded };
            by_service.entry(service.name).or_default().push(&after.name);
        }
        leaving += usize::from(leaves);
    }
    let mut notes = Vec::new();
    for (verb, services) in [("is started anew", restarted), ("reloads", reloaded)] {
        for (service, machines) in services {
            let many = machines.len() == kept.len() && machines.len() > 1;
            let place = if many { "all machines that run".to_owned() } else { machines.join(", ") };
            notes.push(format!("{service} {verb} on {place}"));
        }
    }
    match (leaving, kept.len()) {
        (0, _) => {}
        (_, 1) => notes.push("the only machine changes in place: what it is asked meanwhile may fail".to_owned()),
        (changing, _) => {
            let at_once = L::ROLLOUT.at_once.of(changing);
            let verb = if at_once == 1 { "leaves, changes and comes" } else { "leave, change and come" };
            notes.push(format!(
                "{at_once} of {changing} machines at a time {verb} back; if that fails, the others stay as they are"
            ));
        }
    }
    notes
}

/// What else a change of attributes does: what only the kind of layer knows, or that it does nothing.
pub(super) fn beyond_files<L: Layer>(
    before: &State<L::Model>,
    after: &State<L::Model>,
    has_notes: bool,
) -> Vec<String> {
    let values = |state: &State<L::Model>| state.write().unwrap_or_default();
    let (old, new) = (values(before), values(after));
    let fields = <L as Resource>::fields();
    let changed: Vec<Change> =
        fields.iter().filter(|field| old[field.name] != new[field.name]).filter_map(|field| field.change).collect();
    let peculiar = changed.iter().filter_map(|change| match change {
        Change::InPlace(text) => Some(text.trim_start_matches("in place: ").to_owned()),
        _ => None,
    });
    let mut notes: Vec<String> = peculiar.collect();
    let does_nothing = |change: &Change| {
        matches!(change, Change::Recorded | Change::Checked | Change::Resizes | Change::NewMachines | Change::Addresses)
    };
    if !has_notes && !changed.is_empty() && changed.iter().all(does_nothing) {
        notes.push("nothing that runs is touched".to_owned());
    }
    notes
}

/// Machines that get another size, and those that keep what they were made with.
pub(super) fn sizes<L: Layer>(context: &Context, before: &State<L::Model>, after: &State<L::Model>) -> Vec<String> {
    let (prior, planned) = (&before.group, &after.group);
    let Ok(driver) = prior.driver(context) else { return Vec::new() };
    // A cloud that has no sizes has no images either, and no disks.
    let Some(size) = planned.size_to_have() else { return Vec::new() };
    let is_kept = |machine: &&MachineModel| planned.machines().iter().any(|new| new.id == machine.id);
    let kept: Vec<&MachineModel> = prior.machines().iter().filter(is_kept).collect();
    let names = |machines: &[&MachineModel]| {
        machines.iter().map(|machine| machine.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let has = |machine: &MachineModel| {
        let seen = driver.size(&prior.key(machine.id));
        seen.or_else(|| prior.size_to_have().map(str::to_owned))
    };
    let mut notes = Vec::new();
    let others: Vec<&MachineModel> =
        kept.iter().copied().filter(|machine| has(machine).is_some_and(|has| has != size)).collect();
    if let Some(first) = others.first() {
        let how = match L::ROLLOUT.at_once.of(others.len()) {
            _ if kept.len() == 1 => "it is stopped for that, and does no work meanwhile".to_owned(),
            1 => "1 at a time leaves, is stopped, and comes back".to_owned(),
            at_once => format!("{at_once} at a time leave, are stopped, and come back"),
        };
        let may_change = planned.public == Some(true) && !driver.keeps_public_addresses();
        let public = if may_change {
            "; its public address changes, and whoever goes by that finds it again when all have changed"
        } else {
            ""
        };
        notes.push(format!("{}: size {} → {size}: {how}{public}", names(&others), has(first).unwrap_or_default()));
    }
    let image = |group: &Group| (group.image.clone(), group.os.clone().unwrap_or_else(|| DEFAULT_SYSTEM.to_owned()));
    let is_other = [
        ("image", image(prior) != image(planned)),
        ("disk", L::disk_gb(&before.own) != L::disk_gb(&after.own)),
        ("program", L::archives(&before.own) != L::archives(&after.own)),
    ];
    for (what, _) in is_other.iter().filter(|(_, is_other)| *is_other && !kept.is_empty()) {
        let verb = if kept.len() == 1 { "keeps" } else { "keep" };
        notes.push(format!(
            "{} {verb} the {what}: `lampwright scale LAYER=+0 -remove MACHINE` makes one anew, with the other {what}",
            names(&kept)
        ));
    }
    notes
}
