//! Stores to look at.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_dev::store::disk::RealDisk;
use broker_dev::store::tools::{Folder, Verification, VerifyOptions, verify};
use broker_dev::store::{PutMessage, Store, StoreOptions};
use oxmq::clock::VirtualClock;

pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// Options of small files.
pub(crate) fn options(root: &Path) -> StoreOptions {
    StoreOptions {
        root: root.to_path_buf(),
        commit_log_file_bytes: 16 * 1024,
        consume_queue_file_bytes: 400,
        index_slots: 50,
        index_entries: 200,
        ..StoreOptions::default()
    }
}

pub(crate) fn open(root: &Path) -> Arc<Store> {
    let clock = Arc::new(VirtualClock::new(START_MS));
    Store::open(options(root), clock, Arc::new(RealDisk), Arc::new(())).unwrap()
}

pub(crate) fn put(store: &Store, topic: &str, queue_id: i32, key: &str, body: &[u8]) {
    let properties = format!("KEYS\u{1}{key}\u{2}UNIQ_KEY\u{1}U{key}\u{2}TAGS\u{1}TagA\u{2}");
    let message = PutMessage {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: START_MS,
        born_host: ([127, 0, 0, 1], 1000).into(),
        store_host: ([127, 0, 0, 1], 10911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: &properties,
    };
    store.put(&[message], &mut Vec::new()).unwrap();
}

/// A cleanly closed store: 60 messages of `orders` in three queues, 5 of `other`.
pub(crate) fn store(root: &Path) {
    let store = open(root);
    for n in 0..60 {
        put(&store, "orders", n % 3, &format!("order-{n}"), &[b'a' + (n % 26) as u8; 700]);
    }
    for n in 0..5 {
        put(&store, "other", 0, &format!("other-{n}"), b"short");
    }
    store.close().unwrap();
}

pub(crate) fn folder(root: &Path) -> Folder {
    Folder::open(root, &[], Arc::new(RealDisk)).unwrap()
}

pub(crate) fn verified(root: &Path) -> Verification {
    verify(&folder(root), &VerifyOptions::default(), &()).unwrap()
}

/// The files of a folder inside the store, in order.
pub(crate) fn files(root: &Path, dir: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join(dir))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// Changes a file's bytes.
pub(crate) fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}
