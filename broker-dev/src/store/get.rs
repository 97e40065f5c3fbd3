//! Reading messages of a queue.

use bytes::Bytes;
use oxmq::protocol::message::record::Record;

use super::commit_log::Place;
use super::consume_queue::{ConsumeQueue, UNIT_BYTES};
use super::engine::Store;

/// Bytes of units looked at in one call, unless the caller asks for more messages than that.
const SCAN_BYTES: usize = 16_000;

/// Bounds of one [`Store::get`]. The first message comes whatever its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetLimits {
    /// Most messages.
    pub max_messages: usize,
    /// Most bytes of records.
    pub max_bytes: usize,
}

/// Apache's ten outcomes of reading a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GetStatus {
    /// Messages are there.
    Found,
    /// The filter took none of those looked at.
    NoMatchedMessage,
    /// The log has deleted what the queue points at.
    MessageWasRemoving,
    /// The queue has no file for this offset.
    OffsetFoundNull,
    /// The offset is beyond the queue's end.
    OffsetOverflowBadly,
    /// The offset is the queue's end.
    OffsetOverflowOne,
    /// The offset is before the queue's first message.
    OffsetTooSmall,
    /// There is no such queue. The store itself reports
    /// [`NoMessageInQueue`](Self::NoMessageInQueue), since queues are made on demand.
    NoMatchedLogicQueue,
    /// The queue never held a message.
    NoMessageInQueue,
    /// The group's offset was reset by the broker; never reported by the store.
    OffsetReset,
}

impl GetStatus {
    /// Apache's name, which goes into the remark of a pull answer.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Found => "FOUND",
            Self::NoMatchedMessage => "NO_MATCHED_MESSAGE",
            Self::MessageWasRemoving => "MESSAGE_WAS_REMOVING",
            Self::OffsetFoundNull => "OFFSET_FOUND_NULL",
            Self::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
            Self::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
            Self::OffsetTooSmall => "OFFSET_TOO_SMALL",
            Self::NoMatchedLogicQueue => "NO_MATCHED_LOGIC_QUEUE",
            Self::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
            Self::OffsetReset => "OFFSET_RESET",
        }
    }
}

/// Which messages a [`Store::get`] takes. A closure over tag codes is one.
pub trait MessageFilter {
    /// Whether the message with this tag code may be taken; looked at before the message itself.
    fn passes_code(&self, tags_code: i64) -> bool;

    /// Whether [`passes_properties`](Self::passes_properties) is to be asked at all.
    fn looks_at_properties(&self) -> bool {
        false
    }

    /// Whether the message is taken, by its encoded properties.
    fn passes_properties(&self, encoded: &str) -> bool {
        let _ = encoded;
        true
    }
}

impl<F: Fn(i64) -> bool> MessageFilter for F {
    fn passes_code(&self, tags_code: i64) -> bool {
        self(tags_code)
    }
}

/// What a [`Store::get`] found.
#[derive(Debug)]
pub struct GetResult {
    /// What happened.
    pub status: GetStatus,
    /// The offset to go on from.
    pub next_begin_offset: i64,
    /// The queue's first offset.
    pub min_offset: i64,
    /// The queue's end.
    pub max_offset: i64,
    /// Messages found.
    pub count: usize,
    /// Bytes of their records.
    pub bytes: usize,
    /// The records as they stand in the log, in order; neighbours share a segment. They keep the
    /// mapped file alive, so they are to be sent, not kept.
    pub segments: Vec<Bytes>,
}

impl Store {
    /// Reads messages of a queue from `offset` on, those that `filter` takes.
    ///
    /// Source: RocketMQ 5.3.3 `DefaultMessageStore.getMessage`, its statuses in its order.
    pub fn get(
        &self,
        topic: &str,
        queue_id: i32,
        offset: i64,
        limits: GetLimits,
        filter: &dyn MessageFilter,
    ) -> GetResult {
        let queue = self.shared().table.get(topic, queue_id);
        let (min, max) = queue.as_ref().map_or((0, 0), |queue| (queue.min(), queue.max()));
        let nothing = |status, next_begin_offset| GetResult {
            status,
            next_begin_offset,
            min_offset: min,
            max_offset: max,
            count: 0,
            bytes: 0,
            segments: Vec::new(),
        };
        match queue {
            None => nothing(GetStatus::NoMessageInQueue, 0),
            Some(_) if max == 0 => nothing(GetStatus::NoMessageInQueue, 0),
            Some(_) if offset < min => nothing(GetStatus::OffsetTooSmall, min),
            Some(_) if offset == max => nothing(GetStatus::OffsetOverflowOne, offset),
            Some(_) if offset > max => nothing(GetStatus::OffsetOverflowBadly, max),
            Some(queue) => {
                let mut result = nothing(GetStatus::NoMatchedMessage, offset);
                self.collect(&queue, limits, filter, &mut result);
                result
            }
        }
    }

    fn collect(
        &self,
        queue: &ConsumeQueue,
        limits: GetLimits,
        filter: &dyn MessageFilter,
        result: &mut GetResult,
    ) {
        let log = &self.shared().log;
        let Some(stretch) = queue.stretch(result.next_begin_offset) else {
            result.status = GetStatus::OffsetFoundNull;
            result.next_begin_offset = result.max_offset;
            return;
        };
        let most_units = (SCAN_BYTES / UNIT_BYTES).max(limits.max_messages);
        let readable = usize::try_from(result.max_offset - result.next_begin_offset).unwrap_or(0);
        let mut segments = Segments::default();
        for unit in stretch.units().take(most_units.min(readable)) {
            let length = usize::try_from(unit.length).unwrap_or(0);
            let is_full = result.count >= limits.max_messages.max(1)
                || result.bytes.saturating_add(length) > limits.max_bytes;
            if result.count > 0 && is_full {
                break;
            }
            result.next_begin_offset += 1;
            if !unit.is_record() || !filter.passes_code(unit.tags_code) {
                continue;
            }
            match log.place(unit.physical_offset, length) {
                Some(place) if !passes(filter, &place) => {}
                Some(place) => {
                    result.count += 1;
                    result.bytes += length;
                    segments.add(place);
                }
                None if result.count == 0 => result.status = GetStatus::MessageWasRemoving,
                None => {}
            }
        }
        result.segments = segments.finish();
        if result.count > 0 {
            result.status = GetStatus::Found;
        }
    }
}

/// Whether a filter takes the message of a record. One that cannot be read is left to the reader.
fn passes(filter: &dyn MessageFilter, place: &Place) -> bool {
    if !filter.looks_at_properties() {
        return true;
    }
    let bytes = place.file.bytes().get(place.range.clone()).unwrap_or_default();
    match Record::decode(bytes) {
        Ok(Some((record, _))) => filter.passes_properties(record.properties),
        _ => true,
    }
}

/// Joins records that lie side by side.
#[derive(Default)]
struct Segments {
    done: Vec<Bytes>,
    open: Option<Place>,
}

impl Segments {
    fn add(&mut self, place: Place) {
        match &mut self.open {
            Some(open)
                if open.range.end == place.range.start
                    && std::sync::Arc::ptr_eq(&open.file, &place.file) =>
            {
                open.range.end = place.range.end;
            }
            _ => {
                self.close();
                self.open = Some(place);
            }
        }
    }

    fn close(&mut self) {
        if let Some(Place { file, range }) = self.open.take() {
            self.done.extend(file.slice(range));
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.close();
        self.done
    }
}
