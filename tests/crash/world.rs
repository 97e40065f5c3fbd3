//! Small stores, and what is in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_dev::store::disk::{Disk, RealDisk};
use broker_dev::store::{
    FlushMode, GetLimits, GetStatus, Put, PutMessage, Store, StoreError, StoreOptions,
};
use oxmq::clock::VirtualClock;
use oxmq::protocol::message::record;

/// Bytes of a commit-log file: a handful of records each.
pub(crate) const LOG_FILE_BYTES: u64 = 4096;
/// When these stores live, ms since the Unix epoch.
const NOW_MS: i64 = 1_700_000_000_000;

/// All that can be read: bodies by queue and offset.
pub(crate) type Contents = BTreeMap<(String, i32, i64), Vec<u8>>;

pub(crate) fn options(root: &Path) -> StoreOptions {
    StoreOptions {
        root: root.to_path_buf(),
        commit_log_file_bytes: LOG_FILE_BYTES,
        consume_queue_file_bytes: 200,
        // Whatever has to be synced in these tests, they sync themselves.
        flush_interval: std::time::Duration::from_secs(3600),
        checkpoint_interval: std::time::Duration::from_secs(3600),
        index_slots: 64,
        index_entries: 512,
        ..StoreOptions::default()
    }
}

pub(crate) fn sync_options(root: &Path) -> StoreOptions {
    StoreOptions { flush: FlushMode::Sync, ..options(root) }
}

pub(crate) fn open_on(
    options: StoreOptions,
    disk: Arc<dyn Disk>,
    now_ms: i64,
) -> Result<Arc<Store>, StoreError> {
    Store::open(options, Arc::new(VirtualClock::new(now_ms)), disk, Arc::new(()))
}

pub(crate) fn open(root: &Path) -> Arc<Store> {
    open_on(options(root), Arc::new(RealDisk), NOW_MS).unwrap()
}

pub(crate) fn open_at(root: &Path, now_ms: i64) -> Arc<Store> {
    open_on(options(root), Arc::new(RealDisk), NOW_MS + now_ms).unwrap()
}

pub(crate) fn message<'a>(topic: &'a str, queue_id: i32, body: &'a [u8]) -> PutMessage<'a> {
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
        properties: "TAGS\u{1}a\u{2}",
    }
}

pub(crate) fn put(
    store: &Store,
    topic: &str,
    queue_id: i32,
    body: &[u8],
) -> Result<Put, StoreError> {
    let mut out = Vec::new();
    store.put(&[message(topic, queue_id, body)], &mut out)?;
    Ok(out[0])
}

/// Puts `messages` numbered bodies of `bytes` bytes on two queues and tells where they are.
pub(crate) fn fill(store: &Store, messages: usize, bytes: usize) -> Vec<Put> {
    (0..messages).map(|n| put(store, "T", (n % 2) as i32, &body(n, bytes)).unwrap()).collect()
}

/// A body without zero bytes that tells its number.
pub(crate) fn body(number: usize, bytes: usize) -> Vec<u8> {
    let mut body = format!("message {number} ").into_bytes();
    body.resize(body.len().max(bytes), b'a' + (number % 26) as u8);
    body
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
            let mut count = 0;
            for segment in &result.segments {
                for record in record::iter(segment) {
                    let record = record.unwrap();
                    record.verify_crc().unwrap();
                    assert_eq!((record.topic, record.queue_id), (&*topic, queue_id));
                    let key = (topic.to_string(), queue_id, record.queue_offset);
                    assert!((offset..result.next_begin_offset).contains(&record.queue_offset));
                    contents.insert(key, record.body.to_vec());
                    count += 1;
                }
            }
            assert_eq!(count, result.count);
            assert_eq!(result.status == GetStatus::Found, count > 0);
            offset = result.next_begin_offset;
        }
    }
    contents
}

/// Copies a folder as it is now.
pub(crate) fn freeze(from: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(from, copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
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

/// The commit-log file that holds an offset, and the byte in it.
pub(crate) fn log_place(root: &Path, offset: i64) -> (PathBuf, usize) {
    let bytes = LOG_FILE_BYTES as i64;
    let start = offset - offset % bytes;
    (root.join("commitlog").join(format!("{start:020}")), (offset - start) as usize)
}

/// Changes bytes of a file.
pub(crate) fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}
