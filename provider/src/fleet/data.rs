//! What a change means for the data on the machines' disks: the plan says it before anything is done, and removing does
//! what it has said.

use proto::preview::{DataChange, Fate};
use value::{Path, Problem};

use crate::context::Context;
use crate::driver::{Disks, Kept, MachineKey, Owner, Size, driver_problem};
use crate::layer::{Group, Layer, MachineModel, State};
use crate::ownership;
use crate::resource::PlanRequest;

/// A replacement of what there is, as the first of its two plans sees it.
pub(super) struct Replacement<'a, M> {
    pub(super) planned: &'a State<M>,
    /// What cannot be changed in place; none if the host has its own reasons.
    pub(super) forced_by: &'a [Path],
}

/// What becomes of the disks when the layer goes.
pub(super) fn disks<L: Layer>(context: &Context, state: &State<L::Model>) -> Disks {
    let is_kept = state.group.keeps_data() && may_hold_data::<L>(state);
    if is_kept { kept_disks::<L>(context, state) } else { Disks::Delete }
}

pub(super) fn kept_disks<L: Layer>(context: &Context, state: &State<L::Model>) -> Disks {
    // What a test makes is gone after it.
    let is_kept = L::HAS_DATA && !context.is_test;
    if is_kept { Disks::Keep { owner: owner(context, state) } } else { Disks::Delete }
}

/// A resource that was renamed: what its former name left since the plan was made is its own.
pub(super) async fn take_over<L: Layer>(context: &Context, state: &mut State<L::Model>) -> Vec<Problem> {
    if state.group.restored_from.as_deref() != Some("") {
        return Vec::new();
    }
    let mut kept = match kept::<L>(context, state).await {
        Ok(kept) => kept,
        Err(problems) => return problems,
    };
    kept.retain(|kept| context.ownership.is_namesake(&Owner::parse(&kept.owner)));
    state.group.restored_from = Some(owners(&kept));
    Vec::new()
}

fn owner<R>(context: &Context, state: &State<R>) -> String {
    context.ownership.owner(ownership::plain(state.group.generation.as_deref().unwrap_or_default()))
}

/// A layer that was never made completely may have nothing on its disks yet.
fn may_hold_data<L: Layer>(state: &State<L::Model>) -> bool {
    L::has_written(&state.own) || state.group.restored_from.as_deref().is_some_and(|from| !from.is_empty())
}

/// The layer goes for good, or makes way for another one.
pub(super) async fn of_removal<L: Layer>(
    context: &Context,
    prior: &State<L::Model>,
    replacement: Option<Replacement<'_, L::Model>>,
) -> Option<DataChange> {
    let machines = prior.group.machines();
    if !L::HAS_DATA || machines.is_empty() || !may_hold_data::<L>(prior) || context.simulation.is_some() {
        return None;
    }
    let (what, bytes) = described::<L>(context, prior, machines).await;
    let driver = prior.group.driver(context).ok()?;
    let layer = prior.group.layer();
    let place = driver.keeps_at(&layer);
    let because = replacement.as_ref().filter(|replacement| !replacement.forced_by.is_empty()).map(|replacement| {
        let paths: Vec<String> = replacement.forced_by.iter().map(ToString::to_string).collect();
        format!("{} cannot be changed in place", paths.join(", "))
    });
    let goes_elsewhere =
        replacement.as_ref().is_some_and(|replacement| home(&replacement.planned.group) != home(&prior.group));
    let (fate, text, way_back) = match disks::<L>(context, prior) {
        Disks::Delete => {
            let reason = if context.is_test { "this is a test" } else { "its `on_destroy` is \"delete\"" };
            let because = because.map(|because| format!("{because}, and ")).unwrap_or_default();
            let text = format!("ALL DATA of {what} is DELETED for good, since {because}{reason}");
            (Fate::Deleted, text, "To keep it, apply `on_destroy = \"keep\"` first.".to_owned())
        }
        Disks::Keep { .. } if goes_elsewhere => {
            let because = because.map(|because| format!(", since {because}")).unwrap_or_default();
            let text =
                format!("{what} STAYS BEHIND and the new layer starts EMPTY{because}; what it was is kept in {place}");
            (Fate::LeftBehind, text, way_back(&prior.group, &place))
        }
        Disks::Keep { .. } if replacement.is_some() => (Fate::CarriedOver, carried(&what), String::new()),
        Disks::Keep { .. } => (Fate::Kept, format!("{what} is kept in {place}"), way_back(&prior.group, &place)),
    };
    Some(DataChange { fate, layer: home(&prior.group), what, machines: names(machines), bytes, text, way_back })
}

fn carried(what: &str) -> String {
    format!("{what} is kept on its disks, and the replacement takes it up")
}

/// What the second plan of a replacement says of the data, of which the first one or that of the removal has told.
pub(super) fn of_successor(told: DataChange, planned: &Group) -> DataChange {
    match told.fate {
        Fate::Kept if told.layer == home(planned) => {
            DataChange { fate: Fate::CarriedOver, text: carried(&told.what), way_back: String::new(), ..told }
        }
        Fate::Kept => {
            let text = format!("{}, and the new layer starts EMPTY", told.text);
            DataChange { fate: Fate::LeftBehind, text, ..told }
        }
        Fate::Deleted
        | Fate::CopyDeleted
        | Fate::LeftBehind
        | Fate::CarriedOver
        | Fate::TakenUp
        | Fate::TakenFromAnother => told,
    }
}

/// Machines leave a layer that goes on.
pub(super) async fn of_leaving<L: Layer>(
    context: &Context,
    prior: &State<L::Model>,
    planned: &State<L::Model>,
) -> Option<DataChange> {
    let stays = |machine: &&MachineModel| planned.group.machines().iter().any(|new| new.id == machine.id);
    let (staying, leaving): (Vec<&MachineModel>, Vec<&MachineModel>) = prior.group.machines().iter().partition(stays);
    if !L::HAS_DATA || leaving.is_empty() || planned.group.machines.is_none() || context.simulation.is_some() {
        return None;
    }
    let leaving: Vec<MachineModel> = leaving.into_iter().cloned().collect();
    let (what, bytes) = described::<L>(context, prior, &leaving).await;
    let (copies, verb) = if leaving.len() == 1 { ("the copy", "is") } else { ("the copies", "are") };
    let staying: Vec<&str> = staying.iter().map(|machine| machine.name.as_str()).collect();
    let text = format!(
        "{copies} of {what} {verb} DELETED, since what leaves does so for good; the data stays on {}",
        staying.join(", ")
    );
    let (layer, machines) = (home(&prior.group), names(&leaving));
    Some(DataChange { fate: Fate::CopyDeleted, layer, what, machines, bytes, text, way_back: String::new() })
}

/// A change in place that leaves the application without what it had.
pub(super) fn in_place<L: Layer>(prior: &State<L::Model>, planned: &State<L::Model>) -> Option<DataChange> {
    let text = L::data_change(&prior.own, &planned.own)?;
    Some(DataChange {
        fate: Fate::LeftBehind,
        layer: home(&prior.group),
        what: String::new(),
        machines: names(prior.group.machines()),
        bytes: None,
        text,
        way_back: String::new(),
    })
}

/// What was kept of an earlier layer with this name, for one that is made.
pub(super) async fn kept<L: Layer>(context: &Context, planned: &State<L::Model>) -> Result<Vec<Kept>, Vec<Problem>> {
    if !L::HAS_DATA || context.simulation.is_some() {
        return Ok(Vec::new());
    }
    let kept = planned.group.driver(context)?.kept(&planned.group.layer()).await;
    kept.map_err(|error| vec![driver_problem("Looking for data that was kept", &error)])
}

/// The objects whose data it was: the plan promises them, and the apply holds to it.
pub(super) fn owners(kept: &[Kept]) -> String {
    let mut owners: Vec<String> = kept.iter().map(|kept| Owner::parse(&kept.owner).generation).collect();
    owners.sort_unstable();
    owners.dedup();
    owners.join(",")
}

pub(super) fn of_taking_up(context: &Context, kept: &[Kept], planned: &Group) -> Option<DataChange> {
    let since = kept.iter().map(|kept| kept.since.as_str()).max()?;
    let sizes: Option<Vec<Size>> = kept.iter().map(|kept| kept.size).collect();
    let (size, bytes) = sizes.map(|sizes| shown(&sizes)).unwrap_or_default();
    let names: Vec<String> = kept.iter().map(|kept| kept.name.clone()).collect();
    let size = if size.is_empty() { size } else { format!(" ({size})") };
    let mut owners = kept.iter().map(|kept| Owner::parse(&kept.owner));
    let stranger = owners.find(|owner| !context.ownership.is_namesake(owner));
    let fate = if stranger.is_some() { Fate::TakenFromAnother } else { Fate::TakenUp };
    let whose = stranger.map(|owner| format!(" of ANOTHER STATE, {},", owner.described())).unwrap_or_default();
    let since = since.replace('T', " at ").replace('Z', " UTC");
    let what = format!("the data{size} that {}{whose} left on {since}", names.join(", "));
    let cures: Vec<&str> = kept.iter().map(|kept| kept.cure.as_str()).collect();
    let way_back = format!("If it is not wanted, delete it before: {}", cures.join("; "));
    let text = format!("it takes up {what}");
    Some(DataChange { fate, layer: home(planned), what, machines: names, bytes, text, way_back })
}

/// Disks that nobody takes up would be older than the others, and in the way later.
pub(super) fn refuse_fewer(machines: u64, disks: usize, cures: &[&str]) -> Result<(), Vec<Problem>> {
    if machines >= disks as u64 {
        return Ok(());
    }
    let delete =
        if cures.is_empty() { String::new() } else { format!(" Or delete what is kept: {}", cures.join("; ")) };
    let detail = format!(
        "The data is on {disks} disks, and {machines} machine{} cannot take all of them up. Make {disks} of them, and fewer once they run.{delete}",
        if machines == 1 { "" } else { "s" }
    );
    Err(vec![Problem::error("data would be left out", detail)])
}

/// As a warning, for a host that does not show previews.
pub(super) fn warning(request: &PlanRequest<'_>, change: &DataChange) -> Option<Problem> {
    if request.address.is_some() {
        return None;
    }
    let summary = match change.fate {
        Fate::Deleted => "ALL DATA is deleted",
        Fate::CopyDeleted => "a copy of the data is deleted",
        Fate::LeftBehind => "data stays behind",
        Fate::Kept | Fate::CarriedOver => "data is kept",
        Fate::TakenUp => "data is taken up",
        Fate::TakenFromAnother => "data of ANOTHER STATE is taken up",
    };
    let name = change.layer.rsplit('/').next().unwrap_or_default();
    let end = if change.way_back.is_empty() { String::new() } else { format!("\n\n{}", change.way_back) };
    Some(Problem::warning(summary, format!("{name}: {}.{end}", change.text)))
}

fn way_back(group: &Group, place: &str) -> String {
    let layer = group.layer();
    format!(
        "The way back: a layer named {:?} in the scope {:?} takes it up. To delete it for good, delete what is in {place}.",
        layer.name, layer.scope
    )
}

/// Where a layer is: its data is taken up there and nowhere else.
fn home(group: &Group) -> String {
    format!("{}:{}", group.cloud.as_deref().unwrap_or_default(), group.id.as_deref().unwrap_or_default())
}

fn names(machines: &[MachineModel]) -> Vec<String> {
    machines.iter().map(|machine| machine.name.clone()).collect()
}

/// `database "app" (1.2 GiB on db-1, db-2)`, and the bytes.
async fn described<L: Layer>(
    context: &Context,
    state: &State<L::Model>,
    machines: &[MachineModel],
) -> (String, Option<u64>) {
    let what = L::data(context, state).await;
    let keys: Vec<MachineKey> = machines.iter().map(|machine| state.group.key(machine.id)).collect();
    let measured = match state.group.driver(context) {
        Ok(driver) => driver.data_size(&keys).await,
        Err(_) => None,
    };
    let of_disks = || L::disk_gb(&state.own).map(|size| vec![Size::Disk(size << 30); machines.len()]);
    let (size, bytes) = measured.or_else(of_disks).map(|sizes| shown(&sizes)).unwrap_or_default();
    let size = if size.is_empty() { "of unknown size".to_owned() } else { size };
    (format!("{what} ({size} on {})", names(machines).join(", ")), bytes)
}

/// All together.
fn shown(sizes: &[Size]) -> (String, Option<u64>) {
    let bytes = |size: &Size| match size {
        Size::Measured(bytes) | Size::AtLeast(bytes) | Size::Disk(bytes) => *bytes,
    };
    let total: u64 = sizes.iter().map(bytes).sum();
    let text = if sizes.iter().any(|size| matches!(size, Size::Disk(_))) {
        let plural = if sizes.len() == 1 { "a disk" } else { "disks" };
        format!("{plural} of {}", units(total))
    } else if sizes.iter().any(|size| matches!(size, Size::AtLeast(_))) {
        format!("at least {}", units(total))
    } else {
        units(total)
    };
    (text, Some(total))
}

fn units(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if value < 10.0 && value.fract() > 0.05 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_say_how_they_are_known() {
        let text = |sizes: &[Size]| shown(sizes).0;
        assert_eq!(text(&[Size::Measured(700 << 20), Size::Measured(600 << 20)]), "1.3 GiB");
        assert_eq!(text(&[Size::Measured(1 << 20), Size::AtLeast(12 << 20)]), "at least 13 MiB");
        assert_eq!(text(&[Size::Disk(10 << 30); 3]), "disks of 30 GiB");
        assert_eq!(text(&[Size::Disk(10 << 30)]), "a disk of 10 GiB");
        assert_eq!(text(&[Size::Measured(12)]), "12 B");
    }
}
