//! Index files as found: which are kept, up to which entry, and what the log must show again.
//!
//! Entries stand in the log's order, so what may be torn is always the end of the newest files. A
//! file that ends before what is certain, and whose header agrees with it, is kept as it is. Of
//! others the entries are kept that stand in order and belong to records before what is certain; the
//! slots and the chains are made again from them.
//!
//! A file with no such entry is removed, and so is one that does not begin where the one before it
//! ends, with all that follow: the log has what they held.
//!
//! Differs: after a crash Apache removes each file that was not full and synced, and indexes again
//! only what its recovery happens to read.

use std::path::PathBuf;
use std::sync::Arc;

use super::file::{IndexFile, IndexWriter};
use super::layout::{self, Entry, Geometry, Header};
use super::{Index, Progress, keys};
use crate::store::disk::Disk;
use crate::store::dispatch::LogView;
use crate::store::error::{Context, StoreError};

/// Digits of a file's name.
const NAME_DIGITS: usize = 17;
/// Bytes of log looked through for a record with keys between two files.
const MOST_WALKED: i64 = 64 << 20;

/// A file in the folder.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    length: u64,
}

impl Index {
    /// See the [module](self). Returns the log offset from which on records must be seen.
    pub(super) fn load(&self, log: &LogView<'_>, certain: i64) -> Result<i64, StoreError> {
        let progress = &mut *self.lock();
        progress.writer = None;
        progress.waiting.clear();
        let found = self.list()?;
        let mut files: Vec<Arc<IndexFile>> = Vec::new();
        for (nth, file) in found.iter().enumerate() {
            let end = files.last().map(|file| file.header().end_offset);
            let is_newest = nth + 1 == found.len();
            let kept = self.load_file(progress, file, is_newest, log, certain)?;
            let follows = |file: &IndexFile| {
                first_with_keys(log, end).is_none_or(|first| first >= file.header().begin_offset)
            };
            match kept.filter(|file| follows(file)) {
                Some(file) => files.push(file),
                None => {
                    self.remove(found.iter().skip(nth).map(|file| &file.path))?;
                    progress.folder_changed = true;
                    break;
                }
            }
        }
        if let Some(newest) = files.last() {
            progress.geometry = newest.geometry();
        }
        let end = files.last().map(|file| file.header().end_offset);
        progress.position = end.map_or(0, |end| end.saturating_add(1));
        self.files.store(Arc::new(files));
        Ok(first_with_keys(log, end).unwrap_or(i64::MAX).min(certain))
    }

    fn list(&self) -> Result<Vec<Found>, StoreError> {
        let entries = match self.disk.read_dir(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.context(&self.dir, "list")?,
        };
        let is_index = |name: &str| {
            name.len() == NAME_DIGITS && name.bytes().all(|byte| byte.is_ascii_digit())
        };
        let mut found: Vec<Found> = entries
            .into_iter()
            .filter(|entry| !entry.is_dir && is_index(&entry.name))
            .map(|entry| Found { path: self.dir.join(entry.name), length: entry.length })
            .collect();
        found.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(found)
    }

    fn remove<'p>(&self, paths: impl Iterator<Item = &'p PathBuf>) -> Result<(), StoreError> {
        for path in paths {
            self.disk.remove_file(path).context(path, "remove")?;
        }
        Ok(())
    }

    /// A file with the entries that can be kept; `None` if there are none.
    fn load_file(
        &self,
        progress: &mut Progress,
        found: &Found,
        is_newest: bool,
        log: &LogView<'_>,
        certain: i64,
    ) -> Result<Option<Arc<IndexFile>>, StoreError> {
        if found.length == 0 {
            return Ok(None);
        }
        let words = layout::map(&*self.disk, &found.path, found.length)?;
        let Some(geometry) = Geometry::of_file(&words, found.length, progress.geometry) else {
            return Ok(None);
        };
        let header = Header::read(&words);
        drop(words);
        let file = Arc::new(IndexFile::new(found.path.clone(), geometry, header));
        let is_clean = certain == i64::MAX;
        let is_sound = header.end_offset < certain && (is_clean || !is_newest) && {
            let (words, _) = file.words(&*self.disk)?;
            header.agrees(&words, geometry) && agrees_with_log(&header, log)
        };
        if !is_sound {
            self.repair(progress, &file, certain, log)?;
        }
        if !is_newest {
            file.unmap();
        }
        Ok((file.header().count > 1).then_some(file))
    }

    /// Keeps the entries of a file that belong to records before `limit`.
    fn repair(
        &self,
        progress: &mut Progress,
        file: &Arc<IndexFile>,
        limit: i64,
        log: &LogView<'_>,
    ) -> Result<(), StoreError> {
        let mut writer = IndexWriter::open(&*self.disk, Arc::clone(file))?;
        writer.rebuild(&*self.disk, limit, |offset| {
            log.record(offset).map(|(record, _)| record.store_timestamp)
        })?;
        progress.filled.push(Arc::clone(writer.words()));
        Ok(())
    }

    /// Drops entries of records at or after `end`, the log's end.
    pub(super) fn cut(&self, progress: &mut Progress, end: i64) -> Result<(), StoreError> {
        let mut files = Vec::clone(&self.files.load());
        while let Some(file) = files.pop_if(|file| file.header().end_offset >= end) {
            progress.writer = None;
            let mut writer = IndexWriter::open(&*self.disk, Arc::clone(&file))?;
            writer.rebuild(&*self.disk, end, |_| None)?;
            if file.header().count > 1 {
                progress.filled.push(Arc::clone(writer.words()));
                files.push(file);
                break;
            }
            self.remove(std::iter::once(&file.path().to_path_buf()))?;
            progress.folder_changed = true;
        }
        progress.position = progress.position.min(end);
        self.files.store(Arc::new(files));
        Ok(())
    }
}

/// Whether the records that a header speaks of have the times that it says; those that the log no
/// longer has cannot be asked.
fn agrees_with_log(header: &Header, log: &LogView<'_>) -> bool {
    let agrees =
        |offset, time| log.record(offset).is_none_or(|(record, _)| record.store_timestamp == time);
    header.count == 1
        || agrees(header.begin_offset, header.begin_ms) && agrees(header.end_offset, header.end_ms)
}

/// Log offset of the first record with keys after the one at `end`, or of all, if it is known and
/// not far.
fn first_with_keys(log: &LogView<'_>, end: Option<i64>) -> Option<i64> {
    let (from, skip) = match end {
        Some(end) if end >= log.min() => (end, 1),
        _ => (log.min(), 0),
    };
    log.records_from(from)
        .skip(skip)
        .map(|(record, _)| record)
        .take_while(|record| record.physical_offset - from < MOST_WALKED)
        .find(|record| keys::keys(record).next().is_some())
        .map(|record| record.physical_offset)
}

impl IndexWriter {
    /// Keeps the entries that stand in order and belong to records before `limit`, makes slots,
    /// chains and header again from them, and clears what is behind them.
    fn rebuild(
        &mut self,
        disk: &dyn Disk,
        limit: i64,
        store_ms_of: impl Fn(i64) -> Option<i64>,
    ) -> Result<(), StoreError> {
        let geometry = self.file().geometry();
        let words = Arc::clone(self.words());
        let mut newest = vec![0u32; geometry.slots as usize];
        let mut used_slots = 0;
        let mut last = 0;
        let mut count = 1;
        while count < geometry.entries {
            let entry = Entry::read(&words, geometry, count);
            let is_kept = !entry.is_nothing()
                && (last..limit).contains(&entry.offset)
                && entry.seconds >= 0
                && entry.hash.cast_signed() >= 0;
            if !is_kept {
                break;
            }
            if let Some(slot) = newest.get_mut(geometry.slot_of(entry.hash) as usize) {
                used_slots += u32::from(*slot == 0);
                if entry.previous != *slot {
                    words.set(geometry.entry_word(count) + 4, *slot);
                }
                *slot = count;
            }
            last = entry.offset;
            count += 1;
        }
        for (slot, number) in (0..).zip(newest) {
            let word = geometry.slot_word(slot);
            if words.get(word) != number {
                self.reserve(disk, word)?;
                words.set(word, number);
            }
        }
        self.clear_from(disk, count)?;
        let old = self.file().header();
        let first = Entry::read(&words, geometry, 1);
        let (begin_ms, begin_offset, end_ms) = if count == 1 {
            (0, 0, 0)
        } else {
            let begin_ms = store_ms_of(first.offset).unwrap_or(old.begin_ms);
            let seconds = Entry::read(&words, geometry, count - 1).seconds;
            // The record is gone or was cut off: the second that the entry tells, in full.
            let told = begin_ms.saturating_add(i64::from(seconds) * 1_000 + 999);
            let is_same = old.end_offset == last && old.count == count;
            let told = if is_same { old.end_ms } else { told };
            (begin_ms, first.offset, store_ms_of(last).unwrap_or(told))
        };
        self.note(Header { begin_ms, end_ms, begin_offset, end_offset: last, used_slots, count });
        Ok(())
    }

    /// Makes everything from an entry on zeros.
    fn clear_from(&self, disk: &dyn Disk, count: u32) -> Result<(), StoreError> {
        const WINDOW: u64 = 1 << 20;
        let geometry = self.file().geometry();
        let file = self.words().disk_file();
        let length = geometry.file_bytes();
        let mut at = geometry.entry_word(count) as u64 * 4;
        while at < length {
            let data = disk.next_data(file, at).context(file.path(), "read")?;
            let Some(data) = data.filter(|data| *data < length) else { break };
            let end = data.max(at).saturating_add(WINDOW).min(length);
            for word in (data.max(at) / 4)..(end / 4) {
                let word = usize::try_from(word).unwrap_or(usize::MAX);
                if self.words().get(word) != 0 {
                    self.words().set(word, 0);
                }
            }
            at = end - end % 4;
        }
        Ok(())
    }
}
