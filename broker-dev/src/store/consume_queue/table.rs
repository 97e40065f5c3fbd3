//! All consume queues, by topic and queue id.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use oxmq::protocol::message::record::Record;
use oxmq::protocol::message::sys_flag;

use super::deleted::DeletedTopics;
use super::queue::{Appended, ConsumeQueue};
use super::recent::RecentQueues;
use super::unit::{self, Unit};
use crate::store::Arrived;
use crate::store::disk::Disk;
use crate::store::dispatch::DispatchSink;
use crate::store::error::{Context, StoreError};
use crate::store::mapped_file_queue::{self, Found};

type Queues = HashMap<Arc<str>, BTreeMap<i32, Arc<ConsumeQueue>>>;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct QueueTable {
    dir: PathBuf,
    file_bytes: usize,
    delay_levels_ms: Vec<i64>,
    disk: Arc<dyn Disk>,
    queues: RwLock<Queues>,
    deleted: Arc<DeletedTopics>,
    /// How many topics were deleted; changed only between appends.
    deletions: AtomicU64,
    /// Those that the dispatch used last.
    recent: Mutex<RecentQueues>,
}

/// The files of one queue, as found in its folder.
#[derive(Debug)]
pub(crate) struct FoundQueue {
    pub(crate) topic: Arc<str>,
    pub(crate) queue_id: i32,
    pub(crate) files: Vec<Found>,
}

/// Whether a topic from outside may become the name of a folder.
pub(crate) fn is_safe_topic(topic: &str) -> bool {
    !topic.is_empty()
        && topic.len() <= 255
        && topic != "."
        && topic != ".."
        && !topic.contains(['/', '\\', '\0'])
}

/// Looks for queues in the folder `consumequeue`.
pub(crate) fn find_queues(disk: &dyn Disk, dir: &Path) -> Result<Vec<FoundQueue>, StoreError> {
    let mut found = Vec::new();
    for topic in folders(disk, dir)? {
        let topic_dir = dir.join(&topic);
        let topic: Arc<str> = topic.into();
        for queue in folders(disk, &topic_dir)? {
            let Some(queue_id) = queue.parse().ok().filter(|id: &i32| *id >= 0) else { continue };
            let files = mapped_file_queue::list(disk, &topic_dir.join(queue))?;
            found.push(FoundQueue { topic: Arc::clone(&topic), queue_id, files });
        }
    }
    Ok(found)
}

fn folders(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, StoreError> {
    match disk.read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => Ok(entries
            .context(dir, "list")?
            .into_iter()
            .filter(|entry| entry.is_dir)
            .map(|entry| entry.name)
            .collect()),
    }
}

impl QueueTable {
    /// A table without queues.
    pub(crate) fn new(
        dir: PathBuf,
        file_bytes: usize,
        delay_levels_ms: Vec<i64>,
        disk: Arc<dyn Disk>,
        deleted: Arc<DeletedTopics>,
    ) -> Self {
        Self {
            dir,
            file_bytes,
            delay_levels_ms,
            disk,
            queues: RwLock::default(),
            deleted,
            deletions: AtomicU64::new(0),
            recent: Mutex::default(),
        }
    }

    /// A queue that exists.
    pub(crate) fn get(&self, topic: &str, queue_id: i32) -> Option<Arc<ConsumeQueue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.get(topic)?.get(&queue_id).cloned()
    }

    /// A queue, made if it does not exist. Its files come with its first message.
    ///
    /// # Errors
    /// [`StoreError::IllegalMessage`] if the topic cannot be a folder's name, or the id is
    /// negative.
    pub(crate) fn get_or_create(
        &self,
        topic: &str,
        queue_id: i32,
    ) -> Result<Arc<ConsumeQueue>, StoreError> {
        if let Some(queue) = self.get(topic, queue_id) {
            return Ok(queue);
        }
        if !is_safe_topic(topic) || queue_id < 0 {
            let reason = format!("`{}` queue {queue_id} is no queue's name", topic.escape_debug());
            return Err(StoreError::IllegalMessage { reason });
        }
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let topic = match queues.get_key_value(topic) {
            Some((topic, _)) => Arc::clone(topic),
            None => topic.into(),
        };
        let dir = self.dir.join(&*topic).join(queue_id.to_string());
        let by_id = queues.entry(Arc::clone(&topic)).or_default();
        let queue = by_id.entry(queue_id).or_insert_with(|| {
            let disk = Arc::clone(&self.disk);
            Arc::new(ConsumeQueue::new(topic, queue_id, dir, self.file_bytes, disk))
        });
        Ok(Arc::clone(queue))
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
        if !self.queues.read().unwrap_or_else(PoisonError::into_inner).contains_key(topic) {
            return Ok(());
        }
        self.deleted.delete(topic, end)?;
        // The dispatch stands still as long as this is locked.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        *recent = RecentQueues::default();
        let queues = self.queues.write().unwrap_or_else(PoisonError::into_inner).remove(topic);
        self.deletions.fetch_add(1, Ordering::Release);
        for queue in queues.iter().flat_map(BTreeMap::values) {
            queue.remove_files();
        }
        Ok(())
    }

    /// All queues, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<ConsumeQueue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Forgets what points before `log_min`, the log's new first offset; returns how many files
    /// went.
    ///
    /// # Errors
    /// A file cannot be removed; it is tried again by the next call.
    pub(crate) fn remove_before(&self, log_min: i64) -> Result<usize, StoreError> {
        self.all().iter().try_fold(0, |sum, queue| Ok(sum + queue.remove_before(log_min)?))
    }

    /// The unit of a record.
    pub(crate) fn unit_of(&self, record: &Record<'_>, length: u32) -> Unit {
        Unit {
            physical_offset: record.physical_offset,
            length: i32::try_from(length).unwrap_or(i32::MAX),
            tags_code: unit::tags_code(record, &self.delay_levels_ms),
        }
    }

    /// Puts a record's unit into its queue.
    pub(crate) fn append(
        &self,
        queue: &ConsumeQueue,
        record: &Record<'_>,
        length: u32,
    ) -> Result<(Appended, Unit), StoreError> {
        let unit = self.unit_of(record, length);
        Ok((queue.append(record.queue_offset, &unit)?, unit))
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
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = match recent.get(record.topic, record.queue_id) {
            Some(queue) => Arc::clone(queue),
            None if self.deleted.is_over(record.topic, record.physical_offset) => return Ok(()),
            None => {
                let queue = self.get_or_create(record.topic, record.queue_id)?;
                recent.remember(Arc::clone(&queue));
                queue
            }
        };
        let (_, unit) = self.append(&queue, record, length)?;
        let max_offset = record.queue_offset + 1;
        match arrived.last_mut() {
            Some(last)
                if last.queue_id == record.queue_id
                    && last.tags_code == unit.tags_code
                    && *last.topic == *record.topic =>
            {
                last.max_offset = max_offset;
            }
            _ => arrived.push(Arrived {
                topic: Arc::clone(queue.topic()),
                queue_id: record.queue_id,
                max_offset,
                tags_code: unit.tags_code,
                store_timestamp: record.store_timestamp,
            }),
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        for queue in self.all() {
            if queue.is_dirty() {
                queue.sync()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for topic in ["", ".", "..", "a/b", "a\0b", "../x", &"x".repeat(256)] {
            assert!(!is_safe_topic(topic), "{topic:?}");
        }
        for topic in ["T", "%RETRY%group", "a.b", "主题", &"x".repeat(255)] {
            assert!(is_safe_topic(topic), "{topic:?}");
        }
    }
}
