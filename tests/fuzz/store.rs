//! A small store in memory with some bytes in place of one of its files.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;

use broker_dev::store::disk::{Disk, MemoryDisk, Open};
use broker_dev::store::{GetLimits, PutMessage, Store, StoreError, StoreOptions};
use oxmq::clock::VirtualClock;

pub const NOW_MS: i64 = 1_700_000_000_000;
const MESSAGES: i64 = 12;

pub fn open_on(disk: Arc<MemoryDisk>) -> Result<Arc<Store>, StoreError> {
    let options = StoreOptions {
        root: "/store".into(),
        commit_log_file_bytes: 4_096,
        consume_queue_file_bytes: 200,
        index_slots: 64,
        index_entries: 512,
        ..StoreOptions::default()
    };
    Store::open(options, Arc::new(VirtualClock::new(NOW_MS)), disk, Arc::new(()))
}

fn readable(store: &Store) -> usize {
    let (mut offset, mut count) = (store.min_offset("T", 0), 0);
    while offset < store.max_offset("T", 0) {
        let limits = GetLimits { max_messages: 32, max_bytes: 1 << 20 };
        let result = store.get("T", 0, offset, limits, &|_| true);
        assert!(result.next_begin_offset > offset);
        (offset, count) = (result.next_begin_offset, count + result.count);
    }
    count
}

/// Puts messages, ends as a kill would, replaces a file, and opens again. All but the log and the
/// config may be anything: no message is lost by it.
pub fn open_with(name: &str, bytes: &[u8]) {
    let disk = Arc::new(MemoryDisk::with_folder(Path::new("/")).unwrap());
    let store = open_on(disk.clone()).unwrap();
    let body = [b'x'; 400];
    for _ in 0..MESSAGES {
        let message = PutMessage {
            topic: "T",
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp: NOW_MS,
            born_host: ([127, 0, 0, 1], 1).into(),
            store_host: ([127, 0, 0, 1], 1).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &body,
            properties: "KEYS\u{1}k\u{2}",
        };
        store.put(&[message], &mut Vec::new()).unwrap();
    }
    drop(store);
    let path = Path::new("/store").join(name);
    disk.create_dir_all(path.parent().unwrap()).unwrap();
    let file = disk.open(&path, Open::Any).unwrap();
    disk.set_length(&file, bytes.len() as u64).unwrap();
    disk.write_at(&file, 0, bytes).unwrap();
    drop(file);
    let is_derived = !name.starts_with("commitlog") && !name.starts_with("config");
    match open_on(disk) {
        Ok(store) => {
            let count = readable(&store);
            assert!(!is_derived || count == MESSAGES as usize, "{count} of {MESSAGES} are left");
            let _ = store.query("T", "k", 64, 0, i64::MAX).unwrap();
        }
        Err(error) => {
            assert!(!is_derived, "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
