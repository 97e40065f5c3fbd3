//! What a unit has no room for: the extension files of a queue, `consumequeue_ext`.
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 2 | length of this entry, 20 + n; −1: the rest of the file is blank |
//! | 2 | 8 | tag code |
//! | 10 | 8 | when the message was stored, ms since the Unix epoch |
//! | 18 | 2 | n |
//! | 20 | n | bits that say whose filter takes the message |
//!
//! At least four bytes of a file stay behind its last entry. The tag code of the unit is then the
//! entry's *address*: its offset among all files plus `i64::MIN`, which no hash can be.
//!
//! Source: RocketMQ 5.3.3 `store/ConsumeQueueExt`.

use std::sync::Arc;

use super::files::{Home, QueueFiles};
use crate::store::error::StoreError;
use crate::store::mapped_file_queue::Found;

/// Bytes of an entry without bits.
const FIXED_BYTES: usize = 20;
/// Bytes that stay free at the end of a file.
const END_BYTES: usize = 4;
/// The greatest address; what is greater is a tag code.
const MAX_ADDRESS: i64 = i32::MIN as i64 - 1;

/// What an extension file knows of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Hash of the message's tag.
    pub tags_code: i64,
    /// When it was stored, ms since the Unix epoch.
    pub store_timestamp: i64,
    /// Bits of a Bloom filter over the consumers whose filters take it; empty if none was made.
    pub bits: Vec<u8>,
}

impl Extension {
    /// The entry's bytes; `None` if there are more bits than fit.
    fn encode(&self) -> Option<Vec<u8>> {
        let bits = i16::try_from(self.bits.len()).ok()?;
        let length = i16::try_from(FIXED_BYTES + self.bits.len()).ok()?;
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.bits.len());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.tags_code.to_be_bytes());
        bytes.extend_from_slice(&self.store_timestamp.to_be_bytes());
        bytes.extend_from_slice(&bits.to_be_bytes());
        bytes.extend_from_slice(&self.bits);
        Some(bytes)
    }

    /// Takes an entry's bytes apart, and tells how many there are.
    fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (tags_code, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let count = usize::try_from(i16::from_be_bytes(*count)).unwrap_or(0);
        let bits = rest.get(..count)?.to_vec();
        let extension = Self {
            tags_code: i64::from_be_bytes(*tags_code),
            store_timestamp: i64::from_be_bytes(*time),
            bits,
        };
        (length == FIXED_BYTES + count).then_some((extension, length))
    }
}

/// Whether a unit's last field is an address.
pub(crate) fn is_address(tags_code: i64) -> bool {
    tags_code <= MAX_ADDRESS
}

/// The extension files of one queue.
#[derive(Debug)]
pub(crate) struct ExtFiles {
    files: QueueFiles,
}

impl ExtFiles {
    /// No files yet.
    pub(crate) fn new(home: Arc<Home>, topic: Arc<str>, queue_id: i32) -> Self {
        Self { files: QueueFiles::new(home, topic, queue_id) }
    }

    /// The files.
    pub(crate) fn files(&self) -> &QueueFiles {
        &self.files
    }

    /// Adds an entry; returns its address, or `None` if it has more bits than fit.
    ///
    /// # Errors
    /// Too much is in memory and cannot be written out; nothing was added.
    pub(crate) fn append(&self, extension: &Extension) -> Result<Option<i64>, StoreError> {
        let Some(bytes) = extension.encode() else { return Ok(None) };
        let file_bytes = self.files.file_bytes();
        let mut end = self.files.end();
        let left = usize::try_from(file_bytes - end % file_bytes).unwrap_or(usize::MAX);
        if bytes.len() + END_BYTES > left {
            let mut blank = vec![0; left];
            if let Some(mark) = blank.first_chunk_mut() {
                *mark = (-1i16).to_be_bytes();
            }
            self.files.append(&blank)?;
            end += left as i64;
        }
        let address = end + i64::MIN;
        if !is_address(address) {
            return Ok(None);
        }
        self.files.append(&bytes)?;
        Ok(Some(address))
    }

    /// The entry at an address; `None` if none is.
    pub(crate) fn read(&self, address: i64) -> Option<Extension> {
        self.read_entry(address).map(|(extension, _)| extension)
    }

    fn read_entry(&self, address: i64) -> Option<(Extension, usize)> {
        let offset = is_address(address).then(|| address.wrapping_sub(i64::MIN))?;
        let mut bytes = Vec::with_capacity(64);
        self.files.read(offset, 64, &mut bytes).ok()?;
        let length = usize::try_from(i16::from_be_bytes(*bytes.first_chunk()?)).ok()?;
        if length > bytes.len() {
            bytes.clear();
            self.files.read(offset, length, &mut bytes).ok()?;
        }
        Extension::decode(&bytes)
    }

    /// Takes over the files found; they end after the entry with this address, the last one that a
    /// unit points at. Without one they go.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub(crate) fn load(&self, found: &[Found], last: Option<i64>) -> Result<(), StoreError> {
        let count = self.files.take_over(found);
        let entry = last.and_then(|address| Some((address, self.read_entry(address)?.1)));
        let Some((address, length)) = entry.filter(|_| count > 0) else {
            return self.files.cut(found, 0, self.files.first());
        };
        let end = address.wrapping_sub(i64::MIN) + length as i64;
        let keep = found.iter().take(count).take_while(|file| file.start < end).count();
        self.files.cut(found, keep, end)
    }

    /// Removes files that hold only entries before the one with this address.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub(crate) fn remove_before(&self, address: i64) -> Result<usize, StoreError> {
        self.files.remove_before(address.wrapping_sub(i64::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::Common;
    use super::*;
    use crate::store::disk::RealDisk;
    use crate::store::mapped_file_queue::list;

    fn files(root: &std::path::Path) -> ExtFiles {
        let common = Arc::new(Common::new(8));
        let home = Home::new(root.to_path_buf(), 100, Arc::new(RealDisk), common);
        ExtFiles::new(Arc::new(home), "T".into(), 0)
    }

    fn extension(n: u8, bits: usize) -> Extension {
        Extension { tags_code: n.into(), store_timestamp: 7, bits: vec![n; bits] }
    }

    #[test]
    fn entries_have_apaches_bytes_and_leave_four_bytes_at_a_files_end() {
        let folder = tempfile::tempdir().unwrap();
        let ext = files(folder.path());
        // 28 bytes each: three fit into 100 bytes, as 16 remain; then a blank.
        let addresses: Vec<i64> =
            (0..4).map(|n| ext.append(&extension(n, 8)).unwrap().unwrap()).collect();
        let offsets = [0, 28, 56, 100];
        assert_eq!(addresses, offsets.map(|offset: i64| offset + i64::MIN));
        assert!(addresses.iter().all(|address| is_address(*address)));
        for code in [0, -1, i64::from(i32::MIN), i64::from(i32::MAX)] {
            assert!(!is_address(code));
        }
        for life in 0..2 {
            for (n, address) in (0..).zip(&addresses) {
                assert_eq!(ext.read(*address), Some(extension(n, 8)), "life {life}");
            }
            ext.files().write_out().unwrap();
        }
        let bytes = std::fs::read(folder.path().join("T/0/00000000000000000000")).unwrap();
        assert_eq!(bytes.len(), 100);
        let mut first = vec![0, 28, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 8];
        first.extend([1; 8]);
        assert_eq!(bytes[28..56], first);
        assert_eq!(bytes[84..86], [0xFF, 0xFF]);
        assert_eq!(ext.append(&extension(9, 40_000)).unwrap(), None);
    }

    #[test]
    fn files_end_where_the_units_say() {
        let folder = tempfile::tempdir().unwrap();
        let ext = files(folder.path());
        let addresses: Vec<i64> =
            (0..9).map(|n| ext.append(&extension(n, 8)).unwrap().unwrap()).collect();
        ext.files().write_out().unwrap();
        let dir = folder.path().join("T/0");
        assert_eq!(list(&RealDisk, &dir).unwrap().len(), 3);
        let again = files(folder.path());
        again.load(&list(&RealDisk, &dir).unwrap(), Some(addresses[3])).unwrap();
        assert_eq!(again.read(addresses[3]), Some(extension(3, 8)));
        assert_eq!(again.read(addresses[4]), None);
        assert_eq!(again.append(&extension(77, 8)).unwrap(), Some(addresses[4]));
        again.files().write_out().unwrap();
        assert_eq!(again.read(addresses[4]), Some(extension(77, 8)));
        assert_eq!(again.read(addresses[5]), None, "what was behind is cleared");
        assert_eq!(again.remove_before(addresses[3]).unwrap(), 1);
        assert_eq!(list(&RealDisk, &dir).unwrap().len(), 1);
        let empty = files(folder.path());
        empty.load(&list(&RealDisk, &dir).unwrap(), None).unwrap();
        assert_eq!(list(&RealDisk, &dir).unwrap(), []);
    }
}
