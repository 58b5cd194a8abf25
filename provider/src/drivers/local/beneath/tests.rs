use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;

const PLAIN: Wanted = Wanted { mode: 0o640, owner: None };
const OPEN: Wanted = Wanted { mode: 0o750, owner: None };

/// A machine's folder, and beside it a file that is none of its business.
fn machine() -> (tempfile::TempDir, Folder, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::create_dir(scratch.path().join("m")).unwrap();
    let victim = scratch.path().join("victim");
    std::fs::write(&victim, "root's own").unwrap();
    let folder = Folder::at(&scratch.path().join("m")).unwrap();
    (scratch, folder, victim)
}

fn untouched(victim: &Path) {
    let metadata = std::fs::symlink_metadata(victim).unwrap();
    assert!(metadata.is_file());
    assert_eq!((metadata.nlink(), std::fs::read_to_string(victim).unwrap().as_str()), (1, "root's own"));
}

#[test]
fn a_path_leads_down_and_nowhere_else() {
    let (scratch, folder, victim) = machine();
    for path in [victim.to_str().unwrap(), "../victim", "a/../../victim", "", ".", "./a", "/"] {
        for error in [
            folder.read(path, 10).err(),
            folder.write(path, b"x", PLAIN).err(),
            folder.replace(path, PLAIN).err(),
            folder.make(path, OPEN).err(),
            folder.remove(path).err(),
            folder.remove_file(path).err(),
            folder.socket(path).err(),
            folder.enter(path).err(),
        ] {
            assert_eq!(error.unwrap().kind(), ErrorKind::InvalidInput, "{path}");
        }
    }
    untouched(&victim);
    drop(scratch);
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let (scratch, folder, victim) = machine();
    let link = scratch.path().join("m/link");
    let plant = || symlink(&victim, &link).unwrap();
    plant();
    assert!(folder.read("link", 100).is_err());
    assert!(folder.tail("link", 100).is_err());
    assert!(folder.socket("link").is_err());
    folder.write("link", b"ours", PLAIN).unwrap();
    assert_eq!(folder.read("link", 100).unwrap().content, b"ours");
    folder.remove("link").unwrap();
    plant();
    folder.replace("link", PLAIN).unwrap().write_all(b"log").unwrap();
    assert_eq!(std::fs::read(&link).unwrap(), b"log");
    folder.remove_file("link").unwrap();
    plant();
    folder.remove("link").unwrap();
    assert!(!link.exists());
    untouched(&victim);
}

#[test]
fn a_link_in_the_place_of_a_folder_is_not_entered() {
    let (scratch, folder, victim) = machine();
    let outside = scratch.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("kept"), "kept").unwrap();
    symlink(&outside, scratch.path().join("m/etc")).unwrap();
    assert!(folder.read("etc/kept", 100).is_err());
    assert!(folder.write("etc/new", b"x", PLAIN).is_err());
    folder.remove("etc/kept").unwrap();
    folder.remove_file("etc/kept").unwrap();
    // Where a folder has to be, the link gives way.
    folder.make("etc", OPEN).unwrap();
    folder.write("etc/new", b"x", PLAIN).unwrap();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    // A tree with links in it goes, and what they lead to stays.
    symlink(&outside, scratch.path().join("m/etc/link")).unwrap();
    folder.remove("etc").unwrap();
    assert!(folder.names().unwrap().is_empty());
    assert_eq!(std::fs::read_to_string(outside.join("kept")).unwrap(), "kept");
    untouched(&victim);
}

/// Reading waits for nobody, and reads no more than was asked for.
#[test]
fn pipes_folders_and_large_files_are_not_read() {
    let (scratch, folder, _) = machine();
    rustix::fs::mkfifoat(&folder.handle, "pipe", Mode::RUSR | Mode::WUSR).unwrap();
    std::fs::create_dir(scratch.path().join("m/folder")).unwrap();
    std::fs::write(scratch.path().join("m/large"), vec![b'x'; 1000]).unwrap();
    for name in ["pipe", "folder"] {
        assert_eq!(folder.read(name, 10).unwrap_err().kind(), ErrorKind::InvalidData, "{name}");
    }
    assert_eq!(folder.read("large", 999).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(folder.read("large", 1000).unwrap().content.len(), 1000);
    assert_eq!(folder.tail("large", 10).unwrap(), b"xxxxxxxxxx");
    for name in ["pipe", "folder"] {
        folder.write(name, b"ours", PLAIN).unwrap();
        assert_eq!(folder.read(name, 10).unwrap().content, b"ours", "{name}");
    }
}

/// Who may write in a folder can give a foreign file a name in it, where the kernel allows that.
#[test]
fn a_second_name_of_a_file_is_not_read_in_a_folder_of_somebody_elses() {
    let (scratch, folder, victim) = machine();
    let link = scratch.path().join("m/run/pid");
    folder.make("run", OPEN).unwrap();
    std::fs::hard_link(&victim, &link).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(scratch.path().join("m/run"), Some(65534), None).unwrap();
        assert_eq!(folder.read("run/pid", 100).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(folder.tail("run/pid", 100).unwrap_err().kind(), ErrorKind::InvalidData);
        let owner = Owner { uid: 1, gid: 1 };
        folder.hand_over(0, owner, 3).unwrap();
        assert_eq!(std::fs::metadata(&victim).unwrap().uid(), 0);
    }
    folder.replace("run/pid", PLAIN).unwrap().write_all(b"1").unwrap();
    untouched(&victim);
}

#[test]
fn however_deep_a_tree_is_it_goes() {
    let (_scratch, folder, _) = machine();
    let mut deep = folder.make("tree", OPEN).unwrap();
    for level in 0..3000 {
        deep.replace("file", PLAIN).unwrap();
        deep = deep.make(if level % 2 == 0 { "a" } else { "b" }, OPEN).unwrap();
    }
    folder.remove("tree").unwrap();
    assert!(folder.names().unwrap().is_empty());
}

/// Somebody puts a link in a folder's place, and takes it away, all the while.
#[test]
fn a_folder_that_becomes_a_link_meanwhile_leads_nowhere() {
    let (scratch, folder, victim) = machine();
    let outside = scratch.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "kept").unwrap();
    symlink(&outside, scratch.path().join("m/link")).unwrap();
    folder.make("etc", OPEN).unwrap();
    let (is_over, swaps) = (std::sync::atomic::AtomicBool::new(false), Folder::at(&scratch.path().join("m")).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = rustix::fs::renameat_with(&swaps.handle, "etc", &swaps.handle, "link", exchange);
            }
        });
        for _ in 0..2000 {
            let _ = folder.write("etc/file", b"ours", PLAIN);
            let _ = folder.replace("etc/other", PLAIN);
            let _ = folder.remove_file("etc/file");
            let _ = folder.remove("etc/other");
            assert!(folder.read("etc/file", 100).map_or(true, |found| found.content == b"ours"));
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "kept");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    untouched(&victim);
}

#[test]
fn files_and_folders_are_as_they_are_wanted() {
    let (scratch, folder, _) = machine();
    folder.make("a/b", OPEN).unwrap();
    folder.write("a/b/c", b"x", PLAIN).unwrap();
    let mode = |name: &str| std::fs::metadata(scratch.path().join("m").join(name)).unwrap().permissions().mode();
    assert_eq!((mode("a/b") & 0o7777, mode("a/b/c") & 0o7777), (0o750, 0o640));
    std::fs::set_permissions(scratch.path().join("m/a"), std::fs::Permissions::from_mode(0o777)).unwrap();
    folder.make("a/b", OPEN).unwrap();
    assert_eq!(mode("a") & 0o7777, 0o750);
    assert!(folder.read("a/b/c", 10).unwrap().is(PLAIN));
    assert!(!folder.read("a/b/c", 10).unwrap().is(OPEN));
}
