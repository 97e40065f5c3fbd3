//! Lives of a store under a journal: one writer puts, flushes and closes; what is left is read and
//! judged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_dev::store::disk::Disk;
use broker_dev::store::{FlushMode, GetLimits, Store, StoreError, StoreOptions};
use oxmq::protocol::message::record;
use oxmq_tests::journal::{Journal, Reading};
use oxmq_tests::small_store::{StillClock, TOPICS, put};

/// A journal that a writer and an observer share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Journal>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Journal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some turns of a writer: batches of different sizes to different queues, flushes between them.
/// A message counts as promised once it is durable.
pub(crate) fn write(
    store: &Store,
    clock: &StillClock,
    journal: &Shared,
    turns: usize,
    random: &mut fastrand::Rng,
) -> Result<(), StoreError> {
    let pace = [0, 1, 400, 2_000][random.usize(..4)];
    for _ in 0..turns {
        clock.advance(random.i64(0..=pace));
        let (topic, queue_id) = (TOPICS[random.usize(..3)], random.i32(0..2));
        let count = if random.u8(..4) == 0 { random.usize(1..5) } else { 1 };
        let messages: Vec<_> = {
            let mut journal = journal.lock();
            (0..count).map(|_| (journal.send(topic, queue_id), topic, queue_id)).collect()
        };
        let puts = put(store, &messages)?;
        for ((number, ..), put) in messages.iter().zip(&puts) {
            journal.lock().answered(*number, put.queue_offset);
        }
        if store.options().flush == FlushMode::Sync || random.u8(..6) == 0 {
            store.flush()?;
            journal.lock().promise_all();
        }
    }
    Ok(())
}

/// Opens a store whose time is `clock`.
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
