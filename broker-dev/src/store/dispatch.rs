//! From the log to what is derived from it: RocketMQ's "reput".
//!
//! It follows the append at once. Whoever made the log longer tries the dispatch lock; the holder
//! dispatches up to the log's end, for itself and for all who came meanwhile. Nobody waits and
//! nothing polls; see [`hand_over`](super::hand_over).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use oxmq::protocol::message::record::Record;

use super::StoreEvents;
use super::commit_log::CommitLog;
use super::error::StoreError;
use super::hand_over::HandOver;
pub(crate) use super::hand_over::Run;
pub(crate) use super::recovery::LogView;

/// Bytes of log dispatched between two looks at who is waiting.
const TURN_BYTES: i64 = 1 << 20;

/// Messages that became readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The topic.
    pub topic: Arc<str>,
    /// Its queue.
    pub queue_id: i32,
    /// The queue's end after them.
    pub max_offset: i64,
    /// The tag code that they share, or for delayed ones the delivery time.
    pub tags_code: i64,
    /// Store time of the first of them, ms since the Unix epoch.
    pub store_timestamp: i64,
}

/// Something that is derived from the log: consume queues, index files, and whatever else can be
/// made again from the records.
///
/// Its life: [`begin_recovery`](Self::begin_recovery), then `accept` for each record that recovery's
/// pass meets from the offset asked for, [`finish_recovery`](Self::finish_recovery), then `accept`
/// for each new record in the log's order. If a pass has to start over, it begins again.
pub(crate) trait DispatchSink: std::fmt::Debug + Send + Sync {
    /// Takes in one record. The same one may come again, after an error or a restart: the second
    /// time changes nothing.
    fn accept(
        &self,
        record: &Record<'_>,
        length: u32,
        arrived: &mut Vec<Arrived>,
    ) -> Result<(), StoreError>;

    /// A turn is over: what was put off until more has come is done now. The turn's records come
    /// again after an error.
    fn end_turn(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Hands what was taken in so far to the operating system, if it is only in memory. What fails
    /// can be tried again.
    fn write_out(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Brings what was taken in so far to the disk.
    fn sync(&self) -> Result<(), StoreError>;

    /// Opens its files and tells from which log offset on it must see the records again.
    ///
    /// What it holds of records before `certain` is on the disk as it was written; what it holds of
    /// later ones may be torn or missing, and is let go. After a clean close `certain` is
    /// `i64::MAX`. `i64::MAX` as an answer means that nothing is needed.
    fn begin_recovery(&self, log: &LogView<'_>, certain: i64) -> Result<i64, StoreError> {
        let _ = (log, certain);
        Ok(i64::MAX)
    }

    /// The pass is over and the log goes from `min` to `end`: lets go of what points elsewhere.
    fn finish_recovery(&self, min: i64, end: i64) -> Result<(), StoreError> {
        let _ = (min, end);
        Ok(())
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Dispatcher {
    sinks: Vec<Arc<dyn DispatchSink>>,
    turns: HandOver<Vec<Arrived>>,
    last_store_ms: AtomicI64,
    is_stalled: AtomicBool,
}

impl Dispatcher {
    /// A dispatcher that has done everything before `position`.
    pub(crate) fn new(
        sinks: Vec<Arc<dyn DispatchSink>>,
        position: i64,
        last_store_ms: i64,
    ) -> Self {
        Self {
            sinks,
            turns: HandOver::new(Vec::new(), position),
            last_store_ms: AtomicI64::new(last_store_ms),
            is_stalled: AtomicBool::new(false),
        }
    }

    /// Offset before which everything is dispatched.
    pub(crate) fn position(&self) -> i64 {
        self.turns.position()
    }

    /// Store time of a record before [`position`](Self::position), if read before it.
    pub(crate) fn last_store_ms(&self) -> i64 {
        self.last_store_ms.load(Ordering::Acquire)
    }

    /// Whether the last turn failed, so that records stand in the log that cannot be read yet.
    pub(crate) fn is_stalled(&self) -> bool {
        self.is_stalled.load(Ordering::Acquire)
    }

    /// Hands what the sinks took in to the operating system.
    pub(crate) fn write_out(&self) -> Result<(), StoreError> {
        self.sinks.iter().try_for_each(|sink| sink.write_out())
    }

    /// Brings what the sinks took in to the disk.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.sinks.iter().try_for_each(|sink| sink.sync())
    }

    /// Dispatches up to `limit()`, unless somebody else is at it.
    ///
    /// # Errors
    /// A sink's; the record is tried again by the next run.
    pub(crate) fn run(
        &self,
        log: &CommitLog,
        limit: impl Fn() -> i64,
        events: &dyn StoreEvents,
    ) -> Result<Run, StoreError> {
        self.turns.run(limit, |arrived, from, to| self.take_turn(log, from, to, arrived, events))
    }

    /// Waits for whoever is at it, then dispatches everything up to `limit`.
    pub(crate) fn run_to_end(
        &self,
        log: &CommitLog,
        limit: i64,
        events: &dyn StoreEvents,
    ) -> Result<(), StoreError> {
        let turn = |arrived: &mut _, from, to| self.take_turn(log, from, to, arrived, events);
        self.turns.run_to_end(limit, turn)
    }

    /// Dispatches some of `at..limit`; returns how far it came.
    fn take_turn(
        &self,
        log: &CommitLog,
        mut at: i64,
        limit: i64,
        arrived: &mut Vec<Arrived>,
        events: &dyn StoreEvents,
    ) -> (i64, Result<(), StoreError>) {
        let begin = at;
        let end = limit.min(at.saturating_add(TURN_BYTES));
        let mut result = Ok(());
        while at < end && result.is_ok() {
            result = self.dispatch_file(log, &mut at, end, arrived);
        }
        if result.is_ok() {
            result = self.sinks.iter().try_for_each(|sink| sink.end_turn());
            at = if result.is_ok() { at } else { begin };
        }
        self.is_stalled.store(result.is_err(), Ordering::Release);
        if !arrived.is_empty() {
            events.dispatched(arrived);
            arrived.clear();
        }
        (at, result)
    }

    /// Dispatches records of the file that holds `at`, and moves `at` past them.
    fn dispatch_file(
        &self,
        log: &CommitLog,
        at: &mut i64,
        end: i64,
        arrived: &mut Vec<Arrived>,
    ) -> Result<(), StoreError> {
        let Some((file, mut place)) = log.files().find(*at) else {
            *at = end;
            return Ok(());
        };
        let bytes = file.bytes();
        while *at < end {
            let rest = bytes.get(place..).unwrap_or_default();
            let Ok(Some((record, length))) = Record::decode(rest) else {
                // The blank at the file's end: what is published is sound up to it.
                *at = file.start() + file.length() as i64;
                return Ok(());
            };
            let record_length = u32::try_from(length).unwrap_or(u32::MAX);
            for sink in &self.sinks {
                sink.accept(&record, record_length, arrived)?;
            }
            self.last_store_ms.store(record.store_timestamp, Ordering::Release);
            place += length;
            *at += length as i64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::store::disk::RealDisk;
    use crate::store::{PutMessage, Store, StoreOptions};

    /// What was told, a list a call.
    #[derive(Debug, Default)]
    struct Calls(Mutex<Vec<Vec<(i32, i64)>>>);

    impl StoreEvents for Calls {
        fn dispatched(&self, arrived: &[Arrived]) {
            let told = arrived.iter().map(|arrived| (arrived.queue_id, arrived.max_offset));
            self.0.lock().unwrap().push(told.collect());
        }
    }

    #[test]
    fn whoever_waits_is_told_once_a_turn_and_once_a_queue() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            root: folder.path().to_path_buf(),
            commit_log_file_bytes: 1 << 20,
            ..StoreOptions::default()
        };
        let calls = Arc::new(Calls::default());
        let clock = oxmq::clock::SystemClock::shared();
        let store = Store::open(options, clock, Arc::new(RealDisk), calls.clone()).unwrap();
        let message = |queue_id| PutMessage {
            topic: "T",
            queue_id,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1,
            born_host: ([127, 0, 0, 1], 1000).into(),
            store_host: ([127, 0, 0, 1], 10911).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"body",
            properties: "",
        };
        let turn: Vec<_> = (0..100).map(|n| message(n / 50)).collect();
        store.put(&turn, &mut Vec::new()).unwrap();
        store.put(&turn, &mut Vec::new()).unwrap();
        assert_eq!(*calls.0.lock().unwrap(), [[(0, 50), (1, 50)], [(0, 100), (1, 100)]]);
    }
}
