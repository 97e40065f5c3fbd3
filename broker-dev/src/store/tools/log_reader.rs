//! Single records of the log, by offset.

use oxmq::protocol::message::record::Record;

use super::folder::{Folder, StoreFile};
use super::reader::Reader;
use super::walk::{file_bytes, record_here};

/// Bytes read for a record at first.
const CHUNK: usize = 16 * 1024;
/// Files that are open at a time.
const MOST_OPEN: usize = 16;

/// Reads records anywhere in the log; fast where offsets ascend.
#[derive(Debug)]
pub(super) struct LogReader<'a> {
    folder: &'a Folder,
    files: &'a [StoreFile],
    file_bytes: u64,
    open: Vec<(usize, Reader<'a>)>,
}

impl<'a> LogReader<'a> {
    pub(super) fn new(folder: &'a Folder, files: &'a [StoreFile]) -> Self {
        Self { folder, files, file_bytes: file_bytes(files), open: Vec::new() }
    }

    /// The sound record that begins at a log offset, and its bytes.
    pub(super) fn record(&mut self, offset: i64) -> Option<(Record<'_>, &[u8])> {
        let after = self.files.partition_point(|file| file.start <= offset);
        let number = after.checked_sub(1)?;
        let file = self.files.get(number)?;
        let at = u64::try_from(offset - file.start).ok().filter(|at| *at < file.length)?;
        let place = match self.open.iter().position(|(open, _)| *open == number) {
            Some(place) => place,
            None => {
                if self.open.len() >= MOST_OPEN {
                    self.open.remove(0);
                }
                let reader = Reader::open(self.folder.disk(), &file.path, CHUNK).ok()?;
                self.open.push((number, reader));
                self.open.len() - 1
            }
        };
        let (_, reader) = self.open.get_mut(place)?;
        record_here(reader, at, self.file_bytes, offset)
    }
}
