//! Index files: from a key to the messages that have it.
//!
//! Each record's keys become entries of the newest file, in the log's order; an entry is chained to
//! the one before it in its hash slot. A query walks the chain of its key's slot, newest file first,
//! and looks at each record found: what has another topic or key, or is not there any more, is
//! passed over. So no damage to an index file can bring a wrong message.
//!
//! ```text
//! dispatch ──► IndexLine ──► Index::accept ──► keys ──► IndexWriter::put
//! query ─────► Index::offsets ─► IndexFile::walk               newest file first
//! recovery ──► files kept up to what is certain, slots made again from the entries
//! ```
//!
//! Source: RocketMQ 5.3.3 `store/index/{IndexService, IndexFile}`.

mod file;
mod keys;
mod layout;
mod line;
mod load;
mod query;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use oxmq::clock::SharedClock;
use oxmq::protocol::message::record::Record;

use file::{IndexFile, IndexWriter};
pub(crate) use keys::{TopicHash, keys as keys_of};
pub(crate) use layout::{Entry, Geometry, Header};
pub(crate) use line::IndexLine;
pub use query::QueryResult;

use super::disk::Disk;
use super::dispatch::{Arrived, DispatchSink, LogView};
use super::error::{Context, StoreError};
use super::local_time;
use super::mapped_file::MappedWords;

/// Checkpoints between two syncs: a sync is dear, since slots are spread over many pages, and after
/// a crash the last seconds of the log are looked at anyway.
const CHECKPOINTS_A_SYNC: u32 = 5;
/// Keys that get their entries together: their slots are brought in at the same time.
const KEYS_A_TURN: usize = 256;
/// Files besides the newest that stay mapped between queries.
const MOST_MAPPED: usize = 16;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Index {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    clock: SharedClock,
    /// Oldest first.
    files: ArcSwap<Vec<Arc<IndexFile>>>,
    /// Store time of a record that is indexed on the disk, with all before it.
    synced_ms: AtomicI64,
    progress: Mutex<Progress>,
    /// Old files that are mapped, the one used last at the end.
    mapped: Mutex<VecDeque<Arc<IndexFile>>>,
}

/// A key of a record, on its way to its entry.
#[derive(Debug, Clone, Copy)]
struct Key {
    hash: u32,
    offset: i64,
    store_ms: i64,
}

/// What the writing side knows.
#[derive(Debug)]
struct Progress {
    /// For files to come; that of the files there are, if any.
    geometry: Geometry,
    writer: Option<IndexWriter>,
    /// Log offset before which all records were taken in.
    position: i64,
    /// Store time of the last one.
    last_store_ms: i64,
    /// Keys that were taken in and have no entries yet.
    waiting: Vec<Key>,
    /// Store time of the last record all of whose keys have entries.
    done_ms: i64,
    /// Files that were filled since the last sync.
    filled: Vec<Arc<MappedWords>>,
    folder_changed: bool,
    checkpoints_since_sync: u32,
    /// The topic of the last record, and its hash.
    topic: (String, TopicHash),
}

impl Progress {
    fn hash_of(&mut self, topic: &str) -> TopicHash {
        if self.topic.0 != topic {
            self.topic = (topic.to_owned(), TopicHash::new(topic));
        }
        self.topic.1
    }
}

impl Index {
    /// An index without files; recovery finds them.
    pub(crate) fn new(
        dir: PathBuf,
        geometry: Geometry,
        disk: Arc<dyn Disk>,
        clock: SharedClock,
    ) -> Self {
        let progress = Progress {
            geometry,
            writer: None,
            position: 0,
            last_store_ms: 0,
            waiting: Vec::with_capacity(KEYS_A_TURN),
            done_ms: 0,
            filled: Vec::new(),
            folder_changed: false,
            checkpoints_since_sync: 0,
            topic: (String::new(), TopicHash::new("")),
        };
        Self {
            dir,
            disk,
            clock,
            files: ArcSwap::default(),
            synced_ms: AtomicI64::new(0),
            progress: Mutex::new(progress),
            mapped: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Store time of a record whose entries, and those of all before it, are on the disk.
    pub(crate) fn synced_ms(&self) -> i64 {
        self.synced_ms.load(Ordering::Acquire)
    }

    /// Whether records were indexed since the last sync.
    pub(crate) fn is_dirty(&self) -> bool {
        let progress = self.lock();
        progress.done_ms > self.synced_ms() || !progress.filled.is_empty()
    }

    /// After a recovery: every record of the log is indexed, the last one of this store time.
    pub(crate) fn is_complete_to(&self, last_store_ms: i64) {
        let mut progress = self.lock();
        progress.done_ms = progress.done_ms.max(last_store_ms);
    }

    /// Gives the keys that wait their entries, in new files where there is none with room.
    fn write_waiting(&self, progress: &mut Progress) -> Result<(), StoreError> {
        let mut waiting = std::mem::take(&mut progress.waiting);
        let mut done = 0;
        let mut result = Ok(());
        while result.is_ok() && done < waiting.len() {
            let writer = match &mut progress.writer {
                Some(writer) if !writer.is_full() => Ok(writer),
                _ => self.next_writer(progress),
            };
            result = writer.and_then(|writer| {
                writer.put_many(&*self.disk, waiting.get(done..).unwrap_or_default(), &mut done)
            });
        }
        waiting.drain(..done);
        progress.waiting = waiting;
        if result.is_ok() {
            progress.done_ms = progress.done_ms.max(progress.last_store_ms);
        }
        result
    }

    /// The writer of the newest file, or of a new one if that is full.
    fn next_writer<'p>(
        &self,
        progress: &'p mut Progress,
    ) -> Result<&'p mut IndexWriter, StoreError> {
        let newest = self.files.load().last().cloned();
        let writer = match &newest {
            Some(newest) if !newest.is_full() => {
                IndexWriter::open(&*self.disk, Arc::clone(newest))?
            }
            _ => self.create(progress.geometry, newest.as_deref())?,
        };
        if let Some(full) = progress.writer.take() {
            progress.filled.push(Arc::clone(full.words()));
            self.was_mapped(Arc::clone(full.file()));
        }
        if newest.is_none_or(|newest| !Arc::ptr_eq(&newest, writer.file())) {
            let mut files = Vec::clone(&self.files.load());
            files.push(Arc::clone(writer.file()));
            self.files.store(Arc::new(files));
            progress.folder_changed = true;
        }
        Ok(progress.writer.insert(writer))
    }

    fn create(
        &self,
        geometry: Geometry,
        newest: Option<&IndexFile>,
    ) -> Result<IndexWriter, StoreError> {
        self.disk.create_dir_all(&self.dir).context(&self.dir, "create")?;
        let mut name = local_time::digits(self.clock.now_ms());
        // Names order the files, whatever the clock does.
        let last = newest.and_then(|newest| newest.path().file_name()?.to_str()?.parse().ok());
        if let Some(last) =
            last.filter(|last: &u64| name.parse().is_ok_and(|new: u64| new <= *last))
        {
            name = format!("{:017}", last + 1);
        }
        let header = newest.map(IndexFile::header);
        IndexWriter::create(&*self.disk, self.dir.join(name), geometry, header.as_ref())
    }

    /// Remembers that an old file is mapped, and lets go of the one unused for longest if there are
    /// too many.
    fn was_mapped(&self, file: Arc<IndexFile>) {
        let mut mapped = self.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        mapped.retain(|other| !Arc::ptr_eq(other, &file));
        mapped.push_back(file);
        if mapped.len() > MOST_MAPPED
            && let Some(unused) = mapped.pop_front()
        {
            unused.unmap();
        }
    }

    /// Brings what was indexed so far to the disk, now.
    ///
    /// # Errors
    /// A failed sync: what is on the disk is unknown then.
    pub(crate) fn sync_now(&self) -> Result<(), StoreError> {
        let (dirty, folder_changed, done_ms) = {
            let mut progress = self.lock();
            let mut dirty = std::mem::take(&mut progress.filled);
            dirty.extend(progress.writer.as_ref().map(|writer| Arc::clone(writer.words())));
            progress.checkpoints_since_sync = 0;
            let folder_changed = std::mem::take(&mut progress.folder_changed);
            (dirty, folder_changed, progress.done_ms)
        };
        for words in &dirty {
            let file = words.disk_file();
            self.disk.sync_data(file).context(file.path(), "sync")?;
        }
        if folder_changed {
            for dir in self.dir.ancestors().take(2) {
                self.disk.sync_dir(dir).context(dir, "sync")?;
            }
        }
        self.synced_ms.fetch_max(done_ms, Ordering::AcqRel);
        Ok(())
    }

    /// Syncs at each fifth call only.
    ///
    /// # Errors
    /// As [`sync_now`](Self::sync_now).
    pub(crate) fn sync_now_and_then(&self) -> Result<(), StoreError> {
        let is_due = {
            let mut progress = self.lock();
            progress.checkpoints_since_sync += 1;
            progress.checkpoints_since_sync >= CHECKPOINTS_A_SYNC
        };
        if is_due { self.sync_now() } else { Ok(()) }
    }

    /// Removes files, never the newest, all of whose records lie before the log's first offset;
    /// returns how many. Who is reading one of them reads on.
    ///
    /// # Errors
    /// A file that cannot be removed; it is tried again the next time.
    pub(crate) fn remove_expired(&self, log_min: i64) -> Result<usize, StoreError> {
        let progress = self.lock();
        let files = self.files.load_full();
        let is_expired = |file: &Arc<IndexFile>| file.header().end_offset < log_min;
        let old = files.split_last().map_or(&[][..], |(_, old)| old);
        let expired = old.iter().take_while(|file| is_expired(file)).count();
        let mut removed = 0;
        let mut result = Ok(());
        for file in files.iter().take(expired) {
            result = self.disk.remove_file(file.path()).context(file.path(), "remove");
            if result.is_err() {
                break;
            }
            removed += 1;
        }
        if removed > 0 {
            self.files.store(Arc::new(files.iter().skip(removed).cloned().collect()));
            let gone = |file: &Arc<IndexFile>| {
                files.iter().take(removed).any(|removed| Arc::ptr_eq(removed, file))
            };
            self.mapped.lock().unwrap_or_else(PoisonError::into_inner).retain(|file| !gone(file));
        }
        drop(progress);
        result.map(|()| removed)
    }
}

impl DispatchSink for Index {
    fn accept(
        &self,
        record: &Record<'_>,
        _length: u32,
        _arrived: &mut Vec<Arrived>,
    ) -> Result<(), StoreError> {
        let progress = &mut *self.lock();
        if record.physical_offset < progress.position {
            return Ok(());
        }
        let topic = progress.hash_of(record.topic);
        let (offset, store_ms) = (record.physical_offset, record.store_timestamp);
        let key = |key| Key { hash: topic.key(key), offset, store_ms };
        progress.waiting.extend(keys::keys(record).map(key));
        (progress.position, progress.last_store_ms) = (offset + 1, store_ms);
        if progress.waiting.len() < KEYS_A_TURN { Ok(()) } else { self.write_waiting(progress) }
    }

    fn end_turn(&self) -> Result<(), StoreError> {
        self.write_waiting(&mut self.lock())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.sync_now()
    }

    fn begin_recovery(&self, log: &LogView<'_>, certain: i64) -> Result<i64, StoreError> {
        self.load(log, certain)
    }

    fn finish_recovery(&self, min: i64, end: i64) -> Result<(), StoreError> {
        {
            let progress = &mut *self.lock();
            self.write_waiting(progress)?;
            self.cut(progress, end)?;
        }
        self.remove_expired(min).map(drop)
    }
}
