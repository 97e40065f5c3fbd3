use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const ROOT: &str = "/disk";

fn disk() -> MemoryDisk {
    MemoryDisk::with_folder(Path::new(ROOT)).unwrap()
}

fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

fn names(disk: &MemoryDisk) -> Vec<String> {
    let mut names: Vec<_> =
        disk.read_dir(Path::new(ROOT)).unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

#[test]
fn it_behaves_like_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disks: [(Box<dyn Disk>, PathBuf); 2] =
        [(Box::new(RealDisk), folder.path().to_path_buf()), (Box::new(disk()), ROOT.into())];
    let outcomes = disks.map(|(disk, root)| {
        let at = |name: &str| root.join(name);
        let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
        let mut outcomes = vec![kind(disk.open(&at("a"), Open::Existing).map(drop))];
        outcomes.push(kind(disk.open(&at("none/a"), Open::New).map(drop)));
        outcomes.push(kind(disk.open(&at("a"), Open::New).map(drop)));
        outcomes.push(kind(disk.open(&at("a"), Open::New).map(drop)));
        let file = disk.open(&at("a"), Open::Any).unwrap();
        outcomes.push(kind(disk.set_length(&file, 3_000)));
        outcomes.push(kind(disk.write_at(&file, 1_000, b"bytes")));
        outcomes.push(kind(disk.reserve(&file, 0, 3_000)));
        outcomes.push(kind(disk.zero(&file, 1_001, 1_003)));
        outcomes.push(kind(disk.create_dir_all(&at("b/c"))));
        outcomes.push(kind(disk.rename(&at("a"), &at("b/d"))));
        outcomes.push(kind(disk.rename(&at("a"), &at("e"))));
        outcomes.push(kind(disk.remove_file(&at("a"))));
        outcomes.push(kind(disk.read(&at("b")).map(drop)));
        outcomes.push(kind(disk.read_dir(&at("a")).map(drop)));
        outcomes.push(kind(disk.read_dir(&at("b/d")).map(drop)));
        outcomes.push(kind(disk.sync_dir(&at("b"))));
        outcomes.push(kind(disk.sync_data(&file)));
        let lock = disk.lock(&at("lock"));
        outcomes.push(kind(disk.lock(&at("lock")).map(drop)));
        drop(lock);
        outcomes.push(kind(disk.lock(&at("lock")).map(drop)));
        let mut entries = disk.read_dir(&at("b")).unwrap();
        entries.iter_mut().filter(|entry| entry.is_dir).for_each(|entry| entry.length = 0);
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        (outcomes, entries, disk.read(&at("b/d")).unwrap())
    });
    assert_eq!(outcomes[0], outcomes[1]);
}

#[test]
fn what_is_not_synced_may_be_lost_and_what_is_synced_never() {
    let disk = disk();
    let file = disk.open(&path("f"), Open::New).unwrap();
    disk.sync_dir(Path::new(ROOT)).unwrap();
    disk.set_length(&file, 2_048).unwrap();
    disk.write_at(&file, 0, &[1; 1_024]).unwrap();
    disk.sync_data(&file).unwrap();
    disk.write_at(&file, 512, &[2; 1_536]).unwrap();
    let frozen = disk.freeze().unwrap();
    disk.write_at(&file, 0, &[3; 2_048]).unwrap();
    let mut kinds = BTreeSet::new();
    for seed in 0..200 {
        let bytes = frozen.after_power_cut(seed).unwrap().read(&path("f")).unwrap();
        let sectors: Vec<_> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        assert_eq!(sectors[0], 1);
        kinds.insert(sectors);
    }
    assert_eq!(kinds.len(), 8, "every subset of three sectors: {kinds:?}");
    let all = frozen.killed().unwrap().read(&path("f")).unwrap();
    assert_eq!((all[0], all[512], all[2_047]), (1, 2, 2));
}

#[test]
fn names_last_once_their_folder_is_synced() {
    let disk = disk();
    disk.open(&path("old"), Open::New).unwrap();
    disk.sync_dir(Path::new(ROOT)).unwrap();
    disk.rename(&path("old"), &path("new")).unwrap();
    disk.create_dir_all(&path("folder")).unwrap();
    disk.open(&path("folder/inside"), Open::New).unwrap();
    disk.sync_dir(&path("folder")).unwrap();
    let frozen = disk.freeze().unwrap();
    let lost = frozen.after_power_cut(0).unwrap();
    assert_eq!(names(&lost), ["old"]);
    assert!(lost.read(&path("folder/inside")).is_err(), "its folder was never synced");
    let mut seen: Vec<_> =
        (0..100).map(|seed| names(&frozen.after_power_cut(seed).unwrap())).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4, "either name, with the folder and without: {seen:?}");
    disk.sync_dir(Path::new(ROOT)).unwrap();
    let kept = disk.freeze().unwrap().after_power_cut(0).unwrap();
    assert_eq!(names(&kept), ["folder", "new"]);
    assert_eq!(kept.read(&path("folder/inside")).unwrap(), b"");
}

#[test]
fn a_lie_shows_after_a_power_cut() {
    for lie in [Lie::SyncData, Lie::HalfSyncData, Lie::SyncDir, Lie::Write] {
        let disk = disk();
        disk.lie(Some(lie));
        let file = disk.open(&path("f"), Open::New).unwrap();
        disk.write_at(&file, 0, &[1; 1_024]).unwrap();
        disk.sync_data(&file).unwrap();
        disk.sync_dir(Path::new(ROOT)).unwrap();
        let cut = disk.freeze().unwrap().after_power_cut(0).unwrap();
        assert_ne!(cut.read(&path("f")).ok(), Some(vec![1; 1_024]), "{lie:?}");
    }
}

#[test]
fn a_watch_sees_every_change() {
    let disk = disk();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    disk.watch(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let file = disk.open(&path("f"), Open::New).unwrap();
    disk.sync_data(&file).unwrap();
    disk.remove_file(&path("f")).unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 3);
}
