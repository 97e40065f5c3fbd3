//! Small stores for crash tests: files of a handful of records, so that every edge comes soon.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use broker_dev::store::{FlushMode, Put, PutMessage, Store, StoreError, StoreOptions};
use oxmq::clock::{Clock, Sleep};

use crate::journal::body;

/// When these stores live, ms since the Unix epoch.
pub const NOW_MS: i64 = 1_700_000_000_000;

/// Topics of these stores: short, retry, and one whose records have the long form.
pub const TOPICS: [&str; 3] = ["T", "%RETRY%group", LONG];
const LONG: &str = "a-topic-with-a-name-that-is-longer-than-one-hundred-and-twenty-seven-bytes-so-\
    that-its-records-have-two-bytes-for-the-length-of-the-topic";

/// A clock that only its owner moves.
#[derive(Debug)]
pub struct StillClock(AtomicI64);

impl StillClock {
    /// A clock that stands `ms` after [`NOW_MS`].
    pub fn at(ms: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(NOW_MS + ms)))
    }

    /// Moves it.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now_ms().unsigned_abs())
    }

    fn sleep_until(&self, _deadline: Duration) -> Sleep {
        Box::pin(std::future::pending())
    }
}

/// How such a store is opened: it syncs on its own only if it `is_busy`, and then all the time.
pub fn options(root: &Path, flush: FlushMode, is_busy: bool) -> StoreOptions {
    let interval = if is_busy { Duration::from_millis(1) } else { Duration::from_secs(3_600) };
    StoreOptions {
        root: root.to_path_buf(),
        commit_log_file_bytes: 4_096,
        consume_queue_file_bytes: 200,
        flush,
        flush_interval: interval,
        checkpoint_interval: interval,
        index_slots: 64,
        index_entries: 512,
        ..StoreOptions::default()
    }
}

/// Where the message of a number goes, in lives whose queues follow from the number.
pub fn queue_of(number: u64) -> (&'static str, i32) {
    let mut random = fastrand::Rng::with_seed(!number);
    (TOPICS[random.usize(..TOPICS.len())], random.i32(0..2))
}

/// Puts the messages of these numbers, in one turn.
///
/// # Errors
/// The store's.
pub fn put(store: &Store, messages: &[(u64, &str, i32)]) -> Result<Vec<Put>, StoreError> {
    let bodies: Vec<_> = messages.iter().map(|(number, ..)| body(*number)).collect();
    let properties: Vec<_> = messages
        .iter()
        .map(|(number, ..)| format!("TAGS\u{1}a\u{2}KEYS\u{1}k{number}\u{2}"))
        .collect();
    let messages: Vec<_> = messages
        .iter()
        .zip(bodies.iter().zip(&properties))
        .map(|((_, topic, queue_id), (body, properties))| PutMessage {
            topic,
            queue_id: *queue_id,
            flag: 0,
            sys_flag: 0,
            born_timestamp: NOW_MS,
            born_host: ([127, 0, 0, 1], 40_000).into(),
            store_host: ([127, 0, 0, 1], 10_911).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body,
            properties,
        })
        .collect();
    let mut puts = Vec::new();
    store.put(&messages, &mut puts)?;
    Ok(puts)
}
