//! What is derived from the log, built again from Apache's log and held against Apache's files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use broker_dev::store::disk::RealDisk;
use broker_dev::store::{QueueKind, Store, StoreOptions};
use oxmq::clock::SystemClock;

use super::CRATES;

const QUEUE_FILE_BYTES: u64 = 400;
const BATCH_FILE_BYTES: u64 = 92;
const INDEX_SLOTS: u32 = 50;
const INDEX_ENTRIES: u32 = 64;

/// Settings for Apache's broker under which there are several files of each kind.
pub(crate) fn settings() -> Vec<String> {
    vec![
        format!("mappedFileSizeConsumeQueue={QUEUE_FILE_BYTES}"),
        format!("mapperFileSizeBatchConsumeQueue={BATCH_FILE_BYTES}"),
        format!("maxHashSlotNum={INDEX_SLOTS}"),
        format!("maxIndexNum={INDEX_ENTRIES}"),
    ]
}

/// Takes consume queues, batch queues and index from a store that Apache stopped cleanly, lets our
/// engine build them again from the log, and compares them byte for byte.
pub(crate) fn built_again_are_the_same(store: &Path) {
    let folders = ["consumequeue", "batchconsumequeue", "index"];
    let apaches = folders.map(|folder| files(&store.join(folder)));
    for folder in folders.map(|folder| store.join(folder)).iter().filter(|path| path.exists()) {
        fs::remove_dir_all(folder).unwrap();
    }
    let options = StoreOptions {
        root: store.to_owned(),
        consume_queue_file_bytes: QUEUE_FILE_BYTES,
        batch_queue_file_bytes: BATCH_FILE_BYTES,
        queue_kinds: [(CRATES.to_owned(), QueueKind::Batch)].into(),
        index_slots: INDEX_SLOTS,
        index_entries: INDEX_ENTRIES,
        ..StoreOptions::default()
    };
    let opened =
        Store::open(options, Arc::new(SystemClock::new()), Arc::new(RealDisk), Arc::new(()));
    opened.unwrap().close().unwrap();
    for (folder, apaches) in folders.iter().zip(apaches) {
        let ours = files(&store.join(folder));
        if *folder == "index" {
            // Named after the moment in which they were made.
            let (apaches, ours): (Vec<_>, Vec<_>) =
                (apaches.into_values().collect(), ours.into_values().collect());
            assert_eq!(apaches.len(), ours.len(), "index files");
            assert!(apaches.len() > 2, "several index files: {}", apaches.len());
            for (number, (apache, own)) in apaches.iter().zip(&ours).enumerate() {
                assert_same(&format!("index file {number}"), apache, own);
            }
            continue;
        }
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&apaches), names(&ours), "{folder}");
        for (name, apache) in &apaches {
            assert_same(&format!("{folder}/{name}"), apache, &ours[name]);
        }
    }
}

fn assert_same(what: &str, apache: &[u8], ours: &[u8]) {
    assert_eq!(apache.len(), ours.len(), "length of {what}");
    let first = apache.iter().zip(ours).position(|(left, right)| left != right);
    if let Some(at) = first {
        let part = |bytes: &[u8]| bytes[at..(at + 20).min(bytes.len())].to_vec();
        panic!("{what} differs at byte {at}: {:?}, ours {:?}", part(apache), part(ours));
    }
}

/// Files of a folder and those below it that hold anything, by their path in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            // Either broker may have one ahead of need.
            if bytes.iter().any(|byte| *byte != 0) {
                found.insert(path.strip_prefix(folder).unwrap().display().to_string(), bytes);
            }
        }
    }
    found
}
