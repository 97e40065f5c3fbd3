//! Questions about offsets and times.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::consume_queue::{ConsumeQueue, Entry, QueueKind};
use super::engine::Store;
use super::error::StoreError;

/// Which message a time stands for, where none has exactly that time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Boundary {
    /// The first message stored at or after it.
    #[default]
    Lower,
    /// The last message stored at or before it.
    Upper,
}

impl Store {
    fn queue(&self, topic: &str, queue_id: i32) -> Option<Arc<ConsumeQueue>> {
        self.shared().table.get(topic, queue_id)
    }

    /// Offset of a queue's first message; 0 for a queue that never had one.
    pub fn min_offset(&self, topic: &str, queue_id: i32) -> i64 {
        self.queue(topic, queue_id).map_or(0, |queue| queue.min())
    }

    /// Offset after a queue's last readable message.
    pub fn max_offset(&self, topic: &str, queue_id: i32) -> i64 {
        self.queue(topic, queue_id).map_or(0, |queue| queue.max())
    }

    /// All queues that have or had messages: topic and queue id, in no order.
    pub fn queues(&self) -> Vec<(Arc<str>, i32)> {
        self.shared().table.names()
    }

    /// All topics that have or had messages, in no order.
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.shared().table.topics()
    }

    /// Ids of the queues of a topic that have or had messages, in order.
    pub fn queues_of(&self, topic: &str) -> Vec<i32> {
        self.shared().table.ids_of(topic)
    }

    /// Says what the queues of a topic that has none yet are to be like.
    ///
    /// # Errors
    /// [`StoreError::BadOptions`] if it has queues of another kind.
    pub fn set_queue_kind(&self, topic: &str, kind: QueueKind) -> Result<(), StoreError> {
        self.shared().table.set_kind(topic, kind)
    }

    /// What the queues of a topic are like.
    pub fn queue_kind(&self, topic: &str) -> QueueKind {
        self.shared().table.kind(topic)
    }

    /// When a message was stored, ms since the Unix epoch; `None` if it is not there.
    pub fn store_time(&self, topic: &str, queue_id: i32, offset: i64) -> Option<i64> {
        self.time_at(&*self.queue(topic, queue_id)?, offset)
    }

    /// When the first message of a queue was stored.
    pub fn earliest_store_time(&self, topic: &str, queue_id: i32) -> Option<i64> {
        let queue = self.queue(topic, queue_id)?;
        self.time_at(&queue, queue.min())
    }

    /// The record that begins at an offset of the commit log; `None` if none does.
    pub fn record_at(&self, physical_offset: i64) -> Option<Bytes> {
        self.shared().log.record(physical_offset)
    }

    /// The commit log's first offset and its end, bytes.
    pub fn commit_log_range(&self) -> (i64, i64) {
        let log = &self.shared().log;
        (log.min(), log.end())
    }

    /// When the last message was stored, ms since the Unix epoch; 0 if there is none.
    pub fn last_store_timestamp(&self) -> i64 {
        self.shared().log.last_store_ms()
    }

    /// Waits until everything stored so far is on the disk and readable.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`], and what keeps messages from becoming
    /// readable.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.flush()?;
        let shared = self.shared();
        let end = shared.sync.durable();
        shared.dispatcher.run_to_end(&shared.log, end, &*shared.events)
    }

    /// Bytes of the log that are stored but not readable yet.
    pub fn dispatch_behind_bytes(&self) -> i64 {
        let shared = self.shared();
        (shared.log.end() - shared.dispatcher.position()).max(0)
    }

    /// The used part, 0 to 1, of the file systems with the commit log and the consume queues; `None`
    /// if the operating system does not tell.
    pub fn disk_use(&self) -> (Option<f64>, Option<f64>) {
        let shared = self.shared();
        let used = |path: std::path::PathBuf| shared.disk.used_part(&path).ok();
        (used(shared.options.commit_log_dir()), used(shared.options.consume_queue_dir()))
    }

    /// How long an append would wait for its turn now.
    pub fn append_wait(&self) -> Duration {
        let shared = self.shared();
        let asked = shared.clock.monotonic();
        shared.log.between_appends(|_| shared.clock.monotonic()).saturating_sub(asked)
    }

    /// The offset that a time stands for, within the queue's first offset and its end.
    ///
    /// With [`Boundary::Lower`], later than all messages is the queue's end; with
    /// [`Boundary::Upper`], earlier than all is the first offset.
    ///
    /// Source: RocketMQ 5.3.3 `ConsumeQueue.getOffsetInQueueByTime` with the clamp of
    /// `ConsumeQueueStore`. Differs: where a record on the way cannot be read, Apache answers with
    /// the first offset; here it counts as older than the time.
    pub fn offset_by_time(
        &self,
        topic: &str,
        queue_id: i32,
        timestamp: i64,
        boundary: Boundary,
    ) -> i64 {
        let Some(queue) = self.queue(topic, queue_id) else { return 0 };
        let position = queue.first_where(|entry| {
            let time = self.entry_time(entry);
            time.is_some_and(|time| match boundary {
                Boundary::Lower => time >= timestamp,
                Boundary::Upper => time > timestamp,
            })
        });
        let (min, max) = (queue.min(), queue.max());
        let offset = match boundary {
            Boundary::Lower => position.at.map_or(max, |entry| entry.offset),
            Boundary::Upper => position.before.map_or(min, |entry| entry.offset),
        };
        offset.clamp(min, max.max(min))
    }

    fn time_at(&self, queue: &ConsumeQueue, offset: i64) -> Option<i64> {
        if !(queue.min()..queue.max()).contains(&offset) {
            return None;
        }
        let entry = queue.entry(offset).filter(|entry| entry.unit.is_record())?;
        self.entry_time(&entry)
    }

    fn entry_time(&self, entry: &Entry) -> Option<i64> {
        let length = usize::try_from(entry.unit.length).ok()?;
        let of_record = || self.shared().log.store_time(entry.unit.physical_offset, length);
        entry.store_timestamp.or_else(of_record)
    }
}
