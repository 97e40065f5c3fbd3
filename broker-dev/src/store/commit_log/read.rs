//! Reading: slices of the mapped files, without a copy.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use oxmq::protocol::message::record::{MAGIC_V1, MAGIC_V2, Record, position};

use super::CommitLog;
use crate::store::mapped_file::MappedFile;

/// A record's bytes: which file, and where in it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) file: Arc<MappedFile>,
    pub(crate) range: Range<usize>,
}

impl CommitLog {
    /// Where a record of this length lies; `None` if its bytes are gone, or no record of this
    /// length begins there.
    pub(crate) fn place(&self, offset: i64, length: usize) -> Option<Place> {
        let (file, at) = self.files.find(offset)?;
        let bytes = file.bytes().get(at..at.checked_add(length)?)?;
        let (total, rest) = bytes.split_first_chunk()?;
        let (magic, _) = rest.split_first_chunk()?;
        let is_record = u32::from_be_bytes(*total) as usize == length
            && matches!(u32::from_be_bytes(*magic), MAGIC_V1 | MAGIC_V2);
        is_record.then_some(Place { file, range: at..at + length })
    }

    /// The record that begins at an offset: `None` if none does.
    pub(crate) fn record(&self, offset: i64) -> Option<Bytes> {
        let (file, at) = self.files.find(offset)?;
        let (record, length) = Record::decode(file.bytes().get(at..)?).ok()??;
        let slice = (record.physical_offset == offset).then(|| file.slice(at..at + length));
        slice.flatten()
    }

    /// The store time of the record that begins at an offset.
    pub(crate) fn store_time(&self, offset: i64, length: usize) -> Option<i64> {
        let place = self.place(offset, length)?;
        let bytes = place.file.bytes().get(place.range)?;
        let (sys_flag, _) = bytes.get(position::SYS_FLAG..)?.split_first_chunk()?;
        let at = position::store_timestamp(i32::from_be_bytes(*sys_flag));
        let (time, _) = bytes.get(at..)?.split_first_chunk()?;
        Some(i64::from_be_bytes(*time))
    }
}
