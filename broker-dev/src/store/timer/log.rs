//! `timerlog/`: entries in files of equal length, each named by the position of its first byte.
//!
//! The files are read and written plainly, not mapped: an entry is small, and one that finds no
//! room on the disk is an error that can be reported.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::unit::{BLANK_BYTES, TimerUnit, UNIT_BYTES, blank, is_blank};
use crate::store::disk::{Disk, DiskFile, Open};
use crate::store::error::{Context, StoreError};
use crate::store::mapped_file_queue::{file_name, list};

/// Bytes read at once by a scan: whole entries.
const CHUNK_BYTES: usize = UNIT_BYTES * 1024;

/// One file.
#[derive(Debug)]
struct LogFile {
    start: i64,
    file: Arc<DiskFile>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct TimerLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file_bytes: i64,
    files: VecDeque<LogFile>,
    end: i64,
    synced: i64,
    has_new_file: bool,
}

/// What is to be brought to the disk.
#[derive(Debug)]
pub(crate) struct LogSync {
    files: Vec<Arc<DiskFile>>,
    folder: Option<PathBuf>,
    end: i64,
}

/// Where a scan ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScanEnd {
    /// Where nothing was written yet.
    Clean,
    /// At bytes that are no entry, or not the right one.
    Damaged {
        /// The file.
        file: PathBuf,
        /// Byte offset in it.
        offset: u64,
    },
}

impl TimerLog {
    /// Opens the files that are there; those after a gap, or of another length than the others,
    /// are left out. Two files that agree overrule `file_bytes`.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        file_bytes: u64,
    ) -> Result<Self, StoreError> {
        let found = list(&*disk, &dir)?;
        let file_bytes = match found.as_slice() {
            // A single file may have been cut short; a setting would be a whole number of pages.
            [only] if only.length % 4096 == 0 && only.length > 0 => only.length,
            [first, second, ..] if first.length == second.length && is_possible(first.length) => {
                first.length
            }
            _ => file_bytes,
        };
        let mut log = Self {
            disk,
            dir,
            file_bytes: i64::try_from(file_bytes).unwrap_or(i64::MAX),
            files: VecDeque::new(),
            end: 0,
            synced: 0,
            has_new_file: false,
        };
        for file in found {
            let next = log.files.back().map_or(file.start, |last| last.start + log.file_bytes);
            if file.length != file_bytes || file.start != next || file.start % log.file_bytes != 0 {
                tracing::warn!(file = %file.path.display(), "a file of the timer log is of no use");
                break;
            }
            let opened = log.disk.open(&file.path, Open::Existing).context(&file.path, "open")?;
            log.files.push_back(LogFile { start: file.start, file: Arc::new(opened) });
        }
        log.end = log.first();
        Ok(log)
    }

    /// Position of the first entry there is.
    pub(crate) fn first(&self) -> i64 {
        self.files.front().map_or(0, |file| file.start)
    }

    /// Walks the entries from the first on, as long as `take` takes them, and ends the log where
    /// that ends: what comes after is made zeros.
    pub(crate) fn scan(
        &mut self,
        mut take: impl FnMut(i64, &TimerUnit) -> bool,
    ) -> Result<ScanEnd, StoreError> {
        let mut end = ScanEnd::Clean;
        for index in 0..self.files.len() {
            let Some(LogFile { start, file }) = self.files.get(index) else { break };
            let (start, file) = (*start, Arc::clone(file));
            let in_file = scan_file(&*self.disk, &file, start, self.file_bytes, &mut take)?;
            self.end = start + in_file.length;
            if !in_file.is_whole {
                if in_file.is_damaged {
                    let offset = u64::try_from(in_file.length).unwrap_or_default();
                    end = ScanEnd::Damaged { file: file.path().to_path_buf(), offset };
                }
                self.cut(index)?;
                break;
            }
        }
        self.synced = self.end;
        Ok(end)
    }

    /// Makes everything after the end zeros; `index` is the file that the end lies in.
    fn cut(&mut self, index: usize) -> Result<(), StoreError> {
        for LogFile { file, .. } in self.files.drain(index + 1..) {
            self.disk.remove_file(file.path()).context(file.path(), "remove")?;
        }
        let Some(last) = self.files.back() else { return Ok(()) };
        let (file, at) = (&last.file, u64::try_from(self.end - last.start).unwrap_or_default());
        let path = file.path();
        if self.disk.next_data(file, at).context(path, "look through")?.is_some() {
            let length = u64::try_from(self.file_bytes).unwrap_or_default();
            self.disk.zero(file, at, length).context(path, "clear")?;
        }
        Ok(())
    }

    /// Removes files of the folder that are not the log's.
    pub(crate) fn remove_strangers(&self) -> Result<(), StoreError> {
        for found in list(&*self.disk, &self.dir)? {
            if !self.files.iter().any(|file| file.start == found.start) {
                self.disk.remove_file(&found.path).context(&found.path, "remove")?;
            }
        }
        Ok(())
    }

    /// Adds an entry; returns its position.
    ///
    /// # Errors
    /// It cannot be written; the log is as before.
    pub(crate) fn append(&mut self, unit: &TimerUnit) -> Result<i64, StoreError> {
        let left = self.files.back().map_or(0, |last| last.start + self.file_bytes - self.end);
        if left < (UNIT_BYTES + BLANK_BYTES) as i64 {
            self.begin_file(left)?;
        }
        let position = self.end;
        let Some(last) = self.files.back() else { return Err(StoreError::Closed) };
        self.write(last, position, &unit.encode())?;
        self.end = position + UNIT_BYTES as i64;
        Ok(position)
    }

    /// Ends the last file, which has `left` bytes left, and begins the next.
    fn begin_file(&mut self, left: i64) -> Result<(), StoreError> {
        let start = match self.files.back() {
            Some(last) => {
                // Too little room for the words themselves: Apache's reader ends there as well.
                if left >= BLANK_BYTES as i64 {
                    self.write(last, self.end, &blank(u64::try_from(left).unwrap_or_default()))?;
                }
                last.start + self.file_bytes
            }
            None => 0,
        };
        self.disk.create_dir_all(&self.dir).context(&self.dir, "create")?;
        let path = self.dir.join(file_name(start));
        let file = self.disk.open(&path, Open::Any).context(&path, "create")?;
        let length = u64::try_from(self.file_bytes).unwrap_or_default();
        // What an attempt before this one left behind is of no use.
        let made = self
            .disk
            .set_length(&file, 0)
            .and_then(|()| self.disk.set_length(&file, length))
            .context(&path, "set the length of");
        if made.is_err() {
            // A file of the wrong length would keep Apache's broker from opening the folder.
            let _ = self.disk.remove_file(&path);
        }
        made?;
        self.files.push_back(LogFile { start, file: Arc::new(file) });
        self.end = start;
        self.has_new_file = true;
        Ok(())
    }

    fn write(&self, file: &LogFile, position: i64, bytes: &[u8]) -> Result<(), StoreError> {
        let at = u64::try_from(position - file.start).unwrap_or_default();
        self.disk.write_at(&file.file, at, bytes).context(file.file.path(), "write")
    }

    /// The entry at a position; `None` if none is there (any more).
    pub(crate) fn read(&self, position: i64) -> Result<Option<TimerUnit>, StoreError> {
        if !(self.first()..self.end).contains(&position) {
            return Ok(None);
        }
        let index = usize::try_from((position - self.first()) / self.file_bytes).unwrap_or(0);
        let Some(LogFile { start, file }) = self.files.get(index) else { return Ok(None) };
        let at = u64::try_from(position - start).unwrap_or_default();
        let mut bytes = [0; UNIT_BYTES];
        let read = self.disk.read_at(file, at, &mut bytes).context(file.path(), "read")?;
        Ok(if read == UNIT_BYTES { TimerUnit::decode(&bytes) } else { None })
    }

    /// What has to be synced for all entries so far to be on the disk.
    pub(crate) fn sync(&self) -> LogSync {
        let changed = self.files.iter().filter(|file| file.start + self.file_bytes > self.synced);
        let files = if self.end > self.synced || self.has_new_file {
            changed.map(|file| Arc::clone(&file.file)).collect()
        } else {
            Vec::new()
        };
        LogSync { files, folder: self.has_new_file.then(|| self.dir.clone()), end: self.end }
    }

    /// Notes that a sync succeeded.
    pub(crate) fn synced(&mut self, sync: &LogSync) {
        self.synced = self.synced.max(sync.end);
        self.has_new_file &= sync.folder.is_none();
    }

    /// Removes files whose messages are all before an offset of the commit log, but for the last
    /// file.
    pub(crate) fn remove_before(&mut self, physical_offset: i64) -> Result<(), StoreError> {
        let length = self.file_bytes;
        let unit = UNIT_BYTES as i64;
        let last_unit = length - (length - BLANK_BYTES as i64) % unit - BLANK_BYTES as i64 - unit;
        while self.files.len() > 1 {
            let Some(first) = self.files.front() else { break };
            let newest = self.read(first.start + last_unit)?;
            if newest.is_none_or(|unit| unit.physical_offset >= physical_offset) {
                break;
            }
            let path = first.file.path();
            self.disk.remove_file(path).context(path, "remove")?;
            tracing::debug!(file = %path.display(), "a file of the timer log has expired");
            self.files.pop_front();
        }
        Ok(())
    }
}

impl LogSync {
    /// Waits until the entries are on the disk.
    pub(crate) fn run(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        for file in &self.files {
            disk.sync_data(file).context(file.path(), "sync")?;
        }
        match &self.folder {
            Some(folder) => sync_folder(disk, folder),
            None => Ok(()),
        }
    }

    /// Position before which all entries are on the disk afterwards.
    pub(crate) fn end(&self) -> i64 {
        self.end
    }
}

fn sync_folder(disk: &dyn Disk, folder: &Path) -> Result<(), StoreError> {
    for folder in folder.ancestors().take(2) {
        disk.sync_dir(folder).context(folder, "sync")?;
    }
    Ok(())
}

/// Whether a file of this length holds any entry.
fn is_possible(length: u64) -> bool {
    length >= (UNIT_BYTES + BLANK_BYTES) as u64
}

/// What stands in one file.
struct InFile {
    /// Bytes of entries.
    length: i64,
    /// It is full: the next file goes on.
    is_whole: bool,
    /// It ends at bytes that are neither an entry nor zeros.
    is_damaged: bool,
}

fn scan_file(
    disk: &dyn Disk,
    file: &DiskFile,
    start: i64,
    file_bytes: i64,
    take: &mut impl FnMut(i64, &TimerUnit) -> bool,
) -> Result<InFile, StoreError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut length = 0;
    while length < file_bytes {
        let at = u64::try_from(length).unwrap_or_default();
        let read = disk.read_at(file, at, &mut chunk).context(file.path(), "read")?;
        let bytes = chunk.get(..read).unwrap_or_default();
        let (units, rest) = bytes.as_chunks::<UNIT_BYTES>();
        for unit in units {
            if is_blank(unit) {
                return Ok(InFile { length, is_whole: true, is_damaged: false });
            }
            match TimerUnit::decode(unit) {
                Some(decoded) if take(start + length, &decoded) => length += UNIT_BYTES as i64,
                _ => {
                    let is_damaged = *unit != [0; UNIT_BYTES];
                    return Ok(InFile { length, is_whole: false, is_damaged });
                }
            }
        }
        if units.len() * UNIT_BYTES < CHUNK_BYTES {
            // The file's last bytes hold no entry: a blank, or nothing yet.
            let is_damaged = !is_blank(rest) && rest.iter().any(|byte| *byte != 0);
            return Ok(InFile { length, is_whole: is_blank(rest), is_damaged });
        }
    }
    Ok(InFile { length, is_whole: true, is_damaged: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::{Call, FaultyDisk, RealDisk};
    use std::io::ErrorKind;

    /// Room for three entries and a blank of 24 bytes.
    const FILE: u64 = 180;

    fn unit(n: i64) -> TimerUnit {
        TimerUnit {
            previous: -1,
            is_roll: false,
            is_delete: false,
            write_ms: n,
            delay_ms: 0,
            physical_offset: n,
            size: 100,
            topic_hash: 1,
        }
    }

    fn open(folder: &Path) -> (TimerLog, Vec<(i64, i64)>, ScanEnd) {
        let mut log = TimerLog::open(Arc::new(RealDisk), folder.join("timerlog"), FILE).unwrap();
        let mut seen = Vec::new();
        let end = log
            .scan(|position, unit| {
                seen.push((position, unit.physical_offset));
                true
            })
            .unwrap();
        log.remove_strangers().unwrap();
        (log, seen, end)
    }

    fn filled(folder: &Path, count: i64) -> TimerLog {
        let mut log = open(folder).0;
        for n in 0..count {
            log.append(&unit(n)).unwrap();
        }
        log
    }

    #[test]
    fn entries_do_not_span_files_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let log = filled(folder.path(), 7);
        let all: Vec<_> = [0, 52, 104, 180, 232, 284, 360].into_iter().zip(0..).collect();
        assert_eq!(log.end, 412);
        assert_eq!(log.read(232).unwrap(), Some(unit(4)));
        assert_eq!((log.read(412).unwrap(), log.read(-1).unwrap()), (None, None));
        let (mut log, seen, end) = open(folder.path());
        assert_eq!((seen, end), (all, ScanEnd::Clean));
        assert_eq!(log.append(&unit(7)).unwrap(), 412);
        let bytes = std::fs::read(folder.path().join("timerlog/00000000000000000000")).unwrap();
        assert_eq!(bytes[156..172], blank(24));
        assert_eq!(bytes.len(), 180);
    }

    #[test]
    fn the_log_ends_before_the_first_damaged_entry_and_goes_on_there() {
        let folder = tempfile::tempdir().unwrap();
        drop(filled(folder.path(), 8));
        let path = folder.path().join("timerlog/00000000000000000180");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[52 + 3] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let (mut log, seen, end) = open(folder.path());
        assert_eq!(seen.len(), 4);
        assert_eq!(end, ScanEnd::Damaged { file: path.clone(), offset: 52 });
        assert!(!folder.path().join("timerlog/00000000000000000360").exists());
        assert!(std::fs::read(&path).unwrap()[52..].iter().all(|byte| *byte == 0));
        assert_eq!(log.append(&unit(9)).unwrap(), 232);
        assert_eq!(open(folder.path()).1.last(), Some(&(232, 9)));
    }

    #[test]
    fn files_of_another_length_and_after_a_gap_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        drop(filled(folder.path(), 8));
        let file = |start: i64| folder.path().join(format!("timerlog/{start:020}"));
        std::fs::OpenOptions::new().write(true).open(file(360)).unwrap().set_len(77).unwrap();
        assert_eq!(open(folder.path()).1.len(), 6);
        assert!(!file(360).exists());
        std::fs::remove_file(file(0)).unwrap();
        std::fs::write(file(540), [0; 180]).unwrap();
        assert_eq!(open(folder.path()).1.first(), Some(&(180, 3)));
        assert!(!file(540).exists());
    }

    #[test]
    fn files_expire_with_their_messages() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = filled(folder.path(), 9);
        log.remove_before(3).unwrap();
        assert_eq!(log.first(), 180);
        log.remove_before(1_000).unwrap();
        assert_eq!((log.first(), log.end), (360, 516));
        assert_eq!(log.read(0).unwrap(), None);
        assert_eq!(open(folder.path()).1.len(), 3);
    }

    #[test]
    fn an_entry_that_cannot_be_written_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(filled(folder.path(), 3));
        for call in [Call::Open, Call::SetLength, Call::Write] {
            let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
            let dir = folder.path().join("timerlog");
            let mut log = TimerLog::open(disk.clone(), dir, FILE).unwrap();
            log.scan(|_, _| true).unwrap();
            disk.fail_nth(call, 1, ErrorKind::StorageFull);
            assert!(log.append(&unit(3)).is_err(), "{call:?}");
            assert_eq!(log.append(&unit(3)).unwrap(), 180, "{call:?}");
            assert_eq!(open(folder.path()).1.len(), 4);
            std::fs::remove_file(folder.path().join("timerlog/00000000000000000180")).unwrap();
        }
    }
}
