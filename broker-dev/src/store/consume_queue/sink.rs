//! From the log to the queues: the units of each record.

use std::sync::{Arc, PoisonError};

use oxmq::protocol::message::properties::{self, name};
use oxmq::protocol::message::record::Record;
use oxmq::protocol::message::sys_flag;

use super::ext::Extension;
use super::multi::{self, LIGHT_QUEUE};
use super::queue::{Appended, ConsumeQueue, Entry, QueueKind};
use super::table::QueueTable;
use super::unit::{self, Unit};
use crate::store::Arrived;
use crate::store::dispatch::DispatchSink;
use crate::store::error::StoreError;

/// Whether a record holds a batch of messages.
pub(crate) fn is_inner_batch(record: &Record<'_>) -> bool {
    record.sys_flag & sys_flag::INNER_BATCH != 0
}

/// Messages in a record of a batch queue.
fn message_count(record: &Record<'_>) -> i64 {
    if !is_inner_batch(record) {
        return 1;
    }
    let count = properties::find(record.properties, name::INNER_NUM);
    count.and_then(|count| count.parse::<i16>().ok()).map_or(1, |count| i64::from(count.max(1)))
}

impl QueueTable {
    fn entry_of(&self, kind: QueueKind, record: &Record<'_>, length: u32) -> Entry {
        let unit = Unit {
            physical_offset: record.physical_offset,
            length: i32::try_from(length).unwrap_or(i32::MAX),
            tags_code: unit::tags_code(record, &self.delay_levels_ms),
        };
        let (count, time) = match kind {
            QueueKind::Simple => (1, None),
            QueueKind::Batch => (message_count(record), Some(record.store_timestamp)),
        };
        Entry { offset: record.queue_offset, count, unit, store_timestamp: time }
    }

    /// Puts a record's unit into its queue.
    pub(crate) fn append(
        &self,
        queue: &Arc<ConsumeQueue>,
        record: &Record<'_>,
        length: u32,
    ) -> Result<(Appended, Entry), StoreError> {
        let entry = self.entry_of(queue.kind(), record, length);
        let extension = queue.ext.is_some().then(|| Extension {
            tags_code: entry.unit.tags_code,
            store_timestamp: record.store_timestamp,
            bits: Vec::new(),
        });
        let appended = queue.append(&entry, extension.as_ref())?;
        if appended == Appended::Added {
            self.note_dirty(queue);
        }
        Ok((appended, entry))
    }
}

impl QueueTable {
    /// Puts a record's unit into the further queue that it stands in.
    pub(crate) fn append_light(
        &self,
        queue: &Arc<ConsumeQueue>,
        offset: i64,
        record: &Record<'_>,
        length: u32,
    ) -> Result<(Appended, Entry), StoreError> {
        let entry = Entry { offset, ..self.entry_of(QueueKind::Simple, record, length) };
        let appended = queue.append(&entry, None)?;
        if appended == Appended::Added {
            self.note_dirty(queue);
        }
        Ok((appended, entry))
    }

    fn accept_light(
        &self,
        record: &Record<'_>,
        length: u32,
        arrived: &mut Vec<Arrived>,
    ) -> Result<(), StoreError> {
        for (topic, offset) in multi::places(record) {
            if self.deleted().is_over(topic, record.physical_offset) {
                continue;
            }
            let queue = self.get_or_create(topic, LIGHT_QUEUE)?;
            let (_, entry) = self.append_light(&queue, offset, record, length)?;
            arrived.push(Arrived {
                topic: Arc::clone(queue.topic()),
                queue_id: LIGHT_QUEUE,
                max_offset: offset + 1,
                tags_code: entry.unit.tags_code,
                store_timestamp: record.store_timestamp,
            });
        }
        Ok(())
    }
}

impl DispatchSink for QueueTable {
    fn accept(
        &self,
        record: &Record<'_>,
        length: u32,
        arrived: &mut Vec<Arrived>,
    ) -> Result<(), StoreError> {
        if !sys_flag::is_queued(record.sys_flag) {
            return Ok(());
        }
        if self.behind_bytes() > self.most_behind_bytes {
            self.write_out()?;
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = match recent.get(record.topic, record.queue_id) {
            Some(queue) => Arc::clone(queue),
            None if self.deleted().is_over(record.topic, record.physical_offset) => return Ok(()),
            None => {
                let queue = self.get_or_create(record.topic, record.queue_id)?;
                recent.remember(Arc::clone(&queue));
                queue
            }
        };
        let (_, entry) = self.append(&queue, record, length)?;
        if self.multi_dispatch() {
            self.accept_light(record, length, arrived)?;
        }
        let max_offset = entry.offset + entry.count;
        let tags_code = entry.unit.tags_code;
        match arrived.last_mut() {
            Some(last)
                if last.queue_id == record.queue_id
                    && last.tags_code == tags_code
                    && *last.topic == *record.topic =>
            {
                last.max_offset = max_offset;
            }
            _ => arrived.push(Arrived {
                topic: Arc::clone(queue.topic()),
                queue_id: record.queue_id,
                max_offset,
                tags_code,
                store_timestamp: record.store_timestamp,
            }),
        }
        Ok(())
    }

    fn write_out(&self) -> Result<(), StoreError> {
        Self::write_out(self)
    }

    fn sync(&self) -> Result<(), StoreError> {
        Self::sync(self)
    }
}
