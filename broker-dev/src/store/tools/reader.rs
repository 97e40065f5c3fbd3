//! Reading a file through a window of bounded size.
//!
//! The tools read rather than map: a disk's read error is then a value and not a signal, and a file
//! that somebody shortens meanwhile just ends.

use std::io;
use std::path::Path;

use crate::store::disk::{Disk, DiskFile};

/// The longest stretch that is looked at in one piece: no broker takes a record of that length.
pub(super) const MOST_BYTES: usize = 128 << 20;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Reader<'a> {
    disk: &'a dyn Disk,
    file: DiskFile,
    length: u64,
    chunk: usize,
    buffer: Vec<u8>,
    /// Offset in the file of the window's first byte.
    at: u64,
    filled: usize,
}

impl<'a> Reader<'a> {
    /// Opens a file; the window has `chunk` bytes until more are asked for.
    pub(super) fn open(disk: &'a dyn Disk, path: &Path, chunk: usize) -> io::Result<Self> {
        let file = disk.open_read(path)?;
        let length = file.file().metadata()?.len();
        Ok(Self { disk, file, length, chunk, buffer: Vec::new(), at: 0, filled: 0 })
    }

    /// Bytes of the file when it was opened.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes from an offset on: `least` of them or more, fewer only where the file ends.
    pub(super) fn at(&mut self, offset: u64, least: usize) -> io::Result<&[u8]> {
        let least = least.min(MOST_BYTES);
        let begin = offset.checked_sub(self.at).and_then(|begin| usize::try_from(begin).ok());
        let have = begin.and_then(|begin| self.filled.checked_sub(begin)).unwrap_or(0);
        let left = self.length.saturating_sub(offset);
        if have < least && (have as u64) < left {
            let wanted = least.max(self.chunk);
            let wanted = usize::try_from(left).map_or(wanted, |left| wanted.min(left));
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
            self.filled = 0;
            let into = self.buffer.get_mut(..wanted).unwrap_or_default();
            self.filled = self.disk.read_at(&self.file, offset, into)?;
            self.at = offset;
        }
        let begin = usize::try_from(offset.saturating_sub(self.at)).unwrap_or(usize::MAX);
        Ok(self.buffer.get(begin..self.filled).unwrap_or_default())
    }

    /// Exactly `N` bytes, or `None` where the file ends before.
    pub(super) fn array<const N: usize>(&mut self, offset: u64) -> io::Result<Option<[u8; N]>> {
        Ok(self.at(offset, N)?.first_chunk().copied())
    }

    /// The first place at or after an offset where something other than zeros may stand.
    pub(super) fn next_data(&self, from: u64) -> io::Result<Option<u64>> {
        if from >= self.length {
            return Ok(None);
        }
        self.disk.next_data(&self.file, from)
    }
}

/// Reads a small file whole; one of more than `most` bytes is an error.
pub(super) fn read_small(disk: &dyn Disk, path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut reader = Reader::open(disk, path, 0)?;
    if reader.length() > most as u64 {
        return Err(io::Error::other(format!("it has {} bytes, over {most}", reader.length())));
    }
    Ok(reader.at(0, most)?.to_vec())
}
