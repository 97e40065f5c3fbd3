//! Small stores, their files, and what is in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker_dev::store::disk::{Disk, RealDisk};
use broker_dev::store::{GetLimits, Put, PutMessage, Store, StoreOptions};
use oxmq::clock::VirtualClock;
use oxmq::protocol::message::record;

/// Bytes of a commit-log file: a handful of records.
pub(crate) const LOG_FILE_BYTES: u64 = 4096;
/// Bytes of a consume-queue file: ten units.
pub(crate) const QUEUE_FILE_BYTES: u64 = 200;
/// When these stores live, ms since the Unix epoch.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// All that can be read: bodies by queue and offset.
pub(crate) type Contents = BTreeMap<(String, i32, i64), String>;

pub(crate) fn options(root: &Path) -> StoreOptions {
    StoreOptions {
        root: root.to_path_buf(),
        commit_log_file_bytes: LOG_FILE_BYTES,
        consume_queue_file_bytes: QUEUE_FILE_BYTES,
        // What has to be written back in these tests, they write back themselves.
        flush_interval: Duration::from_secs(3600),
        checkpoint_interval: Duration::from_secs(3600),
        index_slots: 64,
        index_entries: 512,
        ..StoreOptions::default()
    }
}

pub(crate) fn open_on(root: &Path, disk: Arc<dyn Disk>, now_ms: i64) -> Arc<Store> {
    Store::open(options(root), Arc::new(VirtualClock::new(now_ms)), disk, Arc::new(())).unwrap()
}

pub(crate) fn open(root: &Path) -> Arc<Store> {
    open_on(root, Arc::new(RealDisk), NOW_MS)
}

pub(crate) fn message<'a>(
    topic: &'a str,
    queue_id: i32,
    body: &'a [u8],
    properties: &'a str,
) -> PutMessage<'a> {
    PutMessage {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: NOW_MS,
        born_host: ([127, 0, 0, 1], 40_000).into(),
        store_host: ([127, 0, 0, 1], 10_911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

pub(crate) fn put(store: &Store, topic: &str, queue_id: i32, body: &[u8]) -> Put {
    let mut out = Vec::new();
    store.put(&[message(topic, queue_id, body, "TAGS\u{1}a\u{2}")], &mut out).unwrap();
    out[0]
}

/// Puts numbered bodies of 100 bytes on one queue and tells where they are.
pub(crate) fn fill(store: &Store, topic: &str, numbers: std::ops::Range<usize>) -> Vec<Put> {
    numbers.map(|number| put(store, topic, 0, &body(number))).collect()
}

/// A body without zero bytes that tells its number.
pub(crate) fn body(number: usize) -> Vec<u8> {
    let mut body = format!("message {number} ").into_bytes();
    body.resize(100, b'a' + (number % 26) as u8);
    body
}

/// What a body tells of itself: its text without the padding.
pub(crate) fn told(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.rsplit_once(' ').map_or(&*text, |(told, _)| told).to_owned()
}

/// Reads everything, and checks on the way that each record says what its place says.
pub(crate) fn contents(store: &Store) -> Contents {
    let mut contents = Contents::new();
    for (topic, queue_id) in store.queues() {
        let mut offset = store.min_offset(&topic, queue_id);
        while offset < store.max_offset(&topic, queue_id) {
            let limits = GetLimits { max_messages: 7, max_bytes: 2_000 };
            let result = store.get(&topic, queue_id, offset, limits, &|_| true);
            assert!(result.next_begin_offset > offset, "{:?} at {offset}", result.status);
            for record in result.segments.iter().flat_map(|segment| record::iter(segment)) {
                let record = record.unwrap();
                record.verify_crc().unwrap();
                assert_eq!((record.topic, record.queue_id), (&*topic, queue_id));
                let key = (topic.to_string(), queue_id, record.queue_offset);
                assert_eq!(contents.insert(key, told(record.body)), None, "given twice");
            }
            offset = result.next_begin_offset;
        }
    }
    contents
}

/// What a queue of `topic` holds if the bodies from 0 on were stored in it.
pub(crate) fn numbered(topic: &str, count: usize) -> Contents {
    (0..count).map(|number| ((topic.to_owned(), 0, number as i64), told(&body(number)))).collect()
}

/// Copies a folder as it is now, as a crash at this moment would leave it.
pub(crate) fn freeze(from: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(from, copy.path());
    copy
}

pub(crate) fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The consume queues become those of an earlier moment: what was dispatched since is forgotten.
pub(crate) fn roll_back(folder: &str, to: &Path, root: &Path) {
    fs::remove_dir_all(root.join(folder)).unwrap();
    copy_into(&to.join(folder), &root.join(folder));
}

/// The file of a queue that holds a unit, and the byte of the unit in it.
pub(crate) fn queue_place(root: &Path, topic: &str, offset: i64) -> (PathBuf, usize) {
    let at = offset as u64 * 20;
    let start = at - at % QUEUE_FILE_BYTES;
    let folder = root.join("consumequeue").join(topic).join("0");
    (folder.join(format!("{start:020}")), (at - start) as usize)
}

/// Zeros the log from an offset on, in this file and those behind it, as if it had never arrived.
pub(crate) fn lose_log_from(root: &Path, offset: i64) {
    let start = offset - offset % LOG_FILE_BYTES as i64;
    for entry in fs::read_dir(root.join("commitlog")).unwrap() {
        let path = entry.unwrap().path();
        let own: i64 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        if own > start {
            fs::remove_file(path).unwrap();
        } else if own == start {
            edit(&path, |bytes| bytes[(offset - start) as usize..].fill(0));
        }
    }
}

/// Changes bytes of a file.
pub(crate) fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Makes a cleanly closed folder one that was killed after everything was written, its checkpoint
/// included.
pub(crate) fn mark_killed(root: &Path) {
    fs::write(root.join("abort"), b"1").unwrap();
}

/// Makes a cleanly closed folder one whose machine went down before any checkpoint.
pub(crate) fn mark_crashed(root: &Path) {
    mark_killed(root);
    fs::remove_file(root.join("checkpoint")).unwrap();
}
