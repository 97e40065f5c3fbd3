//! Files that are open because they were used lately: a bounded number of them.
//!
//! Two generations: a file that is used moves to the young one; when that is half of the bound, it
//! becomes the old one, and what was old and was not used since is closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::disk::DiskFile;
use crate::store::error::StoreError;

/// Which queue of files, and the start of the file in it.
pub(crate) type FileKey = (u64, i64);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<FileKey, Arc<DiskFile>>,
    old: HashMap<FileKey, Arc<DiskFile>>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct OpenFiles {
    half: usize,
    generations: Mutex<Generations>,
}

impl OpenFiles {
    /// Keeps at most this many files open, and at least two.
    pub(crate) fn new(bound: usize) -> Self {
        Self { half: (bound / 2).max(1), generations: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file that is open, or is opened now.
    pub(crate) fn get_or_open(
        &self,
        key: FileKey,
        open: impl FnOnce() -> Result<DiskFile, StoreError>,
    ) -> Result<Arc<DiskFile>, StoreError> {
        if let Some(file) = self.get(key) {
            return Ok(file);
        }
        let file = Arc::new(open()?);
        self.insert(key, Arc::clone(&file));
        Ok(file)
    }

    fn get(&self, key: FileKey) -> Option<Arc<DiskFile>> {
        let mut generations = self.lock();
        if let Some(file) = generations.young.get(&key) {
            return Some(Arc::clone(file));
        }
        let file = generations.old.remove(&key)?;
        drop(generations);
        self.insert(key, Arc::clone(&file));
        Some(file)
    }

    /// Takes a file in that was opened elsewhere.
    pub(crate) fn insert(&self, key: FileKey, file: Arc<DiskFile>) {
        let mut generations = self.lock();
        if generations.young.len() >= self.half {
            let young = std::mem::take(&mut generations.young);
            let old = std::mem::replace(&mut generations.old, young);
            generations.young.insert(key, file);
            drop(generations);
            // Closing takes a moment, which nobody has to wait for.
            drop(old);
        } else {
            generations.young.insert(key, file);
        }
    }

    /// Closes a file once its users are done.
    pub(crate) fn close(&self, key: FileKey) {
        let mut generations = self.lock();
        generations.young.remove(&key);
        generations.old.remove(&key);
    }

    /// How many are open.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        let generations = self.lock();
        generations.young.len() + generations.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::{Disk, Open, RealDisk};

    #[test]
    fn no_more_are_open_than_the_bound_and_those_in_use_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        drop(RealDisk.open(&path, Open::New).unwrap());
        let files = OpenFiles::new(8);
        let opened = std::cell::Cell::new(0);
        let get = |key| {
            let open = || {
                opened.set(opened.get() + 1);
                Ok(RealDisk.open(&path, Open::Existing).unwrap())
            };
            files.get_or_open((key, 0), open).unwrap()
        };
        for key in 1..1_000 {
            get(0);
            get(key);
            assert!(files.count() <= 8);
        }
        assert_eq!(opened.get(), 1_000, "the one that is always used was opened once");
        files.close((0, 0));
        get(0);
        assert_eq!(opened.get(), 1_001);
    }
}
