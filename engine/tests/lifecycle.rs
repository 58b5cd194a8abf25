//! Plan and apply against a fake provider; one file for each behaviour. Every case says what was called, in
//! order, what the state is afterwards, and that a second plan has nothing to do.

#[path = "lifecycle/bed.rs"]
mod bed;
#[path = "lifecycle/count.rs"]
mod count;
#[path = "lifecycle/create.rs"]
mod create;
#[path = "lifecycle/data.rs"]
mod data;
#[path = "lifecycle/destroy.rs"]
mod destroy;
#[path = "lifecycle/doubt.rs"]
mod doubt;
#[path = "lifecycle/drift.rs"]
mod drift;
#[path = "lifecycle/full_disk.rs"]
mod full_disk;
#[path = "lifecycle/ignore_changes.rs"]
mod ignore_changes;
#[path = "lifecycle/journal.rs"]
mod journal;
#[path = "lifecycle/partial_failure.rs"]
mod partial_failure;
#[path = "lifecycle/promises.rs"]
mod promises;
#[path = "lifecycle/providers.rs"]
mod providers;
#[path = "lifecycle/replace.rs"]
mod replace;
#[path = "lifecycle/saved_plan.rs"]
mod saved_plan;
#[path = "lifecycle/state.rs"]
mod state;
#[path = "lifecycle/unknown.rs"]
mod unknown;
#[path = "lifecycle/update_in_place.rs"]
mod update_in_place;
