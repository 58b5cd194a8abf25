//! A journal that is damaged, at every place and in every way: nothing of it is lost without a word.

use std::collections::BTreeSet;
use std::sync::Arc;

use compiler::encryption::{Hash, Method, Pbkdf2};
use engine::state::State;
use engine::state::journal::Record;
use engine::state::seal::{Methods, Seal};
use engine::state::store::{Store, peek};

use super::bed::Bed;
use super::state::{addr, cut_off, doubt, instance};

/// What runs that were cut off leave: a state with serial 1, and a journal with every kind of record.
fn bed_with_journal() -> (Bed, Vec<u8>, Vec<u8>) {
    let bed = Bed::new();
    let put = |name: &str| Record::Put { addr: addr(name), instance: instance() };
    {
        let mut store = bed.store();
        for name in ["thing.old", "thing.older"] {
            store.record(put(name)).expect("recorded");
        }
        store.fold().expect("written");
    }
    let key = || "0a1b2c3d".to_owned();
    let records = [
        Record::Intent { addr: addr("thing.a"), planned: instance() },
        put("thing.a"),
        Record::Doubt { addr: addr("thing.b[\"k\"]"), doubt: doubt() },
        put("thing.b[\"k\"]"),
        Record::Depose { addr: addr("thing.old"), key: key() },
        put("thing.old"),
        Record::RemoveDeposed { addr: addr("thing.old"), key: key() },
        Record::Remove { addr: addr("thing.older") },
        Record::Intent { addr: addr("thing.never"), planned: instance() },
        Record::Forget { addr: addr("thing.never") },
        Record::Doubt { addr: addr("thing.c"), doubt: doubt() },
        put("thing.d"),
    ];
    cut_off(&bed, &records);
    let state = std::fs::read(bed.state_path()).expect("a state");
    let journal = std::fs::read(bed.folder.path().join("terraform.tfstate.journal")).expect("a journal");
    (bed, state, journal)
}

fn put_back(bed: &Bed, state: &[u8], journal: &[u8]) {
    for entry in std::fs::read_dir(bed.folder.path()).expect("a folder").flatten() {
        std::fs::remove_file(entry.path()).expect("removed");
    }
    std::fs::write(bed.state_path(), state).expect("written");
    std::fs::write(bed.folder.path().join("terraform.tfstate.journal"), journal).expect("written");
}

fn without_serial(state: &State) -> State {
    State { serial: 0, ..state.clone() }
}

fn rejected(bed: &Bed) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(bed.folder.path()).expect("a folder").flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = entries.filter(|path| path.to_string_lossy().contains(".rejected")).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

/// Either nothing is missing, or it is told and kept; and who only looks leaves everything as it is.
#[track_caller]
fn check(bed: &Bed, state: &[u8], journal: &[u8], whole: &State, what: &str) -> bool {
    let is_told = look(bed, state, journal, whole, what);
    let store = bed.store();
    assert_eq!(store.recovered.is_incomplete(), is_told, "{what}");
    assert!(is_told || without_serial(store.state()) == *whole, "{what}: lost without a word");
    assert_eq!(rejected(bed), if is_told { vec![journal.to_vec()] } else { Vec::new() }, "{what}");
    is_told
}

/// As `check`, without opening the state for a change.
#[track_caller]
fn look(bed: &Bed, state: &[u8], journal: &[u8], whole: &State, what: &str) -> bool {
    put_back(bed, state, journal);
    let view = peek(&bed.state_path(), &Arc::default()).expect("the state is as it was");
    assert_eq!(std::fs::read(bed.folder.path().join("terraform.tfstate.journal")).expect("still there"), journal);
    let is_told = view.recovered.is_incomplete();
    assert!(is_told || without_serial(&view.state) == *whole, "{what}: lost without a word");
    is_told
}

#[test]
fn no_flipped_bit_loses_a_record_without_a_word() {
    let (bed, state, journal) = bed_with_journal();
    put_back(&bed, &state, &journal);
    let whole = without_serial(bed.store().state());
    assert_eq!(whole.instances.len(), 4);
    let flips = 2_400;
    let mut told = 0;
    for flip in 0..flips {
        // All bytes are hit, and all bits.
        let (at, bit) = (flip * journal.len() / flips, flip % 8);
        let mut damaged = journal.clone();
        damaged[at] ^= 1 << bit;
        // Opening for a change reads as looking does, and takes its time to write.
        let check = if flip % 30 == 0 { check } else { look };
        told += usize::from(check(&bed, &state, &damaged, &whole, &format!("bit {bit} of byte {at}")));
    }
    assert_eq!(told, flips);
}

/// A cut is what a crash in the middle of a write leaves: the records before it count, all of them, and it is seen that a
/// run was cut off.
#[test]
fn every_cut_leaves_all_records_before_it() {
    let (bed, state, journal) = bed_with_journal();
    for cut in 0..journal.len() {
        put_back(&bed, &state, &journal[..cut]);
        let lines = journal[..cut].split(|byte| *byte == b'\n').count() - 1;
        let recovered = match cut % 40 {
            0 => std::mem::take(&mut bed.store().recovered),
            // Opening for a change reads as looking does, and takes its time to write.
            _ => peek(&bed.state_path(), &Arc::default()).expect("the state is as it was").recovered,
        };
        assert_eq!(recovered.records, lines.saturating_sub(1), "{cut}");
        assert!(recovered.journal.is_some() && !recovered.is_incomplete(), "{cut}");
        assert_eq!(recovered.is_torn, cut > 0 && journal[cut - 1] != b'\n', "{cut}");
    }
}

/// What lies there instead of several records is no record that was only half written.
#[test]
fn no_end_that_was_written_over_is_taken_for_a_cut() {
    let (bed, state, journal) = bed_with_journal();
    put_back(&bed, &state, &journal);
    let whole = without_serial(bed.store().state());
    for from in (1..journal.len()).step_by(7) {
        // Also what a text may have.
        for byte in [0, 0xff, 0x1b, b'A', b'a', b'0', b' ', b'"', b':'] {
            let mut damaged = journal.clone();
            damaged[from..].fill(byte);
            assert!(look(&bed, &state, &damaged, &whole, &format!("{byte} from {from}")), "{byte} from {from}");
        }
    }
}

/// Lines and blocks that are missing, zeroed, doubled or swapped.
#[test]
fn no_lost_part_is_lost_without_a_word() {
    let (bed, state, journal) = bed_with_journal();
    put_back(&bed, &state, &journal);
    let whole = without_serial(bed.store().state());
    let lines: Vec<&[u8]> = journal.split_inclusive(|byte| *byte == b'\n').collect();
    // The last one may as well never have been written.
    for idx in 0..lines.len() - 1 {
        let without: Vec<&[u8]> = [&lines[..idx], &lines[idx + 1..]].concat();
        assert!(check(&bed, &state, &without.concat(), &whole, &format!("without line {idx}")));
        let mut doubled = lines.clone();
        doubled.insert(idx, lines[idx]);
        check(&bed, &state, &doubled.concat(), &whole, &format!("line {idx} twice"));
        let mut swapped = lines.clone();
        swapped.swap(idx, idx + 1);
        check(&bed, &state, &swapped.concat(), &whole, &format!("line {idx} after the next"));
    }
    for start in (0..journal.len()).step_by(64) {
        let mut zeroed = journal.clone();
        let end = (start + 512).min(journal.len());
        zeroed[start..end].fill(0);
        // A last line that is zeroed whole is one that was being written.
        if end < journal.len() {
            assert!(check(&bed, &state, &zeroed, &whole, &format!("zeros from {start}")));
        }
    }
}

#[test]
fn what_checks_counts_and_what_does_not_is_named() {
    let (bed, state, journal) = bed_with_journal();
    let lines: Vec<&[u8]> = journal.split_inclusive(|byte| *byte == b'\n').collect();
    // Line 3 of the file: the record that thing.a was made.
    let at = lines[..2].concat().len() + 70 + br#"{"n":2,"object""#.len();
    let mut damaged = journal.clone();
    damaged[at] ^= 1;
    put_back(&bed, &state, &damaged);
    let store = bed.store();
    assert_eq!(store.recovered.damage, ["line 3: its checksum does not fit; it seems to be about thing.a (put)"]);
    // That it was being made is known from the line before; all others count.
    assert_eq!(store.state().unfinished.keys().map(ToString::to_string).collect::<Vec<_>>(), ["thing.a"]);
    assert_eq!(store.state().instances.len(), 3);
    assert_eq!(store.recovered.records, 11);
}

#[test]
fn without_its_first_line_a_journal_still_says_whose_it_is() {
    let (bed, state, journal) = bed_with_journal();
    let mut damaged = journal.clone();
    damaged[3] ^= 1;
    put_back(&bed, &state, &damaged);
    assert_eq!(bed.store().state().instances.len(), 4);
    // And beside another state nothing of it counts.
    let other = String::from_utf8(state).expect("text").replace("\"lineage\": \"", "\"lineage\": \"other-");
    put_back(&bed, other.as_bytes(), &damaged);
    let store = bed.store();
    assert!(store.recovered.is_foreign);
    assert_eq!(store.state().instances.len(), 2);
}

#[test]
fn two_journals_in_one_file_are_told_apart() {
    let (bed, state, journal) = bed_with_journal();
    let other = Bed::new();
    cut_off(&other, &[Record::Put { addr: addr("thing.theirs"), instance: instance() }]);
    let theirs = std::fs::read(other.folder.path().join("terraform.tfstate.journal")).expect("a journal");
    for both in [[&journal[..], &theirs[..]].concat(), [&theirs[..], &journal[..]].concat()] {
        put_back(&bed, &state, &both);
        let store = bed.store();
        assert!(store.recovered.is_incomplete());
        assert!(
            store.recovered.damage.iter().any(|line| line.contains("thing.theirs")),
            "{:?}",
            store.recovered.damage
        );
        let names: BTreeSet<String> = store.state().instances.keys().map(ToString::to_string).collect();
        assert!(names.len() == 4 && !names.contains("thing.theirs"), "{names:?}");
    }
}

#[test]
fn journals_that_are_set_aside_are_all_kept() {
    let (bed, state, journal) = bed_with_journal();
    let text = String::from_utf8(state).expect("text");
    put_back(&bed, text.as_bytes(), b"");
    for lineage in ["one", "two", "three"] {
        let journal = String::from_utf8(journal.clone()).expect("text");
        std::fs::write(bed.folder.path().join("terraform.tfstate.journal"), journal).expect("written");
        std::fs::write(bed.state_path(), text.replace("\"lineage\": \"", &format!("\"lineage\": \"{lineage}-")))
            .expect("written");
        assert!(bed.store().recovered.is_foreign);
    }
    assert_eq!(rejected(&bed), [journal.clone(), journal.clone(), journal]);
}

/// Of a new state, which has no file yet.
#[test]
fn the_journal_of_a_new_state_gives_it_its_lineage() {
    let bed = Bed::new();
    let records = ["thing.a", "thing.b"].map(|name| Record::Put { addr: addr(name), instance: instance() });
    cut_off(&bed, &records);
    let path = bed.folder.path().join("terraform.tfstate.journal");
    let mut journal = std::fs::read(&path).expect("a journal");
    journal[2] ^= 4;
    std::fs::write(&path, &journal).expect("written");
    let store = bed.store();
    assert_eq!((store.state().instances.len(), store.recovered.is_incomplete()), (2, true));
}

#[test]
fn a_journal_that_is_there_is_not_written_over() {
    let bed = Bed::new();
    let mut store = bed.store();
    let path = bed.folder.path().join("terraform.tfstate.journal");
    std::fs::write(&path, "another's").expect("written");
    assert!(store.record(Record::Put { addr: addr("thing.a"), instance: instance() }).is_err());
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), "another's");
    // It is known all the same, for the end of the run.
    assert_eq!(store.state().instances.len(), 1);
    assert!(store.unwritten().is_some());
    drop(store);
    assert!(Store::open(&bed.state_path(), "test", &Arc::default()).expect("opens").recovered.is_incomplete());
}

/// What was done is written as soon as that is possible again; what was to be begun meanwhile was not.
#[test]
fn what_was_done_waits_for_the_journal_and_what_is_begun_does_not() {
    let bed = Bed::new();
    let path = bed.folder.path().join("terraform.tfstate.journal");
    let intent = |name: &str| Record::Intent { addr: addr(name), planned: instance() };
    let mut store = bed.store();
    std::fs::create_dir(&path).expect("in the way");
    store.stage(Record::Put { addr: addr("thing.a"), instance: instance() });
    assert!(store.commit(vec![intent("thing.b")]).is_err());
    std::fs::remove_dir(&path).expect("out of the way");
    store.commit(vec![intent("thing.c")]).expect("recorded");
    assert!(store.unwritten().is_none());
    drop(store);
    let store = Store::open(&bed.state_path(), "test", &Arc::default()).expect("opens");
    assert!(store.state().instances.keys().eq([&addr("thing.a")]));
    assert!(store.state().unfinished.keys().eq([&addr("thing.c")]));
    assert!(!store.recovered.is_incomplete());
}

/// Of a state that is encrypted so are the records, each for itself; a journal that nobody can decrypt is told and kept.
#[test]
fn records_are_encrypted_as_the_state_is() {
    let bed = Bed::new();
    let seal = |passphrase: &str| {
        let key = Pbkdf2 {
            address: "key_provider.pbkdf2.one".to_owned(),
            passphrase: passphrase.to_owned(),
            key_length: 32,
            iterations: 200_000,
            salt_length: 32,
            hash: Hash::Sha512,
        };
        Arc::new(Seal::new(Methods(vec![Method::AesGcm { key: Box::new(key), aad: Vec::new() }])))
    };
    let (path, journal) = (bed.state_path(), bed.folder.path().join("terraform.tfstate.journal"));
    let secret = instance().attributes.to_string();
    let ours = seal("a passphrase of ours");
    {
        let mut store = Store::open(&path, "test", &ours).expect("the state opens");
        for name in ["thing.a", "thing.b"] {
            store.record(Record::Put { addr: addr(name), instance: instance() }).expect("recorded");
        }
    }
    let text = std::fs::read_to_string(&journal).expect("a journal");
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(!text.contains("thing.a") && !text.contains(&secret) && text.contains("\"sealed\""), "{text}");
    // Whoever has another key, or none, changes nothing.
    for other in [seal("a passphrase of others"), Arc::default()] {
        let refused = [
            peek(&path, &other).expect_err("refused").to_string(),
            Store::open(&path, "test", &other).expect_err("refused").to_string(),
        ];
        assert!(refused.iter().all(|refused| refused.contains("cannot be decrypted")), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&journal).expect("a journal"), text);
    }
    // Nor is a record believed that anybody could have written.
    let plain = cut_off_records(&bed, &[Record::Remove { addr: addr("thing.a") }]);
    std::fs::write(&journal, plain).expect("written");
    assert!(peek(&path, &ours).expect_err("refused").to_string().contains("it is not encrypted"));
    // The line before it is not needed to read a line.
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&journal, format!("{}\n{}\n", lines[0], lines[2])).expect("written");
    let view = peek(&path, &ours).expect("a look");
    assert_eq!((view.state.instances.len(), view.recovered.is_incomplete()), (1, true));
    std::fs::write(&journal, &text).expect("written");
    let store = Store::open(&path, "test", &ours).expect("the state opens");
    assert_eq!((store.recovered.records, store.state().instances.len()), (2, 2));
    let written = std::fs::read_to_string(&path).expect("a state");
    assert!(written.contains("\"encrypted_data\"") && !written.contains("thing"), "{written}");
}

/// The text of a journal that is not encrypted.
fn cut_off_records(bed: &Bed, records: &[Record]) -> Vec<u8> {
    let other = Bed::new();
    cut_off(&other, records);
    assert_ne!(other.state_path(), bed.state_path());
    std::fs::read(other.folder.path().join("terraform.tfstate.journal")).expect("a journal")
}
