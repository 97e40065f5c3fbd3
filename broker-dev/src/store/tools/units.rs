//! The units of one consume queue, read by queue offset.

use std::path::PathBuf;

use super::folder::{QueueFolder, StoreFile};
use super::reader::Reader;
use crate::store::consume_queue::{UNIT_BYTES, Unit};
use crate::store::disk::Disk;

/// Bytes of a unit, as an offset.
pub(super) const UNIT: i64 = UNIT_BYTES as i64;
/// Bytes of units that are read at a time.
const WINDOW: usize = 400 * UNIT_BYTES;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Units {
    pub(super) folder: QueueFolder,
    window: Option<Window>,
    /// The first read that failed: file, byte, and why.
    pub(super) failed: Option<(PathBuf, u64, String)>,
}

#[derive(Debug)]
struct Window {
    at: i64,
    bytes: Vec<u8>,
}

impl Units {
    pub(super) fn new(folder: QueueFolder) -> Self {
        Self { folder, window: None, failed: None }
    }

    /// Whether units are held in memory.
    pub(super) fn has_window(&self) -> bool {
        self.window.is_some()
    }

    pub(super) fn drop_window(&mut self) {
        self.window = None;
    }

    /// The first offset that has a file.
    pub(super) fn first(&self) -> i64 {
        self.folder.files.first().map_or(0, |file| file.start.max(0) / UNIT)
    }

    /// The file that holds a byte of the queue.
    pub(super) fn file_of(&self, byte: i64) -> Option<&StoreFile> {
        let files = &self.folder.files;
        let after = files.partition_point(|file| file.start <= byte);
        files.get(after.checked_sub(1)?).filter(|file| byte < file.end())
    }

    /// The unit at a queue offset; `None` where there is no file, or it cannot be read.
    pub(super) fn get(&mut self, disk: &dyn Disk, offset: i64) -> Option<Unit> {
        let byte = offset.checked_mul(UNIT)?;
        let here = |window: &Window| -> Option<Unit> {
            let at = usize::try_from(byte.checked_sub(window.at)?).ok()?;
            window.bytes.get(at..)?.first_chunk().map(Unit::decode)
        };
        if let Some(unit) = self.window.as_ref().and_then(here) {
            return Some(unit);
        }
        let file = self.file_of(byte)?;
        let at = u64::try_from(byte - file.start).ok()?;
        let read = Reader::open(disk, &file.path, WINDOW).and_then(|mut reader| {
            let bytes = reader.at(at, WINDOW)?;
            Ok(bytes.get(..WINDOW).unwrap_or(bytes).to_vec())
        });
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                let failed = (file.path.clone(), at, error.to_string());
                self.failed.get_or_insert(failed);
                return None;
            }
        };
        let window = Window { at: byte, bytes };
        let unit = here(&window);
        self.window = Some(window);
        unit
    }

    /// The offset after the last unit of the row, found by halving.
    pub(super) fn end(&mut self, disk: &dyn Disk) -> i64 {
        // Only the last file is not full; what was made ahead of need is empty.
        let files: Vec<(i64, i64)> = self
            .folder
            .files
            .iter()
            .map(|file| (file.start.max(0) / UNIT, file.end().max(0) / UNIT))
            .collect();
        for (first, limit) in files.into_iter().rev() {
            let (mut low, mut high) = (first, limit);
            while low < high {
                let middle = low + (high - low) / 2;
                let is_unit = self
                    .get(disk, middle)
                    .is_some_and(|unit| unit.length > 0 && unit.physical_offset >= 0);
                if is_unit { low = middle + 1 } else { high = middle }
            }
            if low > first {
                return low;
            }
        }
        self.first()
    }

    /// The first offset before `end` whose record the log still has.
    pub(super) fn min(&mut self, disk: &dyn Disk, end: i64, log_first: i64) -> i64 {
        let (mut low, mut high) = (self.first(), end);
        while low < high {
            let middle = low + (high - low) / 2;
            let is_there = self
                .get(disk, middle)
                .is_some_and(|unit| unit.is_record() && unit.physical_offset >= log_first);
            if is_there { high = middle } else { low = middle + 1 }
        }
        low
    }
}
