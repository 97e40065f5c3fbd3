//! Looking at the log's bytes without trusting them.

use std::ops::Range;

use oxmq::protocol::message::record::{
    BLANK_LENGTH, MAGIC_BLANK, MAGIC_V1, MAGIC_V2, MIN_LENGTH, Record,
};

use crate::store::disk::Disk;
use crate::store::error::{Context, StoreError};
use crate::store::mapped_file::MappedWriter;

/// What a disk writes at once, bytes.
const SECTOR: usize = 512;
/// Bytes looked at between two questions where the file has data at all.
const WINDOW: usize = 1 << 20;
/// Bytes of a record before its magic.
const MAGIC_AT: usize = 4;

/// What stands at a place of a commit-log file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A whole record that is what and where it says, and its length.
    Record(Record<'a>, usize),
    /// The rest of the file is blank.
    Blank,
    /// Nothing was written here.
    Unwritten,
    /// Something else.
    Damaged(String),
}

/// Judges the bytes at `at` of a file that begins at `start` in the log.
pub(crate) fn check(bytes: &[u8], at: usize, start: i64) -> Found<'_> {
    let rest = bytes.get(at..).unwrap_or_default();
    check_here(rest, rest.len() as u64, start + at as i64)
}

/// Judges the bytes that stand at `offset` of the log, `left` bytes before the end of their file.
/// `rest` may show only the first of those, but shows a whole record if one begins here.
pub(crate) fn check_here(rest: &[u8], left: u64, offset: i64) -> Found<'_> {
    if left == 0 {
        return Found::Blank;
    }
    let Some(head) = rest.first_chunk::<BLANK_LENGTH>() else {
        return Found::Damaged("too few bytes before the end of the file".into());
    };
    let head = u64::from_be_bytes(*head);
    if head == 0 {
        return Found::Unwritten;
    }
    if head >> 32 == left && head == left << 32 | u64::from(MAGIC_BLANK) {
        return Found::Blank;
    }
    let (record, length) = match Record::decode(rest) {
        Ok(Some(decoded)) => decoded,
        Ok(None) => return Found::Damaged("a record is longer than the file".into()),
        Err(error) => return Found::Damaged(error.to_string()),
    };
    if record.physical_offset != offset {
        let reason = format!("a record says that it stands at {}", record.physical_offset);
        return Found::Damaged(reason);
    }
    match record.verify_crc() {
        Ok(()) => Found::Record(record, length),
        Err(error) => Found::Damaged(error.to_string()),
    }
}

/// The first place at or after `from` where a sound record or the file's blank begins.
pub(crate) fn next_valid(
    disk: &dyn Disk,
    file: &MappedWriter,
    from: usize,
) -> Result<Option<usize>, StoreError> {
    let (bytes, start) = (file.all(), file.file().start());
    let disk_file = file.file().disk_file();
    let mut at = from;
    while at < bytes.len() {
        let data = disk.next_data(disk_file, at as u64).context(disk_file.path(), "read")?;
        let Some(data) = data.and_then(|data| usize::try_from(data).ok()) else { return Ok(None) };
        // A record may begin in the last zero bytes before.
        let begin = data.saturating_sub(MAGIC_AT).max(at);
        let end = data.saturating_add(WINDOW).min(bytes.len());
        let window = bytes.get(begin + MAGIC_AT..(end + MAGIC_AT).min(bytes.len()));
        for candidate in candidates(window.unwrap_or_default()) {
            let place = begin + candidate;
            if matches!(check(bytes, place, start), Found::Record(..) | Found::Blank) {
                return Ok(Some(place));
            }
        }
        at = end;
    }
    Ok(None)
}

/// Positions in a window where one of the three magics begins.
pub(crate) fn candidates(window: &[u8]) -> impl Iterator<Item = usize> {
    let [first, ..] = MAGIC_V1.to_be_bytes();
    let [blank, ..] = MAGIC_BLANK.to_be_bytes();
    memchr::memchr2_iter(first, blank, window).filter(|at| {
        let magic = window.get(*at..).and_then(<[u8]>::first_chunk).copied();
        // At the window's end the rest of the magic is not in it: the check decides.
        magic.is_none_or(|magic| {
            matches!(u32::from_be_bytes(magic), MAGIC_V1 | MAGIC_V2 | MAGIC_BLANK)
        })
    })
}

/// Whether the record that should fill the range reached the disk while it was being written: its
/// head is zeros, or its end is. A sound record ends in properties, or in a length of two zeros.
///
/// The range goes to the next sound place in the file, or to the file's end.
pub(crate) fn is_unfinished(bytes: &[u8], range: Range<usize>) -> bool {
    let is_zeros = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let Some((head, _)) =
        bytes.get(range.clone()).and_then(<[u8]>::split_first_chunk::<BLANK_LENGTH>)
    else {
        return false;
    };
    let [l0, l1, l2, l3, ..] = *head;
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    let end = range.start.saturating_add(length);
    // Nothing behind it in its last sector came to the disk either. A length that leads past what
    // comes next is not to be believed.
    let is_likely = length > MIN_LENGTH && end <= range.end;
    let tail = bytes.get(end.saturating_sub(3)..end.next_multiple_of(SECTOR).min(range.end));
    is_zeros(head) || is_likely && tail.is_some_and(is_zeros)
}

/// Whether a sector that held bytes of the range was never written since: it is zeros, from its
/// beginning on or from the range's. A write that never reached the disk leaves such a one behind.
///
/// The range goes from where a record should begin to where the next one does.
pub(crate) fn has_unwritten_sector(bytes: &[u8], range: Range<usize>) -> bool {
    let is_zeros = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let begin = range.start - range.start % SECTOR;
    let end = range.end.next_multiple_of(SECTOR).min(bytes.len());
    let mut sectors = bytes.get(begin..end).unwrap_or_default().chunks_exact(SECTOR);
    // The record before may share the first sector, and be older than what was lost.
    let first = bytes.get(range.start..(begin + SECTOR).min(bytes.len())).unwrap_or_default();
    let length = u32::try_from(range.len()).unwrap_or(u32::MAX).to_be_bytes();
    let would_be_zeros = length.get(..first.len()).is_some_and(is_zeros);
    is_zeros(first) && !would_be_zeros || sectors.any(is_zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_that_never_reached_the_disk_are_seen() {
        let mut bytes = vec![1; 4 * SECTOR];
        assert!(!has_unwritten_sector(&bytes, 700..1_300));
        bytes[700..800].fill(0);
        assert!(!has_unwritten_sector(&bytes, 700..1_300), "a record may hold zeros");
        bytes[700..1_024].fill(0);
        assert!(has_unwritten_sector(&bytes, 700..1_300), "from the record on");
        assert!(!has_unwritten_sector(&bytes, 600..1_300));
        bytes[700..1_024].fill(1);
        bytes[1_024..1_536].fill(0);
        assert!(has_unwritten_sector(&bytes, 700..1_600), "one in the middle");
        assert!(has_unwritten_sector(&bytes, 700..1_100), "the last one, as far as it is there");
    }

    #[test]
    fn a_record_that_was_being_written_is_seen() {
        let mut bytes = vec![1; 1_024];
        bytes[100..104].copy_from_slice(&200u32.to_be_bytes());
        assert!(!is_unfinished(&bytes, 100..300));
        bytes[298..300].fill(0);
        assert!(!is_unfinished(&bytes, 100..300), "no properties");
        bytes[250..300].fill(0);
        assert!(is_unfinished(&bytes, 100..300), "only its beginning");
        assert!(!is_unfinished(&bytes, 100..1_024), "something came behind it");
        bytes[300..512].fill(0);
        assert!(is_unfinished(&bytes, 100..1_024), "and nothing behind it");
        assert!(!is_unfinished(&bytes, 100..290), "its length lies");
        bytes[300..512].fill(1);
        bytes[299] = 1;
        bytes[100..108].fill(0);
        assert!(is_unfinished(&bytes, 100..300), "only its end");
        assert!(!is_unfinished(&bytes, 1_020..1_024));
    }

    #[test]
    fn a_length_that_begins_with_zeros_is_no_sign() {
        let mut bytes = vec![1; 4 * SECTOR];
        bytes[SECTOR - 3..SECTOR].fill(0);
        assert!(!has_unwritten_sector(&bytes, SECTOR - 3..SECTOR + 200));
        assert!(has_unwritten_sector(&bytes, SECTOR - 3..SECTOR + 400), "its third byte is 1");
    }
}
