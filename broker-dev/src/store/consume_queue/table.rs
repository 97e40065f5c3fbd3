//! All consume queues, by topic and queue id.
//!
//! At opening only the topics' folders are listed. A topic's queues are listed when the topic is
//! used, and a queue's files are looked at when the queue is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use oxmq::protocol::message::record::Record;
use oxmq::protocol::message::sys_flag;
use oxmq::protocol::names::is_light_topic;

use super::deleted::DeletedTopics;
use super::discover::{self, is_safe_topic};
use super::files::{Common, Home};
use super::load::Rules;
use super::multi::{self, LIGHT_QUEUE};
use super::queue::{ConsumeQueue, Entry, QueueKind};
use super::recent::RecentQueues;
use super::unit::Unit;
use crate::store::disk::{Disk, DiskFile, Open};
use crate::store::error::{Context, StoreError};
use crate::store::mapped_file_queue::{self, MappedFileQueue};
use crate::store::options::StoreOptions;

/// So many queues are synced together with all else that is on their disk.
const MANY_QUEUES: usize = 64;

/// A queue that has a folder, or is in use.
#[derive(Debug)]
enum Slot {
    OnDisk,
    Loaded(Arc<ConsumeQueue>),
}

#[derive(Debug, Default)]
struct Topic {
    kind: QueueKind,
    /// Whether all queues that have a folder are in `slots`.
    is_listed: bool,
    slots: BTreeMap<i32, Slot>,
}

/// The folders and settings of all queues.
#[derive(Debug)]
struct Homes {
    simple: Arc<Home>,
    batch: Arc<Home>,
    /// Where extensions are; `None` if there are none.
    ext: Option<Arc<Home>>,
    common: Arc<Common>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct QueueTable {
    homes: Homes,
    pub(super) delay_levels_ms: Vec<i64>,
    pub(super) most_behind_bytes: usize,
    topics: RwLock<HashMap<Arc<str>, Topic>>,
    /// Topics that will have batch queues.
    batch_topics: RwLock<HashSet<Box<str>>>,
    multi_dispatch: bool,
    max_light_topics: usize,
    light_topics: AtomicUsize,
    /// A file of the store, open since before anything was written.
    anchor: DiskFile,
    /// Held by whoever opens a queue's files.
    loading: Mutex<()>,
    deleted: Arc<DeletedTopics>,
    /// How many topics were deleted; changed only between appends.
    deletions: AtomicU64,
    /// Those that the dispatch used last.
    pub(super) recent: Mutex<RecentQueues>,
    /// Those that have something to be written out.
    dirty: Mutex<Vec<Arc<ConsumeQueue>>>,
    /// Units of records from here on do not count in files that are opened later: recovery put
    /// them back where there were any.
    cut: AtomicI64,
    /// The log, once recovery is over.
    log: OnceLock<Arc<MappedFileQueue>>,
}

impl QueueTable {
    /// The queues that are on the disk.
    ///
    /// # Errors
    /// The folders cannot be listed; or the options say that a topic has one kind of queues, and
    /// the folders that it has the other.
    pub(crate) fn open(
        options: &StoreOptions,
        disk: &Arc<dyn Disk>,
        deleted: Arc<DeletedTopics>,
    ) -> Result<Self, StoreError> {
        let common = Arc::new(Common::new(options.max_open_queue_files));
        let home = |root: PathBuf, file_bytes: u64| {
            Arc::new(Home::new(root, file_bytes, Arc::clone(disk), Arc::clone(&common)))
        };
        let homes = Homes {
            simple: home(options.consume_queue_dir(), options.consume_queue_file_bytes),
            batch: home(options.batch_queue_dir(), options.batch_queue_file_bytes),
            ext: options
                .queue_extensions
                .then(|| home(options.extension_dir(), options.extension_file_bytes)),
            common,
        };
        let kinds = options.queue_kinds.iter();
        let batch_topics = kinds.filter(|(_, kind)| **kind == QueueKind::Batch);
        let topics = list_topics(&homes, options)?;
        let light_topics = topics.keys().filter(|topic| is_light_topic(topic)).count();
        let table = Self {
            delay_levels_ms: options.delay_levels_ms.clone(),
            most_behind_bytes: options.queue_memory_bytes,
            topics: RwLock::new(topics),
            batch_topics: RwLock::new(
                batch_topics.map(|(topic, _)| topic.as_str().into()).collect(),
            ),
            multi_dispatch: options.multi_dispatch,
            max_light_topics: options.max_light_topics,
            light_topics: AtomicUsize::new(light_topics),
            homes,
            anchor: open_anchor(&**disk, options)?,
            loading: Mutex::default(),
            deleted,
            deletions: AtomicU64::new(0),
            recent: Mutex::default(),
            dirty: Mutex::default(),
            cut: AtomicI64::new(i64::MAX),
            log: OnceLock::new(),
        };
        Ok(table)
    }

    fn read_topics(&self) -> RwLockReadGuard<'_, HashMap<Arc<str>, Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_topics(&self) -> RwLockWriteGuard<'_, HashMap<Arc<str>, Topic>> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a recovery that puts back the units of all records from `cut` on. What was opened
    /// before is forgotten.
    pub(crate) fn begin_recovery(&self, cut: i64) {
        self.cut.store(cut, Ordering::Release);
        self.lock_dirty().clear();
        *self.recent.lock().unwrap_or_else(PoisonError::into_inner) = RecentQueues::default();
        for topic in self.write_topics().values_mut() {
            topic.is_listed = false;
            topic.slots.clear();
        }
    }

    /// Ends a recovery that left this log.
    pub(crate) fn finish_recovery(&self, log: &Arc<MappedFileQueue>) {
        let min = log.first_offset().unwrap_or(0);
        self.loaded().iter().for_each(|queue| queue.finish_loading(min));
        // Only once per table: the log does not change.
        let _ = self.log.set(Arc::clone(log));
    }

    /// Whether messages may stand in queues of light topics too.
    pub(crate) fn multi_dispatch(&self) -> bool {
        self.multi_dispatch
    }

    /// What the queues of a topic are like.
    pub(crate) fn kind(&self, topic: &str) -> QueueKind {
        if let Some(known) = self.read_topics().get(topic) {
            return known.kind;
        }
        let batch = self.batch_topics.read().unwrap_or_else(PoisonError::into_inner);
        if batch.contains(topic) { QueueKind::Batch } else { QueueKind::Simple }
    }

    /// The queue of a light topic, made if it does not exist and there are not too many.
    ///
    /// # Errors
    /// [`StoreError::TooManyQueues`]; or as [`get_or_create`](Self::get_or_create).
    pub(crate) fn light_queue(&self, topic: &str) -> Result<Arc<ConsumeQueue>, StoreError> {
        if let Some(queue) = self.find(topic, LIGHT_QUEUE)? {
            return Ok(queue);
        }
        let limit = self.max_light_topics;
        if self.light_topics.load(Ordering::Relaxed) >= limit {
            return Err(StoreError::TooManyQueues { limit });
        }
        self.get_or_create(topic, LIGHT_QUEUE)
    }

    /// Says what the queues of a topic are to be like.
    ///
    /// # Errors
    /// [`StoreError::BadOptions`] if it has queues of the other kind.
    pub(crate) fn set_kind(&self, topic: &str, kind: QueueKind) -> Result<(), StoreError> {
        let topics = self.read_topics();
        if topics.get(topic).is_some_and(|known| known.kind != kind) {
            return Err(other_kind(topic, kind));
        }
        let mut batch = self.batch_topics.write().unwrap_or_else(PoisonError::into_inner);
        match kind {
            QueueKind::Batch => batch.insert(topic.into()),
            QueueKind::Simple => batch.remove(topic),
        };
        Ok(())
    }

    /// A queue that exists; `None` also if its files cannot be read.
    pub(crate) fn get(&self, topic: &str, queue_id: i32) -> Option<Arc<ConsumeQueue>> {
        self.find(topic, queue_id).unwrap_or_else(|error| {
            tracing::warn!(%error, topic, queue_id, "a queue cannot be opened");
            None
        })
    }

    fn find(&self, topic: &str, queue_id: i32) -> Result<Option<Arc<ConsumeQueue>>, StoreError> {
        match self.read_topics().get(topic) {
            None => return Ok(None),
            Some(known) => match known.slots.get(&queue_id) {
                Some(Slot::Loaded(queue)) => return Ok(Some(Arc::clone(queue))),
                None if known.is_listed => return Ok(None),
                _ => {}
            },
        }
        let is_right = |queue: &ConsumeQueue, entry: &Entry| self.is_right(queue, entry);
        self.load(topic, queue_id, &is_right)
    }

    /// A queue, made if it does not exist. Its files come with its first message.
    ///
    /// # Errors
    /// [`StoreError::IllegalMessage`] if the topic cannot be a folder's name, or the id is
    /// negative; or the queue's files cannot be read.
    pub(crate) fn get_or_create(
        &self,
        topic: &str,
        queue_id: i32,
    ) -> Result<Arc<ConsumeQueue>, StoreError> {
        match self.find(topic, queue_id)? {
            Some(queue) => Ok(queue),
            None => self.create(topic, queue_id, self.kind(topic)),
        }
    }

    /// A queue of a record that recovery's pass has met. `is_right` is asked while the log is not
    /// open yet.
    ///
    /// # Errors
    /// As [`get_or_create`](Self::get_or_create).
    pub(crate) fn recover_queue(
        &self,
        (topic, queue_id): (&str, i32),
        is_inner_batch: bool,
        is_right: &dyn Fn(&ConsumeQueue, &Entry) -> bool,
    ) -> Result<Arc<ConsumeQueue>, StoreError> {
        if let Some(Topic { slots, .. }) = self.read_topics().get(topic)
            && let Some(Slot::Loaded(queue)) = slots.get(&queue_id)
        {
            return Ok(Arc::clone(queue));
        }
        match self.load(topic, queue_id, is_right)? {
            Some(queue) => Ok(queue),
            None => {
                let kind = if is_inner_batch { QueueKind::Batch } else { self.kind(topic) };
                self.create(topic, queue_id, kind)
            }
        }
    }

    fn create(
        &self,
        topic: &str,
        queue_id: i32,
        kind: QueueKind,
    ) -> Result<Arc<ConsumeQueue>, StoreError> {
        if !is_safe_topic(topic) || queue_id < 0 {
            let reason = format!("`{}` queue {queue_id} is no queue's name", topic.escape_debug());
            return Err(StoreError::IllegalMessage { reason });
        }
        let mut topics = self.write_topics();
        let name = match topics.get_key_value(topic) {
            Some((name, _)) => Arc::clone(name),
            None => topic.into(),
        };
        let topic = topics.entry(Arc::clone(&name)).or_insert_with(|| {
            self.light_topics.fetch_add(is_light_topic(&name).into(), Ordering::Relaxed);
            Topic { kind, is_listed: true, slots: BTreeMap::new() }
        });
        if let Some(Slot::Loaded(queue)) = topic.slots.get(&queue_id) {
            return Ok(Arc::clone(queue));
        }
        let queue = Arc::new(self.homes.queue(name, queue_id, topic.kind));
        topic.slots.insert(queue_id, Slot::Loaded(Arc::clone(&queue)));
        Ok(queue)
    }

    /// Opens a queue that has a folder; `None` if it has none.
    fn load(
        &self,
        topic: &str,
        queue_id: i32,
        is_right: &dyn Fn(&ConsumeQueue, &Entry) -> bool,
    ) -> Result<Option<Arc<ConsumeQueue>>, StoreError> {
        let _alone = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let deletions = self.deletions();
        self.list(topic)?;
        let (name, kind) = match self.read_topics().get_key_value(topic) {
            None => return Ok(None),
            Some((name, known)) => match known.slots.get(&queue_id) {
                None => return Ok(None),
                Some(Slot::Loaded(queue)) => return Ok(Some(Arc::clone(queue))),
                Some(Slot::OnDisk) => (Arc::clone(name), known.kind),
            },
        };
        let queue = Arc::new(self.homes.queue(name, queue_id, kind));
        let born = self.deleted.end(topic);
        let cut = self.cut.load(Ordering::Acquire);
        let is_doubtful = self.homes.load(&queue, &Rules { born, cut, is_right })?;
        if let Some(log) = self.log.get() {
            if is_doubtful {
                self.put_back(&queue, log, cut)?;
            }
            queue.finish_loading(log.first_offset().unwrap_or(0));
        }
        let mut topics = self.write_topics();
        // The topic may have been deleted meanwhile, and made again.
        let Some(known) = topics.get_mut(topic).filter(|_| self.deletions() == deletions) else {
            return Ok(None);
        };
        known.slots.insert(queue_id, Slot::Loaded(Arc::clone(&queue)));
        drop(topics);
        if queue.is_dirty() {
            self.note_dirty(&queue);
        }
        Ok(Some(queue))
    }

    /// Puts the units of a queue back that it lacks, of records before the cut. There are some if
    /// what stood behind its last unit was a damaged one, and no remains of an earlier life.
    fn put_back(
        &self,
        queue: &Arc<ConsumeQueue>,
        log: &MappedFileQueue,
        cut: i64,
    ) -> Result<(), StoreError> {
        tracing::warn!(
            topic = %queue.topic(),
            queue_id = queue.queue_id(),
            "there is something behind the last unit of a queue: the log is asked what belongs there"
        );
        let last = queue.entry(queue.max() - 1).filter(|entry| entry.unit.is_record());
        let mut at = last.map_or(0, |entry| entry.unit.physical_offset);
        at = at.max(log.first_offset().unwrap_or(0)).max(self.deleted.end(queue.topic()));
        while at < cut
            && let Some((file, place)) = log.find(at)
        {
            let rest = file.bytes().get(place..).unwrap_or_default();
            let Ok(Some((record, length))) = Record::decode(rest) else {
                // A blank, or a damaged place: on with the next file.
                at = file.start() + file.length() as i64;
                continue;
            };
            self.put_back_one(queue, &record, length)?;
            at += length as i64;
        }
        Ok(())
    }

    fn put_back_one(
        &self,
        queue: &Arc<ConsumeQueue>,
        record: &Record<'_>,
        length: usize,
    ) -> Result<(), StoreError> {
        if !sys_flag::is_queued(record.sys_flag) {
            return Ok(());
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if record.queue_id == queue.queue_id() && *record.topic == **queue.topic() {
            self.append(queue, record, length)?;
        }
        for (topic, offset) in multi::places(record).filter(|_| self.multi_dispatch) {
            if *topic == **queue.topic() {
                self.append_light(queue, offset, record, length)?;
            }
        }
        Ok(())
    }

    /// Takes the queues of a topic in that have a folder.
    fn list(&self, topic: &str) -> Result<(), StoreError> {
        let kind = match self.read_topics().get(topic) {
            Some(known) if !known.is_listed => known.kind,
            _ => return Ok(()),
        };
        let ids = discover::queue_ids(self.homes.of(kind), topic)?;
        if let Some(known) = self.write_topics().get_mut(topic) {
            for id in ids {
                known.slots.entry(id).or_insert(Slot::OnDisk);
            }
            known.is_listed = true;
        }
        Ok(())
    }

    /// Whether the record of an entry of an opened log is the one that it stands for.
    fn is_right(&self, queue: &ConsumeQueue, entry: &Entry) -> bool {
        let Some(log) = self.log.get() else { return true };
        let offset = entry.unit.physical_offset;
        if !entry.unit.is_record() || offset < log.first_offset().unwrap_or(0) {
            return true;
        }
        let Some((file, at)) = log.find(offset) else { return false };
        let found = Record::decode(file.bytes().get(at..).unwrap_or_default()).ok().flatten();
        found.is_some_and(|(record, length)| stands_for(queue, entry, &record, length))
    }

    /// Topics that were deleted.
    pub(crate) fn deleted(&self) -> &DeletedTopics {
        &self.deleted
    }

    /// Changes whenever a topic is deleted: a queue that was looked up before may be gone then.
    pub(crate) fn deletions(&self) -> u64 {
        self.deletions.load(Ordering::Acquire)
    }

    /// Forgets a topic's queues, and all of its records before `end`, the log's end; between
    /// appends.
    ///
    /// # Errors
    /// That cannot be saved; nothing has changed then.
    pub(crate) fn delete_topic(&self, topic: &str, end: i64) -> Result<(), StoreError> {
        if !self.read_topics().contains_key(topic) {
            return Ok(());
        }
        self.deleted.delete(topic, end)?;
        // The dispatch stands still as long as this is locked.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        *recent = RecentQueues::default();
        let _nobody_loads = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.write_topics().remove(topic);
        self.light_topics.fetch_sub(is_light_topic(topic).into(), Ordering::Relaxed);
        self.batch_topics.write().unwrap_or_else(PoisonError::into_inner).remove(topic);
        self.deletions.fetch_add(1, Ordering::Release);
        let Some(Topic { kind, is_listed, slots }) = known else { return Ok(()) };
        let unlisted = if is_listed { None } else { self.homes.ids_to_remove(kind, topic) };
        for (id, slot) in &slots {
            match slot {
                Slot::Loaded(queue) => queue.remove_files(),
                Slot::OnDisk => self.homes.remove_files(kind, topic, *id),
            }
        }
        for id in unlisted.into_iter().flatten() {
            self.homes.remove_files(kind, topic, id);
        }
        Ok(())
    }

    /// Forgets a queue whose messages are all older than the log, with its files; between appends.
    /// Its next message gets the offset 0. Returns whether there was one.
    pub(crate) fn delete_expired_queue(&self, topic: &str, queue_id: i32, log_min: i64) -> bool {
        let Some(queue) = self.get(topic, queue_id) else { return false };
        queue.correct_min(log_min);
        // Messages that are in the log and not in the queue yet have their offsets already.
        let is_waiting = queue.assigned().load(Ordering::Acquire) != queue.max();
        if queue.max() == 0 || queue.min() != queue.max() || is_waiting {
            return false;
        }
        // The dispatch stands still as long as this is locked.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        *recent = RecentQueues::default();
        let _nobody_loads = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.write_topics().get_mut(topic) {
            known.slots.remove(&queue_id);
        }
        self.deletions.fetch_add(1, Ordering::Release);
        queue.remove_files();
        true
    }

    /// The queues that were used since the store was opened, in no order.
    pub(crate) fn loaded(&self) -> Vec<Arc<ConsumeQueue>> {
        let topics = self.read_topics();
        let slots = topics.values().flat_map(|topic| topic.slots.values());
        let loaded = slots.filter_map(|slot| match slot {
            Slot::Loaded(queue) => Some(Arc::clone(queue)),
            Slot::OnDisk => None,
        });
        loaded.collect()
    }

    /// All topics that have or had messages, in no order.
    pub(crate) fn topics(&self) -> Vec<Arc<str>> {
        self.read_topics().keys().map(Arc::clone).collect()
    }

    /// Ids of the queues of a topic that have or had messages.
    pub(crate) fn ids_of(&self, topic: &str) -> Vec<i32> {
        if let Err(error) = self.list(topic) {
            tracing::warn!(%error, topic, "the queues of a topic cannot be listed");
        }
        let topics = self.read_topics();
        let slots = topics.get(topic).into_iter().flat_map(|known| &known.slots);
        let had_messages = slots.filter(|(_, slot)| match slot {
            Slot::OnDisk => true,
            Slot::Loaded(queue) => queue.max() > 0,
        });
        had_messages.map(|(id, _)| *id).collect()
    }

    /// Names of all queues that have or had messages, in no order.
    pub(crate) fn names(&self) -> Vec<(Arc<str>, i32)> {
        let of_topic = |topic: Arc<str>| {
            let ids = self.ids_of(&topic).into_iter();
            ids.map(move |id| (Arc::clone(&topic), id))
        };
        self.topics().into_iter().flat_map(of_topic).collect()
    }

    /// Forgets what points before `log_min`, the log's new first offset; returns how many files
    /// went. Queues that nobody used since the store was opened are looked at only if they have
    /// several files.
    ///
    /// # Errors
    /// A file cannot be removed; it is tried again by the next call.
    pub(crate) fn remove_before(&self, log_min: i64) -> Result<usize, StoreError> {
        let mut removed = 0;
        for (topic, queue_id) in self.names() {
            let loaded = match self.read_topics().get(&*topic).map(|known| {
                (
                    known.kind,
                    known.slots.get(&queue_id).is_some_and(|slot| matches!(slot, Slot::Loaded(_))),
                )
            }) {
                Some((kind, false)) => self.homes.file_count(kind, &topic, queue_id)? > 1,
                Some((_, true)) => true,
                None => false,
            };
            if loaded && let Some(queue) = self.get(&topic, queue_id) {
                removed += queue.remove_before(log_min)?;
            }
        }
        Ok(removed)
    }

    fn lock_dirty(&self) -> MutexGuard<'_, Vec<Arc<ConsumeQueue>>> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a queue has something to be written out.
    pub(super) fn note_dirty(&self, queue: &Arc<ConsumeQueue>) {
        if !queue.is_listed.swap(true, Ordering::AcqRel) {
            self.lock_dirty().push(Arc::clone(queue));
        }
    }

    /// Bytes of units in memory only.
    pub(super) fn behind_bytes(&self) -> usize {
        self.homes.common.behind_bytes()
    }

    /// Writes all units to the files. Nothing is on the disk for certain by that.
    ///
    /// # Errors
    /// No room, or no file: what could not be written stays in memory.
    pub(crate) fn write_out(&self) -> Result<(), StoreError> {
        let dirty = self.lock_dirty().clone();
        dirty.iter().flat_map(|queue| queue.all_files()).try_for_each(|files| files.write_out())
    }

    /// Brings all units to the disk.
    ///
    /// # Errors
    /// They cannot be written, or a sync failed.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let dirty = std::mem::take(&mut *self.lock_dirty());
        // Who adds a unit from now on puts its queue on the list again.
        dirty.iter().for_each(|queue| queue.is_listed.store(false, Ordering::Release));
        let synced = self.sync_queues(&dirty);
        if synced.is_err() {
            dirty.iter().for_each(|queue| self.note_dirty(queue));
        }
        synced
    }

    fn sync_queues(&self, dirty: &[Arc<ConsumeQueue>]) -> Result<(), StoreError> {
        let files = || dirty.iter().flat_map(|queue| queue.all_files());
        files().try_for_each(|files| files.write_out())?;
        if dirty.len() < MANY_QUEUES {
            return files().try_for_each(|files| files.sync());
        }
        // One sync for all, if the disk can.
        let written: Vec<_> = files().map(|files| (files, files.written())).collect();
        let (anchor, disk) = (&self.anchor, self.homes.simple.disk());
        let is_there = written.last().is_some_and(|(files, _)| files.are_on_disk_of(anchor));
        if !is_there || !disk.sync_file_system(anchor).context(anchor.path(), "sync the disk of")? {
            return files().try_for_each(|files| files.sync());
        }
        written.iter().for_each(|(files, to)| files.note_synced(*to));
        Ok(())
    }
}

impl Homes {
    fn of(&self, kind: QueueKind) -> &Arc<Home> {
        match kind {
            QueueKind::Simple => &self.simple,
            QueueKind::Batch => &self.batch,
        }
    }

    fn queue(&self, topic: Arc<str>, queue_id: i32, kind: QueueKind) -> ConsumeQueue {
        let ext = self.ext.clone().filter(|_| kind == QueueKind::Simple);
        ConsumeQueue::new(topic, queue_id, kind, Arc::clone(self.of(kind)), ext)
    }

    fn load(&self, queue: &ConsumeQueue, rules: &Rules<'_>) -> Result<bool, StoreError> {
        let mut found = queue
            .all_files()
            .map(|files| mapped_file_queue::list(self.simple.disk(), &files.dir()));
        let (first, second) = (found.next().transpose()?, found.next().transpose()?);
        // Extensions come first if there are any.
        match (first, second) {
            (Some(ext), Some(units)) => queue.load(&units, &ext, rules),
            (Some(units), None) => queue.load(&units, &[], rules),
            _ => Ok(false),
        }
    }

    fn file_count(&self, kind: QueueKind, topic: &str, queue_id: i32) -> Result<usize, StoreError> {
        let dir = self.of(kind).root().join(topic).join(queue_id.to_string());
        Ok(mapped_file_queue::list(self.simple.disk(), &dir)?.len())
    }

    fn ids_to_remove(&self, kind: QueueKind, topic: &str) -> Option<Vec<i32>> {
        let ids = discover::queue_ids(self.of(kind), topic);
        let ids = ids.inspect_err(|error| {
            tracing::warn!(%error, topic, "a deleted topic's files stay behind");
        });
        ids.ok().map(|ids| ids.into_iter().collect())
    }

    fn remove_files(&self, kind: QueueKind, topic: &str, queue_id: i32) {
        for home in [Some(self.of(kind)), self.ext.as_ref()].into_iter().flatten() {
            let dir = home.root().join(topic).join(queue_id.to_string());
            let files = mapped_file_queue::list(home.disk(), &dir).unwrap_or_default();
            for file in files {
                if let Err(error) = home.disk().remove_file(&file.path) {
                    let path = file.path.display();
                    tracing::warn!(%error, %path, "a deleted topic's file stays behind");
                }
            }
        }
    }
}

/// Opens a file that is there as long as the store is open: whatever its disk fails at from now on,
/// it tells.
fn open_anchor(disk: &dyn Disk, options: &StoreOptions) -> Result<DiskFile, StoreError> {
    let path = options.root.join("abort");
    disk.open(&path, Open::Existing).context(&path, "open")
}

fn list_topics(
    homes: &Homes,
    options: &StoreOptions,
) -> Result<HashMap<Arc<str>, Topic>, StoreError> {
    let mut topics: HashMap<Arc<str>, Topic> = HashMap::new();
    for kind in [QueueKind::Simple, QueueKind::Batch] {
        for name in discover::topics(homes.of(kind))? {
            let wanted = options.queue_kinds.get(&name);
            let is_contradicted = wanted.is_some_and(|wanted| *wanted != kind);
            let has_queues = || Ok(!discover::queue_ids(homes.of(kind), &name)?.is_empty());
            if (is_contradicted || topics.contains_key(&*name)) && has_queues()? {
                let wanted =
                    if kind == QueueKind::Batch { QueueKind::Simple } else { QueueKind::Batch };
                return Err(other_kind(&name, wanted));
            }
            if !is_contradicted {
                topics.insert(name.into(), Topic { kind, ..Topic::default() });
            }
        }
    }
    Ok(topics)
}

fn other_kind(topic: &str, wanted: QueueKind) -> StoreError {
    let (wanted, folder) = match wanted {
        QueueKind::Simple => ("SimpleCQ", "batchconsumequeue"),
        QueueKind::Batch => ("BatchCQ", "consumequeue"),
    };
    let reason =
        format!("the queues of the topic `{topic}` should be {wanted}, but are in `{folder}`");
    StoreError::BadOptions { reason }
}

/// Whether an entry stands for this record.
pub(crate) fn stands_for(
    queue: &ConsumeQueue,
    entry: &Entry,
    record: &Record<'_>,
    length: usize,
) -> bool {
    let Unit { physical_offset, length: unit_length, .. } = entry.unit;
    record.physical_offset == physical_offset
        && i32::try_from(length) == Ok(unit_length)
        && (record.queue_offset == entry.offset
            && record.queue_id == queue.queue_id()
            && *record.topic == **queue.topic()
            || multi::places(record).any(|place| place == (&**queue.topic(), entry.offset)))
}
