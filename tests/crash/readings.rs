//! Lives of a store under a journal: one writer puts, flushes and closes; what is left is read and
//! judged.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker_dev::store::disk::Disk;
use broker_dev::store::{FlushMode, GetLimits, Put, Store, StoreError, StoreOptions};
use oxmq::clock::{Clock, Sleep};
use oxmq::protocol::message::record;
use oxmq_tests::journal::{Journal, Reading, body};

use crate::world::{message, options};

/// Topics of these lives: short, retry, and one whose records have the long form.
const TOPICS: [&str; 3] = ["T", "%RETRY%group", LONG];
const LONG: &str = "a-topic-with-a-name-that-is-longer-than-one-hundred-and-twenty-seven-bytes-so-\
    that-its-records-have-two-bytes-for-the-length-of-the-topic";

/// A clock that only its owner moves.
#[derive(Debug)]
pub(crate) struct StillClock(AtomicI64);

impl StillClock {
    pub(crate) fn at(ms: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_700_000_000_000 + ms)))
    }

    pub(crate) fn advance(&self, ms: i64) {
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

/// How a store of these tests is opened.
pub(crate) fn options_for(root: &Path, flush: FlushMode, is_busy: bool) -> StoreOptions {
    let mut options = StoreOptions { flush, ..options(root) };
    if is_busy {
        options.flush_interval = Duration::from_millis(1);
        options.checkpoint_interval = Duration::from_millis(1);
    }
    options
}

/// A journal that a writer and an observer share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Journal>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Journal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some turns of a writer: batches of different sizes to different queues, flushes between them.
///
/// A message counts as promised once it is durable; with `promises_at_once`, once it is answered.
pub(crate) fn write(
    store: &Store,
    clock: &StillClock,
    journal: &Shared,
    turns: usize,
    random: &mut fastrand::Rng,
    promises_at_once: bool,
) -> Result<(), StoreError> {
    let pace = [0, 1, 400, 2_000][random.usize(..4)];
    for _ in 0..turns {
        clock.advance(random.i64(0..=pace));
        let (topic, queue_id) = (TOPICS[random.usize(..3)], random.i32(0..2));
        let count = if random.u8(..4) == 0 { random.usize(1..5) } else { 1 };
        let numbers: Vec<u64> = {
            let mut journal = journal.lock();
            (0..count).map(|_| journal.send(topic, queue_id)).collect()
        };
        let bodies: Vec<_> = numbers.iter().map(|number| body(*number)).collect();
        let messages: Vec<_> = bodies.iter().map(|body| message(topic, queue_id, body)).collect();
        let mut puts: Vec<Put> = Vec::new();
        store.put(&messages, &mut puts)?;
        {
            let mut journal = journal.lock();
            for (number, put) in numbers.iter().zip(&puts) {
                journal.answered(*number, put.queue_offset);
            }
            if promises_at_once {
                journal.promise_all();
            }
        }
        if store.options().flush == FlushMode::Sync || random.u8(..6) == 0 {
            store.flush()?;
            journal.lock().promise_all();
        }
    }
    Ok(())
}

/// Opens a store, or fails the test.
pub(crate) fn open_store(
    options: StoreOptions,
    disk: Arc<dyn Disk>,
    clock: Arc<StillClock>,
) -> Result<Arc<Store>, StoreError> {
    Store::open(options, clock, disk, Arc::new(()))
}

/// Reads everything, as a consumer does.
pub(crate) fn read(store: &Store) -> Reading {
    let mut reading = Reading::new();
    for (topic, queue_id) in store.queues() {
        let mut offset = store.min_offset(&topic, queue_id);
        let messages = reading.entry((topic.to_string(), queue_id)).or_default();
        while offset < store.max_offset(&topic, queue_id) {
            let limits = GetLimits { max_messages: 32, max_bytes: 4_000 };
            let result = store.get(&topic, queue_id, offset, limits, &|_| true);
            assert!(result.next_begin_offset > offset, "{:?} at {offset}", result.status);
            for record in result.segments.iter().flat_map(|segment| record::iter(segment)) {
                let record = record.unwrap();
                assert_eq!((record.topic, record.queue_id), (&*topic, queue_id));
                messages.push((record.queue_offset, record.body.to_vec()));
            }
            offset = result.next_begin_offset;
        }
    }
    reading
}
