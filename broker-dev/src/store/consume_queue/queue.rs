//! One consume queue: units in files, appended by the dispatch and read by anyone.
//!
//! A simple queue has a unit for each message, so a message's offset says where its unit is. A
//! batch queue has a unit for each record, which may hold several messages: there the unit is
//! looked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::batch::{BATCH_UNIT_BYTES, BatchUnit};
use super::ext::{ExtFiles, Extension, is_address};
use super::files::{Home, QueueFiles};
use super::unit::{UNIT_BYTES, Unit};
use super::window::{Scan, Window};
use crate::store::error::StoreError;

/// Blanks that are added at once.
const BLANKS: usize = 200;

/// What the units of a queue are like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueKind {
    /// One for each message, 20 bytes. RocketMQ: `SimpleCQ`.
    #[default]
    Simple,
    /// One for each record, which may hold several messages, 46 bytes. RocketMQ: `BatchCQ`.
    Batch,
}

impl QueueKind {
    /// Bytes of a unit.
    pub(crate) fn unit_bytes(self) -> usize {
        match self {
            Self::Simple => UNIT_BYTES,
            Self::Batch => BATCH_UNIT_BYTES,
        }
    }
}

/// A place in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Offset of its (first) message.
    pub(crate) offset: i64,
    /// Messages that stand there.
    pub(crate) count: i64,
    /// The record.
    pub(crate) unit: Unit,
    /// When it was stored, if the queue knows.
    pub(crate) store_timestamp: Option<i64>,
}

/// See the [module](self). Offsets of a queue are counted in messages.
#[derive(Debug)]
pub(crate) struct ConsumeQueue {
    topic: Arc<str>,
    queue_id: i32,
    kind: QueueKind,
    /// The next message's offset; changed only under the commit log's append lock.
    assigned: AtomicI64,
    pub(super) min: AtomicI64,
    pub(super) max: AtomicI64,
    /// No message came yet.
    pub(super) is_fresh: AtomicBool,
    /// Whether it is on the list of those that are to be written out.
    pub(super) is_listed: AtomicBool,
    pub(super) files: QueueFiles,
    pub(super) ext: Option<ExtFiles>,
}

/// What became of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It stands in its place.
    Added,
    /// Its place was taken already.
    Repeated,
}

impl ConsumeQueue {
    /// A queue without files, whose first message gets the offset 0.
    pub(crate) fn new(
        topic: Arc<str>,
        queue_id: i32,
        kind: QueueKind,
        home: Arc<Home>,
        ext: Option<Arc<Home>>,
    ) -> Self {
        Self {
            files: QueueFiles::new(home, Arc::clone(&topic), queue_id),
            ext: ext.map(|home| ExtFiles::new(home, Arc::clone(&topic), queue_id)),
            topic,
            queue_id,
            kind,
            assigned: AtomicI64::new(0),
            min: AtomicI64::new(0),
            max: AtomicI64::new(0),
            is_fresh: AtomicBool::new(true),
            is_listed: AtomicBool::new(false),
        }
    }

    /// The topic.
    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Number of the queue within its topic.
    pub(crate) fn queue_id(&self) -> i32 {
        self.queue_id
    }

    /// What its units are like.
    pub(crate) fn kind(&self) -> QueueKind {
        self.kind
    }

    /// Offset that the next message will get. Changed only by whoever holds the append lock.
    pub(crate) fn assigned(&self) -> &AtomicI64 {
        &self.assigned
    }

    /// Offset of the first message that can be read.
    pub(crate) fn min(&self) -> i64 {
        self.min.load(Ordering::Acquire)
    }

    /// Offset after the last message that can be read.
    pub(crate) fn max(&self) -> i64 {
        self.max.load(Ordering::Acquire)
    }

    fn unit_bytes(&self) -> i64 {
        self.kind.unit_bytes() as i64
    }

    /// Number of the first unit that the files hold.
    pub(super) fn first_index(&self) -> i64 {
        self.files.first() / self.unit_bytes()
    }

    /// Number of the unit after the last one.
    pub(super) fn end_index(&self) -> i64 {
        self.files.end() / self.unit_bytes()
    }

    /// Takes a unit's bytes apart; `index` is its number.
    pub(super) fn decode(&self, index: i64, bytes: &[u8]) -> Option<Entry> {
        match self.kind {
            QueueKind::Simple => {
                let unit = Unit::decode(bytes.first_chunk()?);
                Some(Entry { offset: index, count: 1, unit, store_timestamp: None })
            }
            QueueKind::Batch => {
                let batch = BatchUnit::decode(bytes)?;
                Some(Entry {
                    offset: batch.base_offset,
                    count: batch.count.into(),
                    unit: batch.unit,
                    store_timestamp: Some(batch.store_timestamp),
                })
            }
        }
    }

    /// Writes the unit of a record whose first message has this offset. In a simple queue, places
    /// between the queue's end and it become [blank](Unit::BLANK). One caller at a time.
    ///
    /// # Errors
    /// Too much waits to be written out and cannot be; the queue has the same messages as before.
    pub(crate) fn append(
        &self,
        entry: &Entry,
        extension: Option<&Extension>,
    ) -> Result<Appended, StoreError> {
        if entry.offset < self.max() {
            return Ok(Appended::Repeated);
        }
        let mut unit = entry.unit;
        if let (Some(ext), Some(extension)) = (&self.ext, extension) {
            unit.tags_code = ext.append(extension)?.unwrap_or(unit.tags_code);
        }
        match self.kind {
            QueueKind::Simple => {
                self.fill_up_to(entry.offset)?;
                self.files.append(&unit.encode())?;
            }
            QueueKind::Batch => {
                let batch = BatchUnit {
                    unit,
                    store_timestamp: entry.store_timestamp.unwrap_or_default(),
                    base_offset: entry.offset,
                    count: i16::try_from(entry.count).unwrap_or(i16::MAX),
                };
                self.files.append(&batch.encode())?;
            }
        }
        if self.is_fresh.swap(false, Ordering::AcqRel) {
            self.min.store(entry.offset, Ordering::Release);
        }
        self.max.store(entry.offset + entry.count, Ordering::Release);
        Ok(Appended::Added)
    }

    /// Makes blank what lies between the end and an offset, or if there are no files between the
    /// start of the offset's file and it.
    fn fill_up_to(&self, offset: i64) -> Result<(), StoreError> {
        let mut end = self.end_index();
        if end == offset {
            return Ok(());
        }
        if end == self.first_index() {
            let per_file = self.files.file_bytes() / self.unit_bytes();
            let start = offset - offset % per_file;
            if start != end {
                self.files.begin_at(start * self.unit_bytes());
                end = start;
            }
        }
        let blanks = Unit::BLANK.encode().repeat(BLANKS);
        while end < offset {
            let count = usize::try_from(offset - end).unwrap_or(BLANKS).min(BLANKS);
            self.files.append(blanks.get(..count * UNIT_BYTES).unwrap_or(&blanks))?;
            end += count as i64;
        }
        Ok(())
    }

    /// The entry that holds the message with an offset, blank or not.
    pub(crate) fn entry(&self, offset: i64) -> Option<Entry> {
        let mut window = Window::new(self);
        let index = window.index_of(offset)?;
        window.entry(index)
    }

    /// The entries from the one that holds the message with an offset on.
    pub(crate) fn scan(&self, offset: i64) -> Option<Scan<'_>> {
        Scan::new(self, Window::new(self).index_of(offset)?)
    }

    /// Where to go on if the units at an offset cannot be read: the next file's first message.
    pub(crate) fn next_file(&self, offset: i64) -> i64 {
        match self.kind {
            QueueKind::Simple => {
                let per_file = self.files.file_bytes() / self.unit_bytes();
                (offset - offset % per_file + per_file).min(self.max())
            }
            QueueKind::Batch => self.max(),
        }
    }

    /// What the extension files know of a unit, and its tag code, if that can be known.
    pub(crate) fn extension(&self, unit: &Unit) -> (Option<i64>, Option<Extension>) {
        match &self.ext {
            _ if !is_address(unit.tags_code) => (Some(unit.tags_code), None),
            Some(ext) => {
                let extension = ext.read(unit.tags_code);
                (extension.as_ref().map(|extension| extension.tags_code), extension)
            }
            None => (None, None),
        }
    }

    /// Whether units were added since the last sync.
    pub(crate) fn is_dirty(&self) -> bool {
        self.files.is_dirty() || self.ext.as_ref().is_some_and(|ext| ext.files().is_dirty())
    }

    /// All files of the queue: those of its units, and of their extensions.
    pub(super) fn all_files(&self) -> impl Iterator<Item = &QueueFiles> {
        self.ext.iter().map(ExtFiles::files).chain([&self.files])
    }

    /// Moves the first readable offset past units whose records the log no longer has, and past
    /// blanks at the front.
    pub(crate) fn correct_min(&self, log_min: i64) {
        let max = self.max();
        let mut window = Window::new(self);
        let end = self.end_index();
        let Some(from) = window.index_of(self.min()) else { return };
        let is_kept = |entry: &Entry| entry.unit.physical_offset >= log_min;
        let kept = window.first_where(from, end, is_kept);
        let first = (kept..end)
            .find_map(|index| window.entry(index).filter(|entry| entry.unit.is_record()));
        self.min.store(first.map_or(max, |entry| entry.offset), Ordering::Release);
    }

    /// Forgets what points before `log_min`, the log's new first offset: moves the first readable
    /// offset, and removes files that hold nothing else, but for the last one. Returns how many
    /// files went.
    ///
    /// # Errors
    /// A file cannot be removed; it is tried again by the next call.
    pub(crate) fn remove_before(&self, log_min: i64) -> Result<usize, StoreError> {
        self.correct_min(log_min);
        let mut window = Window::new(self);
        let (index, entry) = match window.index_of(self.min()) {
            Some(index) => (index, window.entry(index)),
            None => (self.end_index(), None),
        };
        let mut removed = self.files.remove_before(index * self.unit_bytes())?;
        if let (Some(ext), Some(entry)) = (&self.ext, entry)
            && is_address(entry.unit.tags_code)
        {
            removed += ext.remove_before(entry.unit.tags_code)?;
        }
        Ok(removed)
    }

    /// The first entry at or after the queue's first one whose record fulfils a condition that,
    /// once fulfilled, all later ones fulfil; the queue's end if none does.
    pub(crate) fn first_where(&self, is_met: impl Fn(&Entry) -> bool) -> Position {
        let mut window = Window::new(self);
        let end = self.end_index();
        let Some(from) = window.index_of(self.min()) else {
            return Position { before: None, at: None };
        };
        let index = window.first_where(from, end, is_met);
        let before = (from..index).rev().find_map(|index| window.record(index));
        let at = (index..end).find_map(|index| window.record(index));
        Position { before, at }
    }

    /// Removes the files of a queue that no longer counts. Whoever reads them reads on.
    pub(crate) fn remove_files(&self) {
        self.all_files().for_each(QueueFiles::remove);
    }
}

/// Between two records of a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    /// The last record before; `None` at the queue's first one.
    pub(crate) before: Option<Entry>,
    /// The first record after; `None` at the queue's end.
    pub(crate) at: Option<Entry>,
}
