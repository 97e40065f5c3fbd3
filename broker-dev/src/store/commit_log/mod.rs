//! The commit log: every message of every topic, one after another.
//!
//! Records stand as [`oxmq::protocol::message::record`] describes them. None spans two files: where
//! one does not fit, eight bytes tell that the rest of the file is blank, and the next file begins.

mod append;
mod read;
mod scan;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use append::Appender;
pub(crate) use append::{Prepared, Special, Wanted};
pub use append::{Put, PutMessage};
pub(crate) use read::Place;
pub(crate) use scan::{
    Found, candidates, check, check_here, has_unwritten_sector, is_unfinished, next_valid,
};

use super::error::{Context, StoreError};
use super::mapped_file::MappedWriter;
use super::mapped_file_queue::MappedFileQueue;

/// See the [module](self). Offsets are bytes from the start of the log.
#[derive(Debug)]
pub(crate) struct CommitLog {
    files: Arc<MappedFileQueue>,
    appender: Mutex<Appender>,
    spare: Mutex<Spare>,
    end: AtomicI64,
    last_store_ms: AtomicI64,
    /// Whether each record gets a CRC of all of it.
    seals: bool,
    /// Whether blocks are written before records are.
    writes_ahead: bool,
}

/// Bytes of the next file that are brought in before it is needed, if that is all there is to it.
const MOST_ZEROS: usize = 256 << 20;

/// The next file, made ahead of need.
#[derive(Debug)]
struct Spare {
    file: Option<MappedWriter>,
    /// Start of the newest file made so far.
    newest: i64,
}

impl CommitLog {
    /// A log that goes on where `last` ends; `files` show all files, `last` included.
    ///
    /// `seals`: each record gets a CRC of all of it as its last property. `writes_ahead`: files
    /// are written to the disk before their records are, see [`ready_spare`](Self::ready_spare).
    pub(crate) fn new(
        files: Arc<MappedFileQueue>,
        last: MappedWriter,
        last_store_ms: i64,
        (seals, writes_ahead): (bool, bool),
    ) -> Self {
        let newest = last.file().start();
        let end = newest + last.published() as i64;
        Self {
            files,
            appender: Mutex::new(Appender::new(last, Appender::first_ahead(writes_ahead))),
            spare: Mutex::new(Spare { file: None, newest }),
            end: AtomicI64::new(end),
            last_store_ms: AtomicI64::new(last_store_ms),
            seals,
            writes_ahead,
        }
    }

    /// The files.
    pub(crate) fn files(&self) -> &Arc<MappedFileQueue> {
        &self.files
    }

    /// Offset of the first byte there is.
    pub(crate) fn min(&self) -> i64 {
        self.files.first_offset().unwrap_or(0)
    }

    /// Offset after the last record.
    pub(crate) fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// Store time of a record at or before [`end`](Self::end), if read before it.
    pub(crate) fn last_store_ms(&self) -> i64 {
        self.last_store_ms.load(Ordering::Acquire)
    }

    /// Whether the log's end lies in a later file than this offset.
    pub(crate) fn is_in_newer_file(&self, offset: i64) -> bool {
        let newest = self.files.files().last().map_or(0, |file| file.start());
        offset < newest
    }

    fn lock_spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the file that begins at `start`, unless it was made before. Whoever needs it meanwhile
    /// waits for this call rather than making a second one.
    pub(crate) fn make_spare(&self, start: i64) -> Result<(), StoreError> {
        let mut spare = self.lock_spare();
        if spare.file.is_none() && spare.newest < start {
            spare.file = Some(self.files.create(start)?);
            spare.newest = start;
        }
        Ok(())
    }

    /// Brings a stretch of the next file's pages in, so that appends do not wait for the kernel to
    /// make them; `false` once that is done, or there is no next file.
    ///
    /// Zeros written by system call come in large pieces and cost half of what touched pages do.
    /// Where each record is synced by itself, small pages are better, which a sync writes one by
    /// one; and their blocks are written to the disk at once, since a sync of blocks that were
    /// written before takes half the time.
    ///
    /// # Errors
    /// The disk's, of bytes that were to be written back. That a page cannot be brought in is none.
    pub(crate) fn ready_spare(&self) -> Result<bool, StoreError> {
        /// Zeros for a stretch.
        static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
        // Whoever needs the file waits for the stretch that is under way: nobody writes to the
        // file while zeros are.
        let mut spare = self.lock_spare();
        let Some(writer) = spare.file.as_mut() else { return Ok(false) };
        let from = writer.ready();
        let to = from.saturating_add(ZEROS.len()).min(writer.file().length());
        if from >= to || (!self.writes_ahead && from >= MOST_ZEROS) {
            return Ok(false);
        }
        writer.set_ready(to);
        let (disk, file) = (self.files.disk(), writer.file().disk_file());
        if self.writes_ahead {
            writer.file().touch(from..to);
            disk.write_back(file, from as u64, to as u64).context(file.path(), "write back")?;
        } else if let Err(error) =
            disk.write_at(file, from as u64, ZEROS.get(..to - from).unwrap_or_default())
        {
            tracing::debug!(%error, "the next file's pages were not brought in");
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether blocks are written to the disk before records are.
    pub(crate) fn writes_ahead(&self) -> bool {
        self.writes_ahead
    }

    fn take_spare(&self, start: i64) -> Result<MappedWriter, StoreError> {
        let mut spare = self.lock_spare();
        if let Some(file) = spare.file.take_if(|file| file.file().start() == start) {
            return Ok(file);
        }
        let file = self.files.create(start)?;
        spare.newest = spare.newest.max(start);
        Ok(file)
    }

    /// Takes back files that were made for a turn that cannot be: the first one may be needed
    /// soon, the others are removed.
    fn give_back(&self, made: Vec<MappedWriter>) {
        let mut spare = self.lock_spare();
        for file in made {
            let start = file.file().start();
            if spare.file.is_none() {
                (spare.newest, spare.file) = (start, Some(file));
            } else if let Err(error) = self.files.remove(file.file().disk_file().path()) {
                tracing::warn!(%error, "an unused file stays behind");
            }
        }
    }

    /// Removes the file made ahead, as Apache's broker does when it stops.
    pub(crate) fn remove_spare(&self) -> Result<(), StoreError> {
        match self.lock_spare().file.take() {
            Some(spare) => self.files.remove(spare.file().disk_file().path()),
            None => Ok(()),
        }
    }

    /// Files that hold bytes of `from..to`.
    pub(crate) fn files_between(
        &self,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = Arc<super::mapped_file::MappedFile>> {
        let files = self.files.files();
        let overlapping: Vec<_> = files
            .iter()
            .filter(|file| file.start() < to && file.start() + file.length() as i64 > from)
            .cloned()
            .collect();
        overlapping.into_iter()
    }
}
