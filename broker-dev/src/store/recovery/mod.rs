//! Opening a store: where the log ends, and queues that agree with it.
//!
//! 1. The newest log file that is surely older than what may be incomplete is the *start*: after a
//!    clean close the last one with records, after a crash the last one whose first record is older
//!    than the checkpoint, and without any consume queue the first one.
//! 2. Consume queues keep their units for records before the start.
//! 3. What else is derived from the log ([`DispatchSink`]) says from where on it needs the records:
//!    the pass begins with the first file that anybody needs.
//! 4. One pass over the log checks every record, puts its unit back, and shows it to whoever asked.
//! 5. Records of topics that were deleted later are checked, but have no units.
//! 6. The log is cut where the sound records end.
//!
//! A damaged place with sound records behind it is reported and skipped. One exception: after a
//! crash, behind the checkpoint, a place with sectors of zeros is a write that a power cut took
//! away; the log ends there, so that what is lost is always the end and never the middle.
//!
//! Every step can be repeated: nothing is changed that a second recovery would read differently.
//!
//! Differs: Apache stops at the first damaged record and drops everything behind it.

mod files;
mod report;
mod view;

use std::path::PathBuf;
use std::sync::Arc;

use oxmq::protocol::message::record::Record;
use oxmq::protocol::message::{batch, record_crc, sys_flag};

use super::checkpoint::Checkpoint;
use super::commit_log::{CommitLog, Found, check, has_unwritten_sector, is_unfinished, next_valid};
use super::consume_queue::{
    Appended, BATCH_UNIT_BYTES, ConsumeQueue, DeletedTopics, Entry, LIGHT_QUEUE, QueueTable,
    UNIT_BYTES, is_inner_batch, is_safe_topic, light_places, sample_lengths, stands_for,
};
use super::disk::Disk;
use super::dispatch::DispatchSink;
use super::error::{Context, StoreError};
use super::layout;
use super::mapped_file::MappedWriter;
use super::mapped_file_queue::MappedFileQueue;
use super::options::{FlushMode, StoreOptions};

pub use report::{Damage, RecoveryReport};
pub(crate) use view::LogView;

/// An opened log and its queues.
pub(crate) struct Recovered {
    pub(crate) log: CommitLog,
    pub(crate) table: Arc<QueueTable>,
    pub(crate) report: RecoveryReport,
    /// Log offset before which everything is on the disk for certain.
    pub(crate) durable: i64,
}

/// A place in the log: number of the file, byte in it.
type Place = (usize, usize);

/// How a pass over the log ended.
enum Pass {
    Done,
    /// The queues lack units from before the start.
    QueuesIncomplete,
    /// The checkpoint is newer than the log, so it says nothing.
    CheckpointLies,
}

/// Where a pass begins, and who sees which records.
struct Plan<'a> {
    /// Number of the first file.
    start: usize,
    /// Log offset from which on units are put back.
    queues_from: i64,
    /// The others, and from where on.
    sinks: Vec<(i64, &'a dyn DispatchSink)>,
}

struct Recovery<'a> {
    disk: &'a Arc<dyn Disk>,
    deleted: Arc<DeletedTopics>,
    checkpoint: Checkpoint,
    is_clean: bool,
    files: Vec<MappedWriter>,
    report: RecoveryReport,
    end: Place,
    last_store_ms: i64,
    /// Whether a CRC of a whole record is checked where there is one.
    verifies: bool,
}

/// Opens log and queues and makes them agree; so with what else is `derived` from the log.
pub(crate) fn recover(
    options: &mut StoreOptions,
    disk: &Arc<dyn Disk>,
    checkpoint: Checkpoint,
    is_clean: bool,
    derived: &[Arc<dyn DispatchSink>],
) -> Result<Recovered, StoreError> {
    let log_queue = files::open_log_queue(options, disk)?;
    let has_queues = read_queue_lengths(options, &**disk)?;
    let deleted = Arc::new(DeletedTopics::open(Arc::clone(disk), &options.root)?);
    let mut recovery = Recovery {
        disk,
        deleted,
        checkpoint,
        is_clean,
        files: files::open_log_files(&log_queue, &**disk)?,
        report: RecoveryReport { is_clean, ..RecoveryReport::default() },
        end: (0, 0),
        last_store_ms: 0,
        verifies: options.verify_record_crc,
    };
    let table = QueueTable::open(options, disk, Arc::clone(&recovery.deleted))?;
    recovery.run(&table, has_queues, derived)?;
    let writes_ahead = options.flush == FlushMode::Sync;
    recovery.finish(log_queue, table, derived, (options.append_record_crc, writes_ahead))
}

impl Recovery<'_> {
    /// Passes over the log until the queues agree with it: once, or twice if the queues turn out
    /// to lack older units.
    fn run(
        &mut self,
        table: &QueueTable,
        has_queues: bool,
        derived: &[Arc<dyn DispatchSink>],
    ) -> Result<(), StoreError> {
        let safe = self.safe_file();
        let mut certain = if self.is_clean { i64::MAX } else { self.start_of(safe) };
        let mut start = if has_queues { safe } else { 0 };
        loop {
            table.begin_recovery(self.start_of(start));
            let plan = self.plan(start, derived, certain)?;
            self.report = RecoveryReport {
                is_clean: self.is_clean,
                start_offset: self.start_of(plan.start),
                rebuilt_queues: self.report.rebuilt_queues,
                ..RecoveryReport::default()
            };
            match self.pass(&plan, table)? {
                Pass::Done => return Ok(()),
                Pass::QueuesIncomplete => {}
                Pass::CheckpointLies => certain = 0,
            }
            start = 0;
            self.report.rebuilt_queues = true;
        }
    }

    /// Number of the newest file before which everything is complete on the disk.
    fn safe_file(&self) -> usize {
        let newest_where = |is_old_enough: &dyn Fn(&Record<'_>) -> bool| {
            let is_start = |file: &MappedWriter| match check(file.all(), 0, file.file().start()) {
                Found::Record(record, _) => is_old_enough(&record),
                _ => false,
            };
            self.files.iter().rposition(is_start).unwrap_or(0)
        };
        if self.is_clean {
            newest_where(&|_| true)
        } else {
            let safe_before_ms = self.checkpoint.safe_before_ms();
            newest_where(&|record| record.store_timestamp <= safe_before_ms)
        }
    }

    /// A pass that begins early enough for the queues, which need the files from `queues` on, and
    /// for all others.
    fn plan<'s>(
        &self,
        queues: usize,
        derived: &'s [Arc<dyn DispatchSink>],
        certain: i64,
    ) -> Result<Plan<'s>, StoreError> {
        let view = LogView::new(&self.files);
        let queues_from = self.start_of(queues);
        let mut plan = Plan { start: queues, queues_from, sinks: Vec::new() };
        for sink in derived {
            let from = sink.begin_recovery(&view, certain)?;
            plan.start = plan.start.min(view.file_of(from));
            plan.sinks.push((from, &**sink));
        }
        Ok(plan)
    }

    fn bytes(&self, file: usize) -> &[u8] {
        self.files.get(file).map_or(&[], MappedWriter::all)
    }

    fn start_of(&self, file: usize) -> i64 {
        self.files.get(file).map_or(0, |file| file.file().start())
    }

    /// Whether an entry points at the record that has its place. Entries of deleted records cannot
    /// be asked.
    fn is_right(&self, queue: &ConsumeQueue, entry: &Entry) -> bool {
        let offset = entry.unit.physical_offset;
        if !entry.unit.is_record() || offset < self.start_of(0) {
            return true;
        }
        let after = self.files.partition_point(|file| file.file().start() <= offset);
        let Some(file) = after.checked_sub(1).and_then(|file| self.files.get(file)) else {
            return false;
        };
        let at = usize::try_from(offset - file.file().start()).unwrap_or(usize::MAX);
        let found = Record::decode(file.all().get(at..).unwrap_or_default()).ok().flatten();
        found.is_some_and(|(record, length)| stands_for(queue, entry, &record, length))
    }

    /// Puts a record's unit into its queue.
    ///
    /// Units before it may be missing if the queues were rebuilt from the log's first record, or if
    /// damaged records were skipped and the queue has its older units.
    fn put_unit(
        &self,
        table: &QueueTable,
        record: &Record<'_>,
        length: usize,
        (is_whole_log, is_damaged): (bool, bool),
    ) -> Result<Placed, StoreError> {
        let is_over = table.deleted().is_over(record.topic, record.physical_offset);
        if is_over || !sys_flag::is_queued(record.sys_flag) {
            return Ok(Placed::Yes);
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let is_right = |queue: &ConsumeQueue, entry: &Entry| self.is_right(queue, entry);
        let lacks = |queue: &ConsumeQueue, offset| {
            let may_lack = is_whole_log || (is_damaged && queue.max() > 0);
            offset > queue.max() && !may_lack
        };
        let own = (record.topic, record.queue_id);
        let queue = table.recover_queue(own, is_inner_batch(record), &is_right)?;
        if lacks(&queue, record.queue_offset) {
            return Ok(Placed::Lacking);
        }
        let (appended, _) = table.append(&queue, record, length)?;
        for (topic, offset) in light_places(record).filter(|_| table.multi_dispatch()) {
            if table.deleted().is_over(topic, record.physical_offset) {
                continue;
            }
            let queue = table.recover_queue((topic, LIGHT_QUEUE), false, &is_right)?;
            if lacks(&queue, offset) {
                return Ok(Placed::Lacking);
            }
            table.append_light(&queue, offset, record, length)?;
        }
        Ok(match appended {
            Appended::Added => Placed::Yes,
            Appended::Repeated => Placed::Taken,
        })
    }

    /// Checks every record from a file on, puts its unit back and shows it to the others.
    fn pass(&mut self, plan: &Plan<'_>, table: &QueueTable) -> Result<Pass, StoreError> {
        let mut place = (plan.start, 0);
        let mut is_damaged = false;
        let is_whole_log = plan.queues_from <= self.start_of(0);
        let mut arrived = Vec::new();
        self.last_store_ms = 0;
        while place.0 < self.files.len() {
            let (file, at) = place;
            let reason = match check(self.bytes(file), at, self.start_of(file)) {
                Found::Blank => {
                    place = (file + 1, 0);
                    continue;
                }
                Found::Record(record, length) => match self
                    .unsound(place, &record, length)
                    .or(self.is_ahead(table, plan, place, (&record, length))?)
                {
                    Some(reason) => Some(reason),
                    None => {
                        let store_ms = record.store_timestamp;
                        let offset = record.physical_offset;
                        let placed = if offset < plan.queues_from {
                            Placed::Yes
                        } else {
                            self.put_unit(table, &record, length, (is_whole_log, is_damaged))?
                        };
                        if matches!(placed, Placed::Lacking) {
                            return Ok(Pass::QueuesIncomplete);
                        }
                        let length_32 = u32::try_from(length).unwrap_or(u32::MAX);
                        for (_, sink) in plan.sinks.iter().filter(|(from, _)| *from <= offset) {
                            sink.accept(&record, length_32, &mut arrived)?;
                        }
                        arrived.clear();
                        if matches!(placed, Placed::Taken) {
                            let reason = "a record's place in its queue is taken".into();
                            self.report.note(Damage::new(self.path(file), at, reason));
                        }
                        self.last_store_ms = store_ms;
                        self.report.records += 1;
                        place = (file, at + length);
                        continue;
                    }
                },
                Found::Unwritten => None,
                Found::Damaged(reason) => Some(reason),
            };
            let next = match self.next_sound(file, at + 1)? {
                Some(next) => self.first_record_ms(next)?.map(|store_ms| (next, store_ms)),
                None => None,
            };
            let damage = |reason: Option<String>| {
                let reason = reason.unwrap_or_else(|| "nothing was written here".into());
                Damage::new(self.path(file), at, reason)
            };
            match next {
                Some((next, store_ms)) if !self.is_end(place, next, store_ms) => {
                    let damage = damage(reason);
                    self.report.note(damage);
                    is_damaged |= self.start_of(file) >= plan.queues_from;
                    place = next;
                }
                None if reason.is_none() => break,
                _ => {
                    self.report.torn_end = Some(damage(reason));
                    break;
                }
            }
        }
        self.end = place;
        // A checkpoint that is newer than the log cannot have chosen the start.
        let is_lying = !self.is_clean
            && self.checkpoint.safe_before_ms() > self.last_store_ms
            && plan.queues_from > self.start_of(0);
        Ok(if is_lying { Pass::CheckpointLies } else { Pass::Done })
    }

    /// Why a record cannot be the message of its queue that it says, although messages before it
    /// may be missing: a later record of the queue has that place, or one before it. To believe it
    /// would cost all of those; no check sum covers the number.
    fn is_ahead(
        &self,
        table: &QueueTable,
        plan: &Plan<'_>,
        (file, at): Place,
        (record, length): (&Record<'_>, usize),
    ) -> Result<Option<String>, StoreError> {
        let known = table.get(record.topic, record.queue_id).map_or(0, |queue| queue.max());
        let is_asked = record.physical_offset >= plan.queues_from
            && record.queue_offset > known
            // The first message that an expired log still has may have any number.
            && (known > 0 || self.start_of(0) == 0)
            && sys_flag::is_queued(record.sys_flag)
            && !table.deleted().is_over(record.topic, record.physical_offset);
        if !is_asked {
            return Ok(None);
        }
        let next = self.next_of_queue((file, at + length), record.topic, record.queue_id)?;
        Ok(next.filter(|next| *next <= record.queue_offset).map(|next| {
            let own = record.queue_offset;
            format!("a record says that it is message {own} of its queue, a later one is {next}")
        }))
    }

    /// The number that the next record of a queue has, from a place on, if it comes soon.
    fn next_of_queue(
        &self,
        mut place: Place,
        topic: &str,
        queue_id: i32,
    ) -> Result<Option<i64>, StoreError> {
        const SOON: i64 = 64 << 20;
        let offset = |(file, at): Place| self.start_of(file) + at as i64;
        let end = offset(place) + SOON;
        while place.0 < self.files.len() && offset(place) < end {
            match check(self.bytes(place.0), place.1, self.start_of(place.0)) {
                Found::Record(record, _)
                    if record.topic == topic && record.queue_id == queue_id =>
                {
                    return Ok(Some(record.queue_offset));
                }
                Found::Record(_, length) => place.1 += length,
                Found::Blank => place = (place.0 + 1, 0),
                Found::Unwritten | Found::Damaged(_) => {
                    match self.next_sound(place.0, place.1 + 1)? {
                        Some(next) => place = next,
                        None => return Ok(None),
                    }
                }
            }
        }
        Ok(None)
    }

    /// Why a record whose body is sound is none of this log's.
    fn unsound(&self, (file, at): Place, record: &Record<'_>, length: usize) -> Option<String> {
        implausible(record).or_else(|| {
            let bytes = self.bytes(file).get(at..at.checked_add(length)?)?;
            let verified = self.verifies.then(|| record_crc::verify(bytes, record.properties))?;
            verified.err().map(|error| error.to_string())
        })
    }

    fn path(&self, file: usize) -> PathBuf {
        self.files
            .get(file)
            .map(|file| file.file().disk_file().path().to_path_buf())
            .unwrap_or_default()
    }

    /// The next place at or after the given one where a record or a blank is sound.
    fn next_sound(&self, file: usize, at: usize) -> Result<Option<Place>, StoreError> {
        let mut from = at;
        for (number, writer) in self.files.iter().enumerate().skip(file) {
            if let Some(at) = next_valid(&**self.disk, writer, from)? {
                return Ok(Some((number, at)));
            }
            from = 0;
        }
        Ok(None)
    }

    /// Store time of the first record at or after a sound place.
    fn first_record_ms(&self, mut place: Place) -> Result<Option<i64>, StoreError> {
        loop {
            match check(self.bytes(place.0), place.1, self.start_of(place.0)) {
                Found::Record(record, _) => return Ok(Some(record.store_timestamp)),
                _ => match self.next_sound(place.0 + 1, 0)? {
                    Some(next) => place = next,
                    None => return Ok(None),
                },
            }
        }
    }

    /// Whether the log ends at a bad place although there are sound bytes, from `next` on, behind
    /// it. `store_ms` is the store time of the first record there.
    ///
    /// Either that record is older than the last good one: then it was left behind by an earlier
    /// cut of the log (Apache's broker does not clear what it cuts). Or the place looks like a
    /// write that a power cut took away, and may be one.
    fn is_end(&self, bad: Place, next: Place, store_ms: i64) -> bool {
        if store_ms < self.last_store_ms {
            return true;
        }
        let offset = self.start_of(bad.0) + bad.1 as i64;
        if self.is_clean || self.was_synced(offset, store_ms) {
            return false;
        }
        let end = if next.0 == bad.0 { next.1 } else { self.bytes(bad.0).len() };
        let bytes = self.bytes(bad.0);
        is_unfinished(bytes, bad.1..end) || has_unwritten_sector(bytes, bad.1..end)
    }

    /// Whether the checkpoint vouches for a place, behind which is a record of this store time.
    fn was_synced(&self, offset: i64, store_ms: i64) -> bool {
        let Checkpoint { log_ms, durable, .. } = self.checkpoint;
        // Of the checkpoint's own millisecond only an offset can tell.
        offset < durable || store_ms < log_ms || (durable == 0 && store_ms == log_ms)
    }

    /// Cuts the log at its end, and opens it for writing.
    fn finish(
        mut self,
        queue: MappedFileQueue,
        table: QueueTable,
        derived: &[Arc<dyn DispatchSink>],
        log_options: (bool, bool),
    ) -> Result<Recovered, StoreError> {
        let (last, at) = match self.end {
            // Past a file that is full: its end.
            (file, 0) if file > 0 => (file - 1, self.bytes(file - 1).len()),
            end => end,
        };
        for file in self.files.split_off(self.files.len().min(last + 1)) {
            queue.remove(file.file().disk_file().path())?;
        }
        let mut writer = match self.files.pop() {
            Some(writer) => writer,
            None => queue.create(0)?,
        };
        self.disk.sync_dir(queue.dir()).context(queue.dir(), "sync")?;
        for file in &mut self.files {
            file.publish(file.all().len());
            queue.push(Arc::clone(file.file()));
        }
        writer.publish(at);
        files::clear_rest(&**self.disk, &mut writer)?;
        queue.push(Arc::clone(writer.file()));
        let log = CommitLog::new(Arc::new(queue), writer, self.last_store_ms, log_options);
        self.report.end_offset = log.end();
        self.deleted.finish_loading(log.min(), log.end())?;
        table.finish_recovery(log.files());
        derived.iter().try_for_each(|sink| sink.finish_recovery(log.min(), log.end()))?;
        let durable = if self.is_clean { log.end() } else { self.report.start_offset };
        Ok(Recovered { log, table: Arc::new(table), report: self.report, durable })
    }
}

/// Why a sound record cannot be one that this log was given.
pub(crate) fn implausible(record: &Record<'_>) -> Option<String> {
    if !is_safe_topic(record.topic) || record.queue_id < 0 {
        let topic = record.topic.escape_debug();
        return Some(format!("a record of `{topic}` queue {} has no place", record.queue_id));
    }
    // A property ends in 0x02, or at least in its value: zeros were never written over.
    if record.properties.ends_with('\0') {
        return Some("a record's end was never written".into());
    }
    // Every message before it in its queue took room in the log, at least that of a batch's item.
    let is_possible = record.queue_offset >= 0
        && record.queue_offset <= record.physical_offset / batch::MIN_ITEM_LENGTH as i64;
    let is_queued = sys_flag::is_queued(record.sys_flag);
    (!is_possible || !is_queued && record.queue_offset != 0)
        .then(|| format!("a record says that it is message {} of its queue", record.queue_offset))
}

/// What became of a record's unit.
enum Placed {
    Yes,
    /// Another record has the place.
    Taken,
    /// Units before it are missing and must not be.
    Lacking,
}

/// Takes over the lengths that the queues' files have. Tells whether there are any.
fn read_queue_lengths(options: &mut StoreOptions, disk: &dyn Disk) -> Result<bool, StoreError> {
    let simple = sample_lengths(disk, &options.consume_queue_dir())?;
    let batch = sample_lengths(disk, &options.batch_queue_dir())?;
    let ext = sample_lengths(disk, &options.extension_dir())?;
    let has_queues = !simple.is_empty() || !batch.is_empty();
    let bytes = &mut options.consume_queue_file_bytes;
    *bytes = layout::queue_file_bytes(simple.into_iter(), UNIT_BYTES, *bytes);
    let bytes = &mut options.batch_queue_file_bytes;
    *bytes = layout::queue_file_bytes(batch.into_iter(), BATCH_UNIT_BYTES, *bytes);
    let bytes = &mut options.extension_file_bytes;
    *bytes = layout::queue_file_bytes(ext.into_iter(), 1, *bytes);
    Ok(has_queues)
}
