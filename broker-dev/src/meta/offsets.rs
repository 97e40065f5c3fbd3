//! How far each consumer group has come in each queue.
//!
//! Source: RocketMQ 5.3.3 `broker/offset/ConsumerOffsetManager`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use oxmq::protocol::body::{ConsumerOffsetSerializeWrapper, DataVersion};

use super::MetaFile;
use crate::store::StoreError;

/// The most queues of one topic that a group can commit to.
const MAX_QUEUES: usize = 65_536;

/// All committed offsets.
#[derive(Debug)]
pub(crate) struct Offsets {
    file: MetaFile<ConsumerOffsetSerializeWrapper>,
    table: Mutex<Committed>,
    is_changed: AtomicBool,
    /// Queues whose group has not learned of its new offset yet; looked at without the lock, so
    /// that a pull without one costs one load.
    resets: AtomicUsize,
}

#[derive(Debug, Default)]
struct Committed {
    version: DataVersion,
    /// Offset by queue, by group, by topic.
    topics: HashMap<String, HashMap<String, BTreeMap<i32, i64>>>,
    /// New offsets that a group has yet to learn of, by topic, group and queue.
    resets: HashMap<(String, String, i32), i64>,
}

impl Offsets {
    /// Reads `consumerOffset.json`.
    ///
    /// # Errors
    /// The file cannot be read, nor its previous generation.
    pub(crate) fn open(file: MetaFile<ConsumerOffsetSerializeWrapper>) -> Result<Self, StoreError> {
        let loaded = file.load()?.unwrap_or_default();
        let mut table = Committed { version: loaded.data_version, ..Committed::default() };
        for (key, queues) in loaded.offset_table {
            if let Some((topic, group)) = key.split_once('@') {
                table.topics.entry(topic.to_owned()).or_default().insert(group.to_owned(), queues);
            }
        }
        Ok(Self {
            file,
            table: Mutex::new(table),
            is_changed: AtomicBool::new(false),
            resets: AtomicUsize::new(0),
        })
    }

    /// Stores a group's offset. A smaller one than before is taken too, as with RocketMQ. One that
    /// comes while the group has yet to learn of a [reset](Self::reset) is not.
    pub(crate) fn commit(&self, group: &str, topic: &str, queue_id: i32, offset: i64) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if self.resets.load(Ordering::Acquire) > 0
            && table.resets.contains_key(&(topic.to_owned(), group.to_owned(), queue_id))
        {
            return;
        }
        self.put(&mut table, group, topic, queue_id, offset);
    }

    /// Sets a group's offset whatever its members say meanwhile: they learn of it by their next
    /// pull, see [`take_reset`](Self::take_reset).
    pub(crate) fn reset(&self, group: &str, topic: &str, queue_id: i32, offset: i64) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.resets.insert((topic.to_owned(), group.to_owned(), queue_id), offset);
        self.resets.store(table.resets.len(), Ordering::Release);
        self.put(&mut table, group, topic, queue_id, offset);
    }

    /// The offset that a group was reset to, the first time it is asked for.
    pub(crate) fn take_reset(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        if self.resets.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = table.resets.remove(&(topic.to_owned(), group.to_owned(), queue_id));
        self.resets.store(table.resets.len(), Ordering::Release);
        offset
    }

    fn put(&self, table: &mut Committed, group: &str, topic: &str, queue_id: i32, offset: i64) {
        if let Some(queues) = table.topics.get_mut(topic).and_then(|groups| groups.get_mut(group)) {
            if queues.len() < MAX_QUEUES || queues.contains_key(&queue_id) {
                queues.insert(queue_id, offset);
            }
        } else {
            let groups = table.topics.entry(topic.to_owned()).or_default();
            groups.entry(group.to_owned()).or_default().insert(queue_id, offset);
        }
        self.is_changed.store(true, Ordering::Release);
    }

    /// A group's offset, if it has one.
    pub(crate) fn committed(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.topics.get(topic)?.get(group)?.get(&queue_id).copied()
    }

    /// A group's offsets in the queues of a topic.
    pub(crate) fn of(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let queues = table.topics.get(topic).and_then(|groups| groups.get(group));
        queues.cloned().unwrap_or_default()
    }

    /// The groups that have an offset in a topic, with their offsets by queue.
    pub(crate) fn groups_of(&self, topic: &str) -> BTreeMap<String, BTreeMap<i32, i64>> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = table.topics.get(topic).into_iter().flatten();
        groups.map(|(group, queues)| (group.clone(), queues.clone())).collect()
    }

    /// Gives one group the offsets of another in a topic, if that one has any.
    pub(crate) fn copy(&self, from: &str, to: &str, topic: &str) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(groups) = table.topics.get_mut(topic) else { return };
        let Some(queues) = groups.get(from).cloned() else { return };
        groups.insert(to.to_owned(), queues);
        self.is_changed.store(true, Ordering::Release);
    }

    /// The topics in which a group has an offset.
    pub(crate) fn topics_of(&self, group: &str) -> Vec<String> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let topics = table.topics.iter().filter(|(_, groups)| groups.contains_key(group));
        topics.map(|(topic, _)| topic.clone()).collect()
    }

    /// Forgets all offsets of a topic.
    pub(crate) fn remove_topic(&self, topic: &str) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.topics.remove(topic);
        table.resets.retain(|(of, _, _), _| of != topic);
        self.resets.store(table.resets.len(), Ordering::Release);
        self.is_changed.store(true, Ordering::Release);
    }

    /// Forgets all offsets of a group.
    pub(crate) fn remove_group(&self, group: &str) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.topics.retain(|_, groups| {
            groups.remove(group);
            !groups.is_empty()
        });
        table.resets.retain(|(_, of, _), _| of != group);
        self.resets.store(table.resets.len(), Ordering::Release);
        self.is_changed.store(true, Ordering::Release);
    }

    /// All of them, as they are sent and saved.
    pub(crate) fn all(&self) -> ConsumerOffsetSerializeWrapper {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let offset_table = table.topics.iter().flat_map(|(topic, groups)| {
            groups.iter().map(move |(group, queues)| (format!("{topic}@{group}"), queues.clone()))
        });
        ConsumerOffsetSerializeWrapper {
            data_version: table.version.clone(),
            offset_table: offset_table.collect(),
        }
    }

    /// Saves them if they have changed since they were saved last.
    ///
    /// # Errors
    /// The disk refuses; the next call tries again.
    pub(crate) fn save(&self, now_ms: i64) -> Result<(), StoreError> {
        if !self.is_changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        self.table.lock().unwrap_or_else(PoisonError::into_inner).version.advance(now_ms);
        self.file.save(&self.all()).inspect_err(|_| self.is_changed.store(true, Ordering::Release))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::disk::RealDisk;

    fn open(folder: &std::path::Path) -> Offsets {
        Offsets::open(MetaFile::new(Arc::new(RealDisk), folder, "consumerOffset.json")).unwrap()
    }

    #[test]
    fn offsets_are_kept_by_group_topic_and_queue() {
        let folder = tempfile::tempdir().unwrap();
        let offsets = open(folder.path());
        offsets.commit("g", "t", 0, 5);
        offsets.commit("g", "t", 1, 6);
        offsets.commit("h", "t", 0, 7);
        offsets.commit("g", "u", 0, 8);
        offsets.commit("g", "t", 0, 4);
        assert_eq!(offsets.committed("g", "t", 0), Some(4));
        assert_eq!(offsets.committed("h", "t", 1), None);
        offsets.save(9).unwrap();

        let again = open(folder.path());
        assert_eq!(again.all(), offsets.all());
        assert_eq!(again.committed("h", "t", 0), Some(7));
        again.remove_group("g");
        again.remove_topic("u");
        assert_eq!(again.all().offset_table.len(), 1);
        assert_eq!(again.topics_of("h"), ["t"]);
    }

    #[test]
    fn a_reset_stands_until_the_group_has_learned_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let offsets = open(folder.path());
        offsets.commit("g", "t", 0, 5);
        offsets.reset("g", "t", 0, 2);
        offsets.commit("g", "t", 0, 6);
        offsets.commit("h", "t", 0, 7);
        assert_eq!(offsets.committed("g", "t", 0), Some(2));
        assert_eq!(offsets.committed("h", "t", 0), Some(7));
        assert_eq!(offsets.take_reset("g", "t", 0), Some(2));
        assert_eq!(offsets.take_reset("g", "t", 0), None);
        offsets.commit("g", "t", 0, 3);
        assert_eq!(offsets.of("g", "t")[&0], 3);
    }

    #[test]
    fn offsets_can_be_copied_to_another_group() {
        let folder = tempfile::tempdir().unwrap();
        let offsets = open(folder.path());
        offsets.commit("g", "t", 0, 5);
        offsets.copy("g", "h", "t");
        offsets.copy("nobody", "h", "t");
        assert_eq!(offsets.groups_of("t").len(), 2);
        assert_eq!(offsets.of("h", "t"), offsets.of("g", "t"));
    }

    #[test]
    fn an_unchanged_table_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let offsets = open(folder.path());
        offsets.save(1).unwrap();
        assert!(!folder.path().join("config").exists());
    }

    /// Bare integer keys and a third part, as Apache writes them.
    #[test]
    fn apaches_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        let text = "{\n\t\"groupTopicMap\":{\"g\":[\"t\"]},\n\t\"offsetTable\":{\"t@g\":{0:12,1:3},\"t@g@broadcast\":{0:1}\n\t}\n}";
        std::fs::write(folder.path().join("config/consumerOffset.json"), text).unwrap();
        let offsets = open(folder.path());
        assert_eq!(offsets.committed("g", "t", 1), Some(3));
        assert!(offsets.all().offset_table.contains_key("t@g@broadcast"));
    }
}
