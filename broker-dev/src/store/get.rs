//! Reading messages of a queue.

use bytes::Bytes;
use oxmq::protocol::message::record::Record;

use super::commit_log::Place;
use super::consume_queue::{ConsumeQueue, Entry, Extension};
use super::engine::Store;

/// Bytes of units looked at in one call, unless the caller asks for more messages than that.
const SCAN_BYTES: usize = 16_000;

/// Bytes from the first old message of a read on that the kernel is asked to bring in: the next
/// reads of the same consumer then find them.
const READ_AHEAD: usize = 1 << 20;

/// Bounds of one [`Store::get`]. The first message comes whatever its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetLimits {
    /// Most messages.
    pub max_messages: usize,
    /// Most bytes of records.
    pub max_bytes: usize,
}

/// Bounds of one [`Store::get_within`]: old messages, which may have to come from the disk, are
/// given out in smaller portions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferLimits {
    /// Bounds while the messages are new.
    pub in_memory: GetLimits,
    /// Bounds once one is old.
    pub on_disk: GetLimits,
    /// Bytes from the log's end on that count as new.
    pub in_memory_bytes: i64,
}

impl From<GetLimits> for TransferLimits {
    fn from(limits: GetLimits) -> Self {
        Self { in_memory: limits, on_disk: limits, in_memory_bytes: i64::MAX }
    }
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

    /// Whether the message may be taken, by what the extension files know of it, if they do.
    fn passes_extension(&self, extension: &Extension) -> bool {
        let _ = extension;
        true
    }

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
        self.get_within(topic, queue_id, offset, limits.into(), filter)
    }

    /// Reads as [`get`](Self::get) does, with other limits for old messages.
    pub fn get_within(
        &self,
        topic: &str,
        queue_id: i32,
        offset: i64,
        limits: TransferLimits,
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
        limits: TransferLimits,
        filter: &dyn MessageFilter,
        result: &mut GetResult,
    ) {
        let log = &self.shared().log;
        let Some(entries) = queue.scan(result.next_begin_offset) else {
            result.status = GetStatus::OffsetFoundNull;
            result.next_begin_offset = queue.next_file(result.next_begin_offset);
            return;
        };
        let unit_bytes = queue.kind().unit_bytes();
        let most_units = (SCAN_BYTES / unit_bytes).max(limits.in_memory.max_messages);
        let old_before = log.end().saturating_sub(limits.in_memory_bytes);
        let mut segments = Segments::default();
        // Records before this log offset are gone.
        let mut gone_before = i64::MIN;
        for entry in entries.take(most_units).take_while(|entry| entry.offset < result.max_offset) {
            let unit = entry.unit;
            let is_old = unit.physical_offset < old_before;
            let within = if is_old { limits.on_disk } else { limits.in_memory };
            if is_full(result, &entry, within) {
                break;
            }
            result.next_begin_offset = entry.offset + entry.count;
            if !unit.is_record() || unit.physical_offset < gone_before {
                continue;
            }
            let (tags_code, extension) = queue.extension(&unit);
            let may_pass = tags_code.is_none_or(|code| filter.passes_code(code))
                && extension.is_none_or(|extension| filter.passes_extension(&extension));
            if !may_pass {
                if result.count == 0 {
                    result.status = GetStatus::NoMatchedMessage;
                }
                continue;
            }
            let length = usize::try_from(unit.length).unwrap_or(0);
            match log.place(unit.physical_offset, length) {
                Some(place) if !passes(filter, &place) => {
                    if result.count == 0 {
                        result.status = GetStatus::NoMatchedMessage;
                    }
                }
                Some(place) => {
                    if is_old && result.count == 0 {
                        let from = place.range.start;
                        place.file.read_ahead(from..from.saturating_add(READ_AHEAD));
                    }
                    result.count += usize::try_from(entry.count).unwrap_or(1);
                    result.bytes += length;
                    segments.add(place);
                }
                None => {
                    if result.count == 0 {
                        result.status = GetStatus::MessageWasRemoving;
                    }
                    // One damaged record costs no other; a file that is gone is gone for all.
                    gone_before = log.min();
                }
            }
        }
        result.segments = segments.finish();
        if result.count > 0 {
            result.status = GetStatus::Found;
        }
    }
}

/// Whether another record would be too much.
fn is_full(so_far: &GetResult, entry: &Entry, limits: GetLimits) -> bool {
    let messages = usize::try_from(entry.count).unwrap_or(1);
    let length = usize::try_from(entry.unit.length).unwrap_or(0);
    so_far.count > 0
        && (so_far.count + messages > limits.max_messages
            || so_far.bytes.saturating_add(length) > limits.max_bytes)
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
