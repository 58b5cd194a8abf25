//! Data that stays when its machine goes: `ROOT/SCOPE/kept/db-1/data`, with a record of whose it was.
//!
//! Only whoever runs the command gets there. The folder moves there and back by one rename each, on one file system. A
//! removal that is cut off in between leaves a machine without data; it gets its own back before anything else is done
//! with it ([`take_up`]).

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::install::{make_folder, write_atomically};
use super::process::Account;
use super::store::Store;
use crate::driver::{DriverError, Kept, Layer, MachineKey, Order, Result, Size, timestamp};

/// Beside machines, whose names end with a number.
pub(super) const FOLDER: &str = "kept";
const DATA: &str = "data";
const RECORD: &str = "kept.json";
/// How long a plan may look for sizes.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    owner: String,
    since: String,
}

/// Moves a machine's data to where it stays. Its daemons have ended.
pub(super) fn keep(store: &Store, key: &MachineKey, owner: &str) -> Result<()> {
    let data = store.folder(key).join(DATA);
    if !holds_something(&data) {
        return Ok(());
    }
    let folder = folder(store, &key.layer);
    make_folder(&folder, 0o700, None)?;
    let names = std::iter::once(key.name()).chain((2..).map(|number| format!("{}.{number}", key.name())));
    let mut places = names.map(|name| folder.join(name));
    let place = places.find(|place| !place.join(DATA).exists()).expect("numbers do not end");
    make_folder(&place, 0o700, None)?;
    let record = Record { owner: owner.to_owned(), since: timestamp() };
    let json = serde_json::to_vec_pretty(&record).expect("a record has only plain fields");
    write_atomically(&place.join(RECORD), &json, 0o600, &Account::unchanged())?;
    std::fs::rename(&data, place.join(DATA)).map_err(|source| failed("keeping the data", &data, source))
}

/// Gives machines that have no data what is kept for them: each its own, and then in order what is left.
pub(super) fn take_up(store: &Store, order: &Order, account: &Account) -> Result<()> {
    let mut kept: Vec<(u64, PathBuf)> = entries(store, &order.layer)?
        .into_iter()
        .filter(|(_, _, record)| order.may_have(&record.owner))
        .map(|(id, place, _)| (id, place))
        .collect();
    let has_none = |key: &MachineKey| store.folder(key).is_dir() && !holds_something(&store.folder(key).join(DATA));
    let mut strangers = Vec::new();
    for key in order.keys().filter(has_none) {
        match kept.iter().position(|(id, _)| *id == key.id) {
            Some(own) => give(store, &key, &kept.remove(own).1, account)?,
            None => strangers.push(key),
        }
    }
    strangers.iter().zip(&kept).try_for_each(|(key, (_, place))| give(store, key, place, account))
}

fn give(store: &Store, key: &MachineKey, place: &Path, account: &Account) -> Result<()> {
    let (from, to) = (place.join(DATA), store.folder(key).join(DATA));
    if let Some(ids) = account.ids() {
        // While nobody else gets there.
        give_all(&from, ids).map_err(|error| failed("giving the data to its daemon", &from, error.into()))?;
    }
    // An empty folder gives way.
    std::fs::rename(&from, &to).map_err(|source| failed("taking up the data", &from, source))?;
    let _ = std::fs::remove_dir_all(place);
    // The folder of all that is kept, once it is empty.
    let _ = std::fs::remove_dir(folder(store, &key.layer));
    Ok(())
}

pub(super) fn list(store: &Store, layer: &Layer) -> Result<Vec<Kept>> {
    let until = Instant::now() + PATIENCE;
    let kept = entries(store, layer)?.into_iter().map(|(_, place, record)| Kept {
        name: place.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        owner: record.owner,
        since: record.since,
        size: size(&place.join(DATA), until),
        cure: format!("rm -r {}", place.display()),
    });
    Ok(kept.collect())
}

pub(super) fn folder(store: &Store, layer: &Layer) -> PathBuf {
    store.scope_folder(layer).join(FOLDER)
}

/// What the data of each folder takes; none if nothing can be told.
pub(super) fn sizes(machines: &[PathBuf]) -> Option<Vec<Size>> {
    let until = Instant::now() + PATIENCE;
    machines.iter().map(|folder| size(&folder.join(DATA), until)).collect()
}

/// Id, place and record of all that is kept of a layer, in order.
fn entries(store: &Store, layer: &Layer) -> Result<Vec<(u64, PathBuf, Record)>> {
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
fn holds_something(folder: &Path) -> bool {
    let is_folder = std::fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_dir());
    is_folder && std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// What the files take on the disk, as far as they can be looked at in time.
fn size(folder: &Path, until: Instant) -> Option<Size> {
    use std::os::unix::fs::MetadataExt;
    let (mut bytes, mut is_whole) = (0, true);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            is_whole = false;
            continue;
        };
        for entry in entries.flatten() {
            // Of links, what they take themselves.
            let Ok(metadata) = entry.path().symlink_metadata() else { continue };
            bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            is_whole &= Instant::now() < until;
            if Instant::now() > until {
                return Some(Size::AtLeast(bytes));
            }
        }
    }
    match (is_whole, bytes) {
        (true, bytes) => Some(Size::Measured(bytes)),
        (false, 0) => None,
        (false, bytes) => Some(Size::AtLeast(bytes)),
    }
}

/// Gives a folder with all in it to a user, by handles and without following a link. A file that has another name
/// elsewhere may be anybody's, and is refused unless it is the user's already.
fn give_all(folder: &Path, ids: (u32, u32)) -> std::result::Result<(), Errno> {
    give_below(rustix::fs::open(folder, FOLDERS, Mode::empty())?.as_fd(), ids)
}

const FOLDERS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn give_below(folder: BorrowedFd<'_>, (uid, gid): (u32, u32)) -> std::result::Result<(), Errno> {
    let ids = (Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(gid)));
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let seen = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(seen.st_mode) == FileType::Directory {
            give_below(rustix::fs::openat(folder, name, FOLDERS, Mode::empty())?.as_fd(), (uid, gid))?;
        } else if seen.st_uid != uid || seen.st_gid != gid {
            if seen.st_nlink > 1 {
                return Err(Errno::MLINK);
            }
            rustix::fs::chownat(folder, name, ids.0, ids.1, AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    rustix::fs::fchown(folder, ids.0, ids.1)
}

fn failed(what: &'static str, path: &Path, source: std::io::Error) -> DriverError {
    DriverError::Io { what, path: path.display().to_string(), source }
}
