//! Equally long mapped files in one folder, addressed by an offset that runs through all of them.
//!
//! Each file is named by the offset of its first byte, 20 decimal digits. A file has its full
//! length from the moment it is made, as Apache's broker expects. This module hands out writers and
//! finds readers; who may write when is its users' business.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::disk::{Disk, DiskFile, Open};
use super::error::{Context, StoreError};
use super::mapped_file::{MappedFile, MappedWriter};

/// What became of a file that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is gone, and so are its bytes.
    Removed {
        /// How long it was.
        bytes: u64,
    },
    /// It is the only one, which stays.
    IsLast,
    /// Somebody reads it; it can go later.
    IsRead,
}

/// A file found in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) start: i64,
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct MappedFileQueue {
    dir: PathBuf,
    file_bytes: usize,
    disk: Arc<dyn Disk>,
    files: ArcSwap<Vec<Arc<MappedFile>>>,
}

/// The name of the file whose first byte has this offset.
pub(crate) fn file_name(start: i64) -> String {
    format!("{start:020}")
}

/// The files of a folder whose names are offsets, in order; none if there is no such folder.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<Found>, StoreError> {
    let entries = match disk.read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(dir, "list")?,
    };
    let mut files: Vec<Found> = entries
        .into_iter()
        .filter(|entry| !entry.is_dir && entry.name.len() == 20)
        .filter_map(|entry| {
            let digits = entry.name.bytes().all(|byte| byte.is_ascii_digit());
            let start = entry.name.parse().ok().filter(|_| digits)?;
            Some(Found { start, path: dir.join(entry.name), length: entry.length })
        })
        .collect();
    files.sort_by_key(|file| file.start);
    Ok(files)
}

impl MappedFileQueue {
    /// A queue that shows no files yet.
    pub(crate) fn new(dir: PathBuf, file_bytes: usize, disk: Arc<dyn Disk>) -> Self {
        Self { dir, file_bytes, disk, files: ArcSwap::default() }
    }

    /// The folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The disk that the files are on.
    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Bytes of each file.
    pub(crate) fn file_bytes(&self) -> usize {
        self.file_bytes
    }

    /// Makes and maps a file, all its blocks taken; readers do not see it until it is
    /// [pushed](Self::push).
    pub(crate) fn create(&self, start: i64) -> Result<MappedWriter, StoreError> {
        let path = self.dir.join(file_name(start));
        let file = self.disk.open(&path, Open::New).context(&path, "create")?;
        let made = self.make(file, start);
        if made.is_err() {
            // A file of the wrong length would keep Apache's broker from opening the folder.
            let _ = self.disk.remove_file(&path);
        }
        made
    }

    fn make(&self, file: DiskFile, start: i64) -> Result<MappedWriter, StoreError> {
        let (path, length) = (file.path().to_path_buf(), self.file_bytes as u64);
        self.disk.set_length(&file, length).context(&path, "set the length of")?;
        self.disk.reserve(&file, 0, length).context(&path, "reserve blocks for")?;
        self.disk.sync_dir(&self.dir).context(&self.dir, "sync")?;
        MappedFile::map(file, start, self.file_bytes).context(&path, "map")
    }

    /// Maps a file that is there.
    pub(crate) fn open(&self, found: &Found) -> Result<MappedWriter, StoreError> {
        let file = self.disk.open(&found.path, Open::Existing).context(&found.path, "open")?;
        MappedFile::map(file, found.start, self.file_bytes).context(&found.path, "map")
    }

    /// Removes a file that no longer counts.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), StoreError> {
        self.disk.remove_file(path).context(path, "remove")
    }

    /// Shows readers one more file, the new last one.
    pub(crate) fn push(&self, file: Arc<MappedFile>) {
        self.files.rcu(|files| {
            let mut files = Vec::clone(files);
            files.push(Arc::clone(&file));
            files
        });
    }

    /// Removes the first file, unless it is the only one or somebody reads it; if forced to, also
    /// while somebody reads it, who reads on. The folder is not
    /// synced: a file that comes back after a power cut is removed again.
    ///
    /// # Errors
    /// The file cannot be removed; readers go on seeing it then.
    pub(crate) fn remove_first(&self, is_forced: bool) -> Result<Removal, StoreError> {
        let files = self.files.load_full();
        let [first, _, ..] = files.as_slice() else { return Ok(Removal::IsLast) };
        // One handle is the list's.
        if !is_forced && Arc::strong_count(first) > 1 {
            return Ok(Removal::IsRead);
        }
        self.remove(first.disk_file().path())?;
        self.files.rcu(|files| {
            files.iter().filter(|file| file.start() != first.start()).cloned().collect::<Vec<_>>()
        });
        Ok(Removal::Removed { bytes: first.length() as u64 })
    }

    /// The files that readers see, in order.
    pub(crate) fn files(&self) -> Arc<Vec<Arc<MappedFile>>> {
        self.files.load_full()
    }

    /// The file that holds the byte at `offset`, and where in it the byte is.
    pub(crate) fn find(&self, offset: i64) -> Option<(Arc<MappedFile>, usize)> {
        let files = self.files.load();
        let from_first = usize::try_from(offset.checked_sub(files.first()?.start())?).ok()?;
        let guess = files.get(from_first / self.file_bytes);
        let file = match guess {
            Some(file) if file.start() <= offset => file,
            // A gap between files: look for the last one that starts early enough.
            _ => files.get(files.partition_point(|file| file.start() <= offset).checked_sub(1)?)?,
        };
        let at = usize::try_from(offset.checked_sub(file.start())?).ok()?;
        (at < file.length()).then(|| (Arc::clone(file), at))
    }

    /// Offset of the first byte there is.
    pub(crate) fn first_offset(&self) -> Option<i64> {
        self.files.load().first().map(|file| file.start())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::{Call, FaultyDisk, RealDisk};
    use std::io::ErrorKind;

    fn queue(disk: Arc<dyn Disk>) -> (tempfile::TempDir, MappedFileQueue) {
        let folder = tempfile::tempdir().unwrap();
        let queue = MappedFileQueue::new(folder.path().to_path_buf(), 100, disk);
        (folder, queue)
    }

    #[test]
    fn finds_the_file_of_an_offset() {
        let (folder, queue) = queue(Arc::new(RealDisk));
        for start in [200, 300, 500] {
            queue.push(Arc::clone(queue.create(start).unwrap().file()));
        }
        let find = |offset| queue.find(offset).map(|(file, at)| (file.start(), at));
        assert_eq!(find(200), Some((200, 0)));
        assert_eq!(find(399), Some((300, 99)));
        assert_eq!(find(450), None);
        assert_eq!(find(501), Some((500, 1)));
        assert_eq!((find(199), find(600), find(-1)), (None, None, None));
        let starts: Vec<i64> =
            list(&RealDisk, folder.path()).unwrap().iter().map(|file| file.start).collect();
        assert_eq!(starts, [200, 300, 500]);
    }

    #[test]
    fn a_file_that_could_not_be_made_leaves_nothing_behind() {
        let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
        let (folder, queue) = queue(disk.clone());
        for call in [Call::SetLength, Call::Reserve, Call::SyncDir] {
            disk.fail_nth(call, 1, ErrorKind::StorageFull);
            let error = queue.create(0).unwrap_err();
            assert!(matches!(error, StoreError::Full { .. }), "{error}");
            assert_eq!(list(&RealDisk, folder.path()).unwrap(), []);
        }
        queue.create(0).unwrap();
    }

    #[test]
    fn the_first_file_goes_once_nobody_reads_it_and_the_last_one_stays() {
        let (folder, queue) = queue(Arc::new(RealDisk));
        for start in [0, 100] {
            let mut writer = queue.create(start).unwrap();
            writer.publish(100);
            queue.push(Arc::clone(writer.file()));
        }
        let read = queue.find(0).unwrap().0.slice(0..10).unwrap();
        assert_eq!(queue.remove_first(false).unwrap(), Removal::IsRead);
        drop(read);
        assert_eq!(queue.remove_first(false).unwrap(), Removal::Removed { bytes: 100 });
        assert_eq!(queue.remove_first(false).unwrap(), Removal::IsLast);
        assert_eq!(queue.first_offset(), Some(100));
        assert_eq!(list(&RealDisk, folder.path()).unwrap().len(), 1);
    }

    #[test]
    fn other_names_are_passed_over() {
        let (folder, _queue) = queue(Arc::new(RealDisk));
        for name in ["12", "0000000000000000000x", "00000000000000000001.tmp"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        assert_eq!(list(&RealDisk, folder.path()).unwrap(), []);
        assert_eq!(list(&RealDisk, &folder.path().join("missing")).unwrap(), []);
    }
}
