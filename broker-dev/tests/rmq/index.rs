//! Index files after a crash, and on a disk that has no room for them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_dev::store::disk::RealDisk;
use broker_dev::store::{Put, Store, StoreError, StoreOptions};
use oxmq::clock::VirtualClock;
use oxmq::protocol::message::record::Record;

use crate::disk::BrokenFolder;
use crate::world::{NOW_MS, body, copy_into, freeze, message, options};

/// Small enough to be full after some messages.
fn small(root: &Path) -> StoreOptions {
    StoreOptions { index_slots: 20, index_entries: 41, ..options(root) }
}

fn open(root: &Path, clock: &Arc<VirtualClock>) -> Arc<Store> {
    Store::open(small(root), clock.clone(), Arc::new(RealDisk), Arc::new(())).unwrap()
}

fn try_put(store: &Store, number: usize) -> Result<Put, StoreError> {
    let properties = format!("KEYS\u{1}key-{number}\u{2}UNIQ_KEY\u{1}unique-{number}\u{2}");
    let mut out = Vec::new();
    store.put(&[message("T", 0, &body(number), &properties)], &mut out)?;
    Ok(out[0])
}

/// Both keys of the messages lead to them, and to nothing else.
fn assert_found(store: &Store, numbers: impl Iterator<Item = usize>) {
    for number in numbers {
        for key in [format!("key-{number}"), format!("unique-{number}")] {
            let found = store.query("T", &key, 32, 0, i64::MAX).unwrap();
            assert_eq!(found.records.len(), 1, "{key}");
            let (record, _) = Record::decode(&found.records[0]).unwrap().unwrap();
            assert_eq!(record.body, body(number), "{key}");
        }
    }
}

fn index_files(root: &Path) -> usize {
    fs::read_dir(root.join("index")).map_or(0, |files| files.count())
}

/// A store that lived for a while, a message a second, and wrote checkpoints on the way; and the
/// index as it was after 30 messages.
async fn filled(root: &Path) -> tempfile::TempDir {
    let clock = Arc::new(VirtualClock::new(NOW_MS));
    let mut store = open(root, &clock);
    let mut early = None;
    for number in 0..110 {
        try_put(&store, number).unwrap();
        clock.advance(Duration::from_secs(1)).await;
        if number == 30 {
            // A checkpoint of the index as it is now.
            store.close().unwrap();
            drop(store);
            early = Some(freeze(root));
            store = open(root, &clock);
        }
    }
    assert!(index_files(root) > 2);
    early.unwrap()
}

/// After a crash Apache's broker threw an index file away if its last entry was younger than the
/// index's checkpoint, and with it all its entries from before the checkpoint. Recovery only put
/// back those of the records that it happened to pass.
#[tokio::test]
async fn rmq_3868_an_index_file_that_was_written_after_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let clock = Arc::new(VirtualClock::new(NOW_MS + 1_000_000));
    // Killed twice in a row, the second time right after the start.
    for _ in 0..2 {
        let store = open(folder.path(), &clock);
        assert!(!store.recovery().is_clean);
        assert_found(&store, 0..110);
    }
}

/// The same for a power cut: of the newest files only some pages reached the disk.
#[tokio::test]
async fn rmq_3868_an_index_file_of_which_a_part_reached_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let early = filled(folder.path()).await;
    let clock = Arc::new(VirtualClock::new(NOW_MS + 1_000_000));
    let frozen = freeze(folder.path());
    // The index of the last checkpoint, and files behind it that were made but never written.
    for entry in fs::read_dir(frozen.path().join("index")).unwrap() {
        let path = entry.unwrap().path();
        let length = path.metadata().unwrap().len();
        fs::write(path, vec![0; usize::try_from(length).unwrap()]).unwrap();
    }
    copy_into(&early.path().join("index"), &frozen.path().join("index"));
    let store = open(frozen.path(), &clock);
    assert_found(&store, 0..110);
}

/// Apache's broker removed the last index file whenever it had not been stopped cleanly: the
/// messages that had been sent earliest could no longer be found.
#[tokio::test]
async fn rmq_8007_the_last_index_file_is_kept_when_the_broker_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(VirtualClock::new(NOW_MS));
    // All in one index file, over many files of the log.
    let large = |root: &Path| StoreOptions { index_entries: 4_000, ..small(root) };
    let open = |root: &Path| {
        Store::open(large(root), clock.clone(), Arc::new(RealDisk), Arc::new(())).unwrap()
    };
    let store = open(folder.path());
    for number in 0..200 {
        try_put(&store, number).unwrap();
    }
    store.flush().unwrap();
    store.close().unwrap();
    drop(store);
    let store = open(folder.path());
    for number in 200..260 {
        try_put(&store, number).unwrap();
    }
    drop(store);
    let name = |root: &Path| {
        let mut files = fs::read_dir(root.join("index")).unwrap();
        (files.next().unwrap().unwrap().file_name(), files.next().is_none())
    };
    let before = name(folder.path());
    let store = open(folder.path());
    assert!(!store.recovery().is_clean);
    assert_found(&store, 0..260);
    assert_eq!(name(folder.path()), before, "the same file");
}

/// Each message for which Apache's broker could not make an index file left a file behind that it
/// never looked at again: 420 MB each, until the disk was full.
#[tokio::test]
async fn rmq_7539_an_index_file_that_cannot_be_made_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(VirtualClock::new(NOW_MS));
    let disk = Arc::new(BrokenFolder::new(folder.path().join("index")));
    let open =
        || Store::open(small(folder.path()), clock.clone(), disk.clone(), Arc::new(())).unwrap();
    let store = open();
    try_put(&store, 0).unwrap();
    disk.set_broken(true);
    let mut stored = vec![0];
    for number in 1..200 {
        clock.advance(Duration::from_millis(7)).await;
        if try_put(&store, number).is_ok() {
            stored.push(number);
        }
    }
    assert!(disk.refused() > 0);
    assert!(index_files(folder.path()) <= 1, "{} files", index_files(folder.path()));
    // With room again all goes on: what was stored is found, and what is stored now.
    disk.set_broken(false);
    for number in 200..230 {
        clock.advance(Duration::from_millis(7)).await;
        try_put(&store, number).unwrap();
        stored.push(number);
    }
    assert_found(&store, stored.iter().copied());
    let count = stored.len();
    assert_eq!(store.max_offset("T", 0), count as i64, "no message is stored that was refused");
    drop(store);
    assert_found(&open(), stored.iter().copied());
}
