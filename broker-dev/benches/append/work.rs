//! The work that is timed: in fresh folders on the disk that `target` is on; page faults count.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker_dev::store::bare::BareCopy;
use broker_dev::store::disk::RealDisk;
use broker_dev::store::{PutMessage, Store, StoreOptions};
use oxmq::clock::{Clock, SystemClock};

/// Bytes of a message's body.
pub(crate) const BODY_BYTES: usize = 1024;
const FILE_BYTES: u64 = 64 << 20;
const PROPERTIES: &str = "UNIQ_KEY\u{1}7F0000010001000000000000000012AB\u{2}TAGS\u{1}paid\u{2}\
    KEYS\u{1}order-42\u{2}WAIT\u{1}true\u{2}CLUSTER\u{1}DefaultCluster\u{2}";
const TOPIC: &str = "orders";

/// An ordinary message.
pub(crate) fn message(body: &[u8], queue_id: i32) -> PutMessage<'_> {
    message_to(TOPIC, queue_id, body)
}

/// A message like any other.
pub(crate) fn message_to<'a>(topic: &'a str, queue_id: i32, body: &'a [u8]) -> PutMessage<'a> {
    PutMessage {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: ([127, 0, 0, 1], 40_000).into(),
        store_host: ([127, 0, 0, 1], 10_911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: PROPERTIES,
    }
}

/// Bytes of the record of such a message.
const RECORD_BYTES: usize = 91 + BODY_BYTES + TOPIC.len() + PROPERTIES.len();

/// A folder on the disk that stores live on, not in a temporary file system in memory.
pub(crate) fn folder() -> tempfile::TempDir {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    tempfile::tempdir_in(target).expect("a folder in target/")
}

fn timed(work: impl FnOnce()) -> Duration {
    let clock = SystemClock::new();
    work();
    clock.monotonic()
}

/// Copies so many records.
pub(crate) fn bare(messages: usize) -> Duration {
    let folder = folder();
    let file_bytes = usize::try_from(FILE_BYTES).expect("64 bits");
    let mut copy = BareCopy::new(folder.path(), file_bytes, Arc::new(RealDisk)).expect("a file");
    let record = vec![7; RECORD_BYTES];
    timed(|| (0..messages).for_each(|_| copy.append(&record).expect("room")))
}

/// Stores so many messages, `a_turn` at a time, from so many threads. Their queue is always
/// written, index files if asked for.
pub(crate) fn store(messages: usize, a_turn: usize, writers: usize, with_index: bool) -> Duration {
    let folder = folder();
    let options = StoreOptions {
        root: folder.path().to_path_buf(),
        commit_log_file_bytes: FILE_BYTES,
        message_index: with_index,
        ..StoreOptions::default()
    };
    let store = Store::open(options, SystemClock::shared(), Arc::new(RealDisk), Arc::new(()))
        .expect("a store");
    let body = vec![7; BODY_BYTES];
    timed(|| {
        std::thread::scope(|scope| {
            for writer in 0..writers {
                let (store, body) = (&store, &body);
                scope.spawn(move || {
                    let mut out = Vec::with_capacity(a_turn);
                    let queue = i32::try_from(writer).unwrap_or(0);
                    let turn: Vec<_> = (0..a_turn).map(|_| message(body, queue)).collect();
                    for _ in 0..messages / a_turn / writers {
                        out.clear();
                        store.put(&turn, &mut out).expect("stored");
                    }
                });
            }
        });
    })
}
