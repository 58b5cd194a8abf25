//! The state on disk: what survives what.

use compiler::addr::InstanceAddr;
use engine::state::journal::Record;
use engine::state::store::{Store, StoreError, peek};
use engine::state::{InstanceState, file};

use super::bed::Bed;

fn instance() -> Box<InstanceState> {
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
    })
}

fn addr(text: &str) -> InstanceAddr {
    InstanceAddr::parse(text).expect("an address")
}

/// A run that is cut off: the store is forgotten, not closed.
fn cut_off(bed: &Bed, records: &[Record]) {
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
            Record::Intent { addr: addr("thing.c"), planned: None },
            Record::Intent { addr: addr("thing.d"), planned: Some(instance()) },
            Record::Intent { addr: addr("thing.e"), planned: Some(instance()) },
            Record::Put { addr: addr("thing.e"), instance: instance() },
        ],
    );
    let store = bed.store();
    assert_eq!(store.recovered.interrupted, [addr("thing.c"), addr("thing.d")]);
    assert_eq!(store.state().unfinished.get(&addr("thing.d")), Some(&*instance()));
    assert_eq!(store.state().unfinished.len(), 1);
    assert_eq!(store.state().instances.get(&addr("thing.b[\"k\"]")), Some(&*instance()));
    assert!(!store.state().instances.contains_key(&addr("thing.a")));
    drop(store);
    // Folded: the file alone has it now, and a second look finds nothing left over.
    assert_eq!(bed.store().recovered.records, 0);
    let state = file::read(&bed.state_path()).unwrap();
    assert_eq!(state.instances.len(), 2);
    assert_eq!(state.unfinished.get(&addr("thing.d")), Some(&*instance()));
}

#[test]
fn a_torn_or_corrupt_line_ends_the_journal_there() {
    for damage in [b"deadbeef {\"remove\":\"thing.a\"}\n".as_slice(), b"0123".as_slice(), b"\xff\xfe\n".as_slice()] {
        let bed = Bed::new();
        cut_off(&bed, &[Record::Put { addr: addr("thing.a"), instance: instance() }]);
        let journal = bed.state_path().with_extension("tfstate.journal");
        let mut bytes = std::fs::read(&journal).unwrap();
        bytes.extend_from_slice(damage);
        std::fs::write(&journal, bytes).unwrap();
        let state = peek(&bed.state_path()).unwrap();
        assert!(state.instances.contains_key(&addr("thing.a")), "{damage:?}");
        assert_eq!(bed.store().state().instances.len(), 1);
    }
}

#[test]
fn one_run_at_a_time() {
    let bed = Bed::new();
    let _first = bed.store();
    let second = Store::open(&bed.state_path(), &bed.folder.path().join("data"), "second");
    let Err(StoreError::Lock(error)) = second else { panic!("the second run got the lock") };
    assert!(error.to_string().contains("test since"), "{error}");
}

#[test]
fn a_file_that_is_no_state_is_refused_and_left_alone() {
    let bed = Bed::new();
    for text in ["{", "[]", "{\"version\": 3}", "{\"version\": 4}", "\u{0}\u{1}"] {
        std::fs::write(bed.state_path(), text).unwrap();
        let opened = Store::open(&bed.state_path(), &bed.folder.path().join("data"), "test");
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
