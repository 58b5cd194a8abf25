//! The state on disk: what survives what.

use compiler::addr::InstanceAddr;
use engine::state::journal::Record;
use engine::state::store::{Store, StoreError, View, peek};
use engine::state::{InDoubt, InstanceState, Operation, file};
use rustix::fs::FlockOperation;
use std::sync::Arc;

use super::bed::Bed;

pub(crate) fn instance() -> Box<InstanceState> {
    Box::new(InstanceState {
        provider: compiler::addr::ProviderAddr {
            module: Vec::new(),
            source: compiler::addr::ProviderSource::lampwright(),
            alias: None,
        },
        schema_version: 0,
        attributes: serde_json::json!({ "id": "<&>", "big": 1 }),
        sensitive_paths: vec![value::Path::attribute("id")],
        private: vec![1, 2],
        dependencies: [compiler::addr::ResourceAddr::parse("module.m.thing.x").expect("an address")].into(),
        tainted: true,
        create_before_destroy: true,
        prevent_destroy: true,
    })
}

pub(crate) fn doubt() -> InDoubt {
    InDoubt { provider: instance().provider, operation: Operation::Create, times: 1 }
}

pub(crate) fn addr(text: &str) -> InstanceAddr {
    InstanceAddr::parse(text).expect("an address")
}

/// A run that is cut off: the store is forgotten, not closed.
pub(crate) fn cut_off(bed: &Bed, records: &[Record]) {
    let mut store = bed.store();
    for record in records {
        store.record(record.clone()).expect("recorded");
    }
}

#[test]
fn every_record_survives_a_run_that_is_cut_off() {
    let bed = Bed::new();
    cut_off(
        &bed,
        &[
            Record::Put { addr: addr("thing.a"), instance: instance() },
            Record::Put { addr: addr("thing.b[\"k\"]"), instance: instance() },
            Record::Remove { addr: addr("thing.a") },
            Record::Doubt { addr: addr("thing.c"), doubt: doubt() },
            Record::Intent { addr: addr("thing.d"), planned: instance() },
            Record::Intent { addr: addr("thing.e"), planned: instance() },
            Record::Put { addr: addr("thing.e"), instance: instance() },
        ],
    );
    let store = bed.store();
    assert_eq!(store.recovered.interrupted, [addr("thing.c"), addr("thing.d")]);
    assert_eq!(store.state().unfinished.get(&addr("thing.d")), Some(&*instance()));
    assert_eq!(store.state().unfinished.len(), 1);
    assert_eq!(store.state().in_doubt, [(addr("thing.c"), doubt())].into());
    assert_eq!(store.state().instances.get(&addr("thing.b[\"k\"]")), Some(&*instance()));
    assert!(!store.state().instances.contains_key(&addr("thing.a")));
    drop(store);
    // Folded: the file alone has it now, and a second look finds nothing left over.
    assert_eq!(bed.store().recovered.records, 0);
    let state = file::read(&bed.state_path()).unwrap();
    assert_eq!(state.instances.len(), 2);
    assert_eq!(state.unfinished.get(&addr("thing.d")), Some(&*instance()));
    assert_eq!(state.in_doubt, [(addr("thing.c"), doubt())].into());
}

#[test]
fn a_torn_last_line_does_not_count() {
    let bed = Bed::new();
    cut_off(&bed, &[Record::Put { addr: addr("thing.a"), instance: instance() }]);
    let journal = bed.state_path().with_extension("tfstate.journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes.extend_from_slice(b"0123");
    std::fs::write(&journal, bytes).unwrap();
    let view = peek(&bed.state_path(), &Arc::default()).unwrap();
    assert!(view.state.instances.contains_key(&addr("thing.a")));
    assert!(view.recovered.is_torn && !view.recovered.is_incomplete());
    assert_eq!(bed.store().state().instances.len(), 1);
}

#[test]
fn one_run_at_a_time() {
    let bed = Bed::new();
    let _first = bed.store();
    let second = Store::open(&bed.state_path(), "second", &Arc::default());
    let Err(StoreError::Lock(error)) = second else { panic!("the second run got the lock") };
    assert!(error.to_string().contains("test since"), "{error}");
}

/// A configuration may read the file of its own state, or a copy of the program may look at it.
#[test]
fn a_look_at_the_file_does_not_give_up_terraforms_lock() {
    let bed = Bed::new();
    cut_off(&bed, &[Record::Put { addr: addr("thing.a"), instance: instance() }]);
    let lock = |operation| {
        let file = std::fs::File::options().read(true).write(true).open(bed.state_path()).unwrap();
        rustix::fs::fcntl_lock(&file, operation)
    };
    let store = bed.store();
    for _ in 0..2 {
        std::fs::read(bed.state_path()).unwrap();
        assert!(lock(FlockOperation::NonBlockingLockExclusive).is_err());
        assert!(lock(FlockOperation::NonBlockingLockShared).is_err());
    }
    drop(store);
    assert!(lock(FlockOperation::NonBlockingLockExclusive).is_ok());
}

/// By whatever name, from whatever folder.
#[test]
fn one_state_has_one_lock() {
    let bed = Bed::new();
    let other = tempfile::tempdir().unwrap();
    let link = other.path().join("link.tfstate");
    std::os::unix::fs::symlink(bed.state_path(), &link).unwrap();
    let first = bed.store();
    for path in [
        link.clone(),
        bed.folder.path().join("../").join(bed.folder.path().file_name().unwrap()).join("terraform.tfstate"),
    ] {
        assert!(
            matches!(Store::open(&path, "second", &Arc::default()), Err(StoreError::Lock(_))),
            "{}",
            path.display()
        );
        assert!(matches!(View::open(&path, "second", &Arc::default()), Err(StoreError::Lock(_))), "{}", path.display());
    }
    drop(first);
    // Nothing was written, so nothing is left.
    assert_eq!(std::fs::read_dir(bed.folder.path()).unwrap().count(), 0);
    let mut through_link = Store::open(&link, "test", &Arc::default()).unwrap();
    through_link.record(Record::Put { addr: addr("thing.a"), instance: instance() }).unwrap();
    drop(through_link);
    // The journal lies where the file is, and the link stays one.
    assert_eq!(bed.store().state().instances.len(), 1);
    assert!(link.is_symlink());
    assert_eq!(Store::open(&link, "test", &Arc::default()).unwrap().state().instances.len(), 1);
}

#[test]
fn two_states_in_one_folder_share_nothing() {
    let bed = Bed::new();
    let open = |name: &str| Store::open(&bed.folder.path().join(name), "test", &Arc::default()).unwrap();
    let (mut first, mut second) = (open("shop.a"), open("shop.b"));
    first.record(Record::Put { addr: addr("thing.a"), instance: instance() }).unwrap();
    second.record(Record::Put { addr: addr("thing.b"), instance: instance() }).unwrap();
    drop((first, second));
    assert_eq!(open("shop.a").state().instances.keys().map(ToString::to_string).collect::<Vec<_>>(), ["thing.a"]);
    assert_eq!(open("shop.b").state().instances.keys().map(ToString::to_string).collect::<Vec<_>>(), ["thing.b"]);
}

/// Whoever has the file open, such as a terraform that waits for its lock, has the one that is written.
#[test]
fn the_file_stays_the_same_file() {
    use std::os::unix::fs::MetadataExt as _;
    let bed = Bed::new();
    std::fs::write(bed.state_path(), "").unwrap();
    let before = std::fs::metadata(bed.state_path()).unwrap().ino();
    cut_off(&bed, &[Record::Put { addr: addr("thing.a"), instance: instance() }]);
    let mut store = bed.store();
    store.record(Record::Remove { addr: addr("thing.a") }).unwrap();
    store.fold().unwrap();
    assert_eq!(std::fs::metadata(bed.state_path()).unwrap().ino(), before);
    drop(store);
    let mut names: Vec<_> =
        std::fs::read_dir(bed.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["terraform.tfstate"]);
}

/// A crash at any byte of the writing: the file is marked, and beside it is a whole one.
#[test]
fn a_write_that_was_cut_off_is_made_good() {
    let bed = Bed::new();
    {
        let mut store = bed.store();
        store.record(Record::Put { addr: addr("thing.a"), instance: instance() }).unwrap();
        store.fold().unwrap();
    }
    let whole = std::fs::read(bed.state_path()).unwrap();
    for length in (1..whole.len()).step_by(7) {
        let mut torn = whole[..length].to_vec();
        torn[0] = 0;
        std::fs::write(bed.state_path(), &torn).unwrap();
        std::fs::write(bed.folder.path().join("terraform.tfstate.new"), &whole).unwrap();
        assert_eq!(peek(&bed.state_path(), &Arc::default()).unwrap().state.instances.len(), 1);
        assert_eq!(file::read(&bed.state_path()).unwrap().instances.len(), 1);
        let store = bed.store();
        assert!(store.recovered.is_from_copy);
        assert_eq!(store.state().instances.len(), 1);
        drop(store);
        assert!(!bed.folder.path().join("terraform.tfstate.new").exists());
        assert!(!bed.store().recovered.is_from_copy);
    }
}

/// The copy is gone: the user is told what there is besides, and what it is good for.
#[test]
fn a_state_that_has_lost_its_copy_names_the_backup() {
    let bed = Bed::new();
    for record in [
        Record::Put { addr: addr("thing.a"), instance: instance() },
        Record::Put { addr: addr("thing.b"), instance: instance() },
    ] {
        let mut store = bed.store();
        store.record(record).unwrap();
        store.fold().unwrap();
    }
    cut_off(&bed, &[Record::Put { addr: addr("thing.c"), instance: instance() }]);
    let before = std::fs::read(bed.state_path()).unwrap();
    let backup = bed.folder.path().join("terraform.tfstate.backup");
    std::fs::write(&backup, &before).unwrap();
    std::fs::write(bed.state_path(), "\u{0}\u{1}").unwrap();
    let refused = || Store::open(&bed.state_path(), "test", &Arc::default()).unwrap_err().to_string();
    let told = refused();
    assert!(told.contains("was cut off") && told.contains("terraform.tfstate.new"), "{told}");
    assert!(told.contains(&format!("{} has the state from before", backup.display())), "{told}");
    std::fs::rename(&backup, bed.state_path()).unwrap();
    assert_eq!(bed.store().state().instances.len(), 3);
    std::fs::remove_file(&backup).unwrap();
    std::fs::write(bed.state_path(), "\u{0}\u{1}").unwrap();
    assert!(refused().contains("nor is there a"), "{}", refused());
}

#[test]
fn a_state_that_has_an_object_twice_is_refused() {
    let bed = Bed::new();
    {
        let mut store = bed.store();
        store.record(Record::Put { addr: addr("thing.a"), instance: instance() }).unwrap();
        store.record(Record::Depose { addr: addr("thing.a"), key: "0a1b2c3d".to_owned() }).unwrap();
        store.record(Record::Put { addr: addr("thing.a"), instance: instance() }).unwrap();
        store.fold().unwrap();
    }
    let text = std::fs::read_to_string(bed.state_path()).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let instances = json["resources"][0]["instances"].as_array().unwrap().clone();
    assert_eq!(instances.len(), 2);
    for (twice, name) in instances.iter().zip(["it has thing.a twice", "it has thing.a (deposed 0a1b2c3d) twice"]) {
        let mut all = instances.clone();
        all.push(twice.clone());
        json["resources"][0]["instances"] = all.into();
        std::fs::write(bed.state_path(), json.to_string()).unwrap();
        let error = Store::open(&bed.state_path(), "test", &Arc::default()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

/// As root there is nothing that may not be written, so the folder is one that nobody may write to.
#[test]
fn a_look_at_a_state_writes_nothing() {
    let bed = Bed::new();
    cut_off(&bed, &[Record::Put { addr: addr("thing.a"), instance: instance() }]);
    let all = || {
        let entries = std::fs::read_dir(bed.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        files.sort();
        files
    };
    let before = all();
    let view = View::open(&bed.state_path(), "test", &Arc::default()).unwrap();
    assert_eq!((view.state.instances.len(), view.recovered.records), (1, 1));
    let serial = view.state.serial;
    drop(view);
    assert_eq!(all(), before);
    // What a plan was made of is what its apply finds.
    assert_eq!(bed.store().state().serial, serial);
}

#[test]
fn a_file_that_is_no_state_is_refused_and_left_alone() {
    let bed = Bed::new();
    for text in ["{", "[]", "{\"version\": 3}", "{\"version\": 4}", "\u{0}\u{1}"] {
        std::fs::write(bed.state_path(), text).unwrap();
        let opened = Store::open(&bed.state_path(), "test", &Arc::default());
        assert!(opened.is_err(), "{text:?}");
        assert_eq!(std::fs::read_to_string(bed.state_path()).unwrap(), text);
    }
}

#[test]
fn the_file_reads_back_as_it_was_written() {
    let bed = Bed::new();
    {
        let mut store = bed.store();
        store.record(Record::Put { addr: addr("module.m[1].thing.a[0]"), instance: instance() }).unwrap();
        store.record(Record::Put { addr: addr("thing.a"), instance: instance() }).unwrap();
        store.record(Record::Depose { addr: addr("thing.a"), key: "0a1b2c3d".to_owned() }).unwrap();
        store.fold().unwrap();
    }
    let state = file::read(&bed.state_path()).unwrap();
    assert_eq!(file::encode(&state), std::fs::read_to_string(bed.state_path()).unwrap());
    assert_eq!(state.deposed.len(), 1);
    assert_eq!(state.instances[&addr("module.m[1].thing.a[0]")], *instance());
}

/// A letter that is another one may well be a state, too.
#[test]
fn a_state_that_was_altered_is_told() {
    let bed = Bed::new();
    let mut store = bed.store();
    store.record(Record::Put { addr: addr("thing.a"), instance: instance() }).unwrap();
    store.fold().unwrap();
    drop(store);
    let whole = std::fs::read(bed.state_path()).unwrap();
    let mut silent = Vec::new();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        // Others write no checksum; one whose name is lost is none.
        let is_of_the_name = at >= whole.len() - 92;
        match engine::state::store::look(&bed.state_path(), &flipped, &Arc::default()) {
            Ok(view) if !view.recovered.is_altered && !is_of_the_name => silent.push(at),
            Ok(_) | Err(_) => {}
        }
    }
    assert_eq!(silent, Vec::<usize>::new());
    let look = |bytes: &[u8]| engine::state::store::look(&bed.state_path(), bytes, &Arc::default());
    assert!(!look(&whole).unwrap().recovered.is_altered);
    let cut = (1..whole.len()).filter(|at| look(&whole[..*at]).is_ok_and(|view| !view.recovered.is_altered));
    assert_eq!(cut.count(), 0);
    // Of nothing a backup tells.
    assert!(!look(b"").unwrap().recovered.is_emptied);
    let backup = bed.state_path().with_extension("tfstate.backup");
    std::fs::write(backup, &whole).unwrap();
    assert!(look(b"").unwrap().recovered.is_emptied);
}
