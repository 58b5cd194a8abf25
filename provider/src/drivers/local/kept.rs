//! Data that stays when its machine goes: `ROOT/SCOPE/kept/db-1/data`, with a record of whose it was.
//!
//! The folder moves there and back by one rename each, on one file system. A
//! removal that is cut off in between leaves a machine without data; it gets its own back before anything else is done
//! with it ([`take_up`]).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::beneath::{Folder, Wanted};
use super::store::{Home, Store};
use crate::driver::{DriverError, Kept, LayerId, Order, Result, Size, timestamp};

/// Beside machines, whose names end with a number.
pub(super) const FOLDER: &str = "kept";
const DATA: &str = "data";
const RECORD: &str = "kept.json";
/// Only whoever runs the command gets there.
const PRIVATE: Wanted = Wanted { mode: 0o700, owner: None };
/// How long a plan may look for sizes.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    owner: String,
    since: String,
}

/// Moves a machine's data to where it stays. Its daemons have ended.
pub(super) fn keep(store: &Store, home: &Home, owner: &str) -> Result<()> {
    if !holds_something(home) {
        return Ok(());
    }
    let (key, path) = (home.record.key(), home.path.join(DATA));
    let failed = |source| failed("keeping the data", &path, source);
    let Some(scope) = store.scope(&key.layer.scope)? else { return Err(failed(ErrorKind::NotFound.into())) };
    let folder = scope.make(FOLDER, PRIVATE).map_err(failed)?;
    let mut names = std::iter::once(key.name()).chain((2..).map(|number| format!("{}.{number}", key.name())));
    let name = names.find(|name| folder.enter(format!("{name}/{DATA}")).is_err()).expect("numbers do not end");
    let place = folder.make(&name, PRIVATE).map_err(failed)?;
    let record = Record { owner: owner.to_owned(), since: timestamp() };
    let json = serde_json::to_vec_pretty(&record).expect("a record has only plain fields");
    place.write(RECORD, &json, Wanted { mode: 0o600, owner: None }).map_err(failed)?;
    home.folder.move_to(DATA, &place, DATA).map_err(failed)
}

/// Gives machines that have no data what is kept for them: each its own, and then in order what is left.
pub(super) fn take_up(store: &Store, order: &Order) -> Result<()> {
    let mut kept: Vec<(u64, PathBuf)> = entries(store, &order.layer)?
        .into_iter()
        .filter(|(_, _, record)| order.may_have(&record.owner))
        .map(|(id, place, _)| (id, place))
        .collect();
    if kept.is_empty() {
        return Ok(());
    }
    let mut strangers = Vec::new();
    for key in order.keys() {
        let Some(home) = store.home(&key)?.filter(|home| !holds_something(home)) else { continue };
        match kept.iter().position(|(id, _)| *id == key.id) {
            Some(own) => give(store, &home, &kept.remove(own).1)?,
            None => strangers.push(home),
        }
    }
    strangers.iter().zip(&kept).try_for_each(|(home, (_, place))| give(store, home, place))
}

fn give(store: &Store, home: &Home, path: &Path) -> Result<()> {
    let failed = |source| failed("taking up the data", path, source);
    let place = Folder::at(path).map_err(failed)?;
    if let Some(owner) = home.account.own(0).owner {
        // While nobody else gets there.
        place.enter(DATA).and_then(|data| data.give_all(owner)).map_err(failed)?;
    }
    place.move_to(DATA, &home.folder, DATA).map_err(failed)?;
    let _ = std::fs::remove_dir_all(path);
    // The folder of all that is kept, once it is empty.
    let _ = std::fs::remove_dir(folder(store, &home.record.key().layer));
    Ok(())
}

pub(super) fn list(store: &Store, layer: &LayerId) -> Result<Vec<Kept>> {
    let until = Instant::now() + PATIENCE;
    let kept = entries(store, layer)?.into_iter().map(|(_, place, record)| Kept {
        name: place.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        owner: record.owner,
        since: record.since,
        size: Folder::at(&place.join(DATA)).ok().and_then(|data| size(&data, until)),
        cure: format!("rm -r {}", place.display()),
    });
    Ok(kept.collect())
}

pub(super) fn folder(store: &Store, layer: &LayerId) -> PathBuf {
    store.scope_folder(layer).join(FOLDER)
}

/// What the data of each machine takes; none if nothing can be told.
pub(super) fn sizes(machines: &[Home]) -> Option<Vec<Size>> {
    let until = Instant::now() + PATIENCE;
    machines.iter().map(|home| size(&home.folder.enter(DATA).ok()?, until)).collect()
}

/// Id, place and record of all that is kept of a layer, in order.
fn entries(store: &Store, layer: &LayerId) -> Result<Vec<(u64, PathBuf, Record)>> {
    let folder = folder(store, layer);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed("looking for kept data", &folder, source)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let place = entry.map_err(|source| failed("looking for kept data", &folder, source))?.path();
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let id = name.strip_prefix(&format!("{}-", layer.name)).and_then(|id| id.split('.').next()?.parse().ok());
        let Some(id) = id else { continue };
        // A record whose data never came, or went back.
        if !place.join(DATA).is_dir() {
            continue;
        }
        let path = place.join(RECORD);
        let record = std::fs::read(&path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(Into::into));
        found.push((id, place, record.map_err(|source| failed("reading the record of kept data", &path, source))?));
    }
    found.sort_by(|(a, one, _), (b, other, _)| (a, one).cmp(&(b, other)));
    Ok(found)
}

/// A link holds nothing that is the machine's, wherever it leads.
fn holds_something(home: &Home) -> bool {
    home.folder.enter(DATA).and_then(|data| data.names()).is_ok_and(|names| !names.is_empty())
}

/// What the files take on the disk, as far as they can be looked at in time.
fn size(folder: &Folder, until: Instant) -> Option<Size> {
    let mut bytes = 0;
    match (folder.add_up(&mut bytes, until), bytes) {
        (true, bytes) => Some(Size::Measured(bytes)),
        (false, 0) => None,
        (false, bytes) => Some(Size::AtLeast(bytes)),
    }
}

fn failed(what: &'static str, path: &Path, source: std::io::Error) -> DriverError {
    DriverError::Io { what, path: path.display().to_string(), source }
}
