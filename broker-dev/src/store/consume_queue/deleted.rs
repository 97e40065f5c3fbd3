//! Topics that were deleted. The log keeps their records, so it must be remembered from where on in
//! the log the records of such a topic count again.
//!
//! Kept in `config/deletedTopics.json`: topic, and the log's end when it was deleted. A topic whose
//! old records the log no longer has is forgotten.
//!
//! Differs: Apache remembers nothing, and a recovery there brings messages of a deleted topic back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::store::config_file;
use crate::store::disk::Disk;
use crate::store::error::StoreError;

type Ends = BTreeMap<String, i64>;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct DeletedTopics {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    ends: ArcSwap<Ends>,
}

impl DeletedTopics {
    /// Reads what the store at `root` remembers.
    ///
    /// # Errors
    /// The file cannot be read, nor its previous generation.
    pub(crate) fn open(disk: Arc<dyn Disk>, root: &Path) -> Result<Self, StoreError> {
        let path = root.join("config").join("deletedTopics.json");
        let parse =
            |bytes: &[u8]| serde_json::from_slice::<Ends>(bytes).map_err(|error| error.to_string());
        let ends = config_file::load(&*disk, &path, parse)?.unwrap_or_default();
        Ok(Self { path, disk, ends: ArcSwap::from_pointee(ends) })
    }

    /// Log offset from which on the topic's records count: 0 if it was never deleted.
    pub(crate) fn end(&self, topic: &str) -> i64 {
        self.ends.load().get(topic).copied().unwrap_or_default()
    }

    /// Whether the topic was deleted after the record at this log offset.
    pub(crate) fn is_over(&self, topic: &str, physical_offset: i64) -> bool {
        let ends = self.ends.load();
        !ends.is_empty() && ends.get(topic).is_some_and(|end| physical_offset < *end)
    }

    /// The topic's records before `end` count no more. One caller at a time.
    ///
    /// # Errors
    /// That cannot be saved; they count as before then.
    pub(crate) fn delete(&self, topic: &str, end: i64) -> Result<(), StoreError> {
        let mut ends = Ends::clone(&self.ends.load());
        ends.insert(topic.to_owned(), end);
        self.replace(ends)
    }

    /// Ends a recovery that found the log to go from `min` to `end`. A power cut may have taken
    /// records from before a deletion; what is written in their place is newer than it.
    ///
    /// # Errors
    /// That cannot be saved.
    pub(crate) fn finish_loading(&self, min: i64, end: i64) -> Result<(), StoreError> {
        let mut ends = Ends::clone(&self.ends.load());
        ends.retain(|_, deleted| *deleted > min);
        ends.values_mut().for_each(|deleted| *deleted = end.min(*deleted));
        if ends == **self.ends.load() { Ok(()) } else { self.replace(ends) }
    }

    fn replace(&self, ends: Ends) -> Result<(), StoreError> {
        let text = serde_json::to_vec(&ends).unwrap_or_default();
        config_file::save(&*self.disk, &self.path, &text)?;
        self.ends.store(Arc::new(ends));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::{Call, FaultyDisk, RealDisk};

    #[test]
    fn deletions_are_remembered_as_long_as_the_log_has_records_from_before() {
        let folder = tempfile::tempdir().unwrap();
        let open = || DeletedTopics::open(Arc::new(RealDisk), folder.path()).unwrap();
        open().delete("old", 100).unwrap();
        open().delete("new", 900).unwrap();
        let deleted = open();
        assert!(deleted.is_over("old", 99) && !deleted.is_over("old", 100));
        assert!(!deleted.is_over("other", 0));
        deleted.finish_loading(100, 800).unwrap();
        assert_eq!((open().end("old"), open().end("new")), (0, 800));
    }

    #[test]
    fn a_deletion_that_cannot_be_saved_has_not_happened() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
        let deleted = DeletedTopics::open(disk.clone(), folder.path()).unwrap();
        disk.fail_nth(Call::SyncData, 1, std::io::ErrorKind::Other);
        deleted.delete("t", 5).unwrap_err();
        assert!(!deleted.is_over("t", 0));
    }
}
