//! Parts of the store on their own, for benchmarks and tests; no part of the API.
//!
//! [`BareCopy`] is what the machine allows at most: records copied into reserved mapped files.
//! [`sound_records`] is a recovery's look at bytes.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::commit_log::{Found, check};
use super::disk::Disk;
use super::error::StoreError;
use super::mapped_file::MappedWriter;
use super::mapped_file_queue::{self, MappedFileQueue};

/// Copies bytes into one mapped file after another.
#[derive(Debug)]
pub struct BareCopy {
    files: MappedFileQueue,
    writer: MappedWriter,
}

impl BareCopy {
    /// Makes the first file in `dir`, which exists.
    pub fn new(dir: &Path, file_bytes: usize, disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let files = MappedFileQueue::new(dir.to_path_buf(), file_bytes, disk);
        let writer = files.create(0)?;
        Ok(Self { files, writer })
    }

    /// Copies `bytes` behind what is there.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let end = self.writer.published() + bytes.len();
        if end > self.writer.file().length() {
            let next = self.writer.file().start() + self.writer.file().length() as i64;
            self.writer = self.files.create(next)?;
            return self.append(bytes);
        }
        if let Some(room) = self.writer.spare().get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.writer.publish(end);
        Ok(())
    }
}

/// What a recovery's pass over one commit-log file finds, and nothing else: where its sound records
/// are. `start` is the log offset of the file's first byte.
pub fn sound_records(bytes: &[u8], start: i64) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match check(bytes, at, start) {
            Found::Record(_, length) => {
                found.push(at..at + length);
                at += length;
            }
            Found::Blank => break,
            Found::Unwritten | Found::Damaged(_) => at += 1,
        }
    }
    found
}

/// Maps the files of a folder one after the other and shows the bytes of each.
///
/// # Errors
/// A file cannot be opened or mapped.
pub fn scan(
    dir: &Path,
    disk: Arc<dyn Disk>,
    mut show: impl FnMut(&[u8]),
) -> Result<(), StoreError> {
    for found in mapped_file_queue::list(&*disk, dir)? {
        let bytes = usize::try_from(found.length).unwrap_or(usize::MAX);
        let files = MappedFileQueue::new(dir.to_path_buf(), bytes, Arc::clone(&disk));
        show(files.open(&found)?.all());
    }
    Ok(())
}
