//! What the machine allows at most: records copied into reserved mapped files, and nothing else.
//!
//! Benchmarks put the store's append beside it. It is no part of the API.

use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::error::StoreError;
use super::mapped_file::MappedWriter;
use super::mapped_file_queue::MappedFileQueue;

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
