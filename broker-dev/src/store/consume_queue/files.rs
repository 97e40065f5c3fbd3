//! The files of one queue, written behind.
//!
//! What is appended stays in memory until somebody writes it out: it can be made again from the
//! log, so a process that is killed loses nothing by it, and an append touches no file. Nothing is
//! mapped and few files are open, so that a hundred thousand queues cost memory only.
//!
//! ```text
//! first ──────────── written ──────────── end
//! │  files: read_at      │  memory: tail    │
//! ```

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::open_files::OpenFiles;
use crate::store::disk::{Disk, DiskFile, Open};
use crate::store::error::{Context, StoreError};
use crate::store::mapped_file_queue::{self, Found, file_name};

/// Bytes in memory at which an append writes them out itself.
const TAIL_BYTES: usize = 64 * 1024;
/// An emptied tail keeps room for the next bytes up to this.
const KEEP_BYTES: usize = 256;
/// Zeros of this length end what an earlier life of a file may have left behind its end.
const CLEAN_STRETCH: usize = 4096;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Where the queues of one kind are: `root/TOPIC/QUEUE/`.
#[derive(Debug)]
pub(crate) struct Home {
    root: PathBuf,
    file_bytes: i64,
    disk: Arc<dyn Disk>,
    common: Arc<Common>,
}

/// What the queues of all kinds share.
#[derive(Debug)]
pub(crate) struct Common {
    open: OpenFiles,
    behind_bytes: AtomicUsize,
}

impl Common {
    /// Keeps at most this many files open.
    pub(crate) fn new(open_files: usize) -> Self {
        Self { open: OpenFiles::new(open_files), behind_bytes: AtomicUsize::new(0) }
    }

    /// Bytes in memory that are not written out yet.
    pub(crate) fn behind_bytes(&self) -> usize {
        self.behind_bytes.load(Ordering::Relaxed)
    }
}

impl Home {
    /// A folder of queues whose files have this length.
    pub(crate) fn new(
        root: PathBuf,
        file_bytes: u64,
        disk: Arc<dyn Disk>,
        common: Arc<Common>,
    ) -> Self {
        let file_bytes = i64::try_from(file_bytes).unwrap_or(i64::MAX);
        Self { root, file_bytes, disk, common }
    }

    /// The folder of all topics.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The disk.
    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }
}

#[derive(Debug, Default)]
struct State {
    /// Offset of the first file; all there are lie between it and `files_end`.
    first: i64,
    files_end: i64,
    written: i64,
    synced: i64,
    tail: Vec<u8>,
    is_folder_new: bool,
    /// Behind `written` there may be something of an earlier life.
    may_be_unclean: bool,
    is_removed: bool,
}

/// See the [module](self). Offsets are bytes, and run through all files.
#[derive(Debug)]
pub(crate) struct QueueFiles {
    home: Arc<Home>,
    topic: Arc<str>,
    queue_id: i32,
    id: u64,
    state: Mutex<State>,
    /// Held by whoever writes out or removes.
    writing: Mutex<()>,
}

impl QueueFiles {
    /// No files yet.
    pub(crate) fn new(home: Arc<Home>, topic: Arc<str>, queue_id: i32) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Self { home, topic, queue_id, id, state: Mutex::default(), writing: Mutex::new(()) }
    }

    /// Bytes of each file.
    pub(crate) fn file_bytes(&self) -> i64 {
        self.home.file_bytes
    }

    /// The folder.
    pub(crate) fn dir(&self) -> PathBuf {
        self.home.root.join(&*self.topic).join(self.queue_id.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offset of the first byte there is.
    pub(crate) fn first(&self) -> i64 {
        self.lock().first
    }

    /// Offset after the last byte.
    pub(crate) fn end(&self) -> i64 {
        let state = self.lock();
        state.written + state.tail.len() as i64
    }

    /// Lets the first byte have this offset, a file's first one. Only while there are no files.
    pub(crate) fn begin_at(&self, offset: i64) {
        let mut state = self.lock();
        (state.first, state.files_end) = (offset, offset);
        (state.written, state.synced) = (offset, offset);
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// There is much in memory already and it cannot be written out; nothing was added.
    pub(crate) fn append(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.tail.len() >= TAIL_BYTES {
            drop(state);
            self.write_out()?;
            state = self.lock();
        }
        state.tail.extend_from_slice(bytes);
        self.home.common.behind_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Adds up to `most` bytes from an offset on to `into`, not past the end of the file that they
    /// lie in. Tells how many there were.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read(
        &self,
        offset: i64,
        most: usize,
        into: &mut Vec<u8>,
    ) -> Result<usize, StoreError> {
        let (first, written) = {
            let state = self.lock();
            if let Ok(at) = usize::try_from(offset - state.written) {
                let rest = state.tail.get(at..).unwrap_or_default();
                let bytes = rest.get(..most).unwrap_or(rest);
                into.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            (state.first, state.written)
        };
        if offset < first {
            return Ok(0);
        }
        let left = usize::try_from(written - offset).unwrap_or(0);
        self.read_file(offset, most.min(left), into)
    }

    /// Reads as [`read`](Self::read) does, but what the files hold, wherever their contents end.
    pub(crate) fn read_file(
        &self,
        offset: i64,
        most: usize,
        into: &mut Vec<u8>,
    ) -> Result<usize, StoreError> {
        let at = offset.rem_euclid(self.home.file_bytes);
        let in_file = usize::try_from(self.home.file_bytes - at).unwrap_or(0);
        let file = self.file(offset - at)?;
        let begin = into.len();
        into.resize(begin + most.min(in_file), 0);
        let room = into.get_mut(begin..).unwrap_or_default();
        let read = self.home.disk.read_at(&file, at.unsigned_abs(), room);
        let read = read.context(file.path(), "read");
        into.truncate(begin + read.as_ref().copied().unwrap_or(0));
        read
    }

    fn file(&self, start: i64) -> Result<Arc<DiskFile>, StoreError> {
        self.home.common.open.get_or_open((self.id, start), || {
            let path = self.dir().join(file_name(start));
            self.home.disk.open(&path, Open::Existing).context(&path, "open")
        })
    }

    /// Writes to the files what is in memory. Readers find it all the while.
    ///
    /// # Errors
    /// No room, or no file; what could not be written stays in memory.
    pub(crate) fn write_out(&self) -> Result<(), StoreError> {
        let _alone = self.lock_writing();
        let (start, bytes, may_be_unclean) = {
            let state = self.lock();
            if state.is_removed || (state.tail.is_empty() && !state.may_be_unclean) {
                return Ok(());
            }
            (state.written, state.tail.clone(), state.may_be_unclean)
        };
        let mut at = start;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let in_file = at.rem_euclid(self.home.file_bytes);
            let room = usize::try_from(self.home.file_bytes - in_file).unwrap_or(0);
            let (now, later) = rest.split_at(rest.len().min(room));
            let file = self.file_for_writing(at - in_file)?;
            let written = self.home.disk.write_at(&file, in_file.unsigned_abs(), now);
            written.context(file.path(), "write")?;
            at += now.len() as i64;
            rest = later;
        }
        if may_be_unclean {
            self.clean_behind(at)?;
        }
        let mut state = self.lock();
        state.tail.drain(..bytes.len());
        self.home.common.behind_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
        if state.tail.is_empty() && state.tail.capacity() > KEEP_BYTES {
            state.tail = Vec::new();
        }
        state.written = at;
        state.may_be_unclean = false;
        Ok(())
    }

    fn file_for_writing(&self, start: i64) -> Result<Arc<DiskFile>, StoreError> {
        let (files_end, has_files) = {
            let state = self.lock();
            (state.files_end, state.first < state.files_end)
        };
        if start < files_end {
            return self.file(start);
        }
        let (dir, disk) = (self.dir(), self.home.disk());
        if !has_files {
            disk.create_dir_all(&dir).context(&dir, "create")?;
            // A deleted topic, or a file that could not be finished, may have left something here.
            for left in mapped_file_queue::list(disk, &dir)? {
                disk.remove_file(&left.path).context(&left.path, "remove")?;
            }
        }
        let path = dir.join(file_name(start));
        let file = disk.open(&path, Open::New).context(&path, "create")?;
        if let Err(error) = disk.set_length(&file, self.home.file_bytes.unsigned_abs()) {
            // A file of the wrong length would keep Apache's broker from opening the folder.
            let _ = disk.remove_file(&path);
            return Err(error).context(&path, "set the length of");
        }
        let file = Arc::new(file);
        self.home.common.open.insert((self.id, start), Arc::clone(&file));
        let mut state = self.lock();
        state.files_end = start + self.home.file_bytes;
        state.is_folder_new = true;
        Ok(file)
    }

    /// Makes zeros of what an earlier life of the last file left behind an offset.
    fn clean_behind(&self, mut offset: i64) -> Result<(), StoreError> {
        let file_bytes = self.home.file_bytes;
        let mut stretch = Vec::new();
        let files_end = self.lock().files_end;
        // Not into the next file, but for one that nothing was written to yet.
        let end = files_end.min(offset + file_bytes - offset.rem_euclid(file_bytes));
        while offset < end {
            stretch.clear();
            let read = self.read_file(offset, CLEAN_STRETCH, &mut stretch)?;
            if stretch.iter().all(|byte| *byte == 0) {
                break;
            }
            stretch.fill(0);
            let at = offset % file_bytes;
            let file = self.file(offset - at)?;
            let written = self.home.disk.write_at(&file, at.unsigned_abs(), &stretch);
            written.context(file.path(), "clear")?;
            offset += read as i64;
        }
        Ok(())
    }

    /// Whether there is something that is not on the disk for certain.
    pub(crate) fn is_dirty(&self) -> bool {
        let state = self.lock();
        !state.is_removed
            && (state.synced < state.written + state.tail.len() as i64 || state.may_be_unclean)
    }

    /// Brings what is written to the disk.
    ///
    /// # Errors
    /// A failed sync: what is on the disk is unknown then.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let _alone = self.lock_writing();
        let (from, to, is_folder_new) = {
            let state = self.lock();
            if state.is_removed {
                return Ok(());
            }
            (state.synced.max(state.first), state.written, state.is_folder_new)
        };
        let (file_bytes, disk) = (self.home.file_bytes, self.home.disk());
        let mut start = from - from.rem_euclid(file_bytes);
        while start < to {
            let file = self.file(start)?;
            disk.sync_data(&file).context(file.path(), "sync")?;
            start += file_bytes;
        }
        if is_folder_new {
            // The queue's folder, the topic's, and the one of all topics.
            for dir in self.dir().ancestors().take(3) {
                disk.sync_dir(dir).context(dir, "sync")?;
            }
        }
        self.note_synced(to);
        Ok(())
    }

    /// Whether the files are on the same file system as another one.
    pub(crate) fn are_on_disk_of(&self, other: &DiskFile) -> bool {
        let device = |file: &DiskFile| file.file().metadata().map(|metadata| metadata.dev()).ok();
        let last = self.lock().files_end - self.home.file_bytes;
        self.file(last).is_ok_and(|file| device(&file).is_some_and(|on| device(other) == Some(on)))
    }

    /// Offset before which all is written to the files.
    pub(crate) fn written(&self) -> i64 {
        self.lock().written
    }

    /// Notes that everything before an offset, and the folder, is on the disk.
    pub(crate) fn note_synced(&self, to: i64) {
        let mut state = self.lock();
        state.synced = state.synced.max(to);
        if state.written == to {
            state.is_folder_new = false;
        }
    }

    /// Takes over the files found in the folder, those that make a row from the first one on, and
    /// tells how many. Their contents end where [`cut`](Self::cut) says.
    pub(crate) fn take_over(&self, found: &[Found]) -> usize {
        let file_bytes = self.home.file_bytes;
        let mut expected = None;
        let fits = |file: &&Found| {
            let fits = i64::try_from(file.length) == Ok(file_bytes)
                && file.start % file_bytes == 0
                && expected.is_none_or(|start| start == file.start);
            expected = Some(file.start.saturating_add(file_bytes));
            fits
        };
        let count = found.iter().take_while(fits).count();
        if let (Some(first), Some(last)) = (found.first(), found.get(count.wrapping_sub(1))) {
            let mut state = self.lock();
            state.first = first.start;
            state.files_end = last.start + file_bytes;
            state.written = state.files_end;
        }
        count
    }

    /// Lets the contents, all on the disk, end at an offset; files behind it are removed, and with
    /// `keep` at 0 all. What is behind it in its file is cleared when something is written out.
    ///
    /// # Errors
    /// A file cannot be removed, or the last one cannot be read.
    pub(crate) fn cut(&self, found: &[Found], keep: usize, end: i64) -> Result<(), StoreError> {
        for file in found.iter().skip(keep) {
            self.home.common.open.close((self.id, file.start));
            self.home.disk.remove_file(&file.path).context(&file.path, "remove")?;
        }
        let mut behind = Vec::new();
        let files_end = self.lock().first + keep as i64 * self.home.file_bytes;
        if end < files_end {
            self.read_file(end, CLEAN_STRETCH, &mut behind)?;
        }
        let mut state = self.lock();
        (state.written, state.synced) = (end, end);
        state.files_end = files_end;
        // A process that was killed may have made the files without syncing their names.
        state.is_folder_new = true;
        state.may_be_unclean = behind.iter().any(|byte| *byte != 0);
        Ok(())
    }

    /// Removes files that hold nothing from an offset on, but for the last one; returns how many.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub(crate) fn remove_before(&self, offset: i64) -> Result<usize, StoreError> {
        let _alone = self.lock_writing();
        let mut removed = 0;
        loop {
            let start = {
                let state = self.lock();
                let next = state.first + self.home.file_bytes;
                if next > offset || next >= state.files_end || next > state.written {
                    return Ok(removed);
                }
                state.first
            };
            let path = self.dir().join(file_name(start));
            self.home.disk.remove_file(&path).context(&path, "remove")?;
            self.home.common.open.close((self.id, start));
            self.lock().first += self.home.file_bytes;
            removed += 1;
        }
    }

    /// Removes all files. One that cannot be removed is when its name is needed, or when the store
    /// is opened.
    pub(crate) fn remove(&self) {
        let _alone = self.lock_writing();
        let (mut start, end) = {
            let mut state = self.lock();
            state.is_removed = true;
            let lost = std::mem::take(&mut state.tail);
            self.home.common.behind_bytes.fetch_sub(lost.len(), Ordering::Relaxed);
            (state.first, state.files_end)
        };
        let dir = self.dir();
        while start < end {
            let path = dir.join(file_name(start));
            if let Err(error) = self.home.disk.remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "a deleted topic's file stays behind");
            }
            start += self.home.file_bytes;
        }
    }
}
