//! One consume queue: units in files, appended by the dispatch and read by anyone.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::unit::{UNIT_BYTES, Unit};
use crate::store::disk::Disk;
use crate::store::error::{Context, StoreError};
use crate::store::mapped_file::{MappedFile, MappedWriter};
use crate::store::mapped_file_queue::{
    self, Found, MappedFileQueue, Removal, Reservation, ensure_reserved,
};

/// Bytes of one unit, as an offset.
const UNIT: i64 = UNIT_BYTES as i64;
/// Zeros of this length end what an earlier life of a file may have left behind its end.
const CLEAN_STRETCH: usize = 4096;

/// See the [module](self). Offsets of a queue are counted in messages.
#[derive(Debug)]
pub(crate) struct ConsumeQueue {
    topic: Arc<str>,
    queue_id: i32,
    /// The next message's offset; changed only under the commit log's append lock.
    assigned: AtomicI64,
    min: AtomicI64,
    max: AtomicI64,
    synced: AtomicI64,
    folder_is_new: AtomicBool,
    files: MappedFileQueue,
    writer: Mutex<Option<MappedWriter>>,
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
        dir: PathBuf,
        file_bytes: usize,
        disk: Arc<dyn Disk>,
    ) -> Self {
        Self {
            topic,
            queue_id,
            assigned: AtomicI64::new(0),
            min: AtomicI64::new(0),
            max: AtomicI64::new(0),
            synced: AtomicI64::new(0),
            folder_is_new: AtomicBool::new(true),
            files: MappedFileQueue::new(dir, file_bytes, disk),
            writer: Mutex::new(None),
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

    fn lock_writer(&self) -> MutexGuard<'_, Option<MappedWriter>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the unit of the message with this offset. Places between the queue's end and it
    /// become [blank](Unit::BLANK). One caller at a time.
    ///
    /// # Errors
    /// No room or no file; the queue is then unchanged but for blanks.
    pub(crate) fn append(&self, offset: i64, unit: &Unit) -> Result<Appended, StoreError> {
        let mut writer = self.lock_writer();
        if writer.is_none() {
            *writer = Some(self.first_file(offset)?);
        }
        let Some(writer) = writer.as_mut() else { return Ok(Appended::Repeated) };
        if offset < self.max() {
            return Ok(Appended::Repeated);
        }
        while self.max() < offset {
            self.push(writer, &Unit::BLANK)?;
        }
        self.push(writer, unit)?;
        Ok(Appended::Added)
    }

    fn push(&self, writer: &mut MappedWriter, unit: &Unit) -> Result<(), StoreError> {
        let end = writer.published() + UNIT_BYTES;
        if end > writer.file().length() {
            let start = writer.file().start() + self.files.file_bytes() as i64;
            *writer = self.files.create(start, Reservation::Later)?;
            self.files.push(Arc::clone(writer.file()));
            self.folder_is_new.store(true, Ordering::Release);
            return self.push(writer, unit);
        }
        ensure_reserved(self.files.disk(), writer, end)?;
        if let Some(slot) = writer.spare().first_chunk_mut::<UNIT_BYTES>() {
            *slot = unit.encode();
        }
        writer.publish(end);
        self.max.store(self.max.load(Ordering::Relaxed) + 1, Ordering::Release);
        Ok(())
    }

    /// Makes the first file of a queue whose first message has this offset. Its places before that
    /// become blank.
    fn first_file(&self, offset: i64) -> Result<MappedWriter, StoreError> {
        let dir = self.files.dir();
        self.files.disk().create_dir_all(dir).context(dir, "create")?;
        // A deleted topic, or a file that could not be finished, may have left something here.
        for file in mapped_file_queue::list(self.files.disk(), dir)? {
            self.files.remove(&file.path)?;
        }
        let per_file = self.files.file_bytes() as i64 / UNIT;
        let first = offset - offset % per_file;
        let mut writer = self.files.create(first * UNIT, Reservation::Later)?;
        let blanks = usize::try_from(offset - first).unwrap_or(0);
        ensure_reserved(self.files.disk(), &mut writer, blanks * UNIT_BYTES)?;
        for slot in writer.spare().as_chunks_mut::<UNIT_BYTES>().0.iter_mut().take(blanks) {
            *slot = Unit::BLANK.encode();
        }
        writer.publish(blanks * UNIT_BYTES);
        self.files.push(Arc::clone(writer.file()));
        self.min.store(offset, Ordering::Release);
        self.max.store(offset, Ordering::Release);
        self.synced.store(first, Ordering::Release);
        Ok(writer)
    }

    /// Removes the files of a queue that no longer counts. Whoever reads them reads on; one that
    /// cannot be removed is when its name is needed, or when the store is opened.
    pub(crate) fn remove_files(&self) {
        for file in self.files.files().iter() {
            if let Err(error) = self.files.remove(file.disk_file().path()) {
                tracing::warn!(%error, "a file of a deleted topic stays behind");
            }
        }
    }

    /// The unit at an offset, blank or not.
    pub(crate) fn unit(&self, offset: i64) -> Option<Unit> {
        self.stretch(offset)?.units().next()
    }

    /// The units from an offset to the end of the file that it lies in (or of the queue).
    pub(crate) fn stretch(&self, offset: i64) -> Option<Stretch> {
        let (file, at) = self.files.find(offset.checked_mul(UNIT)?)?;
        (at + UNIT_BYTES <= file.published()).then_some(Stretch { file, at })
    }

    /// Whether units were added since the last sync.
    pub(crate) fn is_dirty(&self) -> bool {
        self.synced.load(Ordering::Acquire) < self.max()
    }

    /// Brings the units added since the last sync to the disk. One caller at a time.
    ///
    /// # Errors
    /// A failed sync: what is on the disk is unknown then.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let end = self.max();
        let from = self.synced.load(Ordering::Acquire).saturating_mul(UNIT);
        let disk = self.files.disk();
        for file in self.files.files().iter() {
            if file.start() + file.length() as i64 > from {
                disk.sync_data(file.disk_file()).context(file.disk_file().path(), "sync")?;
            }
        }
        if self.folder_is_new.swap(false, Ordering::AcqRel) {
            // The queue's folder, the topic's, and the one of all topics.
            for dir in self.files.dir().ancestors().take(3) {
                disk.sync_dir(dir).context(dir, "sync")?;
            }
        }
        self.synced.store(end, Ordering::Release);
        Ok(())
    }

    /// Opens the files of a queue, keeping the units whose records start before `cut` in the log.
    ///
    /// Units after those are left to be overwritten by [`append`](Self::append), which for a good
    /// file puts the same bytes there. `is_right` says whether the record of a unit is the one with
    /// this offset. Files that are no part of a row, or have a wrong length, are removed: what they
    /// held is in the log. So are all files if the first record is from before `born`, when the topic
    /// was deleted.
    pub(crate) fn load(
        &self,
        found: &[Found],
        born: i64,
        cut: i64,
        is_right: &dyn Fn(i64, &Unit) -> bool,
    ) -> Result<(), StoreError> {
        let mut writers = Vec::new();
        let mut expected = None;
        for file in found {
            let fits = file.length == self.files.file_bytes() as u64
                && file.start % self.files.file_bytes() as i64 == 0
                && expected.is_none_or(|start| start == file.start);
            if !fits {
                break;
            }
            expected = Some(file.start + self.files.file_bytes() as i64);
            writers.push(self.files.open(file)?);
        }
        if is_from_before(&writers, born) {
            writers.clear();
        }
        let first = writers.first().map_or(0, |writer| writer.file().start() / UNIT);
        let end = kept_end(&writers, first, cut, is_right);
        let keep = writers.iter().take_while(|writer| writer.file().start() < end * UNIT).count();
        for file in found.iter().skip(keep) {
            self.files.remove(&file.path)?;
        }
        writers.truncate(keep);
        for writer in &mut writers {
            let in_file = end * UNIT - writer.file().start();
            writer.publish(usize::try_from(in_file).unwrap_or(0));
            self.files.push(Arc::clone(writer.file()));
        }
        let Some(last) = writers.pop() else { return Ok(()) };
        *self.lock_writer() = Some(last);
        self.max.store(end, Ordering::Release);
        self.min.store(first, Ordering::Release);
        self.synced.store(first, Ordering::Release);
        Ok(())
    }

    /// Ends a recovery: the next message follows the last unit, the first readable one is the
    /// first whose record is at or after `log_min`, and nothing of an earlier life is left behind
    /// the end.
    pub(crate) fn finish_loading(&self, log_min: i64) {
        self.assigned.store(self.max(), Ordering::Release);
        self.correct_min(log_min);
        if let Some(writer) = self.lock_writer().as_mut() {
            for stretch in writer.spare().chunks_mut(CLEAN_STRETCH) {
                if stretch.iter().all(|byte| *byte == 0) {
                    break;
                }
                stretch.fill(0);
            }
        }
    }

    /// Moves the first readable offset past units whose records the log no longer has, and past
    /// blanks at the front.
    pub(crate) fn correct_min(&self, log_min: i64) {
        let max = self.max();
        let is_gone = |unit: &Unit| unit.physical_offset < log_min;
        let kept = self.first_where(self.min(), max, |unit| !is_gone(unit));
        let min =
            (kept..max).find(|offset| self.unit(*offset).is_some_and(|unit| unit.is_record()));
        self.min.store(min.unwrap_or(max), Ordering::Release);
    }

    /// Forgets what points before `log_min`, the log's new first offset: moves the first readable
    /// offset, and removes files that hold nothing else, but for the last one. Returns how many
    /// files went.
    ///
    /// # Errors
    /// A file cannot be removed; it is tried again by the next call.
    pub(crate) fn remove_before(&self, log_min: i64) -> Result<usize, StoreError> {
        self.correct_min(log_min);
        let mut removed = 0;
        while let Some(second) = self.files.files().get(1).map(|file| file.start()) {
            let is_needed = second / UNIT > self.min();
            if is_needed || !matches!(self.files.remove_first()?, Removal::Removed { .. }) {
                break;
            }
            removed += 1;
        }
        Ok(removed)
    }

    /// The first offset of `from..to` whose record fulfils a condition that, once fulfilled, all
    /// later ones fulfil; `to` if none does. A blank is as the next record is.
    pub(crate) fn first_where(&self, from: i64, to: i64, is_met: impl Fn(&Unit) -> bool) -> i64 {
        let (mut low, mut high) = (from, to);
        while low < high {
            let middle = low + (high - low) / 2;
            let record =
                (middle..high).find_map(|offset| self.unit(offset).filter(Unit::is_record));
            if record.is_none_or(|unit| is_met(&unit)) { high = middle } else { low = middle + 1 }
        }
        low
    }
}

/// Whether the first unit's record lies before a log offset.
fn is_from_before(writers: &[MappedWriter], born: i64) -> bool {
    let units = || {
        let chunks = writers.iter().flat_map(|writer| writer.all().as_chunks::<UNIT_BYTES>().0);
        chunks.map(Unit::decode)
    };
    born > 0 && units().find(Unit::is_record).is_some_and(|unit| unit.physical_offset < born)
}

/// The offset after the last unit whose record starts before `cut` and is the right one.
fn kept_end(
    writers: &[MappedWriter],
    first: i64,
    cut: i64,
    is_right: &dyn Fn(i64, &Unit) -> bool,
) -> i64 {
    let per_file = writers.first().map_or(1, |writer| writer.file().length() / UNIT_BYTES);
    let unit_at = |index: i64| -> Option<Unit> {
        let index = usize::try_from(index - first).ok()?;
        let bytes = writers.get(index / per_file)?.all();
        bytes.as_chunks::<UNIT_BYTES>().0.get(index % per_file).map(Unit::decode)
    };
    let total = (writers.len() * per_file) as i64;
    let (mut low, mut high) = (first, first + total);
    while low < high {
        let middle = low + (high - low) / 2;
        let is_kept = unit_at(middle)
            .is_some_and(|unit| unit.length > 0 && (0..cut).contains(&unit.physical_offset));
        if is_kept { low = middle + 1 } else { high = middle }
    }
    // What an earlier life of the file left behind may look like units; their records do not.
    while low > first && !unit_at(low - 1).is_some_and(|unit| is_right(low - 1, &unit)) {
        low -= 1;
    }
    low
}

/// Units that lie side by side in one file.
#[derive(Debug)]
pub(crate) struct Stretch {
    file: Arc<MappedFile>,
    at: usize,
}

impl Stretch {
    /// The units in their order.
    pub(crate) fn units(&self) -> impl Iterator<Item = Unit> {
        let bytes = self.file.bytes().get(self.at..).unwrap_or_default();
        bytes.as_chunks::<UNIT_BYTES>().0.iter().map(Unit::decode)
    }
}
